"""Parts: the rows of one unit of work on disk, by which a build is resumed and many processes work on one index.

    <key>-<digest of the fingerprint>.part
        Arrow IPC streams, one a table, one after the other
        JSON footer {"tables": {table: [offset, length, rows, crc32]}, "plain": [[dataset, split, wnid], ...] or null}
        length of the footer, 8 bytes little-endian, and its crc32, 4 bytes

`plain` says where the images belong if all of them are plain (see plain.py), and is null where one is not.

A part is written under another name and renamed, without fsync: one that does not check is made again.
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

_TAIL = 12
_END = 1024  # bytes of the end that are read at once: most footers are shorter

# A class of ImageNet is some 200 KB; an archive of all boxes some 200 MB.
_IN_MEMORY = 32 << 20
_CHUNK = 1 << 20

Counts = dict[str, int]


class Part(NamedTuple):
    """A part on the disk: where each of its tables lies in it, and where its images belong if all are plain."""

    path: Path
    tables: Mapping[str, Sequence[int]]  # offset, length, rows, crc32
    plain: frozenset[PlainHome] | None


def part_path(folder: Path, unit: Unit, fingerprint: str) -> Path:
    """Where the part of a unit lies, for the bytes that the fingerprint stands for and no others."""
    # What the rows depend on besides the unit's key.
    text = repr((unit.dataset, unit.split, unit.wnid, fingerprint))
    return folder / f"{unit.key:016x}-{hashlib.sha256(text.encode()).hexdigest()[:16]}.part"


def write_part(path: Path, rows: Iterable[tuple[str, pa.RecordBatch]]) -> Counts:
    """Write the rows of a unit, whole or absent; gives the number of rows by table."""
    temporary = path.with_suffix(f".{os.getpid()}")
    streams: dict[str, _Stream] = {}
    places: dict[str, tuple[int, int, int, int]] = {}
    plain: set[PlainHome] | None = set()
    with ExitStack() as open_:
        for table, batch in rows:
            if table == "images" and plain is not None:
                found = homes(batch)
                plain = None if found is None else plain | found
            if table not in streams:
                streams[table] = open_.enter_context(closing(_Stream(table, path.parent)))
            streams[table].add(batch)
        out = open_.enter_context(temporary.open("wb"))
        for table in sorted(streams):
            offset = out.tell()
            checksum = streams[table].copy_to(out)
            places[table] = (offset, out.tell() - offset, streams[table].rows, checksum)
        known = None if plain is None else sorted(plain, key=repr)
        footer = json.dumps({"tables": places, "plain": known}).encode()
        out.write(footer + len(footer).to_bytes(8, "little") + zlib.crc32(footer).to_bytes(4, "little"))
    temporary.rename(path)
    return {table: place[2] for table, place in places.items()}


class _Stream:
    """The rows of one table of a part while the others are written too: in memory, and on disk where they are many."""

    def __init__(self, table: str, folder: Path):
        import pyarrow as pa

        self.rows = 0
        self._file = SpooledTemporaryFile(_IN_MEMORY, dir=str(folder))  # noqa: SIM115 - closed by close()
        # A stream is written in very many pieces.
        self._pieces = pa.BufferedOutputStream(pa.PythonFile(self._file, "w"), _CHUNK)
        self._writer = pa.ipc.new_stream(self._pieces, arrow_schema(table))

    def add(self, batch: pa.RecordBatch) -> None:
        self._writer.write_batch(batch)
        self.rows += batch.num_rows

    def copy_to(self, out: IO[bytes]) -> int:
        """End the stream and append it to a file; its crc32."""
        self._writer.close()
        self._pieces.flush()
        self._file.seek(0)
        checksum = 0
        while chunk := self._file.read(_CHUNK):
            checksum = zlib.crc32(chunk, checksum)
            out.write(chunk)
        return checksum

    def close(self) -> None:
        self._file.close()


def part_counts(path: Path) -> Counts | None:
    """Rows by table of a part that is there and checks; None where it has to be made again."""
    found = _open(path)
    if found is None:
        return None
    with path.open("rb") as part:
        for offset, length, _, checksum in found.tables.values():
            part.seek(offset)
            if zlib.crc32(part.read(length)) != checksum:
                return None
    return {table: place[2] for table, place in found.tables.items()}


def open_part(path: Path) -> Part:
    """A part by its footer, without its rows; one without any where it does not check."""
    return _open(path) or Part(path, {}, frozenset())


def read_part(part: Part, table: str) -> pa.Table:
    """The rows of one table in a part, in memory; an empty table where it has none."""
    import pyarrow as pa

    place = part.tables.get(table)
    if place is None:
        return arrow_schema(table).empty_table()
    with part.path.open("rb", buffering=0) as file:
        # Mapping the file would cost twice as much where it is small.
        return pa.ipc.open_stream(pa.py_buffer(os.pread(file.fileno(), place[1], place[0]))).read_all()


def map_part(part: Part, table: str) -> pa.Table:
    """The same, mapped from the file: for who keeps many rows."""
    import pyarrow as pa

    offset, length = part.tables[table][:2]
    with pa.memory_map(str(part.path)) as file:
        return pa.ipc.open_stream(file.read_buffer(offset + length).slice(offset)).read_all()


def _open(path: Path) -> Part | None:
    try:
        with path.open("rb", buffering=0) as part:
            size = part.seek(0, os.SEEK_END)
            end = os.pread(part.fileno(), _END, max(0, size - _END))
            length = int.from_bytes(end[-_TAIL:-4], "little")
            if size < _TAIL or length > size - _TAIL:
                return None
            footer = (
                end[:-_TAIL][-length:]
                if length + _TAIL <= len(end)
                else os.pread(part.fileno(), length, size - _TAIL - length)
            )
    except FileNotFoundError:
        return None
    if zlib.crc32(footer) != int.from_bytes(end[-4:], "little"):
        return None
    said = json.loads(footer)
    if "plain" not in said:  # of an earlier version
        return None
    plain = None if said["plain"] is None else frozenset(PlainHome(*one) for one in said["plain"])
    return Part(path, said["tables"], plain)
