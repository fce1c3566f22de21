"""Ultralytics' classification loader on a `yolo_classify` export: counts, class order, and an epoch of training."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ultralytics import YOLO
from ultralytics.cfg import get_cfg
from ultralytics.data.dataset import ClassificationDataset
from ultralytics.data.utils import check_cls_dataset

from tests.loaders.truth import Export, Say, Truth


@pytest.fixture
def classify(export: Callable[[str, str], Export], chosen: str) -> Export:
    return export(chosen, "yolo_classify")


@pytest.mark.proof(target="yolo_classify", loader="ultralytics check_cls_dataset")
def test_the_folders_give_the_classes_in_the_order_of_wnids(classify: Export, say: Say) -> None:
    data = check_cls_dataset(classify.root)
    assert [one["wnid"] for one in classify.classes] == sorted(classify.wnids)
    assert data["names"] == {one["index"]: one["folder"] for one in classify.classes}
    assert data["nc"] == len(classify.wnids)
    for split in ("train", "val"):
        assert data[split] == classify.root.resolve() / split
        assert sorted(folder.name for folder in data[split].iterdir()) == list(data["names"].values())
    say(f"{data['nc']} classes")


@pytest.mark.proof(target="yolo_classify", loader="ultralytics ClassificationDataset")
@pytest.mark.parametrize("split", ["train", "val"])
def test_every_image_is_read_under_its_class(classify: Export, truth: dict[str, Truth], split: str, say: Say) -> None:
    before = classify.bytes_by_id(split)
    expected = classify.expect(truth, split, split)
    data = check_cls_dataset(classify.root)
    dataset = ClassificationDataset(data[split], args=get_cfg(overrides={"imgsz": 64}), names=data["names"])
    read = {Path(file).stem: classify.classes[index]["wnid"] for file, index, *_ in dataset.samples}
    assert len(dataset) == len(read)
    assert set(read) == expected, "images were dropped as corrupt, or are read from elsewhere"
    assert read == {image_id: truth[image_id].wnid for image_id in expected}
    assert classify.bytes_by_id(split) == before, "the loader wrote images anew"
    for i in range(len(dataset)):
        assert tuple(dataset[i]["img"].shape) == (3, 64, 64)
    say(f"{split} {len(read)} images")


@pytest.mark.proof(target="yolo_classify", loader="ultralytics YOLO, an epoch")
@pytest.mark.parametrize("model_name", ["yolo26n", "yolo11n"])
def test_a_classifier_trains_an_epoch(
    model_name: str,
    export: Callable[[str, str], Export],
    truth: dict[str, Truth],
    tmp_path: Path,
    training: dict[str, Any],
    say: Say,
) -> None:
    classify = export("dogs", "yolo_classify")
    expected = {split: classify.expect(truth, split, split) for split in ("train", "val")}
    model = YOLO(f"{model_name}-cls.yaml")
    model.train(data=str(classify.root), project=str(tmp_path), **training)
    loaders = {"train": model.trainer.train_loader, "val": model.trainer.test_loader}
    seen = {split: {Path(sample[0]).stem for sample in loader.dataset.samples} for split, loader in loaders.items()}
    assert seen == expected
    assert model.trainer.epoch == 0
    loss = sum(float(part) for part in model.trainer.tloss.values())
    assert math.isfinite(loss)
    assert (model.trainer.save_dir / "weights" / "last.pt").is_file()
    say(f"{model_name}: 1 epoch on {len(seen['train'])} images, loss {loss:.2f}")
