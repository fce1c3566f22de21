"""The chosen images of all targets of an export, streamed in the order that they will have there.

Where the order is that of blocks, stretches of about a MiB as they lie in the sources are drawn by lot, some 256 MiB of
them are mixed, and then the next: every byte is read in one pass, and neighbours come from some 250 places of the
sources. Without a shuffle the order is that of classes, but as they lie where images are in Parquet or gzip streams:
there, any other order would decode a whole row group for every image.

The memory taken does not grow with the number of images: what has to wait, waits in files of a folder.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from imagenet_tools.exports import arrays, boxes
from imagenet_tools.exports.kept import seed_of
from imagenet_tools.exports.sorting import ROWS, as_arrow, in_order, sorted_by
from imagenet_tools.selection.query import ranges

if TYPE_CHECKING:
    import numpy.typing as npt
    import pyarrow as pa

    from imagenet_tools.exports.plan import Plan
    from imagenet_tools.selection.query import Sql
    from imagenet_tools.selection.selection import Selection


# ---- The blocks of the order of blocks: stretches of about a size as images lie in their sources, drawn by lot.


class Blocks:
    """The blocks that images of each split fall into, as they come in the order in which they lie."""

    def __init__(self, splits: int, size: int) -> None:
        self.bytes = np.zeros(splits, np.int64)  # of each split, so far
        self.within: npt.NDArray[np.int64] = np.zeros(0, np.int64)  # bytes before each image in its block
        self._size = size
        self._last = np.full((splits, 2), -1, np.int64)  # (number, begin) of the block on the way
        self._begun: list[npt.NDArray[np.int64]] = []  # (split, number, begin) of blocks

    def add(self, split: npt.NDArray[np.int64], length: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """The number of the block of each image, and in `within`, until the next call, where it begins there."""
        before = np.cumsum(length) - length
        edges = [0, *(np.flatnonzero(split[1:] != split[:-1]) + 1).tolist(), len(split)]
        for start, end in itertools.pairwise(edges):
            before[start:end] += self.bytes[split[start]] - before[start]
        number = before // self._size
        new = np.ones(len(split), np.bool_)
        new[1:] = (number[1:] != number[:-1]) | (split[1:] != split[:-1])
        firsts = np.flatnonzero(new)
        begin = before[firsts]
        goes_on = self._last[split[firsts], 0] == number[firsts]
        begin[goes_on] = self._last[split[firsts], 1][goes_on]
        self.within = before - begin[np.cumsum(new) - 1]
        self._begun.append(np.stack((split[firsts], number[firsts], begin), axis=1)[~goes_on])
        for start, end in itertools.pairwise(edges):
            self.bytes[split[start]] = before[end - 1] + length[end - 1]
            self._last[split[start]] = (number[end - 1], before[end - 1] - self.within[end - 1])
        return number

    def in_order(self, selection: Selection) -> Firsts:
        """Where each block begins once they are drawn by lot."""
        begun = np.concatenate(self._begun)
        seed, n = seed_of(selection), int(begun[:, 1].max()) + 1
        drawn = np.concatenate(
            [
                np.from_dlpack(batch.column(0))
                for batch in selection.read(f"SELECT draw(range::UINTEGER, {seed}) FROM range({n}) ORDER BY range")
            ]
        )
        numbers, firsts = [], []
        for split, total in enumerate(self.bytes.tolist()):
            number, begin = begun[begun[:, 0] == split, 1:].T
            size = np.diff(begin, append=total)
            order = np.lexsort((number, drawn[number]))
            first = np.empty(len(size), np.int64)
            first[order] = np.cumsum(size[order]) - size[order]
            numbers.append(number)
            firsts.append(first)
        return Firsts(numbers, firsts)


class Firsts(NamedTuple):
    """The bytes of a split that come before each of its blocks."""

    numbers: list[npt.NDArray[np.int64]]  # by split, rising
    firsts: list[npt.NDArray[np.int64]]

    def of(self, split: npt.NDArray[np.int64], number: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """The bytes before the block of each image."""
        found = np.empty(len(number), np.int64)
        for one in np.unique(split).tolist():
            mine = split == one
            found[mine] = self.firsts[one][np.searchsorted(self.numbers[one], number[mine])]
        return found


# ----


# The order of blocks: a block, and how many bytes of blocks are mixed at a time.
BLOCK, WINDOW = 1 << 20, 256 << 20
# Blocks are so much larger where a row group or a stretch of a gzip stream is decoded for each.
_PACKED = 16

COLUMNS = (
    "dataset", "image_id", "photo", "wnid", "official_wnid", "split", "official_split", "source", "file", "offset",
    "length", "member", "position", "compression", "width", "height", "mode", "encoding", "orientation",
)  # fmt: skip

# As images lie in their sources: the twin of payload.reading_order in SQL. A tar's streams are read one by one.
_LIES = {
    "_split": "split",
    "_source": "source",
    "_file": "file",
    "_stream": """CASE WHEN compression LIKE 'tar.gz%' AND contains(member, '.tar')
                       THEN split_part(member, '.tar', 1) ELSE '' END""",
    "_at": '"offset"',  # a column alone, by which row groups are told apart
    "_dataset": "dataset",
    "_image_id": "image_id",
}
_AT_PACKED = f"""coalesce("offset", position, {(1 << 63) - 1})"""
_KEY = ("dataset", "image_id")


class OrderedSelection(NamedTuple):
    """A selection, and the bits of the targets that take its images."""

    selection: Selection
    bits: int


def choices(plans: Sequence[Plan]) -> list[OrderedSelection]:
    """The selections of the targets of one pass: those that choose the same images are one."""
    found: list[OrderedSelection] = []
    for n, plan in enumerate(plans):
        same = next((k for k, one in enumerate(found) if one.selection == plan.selection), None)
        if same is None:
            found.append(OrderedSelection(plan.selection, 1 << n))
        else:
            found[same] = found[same]._replace(bits=found[same].bits | 1 << n)
    return found


def ordered(plans: Sequence[Plan], cost: str, folder: Path, *, packed: bool) -> Iterator[pa.RecordBatch]:
    """The images in order: COLUMNS, fields as `field KEY`, targets, out_width, out_height, cost, and found.

    `cost` is SQL over the columns of images; `packed` tells that images lie in containers of which a long stretch is
    decoded for each. `folder` is for files that are gone in the end.
    """
    options = plans[0].options
    seen = any(plan.writes.ordered for plan in plans)
    if options.shuffle == "full" and seen:
        rows = _drawn(plans, cost, folder)
    elif options.shuffle == "block" and seen:
        rows = _in_blocks(plans, cost, folder, packed=packed)
    elif packed:
        rows = _as_they_lie(plans, cost, packed=packed)
    else:
        rows = _by_class(plans, cost, folder)
    names = [*COLUMNS, *(f"field {key}" for key, _ in options.fields)]
    yield from (batch.select([*names, "targets", "out_width", "out_height", "cost", "found"]) for batch in rows)


# ---- the orders


def _by_class(plans: Sequence[Plan], cost: str, folder: Path) -> Iterator[pa.RecordBatch]:
    """By split and class: classes that have so many images together are a bucket."""
    import pyarrow.compute as pc

    counts = [one.selection.counts() for one in choices(plans)]
    splits = _splits(plans)
    wnids = sorted({wnid for counted in counts for found in counted.values() for wnid in found})
    each = np.zeros((len(splits), len(wnids)), np.int64)
    place = {wnid: n for n, wnid in enumerate(wnids)}
    for counted in counts:
        for split, found in counted.items():
            each[splits.index(split), [place[wnid] for wnid in found]] += list(found.values())
    sizes = each.reshape(-1)
    bucket = (np.cumsum(sizes) - sizes) // ROWS
    known = [arrays.strings(names) for names in (splits, wnids)]

    def numbered() -> Iterator[tuple[pa.RecordBatch, npt.NDArray[np.int64]]]:
        for batch in _rows(plans, cost):
            of = (pc.index_in(batch.column(name), names) for name, names in zip(("split", "wnid"), known, strict=True))
            split, wnid = (np.from_dlpack(found).astype(np.int64) for found in of)
            rank = split * len(wnids) + wnid
            yield batch.append_column("rank", as_arrow(rank)), bucket[rank]

    full = np.bincount(bucket, weights=sizes).astype(np.int64)
    yield from _each_once(plans, in_order(numbered(), full, ("rank", *_KEY), folder / "sorting.arrow"))


def _drawn(plans: Sequence[Plan], cost: str, folder: Path) -> Iterator[pa.RecordBatch]:
    """By split and draw: what draws numbers near each other is a bucket."""
    parts = _parts(plans)

    def numbered() -> Iterator[tuple[pa.RecordBatch, npt.NDArray[np.int64]]]:
        for batch in _rows(plans, cost):
            split, drawn = parts.split(batch), _numbers(batch, "drawn")
            yield batch, parts.starts[split] + (drawn * parts.numbers[split] >> 32)

    rows = in_order(numbered(), int(parts.numbers.sum()), ("drawn", *_KEY), folder / "sorting.arrow")
    yield from _each_once(plans, rows)


def _as_they_lie(plans: Sequence[Plan], cost: str, *, packed: bool) -> Iterator[pa.RecordBatch]:
    """As they lie in the sources: some stretches of that order, one after the other."""
    largest = max(plans, key=lambda plan: plan.images())
    lies = _LIES | ({"_at": _AT_PACKED} if packed else {})
    columns = {name: key for name, key in lies.items() if name in ("_stream", "_at")}
    order = ("split", "source", "file", *columns, *_KEY)

    def rows() -> Iterator[pa.RecordBatch]:
        for only in ranges(largest.selection, lies, ROWS):
            yield from sorted_by(list(_rows(plans, cost, only, columns)), order)

    yield from _each_once(plans, rows())


def _in_blocks(plans: Sequence[Plan], cost: str, folder: Path, *, packed: bool) -> Iterator[pa.RecordBatch]:
    """By block and draw: once as they lie, to find the blocks, and again by the windows that blocks fall into."""
    import pyarrow as pa

    parts = _parts(plans)
    blocks = Blocks(len(parts.splits), BLOCK * (_PACKED if packed else 1))
    lying, writer = folder / "lying.arrow", None
    lz4 = pa.ipc.IpcWriteOptions(compression="lz4")
    for batch in _as_they_lie(plans, cost, packed=packed):
        split, length = parts.split(batch), _numbers(batch, "length")
        more = {"block": blocks.add(split, length), "within": blocks.within, "of": split}
        wider = functools.reduce(lambda one, name: one.append_column(name, as_arrow(more[name])), more, batch)
        writer = writer or pa.ipc.new_stream(lying, wider.schema, options=lz4)
        writer.write_batch(wider)
    if writer is None:
        return
    writer.close()
    firsts = blocks.in_order(plans[0].selection)
    windows = blocks.bytes // WINDOW + 1

    def numbered() -> Iterator[tuple[pa.RecordBatch, npt.NDArray[np.int64]]]:
        with pa.OSFile(str(lying)) as source, pa.ipc.open_stream(source) as file:
            for batch in file:
                split, number, within = (_numbers(batch, name) for name in ("of", "block", "within"))
                window = (firsts.of(split, number) + within) // WINDOW
                rank = (window << 32) + _numbers(batch, "drawn")
                bucket = parts.starts[split] + window * parts.numbers[split] // windows[split]
                yield batch.append_column("rank", as_arrow(rank)), bucket

    yield from in_order(numbered(), int(parts.numbers.sum()), ("rank", *_KEY), folder / "sorting.arrow")
    lying.unlink()


# ---- the rows


def _rows(
    plans: Sequence[Plan], cost: str, only: Sql | None = None, more: Mapping[str, str] | None = None
) -> Iterator[pa.RecordBatch]:
    """The images of all selections, in no order: those for which `only` holds, and `more` columns."""
    import pyarrow as pa

    options, index = plans[0].options, plans[0].index
    fields = [f'{boxes.quoted(column)} AS "field {key}"' for key, column in options.fields]
    more_of = ("images.hash32", "coalesce(images.n_boxes, 0) AS n_boxes")
    columns = ", ".join([*(f'images."{name}"' for name in COLUMNS), *more_of, *fields])
    width, height = options.size_sql()
    made = {"out_width": width, "out_height": height, "cost": cost, **(more or {})}
    made["drawn"] = f"draw(draw(hash32, {seed_of(plans[0].selection)}), 1)"
    added = ", ".join(f"{sql} AS {name}" for name, sql in made.items())
    of = {wnid: one for plan in plans if plan.writes.boxes for wnid, one in plan.selection.classes_of().items()}
    boxes_of = boxes.BoxesOf(index, options, of) if any(plan.writes.boxes for plan in plans) else None
    for selection, bits in choices(plans):
        chosen = selection.chosen(f"{columns}, {bits}::INTEGER AS targets")
        text = f"SELECT * EXCLUDE hash32, {added} FROM ({chosen.text})" + (f" WHERE {only.text}" if only else "")
        for batch in selection.read(text, {**chosen.values, **(only.values if only else {})}):
            found = boxes_of.add(batch) if boxes_of else pa.nulls(len(batch))
            yield batch.drop_columns(["n_boxes"]).append_column("found", found)


def _each_once(plans: Sequence[Plan], batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Images of several selections each once, with the bits of all: neighbours in order are one."""
    if len(choices(plans)) == 1:
        yield from batches
        return
    import pyarrow.compute as pc

    for batch in batches:
        new = np.ones(len(batch), np.bool_)
        same = [pc.equal(column[1:], column[:-1]) for column in map(batch.column, ("split", "wnid", *_KEY))]
        new[1:] = ~np.logical_and.reduce([np.from_dlpack(one.cast("uint8")).astype(bool) for one in same])
        firsts = np.flatnonzero(new)
        bits = np.add.reduceat(_numbers(batch, "targets"), firsts)
        place = batch.schema.get_field_index("targets")
        yield batch.take(as_arrow(firsts)).set_column(place, "targets", as_arrow(bits).cast("int32"))


def _numbers(batch: pa.RecordBatch, name: str) -> npt.NDArray[np.int64]:
    return np.asarray(np.from_dlpack(batch.column(name)), np.int64)


def _splits(plans: Sequence[Plan]) -> list[str]:
    return sorted({split for one in choices(plans) for split in one.selection.counts()})


class _Parts(NamedTuple):
    """The buckets of each split, where its images are spread over them evenly."""

    splits: list[str]
    starts: npt.NDArray[np.int64]  # the number of the first bucket of each split
    numbers: npt.NDArray[np.int64]  # how many it has

    def split(self, batch: pa.RecordBatch) -> npt.NDArray[np.int64]:
        """The number of the split of each image."""
        import pyarrow.compute as pc

        found = pc.index_in(batch.column("split"), arrays.strings(self.splits))
        return np.from_dlpack(found).astype(np.int64)


def _parts(plans: Sequence[Plan]) -> _Parts:
    splits = _splits(plans)
    counts = [one.selection.counts() for one in choices(plans)]
    images = [sum(sum(counted.get(split, {}).values()) for counted in counts) for split in splits]
    numbers = np.array([-(-n // ROWS) for n in images], np.int64)
    return _Parts(splits, np.cumsum(numbers) - numbers, numbers)
