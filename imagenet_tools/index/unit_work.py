"""The work on one unit: whether it has changed, and its rows as a part on the disk. What other processes are given."""

from __future__ import annotations

import hashlib
import importlib
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from imagenet_tools.index.parts import Counts, part_counts, part_path, write_part

if TYPE_CHECKING:
    from imagenet_tools.index.sources import UnitRecord
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


class Done(NamedTuple):
    """What became of a unit."""

    unit: Unit
    state: str  # scanned, resumed or unchanged
    fingerprint: str
    digest: str  # of its bytes, where it was asked for; else ""
    size: int  # bytes of the file that it is, or lies in; -1 for a folder
    part: Path
    counts: Counts


def work(task: Task) -> Done:
    """Scan one unit into its part, unless it is there already or the index has it."""
    unit, known = task.unit, task.known
    state = _reader(unit).fingerprint(unit)
    fingerprint = _with(unit, state)
    content = _digest(unit) if task.by_hash else ""
    digest = _said_of(unit, content) if content else ""
    path = part_path(task.parts, unit, fingerprint)
    size = unit.path.stat().st_size if unit.path.is_file() else -1
    about = (fingerprint, digest, size, path)
    # What was probed once is not forgotten because this build does not probe.
    probed = unit._replace(probed=True)
    if known is not None and task.by_hash:
        for one in (unit, probed):
            if known.digest == _said_of(one, content):
                return Done(unit, "unchanged", _with(one, state), known.digest, size, path, {})
    elif known is not None and known.fingerprint in (fingerprint, _with(probed, state)):
        return Done(unit, "unchanged", known.fingerprint, known.digest, size, path, {})
    counts = part_counts(path)
    if counts is not None:
        return Done(unit, "resumed", *about, counts)
    return Done(unit, "scanned", *about, write_part(path, _reader(unit).scan(unit)))


def fingerprint_of(unit: Unit) -> str:
    """What a unit's rows depend on, as a text: sizes and times of its files, and what is said of it besides."""
    return _with(unit, _reader(unit).fingerprint(unit))


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


def _digest(unit: Unit) -> str:
    """SHA-256 of all bytes of a unit: of a part of a file, a file, or the files in a folder."""
    digest = hashlib.sha256()
    # A form may read files beside the one that its unit names.
    beside = getattr(_reader(unit), "reads", lambda unit: [unit.path])(unit)
    for path in beside:
        if path.is_dir():
            for child in sorted(path.iterdir()):
                if child.is_file():
                    digest.update(f"\0{child.name}\0".encode(errors="surrogateescape"))
                    digest.update(_file_digest(child, 0, -1))
        else:
            digest.update(_file_digest(path, unit.offset, unit.length))
    return digest.hexdigest()


def _said_of(unit: Unit, content: str) -> str:
    """SHA-256 of what is said of a unit, and of its bytes by their own."""
    return hashlib.sha256(f"{_said(unit)} {content}".encode()).hexdigest()


def _file_digest(path: Path, offset: int, length: int) -> bytes:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        file.seek(offset)
        left = length if length >= 0 else path.stat().st_size - offset
        while left > 0 and (chunk := file.read(min(_CHUNK, left))):
            digest.update(chunk)
            left -= len(chunk)
    return digest.digest()
