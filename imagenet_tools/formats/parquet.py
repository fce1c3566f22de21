"""A table of images in Parquet, a file a split: what each is, its boxes, and where its bytes lie, in an archive or not.

    root/train.parquet      dataset, image_id, photo, wnid, class_index, split, official_split,
                            source, file, member, offset, length, position, compression,
                            width, height, mode, encoding, orientation,
                            boxes: list of {wnid, class_index, nxmin, nymin, nxmax, nymax, pose, truncated, difficult}

Files are relative to the root of their source. The columns mean what they mean in the tables images and boxes of the
index: `imagenet-tools query --schema` explains them; boxes are fractions of the raster as stored. class_index counts
the classes of classes.json. --shuffle orders the rows. It holds no image: hf_parquet does.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any

from imagenet_tools.exports import arrays, kept
from imagenet_tools.exports.writer import Origin, ReadBack, Writes
from imagenet_tools.formats._shared import listing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pyarrow as pa

    from imagenet_tools.exports.job import Job
    from imagenet_tools.exports.plan import Plan
    from imagenet_tools.exports.writer import Row, Shard

WRITES = Writes(
    keeps=("image_id", "wnid", "split", "length", "width", "height", "mode", "encoding", "orientation", "boxes"),
    boxes=True,
    ordered=True,
    holds_bytes=False,
)

_ROWS = 1 << 16  # of a row group
_WHAT = ("dataset", "image_id", "photo", "wnid", "class_index", "split", "official_split")
_RASTER = ("width", "height", "mode", "encoding", "orientation")
_EDGES = ("nxmin", "nymin", "nxmax", "nymax")
_INT64 = ("offset", "length", "position")
_INT32 = ("class_index", "width", "height")


def _schema() -> pa.Schema:
    import pyarrow as pa

    names = (*_WHAT, *Origin._fields, *_RASTER)
    types: dict[str, pa.DataType] = dict.fromkeys(names, pa.string())
    types |= dict.fromkeys(_INT64, pa.int64()) | dict.fromkeys(_INT32, pa.int32()) | {"orientation": pa.int16()}
    edges = [(edge, pa.float64()) for edge in _EDGES]
    remarks = [("pose", pa.string()), ("truncated", pa.bool_()), ("difficult", pa.bool_())]
    box = pa.struct([("wnid", pa.string()), ("class_index", pa.int32()), *edges, *remarks])
    return pa.schema([*types.items(), ("boxes", pa.list_(box))])


def hazards(plan: Plan) -> Iterator[str]:
    """Boxes of ImageNet are partial."""
    if plan.boxes():
        yield "boxes are partial: in each image, only objects of its own class are boxed"


def open_shard(job: Job, shard: Shard) -> listing.ListSink:
    """The rows of a shard's images."""
    wnids = [one.wnid for one in job.plan.classes]
    return listing.ListSink(lambda row: _values(row, wnids))


def _values(row: Row, wnids: list[str]) -> list[Any]:
    boxes = [[wnids[box.class_index], *box] for box in row.boxes]
    values = [getattr(row, name) for name in _WHAT] + [*row.origin] + [getattr(row, name) for name in _RASTER]
    return [*values, boxes]


def finish(job: Job) -> None:
    """The table of each split."""
    import pyarrow.parquet as pq

    schema = _schema()
    for split in job.plan.splits:
        with job.writing(f"{split}.parquet") as file, pq.ParquetWriter(file, schema, compression="zstd") as writer:
            waiting: list[Any] = []
            for rows in listing.listed(job, split):
                waiting += rows
                if len(waiting) >= _ROWS:
                    writer.write_batch(_batch(waiting, schema))
                    waiting = []
            if waiting:
                writer.write_batch(_batch(waiting, schema))


def _batch(rows: list[Any], schema: pa.Schema) -> pa.RecordBatch:
    import pyarrow as pa

    *columns, boxes = zip(*rows, strict=True)
    *kinds, of_boxes = schema.types
    box = of_boxes.value_type
    values = list(zip(*chain.from_iterable(boxes), strict=True)) or [()] * len(box)
    inside = [arrays.column(found, field.type) for found, field in zip(values, box, strict=True)]
    made = [arrays.column(found, kind) for found, kind in zip(columns, kinds, strict=True)]
    found = arrays.lists(boxes, pa.StructArray.from_arrays(inside, fields=list(box)), of_boxes)
    return pa.record_batch([*made, found], schema=schema)


def read_back(root: Path) -> Iterator[ReadBack]:
    """The images of the tables, with their boxes."""
    import pyarrow.parquet as pq

    for path in sorted(set(root.glob("*.parquet")) - {root / kept.IDS}):
        for batch in pq.ParquetFile(path).iter_batches(columns=["image_id", "class_index", "boxes"]):
            for one in batch.to_pylist():
                boxes = tuple((box["class_index"], *(box[edge] for edge in _EDGES)) for box in one["boxes"])
                yield ReadBack(one["image_id"].replace("/", "_"), path.stem, one["class_index"], boxes, None)
