"""Score a model by the classes of a list: superclasses join classes, and other classes are left out.

A prediction counts as the class of the list that its own class goes to (imagenet_tools.catalogue.class_maps). Two
conventions differ, and both are given: the best of all outputs, which is wrong if its class is not in the list; and the
best of the outputs of the list's classes only. The second needs the outputs of all classes.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from imagenet_tools.catalogue import class_maps, lists
from imagenet_tools.errors import UsageError
from imagenet_tools.evaluation import metrics
from imagenet_tools.evaluation.outputs import rank_among
from imagenet_tools.evaluation.scores import ranks_five
from imagenet_tools.superclasses import superclasses
from imagenet_tools.text import count_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from imagenet_tools.evaluation.alignment import Alignment
    from imagenet_tools.evaluation.files import Array, Predictions
    from imagenet_tools.evaluation.metrics import Bools, Floats, Ints, Measure

# Data sets whose authors score the outputs of these classes only.
_MASKED = {"imagenet-a": "ImageNet-A's", "imagenet-o": "ImageNet-O's", "imagenet-r": "ImageNet-R's"}


class ListedClasses(NamedTuple):
    """The classes of a list, and the one that each class of a model goes to."""

    name: str
    classes: tuple[str, ...]
    place_of: Mapping[str, int]  # by wnid; classes that are missing go to none


def target_of(text: str, wnids: Sequence[str]) -> ListedClasses:
    """Return the classes of a list: a published name, a file of `classes cut`, a file of classes, or a,b,c.

    Args:
        text: The list.
        wnids: The classes that are mapped to it.

    Raises:
        UsageError: No such list, or none of the classes is in it.
    """
    if text.endswith(".toml") and Path(text).is_file():
        read = superclasses.read(text)
        place_of = {wnid: n for n, group in enumerate(read.superclasses) for wnid in group.members}
        target = ListedClasses(Path(text).stem, tuple(group.name for group in read.superclasses), place_of)
    else:
        mapped = class_maps.class_map(lists.from_wnids("classes", wnids), text)
        places = (mapped.target - mapped.b.background).tolist()
        name = Path(text).stem if Path(text).is_file() else text
        name = name if len(name) <= 30 else count_of(len(mapped.b), "class")
        place_of = {wnid: place for wnid, place in zip(wnids, places, strict=True) if place >= 0}
        target = ListedClasses(name, mapped.b.classes, place_of)
    if not target.place_of.keys() & set(wnids):
        raise UsageError(f"--classes {text}: found none of the model's classes in it. Expected a list that has some.")
    return target


def by_list(text: str, predictions: Predictions, aligned: Alignment) -> Iterator[tuple[str, Measure]]:
    """Yield the accuracy by the classes of a list; the keys begin with its name."""
    if aligned.folders:
        raise UsageError(
            f"--classes {text}: {predictions.name} is scored by the folders of {aligned.folders.name}. Leave it out."
        )
    # The masked figure needs all classes of the model, also those that are no label and in no row among the best.
    target = target_of(text, tuple(dict.fromkeys((*aligned.classes, *aligned.numbering.wnids))))
    by_class = np.array([*(target.place_of.get(wnid, -1) for wnid in aligned.classes), -1])
    truth = by_class[aligned.truth]
    kept = truth >= 0
    if not kept.any():
        raise UsageError(f"--classes {text}: found no image of its classes. Expected a list that has some.")
    top = by_class[aligned.top[kept]]
    n_classes = f"{len(target.classes):,} classes of {target.name}"
    convention = f"the best of all outputs is of the label's class, of {n_classes}; others wrong"
    name = target.name
    if aligned.is_sorted:
        right = metrics.hits(top, truth[kept], 1)
        yield f"{name}_top1", metrics.share(f"{name}, top-1", convention, right)
    if ranks_five(aligned):
        convention = f"one of the best 5 of all outputs is of the label's class, of {n_classes}"
        right = metrics.hits(top, truth[kept], 5)
        yield f"{name}_top5", metrics.share(f"{name}, top-5", convention, right)
    if predictions.outputs is not None:
        places = _places_of_columns(target, aligned, predictions.outputs.shape[1])
        if (places >= 0).all() or not (places >= 0).any():
            return
        right = _among(predictions, predictions.outputs, aligned.rows[kept], places, truth[kept])[0]
        convention = f"the best of the {int((places >= 0).sum()):,} outputs of {n_classes} is of the label's class"
        yield f"{name}_masked_top1", metrics.share(f"{name}, masked top-1", convention, right)


def masked(predictions: Predictions, aligned: Alignment) -> Iterator[tuple[str, Measure]]:
    """Yield the accuracy among the outputs of the data set's classes only, if it has fewer classes than the model."""
    if predictions.outputs is None:
        return
    target, whose = _of_data_set(aligned)
    if target is None:
        return
    places = _places_of_columns(target, aligned, predictions.outputs.shape[1])
    if (places >= 0).all() or not (places >= 0).any():
        return
    truth = aligned.truth
    if not aligned.folders:
        truth = np.array([target.place_of[wnid] for wnid in aligned.classes[: aligned.n_true]])[truth]
    right, confidence = _among(predictions, predictions.outputs, aligned.rows, places, truth)
    convention = f"the best of the {int((places >= 0).sum()):,} outputs of {whose} classes is the label"
    yield "masked_top1", metrics.share("masked top-1", convention, right)
    if target.name == "imagenet-a":
        rms = metrics.rms_calibration_error(confidence, right)
        convention = "RMS calibration error of these outputs; bins of 100 images, the last left out, as its authors"
        yield "rms_calibration", metrics.Measure("RMS calibration", rms, len(right), convention)
        area = metrics.response_accuracy_area(confidence, right)
        yield "aurra", metrics.Measure("AURRA", area, len(right), "area under the response rate accuracy curve")


def _of_data_set(aligned: Alignment) -> tuple[ListedClasses | None, str]:
    """Return the classes of the data set that the images are of, and whose they are in words."""
    if aligned.folders:
        places = {name: n for n, name in enumerate(aligned.classes)}
        place_of = {w: places[category.name] for category in aligned.folders.categories for w in category.members}
        return ListedClasses(aligned.folders.name, aligned.classes, place_of), f"{aligned.folders.name}'s"
    true = aligned.classes[: aligned.n_true]
    for name in (*_MASKED, "ilsvrc2012"):
        listed = lists.get(name)
        if len(listed) == len(true) and set(listed.wnids) == set(true):
            place_of = {wnid: n for n, wnid in enumerate(listed.wnids)}
            return ListedClasses(name, listed.wnids, place_of), _MASKED.get(name, f"{name}'s")
    return None, ""


def _places_of_columns(target: ListedClasses, aligned: Alignment, n_outputs: int) -> Ints:
    """Return the place in the target of each output of the model, -1 for none: (outputs,)."""
    places = np.full(n_outputs, -1, np.int64)
    columns = aligned.columns_of(tuple(target.place_of), n_outputs)
    values = np.array(list(target.place_of.values()), np.int64)
    places[columns[columns >= 0]] = values[columns >= 0]
    return places


def _among(predictions: Predictions, outputs: Array, rows: Ints, places: Ints, truth: Ints) -> tuple[Bools, Floats]:
    """Return whether the best of the outputs that have a place is right, and its probability among them."""
    columns = np.flatnonzero(places >= 0)
    best, confidence = rank_among(outputs, rows, columns, are_logits=predictions.norms is not None)
    right: Bools = places[columns[best[:, 0]]] == truth
    return right, confidence
