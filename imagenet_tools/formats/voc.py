"""Pascal VOC: images, an XML file of boxes for each, and lists of the splits.

    root/VOCdevkit/VOC2012/JPEGImages/n02085620_10074.jpg
    root/VOCdevkit/VOC2012/Annotations/n02085620_10074.xml
    root/VOCdevkit/VOC2012/ImageSets/Main/train.txt         a stem a line; also val.txt, test.txt, trainval.txt

Loaders put .jpg behind a stem of the lists, so every image is called so, whatever its encoding. Pixels are counted
from 1, and xmax and ymax are the last of the box: whole numbers, so a box moves by up to half a pixel where it was no
whole number of pixels. They are pixels of the raster as it is stored: loaders of VOC do not turn images. <name> is the
display name of classes.json, or the wnid with --names wnid. The lists that say of every class whether each image holds
it are not written: nobody looked for other classes, so most of their lines would be false.
"""

from __future__ import annotations

import json
from itertools import chain
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

import numpy as np

from imagenet_tools.annotations import bbox
from imagenet_tools.annotations.annotation import parse
from imagenet_tools.errors import FormatError
from imagenet_tools.exports.job import FilePerImage
from imagenet_tools.exports.names import check_stems
from imagenet_tools.exports.writer import Loaded, ReadBack, Writes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from imagenet_tools.exports.job import Job
    from imagenet_tools.exports.plan import Plan
    from imagenet_tools.exports.writer import Row, Shard

WRITES = Writes(
    keeps=("image_id", "split", "boxes", "length", "width", "height", "mode", "encoding", "orientation"),
    detection=True,
    boxes=True,
    whole_pixels=True,
    files_per_image=2,
)

_ROOT = "VOCdevkit/VOC2012"
_CHANNELS = {"1": 1, "L": 1, "I": 1, "F": 1, "I;16": 1, "LA": 2, "P": 1, "RGBA": 4, "CMYK": 4}


def hazards(plan: Plan) -> Iterator[str]:
    """All splits share one folder; boxes of ImageNet are partial, and a detector should know."""
    check_stems(plan.selection, within="true")
    yield "boxes are partial: in each image, only objects of its own class are boxed"


def open_shard(job: Job, shard: Shard) -> FilePerImage:
    """JPEGImages/ and Annotations/; an image without boxes has an annotation without objects."""
    plain = job.plan.options.names == "wnid"
    names = [escape(one.wnid if plain else one.display) for one in job.plan.classes]
    return FilePerImage(
        job,
        lambda row: f"{_ROOT}/JPEGImages/{row.stem}.jpg",
        beside=lambda row: ((f"{_ROOT}/Annotations/{row.stem}.xml", _xml(row, names)),),
    )


def finish(job: Job) -> None:
    """The lists of the splits; trainval is train and then val."""
    lists = {split: (split,) for split in job.plan.splits} | {"trainval": ("train", "val")}
    for name, splits in lists.items():
        if set(splits) & set(job.plan.splits):
            rows = chain.from_iterable(job.rows(split) for split in splits)
            job.write(f"{_ROOT}/ImageSets/Main/{name}.txt", (f"{row.stem}\n".encode() for row in rows))


def _xml(row: Row, names: list[str]) -> bytes:
    name = escape(f"{row.stem}.jpg")
    lines = [
        "<annotation>",
        f"\t<folder>VOC2012</folder>\n\t<filename>{name}</filename>",
        f"\t<source>\n\t\t<database>ImageNet</database>\n\t\t<annotation>{escape(row.dataset)}</annotation>\n\t</source>",
        f"\t<size>\n\t\t<width>{row.box_width}</width>\n\t\t<height>{row.box_height}</height>",
        f"\t\t<depth>{_CHANNELS.get(row.mode, 3)}</depth>\n\t</size>\n\t<segmented>0</segmented>",
    ]
    edges = np.array([(box.left, box.top, box.right, box.bottom) for box in row.boxes]).reshape(-1, 4)
    pixels = np.stack(bbox.voc(*edges.T, width=row.box_width, height=row.box_height), axis=1).tolist()
    for box, corners in zip(row.boxes, pixels, strict=True):
        numbers = zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True)
        lines += [
            f"\t<object>\n\t\t<name>{names[box.class_index]}</name>",
            f"\t\t<pose>{escape(box.pose or 'Unspecified')}</pose>",
            f"\t\t<truncated>{int(box.truncated or 0)}</truncated>",
            f"\t\t<difficult>{int(box.difficult or 0)}</difficult>",
            "\t\t<bndbox>",
            *(f"\t\t\t<{edge}>{number}</{edge}>" for edge, number in numbers),
            "\t\t</bndbox>\n\t</object>",
        ]
    return ("\n".join([*lines, "</annotation>"]) + "\n").encode()


def read_back(root: Path) -> Iterator[ReadBack]:
    """The images of the lists with the boxes of their files; classes by the names in classes.json."""
    listed = json.loads((root / "classes.json").read_text())["classes"]
    index_of = {one[key]: one["index"] for key in ("display", "wnid") for one in listed}
    folder = root / _ROOT
    for file in sorted((folder / "ImageSets" / "Main").glob("*.txt")):
        for stem in file.read_text().splitlines() if file.stem != "trainval" else ():
            path = folder / "Annotations" / f"{stem}.xml"
            said = parse(path.read_bytes())
            if said.width is None or said.height is None or said.filename != f"{stem}.jpg":
                message = f"{path}: found no size, or the name {said.filename}; expected {stem}.jpg."
                raise FormatError(message, code="label_unread")
            boxes = []
            for one in said.objects:
                edges = (one.xmin, one.ymin, one.xmax, one.ymax)
                if one.name not in index_of or None in edges:
                    message = f"{path}: found an object of {one.name} at {edges}: no class of classes.json, or no box."
                    raise FormatError(message, code="label_unread")
                pixels = (float(edge or 0) for edge in edges)
                boxes.append((index_of[one.name], *bbox.from_voc(*pixels, width=said.width, height=said.height)))
            yield ReadBack(stem, file.stem, None, tuple(boxes), (folder / "JPEGImages" / f"{stem}.jpg").read_bytes)


def load(root: Path) -> Loaded:
    """What torchvision's VOCDetection finds in each split."""
    import xml.etree.ElementTree as ET

    import torchvision
    from torchvision.datasets import VOCDetection

    images, boxes = {}, {}
    for file in sorted((root / _ROOT / "ImageSets" / "Main").glob("*.txt")):
        if file.stem != "trainval":
            found = VOCDetection(str(root), year="2012", image_set=file.stem)
            read = (found.parse_voc_xml(ET.parse(path).getroot())["annotation"] for path in found.annotations)
            images[file.stem] = {-1: len(found.images)}
            boxes[file.stem] = sum(len(one["object"]) for one in read)
    return Loaded(f"torchvision {torchvision.__version__} VOCDetection", None, "display", images, boxes)
