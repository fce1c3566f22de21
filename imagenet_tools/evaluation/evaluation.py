"""Score predictions against every truth that applies, and compare models; each figure says which convention it follows.

The result is an Evaluation: tables for people, facts for --json, and a row an image for Parquet.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from imagenet_tools.catalogue import lists as published_lists
from imagenet_tools.errors import UsageError
from imagenet_tools.evaluation import detections, metrics
from imagenet_tools.evaluation import truths as truth_files
from imagenet_tools.evaluation.alignment import ROWS, align
from imagenet_tools.evaluation.box_scores import DetectionScores, detection_scores, localisation
from imagenet_tools.evaluation.class_lists import by_list, masked
from imagenet_tools.evaluation.corruptions import CONVENTION, Condition, CorruptionErrors, divided
from imagenet_tools.evaluation.files import distinct_names, read_all, read_rows
from imagenet_tools.evaluation.metrics import Measure, of_rows
from imagenet_tools.evaluation.outputs import rank_among
from imagenet_tools.evaluation.scores import N_SHOWN, ModelScores, scores_of
from imagenet_tools.text import count_of, html_of
from imagenet_tools.wordnet import wordnet
from imagenet_tools.wordnet.wnid import is_wnid

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import pyarrow as pa

    from imagenet_tools.evaluation.alignment import Alignment
    from imagenet_tools.evaluation.detections import TrueBoxes
    from imagenet_tools.evaluation.files import Predictions, RowList
    from imagenet_tools.evaluation.metrics import Ints

    # Returns the true boxes; of those of several data sets, those of one.
    BoxReader = Callable[[str], TrueBoxes]

    Table = tuple[str, Sequence[str], Sequence[Sequence[object]]]  # title, head, rows

_CORRUPTIONS_HEAD = ("corruption", "error", "of AlexNet's", "relative")
_LEAST_P = 1e-300  # smaller ones are 0 in arithmetic

# Measures that all models have come first, in this order.
_ORDER = ("top1", "masked_top1", "top5", "class_mean")
_INTERVALS = "95 %: Clopper-Pearson for shares of rows, else percentiles of 1,000 bootstrap resamples of the rows"
_COST = "cost: the height of the lowest common hypernym in WordNet, as in ILSVRC2010's cost_matrix; 0 for the label"


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
    corruptions: tuple[CorruptionErrors, ...] = ()  # of the models on ImageNet-C, which are not in `models`
    detections: tuple[DetectionScores, ...] = ()  # of detectors, which are not in `models` either

    def __repr__(self) -> str:
        parts = []
        for model in self.models:
            shown = [f"{m.name} {m.value:.2%}" for key in ("top1", "top5") if (m := model.measures.get(key))]
            parts.append(f"{model.name}: {', '.join(shown) or 'no classes that are best first'}")
        for one in self.corruptions:
            error = "not complete" if one.mce is None else f"{one.mce:.2%}"
            parts.append(f"{one.model}: mean corruption error {error}")
        for detector in self.detections:
            measures = detector.measures.values()
            parts.append(f"{detector.name}: {', '.join(f'{m.name} {m.value:.2%}' for m in list(measures)[:2])}")
        return f"Evaluation: {'; '.join(parts)}"

    def _repr_html_(self) -> str:
        """Return the measures and the comparisons, for notebooks."""
        tables = [*self._measure_tables(), *map(_comparison_table, self.comparisons)]
        titles = [title for title, _, _ in tables if title]
        return html_of(repr(self), *((head, rows) for _, head, rows in tables), notes=[*titles, *self.notes()])

    def notes(self) -> list[str]:
        """Return how the rows and labels of each file were read, and what to know of it."""
        lines = []
        for model in self.models:
            aligned = model.aligned
            lines += [f"{model.name}: {text}" for text in (aligned.about, *aligned.evidence, *aligned.notes)]
        lines += [f"{detector.name}: {text}" for detector in self.detections for text in detector.notes]
        return [*lines, _COST, _INTERVALS] if self.models else lines

    def _measure_tables(self) -> Iterator[Table]:
        if self.models:
            yield _measure_table(self.models)
        if self.detections:
            yield _measure_table(self.detections)
        for one in self.corruptions:
            yield f"{one.model} on ImageNet-C: {CONVENTION}", _CORRUPTIONS_HEAD, one.rows()

    def tables(self) -> Iterator[Table]:
        """Yield the tables for people, each with a title, its head and its rows."""
        yield from self._measure_tables()
        for model in self.models:
            if not model.has_hierarchy:
                continue
            title = f"{model.name}: "
            depths = [(f["depth"], _percent(f["value"]), f["hits"]) for f in model.by_depth()[1:]]
            yield title + "right up to a hypernym of a depth (entity.n.01: 0)", ("depth", "right", "rows"), depths
            mistakes = int((~model.right).sum())
            common = [
                (wordnet.synset(f["wnid"]).name, f["n"], _percent(f["n"] / mistakes))
                for f in model.by_common_hypernym()[:N_SHOWN]
            ]
            yield title + "mistakes by lowest common hypernym", ("hypernym", "mistakes", "share"), common
            pairs = [(_name(f["wnid"]), _name(f["predicted"]), f["n"]) for f in model.confusions()[:N_SHOWN]]
            yield title + "classes most confused", ("label", "predicted", "rows"), pairs
        for detector in self.detections:
            classes = sorted(detector.classes, key=lambda facts: facts["ap"])[:N_SHOWN]
            worst = [(_name(f["class"]), _percent(f["ap"]), f["n"], f["detections"]) for f in classes]
            yield f"{detector.name}: classes with the least AP", ("class", "AP", "boxes", "detections"), worst
        for pair in self.comparisons:
            yield _comparison_table(pair)
            for word, classes in (("gains", pair.gains), ("loses", pair.losses)):
                rows: list[tuple[object, ...]] = [
                    (_name(f["wnid"]), f["first"], f["second"], f["n"]) for f in classes[:N_SHOWN]
                ]
                yield f"{pair.second} {word} in these classes", ("class", pair.first, pair.second, "rows"), rows

    def facts(self) -> dict[str, Any]:
        """Return everything as plain values."""
        return {
            "models": [model.facts() for model in self.models],
            "comparisons": [pair._asdict() for pair in self.comparisons],
            "corruptions": [one.facts() for one in self.corruptions],
            "detections": [one.facts() for one in self.detections],
        }

    def table(self) -> pa.Table:
        """Return a row for each model and image; image_id joins the table images of an index."""
        import pyarrow as pa

        if not self.models:
            raise UsageError("Found no classes of images for -o, but ImageNet-C or detections. Leave -o out.")
        return pa.concat_tables([model.image_table() for model in self.models])


def evaluate(
    paths: Sequence[Path],
    *,
    rows: str | Path | None = None,
    space: str | None = None,
    truths: Sequence[Path] = (),
    class_lists: Sequence[str] = (),
    unknown: Path | None = None,
    boxes: BoxReader | None = None,
    blacklist: Path | None = None,
) -> Evaluation:
    """Score files of predictions; see imagenet_tools.evaluate."""
    if detectors := _of_detectors(paths, boxes, rows, blacklist, space):
        if truths or class_lists or unknown is not None:
            raise UsageError(f"{detectors[0].name}: found detections. Leave --truth, --classes and --unknown out.")
        return Evaluation((), detections=detectors)
    label_files = [truth_files.read(path) for path in truths]
    predictions, lists = _read(paths)
    true = None if boxes is None else _true_boxes(predictions, boxes)
    order = None if rows is None else _read_order(rows)
    models: list[ModelScores] = []
    errors: dict[str, dict[Condition, float]] = {}
    for one, name, condition in divided(predictions):
        aligned = align(one, lists, rows=order, space=space)
        if condition is not None:
            if not aligned.is_sorted:
                raise UsageError(f"{one.name}: its classes are not best first. Expected the best class, or scores.")
            wrong = metrics.hits(aligned.top, aligned.truth, 1) == np.False_
            errors.setdefault(name, {})[condition] = float(wrong.mean())
            continue
        model = scores_of(one, aligned)
        model.measures.update(masked(one, aligned))
        if true is not None:
            model.measures.update(localisation(one, aligned, true))
        for figures in (
            *(by_list(text, one, aligned) for text in class_lists),
            *(labels.measures(aligned) for labels in label_files),
        ):
            _add(model.measures, dict(figures))
        if unknown is not None:
            model.measures.update(_out_of_distribution(one, aligned, unknown))
        models.append(model)
    ranked = [model for model in models if "top1" in model.measures]
    pairs = (_compared(ranked[0], other) for other in ranked[1:])
    corruptions = tuple(
        CorruptionErrors(name, found, _clean_error(name, ranked, is_alone=len(errors) == 1))
        for name, found in errors.items()
    )
    return Evaluation(tuple(models), tuple(pair for pair in pairs if pair.n), corruptions)


def _add(measures: dict[str, Measure], more: dict[str, Measure]) -> None:
    """Add figures that are named after a file or a list; UsageError if two have one name."""
    for key, measure in more.items():
        if measures.setdefault(key, measure) is not measure:
            problem = f"two figures would be called {measure.name!r}"
            raise UsageError(f"--truth, --classes: {problem}. Give the files different names.")


def _clean_error(name: str, models: Sequence[ModelScores], *, is_alone: bool) -> float | None:
    """Return the error of a model of ImageNet-C on the validation images: of its name, or of the only file of them."""
    clean = [model for model in models if len(model.aligned.real[0])]
    named = [model for model in clean if Path(model.name).stem == Path(name).stem]
    chosen = named or (clean if is_alone and len(clean) == 1 else [])
    return 1 - chosen[0].measures["top1"].value if chosen else None


def _of_detectors(
    paths: Sequence[Path],
    boxes: BoxReader | None,
    rows: str | Path | None,
    blacklist: Path | None,
    space: str | None,
) -> tuple[DetectionScores, ...]:
    """Return the scores of files of detections; () if the files are of classes of images."""
    named = zip(paths, distinct_names(paths), strict=True)
    files = [file for path, name in named if (file := detections.read(path, name)) is not None]
    if not files:
        if blacklist is not None:
            raise UsageError(f"--blacklist {blacklist}: it is for detections, and found none. Leave it out.")
        return ()
    if len(files) < len(paths):
        raise UsageError(f"{files[0].name}: found classes of images beside its detections. Expected files of one kind.")
    if boxes is None:
        raise UsageError(
            f"{files[0].name}: found detections, and no true boxes. Name an index, an export, or a file of COCO's "
            "instances that has them: --boxes PATH."
        )
    true = boxes("ilsvrc-det")
    listed = None if rows is None else detections.read_list(Path(rows))
    pairs = () if blacklist is None else detections.read_pairs(blacklist)
    return tuple(
        detection_scores(file.name, detections.placed(file, true, listed=listed, blacklist=pairs, space=space))
        for file in files
    )


def _read(paths: Sequence[Path]) -> tuple[list[Predictions], list[RowList]]:
    """Return the predictions and the lists of rows; each list must be of the rows of a file."""
    predictions, lists = read_all(paths)
    unnamed = {len(one) for one in predictions if one.images is None}
    for listed in lists:
        if len(listed.images) not in unnamed:
            message = f"{listed.name} lists {count_of(len(listed.images), 'image')}, and no other file has as many rows"
            raise UsageError(f"{message} without names. Expected a list of the rows of a file, or leave it out.")
    return predictions, lists


def _true_boxes(predictions: Sequence[Predictions], boxes: BoxReader) -> TrueBoxes:
    without = [one.name for one in predictions if one.boxes is None]
    if without:
        raise UsageError(
            f"{without[0]}: found no predicted boxes to score by --boxes. Expected a box for each class, or "
            "detections; else leave --boxes out."
        )
    return boxes("ilsvrc2012")


def _read_order(rows: str | Path) -> str | RowList:
    if str(rows) in ROWS:
        return str(rows)
    if not Path(rows).is_file():
        raise UsageError(f"--rows {rows}: expected {' or '.join(ROWS)}, or a file that lists the images.")
    return read_rows(Path(rows))


def _out_of_distribution(predictions: Predictions, aligned: Alignment, path: Path) -> Iterator[tuple[str, Measure]]:
    """Yield how well the confidence tells images of no class from the images of one's classes.

    ImageNet-O's authors score the softmax over its 200 classes, for its images and the validation images of these
    classes. The images of no class are the positive ones.
    """
    (other, *more), _ = read_all([path])
    if (
        more
        or other.outputs is None
        or predictions.outputs is None
        or other.outputs.shape[1] != predictions.outputs.shape[1]
    ):
        raise UsageError(f"{path}: expected one file of outputs of as many classes as {predictions.name} has.")
    wnids = published_lists.get("imagenet-o").wnids
    columns = aligned.columns_of(wnids, predictions.outputs.shape[1])
    is_class = np.isin(np.array(aligned.classes, object), np.array(wnids, object))[aligned.truth]
    if (columns < 0).any() or not is_class.any():
        raise UsageError(
            f"{predictions.name}: expected outputs and images of the 200 classes of imagenet-o, to compare with."
        )
    rows = aligned.rows[is_class]
    known = rank_among(predictions.outputs, rows, columns, are_logits=predictions.norms is not None)[1]
    unknown = rank_among(other.outputs, np.arange(len(other)), columns, are_logits=other.norms is not None)[1]
    scores = -np.concatenate([known, unknown])
    positive = np.arange(len(scores)) >= len(known)
    convention = (
        "average precision of -max softmax over the 200 classes of imagenet-o, as its authors; "
        f"{len(unknown):,} images of no class (positive), {len(known):,} of these classes"
    )
    value = metrics.average_precision(scores, positive)

    def resampled(drawn: Ints) -> float:
        rows = np.repeat(np.arange(len(scores)), drawn)
        return metrics.average_precision(scores[rows], positive[rows])

    yield "aupr", Measure("AUPR", value, len(scores), convention, None, *of_rows(len(scores), resampled))


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


def _measure_table(models: Sequence[ModelScores] | Sequence[DetectionScores]) -> Table:
    known = {key: measure for model in models for key, measure in model.measures.items()}
    keys = sorted(known, key=lambda key: _ORDER.index(key) if key in _ORDER else len(_ORDER))
    if len(models) == 1:
        rows: list[tuple[object, ...]] = [
            (one.name, one.value_text, one.interval_text, one.hits, one.n, one.convention)
            for one in map(models[0].measures.__getitem__, keys)
        ]
        return "", ("measure", "value", "95 %", "hits", "of", "convention"), rows
    head = ("measure", *(model.name for model in models), "convention")
    rows = []
    for key in keys:
        cells = [_with_interval(model.measures.get(key)) for model in models]
        rows.append((known[key].name, *cells, known[key].convention))
    return "", head, rows


def _percent(value: float) -> str:
    return f"{value:.3%}"


def _with_interval(measure: Measure | None) -> str:
    if measure is None:
        return ""
    interval = measure.interval_text
    return measure.value_text + (f" ({interval})" if interval else "")


def _comparison_table(pair: Comparison) -> Table:
    p = f"p = {pair.p:.3g}" if pair.p > _LEAST_P else f"p < {_LEAST_P:g}"
    title = f"{pair.second} beside {pair.first}: McNemar's exact test over {count_of(pair.n, 'row')}: {p}"
    neither = pair.n - pair.both - pair.only_first - pair.only_second
    head = ("right", "rows")
    rows = [("both", pair.both), (f"only {pair.first}", pair.only_first), (f"only {pair.second}", pair.only_second)]
    return title, head, [*rows, ("neither", neither)]


def _name(wnid: str) -> str:
    return f"{wnid} {wordnet.synset(wnid).name}" if is_wnid(wnid) else wnid  # else a folder of ObjectNet
