"""Find the disjoint sets of a family with the greatest total weight: exact, and fast if few sets cross.

Two sets cross if they share a member and neither holds the other. The sets that cross no other form a forest. It is
solved from the leaves up: either a set is taken, or the best choice of the sets inside it. Sets that cross and are in
the same set of the forest are solved by branching (_Crossings); sets of the forest that are in the same crossing sets
count as one item there. Of ILSVRC2012's 1,396 sets of classes 111 cross, of fall11's 22,675 878.

A `Totals` array holds the greatest weight of a choice of n disjoint sets at place n, _IMPOSSIBLE if there is none. If
any number of sets may be chosen (k is None), it holds one value: the greatest weight of all choices.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from imagenet_tools.errors import ImagenetToolsError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    Totals = npt.NDArray[np.int64]
    Pairs = npt.NDArray[np.int64]

_IMPOSSIBLE = np.int64(-(1 << 62))


class CrossingError(ImagenetToolsError, ValueError):
    """Too many sets cross to choose in reasonable time."""

    def __init__(self, limit: int):
        super().__init__(
            f"The sets cross so much that more than {limit:,} groups of them would have to be solved. Take fewer: "
            "bound the number of classes of a superclass, or choose below a lower synset."
        )


def heaviest(
    sets: Sequence[Collection[int]], weights: Sequence[int], k: int | None = None, *, limit: int = 100_000
) -> list[int] | None:
    """Return the places of disjoint sets with the greatest total weight; the choice among ties is always the same.

    Args:
        sets: Different sets, none of them empty.
        weights: The weight of each set, from 1.
        k: The number of sets to choose; None: any number.
        limit: The greatest number of groups of crossing sets to solve.

    Returns:
        Places in `sets`, sorted; None if there are no k disjoint sets.

    Raises:
        CrossingError: More than `limit` groups would have to be solved.
    """
    if not sets:
        return None if k else []
    order = _by_size(sets)
    forest = _Forest([sets[place] for place in order], [weights[place] for place in order], k, limit)
    chosen = forest.choose()
    return None if chosen is None else sorted(order[number] for number in chosen)


def most(sets: Sequence[Collection[int]]) -> int:
    """Return the greatest number of disjoint sets among different sets; CrossingError as heaviest() raises it."""
    inner = [sets[place] for place in innermost(sets)]
    if sum(map(len, inner)) == len(set().union(*inner)):
        return len(inner)
    return len(heaviest(inner, [1] * len(inner)) or ())


def innermost(sets: Sequence[Collection[int]]) -> list[int]:
    """Return the places of the sets that hold no other set: each of these can replace a set that holds it."""
    order = _by_size(sets)
    outer = set(_relations([sets[place] for place in order]).holds[:, 1].tolist())
    return sorted(order[number] for number in range(len(sets)) if number not in outer)


def _by_size(sets: Sequence[Collection[int]]) -> list[int]:
    return sorted(range(len(sets)), key=lambda place: (len(sets[place]), place))


class _Relations(NamedTuple):
    """Pairs of sets numbered by size, the smaller first: (m, 2), sorted."""

    holds: Pairs  # the second set holds the first
    crosses: Pairs


def _relations(sets: Sequence[Collection[int]]) -> _Relations:
    sizes = np.array([len(members) for members in sets], np.int64)
    numbers = np.repeat(np.arange(len(sets)), sizes)
    members = np.array([member for members in sets for member in members], np.int64)
    order = np.lexsort((numbers, members))
    numbers, members = numbers[order], members[order]
    # Pair each set that has a member with the next set that has it, then with the next but one, and so on.
    keys: list[Pairs] = [np.zeros(0, np.int64)]
    for step in range(1, len(members)):
        same = members[step:] == members[:-step]
        if not same.any():
            break
        keys.append(numbers[:-step][same] * len(sets) + numbers[step:][same])
    pair_keys, n_shared = np.unique(np.concatenate(keys), return_counts=True)
    pairs = np.stack(np.divmod(pair_keys, max(len(sets), 1)), axis=1)
    within = n_shared == sizes[pairs[:, 0]]
    return _Relations(pairs[within], pairs[~within])


# ---- totals


def _with_set(rest: Totals, weight: int, k: int | None) -> Totals:
    """Return the totals of a set together with what may be chosen beside it."""
    if k is None:
        return rest + weight
    return np.concatenate([[_IMPOSSIBLE], np.maximum(rest + weight, _IMPOSSIBLE)])[: k + 1]


def _joined(parts: Iterable[Totals], k: int | None) -> Totals:
    """Return the totals of parts that share no member."""
    total: Totals = np.zeros(1, np.int64)
    for part in parts:
        total = _join(total, part, k)
    return total


def _join(first: Totals, second: Totals, k: int | None) -> Totals:
    if k is None:
        return first + second
    longer, shorter = (first, second) if len(first) >= len(second) else (second, first)
    joined = np.full(min(len(first) + len(second) - 1, k + 1), _IMPOSSIBLE)
    for n, total in enumerate(shorter[: len(joined)].tolist()):
        room = joined[n : n + len(longer)]
        np.maximum(room, longer[: len(room)] + total, out=room)
    return np.maximum(joined, _IMPOSSIBLE)  # the sum of two impossible totals is below _IMPOSSIBLE


def _better(first: Totals, second: Totals) -> Totals:
    """Return the totals of a choice between two."""
    totals = np.full(max(len(first), len(second)), _IMPOSSIBLE)
    totals[: len(first)] = first
    totals[: len(second)] = np.maximum(totals[: len(second)], second)
    return totals


def _shares(parts: Sequence[Totals], n_wanted: int, k: int | None) -> list[int]:
    """Return how many sets each part gives to the greatest total of n_wanted sets; all 0 if k is None."""
    if k is None:
        return [0] * len(parts)
    before: list[Totals] = [np.zeros(1, np.int64)]
    for part in parts:
        before.append(_join(before[-1], part, k))
    shares = []
    for part, earlier in zip(reversed(parts), reversed(before[:-1]), strict=True):
        low, high = max(0, n_wanted - len(earlier) + 1), min(n_wanted, len(part) - 1)
        share = max(range(low, high + 1), key=lambda n: (part[n] + earlier[n_wanted - n], n))
        shares.append(share)
        n_wanted -= share
    return shares[::-1]


# ---- sets that cross


class _Branch(NamedTuple):
    """A component decided at one item: what may be chosen beside it, and without it, both as components."""

    pivot: int
    beside: list[int]
    without: list[int]


class _Crossings:
    """Items that may share members, of which disjoint ones are chosen.

    The first `len(inner)` items are parts that are wholly inside or outside every other item, each with its totals.
    The others are sets, by size, each with its weight. `meets` and `holds` are pairs of items, the lower number first:
    items that share a member, and items of which the second holds the first. A group of items is an int, a bit an item.
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
        self.branches: dict[int, _Branch] = {}
        self.totals: dict[int, Totals] = {}
        self.parts = self.components((1 << n) - 1)
        self.solve()

    def total(self) -> Totals:
        """Return the totals of all items together."""
        return self.join(self.parts)

    def join(self, groups: list[int]) -> Totals:
        """Return the totals of components together."""
        return _joined((self.totals[group] for group in groups), self.k)

    def solve(self) -> None:
        """Fill in `totals` of all components, each after the components that its branch leads to."""
        waiting = list(self.parts)
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
                self.totals[group] = _better(self.with_pivot(group), self.join(without))

    def with_pivot(self, group: int) -> Totals:
        """Return the totals of a component if its pivot is chosen."""
        pivot, beside, _ = self.branches[group]
        return _with_set(self.join(beside), self.weights[pivot - len(self.inner)], self.k)

    def branch(self, group: int) -> _Branch:
        """Return the branch of a component: at its largest set if that holds all others, else where it crosses most."""
        pivot = group.bit_length() - 1
        if group & ~self.below[pivot]:
            # Once the outermost set that crosses the most sets is decided, the rest falls apart soonest.
            items = (item for item in range(pivot + 1) if group >> item & 1 and self.crossing[item])
            outer = (item for item in items if self.above[item] & group == 1 << item)
            pivot = max(outer, key=lambda item: ((self.crossing[item] & group).bit_count(), item))
        beside = self.components(group & ~self.meeting[pivot])
        return _Branch(pivot, beside, self.components(group & ~(1 << pivot)))

    def components(self, group: int) -> list[int]:
        """Return the parts of a group that share no member."""
        parts = []
        while group:
            part, edge = 0, 1 << (group.bit_length() - 1)
            while edge:
                item = edge.bit_length() - 1
                new = self.meeting[item] & group & ~part
                part |= new
                # An item inside a set meets nothing that the set does not meet.
                edge = (edge | new) & ~self.below[item] & ~(1 << item)
            parts.append(part)
            group &= ~part
        return parts

    def choose(self, n_wanted: int) -> tuple[list[int], list[tuple[int, int]]]:
        """Return the best choice: numbers of sets, and pairs of an inner item and how many sets to choose in it.

        `n_wanted` has no effect if k is None.
        """
        chosen, inside, waiting = [], [], [(self.parts, n_wanted)]
        while waiting:
            parts, n_left = waiting.pop()
            for group, n in zip(parts, _shares([self.totals[part] for part in parts], n_left, self.k), strict=True):
                if self.k is not None and n == 0:
                    continue
                pivot, beside, without = self.branches[group]
                if pivot < len(self.inner):
                    inside.append((pivot, n))
                    continue
                taken = self.with_pivot(group)
                if n < len(taken) and taken[n] == self.totals[group][n]:
                    chosen.append(pivot - len(self.inner))
                    waiting.append((beside, n if self.k is None else n - 1))
                else:
                    waiting.append((without, n))
        return chosen, inside


# ---- sets that cross no other


class _Region(NamedTuple):
    """The sets directly inside a set of the forest, or inside none: numbers of sets."""

    free: list[int]  # of the forest, in no crossing set
    groups: list[list[int]]  # of the forest, those in the same crossing sets
    crossing: list[int]
    crossings: _Crossings | None


class _Forest:
    """The sets by size, and the totals inside those that cross no other."""

    def __init__(self, sets: Sequence[Collection[int]], weights: Sequence[int], k: int | None, limit: int):
        self.weights, self.k, self.limit, self.n = weights, k, limit, len(sets)
        relations = _relations(sets)
        self.crosses = np.zeros(self.n, np.bool_)
        self.crosses[relations.crosses] = True
        outer_crosses = self.crosses[relations.holds[:, 1]]
        # The parent is the smallest set of the forest that holds a set: the first pair, as pairs are sorted by size.
        within = relations.holds[~outer_crosses]
        lower, first = np.unique(within[:, 0], return_index=True)
        parent = np.full(self.n, self.n)  # n: no set of the forest holds it
        parent[lower] = within[first, 1]
        self.inside: list[list[int]] = [[] for _ in range(self.n + 1)]
        for number, above in enumerate(parent.tolist()):
            self.inside[above].append(number)
        self.holders = _by_first(relations.holds[outer_crosses])
        self.crossers = _by_first(relations.crosses)
        self.totals: dict[int, Totals] = {}
        self.regions: dict[int, _Region] = {}
        for number in np.flatnonzero(~self.crosses).tolist():
            alone = _with_set(np.zeros(1, np.int64), weights[number], k)
            self.totals[number] = _better(alone, self.solve(number))
        self.total = self.solve(self.n)

    def solve(self, above: int) -> Totals:
        """Return the totals of what is inside a set of the forest, or of everything (n), and record its region."""
        crossing = [number for number in self.inside[above] if self.crosses[number]]
        item = {number: place for place, number in enumerate(crossing)}
        by_holders: dict[tuple[int, ...], list[int]] = {}
        for number in self.inside[above]:
            if number not in item:
                holders = tuple(holder for holder in self.holders[number] if holder in item)
                by_holders.setdefault(holders, []).append(number)
        free = by_holders.pop((), [])
        groups = list(by_holders.values())
        crossings = None
        if crossing:
            n = len(groups)  # the items of the crossing sets come after those of the groups
            within = [(group, n + item[holder]) for group, holders in enumerate(by_holders) for holder in holders]
            within += [
                (n + item[low], n + item[high]) for low in crossing for high in self.holders[low] if high in item
            ]
            crossed = [
                (n + item[low], n + item[high]) for low in crossing for high in self.crossers[low] if high in item
            ]
            crossings = _Crossings(
                [_joined((self.totals[number] for number in group), self.k) for group in groups],
                [self.weights[number] for number in crossing],
                meets=[*within, *crossed],
                holds=within,
                k=self.k,
                limit=self.limit,
            )
        self.regions[above] = _Region(free, groups, crossing, crossings)
        return _joined(self.parts(above), self.k)

    def parts(self, above: int) -> list[Totals]:
        """Return the totals of the free sets of a region, then those of its crossing sets."""
        region = self.regions[above]
        totals = [self.totals[number] for number in region.free]
        return totals if region.crossings is None else [*totals, region.crossings.total()]

    def choose(self) -> list[int] | None:
        """Return the numbers of the sets of the best choice; None if there are no k disjoint sets."""
        if self.k is not None and (len(self.total) <= self.k or self.total[self.k] <= _IMPOSSIBLE):
            return None
        chosen, waiting = [], [(self.n, self.k or 0)]
        while waiting:
            above, n_wanted = waiting.pop()
            region = self.regions[above]
            shares = _shares(self.parts(above), n_wanted, self.k)
            wanted = list(zip(region.free, shares, strict=False))
            if region.crossings is not None:
                sets, inside = region.crossings.choose(shares[-1])
                chosen += [region.crossing[number] for number in sets]
                for group, n in ((region.groups[item], n) for item, n in inside):
                    totals = [self.totals[number] for number in group]
                    wanted += zip(group, _shares(totals, n, self.k), strict=True)
            for number, n in wanted:
                if self.k is not None and n == 0:
                    continue
                if self.is_best(number, n):
                    chosen.append(number)
                else:
                    waiting.append((number, n))
        return chosen

    def is_best(self, number: int, n: int) -> bool:
        """Return True if a set of the forest is itself the best choice of n sets at or inside it."""
        if self.k is None:
            return bool(self.totals[number][0] == self.weights[number])
        return n == 1 and bool(self.totals[number][1] == self.weights[number])


def _by_first(pairs: Pairs) -> defaultdict[int, list[int]]:
    """Return the second numbers of pairs by the first."""
    seconds: defaultdict[int, list[int]] = defaultdict(list)
    for first, second in pairs.tolist():
        seconds[first].append(second)
    return seconds
