"""ArrayRecord shards, which grain and TensorFlow Datasets read at random: the classic Examples of ImageNet.

    train-00000-of-00294.array_record ...       validation-00000-of-00014.array_record ...
        the features of an image: see _shared/examples.py
    dataset_info.json  features.json  image.class.label.labels.txt
                                                tfds.builder_from_directory() opens the folder by them: see there

    grain.sources.ArrayRecordDataSource(glob("root/train-*"))       records are tf.train.Examples
    tfds.builder_from_directory("root").as_data_source(split="train")

A record is a group of its own, as grain asks for, and not compressed: a JPEG would not become smaller. The library
array_record writes the shards; its bytes do not depend on the time, its threads or its release (0.5.1 to 0.8.6). Every
record has checksums, which a check verifies. No pattern of shards, such as train-*, matches the recipe, the lock, the
manifest and classes.json, which are beside.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from imagenet_tools import system
from imagenet_tools.containers import tfrecords
from imagenet_tools.errors import ExportError, FormatError
from imagenet_tools.exports.job import Job
from imagenet_tools.exports.pictures import Picture
from imagenet_tools.exports.plan import Plan
from imagenet_tools.exports.writer import Loaded, ReadBack, Row, Shard, SinkOutput, Writes
from imagenet_tools.formats._shared import card, examples
from imagenet_tools.formats._shared.contract import no_hazards

WRITES = Writes(boxes=True, shard_bytes=150_000_000, ordered=True)  # as tfrecord's

_SUFFIX = ".array_record"
# One thread a writer: the export has worker processes. The library hands each record to that thread, and takes 21 us of
# CPU for 32 KB of them with any number of threads.
_OPTIONS = "group_size:1,uncompressed,max_parallelism:1"
_READ_RECORDS = 64  # at a time


def hazards(plan: Plan) -> Iterator[str]:
    """Yield nothing. ExportError: the library that writes the shards is missing, or two splits have one name."""
    card.refuse_split_names(plan)
    if find_spec("array_record") is None:
        message = (
            "The library array_record writes these shards; it is not installed: "
            "pip install 'imagenet-tools[array-record]'."
        )
        raise ExportError(message)
    return no_hazards(plan)


class _ArrayRecordSink:
    """Writes the records of one shard. The library writes to a path, so the file is made empty first."""

    def __init__(self, job: Job, shard: Shard):
        from array_record.python.array_record_module import ArrayRecordWriter

        self._name = f"{examples.shard_name(shard.split)}-{shard.number:05d}-of-{shard.of:05d}{_SUFFIX}"
        self._plan = job.plan
        job.create(self._name).close()
        self._path = job.out / self._name
        self._writer = ArrayRecordWriter(str(self._path), _OPTIONS)
        self._n = 0

    def add(self, row: Row, picture: Picture) -> None:
        """Append a record."""
        head = tfrecords.example_head(examples.features_of(row, self._plan), examples.IMAGE, picture.length)
        self._writer.write(head + picture.data())
        self._n += 1

    def close(self) -> SinkOutput:
        """Complete the shard."""
        self._writer.close()
        with self._path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            system.begin_writeback(file.fileno(), 0, size)
        return SinkOutput(files=(self._name,), note={"images": self._n, "bytes": size})


open_shard = _ArrayRecordSink
finish = partial(
    examples.write_dataset_info, file_format="array_record", template="{SPLIT}-{SHARD_X_OF_Y}.{FILEFORMAT}"
)


def read_back(root: Path) -> Iterator[ReadBack]:
    """Yield the images of the shards, with their boxes."""
    for path in sorted(root.glob(f"*{_SUFFIX}")):
        for data in _records(path):
            record = tfrecords.Record(0, len(data), data)
            example = tfrecords.read_example(-1, record, path.name)
            offset, length = example.image or (0, 0)
            yield examples.read_back(example, path, partial(bytes, memoryview(data)[offset : offset + length]))


def _records(path: Path) -> Iterator[bytes]:
    from array_record.python.array_record_module import ArrayRecordReader

    reader = ArrayRecordReader(str(path))
    try:
        if not reader.ok():
            raise ValueError("no footer")
        for first in range(0, reader.num_records(), _READ_RECORDS):
            yield from reader.read(first, min(first + _READ_RECORDS, reader.num_records()))
    except (ValueError, RuntimeError) as error:
        message = f"{path}: found no whole file of ArrayRecord ({error}); expected one."
        raise FormatError(message, code="array_record_damaged") from error


def load(root: Path) -> Loaded:
    """Return what TensorFlow Datasets finds in each split."""
    import tensorflow_datasets as tfds

    builder: Any = tfds.builder_from_directory(str(root))
    images: dict[str, Counter[int]] = {}
    boxes: Counter[str] = Counter()
    decoders = {examples.IMAGE: tfds.decode.SkipDecoding()}
    for called in builder.info.splits:
        split = examples.split_of(f"{called}-0-of-1")
        images[split] = Counter()
        for example in builder.as_data_source(split=called, decoders=decoders):
            images[split][int(example[examples.LABEL]) - 1] += 1
            boxes[split] += len(example[examples.BOX_LABELS])
    classes = tuple(builder.info.features[examples.LABEL].names[1:])
    return Loaded(f"tensorflow-datasets {tfds.__version__}", classes, "wnid", images, boxes)
