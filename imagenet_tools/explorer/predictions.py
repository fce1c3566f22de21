"""Predictions of models beside the images of an index: accuracy below synsets, and confusions with their images."""

from __future__ import annotations

import functools
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from imagenet_tools.errors import UsageError
from imagenet_tools.wordnet import hierarchy, wordnet

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

    from imagenet_tools.evaluation.scores import ModelScores
    from imagenet_tools.explorer.counts import Level

N_CONFUSIONS = 100


class Model:
    """A file of predictions, as imagenet_tools.evaluation reads it."""

    def __init__(self, scores: ModelScores) -> None:
        self.scores = scores
        self.name = scores.name

    @property
    def is_sorted(self) -> bool:
        """Whether the classes of a row are best first."""
        return self.scores.aligned.is_sorted

    def mistakes(self) -> list[dict[str, Any]]:
        """Return the number of mistakes below each lowest common hypernym, the most first."""
        return self.scores.by_common_hypernym() if self.is_sorted else []

    def measures(self) -> list[dict[str, Any]]:
        """Return each figure with its interval and its convention, as texts."""
        return [
            {
                "name": measure.name,
                "shown": measure.value_text,
                "interval": measure.interval_text,
                "n": measure.n,
                "convention": measure.convention,
                "value": measure.value,
            }
            for measure in self.scores.measures.values()
        ]

    @functools.cached_property
    def _first(self) -> npt.NDArray[np.int64]:
        """The place of the best class of each row; -1 where it is unknown."""
        aligned = self.scores.aligned
        return aligned.top[:, 0] if aligned.is_sorted else np.full(len(aligned.truth), -1)

    @functools.cached_property
    def _rows(self) -> npt.NDArray[np.int32]:
        """The row of each class in wordnet.wordnet."""
        return wordnet.rows_of(self.scores.aligned.classes)

    @functools.cached_property
    def _below(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """The rows of predictions, and those that are right, at or below each synset."""
        truth = self.scores.aligned.truth
        totals = []
        for chosen in (truth, truth[self._first == truth]):
            totals.append(hierarchy.inclusive(wordnet.sums_of(self._rows[chosen], 1)))
        return totals[0], totals[1]

    def accuracy(self, row: int) -> float | None:
        """Return the top-1 accuracy of the images at or below a synset, in percent; None without predictions."""
        n, right = (int(counts[row]) for counts in self._below)
        return 100 * right / n if n and self.is_sorted else None

    def at_level(self, level: Level) -> float | None:
        """Return the percent of rows whose best class falls into a group of the label, at a level."""
        if not self.is_sorted:
            return None
        groups = [set(level.of(row)) or {row} for row in self._rows.tolist()]
        truth, first = self.scores.aligned.truth, self._first
        pairs, counts = np.unique(np.stack([truth, first]), axis=1, return_counts=True)
        right = [not groups[true].isdisjoint(groups[first]) for true, first in pairs.T.tolist() if first >= 0]
        return 100 * float(counts[pairs[1] >= 0][np.array(right, np.bool_)].sum()) / max(len(truth), 1)

    def confusions(self, wnid: str | None = None) -> list[dict[str, Any]]:
        """Return the most frequent pairs of label and best class that differ, below a synset if one is given."""
        if not self.is_sorted:
            return []
        below = None if wnid is None else set(hierarchy.descendants(wnid))
        pairs = (pair for pair in self.scores.confusions() if below is None or pair["wnid"] in below)
        aligned, place_of = self.scores.aligned, self.scores.aligned.classes.index
        return [
            pair
            | {"common": wordnet.wnids_of([aligned.common[place_of(pair["wnid"]), place_of(pair["predicted"])]])[0]}
            for pair in islice(pairs, N_CONFUSIONS)
        ]

    def images(self, wnid: str, predicted: str) -> list[str]:
        """Return the ids of the images of a class for which the best class is another one, or the same."""
        aligned = self.scores.aligned
        if wnid not in aligned.classes or predicted not in aligned.classes:
            return []
        chosen = (aligned.truth == aligned.classes.index(wnid)) & (self._first == aligned.classes.index(predicted))
        return [str(image_id) for image_id in np.asarray(aligned.images)[chosen]]

    @functools.cached_property
    def _place(self) -> dict[str, int]:
        return {str(image_id): place for place, image_id in enumerate(self.scores.aligned.images)}

    def of_image(self, image_id: str) -> dict[str, Any]:
        """Return the classes that are predicted for an image, best first; {} if it has no prediction."""
        place = self._place.get(image_id)
        if place is None:
            return {}
        aligned = self.scores.aligned
        wnids = [aligned.classes[n] for n in aligned.top[place].tolist()[:5] if n >= 0]
        return {
            "classes": [(wnid, wordnet.label_of(wnid)) for wnid in wnids],
            "label": aligned.classes[aligned.truth[place]],
        }


def load(paths: list[Path]) -> list[Model]:
    """Read and score files of predictions.

    Raises:
        UsageError: As imagenet_tools.evaluate; or the predictions are of ImageNet-C or of folders that are no synsets.
    """
    if not paths:
        return []  # without the import of the evaluation, which takes 60 ms of the first page
    from imagenet_tools.evaluation.evaluation import evaluate

    evaluation = evaluate(paths)
    others = [errors.model for errors in evaluation.corruptions]
    others += [scores.name for scores in evaluation.models if scores.aligned.folders]
    if others:
        raise UsageError(
            f"--predictions {others[0]}: found predictions of ImageNet-C, or of folders of classes; expected those of "
            "images whose classes are synsets. `imagenet-tools evaluate` scores the others."
        )
    return [Model(scores) for scores in evaluation.models]
