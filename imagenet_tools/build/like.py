"""Make parts from another index of the same archives, so that they are not scanned.

A unit is borrowed under two conditions. The other index has one unit of the same form, member, data set, split, class
and file size. And a sample of its images is in the file here: the tar header before an image has its name and size, and
its first bytes have the same width, height and encoding. Only byte ranges can be checked in this way. Folders, streams,
and units without images are scanned.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from imagenet_tools.build.parts import part_counts, write_part
from imagenet_tools.build.unit_work import borrowed_part, fingerprint_of, same_settings
from imagenet_tools.containers import tar_header
from imagenet_tools.errors import ImagenetToolsError
from imagenet_tools.images.probe import probe
from imagenet_tools.schema import arrow_schema
from imagenet_tools.storage import blob
from imagenet_tools.store.layout import damaged, read_manifest
from imagenet_tools.store.sources import read_sources

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import pyarrow as pa

    from imagenet_tools.store.sources import UnitRecord
    from imagenet_tools.units import Unit

    _Pair = tuple[Unit, UnitRecord]

_MIN_SAMPLE_UNIT = 2  # images that are checked in each unit
_MIN_SAMPLE_ALL = 64  # images that are checked in all units together, if they are few

# The tables with rows of a unit, and the table of a part that the rows belong to.
_TABLES = {"images": "images", "copies": "images", "labels": "labels", "problems": "problems"}

_HEAD_BYTES = 4096
_MAX_ROWS = 500_000  # images whose rows are in memory at a time


def borrow(units: Sequence[Unit], parts: Path, like: Path) -> None:
    """Write the parts of the units that the index `like` has."""
    parts.mkdir(exist_ok=True)
    pairs = _pairs(units, like)
    sample = max(_MIN_SAMPLE_UNIT, _MIN_SAMPLE_ALL // max(len(pairs), 1))
    with blob.Descriptors() as files:
        for batch in _batches(pairs):
            rows = _rows_by_unit(like, {record.unit for _, record in batch})
            for unit, record in batch:
                tables = rows.pop(record.unit, {})
                if "images" in tables and _agrees(unit, tables["images"], sample, files):
                    path = borrowed_part(parts, unit, fingerprint_of(unit))
                    if part_counts(path) is None:
                        write_part(path, _renamed(unit, tables))


def _batches(pairs: Sequence[_Pair]) -> Iterator[list[_Pair]]:
    """Yield the pairs in batches of about _MAX_ROWS images."""
    batch: list[_Pair] = []
    for pair in pairs:
        batch.append(pair)
        if sum(record.n_images for _, record in batch) >= _MAX_ROWS:
            yield batch
            batch = []
    if batch:
        yield batch


def _pairs(units: Sequence[Unit], like: Path) -> list[_Pair]:
    """Return units with the one unit of the other index that may be the same."""
    records: dict[tuple[str, str, int], list[UnitRecord]] = {}
    for source in read_sources(like, read_manifest(like)):
        for record in source.units:
            if record.n_images and record.size >= 0:
                records.setdefault((record.form, record.member, record.size), []).append(record)
    pairs: list[_Pair] = []
    for unit in units:
        if not unit.path.is_file():
            continue
        same = records.get((unit.form, unit.member, unit.path.stat().st_size), [])
        same = [record for record in same if same_settings(record.fingerprint, unit)]
        named = [record for record in same if PurePosixPath(record.file).name == PurePosixPath(unit.file).name]
        if len(named or same) == 1:
            pairs.append((unit, (named or same)[0]))
    return pairs


def _rows_by_unit(like: Path, units: set[int]) -> dict[int, dict[str, list[pa.Table]]]:
    """Return the rows of units of the other index, by unit and by table of a part."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    manifest = read_manifest(like)
    keys = pa.array(sorted(units), pa.int64())
    tables: dict[int, dict[str, list[pa.Table]]] = {}
    for table, part_table in _TABLES.items():
        for path in manifest.paths(like, table):
            try:
                # Without partitioning=None a folder such as lab=3 in the path would become a column.
                rows = pq.read_table(path, filters=pc.field("unit").isin(keys), partitioning=None).sort_by("unit")
            except (pa.ArrowException, OSError) as error:
                raise damaged(like, f"its table {table} cannot be read: {error}") from error
            start = 0
            for count in rows["unit"].combine_chunks().value_counts().to_pylist() if rows.num_rows else []:
                unit_rows = rows.slice(start, count["counts"])
                tables.setdefault(count["values"], {}).setdefault(part_table, []).append(unit_rows)
                start += count["counts"]
    return tables


def _agrees(unit: Unit, tables: Sequence[pa.Table], sample: int, files: blob.Descriptors) -> bool:
    """Return True if a sample of a unit's images is in its file, as the other index has them."""
    import pyarrow as pa

    columns = ["image_id", "member", "offset", "length", "compression", "width", "height", "encoding", "split", "wnid"]
    rows = pa.concat_tables([table.select(columns) for table in tables])
    step = max(1, rows.num_rows // sample)
    places = [rows.num_rows - 1, *range(0, rows.num_rows, step)]
    return all(
        (unit.wnid is None or row["wnid"] == unit.wnid)
        and (unit.split is None or row["split"] == unit.split)
        and _is_there(unit, row, files)
        for row in rows.take(places).to_pylist()
    )


def _is_there(unit: Unit, row: Mapping[str, object], files: blob.Descriptors) -> bool:
    offset, length = row["offset"], row["length"]
    if not isinstance(offset, int) or not isinstance(length, int):
        return False  # an image in a stream or in a table
    name, size = b"", length
    try:
        if offset:
            block = files.read(unit.path, offset - tar_header.BLOCK, tar_header.BLOCK)
            name, size, _ = tar_header.parse(block, offset - tar_header.BLOCK, str(unit.path))
        head = files.read(unit.path, offset, min(length, _HEAD_BYTES))
    except (ImagenetToolsError, OSError):
        return False
    stem = str(row["member"] or row["image_id"]).rpartition("/")[2].removesuffix(".JPEG")
    # A header cuts a longer name at 100 bytes.
    if size != length or (len(name) < 100 and stem not in name.decode(errors="backslashreplace")):
        return False
    if row["compression"] is not None or row["width"] is None:
        return True
    image = probe(head, length, lambda start, n: files.read(unit.path, offset + start, min(n, length - start)))
    return (image.width, image.height, image.encoding) == (row["width"], row["height"], row["encoding"])


def _renamed(unit: Unit, tables: Mapping[str, Sequence[pa.Table]]) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Yield the other index's rows with the source, file and unit of this index."""
    import pyarrow as pa

    for table, pieces in tables.items():
        schema = arrow_schema(table)
        rows = pa.concat_tables([piece.select(schema.names) for piece in pieces]).cast(schema)
        for name, value in (("source", unit.source), ("file", unit.file), ("unit", unit.key)):
            if name in schema.names:
                place = schema.get_field_index(name)
                column = pa.repeat(pa.scalar(value, schema.field(place).type), rows.num_rows)
                rows = rows.set_column(place, schema.field(place), column)
        if table == "images":
            rows = rows.sort_by([("offset", "ascending"), ("image_id", "ascending")])
        yield from ((table, batch) for batch in rows.combine_chunks().to_batches())
