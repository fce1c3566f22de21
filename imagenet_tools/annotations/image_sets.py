"""The lists of images that ILSVRC's trees carry (ImageSets), held against the images and annotations that are there.

    ImageSets/CLS-LOC/train_cls.txt     n01440764/n01440764_10026 1         the images of Data/CLS-LOC/train
    ImageSets/CLS-LOC/train_loc.txt     n01440764/n01440764_10040 1         those that Annotations/CLS-LOC/train boxes
    ImageSets/CLS-LOC/val.txt           ILSVRC2012_val_00000001 1           both
    ImageSets/CLS-LOC/test.txt          ILSVRC2012_test_00000001 1
    ImageSets/DET/train.txt, val.txt, test.txt                              likewise

The number is that of the line, and no label.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from imagenet_tools.annotations.annotation_files import is_annotation
from imagenet_tools.annotations.annotation_rows import AnnotationRows
from imagenet_tools.images.folder_scan import printable
from imagenet_tools.images.image_rows import is_image_name
from imagenet_tools.units import FileRange

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from imagenet_tools.units import Unit

# (list, the folder that it lists, the split), below ImageSets/<task> and beside it.
_LISTS = (
    ("train_cls.txt", "Data", "train"),
    ("train_loc.txt", "Annotations", "train"),
    ("train.txt", "Data", "train"),
    ("val.txt", "Data", "val"),
    ("val.txt", "Annotations", "val"),
    ("test.txt", "Data", "test"),
)

# What scan_lists() may report, for the table problems.
PROBLEMS = {
    "listed_absent": "images or annotations that a list of the release names are not there",
    "unlisted": "images or annotations are there that no list of the release names",
}

_NAMED = 3  # how many a problem names


def counted(path: Path) -> int:
    """The lines of a list that are not empty."""
    with path.open("rb") as file:
        return sum(bool(line.strip()) for line in file)


def scan_lists(unit: Unit, task: str) -> Iterator[tuple[str, pa.RecordBatch]]:
    """What the lists in a unit's folder, ImageSets/<task>, name and is not there, and the other way round: problems."""
    rows = AnnotationRows(unit)
    for listing, folder, kind in _compared(unit.path, task):
        what = "images" if kind == "Data" else "annotations"
        listed, there = _listed(listing), dict(_there(folder, "", kind))
        absent = {place: names - there.get(place, set()) for place, names in listed.items()}
        strays = {place: names - listed.get(place, set()) for place, names in there.items()}
        file = f"{unit.file}/{listing.name}"
        total = sum(map(len, listed.values()))
        place = f"{kind}/{task}/{folder.name}"
        if any(absent.values()):
            text = f"of the {total:,} {what} that {listing.name} lists are not in {place}"
            rows.problem("listed_absent", file, _counted(absent, text))
        if any(strays.values()):
            rows.problem("unlisted", file, _counted(strays, f"{what} in {place} are not in {listing.name}"))
    yield from rows.batches()


def list_files(unit: Unit, task: str) -> Iterator[FileRange]:
    """Yield a unit's folder, ImageSets/<task>, the lists in it, and the folders that they are compared with."""
    yield FileRange(unit.file)
    for listing, folder, _ in _compared(unit.path, task):
        for path in (listing, *_folders(folder)):
            yield FileRange(os.path.relpath(path, unit.root))


def _compared(sets: Path, task: str) -> Iterator[tuple[Path, Path, str]]:
    """(list, folder, Data or Annotations) of those that are there."""
    home = sets.parent.parent
    for name, kind, split in _LISTS:
        listing, folder = sets / name, home / kind / task / split
        if listing.is_file() and folder.is_dir():
            yield listing, folder, kind


def _listed(listing: Path) -> dict[str, set[str]]:
    """The names of a list by the folder they are in."""
    found: dict[str, set[str]] = {}
    with listing.open(encoding="utf-8", errors="backslashreplace") as file:
        for line in file:
            if line.strip():
                folder, _, name = line.split(maxsplit=1)[0].rpartition("/")
                found.setdefault(folder, set()).add(name)
    return found


def _there(folder: Path, place: str, kind: str) -> Iterator[tuple[str, set[str]]]:
    """The names of images or annotations, without suffix, by the folder they are in, of a folder and those below."""
    with os.scandir(folder) as entries:
        listed = sorted((entry.name, entry.is_dir()) for entry in entries)
    wanted = is_image_name if kind == "Data" else is_annotation
    yield place, {printable(name.rpartition(".")[0]) for name, is_dir in listed if not is_dir and wanted(name)}
    for name, is_dir in listed:
        if is_dir:
            yield from _there(folder / name, f"{place}/{printable(name)}" if place else printable(name), kind)


def _folders(folder: Path) -> Iterator[Path]:
    yield folder
    with os.scandir(folder) as entries:
        below = sorted(entry.name for entry in entries if entry.is_dir())
    for name in below:
        yield from _folders(folder / name)


def _counted(found: dict[str, set[str]], text: str) -> str:
    names = sorted(f"{place}/{name}" if place else name for place, names in found.items() for name in names)
    more = ", ..." if len(names) > _NAMED else ""
    return f"{len(names):,} {text}: {', '.join(names[:_NAMED])}{more}"
