"""Maps from one class list to another: which class of one is which of the other, what is lost, and what is merged.

A class goes to the class with the same wnid. Into superclasses it goes as the published list says, and into a category
that is given by synsets (VOC, COCO, CIFAR) if it lies at or below one of them: into the nearest by edges, of both kinds
of hypernym. Only where that is asked for does a class without its own go to the nearest listed one above it.
"""

from __future__ import annotations

import functools
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from imagenet_tools.catalogue import given_lists, lists, terms
from imagenet_tools.catalogue.lists import ClassList
from imagenet_tools.errors import UsageError
from imagenet_tools.wordnet import graph, hierarchy, wordnet

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

Merging = Literal["max", "sum", "logsumexp"]


@dataclass(frozen=True, eq=False)
class ClassMap:
    """Where the classes of one list stand in another. Outputs are numbered from 0, backgrounds included."""

    a: ClassList
    b: ClassList
    target: npt.NDArray[np.intp] = field(repr=False)  # (outputs of a,): the output of b that each becomes, -1: none
    above: Mapping[str, str] = field(repr=False)  # classes of a that went to a class above them, by wnid: its name in b
    ambiguous: Mapping[str, tuple[str, ...]] = field(repr=False)  # classes of a, and those of b as near as each other

    @functools.cached_property
    def index(self) -> npt.NDArray[np.intp]:
        """The output of a that is each output of b, -1 where there is none: (outputs of b,).

        `logits[:, m.index]` are the logits of b where nothing is `lost`: for numpy and torch -1 is the last column,
        so use scores() where something is. UsageError where several classes of a become one of b: use scores().
        """
        if self.merged:
            name, several = next(iter(self.merged.items()))
            raise UsageError(
                f"{len(several)} classes of {self.a.name} become {name} of {self.b.name}, so that no single column is "
                "it. Use scores(logits), which merges columns, or target, which maps labels."
            )
        index = np.full(_outputs(self.b), -1, np.intp)
        kept = np.flatnonzero(self.target >= 0)
        index[self.target[kept]] = kept
        return index

    @functools.cached_property
    def merged(self) -> Mapping[str, tuple[str, ...]]:
        """The classes of b that several classes of a become, and these."""
        into: dict[str, list[str]] = defaultdict(list)
        for name, target in zip(self.a.classes, self.target[self.a.background :].tolist(), strict=True):
            if target >= 0:
                into[self.b.classes[target - self.b.background]].append(name)
        return {name: tuple(several) for name, several in into.items() if len(several) > 1}

    @property
    def lost(self) -> tuple[str, ...]:
        """The classes of b that no class of a becomes."""
        found = set(self.target.tolist())
        return tuple(name for output, name in enumerate(self.b.classes, self.b.background) if output not in found)

    @property
    def dropped(self) -> tuple[str, ...]:
        """The classes of a that become none of b, the ambiguous ones among them."""
        targets = self.target[self.a.background :].tolist()
        return tuple(name for name, target in zip(self.a.classes, targets, strict=True) if target < 0)

    def scores(self, scores: npt.ArrayLike, *, merge: Merging = "max") -> npt.NDArray[np.floating]:
        """A model's scores for the classes of b, from those for a: (n, outputs of a) becomes (n, outputs of b).

        `merge` joins the columns that become one: max; sum, for probabilities; logsumexp, for logits, which is the sum
        of their probabilities. What is lost has -inf, or 0 where columns are summed. UsageError: another width.
        """
        given = np.asarray(scores)
        if given.ndim != 2 or given.shape[1] != len(self.target):
            raise UsageError(
                f"Expected scores of shape (n, {len(self.target)}), a column an output of {self.a.name}; "
                f"found {given.shape}."
            )
        joining = {"max": np.maximum, "sum": np.add, "logsumexp": np.logaddexp}[merge]
        kind = np.result_type(given.dtype, np.float32)
        out = np.full((len(given), _outputs(self.b)), 0 if merge == "sum" else -np.inf, kind)
        columns = np.argsort(self.target, kind="stable")
        columns = columns[self.target[columns] >= 0]
        starts = np.flatnonzero(np.diff(self.target[columns], prepend=-1))
        if len(columns):
            out[:, self.target[columns[starts]]] = joining.reduceat(given[:, columns].astype(kind), starts, axis=1)
        return out


def class_map(a: str | ClassList, b: str | ClassList, *, ancestors: bool = False) -> ClassMap:
    """The map from one class list to another; each a published name, a file, a,b,c, or a ClassList.

    With `ancestors` a class that is not in b goes to the nearest class of b above it; where several are as near, none.
    UsageError: no such list.
    """
    a, b = listed(a), listed(b)
    choices = {wnid: [_Choice(n, False)] for n, wnid in enumerate(b.wnids)} if not b.categories else _members(b)
    unclear = {wnid for one in a.categories or () for wnid in one.members or one.synsets} or set(a.wnids)
    unclear -= choices.keys()
    given_by_synsets = bool(b.categories) and not any(one.members for one in b.categories)
    if unclear and (ancestors or given_by_synsets):
        choices |= _nearest(unclear, b)
    target = np.full(_outputs(a), -1, np.intp)
    above: dict[str, str] = {}
    ambiguous: dict[str, tuple[str, ...]] = {}
    members = [one.members or one.synsets for one in a.categories] or [(wnid,) for wnid in a.wnids]
    for place, (name, wnids) in enumerate(zip(a.classes, members, strict=True)):
        found = {choice for wnid in wnids for choice in choices.get(wnid, ())}
        classes = sorted({choice.place for choice in found})
        # A class of several synsets goes where all of them go.
        if len(classes) == 1 and all(wnid in choices for wnid in wnids):
            target[a.background + place] = b.background + classes[0]
            if any(choice.above for choice in found):
                above[name] = b.classes[classes[0]]
        elif classes:
            ambiguous[name] = tuple(b.classes[one] for one in classes)
    target.flags.writeable = False
    return ClassMap(a, b, target, above, ambiguous)


def listed(text: str | ClassList) -> ClassList:
    """The class list that a text names: a published list, a file with a synset at the head of each line, or a,b,c."""
    if isinstance(text, ClassList):
        return text
    if (one := given_lists.published(text)) is not None:
        return one
    return lists.made(text, given_lists.read_list(text, lambda name: terms.resolve(name).wnid))


# ---- where a synset goes


class _Choice(NamedTuple):
    """A class of b that a synset may become, and whether it lies below it."""

    place: int
    above: bool


def _members(b: ClassList) -> dict[str, list[_Choice]]:
    found: dict[str, list[_Choice]] = defaultdict(list)
    for place, one in enumerate(b.categories):
        for wnid in one.members:
            found[wnid].append(_Choice(place, False))
    return dict(found)


def _nearest(synsets: Iterable[str], b: ClassList) -> dict[str, list[_Choice]]:
    """The classes of b that have the synsets nearest above each synset; several where they are as near."""
    anchors: dict[int, list[tuple[int, bool]]] = defaultdict(list)
    for place, wnid, out in _anchors(b):
        anchors[wordnet.row_of(wnid)].append((place, out))
    wanted = np.zeros(hierarchy.edges_down().n, np.bool_)
    wanted[wordnet.rows_of(synsets)] = True
    # Downwards: what lies below the few is less than what lies above the many.
    above, below, distances = graph.pairs(hierarchy.edges_down(), np.array(sorted(anchors), np.int32))
    hits = np.flatnonzero(wanted[below])
    nearest: dict[int, dict[tuple[int, bool], int]] = defaultdict(dict)
    for row, top, distance in zip(below[hits].tolist(), above[hits].tolist(), distances[hits].tolist(), strict=True):
        for anchor in anchors[top]:
            nearest[row][anchor] = min(distance, nearest[row].get(anchor, distance))
    found = {}
    for wnid, reached in zip(wordnet.wnids_of(list(nearest)), nearest.values(), strict=True):
        inside = {
            place: distance
            for (place, out), distance in reached.items()
            if not out and distance < reached.get((place, True), distance + 1)
        }
        least = min(inside.values(), default=0)
        choices = [_Choice(place, distance > 0) for place, distance in sorted(inside.items()) if distance == least]
        if choices:
            found[wnid] = choices
    return found


def _anchors(b: ClassList) -> Iterator[tuple[int, str, bool]]:
    """(place, synset, kept out) of each synset that a class of b takes in or keeps out."""
    for place, wnid in enumerate(b.wnids if not b.categories else ()):
        yield place, wnid, False
    for place, one in enumerate(b.categories):
        yield from ((place, wnid, False) for wnid in one.synsets)
        yield from ((place, wnid, True) for wnid in one.without)


def _outputs(listed: ClassList) -> int:
    return listed.background + len(listed)
