"""Hugging Face's imagefolder with ImageNet's images in it: class folders called by words, or a table beside the images.

    root/train/tench/n01440764_10026.JPEG       <split>/<words>/<image>, or <words>/<image>; numbers are words too
    root/train/metadata.csv                     file_name, relative to the table, and other columns; or metadata.jsonl
    root/train/n01440764_10026.JPEG

What a word means is not guessed: "crane" is two classes. The class of an image is told by its name, or by a column of
the table whose values are wnids (the first of wnid, synset, label, class); where neither tells it, the folder is not
recognised. Class numbers are held against the names. Class folders called by wnids are read by image_folder.
"""

from __future__ import annotations

import itertools
import os
from collections import Counter
from contextlib import suppress
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

from imagenet_tools.catalogue.releases import release_of
from imagenet_tools.errors import FormatError
from imagenet_tools.images import folder_scan, numbering
from imagenet_tools.images.class_folders import class_folders, split_folders
from imagenet_tools.images.folder_scan import folder_files, scan_folder
from imagenet_tools.images.image_rows import ImageRows, is_image_name
from imagenet_tools.images.metadata_table import (
    Row,
    class_column,
    find_table,
    first_rows,
    is_synset,
    read_rows,
    told_class,
)
from imagenet_tools.images.numbering import Numbering, hold_label, numbering_of, read_numbers
from imagenet_tools.units import UNREADABLE, Detection, FileRange, Labelling, Reads, Unit
from imagenet_tools.wordnet.wnid import (
    SPLIT_FOLDERS,
    is_split_folder,
    keeps_imagenet_name,
    official_split,
    split_of_folder,
    task_of,
    told_by_path,
    wnid_of_folder,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    import pyarrow as pa


# What scan() may report, for the table problems.
READS = Reads(
    holds=("images",),
    problems=folder_scan.PROBLEMS
    | numbering.PROBLEMS
    | {
        "row_unread": "a row without a file name, of a file that is not there, or of no class that is told",
        "not_listed": "images that lie beside the table and are not in it; they are not indexed",
        "table_damaged": "the table cannot be read on; the rows before are kept",
    },
)

# Folders that hold images and are no class.
_NO_CLASS = frozenset({*SPLIT_FOLDERS, "images", "data"})
# Folders, and images of a folder, that are looked at.
_FOLDERS, _IMAGES = 16, 64
_HEAD = 4096


class _ClassRoot(NamedTuple):
    """A folder of class folders or of a table: below a split's folder, or the path itself."""

    folder: Path
    split: str | None
    folders: list[str]  # the class folders
    table: str  # the table's name
    rows: list[Row]  # its first, or what the images' names are in place of them


def detect(path: Path) -> list[Detection]:
    """The tables or the class folders in a folder, or in its train, val and test, whose images' classes are told."""
    places = _places(path)
    if not places:
        return []
    rows = [row for place in places for row in place.rows]
    stems = [told_by_path(row["file_name"]).stem for row in rows]
    told = [(told_class(row["file_name"]), row) for row in rows]
    said = {row[column] for place in places if (column := class_column(place.rows)) for row in place.rows}
    reading = read_numbers((wnid, int(row["label"])) for wnid, row in told if wnid and _is_number(row))
    wnids = {wnid for wnid, _ in told if wnid} | said
    official = next((found for stem in stems if (found := official_split(stem))), None)
    verdict = release_of(wnids, name=path.name)
    dataset, readings = (f"ilsvrc{official[0]}", ()) if official else (verdict.dataset, verdict.readings)
    if not all(map(keeps_imagenet_name, stems)):
        dataset, readings = "imagefolder", ("images of your own (--dataset NAME)",)
    numbered = any(_is_number(row) for _, row in told)
    labelling = Labelling("a column of the table" if said else "the images' names", "wordnet")
    if reading.numbering and not said and any(place.table for place in places):
        labelling = reading.numbering.labelling("class numbers of the table, held against the images' names")
    parts = [
        f"{place.table} in {place.folder.name}/, {place.rows[0]['file_name']} first"
        if place.table
        else f"{len(place.folders):,} class folders called by {_words(place)} in {place.folder.name}/, "
        f"{place.folders[0]} first"
        for place in places
    ]
    evidence = "; ".join([*parts, reading.evidence if numbered else f"{labelling.by} tell the classes"])
    splits = tuple(dict.fromkeys(place.split for place in places if place.split))
    return [Detection("hf_imagefolder", path, dataset, ("images",), evidence, splits, "", labelling, readings)]


def _words(place: _ClassRoot) -> str:
    return "numbers" if all(name.isdecimal() for name in place.folders) else "words"


def _is_number(row: Row) -> bool:
    return row.get("label", "").isdecimal()


def _places(path: Path) -> list[_ClassRoot]:
    """The folder of each split, or the path itself, that holds what is read here."""
    if not path.is_dir():
        return []
    folders = [path / name for name in split_folders(path)]
    found = [place for folder in folders if (place := _place(folder, split_of_folder(folder.name))) is not None]
    bare = None if found else _place(path, split_of_folder(path.name))
    return found or ([bare] if bare else [])


def _place(folder: Path, split: str | None) -> _ClassRoot | None:
    table, rows = find_table(folder)
    if table:
        return None if class_folders(folder) else _ClassRoot(folder, split, [], table, rows)
    folders = _word_folders(folder)
    named = [list(_image_names(folder / name)) for name in folders[:_FOLDERS]]
    classes = [{told_class(name) for name in names} for names in named]
    if not folders or None in set().union(*classes):
        return None
    # Two classes may share a word. Without a split around them, folders of anything are not taken for classes.
    alone = sum(len(found) == 1 for found in classes)
    if not is_split_folder(folder.name) and (len(folders) < 2 or alone * 2 <= len(classes)):
        return None
    rows = [
        {"file_name": name} | ({"label": called} if called.isdecimal() else {})
        for called, names in zip(folders, named, strict=False)
        for name in names
    ]
    return _ClassRoot(folder, split, folders, "", rows)


def _word_folders(folder: Path) -> list[str]:
    """The folders in a folder that hold images; none where one is called by a wnid, also as n02085620-Chihuahua."""
    if task_of(folder.absolute()):
        return []
    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in entries if not entry.name.startswith(".") and entry.is_dir())
    if any(map(wnid_of_folder, names)):
        return []
    return [name for name in names if name.lower() not in _NO_CLASS and next(_image_names(folder / name), None)]


def _image_names(folder: Path) -> Iterator[str]:
    """Some images of a folder; none of one that may not be looked into, such as lost+found."""
    with suppress(PermissionError), os.scandir(folder) as entries:
        yield from itertools.islice((entry.name for entry in entries if is_image_name(entry.name)), _IMAGES)


def units(found: Detection, source: str, root: Path) -> Iterator[Unit]:
    """One unit a class folder, by split and name, or one a table."""
    numbers = str(numbering_of(found.labels) or "")
    for place in _places(found.path):
        whole = Unit("hf_imagefolder", source, str(root), "", found.dataset, place.split, numbers=numbers)
        for name in place.folders or [place.table]:
            yield whole._replace(file=(place.folder / name).relative_to(root).as_posix())


def files(unit: Unit) -> Iterator[FileRange]:
    """Yield the files of a class folder; or a table, the files that it lists, and the folders around them."""
    yield from folder_files(unit, deep=True)
    if unit.path.is_dir():
        return
    home, folders = PurePosixPath(unit.file).parent, set()
    with suppress(FormatError):  # scan() reports the break
        for row in read_rows(unit.path):
            if _is_below(row["file_name"]):
                folders.add(PurePosixPath(row["file_name"]).parent)
                yield FileRange((home / row["file_name"]).as_posix())
    yield from (FileRange((home / folder).as_posix()) for folder in _folders(unit.path.parent, folders))


def _is_below(file_name: str) -> bool:
    """Return True for a name that leads to a file below the table's folder."""
    path = PurePosixPath(file_name)
    return bool(file_name) and not path.is_absolute() and ".." not in path.parts


def _folders(home: Path, listed: Iterable[PurePosixPath]) -> list[PurePosixPath]:
    """Return all folders below the table's folder, itself included, and those that it lists, relative to it."""
    below = {PurePosixPath(folder).relative_to(home) for folder, _, _ in os.walk(home)}
    return sorted(below.union(listed))


def scan(unit: Unit) -> Iterator[tuple[str, pa.RecordBatch]]:
    """The images of a class folder, or those that a table lists."""
    if unit.path.is_dir():
        yield from scan_folder(unit, deep=True)
        return
    rows = ImageRows(unit)
    home = PurePosixPath(unit.file).parent
    listed: Counter[PurePosixPath] = Counter()
    column = class_column(first_rows(unit.path))
    try:
        for row in read_rows(unit.path):
            if _add(rows, unit, home, row, column):
                listed[PurePosixPath(row["file_name"]).parent] += 1
            if rows.full():
                yield from rows.batches()
    except FormatError as error:
        rows.problem(error.code, unit.file, str(error))
    for folder in _folders(unit.path.parent, listed):
        with os.scandir(unit.path.parent / folder) as entries:
            there = sum(is_image_name(entry.name) for entry in entries)
        if there > listed[folder]:
            reason = f"{there:,} images lie in {home / folder}, and the table lists {listed[folder]:,} of them"
            rows.problem("not_listed", unit.file, reason)
    yield from rows.batches()


def _add(rows: ImageRows, unit: Unit, home: PurePosixPath, row: Row, column: str) -> bool:
    """Add the image of a row; False, and a problem, where there is none."""
    name = row["file_name"]
    path = PurePosixPath(name)
    told = told_by_path(name)
    wnid = row.get(column) if column else None
    reason, code = "", "row_unread"
    if not _is_below(name):
        reason = f"a row with the file name {name!r}; expected one relative to the table"
    elif not keeps_imagenet_name(told.stem) and not is_synset(wnid):
        reason = "neither the name nor a column tells the class; expected a wnid"
    fd = -1
    try:
        if not reason:
            fd = os.open(unit.path.parent / name, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            rows.add(
                told.stem,
                file=(home / path).as_posix(),
                length=os.fstat(fd).st_size,
                head=os.pread(fd, _HEAD, 0),
                more=lambda offset, n: os.pread(fd, n, offset),
                wnid=wnid if is_synset(wnid) else told.wnid,
            )
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = f"the file {name} cannot be read: {getattr(error, 'strerror', error)}"
        if not isinstance(error, FileNotFoundError | ValueError):
            code = UNREADABLE
    finally:
        if fd >= 0:
            os.close(fd)
    if reason:
        rows.problem(code, unit.file, reason, name or None)
        return False
    if not column:
        label = int(row["label"]) if _is_number(row) else None
        hold_label(rows, told.stem, label, Numbering.parse(unit.numbers), unit.file, name)
    return True
