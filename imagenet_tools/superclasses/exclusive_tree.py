"""A tree made of the graph: each synset above some classes keeps one hypernym of several, by a rule that has a name.

Each such choice loses a fact, and stands in the tree as a Choice with what was passed over; exclusive_tree_file writes
them to a file. Of hypernyms that a rule holds equal, WordNet's first one is kept, kinds before instances. A hypernym
that does not lie below the top is no choice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from imagenet_tools.errors import UsageError
from imagenet_tools.wordnet import graph, hierarchy, wordnet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    import numpy.typing as npt

    from imagenet_tools.wordnet.graph import Edges, Ints

# What each rule keeps, in words.
RULES = {
    "first": "the hypernym that WordNet names first",
    "min-depth": "the hypernym that the shortest path from the top leads to",
    "max-depth": "the hypernym that the longest path from the top leads to",
    "most-classes": "the hypernym with the most of the classes at or below it, each counted once",
    "fewest-classes": "the hypernym with the fewest of the classes at or below it, each counted once",
    "most-images": "the hypernym with the most images of the classes at or below it, each counted once",
}


class ParentChoice(NamedTuple):
    """A synset of several hypernyms: the one that it keeps, the others in WordNet's order, and why."""

    wnid: str
    hypernym: str
    others: tuple[str, ...]
    why: str


@dataclass(frozen=True, kw_only=True)
class ExclusiveTree:
    """A tree: the classes, and one hypernym for each of them and for all on their ways up, but for the top."""

    rule: str | None  # None: chosen by hand
    under: str  # the wnid of the top
    instances: bool
    classes: tuple[str, ...]  # wnids, sorted
    hypernyms: Mapping[str, str]  # by wnid, sorted; what leads to no class any more is not in it
    choices: tuple[ParentChoice, ...]  # of the synsets that have several, sorted by wnid
    edited: bool = False  # the file was changed since it was made

    def edges_down(self) -> Edges:
        """The edges of the tree from each row of imagenet_tools.wordnet.wordnet to what lies right below it."""
        lower, upper = wordnet.rows_of(self.hypernyms), wordnet.rows_of(self.hypernyms.values())
        return graph.from_pairs(len(wordnet.load().offsets), upper, lower)

    def path(self, synset: str) -> tuple[str, ...]:
        """The wnids from the top down to a synset of the tree, both included; UsageError: it is not in the tree."""
        wnid = wordnet.synset(synset).wnid
        if wnid != self.under and wnid not in self.hypernyms:
            raise UsageError(f"{synset} is not in the tree; expected one of its classes, or what lies above one.")
        found = [wnid]
        while found[-1] != self.under:
            found.append(self.hypernyms[found[-1]])
        return tuple(found[::-1])


def exclusive_tree(
    classes: Iterable[str],
    *,
    rule: str,
    under: str = hierarchy.ROOT,
    images: npt.NDArray[np.int64] | None = None,
    instances: bool = True,
) -> ExclusiveTree:
    """The tree of some classes by a rule of RULES.

    `images`, by row of wordnet, are what lies at each class, for the rule most-images. UsageError: a class does not
    lie below `under` or stands twice, no such rule, or no images for the rule that counts them.
    """
    if rule not in RULES:
        raise UsageError(f"{rule!r} is no rule; expected one of {', '.join(RULES)}.")
    wnids = wordnet.wnids_of(np.sort(wordnet.rows_of(classes)))
    top = wordnet.synset(under).wnid
    parents = parents_of(wnids, under=top, instances=instances)
    value = _value(rule, wnids, top, images, instances)
    made: dict[str, ParentChoice] = {}

    def kept(wnid: str) -> str:
        above = parents[wordnet.row_of(wnid)]
        several = wordnet.wnids_of(above)
        if len(above) == 1:
            return several[0]
        values = [value(one) for one in above]
        best = values.index(max(values, key=lambda each: each[0]))
        others = tuple(one for place, one in enumerate(several) if place != best)
        rest = ", ".join(text for place, (_, text) in enumerate(values) if place != best)
        why = f"{values[best][1]}; the others: {rest}" if rest.strip(", ") else "first"
        made[wnid] = ParentChoice(wnid, several[best], others, why)
        return several[best]

    hypernyms = walked(wnids, top, kept)
    return ExclusiveTree(
        rule=rule,
        under=top,
        instances=instances,
        classes=wnids,
        hypernyms=hypernyms,
        choices=tuple(choice for _, choice in sorted(made.items())),
    )


def walked(classes: Iterable[str], top: str, kept: Callable[[str], str]) -> dict[str, str]:
    """The hypernym of each synset on the way up from classes to the top, sorted; `kept` gives it, once for each."""
    found: dict[str, str] = {}
    for one in classes:
        wnid = one
        while wnid != top and wnid not in found:
            found[wnid] = kept(wnid)
            wnid = found[wnid]
    return dict(sorted(found.items()))


def parents_of(classes: tuple[str, ...], *, under: str, instances: bool) -> dict[int, list[int]]:
    """The hypernyms between which each synset at or above a class may choose, by row, without the top.

    UsageError: a class does not lie below the top, or stands twice.
    """
    if not classes:
        raise UsageError("Found no classes; expected one at least.")
    rows = wordnet.rows_of(classes)
    if len(np.unique(rows)) != len(rows):
        twice = next(wnid for wnid in classes if classes.count(wnid) > 1)
        raise UsageError(f"Expected different classes; {twice} stands in the list twice.")
    up, top = hierarchy.edges_up(instances=instances), wordnet.row_of(under)
    below = _mask(graph.reach(hierarchy.edges_down(instances=instances), [top]))
    outside = rows[~below[rows]]
    if len(outside):
        raise UsageError(
            f"{len(outside):,} of {len(rows):,} classes do not lie below {wordnet.name_at(top)}, such as "
            f"{wordnet.name_at(int(outside[0]))} ({wordnet.wnids_of(outside[:1])[0]}). Leave them out, or name a "
            "synset above all."
        )
    inside = below & _mask(graph.reach(up, rows))
    return {
        row: [above for above in up.of(row).tolist() if below[above]]
        for row in np.flatnonzero(inside).tolist()
        if row != top
    }


def _mask(rows: Ints) -> npt.NDArray[np.bool_]:
    mask = np.zeros(len(wordnet.load().offsets), np.bool_)
    mask[rows] = True
    return mask


def _value(
    rule: str, classes: tuple[str, ...], top: str, images: npt.NDArray[np.int64] | None, instances: bool
) -> Callable[[int], tuple[int, str]]:
    """What a rule makes of a hypernym: the greatest is kept; and in words."""
    if rule == "first":
        return lambda row: (0, "")
    if rule in {"min-depth", "max-depth"}:
        down = hierarchy.edges_down(instances=instances)
        shortest, longest = graph.depths(down, [wordnet.row_of(top)])
        if rule == "min-depth":
            return lambda row: (-int(shortest[row]), f"depth {shortest[row]}")
        return lambda row: (int(longest[row]), f"depth {longest[row]}")
    direct = _mask(wordnet.rows_of(classes)).astype(np.int64)
    if rule == "most-images":
        if images is None:
            raise UsageError("The rule most-images needs images to count; expected an index, or `images`.")
        direct *= np.asarray(images)
    below = hierarchy.inclusive(direct, instances=instances)
    unit = "images" if rule == "most-images" else "classes"
    sign = -1 if rule == "fewest-classes" else 1
    return lambda row: (sign * int(below[row]), f"{below[row]:,} {unit}")
