"""Ultralytics detection: images, label files of the same names beside them, and data.yaml.

    root/data.yaml                                  train: images/train   val: images/val   names: {0: Chihuahua ...}
    root/images/train/n02085620_10074.JPEG
    root/labels/train/n02085620_10074.txt           one box a line: class xc yc w h, fractions of the image

The lock, recipe and manifest of an export are at its root, beside classes.json: see exports.manifest.

An export without train is for evaluation, `yolo detect val data=root/data.yaml`. Ultralytics asks for the keys train
and val in each data.yaml: the missing one is an empty list, of which it reads no image, and refuses to train.

Ultralytics finds a label file by replacing the last /images/ of a path. It applies the EXIF orientation, so boxes are
those of the turned image. It opens no image with a side of less than 10 pixels, and drops an image for one bad row.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from imagenet_tools.annotations import bbox
from imagenet_tools.errors import ExportError, FormatError
from imagenet_tools.exports.job import FilePerImage, Job
from imagenet_tools.exports.plan import Plan
from imagenet_tools.exports.writer import Loaded, ReadBack, Row, Shard, Writes
from imagenet_tools.images.probe import ends_whole

_SPLITS = ("train", "val", "test")  # of a data.yaml

# Ultralytics opens no image with a side of less than 10 pixels.
DEMANDS = (("small", "least(images.width, images.height) >= 10"),)

WRITES = Writes(detection=True, boxes=True, turned=True, demands=DEMANDS, files_per_image=2)


def hazards(plan: Plan) -> Iterator[str]:
    """Yield that no images are for training, and splits that are not read. ExportError: there is train and no val."""
    if "train" in plan.splits:
        require_splits(plan, "training", ("train", "val"))
    else:
        yield "there is no train split: with `train: []` in data.yaml, Ultralytics evaluates, and does not train"
    yield from unread_splits(plan)


def unread_splits(plan: Plan) -> Iterator[str]:
    """Yield the splits that Ultralytics does not know."""
    if further := [split for split in plan.splits if split not in _SPLITS]:
        yield f"Ultralytics reads train, val and test: it does not read {', '.join(further)}"


def require_splits(plan: Plan, reader: str, needed: tuple[str, ...], advice: str = "") -> None:
    """Raise ExportError unless the plan has the splits that `reader` needs."""
    missing = [split for split in needed if split not in plan.splits]
    if missing:
        message = (
            f"The selection has no {' and no '.join(missing)} split, and {reader} needs {' and '.join(needed)}. "
            "Choose --split train=0.9,val=0.1 or --split val=50/class, or more with --from."
        )
        raise ExportError(f"{message} {advice}".rstrip())


def open_shard(job: Job, shard: Shard) -> FilePerImage:
    """Return a sink for images/ and labels/; an image without boxes gets an empty file: background."""
    return FilePerImage(
        job,
        lambda row: f"images/{shard.split}/{row.name}",
        beside=lambda row: ((f"labels/{shard.split}/{row.stem}.txt", _label_lines(row)),),
    )


def _label_lines(row: Row) -> bytes:
    lines = ""
    for box in row.boxes:
        xc, yc, width, height = bbox.yolo(box.left, box.top, box.right, box.bottom)
        lines += f"{box.class_index} {xc:.8f} {yc:.8f} {width:.8f} {height:.8f}\n"
    return lines.encode()


def finish(job: Job) -> None:
    """Write data.yaml."""
    plan = job.plan
    lines = ["# Boxes are partial: in each image, only objects of its own class are boxed."]
    if "train" not in plan.splits:
        lines.append("# For evaluation: a split that is not in the export is an empty list.")
    for split in _SPLITS:
        if split in plan.splits:
            lines.append(f"{split}: images/{split}")
        elif split != "test":  # Ultralytics asks for the other two
            lines.append(f"{split}: []")
    # A JSON string is a YAML string, also with colons, quotes or '#' in it.
    lines += ["names:", *(f"  {cls.index}: {json.dumps(cls.display, ensure_ascii=False)}" for cls in plan.classes)]
    job.write("data.yaml", ("\n".join(lines) + "\n").encode())


def read_back(root: Path) -> Iterator[ReadBack]:
    """Yield the images with the boxes of their label files."""
    for split in sorted((root / "images").iterdir()):
        for path in sorted(split.iterdir()):
            label = root / "labels" / split.name / f"{path.stem}.txt"
            lines = [line.split() for line in label.read_text().splitlines()]
            if any(len(words) != 5 for words in lines):
                message = f"{label}: found a line that is not `class xc yc w h`."
                raise FormatError(message, code="label_unread")
            boxes = tuple((int(index), *bbox.from_yolo(*map(float, numbers))) for index, *numbers in lines)
            yield ReadBack(path.stem, split.name, None, boxes, path.read_bytes)


def load(root: Path) -> Loaded:
    """Return what Ultralytics' data set for detection finds in each split."""
    from ultralytics import __version__
    from ultralytics.data.dataset import YOLODataset
    from ultralytics.data.utils import check_det_dataset

    images, boxes = {}, {}
    with linked_copy(root) as copy:
        data = check_det_dataset(f"{copy}/data.yaml", autodownload=False)
        for split in (path.name for path in sorted((root / "images").iterdir())):
            labels = YOLODataset(img_path=data[split], data=data, task="detect", augment=False).labels
            images[split] = {-1: len(labels)}
            boxes[split] = sum(len(label["cls"]) for label in labels)
    classes = tuple(data["names"].values())
    return Loaded(f"ultralytics {__version__} YOLODataset", classes, "display", images, boxes)


@contextmanager
def linked_copy(root: Path) -> Iterator[Path]:
    """Yield a temporary copy of an export that is made of links, for loaders that write caches beside images.

    A file without the end marker of a JPEG is copied: Ultralytics rewrites such images, and would write through a link.
    """
    with tempfile.TemporaryDirectory() as folder:
        yield Path(shutil.copytree(root.absolute(), f"{folder}/export", copy_function=_link_or_copy))


def _link_or_copy(source: str, dest: str) -> None:
    with Path(source).open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - 2))
        whole = ends_whole(file.read())
    if whole:
        Path(dest).symlink_to(source)
    else:
        shutil.copyfile(source, dest)
