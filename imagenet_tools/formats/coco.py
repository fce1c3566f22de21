"""COCO's instances in JSON: images in a folder a split, and a file of all their boxes a split.

    root/images/train/n02085620_10074.JPEG
    root/annotations/instances_train.json
        info, licenses      ImageNet's terms
        categories          id 1 to N in the order of classes.json, the same in every split, images or none; name;
                            wnid; supercategory: the name of its first hypernym in WordNet; hypernyms: all of them;
                            image_count, instance_count, frequency: of train, and r, c or f as LVIS counts
        images              id, file_name, width, height, license, wnid, neg_category_ids, not_exhaustive_category_ids
        annotations         id, image_id, category_id, bbox, area, iscrowd 0, segmentation []

bbox is [x, y, width, height] in pixels of the raster as it is stored, from 0, not rounded to whole ones: loaders of
COCO open images with Pillow and do not turn them by their EXIF orientation. Ids are unique over all splits.

Annotation is partial, and says so as LVIS does: a category is judged in an image only where it is annotated or listed
in neg_category_ids, which is always empty, for nobody looked for other classes. not_exhaustive_category_ids names the
image's own class where some of its objects may have no box: in images without boxes, outside of ILSVRC, whose images
have every object of their class boxed, and where options left boxes out.
"""

from __future__ import annotations

import json
from contextlib import redirect_stdout
from io import StringIO
from itertools import chain, groupby
from typing import TYPE_CHECKING, Any

import numpy as np

from imagenet_tools.annotations import bbox
from imagenet_tools.errors import FormatError
from imagenet_tools.exports.job import FilePerImage
from imagenet_tools.exports.manifest import TERMS
from imagenet_tools.exports.writer import Loaded, ReadBack, SinkOutput, Writes
from imagenet_tools.wordnet import wordnet

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from imagenet_tools.catalogue.export_classes import Class
    from imagenet_tools.exports.job import Job
    from imagenet_tools.exports.pictures import Picture
    from imagenet_tools.exports.plan import Plan, Tally
    from imagenet_tools.exports.writer import Row, Shard

WRITES = Writes(
    keeps=("image_id", "split", "boxes", "length", "width", "height", "mode", "encoding", "orientation"),
    detection=True,
    boxes=True,
    files_per_image=1,
)

_DECIMALS = 5  # of a pixel
_as_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def hazards(plan: Plan) -> Iterator[str]:
    """Boxes of ImageNet are partial, and most loaders of COCO take what is not boxed for background."""
    yield "boxes are partial: in each image, only objects of its own class are boxed"


class _Instances:
    """Puts the images in their place; their records, and those of their boxes, are the shard's note."""

    def __init__(self, job: Job, shard: Shard):
        options = job.plan.options
        self._files = FilePerImage(job, lambda row: f"images/{shard.split}/{row.name}")
        self._boxes_left_out = options.square or options.min_box > 0 or options.bad_boxes == "drop"
        self._images: list[str] = []
        self._boxes: list[tuple[int, int, int, tuple[float, ...]]] = []  # id, image, category, edges and size

    def add(self, row: Row, picture: Picture) -> None:
        """Put an image in its place."""
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
        size = (row.box_width, row.box_height)
        for n, box in enumerate(row.boxes):
            edges = (box.left, box.top, box.right, box.bottom, *size)
            self._boxes.append((row.first_box + n + 1, row.number + 1, box.class_index + 1, edges))

    def close(self) -> SinkOutput:
        """The images, and the text of the records."""
        written = self._files.close()
        note = {"images": ",\n".join(self._images), "annotations": ",\n".join(self._annotations())}
        return written._replace(note=note)

    def _annotations(self) -> Iterator[str]:
        edges = np.array([edges for *_, edges in self._boxes], np.float64).reshape(-1, 6)
        corners = (
            np.stack(bbox.coco(*edges.T[:4], width=edges[:, 4], height=edges[:, 5]), axis=1).round(_DECIMALS) + 0.0
        )
        areas = (corners[:, 2] * corners[:, 3]).round(_DECIMALS).tolist()
        for (number, image, category, _), corner, area in zip(self._boxes, corners.tolist(), areas, strict=True):
            yield (
                f'{{"id":{number},"image_id":{image},"category_id":{category},"bbox":{corner},'
                f'"area":{area},"iscrowd":0,"segmentation":[]}}'
            )


def open_shard(job: Job, shard: Shard) -> _Instances:
    """A sink that puts images into the folder of their split."""
    return _Instances(job, shard)


def finish(job: Job) -> None:
    """The file of each split, made of the notes as they are read."""
    for split in job.plan.splits:
        job.write(f"annotations/instances_{split}.json", _text(job, split))


def _text(job: Job, split: str) -> Iterator[bytes]:
    info = {"description": f"ImageNet, {split}: {TERMS}", "url": "https://image-net.org"}
    license_ = {"id": 1, "name": "ImageNet's terms of access", "url": "https://image-net.org/download"}
    counted = _counted(job)
    known = (_category(one) | _frequency(counted.get(one.wnid)) for one in job.plan.classes)
    categories = ",\n".join(map(_as_json, known))
    yield f'{{"info":{_as_json(info)},\n"licenses":[{_as_json(license_)}],\n"categories":[\n{categories}\n]'.encode()
    for key in ("images", "annotations"):
        yield f',\n"{key}":['.encode()
        before = "\n"
        for shard, note in job.notes():
            if shard.split == split and note[key]:
                yield (before + note[key]).encode()
                before = ",\n"
        yield b"\n]"
    yield b"}\n"


def _counted(job: Job) -> dict[str, Tally]:
    """What train holds of each class, without the images that turned out not to be decodable."""
    counted = dict(job.plan.tallies.get("train", {}))
    for row in job.left_out_rows():
        if row.split == "train":
            tally = counted[row.wnid]
            counted[row.wnid] = tally._replace(images=tally.images - 1, boxes=tally.boxes - len(row.boxes))
    return counted


def _category(one: Class) -> dict[str, object]:
    synset = wordnet.synset(one.wnid)
    above = [wordnet.synset(parent) for parent in (*synset.hypernyms, *synset.instance_hypernyms)]
    return {
        "id": one.index + 1,
        "name": one.display,
        "supercategory": above[0].name if above else synset.name,
        "wnid": one.wnid,
        "synset": synset.name,
        "hypernyms": [{"wnid": parent.wnid, "name": parent.name} for parent in above],
    }


def _frequency(tally: Tally | None) -> dict[str, object]:
    """LVIS's measure of how common a category is: rare up to 10 images of train, common up to 100, else frequent."""
    images, boxes = (tally.images, tally.boxes) if tally else (0, 0)
    return {"image_count": images, "instance_count": boxes, "frequency": "rcf"[(images > 10) + (images > 100)]}


def read_back(root: Path) -> Iterator[ReadBack]:
    """The images with the boxes of their split's file, both read as they are needed."""
    for file in sorted((root / "annotations").glob("instances_*.json")):
        split = file.stem.removeprefix("instances_")
        number_of = {one["wnid"]: one["id"] for one in _records(file, "categories")}
        by_image = groupby(_records(file, "annotations"), key=lambda one: one["image_id"])
        of, boxes = next(by_image, (None, iter(())))
        for image in _records(file, "images"):
            found: list[tuple[int, float, float, float, float]] = []
            if of == image["id"]:
                size = {"width": image["width"], "height": image["height"]}
                found = [(one["category_id"] - 1, *bbox.from_coco(*one["bbox"], **size)) for one in boxes]
                of, boxes = next(by_image, (None, iter(())))
            path = root / "images" / split / image["file_name"]
            yield ReadBack(path.stem, split, number_of[image["wnid"]] - 1, tuple(found), path.read_bytes)
        if of is not None:
            message = f"{file}: found annotations of the image {of}, which is not listed, or not in its order."
            raise FormatError(message, code="label_unread")


def _records(file: Path, key: str) -> Iterator[dict[str, Any]]:
    """The records of a list, a line each; FormatError where the file is not as it was written."""
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
    """What pycocotools finds in each split."""
    from importlib.metadata import version

    from pycocotools.coco import COCO

    images, boxes, classes = {}, {}, None
    for file in sorted((root / "annotations").glob("instances_*.json")):
        split = file.stem.removeprefix("instances_")
        with redirect_stdout(StringIO()):  # it tells how long it takes
            found = COCO(str(file))
        images[split], boxes[split] = {-1: len(found.getImgIds())}, len(found.getAnnIds())
        classes = tuple(one["name"] for one in found.loadCats(found.getCatIds()))
    return Loaded(f"pycocotools {version('pycocotools')} COCO", classes, "display", images, boxes)
