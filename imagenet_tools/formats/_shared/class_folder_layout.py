"""Images in class folders, <split>/<folder of the class>/<image>: the writer and the reader of two targets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from imagenet_tools.exports.job import FilePerImage, Job
from imagenet_tools.exports.writer import ReadBack, Shard


def open_shard(job: Job, shard: Shard) -> FilePerImage:
    """Return a sink that puts each image into the folder of its class."""
    folders = [cls.folder for cls in job.plan.classes]
    return FilePerImage(job, lambda row: f"{shard.split}/{folders[row.class_index]}/{row.name}")


def finish(job: Job) -> None:
    """Create the folder of every class in every split: loaders number the classes by the folders that they find."""
    for split in job.plan.splits:
        for cls in job.plan.classes:
            (job.out / split / cls.folder).mkdir(parents=True, exist_ok=True)


def read_back(root: Path) -> Iterator[ReadBack]:
    """Yield the images; a class index is the place of the folder among the sorted folders of its split."""
    for split in sorted(path for path in root.iterdir() if path.is_dir()):
        for index, folder in enumerate(sorted(split.iterdir())):
            for path in sorted(folder.iterdir()):
                yield ReadBack(path.stem, split.name, index, None, path.read_bytes)
