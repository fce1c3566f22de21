"""Targets that list images and hold none: rows kept in the notes of shards, table columns, and lists of paths."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from imagenet_tools.errors import ExportError
from imagenet_tools.exports.job import Job
from imagenet_tools.exports.pictures import Picture
from imagenet_tools.exports.plan import Plan
from imagenet_tools.exports.writer import Origin, ReadBack, Row, Shard, SinkOutput

_IDENTITY = ("dataset", "image_id", "photo", "wnid", "class_index", "split", "official_split")
_RASTER = ("width", "height", "mode", "encoding", "orientation")

# The columns of the tables csv and parquet.
COLUMNS = (*_IDENTITY, *Origin._fields, *_RASTER)

# Images that a path names: a file of its own, with a name of one line.
_HAS_PATH = """coalesce("offset" = 0 AND compression IS NULL AND NOT contains(file, chr(10)), false)"""


def column_values(row: Row) -> list[Any]:
    """Return the values of COLUMNS for an image."""
    return [
        *(getattr(row, name) for name in _IDENTITY),
        *row.origin,
        *(getattr(row, name) for name in _RASTER),
    ]


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


def listed_rows(job: Job, split: str) -> Iterator[list[Any]]:
    """Yield the values of the images of a split, in order: one list for each shard."""
    return (note["rows"] for shard, note in job.notes() if shard.split == split)


def open_path_shard(job: Job, shard: Shard) -> ListSink:
    """Return a sink that keeps what path_lines() needs of each image."""
    return ListSink(lambda row: (row.origin.source, row.origin.file, row.class_index))


def path_lines(job: Job, split: str) -> Iterator[bytes]:
    """Yield lines `path label` of the images of a split; path_hazards() names the folder that paths are relative to."""
    roots = {source: str(job.plan.index.roots[source]) for source in _sources(job.plan)[split]}
    shared = os.path.commonpath(roots.values())
    relative = {source: os.path.relpath(root, shared) for source, root in roots.items()}
    prefixes = {source: "" if path == "." else f"{path}/" for source, path in relative.items()}
    for rows in listed_rows(job, split):
        yield "".join(f"{prefixes[source]}{file} {index}\n" for source, file, index in rows).encode()


def path_hazards(plan: Plan, list_name: str) -> Iterator[str]:
    """Yield the folder that the paths of each split's list are relative to.

    Args:
        plan: The plan of an export.
        list_name: The name of a list, with {split} in it.

    Raises:
        ExportError: Some images have no path: they are in archives, or their names have several lines.
    """
    [(n, first)] = plan.selection.run(
        f"SELECT count(*), min(file) FROM made WHERE left_out IS NULL AND NOT {_HAS_PATH}"
    ).fetchall()
    if n:
        message = (
            f"{n:,} images are in archives, or have names of several lines, in {first} first: {plan.target} names "
            "files by their paths. Export to image_folder, or to csv or parquet, which name places in archives."
        )
        raise ExportError(message)
    for split, sources in _sources(plan).items():
        names = ", ".join(sources)
        where = f"the root of the source {names}" if len(sources) == 1 else f"the folder above the sources {names}"
        yield f"{list_name.format(split=split)}: paths are relative to {where}"


def _sources(plan: Plan) -> dict[str, list[str]]:
    """Return the names of the sources of each split, sorted."""
    rows = plan.selection.run(
        "SELECT split, list_sort(list(DISTINCT source)) FROM made WHERE left_out IS NULL GROUP BY split ORDER BY split"
    ).fetchall()
    return dict(rows)


def read_path_lines(file: Path) -> Iterator[ReadBack]:
    """Yield the images of a list that is called after its split; stems are those of the paths."""
    with file.open(encoding="utf-8") as lines:
        for line in lines:
            path, _, label = line.rstrip("\n").rpartition(" ")
            yield ReadBack(PurePosixPath(path).stem, file.stem, int(label), None, None)
