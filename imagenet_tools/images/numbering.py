"""Find out what the class numbers of a source mean, from images whose names state their class.

A number means a class only in an order and from a base. 0 is n01440764 in sorted order from 0. 1 is n01440764 in sorted
order from 1, and n02119789 in the devkit's order. A wrong order is right for one class in a thousand.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from imagenet_tools.catalogue import labels
from imagenet_tools.catalogue.labels import ListNumbering
from imagenet_tools.units import Labelling
from imagenet_tools.wordnet.wnid import is_wnid, wnid_of_stem

if TYPE_CHECKING:
    from collections.abc import Iterable

    from imagenet_tools.images.image_rows import ImageRows

# A function that returns the class of a number; None if the number has none.
Meaning = Callable[[int], str | None]


class Reading(NamedTuple):
    """The meaning of class numbers, and the evidence in words; `fits` are all meanings that fit equally well."""

    labelling: Labelling | None
    evidence: str
    fits: tuple[Labelling, ...] = ()

    def may_be(self, release: str) -> bool:
        """Return True if the numbers may be those of a release, or there are none."""
        return not self.fits or any(labelling.space.startswith(release) for labelling in self.fits)


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

_BY = "class numbers, compared with the images' names"
_UNKNOWN = Labelling(_BY, "")
_WORDS = {"wnid": "in sorted order", "ilsvrc_id": "in the devkit's order"}

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
    agreed = {
        labelling: sum(_numbering(labelling).wnid_of(number) == wnid for wnid, number in seen)
        for labelling in (Labelling(_BY, space, order, base) for base in (0, 1) for space, order in _LISTS)
    }
    n = max(agreed.values())
    fits = tuple(labelling for labelling in agreed if agreed[labelling] == n) if n * 2 > len(seen) else ()
    count = f"{n:,} of {len(seen):,} names agree"
    titles = " and ".join(f"{_WORDS[fit.order]} of {fit.space}, from {fit.base}" for fit in fits)
    if len(fits) == 1:
        return Reading(fits[0], f"class numbers {titles}: {count}", fits)
    if fits:
        return Reading(None, f"class numbers that fit {titles} ({count} with each): {_NAMES_DECIDE}", fits)
    numbers = [number for _, number in sorted(seen)]
    if len(seen) > 1 and all(number < following for number, following in itertools.pairwise(numbers)):
        unknown = "class numbers that rise with the wnids, of a list that is not known here"
        return Reading(None, f"{unknown}: {_NAMES_DECIDE}", (_UNKNOWN,))
    return Reading(None, f"class numbers of no known order ({count} with any): {_NAMES_DECIDE}", (_UNKNOWN,))


def numbers_of(labelling: Labelling | None) -> str:
    """Return the text that a unit stores of a detection's labels; "" if they are not numbers in a known order."""
    known = labelling is not None and (labelling.space, labelling.order) in _LISTS
    return f"{labelling.space} {labelling.order} {labelling.base}" if labelling and known else ""


def meaning_of(numbers: str) -> Meaning | None:
    """Return the meaning of class numbers by the text of `numbers_of`; None for ""."""
    if not numbers:
        return None
    space, order, base = numbers.split()
    return _numbering(Labelling("", space, order, int(base))).wnid_of


def _numbering(labelling: Labelling) -> ListNumbering:
    return ListNumbering(_LISTS[labelling.space, labelling.order], labelling.base or 0)


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
    wnid = label if isinstance(label, str) else meaning(label) if meaning else None
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
