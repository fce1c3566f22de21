"""The classic Examples of ImageNet, and the files beside them by which TensorFlow Datasets opens their shards.

A record is a tf.train.Example with the features of build_imagenet_data.py:

    image/encoded, image/format             the original bytes, and JPEG, PNG ...: tf.io.decode_image reads both
    image/height, width, channels, colorspace               of the raster as stored: 3 and RGB, 1 and L ...
    image/class/label, synset, text                         the class index + 1: 0 is the background
    image/object/bbox/xmin, xmax, ymin, ymax, label         fractions of the raster as stored; a list each
    image/filename
    imagenet_tools/image_id                 the image, for the reader

Unlike the classic program, this one does not encode CMYK and PNG images again; --repair cmyk,png does. The features are
in the order of their names, the image last.

    dataset_info.json               the splits, and the examples of each shard
    features.json                   the types of the features, by the same names
    image.class.label.labels.txt    background, then the wnids

tfds.builder_from_directory(root).as_dataset(split="train", as_supervised=True) gives pixels and labels. Keys and types
are those that tensorflow-datasets 4.9.10 writes (core/proto/dataset_info.proto, features/feature.py).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from imagenet_tools.containers import tfrecords
from imagenet_tools.errors import FormatError
from imagenet_tools.exports.job import Job
from imagenet_tools.exports.plan import Plan
from imagenet_tools.exports.writer import ReadBack, Row
from imagenet_tools.formats._shared import card

IMAGE = "image/encoded"
LABEL = "image/class/label"
BOX_LABELS = "image/object/bbox/label"

_NAME = "imagenet_tools"
_VERSION = "1.0.0"
_CHANNELS = {"1": 1, "L": 1, "P": 1, "LA": 2, "I;16": 1, "RGBA": 4, "CMYK": 4}  # of Pillow's modes; others have 3
_EDGES = tuple(f"image/object/bbox/{edge}" for edge in ("xmax", "xmin", "ymax", "ymin"))
_NUMBERS = ("image/channels", "image/height", "image/width")
_TEXTS = ("image/class/synset", "image/class/text", "image/colorspace", "image/filename", "image/format")


def features_of(row: Row, plan: Plan) -> dict[str, tfrecords.Values]:
    """Return the features of an image, without its bytes."""
    _, left, top, right, bottom, *_ = zip(*row.boxes, strict=True) if row.boxes else [()] * 5
    return {
        "image/channels": [_CHANNELS.get(row.mode, 3)],
        LABEL: [row.class_index + 1],
        "image/class/synset": row.wnid.encode(),
        "image/class/text": plan.classes[row.class_index].display.encode(),
        "image/colorspace": row.mode.encode(),
        "image/filename": row.name.encode(errors="surrogateescape"),
        "image/format": row.encoding.upper().encode(),
        "image/height": [row.height],
        BOX_LABELS: [box.class_index + 1 for box in row.boxes],
        "image/object/bbox/xmax": tfrecords.Floats(right),
        "image/object/bbox/xmin": tfrecords.Floats(left),
        "image/object/bbox/ymax": tfrecords.Floats(bottom),
        "image/object/bbox/ymin": tfrecords.Floats(top),
        "image/width": [row.width],
        tfrecords.EXPORTED_ID: row.image_id.encode(errors="surrogateescape"),
    }


def shard_name(split: str) -> str:
    """Return how the names of the shards of a split begin."""
    return card.CALLED.get(split, split)


def split_of(name: str) -> str:
    """Return the split of a shard by its name."""
    called = name.rsplit("-", 3)[0]
    return next((split for split, word in card.CALLED.items() if word == called), called)


def read_back(example: tfrecords.Example, path: Path, read: Callable[[], bytes]) -> ReadBack:
    """Return the image of an Example in a shard; `read` returns its bytes. FormatError: no_image."""
    if example.image is None or example.number is None or example.problem:
        message = f"{path}: found a record without an image or a class; expected both. {example.problem}"
        raise FormatError(message, code="no_image")
    boxes = tuple((int(n or 0) - 1, x1, y1, x2, y2) for x1, y1, x2, y2, n in example.boxes)
    return ReadBack(example.exported_id.replace("/", "_"), split_of(path.name), example.number - 1, boxes, read)


def write_dataset_info(job: Job, *, file_format: str, template: str) -> None:
    """Write the files of TensorFlow Datasets.

    Args:
        job: The job; the notes of its shards state their "images" and "bytes".
        file_format: TensorFlow Datasets' name of it, tfrecord or array_record.
        template: The names of the shards, with {SPLIT} and {SHARD_X_OF_Y}.
    """
    splits: dict[str, dict[str, Any]] = {
        split: {"name": shard_name(split), "shardLengths": [], "numBytes": 0, "filepathTemplate": template}
        for split in job.plan.splits
    }
    for shard, note in job.notes():
        splits[shard.split]["shardLengths"].append(str(note["images"]))  # JSON of Protocol Buffers: int64 is a text
        splits[shard.split]["numBytes"] += note["bytes"]
    supervised = [{"featureKey": key} for key in (IMAGE, LABEL)]
    info = {
        "name": _NAME,
        "version": _VERSION,
        "fileFormat": file_format,
        "splits": [{**split, "numBytes": str(split["numBytes"])} for split in splits.values()],
        "supervisedKeys": {"tuple": {"items": supervised}},
    }
    job.write("dataset_info.json", _as_json(info))
    job.write("features.json", _as_json(_dict_of_features(len(job.plan.classes) + 1)))
    names = ("background", *(cls.wnid for cls in job.plan.classes))
    job.write(f"{LABEL.replace('/', '.')}.labels.txt", "".join(f"{name}\n" for name in names).encode())


def _as_json(content: object) -> bytes:
    return (json.dumps(content, indent=1) + "\n").encode()


def _dict_of_features(n_labels: int) -> dict[str, Any]:
    """Return the types of the features, in JSON of TensorFlow Datasets' FeaturesDict."""
    features = {
        IMAGE: _feature("image_feature.Image", image={"dtype": "uint8", "shape": {"dimensions": ["-1", "-1", "3"]}}),
        LABEL: _feature("class_label_feature.ClassLabel", classLabel={"numClasses": str(n_labels)}),
        **{name: _feature("scalar.Scalar", tensor=_tensor("int64")) for name in _NUMBERS},
        **{name: _feature("text_feature.Text", text={}) for name in (*_TEXTS, tfrecords.EXPORTED_ID)},
        **{name: _sequence("float32") for name in _EDGES},
        BOX_LABELS: _sequence("int64"),
    }
    return _feature("features_dict.FeaturesDict", featuresDict={"features": dict(sorted(features.items()))})


def _feature(kind: str, **values: object) -> dict[str, Any]:
    return {"pythonClassName": f"tensorflow_datasets.core.features.{kind}", **values}


def _tensor(dtype: str) -> dict[str, Any]:
    return {"dtype": dtype, "encoding": "none", "shape": {}}


def _sequence(dtype: str) -> dict[str, Any]:
    inner = _feature("tensor_feature.Tensor", tensor=_tensor(dtype))
    return _feature("sequence_feature.Sequence", sequence={"feature": inner, "length": "-1"})
