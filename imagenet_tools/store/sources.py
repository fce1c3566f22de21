"""Sources of an index: the paths that were indexed, their units, and where they are on this machine."""

from __future__ import annotations

import hashlib
import os
import re
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from imagenet_tools.errors import SourceError, UsageError
from imagenet_tools.schema import arrow_schema
from imagenet_tools.storage.buckets import Remote, is_remote, place_of, url_of
from imagenet_tools.storage.files import inside
from imagenet_tools.store.layout import FileEntry, Manifest, damaged, read_manifest, staged, write_manifest, write_table
from imagenet_tools.text import count_of
from imagenet_tools.units import Detection

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence


# Between two pairs in $IMAGENET_ROOTS; a URL has ':' in it too.
_BETWEEN_ROOTS = re.compile(r":(?=[^/:]*=)")


class UnitRecord(NamedTuple):
    """A unit in the table sources: its fingerprint, and its number of rows."""

    unit: int
    form: str
    file: str
    member: str
    fingerprint: str
    n_images: int
    n_boxes: int
    n_labels: int
    n_problems: int
    size: int = -1  # bytes of the file that holds the unit; -1 for a folder
    digest: str = ""  # SHA-256 of its bytes, with --hash
    mtime_ns: int = 0  # of that file, or the newest of the files in the folder, nanoseconds since 1970


@dataclass(frozen=True)
class Source:
    """A path that is indexed.

    Attributes:
        name: Name in the table sources.
        root: Absolute folder that the files of the index are relative to.
        path: The path relative to root; "." for root itself.
        found: The detected forms; empty for a source that was read from an index.
        ignored: Files and folders below it that nothing reads.
        forms: The forms by name, sorted.
        dataset: Its data sets, with ", " between.
        evidence: The evidence of the forms, in words.
        units: Its units.
    """

    name: str
    root: Path
    path: str
    found: tuple[Detection, ...] = ()
    ignored: tuple[str, ...] = ()
    forms: tuple[str, ...] = ()
    dataset: str = ""
    evidence: str = ""
    units: tuple[UnitRecord, ...] = ()

    @property
    def place(self) -> Path:
        """The path on this machine. Raises SourceError if a foreign index names a path outside the root."""
        return Path(inside(self.root, self.path))


def rooted(sources: Sequence[Source], roots: Mapping[str, Path]) -> list[Source]:
    """Return sources with the roots that `roots`, or NAME=PATH pairs in $IMAGENET_ROOTS, give them.

    A root is the folder that contains the source, or the file of the source itself.

    Raises:
        UsageError: `roots` names an unknown source, or $IMAGENET_ROOTS is malformed.
    """
    _check_names(roots, sources)
    environment = parse_roots(filter(None, _BETWEEN_ROOTS.split(os.environ.get("IMAGENET_ROOTS", ""))))
    moved = environment | {name: place_of(root) for name, root in roots.items()}
    return [replace(source, root=_folder(moved.get(source.name, source.root), source)) for source in sources]


def _folder(root: Path, source: Source) -> Path:
    """Return the folder that a root names: it may be the file of the source itself."""
    is_source = root.name == source.path if is_remote(root) else root.is_file()
    return root.parent if is_source else root


def _check_names(roots: Mapping[str, Path], sources: Sequence[Source]) -> None:
    names = [source.name for source in sources]
    if unknown := sorted(set(roots) - set(names)):
        raise UsageError(f"No source is called {', '.join(unknown)}; the index has {', '.join(names) or 'none'}.")


def parse_roots(pairs: Iterable[str]) -> dict[str, Path]:
    """Return NAME=PATH pairs as a mapping. Raise UsageError for any other text."""
    roots: dict[str, Path] = {}
    for pair in pairs:
        name, equals, path = pair.partition("=")
        if not (name and equals and path):
            raise UsageError(f"'{pair}' is no root: expected NAME=PATH, the name of a source as `info` lists them.")
        roots[name] = place_of(path)
    return roots


def read_sources(index: Path, manifest: Manifest) -> list[Source]:
    """Read the sources of an index, with the roots that are written in it."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    sources: list[Source] = []
    for path in manifest.paths(index, "sources"):
        # The manifest has no digest of this file, which has values of the machine; its pages have checksums.
        try:
            rows = pq.ParquetFile(path, page_checksum_verification=True).read().to_pylist()
        except (OSError, pa.ArrowException) as error:
            raise damaged(index, f"{path} cannot be read ({error})") from error
        sources += [
            Source(
                row["source"],
                Path(row["root"]),
                row["path"],
                forms=tuple(row["forms"]),
                dataset=row["dataset"],
                evidence=row["found"],
                units=tuple(UnitRecord(**unit) for unit in row["units"]),
            )
            for row in rows
        ]
    return sources


def relocate(index: Path, roots: Mapping[str, Path]) -> dict[str, Path]:
    """Write into an index where some sources are now. Nothing else in the index changes.

    Args:
        index: Folder of the index.
        roots: By name of a source: the folder that contains it, or the file of the source itself.

    Returns:
        The new root of each of these sources.

    Raises:
        UsageError: No source has that name.
        SourceError: The source is not there, or has another size than the indexed one.
        ExistsError: A build holds the lock of the index.
    """
    read_manifest(index)
    with staged(index):
        manifest = read_manifest(index)
        sources = {source.name: source for source in read_sources(index, manifest)}
        _check_names(roots, list(sources.values()))
        moved = {name: _moved(sources[name], place_of(root)) for name, root in roots.items()}
        write_manifest(index, write_sources(index, manifest, list((sources | moved).values())))
    return {name: source.root for name, source in moved.items()}


def _moved(source: Source, root: Path) -> Source:
    moved = replace(source, root=_folder(root, source))
    if moved.root != root and root.name != source.path:
        message = f"{root} is not called {source.path}, as the source {source.name} is. Rename it, or index it again."
        raise SourceError(message)
    if not is_remote(root) and not moved.place.exists():
        raise SourceError(
            f"{moved.place} does not exist; expected the source {source.name} there. Name the folder that it is in."
        )
    return replace(moved, units=tuple(_moved_units(moved)))


def _moved_units(source: Source) -> Iterator[UnitRecord]:
    """Yield the units of a moved source with the times of its files in the new place; those in buckets have none."""
    if is_remote(source.root):
        for unit in source.units:
            path = source.root / unit.file
            _check_moved(path, unit, Remote(str(path)).size() if unit.size >= 0 else None)
            yield unit._replace(mtime_ns=0)
        return
    newest = _newest_file(source.place)
    for unit in source.units:
        if unit.size < 0:
            yield unit._replace(mtime_ns=newest)
            continue
        path = source.root / unit.file
        status = path.stat() if path.is_file() else None
        _check_moved(path, unit, status.st_size if status else -1)
        yield unit._replace(mtime_ns=status.st_mtime_ns if status else 0)


def _newest_file(folder: Path) -> int:
    """Return the newest mtime_ns of the files in a folder and below it; links are followed, as scans follow them."""
    newest, seen = 0, set[tuple[int, int]]()
    for home, folders, names in os.walk(folder, followlinks=True):
        status = Path(home).stat()
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()  # a link to a folder above ends here
            continue
        seen.add((status.st_dev, status.st_ino))
        for name in names:
            with suppress(OSError):  # a link to nothing
                newest = max(newest, Path(home, name).stat().st_mtime_ns)
    return newest


def _check_moved(path: Path, unit: UnitRecord, size: int | None) -> None:
    """Raise SourceError if the file of a unit is not there (-1), or has another size; None is not compared."""
    if size not in (None, unit.size):
        found = "no file" if size == -1 else count_of(size or 0, "byte")
        message = f"{url_of(path)}: found {found}, expected the {unit.size:,} bytes that were indexed. Index it again."
        raise SourceError(message)


def write_sources(index: Path, manifest: Manifest, sources: Sequence[Source]) -> Manifest:
    """Write the table sources, and return the manifest with it.

    It is the only table with values of this machine. Its file is named after a digest of the other files, and the
    manifest holds no digest of it. Two indexes of the same data therefore have the same manifest.
    """
    import pyarrow as pa

    rows: list[dict[str, object]] = []
    for source in sorted(sources, key=lambda source: source.name):
        status = source.place.stat() if source.place.exists() else None
        counts = ("n_images", "n_boxes", "n_labels", "n_problems")
        row: dict[str, object] = {name: sum(getattr(unit, name) for unit in source.units) for name in counts}
        row |= {
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
        rows.append(row)
    # Tables without files are not written to a manifest.
    others = {table: entries for table, entries in manifest.tables.items() if table != "sources" and entries}
    digest = hashlib.sha256(repr(sorted(others.items())).encode()).hexdigest()[:12]
    written = write_table(index, "sources", "all", [pa.RecordBatch.from_pylist(rows, arrow_schema("sources"))])
    for entry in written:
        file = f"sources/{digest}.parquet"
        (index / entry.file).rename(index / file)
        others["sources"] = [FileEntry(file, "all", entry.rows, 0, "")]
    return Manifest(others)
