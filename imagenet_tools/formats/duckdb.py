"""One DuckDB file: the images, boxes and labels of the selection, WordNet, and the macros is_a, under, above, synset.

    root/imagenet.duckdb
        images      the columns of the target parquet, without its boxes, a row an image
        boxes       dataset, image_id, photo, wnid, class_index, nxmin, nymin, nxmax, nymax, pose, truncated, difficult
        labels      dataset, image_id, label_set, wnid, source
        classes     class_index, wnid, name, display, folder, as in classes.json
        synsets, hypernyms, closure, terms      as in the index; the counts of synsets are those of this selection

    duckdb imagenet.duckdb "SELECT count(*) FROM images WHERE is_a(wnid, 'dog.n.01')"

DuckDB from 1.0 on opens it without this package, and so do programs over DuckDB. After ATTACH, USE it, or its macros do
not find its tables. `imagenet-tools query --schema` explains the columns. Boxes are fractions of the raster as stored.
--shuffle orders the rows. The file holds no image. Its bytes are the same with the same version of DuckDB.
The lock, recipe and manifest of an export are at its root, beside classes.json: see exports.manifest.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import astuple
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from imagenet_tools.errors import FormatError
from imagenet_tools.exports.job import Job
from imagenet_tools.exports.writer import ReadBack, Writes
from imagenet_tools.formats._shared import listing
from imagenet_tools.formats._shared.contract import no_hazards
from imagenet_tools.store import layout
from imagenet_tools.store.connection import add_views, first_line, quoted, without_progress_bar
from imagenet_tools.store.counts import synset_counts

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

    from imagenet_tools.exports.pieces import Columns
    from imagenet_tools.exports.rows import BoxColumns

WRITES = Writes(boxes=True, ordered=True, holds_bytes=False)

_FILE = "imagenet.duckdb"
_FETCHED_ROWS = 10_000
_KEY = ("dataset", "image_id", "photo")
_LABEL_COLUMNS = ("dataset", "image_id", "label_set", "wnid", "source")
_BOX_COLUMNS = (*_KEY, *listing.BOX_COLUMNS)
# One thread keeps the order of rows. FSST compresses by a random sample, so that two files of the same rows differ
# (DuckDB 1.4 and 2.0); without it, the file is 1.7 times as large.
_OPEN = """SET threads = 1; SET disabled_compression_methods = 'fsst,dict_fsst'; SET temp_directory = {folder};
    ATTACH {path} AS export (STORAGE_VERSION 'v1.0.0'); USE export"""

# Queries of the counts by class, and of the photos that are in several classes.
_COUNTED = (
    "SELECT wnid, count(*) FROM images GROUP BY wnid",
    "SELECT wnid, count(DISTINCT photo) FROM images GROUP BY wnid",
    "SELECT wnid, count(*) FROM boxes GROUP BY wnid",
)
_PHOTOS_OF_CLASSES = """SELECT DISTINCT photo, wnid FROM images SEMI JOIN
    (SELECT photo FROM images GROUP BY photo HAVING min(wnid) <> max(wnid)) USING (photo)"""

_READ_BACK = f"""
    SELECT replace(image_id, '/', '_'), split, class_index, coalesce(found, [])
    FROM images LEFT JOIN (SELECT dataset, image_id, list([class_index, {", ".join(listing.EDGES)}]) AS found
                           FROM boxes GROUP BY ALL) USING (dataset, image_id)"""


hazards = no_hazards
open_shard = listing.no_sink


def finish(job: Job) -> None:
    """Write the file. DuckDB writes to a path, so the file is made beside the export and copied."""
    import duckdb

    with TemporaryDirectory(dir=job.done) as folder:
        path = Path(folder, _FILE)
        with duckdb.connect() as sql:
            without_progress_bar(sql)
            sql.execute(_OPEN.format(folder=quoted(folder), path=quoted(str(path))))
            _add_tables(sql, job)
            add_views(sql, with_images=True)
            sql.execute("CHECKPOINT; USE memory; DETACH export")
        with path.open("rb") as made, job.writing(_FILE) as file:
            shutil.copyfileobj(made, file, 1 << 20)


def _add_tables(sql: duckdb.DuckDBPyConnection, job: Job) -> None:
    import pyarrow as pa

    for table in layout.CONSTANT:
        sql.execute(f"CREATE TABLE {table} AS FROM read_parquet({quoted(str(layout.constant_file(table)))})")
    for table, names, batch_of in (("images", listing.COLUMNS, _images), ("boxes", _BOX_COLUMNS, _boxes)):
        schema = listing.schema(table, names)
        batches = (batch_of(job, *part, schema) for split in job.plan.splits for part in job.columns(split))
        sql.register("rows", pa.RecordBatchReader.from_batches(schema, batches))
        sql.execute(f"CREATE TABLE {table} AS FROM rows")
    labels = job.plan.selection.read(f"SELECT {', '.join(_LABEL_COLUMNS)} FROM labels")
    sql.register("rows", pa.RecordBatchReader.from_batches(listing.schema("labels", _LABEL_COLUMNS), labels))
    sql.execute("CREATE TABLE labels AS SELECT * FROM rows SEMI JOIN images USING (dataset, image_id) ORDER BY ALL")
    sql.execute("CREATE TABLE classes (class_index INTEGER, wnid TEXT, name TEXT, display TEXT, folder TEXT)")
    sql.executemany("INSERT INTO classes VALUES (?, ?, ?, ?, ?)", [astuple(cls) for cls in job.plan.classes])
    n_images, n_photos, n_boxes = (dict(sql.execute(query).fetchall()) for query in _COUNTED)
    sql.register("rows", synset_counts(n_images, n_photos, n_boxes, sql.execute(_PHOTOS_OF_CLASSES).fetchall()))
    sql.execute("CREATE TABLE synset_counts AS FROM rows")


def _images(job: Job, values: Columns, boxes: BoxColumns, schema: pa.Schema) -> pa.RecordBatch:
    return listing.record_batch(listing.image_columns(values), schema)


def _boxes(job: Job, values: Columns, boxes: BoxColumns, schema: pa.Schema) -> pa.RecordBatch:
    image_of = np.repeat(np.arange(len(boxes.lengths)), boxes.lengths).tolist()
    keys = {name: [values[name][n] for n in image_of] for name in _KEY}
    return listing.record_batch({**keys, **listing.box_columns(job.plan, boxes)}, schema)


def read_back(root: Path) -> Iterator[ReadBack]:
    """Yield the images of the file, with their boxes."""
    import duckdb

    try:
        with duckdb.connect(root / _FILE, read_only=True) as sql:
            images = sql.execute(_READ_BACK)
            while rows := images.fetchmany(_FETCHED_ROWS):
                for stem, split, class_index, boxes in rows:
                    yield ReadBack(stem, split, class_index, tuple((int(n), *edges) for n, *edges in boxes), None)
    except duckdb.Error as error:
        message = f"{root / _FILE}: found no whole DuckDB file of an export ({first_line(error)})."
        raise FormatError(message, code="duckdb_damaged") from error
