"""Targets that list images and hold none: the columns of tables, and lists of paths. finish() writes all there is."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

from imagenet_tools import arrays
from imagenet_tools.errors import ExportError
from imagenet_tools.exports.job import Job
from imagenet_tools.exports.plan import Plan
from imagenet_tools.exports.writer import Origin, ReadBack, Shard
from imagenet_tools.schema import arrow_schema
from imagenet_tools.text import are, count_of

if TYPE_CHECKING:
    import pyarrow as pa

    from imagenet_tools.exports.pieces import Columns
    from imagenet_tools.exports.rows import BoxColumns

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
_HAS_PATH = r"""coalesce("offset" = 0 AND compression IS NULL AND NOT regexp_matches(file, '[\r\n]'), false)"""


def image_columns(values: Columns) -> Columns:
    """Return COLUMNS of the images of a batch of job.columns(), beside its other columns."""
    origins = list(zip(*values["origin"], strict=True)) or [()] * len(Origin._fields)
    return {**values, **dict(zip(Origin._fields, origins, strict=True))}


def box_columns(plan: Plan, boxes: BoxColumns) -> Columns:
    """Return BOX_COLUMNS of the boxes of a batch."""
    return {
        "wnid": [plan.classes[index].wnid for index in boxes.class_index],
        "class_index": boxes.class_index.tolist(),
        **dict(zip(EDGES, boxes.edges, strict=True)),
        **dict(zip(MARKS, boxes.marks, strict=True)),
    }


def record_batch(columns: Columns, schema: pa.Schema) -> pa.RecordBatch:
    """Return the columns of a schema as a record batch."""
    import pyarrow as pa

    return pa.record_batch([arrays.column(list(columns[field.name]), field.type) for field in schema], schema=schema)


def schema(table: str, names: Iterable[str]) -> pa.Schema:
    """Return the Arrow schema of these columns of the table images, boxes or labels."""
    import pyarrow as pa

    added = {"class_index": pa.int32(), "official_split": pa.string()}  # columns that an index does not have
    types = {field.name: field.type for field in arrow_schema(table)} | added
    return pa.schema([(name, types[name]) for name in names])


def no_sink(job: Job, shard: Shard) -> None:
    """Return no sink: finish() writes all there is."""


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
    for values, _ in job.columns(split):
        rows = zip(values["origin"], values["class_index"], strict=True)
        yield "".join(f"{prefixes[origin.source]}{origin.file} {index}\n" for origin, index in rows).encode()


def _sources(plan: Plan) -> dict[str, list[str]]:
    """Return the names of the sources of each split, sorted."""
    rows = plan.selection.run(
        "SELECT split, list_sort(list(DISTINCT source)) FROM made WHERE left_out IS NULL GROUP BY split ORDER BY split"
    ).fetchall()
    return dict(rows)
