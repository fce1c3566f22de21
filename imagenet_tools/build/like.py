"""Parts made from the index of somebody who holds the same archives: nothing is scanned, a sample of headers is read.

A unit is taken over where the other index has one of the same form, member, data set, split, class and file size, and
where images that are drawn from it lie here as they lie there: a tar header before them that gives their name and
size, and a first few bytes that give the width, height and encoding that the other index has. Only byte ranges can be
looked at so; folders, streams and what has no images are scanned as ever.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

from imagenet_tools.build.parts import part_counts, write_part
from imagenet_tools.build.unit_work import borrowed_part, fingerprint_of, speaks_of
from imagenet_tools.containers import tar_header
from imagenet_tools.errors import ImagenetToolsError
from imagenet_tools.images.probe import probe
from imagenet_tools.schema import arrow_schema
from imagenet_tools.storage import blob
from imagenet_tools.store.layout import read_manifest
from imagenet_tools.store.sources import UnitRecord, read_sources

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import pyarrow as pa

    from imagenet_tools.units import Unit

    _Pair = tuple[Unit, UnitRecord]

# Images that are looked at in each unit, and in all units of few.
_EACH, _IN_ALL = 2, 64

# The tables with rows of a unit, and the one of the parts that they belong to.
_TABLES = {"images": "images", "copies": "images", "labels": "labels", "problems": "problems"}

_HEAD = 4096
_ROWS = 500_000  # images whose rows are held at a time


def borrow(units: Sequence[Unit], parts: Path, like: Path) -> set[int]:
    """Write the parts of units that the index `like` has as they are here; gives the keys of those that were taken."""
    parts.mkdir(exist_ok=True)
    pairs = _pairs(units, like)
    each = max(_EACH, _IN_ALL // max(len(pairs), 1))
    taken: set[int] = set()
    with blob.Descriptors() as files:
        for some in _by_rows(pairs):
            rows = _rows_by_unit(like, {theirs.unit for _, theirs in some})
            for unit, theirs in some:
                tables = rows.pop(theirs.unit, {})
                if "images" in tables and _lies_so(unit, tables["images"], each, files):
                    path = borrowed_part(parts, unit, fingerprint_of(unit))
                    if part_counts(path) is None:
                        write_part(path, _ours(unit, tables))
                    taken.add(unit.key)
    return taken


def _by_rows(pairs: Sequence[_Pair]) -> Iterator[list[_Pair]]:
    """The pairs, so many at a time that their rows are few enough for the memory of any machine."""
    some: list[_Pair] = []
    for pair in pairs:
        some.append(pair)
        if sum(theirs.n_images for _, theirs in some) >= _ROWS:
            yield some
            some = []
    if some:
        yield some


class _What(NamedTuple):
    """What two units must have in common to be the same, in two places."""

    form: str
    member: str
    size: int


def _pairs(units: Sequence[Unit], like: Path) -> list[_Pair]:
    """Units, and the one in the other index that each may be."""
    theirs: dict[_What, list[UnitRecord]] = {}
    for source in read_sources(like, read_manifest(like)):
        for one in source.units:
            if one.n_images and one.size >= 0:
                theirs.setdefault(_What(one.form, one.member, one.size), []).append(one)
    found: list[_Pair] = []
    for unit in units:
        if not unit.path.is_file():
            continue
        same = theirs.get(_What(unit.form, unit.member, unit.path.stat().st_size), [])
        same = [one for one in same if speaks_of(one.fingerprint, unit)]
        named = [one for one in same if PurePosixPath(one.file).name == PurePosixPath(unit.file).name]
        if len(named or same) == 1:
            found.append((unit, (named or same)[0]))
    return found


def _rows_by_unit(like: Path, wanted: set[int]) -> dict[int, dict[str, list[pa.Table]]]:
    """The rows of units, by the table of the parts that they belong to."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    manifest = read_manifest(like)
    keys = pa.array(sorted(wanted), pa.int64())
    found: dict[int, dict[str, list[pa.Table]]] = {}
    for table, into in _TABLES.items():
        for path in manifest.paths(like, table):
            rows = pq.read_table(path, filters=pc.field("unit").isin(keys)).sort_by("unit")
            counts = rows["unit"].combine_chunks().value_counts() if rows.num_rows else []
            start = 0
            for unit, n in ((one["values"].as_py(), one["counts"].as_py()) for one in counts):
                found.setdefault(unit, {}).setdefault(into, []).append(rows.slice(start, n))
                start += n
    return found


def _lies_so(unit: Unit, tables: Sequence[pa.Table], each: int, files: blob.Descriptors) -> bool:
    """Whether a sample of a unit's images lies in its file as the other index says."""
    import pyarrow as pa

    columns = ["image_id", "member", "offset", "length", "compression", "width", "height", "encoding", "split", "wnid"]
    rows = pa.concat_tables([table.select(columns) for table in tables])
    step = max(1, rows.num_rows // each)
    sample = [
        *rows.slice(rows.num_rows - 1).to_pylist(),
        *(rows.slice(n, 1).to_pylist()[0] for n in range(0, rows.num_rows, step)),
    ]
    return all(
        (unit.wnid is None or row["wnid"] == unit.wnid)
        and (unit.split is None or row["split"] == unit.split)
        and _is_there(unit, row, files)
        for row in sample
    )


def _is_there(unit: Unit, row: Mapping[str, object], files: blob.Descriptors) -> bool:
    offset, length = row["offset"], row["length"]
    if not isinstance(offset, int) or not isinstance(length, int):
        return False  # a place in a stream, or in a table
    try:
        block = files.read(unit.path, offset - tar_header.BLOCK, tar_header.BLOCK) if offset else b""
        name, size, _ = (
            tar_header.parse(block, offset - tar_header.BLOCK, str(unit.path)) if block else (b"", length, 0)
        )
        head = files.read(unit.path, offset, min(length, _HEAD))
    except (ImagenetToolsError, OSError):
        return False
    stem = str(row["member"] or row["image_id"]).rpartition("/")[2].removesuffix(".JPEG")
    # The name in the header of a long name is cut.
    if size != length or (len(name) < 100 and stem not in name.decode(errors="backslashreplace")):
        return False
    if row["compression"] is not None or row["width"] is None:
        return True
    found = probe(head, length, lambda start, n: files.read(unit.path, offset + start, min(n, length - start)))
    return (found.width, found.height, found.encoding) == (row["width"], row["height"], row["encoding"])


def _ours(unit: Unit, tables: Mapping[str, Sequence[pa.Table]]) -> Iterator[tuple[str, pa.RecordBatch]]:
    """The other index's rows under our names of the source, the file and the unit."""
    import pyarrow as pa

    for table, pieces in tables.items():
        schema = arrow_schema(table)
        rows = pa.concat_tables([piece.select(schema.names) for piece in pieces]).cast(schema)
        said = {"source": unit.source, "file": unit.file, "unit": unit.key}
        for name, value in said.items():
            if name in schema.names:
                place = schema.get_field_index(name)
                rows = rows.set_column(
                    place, schema.field(place), pa.repeat(pa.scalar(value, schema.field(place).type), rows.num_rows)
                )
        if table == "images":
            order = [("offset", "ascending"), ("image_id", "ascending")]
            rows = rows.sort_by(order)
        yield from ((table, batch) for batch in rows.combine_chunks().to_batches())
