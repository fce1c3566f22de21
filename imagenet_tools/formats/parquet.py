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
from typing import TYPE_CHECKING, Any

from imagenet_tools.exports import arrays
from imagenet_tools.exports.job import Job
from imagenet_tools.exports.writer import ReadBack, Shard, Writes
from imagenet_tools.formats._shared import listing
from imagenet_tools.formats._shared.contract import partial_boxes

if TYPE_CHECKING:
    import pyarrow as pa

WRITES = Writes(boxes=True, ordered=True, holds_bytes=False)

_ROW_GROUP_ROWS = 1 << 16


def _schema() -> pa.Schema:
    import pyarrow as pa

    box = pa.struct(list(listing.schema("boxes", listing.BOX_COLUMNS)))
    return listing.schema("images", listing.COLUMNS).append(pa.field("boxes", pa.list_(box)))


hazards = partial_boxes


def open_shard(job: Job, shard: Shard) -> listing.ListSink:
    """Return a sink that keeps the row of each image, its boxes last."""
    wnids = [cls.wnid for cls in job.plan.classes]
    return listing.ListSink(
        lambda row: [*listing.column_values(row), [[wnids[box.class_index], *box] for box in row.boxes]]
    )


def finish(job: Job) -> None:
    """Write the table of each split."""
    import pyarrow.parquet as pq

    schema = _schema()
    for split in job.plan.splits:
        with job.writing(f"{split}.parquet") as file, pq.ParquetWriter(file, schema, compression="zstd") as writer:
            waiting: list[Any] = []
            for rows in chain(listing.listed_rows(job, split), [None]):
                waiting += rows or []
                if waiting and (rows is None or len(waiting) >= _ROW_GROUP_ROWS):
                    writer.write_batch(_batch(waiting, schema))
                    waiting = []


def _batch(rows: list[Any], schema: pa.Schema) -> pa.RecordBatch:
    import pyarrow as pa

    *columns, boxes = zip(*rows, strict=True)
    *types, boxes_type = schema.types
    box_type = boxes_type.value_type
    box_columns = list(zip(*chain.from_iterable(boxes), strict=True)) or [()] * len(box_type)
    box_arrays = [arrays.column(values, field.type) for values, field in zip(box_columns, box_type, strict=True)]
    image_arrays = [arrays.column(values, kind) for values, kind in zip(columns, types, strict=True)]
    box_lists = arrays.lists(boxes, pa.StructArray.from_arrays(box_arrays, fields=list(box_type)), boxes_type)
    return pa.record_batch([*image_arrays, box_lists], schema=schema)


def read_back(root: Path) -> Iterator[ReadBack]:
    """Yield the images of the tables, with their boxes."""
    import pyarrow.parquet as pq

    for path in sorted(root.glob("*.parquet")):
        for batch in pq.ParquetFile(path).iter_batches(columns=["image_id", "class_index", "boxes"]):
            for row in batch.to_pylist():
                boxes = tuple((box["class_index"], *(box[edge] for edge in listing.EDGES)) for box in row["boxes"])
                yield ReadBack(row["image_id"].replace("/", "_"), path.stem, row["class_index"], boxes, None)
