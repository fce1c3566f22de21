"""Hugging Face's Parquet shards as this project writes them: typed by the metadata `huggingface`, small row groups.

    data/train-00000-of-00294.parquet       image {bytes, path}, label, wnid, image_id, dataset, photo, width, height,
    data/validation-00000-of-00014.parquet  parents, ancestors, objects {bbox, category}, and the fields asked for
    README.md                               the card

The lock, recipe and manifest of an export are at its root, beside classes.json: see exports.manifest.

A row group has at most 100 images and 100 MB of them, except that one image alone may be larger. Pages have checksums.
Boxes are x, y, width, height in pixels of the image turned by its EXIF orientation, as Hugging Face's Image shows it.
Width and height are of the turned image too. The bytes of a file are the same with the same version of pyarrow, which
the file names.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache, partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imagenet_tools import arrays
from imagenet_tools.annotations import bbox
from imagenet_tools.errors import ExportError, FormatError
from imagenet_tools.exports.job import Job
from imagenet_tools.exports.pictures import Picture
from imagenet_tools.exports.plan import Plan
from imagenet_tools.exports.writer import KEPT, Loaded, ReadBack, Row, Shard, SinkOutput, Writes
from imagenet_tools.formats._shared import card
from imagenet_tools.formats._shared.contract import FileSink, no_hazards
from imagenet_tools.images.parquet_rows import RESIZED
from imagenet_tools.wordnet import hierarchy

if TYPE_CHECKING:
    import pyarrow as pa

WRITES = Writes(keeps=(*KEPT, "photo"), boxes=True, turned=True, shard_bytes=500_000_000, ordered=True, fields=True)

_SPLIT_NAME = re.compile(r"\w+(?:\.\w+)*")  # datasets/naming.py
_ROW_GROUP_IMAGES = 100
_ROW_GROUP_BYTES = 100_000_000
_FIRST_ROOM_BYTES = 8 << 20  # more than most row groups

_NOTES = """`image` holds the bytes as they are in ImageNet; `label` is the class, `wnid` the image's own synset,
`parents` and `ancestors` are the synsets above it. `objects.bbox` is x, y, width, height in pixels of the image as
`datasets` shows it, turned by its EXIF orientation, as are `width` and `height`; `objects.category` is the class."""


def hazards(plan: Plan) -> Iterator[str]:
    """Yield nothing. ExportError: a field would hide a column, or a split has a name that datasets refuses."""
    card.refuse_fields(plan, _column_types(), "column of every file")
    card.refuse_split_names(plan)
    if refused := [split for split in plan.splits if not _SPLIT_NAME.fullmatch(split)]:
        raise ExportError(
            f"A split is called {refused[0]}; Hugging Face's datasets takes letters, digits and _ in its name. Give it "
            "another name in --split."
        )
    return no_hazards(plan)


def _column_types() -> dict[str, pa.DataType]:
    """Return the columns of every file with their Arrow types."""
    import pyarrow as pa

    texts = pa.list_(pa.string())
    return {
        "image": pa.struct([("bytes", pa.binary()), ("path", pa.string())]),
        "label": pa.int64(),
        **dict.fromkeys(("wnid", "image_id", "dataset", "photo"), pa.string()),
        **dict.fromkeys(("width", "height"), pa.int32()),
        **dict.fromkeys(("parents", "ancestors"), texts),
        "objects": pa.struct([("bbox", pa.list_(pa.list_(pa.float32(), 4))), ("category", pa.list_(pa.int64()))]),
    }


def features(job: Job) -> dict[str, Any]:
    """Return the types of the columns, as Hugging Face spells them."""
    label = card.class_label(card.label_names(job.plan))
    boxes = card.sequence(card.sequence(card.value("float32"), 4))
    # Arrow has no type for an image, for the names of classes, or for a list of structs as Hugging Face spells it.
    special = {"image": card.IMAGE, "label": label, "objects": {"bbox": boxes, "category": card.sequence(label)}}
    columns = {name: special.get(name) or card.feature_of(kind, name) for name, kind in _column_types().items()}
    return columns | card.fields(job)


def _schema(job: Job) -> pa.Schema:
    import pyarrow as pa

    types = _column_types() | {key: job.pieces.field_type(key) for key, _ in job.plan.options.fields}
    metadata = {b"huggingface": json.dumps({"info": {"features": features(job)}}, ensure_ascii=False)}
    if job.plan.options.resize is not None:
        metadata[RESIZED] = str(job.plan.options.resize)
    return pa.schema(list(types.items()), metadata)


class ParquetSink(FileSink):
    """Writes the rows of one file, a row group at a time."""

    def __init__(self, job: Job, shard: Shard):
        import pyarrow.parquet as pq

        called = card.CALLED.get(shard.split, shard.split)
        super().__init__(job, f"data/{called}-{shard.number:05d}-of-{shard.of:05d}.parquet")
        self._fields = [key for key, _ in job.plan.options.fields]
        self._schema = _schema(job)
        unique = ["image.bytes", "image.path", "image_id", "photo"]  # no value repeats: no dictionary
        repeated = [path for path in _leaves(self._schema) if path not in unique]
        self._writer = pq.ParquetWriter(
            self.out,
            self._schema,
            compression="none",  # a JPEG does not compress; zstd saves 60 bytes an image of the rest, and takes 5 us
            use_dictionary=repeated,
            write_statistics=[*repeated, *unique[1:]],  # all columns except the images
            write_page_index=True,
            write_page_checksum=True,
        )
        self._rows: list[Row] = []  # of the next row group
        self._ends = [0]  # of their images in the memory, which all row groups use
        self._images = bytearray(_FIRST_ROOM_BYTES)
        self._n_written = 0

    def add(self, row: Row, picture: Picture) -> None:
        """Append a row."""
        full = len(self._rows) == _ROW_GROUP_IMAGES or self._ends[-1] + picture.length > _ROW_GROUP_BYTES
        if self._rows and full:
            self._flush()
        start, end = self._ends[-1], self._ends[-1] + picture.length
        if end > len(self._images):
            self._images = self._images[:start] + bytes(2 * end - start)
        picture.read_into(memoryview(self._images)[start:end])
        self._rows.append(row)
        self._ends.append(end)

    def _flush(self) -> None:
        import pyarrow as pa

        rows = self._rows
        kinds = {field.name: field.type for field in self._schema}
        above = [_above(row.official_wnid) for row in rows]
        image = [arrays.binaries(self._images, self._ends), arrays.strings([row.name for row in rows])]
        bbox_type, category_type = (kinds["objects"].field(name).type for name in ("bbox", "category"))
        categories = [[box.class_index for box in row.boxes] for row in rows]
        flat = arrays.column(list(chain.from_iterable(categories)), category_type.value_type)
        objects = [arrays.boxes(list(map(_boxes, rows)), bbox_type), arrays.lists(categories, flat, category_type)]
        columns = [
            pa.StructArray.from_arrays(image, fields=list(kinds["image"])),
            arrays.column([row.class_index for row in rows], kinds["label"]),
            arrays.strings([row.official_wnid for row in rows]),
            arrays.strings([row.image_id for row in rows]),
            arrays.strings([row.dataset for row in rows]),
            arrays.strings([row.photo for row in rows]),
            arrays.column([row.box_width for row in rows], kinds["width"]),
            arrays.column([row.box_height for row in rows], kinds["height"]),
            arrays.string_lists([parents for parents, _ in above], kinds["parents"]),
            arrays.string_lists([ancestors for _, ancestors in above], kinds["ancestors"]),
            pa.StructArray.from_arrays(objects, fields=list(kinds["objects"])),
            *(pa.array([row.fields[key] for row in rows], kinds[key]) for key in self._fields),
        ]
        batch = pa.RecordBatch.from_arrays(columns, schema=self._schema)
        self._writer.write_batch(batch, row_group_size=_ROW_GROUP_IMAGES)
        self._n_written += len(rows)
        self._rows, self._ends = [], [0]

    def close(self) -> SinkOutput:
        """Complete the file."""
        if self._rows:
            self._flush()
        self._writer.close()
        return super().close()._replace(note={"images": self._n_written})


open_shard = ParquetSink


@cache
def _above(wnid: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the parents and the ancestors of a synset."""
    return hierarchy.hypernyms(wnid), hierarchy.ancestors(wnid, itself=False)


def _leaves(schema: pa.Schema) -> list[str]:
    """Return the paths of the columns of a Parquet file with this schema."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    pq.ParquetWriter(sink, schema).close()
    leaves = pq.ParquetFile(pa.BufferReader(sink.getvalue())).schema
    return [leaves.column(n).path for n in range(len(leaves))]


def _boxes(row: Row) -> list[list[float]]:
    size = {"width": row.box_width, "height": row.box_height}
    corners = (bbox.coco(box.left, box.top, box.right, box.bottom, **size) for box in row.boxes)
    return [[float(number) for number in corner] for corner in corners]


def finish(job: Job) -> None:
    """Write README.md."""
    pattern = "data/{called}-*.parquet"
    card.write_card(job, title="ImageNet in Parquet", pattern=pattern, features=features(job), notes=_NOTES)


def _split_of(name: str) -> str:
    """Return the split that a file name or a split's name at Hugging Face means."""
    word = name.split("-", maxsplit=1)[0]
    return next((split for split, called in card.CALLED.items() if called == word), word)


def read_back(root: Path) -> Iterator[ReadBack]:
    """Yield the rows of the files, with the boxes as fractions."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = ["image", "label", "image_id", "width", "height", "objects"]
    for path in sorted((root / "data").glob("*.parquet")):
        try:
            file = pq.ParquetFile(path, page_checksum_verification=True)
            for batch in file.iter_batches(_ROW_GROUP_IMAGES, columns=columns):
                for row in batch.to_pylist():
                    size = {"width": row["width"], "height": row["height"]}
                    objects = zip(row["objects"]["category"], row["objects"]["bbox"], strict=True)
                    boxes = tuple((index, *bbox.from_coco(*corners, **size)) for index, corners in objects)
                    stem, data = row["image_id"].replace("/", "_"), row["image"]["bytes"]
                    yield ReadBack(stem, _split_of(path.name), row["label"], boxes, partial(bytes, data))
        except (pa.ArrowException, OSError, KeyError, TypeError) as error:
            message = f"{path}: cannot be read as it was written: {error}"
            raise FormatError(message, code="parquet_damaged") from error


def load(root: Path) -> Loaded:
    """Return what Hugging Face's datasets finds in each split, streamed."""
    import datasets

    images: dict[str, Counter[int]] = {}
    boxes: Counter[str] = Counter()
    classes: tuple[str, ...] = ()
    files: dict[str, list[str]] = {}
    for path in sorted((root / "data").glob("*.parquet")):
        files.setdefault(path.name.split("-")[0], []).append(str(path))
    for called, rows in datasets.load_dataset("parquet", data_files=files, streaming=True).items():
        split = _split_of(called)
        classes = tuple(rows.features["label"].names)
        images[split] = Counter()
        for row in rows.select_columns(["label", "objects"]):
            images[split][row["label"]] += 1
            boxes[split] += len(row["objects"]["category"])
    return Loaded(f"datasets {datasets.__version__}", classes, "display", images, boxes)
