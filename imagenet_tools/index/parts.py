"""Parts: the rows of one unit of work on disk, by which a build is resumed and many processes work on one index.

    <key>-<digest of the fingerprint>.part
        Arrow IPC streams, one a table, one after the other
        JSON footer {"tables": {table: [offset, length, rows, crc32]}}
        length of the footer, 8 bytes little-endian, and its crc32, 4 bytes

A part is written under another name and renamed, without fsync: one that does not check is made again.
"""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from contextlib import ExitStack, closing
from tempfile import SpooledTemporaryFile
from typing import IO, TYPE_CHECKING

from imagenet_tools.schema import arrow_schema

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    import pyarrow as pa

    from imagenet_tools.units import Unit

_TAIL = 12

# A class of ImageNet is some 200 KB; an archive of all boxes some 200 MB.
_IN_MEMORY = 32 << 20
_CHUNK = 1 << 20

Counts = dict[str, int]


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
    with ExitStack() as open_:
        for table, batch in rows:
            if table not in streams:
                streams[table] = open_.enter_context(closing(_Stream(table, path.parent)))
            streams[table].add(batch)
        out = open_.enter_context(temporary.open("wb"))
        for table in sorted(streams):
            offset = out.tell()
            checksum = streams[table].copy_to(out)
            places[table] = (offset, out.tell() - offset, streams[table].rows, checksum)
        footer = json.dumps({"tables": places}).encode()
        out.write(footer + len(footer).to_bytes(8, "little") + zlib.crc32(footer).to_bytes(4, "little"))
    temporary.rename(path)
    return {table: place[2] for table, place in places.items()}


class _Stream:
    """The rows of one table of a part while the others are written too: in memory, and on disk where they are many."""

    def __init__(self, table: str, folder: Path):
        import pyarrow as pa

        self.rows = 0
        self._file = SpooledTemporaryFile(_IN_MEMORY, dir=str(folder))  # noqa: SIM115 - closed by close()
        self._writer = pa.ipc.new_stream(pa.PythonFile(self._file, "w"), arrow_schema(table))

    def add(self, batch: pa.RecordBatch) -> None:
        self._writer.write_batch(batch)
        self.rows += batch.num_rows

    def copy_to(self, out: IO[bytes]) -> int:
        """End the stream and append it to a file; its crc32."""
        self._writer.close()
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
    places = _footer(path)
    if places is None:
        return None
    with path.open("rb") as part:
        for offset, length, _, checksum in places.values():
            part.seek(offset)
            if zlib.crc32(part.read(length)) != checksum:
                return None
    return {table: place[2] for table, place in places.items()}


def read_part(path: Path, table: str) -> pa.Table:
    """The rows of one table in a part, mapped from the file; an empty table where it has none."""
    import pyarrow as pa

    place = (_footer(path) or {}).get(table)
    if place is None:
        return arrow_schema(table).empty_table()
    offset, length, _, _ = place
    with pa.memory_map(str(path)) as file:
        return pa.ipc.open_stream(file.read_buffer(offset + length).slice(offset)).read_all()


def _footer(path: Path) -> dict[str, list[int]] | None:
    try:
        with path.open("rb") as part:
            size = part.seek(0, os.SEEK_END)
            if size < _TAIL:
                return None
            part.seek(size - _TAIL)
            tail = part.read(_TAIL)
            length = int.from_bytes(tail[:8], "little")
            if length > size - _TAIL:
                return None
            part.seek(size - _TAIL - length)
            footer = part.read(length)
    except FileNotFoundError:
        return None
    if zlib.crc32(footer) != int.from_bytes(tail[8:], "little"):
        return None
    tables: dict[str, list[int]] = json.loads(footer)["tables"]
    return tables
