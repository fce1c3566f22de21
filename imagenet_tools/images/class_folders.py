"""Find class folders, and read the table beside the images of a folder.

A class folder is called by a wnid and holds images, and not annotations or anything else: n02085620 or
n02085620-Chihuahua. Its images are in it or in folders below it, as torchvision's ImageFolder reads them. Folders with
the second spelling and the breeds of Stanford Dogs belong to Stanford Dogs.

Class folders may be nested as the hierarchy is: n02084071/n02085374/n02085620. A folder called by a wnid that holds
folders called by wnids, and no image of its own, is no class folder: those inside it are.

The table is that of Hugging Face's imagefolder, metadata.csv or metadata.jsonl:

file_name,label                     file_name is relative to the table; other columns may be anything
n01440764_10026.JPEG,0
"""

from __future__ import annotations

import csv
import itertools
import json
import os
from contextlib import suppress
from typing import TYPE_CHECKING

from imagenet_tools.catalogue import labels
from imagenet_tools.catalogue.releases import are_stanford_dogs
from imagenet_tools.errors import FormatError
from imagenet_tools.images.image_rows import is_image_name
from imagenet_tools.wordnet.wnid import (
    SPLIT_FOLDERS,
    is_split_folder,
    is_wnid,
    keeps_imagenet_name,
    path_facts,
    wnid_of_folder,
    wnid_of_stem,
)
from imagenet_tools.wordnet.wordnet import find_row

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

TABLES = ("metadata.csv", "metadata.jsonl")
_FIRST_ROWS = 1_000

# Columns that may hold the class of an image, as a wnid.
_CLASS_COLUMNS = ("wnid", "synset", "label", "class")

Row = dict[str, str]


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Return True for a folder and for a link to one; False for a link that leads to itself."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def class_folders(folder: Path) -> list[str]:
    """Return the class folders in a folder, sorted, if one is of a synset that exists and one holds an image."""
    names = folders_by_wnid(folder)
    if are_stanford_dogs(names):
        return []
    return names if any(image_names(folder / name, 1) for name in names) else []


def nested_class_folders(folder: Path) -> list[str]:
    """Return the class folders in a folder as class_folders(), each replaced by those nested in it; relative paths."""
    names = folders_by_wnid(folder)
    if are_stanford_dogs(names):
        return []
    inner = [found for name in names for found in _innermost(folder, name)]
    has_images = any(seen for _, seen in inner) or any(image_names(folder / name, 1) for name in names)
    return [name for name, _ in inner] if has_images else []


def _innermost(folder: Path, name: str, seen: frozenset[tuple[int, int]] = frozenset()) -> list[tuple[str, bool]]:
    """Return the class folders nested in a folder called by a wnid, sorted, and whether an image was seen in each.

    It is the folder itself if none are nested in it. A class folder is listed only up to its first image. `seen` are
    the folders above, so that a link to one ends.
    """
    names: list[str] = []
    with suppress(OSError), os.scandir(folder / name) as entries:
        for entry in entries:
            if is_image_name(entry.name):
                return [(name, True)]
            if wnid_of_folder(entry.name) and is_folder(entry):
                names.append(entry.name)
    if not names:
        return [(name, False)]
    status = (folder / name).stat()
    place = (status.st_dev, status.st_ino)
    if place in seen:
        return []
    return [leaf for below in sorted(names) for leaf in _innermost(folder, f"{name}/{below}", seen | {place})]


def folders_by_wnid(folder: Path) -> list[str]:
    """Return the folders called by a wnid, sorted; none if no wnid among them is of a synset that exists."""
    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in entries if wnid_of_folder(entry.name) and is_folder(entry))
    return names if any(find_row(name[:9]) is not None for name in names) else []


def split_folders(path: Path) -> list[str]:
    """Return the folders in a folder that have the name of a split, in any case: those of train, of val, of test."""
    with os.scandir(path) as entries:
        names = [entry.name for entry in entries if is_split_folder(entry.name) and is_folder(entry)]
    order = list(SPLIT_FOLDERS)
    return sorted(names, key=lambda name: (order.index(name.lower()), name))


def image_names(folder: Path, most: int, seen: frozenset[tuple[int, int]] = frozenset()) -> list[str]:
    """Return at most `most` images in a folder or, if it has none, in a folder below it; relative to the folder.

    A folder that cannot be opened counts as empty; the scan reports it. `seen` are the folders above, so that a link
    to one of them ends.
    """
    names: list[str] = []
    below: list[str] = []
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if is_image_name(entry.name):
                names.append(entry.name)
                if len(names) == most:
                    break
            elif is_folder(entry):
                below.append(entry.name)
    if names or not below:
        return names
    status = folder.stat()
    place = (status.st_dev, status.st_ino)
    for name in sorted(below) if place not in seen else ():
        if images := image_names(folder / name, most, seen | {place}):
            return [f"{name}/{image}" for image in images]
    return []


def find_table(folder: Path) -> tuple[str, list[Row]]:
    """Return (name of the table in a folder, its first rows) if names or a column state classes; else ("", [])."""
    for name in TABLES:
        rows = first_rows(folder / name) if (folder / name).is_file() else []
        if class_column(rows) or any(class_of_name(row["file_name"]) for row in rows):
            return name, rows
    return "", []


def first_rows(path: Path) -> list[Row]:
    """Return the first rows of a table, up to a break: they identify its form. The scan reports the break."""
    rows: list[Row] = []
    with suppress(FormatError):
        rows.extend(itertools.islice(read_rows(path), _FIRST_ROWS))
    return rows


def read_rows(path: Path) -> Iterator[Row]:
    """Yield the rows of a table, with every value as text and file_name always present.

    Raises:
        FormatError: A row cannot be read. Its code is table_damaged.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file) if path.suffix == ".csv" else map(json.loads, filter(str.strip, file))
            for row in rows:
                texts = {str(name): str(value) for name, value in row.items() if isinstance(value, str | int)}
                yield {"file_name": ""} | texts
    except (ValueError, AttributeError, csv.Error, RecursionError) as error:
        message = f"{path}: found a row that cannot be read ({error}); expected a table with a column file_name. "
        raise FormatError(message + "Mend it, or leave it out.", code="table_damaged") from error


def class_column(rows: Sequence[Row]) -> str:
    """Return the first column in which every value is a wnid of WordNet; "" if there is none."""
    if not rows:
        return ""
    return next((name for name in _CLASS_COLUMNS if all(is_synset(row.get(name)) for row in rows)), "")


def class_of_name(file_name: str) -> str | None:
    """Return the class that a file name states; None if the name is not ImageNet's."""
    stem = path_facts(file_name).stem
    wnid = wnid_of_stem(stem) or labels.validation_wnid(stem)
    return wnid if keeps_imagenet_name(stem) and is_synset(wnid) else None


def is_synset(text: str | None) -> bool:
    """Return True if a text is the wnid of a synset that exists."""
    return text is not None and is_wnid(text) and find_row(text) is not None
