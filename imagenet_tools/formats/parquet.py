"""A Parquet table of images for each split: what each is, its boxes, and where its bytes are, in an archive or not.

    root/train.parquet      dataset, image_id, photo, wnid, class_index, split, official_split,
                            source, file, member, offset, length, position, compression,
                            width, height, mode, encoding, orientation,
                            boxes: list of {wnid, class_index, nxmin, nymin, nxmax, nymax, pose, truncated, difficult}

The lock, recipe and manifest of an export are at its root, beside classes.json: see exports.manifest.

Files are relative to the root of their source. The columns mean the same as in the tables images and boxes of the
index: `imagenet-tools query --schema` explains them. Boxes are fractions of the raster as stored. class_index counts
the classes of classes.json. --shuffle orders the rows. The table holds no image; hf_parquet does.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from imagenet_tools import arrays
from imagenet_tools.exports.job import Job
from imagenet_tools.exports.plan import Plan
from imagenet_tools.exports.writer import ReadBack, Writes
from imagenet_tools.formats._shared import listing
from imagenet_tools.formats._shared.contract import no_hazards

if TYPE_CHECKING:
    import pyarrow as pa

    from imagenet_tools.exports.pieces import Columns
    from imagenet_tools.exports.rows import BoxColumns

WRITES = Writes(boxes=True, ordered=True, holds_bytes=False)

_ROW_GROUP_ROWS = 1 << 16


def _schema() -> pa.Schema:
    import pyarrow as pa

    box = pa.struct(list(listing.schema("boxes", listing.BOX_COLUMNS)))
    return listing.schema("images", listing.COLUMNS).append(pa.field("boxes", pa.list_(box)))


hazards = no_hazards


open_shard = listing.no_sink


def finish(job: Job) -> None:
    """Write the table of each split."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = _schema()
    for split in job.plan.splits:
        with job.writing(f"{split}.parquet") as file, pq.ParquetWriter(file, schema, compression="zstd") as writer:
            waiting: list[pa.RecordBatch] = []
            for part in chain(job.columns(split), [None]):
                waiting += [_batch(job.plan, *part, schema)] if part else []
                if waiting and (part is None or sum(map(len, waiting)) >= _ROW_GROUP_ROWS):
                    writer.write_table(pa.Table.from_batches(waiting).combine_chunks())
                    waiting = []


def _batch(plan: Plan, values: Columns, boxes: BoxColumns, schema: pa.Schema) -> pa.RecordBatch:
    import pyarrow as pa

    *image_fields, boxes_field = schema
    images = listing.record_batch(listing.image_columns(values), pa.schema(image_fields))
    box_fields = list(boxes_field.type.value_type)
    columns = listing.record_batch(listing.box_columns(plan, boxes), pa.schema(box_fields)).columns
    structs = pa.StructArray.from_arrays(columns, fields=box_fields)
    ends = arrays.column([0, *np.cumsum(boxes.lengths).tolist()], pa.int32())
    return pa.record_batch([*images.columns, pa.ListArray.from_arrays(ends, structs)], schema=schema)


def read_back(root: Path) -> Iterator[ReadBack]:
    """Yield the images of the tables, with their boxes."""
    import pyarrow.parquet as pq

    for path in sorted(root.glob("*.parquet")):
        for batch in pq.ParquetFile(path).iter_batches(columns=["image_id", "class_index", "boxes"]):
            for row in batch.to_pylist():
                boxes = tuple((box["class_index"], *(box[edge] for edge in listing.EDGES)) for box in row["boxes"])
                yield ReadBack(row["image_id"].replace("/", "_"), path.stem, row["class_index"], boxes, None)
