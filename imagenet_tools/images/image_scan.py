"""The images in a folder and in a tar: listed, probed where they lie, and gathered as rows."""

from __future__ import annotations

import hashlib
import os
import re
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, Protocol

from imagenet_tools.containers import tar
from imagenet_tools.containers.gzip_stream import Stream
from imagenet_tools.containers.payload import GZIP_MAGIC, LARGEST
from imagenet_tools.containers.seek_points import point_rows
from imagenet_tools.containers.tar_header import truncated
from imagenet_tools.errors import FormatError
from imagenet_tools.images.image_rows import ImageRows, is_image_name
from imagenet_tools.images.unwrapped import HEAD, Unwrapped
from imagenet_tools.wnid import keeps_imagenet_name, told_by_path

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pyarrow as pa

    from imagenet_tools.images.jpeg import More
    from imagenet_tools.units import Unit

# The tar of a class, wherever it lies.
CLASS_TAR = re.compile(r"(?:.*/)?(n\d{8})\.tar")

# What publishers put beside the images of a tree, and its images do not need.
BESIDE_IMAGES = frozenset({"noisy_imagenette.csv", "noisy_imagewoof.csv"})


class Beside(Protocol):
    """What takes the files of a tar that are no images, and makes rows of them, as annotations that lie with them."""

    def take(self, member: tar.Member, read: More) -> bool:
        """Whether it takes a file, of which read(offset, n) gives bytes."""

    def full(self) -> bool:
        """Whether it is time to hand its rows on."""

    def batches(self) -> Iterator[tuple[str, pa.RecordBatch]]:
        """Hand on what was gathered, as (table, rows), and begin anew."""


class _Gathered(NamedTuple):
    """The rows of a tar's images, and what takes the files beside them."""

    rows: ImageRows
    beside: Beside | None

    def full(self) -> bool:
        return self.rows.full() or (self.beside is not None and self.beside.full())

    def batches(self) -> Iterator[tuple[str, pa.RecordBatch]]:
        yield from self.rows.batches()
        if self.beside is not None:
            yield from self.beside.batches()


def scan_tar(
    unit: Unit, rows: ImageRows | None = None, *, beside: Beside | None = None
) -> Iterator[tuple[str, pa.RecordBatch]]:
    """The images of a tar, or of the part of a file that a unit names; what nothing takes becomes a problem.

    A tar in gzip, whatever it is called, is read in one pass that leaves seek points; the tars in it are read too.
    """
    gathered = _Gathered(rows or ImageRows(unit), beside)
    fd = os.open(unit.path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if os.pread(fd, 2, unit.offset) == GZIP_MAGIC:
            yield from _scan_gzip(unit, gathered, fd)
        else:
            for _ in _scan_plain(unit, gathered, fd):
                yield from gathered.batches()
    finally:
        os.close(fd)
    yield from gathered.batches()


def _scan_plain(unit: Unit, gathered: _Gathered, fd: int) -> Iterator[None]:
    """Gather the members of a tar; stops when rows are full."""
    prefix = f"{unit.member}/" if unit.member else ""
    end = None if unit.length < 0 else unit.offset + unit.length
    try:
        for member, head in tar.walk_ahead(fd, start=unit.offset, end=end, ahead=HEAD if unit.probed else 0):

            def more(offset: int, n: int, start: int = member.offset) -> bytes:
                return os.pread(fd, n, start + offset)

            _add(gathered, unit, prefix, member, head, more)
            if gathered.full():
                yield
    except FormatError as error:
        # The good members before the break are kept; the break is said.
        gathered.rows.problem(error.code, unit.file, str(error), unit.member or None)


def _scan_gzip(unit: Unit, gathered: _Gathered, fd: int) -> Iterator[tuple[str, pa.RecordBatch]]:
    size = unit.length if unit.length >= 0 else os.fstat(fd).st_size - unit.offset
    stream = Stream(lambda offset, n: os.pread(fd, n, unit.offset + offset), size, label=unit.file)
    try:
        for _ in _in_stream(stream, gathered, unit):
            if gathered.full():
                yield from gathered.batches()
    except FormatError as error:
        gathered.rows.problem(error.code, unit.file, str(error), unit.member or error.member or None)
    else:
        if stream.damage:
            gathered.rows.problem("gzip_damaged", unit.file, stream.damage, unit.member or None)
    yield "seek_points", point_rows(unit, stream, start=unit.offset, size=size)
    stream.close()


def _piece(data: bytes, offset: int, n: int) -> bytes:
    return data[offset : offset + n]


def _in_stream(stream: Stream, gathered: _Gathered, unit: Unit) -> Iterator[None]:
    """Gather the members of a tar that streams by, and those of the class tars in it; stops after each."""
    prefix = f"{unit.member}/" if unit.member else ""
    for member in tar.walk_by(stream.read, label=unit.file):
        inner = CLASS_TAR.fullmatch(member.name)
        if member.kind != "file" or not inner:
            _add_streamed(gathered, unit, prefix, member, stream)
            yield
            continue
        end = member.offset + member.size
        above = prefix + member.name
        try:
            for one in tar.walk_by(stream.read, start=member.offset, end=end, label=f"{unit.file}: {member.name}"):
                _add_streamed(gathered, unit, f"{above}/", one, stream, wnid=inner[1])
                yield
        except FormatError as error:
            # A break in a class tar costs what is behind it in that one alone; one of the stream costs all the rest.
            if error.code.startswith("gzip") or (member.size and not stream.read(end - 1, 1)):
                raise
            gathered.rows.problem(error.code, unit.file, str(error), above)


def _add_streamed(
    gathered: _Gathered, unit: Unit, prefix: str, member: tar.Member, stream: Stream, *, wnid: str | None = None
) -> None:
    """Add a member of a tar that streams by, an image with all its bytes read."""

    def more(offset: int, n: int) -> bytes:
        return stream.read(member.offset + offset, n)

    data = b""
    if member.kind == "file" and is_image_name(member.name.rpartition("/")[2]):
        data = more(0, min(member.size, LARGEST))
        more = partial(_piece, data)
        if len(data) < min(member.size, LARGEST):
            what, stated = f"{len(data):,} bytes of {member.name!r}", f"the {member.size:,} that its header states"
            raise truncated(unit.file, member.offset, f"{what} before its end", stated, member.name)
    _add(gathered, unit, prefix, member, data[:HEAD], more, wnid=wnid, streams=True)


def _add(
    gathered: _Gathered,
    unit: Unit,
    prefix: str,
    member: tar.Member,
    head: bytes,
    more: More,
    *,
    wnid: str | None = None,
    streams: bool = False,
) -> None:
    """Add a member of a tar to the rows: an image, what is taken beside, or a problem."""
    path, offset, length, kind = member
    if kind == "dir":
        return
    rows, beside = gathered
    name = path.rpartition("/")[2]
    if kind != "file" or not is_image_name(name):
        taken = kind == "file" and beside is not None and beside.take(member, more)
        if not taken and name not in BESIDE_IMAGES:
            rows.problem("stray_file", unit.file, f"a {kind}, not an image", prefix + path)
        return
    stem, told, split = told_by_path(path)
    size, compression = length, None
    if head.startswith(GZIP_MAGIC):
        head, more, size, compression = Unwrapped.of(head, length, more)
    if streams:
        compression = "tar.gz" if compression is None else f"tar.gz+{compression}"
    plain = not streams and path == f"{stem}.JPEG" and keeps_imagenet_name(stem)
    rows.add(
        stem,
        file=unit.file,
        member=None if plain else prefix + path,
        offset=None if streams else offset,
        position=offset if streams else None,
        length=length,
        head=head,
        more=more,
        size=size,
        compression=compression,
        wnid=wnid or (None if unit.wnid else told),
        split=split,
    )


def scan_folder(unit: Unit, rows: ImageRows | None = None) -> Iterator[tuple[str, pa.RecordBatch]]:
    """The images that lie directly in a unit's folder, by name; what is no image becomes a problem."""
    rows = rows or ImageRows(unit)
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
        told = told_by_path(entry.name)
        wnid = unit.wnid or told.wnid
        if not unit.probed:
            size = entry.stat().st_size
            rows.add(told.stem, file=prefix + entry.name, length=size, head=b"", more=partial(_piece, b""), wnid=wnid)
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
            wrapped = Unwrapped.of(os.pread(fd, HEAD, 0), length, more)
            rows.add(
                told.stem,
                file=prefix + entry.name,
                length=length,
                head=wrapped.head,
                more=wrapped.more,
                size=wrapped.size,
                compression=wrapped.compression,
                wnid=wnid,
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
