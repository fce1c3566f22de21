"""Ultralytics classification: class folders in the folders train, val and test.

    root/train/n02085620/n02085620_10074.JPEG
    root/val/n02085620/ILSVRC2012_val_00000293.JPEG

The lock, recipe and manifest of an export are at its root, beside classes.json: see exports.manifest.

Ultralytics takes its class names and their order from the sorted folders of train. It opens no image with a side of
less than 10 pixels.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from imagenet_tools.errors import ExportError
from imagenet_tools.exports.plan import Plan
from imagenet_tools.exports.writer import Loaded, Writes
from imagenet_tools.formats import image_folder, yolo
from imagenet_tools.text import count_of

WRITES = Writes(by_folder=True, demands=yolo.DEMANDS, files_per_image=1)


def hazards(plan: Plan) -> Iterator[str]:
    """Yield notes on splits that are not read, and on empty classes.

    ExportError: train or val is missing, or with --empty-classes drop train lacks a class. Without train, Ultralytics
    takes four fifths of the images for training; with an empty one, it does not evaluate; without val, it does not
    train.
    """
    advice = (
        "For evaluation alone, take few images for training: --per-class train=1. With no image in train/ Ultralytics "
        "stops, and without train/ it would take four fifths of val for training."
    )
    yolo.require_splits(plan, "Ultralytics", ("train", "val"), advice if "train" not in plan.splits else "")
    missing = [cls.wnid for cls in plan.classes if cls.wnid not in plan.tallies["train"]]
    if plan.options.empty_classes == "drop" and missing:
        message = (
            f"--empty-classes drop: train has no image of {count_of(len(missing), 'class')}, {missing[0]} first. "
            "Ultralytics numbers the classes by the folders of train/, and skips the images of all others in val/. "
            "Leave the option out, or choose classes with --min-images."
        )
        raise ExportError(message)
    yield from yolo.unread_splits(plan)
    if image_folder.has_empty_folders(plan):
        yield "a class has no images in one split; its folder is there, empty"


open_shard = image_folder.open_shard
finish = image_folder.make_class_folders
read_back = image_folder.read_back


def load(root: Path) -> Loaded:
    """Return what Ultralytics' data set for classification finds in each split."""
    from ultralytics import __version__
    from ultralytics.cfg import get_cfg
    from ultralytics.data.dataset import ClassificationDataset
    from ultralytics.data.utils import check_cls_dataset

    counts = {}
    with yolo.linked_copy(root) as copy:
        data = check_cls_dataset(copy)
        for split in ("train", "val", "test"):
            if data.get(split):
                loaded = ClassificationDataset(data[split], args=get_cfg(overrides={"imgsz": 64}), names=data["names"])
                counts[split] = Counter(index for _, index, *_ in loaded.samples)
    return Loaded(f"ultralytics {__version__} ClassificationDataset", tuple(data["names"].values()), "folder", counts)
