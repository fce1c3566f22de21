"""Compare the lists of images in ILSVRC's trees (ImageSets) with the images and annotations in the tree.

    ImageSets/CLS-LOC/train_cls.txt     n01440764/n01440764_10026 1         the images of Data/CLS-LOC/train
    ImageSets/CLS-LOC/train_loc.txt     n01440764/n01440764_10040 1         those that Annotations/CLS-LOC/train boxes
    ImageSets/CLS-LOC/val.txt           ILSVRC2012_val_00000001 1           both
    ImageSets/CLS-LOC/test.txt          ILSVRC2012_test_00000001 1
    ImageSets/DET/train.txt, val.txt, test.txt                              likewise

The number is the line number, not a label.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from imagenet_tools.annotations.annotation_files import is_annotation
from imagenet_tools.annotations.annotation_rows import AnnotationRows
from imagenet_tools.images.class_folders import is_folder
from imagenet_tools.images.folder_scan import printable
from imagenet_tools.images.image_rows import is_image_name
from imagenet_tools.units import FileRange

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from imagenet_tools.units import Unit

# (list in ImageSets/<task>, folder beside ImageSets that it lists, split).
_LISTS = (
    ("train_cls.txt", "Data", "train"),
    ("train_loc.txt", "Annotations", "train"),
    ("train.txt", "Data", "train"),
    ("val.txt", "Data", "val"),
    ("val.txt", "Annotations", "val"),
    ("test.txt", "Data", "test"),
)

# Codes that scan_lists() may report, for the table problems.
PROBLEMS = {
    "listed_absent": "images or annotations that a list of the release names are not there",
    "unlisted": "images or annotations are there that no list of the release names",
}

_MAX_EXAMPLES = 3  # names in the text of a problem


def counted(path: Path) -> int:
    """Return the number of lines of a list that are not empty."""
    with path.open("rb") as file:
        return sum(bool(line.strip()) for line in file)


def scan_lists(unit: Unit, task: str) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Yield problems: names that the lists in a unit's folder, ImageSets/<task>, miss or have too many."""
    rows = AnnotationRows(unit)
    for listing, folder, kind in _pairs(unit.path, task):
        noun = "images" if kind == "Data" else "annotations"
        listed, present = _listed(listing), set(_present(folder, kind))
        file, place = f"{unit.file}/{listing.name}", f"{kind}/{task}/{folder.name}"
        if absent := listed - present:
            text = f"of the {len(listed):,} {noun} that {listing.name} lists are not in {place}"
            rows.problem("listed_absent", file, _examples(absent, text))
        if unlisted := present - listed:
            rows.problem("unlisted", file, _examples(unlisted, f"{noun} in {place} are not in {listing.name}"))
    yield from rows.batches()


def list_files(unit: Unit, task: str) -> Iterator[FileRange]:
    """Yield a unit's folder, ImageSets/<task>, the lists in it, and the folders that they are compared with."""
    yield FileRange(unit.file)
    for listing, folder, _ in _pairs(unit.path, task):
        for path in (listing, *(below for below, _ in _folders(folder))):
            yield FileRange(os.path.relpath(path, unit.root))


def _pairs(sets: Path, task: str) -> Iterator[tuple[Path, Path, str]]:
    """Yield (list, folder, "Data" or "Annotations") if both exist."""
    home = sets.parent.parent
    for name, kind, split in _LISTS:
        listing, folder = sets / name, home / kind / task / split
        if listing.is_file() and folder.is_dir():
            yield listing, folder, kind


def _listed(listing: Path) -> set[str]:
    """Return the names in a list."""
    with listing.open(encoding="utf-8", errors="backslashreplace") as file:
        return {line.split(maxsplit=1)[0] for line in file if line.strip()}


def _present(folder: Path, kind: str) -> Iterator[str]:
    """Yield the names of images or annotations in a folder and below it, without suffix."""
    is_listed = is_image_name if kind == "Data" else is_annotation
    for path, names in _folders(folder):
        prefix = "" if path == folder else f"{printable(path.relative_to(folder).as_posix())}/"
        yield from (prefix + printable(name.rpartition(".")[0]) for name in names if is_listed(name))


def _folders(folder: Path, seen: frozenset[tuple[int, int]] = frozenset()) -> Iterator[tuple[Path, list[str]]]:
    """Yield a folder and all folders below it, sorted, each with the names of its files.

    `seen` are the folders above, so that a link to one ends.
    """
    status = folder.stat()
    place = (status.st_dev, status.st_ino)
    if place in seen:
        return
    with os.scandir(folder) as entries:
        listed = sorted((entry.name, is_folder(entry)) for entry in entries)
    yield folder, [name for name, is_dir in listed if not is_dir]
    for name, is_dir in listed:
        if is_dir:
            yield from _folders(folder / name, seen | {place})


def _examples(names: set[str], text: str) -> str:
    """Return the number of names, the text, and some of the names."""
    more = ", ..." if len(names) > _MAX_EXAMPLES else ""
    return f"{len(names):,} {text}: {', '.join(sorted(names)[:_MAX_EXAMPLES])}{more}"
