"""The files of an index that hold plain images alone, each written by itself, in a process of its own where it pays."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from imagenet_tools.build.parts import Part, read_part
from imagenet_tools.build.plain import PlainHome, splits_of
from imagenet_tools.build.stage import parquet
from imagenet_tools.schema import TABLES, arrow_schema
from imagenet_tools.store.layout import FileEntry, write_table

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pyarrow as pa

    from imagenet_tools.build.stage import Stage
    from imagenet_tools.store.layout import FileEntry


_BLOCK = 100_000  # images that are held at a time: some 40 MB

# What boxes are normalised by.
FRAME = ("dataset", "image_id", "wnid", "width", "height")


class Work(NamedTuple):
    """A file to write, and all that its rows are made of."""

    folder: Path
    part: str
    new: tuple[Part, ...]  # of units whose images are plain, some of them of this file
    old: tuple[Path, ...]  # the file of the generation before
    dropped: tuple[int, ...]  # units whose rows in it go
    boxes: pa.Table  # image_id, n: how many boxes images of this file have, where any


class WrittenFile(NamedTuple):
    """A file that was written: None where no rows are left."""

    entry: FileEntry | None
    frames: pa.Table  # FRAME of the images with boxes


class _TwiceError(Exception):
    """An image stands twice in a file."""


def write_plain(work: Work) -> WrittenFile | None:
    """Write a file; None, and no file, where an image stands in it twice."""
    import pyarrow as pa
    import pyarrow.compute as pc

    boxed = [pa.schema([arrow_schema("images").field(name) for name in FRAME]).empty_table()]

    def batches() -> Iterator[pa.RecordBatch]:
        for rows in map(functools.partial(_counted, work), _blocks(work)):
            boxed.append(rows.select(FRAME).filter(pc.greater(rows["n_boxes"], 0)))
            yield from rows.to_batches()

    try:
        entry = write_table(work.folder, "images", work.part, batches())
    except _TwiceError:
        return None
    return WrittenFile(replace(entry, plain=True) if entry else None, pa.concat_tables(boxed).combine_chunks())


def _counted(work: Work, rows: pa.Table) -> pa.Table:
    """Sorted rows with how many boxes they have; _TwiceError where two of them are one image."""
    import pyarrow as pa
    import pyarrow.compute as pc

    ids = rows["image_id"].combine_chunks()
    if pc.any(pc.equal(ids[1:], ids[:-1])).as_py():
        raise _TwiceError
    found = pc.index_in(ids, value_set=work.boxes["image_id"])
    counts = pc.fill_null(work.boxes["n"].take(found), 0).cast(pa.int32())
    return rows.set_column(rows.schema.get_field_index("n_boxes"), rows.schema.field("n_boxes"), counts)


def _blocks(work: Work) -> Iterator[pa.Table]:
    """The rows of a file in their order, some at a time: by id alone, for the ids of a class begin with it."""
    import pyarrow as pa

    if work.old or not _are_classes(work.new):
        yield _sorted(pa.concat_tables([arrow_schema("images").empty_table(), *_new(work), *_old(work)]))
        return
    # Sorted class by class, the rows stay in the processor's cache.
    waiting: list[pa.Table] = []
    for part in sorted(work.new, key=lambda part: min(part.plain or ()).wnid):
        waiting.append(_sorted(read_part(part, "images")))
        if sum(rows.num_rows for rows in waiting) > _BLOCK:
            yield pa.concat_tables(waiting)
            waiting = []
    if waiting:
        yield pa.concat_tables(waiting)


def _are_classes(parts: tuple[Part, ...]) -> bool:
    """Whether each part is one class, and each another one."""
    return all(part.plain and len(part.plain) == 1 for part in parts) and len(parts) == len(
        {home for part in parts for home in part.plain or ()}
    )


def _sorted(rows: pa.Table) -> pa.Table:
    import pyarrow.compute as pc

    whole = rows.combine_chunks()
    return whole.take(pc.sort_indices(whole["image_id"]))


def _new(work: Work) -> Iterator[pa.Table]:
    """The rows of new units, those of this file alone."""
    import pyarrow as pa
    import pyarrow.compute as pc

    for part in work.new:
        rows = read_part(part, "images")
        homes = part.plain or frozenset()
        here = next(home for home in homes if home.part == work.part)
        if any(home.part != work.part for home in homes):
            split = rows["split"].is_null() if here.split is None else pc.equal(rows["split"], here.split)
            of_set = pc.and_(pc.equal(rows["dataset"], here.dataset), pc.fill_null(split, False))
            wnids = pa.array(sorted({home.wnid for home in homes if home.part == work.part}), pa.string())
            rows = rows.filter(pc.and_(of_set, pc.is_in(rows["wnid"], value_set=wnids)))
        yield rows


def _old(work: Work) -> Iterator[pa.Table]:
    """The rows of the generation before that stay."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    form = arrow_schema("images")
    for path in work.old:
        rows = pq.ParquetFile(path).read(columns=form.names).cast(form)
        gone = pc.is_in(rows["unit"], value_set=pa.array(work.dropped, pa.int64()))
        yield rows.filter(pc.invert(gone))


# ---- the images that a merge compares: all that are not plain, and plain ones that may be the same


# What a wnid in front of an id is: of a plain image, its class.
NAMED_CLASS = "left(image_id, 9)"

_COLUMNS = ", ".join(f'"{column.name}"' for column in TABLES["images"].columns)

Classes = set[tuple[str, str]]  # data set, wnid


def odd_units(stage: Stage) -> set[int]:
    """The new units with images of which not all are plain."""
    return {unit for unit, part in stage.parts.items() if "images" in part.tables and part.plain is None}


def odd_entries(stage: Stage) -> list[FileEntry]:
    """The old files of images, and of copies, of which not all are plain, or some stand twice."""
    copies = stage.old.tables.get("copies", [])
    twice = {entry.part for entry in copies}
    images = stage.old.tables.get("images", [])
    return [*(entry for entry in images if not entry.plain or entry.part in twice), *copies]


def define_odd(stage: Stage) -> None:
    """Define the view odd_images: those of units and files of which not all are plain."""
    stage.sql.register("new_odd_images", stage.new("images", sorted(odd_units(stage))))
    files = [stage.folder / entry.file for entry in odd_entries(stage)]
    old = f" UNION ALL SELECT {_COLUMNS} FROM {parquet(files)} WHERE unit NOT IN (FROM dropped)" if files else ""
    stage.sql.execute(f"CREATE TEMP VIEW odd_images AS SELECT {_COLUMNS} FROM new_odd_images{old}")


def define_plain(stage: Stage, view: str, classes: Classes) -> None:
    """Define a view of the plain images of these classes, or of some more."""
    import pyarrow as pa

    near = [
        unit
        for unit, part in stage.parts.items()
        if any((home.dataset, home.wnid) in classes for home in part.plain or ())
    ]
    stage.sql.register(f"new_{view}", stage.new("images", near))
    columns = [pa.array([one[n] for one in sorted(classes)], pa.string()) for n in (0, 1)]
    stage.sql.register(f"classes_of_{view}", pa.table(columns, ["dataset", "wnid"]))
    heads = {(dataset, PlainHome(dataset, None, wnid).head) for dataset, wnid in classes}
    files = [stage.folder / entry.file for entry, dataset, _, head in plain_entries(stage) if (dataset, head) in heads]
    old = f""" UNION ALL SELECT {_COLUMNS} FROM {parquet(files)} SEMI JOIN classes_of_{view} USING (dataset, wnid)
               WHERE unit NOT IN (FROM dropped)""" if files else ""  # fmt: skip
    stage.sql.execute(f"CREATE TEMP VIEW {view} AS SELECT {_COLUMNS} FROM new_{view}{old}")


def forget(stage: Stage, view: str) -> None:
    """Let go of a view of define_plain, and of the parts that are mapped for it."""
    stage.sql.execute(f"DROP VIEW {view}")
    stage.sql.unregister(f"new_{view}")


def classes_named(stage: Stage, rows: str) -> Classes:
    """The data sets and classes of the plain images that may have the ids of these rows."""
    query = f"SELECT DISTINCT dataset, {NAMED_CLASS} FROM {rows} WHERE image_id LIKE 'n%'"
    return set(stage.sql.execute(query).fetchall())


def classes_in_splits(stage: Stage) -> Classes:
    """The data sets and classes whose new plain images are not in the one split of all the others."""
    new = {home for part in stage.parts.values() for home in part.plain or ()}
    splits = splits_of(new)
    for _, dataset, split, head in plain_entries(stage):
        splits.setdefault((dataset, head), set()).add(split)
    return {(home.dataset, home.wnid) for home in new if len(splits[home.dataset, home.head]) > 1}


def plain_entries(stage: Stage) -> Iterator[tuple[FileEntry, str, str | None, str]]:
    """The old files of plain images alone: (file, data set, split, head of the wnid), which their parts say."""
    odd = {entry.part for entry in odd_entries(stage)}
    for entry in stage.old.tables.get("images", []):
        if entry.part not in odd:
            dataset, split, head = entry.part.rsplit("-", 2)
            yield entry, dataset, None if split == "nosplit" else split, head
