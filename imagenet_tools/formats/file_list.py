"""File lists of DALI, Caffe and PaddleClas: lines `path label` that point to images in their original places.

    root/train.txt          n01440764/n01440764_10026.JPEG 0
    root/val.txt            one list for each split; labels are the class indices of classes.json

Paths are relative to the root of the indexed source, or to the folder above all sources of a split: DALI's file_root,
Caffe's ROOTFOLDER. The label follows the last space, so paths may contain spaces. No line ends with a space. Images in
archives have no path, and are refused. --shuffle orders the lines.
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
    return listing.path_hazards(plan, "{split}.txt")


open_shard = listing.open_path_shard


def finish(job: Job) -> None:
    """Write the list of each split."""
    for split in job.plan.splits:
        job.write(f"{split}.txt", listing.path_lines(job, split))


def read_back(root: Path) -> Iterator[ReadBack]:
    """Yield the images of the lists."""
    for file in sorted(root.glob("*.txt")):
        yield from listing.read_path_lines(file)
