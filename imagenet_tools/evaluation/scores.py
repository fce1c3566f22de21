"""The scores of one model: its measures, its classes, depths and confusions, and a row an image."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from imagenet_tools.evaluation import metrics
from imagenet_tools.evaluation.metrics import Measure
from imagenet_tools.evaluation.outputs import pick
from imagenet_tools.wordnet import hierarchy, wordnet

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from imagenet_tools.evaluation.alignment import Alignment
    from imagenet_tools.evaluation.files import Array, Predictions
    from imagenet_tools.evaluation.metrics import Bools, Floats, Ints

N_SHOWN = 10  # hypernyms and pairs
_ECE_BINS = 15
_ECE_LEVELS = 32


@dataclass(frozen=True, eq=False)
class ModelScores:
    """The scores of one file of predictions."""

    name: str
    aligned: Alignment = field(repr=False)
    measures: dict[str, Measure]
    confidence: Floats | None = field(repr=False)  # (n,): the probability of the best class

    @functools.cached_property
    def right(self) -> Bools:
        """Whether the best class of each row is its label."""
        return metrics.hits(self.aligned.top, self.aligned.truth, 1)

    def by_class(self) -> list[dict[str, Any]]:
        """Return the rows, and the hits among the best 1 and 5, of each true class."""
        aligned = self.aligned
        columns = {"n": np.bincount(aligned.truth, minlength=aligned.n_true)}
        for key, k in (("top1", 1), ("top5", 5)):
            if key in self.measures:
                right = metrics.hits(aligned.top, aligned.truth, k)
                columns[key] = metrics.by_class(right, aligned.truth, aligned.n_true)[1]
        rows = zip(*(column.tolist() for column in columns.values()), strict=True)
        key = "folder" if aligned.folders else "wnid"
        return [
            {key: name, **dict(zip(columns, row, strict=True))}
            for name, row in zip(aligned.classes, rows, strict=False)
        ]

    def by_depth(self) -> list[dict[str, Any]]:
        """Return the share of rows that are right up to a hypernym of each depth."""
        depths = hierarchy.max_depths()[self.aligned.common]
        counts = metrics.hits_by_depth(depths, self.aligned.top, self.aligned.truth)
        n = len(self.aligned.truth)
        return [{"depth": depth, "hits": count, "value": count / n} for depth, count in enumerate(counts.tolist())]

    def confusions(self) -> list[dict[str, Any]]:
        """Return the pairs of label and predicted class that are mistaken, the most frequent first."""
        classes = self.aligned.classes
        pairs = metrics.confused_pairs(self.aligned.top, self.aligned.truth)
        return [{"wnid": classes[true], "predicted": classes[first], "n": n} for true, first, n in pairs]

    def by_common_hypernym(self) -> list[dict[str, Any]]:
        """Return the number of mistakes below each lowest common hypernym of label and predicted class."""
        top, truth = self.aligned.top[:, 0], self.aligned.truth
        wrong = (top != truth) & (top >= 0)
        rows, counts = np.unique(self.aligned.common[truth[wrong], top[wrong]], return_counts=True)
        order = np.argsort(-counts, kind="stable")
        wnids = wordnet.wnids_of(rows[order])
        return [{"wnid": wnid, "n": n} for wnid, n in zip(wnids, counts[order].tolist(), strict=True)]

    def facts(self) -> dict[str, Any]:
        """Return everything as plain values."""
        aligned = self.aligned
        facts = {
            "name": self.name,
            "n": len(aligned.truth),
            "rows": aligned.order,
            "labels": str(aligned.numbering),
            "evidence": aligned.evidence,
            "notes": aligned.notes,
            "measures": {key: measure._asdict() for key, measure in self.measures.items()},
            "by_class": self.by_class(),
        }
        if self.has_hierarchy:
            facts["by_depth"] = self.by_depth()
            facts["by_common_hypernym"] = self.by_common_hypernym()
            facts["confusions"] = self.confusions()[:N_SHOWN]
        return facts

    @property
    def has_hierarchy(self) -> bool:
        """Whether the best class of each row is known, and the classes are synsets."""
        return "top1" in self.measures and not self.aligned.folders

    def image_table(self) -> pa.Table:
        """Return a row an image; image_id joins the table images of an index."""
        import pyarrow as pa

        aligned = self.aligned
        classes = np.array([*aligned.classes, None], object)  # -1: no class
        no_class = np.full(len(classes), None, object)
        wnids, folders = (no_class, classes) if aligned.folders else (classes, no_class)
        n = len(aligned.truth)
        nothing = np.full(n, None, object)
        first = aligned.top[:, 0] if aligned.is_sorted else np.full(n, -1)
        real: Any = nothing.copy()
        names: Any = nothing
        costs: Any = nothing
        rows, valid = aligned.real
        if aligned.is_sorted and len(rows):
            real[rows] = metrics.set_hits(aligned.top[rows], valid, 1)
        if self.has_hierarchy:
            is_class = first >= 0
            names = np.where(is_class, wordnet.names()[aligned.common[aligned.truth, first]].astype(object), None)
            costs = np.where(is_class, aligned.costs[aligned.truth, first].astype(object), None)
        top5 = metrics.hits(aligned.top, aligned.truth, 5) if "top5" in self.measures else nothing
        columns = {
            "model": pa.array([self.name] * n),
            "image_id": pa.array(aligned.images, pa.string()),
            "wnid": pa.array(wnids[aligned.truth], pa.string()),
            "predicted": pa.array(wnids[first], pa.string()),
            "folder": pa.array(folders[aligned.truth], pa.string()),
            "predicted_folder": pa.array(folders[first], pa.string()),
            "top1": pa.array(self.right if aligned.is_sorted else nothing, pa.bool_()),
            "top5": pa.array(top5, pa.bool_()),
            "real": pa.array(real, pa.bool_()),
            "confidence": pa.array(nothing if self.confidence is None else self.confidence, pa.float64()),
            "common_hypernym": pa.array(names, pa.string()),
            "cost": pa.array(costs, pa.uint8()),
        }
        return pa.table(columns)


def scores_of(predictions: Predictions, aligned: Alignment) -> ModelScores:
    """Return the scores of predictions whose rows and numbers are known."""
    confidence = _confidence(predictions, aligned)
    figures = dict(_flat(aligned))
    if aligned.is_sorted:
        if not aligned.folders:
            figures |= _hierarchical(aligned)
        figures |= _of_probabilities(predictions, aligned, confidence)
    figures |= _of_real(aligned)
    return ModelScores(predictions.name, aligned, figures, confidence)


def ranks_five(aligned: Alignment) -> bool:
    """Return True if it is known which classes are the best five."""
    return aligned.top.shape[1] == 5 or (aligned.top.shape[1] > 5 and aligned.is_sorted)


def _flat(aligned: Alignment) -> Iterator[tuple[str, Measure]]:
    top, truth = aligned.top, aligned.truth
    label = "the folder's class" if aligned.folders else "the label"
    if aligned.is_sorted:
        right = metrics.hits(top, truth, 1)
        yield "top1", metrics.share("top-1", f"the best class is {label}", right)
    if ranks_five(aligned):
        yield "top5", metrics.share("top-5", f"{label} is among the best 5", metrics.hits(top, truth, 5))
    if aligned.is_sorted:
        convention = "mean of the classes' top-1"
        yield "class_mean", metrics.class_mean("mean of classes", convention, right, truth, aligned.n_true)


def _hierarchical(aligned: Alignment) -> dict[str, Measure]:
    costs, top, truth = aligned.costs, aligned.top, aligned.truth
    least = metrics.least_costs(costs, top, truth, 1)
    name = "hierarchical error, top-"
    figures = {"hierarchical_top1": metrics.mean(f"{name}1", "mean cost of the best class", least)}
    if top.shape[1] >= 5:
        least5 = metrics.least_costs(costs, top, truth, 5)
        convention = "mean of the least cost among the best 5, as ILSVRC2010"
        figures["hierarchical_top5"] = metrics.mean(f"{name}5", convention, least5)
        distances = metrics.hierarchical_distances(costs, top, truth, 5)
        convention = "mean cost of all of the best 5"
        figures["distance_at_5"] = metrics.mean("hierarchical distance at 5", convention, distances)
    wrong = metrics.hits(top, truth, 1) == np.False_
    if wrong.any():
        figures["mistake_severity"] = metrics.mean("mistake severity", "mean cost of the mistakes only", least[wrong])
    return figures


def _of_probabilities(
    predictions: Predictions, aligned: Alignment, confidence: Floats | None
) -> Iterator[tuple[str, Measure]]:
    if confidence is not None:
        right = metrics.hits(aligned.top, aligned.truth, 1)
        convention = "15 bins (lo, hi] of equal width, weighed by rows"
        value = metrics.calibration_error(confidence, right, _ECE_BINS)
        yield "ece", Measure("ECE", value, len(right), convention, None, *_ece_interval(confidence, right))
    if predictions.outputs is not None and not aligned.folders:
        nll = _negative_logs(predictions, predictions.outputs, aligned)
        if len(nll):
            yield "nll", metrics.mean("NLL", "mean of -log p of the label, in nats", nll)


def _ece_interval(confidence: Floats, right: Bools) -> metrics.Interval:
    """Return the bootstrap interval of the ECE, with confidences rounded to 32 levels in each bin."""
    level = np.minimum(confidence * _ECE_BINS % 1 * _ECE_LEVELS, _ECE_LEVELS - 1).astype(np.int64)
    cells = (metrics.bins_of(confidence, _ECE_BINS) * 2 + right) * _ECE_LEVELS + level
    n_cells = _ECE_BINS * 2 * _ECE_LEVELS
    counts = np.bincount(cells, minlength=n_cells)
    excess = np.bincount(cells, right - confidence, minlength=n_cells) / np.maximum(counts, 1)

    def errors(drawn: Ints) -> Floats:
        gaps = (drawn * excess).reshape(len(drawn), _ECE_BINS, -1).sum(axis=2)
        sums: Floats = np.abs(gaps).sum(axis=1) / len(right)
        return sums

    return metrics.of_counts(counts, errors)


def _of_real(aligned: Alignment) -> Iterator[tuple[str, Measure]]:
    rows, valid = aligned.real
    top = aligned.top[rows]
    if not len(rows):
        return
    if aligned.is_sorted:
        convention = "the best class is any of ReaL's labels; images without labels skipped"
        yield "real_top1", metrics.share("ReaL top-1", convention, metrics.set_hits(top, valid, 1))
    if ranks_five(aligned):
        convention = "any of the best 5 is any of ReaL's labels"
        yield "real_top5", metrics.share("ReaL top-5", convention, metrics.set_hits(top, valid, 5))
    if aligned.is_sorted and top.shape[1] >= 5:
        recalls = metrics.set_recalls(top, valid)[1]
        convention = "share of ReaL's k labels among the best k, k of the image"
        yield "real_recall", metrics.mean("ReaL, k labels", convention, recalls, is_share=True)


def _confidence(predictions: Predictions, aligned: Alignment) -> Floats | None:
    """Return the probability of the best class, if the scores are probabilities or outputs of all classes."""
    if predictions.scores is None:
        return None
    best = predictions.scores[aligned.rows, 0].astype(np.float64)
    if predictions.norms is not None:
        probabilities: Floats = np.exp(best - predictions.norms[aligned.rows])
        return probabilities
    return best if best.min() >= 0 and best.max() <= 1 else None


def _negative_logs(predictions: Predictions, outputs: Array, aligned: Alignment) -> Floats:
    """Return -log p of the label of each row whose label has an output."""
    columns = aligned.columns_of(aligned.classes[: aligned.n_true], outputs.shape[1])[aligned.truth]
    kept = columns >= 0
    rows = aligned.rows[kept]
    scores = pick(outputs, rows, columns[kept])
    if predictions.norms is not None:
        logs: Floats = predictions.norms[rows] - scores
        return logs[np.isfinite(logs)]  # -inf is a class that was left out
    least = float(np.finfo(outputs.dtype).smallest_subnormal)
    return np.asarray(-np.log(np.maximum(scores, least)), np.float64)
