"""Cut the ordered rows of an export into pieces, the units of work, and keep them in two files.

    rows.arrow      the chosen images of all targets with their boxes, in order: an Arrow IPC file, one or more record
                    batches a piece, so that a worker reads only its own piece
    pieces.json     for each piece its split, its batches, and by target its images and boxes

A piece holds images of one split, and about the same bytes as every other piece of that split.
"""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from imagenet_tools import arrays
from imagenet_tools.exports.orders import choices, ordered
from imagenet_tools.storage.files import whole

if TYPE_CHECKING:
    import numpy.typing as npt
    import pyarrow as pa

    from imagenet_tools.exports.plan import Plan

_ROWS = "rows.arrow"
_PIECES = "pieces.json"

# Bytes of images in a piece if no target has shards: little work is lost by an interruption, and a worker has enough.
_PIECE = 64 << 20
# Creating a small file takes as long as writing this many bytes.
_FILE_COST_BYTES = 64 << 10

_ROWS_AS_OBJECTS = 2048  # rows that are Python objects at a time

# The columns that _count_splits() needs of images that several selections may choose, and images counted at a time.
_COUNTED_COLUMNS = ("dataset", "image_id", "hash32", "split", "length", "width", "height", "encoding")
_COUNTED_AT_ONCE = 2_000_000

Columns = dict[str, Any]  # lists of values by column; boxes, `found`, stay an Arrow array


class Piece(NamedTuple):
    """A piece: its split, its batches in rows.arrow, and its images and boxes by target."""

    split: str
    first_batch: int
    batches: int
    images: Sequence[int]
    boxes: Sequence[int]


@dataclass(frozen=True)
class Pieces:
    """All pieces of an export in order, and the folder of their files."""

    folder: Path
    pieces: tuple[Piece, ...]

    def field_type(self, key: str) -> pa.DataType:
        """Return the Arrow type of the values of a --field."""
        import pyarrow as pa

        with pa.memory_map(str(self.folder / _ROWS)) as source, pa.ipc.open_file(source) as file:
            return file.schema.field(f"field {key}").type

    def columns(self, number: int) -> Iterator[Columns]:
        """Yield the rows of a piece in batches, with the columns that orders.ordered() names."""
        import pyarrow as pa

        piece = self.pieces[number]
        with pa.memory_map(str(self.folder / _ROWS)) as source, pa.ipc.open_file(source) as file:
            for n in range(piece.first_batch, piece.first_batch + piece.batches):
                batch = file.get_batch(n)
                for start in range(0, len(batch), _ROWS_AS_OBJECTS):
                    part = batch.slice(start, _ROWS_AS_OBJECTS)
                    lists = {name: part.column(name).to_pylist() for name in part.schema.names if name != "found"}
                    yield {**lists, "found": part.column("found")}


def cut(plans: Sequence[Plan], folder: Path) -> Pieces:
    """Return the pieces of an export, from the files in `folder` if they are there: a run that goes on has the same."""
    path = folder / _PIECES
    if not path.exists():
        (folder / _ROWS).unlink(missing_ok=True)
        with whole(folder / _ROWS, fsync=False) as out:
            written = list(_write(plans, out, folder))
        with whole(path) as out:
            out.write(json.dumps([piece._asdict() for piece in written]).encode())
    return Pieces(folder, tuple(Piece(**row) for row in json.loads(path.read_text())))


def count(plans: Sequence[Plan]) -> dict[str, int]:
    """Return the number of pieces by split."""
    return {split: pieces for split, (_, pieces) in _sizes(plans).items()}


def shard_bytes(plans: Sequence[Plan]) -> int | None:
    """Return the bytes of images in a shard; None if no target has shards."""
    defaults = [plan.writes.shard_bytes for plan in plans if plan.writes.shard_bytes is not None]
    return (plans[0].options.shard_size or min(defaults)) if defaults else None


def _measured(plans: Sequence[Plan]) -> Plan:
    """Return the plan by whose bytes the pieces are cut: that of the first target with shards, else the first one."""
    return next((plan for plan in plans if plan.writes.shard_bytes is not None), plans[0])


def _bytes_sql(plans: Sequence[Plan]) -> str:
    plan = _measured(plans)
    return plan.options.bytes_sql(plan.writes)


def _file_cost(plans: Sequence[Plan]) -> int:
    return 0 if shard_bytes(plans) is not None else _FILE_COST_BYTES


def _sizes(plans: Sequence[Plan]) -> dict[str, tuple[int, int]]:
    """Return the cost of each split, its bytes and those of creating its files, and the pieces that it is cut into."""
    costs, images = Counter[str](), Counter[str]()
    for split, n_bytes, n_images in _count_splits(plans):
        costs[split] += n_bytes + n_images * _file_cost(plans)
        images[split] += n_images
    piece_cost = shard_bytes(plans) or _PIECE
    return {split: (cost, min(_even(-(-cost // piece_cost)), max(images[split], 1))) for split, cost in costs.items()}


def _even(n: int) -> int:
    """Return at least n pieces, 1 or an even number: two workers take 4 smaller pieces in 3/4 of the time of 3."""
    return n + n % 2 if n > 1 else 1


def _count_splits(plans: Sequence[Plan]) -> Iterator[tuple[str, int, int]]:
    """Yield (split, bytes, images) of parts of the images that any target takes, split by split or several times."""
    selections = [selection for selection, _ in choices(plans)]
    if len(selections) == 1:
        yield from ((counts.split, counts.bytes, counts.images) for counts in _measured(plans).sources)
        return
    columns = ", ".join(f'images."{name}"' for name in _COUNTED_COLUMNS)
    queries = [selection.chosen(columns, f"_of_{n}") for n, selection in enumerate(selections)]
    values = {name: value for query in queries for name, value in query.values.items()}
    parts = max(plan.images() for plan in plans) // _COUNTED_AT_ONCE + 1
    for part in range(parts):
        union = " UNION ".join(f"FROM ({query.text}) WHERE hash32 % {parts} = {part}" for query in queries)
        text = f"SELECT split, sum({_bytes_sql(plans)})::BIGINT, count(*) FROM ({union}) GROUP BY split"
        yield from selections[0].run(f"{text} ORDER BY split", values).fetchall()


# ---- rows.arrow


def _write(plans: Sequence[Plan], out: object, folder: Path) -> Iterator[Piece]:
    """Write the rows as they come, and yield the pieces."""
    import pyarrow as pa

    cost = f"{_bytes_sql(plans)} + {_file_cost(plans)}"
    # The classes whose boxes each target takes; None for a target without boxes.
    classes = [arrays.strings([row.wnid for row in plan.classes]) if plan.boxes() else None for plan in plans]
    writer: pa.ipc.RecordBatchFileWriter | None = None
    written = 0
    runs = _runs(ordered(plans, cost, folder), _sizes(plans))
    for (split, _), group in itertools.groupby(runs, key=lambda run: run[:2]):
        first_batch = written
        counts = np.zeros((2, len(plans)), np.int64)  # images and boxes by target
        for _, _, rows in group:
            writer = writer or pa.ipc.new_file(out, rows.schema)
            writer.write_batch(rows)
            written += 1
            counts += _count_by_target(rows, classes)
        images, boxes = counts.tolist()
        yield Piece(split, first_batch, written - first_batch, images, boxes)
    if writer is not None:
        writer.close()


def _runs(
    batches: Iterator[pa.RecordBatch], sizes: dict[str, tuple[int, int]]
) -> Iterator[tuple[str, int, pa.RecordBatch]]:
    """Cut batches where a piece ends, and yield the split, the number of the piece in its split, and its rows.

    Piece k of n ends where k/n of the cost of the split is reached.
    """
    cost_before = dict.fromkeys(sizes, 0)
    for batch in batches:
        costs = np.from_dlpack(batch.column("cost")).astype(np.int64)
        end = 0
        for split, rows in itertools.groupby(batch.column("split").to_pylist()):
            start, end = end, end + sum(1 for _ in rows)
            total, pieces = sizes[split]
            sums = np.cumsum(costs[start:end])
            before = cost_before[split] + sums - costs[start:end]
            numbers = np.minimum(before * pieces // max(total, 1), pieces - 1)
            cost_before[split] += int(sums[-1])
            for first, last in _stretches(numbers):
                yield split, int(numbers[first]), batch.slice(start + first, last - first)


def _stretches(values: npt.NDArray[Any]) -> Iterator[tuple[int, int]]:
    """Yield (start, end) of each stretch of equal values."""
    return itertools.pairwise([0, *(np.flatnonzero(values[1:] != values[:-1]) + 1).tolist(), len(values)])


def _count_by_target(rows: pa.RecordBatch, classes: Sequence[pa.Array | None]) -> npt.NDArray[np.int64]:
    """Return the images and the boxes of each target among rows: an array of 2 x targets."""
    targets: npt.NDArray[np.int32] = np.asarray(np.from_dlpack(rows.column("targets")), np.int32)
    found = rows.column("found")
    boxes_of_image: npt.NDArray[np.int64] = np.zeros(len(rows), np.int64)
    if any(wnids is not None for wnids in classes):
        boxes_of_image = arrays.lengths(found)
    counts = np.zeros((2, len(classes)), np.int64)
    for n, wnids in enumerate(classes):
        taken = (targets >> n & 1).astype(bool)
        counts[0, n] = taken.sum()
        if wnids is not None and boxes_of_image.any():
            import pyarrow.compute as pc  # 40 ms, which an export without boxes does not need

            of_class = np.from_dlpack(pc.is_in(pc.struct_field(found.flatten(), "wnid"), wnids).cast("uint8"))
            counts[1, n] = of_class[np.repeat(taken, boxes_of_image)].sum()
    return counts
