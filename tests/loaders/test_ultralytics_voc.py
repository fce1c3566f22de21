"""Loaders of Pascal VOC on a `voc` export, and supervision on a `yolo` export: every image and every box."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import supervision
from torchvision.datasets import VOCDetection

import imagenet_tools
from tests.loaders.truth import Export, Say, Truth

SPLITS = pytest.mark.parametrize("split", ["train", "val"])


@pytest.fixture
def voc(export: Callable[[str, str], Export], chosen: str) -> Export:
    return export(chosen, "voc")


def pixels(image: Truth) -> list[tuple[str, float, float, float, float]]:
    """The boxes as (wnid, left, top, right, bottom) in pixels of the stored raster, in order."""
    width, height = image.size
    return sorted((wnid, x1 * width, y1 * height, x2 * width, y2 * height) for wnid, x1, y1, x2, y2 in image.boxes)


def hold(boxes: list[tuple[Any, ...]], image: Truth, stem: str) -> int:
    """Hold boxes to the truth, to which whole pixels are half a pixel near; gives how many there are."""
    assert [box[0] for box in sorted(boxes)] == [box[0] for box in pixels(image)], stem
    left = pixels(image)
    for box in sorted(boxes):
        nearest = min(left, key=lambda one: max(abs(a - b) for a, b in zip(one[1:], box[1:], strict=True)))
        assert nearest[1:] == pytest.approx(box[1:], abs=0.5 + 1e-6), stem
        left.remove(nearest)
    return len(boxes)


@pytest.mark.proof(target="voc", loader="torchvision VOCDetection")
@SPLITS
def test_every_image_opens_beside_its_boxes(voc: Export, truth: dict[str, Truth], split: str, say: Say) -> None:
    found = VOCDetection(str(voc.root), year="2012", image_set=split)
    wnid_of = {one["display"]: one["wnid"] for one in voc.classes}
    stems = [Path(path).stem for path in found.images]
    asked = {key for key, one in truth.items() if one.split == split and one.boxes and one.wnid in voc.wnids}
    sound = {stem for stem in asked if truth[stem].problem is None}
    assert sound <= set(stems) <= asked
    assert len(stems) == len(set(stems))
    n = 0
    for number, stem in enumerate(stems):
        assert Path(found.images[number]).read_bytes() == truth[stem].data
        if stem not in sound:
            continue
        image, target = found[number]
        said = target["annotation"]
        assert said["filename"] == f"{stem}.jpg"
        assert image.size == (int(said["size"]["width"]), int(said["size"]["height"])) == truth[stem].size
        boxes = [(wnid_of[one["name"]], one["bndbox"]) for one in said["object"]]
        edges = [(wnid, *(int(box[key]) for key in ("xmin", "ymin", "xmax", "ymax"))) for wnid, box in boxes]
        n += hold([(wnid, x1 - 1, y1 - 1, x2, y2) for wnid, x1, y1, x2, y2 in edges], truth[stem], stem)
    say(f"{split} {len(stems)} images, {n} boxes")


@pytest.mark.proof(target="voc", loader="torchvision VOCDetection")
def test_trainval_is_train_and_val(voc: Export) -> None:
    both, *parts = (
        VOCDetection(str(voc.root), year="2012", image_set=one).images for one in ("trainval", "train", "val")
    )
    assert both == parts[0] + parts[1]


@pytest.mark.proof(target="voc", loader="supervision from_pascal_voc")
def test_supervision_reads_every_box(voc: Export, truth: dict[str, Truth], say: Say) -> None:
    folder = voc.root / "VOCdevkit" / "VOC2012"
    found = supervision.DetectionDataset.from_pascal_voc(str(folder / "JPEGImages"), str(folder / "Annotations"))
    wnid_of = {one["display"]: one["wnid"] for one in voc.classes}
    assert set(found.classes) <= set(wnid_of)
    n = 0
    for path, boxes in found.annotations.items():
        wnids = [wnid_of[found.classes[index]] for index in boxes.class_id.tolist()]
        read = [(wnid, *box) for wnid, box in zip(wnids, boxes.xyxy.tolist(), strict=True)]
        n += hold(read, truth[Path(path).stem], Path(path).stem)
    assert len(found.annotations) == len(list((folder / "JPEGImages").iterdir()))
    say(f"{len(found.annotations)} images, {n} boxes")


@pytest.mark.proof(target="voc", loader="check --with-loader")
def test_check_with_the_loader_finds_nothing(voc: Export) -> None:
    [checked] = imagenet_tools.check(voc.root, with_loader=True)
    assert [one for one in checked.findings if one.code != "W301"] == []
    assert checked.loader.startswith("torchvision")


@pytest.mark.proof(target="yolo", loader="supervision from_yolo")
@SPLITS
def test_supervision_reads_every_box_of_yolo(
    export: Callable[[str, str], Export], chosen: str, truth: dict[str, Truth], split: str, say: Say
) -> None:
    yolo = export(chosen, "yolo")
    folders = [str(yolo.root / kind / split) for kind in ("images", "labels")]
    found = supervision.DetectionDataset.from_yolo(*folders, str(yolo.root / "data.yaml"))
    assert found.classes == [one["display"] for one in yolo.classes]
    n = 0
    for path, boxes in found.annotations.items():
        stem = Path(path).stem
        if truth[stem].orientation == 1:  # supervision reads sizes as stored, Ultralytics turns the image
            wnids = [yolo.classes[index]["wnid"] for index in boxes.class_id.tolist()]
            read = [(wnid, *box) for wnid, box in zip(wnids, boxes.xyxy.tolist(), strict=True)]
            n += hold(read, truth[stem], stem)
    assert n > 0
    say(f"{split} {len(found.annotations)} images, {n} boxes")
