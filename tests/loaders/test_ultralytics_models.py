"""A training step of torchvision's and timm's models on every export that holds images; the page on Ultralytics."""

from __future__ import annotations

import io
import itertools
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pyarrow.parquet as pq
import pytest
import timm
import torch
import webdataset
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torchvision import models, transforms
from torchvision.datasets import CocoDetection, ImageFolder, VOCDetection

import imagenet_tools
from tests.loaders.folders import SOUND
from tests.loaders.truth import DOGS, Say, page_code

Samples = Iterable[tuple[Image.Image, int]]

N_IMAGES = 8
TENSOR = transforms.Compose([transforms.Resize((64, 64)), transforms.ToTensor()])


def folders(root: Path) -> Samples:
    return ImageFolder(str(root / "train"))


def coco(root: Path) -> Samples:
    found = CocoDetection(str(root / "images" / "train"), str(root / "annotations" / "instances_train.json"))
    return ((image, boxes[0]["category_id"] - 1) for image, boxes in found)


def voc(root: Path) -> Samples:
    names = [one["display"] for one in json.loads((root / "classes.json").read_text())["classes"]]
    found = VOCDetection(str(root), "2012", "train")
    return ((image, names.index(facts["annotation"]["object"][0]["name"])) for image, facts in found)


def yolo(root: Path) -> Samples:
    for path in sorted((root / "images" / "train").iterdir()):
        label = root / "labels" / "train" / f"{path.stem}.txt"
        yield Image.open(path), int(label.read_text().split()[0])


def shards(root: Path) -> Samples:
    paths = sorted(map(str, root.glob("train-*.tar")))
    return webdataset.WebDataset(paths, shardshuffle=False).decode("pil").to_tuple("jpg", "cls")


def parquet(root: Path) -> Samples:
    for path in sorted(root.glob("data/train-*.parquet")):
        for row in pq.read_table(path, columns=["image", "label"]).to_pylist():
            yield Image.open(io.BytesIO(row["image"]["bytes"])), row["label"]


def zipped(root: Path) -> Samples:
    with ZipFile(root / "train.zip") as archive:
        for line in (root / "train_map.txt").read_text().splitlines():
            name, label = line.split("\t")
            yield Image.open(io.BytesIO(archive.read(name))), int(label)


def edm(root: Path) -> Samples:
    with ZipFile(root / "train.zip") as archive:
        for name, label in json.loads(archive.read("dataset.json"))["labels"]:
            yield Image.open(io.BytesIO(archive.read(name))), label


# How each export is read; TensorFlow's and those of other libraries are in their groups.
READERS = {
    "image_folder": folders, "yolo_classify": folders, "coco": coco, "voc": voc, "yolo": yolo, "webdataset": shards,
    "hf_parquet": parquet, "zip": zipped, "edm": edm,
}  # fmt: skip


def step(model: torch.nn.Module, samples: Samples) -> tuple[float, float]:
    """The loss before and after steps of SGD on the first images of each class in turn."""
    by_class: dict[int, list[torch.Tensor]] = {}
    for image, label in samples:
        by_class.setdefault(label, []).append(TENSOR(image.convert("RGB")))
    assert sorted(by_class) == list(range(len(DOGS)))
    pairs: Iterator[tuple[torch.Tensor, int]] = ((one, label) for label, ones in by_class.items() for one in ones[:2])
    images, labels = zip(*itertools.islice(pairs, N_IMAGES), strict=True)
    batch, targets = torch.stack(images), torch.tensor(labels)
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    losses = []
    model.eval()  # without dropout, and with the running statistics of batch norm: the loss is of the weights alone
    for _ in range(3):
        loss = torch.nn.functional.cross_entropy(model(batch), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses[0], losses[-1]


@pytest.mark.proof(target="all that hold images", loader="torchvision, timm: training steps")
@pytest.mark.parametrize("target", READERS)
def test_models_take_steps_on_an_export(target: str, index: Any, tmp_path: Path, say: Say) -> None:
    imagenet_tools.export(index.select(under="dog", where=SOUND), tmp_path / "x", to=target)
    torch.manual_seed(0)
    for model in (models.resnet18(num_classes=5), timm.create_model("resnet18", num_classes=5)):
        first, last = step(model, READERS[target](tmp_path / "x"))
        assert last < first
    say(f"{target} {first:.2f} to {last:.2f}")


@pytest.mark.proof(target="no export", loader="torchvision, timm: training steps")
@pytest.mark.parametrize("name", ["alexnet", "vgg11", "resnet18", "timm vgg11", "timm resnet18"])
def test_models_take_steps_straight_from_the_archives(name: str, index: Any, say: Say) -> None:
    torch.manual_seed(0)
    source, _, model_name = name.rpartition(" ")
    make = timm.create_model if source else models.get_model
    first, last = step(make(model_name, num_classes=5), index.select(under="dog", where=SOUND).dataset("train"))
    assert last < first
    say(f"{name} {first:.3f} to {last:.3f}")


@pytest.mark.proof(target="image_folder", loader="docs: torchvision, pretrain and fine-tune")
def test_the_page_on_transfer_trains(index: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, say: Say) -> None:
    """Pretraining without the classes of the target, and a new last layer on five images of each of them."""
    monkeypatch.chdir(tmp_path)
    target = index.select(under="dog.n.01", where=SOUND, per_class={"train": 5})
    imagenet_tools.export(target, "target", to="image_folder")
    classes = sorted(path.name for path in Path("target/train").iterdir())
    Path("target.txt").write_text("\n".join(classes))
    pretraining = index.select(under="animal.n.01", where=SOUND, exclude="overlap:target.txt")
    imagenet_tools.export(pretraining, "pretrain", to="image_folder")
    assert not set(classes) & {path.name for path in Path("pretrain/train").iterdir()}
    torch.manual_seed(0)
    names: dict[str, Any] = {}
    exec(page_code("pretraining", "transfer"), names)
    assert len(names["target"]) == 25
    assert names["loss"] < 1.4  # guesses among 5 classes have log 5, 1.61
    say(f"{len(names['pretraining'].classes)} classes, then {len(classes)}: loss {names['loss']:.2f}")


@pytest.fixture
def at_the_page(index: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The exports of the page, in the current folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("YOLO_AUTOINSTALL", "false")
    for name, target in (("dogs-cls", "yolo_classify"), ("dogs-det", "yolo")):
        imagenet_tools.export(index.select(under="dog.n.01"), tmp_path / name, to=target, repair="eoi")
    return tmp_path


@pytest.mark.proof(target="yolo_classify", loader="docs: YOLO train, predict, evaluate")
@pytest.mark.parametrize("version", ["yolo11n", "yolo26n"])
def test_the_page_s_classifier_is_scored_by_its_texts(version: str, at_the_page: Path, index: Any, say: Say) -> None:
    exec(page_code("yolo11n-cls.yaml", "ultralytics").replace("yolo11n", version), {})
    labels = at_the_page / "val-predictions" / "labels"
    scores = imagenet_tools.evaluate(labels).models[0].measures
    wnids = dict(index.sql("SELECT image_id, wnid FROM images WHERE split = 'val'").fetchall())
    right = sum(
        path.read_text().split()[1] in imagenet_tools.synset(wnids[path.stem]).lemmas for path in labels.iterdir()
    )
    assert (scores["top1"].value, scores["top5"].value) == (right / 20, 1.0)
    say(f"{version}: {right} of 20 right by the texts, and by evaluate")


@pytest.mark.proof(target="yolo", loader="docs: YOLO train, val")
@pytest.mark.parametrize("version", ["yolo11n", "yolo26n"])
def test_the_page_s_detector_is_scored(
    version: str, at_the_page: Path, capsys: pytest.CaptureFixture[str], say: Say
) -> None:
    names: dict[str, Any] = {}
    exec(page_code("yolo11n.yaml", "ultralytics").replace("yolo11n", version), names)
    assert names["scores"].nt_per_class.sum() == 23
    say(f"{version}: mAP {names['scores'].box.map:.3f} of 23 boxes")


@pytest.mark.proof(target="yolo", loader="docs: YOLO predict and val, evaluate")
def test_the_page_s_detections_are_scored(at_the_page: Path, index: Any, say: Say) -> None:
    """Texts of predict, and the JSON of val, which pycocotools scores by an export of the same boxes to COCO."""
    names: dict[str, Any] = {}
    exec(page_code("yolo11n.yaml", "ultralytics"), names)
    detector = names["detector"]
    made = detector.val(data="dogs-det/data.yaml", imgsz=64, save_json=True, rect=False, max_det=20, conf=0.0001)
    exec(page_code("det-predictions", "ultralytics").replace("conf=0.001", "conf=0.0001, max_det=20"), names)
    texts = at_the_page / "det-predictions" / "labels"
    records = json.loads((Path(made.save_dir) / "predictions.json").read_text())
    # An untrained model gives all images the same scores. Their order would be that of the images, which differs.
    records = [one | {"score": one["score"] + n * 1e-9} for n, one in enumerate(records)]
    results = at_the_page / "results.json"
    results.write_text(json.dumps(records))
    [by_text] = imagenet_tools.evaluate(texts, boxes="dogs-det").detections
    [by_json] = imagenet_tools.evaluate(results, boxes="dogs-det").detections
    for model in (by_text, by_json):
        assert sum(facts["n"] for facts in model.classes) == 23
        assert sum(facts["detections"] for facts in model.classes) > 100
    n = sum(len(path.read_text().splitlines()) for path in texts.iterdir())
    assert sum(facts["detections"] for facts in by_text.classes) == n
    imagenet_tools.export(index.select(under="dog.n.01"), "dogs-coco", to="coco", repair="eoi")
    true = COCO("dogs-coco/annotations/instances_val.json")
    ids = {Path(image["file_name"]).stem: number for number, image in true.imgs.items()}
    scored = COCOeval(true, true.loadRes([one | {"image_id": ids[one["image_id"]]} for one in records]), "bbox")
    scored.evaluate()
    scored.accumulate()
    scored.summarize()
    found = [by_json.measures[key].value for key in ("coco_map", "coco_map_50", "coco_ar_100")]
    assert found == pytest.approx([scored.stats[place] for place in (0, 1, 8)], abs=0.001)
    say(f"{n} boxes of texts, {len(records)} of JSON: mAP50 {found[1]:.4f}")
