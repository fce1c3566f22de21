"""Choose superclasses from the graph: by depth, by number, or from a list, all of them below one ancestor.

A superclass is a synset; its classes are those at or below it, over every path. The result depends only on the
classes, the graph and the rule: the same call always gives the same superclasses.
"""

from __future__ import annotations

import bisect
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from imagenet_tools.errors import UsageError
from imagenet_tools.superclasses import disjoint
from imagenet_tools.superclasses.superclasses import EMPTIED, Rule, Superclass, Superclasses
from imagenet_tools.text import count_of
from imagenet_tools.wordnet import graph, hierarchy, wordnet
from imagenet_tools.wordnet.wnid import hash32

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from imagenet_tools.wordnet.graph import Edges, Ints


class _Family(NamedTuple):
    """The classes below one synset, and the synsets between; all are rows of wordnet."""

    classes: Ints  # sorted
    members: Mapping[int, Ints]  # for each synset at or above a class: its classes, sorted
    edges: Mapping[int, Ints]  # likewise: the edges on the shortest path from each of its classes
    outside: Ints  # classes that are not below


class _Selection(NamedTuple):
    """The rows chosen as superclasses, why other rows were passed over, and sentences about the choice."""

    rows: list[int]
    passed_over: dict[int, str]
    notes: tuple[str, ...] = ()


def cut(
    classes: Iterable[str],
    *,
    at: Iterable[str] | None = None,
    under: str = hierarchy.ROOT,
    **options: bool | int | str | None,
) -> Superclasses:
    """Return superclasses of some classes, chosen from the synsets at or below `under`.

    Exactly one of `depth`, `k` and `at` chooses.

    Args:
        classes: Wnids or names.
        at: The superclasses: wnids or names.
        under: A wnid or a name.
        options: The other attributes of Rule, which describes them all.

    Raises:
        UsageError: A class twice, no such number of disjoint superclasses, a synset of `at` that is not below
            `under`, or an option that Rule refuses.
    """
    rule = Rule(
        at=None if at is None else wordnet.wnids_of(wordnet.rows_of(at)),
        under=wordnet.synset(under).wnid,
        **options,  # type: ignore[arg-type]  # Rule checks them
    )
    return cut_by(rule, classes)


def cut_by(rule: Rule, classes: Iterable[str]) -> Superclasses:
    """Return superclasses by a rule, such as the rule of a file: see cut()."""
    family = _family(rule, classes)
    if rule.k is not None:
        selection = _select_number(rule, family, rule.k)
    elif rule.depth is not None:
        selection = _select_depth(rule, family)
    else:
        selection = _select_listed(rule, family)
    return _assign(rule, family, selection)


def _family(rule: Rule, classes: Iterable[str]) -> _Family:
    """Return the family of classes below the synset of a rule; UsageError if there are none, or one appears twice."""
    rows = np.sort(wordnet.distinct_rows_of(classes))
    if not len(rows):
        raise UsageError("Found no classes; expected one at least.")
    is_below = wordnet.mask_of(_rows_below(rule))
    inside = rows[is_below[rows]]
    members, above, edges = graph.pairs(hierarchy.edges_up(instances=rule.instances), inside)
    members, above, edges = members[is_below[above]], above[is_below[above]], edges[is_below[above]]
    starts = np.flatnonzero(np.diff(above, prepend=-1))
    synsets = above[starts].tolist()
    return _Family(
        classes=inside,
        # Not strict: np.split returns one empty piece if there are no synsets.
        members=dict(zip(synsets, np.split(members, starts[1:]), strict=False)),
        edges=dict(zip(synsets, np.split(edges, starts[1:]), strict=False)),
        outside=rows[~is_below[rows]],
    )


def _rows_below(rule: Rule) -> Ints:
    return graph.reach(hierarchy.edges_down(instances=rule.instances), [wordnet.row_of(rule.under)])


# ---- the three ways to choose


def _select_depth(rule: Rule, family: _Family) -> _Selection:
    shortest, longest = graph.depths(hierarchy.edges_down(instances=rule.instances), [wordnet.row_of(rule.under)])
    depths = longest if rule.measure == "longest" else shortest
    return _sifted(rule, family, [row for row in family.members if depths[row] == rule.depth])


def _select_listed(rule: Rule, family: _Family) -> _Selection:
    rows = wordnet.rows_of(rule.at or ()).tolist()
    if len(set(rows)) != len(rows):
        twice = next(row for row in rows if rows.count(row) > 1)
        raise UsageError(f"Expected different superclasses; {wordnet.name_at(twice)} appears twice in the list.")
    below = _rows_below(rule)
    for row in rows:
        if row not in below:
            raise UsageError(
                f"{wordnet.name_at(row)} is not below {wordnet.synset(rule.under).name}, but all "
                "superclasses must be at or below it. Take it out of the list, or name another synset above them."
            )
    return _sifted(rule, family, rows)


def _sifted(rule: Rule, family: _Family, rows: list[int]) -> _Selection:
    """Return the rows of the size that the rule allows and, if it asks for that, disjoint ones among them."""
    passed_over = {row: why for row in rows if (why := _wrong_size(rule, len(family.members.get(row, ()))))}
    rows = [row for row in sorted(rows) if row not in passed_over]
    if not rule.disjoint:
        return _Selection(rows, passed_over)
    chosen = _heaviest(family, _lowest(family, rows), None)
    taken = np.concatenate([np.zeros(0, np.int32), *(family.members[row] for row in chosen)])
    for row in rows:
        if row not in chosen:
            n = int(np.isin(family.members[row], taken).sum())
            passed_over[row] = f"shares {n} of its {len(family.members[row])} classes with those that are taken"
    return _Selection(chosen, passed_over)


def _wrong_size(rule: Rule, n: int) -> str:
    """Return why a superclass of n classes is passed over; empty if it is not."""
    if n == 0:
        return "no classes at or below it"
    if n < rule.min_classes:
        return f"{n} classes, fewer than {rule.min_classes}"
    if rule.max_classes is not None and n > rule.max_classes:
        return f"{n} classes, more than {rule.max_classes}"
    return ""


def _select_number(rule: Rule, family: _Family, k: int) -> _Selection:
    rows = [row for row, members in family.members.items() if not _wrong_size(rule, len(members))]
    rows = _lowest(family, rows)
    n_disjoint = disjoint.most(_sets(family, rows))
    if n_disjoint < k:
        raise UsageError(
            f"{k:,} disjoint superclasses of these {len(family.classes):,} classes do not exist, only {n_disjoint:,} "
            f"of the size that is wanted ({rule.min_classes} to {rule.max_classes or 'any number of'} classes)."
        )
    if not rule.balanced:
        return _Selection(_heaviest(family, rows, k), {})

    def of_size(least: int) -> list[int]:
        return [row for row in rows if len(family.members[row]) >= least]

    def too_few(least: int) -> bool:
        return disjoint.most(_sets(family, of_size(least))) < k

    # The greatest size that k disjoint sets have: one less than the first size that too few have.
    sizes = range(rule.min_classes + 1, len(family.classes) // k + 1)
    least = rule.min_classes + bisect.bisect_left(sizes, True, key=too_few)
    note = f"No {k:,} disjoint ones have more than {count_of(least, 'class')} each."
    return _Selection(_heaviest(family, of_size(least), k), {}, (note,))


def _lowest(family: _Family, rows: list[int]) -> list[int]:
    """Return one of the synsets with the same classes: the deepest by the longest path, then the first."""
    depths = hierarchy.max_depths()
    by_classes: dict[bytes, int] = {}
    for row in sorted(rows, key=lambda row: (-depths[row], row)):
        by_classes.setdefault(family.members[row].tobytes(), row)
    return sorted(by_classes.values())


def _sets(family: _Family, rows: list[int]) -> list[list[int]]:
    return [family.members[row].tolist() for row in rows]


def _heaviest(family: _Family, rows: list[int], k: int | None) -> list[int]:
    """Return the disjoint synsets that have the most classes: k of them, or any number."""
    sets = _sets(family, rows)
    return [rows[place] for place in disjoint.heaviest(sets, list(map(len, sets)), k) or ()]


# ---- the superclass of each class


def _assign(rule: Rule, family: _Family, selection: _Selection) -> Superclasses:
    """Return the superclasses with each class in at most one, by the rule's `overlap` and `equal`."""
    up = hierarchy.edges_up(instances=rule.instances)
    above: dict[int, list[int]] = {}
    for row in selection.rows:
        for member in family.members[row].tolist():
            above.setdefault(member, []).append(row)
    higher = {row: set(graph.reach(up, [row]).tolist()) - {row} for row in selection.rows}
    members: dict[int, list[int]] = {row: [] for row in selection.rows}
    undecided: list[int] = []
    for row, superclasses in above.items():
        lowest = [low for low in superclasses if not any(low in higher[other] for other in superclasses)]
        superclass = lowest[0] if len(lowest) == 1 else _preferred(rule, family, up, row, lowest)
        (undecided if superclass is None else members[superclass]).append(row)
    passed_over = selection.passed_over | {row: EMPTIED for row, rows in members.items() if not rows}
    full = {row: wordnet.wnids_of(sorted(rows)) for row, rows in members.items() if rows}
    n_kept = min(map(len, full.values()), default=0) if rule.equal else len(family.classes)
    kept = {row: sorted(sorted(wnids, key=lambda wnid: (hash32(wnid), wnid))[:n_kept]) for row, wnids in full.items()}
    return Superclasses(
        rule=rule,
        superclasses=tuple(
            Superclass(wordnet.wnid_at(row), wordnet.name_at(row), tuple(wnids)) for row, wnids in sorted(kept.items())
        ),
        uncovered=wordnet.wnids_of([row for row in family.classes.tolist() if row not in above]),
        undecided=wordnet.wnids_of(sorted(undecided)),
        surplus=tuple(sorted(wnid for row, wnids in full.items() for wnid in set(wnids) - set(kept[row]))),
        outside=wordnet.wnids_of(family.outside),
        passed_over={wordnet.wnid_at(row): why for row, why in sorted(passed_over.items())},
        notes=selection.notes,
    )


def _preferred(rule: Rule, family: _Family, up: Edges, row: int, superclasses: list[int]) -> int | None:
    """Return the superclass that a class goes to, if it is below several and none of these is below another."""
    if rule.overlap == "none":
        return None
    order = _depth_first(up, row)

    def key(superclass: int) -> tuple[int, int]:
        members, place = family.members[superclass], order[superclass]
        if rule.overlap == "nearest":
            return int(family.edges[superclass][np.searchsorted(members, row)]), place
        return (-len(members) if rule.overlap == "largest" else 0), place

    return min(superclasses, key=key)


def _depth_first(up: Edges, row: int) -> dict[int, int]:
    """Return the place of each synset at or above a row in depth-first order, hypernyms in WordNet's order."""
    order: dict[int, int] = {}
    stack = [row]
    while stack:
        node = stack.pop()
        if node not in order:
            order[node] = len(order)
            stack += up.of(node).tolist()[::-1]
    return order
