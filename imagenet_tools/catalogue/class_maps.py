"""Map one class list to another: the target of each class, what is lost, and what is merged.

A class goes to the class with the same wnid. If the target is a list of superclasses, it goes as the list was
published. If the target's categories are given by synsets (VOC, COCO, CIFAR), it goes to the category with the nearest
synset at or above it. Edges of both kinds count. Only with `ancestors` a class without a counterpart goes to the
nearest class above it.
"""

from __future__ import annotations

import functools
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from imagenet_tools.catalogue import given_lists, lists, terms
from imagenet_tools.catalogue.lists import ClassList
from imagenet_tools.errors import UsageError
from imagenet_tools.text import count_of
from imagenet_tools.wordnet import graph, hierarchy, wordnet

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Merging = Literal["max", "sum", "logsumexp"]
_UFUNCS = {"max": np.maximum, "sum": np.add, "logsumexp": np.logaddexp}
_Choice = tuple[int, bool]  # a class of b that a synset may go to, by its place, and whether it is above the synset


@dataclass(frozen=True, eq=False)
class ClassMap:
    """The map from list a to list b. Outputs are numbered from 0, background included.

    Attributes:
        a: The list of the model or the labels.
        b: The target list.
        target: The output of b for each output of a, -1 for none: (outputs of a,).
        above: The class of b that each class of a went to, if it is above it; by wnid.
        ambiguous: The nearest classes of b for each class of a that has several; such a class has no target.

    Example:
        >>> m = class_map("ilsvrc2012", "breeds-living17")
        >>> m.merged["salamander"]
        ('n01630670', 'n01631663', 'n01632458', 'n01632777')
        >>> m.scores(np.full((1, 1000), 0.25), merge="sum").tolist()
        [[1.0, 1.0, ..., 1.0]]
    """

    a: ClassList
    b: ClassList
    target: npt.NDArray[np.intp]
    above: Mapping[str, str]
    ambiguous: Mapping[str, tuple[str, ...]]

    def __repr__(self) -> str:
        n_mapped = len(self.a) - len(self.dropped)
        return (
            f"ClassMap: {self.a.name} to {self.b.name}; {n_mapped:,} of {count_of(len(self.a), 'class')} have a target"
            + (f", {len(self.lost):,} of the other list have no source: use scores()" if self.lost else "")
        )

    @functools.cached_property
    def index(self) -> npt.NDArray[np.intp]:
        """The output of a for each output of b, -1 for none: (outputs of b,).

        `logits[:, m.index]` are the logits of b if nothing is `lost`. Otherwise use scores(): numpy and torch take -1
        for the last column. UsageError if several classes of a become one of b: use scores().
        """
        if self.merged:
            name, several = next(iter(self.merged.items()))
            raise UsageError(
                f"{len(several)} classes of {self.a.name} become {name} of {self.b.name}, so that no single column is "
                "it. Use scores(logits), which merges columns, or target, which maps labels."
            )
        index = np.full(_n_outputs(self.b), -1, np.intp)
        kept = np.flatnonzero(self.target >= 0)
        index[self.target[kept]] = kept
        return index

    @functools.cached_property
    def merged(self) -> Mapping[str, tuple[str, ...]]:
        """The classes of b that several classes of a become, with these."""
        sources: dict[str, list[str]] = defaultdict(list)
        for name, target in self._class_targets():
            if target >= 0:
                sources[self.b.classes[target - self.b.background]].append(name)
        return {name: tuple(several) for name, several in sources.items() if len(several) > 1}

    @property
    def lost(self) -> tuple[str, ...]:
        """The classes of b that no class of a becomes."""
        targets = set(self.target.tolist())
        return tuple(name for output, name in enumerate(self.b.classes, self.b.background) if output not in targets)

    @property
    def dropped(self) -> tuple[str, ...]:
        """The classes of a without a target, the ambiguous ones included."""
        return tuple(name for name, target in self._class_targets() if target < 0)

    def _class_targets(self) -> Iterable[tuple[str, int]]:
        return zip(self.a.classes, self.target[self.a.background :].tolist(), strict=True)

    def scores(self, scores: npt.ArrayLike, *, merge: Merging = "max") -> npt.NDArray[np.floating]:
        """Return a model's scores for the classes of b.

        Args:
            scores: The scores for the outputs of a: (n, outputs of a).
            merge: How columns are joined: "max"; "sum", for probabilities; "logsumexp", for logits, which sums their
                probabilities.

        Returns:
            (n, outputs of b). The columns of lost classes are -inf, or 0 with "sum".

        Raises:
            UsageError: Another shape, or another way to merge.
        """
        values = np.asarray(scores)
        if values.ndim != 2 or values.shape[1] != len(self.target):
            raise UsageError(
                f"Expected scores of shape (n, {len(self.target)}), a column an output of {self.a.name}; "
                f"found {values.shape}."
            )
        ufunc = _UFUNCS.get(merge)
        if ufunc is None:
            raise UsageError(f"merge = {merge!r}; expected one of {', '.join(_UFUNCS)}.")
        dtype = np.result_type(values.dtype, np.float32)
        merged = np.full((len(values), _n_outputs(self.b)), 0 if merge == "sum" else -np.inf, dtype)
        columns = np.argsort(self.target, kind="stable")
        columns = columns[self.target[columns] >= 0]
        starts = np.flatnonzero(np.diff(self.target[columns], prepend=-1))
        if len(columns):
            merged[:, self.target[columns[starts]]] = ufunc.reduceat(values[:, columns].astype(dtype), starts, axis=1)
        return merged


def class_map(a: str | ClassList, b: str | ClassList, *, ancestors: bool = False) -> ClassMap:
    """Return the map from one class list to another.

    Args:
        a: A published name, a file, a,b,c, or a ClassList.
        b: The target, likewise.
        ancestors: Send a class that is not in b to the nearest class of b above it; to none if several are as near.

    Raises:
        UsageError: No such list, or a target with a class twice.

    Example:
        >>> class_map("imagenet21k-goog", "ilsvrc2012").lost
        ('n04399382',)
    """
    a, b = listed(a), listed(b)
    twice = next((name for name, n in Counter(b.classes).items() if n > 1), None)
    if twice is not None:
        raise UsageError(f"{b.name}: expected each class of the target once; {twice} appears twice.")
    choices = _choices(a, b, ancestors)
    members = [category.members or category.synsets for category in a.categories] or [(wnid,) for wnid in a.wnids]
    target = np.full(_n_outputs(a), -1, np.intp)
    above: dict[str, str] = {}
    ambiguous: dict[str, tuple[str, ...]] = {}
    for output, (name, wnids) in enumerate(zip(a.classes, members, strict=True), a.background):
        reached = {choice for wnid in wnids for choice in choices.get(wnid, ())}
        places = sorted({place for place, _ in reached})
        # A class of several synsets has a target only if all of them go there.
        if len(places) == 1 and all(wnid in choices for wnid in wnids):
            target[output] = b.background + places[0]
            if any(is_above for _, is_above in reached):
                above[name] = b.classes[places[0]]
        elif places:
            ambiguous[name] = tuple(b.classes[place] for place in places)
    target.flags.writeable = False
    return ClassMap(a, b, target, above, ambiguous)


def listed(text: str | ClassList) -> ClassList:
    """Return the class list that a text names: a published list, a file of classes, or a,b,c."""
    if isinstance(text, ClassList):
        return text
    published = given_lists.published(text)
    if published is not None:
        return published
    return lists.from_wnids(text, given_lists.read_list(text, lambda name: terms.resolve(name).wnid))


def _choices(a: ClassList, b: ClassList, ancestors: bool) -> Mapping[str, Iterable[_Choice]]:
    """Return the classes of b that the synsets of a may go to, by wnid."""
    choices: dict[str, list[_Choice]] = defaultdict(list)
    if b.categories:
        for place, category in enumerate(b.categories):
            for wnid in category.members:
                choices[wnid].append((place, False))
    else:
        choices |= {wnid: [(place, False)] for place, wnid in enumerate(b.wnids)}
    by_synsets = bool(b.categories) and not any(category.members for category in b.categories)
    wnids = {wnid for category in a.categories for wnid in category.members or category.synsets} or set(a.wnids)
    wnids -= choices.keys()
    if wnids and (ancestors or by_synsets):
        choices |= _nearest(wnids, b)
    return dict(choices)


def _nearest(synsets: Iterable[str], b: ClassList) -> dict[str, list[_Choice]]:
    """Return the classes of b with the synsets nearest at or above each synset: several if they are as near."""
    if b.categories:
        places = [(wnid, (n, False)) for n, category in enumerate(b.categories) for wnid in category.synsets]
        places += [(wnid, (n, True)) for n, category in enumerate(b.categories) for wnid in category.without]
    else:
        places = [(wnid, (n, False)) for n, wnid in enumerate(b.wnids)]
    anchors: dict[int, list[tuple[int, bool]]] = defaultdict(list)  # (place in b, leaves out) by row
    for row, (_, anchor) in zip(wordnet.rows_of(wnid for wnid, _ in places).tolist(), places, strict=True):
        anchors[row].append(anchor)
    wanted = wordnet.mask_of(wordnet.rows_of(synsets))
    # Downwards: fewer synsets are below the few anchors than above the many classes.
    tops, below, distances = graph.pairs(hierarchy.edges_down(), np.array(sorted(anchors), np.int32))
    hits = np.flatnonzero(wanted[below])
    by_row: dict[int, dict[tuple[int, bool], int]] = defaultdict(dict)
    for row, top, distance in zip(below[hits].tolist(), tops[hits].tolist(), distances[hits].tolist(), strict=True):
        for anchor in anchors[top]:
            by_row[row][anchor] = min(distance, by_row[row].get(anchor, distance))
    nearest = {}
    for wnid, reached in zip(wordnet.wnids_of(list(by_row)), by_row.values(), strict=True):
        # A class takes the synset unless a synset that it leaves out is as near.
        inside = {
            place: distance
            for (place, leaves_out), distance in sorted(reached.items())
            if not leaves_out and distance < reached.get((place, True), distance + 1)
        }
        least = min(inside.values(), default=0)
        if inside:
            nearest[wnid] = [(place, distance > 0) for place, distance in inside.items() if distance == least]
    return nearest


def _n_outputs(listed: ClassList) -> int:
    return listed.background + len(listed)
