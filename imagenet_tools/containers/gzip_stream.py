"""Gzip streams that are read in their middle, by the seek points that one pass from the front leaves behind.

A seek point says where in the compressed bytes a place of the stream begins, and holds the 32 KiB before it, from which
inflating goes on: so a read costs what lies between the point before it and its end. indexed_gzip makes the points and
reads by them; it has no other user here. Its file of points, little-endian, which is made anew of those that a read
needs:

    "GZIDX"  version u8  flags u8  compressed size u64  stream's size u64  spacing u32  window u32  number of points u32
    a point: compressed offset u64  position in the stream u64  bits of the byte before u8  has a window u8
    the windows
"""

from __future__ import annotations

import contextlib
import io
import struct
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from imagenet_tools.errors import FormatError, SourceError

if TYPE_CHECKING:
    from typing_extensions import Buffer

_HEAD = struct.Struct("<5sBBQQIII")
_POINT = struct.Struct("<QQBB")
_MAGIC, _VERSION = b"GZIDX", 1
_WINDOW = 32 << 10

# Bytes of the stream between two points: half of it is inflated for an image on average. A point costs 32 KiB, so for
# huge streams they are farther apart, that there be no more than so many.
_SPACING = 4 << 20
_MOST = 1 << 14

# Bytes of the stream that are inflated at a time, for who reads on and for who reads one image; compressed ones.
_AHEAD, _SMALL = 256 << 20, 64 << 10
_READ_AT_ONCE = 1 << 20

# What indexed_gzip raises on bad bytes, and its base where a read gives less than nothing.
_ERRORS = (OSError, EOFError, ValueError)

# (offset, n): n of the compressed bytes, fewer only where they end.
Read = Callable[[int, int], bytes]


class Point(NamedTuple):
    """A seek point: `position` in the stream, `offset` in the compressed bytes, with `bits` of the byte before it."""

    position: int
    offset: int
    bits: int
    window: bytes | None  # the 32 KiB of the stream before it; None where the stream begins anew


class Stream:
    """A gzip stream of `size` compressed bytes that `read` gives: read from the front, or by points from the middle.

    It inflates from the point before to what is asked for each time, so who reads on and on reads far `ahead`.
    """

    def __init__(self, read: Read, size: int, *, label: str, points: tuple[Point, ...] = (), ahead: bool = True):
        self._label = label
        self.damage = ""  # what was met while reading far ahead, in words: a wrong checksum, perhaps
        self.spacing = max(_SPACING, size // _MOST)  # bytes of the stream between two points
        raw = io.BufferedReader(_Compressed(read, size), _READ_AT_ONCE)
        buffer = min(4 * self.spacing, _AHEAD) if ahead else _SMALL
        self._file: Any = _library(label).IndexedGzipFile(
            fileobj=raw, spacing=self.spacing, window_size=_WINDOW, buffer_size=buffer
        )
        if points:
            self._file.import_index(fileobj=io.BytesIO(_packed(points, size, self.spacing)))

    def read(self, position: int, n: int) -> bytes:
        """`n` bytes of the stream from a position on, fewer where it ends; FormatError where it is damaged."""
        try:
            return _exactly(self._file, position, n)
        except _ERRORS:
            # What lies ahead is damaged: what was asked for may not be.
            self.damage = f"{self._label}: the compressed stream is damaged behind byte {position:,}: fetch it again."
            try:
                return _exactly(self._file.raw, position, n)
            except _ERRORS as error:
                message = f"{self._label}: the compressed stream is damaged near byte {position:,}: fetch it again."
                raise FormatError(message, code="gzip_damaged") from error

    def points(self) -> Iterator[Point]:
        """The points of the whole stream, by position; where it is damaged, of what comes before the break."""
        with contextlib.suppress(*_ERRORS):
            self._file.build_full_index()
        out = io.BytesIO()
        self._file.export_index(fileobj=out)
        packed = out.getbuffer()
        number = _HEAD.unpack_from(packed)[-1]
        if not number:  # a short stream may have none, and is read from its front
            yield Point(0, 0, 0, None)
        place = _HEAD.size + number * _POINT.size
        for n in range(number):
            offset, position, bits, has_window = _POINT.unpack_from(packed, _HEAD.size + n * _POINT.size)
            window = bytes(packed[place : place + _WINDOW]) if has_window else None
            place += _WINDOW if has_window else 0
            yield Point(position, offset, bits, window)

    def close(self) -> None:
        """Let go of the stream."""
        self._file.close()


def _exactly(file: Any, position: int, n: int) -> bytes:
    file.seek(position)
    data: bytes = file.read(n)
    while 0 < len(data) < n and (more := file.read(n - len(data))):
        data += more
    return data


def _library(label: str) -> Any:
    try:
        import indexed_gzip
    except ModuleNotFoundError:
        message = (
            f"{label} holds its images in one gzip stream, and reading in its middle needs indexed_gzip, which is not "
            "installed: pip install 'imagenet-tools[gzip]'. Or gunzip it once, and index the tar: its images are then "
            "read at once, and without any other library."
        )
        raise SourceError(message) from None
    return indexed_gzip


def _packed(points: tuple[Point, ...], size: int, spacing: int) -> bytes:
    head = _HEAD.pack(_MAGIC, _VERSION, 0, size, 0, spacing, _WINDOW, len(points))
    packed = [_POINT.pack(one.offset, one.position, one.bits, one.window is not None) for one in points]
    return b"".join((head, *packed, *(one.window for one in points if one.window is not None)))


class _Compressed(io.RawIOBase):
    """The compressed bytes as a file that seeks, wherever they lie."""

    def __init__(self, read: Read, size: int):
        self._read, self._size, self._place = read, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._size}[whence]
        self._place = max(start + offset, 0)
        return self._place

    def readinto(self, buffer: Buffer) -> int:
        view = memoryview(buffer)
        data = self._read(self._place, max(0, min(len(view), self._size - self._place)))
        view[: len(data)] = data
        self._place += len(data)
        return len(data)
