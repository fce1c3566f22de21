"""The rows of an export in their order, cut into pieces of work, kept in a file beside what is being made.

    rows.arrow      the chosen images of all targets with their boxes, in order: Arrow's file format, a batch or more
                    a piece, so that a worker reads its own piece and nothing else
    pieces.json     for each piece its split, its batches, and by target how many images and boxes lie in it

A piece holds images of one split, and about as many bytes as every other piece of that split.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from imagenet_tools.exports import arrays
from imagenet_tools.exports.orders import choices, ordered
from imagenet_tools.storage.files import whole

if TYPE_CHECKING:
    import numpy.typing as npt
    import pyarrow as pa

    from imagenet_tools.exports.plan import Plan

_ROWS, _PIECES = "rows.arrow", "pieces.json"

# A piece where no target sees shards: small enough to be done again after an interruption, large enough to be worth a
# worker's while. A small file costs as much as this many bytes more.
_PIECE, _PER_FILE = 64 << 20, 64 << 10

# So many rows are Python's objects at a time.
_OBJECTS = 2048

# Values by the name of their column.
Columns = dict[str, list[Any]]

# What tells the images of several selections apart, and what they cost; so many are told apart at once.
_TOLD = (
    "dataset", "image_id", "hash32", "split", "wnid", "offset", "length", "width", "height", "encoding",
)  # fmt: skip
_AT_ONCE = 2_000_000


@dataclass(frozen=True)
class Piece:
    """A piece of the work; `images` and `boxes` by target."""

    split: str
    first_batch: int
    batches: int
    images: tuple[int, ...]
    boxes: tuple[int, ...]


@dataclass(frozen=True)
class Pieces:
    """All pieces of an export, in order, and the folder where their rows lie."""

    folder: Path
    pieces: tuple[Piece, ...]

    def field_type(self, key: str) -> pa.DataType:
        """The Arrow type of a field's values."""
        import pyarrow as pa

        with pa.memory_map(str(self.folder / _ROWS)) as source, pa.ipc.open_file(source) as file:
            return file.schema.field(f"field {key}").type

    def columns(self, number: int) -> Iterator[Columns]:
        """The rows of a piece in batches: orders.COLUMNS, out_width, out_height, found, targets, and `field KEY`."""
        import pyarrow as pa

        piece = self.pieces[number]
        with pa.memory_map(str(self.folder / _ROWS)) as source, pa.ipc.open_file(source) as file:
            for n in range(piece.first_batch, piece.first_batch + piece.batches):
                whole = file.get_batch(n)
                for start in range(0, len(whole), _OBJECTS):
                    batch = whole.slice(start, _OBJECTS)
                    yield {name: batch.column(name).to_pylist() for name in batch.schema.names}


def cut(plans: Sequence[Plan], folder: Path) -> Pieces:
    """The pieces of an export to these targets; made once, and read again by a run that goes on."""
    there = folder / _PIECES
    if not there.exists():
        (folder / _ROWS).unlink(missing_ok=True)
        with whole(folder / _ROWS, fsync=False) as out:
            found = list(_write(plans, out, folder))
        with whole(there) as out:
            out.write(json.dumps([asdict(piece) for piece in found]).encode())
    listed = json.loads(there.read_text())
    as_made = [one | {"images": tuple(one["images"]), "boxes": tuple(one["boxes"])} for one in listed]
    return Pieces(folder, tuple(Piece(**one) for one in as_made))


def count(plans: Sequence[Plan]) -> dict[str, int]:
    """How many pieces there will be, by split."""
    return {split: size.pieces for split, size in _sizes(plans).items()}


# ---- how many


class _Size(NamedTuple):
    """The images of a split: their cost in all, into how many pieces they are cut, and how many lie packed."""

    cost: int
    pieces: int
    packed: int


def shard_bytes(plans: Sequence[Plan]) -> int | None:
    """Bytes of images in a shard; None where no target sees shards."""
    own = [plan.writes.shard_bytes for plan in plans if plan.writes.shard_bytes is not None]
    return (plans[0].options.shard_size or min(own)) if own else None


def _cost(plans: Sequence[Plan]) -> str:
    about = plans[0].options.bytes_sql()
    return about if shard_bytes(plans) is not None else f"({about} + {_PER_FILE})"


def _sizes(plans: Sequence[Plan]) -> dict[str, _Size]:
    """The size of each split."""
    found: dict[str, tuple[int, int, int]] = {}
    for split, *numbers in _counted(plans):
        found[split] = tuple(map(sum, zip(found.get(split, (0, 0, 0)), numbers, strict=True)))  # type: ignore[assignment]
    size = shard_bytes(plans) or _PIECE
    return {split: _Size(cost, max(1, min(-(-cost // size), n)), packed) for split, (cost, n, packed) in found.items()}


def _counted(plans: Sequence[Plan]) -> Iterator[tuple[str, int, int, int]]:
    """(split, cost, images, packed images), some images at a time where several selections may have them."""
    counted = f'split, sum({_cost(plans)})::BIGINT, count(*), count(*) FILTER ("offset" IS NULL)'
    selection, *others = (one.selection for one in choices(plans))
    if not others:
        yield from selection.run(
            f"SELECT {counted} FROM made WHERE left_out IS NULL GROUP BY split ORDER BY split"
        ).fetchall()
        return
    columns = ", ".join(f'images."{name}"' for name in _TOLD)
    each = [one.chosen(columns, f"_of_{n}") for n, one in enumerate((selection, *others))]
    values = {name: value for one in each for name, value in one.values.items()}
    parts = max(plan.images() for plan in plans) // _AT_ONCE + 1
    for part in range(parts):
        together = " UNION ".join(f"FROM ({one.text}) WHERE hash32 % {parts} = {part}" for one in each)
        yield from selection.run(f"SELECT {counted} FROM ({together}) GROUP BY split ORDER BY split", values).fetchall()


# ---- the file


def _write(plans: Sequence[Plan], out: object, folder: Path) -> Iterator[Piece]:
    """Write the rows as they come; gives the pieces."""
    import pyarrow as pa

    sizes = _sizes(plans)
    # None: a target without boxes. What pyarrow makes of lists, and numpy of it otherwise than by DLPack, goes through
    # pandas where that is installed, which takes longer to import than a small export does.
    known = [arrays.strings([one.wnid for one in plan.classes]) if plan.writes.boxes else None for plan in plans]
    before: dict[str, int] = dict.fromkeys(sizes, 0)
    writer: pa.ipc.RecordBatchFileWriter | None = None
    written, current, key = 0, None, None
    packed = any(size.packed for size in sizes.values())
    for batch in ordered(plans, _cost(plans), folder, packed=packed):
        writer = writer or pa.ipc.new_file(out, batch.schema)
        for split, number, run in _runs(batch, sizes, before):
            writer.write_batch(run)
            images, found = _per_target(run, known)
            if key == (split, number) and current is not None:
                current = Piece(
                    split,
                    current.first_batch,
                    current.batches + 1,
                    tuple(map(sum, zip(current.images, images, strict=True))),
                    tuple(map(sum, zip(current.boxes, found, strict=True))),
                )
            else:
                if current is not None:
                    yield current
                current = Piece(split, written, 1, images, found)
            key, written = (split, number), written + 1
    if current is not None:
        yield current
    if writer is not None:
        writer.close()


def _runs(
    batch: pa.RecordBatch, sizes: dict[str, _Size], before: dict[str, int]
) -> Iterator[tuple[str, int, pa.RecordBatch]]:
    """(split, number of the piece, rows) of a batch; `before` counts the cost of what came before, by split."""
    coded = batch.column("split").dictionary_encode()
    splits, cost = np.from_dlpack(coded.indices), np.from_dlpack(batch.column("cost")).astype(np.int64)
    starts = [0, *(np.flatnonzero(splits[1:] != splits[:-1]) + 1).tolist(), len(splits)]
    for start, end in itertools.pairwise(starts):
        split = coded.dictionary[int(splits[start])].as_py()
        total, k, _ = sizes[split]
        sums = np.cumsum(cost[start:end])
        numbers = np.minimum((before[split] + sums - cost[start:end]) * k // max(total, 1), k - 1)
        before[split] += int(sums[-1])
        edges = [0, *(np.flatnonzero(numbers[1:] != numbers[:-1]) + 1).tolist(), end - start]
        for a, b in itertools.pairwise(edges):
            yield split, int(numbers[a]), batch.slice(start + a, b - a)


def _per_target(run: pa.RecordBatch, known: Sequence[pa.Array | None]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """(images, boxes) of each target among these rows."""
    import pyarrow.compute as pc

    targets: npt.NDArray[np.int32] = np.asarray(np.from_dlpack(run.column("targets")), np.int32)
    found = run.column("found")
    boxed = any(classes is not None for classes in known)
    # Not fill_null: where a scalar is made of Python's 0, pandas is imported.
    lengths = np.diff(np.from_dlpack(found.offsets)) * np.from_dlpack(found.is_valid().cast("uint8")) if boxed else ()
    sizes: npt.NDArray[np.int64] = np.asarray(lengths, np.int64)
    images, counts = [], []
    for n, classes in enumerate(known):
        taken = (targets >> n & 1).astype(bool)
        images.append(int(taken.sum()))
        if classes is not None and sizes.any():
            own = np.from_dlpack(pc.is_in(pc.struct_field(found.flatten(), "wnid"), classes).cast("uint8"))
            counts.append(int(own[np.repeat(taken, sizes)].sum()))
        else:
            counts.append(0)
    return tuple(images), tuple(counts)
