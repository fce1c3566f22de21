"""Score predicted boxes: detections by ILSVRC's rule and COCO's, and ILSVRC's localisation error.

ILSVRC's rule for detections is that of eval_detection.m in the devkits from 2014 on. The detections of an image come by
falling score. Each takes the free box of its class that it meets best. Their intersection over union must be at least
min(0.5, wh / ((w + 10)(h + 10))), of the box's width and height; pixels are inclusive. Pairs of image and class on the
blacklist do not count. The average precision of a class is the area under the envelope of precision over recall, as
Pascal VOC's since 2010. COCO's figures are those of pycocotools.

A localisation is right if its class, one of five, is the label, and its box has an intersection over union of at least
0.5 with a true box of the label. Pixels are inclusive. Since 2013 the devkit leaves out 1,762 validation images, whose
boxes are unsatisfactory.
"""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from imagenet_tools.annotations import bbox
from imagenet_tools.catalogue import image_lists
from imagenet_tools.errors import UsageError
from imagenet_tools.evaluation.metrics import Measure, share
from imagenet_tools.text import count_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from imagenet_tools.evaluation.alignment import Alignment
    from imagenet_tools.evaluation.detections import PlacedDetections, TrueBoxes
    from imagenet_tools.evaluation.files import Predictions, Texts
    from imagenet_tools.evaluation.metrics import Bools, Floats, Ints

_THRESHOLDS = "IoU at least min(0.5, wh / ((w + 10)(h + 10))), inclusive pixels"
_MIN_OVERLAP = 0.5  # of a localisation
_BLACKLIST = "ilsvrc2012-val-blacklist"
_INSTALL = "COCO's figures need pycocotools: pip install 'imagenet-tools[coco]'"

# COCOeval.stats: the key, the name and the convention of the first figures.
_COCO_STATS = {
    0: ("coco_map", "COCO mAP", "mean AP over IoU 0.50, 0.55 ... 0.95; 101 points of recall, best 100 an image"),
    1: ("coco_map_50", "COCO mAP, IoU 0.50", "mean AP at IoU 0.50"),
    2: ("coco_map_75", "COCO mAP, IoU 0.75", "mean AP at IoU 0.75"),
    3: ("coco_map_small", "COCO mAP, small", "of boxes below 32^2 pixels"),
    4: ("coco_map_medium", "COCO mAP, medium", "of boxes from 32^2 to 96^2 pixels"),
    5: ("coco_map_large", "COCO mAP, large", "of boxes above 96^2 pixels"),
    8: ("coco_ar_100", "COCO AR", "mean recall over the same IoU, best 100 an image"),
}


@dataclass(frozen=True, eq=False)
class DetectionScores:
    """The scores of one file of detections."""

    name: str
    measures: dict[str, Measure]
    classes: list[dict[str, Any]] = field(repr=False)  # class, boxes, detections, ap
    notes: tuple[str, ...] = ()

    def facts(self) -> dict[str, Any]:
        """Return everything as plain values."""
        measures = {key: measure._asdict() for key, measure in self.measures.items()}
        return {"name": self.name, "notes": self.notes, "measures": measures, "by_class": self.classes}


def detection_scores(name: str, detections: PlacedDetections) -> DetectionScores:
    """Return the scores of a model's detections."""
    true, blacklist = detections.true, detections.blacklist
    names = sorted(set(true.classes.tolist()))
    keys = _keys(detections.image_places, detections.classes, names)
    true_keys = _keys(true.image_places, true.classes, names)
    left_out = _keys(*_columns(blacklist), names)
    right = _matched(detections, *_candidates(keys, true_keys))
    counted, true_counted = ~np.isin(keys, left_out), ~np.isin(true_keys, left_out)
    codes, true_codes = keys % (len(names) + 1), true_keys % (len(names) + 1)
    n_true = np.bincount(true_codes[true_counted], minlength=len(names))
    order = np.argsort(codes, kind="stable")
    order = order[counted[order]]
    bounds = np.searchsorted(codes[order], np.arange(len(names) + 1))
    rows = [
        {"class": cls, "n": n, "detections": int(bounds[code + 1] - bounds[code]), "ap": envelope_area(right[part], n)}
        for code, (cls, n) in enumerate(zip(names, n_true.tolist(), strict=True))
        if n
        for part in (order[bounds[code] : bounds[code + 1]],)
    ]
    n_images, n_boxes = len(true.images), int(true_counted.sum())
    convention = f"mean AP of {count_of(len(rows), 'class')} in {count_of(n_images, 'image')}; {_THRESHOLDS}"
    if blacklist:
        convention += f"; {count_of(len(blacklist), 'pair')} of image and class left out"
    value = float(np.mean([row["ap"] for row in rows]))
    figures = {"ilsvrc_map": Measure("ILSVRC mAP", value, n_boxes, convention)}
    notes = true.notes
    if true.is_partial.any():
        notes += (f"{true.name}: boxes are partial: a right detection of another class than the image's is wrong",)
    try:
        figures |= dict(_coco_figures(detections))
    except ModuleNotFoundError:
        notes += (_INSTALL,)
    return DetectionScores(name, figures, rows, notes)


def _matched(detections: PlacedDetections, first: Ints, second: Ints) -> Bools:
    """Return whether each detection takes a true box, by ILSVRC's rule: (n,); the pairs are those of _candidates()."""
    true = detections.true
    overlaps = bbox.inclusive_overlaps(detections.edges[first], true.edges[second])
    enough = overlaps >= bbox.detection_thresholds(true.edges)[second]
    first, second, overlaps = first[enough], second[enough], overlaps[enough]
    order = np.lexsort([second, -overlaps, first])
    right, taken = np.zeros(len(detections.image_places), np.bool_), np.zeros(len(true.image_places), np.bool_)
    for detection, box in zip(first[order].tolist(), second[order].tolist(), strict=True):
        if not right[detection] and not taken[box]:
            right[detection] = taken[box] = True
    return right


def _candidates(keys: Ints, true_keys: Ints) -> tuple[Ints, Ints]:
    """Return all pairs of a detection and a true box of one image and class, as two arrays of places."""
    order = np.argsort(true_keys, kind="stable")
    start, stop = (np.searchsorted(true_keys[order], keys, side) for side in ("left", "right"))
    n = stop - start
    first = np.repeat(np.arange(len(keys)), n)
    within = np.arange(len(first)) - np.repeat(np.cumsum(n) - n, n)
    return first, order[np.repeat(start, n) + within]


def _keys(image_places: Ints, classes: Texts, names: Sequence[str]) -> Ints:
    """Return a number for each pair of an image and a class; all classes that have no true box are one class."""
    code_of = {cls: code for code, cls in enumerate(names)}
    codes = np.array([code_of.get(cls, len(names)) for cls in classes.tolist()], np.int64)
    return image_places * (len(names) + 1) + codes


def _columns(pairs: Collection[tuple[int, str]]) -> tuple[Ints, Texts]:
    return np.array([image for image, _ in pairs], np.int64), np.array([cls for _, cls in pairs], object)


def envelope_area(right: Bools, n_true: int) -> float:
    """Return the area under the envelope of precision over recall, as Pascal VOC's VOCap since 2010.

    Args:
        right: Whether each detection of the class is right, the best first.
        n_true: The true boxes of the class, at least 1.

    Example:
        >>> envelope_area(np.array([True, False, True]), 2)
        0.8333333333333333
    """
    hits = np.cumsum(right)
    precision = hits / np.arange(1, len(right) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float((np.diff(hits / n_true, prepend=0) * envelope).sum())


def _coco_figures(detections: PlacedDetections) -> Iterator[tuple[str, Measure]]:
    """Yield COCO's figures by pycocotools; ModuleNotFoundError: it is not installed."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    ids = {cls: number for number, cls in enumerate(sorted(set(detections.true.classes.tolist())), 1)}
    known = np.array([cls in ids for cls in detections.classes.tolist()], np.bool_)
    if not known.any():
        return
    numbers = np.array([ids[cls] for cls in detections.classes[known].tolist()], np.float64)
    columns = (
        detections.image_places[known] + 1,
        *_corners(detections.edges[known]).T,
        detections.scores[known],
        numbers,
    )
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = _coco_dataset(detections.true, ids)
        truth.createIndex()
        scored = COCOeval(truth, truth.loadRes(np.stack(columns, axis=1)), "bbox")
        scored.evaluate()
        scored.accumulate()
        scored.summarize()
    n_boxes = len(detections.true.image_places)
    for place, (key, title, convention) in _COCO_STATS.items():
        if scored.stats[place] >= 0:  # -1: no boxes of this size
            yield key, Measure(title, float(scored.stats[place]), n_boxes, f"pycocotools: {convention}")


def _coco_dataset(true: TrueBoxes, ids: Mapping[str, int]) -> dict[str, Any]:
    columns = (true.image_places + 1, _corners(true.edges), true.areas, true.crowds.astype(int))
    rows = zip(true.classes.tolist(), *(column.tolist() for column in columns), strict=True)
    return {
        "info": {},
        "images": [{"id": place} for place in range(1, len(true.images) + 1)],
        "categories": [{"id": number, "name": cls} for cls, number in ids.items()],
        "annotations": [
            {"id": number, "image_id": image, "category_id": ids[cls], "bbox": box, "area": area, "iscrowd": crowd}
            for number, (cls, image, box, area, crowd) in enumerate(rows, 1)
        ],
    }


def _corners(edges: Floats) -> Floats:
    return np.stack(bbox.coco(*edges.T, width=1, height=1), axis=1)


# ---- localisation


def localisation(predictions: Predictions, aligned: Alignment, true: TrueBoxes) -> Iterator[tuple[str, Measure]]:
    """Yield the localisation error without the blacklisted images, and with them; keys of measures."""
    has_box, right = _located(predictions, aligned, true)
    if not has_box.any():
        raise UsageError(
            f"{true.name}: found no boxes of the images of {predictions.name} with their labels. Expected the boxes of "
            "the predicted images: an index of them, or LOC_val_solution.csv."
        )
    without = int((~has_box).sum())
    left_out = f"; {without:,} images without a true box left out" if without else ""
    rule = "one of 5 classes is the label, and its box has IoU of at least 0.5 with a true box, inclusive pixels"
    listed = np.isin(aligned.images.astype(str), image_lists.get(_BLACKLIST).images)
    kept = has_box & ~listed
    if kept.any() and listed.any():
        convention = f"wrong unless {rule}; blacklisted images left out, as ILSVRC since 2013{left_out}"
        yield "localisation_error", share("localisation error", convention, ~right[kept])
    convention = f"wrong unless {rule}; all images{left_out}"
    yield "localisation_error_all", share("localisation error, all", convention, ~right[has_box])


def _located(predictions: Predictions, aligned: Alignment, true: TrueBoxes) -> tuple[Bools, Bools]:
    """Return which rows have a true box of their label, and which are right: two (n,)."""
    if aligned.folders or predictions.boxes is None:
        raise UsageError(f"{predictions.name}: expected classes of ILSVRC2012 with a box each.")
    row_of = {stem: row for row, stem in enumerate(aligned.images.tolist())}
    rows = np.array([row_of.get(stem, -1) for stem in true.images.tolist()], np.int64)[true.image_places]
    labels = np.array(aligned.classes, object)[aligned.truth]
    places = np.flatnonzero((rows >= 0) & (true.classes == labels[rows]))
    rows, edges = rows[places], true.edges[places]
    boxes = predictions.boxes[aligned.rows]
    if aligned.is_reversed:
        boxes = boxes[:, ::-1]
    has_box, right = np.zeros(len(labels), np.bool_), np.zeros(len(labels), np.bool_)
    has_box[rows] = True
    for rank in range(min(5, boxes.shape[1])):
        is_label = aligned.top[rows, rank] == aligned.truth[rows]
        meets = bbox.inclusive_overlaps(boxes[rows, rank], edges) >= _MIN_OVERLAP
        right[rows[is_label & meets]] = True
    return has_box, right
