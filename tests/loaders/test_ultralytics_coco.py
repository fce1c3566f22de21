"""Loaders of COCO on a `coco` export: ids, class order, every box, and an evaluation of the truth against itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import faster_coco_eval
import numpy as np
import pytest
import supervision
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torchvision.datasets import CocoDetection

import imagenet_tools
from tests import drawn
from tests.loaders.truth import Export, Say, Truth

Boxes = dict[str, list[tuple[Any, ...]]]  # (wnid, x, y, w, h) by stem
SPLITS = pytest.mark.parametrize("split", ["train", "val"])


@pytest.fixture
def coco(export: Callable[[str, str], Export], chosen: str) -> Export:
    return export(chosen, "coco")


def file_of(coco: Export, split: str) -> str:
    return str(coco.root / "annotations" / f"instances_{split}.json")


def corners(image: Truth) -> list[tuple[str, float, float, float, float]]:
    """The boxes as (wnid, x, y, w, h) in pixels of the stored raster, in order."""
    width, height = image.size
    return sorted(
        (wnid, left * width, top * height, (right - left) * width, (bottom - top) * height)
        for wnid, left, top, right, bottom in image.boxes
    )


def hold(read: Boxes, truth: dict[str, Truth]) -> int:
    """Hold boxes by stem to the truth; gives how many there are."""
    for image_id, boxes in read.items():
        assert [box[0] for box in sorted(boxes)] == [box[0] for box in corners(truth[image_id])]
        for ours, theirs in zip(corners(truth[image_id]), sorted(boxes), strict=True):
            assert ours[1:] == pytest.approx(theirs[1:], abs=1e-4), image_id
    return sum(map(len, read.values()))


@pytest.mark.parametrize(
    "loader",
    [
        pytest.param(COCO, marks=pytest.mark.proof(target="coco", loader="pycocotools COCO")),
        pytest.param(faster_coco_eval.COCO, marks=pytest.mark.proof(target="coco", loader="faster-coco-eval COCO")),
    ],
)
@SPLITS
def test_every_image_every_box_and_the_order_of_classes(
    coco: Export, truth: dict[str, Truth], split: str, loader: Any, say: Say
) -> None:
    found = loader(file_of(coco, split))
    categories = found.loadCats(found.getCatIds())
    assert [one["id"] - 1 for one in categories] == [one["index"] for one in coco.classes]
    assert [(one["wnid"], one["name"]) for one in categories] == [(one["wnid"], one["display"]) for one in coco.classes]
    read: Boxes = {}
    for image in found.loadImgs(found.getImgIds()):
        boxes = found.loadAnns(found.getAnnIds(imgIds=[image["id"]]))
        stem = Path(image["file_name"]).stem
        read[stem] = [(categories[one["category_id"] - 1]["wnid"], *one["bbox"]) for one in boxes]
        assert (image["width"], image["height"]) == truth[stem].size
    assert set(read) == coco.expect(truth, f"images/{split}", split, boxed=True, listed=True)
    say(f"{split} {len(read)} images, {hold(read, truth)} boxes")


@pytest.mark.proof(target="coco", loader="pycocotools COCOeval")
@SPLITS
def test_the_truth_scores_one_against_itself(coco: Export, split: str, say: Say) -> None:
    found = COCO(file_of(coco, split))
    scored = COCOeval(found, found.loadRes(perfect(file_of(coco, split))), "bbox")
    scored.evaluate()
    scored.accumulate()
    scored.summarize()
    assert scored.stats[0] == pytest.approx(1)
    say(f"{split} AP {scored.stats[0]:.3f}")


@pytest.mark.proof(target="coco", loader="pycocotools COCO, COCO's own ids")
def test_imagenet_s_boxes_have_coco_s_ids_and_names(index: Any, tmp_path: Path, say: Say) -> None:
    chosen = index.select(superclasses="coco80", boxed=True)
    imagenet_tools.export(chosen, tmp_path / "x", to="coco", names="listed")
    found = COCO(str(tmp_path / "x" / "annotations" / "instances_train.json"))
    # As detectron2 and torchvision's references number them: by the order of the ids.
    names = [one["name"] for one in found.loadCats(sorted(found.getCatIds()))]
    assert len(names) == 80 and names[:2] == ["person", "bicycle"] and names[-1] == "toothbrush"
    assert (found.getCatIds(catNms=["dog"]), found.getCatIds(catNms=["stop sign"])) == ([18], [13])
    dogs = found.loadImgs(found.getImgIds(catIds=[18]))
    under = "wnid IN (SELECT descendant FROM closure WHERE ancestor = 'n02084071')"
    boxed = f"SELECT image_id FROM images WHERE split = 'train' AND n_boxes > 0 AND {under}"
    assert {Path(one["file_name"]).stem for one in dogs} == {name for (name,) in index.sql(boxed).fetchall()}
    scored = COCOeval(
        found, found.loadRes(perfect(str(tmp_path / "x" / "annotations" / "instances_train.json"))), "bbox"
    )
    scored.evaluate()
    scored.accumulate()
    scored.summarize()
    assert scored.stats[0] == pytest.approx(1)
    say(f"80 categories, {len(dogs)} images of dogs, AP {scored.stats[0]:.3f}")


@pytest.mark.proof(target="coco", loader="faster-coco-eval COCOeval, LVIS")
def test_objects_of_classes_that_nobody_looked_for_are_not_held_against_a_detector(coco: Export, say: Say) -> None:
    file = file_of(coco, "train")
    found = faster_coco_eval.COCO(file)
    perhaps_true = [
        one | {"category_id": one["category_id"] % len(coco.classes) + 1} for one in perfect(file)
    ]  # of another class, in images where that class was not looked for
    scores = {}
    for lvis in (False, True):
        scored = faster_coco_eval.COCOeval_faster(
            found, found.loadRes(perfect(file) + perhaps_true), "bbox", lvis_style=lvis
        )
        scored.run()
        scores[lvis] = scored.stats[0]
    assert scores[False] < 0.9
    assert scores[True] == pytest.approx(1)
    say(f"AP {scores[True]:.3f}, not {scores[False]:.3f}")


@pytest.mark.proof(target="coco", loader="evaluate, beside pycocotools and faster-coco-eval")
@SPLITS
def test_evaluate_gives_the_figures_of_both_libraries(coco: Export, split: str, tmp_path: Path, say: Say) -> None:
    file = file_of(coco, split)
    rng = np.random.default_rng(0)
    results = []
    for one in perfect(file) * 3:  # boxes near the true ones, some of another class, with scores that are often equal
        box = (np.array(one["bbox"]) * rng.normal(1, 0.1, 4)).tolist()
        category = one["category_id"] if rng.random() < 0.8 else int(rng.integers(1, len(coco.classes) + 1))
        results.append(one | {"bbox": box, "category_id": category, "score": int(rng.integers(1, 9)) / 8})
    (tmp_path / "results.json").write_text(json.dumps(results))
    [model] = imagenet_tools.evaluate(tmp_path / "results.json", boxes=file).detections
    keys = {0: "coco_map", 1: "coco_map_50", 2: "coco_map_75", 3: "coco_map_small", 4: "coco_map_medium",
            5: "coco_map_large", 8: "coco_ar_100"}  # fmt: skip
    found = COCO(file)
    scored = COCOeval(found, found.loadRes(results), "bbox")
    scored.evaluate()
    scored.accumulate()
    scored.summarize()
    faster = faster_coco_eval.COCO(file)
    also = faster_coco_eval.COCOeval_faster(faster, faster.loadRes(results), "bbox")
    also.run()
    for place, key in keys.items():
        expected = -1 if key not in model.measures else model.measures[key].value
        assert expected == scored.stats[place] == pytest.approx(also.stats[place], abs=1e-12), key
    assert 0.05 < scored.stats[0] < 0.95
    say(f"{split} AP {scored.stats[0]:.4f}")


@pytest.mark.proof(target="coco", loader="torchvision CocoDetection")
@SPLITS
def test_the_drawings_are_in_the_boxes_of_the_picture_it_loads(
    coco: Export, truth: dict[str, Truth], split: str, say: Say
) -> None:
    found = CocoDetection(str(coco.root / "images" / split), file_of(coco, split))
    n = 0
    for number, image_id in enumerate(found.ids):
        stem = Path(found.coco.loadImgs(image_id)[0]["file_name"]).stem
        if truth[stem].problem is not None:
            continue
        image, boxes = found[number]
        assert image.size == truth[stem].size
        width, height = image.size
        edges = [(x / width, y / height, (x + w) / width, (y + h) / height) for x, y, w, h in map(corner, boxes)]
        assert drawn.lies_in(image, edges), stem
        n += 1
    assert n > 0
    say(f"{split} {n} images")


def corner(box: dict[str, Any]) -> tuple[float, float, float, float]:
    x, y, w, h = box["bbox"]
    return x, y, w, h


@pytest.mark.proof(target="coco", loader="supervision from_coco")
@SPLITS
def test_supervision_has_the_classes_in_order_and_every_box(
    coco: Export, truth: dict[str, Truth], split: str, say: Say
) -> None:
    found = supervision.DetectionDataset.from_coco(str(coco.root / "images" / split), file_of(coco, split))
    assert found.classes == [one["display"] for one in coco.classes]
    read: Boxes = {}
    for path, boxes in found.annotations.items():
        edges = [(x1, y1, x2 - x1, y2 - y1) for x1, y1, x2, y2 in boxes.xyxy.tolist()]
        wnids = [coco.classes[index]["wnid"] for index in boxes.class_id.tolist()]
        read[Path(path).stem] = [(wnid, *box) for wnid, box in zip(wnids, edges, strict=True)]
    assert set(read) == coco.expect(truth, f"images/{split}", split, boxed=True, listed=True)
    say(f"{split} {hold(read, truth)} boxes")


@pytest.mark.proof(target="coco", loader="check --with-loader")
def test_check_with_the_loader_finds_nothing(coco: Export) -> None:
    [checked] = imagenet_tools.check(coco.root, with_loader=True)
    assert [one for one in checked.findings if one.code != "W301"] == []
    assert checked.loader.startswith("pycocotools")


def perfect(file: str) -> list[dict[str, Any]]:
    """The boxes of a file as detections without a doubt."""
    annotations = json.loads(Path(file).read_text())["annotations"]
    return [{key: one[key] for key in ("image_id", "category_id", "bbox")} | {"score": 1.0} for one in annotations]
