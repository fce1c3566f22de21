"""Walk a directed acyclic graph that is stored as numpy arrays.

A node is a row number, 0 to n - 1. `Edges` stores the targets of all rows end to end (compressed sparse rows):

    starts   0     2  2     4      n + 1 values, the last one the number of edges
             |     |  |     |
    targets  5  3     3  1         the targets of row i are targets[starts[i]:starts[i + 1]]

A walk expands all nodes of a level at once: it takes a few array operations a level (WordNet's nouns have 20 levels),
not a step a node. Several paths may join two nodes; every function counts such a pair once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Sequence

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
        """The number of nodes."""
        return len(self.starts) - 1

    def of(self, row: int) -> Ints:
        """Return the targets of a row, in stored order."""
        return self.targets[self.starts[row] : self.starts[row + 1]]

    def degrees(self) -> Ints:
        """Return the number of targets of each row: (n,)."""
        return np.diff(self.starts)


def from_pairs(n: int, sources: npt.ArrayLike, targets: npt.ArrayLike) -> Edges:
    """Return the edges sources[i] -> targets[i] of n nodes; each row keeps its targets in the order given."""
    sources = np.asarray(sources, np.int32)
    starts = np.zeros(n + 1, np.int32)
    np.cumsum(np.bincount(sources, minlength=n), out=starts[1:])
    return Edges(starts, np.asarray(targets, np.int32)[np.argsort(sources, kind="stable")])


def sources_of(edges: Edges) -> Ints:
    """Return the row of each of edges.targets."""
    return np.repeat(np.arange(edges.n, dtype=np.int32), edges.degrees())


def reverse(edges: Edges) -> Edges:
    """Return the edges in the other direction; the targets of a row are sorted."""
    return from_pairs(edges.n, edges.targets, sources_of(edges))


def join(first: Edges, second: Edges) -> Edges:
    """Return the edges of two graphs over the same nodes; a row has the targets of `first`, then those of `second`."""
    sources = np.concatenate([sources_of(first), sources_of(second)])
    return from_pairs(first.n, sources, np.concatenate([first.targets, second.targets]))


def step(edges: Edges, rows: Ints) -> tuple[npt.NDArray[np.intp], Ints]:
    """Return every edge from `rows`, as (position in rows, target): the edges of a row together, in their order."""
    counts = edges.starts[rows + 1] - edges.starts[rows]
    positions = np.repeat(np.arange(len(rows)), counts)
    before = np.cumsum(counts) - counts
    return positions, edges.targets[np.arange(len(positions)) + (edges.starts[rows] - before)[positions]]


def reach(edges: Edges, rows: Sequence[int] | Ints) -> Ints:
    """Return the nodes that a path leads to from any of `rows`, these included, sorted."""
    reached = np.zeros(edges.n, np.bool_)
    level = np.asarray(rows, np.int32)
    while len(level):
        reached[level] = True
        targets = step(edges, level)[1]
        level = _distinct(targets[~reached[targets]])
    return np.flatnonzero(reached).astype(np.int32)


def depths(edges: Edges, rows: Sequence[int] | Ints) -> tuple[Shorts, Shorts]:
    """Return the edges on the shortest and on the longest path from any of `rows`: two (n,), -1 without a path."""
    shortest = np.full(edges.n, -1, np.int16)
    longest = np.full(edges.n, -1, np.int16)
    depth, level = 0, _distinct(np.asarray(rows, np.int32))
    while len(level):
        longest[level] = depth
        shortest[level[shortest[level] < 0]] = depth
        # A node is in every level that some path of that length leads to.
        depth, level = depth + 1, _distinct(step(edges, level)[1])
    return shortest, longest


def pairs(edges: Edges, rows: Sequence[int] | Ints) -> tuple[Ints, Ints, Shorts]:
    """Return each of `rows` with each node that it leads to, itself included.

    Returns:
        Row, node, and edges on the shortest path between: three arrays of one length, sorted by (node, row). A pair
        appears once, whatever the number of paths.
    """
    # One number a pair, node * n + row, so that one sort of a level finds the distinct pairs.
    starts = _distinct(np.asarray(rows, np.int64))
    level, levels = starts * edges.n + starts, []
    while len(level):
        levels.append(level)
        nodes = level // edges.n
        positions, targets = step(edges, nodes.astype(np.int32))
        starts = level - nodes * edges.n
        level = _distinct(targets.astype(np.int64) * edges.n + starts[positions])
    # The length is the lowest digit of the sorted keys: of a pair in several levels the shortest comes first.
    n_levels = max(len(levels), 1)
    keys = np.sort(np.concatenate([level, *(keys * n_levels + length for length, keys in enumerate(levels))]))
    joined = keys // n_levels
    first = np.diff(joined, prepend=-1) > 0
    keys, joined = keys[first], joined[first]
    nodes = joined // edges.n
    return (
        (joined - nodes * edges.n).astype(np.int32),
        nodes.astype(np.int32),
        (keys - joined * n_levels).astype(np.int16),
    )


def inclusive(edges: Edges, counts: npt.NDArray[np.integer]) -> npt.NDArray[np.int64]:
    """Return the counts of each node and of the nodes that lead to it, each once: (n,), from counts (n,)."""
    rows, nodes, _ = pairs(edges, np.flatnonzero(counts).astype(np.int32))
    totals = np.zeros(edges.n, np.int64)
    np.add.at(totals, nodes, counts[rows])
    return totals


def _distinct(keys: npt.NDArray[_Int]) -> npt.NDArray[_Int]:
    """Return the distinct values of numbers from 0, sorted.

    Several times as fast as np.unique for these sizes; and np.unique imports numpy.ma, which takes 10 ms.
    """
    keys = np.sort(keys)
    return keys[np.diff(keys, prepend=-1) > 0]
