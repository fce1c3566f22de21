"""Box XML in folders and archives: listed, read as it streams by, and gathered as rows.

An archive may hold other archives, one a class, as that of the whole ImageNet does: they are read on the way, whatever
their size, and one that is broken costs only what is behind its break.

Such an archive is several units where it is large. Each reads the outer archive, which costs little, and opens the
class archives that are its own by their name; what else lies in the outer one, and its break, belong to the first.
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

# What scan_xml() may report, for the table problems.
PROBLEMS = (
    annotation.PROBLEMS
    | tar.PROBLEMS
    | {
        UNREADABLE: "a file that is there and cannot be read; each build looks at it again",
        "stray_file": "a file or a member that is no annotation",
        "repeated_annotation": "a second annotation of an image in one archive; the first is kept",
    }
)

# Compressed or not: browsers and people unpack the outer layer.
ARCHIVE = re.compile(r"(?:.*/)?(n\d{8})(?:\.tar(?:\.gz)?|\.tgz)")

_SINCE_2013 = re.compile(rb"<database>\s*ILSVRC_201[3-9]\s*</database>")

# Bytes that are read at once where a few files of a plain tar are looked at.
_AHEAD = 4096

# An archive of class archives is a unit for each so many bytes of it, and not more than so many: each unit inflates all
# of the outer archive, at 3 % of the cost of reading all that is in it.
_A_UNIT, _MOST_UNITS = 1 << 20, 4
_SHARE = re.compile(r"share ([1-9]) of ([1-9])")

# How deep archives may lie in archives.
_DEPTH = 2


def scan_xml(
    unit: Unit, *, suffix: str = ".xml", label_set: str | None = None, classes: frozenset[str] = frozenset()
) -> Iterator[tuple[str, pa.RecordBatch]]:
    """The boxes of a unit, a folder or an archive, and what is wrong with its files.

    Annotations are called by the stem of their image and `suffix`; `label_set` and `classes`: see AnnotationRows.
    """
    rows = AnnotationRows(unit, label_set=label_set, classes=classes)
    gathered = _scan_folder(unit, rows, suffix) if unit.path.is_dir() else _scan_file(unit, rows, suffix)
    for _ in gathered:
        yield from rows.batches()
    yield from rows.batches()


def shares(path: Path) -> list[str]:
    """What the units of an archive are called by as its members: one of "" for the whole, or several shares of it."""
    n = min(_MOST_UNITS, path.stat().st_size // _A_UNIT)
    if n < 2 or not _of_class_archives(path):
        return [""]
    return [f"share {k} of {n}" for k in range(1, n + 1)]


def _of_class_archives(path: Path) -> bool:
    """Whether the first file in an archive is that of a class."""
    with suppress(FormatError), tar.open_stream(path, ahead=_AHEAD) as file:
        for member, _, _ in tar.stream_files(file, cap=0):
            if member.kind == "file" and not member.name.rpartition("/")[2].startswith("."):
                return ARCHIVE.fullmatch(member.name) is not None
    return False


class _Share(NamedTuple):
    """Which of the classes of an archive a unit reads: the k-th of n shares, 0 the first, told by the class alone."""

    k: int
    n: int

    def has(self, wnid: str) -> bool:
        return self.n == 1 or zlib.crc32(wnid.encode()) % self.n == self.k


def _share(unit: Unit) -> _Share:
    found = _SHARE.fullmatch(unit.member)
    return _Share(int(found[1]) - 1, int(found[2])) if found else _Share(0, 1)


def first_members(path: Path, n: int) -> list[tuple[str, bytes]]:
    """(name, payload) of an archive's first n files, those of archives in it too, none behind the first image.

    Only annotations have a payload: what else lies there is told by its header, and not read.
    """
    found: list[tuple[str, bytes]] = []
    try:
        with tar.open_stream(path, ahead=_AHEAD) as file:
            for member, opened, above in _members(file):
                name = member.name.rpartition("/")[2]
                if member.kind == "file" and not name.startswith("."):
                    told = is_annotation(name) and member.size <= MAX_BYTES
                    found.append((above + member.name, opened().read() if told else b""))
                if len(found) == n or is_image_name(name):
                    break
    except FormatError:
        pass  # what came before the break tells the form; the scan reports the break
    return found


def _members(file: IO[bytes]) -> Iterator[tuple[Member, Callable[[], Payload], str]]:
    for member, _, opened in tar.stream_files(file, cap=0):
        if member.kind == "file" and ARCHIVE.fullmatch(member.name):
            with suppress(FormatError), tar.open_stream(opened(), ahead=_AHEAD) as inner:
                for found, _, within in tar.stream_files(inner, cap=0):
                    yield found, within, f"{member.name}/"
        else:
            yield member, opened, ""


def is_annotation(name: str, suffix: str = ".xml") -> bool:
    """Whether a file's name, without its folders, is that of an annotation; with no suffix, a name without one.

    A leading dot hides a file, as macOS does with the ._ files that it puts into its archives.
    """
    return name.lower().endswith(suffix) and name[:1] != "." and (suffix != "" or "." not in name)


def task_in(data: bytes) -> str | None:
    """DET or VID, where the annotation is of one of ILSVRC's tasks of detection, which began in 2013; else None."""
    if b"<trackid>" in data:
        return "VID"
    return "DET" if _SINCE_2013.search(data) else None


def _scan_folder(unit: Unit, rows: AnnotationRows, suffix: str) -> Iterator[None]:
    """Gather the files of a folder by name; stops when the rows are full."""
    prefix = f"{unit.file}/" if unit.file else ""
    with os.scandir(unit.path) as entries:
        listed = sorted((entry.name, entry.is_file()) for entry in entries if not entry.is_dir())
    for entry, is_file in listed:
        name = os.fsencode(entry).decode("utf-8", "backslashreplace")
        if not is_file or not is_annotation(name, suffix):  # a pipe, which would be waited for, or a link to nothing
            if not (is_file and is_image_name(name)):
                what = "a file that is no annotation" if is_file else "no regular file"
                rows.problem("stray_file", prefix + name, what)
            continue
        try:
            with (unit.path / entry).open("rb") as opened:
                data = opened.read(MAX_BYTES + 1)
        except OSError as error:
            rows.problem(UNREADABLE, prefix + name, f"the file cannot be opened: {error.strerror}")
        else:
            rows.xml(data, name[: len(name) - len(suffix)], folder=unit.wnid, file=prefix + name)
        if rows.full():
            yield


def _scan_file(unit: Unit, rows: AnnotationRows, suffix: str) -> Iterator[None]:
    """Gather the members of an archive; stops when the rows are full."""
    try:
        with tar.open_stream(unit.path) as file:
            yield from _scan_stream(unit, rows, suffix, file, _Level("", unit.wnid, 1, {}, _share(unit)))
    except FormatError as error:
        # The good members before the break are kept; the break is said, once.
        if _share(unit).k == 0:
            rows.problem(error.code, unit.file, str(error), error.member or None)


class _Level(NamedTuple):
    """Where an archive stands: inside which others, of which class, and what they gave so far."""

    above: str  # the names of the archives around it, "/" after each
    wnid: str | None  # the class that the archive itself is called by
    depth: int
    seen: dict[str, set[str]]  # stems by folder, of all archives
    share: _Share = _Share(0, 1)  # the classes in it that are read


def _scan_stream(unit: Unit, rows: AnnotationRows, suffix: str, file: IO[bytes], level: _Level) -> Iterator[None]:
    """Gather the members of an archive in its order, and those of the archives in it; stops when the rows are full."""
    folder, wnid = "", level.wnid
    stems = level.seen.setdefault(level.wnid or "", set())
    for member, data, opened in tar.stream_files(file, cap=MAX_BYTES, label=level.above or unit.file):
        place, _, name = member.name.rpartition("/")
        if member.kind != "file" or not is_annotation(name, suffix):
            inner = ARCHIVE.fullmatch(name) if member.kind == "file" and level.depth < _DEPTH else None
            if inner is not None and not level.share.has(inner[1]):
                continue
            if inner is not None:
                below = _Level(f"{level.above}{member.name}/", inner[1], level.depth + 1, level.seen)
                yield from _scan_inner(unit, rows, suffix, opened() if data is None else data, below)
            elif level.share.k == 0 and member.kind != "dir" and not (member.kind == "file" and is_image_name(name)):
                what = f"a {member.kind}, not an annotation"
                rows.problem("stray_file", unit.file, what, level.above + member.name)
            continue
        if place != folder:
            folder = place
            last = place.rpartition("/")[2]
            wnid, stems = wnid_of_folder(last), level.seen.setdefault(last, set())
        if not level.share.has(wnid or folder.rpartition("/")[2]):
            continue
        stem = name[: len(name) - len(suffix)]
        where = level.above + member.name
        if stem in stems:
            reason = "a second annotation of this image in this archive; the first is kept"
            rows.problem("repeated_annotation", unit.file, reason, where, stem)
        elif data is None:
            reason = f"the file has {member.size:,} bytes; at most {MAX_BYTES:,} are read"
            rows.problem("xml_too_large", unit.file, reason, where, stem)
        else:
            stems.add(stem)
            rows.xml(data, stem, folder=wnid, file=unit.file, member=where)
        if rows.full():
            yield


def _scan_inner(
    unit: Unit, rows: AnnotationRows, suffix: str, source: bytes | Payload, level: _Level
) -> Iterator[None]:
    """Gather the members of an archive that lies in another one; a break in it is its own."""
    try:
        with tar.open_stream(source) as file:
            yield from _scan_stream(unit, rows, suffix, file, level)
    except FormatError as error:
        rows.problem(error.code, unit.file, str(error), level.above + error.member)
