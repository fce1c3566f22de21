"""The blocks of the order of blocks: stretches of about a size as images lie in their sources, drawn by lot."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from imagenet_tools.exports.kept import seed_of

if TYPE_CHECKING:
    import numpy.typing as npt

    from imagenet_tools.selection.selection import Selection


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
