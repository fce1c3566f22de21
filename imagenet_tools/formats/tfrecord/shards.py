"""TFRecord shards as this project writes them: the Examples of build_imagenet_data.py, for every class order and split.

    train-00000-of-01024 ...        validation-00000-of-00128 ...       other splits by their names
        image/encoded, image/format             the original bytes, and JPEG, PNG ...: tf.io.decode_image reads both
        image/height, width, channels, colorspace               of the raster as stored: 3 and RGB, 1 and L ...
        image/class/label, synset, text                         the class index + 1: 0 is the background
        image/object/bbox/xmin, xmax, ymin, ymax, label         fractions of the raster as stored; a list each
        image/filename
        imagenet_tools/image_id                 the image, for the reader
    idx/train-00000-of-01024.idx ...            with --side-files: DALI's, as its tfrecord2idx writes it, also read by
                                                the library tfrecord: the offset and the bytes of each record

Unlike the classic program, this one does not encode CMYK and PNG images again; --repair cmyk,png does. The values are
in the order of their names, the image last.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from imagenet_tools.containers import tfrecords
from imagenet_tools.errors import ExportError, FormatError
from imagenet_tools.exports.job import Job
from imagenet_tools.exports.pictures import Picture
from imagenet_tools.exports.plan import Plan
from imagenet_tools.exports.writer import Loaded, ReadBack, Row, Shard, SinkOutput, Writes
from imagenet_tools.formats._shared.contract import PARTIAL_BOXES, FileSink, no_finish, read_range

WRITES = Writes(boxes=True, shard_bytes=150_000_000, ordered=True)  # about as large as the classic 1,024 of train

_CALLED = {"val": "validation"}
_CHANNELS = {"1": 1, "L": 1, "P": 1, "LA": 2, "I;16": 1, "RGBA": 4, "CMYK": 4}  # of Pillow's modes; others have 3


def hazards(plan: Plan) -> Iterator[str]:
    """Yield a note that boxes are partial. ExportError: the library that makes checksums is missing."""
    if find_spec("google_crc32c") is None:
        message = (
            "A TFRecord has a CRC-32C of every image, which google-crc32c computes; it is not installed: "
            "pip install 'imagenet-tools[tfrecord]'."
        )
        raise ExportError(message)
    if plan.boxes():
        yield PARTIAL_BOXES


class _ShardSink(FileSink):
    """Writes the records of one shard."""

    def __init__(self, job: Job, shard: Shard):
        self._name = f"{_CALLED.get(shard.split, shard.split)}-{shard.number:05d}-of-{shard.of:05d}"
        super().__init__(job, self._name)
        self._job = job
        self._index: list[str] = []

    def add(self, row: Row, picture: Picture) -> None:
        """Append a record."""
        start = self.out.tell()
        tfrecords.write_record(self.out, self._features(row), "image/encoded", picture.data())
        self._index.append(f"{start} {self.out.tell() - start}\n")

    def _features(self, row: Row) -> dict[str, list[bytes] | list[int] | tfrecords.Floats]:
        _, left, top, right, bottom, *_ = zip(*row.boxes, strict=True) if row.boxes else [()] * 5
        return {
            "image/channels": [_CHANNELS.get(row.mode, 3)],
            "image/class/label": [row.class_index + 1],
            "image/class/synset": [row.wnid.encode()],
            "image/class/text": [self._job.plan.classes[row.class_index].display.encode()],
            "image/colorspace": [row.mode.encode()],
            "image/filename": [row.name.encode(errors="surrogateescape")],
            "image/format": [row.encoding.upper().encode()],
            "image/height": [row.height],
            "image/object/bbox/label": [box.class_index + 1 for box in row.boxes],
            "image/object/bbox/xmax": tfrecords.Floats(right),
            "image/object/bbox/xmin": tfrecords.Floats(left),
            "image/object/bbox/ymax": tfrecords.Floats(bottom),
            "image/object/bbox/ymin": tfrecords.Floats(top),
            "image/width": [row.width],
            tfrecords.EXPORTED_ID: [row.image_id.encode(errors="surrogateescape")],
        }

    def close(self) -> SinkOutput:
        """Complete the shard, and write its index."""
        files = [*super().close().files]
        if self._job.plan.options.side_files:
            index = FileSink(self._job, f"idx/{self._name}.idx")
            index.out.write("".join(self._index).encode())
            files += index.close().files
        return SinkOutput(files=files)


open_shard = _ShardSink
finish = no_finish


def _shards(root: Path) -> Iterator[tuple[str, Path]]:
    """Yield (split, path) of each shard."""
    splits = {called: split for split, called in _CALLED.items()}
    for path in sorted(root.glob("*-?????-of-?????")):
        called = path.name.rsplit("-", 3)[0]
        yield splits.get(called, called), path


def read_back(root: Path) -> Iterator[ReadBack]:
    """Yield the images of the shards, with their boxes."""
    for split, path in _shards(root):
        with path.open("rb", buffering=0) as file:
            for record in tfrecords.walk(file.fileno(), path.name):
                example = tfrecords.read_example(file.fileno(), record, path.name)
                if example.image is None or example.number is None or example.problem:
                    message = f"{path}: found a record without an image or a class; expected both. {example.problem}"
                    raise FormatError(message, code="no_image")
                boxes = tuple((int(n or 0) - 1, x1, y1, x2, y2) for x1, y1, x2, y2, n in example.boxes)
                stem = example.exported_id.replace("/", "_")
                read = partial(read_range, path, *example.image)
                yield ReadBack(stem, split, example.number - 1, boxes, read)


def load(root: Path) -> Loaded:
    """Return what TensorFlow finds in the shards."""
    import tensorflow as tf

    images: dict[str, Counter[int]] = {}
    boxes: Counter[str] = Counter()
    wanted = {
        "image/class/label": tf.io.FixedLenFeature([], tf.int64),
        "image/object/bbox/label": tf.io.VarLenFeature(tf.int64),
    }
    for split, path in _shards(root):
        for record in tf.data.TFRecordDataset(str(path)):
            example = tf.io.parse_single_example(record, wanted)
            images.setdefault(split, Counter())[int(example["image/class/label"]) - 1] += 1
            boxes[split] += int(tf.size(example["image/object/bbox/label"].values))
    return Loaded(f"tensorflow {tf.__version__}", None, "wnid", images, boxes)
