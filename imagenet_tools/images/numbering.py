"""Find out what the class numbers of a source mean, from images whose names state their class.

A number means a class only in an order and from a base. 0 is n01440764 in sorted order from 0. 1 is n01440764 in sorted
order from 1, and n02119789 in the devkit's order. A wrong order is right for one class in a thousand.
"""

from __future__ import annotations

import functools
import itertools
from typing import TYPE_CHECKING, NamedTuple, Protocol

from imagenet_tools.catalogue import labels, lists
from imagenet_tools.units import Labelling
from imagenet_tools.wordnet.wnid import is_wnid, wnid_of_stem

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from imagenet_tools.images.image_rows import ImageRows


class Numbering(NamedTuple):
    """The meaning of class numbers: a set of classes, its order, and the number of the first class."""

    space: str
    order: str
    base: int

    def wnid_of(self, number: int) -> str | None:
        """Return the class of a number; None if it has none."""
        order = _order(self.space, self.order)
        return order[number - self.base] if 0 <= number - self.base < len(order) else None

    def number_of(self, wnid: str) -> int | None:
        """Return the number of a class; None if it is not in the set."""
        index = _index(self.space, self.order).get(wnid)
        return None if index is None else index + self.base

    @property
    def title(self) -> str:
        """Return the numbering in words."""
        return f"{_WORDS[self.order]} of {self.space}, from {self.base}"

    def labelling(self, by: str) -> Labelling:
        """Return the labelling of a detection; `numbering_of` is the inverse."""
        return Labelling(by, self.space, self.order, self.base)

    def __str__(self) -> str:
        """Return the text that a unit stores; `parse` is the inverse."""
        return f"{self.space} {self.order} {self.base}"

    @classmethod
    def parse(cls, text: str) -> Numbering | None:
        """Return the numbering of a text that str() made; None for ""."""
        if not text:
            return None
        space, order, base = text.split()
        return cls(space, order, int(base))


class ListedNumbering(NamedTuple):
    """Class numbers by a list in the source itself: the wnid of 0, of 1 ..."""

    wnids: Sequence[str]

    def wnid_of(self, number: int) -> str | None:
        """Return the class of a number; None if it has none."""
        return self.wnids[number] if 0 <= number < len(self.wnids) else None


class Meaning(Protocol):
    """Any numbering."""

    def wnid_of(self, number: int) -> str | None:
        """Return the class of a number; None if it has none."""


class Reading(NamedTuple):
    """The numbering of a source, and the evidence in words; `fits` are all numberings that fit equally well."""

    numbering: Numbering | None
    evidence: str
    fits: tuple[Numbering, ...] = ()

    def may_be(self, release: str) -> bool:
        """Return True if the numbers may be those of a release, or there are none."""
        return not self.fits or any(numbering.space.startswith(release) for numbering in self.fits)


_WORDS = {"wnid": "in sorted order", "ilsvrc_id": "in the devkit's order"}

_UNKNOWN = Numbering("", "", 0)

# Evidence if nothing states the meaning of numbers.
_NAMES_DECIDE = "what they mean is not decided, and the names alone tell the classes"


def read_numbers(pairs: Iterable[tuple[str, int]]) -> Reading:
    """Return what class numbers mean, from pairs (wnid by the image's name, number beside the image).

    A numbering is chosen if more than half of the pairs agree with it, and if no other numbering fits as many. One
    class alone is not enough: several orders may agree on it.
    """
    seen = set(pairs)
    if not seen:
        return Reading(None, "no class numbers whose classes the names tell")
    numberings = [Numbering(space, order, base) for base in (0, 1) for space, order in _LISTS]
    agreed = [sum(numbering.number_of(wnid) == number for wnid, number in seen) for numbering in numberings]
    n = max(agreed)
    fits: tuple[Numbering, ...] = ()
    if n * 2 > len(seen):
        fits = tuple(numbering for numbering, agree in zip(numberings, agreed, strict=True) if agree == n)
    count = f"{n:,} of {len(seen):,} names agree"
    if len(fits) == 1:
        return Reading(fits[0], f"class numbers {fits[0].title}: {count}", fits)
    if fits:
        titles = " and ".join(numbering.title for numbering in fits)
        return Reading(None, f"class numbers that fit {titles} ({count} with each): {_NAMES_DECIDE}", fits)
    numbers = [number for _, number in sorted(seen)]
    if len(seen) > 1 and all(number < following for number, following in itertools.pairwise(numbers)):
        unknown = "class numbers that rise with the wnids, of a list that is not known here"
        return Reading(None, f"{unknown}: {_NAMES_DECIDE}", (_UNKNOWN,))
    return Reading(None, f"class numbers of no known order ({count} with any): {_NAMES_DECIDE}", (_UNKNOWN,))


def numbering_of(labelling: Labelling | None) -> Numbering | None:
    """Return the numbering of a detection; None if its labels are not numbers in a known order."""
    if labelling is None or labelling.base is None or (labelling.space, labelling.order) not in _LISTS:
        return None
    return Numbering(labelling.space, labelling.order, labelling.base)


# Codes that check_label() may report, for the table problems.
PROBLEMS = {
    "label_differs": "the label is another class than the name says; the name's is kept",
    "label_contradiction": "the label of a validation image is another class than the official one: nothing is indexed",
    "label_unread": "a label that is no class; the name's is kept",
}


def check_label(
    rows: ImageRows, stem: str, label: int | str | None, meaning: Meaning | None, file: str, member: str | None = None
) -> None:
    """Compare the label beside an image with its name and the official labels, and report a difference.

    A negative number, an empty text and None are no label. A number without a known meaning is not compared.
    """
    if label in (None, "") or (isinstance(label, int) and (label < 0 or meaning is None)):
        return
    official = labels.validation_wnid(stem)
    expected = official or wnid_of_stem(stem)
    wnid = label if isinstance(label, str) else meaning.wnid_of(label) if meaning else None
    if wnid is None or not is_wnid(wnid):
        rows.problem("label_unread", file, f"the label {label} is no class; the name's is kept", member, stem)
    elif expected is None:
        reason = f"the label {label} is {wnid}, but the name tells no class, and no label of it was published"
        rows.problem("label_unread", file, reason, member, stem)
    elif official and wnid != official:
        reason = f"the label {label} says {wnid}, the official ground truth {official}"
        rows.problem("label_contradiction", file, reason, member, stem)
    elif wnid != expected:
        reason = f"the label {label} says {wnid}, the name {expected}; the name's class is kept"
        rows.problem("label_differs", file, reason, member, stem)


# Sets of classes and their orders, with the published list of each, the commonest first.
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
