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
import hashlib
import io
import os
import struct
import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from imagenet_tools.errors import FormatError, SourceError
from imagenet_tools.schema import arrow_schema

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pyarrow as pa
    from typing_extensions import Buffer

    from imagenet_tools.storage.blob import Descriptors
    from imagenet_tools.units import Unit


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


class GzipStream:
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


# ---- The table seek_points: how a scan fills it, and how an image in a gzip stream is read back by it.


# Streams that are kept open, each with a window or two and its buffers.
_STREAMS = 8


def point_rows(unit: Unit, stream: GzipStream, *, start: int, size: int) -> pa.RecordBatch:
    """The rows that a scan of a unit leaves; `start` and `size` say where in the file its stream lies, bytes."""
    import pyarrow as pa

    same = {"source": unit.source, "file": unit.file, "member": unit.member or None, "unit": unit.key}
    rows = [same | {"start": start, "size": size} | point._asdict() for point in stream.points()]
    return pa.RecordBatch.from_pylist(rows, schema=arrow_schema("seek_points"))


def part_of(source: str, file: str) -> str:
    """The part of the table that holds the points of a file."""
    return hashlib.sha256(f"{source}\0{file}".encode()).hexdigest()[:16]


class _Open(NamedTuple):
    stream: GzipStream
    begin: int  # of the stretch that it is good for, in the stream
    end: float
    ahead: bool  # whether it reads far ahead
    lock: threading.Lock


class Streams:
    """The streams that were read last, kept open: images that are read in their order are inflated once."""

    def __init__(self, files: Descriptors):
        self._files = files
        self._open: OrderedDict[tuple[int, str, int], tuple[_Open, int]] = (
            OrderedDict()
        )  # and where the last read ended
        self._tables: dict[Path, _Points] = {}
        self._lock = threading.Lock()

    def read(self, path: Path, points: Path, *, member: str | None, position: int, length: int) -> bytes:
        """`length` bytes from a position of the stream on that lies in a file, by the points of that file."""
        table = self._tables.get(points) or self._tables.setdefault(points, _Points(points))
        rows = table.rows_of(member)
        # A process that was forked opens streams of its own: those of its parent may be locked, for ever.
        key = (os.getpid(), str(path), rows[0].start)
        found, last = self._open.get(key, (None, 0))
        near = found is not None and abs(position - last) < found.stream.spacing
        if found is None or not found.begin <= position < found.end or (near and not found.ahead):
            found = self._at(path, table, rows, position, ahead=near)
        with self._lock:
            self._open[key] = found, position + length
            self._open.move_to_end(key)
            if len(self._open) > _STREAMS:
                self._open.popitem(last=False)
        with found.lock:
            data = found.stream.read(position, length)
        if len(data) < length:
            found_bytes = f"{len(data):,} bytes from byte {position:,} of its stream on"
            raise self._files.changed(path, found_bytes, f"{length:,}")
        return data

    def _at(self, path: Path, table: _Points, rows: Sequence[_Row], position: int, *, ahead: bool) -> _Open:
        n = max(0, bisect_right(rows, position, key=lambda row: row.position) - 1)
        row = rows[n]
        compressed = partial(_range, self._files, path, row.start)
        needed = (table.point(rows[0]), table.point(row)) if n else ()
        stream = GzipStream(compressed, row.size, label=str(path), points=needed, ahead=ahead)
        end = rows[n + 1].position if n + 1 < len(rows) and not ahead else float("inf")
        return _Open(stream, row.position, end, ahead, threading.Lock())


def _range(files: Descriptors, path: Path, start: int, offset: int, n: int) -> bytes:
    return files.read(path, start + offset, n)


class _Row(NamedTuple):
    place: int  # the row's number in the file
    member: str | None
    start: int
    size: int
    position: int


class _Points:
    """A file of the table: its numbers at hand, its windows read when they are wanted."""

    def __init__(self, path: Path):
        import pyarrow.parquet as pq

        self._file = pq.ParquetFile(path)
        light = self._file.read(columns=list(_Row._fields[1:])).to_pylist()
        self._rows = [_Row(n, **row) for n, row in enumerate(light)]

    def rows_of(self, member: str | None) -> list[_Row]:
        """The points of the stream that an image lies in, by position; `member` is the image's name in the file."""
        return [row for row in self._rows if row.member is None or (member or "").startswith(f"{row.member}/")]

    def point(self, row: _Row) -> Point:
        """A point with its window."""
        place = row.place
        for group in range(self._file.num_row_groups):
            n = self._file.metadata.row_group(group).num_rows
            if place < n:
                found = self._file.read_row_group(group, columns=list(Point._fields)).slice(place, 1).to_pylist()
                return Point(**found[0])
            place -= n
        raise IndexError(row)
