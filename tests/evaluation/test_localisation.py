"""The localisation error of ILSVRC equals the devkit's loops, from each form of predictions with boxes."""

import csv
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import imagenet_tools as imt
from imagenet_tools.catalogue import image_lists, labels
from imagenet_tools.evaluation import file_forms
from imagenet_tools.evaluation.detections import TrueBoxes
from imagenet_tools.evaluation.evaluation import evaluate
from tests.evaluation.predictions import IMAGES, TRUTH, WNIDS, top5

Box = tuple[float, ...]
Row = list[tuple[str, Box]]  # a class and a box, up to five times

BLACKLIST = set(image_lists.get("blacklist").images)
CHOSEN = list(dict.fromkeys([*IMAGES[:40], *sorted(BLACKLIST)[:20]]))


def true_boxes(boxes: Sequence[tuple[str, str, Box]]) -> TrueBoxes:
    """Return boxes of images: (stem, wnid, edges)."""
    images = list(dict.fromkeys(stem for stem, _, _ in boxes))
    n, edges = len(images), np.array([box for _, _, box in boxes], float)
    return TrueBoxes(
        "drawn",
        images=np.array(images, object),
        sizes=np.full((n, 2), 200.0),
        orientations=np.ones(n, np.int64),
        splits=np.full(n, "val", object),
        is_partial=np.ones(n, np.bool_),
        image_places=np.array([images.index(stem) for stem, _, _ in boxes], np.int64),
        classes=np.array([wnid for _, wnid, _ in boxes], object),
        edges=edges,
        areas=(edges[:, 2] - edges[:, 0]) * (edges[:, 3] - edges[:, 1]),
        crowds=np.zeros(len(boxes), np.bool_),
    )


def drawn(seed: int = 0) -> tuple[list[Row], list[tuple[str, str, Box]]]:
    """Return predictions for CHOSEN, and true boxes; some meet at an IoU of exactly 0.5."""
    rng = np.random.default_rng(seed)
    top = top5()
    rows, true = [], []
    for stem in CHOSEN:
        number = int(stem[-8:]) - 1
        wnid = WNIDS[TRUTH[number]]
        x, y = rng.integers(0, 20, 2).tolist()
        # 10 by 10 pixels, with both edges: a predicted box of 10 by 20 around it has an IoU of exactly 0.5.
        true += [(stem, wnid, (x, y, x + 9, y + 9)), (stem, wnid, (x + 50, y, x + 90, y + 30))]
        near = [(x, y, x + 9, y + 19), (x, y, x + 9, y + 20), (x + 48, y + 2, x + 92, y + 33), (0, 100, 5, 140)]
        row = [(WNIDS[c], near[int(rng.integers(len(near)))]) for c in top[number].tolist()]
        rows.append(row[: int(rng.integers(1, 6))])
    return rows, true


def errors(rows: Sequence[Row], true: Sequence[tuple[str, str, Box]]) -> list[bool]:
    """Return whether each row is wrong, by the loops of eval_clsloc.m and compute_overlap.m."""
    wrong = []
    for stem, row in zip(CHOSEN, rows, strict=True):
        label = labels.validation_wnid(stem)
        least = 1
        for wnid, (x1, y1, x2, y2) in row:
            for other, of, (u1, v1, u2, v2) in true:
                width, height = min(x2, u2) - max(x1, u1) + 1, min(y2, v2) - max(y1, v1) + 1
                if other == stem and of == wnid == label and width > 0 and height > 0:
                    area = (x2 - x1 + 1) * (y2 - y1 + 1) + (u2 - u1 + 1) * (v2 - v1 + 1) - width * height
                    least = min(least, int(width * height / area < 0.5))
        wrong.append(bool(least))
    return wrong


def kaggle(rows: Sequence[Row], path: Path) -> None:
    cells = [" ".join(f"{wnid} {' '.join(map(str, box))}" for wnid, box in row) for row in rows]
    path.write_text("ImageId,PredictionString\n" + "".join(map("{},{} \n".format, CHOSEN, cells)))


def columns(rows: Sequence[Row]) -> dict[str, list[Any]]:
    full = [(row + row[-1:] * 5)[:5] for row in rows]
    top, boxes = [[wnid for wnid, _ in row] for row in full], [[list(box) for _, box in row] for row in full]
    return {"image": CHOSEN, "pred_class": top, "pred_boxes": boxes}


def as_rows(rows: Sequence[Row]) -> list[dict[str, Any]]:
    lists = columns(rows)
    return [dict(zip(lists, values, strict=True)) for values in zip(*lists.values(), strict=True)]


def parquet(rows: Sequence[Row], path: Path) -> None:
    pq.write_table(pa.table(columns(rows)), path)


def json_lines(rows: Sequence[Row], path: Path) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in as_rows(rows)))


def json_list(rows: Sequence[Row], path: Path) -> None:
    path.write_text(json.dumps(as_rows(rows)))


@pytest.mark.parametrize("write", [kaggle, parquet, json_lines, json_list])
def test_the_error_is_that_of_the_devkits_loops(write: Callable[[Sequence[Row], Path], None], tmp_path: Path) -> None:
    rows, true = drawn()
    write(rows, tmp_path / "boxes.any")
    (model,) = evaluate([tmp_path / "boxes.any"], boxes=lambda _: true_boxes(true)).models
    wrong = errors(rows, true)
    measure, every = model.measures["localisation_error"], model.measures["localisation_error_all"]
    kept = [row for row, stem in zip(wrong, CHOSEN, strict=True) if stem not in BLACKLIST]
    assert (measure.hits, measure.n) == (sum(kept), len(kept))
    assert (every.hits, every.n) == (sum(wrong), len(CHOSEN))
    assert 0 < sum(kept) < sum(wrong) < len(CHOSEN)


def test_lines_of_the_devkit_have_one_to_five_classes_with_boxes(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("490 1 2 3 4 361 5 6 7.5 8\n171 0 0 9 9\n")
    found = file_forms.columns_of(tmp_path / "a.txt")
    assert found["label"].tolist() == [[490, 361], [171, 171]]
    assert found["boxes"].tolist() == [[[1, 2, 3, 4], [5, 6, 7.5, 8]], [[0, 0, 9, 9]] * 2]
    # Five classes of an image are no class with a box.
    (tmp_path / "b.txt").write_text("490 4 3 2 1\n171 9 8 7 6\n")
    assert len(file_forms.columns_of(tmp_path / "b.txt")) == 5
    (tmp_path / "c.csv").write_text(f"ImageId,PredictionString\n{IMAGES[0]},{WNIDS[0]} 1 2 3 4\n{IMAGES[1]},\n")
    with pytest.raises(imt.errors.UsageError, match=r"row 2 has 0 values; expected one to five times a class"):
        file_forms.columns_of(tmp_path / "c.csv")


def test_boxes_follow_their_classes_when_scores_sort_them(tmp_path: Path) -> None:
    rows, true = drawn()
    table = columns(rows)
    order = [4, 2, 0, 1, 3]
    for key in ("pred_class", "pred_boxes"):
        table[key] = [[row[n] for n in order] for row in table[key]]
    table["score"] = [[0.05, 0.15, 0.5, 0.2, 0.1]] * len(CHOSEN)
    pq.write_table(pa.table(table), tmp_path / "sorted.parquet")
    (model,) = evaluate([tmp_path / "sorted.parquet"], boxes=lambda _: true_boxes(true)).models
    assert model.measures["localisation_error_all"].hits == sum(errors(rows, true))


def test_refusals(tmp_path: Path) -> None:
    rows, true = drawn()
    kaggle(rows, tmp_path / "boxes.csv")
    others = [(f"ILSVRC2012_val_{n:08d}", wnid, box) for n, (_, wnid, box) in enumerate(true, 40_000)]
    with pytest.raises(imt.errors.UsageError, match="found no boxes of the images of boxes with their labels"):
        evaluate([tmp_path / "boxes.csv"], boxes=lambda _: true_boxes(others))
    np.save(tmp_path / "top.npy", top5())
    with pytest.raises(imt.errors.UsageError, match="found no predicted boxes"):
        evaluate([tmp_path / "top.npy"], boxes=lambda _: true_boxes(true))
    pq.write_table(pa.table(columns(rows) | {"pred_boxes": [[[1, 2, 3, 4]]] * len(CHOSEN)}), tmp_path / "few.parquet")
    with pytest.raises(imt.errors.UsageError, match="5 classes and 1 boxes a row"):
        evaluate([tmp_path / "few.parquet"])


@pytest.mark.long
def test_all_validation_images_with_kaggles_boxes(real: Path, tmp_path: Path) -> None:
    """VGG-16's classes with boxes near the true ones, in the devkit's form, beside the loops over the same boxes."""
    rng = np.random.default_rng(0)
    true: dict[str, Row] = {}
    with (real / "ilsvrc2012" / "LOC_val_solution.csv").open() as file:
        for row in csv.DictReader(file):
            cells = row["PredictionString"].split()
            groups = [cells[n : n + 5] for n in range(0, len(cells), 5)]
            true[row["ImageId"]] = [(wnid, tuple(map(float, box))) for wnid, *box in groups]
    vgg = np.load(real / "predictions" / "imagenetv2_authors.val.vgg16.npy")
    top = np.empty_like(vgg)
    top[np.argsort(TRUTH, kind="stable")] = vgg
    number_of = {wnid: number for number, wnid in enumerate(labels.ilsvrc2012_ids(), 1)}
    lines, wrong = [], np.ones(len(IMAGES), np.bool_)
    for n, stem in enumerate(IMAGES):
        cells = []
        for c in top[n].tolist():
            edges = np.array(true[stem][rng.integers(len(true[stem]))][1]) + rng.integers(-40, 41, 4)
            x1, y1, x2, y2 = (*np.minimum(edges[:2], edges[2:]), *np.maximum(edges[:2], edges[2:]))
            cells += [number_of[WNIDS[c]], *map(int, (x1, y1, x2, y2))]
            for wnid, (u1, v1, u2, v2) in true[stem]:
                width, height = min(x2, u2) - max(x1, u1) + 1, min(y2, v2) - max(y1, v1) + 1
                if wnid == WNIDS[c] and width > 0 and height > 0:
                    area = (x2 - x1 + 1) * (y2 - y1 + 1) + (u2 - u1 + 1) * (v2 - v1 + 1) - width * height
                    wrong[n] &= width * height / area < 0.5
        lines.append(" ".join(map(str, cells)) + "\n")
    (tmp_path / "vgg.txt").write_text("".join(lines))
    boxes = real / "ilsvrc2012" / "LOC_val_solution.csv"
    (model,) = imt.evaluate(tmp_path / "vgg.txt", boxes=boxes).models
    kept = ~np.isin(IMAGES, sorted(BLACKLIST))
    found = model.measures["localisation_error"], model.measures["localisation_error_all"]
    assert [(m.hits, m.n) for m in found] == [(wrong[kept].sum(), 48_238), (wrong.sum(), 50_000)]
