"""Read the headers of many JPEGs together, one segment of each at a time.

Headers that are not plain are left to `probe`, one by one. These are anything but a JPEG, and fill bytes and restarts
between segments. So are XMP that may state the orientation, EXIF that no camera writes, headers that continue behind
the bytes in the buffer, and everything damaged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from imagenet_tools.images import jpeg
from imagenet_tools.images.probe import PIXEL_LIMIT
from imagenet_tools.storage.blob import CAPACITY

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from imagenet_tools.storage.blob import ReadBuffer

    Numbers = NDArray[np.int64]
    Mask = NDArray[np.bool_]

NONE = -1

_MAX_SEGMENTS = 100
_MAX_EXIF_ENTRIES = 64
_MIN_TOGETHER = 16  # fewer images are no faster together

_JPEG = 0xFFD8FF
_EXIF = int.from_bytes(jpeg.EXIF, "big")
_TIFF_LITTLE_ENDIAN = 0x49492A00
_TIFF_BIG_ENDIAN = 0x4D4D002A
_TIFF_SHORT = 3  # the type of a 16-bit number
# The meaning of every 16-bit number as a marker.
_MEANINGS = np.full(1 << 16, jpeg.JUNK, np.uint8)
_MEANINGS[list(jpeg.MARKER_MEANINGS)] = list(jpeg.MARKER_MEANINGS.values())
# Shift and mask of bits, height, width and layers in the first eight bytes of a frame.
_FRAME_FIELDS = ((56, 0xFF), (40, 0xFFFF), (24, 0xFFFF), (16, 0xFF))


class HeaderBatch(NamedTuple):
    """The facts of many JPEGs, one row each; a row that is not plain holds nothing."""

    plain: Mask
    width: Numbers  # pixels
    height: Numbers  # pixels
    layers: Numbers
    orientation: Numbers  # as in jpeg.ImageFacts, NONE if there is none

    def rows(self, run: slice) -> HeaderBatch:
        """Return some of the rows."""
        return HeaderBatch._make(column[run] for column in self)

    def facts(self, row: int) -> jpeg.ImageFacts | None:
        """Return the facts of one image; None if its header is not plain."""
        if not self.plain[row]:
            return None
        width, height, layers, number = (int(column[row]) for column in self[1:])
        orientation = None if number == NONE else number
        return jpeg.ImageFacts(width, height, jpeg.MODES[layers], "jpeg", orientation, None)


def read_headers(buffer: ReadBuffer, start: Numbers, held: Numbers, length: Numbers) -> HeaderBatch:
    """Return the facts of images of `length` bytes, whose first `held` bytes are at `start` in the buffer."""
    words, end = buffer.words, start + held
    walk = _Walk(len(start))
    jpegs = (held >= 2 + jpeg.MIN_SEGMENT_BYTES) & (words[start] >> 40 & 0xFFFFFF == _JPEG)
    walk.run(words, np.flatnonzero(jpegs), start, end)
    whole = (walk.scan != NONE) & (walk.scan - start <= length)
    orientation = np.full(len(start), NONE)
    rows = np.flatnonzero(walk.exif != NONE)
    if rows.size:
        orientation[rows], plain = _orientations(buffer, walk.exif[rows], end[rows])
        walk.odd[rows[~plain]] = True
    walk.odd |= walk.other_app1 & (orientation == NONE)  # XMP may state it
    bits, height, width, layers = (walk.frame >> shift & mask for shift, mask in _FRAME_FIELDS)
    known = (bits == 8) & ((layers == 1) | (layers == 3) | (layers == 4))
    sized = (width > 0) & (height > 0) & (width * height <= PIXEL_LIMIT)
    return HeaderBatch(whole & ~walk.odd & known & sized, width, height, layers, orientation)


class _Walk:
    """The state of the walk through the segments of many images, one row each."""

    def __init__(self, n: int):
        self.scan = np.full(n, NONE)  # buffer position behind the header of the first scan
        self.frame = np.zeros(n, np.int64)  # first eight bytes of the last frame
        self.exif = np.full(n, NONE)  # buffer position of the APP1 segment that holds EXIF
        self.other_app1 = np.zeros(n, np.bool_)  # there are APP1 segments without EXIF
        self.odd = np.zeros(n, np.bool_)  # not plain

    def run(self, words: Numbers, rows: Numbers, start: Numbers, end: Numbers) -> None:
        """Walk through the images `rows`; `start` and `end` are the buffer positions of all images."""
        last, at = end - jpeg.MIN_SEGMENT_BYTES, start[rows] + 2
        for _ in range(_MAX_SEGMENTS):
            if len(rows) < _MIN_TOGETHER:
                return
            segment = words[at].astype("i8")
            meaning = _MEANINGS[segment >> 48 & 0xFFFF]
            after = at + 2 + (segment >> 32 & 0xFFFF)
            goes_on = after <= last[rows]
            special = meaning.nonzero()[0]  # all but segments that are skipped
            if special.size:
                kinds, images = meaning[special], rows[special]
                frames, scans, app1 = kinds == jpeg.FRAME, kinds == jpeg.SCAN, kinds == jpeg.APP1
                self.frame[images[frames]] = words[at[special[frames]] + 4]
                self.scan[images[scans]] = after[special[scans]]
                if app1.any():
                    self._add_app1(words, images[app1], at[special[app1]])
                goes_on[special[kinds > jpeg.FRAME]] = False
            rows, at = rows[goes_on], after[goes_on]

    def _add_app1(self, words: Numbers, rows: Numbers, at: Numbers) -> None:
        is_exif = words[at + 2] & 0xFFFFFFFFFFFF == _EXIF
        self.odd[rows[is_exif & (self.exif[rows] != NONE)]] = True  # EXIF in two segments
        self.exif[rows[is_exif]] = at[is_exif]
        self.other_app1[rows[~is_exif]] = True


def _orientations(buffer: ReadBuffer, at: Numbers, end: Numbers) -> tuple[Numbers, Mask]:
    """Return the orientations in EXIF segments at these buffer positions, held up to `end`, and which are plain."""
    words = buffer.words
    tiff = at + 10
    end = np.minimum(end, at + 2 + (words[at] >> 32 & 0xFFFF))
    head = words[np.minimum(tiff, CAPACITY - 1)].astype(np.int64)
    little = head >> 32 == _TIFF_LITTLE_ENDIAN
    plain = (little | (head >> 32 == _TIFF_BIG_ENDIAN)) & (tiff + 8 <= end)
    directory = tiff + _ordered(head & 0xFFFFFFFF, little, 4)
    plain &= directory + 2 <= end
    directory[~plain] = 0
    n_entries = _ordered(words[directory] >> 48 & 0xFFFF, little, 2)
    plain &= (n_entries <= _MAX_EXIF_ENTRIES) & (directory + 2 + 12 * n_entries <= end)
    n_entries[~plain] = 0
    numbers = np.arange(max(int(n_entries.max(initial=0)), 1))
    places = np.where(numbers < n_entries[:, None], directory[:, None] + 2 + 12 * numbers, 0)
    tags = _ordered(words[places] >> 48 & 0xFFFF, little[:, None], 2)
    matches = (tags == jpeg.ORIENTATION) & (numbers < n_entries[:, None])
    present = matches.any(axis=1)
    place = places[np.arange(len(at)), matches.argmax(axis=1)]
    kind = _ordered(words[place] >> 32 & 0xFFFF, little, 2)
    count = _ordered(words[place] & 0xFFFFFFFF, little, 4)
    value = _ordered(words[place + 8 * present] >> 48 & 0xFFFF, little, 2)
    plain &= ~present | ((kind == _TIFF_SHORT) & (count == 1) & (value < 1 << 15))
    return np.where(present & plain, value, NONE), plain


def _ordered(number: Numbers, little: Mask, size: int) -> Numbers:
    """Return big-endian numbers of `size` bytes with the bytes of those reversed that are little-endian."""
    number = number.astype(np.int64)
    reversed_ = number.astype(np.uint16 if size == 2 else np.uint32).byteswap()
    return np.where(little, reversed_, number)
