"""Write COCO's instances in JSON: images in one folder for each split, and one file of all boxes for each split.

    root/images/train/n02085620_10074.JPEG
    root/annotations/instances_train.json
        info, licenses      ImageNet's terms
        categories          the same in every split, images or none: see formats/_shared/coco_json.py
        images              id, file_name, width, height, license, wnid, neg_category_ids, not_exhaustive_category_ids
        annotations         id, image_id, category_id, bbox, area, iscrowd 0, segmentation []

The lock, recipe and manifest of an export are at its root, beside classes.json: see exports.manifest.

bbox is [x, y, width, height] in pixels of the raster as stored, from 0, not rounded to whole pixels: loaders of COCO
open images with Pillow, and do not apply the EXIF orientation. Ids are unique over all splits.

Annotation is partial, and is marked as in LVIS. A category is judged in an image only if it is annotated there or
listed in neg_category_ids, which is always empty: nobody looked for other classes. not_exhaustive_category_ids names
the image's own class if some of its objects may have no box. This holds for images without boxes, for images outside
ILSVRC, whose images have every object of their class boxed, and for boxes that options left out. It also holds where
classes were joined: a picture of a beagle may show another dog, which has no box.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping
from contextlib import redirect_stdout
from io import StringIO
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from imagenet_tools import arrays
from imagenet_tools.annotations import bbox
from imagenet_tools.errors import FormatError
from imagenet_tools.exports.description import TERMS
from imagenet_tools.exports.job import FilePerImage, Job
from imagenet_tools.exports.writer import Loaded, ReadBack, Shard, Writes
from imagenet_tools.formats._shared.coco_json import as_json, categories, category_ids, category_records, records
from imagenet_tools.formats._shared.contract import no_hazards

if TYPE_CHECKING:
    import numpy.typing as npt
    import pyarrow as pa

    from imagenet_tools.exports.rows import BoxColumns

WRITES = Writes(detection=True, boxes=True, files_per_image=1)

_PIXEL_DECIMALS = 5
_WHOLE_SPELLED_BELOW = 1e10  # Arrow gives greater whole numbers an exponent
_COPIED_BYTES = 1 << 20


hazards = no_hazards


def open_shard(job: Job, shard: Shard) -> FilePerImage:
    """Return a sink for images/."""
    return FilePerImage(job, lambda row: f"images/{shard.split}/{row.name}")


def finish(job: Job) -> None:
    """Write the file of each split."""
    for split in job.plan.splits:
        # The annotations wait in a file, so that one pass over the rows makes both lists.
        with TemporaryFile(dir=job.done) as annotations:
            job.write(f"annotations/instances_{split}.json", _text(job, split, annotations))


def _text(job: Job, split: str, annotations: BinaryIO) -> Iterator[bytes]:
    info = {"description": f"ImageNet, {split}: {TERMS}", "url": "https://image-net.org"}
    terms = {"id": 1, "name": "ImageNet's terms of access", "url": "https://image-net.org/download"}
    listed = ",\n".join(map(as_json, category_records(job)))
    yield f'{{"info":{as_json(info)},\n"licenses":[{as_json(terms)}],\n"categories":[\n{listed}\n]'.encode()
    yield b',\n"images":['
    options = job.plan.options
    ids = category_ids(job.plan)
    all_boxes = not (options.square or options.min_box > 0 or options.bad_boxes == "drop")
    before = "\n"
    for columns, boxes in job.columns(split):
        if images := ",\n".join(_images(columns, boxes, ids, all_boxes=all_boxes)):
            yield (before + images).encode()
            before = ",\n"
        annotations.write(_annotations(columns, boxes, ids))
    yield b'\n],\n"annotations":['
    annotations.seek(len(","))
    yield from iter(functools.partial(annotations.read, _COPIED_BYTES), b"")
    yield b"\n]}\n"


def _images(
    columns: Mapping[str, Iterable[Any]], boxes: BoxColumns, ids: npt.NDArray[np.int64], *, all_boxes: bool
) -> Iterator[str]:
    """Yield the record of each image; `all_boxes` says that options left no box out."""
    names = ("number", "dataset", "stem", "suffix", "box_width", "box_height", "wnid", "official_wnid", "class_index")
    rows = zip(*(columns[name] for name in names), boxes.lengths.tolist(), strict=True)
    for number, dataset, stem, suffix, width, height, wnid, official_wnid, class_index, n_boxes in rows:
        exhaustive = all_boxes and n_boxes and dataset.startswith("ilsvrc") and wnid == official_wnid
        yield (
            f'{{"id":{number + 1},"file_name":{as_json(stem + suffix)},"width":{width},"height":{height},"license":1,'
            f'"wnid":"{wnid}","neg_category_ids":[],'
            f'"not_exhaustive_category_ids":{[] if exhaustive else [int(ids[class_index])]}}}'
        )


def _annotations(columns: Mapping[str, Iterable[Any]], boxes: BoxColumns, ids: npt.NDArray[np.int64]) -> memoryview:
    """Return the records of boxes, each with the comma and the line break before it.

    Arrow joins them: 150,000 boxes take it 0.16 s, and an f-string for each box 0.64 s.
    """
    import pyarrow.compute as pc

    numbers, widths, heights, firsts = (
        np.repeat(np.fromiter(columns[name], np.int64), boxes.lengths)
        for name in ("number", "box_width", "box_height", "first_box")
    )
    if not len(numbers):
        return memoryview(b"")
    starts = np.repeat(np.cumsum(boxes.lengths) - boxes.lengths, boxes.lengths)
    corners = [edge.round(_PIXEL_DECIMALS) + 0.0 for edge in bbox.coco(*boxes.edges, width=widths, height=heights)]
    areas = (corners[2] * corners[3]).round(_PIXEL_DECIMALS)
    parts = [*_integers(',\n{"id":', firsts + np.arange(len(numbers)) - starts + 1)]
    parts += _integers(',"image_id":', numbers + 1)
    parts += _integers(',"category_id":', ids[boxes.class_index])
    parts.append(_constant(',"bbox":['))
    for edge in corners[:3]:
        parts += _floats(edge, ", ")
    parts += _floats(corners[3], '],"area":')
    parts += _floats(areas, ',"iscrowd":0,"segmentation":[]}')
    joined = pc.binary_join_element_wise(*parts, _constant(""))
    _, ends, text = joined.buffers()
    return memoryview(text)[: np.frombuffer(ends, np.int32)[len(joined)]]


def _constant(text: str) -> pa.Scalar:
    return arrays.strings([text])[0]


def _integers(before: str, values: npt.NDArray[np.int64]) -> tuple[pa.Scalar, pa.Array]:
    return _constant(before), arrays.integers(values).cast("string")


def _floats(values: npt.NDArray[np.float64], after: str) -> tuple[pa.Array, pa.Array]:
    """Return numbers as Python spells them, and the text after each: Arrow spells 5.0 as 5."""
    whole = (values == np.floor(values)) & (values < _WHOLE_SPELLED_BELOW)
    return arrays.floats(values).cast("string"), arrays.strings([after, f".0{after}"]).take(arrays.integers(whole * 1))


def _split_files(root: Path) -> Iterator[tuple[str, Path]]:
    for file in sorted((root / "annotations").glob("instances_*.json")):
        yield file.stem.removeprefix("instances_"), file


def read_back(root: Path) -> Iterator[ReadBack]:
    """Yield the images with the boxes of their split's file; images and boxes are read together, in order."""
    for split, file in _split_files(root):
        # The place of a category is the index of its class, whatever its id. Without a wnid it is no class.
        listed = [(category["wnid"], category["id"]) for category in categories(file) if category["wnid"]]
        index_of = {key: index for index, keys in enumerate(listed) for key in keys}
        by_image = groupby(records(file, "annotations"), key=lambda record: record["image_id"])
        boxed_image, boxed = next(by_image, (None, iter(())))
        for image in records(file, "images"):
            boxes: list[tuple[int, float, float, float, float]] = []
            if boxed_image == image["id"]:
                size = {"width": image["width"], "height": image["height"]}
                boxes = [
                    (index_of[record["category_id"]], *bbox.from_coco(*record["bbox"], **size)) for record in boxed
                ]
                boxed_image, boxed = next(by_image, (None, iter(())))
            path = root / "images" / split / image["file_name"]
            yield ReadBack(path.stem, split, index_of[image["wnid"]], tuple(boxes), path.read_bytes)
        if boxed_image is not None:
            message = f"{file}: found annotations of the image {boxed_image}, which is not listed, or not in its order."
            raise FormatError(message, code="label_unread")


def load(root: Path) -> Loaded:
    """Return what pycocotools finds in each split."""
    from importlib.metadata import version

    from pycocotools.coco import COCO

    images, boxes, classes = {}, {}, None
    for split, file in _split_files(root):
        with redirect_stdout(StringIO()):  # COCO prints how long it takes
            loaded = COCO(str(file))
        images[split], boxes[split] = {-1: len(loaded.getImgIds())}, len(loaded.getAnnIds())
        classes = tuple(row["name"] for row in loaded.loadCats(loaded.getCatIds()) if row["wnid"])
    return Loaded(f"pycocotools {version('pycocotools')} COCO", classes, "display", images, boxes)
