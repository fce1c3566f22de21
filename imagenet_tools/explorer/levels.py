"""A level of the hierarchy: the synsets at one depth, and those above it that have images of their own."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from imagenet_tools.display.style import GROUPS
from imagenet_tools.wordnet import graph, hierarchy, wordnet

if TYPE_CHECKING:
    import numpy.typing as npt

    Counts = npt.NDArray[np.int64]


class Level(NamedTuple):
    """The groups that synsets fall into at one depth; a synset below several of them is in each.

    Attributes:
        depth: Edges on the shortest path from entity.n.01.
        members: Row of each synset that is in a group, sorted.
        groups: Row of its group, parallel to `members`.
        colours: The colour of each group, by row; a key of style.LIGHT.
    """

    depth: int
    members: Counts
    groups: Counts
    colours: dict[int, str]

    def of(self, row: int) -> list[int]:
        """Return the groups of a synset."""
        first, last = np.searchsorted(self.members, [row, row + 1])
        return [int(group) for group in self.groups[first:last]]

    def colour(self, row: int) -> str:
        """Return the colour of the first group of a synset; "" without one."""
        return next((self.colours[group] for group in self.of(row)), "")

    def totals(self, direct: Counts, mask: npt.NDArray[np.bool_]) -> list[tuple[int, int, int]]:
        """Return (group, count, classes) of the classes of a mask, the greatest count first."""
        counted = mask & (direct > 0)
        chosen = counted[self.members]
        groups, members = self.groups[chosen], self.members[chosen]
        totals, classes = wordnet.sums_of(groups, direct[members]), wordnet.sums_of(groups, 1)
        rows = np.flatnonzero(classes)
        order = rows[np.argsort(-totals[rows], kind="stable")]
        return [(int(row), int(totals[row]), int(classes[row])) for row in order]


class Levels:
    """The levels of the classes of an index."""

    def __init__(self, direct: Counts, inclusive: Counts) -> None:
        self._direct, self._inclusive = direct, inclusive
        depths = hierarchy.min_depths()
        classes = np.flatnonzero(direct)
        self.least = int(depths[np.flatnonzero(inclusive == inclusive.max(initial=0))].max(initial=0))
        self.most = int(depths[classes].max(initial=0))
        self.at = functools.cache(self._at)

    def _at(self, depth: int) -> Level:
        depths = hierarchy.min_depths()
        counted = np.flatnonzero(self._inclusive > 0)
        members, above, _ = graph.pairs(hierarchy.edges_up(), counted.astype(np.int32))
        # Depth is that of the shortest path, so a synset at this depth may be above another one: hunting dog is as
        # deep as mammal, because dog is also a domestic animal. The upper one is the group.
        at_depth = (depths == depth) & (self._inclusive > 0)
        at_depth[members[at_depth[members] & at_depth[above] & (members != above)]] = False
        is_group = at_depth | ((depths < depth) & (self._direct > 0))
        # A class above the level is a group of its own images alone: what is below it has groups of its own.
        kept = is_group[above] & (at_depth[above] | (members == above))
        members, above = members[kept].astype(np.int64), above[kept].astype(np.int64)
        order = np.lexsort((-self._inclusive[above], members))
        groups = sorted(set(above.tolist()), key=lambda row: (-int(self._inclusive[row]), row))
        colours = {row: GROUPS[n % len(GROUPS)] for n, row in enumerate(groups)}
        return Level(depth, members[order], above[order], colours)


def label(row: int) -> str:
    """Return the first lemma of a synset."""
    return wordnet.label_of(wordnet.wnid_at(row))
