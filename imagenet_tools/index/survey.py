"""What lies at a path: the forms that the readers find there, what no form claims, and what it is instead."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from imagenet_tools.containers import tar
from imagenet_tools.errors import FormatError, SourceError
from imagenet_tools.images.image_rows import IMAGE_SUFFIXES
from imagenet_tools.index.layout import is_index
from imagenet_tools.index.own_exports import OwnExport, export_around, exports_in, exports_on_the_way
from imagenet_tools.index.unread import unread_file, unread_folder

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from imagenet_tools.units import Detection, Reader

# Files that lie in their thousands in what readers scan, and are no archive or list.
_SCANNED = IMAGE_SUFFIXES | {".xml"}

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
    units = tuple(sum(1 for _ in readers[one.form].units(one, "", root)) for one in found)
    return Survey(path, tuple(found), units, tuple(ignored), "" if found else what_is(path))


def detect(
    path: Path, readers: Mapping[str, Reader], *, with_exports: bool = False
) -> tuple[list[Detection], list[str]]:
    """(what lies at a path, the files beside it that nothing reads).

    In a folder, archives, lists and folders that lie directly in it and belong to none of what was found are tried
    too; images and annotations that no form claims are counted by the units around them. SourceError: no such path.

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
    inside = {unit.file.split("/")[0] for one in found for unit in readers[one.form].units(one, "", path)}
    inside |= {one.path.relative_to(path).parts[0] for one in found if one.path != path}
    ignored: list[str] = []
    exports: list[OwnExport] = []
    for child in sorted(path.iterdir()):
        if child.name in inside or child.suffix.lower() in _SCANNED:
            continue
        try:
            if not with_exports and child.is_dir():
                exports += exports_in(child)
            if any(one.folder == child for one in exports):
                continue
            # A link to nothing is no file of any form.
            below = _forms(child, readers) if child.exists() else []
        except PermissionError as error:
            ignored.append(f"{child.name} ({error.strerror})")
            continue
        found.extend(below)
        if not below and not child.is_dir():
            ignored.append(child.name)
    if not with_exports:
        found, met = _without_exports(path, found, readers)
        exports += [one for one in met if one not in exports]
    known = {name for one in found for name in getattr(readers[one.form], "BESIDE", ())}
    known |= around.files if around else set()
    named = [f"{one.folder.relative_to(path)}/ ({one.title}: name it by itself to read it)" for one in exports]
    return _read_as(around, found), [*named, *(_why(path, name) for name in ignored if name not in known)]


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
            files = [unit.file for unit in readers[one.form].units(one, "", path)]
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
