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
from imagenet_tools.errors import ExportError
from imagenet_tools.exports.exporter import Place

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imagenet_tools.exports.exporter import Job, Row
    from imagenet_tools.exports.plan import Plan

KEEPS = ("image_id", "split", "length", "width", "height", "mode", "encoding", "orientation")
BY_FOLDER = False
DETECTION = True
TURNED = True
DEMANDS = (("small", "least(width, height) >= 10"),)


def hazards(plan: Plan) -> Iterator[str]:
    """data.yaml needs train and val; boxes of ImageNet are partial, and a detector should know."""
    missing = [split for split in ("train", "val") if split not in plan.splits]
    if missing:
        message = f"The selection has no {' and no '.join(missing)} split, and data.yaml needs train and val. "
        raise ExportError(message + "Choose --split train=0.9,val=0.1 or --split val=50/class, or more with --from.")
    yield "boxes are partial: in each image, only objects of its own class are boxed"


def write(job: Job) -> None:
    """images/, labels/ and data.yaml; an image without boxes has an empty label file, which says background."""
    job.place(
        Place(row, f"images/{row.split}/{row.name}", ((f"labels/{row.split}/{_stem(row)}.txt", _lines(row)),))
        for row in job.rows()
    )
    job.write("data.yaml", _yaml(job.plan))


def _stem(row: Row) -> str:
    return row.name.rpartition(".")[0]


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
