"""Detic's metadata of image-level labels: class folders, and LVIS's JSON that names the categories in each image.

    root/train/n02085620/n02085620_10074.JPEG       <split>/<wnid>/<image>: the image root of a split
    root/annotations/image_info_train.json
        categories      see formats/_shared/coco_json.py; LVIS's 1,203 with --superclasses lvis1203 --names listed
        images          id, file_name (n02085620/n02085620_10074.JPEG), width, height, pos_category_ids
        annotations     empty

The lock, recipe and manifest of an export are at its root, beside classes.json: see exports.manifest.

Detic's reader, custom_load_lvis_json, numbers categories from 0 by the order of their ids, and asserts that the 1,203
of LVIS are numbered id - 1. It joins file_name to the image root. Width and height are those of the image as its EXIF
orientation turns it, as detectron2's read_image does. Source: facebookresearch/Detic, detic/data/datasets/lvis_v1.py
and tools/create_imagenetlvis_json.py. imagenet-lvis997 lists the classes of Detic's own ImageNet-LVIS.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from imagenet_tools.exports.job import FilePerImage, Job
from imagenet_tools.exports.writer import ReadBack, Shard, Writes
from imagenet_tools.formats._shared.coco_json import as_json, categories, category_ids, category_records, records
from imagenet_tools.formats._shared.contract import no_hazards

WRITES = Writes(turned=True, files_per_image=1)

hazards = no_hazards


def open_shard(job: Job, shard: Shard) -> FilePerImage:
    """Return a sink that puts each image into the folder of its class."""
    return FilePerImage(job, lambda row: f"{shard.split}/{row.wnid}/{row.name}")


def finish(job: Job) -> None:
    """Write the file of each split."""
    for split in job.plan.splits:
        job.write(f"annotations/image_info_{split}.json", _text(job, split))


def _text(job: Job, split: str) -> Iterator[bytes]:
    text = ",\n".join(map(as_json, category_records(job)))
    yield f'{{"categories":[\n{text}\n],\n"images":['.encode()
    ids, before = category_ids(job.plan).tolist(), "\n"
    names = ("number", "wnid", "stem", "suffix", "box_width", "box_height", "class_index")
    for columns, _ in job.columns(split):
        rows: Iterable[tuple[int, str, str, str, int, int, int]] = zip(*(columns[name] for name in names), strict=True)
        lines = [
            f'{{"id":{number + 1},"file_name":{as_json(f"{wnid}/{stem}{suffix}")},"width":{width},"height":{height},'
            f'"pos_category_ids":[{ids[class_index]}]}}'
            for number, wnid, stem, suffix, width, height, class_index in rows
        ]
        if lines:
            yield (before + ",\n".join(lines)).encode()
            before = ",\n"
    yield b'\n],\n"annotations":[]}\n'


def read_back(root: Path) -> Iterator[ReadBack]:
    """Yield the images of each split's file; a class index is the place of the category among those with a wnid."""
    for file in sorted((root / "annotations").glob("image_info_*.json")):
        split = file.stem.removeprefix("image_info_")
        ids = [category["id"] for category in categories(file) if category["wnid"]]
        index_of = {number: index for index, number in enumerate(ids)}
        for image in records(file, "images"):
            path = root / split / image["file_name"]
            yield ReadBack(path.stem, split, index_of[image["pos_category_ids"][0]], None, path.read_bytes)
