"""Write a report of an evaluation: one HTML page with tables, charts, and the images of the worst confusions."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from imagenet_tools.display import charts, page, pictures
from imagenet_tools.display.pictures import SheetRow
from imagenet_tools.selection import plots
from imagenet_tools.selection.show import tiles_of
from imagenet_tools.text import count_of
from imagenet_tools.wordnet import wordnet

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imagenet_tools.display.charts import Chart
    from imagenet_tools.evaluation.evaluation import Evaluation
    from imagenet_tools.evaluation.scores import ModelScores
    from imagenet_tools.selection.selection import Selection

_N_CONFUSIONS = 10  # with images
_N_IMAGES = 4  # of a confusion
_THUMBNAIL = (2 * pictures.TILE[0], 2 * pictures.TILE[1])  # pixels; a page shows them smaller, for sharp screens
_LARGE = ("top1", "masked_top1", "top5", "real_top1", "ece")


def evaluation_page(evaluation: Evaluation, images: Selection | None = None) -> bytes:
    """Return the report of an evaluation as one HTML page, which needs no other file.

    Args:
        evaluation: The scores.
        images: The images of an index, to show those of the worst confusions. Images are found by image_id.
    """
    names = [*(model.name for model in evaluation.models), *(one.model for one in evaluation.corruptions)]
    names += [detector.name for detector in evaluation.detections]
    parts = []
    for model in evaluation.models:
        large = {m.name: m.value_text for key in _LARGE if (m := model.measures.get(key))}
        parts.append(page.section(model.name, page.figures({**large, "images": len(model.aligned.truth)})))
    measures, *tables = [
        page.section(title or "Measures", page.table(head, rows)) for title, head, rows in evaluation.tables()
    ]
    parts.append(measures)
    for model in evaluation.models:
        drawn = list(_charts(model))
        parts.append(page.section(f"{model.name}: charts", page.chart_grid(drawn) if drawn else ""))
        if images is not None and model.has_hierarchy:
            rows_of_tiles = list(_confusions(model, images))
            shown = page.tile_rows(rows_of_tiles) or page.paragraph("The index has none of these images.")
            parts.append(page.section(f"{model.name}: images of the worst confusions", shown))
    parts += tables
    parts.append(page.section("How the files were read", *map(page.paragraph, evaluation.notes())))
    return page.document(f"Evaluation of {', '.join(names)}", parts)


def _charts(model: ModelScores) -> Iterator[Chart]:
    if not model.has_hierarchy:
        return
    classes = model.by_class()
    counts = {facts["wnid"]: facts["n"] for facts in classes}
    right = {facts["wnid"]: facts["top1"] for facts in classes}
    yield plots.tree_chart(counts, "images", right=right)
    shares = Counter(100 * facts["top1"] / facts["n"] for facts in classes)
    yield charts.histogram("Top-1 of the classes", " %", shares, of="classes", step=5)
    depths = [(f"depth {facts['depth']}", facts["hits"]) for facts in model.by_depth()]
    yield charts.bars("Images right up to a hypernym of a depth", "entity.n.01 has depth 0", depths)
    common = [(wordnet.synset(facts["wnid"]).name, facts["n"]) for facts in model.by_common_hypernym()[:20]]
    yield charts.bars("Mistakes by lowest common hypernym", "of the label and the best class", common)
    if model.confidence is not None:
        percents = Counter(np.floor(model.confidence[~model.right] * 100).tolist())
        yield charts.histogram("Confidence of the mistakes", " %", percents, of="images", step=5)


def _confusions(model: ModelScores, images: Selection) -> Iterator[SheetRow]:
    """Yield a row of images for each of the worst confusions that the index has images of."""
    aligned = model.aligned
    first = aligned.top[:, 0]
    wrong = np.flatnonzero(~model.right & (first >= 0))
    pairs: dict[tuple[str, str], list[str]] = {}
    for row in wrong.tolist():
        key = aligned.classes[aligned.truth[row]], aligned.classes[first[row]]
        pairs.setdefault(key, []).append(aligned.images[row])
    wanted = {}
    for (label, predicted), some in sorted(pairs.items(), key=lambda pair: (-len(pair[1]), pair[0])):
        heading = f"{wordnet.label_of(label)} {label}, predicted as {wordnet.label_of(predicted)} {predicted}"
        wanted[f"{heading}: {count_of(len(some), 'image')}"] = some
    for name, tiles in tiles_of(images, wanted, _N_IMAGES, n_groups=_N_CONFUSIONS, fit=_THUMBNAIL).items():
        yield SheetRow(name, tuple(tiles))
