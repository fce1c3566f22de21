"""COCO's instances in JSON: images in one folder for each split, and one file of all their boxes for each split.

    root/images/train/n02085620_10074.JPEG
    root/annotations/instances_train.json
        info, licenses      ImageNet's terms
        categories          id 1 to N in the order of classes.json, the same in every split, images or none; name;
                            wnid; supercategory: the name of its first hypernym in WordNet; hypernyms: all of them;
                            image_count, instance_count, frequency: of train, and r, c or f as LVIS counts
        images              id, file_name, width, height, license, wnid, neg_category_ids, not_exhaustive_category_ids
        annotations         id, image_id, category_id, bbox, area, iscrowd 0, segmentation []

bbox is [x, y, width, height] in pixels of the raster as stored, from 0, not rounded to whole pixels: loaders of COCO
open images with Pillow, and do not apply the EXIF orientation. Ids are unique over all splits.

Annotation is partial, and is marked as in LVIS. A category is judged in an image only if it is annotated there or
listed in neg_category_ids, which is always empty: nobody looked for other classes. not_exhaustive_category_ids names
the image's own class if some of its objects may have no box. This holds for images without boxes, for images outside
ILSVRC, whose images have every object of their class boxed, and for boxes that options left out.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import redirect_stdout
from io import StringIO
from itertools import chain, groupby
from pathlib import Path
from typing import Any

import numpy as np

from imagenet_tools.annotations import bbox
from imagenet_tools.catalogue.export_classes import Class
from imagenet_tools.errors import FormatError
from imagenet_tools.exports.job import FilePerImage, Job
from imagenet_tools.exports.manifest import TERMS
from imagenet_tools.exports.pictures import Picture
from imagenet_tools.exports.plan import Plan, Tally
from imagenet_tools.exports.writer import Loaded, ReadBack, Row, Shard, SinkOutput, Writes
from imagenet_tools.formats._shared.contract import PARTIAL_BOXES
from imagenet_tools.wordnet import wordnet

WRITES = Writes(detection=True, boxes=True, files_per_image=1)

_PIXEL_DECIMALS = 5
_as_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def hazards(plan: Plan) -> Iterator[str]:
    """Yield a note that boxes are partial: most loaders of COCO take what is not boxed for background."""
    yield PARTIAL_BOXES


class _CocoSink:
    """Writes the images of a shard; their records, and those of their boxes, are the shard's note."""

    def __init__(self, job: Job, shard: Shard):
        options = job.plan.options
        self._files = FilePerImage(job, lambda row: f"images/{shard.split}/{row.name}")
        self._boxes_left_out = options.square or options.min_box > 0 or options.bad_boxes == "drop"
        self._images: list[str] = []
        self._boxes: list[tuple[int, int, int, tuple[float, ...]]] = []  # id, image, category, edges and frame

    def add(self, row: Row, picture: Picture) -> None:
        """Write an image."""
        self._files.add(row, picture)
        exhaustive = row.boxes and row.dataset.startswith("ilsvrc") and not self._boxes_left_out
        image = {
            "id": row.number + 1,
            "file_name": row.name,
            "width": row.box_width,
            "height": row.box_height,
            "license": 1,
            "wnid": row.wnid,
            "neg_category_ids": [],
            "not_exhaustive_category_ids": [] if exhaustive else [row.class_index + 1],
        }
        self._images.append(_as_json(image))
        for n, box in enumerate(row.boxes):
            edges = (box.left, box.top, box.right, box.bottom, row.box_width, row.box_height)
            self._boxes.append((row.first_box + n + 1, row.number + 1, box.class_index + 1, edges))

    def close(self) -> SinkOutput:
        """Return the images, and the text of the records."""
        note = {"images": ",\n".join(self._images), "annotations": ",\n".join(self._annotations())}
        return self._files.close()._replace(note=note)

    def _annotations(self) -> Iterator[str]:
        edges = np.array([edges for *_, edges in self._boxes], np.float64).reshape(-1, 6)
        sizes = {"width": edges[:, 4], "height": edges[:, 5]}
        corners = np.stack(bbox.coco(*edges.T[:4], **sizes), axis=1).round(_PIXEL_DECIMALS) + 0.0
        areas = (corners[:, 2] * corners[:, 3]).round(_PIXEL_DECIMALS).tolist()
        for (number, image, category, _), corner, area in zip(self._boxes, corners.tolist(), areas, strict=True):
            yield (
                f'{{"id":{number},"image_id":{image},"category_id":{category},"bbox":{corner},'
                f'"area":{area},"iscrowd":0,"segmentation":[]}}'
            )


open_shard = _CocoSink


def finish(job: Job) -> None:
    """Write the file of each split from the notes of its shards, one note at a time."""
    for split in job.plan.splits:
        job.write(f"annotations/instances_{split}.json", _text(job, split))


def _text(job: Job, split: str) -> Iterator[bytes]:
    info = {"description": f"ImageNet, {split}: {TERMS}", "url": "https://image-net.org"}
    terms = {"id": 1, "name": "ImageNet's terms of access", "url": "https://image-net.org/download"}
    tallies = job.tallies.get("train", {})
    categories = ",\n".join(_as_json(_category(cls, tallies.get(cls.wnid))) for cls in job.plan.classes)
    yield f'{{"info":{_as_json(info)},\n"licenses":[{_as_json(terms)}],\n"categories":[\n{categories}\n]'.encode()
    for key in ("images", "annotations"):
        yield f',\n"{key}":['.encode()
        before = "\n"
        for shard, note in job.notes():
            if shard.split == split and note[key]:
                yield (before + note[key]).encode()
                before = ",\n"
        yield b"\n]"
    yield b"}\n"


def _category(cls: Class, tally: Tally | None) -> dict[str, object]:
    """Return a category, with LVIS's measure: rare up to 10 images of train, common up to 100, else frequent."""
    images, boxes = (tally.images, tally.boxes) if tally else (0, 0)
    synset = wordnet.synset(cls.wnid)
    above = [wordnet.synset(parent) for parent in (*synset.hypernyms, *synset.instance_hypernyms)]
    return {
        "id": cls.index + 1,
        "name": cls.display,
        "supercategory": above[0].name if above else synset.name,
        "wnid": cls.wnid,
        "synset": synset.name,
        "hypernyms": [{"wnid": parent.wnid, "name": parent.name} for parent in above],
        "image_count": images,
        "instance_count": boxes,
        "frequency": "r" if images <= 10 else "c" if images <= 100 else "f",
    }


def _split_files(root: Path) -> Iterator[tuple[str, Path]]:
    for file in sorted((root / "annotations").glob("instances_*.json")):
        yield file.stem.removeprefix("instances_"), file


def read_back(root: Path) -> Iterator[ReadBack]:
    """Yield the images with the boxes of their split's file; images and boxes are read together, in order."""
    for split, file in _split_files(root):
        id_of = {category["wnid"]: category["id"] for category in _records(file, "categories")}
        by_image = groupby(_records(file, "annotations"), key=lambda record: record["image_id"])
        boxed_image, records = next(by_image, (None, iter(())))
        for image in _records(file, "images"):
            boxes: list[tuple[int, float, float, float, float]] = []
            if boxed_image == image["id"]:
                size = {"width": image["width"], "height": image["height"]}
                boxes = [(record["category_id"] - 1, *bbox.from_coco(*record["bbox"], **size)) for record in records]
                boxed_image, records = next(by_image, (None, iter(())))
            path = root / "images" / split / image["file_name"]
            yield ReadBack(path.stem, split, id_of[image["wnid"]] - 1, tuple(boxes), path.read_bytes)
        if boxed_image is not None:
            message = f"{file}: found annotations of the image {boxed_image}, which is not listed, or not in its order."
            raise FormatError(message, code="label_unread")


def _records(file: Path, key: str) -> Iterator[dict[str, Any]]:
    """Yield the records of a list, one a line. FormatError: the file differs from what was written."""
    with file.open(encoding="utf-8") as lines:
        for line in lines:
            if line == f'"{key}":[\n':
                break
        for line in chain(lines, [""]):
            if line.startswith("]"):
                return
            try:
                yield json.loads(line.rstrip(",\n"))
            except ValueError as error:
                message = f"{file}: found no whole list of {key}, a record a line ({error})."
                raise FormatError(message, code="label_unread") from error


def load(root: Path) -> Loaded:
    """Return what pycocotools finds in each split."""
    from importlib.metadata import version

    from pycocotools.coco import COCO

    images, boxes, classes = {}, {}, None
    for split, file in _split_files(root):
        with redirect_stdout(StringIO()):  # COCO prints how long it takes
            loaded = COCO(str(file))
        images[split], boxes[split] = {-1: len(loaded.getImgIds())}, len(loaded.getAnnIds())
        classes = tuple(category["name"] for category in loaded.loadCats(loaded.getCatIds()))
    return Loaded(f"pycocotools {version('pycocotools')} COCO", classes, "display", images, boxes)
