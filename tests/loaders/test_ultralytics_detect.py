"""Ultralytics' detection loader on a `yolo` export: counts, class order, every box, and an epoch of training."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image
from ultralytics import YOLO
from ultralytics.data.dataset import YOLODataset
from ultralytics.data.utils import check_det_dataset
from ultralytics.nn.autobackend import check_class_names

from tests import drawn
from tests.loaders.truth import Export, Say, Truth

# EXIF orientation -> where a point (x, y) of the stored raster, 0 to 1, stands in the picture that is shown.
SHOWN: dict[int, Callable[[float, float], tuple[float, float]]] = {
    1: lambda x, y: (x, y),
    2: lambda x, y: (1 - x, y),
    3: lambda x, y: (1 - x, 1 - y),
    4: lambda x, y: (x, 1 - y),
    5: lambda x, y: (y, x),
    6: lambda x, y: (1 - y, x),
    7: lambda x, y: (1 - y, 1 - x),
    8: lambda x, y: (y, 1 - x),
}


def shown(image: Truth) -> list[tuple[str, float, float, float, float]]:
    """The boxes as (wnid, centre x, centre y, width, height) of the picture that is shown, 0 to 1, in order."""
    turn = SHOWN[image.orientation]
    boxes = []
    for wnid, left, top, right, bottom in image.boxes:
        (x0, y0), (x1, y1) = turn(left, top), turn(right, bottom)
        boxes.append((wnid, (x0 + x1) / 2, (y0 + y1) / 2, abs(x1 - x0), abs(y1 - y0)))
    return sorted(boxes)


@pytest.fixture
def yolo(export: Callable[[str, str], Export], chosen: str) -> Export:
    return export(chosen, "yolo")


def loaded(yolo: Export, split: str) -> YOLODataset:
    """The split as the trainer's own data set class reads it, without augmentation."""
    data = check_det_dataset(yolo.root / "data.yaml")
    return YOLODataset(img_path=data[split], data=data, task="detect", imgsz=128, augment=False)


@pytest.mark.proof(target="yolo", loader="ultralytics check_det_dataset")
def test_the_yaml_gives_the_classes_in_the_order_of_wnids(yolo: Export, say: Say) -> None:
    data = check_det_dataset(yolo.root / "data.yaml")
    written = yaml.safe_load((yolo.root / "data.yaml").read_text())["names"]
    assert [one["wnid"] for one in yolo.classes] == sorted(yolo.wnids)
    assert data["nc"] == len(yolo.wnids)
    assert data["names"] == check_class_names(written)
    for one, name in zip(yolo.classes, check_class_names(written).values(), strict=True):
        known = [one[key] for key in ("wnid", "name", "display", "folder")] + one["lemmas"]
        assert name in known or written[one["index"]] in known
    assert len(set(data["names"].values())) == data["nc"]
    assert {split: Path(data[split]) for split in ("train", "val")} == {
        split: yolo.root.resolve() / "images" / split for split in ("train", "val")
    }
    say(f"{data['nc']} classes")


@pytest.mark.proof(target="yolo", loader="ultralytics YOLODataset")
@pytest.mark.parametrize("split", ["train", "val"])
def test_every_image_and_every_box_is_read(yolo: Export, truth: dict[str, Truth], split: str, say: Say) -> None:
    before = yolo.bytes_by_id(f"images/{split}")
    expected = yolo.expect(truth, f"images/{split}", split, boxed=True)
    labels = {Path(label["im_file"]).stem: label for label in loaded(yolo, split).labels}
    assert set(labels) == expected, "images were dropped as corrupt, or are read from elsewhere"
    assert yolo.bytes_by_id(f"images/{split}") == before, "the loader wrote images anew"
    n_boxes = 0
    for image_id, label in labels.items():
        image = truth[image_id]
        turned = image.orientation >= 5
        assert label["shape"] == (image.size if turned else image.size[::-1])
        read = sorted(
            (yolo.classes[int(index)]["wnid"], *box)
            for index, box in zip(label["cls"][:, 0], label["bboxes"].tolist(), strict=True)
        )
        assert [box[0] for box in read] == [box[0] for box in shown(image)]
        for ours, theirs in zip(shown(image), read, strict=True):
            assert ours[1:] == pytest.approx(theirs[1:], abs=1e-6), image_id
        n_boxes += len(read)
    say(f"{split} {len(labels)} images, {n_boxes} boxes")


@pytest.mark.proof(target="yolo", loader="ultralytics YOLODataset")
@pytest.mark.parametrize("split", ["train", "val"])
def test_the_drawings_are_in_the_boxes_of_the_picture_it_loads(yolo: Export, split: str) -> None:
    dataset = loaded(yolo, split)
    for i, label in enumerate(dataset.labels):
        blue_first = dataset.load_image(i)[0]
        boxes = [(x - w / 2, y - h / 2, x + w / 2, y + h / 2) for x, y, w, h in label["bboxes"].tolist()]
        assert drawn.lies_in(Image.fromarray(blue_first[..., ::-1].copy()), boxes), label["im_file"]


@pytest.mark.proof(target="yolo", loader="ultralytics YOLO, an epoch")
@pytest.mark.parametrize("model_name", ["yolo26n", "yolo11n"])
def test_a_detector_trains_an_epoch(
    model_name: str,
    export: Callable[[str, str], Export],
    truth: dict[str, Truth],
    tmp_path: Path,
    training: dict[str, Any],
    say: Say,
) -> None:
    yolo = export("dogs", "yolo")
    expected = {split: yolo.expect(truth, f"images/{split}", split, boxed=True) for split in ("train", "val")}
    model = YOLO(f"{model_name}.yaml")
    model.train(data=str(yolo.root / "data.yaml"), project=str(tmp_path), **training)
    loaders = {"train": model.trainer.train_loader, "val": model.trainer.test_loader}
    seen = {split: {Path(file).stem for file in loader.dataset.im_files} for split, loader in loaders.items()}
    assert seen == expected
    classes = Counter(int(i) for label in model.trainer.train_loader.dataset.labels for i in label["cls"][:, 0])
    assert sorted(classes) == list(range(len(yolo.wnids)))
    assert model.trainer.epoch == 0
    loss = sum(float(part) for part in model.trainer.tloss.values())
    assert math.isfinite(loss)
    assert (model.trainer.save_dir / "weights" / "last.pt").is_file()
    say(f"{model_name}: 1 epoch on {len(seen['train'])} images, loss {loss:.2f}")
