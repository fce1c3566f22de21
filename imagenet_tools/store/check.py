"""Check an index: its Parquet files against its manifest, its tables against the schema, its sources, its images.

E201  a Parquet file that the manifest names is missing, or has other bytes
E202  a Parquet file cannot be read, or has other rows or columns than the manifest and the schema say
E203  a file of a source is missing
E204  a file of a source has another size or time than when it was indexed
E205  an image cannot be read, or its pixels cannot be decoded in full
W201  the index has no images
"""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from imagenet_tools.catalogue.sums import Finding, all_ok, grouped
from imagenet_tools.containers import payload
from imagenet_tools.errors import ImagenetToolsError, SourceError
from imagenet_tools.images.probe import Pixels
from imagenet_tools.schema import TABLES, arrow_schema
from imagenet_tools.storage.blob import Descriptors
from imagenet_tools.store.layout import MANIFEST, read_manifest, wrong_files
from imagenet_tools.store.store import Store
from imagenet_tools.store.wordnet_tables import CONSTANT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imagenet_tools.store.layout import FileEntry, Manifest
    from imagenet_tools.store.store import Store
    from imagenet_tools.units import Progress

_ROWS = 4096  # that are Python's objects at a time


class CheckedIndex(NamedTuple):
    """An index that was checked: right where nothing was found."""

    path: Path
    files: int  # Parquet files
    sources: int
    images: int
    decoded: int  # of them, in full
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return all_ok(self.findings)

    @property
    def summary(self) -> str:
        """What was checked, in words."""
        decoded = f", {self.decoded:,} decoded in full" if self.decoded else ""
        return (
            f"an index as it was built: {self.files:,} files, {self.sources:,} sources, {self.images:,} images{decoded}"
        )


def check_index(path: Path, *, read_data: bool = False, progress: Progress | None = None) -> CheckedIndex:
    """Check one index; with `read_data` every image is read and decoded in full. NoIndexError: none is there."""
    manifest = read_manifest(path)
    entries = [(table, entry) for table, found in manifest.tables.items() for entry in found]
    findings = list(grouped("E201", wrong_files(path, manifest)))
    if not findings:
        findings += chain.from_iterable(_table(path, table, entry) for table, entry in entries)
    findings += [Finding("E202", f"{MANIFEST} names no files of {name}") for name in _absent(manifest)]
    sources = images = decoded = 0
    if not findings:  # or DuckDB would stop at a damaged file
        index = Store(path)
        sources = len(index.roots)
        findings += _sources(index)
        images = sum(entry.rows for entry in manifest.tables.get("images", []))
        if not images:
            findings.append(Finding("W201", "it has no images"))
        if read_data:
            decoded, wrong = _decoded(index, images, progress)
            findings += grouped("E205", wrong)
    return CheckedIndex(path, len(entries), sources, images, decoded, tuple(findings))


def _absent(manifest: Manifest) -> list[str]:
    return [table for table in ("sources", *CONSTANT) if not manifest.tables.get(table)]


def _table(root: Path, table: str, entry: FileEntry) -> Iterator[Finding]:
    """Yield what is wrong with the columns and rows of a Parquet file.

    That of the table sources is read in full: it has no sum, as it holds the roots of the machine.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(root / entry.file) as opened:
            schema, rows = opened.schema_arrow, opened.metadata.num_rows
            if not entry.sha256:
                opened.read()
    except (pa.ArrowException, OSError) as error:
        yield Finding("E202", f"{entry.file}: it cannot be read: {error}")
        return
    expected = arrow_schema(table) if table in TABLES else None
    if expected is None or not schema.remove_metadata().equals(expected):
        wrong = sorted({*map(str, schema)} ^ {*map(str, expected or ())})
        yield Finding("E202", f"{entry.file}: its columns are not those of {table}; they differ in {', '.join(wrong)}")
    elif rows != entry.rows:
        yield Finding("E202", f"{entry.file}: found {rows:,} rows, expected {entry.rows:,}")


def _sources(index: Store) -> Iterator[Finding]:
    """Yield the files of the sources that are gone, or are no longer what was indexed."""
    gone: list[str] = []
    changed: list[str] = []
    for path, length in chain(((path, None) for path in index.stamps.archives), _loose(index)):
        try:
            index.stamps.check(path, Path(path).stat(), length)
        except SourceError as error:
            changed.append(str(error))
        except OSError as error:
            gone.append(f"{path}: {error.strerror}; expected a source that was indexed. If it moved, use `relocate`")
    yield from grouped("E203", gone)
    yield from grouped("E204", changed)


def _loose(index: Store) -> Iterator[tuple[str, int | None]]:
    """Yield (file, bytes) of the images that are files, and (file, None) of the files in other folders."""
    rows = index.cursor().execute("""SELECT source, file, length FROM images WHERE "offset" = 0""")
    while found := rows.fetchmany(_ROWS):
        yield from ((str(index.place(source, file)), length) for source, file, length in found)
    folders = index.cursor().execute(
        """SELECT source, unit.file FROM (SELECT source, unnest(units) AS unit FROM sources)
           WHERE unit.size < 0 AND unit.n_images = 0 ORDER BY ALL"""
    )
    for source, file in folders.fetchall():
        folder = index.place(source, file)
        if not folder.is_dir():
            yield str(folder), None
        else:
            yield from ((str(path), None) for path in sorted(folder.iterdir()) if path.is_file())


def _decoded(index: Store, total: int, progress: Progress | None) -> tuple[int, list[str]]:
    """(how many images were decoded in full, what is wrong with the others), as they lie."""
    rows = index.cursor().execute(
        """SELECT dataset || '/' || image_id, source, file, "offset", length, member, position, compression,
                  coalesce(encoding, '')
           FROM images WHERE problem IS NULL
           ORDER BY source, file, CASE WHEN compression LIKE 'tar.gz%' THEN member END, coalesce("offset", position)"""
    )
    wrong: list[str] = []
    pixels, n = Pixels(), 0
    with Descriptors(stamps=index.stamps) as files:
        while found := rows.fetchmany(_ROWS):
            for key, *where in found:
                try:
                    pixels.add(key, payload.read(index.image_place(*where), files))
                except (ImagenetToolsError, OSError) as error:
                    wrong.append(f"{key}: {error}")
            n += len(found)
            if progress:
                progress("decoding", n, total)
    wrong += pixels.finish()
    return pixels.decoded, wrong
