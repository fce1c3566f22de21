"""OpenMMLab's mmpretrain: lists of images that stay where they are, and the names of the classes.

    root/meta/train.txt     n01440764/n01440764_10026.JPEG 0        relative to data_prefix
    root/meta/val.txt
    root/meta/classes.txt   a name a line, in the order of the labels

    dict(type="CustomDataset", ann_file="root/meta/train.txt", data_prefix="/data/train",
         classes="root/meta/classes.txt")

Paths are relative to the root of the indexed source, or to the folder above all sources that a split draws from.
Images in archives have no path, and are refused. --shuffle orders the lines.
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

_CLASSES = "classes"


def hazards(plan: Plan) -> Iterator[str]:
    """What the paths are relative to."""
    return listing.notes_on_paths(plan, "meta/{split}.txt")


def open_shard(job: Job, shard: Shard) -> listing.ListSink:
    """The lines of a shard's images."""
    return listing.ListSink(listing.place)


def finish(job: Job) -> None:
    """The list of each split, and the classes."""
    for split in job.plan.splits:
        job.write(f"meta/{split}.txt", listing.lines(job, split))
    job.write(f"meta/{_CLASSES}.txt", "".join(f"{one.display}\n" for one in job.plan.classes).encode())


def read_back(root: Path) -> Iterator[ReadBack]:
    """The images of the lists."""
    for file in sorted((root / "meta").glob("*.txt")):
        if file.stem != _CLASSES:
            yield from listing.read_lines(file, file.stem)
