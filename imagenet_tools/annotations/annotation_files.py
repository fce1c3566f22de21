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
from collections import defaultdict
from contextlib import suppress
from typing import TYPE_CHECKING

from imagenet_tools.annotations import annotation
from imagenet_tools.annotations.annotation import MAX_BYTES
from imagenet_tools.annotations.annotation_rows import AnnotationRows
from imagenet_tools.containers import tar
from imagenet_tools.errors import FormatError
from imagenet_tools.images.folder_scan import is_file, open_folders, printable
from imagenet_tools.images.image_rows import is_image_name
from imagenet_tools.text import count_of
from imagenet_tools.units import UNREADABLE
from imagenet_tools.wordnet.wnid import wnid_of_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from io import BufferedReader
    from pathlib import Path

    import pyarrow as pa

    from imagenet_tools.containers.gzip_stream import Section
    from imagenet_tools.containers.tar import Member
    from imagenet_tools.units import Unit

# Codes that scan_xml() may report, for the table problems.
PROBLEMS = (
    annotation.PROBLEMS
    | tar.PROBLEMS
    | {
        UNREADABLE: "a file that is there and cannot be read, or a link to nothing; each build looks at it again",
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


def scan_xml(
    unit: Unit, *, suffix: str = ".xml", rows: AnnotationRows | None = None
) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Yield the boxes of a unit, a folder or an archive, and the problems of its files.

    Args:
        unit: The unit.
        suffix: What annotations have in place of the suffix of their image.
        rows: What gathers the rows, if not AnnotationRows as it is.
    """
    rows = rows or AnnotationRows(unit)
    full = _scan_folder(unit, rows, suffix) if unit.path.is_dir() else _scan_archive(unit, rows, suffix)
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
        for member, _, _ in tar.stream(file, cap=0):
            if member.kind == "file" and not member.name.rpartition("/")[2].startswith("."):
                return ARCHIVE.fullmatch(member.name) is not None
    return False


def first_files(path: Path, n: int) -> list[tuple[str, bytes]]:
    """Return (name, payload) of the first n files of an archive and of archives in it, up to the first image.

    Only annotations have a payload; other files are not read.
    """
    members: list[tuple[str, bytes]] = []
    # The members before a break identify the form. The scan reports the break.
    with suppress(FormatError), tar.open_stream(path, ahead=_AHEAD_BYTES) as file:
        for archive, _, member, _, opened in _members(file, path.name, cap=0, ahead=_AHEAD_BYTES):
            name = member.name.rpartition("/")[2]
            if member.kind == "file" and not name.startswith("."):
                is_read = is_annotation(name) and member.size <= MAX_BYTES
                members.append((archive + member.name, opened().read() if is_read else b""))
            if len(members) == n or is_image_name(name):
                break
    return members


# A class archive, as its name and "/", and its wnid, or "" and None for a member of the outer archive; the member, its
# payload unless it is too large, and the function that opens it.
_Opened = tuple[str, str | None, "Member", bytes | None, "Callable[[], Section]"]


def _members(
    file: BufferedReader,
    label: str,
    *,
    cap: int = MAX_BYTES,
    ahead: int = tar.READ_BYTES,
    takes: Callable[[str], bool] = lambda wnid: True,
    report: Callable[[FormatError, str], None] = lambda error, archive: None,
) -> Iterator[_Opened]:
    """Yield the members of an archive and of the class archives in it.

    Args:
        file: The open archive.
        label: The name of the archive in errors.
        cap: The maximum size of a payload in bytes that is read at once.
        ahead: Bytes read at a time of a class archive.
        takes: Returns True for the classes whose archives are opened.
        report: Called with (error, class archive) when a class archive breaks; the next member follows.
    """
    for member, data, opened in tar.stream(file, cap=cap, label=label):
        match = ARCHIVE.fullmatch(member.name) if member.kind == "file" else None
        if match is None:
            yield "", None, member, data, opened
        elif takes(match[1]):
            archive = f"{member.name}/"
            try:
                with tar.open_stream(opened() if data is None else data, ahead=ahead) as inner_file:
                    for inner in tar.stream(inner_file, cap=cap, label=archive):
                        yield archive, match[1], *inner
            except FormatError as error:
                report(error, archive)


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
    for folder in open_folders(unit, deep=False):
        for entry in folder.entries:
            name = printable(entry.name)
            file = folder.prefix + name
            if not is_file(entry):  # a link to nothing, or a pipe, which would block
                rows.problem("stray_file", file, "no regular file")
            elif is_annotation(name, suffix):
                try:
                    with os.fdopen(os.open(entry.name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=folder.fd), "rb") as opened:
                        # No more than the file has: to make room for 1 MiB takes three times as long as to read it.
                        data = opened.read(min(os.fstat(opened.fileno()).st_size, MAX_BYTES) + 1)
                except OSError as error:
                    rows.problem(UNREADABLE, file, f"the file cannot be opened: {error.strerror}")
                else:
                    rows.xml(data, name[: len(name) - len(suffix)], folder=unit.wnid, file=file)
            elif not is_image_name(name):
                rows.problem("stray_file", file, "a file that is no annotation")
            if rows.full():
                yield


def _scan_archive(unit: Unit, rows: AnnotationRows, suffix: str) -> Iterator[None]:
    """Gather the members of an archive and of class archives in it, in order; yield when the rows are full."""
    match = _SHARE.fullmatch(unit.member)
    share, n_shares = (int(match[1]) - 1, int(match[2])) if match else (0, 1)
    seen: defaultdict[str, set[str]] = defaultdict(set)  # stems by folder, in all archives

    def takes(wnid: str) -> bool:
        return zlib.crc32(wnid.encode()) % n_shares == share

    def report(error: FormatError, archive: str) -> None:
        rows.problem(error.code, unit.file, str(error), archive + error.member or None)

    try:
        with tar.open_stream(unit.path) as file:
            for archive, archive_wnid, member, data, _ in _members(file, unit.file, takes=takes, report=report):
                if rows.full():
                    yield
                place, _, name = member.name.rpartition("/")
                path, stem = archive + member.name, name[: len(name) - len(suffix)]
                if member.kind != "file" or not is_annotation(name, suffix):
                    is_stray = member.kind != "dir" and not (member.kind == "file" and is_image_name(name))
                    if is_stray and (archive or share == 0):
                        rows.problem("stray_file", unit.file, f"a {member.kind}, not an annotation", path)
                    continue
                folder = place.rpartition("/")[2] or archive_wnid or unit.wnid or ""
                wnid = wnid_of_folder(folder)
                if not archive and not takes(wnid or folder):
                    continue
                if stem in seen[folder]:
                    reason = "a second annotation of this image in this archive; the first is kept"
                    rows.problem("repeated_annotation", unit.file, reason, path, stem)
                elif data is None:
                    reason = f"the file has {count_of(member.size, 'byte')}; at most {MAX_BYTES:,} are read"
                    rows.problem("xml_too_large", unit.file, reason, path, stem)
                else:
                    seen[folder].add(stem)
                    rows.xml(data, stem, folder=wnid, file=unit.file, member=path)
    except FormatError as error:
        # The members before the break are kept. Only the first share reports it.
        if share == 0:
            report(error, "")
