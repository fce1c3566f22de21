"""The table seek_points: how a scan fills it, and how an image in a gzip stream is read back by it.

An index has a file of it for each file with such a stream; its part of the table is named after source and file.
"""

from __future__ import annotations

import hashlib
import os
import threading
from bisect import bisect_right
from collections import OrderedDict
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from imagenet_tools.containers.gzip_stream import Point, Stream
from imagenet_tools.schema import arrow_schema

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pyarrow as pa

    from imagenet_tools.containers.blob import Descriptors
    from imagenet_tools.units import Unit

# Streams that are kept open, each with a window or two and its buffers.
_STREAMS = 8


def point_rows(unit: Unit, stream: Stream, *, start: int, size: int) -> pa.RecordBatch:
    """The rows that a scan of a unit leaves; `start` and `size` say where in the file its stream lies, bytes."""
    import pyarrow as pa

    same = {"source": unit.source, "file": unit.file, "member": unit.member or None, "unit": unit.key}
    rows = [same | {"start": start, "size": size} | point._asdict() for point in stream.points()]
    return pa.RecordBatch.from_pylist(rows, schema=arrow_schema("seek_points"))


def part_of(source: str, file: str) -> str:
    """The part of the table that holds the points of a file."""
    return hashlib.sha256(f"{source}\0{file}".encode()).hexdigest()[:16]


class _Open(NamedTuple):
    stream: Stream
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
        stream = Stream(compressed, row.size, label=str(path), points=needed, ahead=ahead)
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
