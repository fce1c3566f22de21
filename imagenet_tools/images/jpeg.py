r"""The facts of an image from its first bytes, JPEG and PNG: size, mode, encoding, EXIF orientation.

A JPEG (ITU-T T.81, annex B) is read from segment to segment up to its first scan; nothing is decoded:

    FF D8                                   start of image
    FF E1 len "Exif\0\0" TIFF ...           application segments: JFIF, EXIF, XMP, ICC, Photoshop
    FF DB len ..., FF C4 len ...            tables
    FF C0 len bits height width layers ...  the frame: C0 to CF without C4, C8 and CC
    FF DA len ...                           the first scan, where the header ends

A PNG begins 89 "PNG" 0D 0A 1A 0A and goes on in chunks `length type payload crc`, IHDR first: width height bits colour.

At most 64 KiB are read, in windows of 2 KiB; a header that is longer is hopped over segment by segment, up to a bound.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable
from typing import NamedTuple

# (offset, n): n bytes at an offset from the image's beginning, fewer only where the image ends.
More = Callable[[int, int], bytes]

WINDOW = 2048
_READ_LIMIT = 64 << 10
_STEP_LIMIT = 5120
LEAST = 10  # bytes of a segment that tell what it is: marker, size, and the beginning of a frame or a name

_JPEG = b"\xff\xd8\xff"
_PNG = b"\x89PNG\r\n\x1a\n"

SKIP, APP1, FRAME, BARE, JUNK, SCAN, ILLEGAL = range(7)


def _meaning(code: int) -> int:
    """What to do at marker FF `code`."""
    if code in {0xC4, 0xCC, 0xDB, 0xDC, 0xDD, 0xDF, 0xFE} or 0xE0 <= code <= 0xEF:
        return APP1 if code == 0xE1 else SKIP
    if code == 0xFF:
        return JUNK  # fill bytes
    if code == 0xDA:
        return SCAN
    if (0xC0 <= code <= 0xCF and code != 0xC8) or code == 0xDE:
        return FRAME
    # Restarts, image ends and reserved codes stand alone; readers pass over them, and over an escaped FF.
    return BARE if code >= 0xC0 or code == 0 else ILLEGAL


MEANING = {0xFF00 + code: _meaning(code) for code in range(256)}
_SKIPPED = frozenset(marker for marker, meaning in MEANING.items() if meaning == SKIP)  # most segments: passed at once
MODES = {1: "L", 3: "RGB", 4: "CMYK"}
_PNG_MODES = {
    (1, 0): "1", (2, 0): "L", (4, 0): "L", (8, 0): "L", (16, 0): "I;16", (8, 2): "RGB", (16, 2): "RGB",
    (1, 3): "P", (2, 3): "P", (4, 3): "P", (8, 3): "P", (8, 4): "LA", (16, 4): "RGBA", (8, 6): "RGBA", (16, 6): "RGBA",
}  # fmt: skip

_segment = struct.Struct(">HH").unpack_from
_frame = struct.Struct(">BHHB").unpack_from
_ORDERS = {b"II*\0": "<", b"MM\0*": ">", b"II\0*": "<", b"MM*\0": ">"}  # two as TIFF says, two as some write it
_ihdr = struct.Struct(">8sLLBBBBBL").unpack_from
_chunk = struct.Struct(">L4s").unpack_from
# A marker begins with FF and goes on with anything but FF; what stands before it is junk or fill.
_A_MARKER = re.compile(rb"\xff(?!\xff)").search
ORIENTATION = 0x0112
# Bytes of a value, by TIFF type.
_TIFF_UNITS = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8}
_WHOLE_NUMBERS = {3: "H", 4: "L", 8: "h", 9: "l"}
EXIF = b"Exif\0\0"
_XMP = b"http://ns.adobe.com/xap/1.0/\0"
_XMP_ORIENTATION = re.compile(rb'tiff:Orientation(?:="|>)([0-9])').search


class ImageFacts(NamedTuple):
    """What an image's header says; None for what it does not.

    `width` and `height` are pixels of the raster as stored, `mode` is Pillow's, `encoding` is jpeg, png, gif, bmp,
    tiff, webp or ppm. `orientation` is the EXIF tag as written, 1 to 8 where valid; -1 where what is written is no
    whole number of 0 to 32,767. `problem` is a code of imagenet_tools.images.probe.PROBLEMS.
    """

    width: int | None
    height: int | None
    mode: str | None
    encoding: str | None
    orientation: int | None
    problem: str | None


class Begun(NamedTuple):
    """How far a header has been read already."""

    place: int = 2  # where its next segment begins
    frame: tuple[int, int, int, int] | None = None  # bits, height, width and layers of the last frame
    named: tuple[tuple[bytes, int, int], ...] = ()  # (first 6 bytes, offset, size) of the payloads of APP1


class _Bytes:
    """The bytes of an image at any offset, as many as may be read of it."""

    def __init__(self, head: bytes, length: int, more: More):
        self.head, self.length = head, length
        self._more = more
        self._left = _READ_LIMIT

    def at(self, offset: int, n: int) -> bytes:
        """n bytes from an offset; fewer where the image ends, and where no more may be read."""
        if offset + n <= len(self.head):
            return self.head[offset : offset + n]
        n = min(n, self.length - offset, max(self._left, LEAST))
        if n <= 0:
            return b""
        self._left -= n
        return self._more(offset, n)

    def window(self, offset: int) -> bytes:
        """The bytes from an offset on: a window of them, or the fewest that tell a segment's kind and size."""
        return self.at(offset, WINDOW if self._left >= WINDOW else LEAST)


def facts(head: bytes, length: int, more: More, begun: Begun | None = None) -> ImageFacts | None:
    """The facts of a JPEG or a PNG of `length` bytes that begins with `head`; None where it is neither.

    `more(offset, n)` is asked for what lies beyond `head`. Width, height, mode and orientation are what Pillow says
    wherever Pillow opens the image; the orientation of a JPEG is EXIF's, else XMP's, that of a PNG its eXIf chunk's.
    A JPEG may have been `begun`.
    """
    source = _Bytes(head[:length], length, more)
    first = head[: len(_PNG)] if len(head) >= len(_PNG) else source.at(0, len(_PNG))
    if first[:3] == _JPEG or first == _JPEG[:2]:
        return _jpeg(source, begun or Begun())
    return _png(source) if first == _PNG else None


def _jpeg(source: _Bytes, begun: Begun) -> ImageFacts:
    place, frame, named = begun.place, begun.frame, list(begun.named)
    window, base = source.head, 0
    full = len(window) - LEAST  # the last place at which the window holds enough of a segment
    for _ in range(_STEP_LIMIT):
        if place <= full:
            marker, size = _segment(window, place - base)
            if marker in _SKIPPED:
                place += 2 + size
                continue
        elif base + len(window) < source.length:
            window, base = source.window(place), place
            full = base + len(window) - LEAST
        at = place - base
        if at + 4 > len(window):
            problem: str | None = "cut_short"
            break
        marker, size = _segment(window, at)
        meaning = MEANING.get(marker, JUNK)
        if meaning <= FRAME:
            if meaning == FRAME and place <= full:
                frame = _frame(window, at + 4)
            elif meaning == APP1:
                named.append((window[at + 4 : at + 10], place + 4, size - 2))
            place += 2 + size
        elif meaning >= SCAN:
            problem = "damaged" if meaning == ILLEGAL else None if place + 2 + size <= source.length else "cut_short"
            break
        elif meaning == BARE:
            place += 2
        else:
            found = _A_MARKER(window, at + 1)
            place = base + (found.start() if found else len(window))
    else:
        problem = "header_too_long"
    return _jpeg_facts(frame, _jpeg_orientation(source, named) if named else None, problem)


def _jpeg_facts(frame: tuple[int, int, int, int] | None, orientation: int | None, problem: str | None) -> ImageFacts:
    if frame is None:
        return ImageFacts(None, None, None, "jpeg", orientation, problem or "no_size")
    bits, height, width, layers = frame
    if not (width and height):  # a height of 0 is to follow the first scan, which nobody writes and Pillow refuses
        return ImageFacts(None, None, None, "jpeg", orientation, problem or "no_size")
    mode = MODES.get(layers) if bits == 8 else None
    return ImageFacts(width, height, mode, "jpeg", orientation, "unsupported" if mode is None else problem)


def _jpeg_orientation(source: _Bytes, segments: list[tuple[bytes, int, int]]) -> int | None:
    """The orientation in APP1 segments, each given as (first bytes, offset, size): EXIF's, else XMP's."""
    exif = [(start + 6, size - 6) for name, start, size in segments if name == EXIF and size >= 6]
    found = _exif_orientation(source, exif) if exif else None
    if found is not None:
        return found
    for name, start, size in reversed(segments):
        if name == _XMP[:6] and source.at(start, len(_XMP)) == _XMP:
            said = _XMP_ORIENTATION(source.at(start, size))
            return int(said[1]) if said else None
    return None


def _exif_orientation(source: _Bytes, parts: list[tuple[int, int]]) -> int | None:
    """The orientation in EXIF data, a TIFF whose bytes lie in these (offset, size) one after the other."""

    def at(offset: int, n: int) -> bytes:
        data = b""
        for start, size in parts:
            skip = min(offset, size)
            data += source.at(start + skip, min(n - len(data), size - skip))
            offset -= skip
        return data

    head = at(0, 14)
    lead = len(EXIF) if head.startswith(EXIF) else 0  # some writers say it twice
    order = _ORDERS.get(head[lead : lead + 4])
    if order is None or len(head) < lead + 8:
        return None
    directory = lead + int(struct.unpack_from(order + "L", head, lead + 4)[0])
    count = at(directory, 2)
    if len(count) < 2:
        return None
    entries = at(directory + 2, 12 * int(struct.unpack(order + "H", count)[0]))
    whole = sum(size for _, size in parts) - lead
    for tag, kind, n, value in struct.iter_unpack(order + "HHL4s", entries[: len(entries) // 12 * 12]):
        unit = _TIFF_UNITS.get(kind, 0)
        if tag != ORIENTATION or not 0 < n * unit <= whole:
            continue
        first = value
        if n * unit > 4:
            where = int(struct.unpack(order + "L", value)[0])
            first = at(lead + where, unit) if where + n * unit <= whole else b""
        form = _WHOLE_NUMBERS.get(kind)
        if len(first) >= unit:
            number = int(struct.unpack_from(order + form, first)[0]) if form else -1
            return number if 0 <= number < 1 << 15 else -1
    return None


def _png(source: _Bytes) -> ImageFacts:
    chunk = source.at(len(_PNG), 25)
    if len(chunk) < 25:
        return ImageFacts(None, None, None, "png", None, "cut_short")
    kind, width, height, bits, colour, _, filters, _, crc = _ihdr(chunk)
    if kind != b"\0\0\0\x0dIHDR" or zlib.crc32(chunk[4:21]) != crc:
        return ImageFacts(None, None, None, "png", None, "damaged")
    mode = _PNG_MODES.get((bits, colour)) if filters == 0 else None
    orientation, problem = _png_chunks(source, len(_PNG) + 25)
    if not (0 < width < 1 << 31 and 0 < height < 1 << 31):
        return ImageFacts(None, None, None, "png", orientation, "no_size")
    return ImageFacts(width, height, mode, "png", orientation, "unsupported" if mode is None else problem)


def _png_chunks(source: _Bytes, place: int) -> tuple[int | None, str | None]:
    """(orientation, problem) of the chunks from here to the first of the image's data."""
    orientation = None
    for _ in range(_STEP_LIMIT):
        head = source.at(place, 8)
        if len(head) < 8:
            return orientation, "cut_short"
        size, kind = _chunk(head)
        if kind == b"IDAT":
            return orientation, None
        if kind == b"eXIf":
            orientation = _exif_orientation(source, [(place + 8, size)])
        if kind == b"IEND" or not kind.isalnum():
            return orientation, "damaged"
        place += 12 + size
    return orientation, "header_too_long"
