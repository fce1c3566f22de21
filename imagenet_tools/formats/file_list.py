"""File lists of DALI, Caffe and PaddleClas: `path label` lines of images that stay where they are.

    root/train.txt          n01440764/n01440764_10026.JPEG 0
    root/val.txt            a list a split; labels are the class indices of classes.json

Paths are relative to the root of the indexed source, or to the folder above all sources that a split draws from: DALI's
file_root, Caffe's ROOTFOLDER. The label is what comes after the last space, so paths may have spaces, and no line ends
with one. Images in archives have no path, and are refused. --shuffle orders the lines.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from imagenet_tools.exports.writer import Writes
from imagenet_tools.formats._shared import listing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from imagenet_tools.exports.job import Job
    from imagenet_tools.exports.plan import Plan
    from imagenet_tools.exports.writer import ReadBack, Shard

WRITES = Writes(
    keeps=("image_id", "wnid", "split"),
    ordered=True,
    holds_bytes=False,
)


def hazards(plan: Plan) -> Iterator[str]:
    """What the paths are relative to."""
    return listing.notes_on_paths(plan, "{split}.txt")


def open_shard(job: Job, shard: Shard) -> listing.ListSink:
    """The lines of a shard's images."""
    return listing.ListSink(listing.place)


def finish(job: Job) -> None:
    """The list of each split."""
    for split in job.plan.splits:
        job.write(f"{split}.txt", listing.lines(job, split))


def read_back(root: Path) -> Iterator[ReadBack]:
    """The images of the lists."""
    for file in sorted(root.glob("*.txt")):
        yield from listing.read_lines(file, file.stem)
