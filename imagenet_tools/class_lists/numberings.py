"""The ways in which labels and models number classes: a list, the number of its first class, and what orders it."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from imagenet_tools.class_lists import lists

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Ints = npt.NDArray[np.int64]


class Numbering(NamedTuple):
    """A way to number classes: a published list, the number of its first class, and what orders it."""

    space: str
    base: int
    as_text: bool  # the classes are folders called 0, 1, 2 ..., numbered in the order of texts: 0, 1, 10, 100, 101

    def __str__(self) -> str:
        """In words."""
        listed = lists.get(self.space)
        if self.as_text:
            first = listed.base
            return f"{self.space}, as folders called {first}, {first + 1} ... sort as texts, from {self.base}"
        told = {("ilsvrc2012", 1): " (ilsvrc2012-slim: TF-slim, models of 1,001 outputs)"}.get(self[:2], "")
        return f"{self.space}, {listed.order.partition(':')[0]}, from {self.base}{told}"


@functools.cache
def numberings() -> tuple[Numbering, ...]:
    """All that are tried, the commonest first: of two that mean the same the first is taken."""
    spaces = [name for name in lists.SPACES if name != "ilsvrc2012-slim"]  # that is ilsvrc2012 from 1
    usual = [Numbering(name, lists.get(name).base, False) for name in spaces]
    shifted = [Numbering(name, 1 - lists.get(name).base, False) for name in spaces]
    folders = ("ilsvrc2012", "ilsvrc2012-slim", "ilsvrc2012-id")  # called 0 to 999, 1 to 1000, and by their ids
    texts = [Numbering(name, base, True) for base in (0, 1) for name in folders]
    return (*usual, *shifted, *texts)


@functools.cache
def order(numbering: Numbering) -> Sequence[str]:
    """The wnids by number, the first being that of `base`."""
    listed = lists.get(numbering.space)
    if not numbering.as_text:
        return listed.wnids
    called = sorted(range(len(listed)), key=lambda place: str(listed.base + place))
    return tuple(listed.wnids[place] for place in called)


@functools.cache
def places(numbering: Numbering) -> Mapping[str, int]:
    """The place of each wnid in its order, from 0."""
    return {wnid: place for place, wnid in enumerate(order(numbering))}


def in_range(numbers: Ints, numbering: Numbering) -> bool:
    """Whether every number, but negative ones, is that of a class; 0 is the background of models of 1,001 outputs."""
    said = numbers[numbers >= 0]
    first = 0 if (numbering.space, numbering.base) == ("ilsvrc2012", 1) else numbering.base
    return len(said) > 0 and bool(said.min() >= first and said.max() < numbering.base + len(order(numbering)))


def meant(numbering: Numbering, numbers: Ints) -> npt.NDArray[np.object_]:
    """The wnid that each number means, None where it means none: (n,)."""
    wnids = order(numbering)
    found = (numbers - numbering.base).tolist()
    return np.array([wnids[place] if 0 <= place < len(wnids) else None for place in found], object)
