"""How labels number classes, and the official labels of the ILSVRC2012 validation images.

A number means a class only in one list and from one first number. 0 is n01440764 in ilsvrc2012's sorted order from 0;
1 is n01440764 in sorted order from 1, and n02119789 in the devkit's order. No class has an ILSVRC id that is its sorted
index plus 1: labels read in the wrong numbering are right once in a thousand.

The lists are in lists.py. The validation labels are made by data/make_labels.py from the devkit's ground truth.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, NamedTuple

from imagenet_tools.catalogue import lists
from imagenet_tools.tables import columns

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# How an image differs from the prototypes of its class: the columns of ImageNet-X's files
# (Idrissi et al. 2022).
IMAGENET_X_FACTORS = (
    "pose", "background", "pattern", "color", "smaller", "shape", "partial_view", "subcategory", "texture", "larger",
    "darker", "object_blocking", "person_blocking", "style", "brighter", "multiple_objects",
)  # fmt: skip

_VALIDATION_PREFIX = "ILSVRC2012_val_"


class ListNumbering(NamedTuple):
    """A way to number classes: a published list, the number of its first class, and the order of its classes."""

    space: str  # the name of a published list of wnids
    base: int
    as_text: bool = False  # classes are folders called 0, 1, 2 ..., sorted as text: 0, 1, 10, 100, 101

    @property
    def wnids(self) -> Sequence[str]:
        """The wnids by number; the first has the number `base`."""
        return _wnids(self.space, self.as_text)

    def wnid_of(self, number: int) -> str | None:
        """Return the class of a number; None if there is none."""
        place = number - self.base
        return self.wnids[place] if 0 <= place < len(self.wnids) else None

    def number_of(self, wnid: str) -> int | None:
        """Return the number of a class; None if the list does not have it."""
        place = _places(self.space, self.as_text).get(wnid)
        return None if place is None else place + self.base

    def __str__(self) -> str:
        """Return the numbering in words."""
        listed = lists.get(self.space)
        if self.as_text:
            first = listed.base
            return f"{self.space}, as folders called {first}, {first + 1} ... sort as texts, from {self.base}"
        slim = (self.space, self.base) == ("ilsvrc2012", 1)
        note = " (ilsvrc2012-slim: TF-slim, models of 1,001 outputs)" if slim else ""
        return f"{self.space}, {listed.order.partition(':')[0]}, from {self.base}{note}"


@functools.cache
def _wnids(space: str, as_text: bool) -> Sequence[str]:
    listed = lists.get(space)
    if not as_text:
        return listed.wnids
    return tuple(listed.wnids[place] for place in sorted(range(len(listed)), key=lambda n: str(listed.base + n)))


@functools.cache
def _places(space: str, as_text: bool) -> Mapping[str, int]:
    return index_of(_wnids(space, as_text))


def index_of(order: Sequence[str]) -> Mapping[str, int]:
    """Return the index of each wnid in an order, from 0: index_of(ilsvrc2012_sorted())["n01440764"] is 0."""
    return {wnid: index for index, wnid in enumerate(order)}


def ilsvrc2012_sorted() -> tuple[str, ...]:
    """Return the 1,000 wnids of ILSVRC2012, sorted: the order of torchvision, timm, Keras and most others."""
    return lists.get("ilsvrc2012").wnids


def ilsvrc2012_ids() -> tuple[str, ...]:
    """Return the 1,000 wnids of ILSVRC2012 in the order of their ILSVRC2012_ID, which begins at 1.

    This is the order of the devkit, of its ground truth, and of the downsampled ImageNet32 and ImageNet64.
    """
    return lists.get("ilsvrc2012-id").wnids


def fall11() -> tuple[str, ...]:
    """Return the 21,841 wnids of ImageNet's release of fall 2011, sorted."""
    return lists.get("fall11").wnids


@functools.cache
def validation_wnids() -> tuple[str, ...]:
    """Return the wnid of each ILSVRC2012 validation image: 50,000, in the order of their numbers, which begin at 1."""
    by_id = ilsvrc2012_ids()
    return tuple(by_id[number - 1] for number in columns.numbers("ilsvrc2012_validation", "ilsvrc_id").tolist())


def validation_wnid(stem: str) -> str | None:
    """Return the wnid of a validation image, by ILSVRC2012_val_00000001 to _00050000; None for any other text."""
    number = stem.removeprefix(_VALIDATION_PREFIX)
    if len(number) != 8 or not number.isdecimal() or not stem.startswith(_VALIDATION_PREFIX):
        return None
    return validation_wnids()[int(number) - 1] if 0 < int(number) <= len(validation_wnids()) else None
