"""The disjoint sets of a family that weigh most: exact, and quick where few sets cross, as in WordNet's graph.

Two sets cross where they share something and neither holds the other. Without crossings a family is a forest, and the
best choice is found from the leaves up. Where sets cross, both cases are tried, the set taken and the set left out,
and the rest falls apart into components that are solved one by one and remembered: of ILSVRC2012's 1,396 sets of
classes 111 cross, of fall11's 22,675 878.

A group of sets is held as one whole number, whose bit i says whether set i is in it; the sets are numbered by size.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from imagenet_tools.errors import ImagenetToolsError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    # The greatest weight of 0, 1, 2 ... disjoint sets, or of any number of them where none is wanted: (1,).
    Totals = npt.NDArray[np.int64]

_IMPOSSIBLE = np.int64(-(1 << 62))


def heaviest(
    sets: Sequence[Iterable[int]], weights: Sequence[int], k: int | None = None, *, limit: int = 20_000
) -> list[int] | None:
    """The places of k disjoint sets, or of any number of them, whose weights have the greatest sum; None: no such k.

    The sets must differ and not be empty, the weights be positive. Of equally heavy choices the same one is always
    made: it prefers what stands late among the largest. CrossingError: more than `limit` groups would have to be
    solved, about half a millisecond each; a family without its smallest sets has far fewer.
    """
    members = [frozenset(one) for one in sets]
    order = sorted(range(len(members)), key=lambda place: (len(members[place]), place))
    family = _Family([members[place] for place in order], [weights[place] for place in order], k, limit)
    chosen = family.choose()
    return None if chosen is None else sorted(order[one] for one in chosen)


def most(sets: Sequence[Iterable[int]]) -> int:
    """How many disjoint sets there are at most among sets that differ; CrossingError as in heaviest."""
    inner = [frozenset(sets[place]) for place in innermost(sets)]
    if sum(map(len, inner)) == len(frozenset().union(*inner)):
        return len(inner)
    return len(heaviest(inner, [1] * len(inner)) or ())


def innermost(sets: Sequence[Iterable[int]]) -> list[int]:
    """The places of the sets that hold no other: wherever another one is chosen, one of them could be."""
    members = [frozenset(one) for one in sets]
    holders: dict[int, list[int]] = {}
    inner: list[int] = []
    for place in sorted(range(len(members)), key=lambda place: len(members[place])):
        near = {other for member in members[place] for other in holders.get(member, ())}
        if not any(members[other] < members[place] for other in near):
            inner.append(place)
            for member in members[place]:
                holders.setdefault(member, []).append(place)
    return sorted(inner)


class CrossingError(ImagenetToolsError, ValueError):
    """So many sets cross that the choice cannot be made in reasonable time."""

    def __init__(self, limit: int):
        super().__init__(f"The sets cross so much that more than {limit:,} groups of them would have to be solved.")


class _Family:
    """The sets by size, which of them meet, and what is known of the groups met so far."""

    def __init__(self, members: list[frozenset[int]], weights: list[int], k: int | None, limit: int):
        self.weights, self.k, self.limit = weights, k, limit
        self.everything = (1 << len(members)) - 1
        holders: dict[int, int] = {}
        for number, one in enumerate(members):
            for member in one:
                holders[member] = holders.get(member, 0) | 1 << number
        self.meeting, self.above = [], []
        for one in members:
            meeting, above = 0, self.everything
            for group in {holders[member] for member in one}:
                meeting |= group
                above &= group
            self.meeting.append(meeting)
            self.above.append(above)
        self.below = [0] * len(members)
        for number, above in enumerate(self.above):
            for other in _bits(above):
                self.below[other] |= 1 << number
        self.crossing = [self.meeting[n] & ~self.above[n] & ~self.below[n] for n in range(len(members))]
        self.crossed = sum(1 << number for number, crossing in enumerate(self.crossing) if crossing)
        self.branches: dict[int, tuple[int, list[int], list[int]]] = {}
        self.totals: dict[int, Totals] = {}

    def choose(self) -> list[int] | None:
        parts = self.components(self.everything)
        self.solve(parts)
        total = self.joined(parts)
        if self.k is not None and (len(total) <= self.k or total[self.k] < 0):
            return None
        chosen, waiting = [], [(parts, 0 if self.k is None else self.k)]
        while waiting:
            parts, wanted = waiting.pop()
            for group, n in self.shared_out(parts, wanted):
                pivot, beside, without = self.branches[group]
                taken = self.taken(group)
                if n < len(taken) and taken[n] == self.totals[group][n]:
                    chosen.append(pivot)
                    waiting.append((beside, n if self.k is None else n - 1))
                else:
                    waiting.append((without, n))
        return chosen

    def solve(self, groups: list[int]) -> None:
        """Fill in `totals` of these components, each after those that it falls apart into."""
        waiting = list(groups)
        while waiting:
            group = waiting[-1]
            if group not in self.branches:
                if len(self.branches) == self.limit:
                    raise CrossingError(self.limit)
                self.branches[group] = self.branch(group)
            _, beside, without = self.branches[group]
            unknown = [part for part in (*beside, *without) if part not in self.totals]
            if unknown:
                waiting += unknown
                continue
            waiting.pop()
            self.totals[group] = _best(self.taken(group), self.joined(without))

    def branch(self, group: int) -> tuple[int, list[int], list[int]]:
        """A set of a component, what may be taken beside it, and what is left without it, both as components."""
        pivot = group.bit_length() - 1
        if group & ~self.below[pivot]:
            # The largest does not hold all the others. Of the sets that lie in no other, the one that most sets cross:
            # with it decided, the rest falls apart soonest.
            outer = (n for n in _bits(group & self.crossed) if self.above[n] & group == 1 << n)
            pivot = max(outer, key=lambda number: ((self.crossing[number] & group).bit_count(), number))
        return pivot, self.components(group & ~self.meeting[pivot]), self.components(group & ~(1 << pivot))

    def components(self, group: int) -> list[int]:
        """The parts of a group that have nothing in common."""
        found = []
        while group:
            part, edge = 0, 1 << (group.bit_length() - 1)
            while edge:
                number = edge.bit_length() - 1
                new = self.meeting[number] & group & ~part
                part |= new
                # What lies within a set meets nothing that the set does not.
                edge = (edge | new) & ~self.below[number] & ~(1 << number)
            found.append(part)
            group &= ~part
        return found

    def taken(self, group: int) -> Totals:
        pivot, beside, _ = self.branches[group]
        rest = self.joined(beside) + self.weights[pivot]
        if self.k is None:
            return rest
        return np.concatenate([[_IMPOSSIBLE], rest])[: self.k + 1]

    def joined(self, parts: list[int]) -> Totals:
        """The totals of components together."""
        total = np.zeros(1, np.int64)
        for part in parts:
            total = _join(total, self.totals[part], self.k)
        return total

    def shared_out(self, parts: list[int], wanted: int) -> Iterator[tuple[int, int]]:
        """How many sets each component gives to the greatest total of `wanted` sets."""
        before = [np.zeros(1, np.int64)]
        for part in parts:
            before.append(_join(before[-1], self.totals[part], self.k))
        for place in range(len(parts) - 1, -1, -1):
            here, earlier = self.totals[parts[place]], before[place]
            low, high = max(0, wanted - len(earlier) + 1), min(wanted, len(here) - 1)
            n = max(range(low, high + 1), key=lambda n: (here[n] + earlier[wanted - n], n)) if self.k is not None else 0
            yield parts[place], n
            wanted -= n


def _join(first: Totals, second: Totals, k: int | None) -> Totals:
    if k is None:
        return first + second
    longer, shorter = (first, second) if len(first) >= len(second) else (second, first)
    joined = np.full(min(len(first) + len(second) - 1, k + 1), _IMPOSSIBLE)
    for n, total in enumerate(shorter[: len(joined)].tolist()):
        room = joined[n : n + len(longer)]
        np.maximum(room, longer[: len(room)] + total, out=room)
    return np.maximum(joined, _IMPOSSIBLE)  # two impossible ones are no less possible than one


def _best(first: Totals, second: Totals) -> Totals:
    best = np.full(max(len(first), len(second)), _IMPOSSIBLE)
    best[: len(first)] = first
    best[: len(second)] = np.maximum(best[: len(second)], second)
    return best


def _bits(group: int) -> Iterator[int]:
    """The numbers of the sets in a group, the largest set first."""
    while group:
        number = group.bit_length() - 1
        yield number
        group ^= 1 << number
