"""Rows of any number put in order: cut into buckets as they come, each sorted when all of it is there.

A bucket holds what lies between two places of the order, and is told for each row by its number. What is in memory is
bounded: rows that wait longer go to a file, which is gone in the end. Where the rows come about in order, as those of
an index mostly do, and the sizes of the buckets are known, each bucket leaves as soon as it is full, and no file is
made.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt
    import pyarrow as pa

ROWS = 131_072  # of a bucket, about
_WAITING = 96 << 20  # bytes of rows that wait in memory


def in_order(
    rows: Iterable[tuple[pa.RecordBatch, npt.NDArray[np.int64]]],
    sizes: npt.NDArray[np.int64] | int,
    keys: Sequence[str],
    spill: Path,
) -> Iterator[pa.RecordBatch]:
    """The rows, each batch of which comes with the numbers of their buckets, by bucket and then by the columns `keys`.

    `sizes` are the rows of each bucket, or how many buckets there are; `spill` is a file to use where it is needed.
    """
    known = not isinstance(sizes, int)
    left = np.zeros(sizes, np.int64) if isinstance(sizes, int) else sizes.copy()
    first = 0  # the bucket that leaves next
    waiting = _Waiting(spill)
    with contextlib.closing(waiting):
        for batch, numbers in rows:
            left -= np.bincount(numbers, minlength=len(left))
            waiting.add(batch, numbers)
            while known and first < len(left) and not left[first] and waiting.at_hand(first):
                yield from sorted_by(waiting.take(first), keys)
                first += 1
            waiting.relieve()
        for number in range(first, len(left)):
            yield from sorted_by(waiting.take(number), keys)


def sorted_by(batches: Sequence[pa.RecordBatch], keys: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """The rows of some batches as one, by the columns `keys`; nothing where there are no rows."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not batches:
        return
    (batch,) = pa.Table.from_batches(batches).combine_chunks().to_batches()
    order = pc.sort_indices(batch, sort_keys=[(key, "ascending") for key in keys])
    places = np.from_dlpack(order)
    yield batch if (places[1:] > places[:-1]).all() else batch.take(order)


def as_arrow(numbers: npt.NDArray[np.int64], *, valid: npt.NDArray[np.bool_] | None = None) -> pa.Array:
    """Numbers as an Arrow array, null where they are not `valid`.

    Not pa.array: that imports pandas where it is installed, which takes longer than a small export does.
    """
    import pyarrow as pa

    bits = None if valid is None else pa.py_buffer(np.packbits(valid, bitorder="little"))
    return pa.Array.from_buffers(pa.int64(), len(numbers), [bits, pa.py_buffer(np.ascontiguousarray(numbers))])


class _Waiting:
    """Rows by the number of their bucket: in memory, and those that waited long in a file."""

    def __init__(self, spill: Path) -> None:
        self._path = spill
        self._held: dict[int, list[pa.RecordBatch]] = {}
        self._bytes = 0
        self._stored: dict[int, list[int]] = {}  # the batches of the file by bucket
        self._writer: pa.ipc.RecordBatchFileWriter | None = None
        self._reader: pa.ipc.RecordBatchFileReader | None = None
        self._written = 0

    def add(self, batch: pa.RecordBatch, numbers: npt.NDArray[np.int64]) -> None:
        """Take in rows."""
        if (numbers[1:] < numbers[:-1]).any():
            order = np.argsort(numbers, kind="stable")
            batch, numbers = batch.take(as_arrow(order)), numbers[order]
        edges = [0, *(np.flatnonzero(numbers[1:] != numbers[:-1]) + 1).tolist(), len(numbers)]
        for start, end in itertools.pairwise(edges):
            if end > start:
                self._held.setdefault(int(numbers[start]), []).append(batch.slice(start, end - start))
        self._bytes += batch.nbytes

    def at_hand(self, number: int) -> bool:
        """Whether nothing of a bucket is in the file."""
        return number not in self._stored

    def relieve(self) -> None:
        """Write to the file what waits, where that is much."""
        import pyarrow as pa

        if self._bytes <= _WAITING:
            return
        for number, batches in sorted(self._held.items()):
            if self._writer is None:
                packed = pa.ipc.IpcWriteOptions(compression="lz4")
                self._writer = pa.ipc.new_file(self._path, batches[0].schema, options=packed)
            for one in pa.Table.from_batches(batches).combine_chunks().to_batches():
                self._writer.write_batch(one)
                self._stored.setdefault(number, []).append(self._written)
                self._written += 1
        self._held, self._bytes = {}, 0

    def take(self, number: int) -> list[pa.RecordBatch]:
        """The rows of a bucket, which are then forgotten."""
        import pyarrow as pa

        held = self._held.pop(number, [])
        self._bytes -= sum(batch.nbytes for batch in held)
        if number not in self._stored:
            return held
        if self._reader is None and self._writer is not None:
            self._writer.close()
            self._reader = pa.ipc.open_file(pa.OSFile(str(self._path)))
        reader = self._reader
        return [*(reader.get_batch(n) for n in self._stored.pop(number) if reader is not None), *held]

    def close(self) -> None:
        """Remove the file."""
        if self._writer is not None:
            self._writer.close()
        self._held, self._reader = {}, None
        self._path.unlink(missing_ok=True)
