"""Score predictions against every truth that applies, and compare models; each figure says which convention it follows.

The result is an Evaluation: tables for people, facts for --json, and a row an image for Parquet.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from imagenet_tools.errors import UsageError
from imagenet_tools.evaluation import metrics
from imagenet_tools.evaluation.alignment import ROWS, Alignment, align
from imagenet_tools.evaluation.files import pick, read_all, read_rows
from imagenet_tools.text import count_of, html_of
from imagenet_tools.wordnet import hierarchy, wordnet

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa

    from imagenet_tools.evaluation.files import Array, Predictions, RowList
    from imagenet_tools.evaluation.metrics import Bools, Floats

    Table = tuple[str, Sequence[str], Sequence[Sequence[object]]]  # title, head, rows

_N_SHOWN = 10  # hypernyms, pairs, and classes that gain or lose
_LEAST_P = 1e-300  # smaller ones are 0 in arithmetic

_COST = "cost: the height of the lowest common hypernym in WordNet, as in ILSVRC2010's cost_matrix; 0 for the label"


class _Kind(NamedTuple):
    """A measure: its name, its convention, and whether it is a share."""

    name: str
    convention: str
    is_share: bool = False


_KINDS = {
    "top1": _Kind("top-1", "the best class is the label", True),
    "top5": _Kind("top-5", "the label is among the best 5", True),
    "class_mean": _Kind("mean of classes", "mean of the classes' top-1", True),
    "hierarchical_top1": _Kind("hierarchical error, top-1", "mean cost of the best class"),
    "hierarchical_top5": _Kind("hierarchical error, top-5", "mean of the least cost among the best 5, as ILSVRC2010"),
    "mistake_severity": _Kind("mistake severity", "mean cost of the mistakes only"),
    "distance_at_5": _Kind("hierarchical distance at 5", "mean cost of all of the best 5"),
    "ece": _Kind("ECE", "15 bins (lo, hi] of equal width, weighed by rows", True),
    "nll": _Kind("NLL", "mean of -log p of the label, in nats"),
    "real_top1": _Kind("ReaL top-1", "the best class is any of ReaL's labels; images without labels skipped", True),
    "real_top5": _Kind("ReaL top-5", "any of the best 5 is any of ReaL's labels", True),
    "real_recall": _Kind("ReaL, k labels", "share of ReaL's k labels among the best k, k of the image", True),
}


class Measure(NamedTuple):
    """A figure, with its 95 % interval (Clopper-Pearson) if it is a share of rows."""

    value: float
    n: int  # rows that count
    convention: str
    hits: int | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, eq=False)
class ModelScores:
    """The scores of one file of predictions."""

    name: str
    aligned: Alignment = field(repr=False)
    measures: dict[str, Measure]
    confidence: Floats | None = field(repr=False)  # (n,): the probability of the best class
    costs: Any = field(repr=False)  # (true classes, classes), uint8
    common: Any = field(repr=False)  # (true classes, classes): the row of the deepest common hypernym

    @property
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
        return [
            {"wnid": wnid, **dict(zip(columns, row, strict=True))}
            for wnid, row in zip(aligned.classes, rows, strict=False)
        ]

    def by_depth(self) -> list[dict[str, Any]]:
        """Return the share of rows that are right up to a hypernym of each depth."""
        depths = hierarchy.max_depths()[self.common]
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
        rows, counts = np.unique(self.common[truth[wrong], top[wrong]], return_counts=True)
        order = np.argsort(-counts, kind="stable")
        wnids = wordnet.wnids_of(rows[order])
        return [{"wnid": wnid, "n": n} for wnid, n in zip(wnids, counts[order].tolist(), strict=True)]

    def facts(self) -> dict[str, Any]:
        """Return everything as plain values."""
        aligned = self.aligned
        return {
            "name": self.name,
            "n": len(aligned.truth),
            "rows": aligned.order,
            "labels": str(aligned.numbering),
            "evidence": aligned.evidence,
            "notes": aligned.notes,
            "measures": {key: measure._asdict() for key, measure in self.measures.items()},
            "by_class": self.by_class(),
            **self._of_first(),
        }

    def _of_first(self) -> dict[str, Any]:
        if "top1" not in self.measures:
            return {}
        return {
            "by_depth": self.by_depth(),
            "by_common_hypernym": self.by_common_hypernym(),
            "confusions": self.confusions()[:_N_SHOWN],
        }


class Comparison(NamedTuple):
    """Two models over the rows that both have."""

    first: str
    second: str
    n: int
    both: int  # rows that both have right
    only_first: int
    only_second: int
    p: float  # of McNemar's exact test
    gains: list[dict[str, Any]]  # classes of which the second has more right, the greatest gain first
    losses: list[dict[str, Any]]


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The scores of files of predictions, and each later model compared with the first."""

    models: tuple[ModelScores, ...]
    comparisons: tuple[Comparison, ...] = ()

    def __repr__(self) -> str:
        parts = []
        for model in self.models:
            shown = [
                f"{_KINDS[key].name} {model.measures[key].value:.2%}"
                for key in ("top1", "top5")
                if key in model.measures
            ]
            parts.append(f"{model.name}: {', '.join(shown) or 'no classes that are best first'}")
        return f"Evaluation: {'; '.join(parts)}"

    def _repr_html_(self) -> str:
        """Return the measures and the comparisons, for notebooks."""
        tables = [_measure_table(self.models), *map(_comparison_table, self.comparisons)]
        titles = [title for title, _, _ in tables if title]
        return html_of(repr(self), *((head, rows) for _, head, rows in tables), notes=[*titles, *self.notes()])

    def notes(self) -> list[str]:
        """Return how the rows and labels of each file were read, and what to know of it."""
        lines = []
        for model in self.models:
            aligned = model.aligned
            lines.append(
                f"{model.name}: {count_of(len(aligned.truth), 'row')} {aligned.order}; labels: {aligned.numbering}"
            )
            lines += [f"{model.name}: {text}" for text in (*aligned.evidence, *aligned.notes)]
        return [*lines, _COST]

    def tables(self) -> Iterator[Table]:
        """Yield the tables for people, each with a title, its head and its rows."""
        yield _measure_table(self.models)
        for model in self.models:
            if "top1" not in model.measures:
                continue
            title = f"{model.name}: "
            depths = [(f["depth"], _percent(f["value"]), f["hits"]) for f in model.by_depth()[1:]]
            yield title + "right up to a hypernym of a depth (entity.n.01: 0)", ("depth", "right", "rows"), depths
            mistakes = int((~model.right).sum())
            common = [
                (wordnet.synset(f["wnid"]).name, f["n"], _percent(f["n"] / mistakes))
                for f in model.by_common_hypernym()[:_N_SHOWN]
            ]
            yield title + "mistakes by lowest common hypernym", ("hypernym", "mistakes", "share"), common
            pairs = [(_name(f["wnid"]), _name(f["predicted"]), f["n"]) for f in model.confusions()[:_N_SHOWN]]
            yield title + "classes most confused", ("label", "predicted", "rows"), pairs
        for pair in self.comparisons:
            yield _comparison_table(pair)
            for word, classes in (("gains", pair.gains), ("loses", pair.losses)):
                rows: list[tuple[object, ...]] = [
                    (_name(f["wnid"]), f["first"], f["second"], f["n"]) for f in classes[:_N_SHOWN]
                ]
                yield f"{pair.second} {word} in these classes", ("class", pair.first, pair.second, "rows"), rows

    def facts(self) -> dict[str, Any]:
        """Return everything as plain values."""
        return {
            "models": [model.facts() for model in self.models],
            "comparisons": [pair._asdict() for pair in self.comparisons],
        }

    def table(self) -> pa.Table:
        """Return a row for each model and image; image_id joins the table images of an index."""
        import pyarrow as pa

        return pa.concat_tables([_image_table(model) for model in self.models])


def evaluate(paths: Sequence[Path], *, rows: str | Path | None = None, space: str | None = None) -> Evaluation:
    """Score files of predictions; see imagenet_tools.evaluate."""
    predictions, lists = read_all(paths)
    order: str | RowList | None = None
    if rows is not None:
        order = str(rows)
        if order not in ROWS:
            if not Path(rows).is_file():
                raise UsageError(f"--rows {rows}: expected {' or '.join(ROWS)}, or a file that lists the images.")
            order = read_rows(Path(rows))
    unnamed = {len(one) for one in predictions if one.images is None}
    for listed in lists:
        if len(listed.images) not in unnamed:
            message = f"{listed.name} lists {count_of(len(listed.images), 'image')}, and no other file has as many rows"
            raise UsageError(f"{message} without names. Expected a list of the rows of a file, or leave it out.")
    models = tuple(_scores(one, align(one, lists, rows=order, space=space)) for one in predictions)
    ranked = [model for model in models if "top1" in model.measures]
    pairs = (_compared(ranked[0], other) for other in ranked[1:])
    return Evaluation(models, tuple(pair for pair in pairs if pair.n))


def _scores(one: Predictions, aligned: Alignment) -> ModelScores:
    costs = next(hierarchy.cost_blocks(aligned.classes, block=aligned.n_true))[1]
    common = hierarchy.deepest_common_hypernyms(aligned.classes, aligned.n_true)
    confidence = _confidence(one, aligned)
    top, truth = aligned.top, aligned.truth
    figures: dict[str, Measure] = {}
    if top.shape[1] == 5 or (top.shape[1] > 5 and aligned.is_sorted):
        figures["top5"] = _share("top5", metrics.hits(top, truth, 5))
    if aligned.is_sorted:
        right = metrics.hits(top, truth, 1)
        figures["top1"] = _share("top1", right)
        n_rows, n_right = metrics.by_class(right, truth, aligned.n_true)
        means = {
            "class_mean": float((n_right / n_rows).mean()),
            "hierarchical_top1": float(metrics.least_costs(costs, top, truth, 1).mean()),
        }
        if top.shape[1] >= 5:
            means["hierarchical_top5"] = float(metrics.least_costs(costs, top, truth, 5).mean())
            means["distance_at_5"] = metrics.hierarchical_distance(costs, top, truth, 5)
        if confidence is not None:
            means["ece"] = metrics.calibration_error(confidence, right)
        if one.outputs is not None:
            means["nll"] = _nll(one, one.outputs, aligned)
        figures |= {key: _mean(key, value, len(truth)) for key, value in means.items()}
        if not right.all():
            severity = metrics.mistake_severity(costs, top, truth)
            figures["mistake_severity"] = _mean("mistake_severity", severity, int((~right).sum()))
    figures |= _real_figures(aligned)
    return ModelScores(one.name, aligned, figures, confidence, costs, common)


def _real_figures(aligned: Alignment) -> dict[str, Measure]:
    rows, valid = aligned.real
    top = aligned.top[rows]
    figures: dict[str, Measure] = {}
    if not len(rows):
        return figures
    if top.shape[1] == 5 or (top.shape[1] > 5 and aligned.is_sorted):
        figures["real_top5"] = _share("real_top5", metrics.set_hits(top, valid, 5))
    if aligned.is_sorted:
        figures["real_top1"] = _share("real_top1", metrics.set_hits(top, valid, 1))
        if top.shape[1] >= 5:
            fits, recalls = metrics.set_recalls(top, valid)
            figures["real_recall"] = _mean("real_recall", float(recalls.mean()), int(fits.sum()))
    return figures


def _share(key: str, right: Bools) -> Measure:
    n_hits, n = int(right.sum()), len(right)
    return Measure(n_hits / n, n, _KINDS[key].convention, n_hits, *metrics.clopper_pearson(n_hits, n))


def _mean(key: str, value: float, n: int) -> Measure:
    return Measure(value, n, _KINDS[key].convention)


def _confidence(one: Predictions, aligned: Alignment) -> Floats | None:
    """Return the probability of the best class, if the scores are probabilities or outputs of all classes."""
    if one.scores is None:
        return None
    best = one.scores[aligned.rows, 0].astype(np.float64)
    if one.norms is not None:
        probabilities: Floats = np.exp(best - one.norms[aligned.rows])
        return probabilities
    return best if best.min() >= 0 and best.max() <= 1 else None


def _nll(one: Predictions, outputs: Array, aligned: Alignment) -> float:
    numbers = [aligned.numbering.number_of(wnid) for wnid in aligned.classes[: aligned.n_true]]
    columns = np.array([-1 if number is None else number for number in numbers])[aligned.truth]
    kept = (columns >= 0) & (columns < outputs.shape[1])
    rows = aligned.rows[kept]
    scores = pick(outputs, rows, columns[kept])
    if one.norms is not None:
        return float((one.norms[rows] - scores).mean())
    return float(-np.log(np.maximum(scores, np.finfo(outputs.dtype).tiny)).mean())


# ---- comparisons


def _compared(first: ModelScores, second: ModelScores) -> Comparison:
    names, other_names = (model.aligned.images.astype(str) for model in (first, second))
    images, places, other_places = np.intersect1d(names, other_names, assume_unique=True, return_indices=True)
    right, other_right = first.right[places], second.right[other_places]
    only_first, only_second = int((right & ~other_right).sum()), int((other_right & ~right).sum())
    truth = first.aligned.truth[places]
    n_rows, n_first = metrics.by_class(right, truth, first.aligned.n_true)
    n_second = metrics.by_class(other_right, truth, first.aligned.n_true)[1]
    counts = zip(first.aligned.classes, n_first.tolist(), n_second.tolist(), n_rows.tolist(), strict=False)
    classes = [{"wnid": wnid, "first": a, "second": b, "n": n} for wnid, a, b, n in counts]
    gains = sorted((f for f in classes if f["second"] > f["first"]), key=lambda f: f["first"] - f["second"])
    losses = sorted((f for f in classes if f["second"] < f["first"]), key=lambda f: f["second"] - f["first"])
    both = int((right & other_right).sum())
    p = metrics.mcnemar(only_first, only_second)
    return Comparison(first.name, second.name, len(images), both, only_first, only_second, p, gains, losses)


# ---- tables


def _measure_table(models: Sequence[ModelScores]) -> Table:
    keys = [key for key in _KINDS if any(key in model.measures for model in models)]
    if len(models) == 1:
        rows: list[tuple[object, ...]] = []
        for key in keys:
            one = models[0].measures[key]
            rows.append((_KINDS[key].name, _shown(key, one), _interval(one), one.hits, one.n, one.convention))
        return "", ("measure", "value", "95 %", "hits", "of", "convention"), rows
    head = ("measure", *(model.name for model in models), "convention")
    rows = []
    for key in keys:
        cells = [_with_interval(key, model.measures.get(key)) for model in models]
        rows.append((_KINDS[key].name, *cells, _KINDS[key].convention))
    return "", head, rows


def _percent(value: float) -> str:
    return f"{value:.3%}"


def _shown(key: str, measure: Measure) -> str:
    return _percent(measure.value) if _KINDS[key].is_share else f"{measure.value:.4f}"


def _interval(measure: Measure) -> str:
    return "" if measure.low is None or measure.high is None else f"{measure.low:.2%} to {measure.high:.2%}"


def _with_interval(key: str, measure: Measure | None) -> str:
    if measure is None:
        return ""
    interval = _interval(measure)
    return _shown(key, measure) + (f" ({interval})" if interval else "")


def _comparison_table(pair: Comparison) -> Table:
    p = f"p = {pair.p:.3g}" if pair.p > _LEAST_P else f"p < {_LEAST_P:g}"
    title = f"{pair.second} beside {pair.first}: McNemar's exact test over {count_of(pair.n, 'row')}: {p}"
    neither = pair.n - pair.both - pair.only_first - pair.only_second
    head = ("right", "rows")
    rows = [("both", pair.both), (f"only {pair.first}", pair.only_first), (f"only {pair.second}", pair.only_second)]
    return title, head, [*rows, ("neither", neither)]


def _name(wnid: str) -> str:
    return f"{wnid} {wordnet.synset(wnid).name}"


def _image_table(model: ModelScores) -> pa.Table:
    import pyarrow as pa

    aligned = model.aligned
    classes = np.array([*aligned.classes, None], object)  # -1: no class
    n = len(aligned.truth)
    real = np.full(n, None, object)
    first = aligned.top[:, 0] if aligned.is_sorted else np.full(n, -1)
    rows, valid = aligned.real
    if aligned.is_sorted and len(rows):
        real[rows] = metrics.set_hits(aligned.top[rows], valid, 1)
    nothing = np.full(n, None, object)
    is_class = first >= 0
    names = wordnet.names()[model.common[aligned.truth, first]].astype(object)
    costs = model.costs[aligned.truth, first].astype(object)
    columns = {
        "model": pa.array([model.name] * n),
        "image_id": pa.array(aligned.images, pa.string()),
        "wnid": pa.array(classes[aligned.truth], pa.string()),
        "predicted": pa.array(classes[first], pa.string()),
        "top1": pa.array(model.right if aligned.is_sorted else nothing, pa.bool_()),
        "top5": pa.array(
            metrics.hits(aligned.top, aligned.truth, 5) if "top5" in model.measures else nothing, pa.bool_()
        ),
        "real": pa.array(real, pa.bool_()),
        "confidence": pa.array(nothing if model.confidence is None else model.confidence, pa.float64()),
        "common_hypernym": pa.array(np.where(is_class, names, None), pa.string()),
        "cost": pa.array(np.where(is_class, costs, None), pa.uint8()),
    }
    return pa.table(columns)
