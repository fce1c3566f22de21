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
from imagenet_tools.storage.buckets import Remote, is_remote
from imagenet_tools.storage.shares import Share
from imagenet_tools.store.layout import CONSTANT, MANIFEST, read_manifest, wrong_files
from imagenet_tools.store.store import Store
from imagenet_tools.text import count_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imagenet_tools.store.layout import FileEntry
    from imagenet_tools.units import Progress

_FETCHED_ROWS = 4096  # rows that are Python objects at a time


class CheckedIndex(NamedTuple):
    """Result of the check of an index. The index is sound if there are no findings."""

    path: Path
    files: int  # Parquet files
    sources: int
    images: int
    decoded: int  # images that were decoded in full
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """True if nothing is wrong."""
        return all_ok(self.findings)

    @property
    def summary(self) -> str:
        """The number of files, sources and images that were checked, in words."""
        counts = ((self.files, "file"), (self.sources, "source"), (self.images, "image"))
        listed = ", ".join(f"{n:,} {noun if n == 1 else noun + 's'}" for n, noun in counts)
        decoded = f", {self.decoded:,} decoded in full" if self.decoded else ""
        return f"an index as it was built: {listed}{decoded}"


def check_index(
    path: Path, *, read_data: bool = False, shard: Share | None = None, progress: Progress | None = None
) -> CheckedIndex:
    """Check one index.

    Args:
        path: Its folder.
        read_data: Read and decode every image in full.
        shard: Decode only this share of the images, a stretch of them in the order of their files.
        progress: Called while images are decoded.

    Raises:
        NoIndexError: There is no index, or its manifest cannot be read.
    """
    manifest = read_manifest(path)
    findings = list(grouped("E201", wrong_files(path, manifest)))
    if not findings:
        for table, entries in manifest.tables.items():
            findings += chain.from_iterable(_check_file(path, table, entry) for entry in entries)
    missing = [table for table in ("sources", *CONSTANT) if not manifest.tables.get(table)]
    findings += [Finding("E202", f"{MANIFEST} names no files of {table}") for table in missing]
    sources = images = decoded = 0
    if not findings:  # DuckDB would fail on a damaged file
        index = Store(path)
        sources = len(index.roots)
        findings += _check_sources(index)
        images = manifest.rows.get("images", 0)
        if not images:
            findings.append(Finding("W201", "it has no images"))
        if read_data:
            decoded, problems = _decode(index, images, shard or Share(0, 1), progress)
            findings += grouped("E205", problems)
    return CheckedIndex(path, len(manifest.entries), sources, images, decoded, tuple(findings))


def _check_file(root: Path, table: str, entry: FileEntry) -> Iterator[Finding]:
    """Yield a finding if the columns or rows of a Parquet file are wrong.

    A file without a digest, that of the table sources, is read in full.
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
        columns = sorted({*map(str, schema)} ^ {*map(str, expected or ())})
        differences = ", ".join(columns)
        yield Finding("E202", f"{entry.file}: its columns are not those of {table}; they differ in {differences}")
    elif rows != entry.rows:
        yield Finding("E202", f"{entry.file}: found {count_of(rows, 'row')}, expected {entry.rows:,}")


def _check_sources(index: Store) -> Iterator[Finding]:
    """Yield findings of files of the sources that are missing, or have changed since they were indexed."""
    missing: list[str] = []
    changed: list[str] = []
    for path, length in chain(((path, None) for path in index.stamps.archives), _loose_files(index)):
        try:
            if is_remote(path):
                index.stamps.check_size(path, Remote(path).size(), length)
            else:
                index.stamps.check(path, Path(path).stat(), length)
        except SourceError as error:
            changed.append(str(error))
        except OSError as error:
            missing.append(f"{path}: {error.strerror}; expected a source that was indexed. If it moved, use `relocate`")
    yield from grouped("E203", missing)
    yield from grouped("E204", changed)


def _loose_files(index: Store) -> Iterator[tuple[str, int | None]]:
    """Yield (path, bytes) of images that are files, and (path, None) of the files in folders without images."""
    rows = index.cursor().execute("""SELECT source, file, length FROM images WHERE "offset" = 0""")
    while batch := rows.fetchmany(_FETCHED_ROWS):
        yield from ((str(index.place(source, file)), length) for source, file, length in batch)
    folders = index.cursor().execute(
        """SELECT source, unit.file FROM (SELECT source, unnest(units) AS unit FROM sources)
           WHERE unit.size < 0 AND unit.n_images = 0 ORDER BY ALL"""
    )
    for source, file in folders.fetchall():
        folder = index.place(source, file)
        paths = sorted(path for path in folder.iterdir() if path.is_file()) if folder.is_dir() else [folder]
        yield from ((str(path), None) for path in paths)


def _decode(index: Store, n_images: int, share: Share, progress: Progress | None) -> tuple[int, list[str]]:
    """Decode images in the order of their files. Return (number of decoded images, problems of the others)."""
    first, end = share.number * n_images // share.of, (share.number + 1) * n_images // share.of
    rows = index.cursor().execute(
        """SELECT dataset || '/' || image_id, source, file, "offset", length, member, position, compression,
                  coalesce(encoding, '')
           FROM images WHERE problem IS NULL
           ORDER BY source, file, CASE WHEN compression LIKE 'tar.gz%' THEN member END, coalesce("offset", position),
                    dataset, image_id
           LIMIT $n OFFSET $first""",
        {"n": end - first, "first": first},
    )
    problems: list[str] = []
    pixels, n = Pixels(), 0
    with Descriptors(stamps=index.stamps) as files:
        while batch := rows.fetchmany(_FETCHED_ROWS):
            for key, *columns in batch:
                try:
                    pixels.add(key, payload.read(index.image_place(*columns), files))
                except (ImagenetToolsError, OSError) as error:
                    problems.append(f"{key}: {error}")
            n += len(batch)
            if progress:
                progress("decoding", n, end - first)
    problems += pixels.finish()
    return pixels.decoded, problems
