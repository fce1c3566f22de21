"""Detect what is at a path: the forms that the readers recognise, the files that no form reads, and why."""

from __future__ import annotations

import functools
import os
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

from imagenet_tools.build.own_exports import OwnExport, export_around, export_at, exports_in, exports_on_the_way
from imagenet_tools.build.unread import unread_file, unread_folder
from imagenet_tools.containers import tar
from imagenet_tools.errors import FormatError, SourceError
from imagenet_tools.images.class_folders import TABLES, folders_by_wnid, is_folder, split_folders
from imagenet_tools.images.image_rows import IMAGE_SUFFIXES, is_image_name
from imagenet_tools.storage.buckets import Remote, exists, is_remote, place_of, url_of
from imagenet_tools.store.in_bucket import file_copy
from imagenet_tools.store.layout import is_index
from imagenet_tools.text import count_of
from imagenet_tools.wordnet.wnid import is_split_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from imagenet_tools.units import Detection, Reader, Unit

    UnitsOf = Callable[[Detection], list[Unit]]

# Suffixes of files that are in the thousands in scanned folders, and are no archive or list.
_SCANNED_SUFFIXES = IMAGE_SUFFIXES | {".xml"}

# Forms of images in folders with names that the user chose.
_FOLDER_FORMS = frozenset({"image_folder", "flat_folder"})

# A file of boxes or labels in a bucket is copied whole. The largest, the boxes of the whole ImageNet, has under 1 GiB.
_MAX_COPIED_BYTES = 2 << 30
_HEAD_BYTES = 512
_LOOKED_AT_MEMBERS = 16

_SPLITS = ("train", "val", "test")


class Survey(NamedTuple):
    """The forms of ImageNet and the other files at a path.

    Attributes:
        path: The path, absolute.
        found: The detected forms.
        units: Number of units that indexing would read, for each of `found`.
        ignored: Files and folders below the path that nothing reads, and folders that cannot be opened.
        unrecognised: What the path is if nothing of ImageNet was found, else "".
    """

    path: Path
    found: tuple[Detection, ...]
    units: tuple[int, ...]
    ignored: tuple[str, ...]
    unrecognised: str

    def __repr__(self) -> str:
        forms = ", ".join(f"{detection.form} ({detection.dataset})" for detection in self.found)
        return f"Survey: {url_of(self.path)}; {forms or f'not recognised: {self.unrecognised}'}"


def survey(given: Path, readers: Mapping[str, Reader]) -> Survey:
    """Detect what is at a path, as `imagenet-tools detect` prints it. Read headers, and no images.

    Raises:
        SourceError: The path does not exist.
    """
    path = place_of(given)
    units = _units_of(readers, path if path.is_dir() else path.parent)
    found, ignored = _detect(path, readers, units, with_exports=False)
    n_units = tuple(len(units(detection)) for detection in found)
    return Survey(path, tuple(found), n_units, tuple(ignored), "" if found else what_is(path))


def detect(
    path: Path, readers: Mapping[str, Reader], *, with_exports: bool = False
) -> tuple[list[Detection], list[str]]:
    """Return (the forms at a path, the files and folders below it that nothing reads, relative to it).

    In a folder, files that belong to none of the detected forms are tried too: archives, lists and folders that are
    directly in it, or in the folders around what was detected. Images and annotations that no form claims are counted
    by the units around them.

    Exports of this program below the path are left out and named, unless `with_exports`. An export that is the path or
    contains it is read as the data set that its images belong to.

    Raises:
        SourceError: The path does not exist, or one form has files inside and outside of an export.
    """
    return _detect(path, readers, _units_of(readers, path), with_exports=with_exports)


def _units_of(readers: Mapping[str, Reader], root: Path) -> UnitsOf:
    """Return a function that lists the units of a detection once; none if the detection holds nothing that is read."""

    @functools.cache
    def units(detection: Detection) -> list[Unit]:
        return list(units_in(detection, "", root, readers)) if detection.holds else []

    return units


def units_in(detection: Detection, source: str, root: Path, readers: Mapping[str, Reader]) -> Iterator[Unit]:
    """Yield the units of a detection. A file in a bucket that is read whole is cut into units by its copy."""
    path, reader = detection.path, readers[detection.form]
    if not is_remote(path) or "images" in detection.holds:
        yield from reader.units(detection, source, root)
        return
    copy = file_copy(path)
    for unit in reader.units(replace(detection, path=copy), source, copy.parent):
        yield unit._replace(root=str(root), copied=True)


def _detect(
    path: Path, readers: Mapping[str, Reader], units: UnitsOf, *, with_exports: bool
) -> tuple[list[Detection], list[str]]:
    if is_remote(path):
        return _detect_remote(path, readers), []
    if not path.exists():
        raise SourceError(f"{path} does not exist. Expected a file or a folder of ImageNet.")
    around = export_around(path)
    found = _forms(path, readers)
    if not path.is_dir() or any(detection.path == path and not detection.holds for detection in found):
        return _read_as(around, found), []  # a known form that is not read is not searched either
    search = _FolderSearch(path, readers, units, found, with_exports=with_exports)
    found, exports = search.found, search.exports
    if not with_exports:
        found, more = _without_exports(path, found, units)
        exports += [export for export in more if export not in exports]
    known = {name for detection in found for name in readers[detection.form].READS.beside}
    known |= search.known | (around.files if around else set())
    tops = {f"{export.folder.relative_to(path).as_posix()}/": export for export in exports}
    ignored = [f"{top} ({export.title}: name it by itself to read it)" for top, export in tops.items()]
    for name in search.ignored:
        if not known & {name, name.rpartition("/")[2]} and not name.startswith(tuple(tops)):
            reason = unread_file(path / name)
            ignored.append(f"{name} ({reason})" if reason else name)
    return _read_as(around, [_with_split_warning(detection, path, found) for detection in found]), ignored


def _detect_remote(path: Path, readers: Mapping[str, Reader]) -> list[Detection]:
    """Return what is at a URL: a tar of images, which is read by byte range, or boxes or labels, by a copy.

    Raises:
        SourceError: There is no file, or it is something else, which is not downloaded if its first bytes tell that.
    """
    if not exists(path):
        message = f"Found no file {url_of(path)}, expected one: name the archives of a folder in a bucket one by one."
        raise SourceError(message)
    if detections := readers["image_tars"].detect(path):
        return [_how_read(detection, path, "by byte range") for detection in detections]
    unread = _unread_remote(path)
    if not unread:
        copy = file_copy(path)
        detections = _forms(copy, readers)
        if detections and all("images" not in detection.holds for detection in detections):
            return [_how_read(detection, path, "whole, from a copy") for detection in detections]
        unread = "; ".join(detection.evidence for detection in detections) or what_is(copy)
    raise SourceError(
        f"{url_of(path)}: found {unread}. Expected a tar of images or of class tars, not compressed, or a file of "
        f"boxes or labels of at most {_MAX_COPIED_BYTES >> 30} GiB. Copy it to a folder and index it there."
    )


def _unread_remote(path: Path) -> str:
    """Return what a file in a bucket is, if its size or its first bytes tell that it is none of boxes or labels."""
    remote = Remote(str(path))
    if (size := remote.size()) > _MAX_COPIED_BYTES:
        return f"a file of {count_of(size, 'byte')}"
    if tar.is_tar(path):
        with suppress(FormatError):
            names = (member.name for member in islice(tar.walk(path), _LOOKED_AT_MEMBERS))
            image = next(filter(is_image_name, names), None)
            return f"a tar with {image} among other files" if image else ""
    is_binary = b"\0" in remote.read(0, _HEAD_BYTES) and not tar.is_gzip(path)
    return f"a binary file of {count_of(size, 'byte')}" if is_binary else ""


def _how_read(detection: Detection, path: Path, how: str) -> Detection:
    return replace(detection, path=path, evidence=f"{detection.evidence}; read {how}")


def _forms(path: Path, readers: Mapping[str, Reader]) -> list[Detection]:
    """Return what the readers detect at a path itself, each with its splits in the usual order."""
    return [
        replace(detection, splits=tuple(sorted(detection.splits, key=lambda split: (*_SPLITS, split).index(split))))
        for reader in readers.values()
        for detection in reader.detect(path)
    ]


class _FolderSearch:
    """Search of a folder for forms and for files that nothing reads.

    All paths are relative to the folder, with '/' between; "" is the folder itself.

    Attributes:
        found: The detected forms.
        exports: Exports of this program that are left out.
        known: Files of exports that are read.
        ignored: Files and folders that nothing reads.
    """

    def __init__(
        self, path: Path, readers: Mapping[str, Reader], units: UnitsOf, found: list[Detection], *, with_exports: bool
    ):
        self._path, self._readers, self._units, self._with_exports = path, readers, units, with_exports
        self.found: list[Detection] = []
        self.exports: list[OwnExport] = []
        self.known: set[str] = set()
        self.ignored: list[str] = []
        self._read: set[str] = set()  # files and folders of units
        self._parents: set[str] = set()  # the folders around them
        self._classes: set[str] = set()  # class folders, which are read with all folders below
        self._tables: set[str] = set()  # folders with a table, which may list images in the folders below
        for detection in found:
            self._add(detection)
        self._search("")

    def _add(self, detection: Detection, *, alone: bool = False) -> bool:
        """Add a detection. Return False if `alone` and another detection reads some of the same files."""
        units = self._units(detection)
        files = {unit.file for unit in units}
        if not detection.holds:
            files = {detection.path.relative_to(self._path).as_posix()}
        if alone and not self._read.isdisjoint(files):
            return False
        self.found.append(detection)
        self._read |= files
        self._classes |= {unit.file for unit in units if unit.wnid is not None}
        self._parents |= {parent for file in files for parent in _parents(file)}
        self._tables |= {_parents(file)[0] for file in files if PurePosixPath(file).name in TABLES}
        if self._readers[detection.form].READS.loose:
            self._parents |= {unit.file for unit in units if unit.wnid is None and not unit.member}
        return True

    def _search(self, folder: str) -> None:
        """Try what is in a folder and is not read, then search the folders in it that contain what is read."""
        if (folder and folder in self._tables) or folder in self._classes:
            return
        if folder and self._with_exports and (export := export_at(self._path / folder)):
            self.known |= {f"{folder}/{file}" for file in export.files}
        unread = self._unread(folder)
        if folder and not all(unread.values()):
            # Class tars, or shards, are one form together.
            added = [self._add(detection, alone=True) for detection in _forms(self._path / folder, self._readers)]
            unread = self._unread(folder) if any(added) else unread
        for path, is_dir in unread.items():
            self._try(path, is_dir=is_dir, listed=folder not in self._tables)
        if loose := self._loose_images(folder):
            n = count_of(len(loose), "image")
            self.ignored.append(f"{loose[0]} ({n} beside class folders: put each into the folder of its class)")
        for path in sorted(self._parents):
            if path and _parents(path)[0] == folder and (self._path / path).is_dir():
                self._search(path)

    def _unread(self, folder: str) -> dict[str, bool]:
        """Return what is in a folder and is not read, without images: whether it is a folder, by path."""
        with os.scandir(self._path / folder) as entries:
            children = sorted((f"{folder}/{entry.name}".lstrip("/"), is_folder(entry)) for entry in entries)
        skip_files = folder != "" and folder in self._read  # the unit reads them, or reports them as problems
        return {
            path: is_dir
            for path, is_dir in children
            if path not in self._read
            and path not in self._parents
            and (is_dir or not (skip_files or PurePosixPath(path).suffix.lower() in _SCANNED_SUFFIXES))
        }

    def _leads_up(self, folder: str) -> bool:
        """Return True for a link to a folder around it, by the way that leads there or by the real one: it is endless.

        A second `ln -s /data/imagenet imagenet` makes one: it is /data/imagenet/imagenet.
        """
        path = self._path / folder
        if not path.is_symlink():
            return False
        target = path.resolve()
        ways = {(self._path / parent).resolve() for parent in _parents(folder)}
        return target in ways or path.parent.resolve().is_relative_to(target)

    def _loose_images(self, folder: str) -> list[str]:
        """Return the images that are beside class folders in a folder, if nothing reads them."""
        is_read = folder in self._read or folder in self._tables
        if is_read or not any(_parents(name)[0] == folder for name in self._classes):
            return []
        with os.scandir(self._path / folder) as entries:
            return sorted(f"{folder}/{entry.name}".lstrip("/") for entry in entries if is_image_name(entry.name))

    def _try(self, place: str, *, is_dir: bool, listed: bool) -> None:
        """Add what a file or folder is, or list it as not read."""
        path = self._path / place
        if is_dir and self._leads_up(place):
            self.ignored.append(f"{place}/ (a link to a folder around it)")
            return
        try:
            exports = exports_in(path) if is_dir and not self._with_exports else []
            self.exports += exports
            if any(export.folder == path for export in exports):
                return
            # A link without a target is no form.
            found = _forms(path, self._readers) if path.exists() else []
            note = _folder_note(path) if is_dir and not found else ""
        except PermissionError as error:
            self.ignored.append(f"{place} ({error.strerror})")
            return
        for detection in found:
            self._add(detection)
        if not found and not is_dir:
            self.ignored.append(place)
        elif note and listed and not exports and not path.name.startswith("."):
            self.ignored.append(place + note)


def _parents(path: str) -> list[str]:
    """Return the folders around a path, the nearest first, "" last."""
    parts = path.split("/")
    return ["/".join(parts[:n]) for n in reversed(range(len(parts)))]


def _with_split_warning(detection: Detection, path: Path, others: list[Detection]) -> Detection:
    """Return a detection with a reading added if a folder beside train, not named as a split, is read as train."""
    name = detection.path.name
    if (
        detection.form not in _FOLDER_FORMS
        or detection.path == path
        or is_split_folder(name)
        or not detection.dataset.startswith("ilsvrc")
        or "images" not in detection.holds
        or not set(detection.splits) <= {"train"}
        or not any("train" in other.splits and other is not detection for other in others)
    ):
        return detection
    reading = (
        f"of another split: the folder {name}/ has the name of none, and its images are taken for train; rename the "
        "folder, or index it by itself (--dataset NAME)"
    )
    return replace(detection, readings=(*detection.readings, reading))


def _without_exports(path: Path, found: Sequence[Detection], units: UnitsOf) -> tuple[list[Detection], list[OwnExport]]:
    """Return (the detections outside of exports below a path, these exports)."""
    kept: list[Detection] = []
    met: dict[str, OwnExport] = {}
    for detection in found:
        if detection.path.is_file():  # listing the units of an archive would read it
            files = [detection.path.relative_to(path).as_posix()]
        else:
            files = [unit.file for unit in units(detection)]
        exports = exports_on_the_way(path, files)
        if exports and not all(any(f"{file}/".startswith(f"{name}/") for name in exports) for file in files):
            first = next(iter(exports.values()))
            raise SourceError(
                f"{first.folder} is {first.title}, among what is read of {path} as {detection.form}. Move it "
                "elsewhere, or read it too, under a name of its own: --dataset NAME."
            )
        met |= exports
        if not exports:
            kept.append(detection)
    return kept, list(met.values())


def _read_as(around: OwnExport | None, found: list[Detection]) -> list[Detection]:
    return [around.read_as(detection) for detection in found] if around else found


# ---- words for what is not read


def _folder_note(folder: Path) -> str:
    """Return the text after the name of a folder that is not read; "" for an empty one and for an index."""
    if is_index(folder) or folder.suffix == ".partial":
        return ""
    if wnids := folders_by_wnid(folder):
        folders = "1 folder" if len(wnids) == 1 else f"{len(wnids):,} folders"
        return f"/ ({folders} called by wnids, none of them with an image)"
    with os.scandir(folder) as entries:
        return "/" if next(entries, None) else ""


def what_is(path: Path) -> str:
    """Return what a path is, in words, if nothing of ImageNet was found there."""
    if is_index(path):
        return "an index that build-index made, and no source of one"
    if any(is_index(folder) for folder in (path.parent, path.parent.parent)):
        return "part of an index that build-index made, and no source of one"
    if reason := unread_folder(path) if path.is_dir() else unread_file(path):
        return reason
    if path.is_dir():
        for folder in (path, *(path / name for name in split_folders(path))):
            if folders_by_wnid(folder):
                return f"a folder with {folder.name}{_folder_note(folder)}"
        names = sorted(entry.name + ("/" if entry.is_dir() else "") for entry in path.iterdir())
        return f"a folder with {', '.join(names[:5])}{' ...' if len(names) > 5 else ''}" if names else "an empty folder"
    if not path.is_file():
        return "neither a file nor a folder"  # opening a pipe would block
    with path.open("rb") as file:
        return f"a file of {path.stat().st_size:,} bytes that begins with {file.read(8)!r}"
