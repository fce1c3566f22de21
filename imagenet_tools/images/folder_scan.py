"""Scan the images of a folder: list its files, read the header of each image in place, and gather rows.

For a class folder, images in folders below it are read too and links are followed, as torchvision's ImageFolder does.
"""

from __future__ import annotations

import functools
import os
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple

from imagenet_tools.images import batch, image_rows
from imagenet_tools.images.class_folders import is_folder
from imagenet_tools.images.image_rows import HEAD, ImageRows, is_image_name, unwrapped
from imagenet_tools.images.jpeg import reader_at, reader_of
from imagenet_tools.units import UNREADABLE, FileRange, unit_file
from imagenet_tools.wordnet.wnid import path_facts

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    import pyarrow as pa

    from imagenet_tools.units import Unit

# Codes that scan_folder() may report, for the table problems.
PROBLEMS = image_rows.PROBLEMS | {
    UNREADABLE: "a file that is there and cannot be read, or a link to nothing; each build looks at it again",
    "name_not_utf8": "an image whose name is not UTF-8, and so cannot be an id; it is not indexed",
    "stray_file": "a file beside the images that is no image",
}

_READ = os.O_RDONLY | os.O_CLOEXEC
_NOT_UTF8 = "its name is not UTF-8, and so cannot be an id; expected a name such as n01440764_10026.JPEG. Rename it."


class OpenFolder(NamedTuple):
    """An open folder of a unit, and its files."""

    fd: int
    prefix: str  # path of the folder relative to the unit's root; "" or with "/" at its end
    entries: Sequence[os.DirEntry[str]]  # sorted by name; a link counts as what it points to


def scan_folder(
    unit: Unit, rows: ImageRows | None = None, *, deep: bool | None = None, beside: Collection[str] = ()
) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Yield the images of a unit's folder, by folder and name; a file that is no image becomes a problem.

    With `deep`, the default for the folder of a class, images in folders below it are read too. Files with the names
    `beside` are left to the caller.
    """
    rows = rows or ImageRows(unit)
    for folder in open_folders(unit, rows.problem, deep=deep):
        entries = [entry for entry in folder.entries if entry.name not in beside] if beside else folder.entries
        add = functools.partial(_add, rows, folder)
        for _ in batch.scan_files(rows, folder.fd, folder.prefix, entries, add=add):
            if rows.full():
                yield from rows.batches()
    yield from rows.batches()


def folder_files(unit: Unit, *, deep: bool | None = None) -> Iterator[FileRange]:
    """Yield the files that scan_folder looks at, by folder and name; a unit of a file is that file."""
    if not unit.path.is_dir():
        yield from unit_file(unit)
        return
    for folder in open_folders(unit, deep=deep):
        for entry in folder.entries:
            yield FileRange(folder.prefix + entry.name)


def open_folders(
    unit: Unit, problem: Callable[[str, str, str], None] = lambda *row: None, *, deep: bool | None = None
) -> Iterator[OpenFolder]:
    """Yield a unit's folder, and with `deep` those below it, sorted; each is open until the next one is asked for.

    Each folder is read once, so that a link to a folder above ends. `problem` is called for such a link and for a
    folder that cannot be opened.
    """
    deep = unit.wnid is not None if deep is None else deep
    seen: set[tuple[int, int]] = set()
    waiting = [""]
    while waiting:
        below = waiting.pop()
        prefix = f"{unit.file}/{below}" if unit.file else below
        name = printable(prefix.rstrip("/"))
        try:
            fd = os.open(unit.path / below, _READ | os.O_DIRECTORY)
        except OSError as error:
            if not below:
                raise
            problem(UNREADABLE, name, f"the folder cannot be opened: {error.strerror}")
            continue
        try:
            status = os.fstat(fd)
            if (status.st_dev, status.st_ino) in seen:
                problem("stray_file", name, "a link to a folder that is read already")
                continue
            seen.add((status.st_dev, status.st_ino))
            with os.scandir(fd) as scanned:
                entries = sorted(scanned, key=attrgetter("name"))
            folders = [entry.name for entry in entries if is_folder(entry)]
            if deep:
                waiting += [f"{below}{folder}/" for folder in reversed(folders)]
            yield OpenFolder(fd, prefix, [entry for entry in entries if not is_folder(entry)] if folders else entries)
        finally:
            os.close(fd)


def _add(rows: ImageRows, folder: OpenFolder, entry: os.DirEntry[str]) -> None:
    """Add a file to the rows: an image, or a problem."""
    unit, file = rows.unit, folder.prefix + entry.name
    if not is_image_name(entry.name):
        rows.problem("stray_file", printable(file), "a file that is no image")
        return
    if printable(file) != file:
        rows.problem("name_not_utf8", printable(file), _NOT_UTF8)
        return
    if not is_file(entry):
        reason = "a link to nothing" if entry.is_symlink() else "neither a file nor a folder"
        rows.problem(UNREADABLE, file, reason)
        return
    stem, wnid, _ = path_facts(entry.name)
    wnid = unit.wnid or wnid
    fd = -1
    try:
        if not unit.probed:
            rows.add(stem, file=file, length=entry.stat().st_size, head=b"", more=reader_of(b""), wnid=wnid)
            return
        fd = os.open(entry.name, _READ, dir_fd=folder.fd)
        length = os.fstat(fd).st_size
        head, more, size, compression = unwrapped(os.pread(fd, HEAD, 0), length, reader_at(fd, 0))
        rows.add(stem, file=file, length=length, head=head, more=more, size=size, compression=compression, wnid=wnid)
    except OSError as error:
        rows.problem(UNREADABLE, file, f"the file cannot be {'opened' if fd < 0 else 'read'}: {error.strerror}")
    finally:
        if fd >= 0:
            os.close(fd)


def is_file(entry: os.DirEntry[str]) -> bool:
    """Return True for a file and for a link to one; False for a link that leads to itself."""
    try:
        return entry.is_file()
    except OSError:
        return False


def printable(name: str) -> str:
    r"""Return a name with the bytes that are not UTF-8 written as \xNN."""
    if name.isascii():
        return name
    return name.encode(errors="surrogateescape").decode(errors="backslashreplace")
