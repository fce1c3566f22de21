"""Find in which order and from which number a file of labels or predictions counts classes.

The classes of the 50,000 ILSVRC2012 validation images are known, by their names or by the order of the rows; the class
of a training image is known by its name. Every numbering is tried on every row. The right one agrees with every row
whose label is correct; any other with about one row in a thousand, unless the two are alike (the first halves of fall11
and imagenet21k-goog are equal). The numbering is not decided if the best one is not far ahead of the next,
or agrees with too few rows. Nor is it decided if the best one contradicts whole classes, as it does for labels that
count a subset of the classes.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from imagenet_tools.catalogue import labels, lists
from imagenet_tools.catalogue.labels import ListNumbering
from imagenet_tools.wordnet.wnid import wnid_of_stem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from imagenet_tools.catalogue.user_files import LabelFile

    Ints = npt.NDArray[np.int64]
    Bools = npt.NDArray[np.bool_]
    Wnids = npt.NDArray[np.object_]  # the wnid of each row, None if it is not known

# The least share of rows that must agree; of shuffled labels a thousandth agrees.
MIN_SHARE = 0.2
# The best numbering must be ahead of the next by this many standard deviations of a coin, over the rows that only one
# of the two explains.
_MIN_DEVIATIONS = 3.0
# A class contradicts a numbering if none of its rows agree, it has this many rows, and this share of them have one
# number.
_MIN_ROWS = 3
_MIN_ALIKE_SHARE = 0.8
# The number of classes that must agree for each class that contradicts.
_AGREEING_PER_CONTRADICTING = 5


class Agreement(NamedTuple):
    """The number of rows that a numbering explains, if the rows are in an order."""

    numbering: ListNumbering
    rows: str  # the order of the rows, in words
    right: int
    share: float  # of the rows whose class is known


@dataclass(frozen=True)
class LabelsFound:
    """The result for a file of labels. If nothing can be decided, `numbering` is None and `why` says why."""

    n: int
    numbering: ListNumbering | None
    why: str
    given: str = "numbers"  # numbers or wnids
    best: Agreement | None = None
    next: Agreement | None = None
    same: tuple[ListNumbering, ...] = ()  # numberings that give every number of the file the same class
    tried: tuple[Agreement, ...] = field(default=(), repr=False)  # the best first

    @property
    def told(self) -> bool:
        """True if the meaning of the labels is known: the numbering was found, or they are wnids."""
        return self.numbering is not None or self.given == "wnids"


@functools.cache
def numberings() -> tuple[ListNumbering, ...]:
    """Return all numberings to try, the commonest first: of two that mean the same the first is taken."""
    spaces = [name for name in lists.SPACES if name != "ilsvrc2012-slim"]  # equal to ilsvrc2012 from 1
    usual = [ListNumbering(name, lists.get(name).base) for name in spaces]
    shifted = [ListNumbering(name, 1 - lists.get(name).base) for name in spaces]
    folders = ("ilsvrc2012", "ilsvrc2012-slim", "ilsvrc2012-id")  # called 0 to 999, 1 to 1000, and by ILSVRC id
    texts = [ListNumbering(name, base, as_text=True) for base in (0, 1) for name in folders]
    return (*usual, *shifted, *texts)


def find(
    file: LabelFile,
    *,
    orders: Mapping[str, Wnids] | None = None,
    only: Sequence[ListNumbering] | None = None,
    min_share: float = MIN_SHARE,
) -> LabelsFound:
    """Return the numbering of a file's labels with its agreement and that of the next, or why it is not decided.

    Args:
        file: The labels.
        orders: The wnids of the rows for each order that they may be in, by its words. Default: as the file tells.
        only: The numberings to try. Default: all.
        min_share: The least share of rows that must agree.
    """
    if isinstance(file.labels, tuple):
        return _find_wnids(file)
    numbers = file.labels
    orders = _row_orders(file) if orders is None else orders
    if not orders:
        why = f"its rows name no images, and {len(file):,} rows are not the 50,000 of ILSVRC2012's validation images"
        if file.images is not None:
            why = "none of its images is one of ILSVRC2012's validation images, or called by its wnid"
        return LabelsFound(len(file), None, f"Nothing can be told: {why}.")
    counted = ""
    if len(numbers) > 1 and (np.diff(numbers) == 1).all():
        span = f"{numbers[0]:,} to {numbers[-1]:,}"
        counted = f"Its numbers are those of the rows, {span}, and no labels: so Kaggle's val.txt has it."
    ranked = sorted(_agreements(numbers, orders, only or numberings()), key=lambda pair: -pair[0].right)
    tried = tuple(agreement for agreement, _ in ranked)
    possible = [(agreement, right) for agreement, right in ranked if _in_range(numbers, agreement.numbering)]
    if not possible:
        low, high = int(numbers.min()), int(numbers.max())
        why = f"No known numbering has both {low:,} and {high:,}." if high >= 0 else "All its numbers are negative."
        if only is not None:
            spans = (f"{one.space} has {one.base:,} to {one.base + len(one.wnids) - 1:,}" for one in only)
            why = f"Its numbers are {low:,} to {high:,}, but {' and '.join(dict.fromkeys(spans))}."
        return LabelsFound(len(file), None, counted or why, tried=tried)
    (best, right), *rest = possible
    same = _same_meaning(numbers, best, [agreement for agreement, _ in rest])
    others = [
        (other, other_right) for other, other_right in rest if not (other.rows == best.rows and other.numbering in same)
    ]
    rival, rival_right = others[0] if others else (None, np.zeros(len(numbers), np.bool_))
    doubt = _doubt(numbers, orders[best.rows], best, right, rival, rival_right, min_share)
    if doubt:
        why = counted or f"Nothing can be told: {doubt}"
        return LabelsFound(len(file), None, why, best=best, next=rival, tried=tried)
    why = f"{best.numbering}: {best.right:,} of {len(file):,} rows agree, the rows {best.rows}."
    return LabelsFound(len(file), best.numbering, why, best=best, next=rival, same=same, tried=tried)


def _find_wnids(file: LabelFile) -> LabelsFound:
    wnids = np.array(file.labels, dtype=object)
    for rows, truth in _row_orders(file).items():
        right = int((wnids == truth).sum())
        if right >= MIN_SHARE * len(wnids):
            why = f"Its labels are wnids: {right:,} of {len(wnids):,} agree, the rows {rows}."
            return LabelsFound(len(wnids), None, why, "wnids")
    why = "Its labels are wnids, and say by themselves which classes they mean."
    return LabelsFound(len(wnids), None, why, "wnids")


def _row_orders(file: LabelFile) -> Mapping[str, Wnids]:
    """Return the known wnids of the rows, for each order that the rows may be in; the keys are words."""
    if file.images is not None:
        known = np.array([labels.validation_wnid(stem) or wnid_of_stem(stem) for stem in file.images], object)
        return {"by the names of their images": known} if any(known) else {}
    return _validation_orders() if len(file) == len(labels.validation_wnids()) else {}


@functools.cache
def _validation_orders() -> Mapping[str, Wnids]:
    by_number = np.array(labels.validation_wnids(), object)
    # A loader of class folders reads one class after the other, and the images of each by name.
    return {
        "in the order of the validation images' numbers": by_number,
        "in the order of class folders": np.sort(by_number),
    }


def _agreements(
    numbers: Ints, orders: Mapping[str, Wnids], tried: Sequence[ListNumbering]
) -> Iterator[tuple[Agreement, Bools]]:
    """Yield the agreement of each numbering and order of rows, and which rows it explains."""
    for rows, truth in orders.items():
        classes, class_of_row = _distinct_classes(truth)
        n_known = sum(wnid is not None for wnid in truth.tolist())
        for numbering in tried:
            right = numbers == _numbers_of(numbering, classes)[class_of_row]
            yield Agreement(numbering, rows, int(right.sum()), float(right.sum() / n_known)), right


@functools.lru_cache(maxsize=256)
def _numbers_of(numbering: ListNumbering, classes: tuple[str, ...]) -> Ints:
    """Return the number of each class; -2 for no number, because -1 means "no label" in some files."""
    numbers = map(numbering.number_of, classes)
    return np.array([-2 if number is None else number for number in numbers], np.int64)


def _distinct_classes(truth: Wnids) -> tuple[tuple[str, ...], npt.NDArray[np.intp]]:
    """Return the distinct wnids of rows ("": not known), and the place of each row's wnid among them.

    A dictionary takes 4 ms for 50,000 rows, np.unique 30.
    """
    wnids = [wnid or "" for wnid in truth.tolist()]
    classes = tuple(sorted(set(wnids)))
    place_of = {wnid: place for place, wnid in enumerate(classes)}
    return classes, np.fromiter(map(place_of.__getitem__, wnids), np.intp, len(wnids))


def _in_range(numbers: Ints, numbering: ListNumbering) -> bool:
    """Return True if every number that is not negative has a class."""
    valid = numbers[numbers >= 0]
    # Models of 1,001 outputs predict 0, the background, beside 1 to 1,000.
    first = 0 if (numbering.space, numbering.base) == ("ilsvrc2012", 1) else numbering.base
    return len(valid) > 0 and bool(valid.min() >= first and valid.max() < numbering.base + len(numbering.wnids))


def _same_meaning(numbers: Ints, best: Agreement, others: Sequence[Agreement]) -> tuple[ListNumbering, ...]:
    """Return the numberings that give each number of the file the same class as the best one."""
    used = np.unique(numbers[numbers >= 0]).tolist()
    meaning = [best.numbering.wnid_of(number) for number in used]
    alike = [other.numbering for other in others if (other.rows, other.right) == (best.rows, best.right)]
    return tuple(other for other in alike if [other.wnid_of(number) for number in used] == meaning)


def _doubt(
    numbers: Ints,
    truth: Wnids,
    best: Agreement,
    right: Bools,
    rival: Agreement | None,
    rival_right: Bools,
    min_share: float,
) -> str:
    """Return why the best numbering is not certain; empty if it is."""
    only_best, only_rival = int((right & ~rival_right).sum()), int((rival_right & ~right).sum())
    is_ahead = only_best - only_rival >= max(_MIN_DEVIATIONS * (only_best + only_rival) ** 0.5, 3)
    n_agreeing, n_contradicting = _count_classes(numbers, truth, right, best.numbering)
    agreement = f"the best, {best.numbering}, agrees with {best.share:.1%} of the rows"
    if rival is not None:
        agreement += f", the next, {rival.numbering}, with {rival.share:.1%}"
    if best.share < min_share:
        return f"{agreement}. The labels may be shuffled, or of other images or classes."
    if n_agreeing < _AGREEING_PER_CONTRADICTING * n_contradicting:
        contradicting = f"Classes with another number throughout: {n_contradicting:,}"
        return f"{agreement}. {contradicting}. The labels may number another list of classes."
    return f"{agreement}. More rows may tell." if rival is not None and not is_ahead else ""


def _count_classes(numbers: Ints, truth: Wnids, right: Bools, numbering: ListNumbering) -> tuple[int, int]:
    """Return how many classes of the rows agree at least once, and how many contradict the numbering."""
    classes, class_of_row = _distinct_classes(truth)
    n_rows, n_right = np.bincount(class_of_row), np.bincount(class_of_row, right)
    distinct, number_of_row = np.unique(numbers, return_inverse=True)
    pairs, counts = np.unique(class_of_row * len(distinct) + number_of_row, return_counts=True)
    commonest = np.zeros(len(classes), np.int64)
    np.maximum.at(commonest, pairs // len(distinct), counts)
    listed = _numbers_of(numbering, classes) != -2
    contradicting = listed & (n_right == 0) & (n_rows >= _MIN_ROWS) & (commonest >= _MIN_ALIKE_SHARE * n_rows)
    return int((n_right > 0).sum()), int(contradicting.sum())
