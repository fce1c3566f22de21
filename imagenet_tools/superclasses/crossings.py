"""The best choice among sets that cross: both cases of a set are tried, and what is left falls apart and is remembered.

Two sets cross where they share something and neither holds the other. A choice is told by its totals: the greatest
weight of 0, 1, 2 ... disjoint sets, (n,), or of any number of them where none is wanted, (1,).

A group of items is one whole number, whose bit i says whether item i is in it; items are numbered by size.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from imagenet_tools.errors import ImagenetToolsError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

Totals = npt.NDArray[np.int64]

IMPOSSIBLE = np.int64(-(1 << 62))


class CrossingError(ImagenetToolsError, ValueError):
    """So many sets cross that the choice cannot be made in reasonable time."""

    def __init__(self, limit: int):
        super().__init__(
            f"The sets cross so much that more than {limit:,} groups of them would have to be solved. Take fewer: "
            "bound the number of classes of a superclass, or choose below a lower synset."
        )


class Crossings:
    """Items that may meet, of which disjoint ones are chosen.

    The first `len(inner)` items are what lies wholly inside or outside every other item, each with the totals of what
    may be chosen in it; the others are sets, by size, each with its weight. `meets` and `holds` are pairs of items,
    (lower number, greater number): those that share something, and those of which the second holds the first.
    """

    def __init__(
        self,
        inner: Sequence[Totals],
        weights: Sequence[int],
        *,
        meets: Iterable[tuple[int, int]],
        holds: Iterable[tuple[int, int]],
        k: int | None,
        limit: int,
    ):
        self.inner, self.weights, self.k, self.limit = inner, weights, k, limit
        n = len(inner) + len(weights)
        self.meeting, self.above, self.below = ([1 << item for item in range(n)] for _ in range(3))
        for low, high in meets:
            self.meeting[low] |= 1 << high
            self.meeting[high] |= 1 << low
        for low, high in holds:
            self.above[low] |= 1 << high
            self.below[high] |= 1 << low
        self.crossing = [self.meeting[item] & ~self.above[item] & ~self.below[item] for item in range(n)]
        self.crossed = sum(1 << item for item, crossing in enumerate(self.crossing) if crossing)
        self.branches: dict[int, tuple[int, list[int], list[int]]] = {}
        self.totals: dict[int, Totals] = {}
        self.parts = self.components((1 << n) - 1)
        self.solve(self.parts)

    def total(self) -> Totals:
        """The totals of all items together."""
        return self.joined(self.parts)

    def choose(self, wanted: int) -> tuple[list[int], list[tuple[int, int]]]:
        """(sets, counted from 0) and (inner item, how many there) of the best choice of `wanted` sets.

        `wanted` says nothing where no number is wanted.
        """
        chosen, inside, waiting = [], [], [(self.parts, wanted)]
        while waiting:
            parts, n_wanted = waiting.pop()
            shares = shared_out([self.totals[part] for part in parts], n_wanted, self.k)
            for group, n in zip(parts, shares, strict=True):
                if self.k is not None and n == 0:
                    continue
                pivot, beside, without = self.branches[group]
                if pivot < len(self.inner):
                    inside.append((pivot, n))
                    continue
                taken = self.taken(group)
                if n < len(taken) and taken[n] == self.totals[group][n]:
                    chosen.append(pivot - len(self.inner))
                    waiting.append((beside, n if self.k is None else n - 1))
                else:
                    waiting.append((without, n))
        return chosen, inside

    def solve(self, groups: list[int]) -> None:
        """Fill in `totals` of these components, each after those that it falls apart into."""
        waiting = list(groups)
        while waiting:
            group = waiting[-1]
            if group not in self.branches:
                if len(self.branches) == self.limit:
                    raise CrossingError(self.limit)
                self.branches[group] = self.branch(group)
            pivot, beside, without = self.branches[group]
            unknown = [part for part in (*beside, *without) if part not in self.totals]
            if unknown:
                waiting += unknown
                continue
            waiting.pop()
            if pivot < len(self.inner):
                self.totals[group] = self.inner[pivot]
            else:
                self.totals[group] = best(self.taken(group), self.joined(without))

    def branch(self, group: int) -> tuple[int, list[int], list[int]]:
        """An item of a component, what may be taken beside it, and what is left without it, both as components."""
        pivot = group.bit_length() - 1
        if group & ~self.below[pivot]:
            # The largest does not hold all the others. Of the sets that lie in no other, the one that most sets cross:
            # with it decided, the rest falls apart soonest.
            outer = (item for item in _bits(group & self.crossed) if self.above[item] & group == 1 << item)
            pivot = max(outer, key=lambda item: ((self.crossing[item] & group).bit_count(), item))
        return pivot, self.components(group & ~self.meeting[pivot]), self.components(group & ~(1 << pivot))

    def components(self, group: int) -> list[int]:
        """The parts of a group that have nothing in common."""
        found = []
        while group:
            part, edge = 0, 1 << (group.bit_length() - 1)
            while edge:
                item = edge.bit_length() - 1
                new = self.meeting[item] & group & ~part
                part |= new
                # What lies within a set meets nothing that the set does not.
                edge = (edge | new) & ~self.below[item] & ~(1 << item)
            found.append(part)
            group &= ~part
        return found

    def taken(self, group: int) -> Totals:
        """The totals of a component if its pivot is taken."""
        pivot, beside, _ = self.branches[group]
        return with_one(self.joined(beside), self.weights[pivot - len(self.inner)], self.k)

    def joined(self, parts: list[int]) -> Totals:
        """The totals of components together."""
        return join((self.totals[part] for part in parts), self.k)


def _bits(group: int) -> Iterator[int]:
    """The numbers of the items in a group, the largest first."""
    while group:
        number = group.bit_length() - 1
        yield number
        group ^= 1 << number


# ---- totals


def with_one(rest: Totals, weight: int, k: int | None) -> Totals:
    """The totals of a set together with what may be chosen beside it."""
    if k is None:
        return rest + weight
    return np.concatenate([[IMPOSSIBLE], np.maximum(rest + weight, IMPOSSIBLE)])[: k + 1]


def join(totals: Iterable[Totals], k: int | None) -> Totals:
    """The totals of what has nothing in common."""
    total = np.zeros(1, np.int64)
    for one in totals:
        total = _join(total, one, k)
    return total


def _join(first: Totals, second: Totals, k: int | None) -> Totals:
    if k is None:
        return first + second
    longer, shorter = (first, second) if len(first) >= len(second) else (second, first)
    joined = np.full(min(len(first) + len(second) - 1, k + 1), IMPOSSIBLE)
    for n, total in enumerate(shorter[: len(joined)].tolist()):
        room = joined[n : n + len(longer)]
        np.maximum(room, longer[: len(room)] + total, out=room)
    return np.maximum(joined, IMPOSSIBLE)  # two impossible ones are no less possible than one


def best(first: Totals, second: Totals) -> Totals:
    """The totals of either."""
    found = np.full(max(len(first), len(second)), IMPOSSIBLE)
    found[: len(first)] = first
    found[: len(second)] = np.maximum(found[: len(second)], second)
    return found


def shared_out(totals: Sequence[Totals], wanted: int, k: int | None) -> list[int]:
    """How many sets each part gives to the greatest total of `wanted` sets; 0 each where no number is wanted."""
    if k is None:
        return [0] * len(totals)
    before = [np.zeros(1, np.int64)]
    for one in totals:
        before.append(_join(before[-1], one, k))
    shares = []
    for here, earlier in zip(reversed(totals), reversed(before[:-1]), strict=True):
        low, high = max(0, wanted - len(earlier) + 1), min(wanted, len(here) - 1)
        n = max(range(low, high + 1), key=lambda n: (here[n] + earlier[wanted - n], n))
        shares.append(n)
        wanted -= n
    return shares[::-1]
