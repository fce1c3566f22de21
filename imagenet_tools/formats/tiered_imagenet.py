"""tieredImageNet as its authors publish it: PNGs of 84 by 84 pixels in a pickle for each split, and their labels.

    train_images_png.pkl, train_labels.pkl      448,695 images of 351 classes; val 124,261 of 97, test 206,209 of 160
        a list of arrays, (bytes, 1), each the bytes of a PNG
        label_specific          of each image the place of its class in label_specific_str
        label_specific_str      the names of the classes, as class_names.txt has them
        label_general, label_general_str        the same of the 34 superclasses; not read
    synsets.txt, class_names.txt                the wnids of ILSVRC2012's classes and their names, a line each

A name means the class of the same line of synsets.txt if that file is there. Otherwise it means the class of the split
that has it, by the list tieredimagenet: by all its words, by the first one or by any, whichever finds one class. The
superclass follows from the class (--superclasses tieredimagenet). An image is called after its file and place,
train_images_png_0, and shares no photo with ILSVRC2012: which one it was made of is not stated.

The authors' lists of classes, train.csv and so on, are files of classes: see catalogue/user_files.py. A tree of class
folders is an image_folder. The arrays that loaders write again, train_images.npz, hold the same images, and are not
read.

Source: fewshot/data/tiered_imagenet.py and compress_tiered_imagenet.py of renmengye/few-shot-ssl-public on GitHub. The
names that open-mmlab/mmfewshot lists from the published pickles find their classes, 608 of 608, below the superclasses
that it gives them. The pickles are Python 2's of protocol 2, or Python 3's, and are read without being run: see
containers.array_pickles.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from imagenet_tools.catalogue import lists
from imagenet_tools.catalogue.identify_classes import classes_of_names
from imagenet_tools.containers import array_pickles
from imagenet_tools.containers.array_pickles import Array
from imagenet_tools.errors import FormatError
from imagenet_tools.formats._shared.array_batches import BAD_BATCH, PROBLEMS, integers, texts
from imagenet_tools.formats._shared.contract import files_by_split, gathers, unit_at
from imagenet_tools.images.image_rows import HEAD, ImageRows
from imagenet_tools.images.jpeg import reader_at
from imagenet_tools.text import count_of, joined, lacking, some_of
from imagenet_tools.units import Detection, FileRange, Labelling, Reads, Unit, files_beside, unit_file
from imagenet_tools.wordnet import wordnet
from imagenet_tools.wordnet.wnid import is_wnid

DATASET = "tieredimagenet"  # as its list of classes
_CLASS_LISTS = ("synsets.txt", "class_names.txt")
_IMAGES = {"train": 448_695, "val": 124_261, "test": 206_209}

READS = Reads(
    holds=("images",),
    beside=frozenset({*_CLASS_LISTS, *(f"{split}_labels.pkl" for split in _IMAGES)}),
    problems=PROBLEMS | {"no_class_name": "a class number that the file does not name; the image has no class"},
)

_END = "_images_png.pkl"
_NAME = re.compile(rf"(?:.*[-_])?(?P<split>{'|'.join(_IMAGES)}){_END}")


class _Labels(NamedTuple):
    """The labels of a split."""

    numbers: list[int]  # of each image
    names: list[str]  # of each number
    wnids: list[str | None]  # of each number


def detect(path: Path) -> list[Detection]:
    """Return the pickles of PNGs at a path by their names, with what the pickles of labels beside them state."""
    counts, fault = dict[str, int](), ""
    names = list[str]()
    for file, split in _files(path).items():
        try:
            labels = _labels(file, split)
        except FormatError as error:
            fault = fault or f"{_labels_file(file).name}: {error}"
            continue
        counts[split] = len(labels.numbers)
        names += labels.names
    if not counts:
        evidence = "tieredImageNet's pickles of PNGs whose labels cannot be read"
        return [Detection("tiered_imagenet", path, DATASET, (), evidence, advice=fault)] if fault else []
    rows = ", ".join(f"{count_of(n, 'label')} of {split}" for split, n in counts.items())
    evidence = f"tieredImageNet's pickles of PNGs with {rows}, in {count_of(len(names), 'class')}"
    lacks = (lacking(n, _IMAGES[split], f"images of {split}") for split, n in counts.items())
    missing = joined((lacking(len(counts), len(_IMAGES), "splits") if path.is_dir() else "", *lacks))
    about = (("images",), evidence, tuple(counts), missing, Labelling("the pickles of labels", DATASET))
    return [Detection("tiered_imagenet", path, DATASET, *about)]


def _files(path: Path) -> dict[Path, str]:
    """Return the pickles of PNGs at a path, with their splits."""
    return files_by_split(path, _NAME, _IMAGES)


def _labels_file(images: Path) -> Path:
    return images.with_name(f"{images.name.removesuffix(_END)}_labels.pkl")


def _labels(images: Path, split: str) -> _Labels:
    """Return the labels beside a pickle of PNGs. FormatError: they are missing, damaged, or others."""
    path = _labels_file(images)
    if not path.is_file():
        raise FormatError(f"Found no {path.name} beside {images.name}; expected its labels.", code=BAD_BATCH)
    with path.open("rb", buffering=0) as file:
        values = array_pickles.read(file.fileno()).values
        numbers = integers(file.fileno(), values.get("label_specific")).tolist()
    names = texts(path, values.get("label_specific_str"))
    if not numbers or not names:
        message = f"Found {count_of(len(numbers), 'label')} and {count_of(len(names), 'name')} of classes"
        raise FormatError(f"{message}; expected label_specific and label_specific_str.", code=BAD_BATCH)
    return _Labels(numbers, names, _wnids(names, images.parent, split))


def _wnids(names: list[str], folder: Path, split: str) -> list[str | None]:
    """Return the class of each name; None if it is not known."""
    listed = _listed(folder)
    wnids = lists.get(f"{DATASET}/{split}").wnids
    lemmas = {wnid: [lemma.replace("_", " ") for lemma in wordnet.synset(wnid).lemmas] for wnid in wnids}
    whole = {", ".join(some): wnid for wnid, some in lemmas.items()}
    first = {some[0]: wnid for wnid, some in lemmas.items()}
    alone = {name: min(classes) for name, classes in classes_of_names(names, wnids).items() if len(classes) == 1}
    known = {**alone, **first, **whole, **listed}
    return [known.get(name) for name in names]


def _listed(folder: Path) -> Mapping[str, str]:
    """Return the wnids of synsets.txt by the names of class_names.txt; a name of two classes has none."""
    files = [folder / name for name in _CLASS_LISTS]
    if not all(map(Path.is_file, files)):
        return {}
    wnids, names = ([line.strip() for line in file.read_text(errors="replace").splitlines()] for file in files)
    known = len(wnids) == len(names) and all(map(is_wnid, wnids))
    return {name: wnid for wnid, name in zip(wnids, names, strict=True) if names.count(name) == 1} if known else {}


def units(detection: Detection, source: str, root: Path) -> Iterator[Unit]:
    """Yield one unit for each pickle of PNGs."""
    for file, split in _files(detection.path).items():
        yield unit_at(detection, source, root, file, split=split)


def files(unit: Unit) -> Iterator[FileRange]:
    """Yield a pickle of PNGs, its labels, and the lists of classes that may be beside it."""
    yield from unit_file(unit)
    yield from files_beside(unit, (_labels_file(unit.path).name, *_CLASS_LISTS))


@gathers(ImageRows)
def scan(unit: Unit, rows: ImageRows) -> Iterator[None]:
    """Add the PNGs of a pickle as byte ranges, with their classes."""
    labels = _labels(unit.path, unit.split or "")
    if unknown := [name for name, wnid in zip(labels.names, labels.wnids, strict=True) if wnid is None]:
        reason = f"{some_of(unknown, 3)}: found in no line of class_names.txt, and as the name of no class of the split"
        rows.problem("no_class_name", unit.file, reason)
    with unit.path.open("rb", buffering=0) as file:
        fd = file.fileno()
        arrays, fault = array_pickles.read_list(fd)
        for n, array in enumerate(arrays):
            _add(rows, fd, n, array, labels)
            yield
    if not fault and len(arrays) != len(labels.numbers):
        fault = f"found {count_of(len(arrays), 'image')} and {count_of(len(labels.numbers), 'label')}"
    if fault:
        rows.problem(BAD_BATCH, unit.file, fault)


def _add(rows: ImageRows, fd: int, n: int, array: Array, labels: _Labels) -> None:
    unit, image_id = rows.unit, f"{rows.unit.path.stem}_{n}"
    number = labels.numbers[n] if n < len(labels.numbers) else -1
    is_known = 0 <= number < len(labels.names)
    if not is_known:
        reason = f"found the label {number}, expected one of {len(labels.names)} classes"
        rows.problem("array_label", unit.file, reason, None, image_id)
    offset, length = array.values
    rows.add(
        image_id,
        file=unit.file,
        member=f"{image_id}.png",
        head=os.pread(fd, min(HEAD, length), offset),
        more=reader_at(fd, offset),
        offset=offset,
        length=length,
        wnid=labels.wnids[number] if is_known else None,
    )
