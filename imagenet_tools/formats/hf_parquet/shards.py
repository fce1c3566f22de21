"""Hugging Face's Parquet shards as they are written: typed by the metadata `huggingface`, small row groups, checksums.

    data/train-00000-of-00294.parquet       image {bytes, path}, label, wnid, image_id, dataset, photo, width, height,
    data/validation-00000-of-00014.parquet  parents, ancestors, objects {bbox, category}, and the fields asked for
    README.md                               the card

A row group has at most 100 images, and 100 MB of them unless one image alone has more. Boxes are x, y, width, height in
pixels of the image turned by its EXIF orientation, as Hugging Face's Image shows it, and so are width and height.
The bytes of a file are the same with the same version of pyarrow, whose name they carry.
"""

from __future__ import annotations

import json
from collections import Counter
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imagenet_tools.annotations import bbox
from imagenet_tools.errors import ExportError, FormatError
from imagenet_tools.exports import arrays
from imagenet_tools.exports.writer import Loaded, ReadBack, SinkOutput
from imagenet_tools.formats.hf_parquet import card
from imagenet_tools.images.parquet_rows import RESIZED
from imagenet_tools.wordnet import hierarchy

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from imagenet_tools.exports.job import Job
    from imagenet_tools.exports.pictures import Picture
    from imagenet_tools.exports.plan import Plan
    from imagenet_tools.exports.writer import Row, Shard

_IMAGES, _BYTES = 100, 100_000_000  # of a row group, at most

_OWN = ("image", "label", "wnid", "image_id", "dataset", "photo", "width", "height", "parents", "ancestors", "objects")

_NOTES = """`image` holds the bytes as they are in ImageNet; `label` is the class, `wnid` the image's own synset,
`parents` and `ancestors` are the synsets above it. `objects.bbox` is x, y, width, height in pixels of the image as
`datasets` shows it, turned by its EXIF orientation, as are `width` and `height`; `objects.category` is the class."""


def hazards(plan: Plan) -> Iterator[str]:
    """Fields that would hide a column are refused."""
    for key, column in plan.options.fields:
        if key in _OWN:
            message = f"--field {key}={column}: {key} is a column of every file. Choose another name."
            raise ExportError(message)
    if plan.boxes():
        yield "boxes are partial: in each image, only objects of its own class are boxed"


def features(job: Job) -> dict[str, Any]:
    """The types of the columns, as Hugging Face spells them."""
    text, number = card.value("string"), card.value("int32")
    label = card.class_label(card.label_names(job.plan))
    box = card.sequence(card.value("float32"), 4)
    fields = {
        key: card.feature_of(job.pieces.field_type(key), f"--field {key}={column}")
        for key, column in job.plan.options.fields
    }
    objects = {"bbox": card.sequence(box), "category": card.sequence(label)}
    texts = card.sequence(text)
    kinds = (card.IMAGE, label, text, text, text, text, number, number, texts, texts, objects)
    found: dict[str, Any] = dict(zip(_OWN, kinds, strict=True))
    return {**found, **fields}


def _schema(job: Job) -> pa.Schema:
    import pyarrow as pa

    text, number, texts = pa.string(), pa.int32(), pa.list_(pa.string())
    image = pa.struct([("bytes", pa.binary()), ("path", text)])
    objects = pa.struct([("bbox", pa.list_(pa.list_(pa.float32(), 4))), ("category", pa.list_(pa.int64()))])
    kinds = (image, pa.int64(), text, text, text, text, number, number, texts, texts, objects)
    fields = [(key, job.pieces.field_type(key)) for key, _ in job.plan.options.fields]
    info = json.dumps({"info": {"features": features(job)}}, ensure_ascii=False)
    resized: dict[bytes, str] = {} if job.plan.options.resize is None else {RESIZED: str(job.plan.options.resize)}
    return pa.schema([*zip(_OWN, kinds, strict=True), *fields], {b"huggingface": info, **resized})


def _name(shard: Shard) -> str:
    called = card.CALLED.get(shard.split, shard.split)
    return f"data/{called}-{shard.number:05d}-of-{shard.of:05d}.parquet"


def open_shard(job: Job, shard: Shard) -> ParquetSink:
    """A file."""
    return ParquetSink(job, shard)


class ParquetSink:
    """Writes the rows of one file, a row group at a time."""

    def __init__(self, job: Job, shard: Shard):
        import pyarrow.parquet as pq

        self._job, self._shard = job, shard
        self._schema = _schema(job)
        self._out = job.create(_name(shard))
        plain = ["image.bytes", "image.path", "image_id", "photo"]  # no value comes twice
        leaves = [path for path in _leaves(self._schema) if path not in plain]
        self._writer = pq.ParquetWriter(
            self._out,
            self._schema,
            compression=dict.fromkeys([*leaves, *plain[1:]], "zstd"),  # a JPEG gets no smaller
            use_dictionary=leaves,
            write_statistics=[*leaves, *plain[1:]],
            write_page_index=True,
            write_page_checksum=True,
        )
        self._images: list[Picture] = []
        self._rows: list[Row] = []
        self._bytes = self._n = 0
        self._above: dict[str, tuple[list[str], list[str]]] = {}

    def add(self, row: Row, picture: Picture) -> None:
        """Put a row behind the others."""
        if self._rows and (len(self._rows) == _IMAGES or self._bytes + picture.length > _BYTES):
            self._flush()
        self._images.append(picture)
        self._rows.append(row)
        self._bytes += picture.length

    def _flush(self) -> None:
        import pyarrow as pa

        rows, kinds = self._rows, {field.name: field.type for field in self._schema}
        found = [_objects(row) for row in rows]
        above = [self._above_of(row) for row in rows]
        names = arrays.strings([row.name for row in rows])
        objects = [
            arrays.boxes([boxes for boxes, _ in found], kinds["objects"].field("bbox").type),
            _categories([categories for _, categories in found], kinds["objects"].field("category").type),
        ]
        columns = [
            pa.StructArray.from_arrays([arrays.images(self._images), names], fields=list(kinds["image"])),
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
            *(pa.array([row.fields[key] for row in rows], kinds[key]) for key, _ in self._job.plan.options.fields),
        ]
        self._writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=self._schema), row_group_size=_IMAGES)
        self._n += len(rows)
        self._images, self._rows, self._bytes = [], [], 0

    def _above_of(self, row: Row) -> tuple[list[str], list[str]]:
        wnid = row.official_wnid
        if wnid not in self._above:
            self._above[wnid] = list(hierarchy.hypernyms(wnid)), list(hierarchy.ancestors(wnid, itself=False))
        return self._above[wnid]

    def close(self) -> SinkOutput:
        """End the file."""
        if self._rows:
            self._flush()
        self._writer.close()
        self._out.close()
        return SinkOutput(files=(_name(self._shard),), note={"rows": self._n})


def _leaves(schema: pa.Schema) -> list[str]:
    """The columns of a file as Parquet has them, by path."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    pq.ParquetWriter(sink, schema).close()
    leaves = pq.ParquetFile(pa.BufferReader(sink.getvalue())).schema
    return [leaves.column(n).path for n in range(len(leaves))]


def _objects(row: Row) -> tuple[list[list[float]], list[int]]:
    size = {"width": row.box_width, "height": row.box_height}
    boxes = [
        [float(number) for number in bbox.coco(box.left, box.top, box.right, box.bottom, **size)] for box in row.boxes
    ]
    return boxes, [box.class_index for box in row.boxes]


def _categories(values: list[list[int]], kind: pa.DataType) -> pa.Array:
    flat = list(chain.from_iterable(values))
    return arrays.lists(values, arrays.column(flat, kind.value_type), kind)


def finish(job: Job) -> None:
    """README.md."""
    images = dict.fromkeys(job.plan.splits, 0)
    for shard, note in job.notes():
        images[shard.split] += note["rows"]
    files = {split: f"data/{card.CALLED.get(split, split)}-*.parquet" for split in job.plan.splits}
    card.write_card(job, card.Card("ImageNet in Parquet", files, images, features(job), _NOTES))


# ---- read again


def read_back(root: Path) -> Iterator[ReadBack]:
    """The rows of the files, with the boxes as fractions."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = {called: split for split, called in card.CALLED.items()}
    columns = ["image", "label", "image_id", "width", "height", "objects"]
    for path in sorted((root / "data").glob("*.parquet")):
        called = path.name.split("-")[0]
        try:
            file = pq.ParquetFile(path, page_checksum_verification=True)
            for batch in file.iter_batches(_IMAGES, columns=columns):
                for row in batch.to_pylist():
                    size = {"width": row["width"], "height": row["height"]}
                    edges = [bbox.from_coco(*box, **size) for box in row["objects"]["bbox"]]
                    boxes = zip(row["objects"]["category"], edges, strict=True)
                    stem = row["image_id"].replace("/", "_")
                    found = tuple((index, *box) for index, box in boxes)
                    yield ReadBack(
                        stem, names.get(called, called), row["label"], found, partial(bytes, row["image"]["bytes"])
                    )
        except (pa.ArrowException, OSError, KeyError, TypeError) as error:
            message = f"{path}: cannot be read as it was written: {error}"
            raise FormatError(message, code="parquet_damaged") from error


def load(root: Path) -> Loaded:
    """What Hugging Face's datasets makes of it, streamed."""
    import datasets

    images: dict[str, Counter[int]] = {}
    boxes: Counter[str] = Counter()
    classes: tuple[str, ...] = ()
    names = {called: split for split, called in card.CALLED.items()}
    files: dict[str, list[str]] = {}
    for path in sorted((root / "data").glob("*.parquet")):
        files.setdefault(path.name.split("-")[0], []).append(str(path))
    for called, split in datasets.load_dataset("parquet", data_files=files, streaming=True).items():
        classes = tuple(split.features["label"].names)
        found = images.setdefault(names.get(called, called), Counter())
        for row in split.select_columns(["label", "objects"]):
            found[row["label"]] += 1
            boxes[names.get(called, called)] += len(row["objects"]["category"])
    return Loaded(f"datasets {datasets.__version__}", classes, "display", images, boxes)
