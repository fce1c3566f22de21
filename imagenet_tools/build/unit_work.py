"""The work on one unit: whether it has changed, and its rows as a part on the disk. What other processes are given."""

from __future__ import annotations

import hashlib
import importlib
import os
import stat
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from imagenet_tools.build.parts import Counts, part_counts, part_path, write_part
from imagenet_tools.images.image_rows import is_image_name
from imagenet_tools.units import UNREADABLE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import pyarrow as pa

    from imagenet_tools.store.sources import UnitRecord
    from imagenet_tools.units import Reader, Unit

_CHUNK = 1 << 20

# What a fingerprint says of a unit whose images' first bytes were not read.
_UNPROBED = "unprobed"


class Task(NamedTuple):
    """A unit to work on, the folder of the parts, and what the index remembers of the unit."""

    unit: Unit
    parts: Path
    known: UnitRecord | None
    by_hash: bool = False  # whether its bytes decide if it has changed, and not their sizes and times


class UnitResult(NamedTuple):
    """What became of a unit."""

    unit: Unit
    state: str  # scanned, resumed or unchanged
    fingerprint: str
    digest: str  # of its bytes, where it was asked for; else ""
    size: int  # bytes of the file that it is, or lies in; -1 where its images are files
    part: Path
    counts: Counts
    mtime_ns: int  # of that file, or the newest of those files


def work(task: Task) -> UnitResult:
    """Scan one unit into its part, unless it is there already or the index has it."""
    unit, known = task.unit, task.known
    state, size, mtime_ns = _state(unit)
    fingerprint = _with(unit, state)
    content = _content(unit) if task.by_hash else ""
    digest = _said_of(unit, content) if content else ""
    path = part_path(task.parts, unit, f"{fingerprint} {digest}")
    # What was probed once is not forgotten because this build does not probe.
    probed = unit._replace(probed=True)
    if known is not None and task.by_hash:
        for one in (unit, probed):
            if known.digest == _said_of(one, content):
                return UnitResult(unit, "unchanged", _with(one, state), known.digest, size, path, {}, mtime_ns)
    elif known is not None and known.fingerprint in (fingerprint, _with(probed, state)):
        return UnitResult(unit, "unchanged", known.fingerprint, known.digest, size, path, {}, mtime_ns)
    for part in (path, borrowed_part(task.parts, unit, fingerprint)):
        if (counts := part_counts(part)) is not None:
            return UnitResult(unit, "resumed", fingerprint, digest, size, part, counts, mtime_ns)
    unread: list[str] = []
    counts = write_part(path, _watched(_reader(unit).scan(unit), unread))
    if unread:
        # No later build takes these rows for those of the unit: neither this part nor the index answers for it.
        fingerprint = digest = ""
        path = path.rename(path.with_suffix(".unread.part"))
    return UnitResult(unit, "scanned", fingerprint, digest, size, path, counts, mtime_ns)


def borrowed_part(parts: Path, unit: Unit, fingerprint: str) -> Path:
    """Return where the rows of a unit lie that another index had of it: they are of no bytes that were read here."""
    return part_path(parts, unit, f"{fingerprint} borrowed")


def _watched(rows: Iterable[tuple[str, pa.RecordBatch]], unread: list[str]) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Pass rows on, and note the files among them that were there and could not be read."""
    for table, batch in rows:
        if table == "problems":
            pairs = zip(batch["code"].to_pylist(), batch["file"].to_pylist(), strict=True)
            unread += [file for code, file in pairs if code == UNREADABLE]
        yield table, batch


def fingerprint_of(unit: Unit) -> str:
    """What a unit's rows depend on, as a text: sizes and times of its files, and what is said of it besides."""
    return _with(unit, _state(unit)[0])


def _with(unit: Unit, state: str) -> str:
    return f"{_said(unit)} {state}"


def speaks_of(fingerprint: str, unit: Unit) -> bool:
    """Whether a fingerprint is of a unit of which the same is said, and probed if this one is to be."""
    said = f"{_said(unit._replace(probed=True))} "
    return fingerprint.startswith(said) and not (unit.probed and fingerprint.startswith(_UNPROBED, len(said)))


def _said(unit: Unit) -> str:
    words = [str(unit.dataset), str(unit.split), str(unit.wnid), unit.numbers, "" if unit.probed else _UNPROBED]
    return " ".join(filter(None, words))


def _reader(unit: Unit) -> Reader:
    reader: Reader = importlib.import_module(f"imagenet_tools.formats.{unit.form}")
    return reader


def _state(unit: Unit) -> tuple[str, int, int]:
    """Return (digest of names, sizes and times, size, mtime_ns) of what a unit's rows depend on; nothing is opened.

    Size and mtime_ns are those of the unit's file. Where its images are files, they are -1 and the newest time.
    """
    digest, newest, loose = hashlib.sha256(), 0, unit.path.is_dir()
    own: os.stat_result | None = None
    for name, offset, length in _reader(unit).files(unit):
        status = _status(f"{unit.root}/{name}")
        about = f"{status.st_size}\0{status.st_mtime_ns}" if status else "absent"
        digest.update(f"{name}\0{offset}\0{length}\0{about}\n".encode(errors="surrogateescape"))
        if status is not None:
            newest = max(newest, status.st_mtime_ns)
            if name == unit.file:
                own = status
            elif not loose:
                loose = is_image_name(name.rpartition("/")[2])  # the images that a table lists
    if loose or own is None:
        return digest.hexdigest(), -1, newest
    return digest.hexdigest(), own.st_size, own.st_mtime_ns


def _status(path: str) -> os.stat_result | None:
    """Stat a path, or the link itself if it leads to nothing; None where nothing is."""
    try:
        return os.stat(path)  # noqa: PTH116 - a Path each would cost more than the call
    except (OSError, ValueError):  # ValueError: a NUL in the name
        with suppress(OSError, ValueError):
            return os.lstat(path)
    return None


def _content(unit: Unit) -> str:
    """Digest of the bytes of all that a unit's rows depend on; "" where some of them cannot be read."""
    digest = hashlib.sha256()
    for name, offset, length in _reader(unit).files(unit):
        path = f"{unit.root}/{name}"
        status = _status(path)
        digest.update(f"\0{name}\0{offset}\0{length}\0".encode(errors="surrogateescape"))
        try:
            if status is None:
                digest.update(b"absent")
            elif stat.S_ISDIR(status.st_mode):
                with os.scandir(path) as entries:
                    names = sorted(entry.name for entry in entries)
                digest.update("\0".join(names).encode(errors="surrogateescape"))
            elif stat.S_ISREG(status.st_mode):
                digest.update(_file_digest(Path(path), offset, length))
        except OSError:
            return ""
    return digest.hexdigest()


def _said_of(unit: Unit, content: str) -> str:
    """SHA-256 of what is said of a unit, and of its bytes by their own."""
    return hashlib.sha256(f"{_said(unit)} {content}".encode()).hexdigest()


def _file_digest(path: Path, offset: int, length: int) -> bytes:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        file.seek(offset)
        left = length if length >= 0 else sys.maxsize
        while left > 0 and (chunk := file.read(min(_CHUNK, left))):
            digest.update(chunk)
            left -= len(chunk)
    return digest.digest()
