"""Which superclass a class belongs to where several lie above it, and what superclasses come of that."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from imagenet_tools import graph, hierarchy, wordnet
from imagenet_tools.superclasses.superclasses import EMPTIED, Rule, Superclass, Superclasses
from imagenet_tools.wnid import hash32

if TYPE_CHECKING:
    from imagenet_tools.graph import Edges
    from imagenet_tools.superclasses.family import Family


class Chosen(NamedTuple):
    """The rows that were chosen, why others were not, and what there is to say of it."""

    rows: list[int]
    passed_over: dict[int, str]
    notes: tuple[str, ...]


def assigned(rule: Rule, family: Family, chosen: Chosen) -> Superclasses:
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
