"""A directed acyclic graph as numpy arrays: its edges row by row, and what is reached along them.

Nodes are rows, 0 to n - 1. `Edges` holds the targets of all rows end to end (compressed sparse rows):

    starts   0     2  2     4      n + 1 values, the last one the number of edges
             |     |  |     |
    targets  5  3     3  1         the targets of row i are targets[starts[i]:starts[i + 1]]

A walk goes level by level, all nodes of a level at once: its time is a few array operations a level (WordNet's
nouns have 20), not a step a node. Two nodes may be joined by many paths; every function here counts them once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_Int = TypeVar("_Int", np.int32, np.int64)

Ints = npt.NDArray[np.int32]
Shorts = npt.NDArray[np.int16]


@dataclass(frozen=True, eq=False)
class Edges:
    """The edges of a graph, as drawn at the head of this module."""

    starts: Ints
    targets: Ints

    @property
    def n(self) -> int:
        """How many nodes there are."""
        return len(self.starts) - 1

    def of(self, row: int) -> Ints:
        """The targets of one row, in their stored order."""
        return self.targets[self.starts[row] : self.starts[row + 1]]

    def degrees(self) -> Ints:
        """How many targets each row has: (n,)."""
        return np.diff(self.starts)


def from_pairs(n: int, sources: npt.ArrayLike, targets: npt.ArrayLike) -> Edges:
    """The edges sources[i] -> targets[i] of n nodes; a row keeps its targets in the order they are given."""
    sources = np.asarray(sources, np.int32)
    starts = np.zeros(n + 1, np.int32)
    np.cumsum(np.bincount(sources, minlength=n), out=starts[1:])
    return Edges(starts, np.asarray(targets, np.int32)[np.argsort(sources, kind="stable")])


def sources_of(edges: Edges) -> Ints:
    """The row that each of edges.targets belongs to."""
    return np.repeat(np.arange(edges.n, dtype=np.int32), edges.degrees())


def reverse(edges: Edges) -> Edges:
    """The same edges the other way round; a row's targets are sorted."""
    return from_pairs(edges.n, edges.targets, sources_of(edges))


def join(first: Edges, second: Edges) -> Edges:
    """The edges of both, over the same nodes; a row's targets are those of `first`, then those of `second`."""
    sources = np.concatenate([sources_of(first), sources_of(second)])
    return from_pairs(first.n, sources, np.concatenate([first.targets, second.targets]))


def step(edges: Edges, rows: Ints) -> tuple[npt.NDArray[np.intp], Ints]:
    """Every edge out of `rows`: (position in rows, target), a row's edges together and in their order."""
    counts = edges.starts[rows + 1] - edges.starts[rows]
    positions = np.repeat(np.arange(len(rows)), counts)
    before = np.cumsum(counts) - counts
    return positions, edges.targets[np.arange(len(positions)) + (edges.starts[rows] - before)[positions]]


def levels(edges: Edges, rows: Sequence[int] | Ints) -> Iterator[Ints]:
    """The nodes at the end of a path of 0, 1, 2 ... edges from any of `rows`, each level sorted, until none is left.

    A node stands in every level that some path of that length leads to. The graph must have no cycle.
    """
    level = np.unique(np.asarray(rows, np.int32))
    while len(level):
        yield level
        level = _distinct(step(edges, level)[1])


def reach(edges: Edges, rows: Sequence[int] | Ints) -> Ints:
    """The nodes that any path from any of `rows` leads to, `rows` included, sorted."""
    reached = np.zeros(edges.n, np.bool_)
    level = np.asarray(rows, np.int32)
    while len(level):
        reached[level] = True
        targets = step(edges, level)[1]
        level = _distinct(targets[~reached[targets]])
    return np.flatnonzero(reached).astype(np.int32)


def depths(edges: Edges, rows: Sequence[int] | Ints) -> tuple[Shorts, Shorts]:
    """Edges on the shortest and on the longest path from any of `rows` to each node: two (n,), -1 without a path."""
    shortest = np.full(edges.n, -1, np.int16)
    longest = np.full(edges.n, -1, np.int16)
    for depth, level in enumerate(levels(edges, rows)):
        longest[level] = depth
        shortest[level[shortest[level] < 0]] = depth
    return shortest, longest


def pairs(edges: Edges, rows: Sequence[int] | Ints) -> tuple[Ints, Ints, Shorts]:
    """Each of `rows` with each node that it leads to, itself included: (row, node, edges on the shortest path).

    Three arrays of one length, sorted by (node, row); a pair stands once however many paths join it.
    """
    # A pair is one number, node * n + row, so that telling pairs apart is one sort of a level.
    starts = np.unique(np.asarray(rows, np.int64))
    level, found = starts * edges.n + starts, []
    while len(level):
        found.append(level)
        nodes = level // edges.n
        positions, targets = step(edges, nodes.astype(np.int32))
        starts = level - nodes * edges.n
        level = _distinct(targets.astype(np.int64) * edges.n + starts[positions])
    # A pair that paths of several lengths join keeps the least: the length is the lowest digit of what is sorted.
    n_levels = max(len(found), 1)
    keys = np.sort(np.concatenate([level, *(keys * n_levels + length for length, keys in enumerate(found))]))
    joined = keys // n_levels
    first = np.diff(joined, prepend=-1) > 0
    keys, joined = keys[first], joined[first]
    nodes = joined // edges.n
    rows_of = (joined - nodes * edges.n).astype(np.int32)
    return rows_of, nodes.astype(np.int32), (keys - joined * n_levels).astype(np.int16)


def inclusive(edges: Edges, counts: npt.NDArray[np.integer]) -> npt.NDArray[np.int64]:
    """What stands at each node and at the nodes that lead to it, each once: (n,), given what stands at each: (n,)."""
    rows, nodes, _ = pairs(edges, np.flatnonzero(counts).astype(np.int32))
    totals = np.zeros(edges.n, np.int64)
    np.add.at(totals, nodes, counts[rows])
    return totals


def _distinct(keys: npt.NDArray[_Int]) -> npt.NDArray[_Int]:
    """The distinct values of numbers that are not negative, sorted; here several times as fast as np.unique."""
    keys = np.sort(keys)
    return keys[np.diff(keys, prepend=-1) > 0]
