"""Read labels of validation images that users have beside the official ones, and score predictions by them.

The content tells the file:

human_accuracy_v3.0.0.json      ImageNet multilabel: {"initial_annots": {image: {"correct": [wnid], "unclear": [wnid],
                                "wrong": [wnid]}}, "problematic_images": {image: ...}, "imagenet_m": [image]}
csv                             the same labels in the files of "Flaws of ImageNet": id, original_label,
                                proposed_labels ("415, 813"), unclear_multi_labels, wrong_multi_labels, is_problematic
imagenet_x_val_*_factor.jsonl   ImageNet-X: {"file_name": image, "class": index, factor: 0 or 1 ...}; the images of
                                prototypical_paths.csv beside it are left out, as its authors do
other tables                    an image a row and its valid labels: a list of class numbers, wnids or names, or a list
                                of objects with one each; such as ReImageNet's reannotation.jsonl; or a label a row

Multilabel accuracy follows Shankar et al. (2020, "Evaluating machine accuracy on ImageNet"): problematic images are
left out, a prediction is right if it is a correct or an unclear label, and the figure is the mean of the classes.
ImageNet-M (Vasudevan et al. 2022) is 68 of these images, with major mistakes; the same labels are right. ImageNet-X is
by Idrissi et al. (2022).
"""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from imagenet_tools.catalogue import identify_classes, identify_labels, labels, lists
from imagenet_tools.catalogue.labels import IMAGENET_X_FACTORS, ListNumbering
from imagenet_tools.catalogue.user_files import LabelFile
from imagenet_tools.errors import UsageError
from imagenet_tools.evaluation import metrics
from imagenet_tools.evaluation.files import stem_of
from imagenet_tools.evaluation.scores import ranks_five
from imagenet_tools.text import count_of
from imagenet_tools.wordnet.wnid import is_wnid

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from imagenet_tools.evaluation.alignment import Alignment
    from imagenet_tools.evaluation.metrics import Ints, Measure

_N_WORST = 100  # classes of ImageNet-X's worst_100_classes
_IMAGE_KEYS = ("file_path", "file_name", "filename", "image", "image_id", "id", "path", "name")
_LABEL_KEYS = (
    "labels", "label", "classes", "class", "wnids", "wnid", "proposed_labels", "reannotated_labels", "annotations",
    "objects",
)  # fmt: skip
_NUMBERING = ListNumbering("ilsvrc2012", 0)
_NO_LABEL = "-1"  # ReImageNet's for an image of which its authors are not sure
_AS_PUBLISHED = "as published: the best class is correct or unclear; problematic images left out; mean of classes"
_UNREADABLE = (ValueError, TypeError, LookupError, AttributeError, OSError, RecursionError)
_EXPECTED = (
    "Expected ImageNet multilabel's JSON or csv, ImageNet-X's factors as JSON lines, or a table of images and lists of "
    "their labels"
)


@dataclass(frozen=True, eq=False)
class LabelSets:
    """The valid labels of images, by wnid."""

    name: str
    labels: Mapping[str, tuple[str, ...]] = field(repr=False)  # by stem
    also_right: Mapping[str, tuple[str, ...]] = field(default_factory=dict, repr=False)  # unclear labels
    is_multilabel: bool = False  # ImageNet multilabel: the mean of the classes counts
    hardest: Mapping[str, tuple[str, ...]] = field(default_factory=dict, repr=False)  # ImageNet-M's valid labels

    def measures(self, aligned: Alignment) -> Iterator[tuple[str, Measure]]:
        """Yield the figures of predictions whose rows are known."""
        rows = _rows_of(self.name, aligned, self.labels)
        valid = self._valid(aligned, rows, (self.labels, self.also_right))
        top, key = aligned.top[rows], self.name.replace(" ", "_")
        if aligned.is_sorted:
            right = metrics.set_hits(top, valid, 1)
            convention = "the best class is any of the labels"
            if self.is_multilabel:
                convention = "the best class is correct or unclear; problematic images left out; mean of the images"
            yield f"{key}_top1", metrics.share(f"{self.name}, top-1", convention, right)
            if self.is_multilabel:
                name, truth = f"{self.name}, mean of classes", aligned.truth[rows]
                mean = metrics.class_mean(name, _AS_PUBLISHED, right, truth, aligned.n_true)
                yield f"{key}_class_mean", mean
            hard_rows = np.array([n for n, i in enumerate(aligned.images.tolist()) if i in self.hardest], np.int64)
            if len(hard_rows):
                hard_valid = self._valid(aligned, hard_rows, (self.hardest,))
                right = metrics.set_hits(aligned.top[hard_rows], hard_valid, 1)
                convention = "images of ImageNet-M whose best class is correct or unclear"
                yield "imagenet_m", metrics.share("ImageNet-M", convention, right)
        if ranks_five(aligned):
            convention = "any of the best 5 is any of the labels"
            yield f"{key}_top5", metrics.share(f"{self.name}, top-5", convention, metrics.set_hits(top, valid, 5))
        if aligned.is_sorted and top.shape[1] >= 5:
            correct = self._valid(aligned, rows, (self.labels,))
            has_any = (correct != -1).any(axis=1)
            recalls = metrics.set_recalls(top[has_any], correct[has_any])[1]
            convention = "share of the k labels among the best k, k of the image"
            if len(recalls):
                yield f"{key}_recall", metrics.mean(f"{self.name}, k labels", convention, recalls, is_share=True)

    def _valid(self, aligned: Alignment, rows: Ints, sources: Sequence[Mapping[str, tuple[str, ...]]]) -> Ints:
        """Return the valid labels of rows as places of classes, -2 for others, -1 behind the last: (rows, most)."""
        index = labels.index_of(aligned.classes)
        images = aligned.images[rows].tolist()
        sets = [list(dict.fromkeys(w for source in sources for w in source.get(image, ()))) for image in images]
        valid = np.full((len(sets), max(map(len, sets), default=1)), -1, np.int64)
        for row, wnids in enumerate(sets):
            valid[row, : len(wnids)] = [index.get(wnid, -2) for wnid in wnids]
        return valid


@dataclass(frozen=True, eq=False)
class Factors:
    """The factors of ImageNet-X: how each image differs from the prototypes of its class."""

    name: str
    images: Mapping[str, int] = field(repr=False)  # the row of each stem
    flags: Any = field(repr=False)  # (images, factors), bool

    def measures(self, aligned: Alignment) -> Iterator[tuple[str, Measure]]:
        """Yield the accuracy of each factor, and how much more errors it has than all images."""
        if not aligned.is_sorted:
            return
        rows = _rows_of(self.name, aligned, self.images)
        right = metrics.hits(aligned.top[rows], aligned.truth[rows], 1)
        flags = self.flags[[self.images[image] for image in aligned.images[rows].tolist()]]
        convention = "top-1 of the images of ImageNet-X, without prototypes if prototypical_paths.csv is beside it"
        every = metrics.share("ImageNet-X, all", convention, right)
        yield "imagenet_x", every
        for n, factor in enumerate(IMAGENET_X_FACTORS):
            has = flags[:, n]
            if has.any():
                error = 1 - float(right[has].mean())
                ratio = f"; its error is {error / (1 - every.value):.4f} of that of all" if every.value < 1 else ""
                convention = f"top-1 of the images with the factor{ratio}"
                yield f"imagenet_x_{factor}", metrics.share(f"ImageNet-X, {factor}", convention, right[has])
        n_rows, n_right = metrics.by_class(right, aligned.truth[rows], aligned.n_true)
        present = np.flatnonzero(n_rows)
        worst = present[np.argsort(n_right[present] / n_rows[present], kind="stable")][:_N_WORST]
        if len(worst) == _N_WORST:
            of_worst = np.isin(aligned.truth[rows], worst)
            convention = "top-1 of the images of the 100 classes with the lowest top-1"
            yield "imagenet_x_worst_100", metrics.share("ImageNet-X, worst 100 classes", convention, right[of_worst])


def read(path: Path) -> LabelSets | Factors:
    """Read a file of labels or factors of images.

    Raises:
        UsageError: The file is none that is drawn at the head of this module.
    """
    try:
        text = path.read_text("utf-8-sig")
        if text.lstrip()[:1] not in ("{", "["):
            return _of_rows(path, list(csv.DictReader(text.splitlines())))
        try:
            content = json.loads(text)
        except json.JSONDecodeError:
            content = [json.loads(line) for line in text.splitlines() if line.strip()]
        if isinstance(content, dict) and "initial_annots" in content:
            return _multilabel(content)
        if isinstance(content, dict):
            content = [{"image": image, "labels": value} for image, value in content.items()]
        return _of_rows(path, content)
    except _UNREADABLE as error:
        if isinstance(error, UsageError):
            raise
        raise UsageError(f"{path}: cannot be read as labels of images: {error}. {_EXPECTED}.") from error


def _rows_of(name: str, aligned: Alignment, images: Mapping[str, Any]) -> Ints:
    rows = np.array([n for n, image in enumerate(aligned.images.tolist()) if image in images], np.int64)
    if not len(rows):
        raise UsageError(
            f"{name}: found labels of {count_of(len(images), 'image')}, none of which is predicted. "
            "Expected labels of the predicted images."
        )
    return rows


def _multilabel(content: dict[str, Any]) -> LabelSets:
    """Return the labels of ImageNet multilabel's own JSON. It also has images of other sets, which are skipped."""
    problematic = {stem_of(image) for image in content.get("problematic_images", ())}
    hardest = set(map(stem_of, content.get("imagenet_m", ())))
    images = {stem_of(image): sets for image, sets in content["initial_annots"].items()}
    scored = {image: sets for image, sets in images.items() if labels.validation_wnid(image)}
    return LabelSets(
        "multilabel v3",
        {image: tuple(sets.get("correct", ())) for image, sets in scored.items() if image not in problematic},
        {image: tuple(sets.get("unclear", ())) for image, sets in scored.items()},
        is_multilabel=True,
        hardest={
            image: (*sets.get("correct", ()), *sets.get("unclear", ()))
            for image, sets in scored.items()
            if image in hardest
        },
    )


def _of_rows(path: Path, rows: Any) -> LabelSets | Factors:
    if not isinstance(rows, list) or not rows or not isinstance(rows[0], dict):
        raise UsageError(f"{path}: found no rows of images. {_EXPECTED}.")
    keys = rows[0].keys()
    image_key = next((key for key in _IMAGE_KEYS if key in keys), None)
    if image_key is None:
        raise UsageError(f"{path}: found no column of images in {', '.join(map(str, keys))}. {_EXPECTED}.")
    if set(IMAGENET_X_FACTORS) <= keys:
        return _factors(path, image_key, rows)
    if {"proposed_labels", "unclear_multi_labels", "is_problematic"} <= keys:
        kept = [row for row in rows if str(row["is_problematic"]).lower() != "true"]
        correct, unclear = (
            {stem_of(row[image_key]): _wnids(path, row[key]) for row in kept}
            for key in ("proposed_labels", "unclear_multi_labels")
        )
        return LabelSets("multilabel v3", correct, unclear, is_multilabel=True)
    label_key = next((key for key in _LABEL_KEYS if key in keys), None)
    if label_key is None:
        raise UsageError(f"{path}: found no column of labels in {', '.join(map(str, keys))}. {_EXPECTED}.")
    sets: dict[str, tuple[str, ...]] = {}
    for row in rows:  # of an image with a row for each label, all labels are valid
        image = stem_of(row[image_key])
        sets[image] = sets.get(image, ()) + _wnids(path, row[label_key])
    _refuse_other_numbers(path, sets)
    return LabelSets(path.stem, {image: wnids for image, wnids in sets.items() if wnids})


def _refuse_other_numbers(path: Path, sets: Mapping[str, tuple[str, ...]]) -> None:
    """Raise UsageError if the official labels of the images say that another list numbers the labels."""
    index = lists.index_of(_NUMBERING.space)
    first = {image: index[wnids[0]] for image, wnids in sets.items() if wnids and wnids[0] in index}
    identified = identify_labels.find(LabelFile(np.array([*first.values()], np.int64), tuple(first)))
    if identified.numbering not in (None, _NUMBERING):
        raise UsageError(f"{path}: {identified.why} Expected numbers of {_NUMBERING}, wnids or names.")


def _factors(path: Path, image_key: str, rows: list[dict[str, Any]]) -> Factors:
    prototypes = path.with_name("prototypical_paths.csv")
    left_out = set(map(stem_of, prototypes.read_text().split())) if prototypes.is_file() else set()
    kept = [row for row in rows if stem_of(row[image_key]) not in left_out]
    flags = np.array([[int(row[factor]) for factor in IMAGENET_X_FACTORS] for row in kept], np.bool_)
    return Factors("ImageNet-X", {stem_of(row[image_key]): n for n, row in enumerate(kept)}, flags)


def _wnids(path: Path, value: Any) -> tuple[str, ...]:
    """Return the wnids of a value: indexes of ilsvrc2012, wnids or names; a list, "415, 813", or objects with one."""
    if value is None or value == "":
        return ()
    if isinstance(value, str):
        text = value.strip().strip("[]")
        found = identify_classes.classes_called(text, whole=True) if not is_wnid(text) and "," in text else ()
        if found:
            return tuple(found)
        value = [part.strip(" '\"") for part in text.replace(";", ",").split(",") if part.strip()]
    if not isinstance(value, list):
        value = [value]
    return tuple(dict.fromkeys(wnid for item in value for wnid in _wnids_of_item(path, item)))


def _wnids_of_item(path: Path, item: Any) -> tuple[str, ...]:
    if isinstance(item, dict):
        key = next((key for key in (*_LABEL_KEYS, "category") if key in item), None)
        if key is None:
            raise UsageError(f"{path}: found no label in {', '.join(map(str, item))}. {_EXPECTED}.")
        return _wnids(path, item[key])
    if isinstance(item, list):
        return _wnids(path, item)
    text = str(item)
    if text == _NO_LABEL:
        return ()
    if is_wnid(text):
        return (text,)
    by_index = lists.get("ilsvrc2012").wnids
    if text.isdecimal() and int(text) < len(by_index):
        return (by_index[int(text)],)
    found = tuple(identify_classes.classes_called(text, whole=False))
    if not found:
        raise UsageError(f"{path}: {text!r}: expected an index of ilsvrc2012 from 0, a wnid, or a class's name.")
    return found
