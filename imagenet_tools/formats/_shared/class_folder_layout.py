"""Images in class folders, <split>/<folder of the class>/<image>: written, and read again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imagenet_tools.exports.job import FilePerImage
from imagenet_tools.exports.writer import ReadBack

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from imagenet_tools.exports.job import Job
    from imagenet_tools.exports.writer import Shard


def open_shard(job: Job, shard: Shard) -> FilePerImage:
    """A sink that puts images into the folders of their classes."""
    folders = [one.folder for one in job.plan.classes]
    return FilePerImage(job, lambda row: f"{shard.split}/{folders[row.class_index]}/{row.name}")


def finish(job: Job) -> None:
    """Make the folder of every class in every split, so that no index shifts."""
    for split in job.plan.splits:
        for one in job.plan.classes:
            (job.out / split / one.folder).mkdir(parents=True, exist_ok=True)


def read_back(root: Path) -> Iterator[ReadBack]:
    """The images, their class by the sorted folders of their split, as loaders of class folders number them."""
    for split in sorted(path for path in root.iterdir() if path.is_dir()):
        folders = sorted(path.name for path in split.iterdir())
        for index, folder in enumerate(folders):
            for path in sorted((split / folder).iterdir()):
                yield ReadBack(path.stem, split.name, index, None, path.read_bytes)
