"""TFRecord shards as build_imagenet_data.py and TensorFlow Datasets write them, byte by byte from the formats' rules.

Framing as in TensorFlow's record writer with Google's own checksums, Examples as Protocol Buffers writes messages.
"""

import io
import json
import struct
from collections.abc import Iterable, Mapping
from pathlib import Path

import google_crc32c
from PIL import Image

from imagenet_tools.catalogue import labels
from tests.forms.hf_parquet import split_of, wnid_of
from tests.forms.webdataset import shuffled

# The values of a feature: bytes, floats or whole numbers.
Values = list[bytes] | list[float] | list[int]


class Floats(list[float]):
    """Values of a list of floats that may be empty: an image without boxes has lists of its kind all the same."""


def masked(data: bytes) -> bytes:
    """The checksum as a record carries it."""
    crc = google_crc32c.value(data)
    return struct.pack("<I", (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF)


def record(data: bytes) -> bytes:
    """A record of the file."""
    length = struct.pack("<Q", len(data))
    return length + masked(length) + data + masked(data)


def varint(number: int) -> bytes:
    """A number of 7 bits a byte; negative ones as 64 bits."""
    number &= 0xFFFFFFFFFFFFFFFF
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def message(field: int, data: bytes) -> bytes:
    """A field of bytes, of a text or of a message."""
    return varint(field << 3 | 2) + varint(len(data)) + data


def feature(values: Values, *, packed: bool = True) -> bytes:
    """A tf.train.Feature."""
    if values and isinstance(values[0], bytes):
        return message(1, b"".join(message(1, value) for value in values))  # type: ignore[arg-type]
    if isinstance(values, Floats) and not values:
        return message(2, b"")
    if values and isinstance(values[0], float):
        numbers = [struct.pack("<f", value) for value in values]
        return message(2, message(1, b"".join(numbers)) if packed else b"".join(b"\x0d" + one for one in numbers))
    numbers = [varint(value) for value in values]  # type: ignore[arg-type]
    return message(3, message(1, b"".join(numbers)) if packed else b"".join(b"\x08" + one for one in numbers))


def example(features: Mapping[str, Values], *, packed: bool = True) -> bytes:
    """A tf.train.Example: a map has no order of its own."""
    entries = [
        message(1, message(1, name.encode()) + message(2, feature(values, packed=packed)))
        for name, values in features.items()
    ]
    return message(1, b"".join(entries))


def classic(stem: str, data: bytes, boxes: Iterable[tuple[float, float, float, float]] = ()) -> dict[str, Values]:
    """The features of build_imagenet_data.py; boxes are xmin, ymin, xmax, ymax, 0 to 1."""
    wnid = wnid_of(stem) or ""
    label = labels.ilsvrc2012_sorted().index(wnid) + 1
    width, height = Image.open(io.BytesIO(data)).size
    corners = list(zip(*boxes, strict=True)) or [(), (), (), ()]
    return {
        "image/height": [height],
        "image/width": [width],
        "image/colorspace": [b"RGB"],
        "image/channels": [3],
        "image/class/label": [label],
        "image/class/synset": [wnid.encode()],
        "image/class/text": [b"words of the class"],
        "image/object/bbox/xmin": Floats(corners[0]),
        "image/object/bbox/xmax": Floats(corners[2]),
        "image/object/bbox/ymin": Floats(corners[1]),
        "image/object/bbox/ymax": Floats(corners[3]),
        "image/object/bbox/label": [label] * len(corners[0]),
        "image/format": [b"JPEG"],
        "image/filename": [f"{stem}.JPEG".encode()],
        "image/encoded": [data],
    }


def turned(features: dict[str, Values], by: int) -> dict[str, Values]:
    """The same features in another order."""
    items = list(features.items())
    by %= len(items)
    return dict(items[by:] + items[:by])


def write_shards(folder: Path, pattern: str, examples: list[bytes], shards: int) -> None:
    """The shards of a split; `pattern` takes a number and a count."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(shards):
        data = b"".join(record(one) for one in examples[number::shards])
        (folder / pattern.format(number, shards)).write_bytes(data)


def write_classic(
    root: Path, data: Mapping[str, bytes], boxes: Mapping[str, list[tuple[float, float, float, float]]]
) -> Path:
    """train-%05d-of-%05d and validation-%05d-of-%05d."""
    for split, called, shards in (("train", "train", 4), ("val", "validation", 2)):
        stems = shuffled(stem for stem in data if split_of(stem) == split)
        examples = [example(turned(classic(stem, data[stem], boxes.get(stem, ())), n)) for n, stem in enumerate(stems)]
        write_shards(root, called + "-{:05d}-of-{:05d}", examples, shards)
    return root


def write_tfds(root: Path, data: Mapping[str, bytes], name: str = "imagenet2012") -> Path:
    """<root>/<name>/5.1.0/ as TensorFlow Datasets prepares it."""
    order = labels.ilsvrc2012_sorted()
    folder = root / name / "5.1.0"
    splits = []
    for split, called, shards in (("train", "train", 3), ("val", "validation", 1), ("test", "test", 1)):
        stems = shuffled(stem for stem in data if split_of(stem) == split)
        examples = []
        for stem in stems:
            wnid = wnid_of(stem)
            label = [order.index(wnid) if wnid else -1]
            examples.append(example({"file_name": [f"{stem}.JPEG".encode()], "image": [data[stem]], "label": label}))
        write_shards(folder, f"{name}-{called}.tfrecord-" + "{:05d}-of-{:05d}", examples, shards)
        splits.append({"name": called, "shardLengths": [str(len(examples[n::shards])) for n in range(shards)]})
    info = {"name": name, "version": "5.1.0", "splits": splits, "fileFormat": "tfrecord"}
    (folder / "dataset_info.json").write_text(json.dumps(info))
    (folder / "features.json").write_text(json.dumps({"pythonClassName": "FeaturesDict"}))
    (folder / "label.labels.txt").write_text("".join(f"{wnid}\n" for wnid in order))
    return folder
