"""Tell what the columns of files of predictions are: classes, scores, images and true labels.

file_forms.py draws the forms of the files, and reads their columns.

A whole-number file of k columns and a file of as many scores are one set of predictions. A file that lists images and
their wnids alone names the rows of files that have as many.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from imagenet_tools.catalogue.user_files import image_stem
from imagenet_tools.errors import UsageError
from imagenet_tools.evaluation.file_forms import EXPECTED, columns_of
from imagenet_tools.evaluation.outputs import rank
from imagenet_tools.text import count_of, some_of
from imagenet_tools.wordnet.wnid import is_wnid

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    Array = npt.NDArray[Any]
    Texts = npt.NDArray[np.object_]

# Fewer columns of scores belong to the best classes; more are the outputs of a model.
MIN_OUTPUTS = 100
_MAX_NUMBER = 1e9  # of a class

_TRUE = re.compile(r"true|target|truth|actual|ground|(^|_)gt|^y$|original", re.IGNORECASE)
_LABEL = re.compile(r"labels?|wnid|synset|class|y", re.IGNORECASE)
_PREDICTED = re.compile(r"pred|top|class|index|output|label|wnid|synset|name", re.IGNORECASE)
_CALLED = re.compile(r"pred|top|output", re.IGNORECASE)
_IMAGE = re.compile(r"file|image|path|sample", re.IGNORECASE)
_SCORE = re.compile(r"prob|conf|score|logit|softmax", re.IGNORECASE)
_NO_SCORE = re.compile(r"loss|entropy|time|latency|margin|error|distance", re.IGNORECASE)
_WHOLE = re.compile(r"-?\d{1,18}")


@dataclass(frozen=True, eq=False)
class Predictions:
    """The predictions of one model as its file has them; classes are numbers, or wnids or names."""

    name: str
    top: Array = field(repr=False)  # (n, k), int64 or texts; of outputs, the best columns
    scores: Array | None = field(default=None, repr=False)  # (n, k): of the classes of `top`
    outputs: Array | None = field(default=None, repr=False)  # (n, C): of all classes; may be a file in memory
    norms: Array | None = field(default=None, repr=False)  # (n,): log of the sum of exp(outputs); None: probabilities
    images: Texts | None = field(default=None, repr=False)  # (n,): stems
    paths: Texts | None = field(default=None, repr=False)  # (n,): the images as the file names them, with folders
    truth: Array | None = field(default=None, repr=False)  # (n,), int64 or texts: true labels
    boxes: Array | None = field(default=None, repr=False)  # (n, k, 4): xmin, ymin, xmax, ymax in pixels, of `top`
    by_place: bool = False  # the images are named by their place in the order of file names
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.top)


@dataclass(frozen=True, eq=False)
class RowList:
    """The image and the class of each row of another file."""

    name: str
    images: Texts = field(repr=False)
    paths: Texts = field(repr=False)
    wnids: Texts | None = field(default=None, repr=False)


def read_all(paths: Sequence[Path]) -> tuple[list[Predictions], list[RowList]]:
    """Read files of predictions, and lists of their rows, in any form that file_forms.py draws.

    Returns:
        The predictions, each with the scores of a file of its own if there is one; and the lists.

    Raises:
        UsageError: A file is none of these forms, or its values are no classes or scores.
    """
    names = distinct_names(paths)
    predictions: list[Predictions] = []
    lists: list[RowList] = []
    loose: list[tuple[Path, Array]] = []
    for path, name in zip(paths, names, strict=True):
        content = _roles(path, name, columns_of(path))
        if isinstance(content, Predictions):
            predictions.append(content)
        elif isinstance(content, RowList):
            lists.append(content)
        else:
            loose.append((path, content))
    for path, scores in loose:
        places = [n for n, one in enumerate(predictions) if one.scores is None and one.top.shape == scores.shape]
        if len(places) != 1:
            shape = f"{scores.dtype} of shape {scores.shape}"
            problem = "no file of as many classes is beside it" if not places else "several files have as many classes"
            raise UsageError(f"{path}: found {shape}, scores without their classes; {problem}. {EXPECTED}.")
        predictions[places[0]] = by_score(predictions[places[0]], scores)
    if not predictions:
        are_labels = any(listed.wnids is not None for listed in lists)
        advice = " A wnid an image is its label, unless its column is called `prediction`." if are_labels else ""
        raise UsageError(f"{some_of([str(path) for path in paths])}: found no predictions. {EXPECTED}.{advice}")
    return predictions, lists


def read_rows(path: Path) -> RowList:
    """Read a list of the images of rows: names, or names and wnids; UsageError if it is none."""
    columns = columns_of(path)
    texts = [values for values in columns.values() if values.dtype == object and values.ndim == 1]
    if not texts:
        raise UsageError(f"{path}: found no names of images. Expected a name a row, or a name and a wnid.")
    wnids = next((values for values in texts if _all(is_wnid, values)), None)
    paths = next((values for values in texts if values is not wnids), texts[0])
    return RowList(path.name, _stems(paths), paths, wnids)


def take(predictions: Predictions, rows: Array, name: str) -> Predictions:
    """Return the predictions of some rows, under a name."""
    columns: dict[str, Any] = {
        key: None if (values := getattr(predictions, key)) is None else values[rows]
        for key in ("scores", "outputs", "norms", "images", "paths", "truth", "boxes")
    }
    return replace(predictions, name=name, top=predictions.top[rows], **columns)


def by_score(predictions: Predictions, scores: Array) -> Predictions:
    """Return predictions with the classes of each row by falling score."""
    order = np.argsort(-scores, axis=1, kind="stable")
    changed = int((order[:, 0] != 0).sum())
    note = (f"the classes are not best first in {changed:,} rows: sorted by their scores",)
    top, scores = (np.take_along_axis(values, order, axis=1) for values in (predictions.top, scores))
    boxes = None if predictions.boxes is None else np.take_along_axis(predictions.boxes, order[..., None], axis=1)
    return replace(
        predictions, top=top, scores=scores, boxes=boxes, notes=predictions.notes + (note if changed else ())
    )


def distinct_names(paths: Sequence[Path]) -> list[str]:
    """Return a name for each file: its stem, or its path if several have one stem."""
    stems = Counter(path.stem for path in paths)
    return [path.stem if stems[path.stem] == 1 else str(path) for path in paths]


# ---- which column is what


def _roles(path: Path, name: str, columns: Mapping[str, Array]) -> Predictions | RowList | Array:
    """Return what the columns of a file are: predictions, a list of rows, or scores without classes."""
    n_rows = {len(values) for values in columns.values()}
    if not any(n_rows):
        raise UsageError(f"{path}: found no rows. {EXPECTED}.")
    if len(n_rows) != 1:
        raise UsageError(f"{path}: found {sorted(n_rows)} rows in its columns; expected as many in each. {EXPECTED}.")
    rest = {key: values for key, values in columns.items() if not _counts_rows(key, values, len(columns))}
    others = [key for key, values in rest.items() if values.dtype.kind == "f" and _NO_SCORE.search(key)]
    rest = {key: values for key, values in rest.items() if key not in others}
    boxes = _take_boxes(rest)
    paths = _take_images(rest)
    images = None if paths is None else _stems(paths)
    scores = _take_scores(path, rest)
    has_outputs = scores is not None and scores.shape[1] >= MIN_OUTPUTS
    truth = _take_truth(rest, has_outputs=has_outputs)
    numbers = [values for values in rest.values() if values.dtype != object]
    texts = [values for values in rest.values() if values.dtype == object]
    if numbers or texts:
        if images is not None and paths is not None and _lists_rows(rest, truth, scores):
            return RowList(name, images, paths, texts[0])
        rest = {key: values for key, values in rest.items() if values.dtype != object} or rest
        others += (no_classes := _no_classes(rest))
        top = _classes(path, [values for key, values in rest.items() if key not in no_classes])
        if boxes is not None and boxes.shape[:2] != top.shape:
            found = f"found {top.shape[1]} classes and {boxes.shape[1]} boxes a row"
            raise UsageError(f"{path}: {found}; expected as many.")
        by_place = "qsl_idx" in columns
        predictions = Predictions(name, top, None, None, None, images, paths, truth, boxes, by_place, _about(others))
        return _with_scores(path, predictions, scores)
    if scores is not None and has_outputs:
        top, best, norms = rank(path, scores)
        return Predictions(name, top, best, scores, norms, images, paths, truth, notes=_about(others))
    if images is not None and paths is not None and truth is None and scores is None:
        return RowList(name, images, paths)
    if scores is None or images is not None or truth is not None:
        raise UsageError(f"{path}: found no column of predicted classes in {some_of(list(columns))}. {EXPECTED}.")
    return scores


def _lists_rows(columns: Mapping[str, Array], truth: Array | None, scores: Array | None) -> bool:
    """Return True if all that a file has beside the names of images is a wnid a row, and not called predictions."""
    ((key, values), *others) = columns.items()
    is_alone = not others and truth is None and scores is None
    return is_alone and "pred" not in key.lower() and values.ndim == 1 and _all(is_wnid, values)


def _no_classes(columns: Mapping[str, Array]) -> list[str]:
    """Return the columns beside those that are called predictions, such as the width and height of the image."""
    has_names = any(map(_CALLED.search, columns))
    return [key for key in columns if has_names and not _PREDICTED.search(key)]


def _about(others: Sequence[str]) -> tuple[str, ...]:
    return (f"columns that are no classes and scores, by their names: {some_of(others)}",) if others else ()


def _with_scores(path: Path, predictions: Predictions, scores: Array | None) -> Predictions:
    if scores is None:
        return predictions
    if scores.shape[1] == predictions.top.shape[1]:
        return by_score(predictions, scores)
    if scores.shape[1] == 1:
        return replace(predictions, scores=scores)
    raise UsageError(
        f"{path}: found {count_of(predictions.top.shape[1], 'class')} and {count_of(scores.shape[1], 'score')} a row; "
        "expected a score for each class."
    )


def _classes(path: Path, columns: Sequence[Array]) -> Array:
    """Return the columns of classes as one array, (n, k)."""
    top = _as_numbers(_beside(columns))
    if top.shape[1] >= MIN_OUTPUTS:
        problem = f"found {top.shape[1]:,} columns of whole numbers"
        raise UsageError(f"{path}: {problem}; expected at most {MIN_OUTPUTS - 1} classes, or scores of type float.")
    if top.dtype != object and not (np.abs(top.astype(np.float64)) < _MAX_NUMBER).all():
        raise UsageError(f"{path}: found {top.max()}, which numbers no class. {EXPECTED}.")
    return top if top.dtype == object else top.astype(np.int64)


def _take_scores(path: Path, columns: dict[str, Array]) -> Array | None:
    """Take the columns of scores out of the columns: (n, k)."""
    keys = [key for key, values in columns.items() if values.dtype.kind == "f" and not _holds_classes(key, values)]
    if not keys:
        return None
    scores = _beside([columns.pop(key) for key in keys])
    if scores.shape[1] < MIN_OUTPUTS and np.isnan(scores).any():
        row = int(np.isnan(scores).any(axis=1).argmax())
        raise UsageError(f"{path}: found nan in row {row + 1:,} of {some_of(keys) or 'its numbers'}; expected numbers.")
    return scores


def _beside(columns: Sequence[Array]) -> Array:
    if len(columns) == 1 and columns[0].ndim == 2:
        return columns[0]
    return np.column_stack(columns)


def _counts_rows(key: str, values: Array, n_columns: int) -> bool:
    """Return True for a column that numbers the rows, as pandas writes it."""
    is_index = n_columns > 1 and values.ndim == 1 and values.dtype.kind in "iu" and len(values) > 1
    return is_index and not _PREDICTED.search(key.replace("index", "")) and bool((np.diff(values) == 1).all())


def _take_boxes(columns: dict[str, Array]) -> Array | None:
    """Take the column of boxes out of the columns: (n, k, 4)."""
    keys = [key for key, values in columns.items() if values.ndim == 3]
    keys += [key for key, values in columns.items() if "box" in key.lower() and values.shape[1:] == (4,)]
    if not keys:
        return None
    boxes = columns.pop(keys[0])
    return boxes if boxes.ndim == 3 else boxes[:, None]


def _take_images(columns: dict[str, Array]) -> Texts | None:
    """Take the column of images' names out of the columns."""
    texts = [key for key, values in columns.items() if values.dtype == object and values.ndim == 1]
    by_content = [key for key in texts if _all(image_stem, columns[key][:100])]
    others = [key for key in texts if not _all(is_wnid, columns[key][:100])]
    named = [key for key in others if _IMAGE.search(key) and not _PREDICTED.search(key.replace("name", ""))]
    # A list of rows of another data set: [name, wnid], without a head.
    paired = others if len(texts) == 2 and len(columns) == 2 and len(others) == 1 else []
    key = next(iter((*by_content, *named, *paired)), None)
    return None if key is None else columns.pop(key)


def _stems(names: Texts) -> Texts:
    return np.array([stem_of(name) for name in names], object)


def stem_of(name: object) -> str:
    """Return the stem of an image's name; of another name, which may be a number, the last part of its path."""
    text = str(name)
    return image_stem(text) or text.rpartition("/")[2]


def _take_truth(columns: dict[str, Array], *, has_outputs: bool) -> Array | None:
    """Take the column of true labels out of the columns; beside outputs, or columns called predictions, also labels."""
    single = [key for key, values in columns.items() if values.ndim == 1]
    keys = [key for key in single if _TRUE.search(key) and "pred" not in key.lower()]
    if not keys and (has_outputs or any("pred" in key.lower() for key in columns)):
        keys = [key for key in single if _LABEL.fullmatch(key)]
    if not keys or (len(keys) == len(columns) and not has_outputs):
        return None
    values = _as_numbers(columns.pop(keys[0]))
    return values if values.dtype == object else values.astype(np.int64)


def _as_numbers(values: Array) -> Array:
    """Return whole numbers that a table has as texts as int64, and other values as they are."""
    is_text = values.dtype == object and all(_WHOLE.fullmatch(str(value)) for value in values.ravel())
    return values.astype(str).astype(np.int64) if is_text else values


def _holds_classes(key: str, values: Array) -> bool:
    """Return True for a column of floats that are whole numbers from 0, and not all 0 or 1."""
    if _SCORE.search(key) or (values.ndim == 2 and values.shape[1] >= MIN_OUTPUTS):
        return False
    return bool(np.isfinite(values).all() and (values == np.floor(values)).all() and values.max(initial=0) > 1)


def _all(test: Any, values: Iterable[Any]) -> bool:
    return all(test(value) if isinstance(value, str) else False for value in values)
