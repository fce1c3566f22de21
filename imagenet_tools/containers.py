"""The images in a folder and in a tar: listed, probed where they lie, and gathered as rows."""

from __future__ import annotations

import hashlib
import os
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

from imagenet_tools import tar
from imagenet_tools.errors import FormatError
from imagenet_tools.payload import GZIP_MAGIC, gunzip
from imagenet_tools.rows import ImageRows, is_image_name
from imagenet_tools.wnid import keeps_imagenet_name

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pyarrow as pa

    from imagenet_tools.jpeg import More
    from imagenet_tools.units import Unit

# 87 % of ImageNet's files show their size within this; the others cost a second read.
_HEAD = 4096


def scan_tar(unit: Unit) -> Iterator[tuple[str, pa.RecordBatch]]:
    """The images of a tar, or of the part of a tar that a unit names; what is no image becomes a problem."""
    rows = ImageRows(unit)
    prefix = f"{unit.member}/" if unit.member else ""
    fd = os.open(unit.path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        end = None if unit.length < 0 else unit.offset + unit.length
        for member, head in tar.walk_ahead(fd, start=unit.offset, end=end, ahead=_HEAD):
            if member.kind == "dir":
                continue
            name = PurePosixPath(member.name)
            if member.kind != "file" or not is_image_name(name.name):
                rows.problem("stray_file", unit.file, f"a {member.kind}, not an image", prefix + member.name)
                continue

            def more(offset: int, n: int, start: int = member.offset) -> bytes:
                return os.pread(fd, n, start + offset)

            wrapped = Unwrapped.of(head, member.size, more)
            plain = member.name == f"{name.stem}.JPEG" and keeps_imagenet_name(name.stem)
            rows.add(
                name.stem,
                file=unit.file,
                member=None if plain else prefix + member.name,
                offset=member.offset,
                length=member.size,
                head=wrapped.head,
                more=wrapped.more,
                size=wrapped.size,
                compression=wrapped.compression,
            )
            if rows.full():
                yield from rows.batches()
    except FormatError as error:
        # The good members before the break are kept; the break is said.
        rows.problem(error.code, unit.file, str(error), unit.member or None)
    finally:
        os.close(fd)
    yield from rows.batches()


def scan_folder(unit: Unit) -> Iterator[tuple[str, pa.RecordBatch]]:
    """The images that lie directly in a unit's folder, by name; what is no image becomes a problem."""
    rows = ImageRows(unit)
    prefix = f"{unit.file}/" if unit.file else ""
    for entry in _entries(unit.path):
        if not is_image_name(entry.name) or not is_text(entry.name):
            code = "name_not_utf8" if is_image_name(entry.name) else "stray_file"
            reason = _NOT_TEXT if is_image_name(entry.name) else "a file that is no image"
            rows.problem(code, prefix + printable(entry.name), reason)
            continue
        if not entry.is_file():
            what = "a link to nothing" if entry.is_symlink() else "neither a file nor a folder"
            rows.problem("unreadable_file", prefix + entry.name, what)
            continue
        try:
            fd = os.open(entry.path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            rows.problem("unreadable_file", prefix + entry.name, f"the file cannot be opened: {error.strerror}")
            continue
        try:

            def more(offset: int, n: int, fd: int = fd) -> bytes:
                return os.pread(fd, n, offset)

            length = os.fstat(fd).st_size
            wrapped = Unwrapped.of(os.pread(fd, _HEAD, 0), length, more)
            rows.add(
                PurePosixPath(entry.name).stem,
                file=prefix + entry.name,
                length=length,
                head=wrapped.head,
                more=wrapped.more,
                size=wrapped.size,
                compression=wrapped.compression,
            )
        finally:
            os.close(fd)
        if rows.full():
            yield from rows.batches()
    yield from rows.batches()


_NOT_TEXT = "its name is not UTF-8, and so cannot be an id; expected a name such as n01440764_10026.JPEG. Rename it."


def is_text(name: str) -> bool:
    """Whether a name can be written as UTF-8; bytes that cannot come as lone surrogates."""
    return name.isascii() or printable(name) == name


def printable(name: str) -> str:
    """A name as it can be written, bytes that are no UTF-8 as \\xNN."""
    return name.encode(errors="surrogateescape").decode(errors="backslashreplace")


class Unwrapped(NamedTuple):
    """An image's first bytes and the way to the others, taken out of the gzip that a few of fall11's lie in."""

    head: bytes
    more: More
    size: int
    compression: str | None

    @classmethod
    def of(cls, head: bytes, length: int, more: More) -> Unwrapped:
        """As it is, unless it begins as gzip does and holds something; a wrapping that is broken is left on."""
        if not head.startswith(GZIP_MAGIC):
            return cls(head, more, length, None)
        try:
            data = gunzip(more(0, length))
        except FormatError:
            return cls(head, more, length, None)
        return cls(data[:_HEAD], lambda offset, n: data[offset : offset + n], len(data), "gzip")


def tar_fingerprint(unit: Unit) -> str:
    """Size and time of the tar, and which part of it a unit means."""
    status = unit.path.stat()
    return f"{status.st_size} {status.st_mtime_ns} {unit.offset} {unit.length}"


def folder_fingerprint(unit: Unit) -> str:
    """A digest of name, size and time of every file in a unit's folder: one stat a file, nothing opened."""
    digest = hashlib.sha256()
    for entry in _entries(unit.path):
        status = entry.stat(follow_symlinks=entry.is_file())  # a link to nothing has a time of its own
        digest.update(f"{entry.name}\0{status.st_size}\0{status.st_mtime_ns}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """What lies directly in a folder and is no folder itself, by name; links count as what they point to."""
    with os.scandir(folder) as entries:
        return sorted((entry for entry in entries if not entry.is_dir()), key=lambda entry: entry.name)
