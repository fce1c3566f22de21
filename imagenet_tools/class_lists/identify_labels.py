"""In which order and from which number a file of labels or predictions counts classes, judged by images of known class.

The classes of the 50,000 ILSVRC2012 validation images are known, by their names or by the order of the rows; so is that
of a training image, by its name. Every numbering is tried on every row: the right one agrees as often as the labels are
right, any other about once in a thousand, unless it is much like it (fall11's and Google's are the same for the first
half). Where the best is not far ahead of the next, agrees with too little, or contradicts whole classes, as it does
where labels count the classes of a subset of one's own, nothing is told.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from imagenet_tools.class_lists import labels, numberings
from imagenet_tools.class_lists.numberings import Numbering
from imagenet_tools.wnid import wnid_of_stem

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from imagenet_tools.class_lists.user_files import Labels

    Ints = npt.NDArray[np.int64]
    _RowOrders = dict[str, npt.NDArray[np.object_]]  # by what orders the rows: the wnid of each, None where not known

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

    numbering: Numbering
    rows: str  # what orders the rows
    right: int
    share: float  # of the rows whose class is known


@dataclass(frozen=True)
class LabelsFound:
    """What a file of labels was found to be. Where nothing can be told, `numbering` is None and `why` says why."""

    n: int
    numbering: Numbering | None
    why: str
    given: str = "numbers"  # numbers or wnids
    best: Agreement | None = None
    next: Agreement | None = None
    same: tuple[Numbering, ...] = ()  # numberings that mean the same by every number in the file
    tried: tuple[Agreement, ...] = field(default=(), repr=False)  # the best first

    @property
    def told(self) -> bool:
        """Whether what the labels mean is known: their numbering was found, or they are wnids."""
        return self.numbering is not None or self.given == "wnids"


def find(given: Labels) -> LabelsFound:
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
    possible = [(one, right) for one, right in ranked if numberings.in_range(numbers, one.numbering)]
    if not possible:
        low, high = int(numbers.min()), int(numbers.max())
        why = f"No known numbering has both {low:,} and {high:,}." if high >= 0 else "All its numbers are negative."
        return LabelsFound(len(numbers), None, why, tried=tried)
    (best, right), *rest = possible
    used = np.unique(numbers[numbers >= 0])
    meant = numberings.meant(best.numbering, used)
    alike = [one.numbering for one, _ in rest if one.rows == best.rows and one.right == best.right]
    same = [numbering for numbering in alike if (numberings.meant(numbering, used) == meant).all()]
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
    numbers: Ints, truth: npt.NDArray[np.object_], right: npt.NDArray[np.bool_], numbering: Numbering
) -> tuple[int, int]:
    """How many classes of the rows have their number now and then, and how many have another throughout."""
    classes, inverse = _by_class(truth)
    n_rows, n_right = np.bincount(inverse), np.bincount(inverse, right)
    pairs, counts = np.unique(np.stack([inverse, numbers]), axis=1, return_counts=True)
    commonest = np.zeros(len(classes), np.int64)
    np.maximum.at(commonest, pairs[0], counts)
    listed = np.array([wnid in numberings.places(numbering) for wnid in classes.tolist()])
    against = listed & (n_right == 0) & (n_rows >= _ROWS) & (commonest >= _ALIKE * n_rows)
    return int((n_right > 0).sum()), int(against.sum())


def _of_wnids(given: Labels) -> LabelsFound:
    said = np.array(given.wnids or (), dtype=object)
    for rows, truth in _row_orders(given).items():
        right = int((said == truth).sum())
        if right >= _LEAST * len(said):
            why = f"Its labels are wnids: {right:,} of {len(said):,} agree, the rows {rows}."
            return LabelsFound(len(said), None, why, "wnids")
    return LabelsFound(len(said), None, "Its labels are wnids, and say by themselves which classes they mean.", "wnids")


# ---- the rows


def _row_orders(given: Labels) -> _RowOrders:
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
        for numbering in numberings.numberings():
            places = numberings.places(numbering)
            wanted = np.array([places.get(wnid, -2) + numbering.base for wnid in classes.tolist()])
            wanted[wanted < numbering.base] = -2
            right = numbers == wanted[inverse]
            yield Agreement(numbering, rows, int(right.sum()), float(right.sum() / n_known)), right
