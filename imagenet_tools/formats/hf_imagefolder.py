"""Hugging Face's imagefolder with ImageNet's images in it: class folders called by words, or a table beside the images.

    root/train/tench/n01440764_10026.JPEG       <split>/<words>/<image>, or <words>/<image>; numbers are words too
    root/train/metadata.csv                     file_name, relative to the table, and other columns; or metadata.jsonl
    root/train/n01440764_10026.JPEG

The meaning of a word is not guessed: "crane" is two classes. The class of an image is in its name, or in a column of
the table whose values are wnids: the first of wnid, synset, label, class. If neither gives it, the folder is not
recognised. Class numbers are compared with the names. image_folder reads class folders called by wnids.
"""

from __future__ import annotations

import itertools
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from imagenet_tools.catalogue.releases import release_of
from imagenet_tools.errors import FormatError
from imagenet_tools.formats._shared.contract import Tables, gathers, names_in, unit_at
from imagenet_tools.images import class_folders as class_tables
from imagenet_tools.images.class_folders import (
    Row,
    class_column,
    class_folders,
    class_of_name,
    is_synset,
    read_rows,
    split_folders,
)
from imagenet_tools.images.folder_scan import folder_files, scan_folder
from imagenet_tools.images.image_rows import HEAD, ImageRows, is_image_name
from imagenet_tools.images.jpeg import reader_at
from imagenet_tools.images.numbering import check_label, meaning_of, numbers_of, read_numbers
from imagenet_tools.text import count_of
from imagenet_tools.units import UNREADABLE, Detection, FileRange, Labelling, Reads, Unit
from imagenet_tools.wordnet.wnid import (
    SPLIT_FOLDERS,
    is_split_folder,
    keeps_imagenet_name,
    official_split,
    path_facts,
    split_of_folder,
    task_of,
    wnid_of_folder,
)

READS = Reads(
    holds=("images",),
    problems={
        "row_unread": "a row without a file name, without its file, or without a known class",
        "not_listed": "images beside the table that are not in it; they are not indexed",
        "table_damaged": "the table cannot be read on; the rows before are kept",
    },
)

# Folders that hold images and are no class.
_NO_CLASS = frozenset({*SPLIT_FOLDERS, "images", "data"})

_LOOKED_AT_FOLDERS = 16
_LOOKED_AT_IMAGES = 64  # of each folder


class _Home(NamedTuple):
    """A folder of class folders, or of a table and its images: the folder of a split, or the path itself."""

    folder: Path
    split: str | None
    folders: list[str]  # the class folders
    table: str  # the table's name; "" if there is none
    rows: list[Row]  # the table's first rows, or rows made of the names of images

    @property
    def evidence(self) -> str:
        """Description of the folder's contents."""
        if self.table:
            return f"{self.table} in {self.folder.name}/, {self.rows[0]['file_name']} first"
        words = "numbers" if all(name.isdecimal() for name in self.folders) else "words"
        folders = count_of(len(self.folders), "class folder")
        return f"{folders} called by {words} in {self.folder.name}/, {self.folders[0]} first"


def detect(path: Path) -> list[Detection]:
    """Return the tables or class folders in a folder, or in its train, val and test, if they give classes."""
    homes = _homes(path)
    if not homes:
        return []
    rows = [row for home in homes for row in home.rows]
    stems = [path_facts(row["file_name"]).stem for row in rows]
    named = [(class_of_name(row["file_name"]), row) for row in rows]
    in_columns = {row[column] for home in homes if (column := class_column(home.rows)) for row in home.rows}
    reading = read_numbers((wnid, int(row["label"])) for wnid, row in named if wnid and _has_number(row))
    official = next(filter(None, map(official_split, stems)), None)
    verdict = release_of({wnid for wnid, _ in named if wnid} | in_columns, name=path.name)
    dataset, readings = (f"ilsvrc{official[0]}", ()) if official else (verdict.dataset, verdict.readings)
    if not all(map(keeps_imagenet_name, stems)):
        dataset, readings = "imagefolder", ("images of your own (--dataset NAME)",)
    labelling = Labelling("a column of the table" if in_columns else "the images' names", "wordnet")
    if reading.labelling and not in_columns and any(home.table for home in homes):
        labelling = reading.labelling._replace(by="class numbers of the table, compared with the images' names")
    by = reading.evidence if any(map(_has_number, rows)) else f"{labelling.by} tell the classes"
    evidence = "; ".join([*(home.evidence for home in homes), by])
    splits = tuple(dict.fromkeys(home.split for home in homes if home.split))
    return [Detection("hf_imagefolder", path, dataset, ("images",), evidence, splits, "", labelling, readings)]


def _has_number(row: Row) -> bool:
    return row.get("label", "").isdecimal()


def _homes(path: Path) -> list[_Home]:
    """Return the folders of splits that this format reads; if there is none, the path itself."""
    if not path.is_dir():
        return []
    folders = [path / name for name in split_folders(path)]
    return list(filter(None, map(_home, folders))) or list(filter(None, [_home(path)]))


def _home(folder: Path) -> _Home | None:
    split = split_of_folder(folder.name)
    table, rows = class_tables.find_table(folder)
    if table:
        return None if class_folders(folder) else _Home(folder, split, [], table, rows)
    folders = _word_folders(folder)
    named = [list(_image_names(folder / name)) for name in folders[:_LOOKED_AT_FOLDERS]]
    classes = [{class_of_name(name) for name in names} for names in named]
    if not folders or None in set().union(*classes):
        return None
    # Two classes may share a word. Outside a split's folder, most folders must hold one class, so that folders of
    # anything are not taken for classes.
    of_one_class = sum(len(wnids) == 1 for wnids in classes)
    if not is_split_folder(folder.name) and (len(folders) < 2 or of_one_class * 2 <= len(classes)):
        return None
    rows = [{"file_name": name, "label": word} for word, names in zip(folders, named, strict=False) for name in names]
    return _Home(folder, split, folders, "", rows)


def _word_folders(folder: Path) -> list[str]:
    """Return the folders in a folder that hold images; none if one is called by a wnid, also n02085620-Chihuahua."""
    if task_of(folder.absolute()):
        return []
    names = names_in(folder, lambda name: not name.startswith("."), folders=True)
    if any(map(wnid_of_folder, names)):
        return []
    return [name for name in names if name.lower() not in _NO_CLASS and next(_image_names(folder / name), None)]


def _image_names(folder: Path) -> Iterator[str]:
    """Yield some images of a folder; none if the folder may not be opened, such as lost+found."""
    with suppress(PermissionError), os.scandir(folder) as entries:
        names = (entry.name for entry in entries if is_image_name(entry.name))
        yield from itertools.islice(names, _LOOKED_AT_IMAGES)


def units(detection: Detection, source: str, root: Path) -> Iterator[Unit]:
    """Yield one unit for each class folder, by split and name, or for each table."""
    numbers = numbers_of(detection.labels)
    for home in _homes(detection.path):
        for name in home.folders or [home.table]:
            yield unit_at(detection, source, root, home.folder / name, split=home.split, numbers=numbers)


def files(unit: Unit) -> Iterator[FileRange]:
    """Yield the files of a class folder; or a table, the files that it lists, and the folders around them."""
    yield from folder_files(unit, deep=True)
    if unit.path.is_dir():
        return
    home, listed = PurePosixPath(unit.file).parent, set()
    with suppress(FormatError):  # scan() reports the break
        for row in read_rows(unit.path):
            if _is_below(row["file_name"]):
                listed.add(PurePosixPath(row["file_name"]).parent)
                yield FileRange((home / row["file_name"]).as_posix())
    yield from (FileRange((home / folder).as_posix()) for folder in _folders(unit.path.parent, listed))


def _is_below(file_name: str) -> bool:
    """Return True for a name that leads to a file below the table's folder."""
    path = PurePosixPath(file_name)
    return bool(file_name) and not path.is_absolute() and ".." not in path.parts


def _folders(home: Path, listed: Iterable[PurePosixPath]) -> list[PurePosixPath]:
    """Return the table's folder, all folders below it, and those that the table lists, relative to the first."""
    below = {PurePosixPath(folder).relative_to(home) for folder, _, _ in os.walk(home)}
    return sorted(below.union(listed))


def scan(unit: Unit) -> Tables:
    """Yield the images of a class folder, or those that a table lists."""
    return scan_folder(unit, deep=True) if unit.path.is_dir() else _scan_table(unit)


@gathers(ImageRows)
def _scan_table(unit: Unit, rows: ImageRows) -> Iterator[None]:
    """Add the images that a table lists; images beside it that it does not list are a problem."""
    home = PurePosixPath(unit.file).parent
    listed: Counter[PurePosixPath] = Counter()
    column = class_column(class_tables.first_rows(unit.path))
    try:
        for row in read_rows(unit.path):
            listed[PurePosixPath(row["file_name"]).parent] += _add(rows, home, row, column)
            yield
    except FormatError as error:
        rows.problem(error.code, unit.file, str(error))
    for folder in _folders(unit.path.parent, +listed):
        present = sum(is_image_name(path.name) for path in (unit.path.parent / folder).iterdir())
        if present > listed[folder]:
            reason = (
                f"{home / folder} holds {count_of(present, 'image')}, and the table lists {listed[folder]:,} of them"
            )
            rows.problem("not_listed", unit.file, reason)


def _add(rows: ImageRows, home: PurePosixPath, row: Row, column: str) -> bool:
    """Add the image of a row, whose class is in a column or in its name. Return False for a row that gives no image."""
    unit, name = rows.unit, row["file_name"]
    stem, name_wnid, _ = path_facts(name)
    wnid = row[column] if column and is_synset(row.get(column)) else None
    code, reason = "row_unread", ""
    if not _is_below(name):
        reason = f"a row with the file name {name!r}; expected one relative to the table"
    elif not keeps_imagenet_name(stem) and wnid is None:
        reason = "neither the name nor a column tells the class; expected a wnid"
    else:
        try:
            with open(unit.path.parent / name, "rb", buffering=0, opener=_open) as file:
                more = reader_at(file.fileno(), 0)
                length = os.fstat(file.fileno()).st_size
                place = (home / name).as_posix()
                rows.add(stem, file=place, length=length, head=more(0, HEAD), more=more, wnid=wnid or name_wnid)
        except (OSError, ValueError) as error:  # ValueError: a NUL in the name
            reason = f"the file {name} cannot be read: {getattr(error, 'strerror', error)}"
            code = "row_unread" if isinstance(error, FileNotFoundError | ValueError) else UNREADABLE
    if reason:
        rows.problem(code, unit.file, reason, name or None)
    elif not column:
        label = int(row["label"]) if _has_number(row) else None
        check_label(rows, stem, label, meaning_of(unit.numbers), unit.file, name)
    return not reason


def _open(path: str, flags: int) -> int:
    # Without O_NONBLOCK, opening a named pipe waits for a writer.
    return os.open(path, flags | os.O_NONBLOCK)
