"""TFRecord shards as this project writes them: the Examples of build_imagenet_data.py, for every class order and split.

    train-00000-of-01024 ...        validation-00000-of-00128 ...       other splits by their names
        the features of an image: see _shared/examples.py
    dataset_info.json  features.json  image.class.label.labels.txt
                                                tfds.builder_from_directory() opens the folder by them: see there
    idx/train-00000-of-01024.idx ...            with --side-files: DALI's, as its tfrecord2idx writes it, also read by
                                                the library tfrecord: the offset and the bytes of each record

The lock, recipe and manifest of an export are at its root, beside classes.json, where no pattern of shards, such as
train-*, matches them: see exports.manifest.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from imagenet_tools.containers import tfrecords
from imagenet_tools.errors import ExportError
from imagenet_tools.exports.job import Job
from imagenet_tools.exports.pictures import Picture
from imagenet_tools.exports.plan import Plan
from imagenet_tools.exports.writer import Loaded, ReadBack, Row, Shard, SinkOutput, Writes
from imagenet_tools.formats._shared import card, examples
from imagenet_tools.formats._shared.contract import FileSink, no_hazards, read_range

WRITES = Writes(boxes=True, shard_bytes=150_000_000, ordered=True)  # about as large as the classic 1,024 of train


def hazards(plan: Plan) -> Iterator[str]:
    """Yield nothing. ExportError: the library that makes checksums is missing, or two splits have one name."""
    card.refuse_split_names(plan)
    if find_spec("google_crc32c") is None:
        message = (
            "A TFRecord has a CRC-32C of every image, which google-crc32c computes; it is not installed: "
            "pip install 'imagenet-tools[tfrecord]'."
        )
        raise ExportError(message)
    return no_hazards(plan)


class _ShardSink(FileSink):
    """Writes the records of one shard."""

    def __init__(self, job: Job, shard: Shard):
        self._name = f"{examples.shard_name(shard.split)}-{shard.number:05d}-of-{shard.of:05d}"
        super().__init__(job, self._name)
        self._job = job
        self._index: list[str] = []

    def add(self, row: Row, picture: Picture) -> None:
        """Append a record."""
        start = self.out.tell()
        features = examples.features_of(row, self._job.plan)
        tfrecords.write_record(self.out, features, examples.IMAGE, picture.data())
        self._index.append(f"{start} {self.out.tell() - start}\n")

    def close(self) -> SinkOutput:
        """Complete the shard, and write its index."""
        note = {"images": len(self._index), "bytes": self.out.tell()}
        files = [*super().close().files]
        if self._job.plan.options.side_files:
            index = FileSink(self._job, f"idx/{self._name}.idx")
            index.out.write("".join(self._index).encode())
            files += index.close().files
        return SinkOutput(files=files, note=note)


open_shard = _ShardSink
finish = partial(examples.write_dataset_info, file_format="tfrecord", template="{SPLIT}-{SHARD_X_OF_Y}")


def _shards(root: Path) -> list[Path]:
    return sorted(root.glob("*-?????-of-?????"))


def read_back(root: Path) -> Iterator[ReadBack]:
    """Yield the images of the shards, with their boxes."""
    for path in _shards(root):
        with path.open("rb", buffering=0) as file:
            for record in tfrecords.walk(file.fileno(), path.name):
                example = tfrecords.read_example(file.fileno(), record, path.name)
                yield examples.read_back(example, path, partial(read_range, path, *(example.image or (0, 0))))


def load(root: Path) -> Loaded:
    """Return what TensorFlow finds in the shards."""
    import tensorflow as tf

    images: dict[str, Counter[int]] = {}
    boxes: Counter[str] = Counter()
    wanted = {
        examples.LABEL: tf.io.FixedLenFeature([], tf.int64),
        examples.BOX_LABELS: tf.io.VarLenFeature(tf.int64),
    }
    for path in _shards(root):
        split = examples.split_of(path.name)
        for record in tf.data.TFRecordDataset(str(path)):
            example = tf.io.parse_single_example(record, wanted)
            images.setdefault(split, Counter())[int(example[examples.LABEL]) - 1] += 1
            boxes[split] += int(tf.size(example[examples.BOX_LABELS].values))
    return Loaded(f"tensorflow {tf.__version__}", None, "wnid", images, boxes)
