"""Convert boxes between pixels, fractions and other formats' counts; the only home of +1, *width, /height, clipping.

An ILSVRC annotation counts pixels from 0, and its xmax is below the width (in all 80,477 validation boxes). The
devkit's evaluation includes both edges (x2 - x1 + 1). Training code takes the numbers as edges and divides by the size
without the 1, as TensorFlow's slim does. This module takes them as edges.

A box refers to the stated size, which the annotator was shown and which may differ from the image's own. Only
fractions of the stated size are safe to apply to the image.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import ArrayLike

# Codes of the column flags of the table boxes, in the order in which a box has them. A box with a flag whose text ends
# in "no normalised values" has null nxmin, nymin, nxmax and nymax; every other flag is a note or a repair.
FLAGS = {
    # Added by readers of annotations.
    "name_is_word": "the name is a word, not a wnid; the class is that of the folder, the file's stem or the image",
    "no_name": "the object has no name; the class is that of the folder, the file's stem or the image",
    "name_differs": "the name is another wnid than the folder or the stem says; the name is kept as the class",
    "folder_differs": "the file's stem names another wnid than its folder: the folder is kept as the class",
    "not_det_class": "the class is none of the 200 of ILSVRC's detection task",
    "filename_differs": "the annotation's filename, such as a literal %s, is not its file's stem; the stem is kept",
    "repeated": "a value appears twice; the first is kept",
    "missing": "a coordinate is absent, and null",
    "unreadable": "a value is not a number as its field asks, and null",
    "fractions": "the annotation gives fractions, not pixels: they are edges in a stated size of 1 by 1",
    "crowd": "the box surrounds a group of objects and not one, as COCO's iscrowd says",
    # Added by normalise().
    "not_finite": "a coordinate is missing, nan or infinite: no normalised values",
    "fractional": "a coordinate is not a whole number of pixels; it is used as it is",
    "no_size": "the annotation states no size, or one below 1; the image's own is used",
    "no_real": "the image's own size is not known either: no normalised values",
    "size_differs": "the stated size is not the image's own; the box is a fraction of the stated one",
    "size_turned": (
        "the stated size is the image's own with width and height exchanged; if EXIF turns the image by 90 degrees, "
        "the box is of the shown image, and turned back"
    ),
    "swapped_x": "xmin > xmax; exchanged",
    "swapped_y": "ymin > ymax; exchanged",
    "outside": "the box reaches out of the image; clipped to it",
    "degenerate": "no area, at the latest after clipping: no normalised values",
}

# Flags that normalise() adds; they are computed again when the real size changes.
COMPUTED = tuple(FLAGS)[tuple(FLAGS).index("not_finite") :]

_BITS = {flag: 1 << n for n, flag in enumerate(FLAGS)}

# EXIF orientations (Exif 2.3, tag 0x0112): an exchange of x and y, followed by a mirror of either axis.
TRANSPOSED = (5, 6, 7, 8)
_MIRRORED_X = (2, 3, 6, 7)
_MIRRORED_Y = (3, 4, 7, 8)

Floats = np.ndarray[tuple[int, ...], np.dtype[np.float64]]
Bits = NDArray[np.int64]


# Left, top, right and bottom edges of boxes, as four arrays of one length.
Edges = tuple[Floats, Floats, Floats, Floats]


class Normalised(NamedTuple):
    """Edges of each box as fractions of the image, 0 to 1 and left < right, top < bottom; nan where unusable."""

    left: Floats
    top: Floats
    right: Floats
    bottom: Floats
    bits: Bits  # flags of each box: see in_bits


def normalise(
    xmin: ArrayLike,
    ymin: ArrayLike,
    xmax: ArrayLike,
    ymax: ArrayLike,
    stated_width: ArrayLike,
    stated_height: ArrayLike,
    real_width: ArrayLike,
    real_height: ArrayLike,
    orientation: ArrayLike = np.nan,
) -> Normalised:
    """Return boxes in pixels as fractions of the stored image, repaired and clipped, one row for each box.

    All arguments are one-dimensional arrays of one length, or single numbers; nan means unknown. Edges are divided by
    the stated size if both its sides are at least 1, else by the real size. A stated size that is the real one with its
    sides exchanged is that of the image as its EXIF orientation shows it, if the orientation exchanges them.
    """
    values = (xmin, ymin, xmax, ymax, stated_width, stated_height, real_width, real_height)
    x1, y1, x2, y2, stated_w, stated_h, real_w, real_h = np.broadcast_arrays(
        *(np.atleast_1d(np.asarray(value, np.float64)) for value in values)
    )
    finite = np.isfinite(np.stack((x1, y1, x2, y2))).all(axis=0)
    stated, real = _is_size(stated_w, stated_h), _is_size(real_w, real_h)
    usable = finite & (stated | real)
    width = np.where(usable, np.where(stated, stated_w, real_w), 1.0)
    height = np.where(usable, np.where(stated, stated_h, real_h), 1.0)

    # Unusable boxes are 0 on the way and become nan at the end, so that no arithmetic warns.
    x1, y1, x2, y2 = (np.where(usable, edge, 0.0) for edge in (x1, y1, x2, y2))
    low_edges = np.minimum(x1, x2) / width, np.minimum(y1, y2) / height
    high_edges = np.maximum(x1, x2) / width, np.maximum(y1, y2) / height
    fractions = (*low_edges, *high_edges)
    left, top, right, bottom = (np.clip(edge, 0.0, 1.0) + 0.0 for edge in fractions)  # + 0.0 turns -0.0 into 0.0
    area = usable & (left < right) & (top < bottom)

    in_pixels = (stated_w != 1) | (stated_h != 1)  # a stated size of 1 by 1 means fractions
    differs = stated & real & in_pixels & ((stated_w != real_w) | (stated_h != real_h))
    masks = {
        "not_finite": ~finite,
        "fractional": usable & in_pixels & np.any([edge != np.floor(edge) for edge in (x1, y1, x2, y2)], axis=0),
        "no_size": ~stated,
        "no_real": ~stated & ~real,
        "size_differs": differs,
        "size_turned": differs & (stated_w == real_h) & (stated_h == real_w),
        "swapped_x": x1 > x2,
        "swapped_y": y1 > y2,
        "outside": np.any([edge != np.clip(edge, 0.0, 1.0) for edge in fractions], axis=0),
        "degenerate": usable & ~area,
    }
    left, top, right, bottom = (np.where(area, edge, np.nan) for edge in (left, top, right, bottom))
    shown = np.where(masks["size_turned"] & np.isin(orientation, TRANSPOSED), orientation, 1)
    if (shown != 1).any():
        left, top, right, bottom = turn_back(left, top, right, bottom, shown)
    bits = np.zeros(len(finite), np.int64)
    for code, mask in masks.items():
        bits |= mask * _BITS[code]
    return Normalised(left, top, right, bottom, bits)


def _is_size(width: Floats, height: Floats) -> NDArray[np.bool_]:
    return np.isfinite(width) & np.isfinite(height) & (width >= 1) & (height >= 1)


def in_bits(flags: Iterable[str]) -> int:
    """Return flags as a number with one bit for each flag.

    Raises:
        KeyError: A text is no code of FLAGS.
    """
    return sum(_BITS[flag] for flag in set(flags))


def in_words(bits: int) -> tuple[str, ...]:
    """Return the flags of a number that `in_bits` made, in the order of FLAGS."""
    return tuple(flag for flag, bit in _BITS.items() if bits & bit)


def yolo(left: float, top: float, right: float, bottom: float) -> tuple[float, float, float, float]:
    """Return the centre and size of a box (xc, yc, w, h) as fractions."""
    return (left + right) / 2, (top + bottom) / 2, right - left, bottom - top


def from_yolo(xc: float, yc: float, width: float, height: float) -> tuple[float, float, float, float]:
    """Return (left, top, right, bottom) of a box from its centre and size."""
    return xc - width / 2, yc - height / 2, xc + width / 2, yc + height / 2


def to_pixels(
    left: ArrayLike, top: ArrayLike, right: ArrayLike, bottom: ArrayLike, width: ArrayLike, height: ArrayLike
) -> Edges:
    """Return edges in pixels, 0 to width and 0 to height, not rounded."""
    x1, y1, x2, y2 = (np.asarray(edge, np.float64) for edge in (left, top, right, bottom))
    w, h = np.asarray(width, np.float64), np.asarray(height, np.float64)
    return x1 * w, y1 * h, x2 * w, y2 * h


def coco(
    left: ArrayLike, top: ArrayLike, right: ArrayLike, bottom: ArrayLike, *, width: ArrayLike, height: ArrayLike
) -> Edges:
    """Return the upper left corner and the size of each box (x, y, w, h) in pixels; COCO counts from 0."""
    x1, y1, x2, y2 = to_pixels(left, top, right, bottom, width, height)
    return x1, y1, x2 - x1, y2 - y1


def from_coco(x: float, y: float, w: float, h: float, *, width: int, height: int) -> tuple[float, float, float, float]:
    """Return (left, top, right, bottom) as fractions from COCO's corner and size in pixels."""
    return x / width, y / height, (x + w) / width, (y + h) / height


def voc(left: float, top: float, right: float, bottom: float, *, width: int, height: int) -> tuple[int, int, int, int]:
    """Return the first and last pixel of a box (xmin, ymin, xmax, ymax), counted from 1 as Pascal VOC does.

    Edges are rounded to the nearest border between two pixels. Every box has at least one pixel.
    """
    x1, y1, x2, y2 = (math.floor(edge + 0.5) for edge in (left * width, top * height, right * width, bottom * height))
    x1, y1 = min(x1, width - 1), min(y1, height - 1)
    return x1 + 1, y1 + 1, max(x2, x1 + 1), max(y2, y1 + 1)


def from_voc(
    xmin: float, ymin: float, xmax: float, ymax: float, *, width: int, height: int
) -> tuple[float, float, float, float]:
    """Return (left, top, right, bottom) as fractions from Pascal VOC's first and last pixels."""
    return (xmin - 1) / width, (ymin - 1) / height, xmax / width, ymax / height


def turn(left: ArrayLike, top: ArrayLike, right: ArrayLike, bottom: ArrayLike, orientation: ArrayLike) -> Edges:
    """Return fractions of the image with its EXIF orientation applied, from fractions of the stored image.

    Orientations are 1 to 8. Any other number (some files have 0) or nan turns nothing, as in loaders that apply the
    tag. With 5 to 8, the width of the shown image is the height of the stored one.
    """
    x1, y1, x2, y2 = (np.asarray(edge, np.float64) for edge in (left, top, right, bottom))
    tag = np.asarray(orientation)
    transposed = np.isin(tag, TRANSPOSED)
    x1, y1 = np.where(transposed, y1, x1), np.where(transposed, x1, y1)
    x2, y2 = np.where(transposed, y2, x2), np.where(transposed, x2, y2)
    mirrored_x, mirrored_y = np.isin(tag, _MIRRORED_X), np.isin(tag, _MIRRORED_Y)
    x1, x2 = np.where(mirrored_x, 1 - x2, x1), np.where(mirrored_x, 1 - x1, x2)
    y1, y2 = np.where(mirrored_y, 1 - y2, y1), np.where(mirrored_y, 1 - y1, y2)
    return x1, y1, x2, y2


def inclusive_overlaps(boxes: ArrayLike, others: ArrayLike) -> Floats:
    """Return the intersection over union of each box with another, as ILSVRC's devkit: edges are pixels of the box.

    Args:
        boxes: xmin, ymin, xmax, ymax in pixels: (..., 4).
        others: The other boxes, likewise.

    Returns:
        (...): 0 to 1; 0 if they share no pixel.
    """
    a, b = np.asarray(boxes, np.float64), np.asarray(others, np.float64)
    shared = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]) + 1
    common = np.where((shared > 0).all(axis=-1), shared.prod(axis=-1), 0.0)
    united = _inclusive_sides(a).prod(axis=-1) + _inclusive_sides(b).prod(axis=-1) - common
    return np.asarray(common / united, np.float64)


def detection_thresholds(boxes: Floats) -> Floats:
    """Return the overlap that ILSVRC's detection task demands for each true box: 0.5, and less for small ones.

    It is w * h / ((w + 10) * (h + 10)) if that is less: 5 pixels on each side are forgiven.

    Args:
        boxes: xmin, ymin, xmax, ymax in pixels: (n, 4).
    """
    sides = _inclusive_sides(boxes)
    return np.asarray(np.minimum(0.5, (sides / (sides + 10)).prod(axis=1)), np.float64)


def _inclusive_sides(boxes: Floats) -> Floats:
    return boxes[..., 2:] - boxes[..., :2] + 1


def turn_back(left: ArrayLike, top: ArrayLike, right: ArrayLike, bottom: ArrayLike, orientation: ArrayLike) -> Edges:
    """Return fractions of the stored image, from fractions of the image with its EXIF orientation applied."""
    tag = np.asarray(orientation)
    return turn(left, top, right, bottom, np.where(tag == 6, 8, np.where(tag == 8, 6, tag)))  # 5 and 7: own inverses


def sql_in_square(edge: str, side: str) -> str:
    """Return SQL for an edge as a fraction of the image's middle square.

    `edge` is SQL for the fraction of the whole image, `side` the column width or height.
    """
    return f"greatest(0, least(1, ({edge} - 0.5) * {side} / least(width, height) + 0.5))"


def sql_extent(low: str, high: str, side: str) -> str:
    """Return SQL for the width or height of a box in pixels of `side`, from its edges as fractions.

    Rounded to a millionth: without that, 10 pixels of 60 come back as 9.999999999999998.
    """
    return f"round((({high}) - ({low})) * {side}, 6)"
