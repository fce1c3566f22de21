"""Sources of an index: the paths that were indexed, their units, and where they lie on this machine."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from imagenet_tools.errors import SourceError, UsageError
from imagenet_tools.schema import arrow_schema
from imagenet_tools.storage.files import inside
from imagenet_tools.store.layout import FileEntry, Manifest, damaged, read_manifest, staged, write_manifest, write_table
from imagenet_tools.units import Detection

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence


class UnitRecord(NamedTuple):
    """What the index remembers of a unit: what tells that it changed, and how many rows it gave."""

    unit: int
    form: str
    file: str
    member: str
    fingerprint: str
    n_images: int
    n_boxes: int
    n_labels: int
    n_problems: int
    size: int = -1  # bytes of the file that it is, or lies in; -1 for a folder
    digest: str = ""  # SHA-256 of its bytes, where --hash asked for it
    mtime_ns: int = 0  # time of that file, or the newest of the files in the folder, nanoseconds since 1970


@dataclass(frozen=True)
class Source:
    """A path that is indexed: where it lies, what was found there, and the units it fell into."""

    name: str
    root: Path  # absolute; the files of the index are relative to it
    path: str  # relative to root; "." for root itself
    found: tuple[Detection, ...] = ()
    ignored: tuple[str, ...] = ()  # what lies beside, and nothing reads
    forms: tuple[str, ...] = ()
    dataset: str = ""
    evidence: str = ""
    units: tuple[UnitRecord, ...] = ()

    @property
    def place(self) -> Path:
        """The path itself, on this machine; SourceError where an index from elsewhere names one outside the root."""
        return Path(inside(self.root, self.path))


def rooted(sources: Sequence[Source], roots: Mapping[str, Path]) -> list[Source]:
    """Sources where `roots`, or NAME=PATH pairs in $IMAGENET_ROOTS, say that they lie now. UsageError: no such source.

    A root is the folder that a source lies in, or the source itself.
    """
    _check_names(roots, sources)
    environment = parse_roots(filter(None, os.environ.get("IMAGENET_ROOTS", "").split(os.pathsep)))
    said = environment | {name: Path(os.path.abspath(root)) for name, root in roots.items()}  # noqa: PTH100
    moved = {name: root.parent if root.is_file() else root for name, root in said.items()}
    return [replace(source, root=moved.get(source.name, source.root)) for source in sources]


def _check_names(roots: Mapping[str, Path], sources: Sequence[Source]) -> None:
    names = [source.name for source in sources]
    if unknown := sorted(set(roots) - set(names)):
        message = f"No source is called {', '.join(unknown)}; the index has {', '.join(names) or 'none'}."
        raise UsageError(message)


def parse_roots(pairs: Iterable[str]) -> dict[str, Path]:
    """NAME=PATH pairs as a mapping; UsageError for anything else."""
    roots: dict[str, Path] = {}
    for pair in pairs:
        name, equals, path = pair.partition("=")
        if not (name and equals and path):
            message = f"'{pair}' is no root: expected NAME=PATH, the name of a source as `info` lists them."
            raise UsageError(message)
        roots[name] = Path(path).absolute()
    return roots


def read_sources(index: Path, manifest: Manifest) -> list[Source]:
    """The sources of an index, as they were when it was built."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    sources: list[Source] = []
    for path in manifest.paths(index, "sources"):
        # The manifest has no sum of this file, which alone holds values of the machine: its pages have their own.
        try:
            rows = pq.ParquetFile(path, page_checksum_verification=True).read().to_pylist()
        except (OSError, pa.ArrowException) as error:
            raise damaged(index, f"{path} cannot be read ({error})") from error
        for row in rows:
            units = tuple(UnitRecord(**unit) for unit in row["units"])
            text = (row["dataset"], row["found"])
            sources.append(
                Source(row["source"], Path(row["root"]), row["path"], (), (), tuple(row["forms"]), *text, units)
            )
    return sources


def relocate(index: Path, roots: Mapping[str, Path]) -> dict[str, Path]:
    """Say in an index itself where sources lie now; gives the new root of each. Nothing else of it changes.

    A root is the folder that the source lies in, or the source itself. UsageError: no source has that name;
    SourceError: it is not there, or has another size than the one that was indexed; ExistsError: a build has the lock.
    """
    read_manifest(index)
    with staged(index):
        manifest = read_manifest(index)
        sources = {source.name: source for source in read_sources(index, manifest)}
        _check_names(roots, list(sources.values()))
        said = {name: Path(os.path.abspath(root)) for name, root in roots.items()}  # noqa: PTH100
        moved = {name: _moved(sources[name], root) for name, root in said.items()}
        written = write_sources(index, manifest, [moved.get(name, source) for name, source in sources.items()])
        write_manifest(index, written)
    return {name: source.root for name, source in moved.items()}


def _moved(source: Source, root: Path) -> Source:
    is_it = source.path != "." and root.is_file()
    found = replace(source, root=root.parent if is_it else root)
    if is_it and root.name != source.path:
        message = f"{root} is not called {source.path}, as the source {source.name} is. Rename it, or index it anew."
        raise SourceError(message)
    if not found.place.exists():
        message = (
            f"{found.place} does not exist; expected the source {source.name} there. Name the folder that it is in."
        )
        raise SourceError(message)
    return replace(found, units=tuple(_as_it_lies(found)))


def _as_it_lies(source: Source) -> Iterator[UnitRecord]:
    """Yield the units of a source that has moved, with the times that its files have there."""
    loose = (path for path in source.place.rglob("*") if path.is_file())
    newest = max((path.stat().st_mtime_ns for path in loose), default=0)
    for unit in source.units:
        if unit.size < 0:
            yield unit._replace(mtime_ns=newest)
            continue
        path = source.root / unit.file
        status = path.stat() if path.is_file() else None
        if status is None or status.st_size != unit.size:
            found = f"{status.st_size:,} bytes" if status else "no file"
            message = f"{path}: found {found}, expected the {unit.size:,} bytes that were indexed. Index it anew."
            raise SourceError(message)
        yield unit._replace(mtime_ns=status.st_mtime_ns)


def write_sources(index: Path, manifest: Manifest, sources: Sequence[Source]) -> Manifest:
    """The manifest with the table sources in it, the one table with values of this machine.

    Its file is named after the others, and the manifest holds no digest of it: an index of the same data is the same.
    """
    import pyarrow as pa

    rows: list[dict[str, object]] = []
    for source in sorted(sources, key=lambda source: source.name):
        status = source.place.stat() if source.place.exists() else None
        counts = {
            name: sum(getattr(unit, name) for unit in source.units)
            for name in ("n_images", "n_boxes", "n_labels", "n_problems")
        }
        rows.append(
            counts
            | {
                "source": source.name,
                "root": str(source.root),
                "path": source.path,
                "forms": list(source.forms),
                "dataset": source.dataset,
                "found": source.evidence,
                "size": status.st_size if status and source.place.is_file() else None,
                "mtime_ns": status.st_mtime_ns if status else None,
                "units": [unit._asdict() for unit in source.units],
            }
        )
    # As the manifest on the disk has them: without those that are empty.
    others = {table: entries for table, entries in manifest.tables.items() if table != "sources" and entries}
    digest = hashlib.sha256(repr(sorted(others.items())).encode()).hexdigest()[:12]
    batch = pa.RecordBatch.from_pylist(rows, schema=arrow_schema("sources"))
    written = write_table(index, "sources", "all", [batch])
    if written is None:
        return Manifest(others)
    file = f"sources/{digest}.parquet"
    (index / written.file).rename(index / file)
    return Manifest(others | {"sources": [FileEntry(file, "all", written.rows, 0, "")]})
