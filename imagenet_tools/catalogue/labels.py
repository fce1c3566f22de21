"""The label spaces that are used most, and the official labels of the ILSVRC2012 validation images.

A class's index is its place, from 0, in an order that is named; its ILSVRC id, of the devkit, counts from 1. For no
class is the id less one the index in sorted order, so that whoever mixes them is right once in a thousand.

The lists themselves stand in lists.py beside this; the labels are made by data/make_labels.py from the devkit's.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from imagenet_tools.catalogue import lists
from imagenet_tools.tables import columns

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

numbered = lists.numbered

_VALIDATION_PREFIX = "ILSVRC2012_val_"


def ilsvrc2012_sorted() -> tuple[str, ...]:
    """The 1,000 wnids of ILSVRC2012 in sorted order: torchvision's, timm's, Keras' and most others'."""
    return lists.get("ilsvrc2012").wnids


def ilsvrc2012_ids() -> tuple[str, ...]:
    """The 1,000 wnids of ILSVRC2012 in the order of their ILSVRC2012_ID: the first one has the id 1.

    The order of the devkit, of its ground truth, and of the downsampled ImageNet32 and ImageNet64.
    """
    return lists.get("ilsvrc2012-id").wnids


def fall11() -> tuple[str, ...]:
    """The 21,841 wnids of ImageNet's release of fall 2011, sorted."""
    return lists.get("fall11").wnids


@functools.cache
def validation_wnids() -> tuple[str, ...]:
    """The wnid of each ILSVRC2012 validation image: 50,000 in the order of the images' numbers, which begin at 1."""
    by_id = ilsvrc2012_ids()
    return tuple(by_id[number - 1] for number in columns.numbers("ilsvrc2012_validation", "ilsvrc_id").tolist())


def validation_wnid(stem: str) -> str | None:
    """The wnid of a validation image by its stem, ILSVRC2012_val_00000001 to _00050000; None for any other text."""
    number = stem.removeprefix(_VALIDATION_PREFIX)
    if len(number) != 8 or not number.isdecimal() or not stem.startswith(_VALIDATION_PREFIX):
        return None
    return validation_wnids()[int(number) - 1] if 0 < int(number) <= len(validation_wnids()) else None


def index_of(order: Sequence[str]) -> Mapping[str, int]:
    """The index of each wnid in an order, from 0: index_of(ilsvrc2012_sorted())["n01440764"] is 0."""
    return {wnid: index for index, wnid in enumerate(order)}
