"""Superclasses of a set of classes: how they were chosen, their members, and what is in none or might be in several."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from imagenet_tools.errors import UsageError
from imagenet_tools.wordnet import graph, hierarchy, wordnet

if TYPE_CHECKING:
    from collections.abc import Mapping

MEASURES = ("longest", "shortest")
OVERLAPS = ("nearest", "first", "largest", "none")
REASONS = ("uncovered", "undecided", "surplus", "outside")
EMPTIED = "its classes went to others, or to none"  # why a superclass that was chosen has no members
_WAYS = ("depth", "k", "at")


@dataclass(frozen=True, kw_only=True)
class Rule:
    """How superclasses are chosen: by depth, by number (k) or at a list, whichever one is given. See cuts.cut.

    UsageError where that is none or several of them, or a value is none of those that are known.
    """

    depth: int | None = None
    k: int | None = None
    at: tuple[str, ...] | None = None  # wnids
    under: str = "n00001740"  # a wnid; entity.n.01
    measure: str = "longest"
    balanced: bool = False
    disjoint: bool = False
    equal: bool = False
    overlap: str = "nearest"
    min_classes: int = 1
    max_classes: int | None = None
    instances: bool = True

    def __post_init__(self) -> None:
        given = [way for way in _WAYS if getattr(self, way) is not None]
        if len(given) != 1:
            raise UsageError(f"Found {' and '.join(given) or 'no way to choose'}; expected one of {', '.join(_WAYS)}.")
        for key, least in (("depth", 0), ("k", 1), ("min_classes", 1), ("max_classes", 1)):
            value = getattr(self, key)
            if value is not None and (type(value) is not int or value < least):
                raise UsageError(f"{key} = {value!r}; expected a whole number from {least}.")
        for key, known in (("measure", MEASURES), ("overlap", OVERLAPS)):
            if getattr(self, key) not in known:
                raise UsageError(f"{key} = {getattr(self, key)!r}; expected one of {', '.join(known)}.")
        for key in ("balanced", "disjoint", "equal", "instances"):
            if type(getattr(self, key)) is not bool:
                raise UsageError(f"{key} = {getattr(self, key)!r}; expected true or false.")


class Superclass(NamedTuple):
    """A superclass: its synset, what it is called, and its classes by wnid, sorted."""

    wnid: str
    name: str
    members: tuple[str, ...]


class Shared(NamedTuple):
    """A class at or below several superclasses: the one it belongs to, None for none, and the others."""

    wnid: str
    taken: str | None
    others: tuple[str, ...]


@dataclass(frozen=True)
class Superclasses:
    """Superclasses by wnid, no class in two of them; and where each class went that is in none."""

    rule: Rule | None  # None: made by hand
    superclasses: tuple[Superclass, ...]
    uncovered: tuple[str, ...] = ()  # at or below none of them
    undecided: tuple[str, ...] = ()  # below several, where the rule gives them to none
    surplus: tuple[str, ...] = ()  # more than the smallest superclass has, where all shall have equally many
    outside: tuple[str, ...] = ()  # not at or below the synset that all lies under
    passed_over: Mapping[str, str] = field(default_factory=dict)  # synsets by wnid, with the reason
    notes: tuple[str, ...] = ()  # what there is to say of the choice, in sentences
    edited: bool = False  # the file was changed since it was made

    def superclass_of(self) -> dict[str, str]:
        """The wnid of the superclass by the wnid of each class that has one."""
        return {member: one.wnid for one in self.superclasses for member in one.members}

    def classes(self) -> tuple[str, ...]:
        """The wnids of all classes, those without a superclass too, sorted."""
        return tuple(sorted([*self.superclass_of(), *(wnid for _, wnids in self.unassigned() for wnid in wnids)]))

    def unassigned(self) -> list[tuple[str, tuple[str, ...]]]:
        """The classes in no superclass, by reason."""
        return [(reason, getattr(self, reason)) for reason in REASONS]

    def shared(self) -> tuple[Shared, ...]:
        """The classes at or below several superclasses, those left empty too; none: they are disjoint in the graph."""
        classes, taken = self.classes(), self.superclass_of()
        instances = self.rule is None or self.rule.instances
        rows = wordnet.rows_of(classes)
        above = np.zeros(len(wordnet.load().offsets), np.bool_)
        above[wordnet.rows_of(one.wnid for one in self.superclasses)] = True
        above[wordnet.rows_of(wnid for wnid, why in self.passed_over.items() if why == EMPTIED)] = True
        below, over, _ = graph.pairs(hierarchy.edges_up(instances=instances), rows)
        found: dict[str, list[str]] = {}
        for wnid, superclass in zip(*map(wordnet.wnids_of, (below[above[over]], over[above[over]])), strict=True):
            found.setdefault(wnid, []).append(superclass)
        several = ((wnid, sorted(found[wnid])) for wnid in classes if len(found.get(wnid, ())) > 1)
        return tuple(
            Shared(wnid, taken.get(wnid), tuple(one for one in ones if one != taken.get(wnid)))
            for wnid, ones in several
        )
