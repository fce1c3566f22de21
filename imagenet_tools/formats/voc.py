"""Pascal VOC: images, an XML file of boxes for each image, and lists of the splits.

    root/VOCdevkit/VOC2012/JPEGImages/n02085620_10074.jpg
    root/VOCdevkit/VOC2012/Annotations/n02085620_10074.xml
    root/VOCdevkit/VOC2012/ImageSets/Main/train.txt         one stem a line; also val.txt, test.txt, trainval.txt

The lock, recipe and manifest of an export are at its root, beside classes.json: see exports.manifest.

Loaders append .jpg to a stem of the lists, so every image has this suffix, whatever its encoding. Pixels are counted
from 1, and xmax and ymax are the last pixels of the box. They are whole numbers, so an edge between two pixels moves by
up to half a pixel. They are pixels of the raster as stored: loaders of VOC do not apply the EXIF orientation. <name> is
the display name of classes.json, or the wnid with --names wnid. The lists that say for every class whether each image
has it are not written: nobody looked for other classes, so most of their lines would be false.
"""

from __future__ import annotations

import html
import json
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from imagenet_tools.annotations import bbox
from imagenet_tools.annotations.annotation import parse
from imagenet_tools.errors import ExportError, FormatError
from imagenet_tools.exports.job import FilePerImage, Job
from imagenet_tools.exports.plan import Plan
from imagenet_tools.exports.plan_checks import check_stems, refuse_images
from imagenet_tools.exports.writer import Loaded, ReadBack, Row, Shard, Writes
from imagenet_tools.formats._shared.contract import no_hazards

WRITES = Writes(detection=True, boxes=True, whole_pixels=True, files_per_image=2)

_ROOT = "VOCdevkit/VOC2012"
_LISTS = f"{_ROOT}/ImageSets/Main"
_BOTH = "trainval"
_CHANNELS = {"1": 1, "L": 1, "I": 1, "F": 1, "I;16": 1, "LA": 2, "P": 1, "RGBA": 4, "CMYK": 4}


def hazards(plan: Plan) -> Iterator[str]:
    """Yield nothing. ExportError: images of one stem, for all splits share a folder; or of names that no list holds."""
    check_stems(plan.selection, within="true")
    refuse_images(
        plan,
        r"SELECT image_id FROM made WHERE left_out IS NULL AND regexp_matches(image_id, '^\s|\s$|[\r\n]') ORDER BY 1",
        "have names that begin or end with a space, or of several lines",
        "A list of Pascal VOC has a name a line, without spaces around it. Rename such files, and index them again.",
    )
    if _BOTH in plan.splits and {"train", "val"} & set(plan.splits):
        raise ExportError(
            f"A split is called {_BOTH}, as the list of train and val together is in Pascal VOC. Give it another name."
        )
    return no_hazards(plan)


def open_shard(job: Job, shard: Shard) -> FilePerImage:
    """Return a sink for JPEGImages/ and Annotations/; an image without boxes has an annotation without objects."""
    by_wnid = job.plan.options.names == "wnid"
    names = [_escape(cls.wnid if by_wnid else cls.display) for cls in job.plan.classes]
    return FilePerImage(
        job,
        lambda row: f"{_ROOT}/JPEGImages/{row.stem}.jpg",
        beside=lambda row: ((f"{_ROOT}/Annotations/{row.stem}.xml", _xml(row, names)),),
    )


def finish(job: Job) -> None:
    """Write the lists of the splits; trainval is train, then val, unless a split is called so."""
    lists = {_BOTH: ("train", "val")} | {split: (split,) for split in job.plan.splits}
    for name, splits in lists.items():
        if set(splits) & set(job.plan.splits):
            rows = chain.from_iterable(job.rows(split) for split in splits)
            job.write(f"{_LISTS}/{name}.txt", (f"{row.stem}\n".encode() for row in rows))


def _xml(row: Row, names: list[str]) -> bytes:
    lines = [
        "<annotation>",
        f"\t<folder>VOC2012</folder>\n\t<filename>{_escape(f'{row.stem}.jpg')}</filename>",
        f"\t<source>\n\t\t<database>ImageNet</database>\n\t\t<annotation>{_escape(row.dataset)}</annotation>\n\t</source>",
        f"\t<size>\n\t\t<width>{row.box_width}</width>\n\t\t<height>{row.box_height}</height>",
        f"\t\t<depth>{_CHANNELS.get(row.mode, 3)}</depth>\n\t</size>\n\t<segmented>0</segmented>",
    ]
    size = {"width": row.box_width, "height": row.box_height}
    for box in row.boxes:
        corners = bbox.voc(box.left, box.top, box.right, box.bottom, **size)
        numbers = zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True)
        lines += [
            f"\t<object>\n\t\t<name>{names[box.class_index]}</name>",
            f"\t\t<pose>{_escape(box.pose or 'Unspecified')}</pose>",
            f"\t\t<truncated>{int(box.truncated or 0)}</truncated>",
            f"\t\t<difficult>{int(box.difficult or 0)}</difficult>",
            "\t\t<bndbox>",
            *(f"\t\t\t<{edge}>{number}</{edge}>" for edge, number in numbers),
            "\t\t</bndbox>\n\t</object>",
        ]
    return ("\n".join([*lines, "</annotation>"]) + "\n").encode()


def _split_lists(root: Path) -> list[Path]:
    """Return the lists of the splits; trainval is one if there is no list of train or val."""
    files = {file.stem: file for file in sorted((root / _LISTS).glob("*.txt"))}
    return [file for split, file in files.items() if split != _BOTH or not {"train", "val"} & files.keys()]


def read_back(root: Path) -> Iterator[ReadBack]:
    """Yield the images of the lists with the boxes of their files; classes by the names in classes.json."""
    classes = json.loads((root / "classes.json").read_text())["classes"]
    index_of = {cls[key]: cls["index"] for key in ("display", "wnid") for cls in classes}
    for file in _split_lists(root):
        for stem in filter(None, file.read_text().split("\n")):
            boxes = tuple(_read_boxes(root / _ROOT / "Annotations" / f"{stem}.xml", index_of))
            yield ReadBack(stem, file.stem, None, boxes, (root / _ROOT / "JPEGImages" / f"{stem}.jpg").read_bytes)


def _read_boxes(path: Path, index_of: dict[str, int]) -> Iterator[tuple[int, float, float, float, float]]:
    annotation = parse(path.read_bytes())
    width, height = annotation.width, annotation.height
    if width is None or height is None or annotation.filename != f"{path.stem}.jpg":
        message = f"{path}: found no size, or the name {annotation.filename}; expected {path.stem}.jpg."
        raise FormatError(message, code="label_unread")
    for item in annotation.objects:
        edges = (item.xmin, item.ymin, item.xmax, item.ymax)
        if item.name not in index_of or None in edges:
            message = f"{path}: found an object of {item.name} at {edges}: no class of classes.json, or no box."
            raise FormatError(message, code="label_unread")
        pixels = (float(edge or 0) for edge in edges)
        yield index_of[item.name], *bbox.from_voc(*pixels, width=width, height=height)


def load(root: Path) -> Loaded:
    """Return what torchvision's VOCDetection finds in each split."""
    import xml.etree.ElementTree as ET

    import torchvision
    from torchvision.datasets import VOCDetection

    images, boxes = {}, {}
    for file in _split_lists(root):
        loaded = VOCDetection(str(root), year="2012", image_set=file.stem)
        read = (loaded.parse_voc_xml(ET.parse(path).getroot())["annotation"] for path in loaded.annotations)
        images[file.stem] = {-1: len(loaded.images)}
        boxes[file.stem] = sum(len(annotation["object"]) for annotation in read)
    return Loaded(f"torchvision {torchvision.__version__} VOCDetection", None, "display", images, boxes)


def _escape(text: str) -> str:
    # The same as xml.sax.saxutils.escape, which imports urllib: 15 ms of every build, which imports all formats.
    return html.escape(text, quote=False)
