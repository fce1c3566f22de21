"""The rows of an export in their order, cut into pieces of work, kept in a file beside what is being made.

    rows.arrow      the chosen images of all targets with their boxes, in order: Arrow's file format, a batch or more
                    a piece, so that a worker reads its own piece and nothing else
    pieces.json     for each piece its split, its batches, and by target how many images and boxes lie in it

A piece holds images of one split, and about as many bytes as every other piece of that split. Where the order is that
of blocks, stretches of about a MiB as they lie in the sources are drawn by lot, some 256 MiB of them are mixed, and
then the next: every byte is read in one pass, and neighbours come from some 250 places of the sources. Without a
shuffle the order is that of classes, but as they lie where images are in Parquet or gzip streams: there, any other
order would decode a whole row group for every image.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from imagenet_tools.exports import arrays, boxes
from imagenet_tools.exports.kept import seed_of
from imagenet_tools.files import whole
from imagenet_tools.selection.query import Sql

if TYPE_CHECKING:
    import numpy.typing as npt
    import pyarrow as pa

    from imagenet_tools.exports.plan import Plan

_ROWS, _PIECES = "rows.arrow", "pieces.json"

# A piece where no target sees shards: small enough to be done again after an interruption, large enough to be worth a
# worker's while. A small file costs as much as this many bytes more.
_PIECE, _PER_FILE = 64 << 20, 64 << 10

# The order of blocks: a block, and how many bytes of blocks are mixed at a time.
BLOCK, WINDOW = 1 << 20, 256 << 20
# Blocks are so much larger where a row group or a stretch of a gzip stream is decoded for each.
_PACKED = 16

# So many rows are Python's objects at a time.
_AT_ONCE = 2048

# Values by the name of their column.
Columns = dict[str, list[Any]]

COLUMNS = (
    "dataset", "image_id", "photo", "wnid", "official_wnid", "split", "official_split", "source", "file", "offset",
    "length", "member", "position", "compression", "width", "height", "mode", "encoding", "orientation",
)  # fmt: skip


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
        """The rows of a piece in batches: COLUMNS, out_width, out_height, found, targets, and fields as `field KEY`."""
        import pyarrow as pa

        piece = self.pieces[number]
        with pa.memory_map(str(self.folder / _ROWS)) as source, pa.ipc.open_file(source) as file:
            for n in range(piece.first_batch, piece.first_batch + piece.batches):
                whole = file.get_batch(n)
                for start in range(0, len(whole), _AT_ONCE):
                    batch = whole.slice(start, _AT_ONCE)
                    yield {name: batch.column(name).to_pylist() for name in batch.schema.names}


def cut(plans: Sequence[Plan], folder: Path) -> Pieces:
    """The pieces of an export to these targets; made once, and read again by a run that goes on."""
    there = folder / _PIECES
    if not there.exists():
        (folder / _ROWS).unlink(missing_ok=True)
        with whole(folder / _ROWS, fsync=False) as out:
            found = list(_write(plans, out))
        with whole(there) as out:
            out.write(json.dumps([asdict(piece) for piece in found]).encode())
    listed = json.loads(there.read_text())
    as_made = [one | {"images": tuple(one["images"]), "boxes": tuple(one["boxes"])} for one in listed]
    return Pieces(folder, tuple(Piece(**one) for one in as_made))


def count(plans: Sequence[Plan]) -> dict[str, int]:
    """How many pieces there will be, by split."""
    return {split: k for split, (_, k) in _sizes(plans).items()}


# ---- the query


def shard_bytes(plans: Sequence[Plan]) -> int | None:
    """Bytes of images in a shard; None where no target sees shards."""
    own = [plan.writer.SHARD_BYTES for plan in plans if plan.writer.SHARD_BYTES is not None]
    return (plans[0].options.shard_size or min(own)) if own else None


def _cost(plans: Sequence[Plan]) -> str:
    about = plans[0].options.bytes_sql()
    return about if shard_bytes(plans) is not None else f"({about} + {_PER_FILE})"


def _members(plans: Sequence[Plan]) -> Sql:
    """The chosen images of all targets: COLUMNS, hash32, fields, and `targets`, a bit for each that takes the image."""
    fields = [f'{boxes.quoted(column)} AS "field {key}"' for key, column in plans[0].options.fields]
    columns = ", ".join([*(f'images."{name}"' for name in COLUMNS), "images.hash32", *fields])
    each = [plan.selection.chosen(f"{columns}, {1 << n} AS bit", f"_of_{n}") for n, plan in enumerate(plans)]
    values = {name: value for one in each for name, value in one.values.items()}
    if len(each) == 1:
        return Sql(f"SELECT * EXCLUDE bit, bit AS targets FROM ({each[0].text})", values)
    together = " UNION ALL ".join(f"FROM ({one.text})" for one in each)
    return Sql(f"SELECT * EXCLUDE bit, sum(bit)::INTEGER AS targets FROM ({together}) GROUP BY ALL", values)


def _sizes(plans: Sequence[Plan]) -> dict[str, tuple[int, int]]:
    """(cost in all, number of pieces) of each split."""
    members = _members(plans)
    text = f"SELECT split, sum({_cost(plans)})::BIGINT, count(*) FROM ({members.text}) GROUP BY split ORDER BY split"
    size = shard_bytes(plans) or _PIECE
    rows = plans[0].selection.run(text, members.values).fetchall()
    return {split: (total, max(1, min(-(-total // size), n))) for split, total, n in rows}


# As images lie in their sources: the twin of payload.reading_order in SQL. A tar's streams are read one by one.
_LIES = """source, file, CASE WHEN compression LIKE 'tar.gz%' AND contains(member, '.tar')
                                     THEN split_part(member, '.tar', 1) ELSE '' END, coalesce("offset", position)"""


def _packed(plans: Sequence[Plan], members: Sql) -> bool:
    """Whether images lie in containers of which a long stretch is decoded for each: row groups, gzip streams."""
    text = f'SELECT count(*) FROM ({members.text}) WHERE "offset" IS NULL'
    row = plans[0].selection.run(text, members.values).fetchone()
    return bool(row and row[0])


def _ordered(plans: Sequence[Plan]) -> Sql:
    options, seed = plans[0].options, seed_of(plans[0].selection)
    chosen, key = _members(plans), "dataset, image_id"
    members, packed = f"members AS ({chosen.text})", _packed(plans, chosen)
    # Another draw than that of splits and samples, which those that are left have in common.
    drawn = f"draw(draw(hash32, {seed}), 1), {key}"
    lies = f"{_LIES}, {key}"
    seen = any(plan.writer.ORDERED for plan in plans)
    found = boxes.by_image(options) if any(plan.writer.BOXES for plan in plans) else boxes.NO_BOXES
    if options.shuffle == "block" and seen:
        block = BLOCK * (_PACKED if packed else 1)
        members += f""",
            blocks AS (SELECT *, (sum(length) OVER (PARTITION BY split ORDER BY {lies}) - length) // {block} AS block
                       FROM members),
            windows AS (SELECT *, (sum(length) OVER (
                PARTITION BY split ORDER BY draw(block::UINTEGER, {seed}), block, {lies}) - length) // {WINDOW} AS win
                        FROM blocks)"""
        rows, order = "FROM windows", f"split, win, {drawn}"
    elif options.shuffle == "full" and seen:
        rows, order = "FROM members", f"split, {drawn}"
    else:
        rows, order = "FROM members", f"split, {lies}" if packed else f"split, wnid, {key}"
    fields = [f'rows."field {key}"' for key, _ in options.fields]
    columns = ", ".join([*(f'rows."{name}"' for name in COLUMNS), *fields, "targets"])
    width, height = options.size_sql()
    text = f"""SELECT {columns}, {width} AS out_width, {height} AS out_height,
                      {_cost(plans)} AS cost, found
               FROM (WITH {members} {rows}) AS rows LEFT JOIN ({found}) USING (dataset, image_id) ORDER BY {order}"""
    of = {wnid: one for plan in plans if plan.writer.BOXES for wnid, one in plan.selection.classes_of().items()}
    return Sql(text, {**chosen.values, **boxes.class_values(of)})


# ---- the file


def _write(plans: Sequence[Plan], out: object) -> Iterator[Piece]:
    """Write the rows as they come; gives the pieces."""
    import pyarrow as pa

    sizes = _sizes(plans)
    # None: a target without boxes. What pyarrow makes of lists, and numpy of it otherwise than by DLPack, goes through
    # pandas where that is installed, which takes longer to import than a small export does.
    known = [arrays.strings([one.wnid for one in plan.classes]) if plan.writer.BOXES else None for plan in plans]
    before: dict[str, int] = dict.fromkeys(sizes, 0)
    writer: pa.ipc.RecordBatchFileWriter | None = None
    written, current, key = 0, None, None
    for batch in plans[0].selection.read(*_ordered(plans)):
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
    batch: pa.RecordBatch, sizes: dict[str, tuple[int, int]], before: dict[str, int]
) -> Iterator[tuple[str, int, pa.RecordBatch]]:
    """(split, number of the piece, rows) of a batch; `before` counts the cost of what came before, by split."""
    coded = batch.column("split").dictionary_encode()
    splits, cost = np.from_dlpack(coded.indices), np.from_dlpack(batch.column("cost")).astype(np.int64)
    starts = [0, *(np.flatnonzero(splits[1:] != splits[:-1]) + 1).tolist(), len(splits)]
    for start, end in itertools.pairwise(starts):
        split = coded.dictionary[int(splits[start])].as_py()
        total, k = sizes[split]
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
