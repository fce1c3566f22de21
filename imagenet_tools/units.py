"""What a reader finds in a path (Detection), and the pieces that a build works on (Unit)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import pyarrow as pa


class Labelling(NamedTuple):
    """How a form says which class an image is of."""

    by: str  # what says it, in words: class folders, the images' names, a list of numbers ...
    space: str  # the classes that it is of: ilsvrc2012 (1,000), fall11 (21,841), wordnet (any synset) ...
    order: str = ""  # of numbers: wnid (sorted) or ilsvrc_id (the devkit's); "" where wnids themselves are written
    base: int | None = None  # the number of the first class; None where wnids themselves are written


@dataclass(frozen=True)
class Detection:
    """A form of ImageNet found at a path, with the evidence for it.

    `holds` says what indexing will read there: images, boxes or labels, one or more of them.
    """

    form: str  # the module of imagenet_tools.formats that reads it
    path: Path
    dataset: str
    holds: tuple[str, ...]
    evidence: str  # what was found, in words, counts included
    splits: tuple[str, ...] = ()
    missing: str = ""  # what a complete copy would have and this one has not, in words
    labels: Labelling | None = None  # None where it has none
    readings: tuple[str, ...] = ()  # what else it may be, each with the option that decides
    advice: str = ""  # what would make it better to work with


class Unit(NamedTuple):
    """A piece of work: one class folder, one class tar, one annotation archive. Small and picklable.

    A unit's rows depend on these values and on the bytes they name, and on nothing else.
    """

    form: str  # the module of imagenet_tools.formats that scans it
    source: str  # name of the source in the table sources
    root: str  # absolute folder that `file` is relative to
    file: str  # a file or a folder, relative to root, '/' between; "" for the root itself
    dataset: str
    split: str | None = None
    wnid: str | None = None  # the class that the place of the images gives
    member: str = ""  # the part of the file that is meant, where it is not the whole
    offset: int = 0  # of that part in the file, bytes
    length: int = -1  # of that part, bytes; -1: to the end
    numbers: str = (
        ""  # what its class numbers mean, as imagenet_tools.images.numbering spells it; "" where nothing tells
    )
    probed: bool = True  # whether its images' first bytes are read for their facts, or their names and sizes alone

    @property
    def key(self) -> int:
        """The unit's number in the index, 0 to 2**63 - 1: the same wherever its source lies."""
        text = "\0".join((self.form, self.source, self.file, self.member))
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1

    @property
    def path(self) -> Path:
        """The file or folder on this machine."""
        return Path(self.root, self.file)


# The code in the table problems of a file that is there and cannot be read: its unit is scanned again by each build.
UNREADABLE = "unreadable_file"


class FileRange(NamedTuple):
    """A file, a range of its bytes, or a folder as the names in it, that the rows of a unit depend on."""

    name: str  # relative to the unit's root, "/" between; also where nothing lies yet
    offset: int = 0  # bytes
    length: int = -1  # bytes; -1: to the end


def unit_file(unit: Unit) -> Iterator[FileRange]:
    """Yield the file of a unit that reads no other, or the part of the file that the unit means."""
    yield FileRange(unit.file, unit.offset, unit.length)


@dataclass(frozen=True)
class Reads:
    """What a reader gives.

    Attributes:
        holds: What its files can hold, as the README lists it: images, boxes, labels.
        beside: Names of files that are often beside them, and that nothing needs to read.
        problems: A sentence for each code that scan() can write into the table problems.
    """

    holds: tuple[str, ...]
    beside: frozenset[str] = frozenset()
    problems: Mapping[str, str] = field(default_factory=dict)


class Reader(Protocol):
    """What a module of imagenet_tools.formats offers if it reads."""

    READS: Reads

    def detect(self, path: Path) -> list[Detection]:
        """What of this form lies at a path; empty where it is not this form. Reads headers, not payloads."""

    def units(self, found: Detection, source: str, root: Path) -> Iterator[Unit]:
        """The units of a detection, in the order of the index."""

    def files(self, unit: Unit) -> Iterator[FileRange]:
        """Yield all that scan() opens, lists or looks for: the build takes a change there for a change of the unit."""

    def scan(self, unit: Unit) -> Iterator[tuple[str, pa.RecordBatch]]:
        """(table of schema.py, rows) of a unit: images, boxes, labels, problems."""


class Progress(Protocol):
    """Told how far long work has come: a stage, how many steps of it are done, and of how many."""

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Called from the process that was asked to do the work."""


@runtime_checkable
class Forecast(Protocol):
    """A Progress that also shows what is left behind the stage at work."""

    def then(self, seconds: float) -> None:
        """Told about how long what comes after this stage will take; said anew as more is known."""
