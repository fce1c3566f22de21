"""TFRecord shards of ImageNet, without TensorFlow: the classic ones with boxes, and those of TensorFlow Datasets.

    train-00000-of-01024 ...                    as build_imagenet_data.py writes them; also in train/ and validation/
    validation-00000-of-00128 ...
        image/encoded, image/filename           the image is a byte range of the shard
        image/class/label, image/class/synset   1 to 1,000 in sorted order of the wnids (0 is the background); the wnid
        image/object/bbox/xmin, ymin, xmax, ymax, label     fractions of the image, 0 to 1; a list each

    imagenet2012/5.1.0/                         <data_dir>/<name>/[<config>/]<version>/
        imagenet2012-train.tfrecord-00000-of-01024 ...      features image, file_name, label: 0 to 999, sorted order
        imagenet2012-validation.tfrecord-00000-of-00064 ...
        imagenet2012-test.tfrecord-00000-of-00128 ...       label -1
        dataset_info.json  features.json  label.labels.txt

Both hold 23 training images that TensorFlow's converters encoded again. The names of the images decide the meaning of
class numbers, which are never trusted alone. A box keeps its values: fractions of a stated size of 1 by 1, with the
flag `fractions`.

formats/tfrecord/shards.py writes classic shards, which TensorFlow Datasets opens too, and draws their layout.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from imagenet_tools.annotations.annotation import Object
from imagenet_tools.annotations.annotation_rows import AnnotationRows
from imagenet_tools.containers import tfrecords
from imagenet_tools.containers.tfrecords import Example, read_example
from imagenet_tools.errors import FormatError
from imagenet_tools.formats._shared import sharding
from imagenet_tools.formats._shared.contract import gathers, names_in
from imagenet_tools.formats.tfrecord.shards import WRITES, finish, hazards, load, open_shard, read_back  # noqa: F401
from imagenet_tools.images.detection import dataset_name
from imagenet_tools.images.image_rows import HEAD, ImageRows, reencoded
from imagenet_tools.images.jpeg import reader_at
from imagenet_tools.images.numbering import check_label, meaning_of
from imagenet_tools.units import Detection, Reads, Unit, unit_file
from imagenet_tools.wordnet.wnid import SPLIT_FOLDERS, is_wnid, keeps_imagenet_name

READS = Reads(
    holds=("images", "boxes"),
    beside=frozenset({"dataset_info.json", "features.json", "label.labels.txt", "image.class.label.labels.txt"}),
    problems={
        "no_name": "an image whose file name is none of ImageNet's, and so without an id; it is not indexed",
        "no_image": "an Example without an image",
        "boxes_unread": "lists of edges that are not of one length; the image is kept without boxes",
        "reencoded": "one of the 23 images that TensorFlow's converters encode again",
    },
)

_SHARD = re.compile(
    r"(?:(?P<name>\w+)-)?(?P<split>[A-Za-z0-9_]+)(?:\.tfrecords?)?-(?P<number>\d+)-of-(?P<of>\d+)", re.ASCII
)
_VERSION = re.compile(r"\d+\.\d+\.\d+")
# Data sets of TensorFlow Datasets that hold ILSVRC2012's own images.
_ORIGINALS = re.compile(r"imagenet2012(?:_(?:real|subset|multilabel|fewshot))?")

_LOOKED_AT_RECORDS = 64


def _describe(path: Path, shard_set: sharding.ShardSet[Example]) -> Detection:
    name = shard_set.name
    dataset, readings = shard_set.dataset(name or path.name)
    if name:
        dataset, readings = "ilsvrc2012" if _ORIGINALS.fullmatch(name) else dataset_name(name), ()
    holds = ("images", "boxes") if any(image.facts.boxes for image in shard_set.images) else ("images",)
    evidence = shard_set.evidence(f"TensorFlow Datasets' {name}" if name else "", shard_set.reading.evidence)
    about = (evidence, shard_set.splits, shard_set.missing, shard_set.labelling(dataset), readings)
    return Detection("tfrecord", shard_set.home if path.is_dir() else path, dataset, holds, *about)


def _files(path: Path) -> list[Path]:
    """Return the files at a path that are named as shards are, or the one file, whatever its name."""
    if path.is_file():
        return [path]
    if not path.is_dir():
        return []
    folders = [path, *(path / split for split in SPLIT_FOLDERS if (path / split).is_dir())]
    below = [path]
    for _ in range(3):  # <name>/<config>/<version>
        below = [folder for above in below for folder in _dataset_folders(above)]
        folders += below
    return [folder / name for folder in folders for name in names_in(folder, _SHARD.fullmatch)]


def _dataset_folders(folder: Path) -> list[Path]:
    """Return the folders in a folder that are named as a data set of ImageNet, a configuration or a version of one."""
    inside = folder.name.startswith("imagenet")

    def matches(name: str) -> bool:
        named = name.startswith("imagenet") or _VERSION.fullmatch(name) or (inside and not is_wnid(name))
        return bool(named) and not name.startswith(".")

    return [folder / name for name in names_in(folder, matches, folders=True)]


def _parse(file: Path) -> sharding.ShardName:
    match = _SHARD.fullmatch(file.name)
    name, word, of = (match["name"] or "", match["split"], int(match["of"])) if match else ("", "", 0)
    home = file.parent.parent if file.parent.name in SPLIT_FOLDERS and not name else file.parent
    return sharding.ShardName(home, name, f"{file.parent}/{word}", SPLIT_FOLDERS.get(word.lower()), of)


def _look(files: Sequence[Path]) -> list[sharding.FirstImage[Example]]:
    return [image for file in sharding.spread(files) for image in _first_images(file)]


def _first_images(path: Path) -> Iterator[sharding.FirstImage[Example]]:
    """Yield the images of the first records of a file; none if it is no TFRecord."""
    # The records before a break identify the shard; the scan reports the break.
    with path.open("rb", buffering=0) as file, contextlib.suppress(FormatError):
        fd = file.fileno()
        for record in islice(tfrecords.walk(fd, path.name), _LOOKED_AT_RECORDS):
            example = read_example(fd, record, path.name)
            if example.image:
                stem = example.exported_id or example.stem_and_class[0]
                numbers = () if example.number is None else (example.number,)
                yield sharding.FirstImage(example.name, stem, sharding.class_of_stem(stem), numbers, example)


_SHARDS = sharding.ShardForm("tfrecord", "TFRecord", _files, _parse, _look, _describe)

detect = _SHARDS.detect
units = _SHARDS.units
files = unit_file


@gathers(ImageRows, AnnotationRows)
def scan(unit: Unit, rows: ImageRows, boxes: AnnotationRows) -> Iterator[None]:
    """Add the images and the boxes of a shard; an unusable record becomes a problem."""
    with unit.path.open("rb", buffering=0) as file:
        fd = file.fileno()
        for n, record in enumerate(tfrecords.walk(fd, unit.file)):
            try:
                example = read_example(fd, record, unit.file)
            except FormatError as error:
                rows.problem(error.code, unit.file, str(error), f"record {n}")
                continue
            stem = example.exported_id or example.stem_and_class[0]
            if not example.exported_id and not keeps_imagenet_name(stem):
                reason = f"record {n} is called {example.name!r}; expected a name such as n01440764_10026.JPEG"
                rows.problem("no_name", unit.file, reason, f"record {n}")
            elif example.image is None:
                rows.problem("no_image", unit.file, f"record {n} has no image", example.name, stem)
            else:
                _add_image(rows, fd, example, example.image)
                _add_boxes(boxes, unit, example, stem)
            yield


def _add_image(rows: ImageRows, fd: int, example: Example, image: tfrecords.Range) -> None:
    """Add the image of an Example, and its problems."""
    unit, (stem, wnid) = rows.unit, example.stem_and_class
    if example.exported_id:
        stem, wnid = example.exported_id, None
    more = reader_at(fd, image.offset)
    head = more(0, min(HEAD, image.length))
    rows.add(
        stem,
        file=unit.file,
        member=None if example.name == f"{stem}.JPEG" else example.name,
        offset=image.offset,
        length=image.length,
        head=head,
        more=more,
        wnid=wnid or (example.synset if example.synset and is_wnid(example.synset) else None),
    )
    check_label(rows, stem, example.number, meaning_of(unit.numbers), unit.file, example.name)
    if change := reencoded(stem, head, image.length, more):
        rows.problem("reencoded", unit.file, change, example.name, stem)


def _add_boxes(boxes: AnnotationRows, unit: Unit, example: Example, stem: str) -> None:
    """Add the boxes of an Example as fractions of a stated size of 1 by 1, of the class of their image."""
    if example.problem:
        boxes.problem("boxes_unread", unit.file, example.problem, example.name, stem)
    image_class = example.synset if unit.superclasses else sharding.class_of_stem(stem)
    for left, top, right, bottom, name in example.boxes:
        wnid = name if name and is_wnid(name) else image_class
        flags = ("fractions",) if wnid == image_class else ("fractions", "name_differs")
        box = Object(name, None, None, None, left, top, right, bottom, flags)
        boxes.box(stem, wnid, unit.file, box, size=(1, 1))
