"""What lies at a path: the forms that the readers find there, what no form claims, and what it is instead."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

from imagenet_tools.build.own_exports import OwnExport, export_around, export_at, exports_in, exports_on_the_way
from imagenet_tools.build.unread import unread_file, unread_folder
from imagenet_tools.containers import tar
from imagenet_tools.errors import FormatError, SourceError
from imagenet_tools.images.class_folders import folders_by_wnid, is_folder, split_folders
from imagenet_tools.images.image_rows import IMAGE_SUFFIXES
from imagenet_tools.images.metadata_table import TABLES
from imagenet_tools.store.layout import is_index
from imagenet_tools.wordnet.wnid import is_split_folder

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from imagenet_tools.units import Detection, Reader, Unit

# Files that lie in their thousands in what readers scan, and are no archive or list.
_SCANNED = IMAGE_SUFFIXES | {".xml"}

# Forms of images in folders of the user's own names.
_FOLDERS = frozenset({"image_folder", "flat_folder"})

_SPLITS = ("train", "val", "test")


class Survey(NamedTuple):
    """What lies at a path."""

    path: Path
    found: tuple[Detection, ...]
    units: tuple[int, ...]  # the pieces that indexing would read, of each that was found
    ignored: tuple[str, ...]  # files beside that nothing reads, and what may not be looked into
    unrecognised: str  # what it is instead, in words, where nothing of ImageNet was found; else ""


def survey(given: Path, readers: Mapping[str, Reader]) -> Survey:
    """What lies at a path, as `imagenet-tools detect` tells it; headers are read, no images. SourceError: nothing."""
    path = Path(os.path.abspath(given))  # noqa: PTH100 - as build-index takes it
    found, ignored = detect(path, readers)
    root = path if path.is_dir() else path.parent
    units = tuple(sum(1 for _ in _units(one, readers, root)) for one in found)
    return Survey(path, tuple(found), units, tuple(ignored), "" if found else what_is(path))


def detect(
    path: Path, readers: Mapping[str, Reader], *, with_exports: bool = False
) -> tuple[list[Detection], list[str]]:
    """(what lies at a path, what lies in it at any depth and nothing reads, relative to the path).

    In a folder, what belongs to none of what was found is tried too: archives, lists and folders that lie directly in
    it, or in the folders that hold what was found. Images and annotations that no form claims are counted by the units
    around them. SourceError: no such path.

    Exports of this program below the path are left out and named, unless `with_exports`. An export that is the path,
    or holds it, is read, under the name of the data set that its images belong to.
    """
    if not path.exists():
        message = f"{path} does not exist. Expected a file or a folder of ImageNet."
        raise SourceError(message)
    around = export_around(path)
    found = _forms(path, readers)
    if not path.is_dir() or any(one.path == path and not one.holds for one in found):
        return _read_as(around, found), []  # what is known and not read is not looked into either
    inside = _Inside(path, readers, found, with_exports=with_exports)
    found, exports = inside.found, inside.exports
    if not with_exports:
        found, met = _without_exports(path, found, readers)
        exports += [one for one in met if one not in exports]
    known = {name for one in found for name in readers[one.form].READS.beside}
    known |= inside.known | (around.files if around else set())
    tops = [f"{one.folder.relative_to(path).as_posix()}/" for one in exports]
    named = [f"{top} ({one.title}: name it by itself to read it)" for top, one in zip(tops, exports, strict=True)]
    ignored = [
        _why(path, name)
        for name in inside.ignored
        if not known & {name, name.rpartition("/")[2]} and not name.startswith(tuple(tops))
    ]
    return _read_as(around, [_of_no_split(one, path, found) for one in found]), [*named, *ignored]


def _units(found: Detection, readers: Mapping[str, Reader], root: Path) -> Iterator[Unit]:
    return readers[found.form].units(found, "", root) if found.holds else iter(())


class _Inside:
    """What is found in a folder, with the files and folders that its units read, and what nothing reads.

    All paths are relative to the folder, '/' between; "" is the folder itself.
    """

    def __init__(self, path: Path, readers: Mapping[str, Reader], found: list[Detection], *, with_exports: bool):
        self._path, self._readers, self._with_exports = path, readers, with_exports
        self.found: list[Detection] = []
        self.exports: list[OwnExport] = []  # left out
        self.known: set[str] = set()  # files of exports that are read
        self.ignored: list[str] = []
        self._read: set[str] = set()
        self._holding: set[str] = set()  # the folders around what is read
        self._classes: set[str] = set()  # class folders, which are read with the folders in them
        self._tables: set[str] = set()  # folders with a table, which may list images in the folders below
        for one in found:
            self._take(one)
        self._look("")

    def _take(self, found: Detection, *, alone: bool = False) -> bool:
        """Add a detection; False if `alone` and another one reads some of the same."""
        units = list(_units(found, self._readers, self._path))
        places = {unit.file for unit in units} if found.holds else {found.path.relative_to(self._path).as_posix()}
        if alone and not self._read.isdisjoint(places):
            return False
        self.found.append(found)
        self._read |= places
        self._classes |= {unit.file for unit in units if unit.wnid is not None}
        self._holding |= {above for place in places for above in _above(place)}
        self._tables |= {_above(place)[0] for place in places if PurePosixPath(place).name in TABLES}
        if getattr(self._readers[found.form], "LOOSE", False):
            self._holding |= {unit.file for unit in units if unit.wnid is None and not unit.member}
        return True

    def _look(self, folder: str) -> None:
        """Try what lies in a folder and is not read; then look into the folders in it that hold what is read."""
        if (folder and folder in self._tables) or folder in self._classes:
            return
        if folder and self._with_exports and (export := export_at(self._path / folder)):
            self.known |= {f"{folder}/{file}" for file in export.files}
        left = self._left(folder)
        if folder and any(not a_folder for _, a_folder in left):
            # Class tars and shards are one form together.
            some = [self._take(one, alone=True) for one in _forms(self._path / folder, self._readers)]
            left = self._left(folder) if any(some) else left
        for place, a_folder in left:
            self._try(place, a_folder=a_folder, listed=folder not in self._tables)
        for place in sorted(self._holding):
            if place and _above(place)[0] == folder and (self._path / place).is_dir():
                self._look(place)

    def _left(self, folder: str) -> list[tuple[str, bool]]:
        """(path, whether it is a folder) of what lies in a folder and is not read; images are not among them."""
        with os.scandir(self._path / folder) as entries:
            children = sorted((f"{folder}/{entry.name}".lstrip("/"), is_folder(entry)) for entry in entries)
        loose = folder != "" and folder in self._read  # its files are read, or are problems
        return [
            (place, a_folder)
            for place, a_folder in children
            if place not in self._read
            and place not in self._holding
            and (a_folder or not (loose or PurePosixPath(place).suffix.lower() in _SCANNED))
        ]

    def _try(self, place: str, *, a_folder: bool, listed: bool) -> None:
        """Add what lies at a place, or list it as not read."""
        path = self._path / place
        try:
            exports = exports_in(path) if a_folder and not self._with_exports else []
            self.exports += exports
            if any(one.folder == path for one in exports):
                return
            # A link to nothing is no file of any form.
            found = _forms(path, self._readers) if path.exists() else []
            words = _words(path) if a_folder and not found else ""
        except PermissionError as error:
            self.ignored.append(f"{place} ({error.strerror})")
            return
        for one in found:
            self._take(one)
        if not found and not a_folder:
            self.ignored.append(place)
        elif words and listed and not exports and not path.name.startswith("."):
            self.ignored.append(place + words)


def _above(place: str) -> list[str]:
    """The folders around a place, the nearest first, "" last."""
    parts = place.split("/")
    return ["/".join(parts[:n]) for n in reversed(range(len(parts)))]


def _of_no_split(found: Detection, path: Path, others: list[Detection]) -> Detection:
    """A detection, with a word where its folder lies beside train, has the name of no split, and is taken for train."""
    name = found.path.name
    of_train = found.dataset.startswith("ilsvrc") and "images" in found.holds and set(found.splits) <= {"train"}
    if found.form not in _FOLDERS or found.path == path or not of_train or is_split_folder(name):
        return found
    if not any("train" in one.splits and one is not found for one in others):
        return found
    reading = (
        f"of another split: the folder {name}/ has the name of none, and its images are taken for train; rename the "
        "folder, or index it by itself (--dataset NAME)"
    )
    return replace(found, readings=(*found.readings, reading))


def _why(path: Path, name: str) -> str:
    """Return the name of a file that is not read, with what it is where its bytes tell."""
    what = unread_file(path / name)
    return f"{name} ({what})" if what else name


def _without_exports(
    path: Path, found: Sequence[Detection], readers: Mapping[str, Reader]
) -> tuple[list[Detection], list[OwnExport]]:
    """Return what was found outside of exports below a path, and these. SourceError: one form has files in both."""
    kept: list[Detection] = []
    met: dict[str, OwnExport] = {}
    for one in found:
        # The units of one archive all lie in it, and listing them reads it.
        if one.path.is_file():
            files = [one.path.relative_to(path).as_posix()]
        else:
            files = [unit.file for unit in _units(one, readers, path)]
        exports = exports_on_the_way(path, files)
        if exports and not all(any(f"{file}/".startswith(f"{name}/") for name in exports) for file in files):
            first = next(iter(exports.values()))
            message = (
                f"{first.folder} is {first.title}, among what is read of {path} as {one.form}. Move it elsewhere, or "
                "read it too, under a name of its own: --dataset NAME."
            )
            raise SourceError(message)
        met |= exports
        kept += [] if exports else [one]
    return kept, list(met.values())


def _read_as(around: OwnExport | None, found: list[Detection]) -> list[Detection]:
    return [around.read_as(one) for one in found] if around else found


def _forms(path: Path, readers: Mapping[str, Reader]) -> list[Detection]:
    """What the readers find at a path itself, the splits of each in their usual order."""
    found = (one for reader in readers.values() for one in reader.detect(path))
    return [replace(one, splits=tuple(sorted(one.splits, key=_place))) for one in found]


def _words(folder: Path) -> str:
    """What stands behind the name of a folder that is not read; "" for an empty one, and for an index or its build."""
    if is_index(folder) or folder.suffix == ".partial":
        return ""
    if wnids := folders_by_wnid(folder):
        return f"/ ({len(wnids):,} folders called by wnids, none of them with an image)"
    with os.scandir(folder) as entries:
        return "/" if next(entries, None) else ""


def _place(split: str) -> int:
    return _SPLITS.index(split) if split in _SPLITS else len(_SPLITS)


def what_is(path: Path) -> str:
    """What a path is, in words: for one in which nothing of ImageNet was found."""
    for folder, what in (
        (path, "an index"),
        (path.parent, "part of an index"),
        (path.parent.parent, "part of an index"),
    ):
        if is_index(folder):
            return f"{what} that build-index made, and no source of one"
    if what := unread_folder(path) if path.is_dir() else unread_file(path):
        return what
    if path.is_dir():
        if wnids := [place for place in (path, *map(path.joinpath, split_folders(path))) if folders_by_wnid(place)]:
            return f"a folder with {wnids[0].name}{_words(wnids[0])}"
        names = sorted(entry.name + ("/" if entry.is_dir() else "") for entry in path.iterdir())
        return f"a folder with {', '.join(names[:5])}{' ...' if len(names) > 5 else ''}" if names else "an empty folder"
    if not path.is_file():
        return "neither a file nor a folder"  # to open a pipe would wait for ever
    with path.open("rb") as file:
        return f"a file of {path.stat().st_size:,} bytes that begins with {file.read(8)!r}{_broken_tar(path)}"


def _broken_tar(path: Path) -> str:
    try:
        if tar.is_tar(path):
            for _ in tar.walk(path):
                pass
    except FormatError as error:
        return f"; a tar that is broken: {error}"
    return ""
