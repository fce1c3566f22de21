"""Where the drawings of the sample are, told by their pixels: a drawing stands before two plain colours."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

# A distance in RGB that the blur of JPEG does not reach.
CLEAR = 36


def mask(image: Image.Image) -> NDArray[np.bool_]:
    """(height, width): the pixels unlike the background, whose two colours stand in two far corners.

    What lies between the two colours is background as well: where they meet, resizing blends them.
    """
    pixels = np.asarray(image.convert("RGB"), dtype=float)
    upper, lower = pixels[0, 0], pixels[-1, -1]
    share = np.clip((pixels - upper) @ (lower - upper) / np.sum((lower - upper) ** 2), 0, 1)[..., None]
    unlike: NDArray[np.bool_] = np.linalg.norm(pixels - upper - share * (lower - upper), axis=2) > CLEAR
    return unlike


def lies_in(image: Image.Image, boxes: list[tuple[float, float, float, float]]) -> bool:
    """Whether the drawings are in the boxes (left, top, right, bottom; normalised) and nowhere else.

    Each box is filled by more than a fifth, and touched by its drawing on every side; less than 1 % of the rest of
    the image is unlike the background.
    """
    drawn = mask(image)
    height, width = drawn.shape
    outside = np.ones_like(drawn)
    for left, top, right, bottom in boxes:
        columns = slice(max(0, round(left * width)), round(right * width) + 1)
        rows = slice(max(0, round(top * height)), round(bottom * height) + 1)
        inside = drawn[rows, columns]
        near = 1 + round(0.04 * max(height, width))
        edges = (inside[:near], inside[-near:], inside[:, :near], inside[:, -near:])
        if inside.mean() < 0.2 or not all(edge.any() for edge in edges):
            return False
        outside[
            max(0, rows.start - near) : rows.stop + near,
            max(0, columns.start - near) : columns.stop + near,
        ] = False
    return not outside.any() or bool(drawn[outside].mean() < 0.01)
