"""In which order and from which number a file of labels or predictions counts classes, judged by images of known class.

The classes of the 50,000 ILSVRC2012 validation images are known, by their names or by the order of the rows; so is that
of a training image, by its name. Every numbering is tried on every row: the right one agrees as often as the labels are
right, any other about once in a thousand, unless it is much like it (fall11's and Google's are the same for the first
half). Where the best is not far ahead of the next, agrees with too little, or contradicts whole classes, as it does
where labels count the classes of a subset of one's own, nothing is told.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from imagenet_tools.catalogue import labels, lists
from imagenet_tools.wordnet.wnid import wnid_of_stem

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from imagenet_tools.catalogue.user_files import LabelFile

    Ints = npt.NDArray[np.int64]
    _RowOrders = dict[str, npt.NDArray[np.object_]]  # by what orders the rows: the wnid of each, None where not known
    from collections.abc import Mapping


# ---- The ways in which labels and models number classes: a list, the number of its first class, and what orders it.


class ListNumbering(NamedTuple):
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
def numberings() -> tuple[ListNumbering, ...]:
    """All that are tried, the commonest first: of two that mean the same the first is taken."""
    spaces = [name for name in lists.SPACES if name != "ilsvrc2012-slim"]  # that is ilsvrc2012 from 1
    usual = [ListNumbering(name, lists.get(name).base, False) for name in spaces]
    shifted = [ListNumbering(name, 1 - lists.get(name).base, False) for name in spaces]
    folders = ("ilsvrc2012", "ilsvrc2012-slim", "ilsvrc2012-id")  # called 0 to 999, 1 to 1000, and by their ids
    texts = [ListNumbering(name, base, True) for base in (0, 1) for name in folders]
    return (*usual, *shifted, *texts)


@functools.cache
def order(numbering: ListNumbering) -> Sequence[str]:
    """The wnids by number, the first being that of `base`."""
    listed = lists.get(numbering.space)
    if not numbering.as_text:
        return listed.wnids
    called = sorted(range(len(listed)), key=lambda place: str(listed.base + place))
    return tuple(listed.wnids[place] for place in called)


@functools.cache
def places(numbering: ListNumbering) -> Mapping[str, int]:
    """The place of each wnid in its order, from 0."""
    return {wnid: place for place, wnid in enumerate(order(numbering))}


def in_range(numbers: Ints, numbering: ListNumbering) -> bool:
    """Whether every number, but negative ones, is that of a class; 0 is the background of models of 1,001 outputs."""
    said = numbers[numbers >= 0]
    first = 0 if (numbering.space, numbering.base) == ("ilsvrc2012", 1) else numbering.base
    return len(said) > 0 and bool(said.min() >= first and said.max() < numbering.base + len(order(numbering)))


def meant(numbering: ListNumbering, numbers: Ints) -> npt.NDArray[np.object_]:
    """The wnid that each number means, None where it means none: (n,)."""
    wnids = order(numbering)
    found = (numbers - numbering.base).tolist()
    return np.array([wnids[place] if 0 <= place < len(wnids) else None for place in found], object)


# ----


# Below this share of agreement nothing is told: of shuffled labels a thousandth agrees.
_LEAST = 0.2
# How far ahead the best must be: of the rows where one alone is right, by so many standard deviations of a coin's.
_DEVIATIONS = 3.0
# A class speaks against a numbering where none of its rows agree, and so many rows, by this share, have one number.
_ROWS, _ALIKE = 3, 0.8
# For each class that speaks against it so many must speak for it.
_FOR_EACH_AGAINST = 5


class Agreement(NamedTuple):
    """With how many rows a numbering agrees, the rows being in an order."""

    numbering: ListNumbering
    rows: str  # what orders the rows
    right: int
    share: float  # of the rows whose class is known


@dataclass(frozen=True)
class LabelsFound:
    """What a file of labels was found to be. Where nothing can be told, `numbering` is None and `why` says why."""

    n: int
    numbering: ListNumbering | None
    why: str
    given: str = "numbers"  # numbers or wnids
    best: Agreement | None = None
    next: Agreement | None = None
    same: tuple[ListNumbering, ...] = ()  # numberings that mean the same by every number in the file
    tried: tuple[Agreement, ...] = field(default=(), repr=False)  # the best first

    @property
    def told(self) -> bool:
        """Whether what the labels mean is known: their numbering was found, or they are wnids."""
        return self.numbering is not None or self.given == "wnids"


def find(given: LabelFile) -> LabelsFound:
    """The numbering of a file's labels, with its agreement and that of the next; or why it cannot be told."""
    if given.numbers is None:
        return _of_wnids(given)
    numbers = given.numbers
    orders = _row_orders(given)
    if not orders:
        why = f"its rows name no images, and {len(given):,} rows are not the 50,000 of ILSVRC2012's validation images"
        if given.images is not None:
            why = "none of its images is one of ILSVRC2012's validation images, or called by its wnid"
        return LabelsFound(len(given), None, f"Nothing can be told: {why}.")
    steps = np.diff(numbers)
    if len(numbers) > 1 and (steps == 1).all():
        span = f"{numbers[0]:,} to {numbers[-1]:,}"
        why = f"Its numbers are those of the rows, {span}, and no labels: so Kaggle's val.txt has it."
        return LabelsFound(len(given), None, why)
    return _verdict(numbers, orders, sorted(_tried(numbers, orders), key=lambda one: -one[0].right))


def _verdict(
    numbers: Ints, orders: _RowOrders, ranked: Sequence[tuple[Agreement, npt.NDArray[np.bool_]]]
) -> LabelsFound:
    tried = tuple(one for one, _ in ranked)
    possible = [(one, right) for one, right in ranked if in_range(numbers, one.numbering)]
    if not possible:
        low, high = int(numbers.min()), int(numbers.max())
        why = f"No known numbering has both {low:,} and {high:,}." if high >= 0 else "All its numbers are negative."
        return LabelsFound(len(numbers), None, why, tried=tried)
    (best, right), *rest = possible
    used = np.unique(numbers[numbers >= 0])
    by_best = meant(best.numbering, used)
    alike = [one.numbering for one, _ in rest if one.rows == best.rows and one.right == best.right]
    same = [numbering for numbering in alike if (meant(numbering, used) == by_best).all()]
    others = [(one, its) for one, its in rest if not (one.rows == best.rows and one.numbering in same)]
    following = others[0] if others else None
    found = LabelsFound(
        n=len(numbers),
        numbering=best.numbering,
        why=f"{best.numbering}: {best.right:,} of {len(numbers):,} rows agree, the rows {best.rows}.",
        best=best,
        next=following[0] if following else None,
        same=tuple(same),
        tried=tried,
    )
    alone, its_alone = (int((right & ~following[1]).sum()), int((following[1] & ~right).sum())) if following else (0, 0)
    ahead = alone - its_alone >= max(_DEVIATIONS * (alone + its_alone) ** 0.5, 3)
    n_for, n_against = _classes_for_and_against(numbers, orders[best.rows], right, best.numbering)
    if best.share >= _LEAST and (ahead or not following) and n_for >= _FOR_EACH_AGAINST * n_against:
        return found
    said = f"the best, {best.numbering}, agrees with {best.share:.1%} of the rows"
    said += f", the next, {following[0].numbering}, with {following[0].share:.1%}" if following else ""
    if best.share < _LEAST:
        more = "The labels may be shuffled, or of other images or classes."
    elif n_for < _FOR_EACH_AGAINST * n_against:
        more = f"Classes with another number throughout: {n_against:,}. The labels may count a list of one's own."
    else:
        more = "More rows may tell."
    return LabelsFound(
        len(numbers), None, f"Nothing can be told: {said}. {more}", best=best, next=found.next, tried=tried
    )


def _classes_for_and_against(
    numbers: Ints, truth: npt.NDArray[np.object_], right: npt.NDArray[np.bool_], numbering: ListNumbering
) -> tuple[int, int]:
    """How many classes of the rows have their number now and then, and how many have another throughout."""
    classes, inverse = _by_class(truth)
    n_rows, n_right = np.bincount(inverse), np.bincount(inverse, right)
    pairs, counts = np.unique(np.stack([inverse, numbers]), axis=1, return_counts=True)
    commonest = np.zeros(len(classes), np.int64)
    np.maximum.at(commonest, pairs[0], counts)
    listed = np.array([wnid in places(numbering) for wnid in classes.tolist()])
    against = listed & (n_right == 0) & (n_rows >= _ROWS) & (commonest >= _ALIKE * n_rows)
    return int((n_right > 0).sum()), int(against.sum())


def _of_wnids(given: LabelFile) -> LabelsFound:
    said = np.array(given.wnids or (), dtype=object)
    for rows, truth in _row_orders(given).items():
        right = int((said == truth).sum())
        if right >= _LEAST * len(said):
            why = f"Its labels are wnids: {right:,} of {len(said):,} agree, the rows {rows}."
            return LabelsFound(len(said), None, why, "wnids")
    return LabelsFound(len(said), None, "Its labels are wnids, and say by themselves which classes they mean.", "wnids")


# ---- the rows


def _row_orders(given: LabelFile) -> _RowOrders:
    """The known wnid of each row (None: not known), for each order that the rows may be in."""
    if given.images is not None:
        known = np.array([labels.validation_wnid(stem) or wnid_of_stem(stem) for stem in given.images], object)
        return {"by the names of their images": known} if any(known) else {}
    truth = labels.validation_wnids()
    if len(given) != len(truth):
        return {}
    by_number = np.array(truth, object)
    # A loader of class folders reads a class after the other, and in each the images by name.
    return {
        "in the order of the validation images' numbers": by_number,
        "in the order of class folders": np.sort(by_number),
    }


def _by_class(truth: npt.NDArray[np.object_]) -> tuple[npt.NDArray[np.str_], npt.NDArray[np.intp]]:
    """The classes of the rows ("": not known), and which of them each row has."""
    classes, inverse = np.unique(np.array([wnid or "" for wnid in truth]), return_inverse=True)
    return classes, inverse


# ---- the agreement


def _tried(numbers: Ints, orders: _RowOrders) -> Iterator[tuple[Agreement, npt.NDArray[np.bool_]]]:
    for rows, truth in orders.items():
        classes, inverse = _by_class(truth)
        n_known = int((classes != "")[inverse].sum())
        for numbering in numberings():
            place_of = places(numbering)
            wanted = np.array([place_of.get(wnid, -2) + numbering.base for wnid in classes.tolist()])
            wanted[wanted < numbering.base] = -2
            right = numbers == wanted[inverse]
            yield Agreement(numbering, rows, int(right.sum()), float(right.sum() / n_known)), right
