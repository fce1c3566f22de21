"""Streams that are read forward only, and gzip streams with random access by seek points, which a table keeps.

One pass from the front makes the seek points. A seek point maps a position in the stream to an offset in the compressed
bytes, and holds the 32 KiB before it, from which inflating continues. A read costs the distance from the seek point
before it to its end. indexed_gzip makes the points and reads by them; no other module uses it. Its index file,
little-endian, is made again from the points that a read needs:

    "GZIDX"  version u8  flags u8  compressed size u64  stream's size u64  spacing u32  window u32  number of points u32
    a point: compressed offset u64  position in the stream u64  bits of the byte before u8  has a window u8
    the windows
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import os
import struct
import threading
import zlib
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from imagenet_tools.errors import FormatError, SourceError
from imagenet_tools.schema import arrow_schema
from imagenet_tools.text import count_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pyarrow as pa
    from typing_extensions import Buffer

    from imagenet_tools.storage.blob import Descriptors
    from imagenet_tools.units import Unit

GZIP_MAGIC = b"\x1f\x8b"
LARGEST = 256 << 20  # bytes that a wrapped image may unpack to: ImageNet's largest is far below, a bomb is not

_GZIP_HEADER = GZIP_MAGIC + bytes.fromhex("08000000000000ff")  # of a stream without a name
_CHECKSUM_BYTES = 8  # after a stream: its CRC-32 and its length

# The file of points.
_HEADER = struct.Struct("<5sBBQQIII")
_POINT = struct.Struct("<QQBB")
_MAGIC = b"GZIDX"
_VERSION = 1
_WINDOW_BYTES = 32 << 10

# Bytes of the stream between two points: half of it is inflated for an image on average. Each point stores a window of
# 32 KiB. The spacing grows with the stream, so that there are at most 16,384 points.
_SPACING_BYTES = 4 << 20
_MAX_POINTS = 1 << 14

# Bytes of the stream inflated at a time, to read on and to read a single image; and compressed bytes read at a time.
_AHEAD_BYTES = 256 << 20
_SINGLE_IMAGE_BYTES = 64 << 10
_COMPRESSED_READ_BYTES = 1 << 20

_SKIP_BYTES = 1 << 16  # of a forward stream, skipped at a time; a larger buffer is allocated again at each use
_MAX_OPEN_STREAMS = 8  # each holds a window or two, and its buffers

# Raised by indexed_gzip for damaged bytes; its base class raises ValueError if a read returns a negative size.
_ERRORS = (OSError, EOFError, ValueError)

# read(offset, n) returns n bytes from an offset on, fewer only at the end.
Read = Callable[[int, int], bytes]


def forward(file: io.BufferedReader, label: str) -> Read:
    """Return a function that reads a stream at growing offsets, and skips the bytes between; errors use the label.

    The function raises FormatError: gzip_truncated if the stream ends too early, gzip_damaged if its bytes or its
    checksum are wrong.
    """
    position = 0  # after the last read

    def read(offset: int, n: int) -> bytes:
        nonlocal position
        if offset < position:
            message = f"{label}: byte {offset} was asked for after byte {position}; a stream is read once"
            raise ValueError(message)
        try:
            while position < offset:
                n_skipped = len(file.read1(min(offset - position, _SKIP_BYTES)))
                if not n_skipped:
                    return b""
                position += n_skipped
            data = file.read(n)
        except EOFError as error:
            message = (
                f"{label}: the compressed stream ends too early, after {position:,} bytes: fetch or copy it again."
            )
            raise FormatError(message, code="gzip_truncated") from error
        except (zlib.error, gzip.BadGzipFile) as error:
            message = f"{label}: the compressed stream is damaged after {position:,} bytes ({error}): fetch it again."
            raise FormatError(message, code="gzip_damaged") from error
        position += len(data)
        return data

    return read


class Gunzip(gzip.GzipFile):
    """The bytes inside a gzip stream, for a BufferedReader: small reads of a GzipFile cost four times more."""

    def readinto(self, buffer: Buffer) -> int:
        """Inflate once, and return the number of bytes, 0 at the end; an error comes after the bytes before it."""
        return self.readinto1(buffer)


def gunzip(data: bytes) -> bytes:
    """Return the image inside a gzip wrapping.

    Raises:
        FormatError: gzip_broken: the wrapping is broken, cut short, or unpacks to more than LARGEST bytes.
    """
    engine = zlib.decompressobj(wbits=31)
    try:
        image = engine.decompress(data, LARGEST)
    except zlib.error as error:
        message = f"Found a gzip wrapping that is broken ({error}); expected an image in it."
        raise FormatError(message, code="gzip_broken") from error
    if not engine.eof:
        message = f"Found a gzip wrapping that is cut short or holds over {LARGEST:,} bytes; expected an image in it."
        raise FormatError(message, code="gzip_broken")
    return image


class Section(io.RawIOBase):
    """A range of what a function reads, as a file; of a forward stream, it is valid until the stream is read on."""

    def __init__(self, read: Read, start: int, size: int, name: str = ""):
        self.name = name
        self._read, self._start, self._size, self._place = read, start, size, 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to an offset, and return the place in the range."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._size}[whence]
        self._place = max(base + offset, 0)
        return self._place

    def readinto(self, buffer: Buffer) -> int:
        """Read into a buffer and return the number of bytes, fewer only at the end."""
        view = memoryview(buffer)
        data = self._read(self._start + self._place, max(0, min(len(view), self._size - self._place)))
        view[: len(data)] = data
        self._place += len(data)
        return len(data)


class Point(NamedTuple):
    """A seek point: `position` in the stream is `offset` in the compressed bytes, with `bits` of the byte before."""

    position: int
    offset: int
    bits: int
    window: bytes | None  # the 32 KiB of the stream before it; None where inflating starts from nothing


class GzipStream:
    """A gzip stream, read from the front, or from the middle by seek points.

    Args:
        read: A function that reads the compressed bytes.
        size: The number of compressed bytes.
        label: The name of the stream in errors.
        points: Seek points to start from.
        ahead: Inflate far ahead, for reads of one position after another. Each read inflates from the point before.
        raw: The bytes are those of deflate alone, as in a zip, without the header and the checksum of gzip.
    """

    def __init__(
        self,
        read: Read,
        size: int,
        *,
        label: str,
        points: tuple[Point, ...] = (),
        ahead: bool = True,
        raw: bool = False,
    ):
        self._label = label
        if raw:
            read, size = _with_header(read, size)
        self.damage = ""  # the message about damage that was met while inflating ahead, such as a wrong checksum
        self.spacing = max(_SPACING_BYTES, size // _MAX_POINTS)  # bytes of the stream between two points
        compressed = io.BufferedReader(Section(read, 0, size), _COMPRESSED_READ_BYTES)
        self._file: Any = _library(label).IndexedGzipFile(
            fileobj=compressed,
            skip_crc_check=raw,
            spacing=self.spacing,
            window_size=_WINDOW_BYTES,
            buffer_size=min(4 * self.spacing, _AHEAD_BYTES) if ahead else _SINGLE_IMAGE_BYTES,
        )
        if points:
            head = _HEADER.pack(_MAGIC, _VERSION, 0, size, 0, self.spacing, _WINDOW_BYTES, len(points))
            packed = [
                _POINT.pack(point.offset, point.position, point.bits, point.window is not None) for point in points
            ]
            windows = [point.window for point in points if point.window is not None]
            self._file.import_index(fileobj=io.BytesIO(b"".join((head, *packed, *windows))))

    def read(self, position: int, n: int) -> bytes:
        """Return n bytes from a position on, fewer at the end; raise FormatError if the stream is damaged."""
        try:
            return _exactly(self._file, position, n)
        except _ERRORS:
            # The damage may be in what was inflated ahead: the unbuffered file reads no more than n bytes.
            self.damage = f"{self._label}: the compressed stream is damaged behind byte {position}: fetch it again."
            try:
                return _exactly(self._file.raw, position, n)
            except _ERRORS as error:
                message = f"{self._label}: the compressed stream is damaged near byte {position}: fetch it again."
                raise FormatError(message, code="gzip_damaged") from error

    def points(self) -> Iterator[Point]:
        """Yield the points of the whole stream, by position; of a damaged stream, those before the damage."""
        with contextlib.suppress(*_ERRORS):
            self._file.build_full_index()
        out = io.BytesIO()
        self._file.export_index(fileobj=out)
        packed = out.getbuffer()
        n_points = _HEADER.unpack_from(packed)[-1]
        if not n_points:  # a short stream may have none, and is read from its front
            yield Point(0, 0, 0, None)
        place = _HEADER.size + n_points * _POINT.size
        for offset, position, bits, has_window in _POINT.iter_unpack(packed[_HEADER.size : place]):
            window = bytes(packed[place : place + _WINDOW_BYTES]) if has_window else None
            place += _WINDOW_BYTES if has_window else 0
            yield Point(position, offset, bits, window)

    def close(self) -> None:
        """Close the stream."""
        self._file.close()


def _with_header(read: Read, size: int) -> tuple[Read, int]:
    """Return a function that reads a stream of deflate as one of gzip, and its size; the checksum is not the true one.

    A read is of the header, of the stream, or of the checksum, never across them: it returns fewer bytes then.
    """
    end = len(_GZIP_HEADER) + size

    def read_gzip(offset: int, n: int) -> bytes:
        if offset < len(_GZIP_HEADER):
            return _GZIP_HEADER[offset : offset + n]
        if offset < end:
            return read(offset - len(_GZIP_HEADER), min(n, end - offset))
        return bytes(min(n, max(end + _CHECKSUM_BYTES - offset, 0)))

    return read_gzip, end + _CHECKSUM_BYTES


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
            f"{label} holds its images in one compressed stream, and reading in its middle needs indexed_gzip, which "
            "is not installed: pip install 'imagenet-tools[gzip]'. Or gunzip it once (save an npz again, by "
            "numpy.savez), and index that: its images are then read at once, and without any other library."
        )
        raise SourceError(message) from None
    return indexed_gzip


def point_rows(unit: Unit, stream: GzipStream, *, start: int, size: int) -> pa.RecordBatch:
    """Return the rows of the table seek_points for the stream of a unit.

    Args:
        unit: The unit.
        stream: Its stream, which is inflated to its end.
        start: The offset in the file at which the compressed bytes begin.
        size: The number of compressed bytes.
    """
    import pyarrow as pa

    same = {"source": unit.source, "file": unit.file, "member": unit.member or None, "unit": unit.key}
    rows = [same | {"start": start, "size": size} | point._asdict() for point in stream.points()]
    return pa.RecordBatch.from_pylist(rows, schema=arrow_schema("seek_points"))


def part_of(source: str, file: str) -> str:
    """Return the name of the part of the table seek_points that holds the points of a file."""
    return hashlib.sha256(f"{source}\0{file}".encode()).hexdigest()[:16]


class _PointRow(NamedTuple):
    """A row of a file of the table seek_points, without its window."""

    group: int  # the row group
    number: int  # of the row in its group
    member: str | None
    start: int
    size: int
    position: int


class _PointFile:
    """A file of the table seek_points: its numbers in memory, its windows read when needed."""

    def __init__(self, path: Path):
        import pyarrow.parquet as pq

        self._file = pq.ParquetFile(path)
        self._rows = [
            _PointRow(group, number, **row)
            for group in range(self._file.num_row_groups)
            for number, row in enumerate(self._columns(group, _PointRow._fields[2:]).to_pylist())
        ]

    def _columns(self, group: int, names: Sequence[str]) -> pa.Table:
        return self._file.read_row_group(group, columns=list(names))

    def rows_of(self, member: str | None) -> list[_PointRow]:
        """Return the points of the stream that holds the image of this name, by position."""
        return [row for row in self._rows if row.member is None or (member or "").startswith(f"{row.member}/")]

    def point(self, row: _PointRow) -> Point:
        """Return a point with its window."""
        return Point(**self._columns(row.group, Point._fields).slice(row.number, 1).to_pylist()[0])


class _OpenStream(NamedTuple):
    stream: GzipStream
    start: int  # of the positions that it serves
    end: float
    ahead: bool  # whether it inflates far ahead
    lock: threading.Lock


class Streams:
    """The streams that were read last, kept open, so that images read in their order are inflated once."""

    def __init__(self, files: Descriptors):
        self._files = files
        # By process, path and start of the compressed bytes: the stream, and the position after the last read.
        self._open: OrderedDict[tuple[int, str, int], tuple[_OpenStream, int]] = OrderedDict()
        self._point_files: dict[Path, _PointFile] = {}
        self._lock = threading.Lock()

    def read(
        self, path: Path, points: Path, *, member: str | None, position: int, length: int, raw: bool = False
    ) -> bytes:
        """Return a range of the stream that holds an image.

        Args:
            path: The file that the stream is in.
            points: The index's file of its seek points.
            member: The image's name in the file.
            position: The position of the range in the stream, bytes.
            length: The length of the range, bytes.
            raw: As in GzipStream.

        Raises:
            SourceError: The stream is damaged, or shorter than it was indexed.
        """
        point_file = self._point_files.get(points) or self._point_files.setdefault(points, _PointFile(points))
        rows = point_file.rows_of(member)
        # A forked process opens streams of its own: a thread of its parent may hold the locks of the others for ever.
        key = (os.getpid(), str(path), rows[0].start)
        opened, last = self._open.get(key, (None, 0))
        near = opened is not None and abs(position - last) < opened.stream.spacing
        if opened is None or not opened.start <= position < opened.end or (near and not opened.ahead):
            opened = self._open_at(path, point_file, rows, position, ahead=near, raw=raw)
        with self._lock:
            self._open[key] = opened, position + length
            self._open.move_to_end(key)
            if len(self._open) > _MAX_OPEN_STREAMS:
                self._open.popitem(last=False)
        with opened.lock:
            data = opened.stream.read(position, length)
        if len(data) < length:
            found = f"{count_of(len(data), 'byte')} from byte {position} of its stream on"
            raise self._files.changed(path, found, f"{length:,}")
        return data

    def _open_at(
        self, path: Path, point_file: _PointFile, rows: Sequence[_PointRow], position: int, *, ahead: bool, raw: bool
    ) -> _OpenStream:
        n = max(0, bisect_right(rows, position, key=lambda row: row.position) - 1)
        row = rows[n]
        points = (point_file.point(rows[0]), point_file.point(row)) if n else ()

        def read(offset: int, n: int) -> bytes:
            return self._files.read(path, row.start + offset, n)

        stream = GzipStream(read, row.size, label=str(path), points=points, ahead=ahead, raw=raw)
        end = rows[n + 1].position if n + 1 < len(rows) and not ahead else float("inf")
        return _OpenStream(stream, row.position, end, ahead, threading.Lock())
