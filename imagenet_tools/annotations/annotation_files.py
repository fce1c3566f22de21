"""Read box XML in folders and archives, as the archives stream by, and gather rows.

An archive may hold other archives, one for each class, as that of the whole ImageNet does. They are read in the same
pass, whatever their size; a break in one of them loses only what follows in it.

A large archive of class archives is several units, so that several processes read it. Each unit inflates the outer
archive, at 3 % of the cost of reading all of it, and opens its share of the class archives. The first unit also
reports everything else in the outer archive, and its break.
"""

from __future__ import annotations

import os
import re
import zlib
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from imagenet_tools.annotations import annotation
from imagenet_tools.annotations.annotation import MAX_BYTES
from imagenet_tools.annotations.annotation_rows import AnnotationRows
from imagenet_tools.containers import tar
from imagenet_tools.errors import FormatError
from imagenet_tools.images.image_rows import is_image_name
from imagenet_tools.units import UNREADABLE
from imagenet_tools.wordnet.wnid import wnid_of_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import IO

    import pyarrow as pa

    from imagenet_tools.containers.forward import Payload
    from imagenet_tools.containers.tar import Member
    from imagenet_tools.units import Unit

# Codes that scan_xml() may report, for the table problems.
PROBLEMS = (
    annotation.PROBLEMS
    | tar.PROBLEMS
    | {
        UNREADABLE: "a file that is there and cannot be read; each build looks at it again",
        "stray_file": "a file or a member that is no annotation",
        "repeated_annotation": "a second annotation of an image in one archive; the first is kept",
    }
)

# The archive of a class, compressed or not: browsers and people unpack the outer layer.
ARCHIVE = re.compile(r"(?:.*/)?(n\d{8})(?:\.tar(?:\.gz)?|\.tgz)")

_SINCE_2013 = re.compile(rb"<database>\s*ILSVRC_201[3-9]\s*</database>")
_SHARE = re.compile(r"share ([1-9]) of ([1-9])")

_AHEAD_BYTES = 4096  # read at once when only the first files of an archive are needed
_UNIT_BYTES = 1 << 20  # of an archive of class archives
_MAX_UNITS = 4
_MAX_DEPTH = 2  # archives in archives


def scan_xml(
    unit: Unit, *, suffix: str = ".xml", label_set: str | None = None, classes: frozenset[str] = frozenset()
) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Yield the boxes of a unit, a folder or an archive, and the problems of its files.

    Args:
        unit: The unit.
        suffix: What annotations have in place of the suffix of their image.
        label_set: See AnnotationRows.
        classes: See AnnotationRows.
    """
    rows = AnnotationRows(unit, label_set=label_set, classes=classes)
    full = _scan_folder(unit, rows, suffix) if unit.path.is_dir() else _scan_file(unit, rows, suffix)
    for _ in full:
        yield from rows.batches()
    yield from rows.batches()


def shares(path: Path) -> list[str]:
    """Return the `member` of each unit of an archive: one "" for the whole archive, or several shares of it."""
    n = min(_MAX_UNITS, path.stat().st_size // _UNIT_BYTES)
    if n < 2 or not _holds_class_archives(path):
        return [""]
    return [f"share {k} of {n}" for k in range(1, n + 1)]


def _holds_class_archives(path: Path) -> bool:
    """Return True if the first file in an archive is the archive of a class."""
    with suppress(FormatError), tar.open_stream(path, ahead=_AHEAD_BYTES) as file:
        for member, _, _ in tar.stream_files(file, cap=0):
            if member.kind == "file" and not member.name.rpartition("/")[2].startswith("."):
                return ARCHIVE.fullmatch(member.name) is not None
    return False


class _Share(NamedTuple):
    """The k-th of n shares of the classes in an archive, k from 0; a class belongs to a share by its hash."""

    k: int
    n: int

    def has(self, wnid: str) -> bool:
        return self.n == 1 or zlib.crc32(wnid.encode()) % self.n == self.k


def first_files(path: Path, n: int) -> list[tuple[str, bytes]]:
    """Return (name, payload) of the first n files of an archive and of archives in it, up to the first image.

    Only annotations have a payload; other files are not read.
    """
    members: list[tuple[str, bytes]] = []
    # The members before a break identify the form. The scan reports the break.
    with suppress(FormatError), tar.open_stream(path, ahead=_AHEAD_BYTES) as file:
        for member, opened, above in _members(file):
            name = member.name.rpartition("/")[2]
            if member.kind == "file" and not name.startswith("."):
                is_read = is_annotation(name) and member.size <= MAX_BYTES
                members.append((above + member.name, opened().read() if is_read else b""))
            if len(members) == n or is_image_name(name):
                break
    return members


def _members(file: IO[bytes]) -> Iterator[tuple[Member, Callable[[], Payload], str]]:
    """Yield (member, function that opens it, name of the inner archive and "/") of an archive and those in it."""
    for member, _, opened in tar.stream_files(file, cap=0):
        if member.kind == "file" and ARCHIVE.fullmatch(member.name):
            with suppress(FormatError), tar.open_stream(opened(), ahead=_AHEAD_BYTES) as inner_file:
                for inner, _, open_inner in tar.stream_files(inner_file, cap=0):
                    yield inner, open_inner, f"{member.name}/"
        else:
            yield member, opened, ""


def is_annotation(name: str, suffix: str = ".xml") -> bool:
    """Return True if a file name is that of an annotation; for suffix "", if it has no suffix.

    A leading dot hides a file: macOS adds ._ files to its archives.
    """
    return name.lower().endswith(suffix) and name[:1] != "." and (suffix != "" or "." not in name)


def task_in(data: bytes) -> str | None:
    """Return "DET" or "VID" if an annotation is of ILSVRC's detection tasks, which began in 2013; else None."""
    if b"<trackid>" in data:
        return "VID"
    return "DET" if _SINCE_2013.search(data) else None


def _scan_folder(unit: Unit, rows: AnnotationRows, suffix: str) -> Iterator[None]:
    """Gather the files of a folder, by name; yield when the rows are full."""
    prefix = f"{unit.file}/" if unit.file else ""
    with os.scandir(unit.path) as entries:
        listed = sorted((entry.name, entry.is_file()) for entry in entries if not entry.is_dir())
    for entry, is_file in listed:
        name = os.fsencode(entry).decode("utf-8", "backslashreplace")
        if not is_file:  # a link to nothing, or a pipe, which would block
            rows.problem("stray_file", prefix + name, "no regular file")
        elif is_annotation(name, suffix):
            try:
                with (unit.path / entry).open("rb") as opened:
                    data = opened.read(MAX_BYTES + 1)
            except OSError as error:
                rows.problem(UNREADABLE, prefix + name, f"the file cannot be opened: {error.strerror}")
            else:
                rows.xml(data, name[: len(name) - len(suffix)], folder=unit.wnid, file=prefix + name)
        elif not is_image_name(name):
            rows.problem("stray_file", prefix + name, "a file that is no annotation")
        if rows.full():
            yield


def _scan_file(unit: Unit, rows: AnnotationRows, suffix: str) -> Iterator[None]:
    """Gather the members of an archive; yield when the rows are full."""
    match = _SHARE.fullmatch(unit.member)
    share = _Share(int(match[1]) - 1, int(match[2])) if match else _Share(0, 1)
    try:
        with tar.open_stream(unit.path) as file:
            yield from _scan_stream(unit, rows, suffix, file, _Level("", unit.wnid, 1, {}, share))
    except FormatError as error:
        # The members before the break are kept. Only the first share reports it.
        if share.k == 0:
            rows.problem(error.code, unit.file, str(error), error.member or None)


class _Level(NamedTuple):
    """An archive, and its place in other archives."""

    above: str  # names of the archives around it, each with "/" at its end
    wnid: str | None  # the class that the archive is called by
    depth: int
    seen: dict[str, set[str]]  # stems by folder, in all archives
    share: _Share = _Share(0, 1)  # classes that are read


def _scan_stream(unit: Unit, rows: AnnotationRows, suffix: str, file: IO[bytes], level: _Level) -> Iterator[None]:
    """Gather the members of an archive and of archives in it, in order; yield when the rows are full."""
    folder, wnid = "", level.wnid
    stems = level.seen.setdefault(level.wnid or "", set())
    for member, data, opened in tar.stream_files(file, cap=MAX_BYTES, label=level.above or unit.file):
        place, _, name = member.name.rpartition("/")
        member_name = level.above + member.name
        if member.kind != "file" or not is_annotation(name, suffix):
            inner = ARCHIVE.fullmatch(name) if member.kind == "file" and level.depth < _MAX_DEPTH else None
            if inner is None:
                if level.share.k == 0 and member.kind != "dir" and not (member.kind == "file" and is_image_name(name)):
                    rows.problem("stray_file", unit.file, f"a {member.kind}, not an annotation", member_name)
            elif level.share.has(inner[1]):
                below = _Level(f"{member_name}/", inner[1], level.depth + 1, level.seen)
                yield from _scan_inner(unit, rows, suffix, opened() if data is None else data, below)
            continue
        if place != folder:
            folder = place
            last_folder = place.rpartition("/")[2]
            wnid, stems = wnid_of_folder(last_folder), level.seen.setdefault(last_folder, set())
        if not level.share.has(wnid or folder.rpartition("/")[2]):
            continue
        stem = name[: len(name) - len(suffix)]
        if stem in stems:
            reason = "a second annotation of this image in this archive; the first is kept"
            rows.problem("repeated_annotation", unit.file, reason, member_name, stem)
        elif data is None:
            reason = f"the file has {member.size:,} bytes; at most {MAX_BYTES:,} are read"
            rows.problem("xml_too_large", unit.file, reason, member_name, stem)
        else:
            stems.add(stem)
            rows.xml(data, stem, folder=wnid, file=unit.file, member=member_name)
        if rows.full():
            yield


def _scan_inner(
    unit: Unit, rows: AnnotationRows, suffix: str, source: bytes | Payload, level: _Level
) -> Iterator[None]:
    """Gather the members of an archive in another one; its break is reported as its own."""
    try:
        with tar.open_stream(source) as file:
            yield from _scan_stream(unit, rows, suffix, file, level)
    except FormatError as error:
        rows.problem(error.code, unit.file, str(error), level.above + error.member)
