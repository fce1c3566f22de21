"""Write the files of an index that hold only plain images, each in one call that a worker process can run."""

from __future__ import annotations

from itertools import islice
from operator import lt
from typing import TYPE_CHECKING, NamedTuple

from imagenet_tools.build.parts import Part, read_part
from imagenet_tools.schema import arrow_schema
from imagenet_tools.store.layout import FileEntry, write_table

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pyarrow as pa

_BLOCK_IMAGES = 100_000  # images in memory at a time: about 40 MB


class PlainFileTask(NamedTuple):
    """A file to write, and the sources of its rows."""

    folder: Path
    part: str
    new: tuple[Part, ...]  # parts whose images are all plain; some of them belong to this file
    old: Path | None  # the file of the old index, if there is one
    dropped: tuple[int, ...]  # units whose rows in `old` are removed
    boxes: pa.RecordBatch | None  # (image_id, n): the number of boxes of each image of this file that has any


class _RepeatedImageError(Exception):
    """Two rows of a file are the same image."""


def write_plain(task: PlainFileTask) -> list[FileEntry] | None:
    """Write a file. Return its entry, nothing without rows, or None if two of its rows are the same image."""
    batches = (batch for rows in _blocks(task) for batch in _with_box_counts(task, rows).to_batches())
    try:
        return write_table(task.folder, "images", task.part, batches, plain=True)
    except _RepeatedImageError:
        return None


def _with_box_counts(task: PlainFileTask, rows: pa.Table) -> pa.Table:
    """Return sorted rows with n_boxes filled in. Raise _RepeatedImageError if two of them are the same image."""
    import pyarrow as pa

    if not _is_ascending(rows):
        raise _RepeatedImageError
    if task.boxes is not None:
        import pyarrow.compute as pc  # 50 ms, which images without boxes do not need

        places = pc.index_in(rows["image_id"].combine_chunks(), value_set=task.boxes["image_id"])
        counts = pc.fill_null(task.boxes["n"].take(places), 0).cast(pa.int32())
    else:
        counts = pa.Array.from_buffers(pa.int32(), len(rows), [None, pa.py_buffer(bytes(4 * len(rows)))])
    return rows.set_column(rows.schema.get_field_index("n_boxes"), rows.schema.field("n_boxes"), counts)


def _is_ascending(rows: pa.Table) -> bool:
    """Return True if each id is greater than the one before."""
    ids = rows["image_id"].to_pylist()
    return all(map(lt, ids, islice(ids, 1, None)))


def _blocks(task: PlainFileTask) -> Iterator[pa.Table]:
    """Yield the rows of a file in blocks, ordered by id, which orders them by class because ids begin with the wnid."""
    import pyarrow as pa

    if task.old or not _are_classes(task.new):
        yield _sorted(pa.concat_tables([_old_rows(task), *_new_rows(task)]))
        return
    # Sorting class by class keeps the rows in the processor's cache.
    waiting: list[pa.Table] = []
    for part in sorted(task.new, key=lambda part: min(part.plain or ()).wnid):
        waiting.append(_sorted(read_part(part, "images")))
        if sum(rows.num_rows for rows in waiting) > _BLOCK_IMAGES:
            yield pa.concat_tables(waiting)
            waiting = []
    if waiting:
        yield pa.concat_tables(waiting)


def _are_classes(parts: tuple[Part, ...]) -> bool:
    """Return True if each part is one class, and no two parts are the same class."""
    homes = {home for part in parts for home in part.plain or ()}
    return len(parts) == len(homes) and all(part.plain and len(part.plain) == 1 for part in parts)


def _sorted(rows: pa.Table) -> pa.Table:
    if _is_ascending(rows):
        return rows
    import pyarrow.compute as pc

    whole = rows.combine_chunks()
    return whole.take(pc.sort_indices(whole["image_id"]))


def _new_rows(task: PlainFileTask) -> Iterator[pa.Table]:
    """Yield the rows of new units that belong to this file."""
    for part in task.new:
        rows = read_part(part, "images")
        homes = [home for home in part.plain or () if home.part == task.part]
        if len(homes) < len(part.plain or ()):
            import pyarrow.compute as pc

            dataset, split, _ = homes[0]
            in_split = pc.field("split").is_null() if split is None else pc.field("split") == split
            of_class = pc.field("wnid").isin(sorted({home.wnid for home in homes}))
            rows = rows.filter((pc.field("dataset") == dataset) & in_split & of_class)
        yield rows


def _old_rows(task: PlainFileTask) -> pa.Table:
    """Return the rows of the old file whose units stay."""
    schema = arrow_schema("images")
    if task.old is None:
        return schema.empty_table()
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    rows = pq.ParquetFile(task.old).read(columns=schema.names).cast(schema)
    return rows.filter(~pc.field("unit").isin(pa.array(task.dropped, pa.int64())))
