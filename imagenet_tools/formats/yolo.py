"""Ultralytics detection: images beside labels of the same name, and data.yaml.

    root/data.yaml                                  train: images/train   val: images/val   names: {0: Chihuahua ...}
    root/images/train/n02085620_10074.JPEG
    root/labels/train/n02085620_10074.txt           a line a box: class xc yc w h, fractions of the image

Ultralytics finds labels by exchanging the last /images/ of a path; reads images turned by their EXIF orientation, and
so the boxes are turned; opens no image of less than 10 pixels a side; drops a whole image for one bad row.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from imagenet_tools.annotations import bbox
from imagenet_tools.errors import ExportError, FormatError
from imagenet_tools.exports.job import FilePerImage
from imagenet_tools.exports.writer import Loaded, ReadBack, Writes
from imagenet_tools.formats._shared.aside import stand_in

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from imagenet_tools.exports.job import Job
    from imagenet_tools.exports.plan import Plan
    from imagenet_tools.exports.writer import Row, Shard

WRITES = Writes(
    keeps=("image_id", "split", "boxes", "length", "width", "height", "mode", "encoding", "orientation"),
    detection=True,
    boxes=True,
    turned=True,
    demands=(("small", "least(images.width, images.height) >= 10"),),
    files_per_image=2,
)


def hazards(plan: Plan) -> Iterator[str]:
    """data.yaml needs train and val; boxes of ImageNet are partial, and a detector should know."""
    missing = [split for split in ("train", "val") if split not in plan.splits]
    if missing:
        message = f"The selection has no {' and no '.join(missing)} split, and data.yaml needs train and val. "
        raise ExportError(message + "Choose --split train=0.9,val=0.1 or --split val=50/class, or more with --from.")
    yield "boxes are partial: in each image, only objects of its own class are boxed"


def open_shard(job: Job, shard: Shard) -> FilePerImage:
    """images/ and labels/; an image without boxes has an empty label file, which says background."""
    return FilePerImage(
        job,
        lambda row: f"images/{shard.split}/{row.name}",
        beside=lambda row: ((f"labels/{shard.split}/{row.stem}.txt", _lines(row)),),
    )


def finish(job: Job) -> None:
    """data.yaml."""
    job.write("data.yaml", _yaml(job.plan))


def read_back(root: Path) -> Iterator[ReadBack]:
    """The images with the boxes of their label files."""
    for split in sorted((root / "images").iterdir()):
        for path in sorted(split.iterdir()):
            label = root / "labels" / split.name / f"{path.stem}.txt"
            lines = [line.split() for line in label.read_text().splitlines()]
            if any(len(words) != 5 for words in lines):
                message = f"{label}: found a line that is not `class xc yc w h`."
                raise FormatError(message, code="label_unread")
            boxes = tuple((int(number), *bbox.from_yolo(*map(float, numbers))) for number, *numbers in lines)
            yield ReadBack(path.stem, split.name, None, boxes, path.read_bytes)


def load(root: Path) -> Loaded:
    """What Ultralytics' data set for detection finds in each split."""
    import ultralytics
    from ultralytics.data.dataset import YOLODataset
    from ultralytics.data.utils import check_det_dataset

    images, boxes = {}, {}
    with stand_in(root) as copy:
        data = check_det_dataset(f"{copy}/data.yaml", autodownload=False)
        for split in (path.name for path in sorted((root / "images").iterdir())):
            found = YOLODataset(img_path=data[split], data=data, task="detect", augment=False).labels
            images[split] = {-1: len(found)}
            boxes[split] = sum(len(one["cls"]) for one in found)
    names = tuple(data["names"].values())
    return Loaded(f"ultralytics {ultralytics.__version__} YOLODataset", names, "display", images, boxes)


def _lines(row: Row) -> bytes:
    lines = ""
    for box in row.boxes:
        numbers = bbox.yolo(box.left, box.top, box.right, box.bottom)
        lines += f"{box.class_index} " + " ".join(f"{float(number):.8f}" for number in numbers) + "\n"
    return lines.encode()


def _yaml(plan: Plan) -> bytes:
    lines = ["# Boxes are partial: in each image, only objects of its own class are boxed."]
    lines += [f"{split}: images/{split}" for split in ("train", "val", "test") if split in plan.splits]
    # JSON's strings are YAML's: names with colons, quotes or '#' come through.
    lines += ["names:", *(f"  {one.index}: {json.dumps(one.display, ensure_ascii=False)}" for one in plan.classes)]
    return ("\n".join(lines) + "\n").encode()
