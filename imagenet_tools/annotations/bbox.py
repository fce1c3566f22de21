"""Boxes: the one home of +1, *width, /height and clipping, and the codes of everything that can be odd about a box.

An ILSVRC annotation counts pixels from 0, and its xmax stays below the width (every one of the 80,477 validation
boxes does). The devkit's evaluation counts both edges in (x2 - x1 + 1); training code takes the numbers as edges and
divides by the size, without the 1, as TensorFlow's slim does. This module takes them as edges. A box refers to the
size that the annotator was shown, the stated one, which may differ from the image's own: only a fraction of that
size is safe to carry over to the image.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import ArrayLike

# What the column flags of the table boxes may hold, in the order in which a box carries them. A box with a flag that
# ends in "no normalised values" has null nxmin, nymin, nxmax and nymax; every other flag is a note or a repair.
FLAGS = {
    # Found by the readers of annotations.
    "name_is_word": "the name is a word, not a wnid; the class is that of the folder, the file's stem or the image",
    "no_name": "the object has no name; the class is found likewise",
    "name_differs": "the name is another wnid than the folder or the stem says; the name is kept as the class",
    "folder_differs": "the file's stem names another wnid than its folder: the folder is kept as the class",
    "not_det_class": "the class is none of the 200 of ILSVRC's detection task",
    "filename_differs": "the annotation's filename, such as a literal %s, is not its file's stem; the stem is kept",
    "repeated": "a value stands twice; the first is kept",
    "missing": "a coordinate is absent, and null",
    "unreadable": "a value is not a number as its field asks, and null",
    "fractions": "the annotation gives fractions, not pixels: they stand as edges in a stated size of 1 by 1",
    # Found by normalise().
    "not_finite": "a coordinate is missing, nan or infinite: no normalised values",
    "fractional": "a coordinate is not a whole number of pixels; it is used as it is",
    "no_size": "the annotation states no size, or one below 1; the image's own is used",
    "no_real": "the image's own size is not known either: no normalised values",
    "size_differs": "the stated size is not the image's own; the box is a fraction of the stated one",
    "size_turned": "the stated size is the image's own with width and height exchanged",
    "swapped_x": "xmin > xmax; exchanged",
    "swapped_y": "ymin > ymax; exchanged",
    "outside": "the box reaches out of the image; clipped to it",
    "degenerate": "no area, at least after clipping: no normalised values",
}

# The flags that normalise() gives, and that are made anew when the real size is another.
COMPUTED = tuple(FLAGS)[tuple(FLAGS).index("not_finite") :]

_BITS = {flag: 1 << n for n, flag in enumerate(FLAGS)}

# EXIF orientations (Exif 2.3, tag 0x0112) as an exchange of x and y, and then a mirror of either axis.
TRANSPOSED, _MIRRORED_X, _MIRRORED_Y = (5, 6, 7, 8), (2, 3, 6, 7), (3, 4, 7, 8)

Floats = np.ndarray[tuple[int, ...], np.dtype[np.float64]]
Bits = NDArray[np.int64]
Ints = NDArray[np.int64]


class BoxEdges(NamedTuple):
    """Four edges of each box, as four arrays of one length."""

    left: Floats
    top: Floats
    right: Floats
    bottom: Floats


class Normalised(NamedTuple):
    """Edges of each box as fractions of the image, 0 to 1 and left < right, top < bottom; nan where unusable."""

    left: Floats
    top: Floats
    right: Floats
    bottom: Floats
    bits: NDArray[np.int64]  # the flags of each box: see in_bits

    @property
    def flags(self) -> list[tuple[str, ...]]:
        """The flags of each box in words, in the order of FLAGS."""
        words = {bits: in_words(bits) for bits in np.unique(self.bits).tolist()}
        return [words[bits] for bits in self.bits.tolist()]


def normalise(
    xmin: ArrayLike,
    ymin: ArrayLike,
    xmax: ArrayLike,
    ymax: ArrayLike,
    stated_width: ArrayLike,
    stated_height: ArrayLike,
    real_width: ArrayLike,
    real_height: ArrayLike,
) -> Normalised:
    """Fractions of the image, repaired and clipped, of boxes in pixels; as many come back as go in.

    All eight are one-dimensional and of one length, or single numbers; nan stands for what is not known. The size
    that divides is the stated one where both its sides are at least 1, else the real one.
    """
    given = (xmin, ymin, xmax, ymax, stated_width, stated_height, real_width, real_height)
    x1, y1, x2, y2, shown_w, shown_h, own_w, own_h = np.broadcast_arrays(
        *(np.atleast_1d(np.asarray(values, np.float64)) for values in given)
    )
    finite = np.isfinite(np.stack((x1, y1, x2, y2))).all(axis=0)
    stated, real = _is_size(shown_w, shown_h), _is_size(own_w, own_h)
    usable = finite & (stated | real)
    width = np.where(usable, np.where(stated, shown_w, own_w), 1.0)
    height = np.where(usable, np.where(stated, shown_h, own_h), 1.0)

    # Unusable boxes go through as 0 and become nan at the end, so that no arithmetic warns.
    x1, y1, x2, y2 = (np.where(usable, edge, 0.0) for edge in (x1, y1, x2, y2))
    fractions = (
        np.minimum(x1, x2) / width,
        np.minimum(y1, y2) / height,
        np.maximum(x1, x2) / width,
        np.maximum(y1, y2) / height,
    )
    left, top, right, bottom = (np.clip(edge, 0.0, 1.0) + 0.0 for edge in fractions)  # + 0.0: no -0.0 comes out
    area = usable & (left < right) & (top < bottom)

    # A stated size of 1 by 1 is that of an annotation in fractions.
    pixels = (shown_w != 1) | (shown_h != 1)
    both = stated & real & pixels
    differs = both & ((shown_w != own_w) | (shown_h != own_h))
    found = {
        "not_finite": ~finite,
        "fractional": usable & pixels & np.any([edge != np.floor(edge) for edge in (x1, y1, x2, y2)], axis=0),
        "no_size": ~stated,
        "no_real": ~stated & ~real,
        "size_differs": differs,
        "size_turned": differs & (shown_w == own_h) & (shown_h == own_w),
        "swapped_x": x1 > x2,
        "swapped_y": y1 > y2,
        "outside": np.any([edge != np.clip(edge, 0.0, 1.0) for edge in fractions], axis=0),
        "degenerate": usable & ~area,
    }
    left, top, right, bottom = (np.where(area, edge, np.nan) for edge in (left, top, right, bottom))
    bits = np.zeros(len(finite), np.int64)
    for code, mask in found.items():
        bits |= mask * _BITS[code]
    return Normalised(left, top, right, bottom, bits)


def _is_size(width: Floats, height: Floats) -> NDArray[np.bool_]:
    return np.isfinite(width) & np.isfinite(height) & (width >= 1) & (height >= 1)


def in_bits(flags: Iterable[str]) -> int:
    """Flags as one whole number of 63 bits, a bit a flag; KeyError for a text that is none."""
    return sum(_BITS[flag] for flag in set(flags))


def in_words(bits: int) -> tuple[str, ...]:
    """The flags that such a number stands for, in the order of FLAGS."""
    return tuple(flag for flag, bit in _BITS.items() if bits & bit)


def yolo(left: ArrayLike, top: ArrayLike, right: ArrayLike, bottom: ArrayLike) -> tuple[Floats, Floats, Floats, Floats]:
    """(xc, yc, w, h): the centre and the size of each box, fractions as its edges are."""
    x1, y1, x2, y2 = (np.asarray(edge, np.float64) for edge in (left, top, right, bottom))
    return (x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1


def from_yolo(xc: float, yc: float, width: float, height: float) -> tuple[float, float, float, float]:
    """(left, top, right, bottom) of a box given by its centre and size."""
    return xc - width / 2, yc - height / 2, xc + width / 2, yc + height / 2


def to_pixels(
    left: ArrayLike, top: ArrayLike, right: ArrayLike, bottom: ArrayLike, width: ArrayLike, height: ArrayLike
) -> BoxEdges:
    """Edges in pixels of an image of this size, 0 to width and 0 to height, not rounded."""
    w, h = np.asarray(width, np.float64), np.asarray(height, np.float64)
    return BoxEdges(
        np.asarray(left, np.float64) * w,
        np.asarray(top, np.float64) * h,
        np.asarray(right, np.float64) * w,
        np.asarray(bottom, np.float64) * h,
    )


def coco(
    left: ArrayLike, top: ArrayLike, right: ArrayLike, bottom: ArrayLike, *, width: ArrayLike, height: ArrayLike
) -> tuple[Floats, Floats, Floats, Floats]:
    """(x, y, w, h): the upper left corner and the size of each box in pixels, from fractions; COCO counts from 0."""
    x1, y1, x2, y2 = to_pixels(left, top, right, bottom, width, height)
    return x1, y1, x2 - x1, y2 - y1


def from_coco(x: float, y: float, w: float, h: float, *, width: int, height: int) -> tuple[float, float, float, float]:
    """(left, top, right, bottom) as fractions of an image of this size, of a box given by its corner and size."""
    return x / width, y / height, (x + w) / width, (y + h) / height


def voc(
    left: ArrayLike, top: ArrayLike, right: ArrayLike, bottom: ArrayLike, *, width: int, height: int
) -> tuple[Ints, Ints, Ints, Ints]:
    """(xmin, ymin, xmax, ymax): the first and the last pixel of each box, counted from 1, as Pascal VOC counts them.

    Edges go to the nearest bound of two pixels; no box has less than one pixel.
    """
    x1, y1, x2, y2 = (
        np.floor(edge + 0.5).astype(np.int64) for edge in to_pixels(left, top, right, bottom, width, height)
    )
    x1, y1 = np.minimum(x1, width - 1), np.minimum(y1, height - 1)
    return x1 + 1, y1 + 1, np.maximum(x2, x1 + 1), np.maximum(y2, y1 + 1)


def from_voc(
    xmin: float, ymin: float, xmax: float, ymax: float, *, width: int, height: int
) -> tuple[float, float, float, float]:
    """(left, top, right, bottom) as fractions of an image of this size, of a box as Pascal VOC counts its pixels."""
    return (xmin - 1) / width, (ymin - 1) / height, xmax / width, ymax / height


def turn(left: ArrayLike, top: ArrayLike, right: ArrayLike, bottom: ArrayLike, orientation: ArrayLike) -> BoxEdges:
    """Fractions of the image as it is shown once its EXIF orientation is applied, from fractions as it is stored.

    Orientations 1 to 8; any other number, such as the 0 of some files, or nan turns nothing, as in the loaders that
    obey the tag. Where the orientation is 5 to 8 the shown image's width is the stored one's height.
    """
    x1, y1, x2, y2 = (np.asarray(edge, np.float64) for edge in (left, top, right, bottom))
    tag = np.asarray(orientation)
    transposed = np.isin(tag, TRANSPOSED)
    x1, y1 = np.where(transposed, y1, x1), np.where(transposed, x1, y1)
    x2, y2 = np.where(transposed, y2, x2), np.where(transposed, x2, y2)
    in_x, in_y = np.isin(tag, _MIRRORED_X), np.isin(tag, _MIRRORED_Y)
    return BoxEdges(
        np.where(in_x, 1 - x2, x1),
        np.where(in_y, 1 - y2, y1),
        np.where(in_x, 1 - x1, x2),
        np.where(in_y, 1 - y1, y2),
    )


def sql_in_square(edge: str, side: str) -> str:
    """SQL: an edge of the images' middle square, as a fraction of it; `edge` is one of the whole, `side` its side."""
    return f"greatest(0, least(1, ({edge} - 0.5) * {side} / least(width, height) + 0.5))"


def sql_extent(low: str, high: str, side: str) -> str:
    """SQL: the width or height of a box in pixels of a `side`, from its edges as fractions, to a millionth."""
    return f"round((({high}) - ({low})) * {side}, 6)"  # 10 pixels of 60 come back as 9.999999999999998
