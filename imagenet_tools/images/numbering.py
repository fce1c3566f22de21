"""What the class numbers of a source mean, decided from images whose names tell their class: numbers alone never do.

A number means a class only in an order and from a base: 0 is n01440764 in sorted order from 0, 1 is n01440764 in sorted
order from 1 and n02119789 in the devkit's. Whoever takes one for another is right once in a thousand.
"""

from __future__ import annotations

import functools
import itertools
from typing import TYPE_CHECKING, NamedTuple, Protocol

from imagenet_tools.catalogue import labels, lists
from imagenet_tools.units import Labelling, Unit
from imagenet_tools.wordnet.wnid import is_wnid, wnid_of_stem

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from imagenet_tools.images.image_rows import ImageRows
    from imagenet_tools.units import Detection


class Numbering(NamedTuple):
    """The meaning of class numbers: a set of classes, an order of it, and the number of the first class."""

    space: str
    order: str
    base: int

    def wnid_of(self, number: int) -> str | None:
        """The class of a number; None where there is none."""
        order = _order(self.space, self.order)
        return order[number - self.base] if 0 <= number - self.base < len(order) else None

    def number_of(self, wnid: str) -> int | None:
        """The number of a class; None where it is none of this set."""
        index = _index(self.space, self.order).get(wnid)
        return None if index is None else index + self.base

    @property
    def title(self) -> str:
        """As people say it."""
        return f"{_WORDS[self.order]} of {self.space}, from {self.base}"

    def labelling(self, by: str) -> Labelling:
        """As a detection tells it; `numbering_of` is the way back."""
        return Labelling(by, self.space, self.order, self.base)

    def __str__(self) -> str:
        """As a unit carries it."""
        return f"{self.space} {self.order} {self.base}"

    @classmethod
    def parse(cls, text: str) -> Numbering | None:
        """The numbering that str() wrote; None for an empty text."""
        if not text:
            return None
        space, order, base = text.split()
        return cls(space, order, int(base))


class ListedNumbering(NamedTuple):
    """Class numbers by a list that the source itself carries: the wnid of 0, of 1 ..."""

    wnids: Sequence[str]

    def wnid_of(self, number: int) -> str | None:
        """The class of a number; None where there is none."""
        return self.wnids[number] if 0 <= number < len(self.wnids) else None


class Meaning(Protocol):
    """What tells the class of a number."""

    def wnid_of(self, number: int) -> str | None:
        """The class of a number; None where there is none."""


class Reading(NamedTuple):
    """What was made of some numbers, and why in words; `fits` are the numberings that explain them as well."""

    numbering: Numbering | None
    evidence: str
    fits: tuple[Numbering, ...] = ()

    def may_be(self, release: str) -> bool:
        """Whether the numbers are a release's, or could be; so where there are none."""
        return not self.fits or any(one.space.startswith(release) for one in self.fits)


_WORDS = {"wnid": "in sorted order", "ilsvrc_id": "in the devkit's order"}

_UNKNOWN = Numbering("", "", 0)

# What is said where nothing tells what numbers mean.
_NAMES_DECIDE = "what they mean is not decided, and the names alone tell the classes"


def read_numbers(pairs: Iterable[tuple[str, int]]) -> Reading:
    """What class numbers mean, from pairs of a wnid that a name tells and a number that stands beside it.

    The numbering that most of the pairs agree with is taken, if they are more than half, and if no other explains as
    many: one class alone does not tell the 1,000's order from another list's.
    """
    seen = set(pairs)
    if not seen:
        return Reading(None, "no class numbers whose classes the names tell")
    agreed = {
        numbering: sum(numbering.number_of(wnid) == number for wnid, number in seen) for numbering in _numberings()
    }
    n = max(agreed.values())
    fits = tuple(numbering for numbering, agree in agreed.items() if agree == n) if n * 2 > len(seen) else ()
    count = f"{n:,} of {len(seen):,} names agree"
    if len(fits) == 1:
        return Reading(fits[0], f"class numbers {fits[0].title}: {count}", fits)
    if fits:
        titles = " and ".join(one.title for one in fits)
        return Reading(None, f"class numbers that fit {titles} ({count} with each): {_NAMES_DECIDE}", fits)
    numbers = [number for _, number in sorted(seen)]
    if len(seen) > 1 and all(one < other for one, other in itertools.pairwise(numbers)):
        unknown = "class numbers that rise with the wnids, of a list that is not known here"
        return Reading(None, f"{unknown}: {_NAMES_DECIDE}", (_UNKNOWN,))
    return Reading(None, f"class numbers of no known order ({count} with any): {_NAMES_DECIDE}", (_UNKNOWN,))


def numbering_of(labelling: Labelling | None) -> Numbering | None:
    """The numbering that a detection tells; None where its labels are no numbers of a known order."""
    if labelling is None or labelling.base is None or (labelling.space, labelling.order) not in _LISTS:
        return None
    return Numbering(labelling.space, labelling.order, labelling.base)


def shard_units(
    form: str, found: Detection, source: str, root: Path, shards: Iterable[tuple[str | None, Path]]
) -> Iterator[Unit]:
    """One unit for each shard of a detection, (split, file), whose numbers mean what it tells."""
    numbers = str(numbering_of(found.labels) or "")
    for split, shard in shards:
        yield Unit(form, source, str(root), shard.relative_to(root).as_posix(), found.dataset, split, numbers=numbers)


# What hold_label() may report, for the table problems.
PROBLEMS = {
    "label_differs": "the label is another class than the name says; the name's is kept",
    "label_contradiction": "the label of a validation image is another class than the official one: nothing is indexed",
    "label_unread": "a label that is no class; the name's is kept",
}


def hold_label(
    rows: ImageRows, stem: str, label: int | str | None, meaning: Meaning | None, file: str, member: str | None = None
) -> None:
    """Hold the label that stands beside an image against its name and the official labels; a problem if it differs.

    A negative number, an empty text and None are no label; a number is left alone where nothing tells its meaning.
    """
    named = labels.validation_wnid(stem) or wnid_of_stem(stem)
    if label in (None, "") or (isinstance(label, int) and (label < 0 or meaning is None)):
        return
    said = label if isinstance(label, str) else meaning.wnid_of(label) if meaning else None
    if said is None or not is_wnid(said):
        rows.problem("label_unread", file, f"the label {label} is no class; the name's is kept", member, stem)
    elif named is None:
        reason = f"the label {label} is {said}, but the name tells no class, and no label of it was published"
        rows.problem("label_unread", file, reason, member, stem)
    elif said != named:
        official = labels.validation_wnid(stem) is not None
        what = "the official ground truth" if official else "the name"
        reason = f"the label {label} says {said}, {what} {named}" + ("" if official else "; the name's class is kept")
        rows.problem("label_contradiction" if official else "label_differs", file, reason, member, stem)


def _numberings() -> list[Numbering]:
    """Every numbering that is known, the commonest first: of two that fit as well, the first is taken."""
    return [Numbering(space, order, base) for base in (0, 1) for space, order in _LISTS]


# Sets of classes and their orders, with the published list of each.
_LISTS = {
    ("ilsvrc2012", "wnid"): "ilsvrc2012",
    ("ilsvrc2012", "ilsvrc_id"): "ilsvrc2012-id",
    ("fall11", "wnid"): "fall11",
    ("imagenet12k", "wnid"): "imagenet12k",
    ("imagenet21k-p", "wnid"): "imagenet21k-p",
    ("imagenet21k-p-winter21", "wnid"): "imagenet21k-p-winter21",
    ("imagenet21k-goog", "wnid"): "imagenet21k-goog",
}


def _order(space: str, order: str) -> Sequence[str]:
    return lists.get(_LISTS[space, order]).wnids


@functools.cache
def _index(space: str, order: str) -> Mapping[str, int]:
    return labels.index_of(_order(space, order))
