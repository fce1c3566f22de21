"""The localisation error of ILSVRC: the class of an image among five, with a box that meets one of its true boxes.

A prediction is right if its class is the label and its box has an intersection over union of at least 0.5 with a true
box of the label. Pixels are inclusive. Since 2013 the devkit leaves out 1,762 validation images, whose boxes are
unsatisfactory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from imagenet_tools.annotations import bbox
from imagenet_tools.catalogue import image_lists
from imagenet_tools.errors import UsageError
from imagenet_tools.evaluation import measures

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imagenet_tools.evaluation.alignment import Alignment
    from imagenet_tools.evaluation.files import Predictions
    from imagenet_tools.evaluation.measures import Measure
    from imagenet_tools.evaluation.metrics import Bools
    from imagenet_tools.evaluation.true_boxes import TrueBoxes

_MIN_OVERLAP = 0.5
_BLACKLIST = "ilsvrc2012-val-blacklist"


def localisation(predictions: Predictions, aligned: Alignment, true: TrueBoxes) -> Iterator[tuple[str, Measure]]:
    """Yield the localisation error without the blacklisted images, and with them; keys of measures."""
    has_box, right = _right(predictions, aligned, true)
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
        yield "localisation_error", measures.share("localisation error", convention, ~right[kept])
    convention = f"wrong unless {rule}; all images{left_out}"
    yield "localisation_error_all", measures.share("localisation error, all", convention, ~right[has_box])


def _right(predictions: Predictions, aligned: Alignment, true: TrueBoxes) -> tuple[Bools, Bools]:
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
