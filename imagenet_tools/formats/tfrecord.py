"""TFRecord shards of ImageNet, read without TensorFlow: the classic ones with boxes, and TensorFlow Datasets'.

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

Both hold 23 training images encoded anew. Class numbers are decided from the names and never trusted. A box is kept as
it is given: fractions of a stated size of 1 by 1, with the flag `fractions`.
"""

from __future__ import annotations

import contextlib
import os
import re
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from imagenet_tools.annotations.annotation_rows import AnnotatedBox, AnnotationRows
from imagenet_tools.catalogue import labels
from imagenet_tools.containers import tfrecords
from imagenet_tools.containers.tfrecords import Example, read_example
from imagenet_tools.errors import FormatError
from imagenet_tools.images import image_rows, numbering
from imagenet_tools.images.image_rows import ImageRows, reencoded
from imagenet_tools.images.numbering import Numbering, hold_label, read_numbers, shard_units
from imagenet_tools.images.shards import dataset_told, nameless, own_name, split_told, spread
from imagenet_tools.units import Detection, Labelling, Reads, Unit, unit_file
from imagenet_tools.wordnet.wnid import SPLIT_FOLDERS, is_wnid, keeps_imagenet_name, wnid_of_stem
from imagenet_tools.wordnet.wordnet import find_row

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pyarrow as pa


# What scan() may report, for the table problems.
READS = Reads(
    holds=("images", "boxes"),
    beside=frozenset({"dataset_info.json", "features.json", "label.labels.txt"}),
    problems=image_rows.PROBLEMS
    | numbering.PROBLEMS
    | tfrecords.PROBLEMS
    | {
        "no_name": "an image whose file name is none of ImageNet's, and so without an id; it is not indexed",
        "no_image": "an Example without an image",
        "boxes_unread": "lists of edges that are not of one length; the image is kept without boxes",
        "reencoded": "one of the 23 images that TensorFlow's converters encode anew",
    },
)

_SHARD = re.compile(
    r"(?:(?P<name>\w+)-)?(?P<split>[A-Za-z0-9_]+)(?:\.tfrecords?)?-(?P<number>\d+)-of-(?P<of>\d+)", re.ASCII
)
_VERSION = re.compile(r"\d+\.\d+\.\d+")
# Data sets of TensorFlow Datasets that hold ILSVRC2012's own images.
_ORIGINALS = re.compile(r"imagenet2012(?:_(?:real|subset|multilabel|fewshot))?")

# Records that are looked at of each of some shards of a split, and bytes of an image.
_SEEN, _HEAD = 64, 4096


class _RecordGroup(NamedTuple):
    """Shards of one data set and split, and what the first records of the first of them are."""

    folder: Path
    name: str  # of TensorFlow Datasets' data set; "" for the classic ones
    split: str | None
    shards: list[Path]
    of: int | None
    seen: list[Example]  # those with a name of ImageNet's


def detect(path: Path) -> list[Detection]:
    """The shards in a folder, in those of TensorFlow Datasets below it, or one file; told by their first Examples."""
    groups = _groups(path)
    named = [one for one in groups if one.seen]
    kinds = dict.fromkeys((_home(group), group.name) for group in named)
    if named or not groups:
        return [_detect(path, [one for one in named if (_home(one), one.name) == kind]) for kind in kinds]
    what = f"{sum(len(one.shards) for one in groups):,} TFRecord shards whose images have none of ImageNet's names"
    return nameless("tfrecord", path, groups[0].name, what)


def _home(group: _RecordGroup) -> Path:
    """The folder that the splits of a data set share."""
    return group.folder.parent if group.folder.name in SPLIT_FOLDERS and not group.name else group.folder


def _detect(path: Path, groups: list[_RecordGroup]) -> Detection:
    seen = [example for group in groups for example in group.seen]
    stems = [example.told[0] for example in seen]
    classes = [wnid_of_stem(stem) or labels.validation_wnid(stem) for stem in stems]
    numbers = ((wnid, example.number) for wnid, example in zip(classes, seen, strict=True))
    reading = read_numbers((wnid, n) for wnid, n in numbers if wnid is not None and n is not None and n >= 0)
    name = groups[0].name
    wnids = {wnid for wnid in classes if wnid}
    dataset, readings = dataset_told(stems, wnids, name=name or path.name, reading=reading)
    if name:
        dataset, readings = "ilsvrc2012" if _ORIGINALS.fullmatch(name) else own_name(name), ()
    n = sum(len(group.shards) for group in groups)
    kind = f" of TensorFlow Datasets' {name}" if name else ""
    what = f"{n:,} TFRecord shard{'' if n == 1 else 's'}{kind}, the first image {stems[0]}; {reading.evidence}"
    by = "class numbers, held against the images' names"
    labelling = reading.numbering.labelling(by) if reading.numbering else Labelling("the images' names", dataset)
    splits = tuple(dict.fromkeys(group.split for group in groups if group.split))
    missing = "; ".join(
        f"{group.of - len(group.shards):,} of {group.of:,} shards of {group.split or 'the data set'}"
        for group in groups
        if group.of is not None and len(group.shards) < group.of
    )
    boxed = any(example.boxes for example in seen)
    holds = ("images", "boxes") if boxed else ("images",)
    place = _home(groups[0]) if path.is_dir() else path
    return Detection("tfrecord", place, dataset, holds, what, splits, missing, labelling, readings)


def _groups(path: Path) -> list[_RecordGroup]:
    """The shards at a path by data set and split: training, validation, test."""
    shards: dict[tuple[Path, str, str], list[Path]] = {}
    for file in _files(path):
        found = _SHARD.fullmatch(file.name)
        name, split = ((found["name"] or ""), found["split"]) if found else ("", "")
        shards.setdefault((file.parent, name, split), []).append(file)
    groups: list[_RecordGroup] = []
    for (folder, name, called), files in shards.items():
        images = [example for file in spread(files) for example in _first_examples(file)]
        seen = [example for example in images if _is_imagenets(example)]
        split = split_told((example.told[0] for example in seen), SPLIT_FOLDERS.get(called.lower()))
        counts = [int(found["of"]) for file in files if (found := _SHARD.fullmatch(file.name))]
        if images:
            groups.append(_RecordGroup(folder, name, split, files, max(counts, default=None), seen))
    return sorted(groups, key=lambda one: (_home(one), one.name, ["train", "val", "test", None].index(one.split)))


def _files(path: Path) -> list[Path]:
    """The files at a path that are named as shards are, or the one file, whatever it is called."""
    if path.is_file():
        return [path]
    if not path.is_dir():
        return []
    folders = [path, *(path / split for split in SPLIT_FOLDERS if (path / split).is_dir())]
    above = [path]
    for _ in range(3):  # <name>/<config>/<version>
        above = [folder for one in above for folder in _below(one)]
        folders += above
    found: list[Path] = []
    for folder in folders:
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries if _SHARD.fullmatch(entry.name) and entry.is_file())
        found += [folder / name for name in names]
    return found


def _below(folder: Path) -> list[Path]:
    """The folders in a folder that are called as a data set of ImageNet, a configuration or a version of one is."""
    inside = folder.name.startswith("imagenet")
    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))
    return [
        folder / name
        for name in names
        if name.startswith("imagenet") or _VERSION.fullmatch(name) or (inside and not is_wnid(name))
    ]


def _first_examples(path: Path) -> list[Example]:
    """The first records of a file that hold an image; none where it is no TFRecord."""
    found: list[Example] = []
    # What comes before a break tells the form; the scan reports the break.
    with path.open("rb", buffering=0) as file, contextlib.suppress(FormatError):
        fd = file.fileno()
        for record in islice(tfrecords.walk(fd, path.name), _SEEN):
            example = read_example(fd, record, path.name)
            if example.image:
                found.append(example)
    return found


def _is_imagenets(example: Example) -> bool:
    """Whether an image is named as ImageNet's are, and its class, where the name tells one, exists."""
    stem = example.told[0]
    wnid = wnid_of_stem(stem)
    return keeps_imagenet_name(stem) and (wnid is None or find_row(wnid) is not None)


def units(found: Detection, source: str, root: Path) -> Iterator[Unit]:
    """One unit a shard, by split and number."""
    shards = ((group.split, shard) for group in _groups(found.path) if group.seen for shard in group.shards)
    return shard_units("tfrecord", found, source, root, shards)


files = unit_file


def scan(unit: Unit) -> Iterator[tuple[str, pa.RecordBatch]]:
    """The images and the boxes of a shard; a record that cannot be used becomes a problem."""
    rows, boxes = ImageRows(unit), AnnotationRows(unit)
    meaning = Numbering.parse(unit.numbers)
    with unit.path.open("rb", buffering=0) as file:
        fd = file.fileno()
        try:
            for n, record in enumerate(tfrecords.walk(fd, unit.file)):
                try:
                    example = read_example(fd, record, unit.file)
                except FormatError as error:
                    rows.problem(error.code, unit.file, str(error), f"record {n}")
                    continue
                _add(rows, unit, n, fd, example, meaning)
                _add_boxes(boxes, unit, example)
                if rows.full() or boxes.full():
                    yield from rows.batches()
                    yield from boxes.batches()
        except FormatError as error:
            # The good records before the break are kept; the break is said.
            rows.problem(error.code, unit.file, str(error))
    yield from rows.batches()
    yield from boxes.batches()


def _add(rows: ImageRows, unit: Unit, n: int, fd: int, example: Example, meaning: Numbering | None) -> None:
    """Add the image of an Example, and what is wrong with it."""
    (stem, put), image = example.told, example.image
    if not keeps_imagenet_name(stem):
        reason = f"record {n:,} is called {example.name!r}; expected a name such as n01440764_10026.JPEG"
        rows.problem("no_name", unit.file, reason, f"record {n}")
        return
    if image is None:
        rows.problem("no_image", unit.file, f"record {n:,} has no image", example.name, stem)
        return

    def more(offset: int, size: int) -> bytes:
        return os.pread(fd, size, image.offset + offset)

    head = more(0, min(_HEAD, image.length))
    rows.add(
        stem,
        file=unit.file,
        member=None if example.name == f"{stem}.JPEG" else example.name,
        offset=image.offset,
        length=image.length,
        head=head,
        more=more,
        wnid=put or (example.synset if example.synset and is_wnid(example.synset) else None),
    )
    hold_label(rows, stem, example.number, meaning, unit.file, example.name)
    if anew := reencoded(stem, head, image.length, more):
        rows.problem("reencoded", unit.file, anew, example.name, stem)


def _add_boxes(boxes: AnnotationRows, unit: Unit, example: Example) -> None:
    """Add the boxes of an Example: fractions of a stated size of 1 by 1, of the class of their image."""
    stem, _ = example.told
    if not keeps_imagenet_name(stem) or example.image is None:
        return
    if example.problem:
        boxes.problem("boxes_unread", unit.file, example.problem, example.name, stem)
    wnid = wnid_of_stem(stem) or labels.validation_wnid(stem)
    for left, top, right, bottom, name in example.boxes:
        said = name if name and is_wnid(name) else wnid
        flags = ("fractions", *(("name_differs",) if said != wnid else ()))
        boxes.box(AnnotatedBox(stem, said, left, top, right, bottom, unit.file, name, flags, 1, 1))
