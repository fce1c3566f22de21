"""Superclasses chosen from the graph: by depth, by number, or at a list, all of them below a given ancestor.

A superclass is a synset; its classes are those at or below it, over every path. What is chosen depends on the classes,
the graph and the rule alone, so that the same call gives the same superclasses; see superclass_file for the file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from imagenet_tools.errors import UsageError
from imagenet_tools.superclasses import disjoint as disjoint_sets
from imagenet_tools.superclasses.superclasses import EMPTIED, Rule, Superclass, Superclasses
from imagenet_tools.wordnet import graph, hierarchy, wordnet
from imagenet_tools.wordnet.wnid import hash32

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from imagenet_tools.superclasses.superclasses import Rule
    from imagenet_tools.wordnet.graph import Edges, Ints


# ---- Some classes, and each synset at or above one of them with its classes: what superclasses are chosen from.


class Family(NamedTuple):
    """The classes below a synset, and what lies between."""

    classes: Ints  # rows, sorted
    members: Mapping[int, Ints]  # by row of each synset at or above a class: the rows of its classes, sorted
    edges: Mapping[int, Ints]  # likewise: edges on the shortest path from each of these up to it
    outside: Ints  # rows of the classes that do not lie below


def family_of(rule: Rule, classes: Iterable[str]) -> Family:
    """The family of classes below the synset that a rule names; UsageError: none, or one stands twice."""
    rows = np.sort(wordnet.rows_of(classes))
    if not len(rows):
        raise UsageError("Found no classes; expected one at least.")
    if (np.diff(rows) == 0).any():
        twice = rows[1:][np.diff(rows) == 0]
        raise UsageError(f"Expected different classes; {wordnet.wnids_of(twice[:1])[0]} stands in the list twice.")
    below = np.zeros(len(wordnet.load().offsets), np.bool_)
    below[graph.reach(hierarchy.edges_down(instances=rule.instances), [wordnet.row_of(rule.under)])] = True
    inside = rows[below[rows]]
    of, above, steps = graph.pairs(hierarchy.edges_up(instances=rule.instances), inside)
    of, above, steps = of[below[above]], above[below[above]], steps[below[above]]
    starts = np.flatnonzero(np.diff(above, prepend=-1))
    nodes = above[starts].tolist()
    members = dict(zip(nodes, np.split(of, starts[1:]), strict=True)) if nodes else {}
    edges = dict(zip(nodes, np.split(steps, starts[1:]), strict=True)) if nodes else {}
    return Family(inside, members, edges, rows[~below[rows]])


# ---- Which superclass a class belongs to where several lie above it, and what superclasses come of that.


class Assignment(NamedTuple):
    """The rows that were chosen, why others were not, and what there is to say of it."""

    rows: list[int]
    passed_over: dict[int, str]
    notes: tuple[str, ...]


def assigned(rule: Rule, family: Family, chosen: Assignment) -> Superclasses:
    """The superclasses that were chosen, each class in one at most, by the rule's `overlap` and `equal`."""
    up = hierarchy.edges_up(instances=rule.instances)
    above: dict[int, list[int]] = {}
    for row in chosen.rows:
        for member in family.members[row].tolist():
            above.setdefault(member, []).append(row)
    higher = {row: set(graph.reach(up, [row]).tolist()) - {row} for row in chosen.rows}
    members: dict[int, list[int]] = {row: [] for row in chosen.rows}
    undecided: list[int] = []
    for row, over in above.items():
        lower = [one for one in over if not any(one in higher[other] for other in over)]
        taken = lower[0] if len(lower) == 1 else _taken(rule, family, up, row, lower)
        (undecided if taken is None else members[taken]).append(row)
    passed_over = dict(chosen.passed_over)
    passed_over |= {row: EMPTIED for row, found in members.items() if not found}
    kept = {row: wordnet.wnids_of(sorted(found)) for row, found in members.items() if found}
    n = min(map(len, kept.values()), default=0) if rule.equal else len(family.classes)
    equal = {row: sorted(sorted(found, key=lambda wnid: (hash32(wnid), wnid))[:n]) for row, found in kept.items()}
    surplus = sorted(wnid for row, found in kept.items() for wnid in set(found) - set(equal[row]))
    return Superclasses(
        rule=rule,
        superclasses=tuple(
            Superclass(wordnet.wnids_of([row])[0], wordnet.name_at(row), tuple(found))
            for row, found in sorted(equal.items())
        ),
        uncovered=wordnet.wnids_of([row for row in family.classes.tolist() if row not in above]),
        undecided=wordnet.wnids_of(sorted(undecided)),
        surplus=tuple(surplus),
        outside=wordnet.wnids_of(family.outside),
        passed_over={wordnet.wnids_of([row])[0]: why for row, why in sorted(passed_over.items())},
        notes=chosen.notes,
    )


def _taken(rule: Rule, family: Family, up: Edges, row: int, over: list[int]) -> int | None:
    """Which of several superclasses, none below another, a class belongs to."""
    if rule.overlap == "none":
        return None
    met = {one: place for place, one in enumerate(_way_up(up, row))}

    def key(one: int) -> tuple[int, int]:
        if rule.overlap == "nearest":
            place = int(np.searchsorted(family.members[one], row))
            return int(family.edges[one][place]), met[one]
        return -len(family.members[one]) * (rule.overlap == "largest"), met[one]

    return min(over, key=key)


def _way_up(up: Edges, row: int) -> list[int]:
    """What lies above a row, itself included, as it is met depth first, hypernyms in WordNet's order."""
    met: dict[int, None] = {}
    waiting = [row]
    while waiting:
        one = waiting.pop()
        if one not in met:
            met[one] = None
            waiting += up.of(one).tolist()[::-1]
    return list(met)


# ----


def cut(
    classes: Iterable[str],
    *,
    depth: int | None = None,
    k: int | None = None,
    at: Iterable[str] | None = None,
    under: str = hierarchy.ROOT,
    measure: str = "longest",
    balanced: bool = False,
    disjoint: bool = False,
    equal: bool = False,
    overlap: str = "nearest",
    min_classes: int = 1,
    max_classes: int | None = None,
    instances: bool = True,
) -> Superclasses:
    """Superclasses of some classes, chosen in one of three ways among the synsets at or below `under`.

    `depth`: those so many edges below `under`, by the longest path or the shortest (`measure`); none lies below
    another where the longest is measured. `at`: these. `k`: so many that share no class and together have the most.
    With `balanced` the smallest is made as large as can be first, and then they have the most. Either is exact; where
    synsets have the same classes the lowest is taken. A second is enough, but half a minute for fall11 without
    `balanced` or a bound.

    `min_classes` and `max_classes` bound what a superclass has at or below it. `disjoint` keeps, of those at a depth or
    a list, the ones that share no class and together have the most (k's never share any). Else a class below
    several belongs, of nested ones, to the lower; of others by `overlap` to the nearest (fewest edges up), the first
    (met on the way up, depth first), the largest (most classes), or to none; among equals to the first. With `equal`
    each keeps as many classes as the smallest has, those of the lowest hash. `instances=False` follows kinds alone.

    UsageError: a class stands twice; no such k; `at` names what does not lie below `under`.
    """
    rule = Rule(
        depth=depth,
        k=k,
        at=None if at is None else tuple(wordnet.wnids_of(wordnet.rows_of(at))),
        under=wordnet.synset(under).wnid,
        measure=measure,
        balanced=balanced,
        disjoint=disjoint,
        equal=equal,
        overlap=overlap,
        min_classes=min_classes,
        max_classes=max_classes,
        instances=instances,
    )
    return cut_by(rule, classes)


def cut_by(rule: Rule, classes: Iterable[str]) -> Superclasses:
    """Superclasses by a rule, such as that of a file that was read: see cut."""
    family = family_of(rule, classes)
    choose = _by_number if rule.k is not None else _by_depth if rule.depth is not None else _at
    chosen = choose(rule, family)
    return assigned(rule, family, chosen)


# ---- the three ways


def _by_depth(rule: Rule, family: Family) -> Assignment:
    shortest, longest = graph.depths(hierarchy.edges_down(instances=rule.instances), [wordnet.row_of(rule.under)])
    depths = longest if rule.measure == "longest" else shortest
    return _sifted(rule, family, [row for row in family.members if depths[row] == rule.depth])


def _at(rule: Rule, family: Family) -> Assignment:
    rows = wordnet.rows_of(rule.at or ()).tolist()
    if len(set(rows)) != len(rows):
        twice = next(row for row in rows if rows.count(row) > 1)
        raise UsageError(f"Expected different superclasses; {wordnet.name_at(twice)} stands in the list twice.")
    below = graph.reach(hierarchy.edges_down(instances=rule.instances), [wordnet.row_of(rule.under)])
    for row in rows:
        if row not in below:
            raise UsageError(
                f"{wordnet.name_at(row)} does not lie below {wordnet.synset(rule.under).name}, under which all "
                "superclasses shall lie. Take it out of the list, or name another synset above them."
            )
    return _sifted(rule, family, rows)


def _sifted(rule: Rule, family: Family, rows: list[int]) -> Assignment:
    """Those of the size that is wanted and, where that is asked for, disjoint."""
    passed_over = {row: _size_wanted(rule, len(family.members.get(row, ()))) for row in rows}
    passed_over = {row: why for row, why in passed_over.items() if why}
    kept = [row for row in sorted(rows) if row not in passed_over]
    if not rule.disjoint:
        return Assignment(kept, passed_over, ())
    lowest = _lowest(family, kept)
    chosen = _heaviest(family, lowest, None)
    taken = np.concatenate([np.zeros(0, np.int32), *(family.members[row] for row in chosen)])
    for row in kept:
        if row not in chosen:
            n = int(np.isin(family.members[row], taken).sum())
            passed_over[row] = f"shares {n} of its {len(family.members[row])} classes with those that are taken"
    return Assignment(chosen, passed_over, ())


def _size_wanted(rule: Rule, n: int) -> str:
    """Why a superclass of n classes is not taken; empty where it is."""
    if n == 0:
        return "no classes at or below it"
    if n < rule.min_classes:
        return f"{n} classes, fewer than {rule.min_classes}"
    if rule.max_classes is not None and n > rule.max_classes:
        return f"{n} classes, more than {rule.max_classes}"
    return ""


def _by_number(rule: Rule, family: Family) -> Assignment:
    k = rule.k or 0
    rows = [row for row, members in family.members.items() if not _size_wanted(rule, len(members))]
    rows = _lowest(family, rows)
    n_disjoint = disjoint_sets.most(_sets(family, rows))
    if n_disjoint < k:
        raise UsageError(
            f"{k:,} disjoint superclasses of these {len(family.classes):,} classes do not exist, only {n_disjoint:,} "
            f"of the size that is wanted ({rule.min_classes} to {rule.max_classes or 'any number of'} classes)."
        )

    def at_least(least: int) -> list[int]:
        return [row for row in rows if len(family.members[row]) >= least]

    def has_k(least: int) -> bool:
        return disjoint_sets.most(_sets(family, at_least(least))) >= k

    most = len(family.classes) // k
    if rule.balanced:
        least = _last(rule.min_classes, most, has_k)
        said = f"No {k:,} disjoint ones have more than {least:,} classes each."
        return Assignment(_heaviest(family, at_least(least), k), {}, (said,))
    return Assignment(_heaviest(family, rows, k), {}, ())


def _lowest(family: Family, rows: list[int]) -> list[int]:
    """Of synsets that have the same classes the lowest: the longest path leads to it; of equals the first."""
    depths = hierarchy.max_depths()
    found: dict[bytes, int] = {}
    for row in sorted(rows, key=lambda row: (-depths[row], row)):
        found.setdefault(family.members[row].tobytes(), row)
    return sorted(found.values())


def _sets(family: Family, rows: list[int]) -> list[list[int]]:
    return [family.members[row].tolist() for row in rows]


def _heaviest(family: Family, rows: list[int], k: int | None) -> list[int]:
    """The rows of the disjoint ones that have the most classes: k, or any number of them."""
    sets = _sets(family, rows)
    return [rows[place] for place in disjoint_sets.heaviest(sets, list(map(len, sets)), k) or ()]


def _last(low: int, high: int, holds: Callable[[int], bool]) -> int:
    """The greatest number from low to high for which something holds that holds for low and for none after it fails."""
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if holds(middle) else (low, middle - 1)
    return low
