"""Find which image each row of predictions is of, and which class each number means.

The order of the rows and the numbering of the classes are found together: every pair is compared with the true classes
(imagenet_tools.catalogue.identify_labels). A pair that is found is then doubted once more, if the rows are known by
order alone. Models mistake classes for similar ones; shuffled rows have any class. _distant_share compares the two: it
is 0.18 to 0.20 for the best class of five models of 68 to 75 % (VGG-16 twice, ResNet-34, SimCLR, MobileNet), 0.33 to
0.37 if a twentieth of the rows is shuffled, and 0.43 to 0.50 for a tenth. For the best 5 of VGG-16 it is 0.16, 0.57 and
0.73.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from imagenet_tools.catalogue import identify_classes, identify_labels, image_lists, labels, lists
from imagenet_tools.catalogue.given_lists import published
from imagenet_tools.catalogue.labels import ListNumbering
from imagenet_tools.catalogue.user_files import LabelFile
from imagenet_tools.errors import UsageError
from imagenet_tools.evaluation import metrics
from imagenet_tools.text import count_of, some_of
from imagenet_tools.wordnet import hierarchy
from imagenet_tools.wordnet.wnid import is_wnid, wnid_of_folder, wnid_of_stem

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from imagenet_tools.catalogue.identify_labels import LabelsFound
    from imagenet_tools.catalogue.lists import ClassList
    from imagenet_tools.evaluation.files import Predictions, RowList, Texts
    from imagenet_tools.evaluation.metrics import Ints

# Words for --rows; the texts are those of identify_labels.
ROWS = {
    "numbers": "in the order of the validation images' numbers",
    "folders": "in the order of class folders",
}

_IMAGENET_D = {"background", "material", "texture"}  # its folders above those of classes

_DISTANT = 14  # the least cost of a mistake of a distant kind: 56 % of random pairs of ILSVRC2012's classes
_MAX_DISTANT_SHARE = 0.3
_MIN_ROWS = 5_000  # for that share to be certain
_MIN_WRONG_SHARE = 0.01
# The share of rows that must agree if the rows name images in class folders: models have 0 to 5 % on ImageNet-A.
_MIN_NAMED_SHARE = 0.005
_MIN_TRUE_SHARE = 0.995  # of the true labels that a file holds beside its predictions
_MAX_REAL_LABELS = 9

_ADVICE = (
    "Name what you know: --rows numbers (sorted by file name), --rows folders (sorted by class, then by file name) or "
    "--rows FILE (a list of names); --labels LIST (ilsvrc2012, ilsvrc2012-id, ilsvrc2012-slim ...). With both, nothing "
    "is detected"
)


class _Order(NamedTuple):
    """The image and the true class of each row, if the rows are in an order; None where it is not known.

    Images in the folders of another data set, ObjectNet or ImageNet-D, have one of the folder's classes as `wnids`.
    """

    images: Texts
    wnids: Texts
    folders: Texts | None = None  # the names of the folders
    listed: ClassList | None = None  # the list of the folders


@functools.cache
def _validation_images() -> tuple[str, ...]:
    """Return the stems of the validation images, in the order of their numbers."""
    return tuple(f"ILSVRC2012_val_{number:08d}" for number in range(1, len(labels.validation_wnids()) + 1))


@functools.cache
def _real_labels() -> tuple[Mapping[str, int], tuple[str, ...], Ints]:
    """Return ReaL's labels as arrays, made once: a loop over the images takes 0.1 s.

    Returns:
        The number of each validation image by its stem, the wnids of the labels, and a row for each number with the
        places of its labels among the wnids, -1 behind the last: (50001, 9). Row 0 has none.
    """
    sets = image_lists.real_labels()
    wnids = tuple(sorted({wnid for labelled in sets for wnid in labelled}))
    place_of = {wnid: place for place, wnid in enumerate(wnids)}
    places = np.full((len(sets) + 1, _MAX_REAL_LABELS), -1, np.int64)
    for number, labelled in enumerate(sets, 1):
        places[number, : len(labelled)] = [place_of[wnid] for wnid in labelled]
    return {image: number for number, image in enumerate(_validation_images(), 1)}, wnids, places


@dataclass(frozen=True, eq=False)
class Alignment:
    """Predictions with the meaning of every row and number; classes are places in `classes`."""

    classes: tuple[str, ...] = field(repr=False)  # wnids: those of the true classes first, sorted
    n_true: int  # how many of them are true classes
    rows: Ints = field(repr=False)  # (n,): the rows of the file that are scored
    images: Texts = field(repr=False)  # (n,): stems
    truth: Ints = field(repr=False)  # (n,)
    top: Ints = field(repr=False)  # (n, k): -1 for a number without a class
    is_sorted: bool  # the classes of a row are best first
    order: str  # the order of the rows, in words
    numbering: ListNumbering
    evidence: tuple[str, ...]
    notes: tuple[str, ...]
    is_reversed: bool = False  # the file has the classes of a row best last
    folders: ClassList | None = None  # `classes` are these folders of classes of ILSVRC2012, and are no wnids

    @property
    def about(self) -> str:
        """How the rows and labels were read, in words."""
        return f"{count_of(len(self.truth), 'row')} {self.order}; labels: {self.numbering}"

    @functools.cached_property
    def costs(self) -> Any:
        """The cost of each class for each true class: (true classes, classes), uint8."""
        return next(hierarchy.cost_blocks(self.classes, block=self.n_true))[1]

    @functools.cached_property
    def common(self) -> Any:
        """The row of the deepest common hypernym: (true classes, classes)."""
        return hierarchy.deepest_common_hypernyms(self.classes, self.n_true)

    def columns_of(self, wnids: Sequence[str], n_outputs: int) -> Ints:
        """Return the column of each class in the model's outputs, -1 for none: (wnids,)."""
        numbers = [self.numbering.number_of(wnid) for wnid in wnids]
        return np.array([-1 if number is None or number >= n_outputs else number for number in numbers], np.int64)

    @functools.cached_property
    def real(self) -> tuple[Ints, Ints]:
        """The rows that ReaL labels, and their labels: (m,) and (m, 9), -1 behind the last."""
        index = labels.index_of(self.classes)
        numbers, wnids, labelled = _real_labels()
        of_images = labelled[[numbers.get(stem, 0) for stem in self.images.tolist()]]
        rows = np.flatnonzero(of_images[:, 0] >= 0)
        # A label that is neither a true class nor predicted in any row is -2: it counts as a label of the image.
        places = np.array([*(index.get(wnid, -2) for wnid in wnids), -1])
        valid = places[of_images[rows]]
        return rows, valid


def align(
    predictions: Predictions,
    row_lists: Sequence[RowList],
    *,
    rows: str | RowList | None = None,
    space: str | None = None,
) -> Alignment:
    """Return predictions with the meaning of their rows and numbers, which are detected unless they are named.

    Args:
        predictions: The predictions.
        row_lists: Lists of rows; the one that has as many rows names those of the predictions.
        rows: The order of the rows: a word of ROWS, or a list.
        space: The published list that numbers the classes.

    Raises:
        UsageError: Nothing can be told, two readings are close, or rows seem to be shuffled. The options are named.
    """
    orders = _orders(predictions, row_lists, rows)
    numbers, also, only = _numbers(predictions, space)
    evidence: tuple[str, ...]
    is_named = rows is not None or predictions.images is not None
    if only is not None and len(only) == len(orders) == 1 and is_named:
        order, numbering = next(iter(orders)), only[0]
        evidence = (f"rows {order}, labels by {numbering}: as named, not detected",)
    else:
        found = _find(predictions, numbers, orders, only)
        if found.best is None or found.numbering is None:
            raise UsageError(f"{predictions.name}: {found.why} {_ADVICE}.")
        order, numbering, evidence = found.best.rows, found.numbering, _evidence(found)
        if _has_true_numbers(predictions) and found.best.share < _MIN_TRUE_SHARE:
            problem = f"only {found.best.share:.2%} of its true labels agree with the rows {order}"
            raise UsageError(f"{predictions.name}: {problem}; expected all. Some rows are of other images. {_ADVICE}.")
    aligned = _translated(predictions, numbers, also, orders[order], order, numbering, evidence)
    if rows is None and not _has_true_numbers(predictions) and (predictions.by_place or order in ROWS.values()):
        _refuse_shuffled(predictions.name, aligned)
    return aligned


# ---- orders of rows


def _orders(predictions: Predictions, row_lists: Sequence[RowList], rows: str | RowList | None) -> dict[str, _Order]:
    """Return the orders that the rows may be in, by words."""
    n = len(predictions)
    listed = [rows] if rows is not None and not isinstance(rows, str) else [r for r in row_lists if len(r.images) == n]
    if predictions.images is not None and rows is not None:
        raise UsageError(f"{predictions.name} names its images itself. Leave out --rows, or the column of names.")
    if listed and predictions.images is None:
        if len(listed) > 1 or len(listed[0].images) != n:
            problem = f"has {len(listed[0].images):,} rows" if len(listed) == 1 else "and others have as many rows"
            raise UsageError(
                f"{predictions.name} has {n:,} rows; {listed[0].name} {problem}. Expected one list of its rows."
            )
        (given,) = listed
        found = _order_of_names(given.images, given.paths, given.wnids)
        return {f"as {given.name} lists them": found}
    if predictions.images is not None and predictions.paths is not None:
        is_truth = (
            predictions.truth is not None and predictions.truth.dtype == object and all(map(is_wnid, predictions.truth))
        )
        found = _order_of_names(predictions.images, predictions.paths, predictions.truth if is_truth else None)
        if not any(found.wnids):
            raise UsageError(
                f"{predictions.name}: found no image whose class is known among "
                f"{some_of(predictions.images[:3].tolist())}. Expected names of ILSVRC2012's "
                "validation or training images, paths with class folders, or a list of names and wnids beside it."
            )
        words = "by their places in the order of file names" if predictions.by_place else "by the names of their images"
        return {words: found}
    if len(labels.validation_wnids()) != n:
        raise UsageError(
            f"{predictions.name}: found {count_of(n, 'row')} that name no images. Expected the 50,000 of ILSVRC2012's "
            "validation images, a column of names, or a list of the rows: --rows FILE."
        )
    orders = _validation_orders()
    return orders if rows is None else {ROWS[str(rows)]: orders[ROWS[str(rows)]]}


@functools.cache
def _validation_orders() -> dict[str, _Order]:
    """Return the orders that the rows of all validation images may be in, by words."""
    truth = np.array(labels.validation_wnids(), object)
    images = np.array(_validation_images(), object)
    by_folder = np.argsort(_places(truth, sorted(set(truth)))[0], kind="stable")
    return {
        ROWS["numbers"]: _Order(images, truth),
        ROWS["folders"]: _Order(images[by_folder], truth[by_folder]),
    }


def _order_of_names(images: Texts, paths: Texts, wnids: Texts | None) -> _Order:
    """Return the classes of images: by their names, as listed, by the wnids of their folders, or by other folders.

    Folders without wnids are those of ImageNet-V2, which number the classes from 0 to 999, of ObjectNet, or of
    ImageNet-D. Equal names in several folders are told apart by the folder.
    """
    by_name = np.array([labels.validation_wnid(stem) or wnid_of_stem(stem) for stem in images.tolist()], object)
    parents = [path.strip("\"'").replace("\\", "/").split("/")[:-1] for path in map(str, paths)]
    if wnids is None:
        by_folder = (next(filter(None, map(wnid_of_folder, reversed(folders))), None) for folders in parents)
        wnids = np.array(list(by_folder), object)
    known = np.where(by_name == None, wnids, by_name)  # noqa: E711
    last = np.array([folders[-1] if folders else "" for folders in parents], object)
    if len(set(images.tolist())) < len(images):
        images = np.where((by_name != None) | (last == ""), images, last + "/" + images)  # noqa: E711
    if any(known) or not all(last):
        return _Order(images, known)
    if all(name.isdecimal() and int(name) < len(labels.ilsvrc2012_sorted()) for name in last.tolist()):
        return _Order(images, np.array([labels.ilsvrc2012_sorted()[int(name)] for name in last.tolist()], object))
    second = {folders[-2] for folders in parents if len(folders) > 1}
    listed = lists.get("imagenet-d" if second and second <= _IMAGENET_D else "objectnet113")
    first_class = {category.name: category.members[0] for category in listed.categories}
    return _Order(images, np.array([first_class.get(name) for name in last.tolist()], object), last, listed)


def _places(wnids: Texts, classes: Sequence[str]) -> tuple[Ints, Mapping[str, int]]:
    index = labels.index_of(classes)
    return np.array([index.get(wnid, -1) for wnid in wnids.tolist()]), index


# ---- numbers of classes


def _numbers(
    predictions: Predictions, space: str | None
) -> tuple[Ints, dict[int, int], tuple[ListNumbering, ...] | None]:
    """Return the classes as numbers, the second class of names that have two, and the numberings to try."""
    only = None
    if space is not None:
        listed = published(space)
        if listed is None or listed.categories:
            raise UsageError(
                f"--labels {space}: expected a published list of wnids, such as {', '.join(lists.SPACES)}."
            )
        only = (ListNumbering(listed.name, listed.base),)
    if predictions.top.dtype != object:
        return predictions.top, {}, only
    names, codes = np.unique(predictions.top.astype(str), return_inverse=True)
    whole = any(", " in name for name in names.tolist())
    wnids = [[name] if is_wnid(name) else identify_classes.classes_called(name, whole=whole) for name in names.tolist()]
    # A class that has a name of its own is not meant by another: beside "crane bird", "crane" is the machine.
    alone = {found[0] for found in wnids if len(found) == 1}
    wnids = [[wnid for wnid in found if len(found) == 1 or wnid not in alone] or found for found in wnids]
    unknown = [name for name, found in zip(names.tolist(), wnids, strict=True) if not found]
    if unknown:
        raise UsageError(f"{predictions.name}: {some_of(unknown)}: expected wnids, or names of ILSVRC2012's classes.")
    for listed_name in ("ilsvrc2012", "imagenet21k-goog"):
        numbering = ListNumbering(listed_name, 0)
        index = lists.index_of(listed_name)
        if all(wnid in index for choices in wnids for wnid in choices):
            found = [[index[wnid] for wnid in choices] for choices in wnids]
            numbers = np.array([choices[0] for choices in found])[codes].reshape(predictions.top.shape)
            return numbers, {first: more[0] for first, *more in found if more}, (numbering,)
    raise UsageError(f"{predictions.name}: its wnids are of no published list that numbers classes.")


def _find(
    predictions: Predictions, numbers: Ints, orders: Mapping[str, _Order], only: Sequence[ListNumbering] | None
) -> LabelsFound:
    """Return what the true labels tell if the file has some, else what the first column of classes or all tell."""
    wnids = {words: order.wnids for words, order in orders.items()}
    images = None if predictions.images is None else tuple(predictions.images)
    column = predictions.truth if predictions.truth is not None and predictions.truth.dtype != object else numbers[:, 0]
    is_harder = images is not None and not any(map(labels.validation_wnid, images[:100]))
    min_share = _MIN_NAMED_SHARE if is_harder else identify_labels.MIN_SHARE
    found = identify_labels.find(LabelFile(column, images), orders=wnids, only=only, min_share=min_share)
    if found.told or found.best is None or column is predictions.truth or numbers.shape[1] == 1:
        return found
    # The classes may not be best first: put the label first where it is among them, by the best reading.
    truth, numbering = wnids[found.best.rows], found.best.numbering
    number_of = {wnid: -2 if (number := numbering.number_of(wnid or "")) is None else number for wnid in set(truth)}
    expected = np.array([number_of[wnid] for wnid in truth])
    column = np.where((numbers == expected[:, None]).any(axis=1), expected, column)
    return identify_labels.find(LabelFile(column, images), orders=wnids, only=only, min_share=min_share)


def _has_true_numbers(predictions: Predictions) -> bool:
    return predictions.truth is not None and predictions.truth.dtype != object


def _evidence(found: LabelsFound) -> tuple[str, ...]:
    fits = [(title, fit) for title, fit in (("best", found.best), ("next", found.next)) if fit is not None]
    return tuple(
        f"{title}: {fit.share:.2%} of the labels agree: rows {fit.rows}; {fit.numbering}" for title, fit in fits
    )


def _translated(
    predictions: Predictions,
    numbers: Ints,
    also: Mapping[int, int],
    order: _Order,
    words: str,
    numbering: ListNumbering,
    evidence: tuple[str, ...],
) -> Alignment:
    """Return the alignment: numbers become places of classes, and rows of unknown or repeated images are left out."""
    rows, notes = _scored_rows(predictions, order)
    notes = [*predictions.notes, *notes]
    true_wnids = sorted(set(order.wnids[rows]))
    values, codes = np.unique(numbers[rows], return_inverse=True)
    meaning = [numbering.wnid_of(number) or "" for number in values.tolist()]
    others = sorted(set(meaning) - set(true_wnids) - {""})
    classes = (*true_wnids, *others)
    truth, index = _places(order.wnids[rows], classes)
    top = np.array([index.get(wnid, -1) for wnid in meaning])[codes].reshape(len(rows), -1)
    for number, second in also.items():
        first_class, second_class = (index.get(numbering.wnid_of(n) or "", -1) for n in (number, second))
        if 0 <= second_class < len(true_wnids):
            same = (top == first_class) & (truth == second_class)[:, None]
            top[same] = second_class
            notes.append(f"{classes[second_class]} and {numbering.wnid_of(number)} have one name: right for both")
    without = int((top[:, 0] < 0).sum())
    if without:
        notes.append(f"{count_of(without, 'row')} predict no class (the background, or a number below 0): wrong")
    has_scores = predictions.scores is not None and predictions.scores.shape == predictions.top.shape
    is_sorted = has_scores or metrics.is_best_first(top, truth)
    is_reversed = not is_sorted and metrics.is_best_first(top[:, ::-1], truth)
    if is_reversed:
        top, is_sorted = top[:, ::-1], True
        notes.append("its classes are best last: they are read from the right")
    if not is_sorted:
        rates = ", ".join(f"{rate:.3%}" for rate in (top == truth[:, None]).mean(axis=0).tolist())
        notes.append(f"its classes are not best first: column by column they are right in {rates} of the rows")
    alignment = Alignment(
        classes,
        len(true_wnids),
        rows,
        order.images[rows],
        truth,
        top,
        is_sorted,
        words,
        numbering,
        evidence,
        tuple(notes),
        is_reversed,
    )
    if order.folders is None or order.listed is None:
        return alignment
    return _of_folders(alignment, order.folders[rows], order.listed)


def _scored_rows(predictions: Predictions, order: _Order) -> tuple[Ints, list[str]]:
    """Return the rows whose images have a known class, of each image the first one, and notes on the others."""
    notes = []
    is_scored = np.array([wnid is not None for wnid in order.wnids.tolist()])
    if not is_scored.all():
        notes.append(f"{count_of(int((~is_scored).sum()), 'row')} of other images, without a known class: not scored")
    if predictions.images is not None:
        first_rows = dict(zip(order.images[::-1], reversed(range(len(predictions))), strict=True))
        is_first = np.zeros(len(predictions), np.bool_)
        is_first[list(first_rows.values())] = True
        if not is_first.all():
            notes.append(f"{count_of(int((~is_first).sum()), 'row')} of images that came before: the first counts")
        is_scored &= is_first
    return np.flatnonzero(is_scored), notes


def _of_folders(aligned: Alignment, names: Texts, listed: ClassList) -> Alignment:
    """Return an alignment whose classes are folders: a predicted class counts as the folder that has it, or as none."""
    folder_of = {wnid: n for n, category in enumerate(listed.categories) for wnid in category.members}
    by_class = np.array([folder_of.get(wnid, -1) for wnid in aligned.classes] + [-1])
    index = {name: n for n, name in enumerate(listed.classes)}
    truth = np.array([index[name] for name in names.tolist()], np.int64)
    present = np.unique(truth)
    places = np.full(len(listed) + 1, -1)
    others = np.setdiff1d(np.arange(len(listed)), present)
    places[np.concatenate([present, others])] = np.arange(len(listed))
    classes = tuple(listed.classes[n] for n in (*present.tolist(), *others.tolist()))
    top = places[by_class[aligned.top]]
    return replace(aligned, classes=classes, n_true=len(present), truth=places[truth], top=top, folders=listed)


def _refuse_shuffled(name: str, aligned: Alignment) -> None:
    """Raise UsageError if too many mistakes are of a distant kind: some rows are probably of other images."""
    share = _distant_share(aligned)
    if share > _MAX_DISTANT_SHARE:
        raise UsageError(
            f"{name}: some rows are probably of other images: mistakes for a distant class, as a fish for a bus, are "
            f"{share:.0%} as frequent as by chance; expected at most {_MAX_DISTANT_SHARE:.0%} (20 % is usual). "
            f"{aligned.evidence[0]}. If the rows are right, say so. {_ADVICE}."
        )


def _distant_share(aligned: Alignment) -> float:
    """Return how often a row without a right class has distant classes only, as a share of the rows by chance.

    Right are the label and ReaL's labels. By chance: the predictions of another row. 0 for few rows.
    """
    rows, valid = aligned.real
    if len(rows) < _MIN_ROWS:
        return 0
    costs = aligned.costs
    k = min(5, aligned.top.shape[1])
    top, truth = aligned.top[rows, :k], aligned.truth[rows]
    wrong = ~(metrics.hits(top, truth, k) | metrics.set_hits(top, valid, k))
    if wrong.mean() < _MIN_WRONG_SHARE:
        return 0
    others = np.random.default_rng(0).permutation(top)
    distant, by_chance = ((costs[truth[:, None], classes] >= _DISTANT).all(axis=1) for classes in (top, others))
    return float((distant & wrong).mean() / (by_chance.mean() * wrong.mean()))
