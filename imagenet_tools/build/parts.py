"""Parts: the rows of one unit on disk. They let a build resume, and let many processes work on one index.

    <key>-<digest of the fingerprint>.part
        Arrow IPC streams, one a table, one after the other
        JSON footer {"tables": {table: [offset, length, rows, crc32]}, "plain": [[dataset, split, wnid], ...] or null}
        length of the footer, 8 bytes little-endian, and its crc32, 4 bytes

`plain` lists where the images belong if all of them are plain (see plain.py), and is null if one is not.

A part is written under another name and renamed, without fsync. A part whose checksums are wrong is made again.
"""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from contextlib import ExitStack, closing
from tempfile import SpooledTemporaryFile
from typing import IO, TYPE_CHECKING, NamedTuple

from imagenet_tools.build.plain import PlainHome, homes
from imagenet_tools.schema import arrow_schema

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    import pyarrow as pa

    from imagenet_tools.units import Unit

_TAIL_BYTES = 12
_END_BYTES = 1024  # read at once from the end of a part: most footers are shorter

# The rows of a class of ImageNet take about 200 KB, those of an archive of all boxes about 200 MB.
_IN_MEMORY_BYTES = 32 << 20
_CHUNK_BYTES = 1 << 20

Counts = dict[str, int]


class Part(NamedTuple):
    """A part on disk."""

    path: Path
    tables: Mapping[str, Sequence[int]]  # offset, length, rows, crc32
    plain: frozenset[PlainHome] | None  # where its images belong if all are plain

    @property
    def counts(self) -> Counts:
        """The number of rows by table."""
        return {table: place[2] for table, place in self.tables.items()}


def part_path(folder: Path, unit: Unit, fingerprint: str) -> Path:
    """Return the path of the part of a unit, for the bytes that the fingerprint stands for."""
    # Values that the rows depend on besides the unit's key.
    text = repr((unit.dataset, unit.split, unit.wnid, fingerprint))
    return folder / f"{unit.key:016x}-{hashlib.sha256(text.encode()).hexdigest()[:16]}.part"


def write_part(path: Path, rows: Iterable[tuple[str, pa.RecordBatch]]) -> Counts:
    """Write the rows of a unit, whole or not at all. Return the number of rows by table."""
    temporary = path.with_suffix(f".{os.getpid()}")
    streams: dict[str, _Stream] = {}
    places: dict[str, tuple[int, int, int, int]] = {}
    plain: set[PlainHome] | None = set()
    with ExitStack() as stack:
        for table, batch in rows:
            if table == "images" and plain is not None:
                batch_homes = homes(batch)
                plain = None if batch_homes is None else plain | batch_homes
            if table not in streams:
                streams[table] = stack.enter_context(closing(_Stream(table, path.parent)))
            streams[table].add(batch)
        out = stack.enter_context(temporary.open("wb"))
        for table in sorted(streams):
            offset = out.tell()
            checksum = streams[table].copy_to(out)
            places[table] = (offset, out.tell() - offset, streams[table].rows, checksum)
        known = None if plain is None else sorted(plain, key=repr)
        footer = json.dumps({"tables": places, "plain": known}).encode()
        out.write(footer + len(footer).to_bytes(8, "little") + zlib.crc32(footer).to_bytes(4, "little"))
    temporary.rename(path)
    return Part(path, places, None).counts


class _Stream:
    """The rows of one table of a part, in memory or, if they are many, in a temporary file."""

    def __init__(self, table: str, folder: Path):
        import pyarrow as pa

        self.rows = 0
        self._file = SpooledTemporaryFile(_IN_MEMORY_BYTES, dir=str(folder))  # noqa: SIM115 - closed by close()
        # Arrow writes a stream in many small pieces.
        self._buffer = pa.BufferedOutputStream(pa.PythonFile(self._file, "w"), _CHUNK_BYTES)
        self._writer = pa.ipc.new_stream(self._buffer, arrow_schema(table))

    def add(self, batch: pa.RecordBatch) -> None:
        self._writer.write_batch(batch)
        self.rows += batch.num_rows

    def copy_to(self, out: IO[bytes]) -> int:
        """End the stream, append it to a file, and return its crc32."""
        self._writer.close()
        self._buffer.flush()
        self._file.seek(0)
        checksum = 0
        while chunk := self._file.read(_CHUNK_BYTES):
            checksum = zlib.crc32(chunk, checksum)
            out.write(chunk)
        return checksum

    def close(self) -> None:
        self._file.close()


def part_counts(path: Path) -> Counts | None:
    """Return the number of rows by table, or None if the part is missing or its checksums are wrong."""
    part = _open(path)
    if part is None:
        return None
    with path.open("rb") as file:
        for offset, length, _, checksum in part.tables.values():
            file.seek(offset)
            if zlib.crc32(file.read(length)) != checksum:
                return None
    return part.counts


def open_part(path: Path) -> Part:
    """Read the footer of a part. A part with a wrong checksum has no tables."""
    return _open(path) or Part(path, {}, frozenset())


def read_part(part: Part, table: str) -> pa.Table:
    """Read the rows of one table into memory. The table is empty if the part has none."""
    import pyarrow as pa

    if table not in part.tables:
        return arrow_schema(table).empty_table()
    offset, length = part.tables[table][:2]
    with part.path.open("rb", buffering=0) as file:
        # Mapping a small file costs twice as much.
        return pa.ipc.open_stream(pa.py_buffer(os.pread(file.fileno(), length, offset))).read_all()


def map_part(part: Part, table: str) -> pa.Table:
    """Return the rows of one table mapped from the file, which takes no memory."""
    import pyarrow as pa

    offset, length = part.tables[table][:2]
    with pa.memory_map(str(part.path)) as file:
        return pa.ipc.open_stream(file.read_buffer(offset + length).slice(offset)).read_all()


def _open(path: Path) -> Part | None:
    """Read the footer of a part, or return None if the part is missing, damaged or of an earlier version."""
    try:
        with path.open("rb", buffering=0) as file:
            size = file.seek(0, os.SEEK_END)
            end = os.pread(file.fileno(), _END_BYTES, max(0, size - _END_BYTES))
            length = int.from_bytes(end[-_TAIL_BYTES:-4], "little")
            if size < _TAIL_BYTES or length > size - _TAIL_BYTES:
                return None
            footer = end[:-_TAIL_BYTES][-length:]
            if length + _TAIL_BYTES > len(end):
                footer = os.pread(file.fileno(), length, size - _TAIL_BYTES - length)
    except FileNotFoundError:
        return None
    if zlib.crc32(footer) != int.from_bytes(end[-4:], "little"):
        return None
    content = json.loads(footer)
    if "plain" not in content:
        return None
    plain = None if content["plain"] is None else frozenset(PlainHome(*home) for home in content["plain"])
    return Part(path, content["tables"], plain)
