"""The images in a folder: listed, probed where they lie, and gathered as rows."""

from __future__ import annotations

import os
from contextlib import contextmanager
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING

from imagenet_tools import system
from imagenet_tools.containers.read_buffer import CAPACITY, ReadBuffer, read_buffer
from imagenet_tools.images import image_rows
from imagenet_tools.images.image_rows import ImageRows, is_image_name
from imagenet_tools.images.plain_images import RUN, Images, add_images
from imagenet_tools.images.plain_rows import NAME
from imagenet_tools.images.unwrapped import HEAD, Unwrapped
from imagenet_tools.units import UNREADABLE, FileRange, unit_file
from imagenet_tools.wnid import told_by_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import pyarrow as pa

    from imagenet_tools.images.jpeg import Facts
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


def scan_folder(unit: Unit, rows: ImageRows | None = None) -> Iterator[tuple[str, pa.RecordBatch]]:
    """The images that lie directly in a unit's folder, by name; what is no image becomes a problem."""
    rows = rows or ImageRows(unit)
    with _opened(unit.path) as (folder, entries), read_buffer() as buffer:
        for start in range(0, len(entries), _TOGETHER):
            some = entries[start : start + _TOGETHER]
            images = _read_together(unit, folder, some, buffer)
            add = partial(_add, rows, unit, folder, some, images)
            add_images(rows, images, buffer, read=partial(_read_on, folder, some), add=add)
            if rows.full():
                yield from rows.batches()
    yield from rows.batches()


def folder_files(unit: Unit) -> Iterator[FileRange]:
    """Yield the files that lie directly in a unit's folder, by name; a unit of a file is that file."""
    if not unit.path.is_dir():
        yield from unit_file(unit)
        return
    prefix = _prefix(unit)
    with _opened(unit.path) as (_, entries):
        for entry in entries:
            yield FileRange(prefix + entry.name)


@contextmanager
def _opened(path: Path) -> Iterator[tuple[int, Entries]]:
    """A folder, open, and what lies directly in it and is no folder, by name; links count as what they point to."""
    folder = os.open(path, _READ | os.O_DIRECTORY)
    try:
        with os.scandir(folder) as entries:
            found = [entry for entry in entries if not entry.is_dir()]
        found.sort(key=attrgetter("name"))
        yield folder, found
    finally:
        os.close(folder)


def _read_together(unit: Unit, folder: int, entries: Entries, buffer: ReadBuffer) -> Images:
    """The files among these that can be called as images are, each opened and its first bytes read, once."""
    import numpy as np

    known, held, sizes = ([0] * len(entries) for _ in range(3))
    view, open_, preadv, seek, close = buffer.view, os.open, system.preadv, os.lseek, os.close
    for n, entry in enumerate(entries if len(entries) >= RUN else ()):
        name = entry.name
        if not (name.endswith(".JPEG") and name.isascii() and entry.is_file()):
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
    prefix = _prefix(unit)
    names = np.array([entry.name.encode(errors="surrogateescape") for entry in entries], f"S{NAME}")
    size = np.array(sizes, np.int64)
    return Images(
        names=names.view(np.uint8).reshape(-1, NAME),
        file=[prefix + entry.name for entry in entries],
        start=np.arange(len(entries)) * HEAD,
        held=np.minimum(held, size),
        offset=None,
        size=size,
        known=np.array(known, np.bool_),
    )


def _read_on(folder: int, entries: Entries, n: int, offset: int, size: int) -> bytes:
    """Bytes of a file that was closed."""
    fd = os.open(entries[n].name, _READ, dir_fd=folder)
    try:
        return os.pread(fd, size, offset)
    finally:
        os.close(fd)


def _add(
    rows: ImageRows, unit: Unit, folder: int, entries: Entries, images: Images, n: int, found: Facts | None
) -> None:
    """Add a file to the rows by itself: an image, or a problem."""
    entry = entries[n]
    prefix = _prefix(unit)
    if not is_image_name(entry.name) or not is_text(entry.name):
        code = "name_not_utf8" if is_image_name(entry.name) else "stray_file"
        reason = _NOT_TEXT if is_image_name(entry.name) else "a file that is no image"
        rows.problem(code, prefix + printable(entry.name), reason)
        return
    file = prefix + entry.name
    if not entry.is_file():
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
        fd = os.open(entry.name, _READ, dir_fd=folder)

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
