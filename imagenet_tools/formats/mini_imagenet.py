"""miniImageNet as images in one folder, with a csv for each split: 100 classes of 600 images.

    images/n0153282900000005.jpg ...        all images of the three splits
    train.csv, val.csv, test.csv            filename,label        n0153282900000005.jpg,n01532829
                                            64, 16 and 20 classes: the split of Ravi and Larochelle
    train.csv, val.csv, test.csv            filename,class        n01614925_1001.JPEG,n01614925
    trainval.csv                            the split of Vinyals and others; train and val together, not read

The class and the split of an image are those of the csv. Ravi and Larochelle renumbered the images of each class: the
number says the place of the image among ILSVRC2012's images of its class, sorted by their numbers, from 1. Only a
complete training set tells which image that is, so none shares its photo. Vinyals's names are ILSVRC2012's, and so are
the photos. A tree of class folders (train/n01532829/...) is an image_folder.

Sources: twitter-research/meta-learning-lstm, data/miniImagenet; renmengye/few-shot-ssl-public and
yaoyao-liu/mini-imagenet-tools on GitHub, whose generator has the rule of the numbers.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from imagenet_tools.annotations.image_sets import counted
from imagenet_tools.formats._shared.contract import Tables, names_in, unit_at
from imagenet_tools.images.class_folders import is_synset
from imagenet_tools.images.folder_scan import folder_files, printable, scan_folder
from imagenet_tools.images.image_rows import ImageRows, is_image_name
from imagenet_tools.images.jpeg import ImageFacts
from imagenet_tools.text import count_of, joined, lacking, some_of
from imagenet_tools.units import Detection, FileRange, Labelling, Reads, Unit, files_beside
from imagenet_tools.wordnet.wnid import keeps_imagenet_name

IMAGES = {"train": 38_400, "val": 9_600, "test": 12_000}  # of each split of Ravi and Larochelle
DATASET = "mini-imagenet"

READS = Reads(
    holds=("images",),
    beside=frozenset({*(f"{split}.csv" for split in IMAGES), "trainval.csv"}),
    problems={
        "mini_bad_row": "a row of a csv that is not the name of an image and a wnid",
        "not_listed": "images in the folder that the file does not list; they are not indexed",
    },
)

_HEADERS = (["filename", "label"], ["filename", "class"])
_FOLDER = "images"


class _Listed(NamedTuple):
    wnid: str
    split: str


def detect(path: Path) -> list[Detection]:
    """Return the folder of images at a path, if a csv of miniImageNet's form is beside it."""
    tables = {split: table for split in IMAGES if _is_table(table := path / f"{split}.csv")} if path.is_dir() else {}
    if not tables:
        return []
    counts = {split: counted(table) - 1 for split, table in tables.items()}
    rows = ", ".join(f"{count_of(n, 'image')} of {split}" for split, n in counts.items())
    folder = path / _FOLDER
    names = names_in(folder, is_image_name)
    evidence = f"miniImageNet's lists of {rows}; {count_of(len(names), 'image')} in {_FOLDER}/"
    if not names:
        advice = f"the images are not there: put them, or a link to their folder, beside the lists as {_FOLDER}/"
        return [Detection("mini_imagenet", path, DATASET, (), evidence, tuple(tables), advice=advice)]
    whole = sum(IMAGES.values())
    missing = joined((lacking(len(tables), len(IMAGES), "lists"), lacking(len(names), whole, "images")))
    labels = Labelling("the lists", DATASET)
    return [Detection("mini_imagenet", path, DATASET, ("images",), evidence, tuple(tables), missing, labels)]


def _is_table(table: Path) -> bool:
    """Return True for a csv whose first row is an image, called after its class as both splits have it."""
    if not table.is_file():
        return False
    with table.open(encoding="utf-8-sig", errors="backslashreplace", newline="") as file:
        rows = csv.reader(file)
        header, first = next(rows, []), next(rows, [])
    return header in _HEADERS and len(first) == 2 and is_synset(first[1]) and first[0].startswith(first[1])


def units(detection: Detection, source: str, root: Path) -> Iterator[Unit]:
    """Yield one unit: the folder of images."""
    yield unit_at(detection, source, root, detection.path / _FOLDER)


def files(unit: Unit) -> Iterator[FileRange]:
    """Yield the lists, which may be absent, and the files of the folder."""
    yield from files_beside(unit, (f"{split}.csv" for split in IMAGES))
    yield from folder_files(unit, deep=False)


def scan(unit: Unit) -> Tables:
    """Yield the images that a list has, and the problems of the lists and of other images."""
    rows = _CsvRows(unit)
    present = set(names_in(unit.path, is_image_name))
    unlisted, absent = sorted(present - rows.listed.keys()), sorted(rows.listed.keys() - present)
    for code, names in (("not_listed", unlisted), ("listed_absent", absent)):
        if names:
            rows.problem(code, unit.file, printable(f"{count_of(len(names), 'image')}: {some_of(names, 3)}"))
    yield from scan_folder(unit, rows, deep=False, beside=unlisted)


class _CsvRows(ImageRows):
    """Gathers images with the class and the split of the lists."""

    takes_plain_names = False

    def __init__(self, unit: Unit):
        super().__init__(unit)
        self.listed: dict[str, _Listed] = {}  # by file name
        for split in IMAGES:
            table = unit.path.parent / f"{split}.csv"
            if table.is_file():
                self._add_list(table, split)

    def _add_list(self, table: Path, split: str) -> None:
        file = table.relative_to(self.unit.root).as_posix()
        with table.open(encoding="utf-8-sig", errors="backslashreplace", newline="") as lines:
            for n, row in enumerate(csv.reader(lines), 1):
                if len(row) == 2 and is_image_name(row[0]) and is_synset(row[1]):
                    self.listed.setdefault(row[0], _Listed(row[1], split))
                elif row and (n > 1 or row not in _HEADERS):
                    reason = f"{','.join(row)[:100]!r}; expected a row such as n0153282900000005.jpg,n01532829"
                    self.problem("mini_bad_row", file, reason, f"line {n}")

    def add(self, stem: str, *, file: str, **values: Any) -> ImageFacts:
        """Add an image."""
        wnid, split = self.listed[file.rpartition("/")[2]]
        photo = stem if keeps_imagenet_name(stem) else None
        return super().add(stem, file=file, **{**values, "wnid": wnid, "split": split, "photo": photo})
