"""The files of an index that hold plain images alone, each written by itself, in a process of its own where it pays."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from imagenet_tools.index.layout import FileEntry, write_table
from imagenet_tools.index.parts import Part, read_part
from imagenet_tools.schema import arrow_schema

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pyarrow as pa

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


class Written(NamedTuple):
    """A file that was written: None where no rows are left."""

    entry: FileEntry | None
    frames: pa.Table  # FRAME of the images with boxes


class _TwiceError(Exception):
    """An image stands twice in a file."""


def write_plain(work: Work) -> Written | None:
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
    return Written(replace(entry, plain=True) if entry else None, pa.concat_tables(boxed).combine_chunks())


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
