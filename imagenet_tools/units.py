"""The interface between readers of formats and the build: detections, units of work, and progress."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    import pyarrow as pa


class Labelling(NamedTuple):
    """The way in which a source states the class of an image.

    Attributes:
        by: The carrier of the classes, in words: class folders, the images' names, a list of numbers ...
        space: The set of classes: ilsvrc2012 (1,000), fall11 (21,841), wordnet (any synset) ...
        order: The order that class numbers refer to: wnid (sorted) or ilsvrc_id (the devkit's); "" for wnids.
        base: The number of the first class; None for wnids.
    """

    by: str
    space: str
    order: str = ""
    base: int | None = None


@dataclass(frozen=True)
class Detection:
    """A form of ImageNet that was recognised at a path, with the evidence for it.

    Attributes:
        form: The name of the reader, a module of imagenet_tools.formats.
        path: The path.
        dataset: The data set, such as ilsvrc2012; images.detection.identify_dataset tells it by names.
        holds: The tables that indexing will fill: one or more of images, boxes, labels.
        evidence: The facts that were found, in words, with counts.
        splits: The splits.
        missing: The parts of a complete copy that this copy lacks, in words.
        labels: The way in which classes are stated; None without labels.
        readings: Other possible readings, each with the option that selects it.
        advice: A way to make the source faster or easier to use.
        classes: Class folders relative to the path, each with its wnid, if the user states what their names mean.
        superclasses: Whether the classes that it states are superclasses of the images' own.
        needs_dataset: Whether nothing tells which data set it is: it is read with --dataset only, as no release.
    """

    form: str
    path: Path
    dataset: str
    holds: tuple[str, ...]
    evidence: str
    splits: tuple[str, ...] = ()
    missing: str = ""
    labels: Labelling | None = None
    readings: tuple[str, ...] = ()
    advice: str = ""
    classes: tuple[tuple[str, str], ...] = ()
    superclasses: bool = False
    needs_dataset: bool = False


class Unit(NamedTuple):
    """A unit of work: one class folder, one class tar, one annotation archive. Small and picklable.

    The rows of a unit depend only on these values and on the bytes that they name.

    Attributes:
        form: The name of the reader, a module of imagenet_tools.formats.
        source: The name of the source in the table sources.
        root: The absolute folder that `file` is relative to.
        file: A file or folder, relative to root, '/' between; "" for the root itself.
        dataset: The data set, such as ilsvrc2012.
        split: The split; None if there is none.
        wnid: The class by the place of the images; None if it gives none.
        member: The part of the file that is meant; "" for the whole file.
        offset: The offset of that part in the file, bytes.
        length: The length of that part, bytes; -1: to the end of the file.
        numbers: The meaning of class numbers, as imagenet_tools.images.numbering writes it; "" if unknown.
        probed: Whether the first bytes of images are read for their facts, or only names and sizes.
        superclasses: Whether the classes are superclasses, with which names and official labels need not agree.
        copied: The file is in a bucket, and is copied to this machine to be read.
    """

    form: str
    source: str
    root: str
    file: str
    dataset: str
    split: str | None = None
    wnid: str | None = None
    member: str = ""
    offset: int = 0
    length: int = -1
    numbers: str = ""
    probed: bool = True
    superclasses: bool = False
    copied: bool = False

    @property
    def key(self) -> int:
        """Return the unit's number in the index, 0 to 2**63 - 1; it does not depend on the root."""
        text = "\0".join((self.form, self.source, self.file, self.member))
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1

    @property
    def path(self) -> Path:
        """Return the path of the file or folder on this machine."""
        return Path(self.root, self.file)


# The code in the table problems for a file that cannot be read. Each build scans its unit again.
UNREADABLE = "unreadable_file"


class FileRange(NamedTuple):
    """A file, a byte range of a file, or the names in a folder, that the rows of a unit depend on.

    Attributes:
        name: The path relative to the unit's root, '/' between; it need not exist.
        offset: The first byte.
        length: The length in bytes; -1: to the end.
    """

    name: str
    offset: int = 0
    length: int = -1


def unit_file(unit: Unit) -> Iterator[FileRange]:
    """Yield the file, or the part of it, that a unit names, for readers whose units depend on nothing else."""
    yield FileRange(unit.file, unit.offset, unit.length)


def files_beside(unit: Unit, names: Iterable[str]) -> Iterator[FileRange]:
    """Yield the files of these names that may be in the folder around a unit's file or folder."""
    home = unit.file.rpartition("/")[0]
    yield from (FileRange(f"{home}/{name}".lstrip("/")) for name in names)


@dataclass(frozen=True)
class Reads:
    """Facts about a reader.

    Attributes:
        holds: The tables that its files can fill, as the README lists them: images, boxes, labels.
        beside: The names of files that are often beside them and that nobody needs to read.
        loose: A unit of a folder that is called by no class is read without the folders in it.
        problems: A sentence for each of the format's own codes in the table problems. The codes of shared modules are
            in the PROBLEMS of those modules.
    """

    holds: tuple[str, ...]
    beside: frozenset[str] = frozenset()
    loose: bool = False
    problems: Mapping[str, str] = field(default_factory=dict)


class Reader(Protocol):
    """The interface of a module of imagenet_tools.formats that reads."""

    READS: Reads

    def detect(self, path: Path) -> list[Detection]:
        """Return the sources of this form that are this path, a file or a folder; empty for another form.

        Read headers, not payloads. The build also tries what is directly in a folder, so do not search deeper.
        """

    def units(self, found: Detection, source: str, root: Path) -> Iterator[Unit]:
        """Yield the units of a detection that holds something, in the order of the index."""

    def files(self, unit: Unit) -> Iterator[FileRange]:
        """Yield all that scan() opens, lists or looks for; the build scans the unit again if any of it changes."""

    def scan(self, unit: Unit) -> Iterator[tuple[str, pa.RecordBatch]]:
        """Yield (table of schema.py, rows) of a unit: images, boxes, labels, problems.

        Damage is a row of problems with a code that has a sentence, after the images before it.
        """


class Progress(Protocol):
    """A function that is called with the progress of long work."""

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Show that `done` of `total` steps of a stage are done; called in the process that runs the work."""


@runtime_checkable
class Forecast(Protocol):
    """A Progress that also shows the time that later stages will take."""

    def then(self, seconds: float) -> None:
        """Set the expected duration of the later stages; called again whenever the estimate changes."""
