"""The files of an index that hold plain images alone, each written by itself, in a process of its own where it pays."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from imagenet_tools.index.layout import FileEntry, write_table
from imagenet_tools.index.parts import Part, read_part
from imagenet_tools.schema import arrow_schema

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pyarrow as pa

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


class Written(NamedTuple):
    """A file that was written: None where no rows are left."""

    entry: FileEntry | None
    frames: pa.Table  # FRAME of the images with boxes


def write_plain(work: Work) -> Written | None:
    """Write a file; None, and no file, where an image stands in it twice."""
    import pyarrow as pa
    import pyarrow.compute as pc

    rows = _rows(work)
    ids = rows["image_id"].combine_chunks()
    if pc.any(pc.equal(ids[1:], ids[:-1])).as_py():
        return None
    found = pc.index_in(ids, value_set=work.boxes["image_id"])
    counts = pc.fill_null(work.boxes["n"].take(found), 0).cast(pa.int32())
    rows = rows.set_column(rows.schema.get_field_index("n_boxes"), rows.schema.field("n_boxes"), counts)
    entry = write_table(work.folder, "images", work.part, rows.to_batches())
    frames = rows.select(FRAME).filter(pc.greater(counts, 0)).combine_chunks()
    return Written(replace(entry, plain=True) if entry else None, frames)


def _rows(work: Work) -> pa.Table:
    """The rows of a file in their order: by id alone, for the ids of a class begin with it."""
    import pyarrow as pa

    empty = arrow_schema("images").empty_table()
    if not work.old and _are_classes(work.new):
        # Sorted class by class, the rows stay in the processor's cache.
        by_class = sorted(work.new, key=lambda part: min(part.plain or ()).wnid)
        return pa.concat_tables([empty, *(_sorted(read_part(part, "images")) for part in by_class)])
    return _sorted(pa.concat_tables([empty, *_new(work), *_old(work)]))


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
    import pyarrow.compute as pc

    for part in work.new:
        rows = read_part(part, "images")
        homes = part.plain or frozenset()
        here = next(home for home in homes if home.part == work.part)
        if any(home.part != work.part for home in homes):
            split = rows["split"].is_null() if here.split is None else pc.equal(rows["split"], here.split)
            of_set = pc.and_(pc.equal(rows["dataset"], here.dataset), pc.fill_null(split, False))
            rows = rows.filter(pc.and_(of_set, pc.starts_with(rows["wnid"], here.head)))
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
