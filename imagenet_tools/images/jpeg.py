r"""Read the facts of a JPEG or PNG from its first bytes: size, mode, encoding, EXIF orientation.

A JPEG (ITU-T T.81, annex B) is read from segment to segment up to its first scan; nothing is decoded:

    FF D8                                   start of image
    FF E1 len "Exif\0\0" TIFF ...           application segments: JFIF, EXIF, XMP, ICC, Photoshop
    FF DB len ..., FF C4 len ...            tables
    FF C0 len bits height width layers ...  the frame: C0 to CF without C4, C8 and CC
    FF DA len ...                           the first scan, where the header ends

A PNG begins 89 "PNG" 0D 0A 1A 0A and continues in chunks `length type payload crc`. The first is IHDR: width height
bits colour.

At most 64 KiB are read, in windows of 2 KiB. Behind these, only the first 10 bytes of each segment are read, up to a
bound.
"""

from __future__ import annotations

import os
import re
import struct
import zlib
from collections.abc import Callable
from typing import NamedTuple

# more(offset, n) returns n bytes at an offset from the image's beginning; fewer only at the end of the image.
More = Callable[[int, int], bytes]


def reader_at(fd: int, start: int) -> More:
    """Return a function that reads n bytes at an offset from byte `start` of an open file."""
    return lambda offset, n: os.pread(fd, n, start + offset)


def reader_of(data: bytes) -> More:
    """Return a function that returns n bytes of `data` at an offset."""
    return lambda offset, n: data[offset : offset + n]


_WINDOW_BYTES = 2048
_MAX_READ_BYTES = 64 << 10
_MAX_SEGMENTS = 5120
MIN_SEGMENT_BYTES = 10  # marker, size, and the first bytes of a frame or of the name of an APP1 segment

_JPEG = b"\xff\xd8\xff"
_PNG = b"\x89PNG\r\n\x1a\n"

SKIP = 0
APP1 = 1
FRAME = 2
BARE = 3
JUNK = 4
SCAN = 5
ILLEGAL = 6


def _meaning(code: int) -> int:
    """Return what to do at marker FF `code`."""
    if code in {0xC4, 0xCC, 0xDB, 0xDC, 0xDD, 0xDF, 0xFE} or 0xE0 <= code <= 0xEF:
        return APP1 if code == 0xE1 else SKIP
    if code == 0xFF:
        return JUNK  # fill bytes
    if code == 0xDA:
        return SCAN
    if (0xC0 <= code <= 0xCF and code != 0xC8) or code == 0xDE:
        return FRAME
    # Restarts, ends of image and reserved codes have no payload. Readers skip them, and an escaped FF.
    return BARE if code >= 0xC0 or code == 0 else ILLEGAL


MARKER_MEANINGS = {0xFF00 + code: _meaning(code) for code in range(256)}
_SKIPPED = frozenset(marker for marker, meaning in MARKER_MEANINGS.items() if meaning == SKIP)
MODES = {1: "L", 3: "RGB", 4: "CMYK"}
_PNG_MODES = {
    (1, 0): "1", (2, 0): "L", (4, 0): "L", (8, 0): "L", (16, 0): "I;16", (8, 2): "RGB", (16, 2): "RGB",
    (1, 3): "P", (2, 3): "P", (4, 3): "P", (8, 3): "P", (8, 4): "LA", (16, 4): "RGBA", (8, 6): "RGBA", (16, 6): "RGBA",
}  # fmt: skip

_segment = struct.Struct(">HH").unpack_from
_frame = struct.Struct(">BHHB").unpack_from
_BYTE_ORDERS = {b"II*\0": "<", b"MM\0*": ">", b"II\0*": "<", b"MM*\0": ">"}  # two of TIFF, two that some write
_ihdr = struct.Struct(">8sLLBBBBBL").unpack_from
_chunk = struct.Struct(">L4s").unpack_from
# A marker is FF and a byte that is not FF; bytes before it are junk or fill.
_find_marker = re.compile(rb"\xff(?!\xff)").search
ORIENTATION = 0x0112
# TIFF type: bytes of a value.
_TIFF_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8}
_INTEGER_FORMATS = {3: "H", 4: "L", 8: "h", 9: "l"}
EXIF = b"Exif\0\0"
_XMP = b"http://ns.adobe.com/xap/1.0/\0"
_find_xmp_orientation = re.compile(rb'tiff:Orientation(?:="|>)([0-9])').search


class ImageFacts(NamedTuple):
    """The facts that an image's header states; None for those that it does not."""

    width: int | None  # pixels of the raster as stored
    height: int | None
    mode: str | None  # Pillow's mode
    encoding: str | None  # jpeg, png, gif, bmp, tiff, webp or ppm
    orientation: int | None  # EXIF tag as written, 1 to 8 if valid; -1 if it is no whole number of 0 to 32,767
    problem: str | None  # a code of imagenet_tools.images.probe.PROBLEMS


class _Bytes:
    """The bytes of an image at any offset, up to a limit of bytes read."""

    def __init__(self, head: bytes, length: int, more: More):
        self.head, self.length = head, length
        self._more = more
        self._left = _MAX_READ_BYTES

    def at(self, offset: int, n: int) -> bytes:
        """Return n bytes at an offset; fewer at the end of the image, and beyond the limit."""
        if offset + n <= len(self.head):
            return self.head[offset : offset + n]
        n = min(n, self.length - offset, max(self._left, MIN_SEGMENT_BYTES))
        if n <= 0:
            return b""
        self._left -= n
        return self._more(offset, n)

    def window(self, offset: int) -> bytes:
        """Return a window of bytes from an offset on; beyond the limit only MIN_SEGMENT_BYTES."""
        return self.at(offset, _WINDOW_BYTES if self._left >= _WINDOW_BYTES else MIN_SEGMENT_BYTES)


def facts(head: bytes, length: int, more: More) -> ImageFacts | None:
    """Return the facts of a JPEG or PNG of `length` bytes that begins with `head`; None for any other image.

    `more(offset, n)` returns bytes behind `head`. Width, height, mode and orientation are Pillow's for every image
    that Pillow opens. The orientation of a JPEG is that of EXIF, else of XMP; that of a PNG is in its eXIf chunk.
    """
    source = _Bytes(head[:length], length, more)
    first = head[: len(_PNG)] if len(head) >= len(_PNG) else source.at(0, len(_PNG))
    if first[:3] == _JPEG or first == _JPEG[:2]:
        return _jpeg(source)
    return _png(source) if first == _PNG else None


def _jpeg(source: _Bytes) -> ImageFacts:
    place = 2
    frame: tuple[int, int, int, int] | None = None
    app1: list[tuple[bytes, int, int]] = []  # first 6 bytes, offset and size of the payloads of APP1
    window, base = source.head, 0
    last = len(window) - MIN_SEGMENT_BYTES  # the last place where the window holds enough of a segment
    for _ in range(_MAX_SEGMENTS):
        if place <= last:
            marker, size = _segment(window, place - base)
            if marker in _SKIPPED:  # most segments
                place += 2 + size
                continue
        elif base + len(window) < source.length:
            window, base = source.window(place), place
            last = base + len(window) - MIN_SEGMENT_BYTES
        at = place - base
        if at + 4 > len(window):
            problem: str | None = "cut_short"
            break
        marker, size = _segment(window, at)
        meaning = MARKER_MEANINGS.get(marker, JUNK)
        if meaning <= FRAME:
            if meaning == FRAME and place <= last:
                frame = _frame(window, at + 4)
            elif meaning == APP1:
                app1.append((window[at + 4 : at + 10], place + 4, size - 2))
            place += 2 + size
        elif meaning >= SCAN:
            whole = place + 2 + size <= source.length
            problem = "damaged" if meaning == ILLEGAL else None if whole else "cut_short"
            break
        elif meaning == BARE:
            place += 2
        else:
            match = _find_marker(window, at + 1)
            place = base + (match.start() if match else len(window))
    else:
        problem = "header_too_long"
    return _jpeg_facts(frame, _jpeg_orientation(source, app1) if app1 else None, problem)


def _jpeg_facts(frame: tuple[int, int, int, int] | None, orientation: int | None, problem: str | None) -> ImageFacts:
    bits, height, width, layers = frame or (0, 0, 0, 0)
    # A height of 0 would follow the first scan. No image has that, and Pillow refuses it.
    if not (width and height):
        return ImageFacts(None, None, None, "jpeg", orientation, problem or "no_size")
    mode = MODES.get(layers) if bits == 8 else None
    return ImageFacts(width, height, mode, "jpeg", orientation, "unsupported" if mode is None else problem)


def _jpeg_orientation(source: _Bytes, app1: list[tuple[bytes, int, int]]) -> int | None:
    """Return the orientation in APP1 segments (first bytes, offset, size): that of EXIF, else of XMP."""
    exif = [(start + 6, size - 6) for name, start, size in app1 if name == EXIF and size >= 6]
    orientation = _exif_orientation(source, exif) if exif else None
    if orientation is not None:
        return orientation
    for name, start, size in reversed(app1):
        if name == _XMP[:6] and source.at(start, len(_XMP)) == _XMP:
            match = _find_xmp_orientation(source.at(start, size))
            return int(match[1]) if match else None
    return None


def _exif_orientation(source: _Bytes, parts: list[tuple[int, int]]) -> int | None:
    """Return the orientation in EXIF data, a TIFF whose bytes are at these (offset, size), in this order."""

    def at(offset: int, n: int) -> bytes:
        data = b""
        for start, size in parts:
            skip = min(offset, size)
            data += source.at(start + skip, min(n - len(data), size - skip))
            offset -= skip
        return data

    head = at(0, 14)
    lead = len(EXIF) if head.startswith(EXIF) else 0  # some writers repeat it
    order = _BYTE_ORDERS.get(head[lead : lead + 4])
    if order is None or len(head) < lead + 8:
        return None
    directory = lead + int(struct.unpack_from(order + "L", head, lead + 4)[0])
    count = at(directory, 2)
    if len(count) < 2:
        return None
    entries = at(directory + 2, 12 * int(struct.unpack(order + "H", count)[0]))
    whole = sum(size for _, size in parts) - lead
    for tag, kind, n, value in struct.iter_unpack(order + "HHL4s", entries[: len(entries) // 12 * 12]):
        unit = _TIFF_BYTES.get(kind, 0)
        if tag != ORIENTATION or not 0 < n * unit <= whole:
            continue
        first = value
        if n * unit > 4:
            place = int(struct.unpack(order + "L", value)[0])
            first = at(lead + place, unit) if place + n * unit <= whole else b""
        if len(first) >= unit:
            number_format = _INTEGER_FORMATS.get(kind)
            number = int(struct.unpack_from(order + number_format, first)[0]) if number_format else -1
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
    """Return (orientation, problem) of the chunks from `place` to the first with pixels."""
    orientation = None
    for _ in range(_MAX_SEGMENTS):
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
