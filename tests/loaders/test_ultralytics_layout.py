"""Class folders in a tree and without empty classes, as torchvision and timm read them; a val split for evaluation."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from timm.data.readers import create_reader
from torchvision.datasets import ImageFolder
from ultralytics import YOLO
from ultralytics.data.utils import check_det_dataset

import imagenet_tools
from imagenet_tools.errors import ExportError
from imagenet_tools.wordnet import wordnet
from tests.loaders.folders import SOUND
from tests.loaders.truth import DOGS, OTHERS, Say, Truth

CANINE, DOG, HUNTING_DOG = "n02083346", "n02084071", "n02087122"


@pytest.fixture(scope="module")
def nested(index: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tree") / "x"
    imagenet_tools.export(index.select(), root, to="image_folder", layout="tree")
    return root


def above(wnid: str) -> set[str]:
    """A synset and all above it, by NLTK's rule for every path."""
    return {wnid}.union(*(above(hypernym) for hypernym in wordnet.synset(wnid).hypernyms))


@pytest.mark.proof(target="image_folder", loader="torchvision ImageFolder")
@pytest.mark.parametrize("split", ["train", "val"])
@pytest.mark.parametrize("level", ["", CANINE, DOG, HUNTING_DOG])
def test_imagefolder_reads_any_level_of_the_tree(
    nested: Path, truth: dict[str, Truth], level: str, split: str, say: Say
) -> None:
    [root] = (nested / split).rglob(level) if level else [nested / split]
    found = ImageFolder(str(root))
    wnids = {wnid for wnid in DOGS + OTHERS if not level or level in above(wnid)}
    expected = {stem for stem, one in truth.items() if one.wnid in wnids and one.split == split}
    read = {Path(path).stem: found.classes[label] for path, label in found.samples}
    assert set(read) == expected
    for stem, superclass in read.items():
        assert superclass in above(truth[stem].wnid)
    say(f"{split} at {level or 'the top'}: {len(read)} images in {len(found.classes)} classes")


@pytest.mark.proof(target="image_folder", loader="timm ReaderImageFolder")
def test_timm_numbers_the_innermost_folders_as_classes_json_does(nested: Path, index: Any, say: Say) -> None:
    [checked] = imagenet_tools.check(nested, with_loader=True)
    assert (checked.loader.split()[0], {one.code for one in checked.findings}) == ("torchvision", {"W301"})
    reader = create_reader("", root=str(nested / "train"))
    plan = imagenet_tools.plan_export(index.select(), to="image_folder", layout="tree")
    assert reader.class_to_idx == {cls.wnid: cls.index for cls in plan.classes}
    say(f"{len(reader.class_to_idx)} classes in a tree, the indices of classes.json")


@pytest.mark.proof(target="image_folder", loader="torchvision ImageFolder")
def test_imagefolder_numbers_as_told_where_empty_classes_are_left_out(index: Any, tmp_path: Path, say: Say) -> None:
    selection = index.select(under="dog", where=f"NOT (wnid = '{DOGS[0]}' AND split = 'val')")
    result = imagenet_tools.export(selection, tmp_path / "x", to="image_folder", empty_classes="drop")
    assert ImageFolder(str(tmp_path / "x" / "train")).class_to_idx == {cls.wnid: cls.index for cls in result.classes}
    found = ImageFolder(str(tmp_path / "x" / "val")).class_to_idx  # without allow_empty
    assert found == {wnid: n for n, wnid in enumerate(DOGS[1:])}
    assert any(f"calls {DOGS[1]} class 0 in val, and classes.json calls it 1" in text for text in result.hazards)
    [checked] = result.check(with_loader=True)
    assert checked.ok
    say("4 of 5 classes in val; the note says how their indices change")


@pytest.mark.proof(target="yolo_classify", loader="ultralytics ClassificationDataset")
def test_ultralytics_keeps_the_indices_where_val_lacks_a_class(index: Any, tmp_path: Path, say: Say) -> None:
    selection = index.select(under="dog", where=[SOUND, f"NOT (wnid = '{DOGS[0]}' AND split = 'val')"])
    result = imagenet_tools.export(selection, tmp_path / "x", to="yolo_classify", empty_classes="drop")
    [checked] = result.check(with_loader=True)
    assert (checked.ok, bool(checked.loader)) == (True, True), checked.findings
    say("val without a class, the indices of train")


@pytest.mark.proof(target="yolo", loader="ultralytics YOLO, val")
def test_a_val_split_alone_is_evaluated_and_never_trained_on(
    index: Any, truth: dict[str, Truth], tmp_path: Path, training: dict[str, Any], say: Say
) -> None:
    result = imagenet_tools.export(index.select(under="dog", from_="val"), tmp_path / "x", to="yolo")
    [checked] = result.check(with_loader=True)
    assert (checked.ok, bool(checked.loader)) == (True, True), checked.findings
    data = str(tmp_path / "x" / "data.yaml")
    read = check_det_dataset(data)
    assert (read["train"], Path(read["val"])) == ([], (tmp_path / "x" / "images" / "val").resolve())
    model = YOLO("yolo11n.yaml")
    how = {key: training[key] for key in ("imgsz", "batch", "device", "workers", "plots", "verbose")}
    metrics = model.val(data=data, project=str(tmp_path / "runs"), **how)
    boxed = {stem: one for stem, one in truth.items() if one.wnid in DOGS and one.split == "val" and one.boxes}
    assert metrics.nt_per_class.sum() == sum(len(one.boxes) for one in boxed.values())
    with pytest.raises(Exception, match=r"Error loading data from \[\]"):
        YOLO("yolo11n.yaml").train(data=data, project=str(tmp_path / "runs"), **training)
    assert not list((tmp_path / "runs").rglob("*.pt"))
    say(f"val alone: {len(boxed)} images, {int(metrics.nt_per_class.sum())} boxes evaluated; training refused")


@pytest.mark.proof(target="yolo_classify", loader="ultralytics YOLO, val")
def test_a_few_training_images_let_val_be_evaluated(
    index: Any, tmp_path: Path, training: dict[str, Any], say: Say
) -> None:
    with pytest.raises(ExportError, match="--per-class train=1"):
        imagenet_tools.plan_export(index.select(under="dog", from_="val"), to="yolo_classify")
    result = imagenet_tools.export(index.select(under="dog", per_class="train=1"), tmp_path / "x", to="yolo_classify")
    model = YOLO("yolo11n-cls.yaml")
    how = {key: training[key] for key in ("imgsz", "batch", "device", "workers", "plots", "verbose")}
    model.val(data=str(tmp_path / "x"), project=str(tmp_path / "runs"), **how)
    images = Counter({split: result.images(split) for split in result.splits})
    assert images == {"train": 5, "val": 20}
    say("1 training image a class beside val: evaluated")
