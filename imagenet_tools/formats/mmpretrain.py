"""OpenMMLab's mmpretrain: lists of images in their original places, and the names of the classes.

    root/meta/train.txt     n01440764/n01440764_10026.JPEG 0        relative to data_prefix
    root/meta/val.txt
    root/meta/classes.txt   one name a line, in the order of the labels

The lock, recipe and manifest of an export are at its root, beside classes.json: see exports.manifest.

    dict(type="CustomDataset", ann_file="root/meta/train.txt", data_prefix="/data/train",
         classes="root/meta/classes.txt")

Paths are relative to the root of the indexed source, or to the folder above all sources of a split. Images in archives
have no path, and are refused. --shuffle orders the lines.
"""

from __future__ import annotations

from imagenet_tools.exports.job import Job
from imagenet_tools.exports.writer import Writes
from imagenet_tools.formats._shared.listing import CLASS_NAMES, PathLists, no_sink

WRITES = Writes(ordered=True, holds_bytes=False)

_LISTS = PathLists("meta/{split}.txt")

hazards = _LISTS.hazards
open_shard = no_sink


def finish(job: Job) -> None:
    """Write the list of each split, and the names of the classes."""
    _LISTS.write(job)
    job.write(CLASS_NAMES, "".join(f"{cls.display}\n" for cls in job.plan.classes).encode())


read_back = _LISTS.read_back
