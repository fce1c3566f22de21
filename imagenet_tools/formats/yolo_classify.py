"""Ultralytics classification: class folders below train, val and test.

    root/train/n02085620/n02085620_10074.JPEG
    root/val/n02085620/ILSVRC2012_val_00000293.JPEG

Ultralytics takes its names and their order from the sorted folders of train, and opens no image of less than 10
pixels a side.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from imagenet_tools.errors import ExportError
from imagenet_tools.exports.writer import Loaded, Writes
from imagenet_tools.formats._shared import class_folder_layout
from imagenet_tools.formats._shared.aside import stand_in

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from imagenet_tools.exports.plan import Plan

WRITES = Writes(
    keeps=("image_id", "wnid", "split", "length", "width", "height", "mode", "encoding", "orientation"),
    by_folder=True,
    demands=(("small", "least(images.width, images.height) >= 10"),),
    files_per_image=1,
)


def hazards(plan: Plan) -> Iterator[str]:
    """Ultralytics splits a folder without train by itself; without val it does not train."""
    missing = [split for split in ("train", "val") if split not in plan.splits]
    if missing:
        message = f"The selection has no {' and no '.join(missing)} split, and Ultralytics needs train and val. "
        raise ExportError(message + "Choose --split train=0.9,val=0.1 or --split val=50/class, or more with --from.")
    if any(len(found) < len(plan.classes) for found in plan.tallies.values()):
        yield "a class has no images in one split; its folder is there, empty"


open_shard = class_folder_layout.open_shard
finish = class_folder_layout.finish
read_back = class_folder_layout.read_back


def load(root: Path) -> Loaded:
    """What Ultralytics' data set for classification finds in each split."""
    import ultralytics
    from ultralytics.cfg import get_cfg
    from ultralytics.data.dataset import ClassificationDataset
    from ultralytics.data.utils import check_cls_dataset

    counts = {}
    with stand_in(root) as copy:
        data = check_cls_dataset(copy)
        for split in ("train", "val", "test"):
            if data.get(split):
                found = ClassificationDataset(data[split], args=get_cfg(overrides={"imgsz": 64}), names=data["names"])
                counts[split] = Counter(index for _, index, *_ in found.samples)
    names = tuple(data["names"].values())
    return Loaded(f"ultralytics {ultralytics.__version__} ClassificationDataset", names, "folder", counts)
