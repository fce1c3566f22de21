"""Parts: the rows of one unit on disk. They let a build resume, and let many processes work on one index.

    <key>-<digest of the fingerprint>.part
        record batches, each as an Arrow IPC message, one after the other
        JSON footer {"tables": {table: [[offset, length, rows] of each batch]}, "length": bytes of all batches,
                     "crc32": of all batches, "plain": [[dataset, split, wnid], ...] or null}
        length of the footer, 8 bytes little-endian, and its crc32, 4 bytes

`plain` lists where the images belong if all of them are plain (see plain.py), and is null if one is not.

A part is written under another name and renamed, without fsync. A part whose checksums are wrong is made again.
"""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from typing import TYPE_CHECKING, NamedTuple

from imagenet_tools import __version__
from imagenet_tools.build.plain import PlainHome, homes
from imagenet_tools.errors import ImagenetToolsError
from imagenet_tools.schema import arrow_schema
from imagenet_tools.storage.files import whole

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    import pyarrow as pa

    from imagenet_tools.units import Unit

_TAIL_BYTES = 12

Counts = dict[str, int]


class Part(NamedTuple):
    """A part on disk."""

    path: Path
    tables: Mapping[str, Sequence[Sequence[int]]]  # offset, length and rows of each batch
    plain: frozenset[PlainHome] | None  # where its images belong if all are plain
    length: int  # bytes of all batches
    crc32: int  # of these bytes

    @property
    def counts(self) -> Counts:
        """The number of rows by table."""
        return {table: sum(rows for _, _, rows in batches) for table, batches in self.tables.items()}


def part_path(folder: Path, unit: Unit, fingerprint: str) -> Path:
    """Return the path of the part of a unit, for the bytes that the fingerprint stands for."""
    # Values that the rows depend on besides the unit's key; another version may read the same bytes otherwise.
    text = repr((__version__, unit.dataset, unit.split, unit.wnid, fingerprint))
    return folder / f"{unit.key:016x}-{hashlib.sha256(text.encode()).hexdigest()[:16]}.part"


def write_part(path: Path, rows: Iterable[tuple[str, pa.RecordBatch]]) -> Counts:
    """Write the rows of a unit, whole or not at all. Return the number of rows by table."""
    tables: dict[str, list[tuple[int, int, int]]] = {}
    plain: set[PlainHome] | None = set()
    length = checksum = 0
    with whole(path, replace=True, fsync=False) as out:
        for table, batch in rows:
            if not batch.schema.equals(arrow_schema(table)):
                raise TypeError(f"The columns of {table} are {batch.schema}; expected {arrow_schema(table)}.")
            if table == "images" and plain is not None:
                batch_homes = homes(batch)
                plain = None if batch_homes is None else plain | batch_homes
            message = batch.serialize()
            out.write(message)
            tables.setdefault(table, []).append((length, message.size, batch.num_rows))
            checksum = zlib.crc32(message, checksum)
            length += message.size
        known = None if plain is None else sorted(plain, key=repr)
        content = {"tables": tables, "length": length, "crc32": checksum, "plain": known}
        footer = json.dumps(content).encode()
        out.write(footer + len(footer).to_bytes(8, "little") + zlib.crc32(footer).to_bytes(4, "little"))
    return Part(path, tables, None, length, checksum).counts


def part_counts(path: Path) -> Counts | None:
    """Return the number of rows by table, or None if the part is missing or its checksums are wrong."""
    import pyarrow as pa

    part = _read_footer(path)
    if part is None:
        return None
    with pa.memory_map(str(path)) as file:
        return part.counts if zlib.crc32(file.read_buffer(part.length)) == part.crc32 else None


def open_part(path: Path) -> Part:
    """Read the footer of a part. Raise ImagenetToolsError if it is damaged."""
    part = _read_footer(path)
    if part is None:
        raise ImagenetToolsError(f"{path} is missing or damaged; expected a part of this build. Build again.")
    return part


def read_part(part: Part, table: str, *, mapped: bool = False) -> pa.Table:
    """Read the rows of one table into memory, or map them from the file, which takes no memory.

    The table is empty if the part has none. Mapping a small file takes twice as long as reading it.
    """
    import pyarrow as pa

    schema, batches = arrow_schema(table), []
    with (pa.memory_map if mapped else pa.OSFile)(str(part.path)) as file:
        for offset, length, _ in part.tables.get(table, ()):
            file.seek(offset)
            batches.append(pa.ipc.read_record_batch(file.read_buffer(length), schema))
    return pa.Table.from_batches(batches, schema)


def _read_footer(path: Path) -> Part | None:
    """Read the footer of a part, or return None if the part is missing, damaged or of an earlier version."""
    try:
        with path.open("rb") as file:
            file.seek(-_TAIL_BYTES, os.SEEK_END)
            tail = file.read()
            length = int.from_bytes(tail[:8], "little")
            file.seek(-_TAIL_BYTES - length, os.SEEK_END)
            footer = file.read(length)
    except (OSError, OverflowError):  # the file is shorter than its length says
        return None
    # A power cut may leave a part of zeros: an empty footer with the right checksum.
    if not footer or zlib.crc32(footer) != int.from_bytes(tail[8:], "little"):
        return None
    content = json.loads(footer)
    if "crc32" not in content:
        return None
    plain = None if content["plain"] is None else frozenset(PlainHome(*home) for home in content["plain"])
    return Part(path, content["tables"], plain, content["length"], content["crc32"])
