"""The facts of many JPEGs at once: all are read from segment to segment in step, those that are plain to the end.

What is not plain is left to `probe`, image by image: what is no JPEG, fill bytes and restarts between segments, XMP
that may say the orientation, EXIF in another spelling than cameras write, and all that is wrong.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, NamedTuple

from imagenet_tools.images.jpeg import (
    APP1,
    EXIF,
    FRAME,
    JUNK,
    LEAST,
    MEANING,
    MODES,
    ORIENTATION,
    SCAN,
    Begun,
    ImageFacts,
)
from imagenet_tools.images.probe import PIXEL_LIMIT
from imagenet_tools.storage.blob import CAPACITY

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from imagenet_tools.storage.blob import ReadBuffer

    Numbers = NDArray[np.int64]

_STEPS = 100  # segments of a header that is plain
_FEW = 16  # fewer images than these are no faster together
_ENTRIES = 64  # of an EXIF directory, likewise
NONE = -1

_JPEG = 0xFFD8FF
_EXIF = int.from_bytes(EXIF, "big")
_LITTLE, _BIG = 0x49492A00, 0x4D4D002A  # the beginning of a TIFF, its numbers' lowest byte first, or their highest
_SHORT = 3  # the TIFF type of a number of two bytes
_FRAME_FIELDS = ((56, 0xFF), (40, 0xFFFF), (24, 0xFFFF), (16, 0xFF))  # of its first eight bytes: shift, mask


class HeaderBatch(NamedTuple):
    """What the headers of many images say; a row each. Where `plain` is false, the row says nothing."""

    plain: NDArray[np.bool_]
    width: Numbers  # pixels
    height: Numbers
    layers: Numbers
    orientation: Numbers  # as jpeg.Facts has it, NONE for none
    bits: Numbers
    left: Numbers  # where in the image the segment begins that is next to be read; NONE where that is not to be
    start: Numbers  # where in the buffer the image begins
    exif: Numbers  # where in the buffer its segment APP1 begins; NONE without

    def rows(self, run: slice) -> HeaderBatch:
        """Those of some of the images."""
        return HeaderBatch._make(column[run] for column in self)

    def of(self, n: int) -> ImageFacts | None:
        """The facts of one image, None where it is not plain."""
        if not self.plain[n]:
            return None
        turned = int(self.orientation[n])
        mode = MODES[int(self.layers[n])]
        return ImageFacts(
            int(self.width[n]), int(self.height[n]), mode, "jpeg", None if turned == NONE else turned, None
        )

    def begun(self, n: int, buffer: ReadBuffer) -> Begun | None:
        """How far the header of an image was read, that is longer than what is held and plain so far."""
        if self.left[n] == NONE:
            return None
        named: tuple[tuple[bytes, int, int], ...] = ()
        if self.exif[n] != NONE:
            size = int(buffer.words[self.exif[n]]) >> 32 & 0xFFFF
            named = ((EXIF, int(self.exif[n] - self.start[n]) + 4, size - 2),)
        frame = int(self.bits[n]), int(self.height[n]), int(self.width[n]), int(self.layers[n])
        return Begun(int(self.left[n]), frame, named)


@functools.cache
def _meanings() -> NDArray[np.uint8]:
    import numpy as np

    return np.array([MEANING.get(marker, JUNK) for marker in range(1 << 16)], np.uint8)


class _Walk:
    """How far the headers of many images have been read, a row each."""

    def __init__(self, length: Numbers):
        import numpy as np

        n = len(length)
        self.length = length
        self.ended = np.zeros(n, np.bool_)  # its first scan was found
        self.frame = np.zeros(n, np.int64)  # the last frame: bits, height, width, layers, and two bytes more
        self.exif = np.full(n, NONE)  # where in the buffer the one segment APP1 begins that is EXIF
        self.other = np.zeros(n, np.bool_)  # there are others that are not
        self.odd = np.zeros(n, np.bool_)  # it is not plain
        self.left = np.full(n, NONE)  # where in the image the segment begins that lies beyond what is held

    def go(self, words: Numbers, n: Numbers, start: Numbers, end: Numbers) -> None:
        """Go through images `n`; each of all images lies in the buffer from `start` to `end`."""
        meanings, last, at = _meanings(), end - LEAST, start[n] + 2
        for _ in range(_STEPS):
            if len(n) < _FEW:
                return
            after = words[at].astype("i8")
            meaning = meanings[after >> 48 & 0xFFFF]
            after >>= 32
            after &= 0xFFFF
            after += 2
            after += at
            goes = after <= last[n]
            beyond = n[~goes]
            self.left[beyond] = after[~goes] - start[beyond]
            told = meaning.nonzero()[0]
            if told.size:
                kinds, images = meaning[told], n[told]
                frames = kinds == FRAME
                self.frame[images[frames]] = words[at[told[frames]] + 4]
                named = kinds == APP1
                if named.any():
                    self._name(words, images[named], at[told[named]])
                scans = kinds == SCAN
                scanned = images[scans]
                self.ended[scanned] = after[told[scans]] - start[scanned] <= self.length[scanned]
                stops = kinds > FRAME
                self.left[images[stops]] = NONE
                goes[told[stops]] = False
            n, at = n[goes], after[goes]

    def _name(self, words: Numbers, n: Numbers, at: Numbers) -> None:
        """Remember segments APP1."""
        exif = words[at + 2] & 0xFFFFFFFFFFFF == _EXIF
        self.odd[n[exif & (self.exif[n] != NONE)]] = True  # EXIF in two segments
        self.exif[n[exif]] = at[exif]
        self.other[n[~exif]] = True


def facts_of(buffer: ReadBuffer, start: Numbers, held: Numbers, length: Numbers) -> HeaderBatch:
    """The facts of images of `length` bytes, of which the first `held` lie in the buffer from `start` on."""
    import numpy as np

    walk = _Walk(length)
    end = start + held
    n = np.flatnonzero((held >= 2 + LEAST) & (buffer.words[start] >> 40 & 0xFFFFFF == _JPEG))
    walk.go(buffer.words, n, start, end)
    turned = np.full(len(start), NONE)
    exif = np.flatnonzero(walk.exif != NONE)
    if exif.size:
        turned[exif], plain = _orientations(buffer, walk.exif[exif], end[exif])
        walk.odd[exif[~plain]] = True
    walk.odd |= walk.other & (turned == NONE)  # XMP may say it
    bits, height, width, layers = (walk.frame >> shift & mask for shift, mask in _FRAME_FIELDS)
    known = (bits == 8) & ((layers == 1) | (layers == 3) | (layers == 4))
    sized = (width > 0) & (height > 0) & (width * height <= PIXEL_LIMIT)
    left = np.where(walk.odd | walk.other, NONE, walk.left)
    plain = walk.ended & ~walk.odd & known & sized
    return HeaderBatch(plain, width, height, layers, turned, bits, left, start, walk.exif)


def _orientations(buffer: ReadBuffer, at: Numbers, end: Numbers) -> tuple[Numbers, NDArray[np.bool_]]:
    """(the orientations, which are plain) by the EXIF in segments at these places, held up to `end`."""
    import numpy as np

    words = buffer.words
    size = (words[at] >> 32 & 0xFFFF) - 8  # of the TIFF in the segment
    tiff = at + 10
    end = np.minimum(end, tiff + size)
    head = words[np.minimum(tiff, CAPACITY - 1)].astype(np.int64)
    little = head >> 32 == _LITTLE
    plain = (little | (head >> 32 == _BIG)) & (tiff + 8 <= end)
    directory = tiff + _ordered(head & 0xFFFFFFFF, little, 4)
    plain &= directory + 2 <= end
    directory[~plain] = 0
    entries = _ordered(words[directory] >> 48 & 0xFFFF, little, 2)
    plain &= (entries <= _ENTRIES) & (directory + 2 + 12 * entries <= end)
    entries[~plain] = 0
    numbers = np.arange(max(int(entries.max(initial=0)), 1))
    places = np.where(numbers < entries[:, None], directory[:, None] + 2 + 12 * numbers, 0)
    tags = _ordered(words[places] >> 48 & 0xFFFF, little[:, None], 2)
    found = (tags == ORIENTATION) & (numbers < entries[:, None])
    there = found.any(axis=1)
    place = places[np.arange(len(at)), found.argmax(axis=1)]
    kind = _ordered(words[place] >> 32 & 0xFFFF, little, 2)
    count = _ordered(words[place] & 0xFFFFFFFF, little, 4)
    number = _ordered(words[place + 8 * there] >> 48 & 0xFFFF, little, 2)
    plain &= ~there | ((kind == _SHORT) & (count == 1) & (number < 1 << 15))
    return np.where(there & plain, number, NONE), plain


def _ordered(number: Numbers, little: NDArray[np.bool_], size: int) -> Numbers:
    """Numbers of `size` bytes that were read with the first byte the highest, those that are `little` turned round."""
    import numpy as np

    number = number.astype(np.int64)
    turned = number.astype(np.uint16 if size == 2 else np.uint32).byteswap()
    return np.where(little, turned, number)
