"""EDM2, EDM and other diffusion models: a zip of squares of 256 pixels and their dataset.json for each split.

    root/train.zip          stored, not compressed
        n01440764/n01440764_10026.png       256 x 256 pixels, cut as ADM does: see images.transform.adm_square
        dataset.json                        {"labels": [["n01440764/n01440764_10026.png", 0], ...]}: the class indices
    root/val.zip

The lock, recipe and manifest of an export are at its root, beside classes.json: see exports.manifest.

    python train_edm2.py --data=root/train.zip ...

The loaders sort the names, and take the class of an image from dataset.json. EDM2's own dataset_tool.py makes the same
pixels with --resolution=256x256 --transform=center-crop-dhariwal. DiT and SiT cut the same squares while they train. An
image takes 197 KB, because its PNG is not compressed either, as theirs. An image that Pillow cannot decode is left out.

Worker processes write the PNGs of a piece beside the export; they are copied into the zip at the end.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from zipfile import BadZipFile, ZipFile

from imagenet_tools.errors import FormatError
from imagenet_tools.exports.job import Job
from imagenet_tools.exports.plan import Plan
from imagenet_tools.exports.writer import ReadBack, Shard, Writes
from imagenet_tools.formats._shared import array_files
from imagenet_tools.images.transform import adm_square
from imagenet_tools.text import count_of

_SIDE_PIXELS = 256
_PNG_BYTES = 196_993  # of every image, because nothing is compressed (Pillow 13)

# An index of the export has the classes and splits that names tell: dataset.json numbers classes for EDM alone.
WRITES = Writes(keeps=("image_id",), remade_bytes=_PNG_BYTES)

_LABELS = "dataset.json"


def hazards(plan: Plan) -> Iterator[str]:
    """Yield the room that the export takes until it is complete, and splits without images of the last class."""
    last = plan.classes[-1].wnid
    for split in plan.splits:
        if last not in plan.tallies[split]:
            yield f"EDM's loaders count classes up to the last with images: the last ones have none in {split}"
    yield f"until the zips are complete, every PNG is there twice: this takes {count_of(2 * plan.bytes(), 'byte')}"


def open_shard(job: Job, shard: Shard) -> array_files.PartSink:
    """Return the sink of a piece."""
    return array_files.PartSink(job, shard, partial(adm_square, side=_SIDE_PIXELS))


def finish(job: Job) -> None:
    """Write the zip of each split."""
    for split in job.plan.splits:
        labels: list[tuple[str, int]] = []
        with job.writing(f"{split}.zip") as file, ZipFile(file, "w") as archive:
            for row, png in zip(job.rows(split), array_files.images_of(job, split), strict=True):
                labels.append((f"{row.wnid}/{row.stem}.png", row.class_index))
                archive.writestr(array_files.zip_entry(labels[-1][0]), png)
            archive.writestr(array_files.zip_entry(_LABELS), json.dumps({"labels": labels}))


def read_back(root: Path) -> Iterator[ReadBack]:
    """Yield the images of the zips."""
    for path in sorted(root.glob("*.zip")):
        try:
            archive = ZipFile(path)
            labels = json.loads(archive.read(_LABELS))["labels"]
        except (BadZipFile, KeyError, ValueError) as error:
            message = f"{path}: found no whole zip with {_LABELS} ({error}); expected one."
            raise FormatError(message, code="zip_damaged") from error
        for name, label in labels:
            stem = name.partition("/")[2].removesuffix(".png")
            yield ReadBack(stem, path.stem, label, None, partial(archive.read, name))
