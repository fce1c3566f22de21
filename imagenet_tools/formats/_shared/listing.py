"""Targets that list images and hold none: rows kept in the notes of shards, table columns, and lists of paths."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from operator import attrgetter
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple

from imagenet_tools.errors import ExportError
from imagenet_tools.exports.job import Job
from imagenet_tools.exports.pictures import Picture
from imagenet_tools.exports.plan import Plan
from imagenet_tools.exports.writer import Origin, ReadBack, Row, Shard, SinkOutput
from imagenet_tools.schema import arrow_schema
from imagenet_tools.text import are, count_of

if TYPE_CHECKING:
    import pyarrow as pa

_IDENTITY = ("dataset", "image_id", "photo", "wnid", "class_index", "split", "official_split")
_RASTER = ("width", "height", "mode", "encoding", "orientation")

# The columns of the tables csv and parquet.
COLUMNS = (*_IDENTITY, *Origin._fields, *_RASTER)

# The columns of boxes in the targets parquet and duckdb.
EDGES = ("nxmin", "nymin", "nxmax", "nymax")
MARKS = ("pose", "truncated", "difficult")
BOX_COLUMNS = ("wnid", "class_index", *EDGES, *MARKS)

# mmpretrain's names of the classes, beside its lists.
CLASS_NAMES = "meta/classes.txt"

# Images that a path names: a file of its own, with a name of one line.
_HAS_PATH = """coalesce("offset" = 0 AND compression IS NULL AND NOT contains(file, chr(10)), false)"""


def column_values(row: Row) -> list[Any]:
    """Return the values of COLUMNS for an image."""
    return [*attrgetter(*_IDENTITY)(row), *row.origin, *attrgetter(*_RASTER)(row)]


def schema(table: str, names: Iterable[str]) -> pa.Schema:
    """Return the Arrow schema of these columns of the table images, boxes or labels."""
    import pyarrow as pa

    added = {"class_index": pa.int32(), "official_split": pa.string()}  # columns that an index does not have
    types = {field.name: field.type for field in arrow_schema(table)} | added
    return pa.schema([(name, types[name]) for name in names])


class ListSink:
    """Keeps `values_of(row)` of each image, plain JSON values, in the note of the shard."""

    def __init__(self, values_of: Callable[[Row], Any]):
        self._values_of = values_of
        self._rows: list[Any] = []

    def add(self, row: Row, picture: Picture) -> None:
        """Keep the values of an image."""
        self._rows.append(self._values_of(row))

    def close(self) -> SinkOutput:
        """Return the note."""
        return SinkOutput(note={"rows": self._rows})


def no_sink(job: Job, shard: Shard) -> None:
    """Return no sink: finish() writes all there is."""


def listed_rows(job: Job, split: str) -> Iterator[list[Any]]:
    """Yield the values of the images of a split, in order: one list for each shard."""
    return (note["rows"] for shard, note in job.notes() if shard.split == split)


class PathLists(NamedTuple):
    """Lists of lines `path label`, one for each split."""

    name: str  # of a list, with {split} in it

    def hazards(self, plan: Plan) -> Iterator[str]:
        """Yield the folder that the paths of each split's list are relative to.

        ExportError: Some images have no path: they are in archives, or their names have several lines.
        """
        [(n, first)] = plan.selection.run(
            f"SELECT count(*), min(file) FROM made WHERE left_out IS NULL AND NOT {_HAS_PATH}"
        ).fetchall()
        if n:
            message = (
                f"{count_of(n, 'image')} {are(n)} in archives, or of names with several lines, {first} first: "
                f"{plan.target} names files by their paths. Export to image_folder, or to csv or parquet, which name "
                "places in archives."
            )
            raise ExportError(message)
        for split, sources in _sources(plan).items():
            names = ", ".join(sources)
            where = f"the root of the source {names}" if len(sources) == 1 else f"the folder above the sources {names}"
            yield f"{self.name.format(split=split)}: paths are relative to {where}"

    def open_shard(self, job: Job, shard: Shard) -> ListSink:
        """Return a sink that keeps the path and the label of each image."""
        return ListSink(lambda row: (row.origin.source, row.origin.file, row.class_index))

    def write(self, job: Job) -> None:
        """Write the list of each split."""
        for split in job.plan.splits:
            job.write(self.name.format(split=split), _path_lines(job, split))

    def read_back(self, root: Path) -> Iterator[ReadBack]:
        """Yield the images of the lists; stems are those of the paths."""
        for file in sorted(set(root.glob(self.name.format(split="*"))) - {root / CLASS_NAMES}):
            with file.open(encoding="utf-8") as lines:
                for line in lines:
                    path, _, label = line.rstrip("\n").rpartition(" ")
                    yield ReadBack(PurePosixPath(path).stem, file.stem, int(label), None, None)


def _path_lines(job: Job, split: str) -> Iterator[bytes]:
    roots = {source: str(job.plan.index.roots[source]) for source in _sources(job.plan)[split]}
    shared = os.path.commonpath(roots.values())
    relative = {source: os.path.relpath(root, shared) for source, root in roots.items()}
    prefixes = {source: "" if path == "." else f"{path}/" for source, path in relative.items()}
    for rows in listed_rows(job, split):
        yield "".join(f"{prefixes[source]}{file} {index}\n" for source, file, index in rows).encode()


def _sources(plan: Plan) -> dict[str, list[str]]:
    """Return the names of the sources of each split, sorted."""
    rows = plan.selection.run(
        "SELECT split, list_sort(list(DISTINCT source)) FROM made WHERE left_out IS NULL GROUP BY split ORDER BY split"
    ).fetchall()
    return dict(rows)
