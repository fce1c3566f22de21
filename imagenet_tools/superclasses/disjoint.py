"""The disjoint sets of a family that weigh most: exact, and quick where few sets cross, as in WordNet's graph.

The sets that cross no other are a forest, solved from the leaves up: either such a set is taken, or the best is made
of what lies in it. Sets that cross are solved by crossings, among those that lie in the same set of the forest; what
of the forest lies in the same ones of them is one item there. Of ILSVRC2012's 1,396 sets of classes 111 cross, of
fall11's 22,675 878.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from imagenet_tools.errors import ImagenetToolsError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence


# ---- the best choice among sets that cross


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


# ----


_Pairs = npt.NDArray[np.int64]


def heaviest(
    sets: Sequence[Collection[int]], weights: Sequence[int], k: int | None = None, *, limit: int = 100_000
) -> list[int] | None:
    """The places of k disjoint sets, or of any number of them, whose weights have the greatest sum; None: no such k.

    The sets must differ and not be empty, the weights be positive. Of equally heavy choices the same one is always
    made. CrossingError: more than `limit` groups of sets that cross would have to be solved.
    """
    if not sets:
        return None if k else []
    order = sorted(range(len(sets)), key=lambda place: (len(sets[place]), place))
    forest = _Forest([sets[place] for place in order], [weights[place] for place in order], k, limit)
    chosen = forest.choose()
    return None if chosen is None else sorted(order[one] for one in chosen)


def most(sets: Sequence[Collection[int]]) -> int:
    """How many disjoint sets there are at most among sets that differ; CrossingError as in heaviest."""
    inner = [sets[place] for place in innermost(sets)]
    if sum(map(len, inner)) == len(set().union(*inner)):
        return len(inner)
    return len(heaviest(inner, [1] * len(inner)) or ())


def innermost(sets: Sequence[Collection[int]]) -> list[int]:
    """The places of the sets that hold no other: wherever another one is chosen, one of them could be."""
    order = sorted(range(len(sets)), key=lambda place: (len(sets[place]), place))
    holding = set(_relations([sets[place] for place in order]).holds[:, 1].tolist())
    return sorted(order[number] for number in range(len(sets)) if number not in holding)


class _Relations(NamedTuple):
    """How sets meet that are numbered by size: pairs of numbers, the lower first, sorted; two (m, 2)."""

    holds: _Pairs  # the second holds the first
    crosses: _Pairs


def _relations(sets: Sequence[Collection[int]]) -> _Relations:
    sizes = np.array([len(one) for one in sets], np.int64)
    numbers = np.repeat(np.arange(len(sets)), sizes)
    members = np.array([member for one in sets for member in one], np.int64)
    order = np.lexsort((numbers, members))
    numbers, members = numbers[order], members[order]
    # Of the sets that hold a member, each with the next one, each with the next but one, and so on.
    keys: list[_Pairs] = [np.zeros(0, np.int64)]
    for step in range(1, len(members)):
        same = members[step:] == members[:-step]
        if not same.any():
            break
        keys.append(numbers[:-step][same] * len(sets) + numbers[step:][same])
    found, n_shared = np.unique(np.concatenate(keys), return_counts=True)
    pairs = np.stack(np.divmod(found, max(len(sets), 1)), axis=1)
    within = n_shared == sizes[pairs[:, 0]]
    return _Relations(pairs[within], pairs[~within])


class _Region(NamedTuple):
    """What lies right inside a set of the forest, or in none: its sets of the forest, and those that cross."""

    free: list[int]  # of the forest, in no set that crosses
    groups: list[list[int]]  # of the forest, those in the same sets that cross
    crossing: list[int]
    crossings: Crossings | None


class _Forest:
    """The sets by size, and the totals of what lies in those that cross no other."""

    def __init__(self, sets: Sequence[Collection[int]], weights: Sequence[int], k: int | None, limit: int):
        self.weights, self.k, self.limit, self.n = weights, k, limit, len(sets)
        relations = _relations(sets)
        self.crosses = np.zeros(self.n, np.bool_)
        self.crosses[relations.crosses] = True
        # The smallest set of the forest that holds a set: the first, for they are sorted; n where none does.
        tame = relations.holds[~self.crosses[relations.holds[:, 1]]]
        lower, first = np.unique(tame[:, 0], return_index=True)
        parent = np.full(self.n, self.n)
        parent[lower] = tame[first, 1]
        self.inside: list[list[int]] = [[] for _ in range(self.n + 1)]
        for number, above in enumerate(parent.tolist()):
            self.inside[above].append(number)
        wild = relations.holds[self.crosses[relations.holds[:, 1]]].tolist()
        self.holders, self.crossers = defaultdict(list), defaultdict(list)
        for low, high in wild:
            self.holders[low].append(high)
        for low, high in relations.crosses.tolist():
            self.crossers[low].append(high)
        self.totals: dict[int, Totals] = {}
        self.regions: dict[int, _Region] = {}
        for number in np.flatnonzero(~self.crosses).tolist():
            taken = with_one(np.zeros(1, np.int64), weights[number], k)
            self.totals[number] = best(taken, self.solve(number))
        self.total = self.solve(self.n)

    def solve(self, above: int) -> Totals:
        """The totals of what lies in a set of the forest, less that set; n: of all."""
        crossing = [number for number in self.inside[above] if self.crosses[number]]
        tame = [number for number in self.inside[above] if not self.crosses[number]]
        here = set(crossing)
        alike: dict[tuple[int, ...], list[int]] = {}
        for number in tame:
            alike.setdefault(tuple(one for one in self.holders[number] if one in here), []).append(number)
        free = alike.pop((), [])
        groups = list(alike.values())
        crossings = None
        parts = [self.totals[number] for number in free]
        if crossing:
            item = {number: len(groups) + place for place, number in enumerate(crossing)}
            within = [(group, item[one]) for group, holders in enumerate(alike) for one in holders]
            held = [(item[one], item[up]) for one in crossing for up in self.holders[one] if up in item]
            crossed = [(item[one], item[up]) for one in crossing for up in self.crossers[one] if up in item]
            crossings = Crossings(
                [join((self.totals[number] for number in group), self.k) for group in groups],
                [self.weights[number] for number in crossing],
                meets=[*within, *held, *crossed],
                holds=[*within, *held],
                k=self.k,
                limit=self.limit,
            )
            parts.append(crossings.total())
        self.regions[above] = _Region(free, groups, crossing, crossings)
        return join(parts, self.k)

    def choose(self) -> list[int] | None:
        """The numbers of the sets of the best choice; None: there are no k."""
        if self.k is not None and (len(self.total) <= self.k or self.total[self.k] <= IMPOSSIBLE):
            return None
        chosen, waiting = [], [(self.n, 0 if self.k is None else self.k)]
        while waiting:
            above, wanted = waiting.pop()
            region = self.regions[above]
            parts = [self.totals[number] for number in region.free]
            if region.crossings is not None:
                parts.append(region.crossings.total())
            shares = shared_out(parts, wanted, self.k)
            shared = list(zip(region.free, shares, strict=False))
            if region.crossings is not None:
                sets, inside = region.crossings.choose(shares[-1])
                chosen += [region.crossing[number] for number in sets]
                for item, n in inside:
                    group = region.groups[item]
                    shared += zip(group, shared_out([self.totals[number] for number in group], n, self.k), strict=True)
            for number, n in shared:
                if self.k is not None and n == 0:
                    continue
                if self.takes(number, n):
                    chosen.append(number)
                else:
                    waiting.append((number, n))
        return chosen

    def takes(self, number: int, n: int) -> bool:
        """Whether a set of the forest is itself the best choice of n sets in it."""
        if self.k is None:
            return bool(self.totals[number][0] == self.weights[number])
        return n == 1 and bool(self.totals[number][1] == self.weights[number])
