"""OpenMMLab's mmpretrain: lists of images in their original places, and the names of the classes.

    root/meta/train.txt     n01440764/n01440764_10026.JPEG 0        relative to data_prefix
    root/meta/val.txt
    root/meta/classes.txt   one name a line, in the order of the labels

    dict(type="CustomDataset", ann_file="root/meta/train.txt", data_prefix="/data/train",
         classes="root/meta/classes.txt")

Paths are relative to the root of the indexed source, or to the folder above all sources of a split. Images in archives
have no path, and are refused. --shuffle orders the lines.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from imagenet_tools.exports.job import Job
from imagenet_tools.exports.plan import Plan
from imagenet_tools.exports.writer import ReadBack, Writes
from imagenet_tools.formats._shared import listing

WRITES = Writes(ordered=True, holds_bytes=False)


def hazards(plan: Plan) -> Iterator[str]:
    """Yield the folder that paths are relative to. ExportError: some images have no path."""
    return listing.path_hazards(plan, "meta/{split}.txt")


open_shard = listing.open_path_shard


def finish(job: Job) -> None:
    """Write the list of each split, and the names of the classes."""
    for split in job.plan.splits:
        job.write(f"meta/{split}.txt", listing.path_lines(job, split))
    job.write("meta/classes.txt", "".join(f"{cls.display}\n" for cls in job.plan.classes).encode())


def read_back(root: Path) -> Iterator[ReadBack]:
    """Yield the images of the lists."""
    for file in sorted((root / "meta").glob("*.txt")):
        if file.name != "classes.txt":
            yield from listing.read_path_lines(file)
