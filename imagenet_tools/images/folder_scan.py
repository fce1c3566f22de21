"""The images in a folder: listed, probed where they lie, and gathered as rows.

Of a class folder the images below it are read too, links followed, as torchvision's ImageFolder does.
"""

from __future__ import annotations

import os
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple

from imagenet_tools import system
from imagenet_tools.images import image_rows
from imagenet_tools.images.class_folders import is_folder
from imagenet_tools.images.image_rows import HEAD, ImageRows, Unwrapped, is_image_name
from imagenet_tools.images.plain_rows import NAME, RUN, ImageBatch, add_images
from imagenet_tools.storage.blob import CAPACITY, ReadBuffer, read_buffer
from imagenet_tools.units import UNREADABLE, FileRange, unit_file
from imagenet_tools.wordnet.wnid import told_by_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import pyarrow as pa

    from imagenet_tools.images.jpeg import ImageFacts
    from imagenet_tools.units import Unit

    Entries = Sequence[os.DirEntry[str]]

# What scan_folder() may report, for the table problems.
PROBLEMS = image_rows.PROBLEMS | {
    UNREADABLE: "a file that is there and cannot be read, or a link to nothing; each build looks at it again",
    "name_not_utf8": "an image whose name is not UTF-8, and so cannot be an id; it is not indexed",
    "stray_file": "a file beside the images that is no image",
}

# Files whose first bytes are read before any of them is looked at.
_TOGETHER = min(1024, CAPACITY // HEAD)
_READ = os.O_RDONLY | os.O_CLOEXEC
_NOT_TEXT = "its name is not UTF-8, and so cannot be an id; expected a name such as n01440764_10026.JPEG. Rename it."


class _FilePlace(NamedTuple):
    """An open folder of a unit, and the files in it."""

    fd: int
    prefix: str  # what stands before the names of its files, relative to the unit's root; "" or with '/' at its end
    entries: Entries  # by name; links count as what they point to


def scan_folder(
    unit: Unit, rows: ImageRows | None = None, *, deep: bool | None = None
) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Yield the images of a unit's folder, by folder and name; a file that is no image becomes a problem.

    With `deep`, the default for the folder of a class, images in folders below it are read too.
    """
    rows = rows or ImageRows(unit)
    with read_buffer() as buffer:
        for place in _places(unit, rows.problem, deep=deep):
            for start in range(0, len(place.entries), _TOGETHER):
                some = place._replace(entries=place.entries[start : start + _TOGETHER])
                images = _read_together(unit, some, buffer)
                add = partial(_add, rows, unit, some, images)
                add_images(rows, images, buffer, read=partial(_read_on, some), add=add)
                if rows.full():
                    yield from rows.batches()
    yield from rows.batches()


def folder_files(unit: Unit, *, deep: bool | None = None) -> Iterator[FileRange]:
    """Yield the files that scan_folder looks at, by folder and name; a unit of a file is that file."""
    if not unit.path.is_dir():
        yield from unit_file(unit)
        return
    for place in _places(unit, deep=deep):
        for entry in place.entries:
            yield FileRange(place.prefix + entry.name)


def _places(
    unit: Unit, problem: Callable[[str, str, str], None] | None = None, *, deep: bool | None = None
) -> Iterator[_FilePlace]:
    """Yield a unit's folder, open while it is in use, and with `deep` those below it, sorted.

    A folder is read once, so a link to a folder above it ends; such a link, and a folder that cannot be opened, is
    told to `problem`.
    """
    deep = unit.wnid is not None if deep is None else deep
    seen: set[tuple[int, int]] = set()
    waiting = [""]
    while waiting:
        below = waiting.pop()
        prefix = _prefix(unit) + below
        reason, code = "", UNREADABLE
        try:
            fd = os.open(unit.path / below, _READ | os.O_DIRECTORY)
        except OSError as error:
            if not below:
                raise
            reason = f"the folder cannot be opened: {error.strerror}"
        else:
            try:
                status = os.fstat(fd)
                if (status.st_dev, status.st_ino) in seen:
                    reason, code = "a link to a folder that is read already", "stray_file"
                else:
                    seen.add((status.st_dev, status.st_ino))
                    folders, files = _listed(fd)
                    waiting += [f"{below}{name}/" for name in reversed(folders) if deep]
                    yield _FilePlace(fd, prefix, files)
            finally:
                os.close(fd)
        if reason and problem:
            problem(code, printable(prefix.rstrip("/")), reason)


def _listed(fd: int) -> tuple[list[str], Entries]:
    """Return (the names of the folders, the other entries) of an open folder, by name."""
    folders: list[str] = []
    files: list[os.DirEntry[str]] = []
    with os.scandir(fd) as entries:
        for entry in entries:
            if is_folder(entry):
                folders.append(entry.name)
            else:
                files.append(entry)
    files.sort(key=attrgetter("name"))
    return sorted(folders), files


def _is_file(entry: os.DirEntry[str]) -> bool:
    """Return True for a file and for a link to one; False for a link that leads to itself."""
    try:
        return entry.is_file()
    except OSError:
        return False


def _read_together(unit: Unit, place: _FilePlace, buffer: ReadBuffer) -> ImageBatch:
    """The files among these that can be called as images are, each opened and its first bytes read, once."""
    import numpy as np

    folder, prefix, entries = place

    known, held, sizes = ([0] * len(entries) for _ in range(3))
    view, open_, preadv, seek, close = buffer.view, os.open, system.preadv, os.lseek, os.close
    for n, entry in enumerate(entries if len(entries) >= RUN and is_text(prefix) else ()):
        name = entry.name
        if not (name.endswith(".JPEG") and name.isascii() and _is_file(entry)):
            continue
        if not unit.probed:
            known[n], sizes[n] = 1, entry.stat().st_size
            continue
        try:
            fd = open_(name, _READ, dir_fd=folder)
            try:
                held[n] = preadv(fd, (view[n * HEAD : (n + 1) * HEAD],), 0)
                known[n], sizes[n] = 1, seek(fd, 0, os.SEEK_END)
            finally:
                close(fd)
        except OSError:
            continue  # said when it is added by itself
    names = np.array([entry.name.encode(errors="surrogateescape") for entry in entries], f"S{NAME}")
    size = np.array(sizes, np.int64)
    return ImageBatch(
        names=names.view(np.uint8).reshape(-1, NAME),
        file=[prefix + entry.name for entry in entries],
        start=np.arange(len(entries)) * HEAD,
        held=np.minimum(held, size),
        offset=None,
        size=size,
        known=np.array(known, np.bool_),
    )


def _read_on(place: _FilePlace, n: int, offset: int, size: int) -> bytes:
    """Bytes of a file that was closed."""
    fd = os.open(place.entries[n].name, _READ, dir_fd=place.fd)
    try:
        return os.pread(fd, size, offset)
    finally:
        os.close(fd)


def _add(rows: ImageRows, unit: Unit, place: _FilePlace, images: ImageBatch, n: int, found: ImageFacts | None) -> None:
    """Add a file to the rows by itself: an image, or a problem."""
    entry = place.entries[n]
    prefix = place.prefix
    file = prefix + entry.name
    if not is_image_name(entry.name) or not is_text(file):
        code = "name_not_utf8" if is_image_name(entry.name) else "stray_file"
        reason = _NOT_TEXT if is_image_name(entry.name) else "a file that is no image"
        rows.problem(code, printable(file), reason)
        return
    if not _is_file(entry):
        what = "a link to nothing" if entry.is_symlink() else "neither a file nor a folder"
        rows.problem(UNREADABLE, file, what)
        return
    told = told_by_path(entry.name)
    wnid = unit.wnid or told.wnid
    if found is not None or not unit.probed:
        length = int(images.size[n]) if found is not None else entry.stat().st_size
        rows.add(told.stem, file=file, length=length, head=b"", more=_nothing, wnid=wnid, found=found)
        return
    fd = -1
    try:
        fd = os.open(entry.name, _READ, dir_fd=place.fd)

        def more(offset: int, n: int) -> bytes:
            return os.pread(fd, n, offset)

        length = os.fstat(fd).st_size
        head, more_, size, compression = Unwrapped.of(os.pread(fd, HEAD, 0), length, more)
        rows.add(
            told.stem,
            file=file,
            length=length,
            head=head,
            more=more_,
            size=size,
            compression=compression,
            wnid=wnid,
        )
    except OSError as error:
        rows.problem(UNREADABLE, file, f"the file cannot be {'opened' if fd < 0 else 'read'}: {error.strerror}")
    finally:
        if fd >= 0:
            os.close(fd)


def _nothing(offset: int, n: int) -> bytes:
    return b""


def _prefix(unit: Unit) -> str:
    return f"{unit.file}/" if unit.file else ""


def is_text(name: str) -> bool:
    """Whether a name can be written as UTF-8; bytes that cannot come as lone surrogates."""
    return name.isascii() or printable(name) == name


def printable(name: str) -> str:
    """A name as it can be written, bytes that are no UTF-8 as \\xNN."""
    return name.encode(errors="surrogateescape").decode(errors="backslashreplace")
