"""Work on one unit: decide whether it has changed, and write its rows as a part. Runs in worker processes."""

from __future__ import annotations

import hashlib
import importlib
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from imagenet_tools.build.parts import part_counts, part_path, write_part
from imagenet_tools.images.image_rows import UnitRows, is_image_name
from imagenet_tools.storage.buckets import Remote, is_remote
from imagenet_tools.storage.files import errors_named
from imagenet_tools.storage.processes import MAX_DEATHS
from imagenet_tools.store.in_bucket import file_copy
from imagenet_tools.store.sources import UnitRecord
from imagenet_tools.units import UNREADABLE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import pyarrow as pa

    from imagenet_tools.units import Reader, Unit

_CHUNK_BYTES = 8 << 20

# Word in the fingerprint of a unit whose images' first bytes were not read.
_UNPROBED = "unprobed"


# Problems of units, for the table problems.
PROBLEMS = {"unit_killed": "three processes were killed while they read this unit; each build reads it again"}


class Task(NamedTuple):
    """A unit to work on."""

    unit: Unit
    parts: Path  # folder of the parts
    known: UnitRecord | None  # the unit in the old index
    by_hash: bool = False  # a digest of the bytes decides whether the unit has changed, not sizes and times


class UnitResult(NamedTuple):
    """Result of the work on a unit."""

    unit: Unit
    state: str  # scanned, resumed, borrowed or unchanged
    part: Path  # there is none for an unchanged unit
    record: UnitRecord  # of the unit in the table sources


def work(task: Task) -> UnitResult:
    """Scan one unit into its part, unless the part exists or the index has the unit."""
    with errors_named(task.unit.path):
        return _work(task)


def _work(task: Task) -> UnitResult:
    unit, known = _on_disk(task.unit), task.known
    state, size, mtime_ns = _state(unit)
    fingerprint = _fingerprint(unit, state)
    content = _content(unit) if task.by_hash else ""
    digest = _digest(unit, content) if content else ""
    path = part_path(task.parts, unit, f"{fingerprint} {digest}")
    if known is not None:
        # A unit that was probed stays so in a build that does not probe.
        for same in (unit, unit._replace(probed=True)):
            same_fingerprint = _fingerprint(same, state)
            if known.digest == _digest(same, content) if task.by_hash else known.fingerprint == same_fingerprint:
                record = known._replace(fingerprint=same_fingerprint, size=size, mtime_ns=mtime_ns)
                return UnitResult(unit, "unchanged", path, record)
    result = "resumed"
    counts = part_counts(path)
    if counts is None:
        borrowed = borrowed_part(task.parts, unit, fingerprint)
        if (counts := part_counts(borrowed)) is not None:
            result, path = "borrowed", borrowed
    if counts is None:
        result = "scanned"
        unread: list[str] = []
        counts = write_part(path, _watched(_reader(unit).scan(unit), unread))
        if unread:
            # Neither this part nor the index may stand for the unit in a later build.
            fingerprint = digest = ""
            path = path.rename(path.with_suffix(".unread.part"))
    images, boxes, labels, problems = (counts.get(table, 0) for table in ("images", "boxes", "labels", "problems"))
    identity = (unit.key, unit.form, unit.file, unit.member, fingerprint)
    record = UnitRecord(*identity, images, boxes, labels, problems, size, digest, mtime_ns)
    return UnitResult(unit, result, path, record)


def killed(task: Task) -> UnitResult:
    """Return the result of a unit at which every worker was killed: a row of the table problems."""
    unit, rows = task.unit, UnitRows(task.unit)
    reason = f"{MAX_DEATHS} processes were killed (out of memory, perhaps)"
    rows.problem("unit_killed", unit.file, reason, unit.member or None)
    path = part_path(task.parts, task.unit, "killed").with_suffix(".unread.part")
    counts = write_part(path, rows.problem_rows())
    record = UnitRecord(unit.key, unit.form, unit.file, unit.member, "", 0, 0, 0, counts["problems"], -1, "", 0)
    return UnitResult(unit, "scanned", path, record)


def borrowed_part(parts: Path, unit: Unit, fingerprint: str) -> Path:
    """Return the path of a part that is made of another index's rows, not of bytes that were read."""
    return part_path(parts, unit, f"{fingerprint} borrowed")


def _watched(rows: Iterable[tuple[str, pa.RecordBatch]], unread: list[str]) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Yield rows, and append to `unread` the files that exist and could not be read."""
    for table, batch in rows:
        if table == "problems":
            pairs = zip(batch["code"].to_pylist(), batch["file"].to_pylist(), strict=True)
            unread += [file for code, file in pairs if code == UNREADABLE]
        yield table, batch


def _on_disk(unit: Unit) -> Unit:
    """Return a unit with the root of the file that is read."""
    return unit._replace(root=str(file_copy(unit.path).parent)) if unit.copied else unit


def _reader(unit: Unit) -> Reader:
    reader: Reader = importlib.import_module(f"imagenet_tools.formats.{unit.form}")
    return reader


# ---- whether a unit has changed


def fingerprint_of(unit: Unit) -> str:
    """Return a text that changes when a size or time of the unit's files changes, or a value of the unit itself."""
    return _fingerprint(unit, _state(_on_disk(unit))[0])


def _fingerprint(unit: Unit, state: str) -> str:
    return f"{_settings(unit)} {state}"


def same_settings(fingerprint: str, unit: Unit) -> bool:
    """Return True if a fingerprint is of a unit with the same settings, and probed if this one is to be probed."""
    settings = f"{_settings(unit._replace(probed=True))} "
    unprobed = fingerprint.startswith(_UNPROBED, len(settings))
    return fingerprint.startswith(settings) and not (unit.probed and unprobed)


def _settings(unit: Unit) -> str:
    words = [str(unit.dataset), str(unit.split), str(unit.wnid), unit.numbers]
    words += ["superclasses" if unit.superclasses else "", "" if unit.probed else _UNPROBED]
    return " ".join(filter(None, words))


def _state(unit: Unit) -> tuple[str, int, int]:
    """Return (digest of names, sizes and times of all files of a unit, size, mtime_ns). No file is opened.

    Size and mtime_ns are those of the unit's file. If its images are files, they are -1 and the newest time.
    """
    digest, newest, loose = hashlib.sha256(), 0, unit.path.is_dir()
    unit_status: os.stat_result | _Status | None = None
    for name, offset, length in _reader(unit).files(unit):
        about = "absent"
        if (status := _status(f"{unit.root}/{name}")) is not None:
            mtime_ns = status.st_mtime_ns
            about = f"{status.st_size}\0{mtime_ns}"
            newest = max(newest, mtime_ns)
            if name == unit.file:
                unit_status = status
            elif not loose:
                loose = is_image_name(name)  # an image that a table lists
        digest.update(f"{name}\0{offset}\0{length}\0{about}\n".encode(errors="surrogateescape"))
    if loose or unit_status is None:
        return digest.hexdigest(), -1, newest
    return digest.hexdigest(), unit_status.st_size, unit_status.st_mtime_ns


class _Status(NamedTuple):
    """The parts of a status that matter, for a file in a bucket."""

    st_size: int
    st_mtime_ns: int
    st_mode: int = stat.S_IFREG


def _status(path: str) -> os.stat_result | _Status | None:
    """Return the status of a path, of the link itself if its target is missing, or None."""
    if is_remote(path):
        return _Status(*Remote(path).status())
    try:
        return os.stat(path)  # noqa: PTH116 - a Path each would cost more than the call
    except (OSError, ValueError):  # ValueError: a NUL in the name
        with suppress(OSError, ValueError):
            return os.lstat(path)
    return None


def _content(unit: Unit) -> str:
    """Return a digest of the bytes of all files of a unit, or "" if one of them cannot be read."""
    digest = hashlib.sha256()
    for name, offset, length in _reader(unit).files(unit):
        path = f"{unit.root}/{name}"
        status = _status(path)
        digest.update(f"\0{name}\0{offset}\0{length}\0".encode(errors="surrogateescape"))
        try:
            if status is None:
                digest.update(b"absent")
            elif stat.S_ISDIR(status.st_mode):
                digest.update("\0".join(sorted(os.listdir(path))).encode(errors="surrogateescape"))  # noqa: PTH208
            elif stat.S_ISREG(status.st_mode):
                digest.update(_range_digest(path, offset, offset + length if length >= 0 else status.st_size))
        except OSError:
            return ""
    return digest.hexdigest()


def _digest(unit: Unit, content: str) -> str:
    """Return the SHA-256 of a unit's settings and content."""
    return hashlib.sha256(f"{_settings(unit)} {content}".encode()).hexdigest()


def _range_digest(path: str, start: int, end: int) -> bytes:
    digest = hashlib.sha256()
    ranges = [(offset, min(_CHUNK_BYTES, end - offset)) for offset in range(start, end, _CHUNK_BYTES)]
    if is_remote(path):
        for offset, length in ranges:
            digest.update(Remote(path).read(offset, length))
        return digest.digest()
    with Path(path).open("rb") as file:
        for offset, length in ranges:
            digest.update(os.pread(file.fileno(), length, offset))
    return digest.digest()
