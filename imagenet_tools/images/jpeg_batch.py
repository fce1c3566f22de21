"""The facts of many JPEGs at once: all are read from segment to segment in step, those that are plain to the end.

What is not plain is left to `probe`, image by image: what is no JPEG, fill bytes and restarts between segments, XMP
that may say the orientation, EXIF in another spelling than cameras write, and all that is wrong.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from imagenet_tools.containers.read_buffer import CAPACITY, read_buffer
from imagenet_tools.images.jpeg import APP1, FRAME, JUNK, LEAST, MEANING, MODES, ORIENTATION, SCAN, WINDOW, Facts
from imagenet_tools.images.probe import PIXEL_LIMIT

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from imagenet_tools.containers.read_buffer import ReadBuffer

    Numbers = NDArray[np.int64]

# (number of an image, offset, n): n bytes at an offset from the image's beginning, or what lies there behind its end.
Read = Callable[[int, int, int], bytes]

_STEPS = 100  # segments of a header that is plain
_ROUNDS = 3  # windows beyond the first bytes, likewise
_FEW = 16  # fewer images than these are no faster together
_ENTRIES = 64  # of an EXIF directory, likewise
NONE = -1

_JPEG = 0xFFD8FF
_EXIF = int.from_bytes(b"Exif\0\0", "big")
_LITTLE, _BIG = 0x49492A00, 0x4D4D002A  # the beginning of a TIFF, its numbers' lowest byte first, or their highest
_SHORT = 3  # the TIFF type of a number of two bytes
_FRAME_FIELDS = ((56, 0xFF), (40, 0xFFFF), (24, 0xFFFF), (16, 0xFF))  # of its first eight bytes: shift, mask


class Told(NamedTuple):
    """What the headers of many images say; a row each. Where `plain` is false, the row says nothing."""

    plain: NDArray[np.bool_]
    width: Numbers  # pixels
    height: Numbers
    layers: Numbers
    orientation: Numbers  # as jpeg.Facts has it, NONE for none

    def rows(self, run: slice) -> Told:
        """Those of some of the images."""
        return Told(self.plain[run], self.width[run], self.height[run], self.layers[run], self.orientation[run])

    def of(self, n: int) -> Facts | None:
        """The facts of one image, None where it is not plain."""
        if not self.plain[n]:
            return None
        turned = int(self.orientation[n])
        mode = MODES[int(self.layers[n])]
        return Facts(int(self.width[n]), int(self.height[n]), mode, "jpeg", None if turned == NONE else turned, None)


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

    def go(self, words: Numbers, n: Numbers, at: Numbers, start: Numbers, end: Numbers) -> None:
        """Go on with images `n` from the segments that begin at `at` in the buffer.

        For each of all images, it begins at `start` there, and its bytes are there up to `end`.
        """
        meanings, last = _meanings(), end - LEAST
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


def facts_of(buffer: ReadBuffer, start: Numbers, held: Numbers, length: Numbers, read: Read) -> Told:
    """The facts of images of `length` bytes, of which the first `held` lie in the buffer from `start` on."""
    import numpy as np

    walk = _Walk(length)
    end = start + held
    n = np.flatnonzero((held >= 2 + LEAST) & (buffer.words[start] >> 40 & 0xFFFFFF == _JPEG))
    walk.go(buffer.words, n, start[n] + 2, start, end)
    turned = np.full(len(start), NONE)
    exif = np.flatnonzero(walk.exif != NONE)
    if exif.size:
        turned[exif], plain = _orientations(buffer, walk.exif[exif], end[exif])
        walk.odd[exif[~plain]] = True
    walk.odd |= walk.other & (turned == NONE)  # XMP may say it
    _go_on(walk, held, read)
    bits, height, width, layers = (walk.frame >> shift & mask for shift, mask in _FRAME_FIELDS)
    known = (bits == 8) & ((layers == 1) | (layers == 3) | (layers == 4))
    sized = (width > 0) & (height > 0) & (width * height <= PIXEL_LIMIT)
    return Told(walk.ended & ~walk.odd & known & sized, width, height, layers, turned)


def _go_on(walk: _Walk, held: Numbers, read: Read) -> None:
    """Read on in the headers that are longer than what is held, window by window."""
    import numpy as np

    for _ in range(_ROUNDS):
        n = np.flatnonzero((walk.left != NONE) & ~walk.odd & (walk.left + LEAST < walk.length) & (held < walk.length))
        if len(n) < _FEW:
            return
        with read_buffer() as buffer:
            n = n[: CAPACITY // WINDOW]
            place = walk.left[n]
            walk.left[n] = NONE
            start, end = np.zeros((2, len(held)), np.int64)
            at = np.arange(len(n)) * WINDOW
            start[n] = at - place
            for row, (image, offset) in enumerate(zip(n.tolist(), place.tolist(), strict=True)):
                data = read(image, offset, WINDOW)
                buffer.raw[row * WINDOW : row * WINDOW + len(data)] = data
                end[image] = row * WINDOW + len(data)
            end = np.minimum(end, start + walk.length)
            told = at + LEAST <= end[n]
            named = walk.exif.copy(), walk.other.copy()
            walk.go(buffer.words, n[told], at[told], start, end)
            # EXIF that comes so late lies in a buffer that is gone.
            walk.odd |= (walk.exif != named[0]) | (walk.other != named[1])


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
