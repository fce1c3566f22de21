"""TensorFlow and the library tfrecord read the TFRecord shards of an export: bytes, classes, boxes, and the index."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

import imagenet_tools
from tests.loaders import shards
from tests.loaders.truth import Say, Truth

_EDGES = ("xmin", "ymin", "xmax", "ymax")


@pytest.fixture(scope="module")
def root(index: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("tfrecord") / "x"
    imagenet_tools.export(index.select(), out, to="tfrecord", shard_size=60_000, side_files=True)
    return out


def files(root: Path, split: str) -> list[str]:
    found = sorted(map(str, root.glob(f"{shards.CALLED[split]}-*-of-*")))
    assert len(found) > 1
    return found


@pytest.mark.proof(target="tfrecord", loader="tf.data TFRecordDataset, the classic features")
def test_tensorflow_parses_every_example(root: Path, truth: dict[str, Truth], say: Say) -> None:
    # The features that TensorFlow's own image pipelines of ImageNet parse.
    wanted = {
        "image/encoded": tf.io.FixedLenFeature([], tf.string),
        "image/filename": tf.io.FixedLenFeature([], tf.string),
        "image/format": tf.io.FixedLenFeature([], tf.string),
        "image/class/label": tf.io.FixedLenFeature([], tf.int64),
        "image/class/text": tf.io.FixedLenFeature([], tf.string),
        "image/height": tf.io.FixedLenFeature([], tf.int64),
        "image/width": tf.io.FixedLenFeature([], tf.int64),
        **{f"image/object/bbox/{edge}": tf.io.VarLenFeature(tf.float32) for edge in _EDGES},
        "image/object/bbox/label": tf.io.VarLenFeature(tf.int64),
    }
    read, n_boxes, decoded = {}, 0, 0
    for split in shards.CALLED:
        for record in tf.data.TFRecordDataset(files(root, split)):  # verifies both checksums
            example = tf.io.parse_single_example(record, wanted)
            stem = Path(example["image/filename"].numpy().decode()).stem
            one, data, label = truth[stem], example["image/encoded"].numpy(), int(example["image/class/label"])
            read[stem] = (split, data, label - 1)
            edges = [example[f"image/object/bbox/{edge}"].values.numpy().tolist() for edge in _EDGES]
            boxes = sorted(zip(*edges, strict=True))
            assert boxes == [pytest.approx(box[1:], abs=1e-6) for box in sorted(one.boxes, key=lambda box: box[1:])]
            assert set(example["image/object/bbox/label"].values.numpy()) <= {label}
            assert (int(example["image/width"]), int(example["image/height"])) == one.size
            n_boxes += len(boxes)
            if one.problem is None:
                pixels = tf.io.decode_image(data, channels=3)
                assert pixels.shape == (one.size[1], one.size[0], 3)
                decoded += 1
    shards.agree(read, truth)
    say(f"{len(read)} images, {decoded} decoded, {n_boxes} boxes")


@pytest.mark.proof(target="tfrecord", loader="check --with-loader (tensorflow)")
def test_check_lets_tensorflow_read_it(root: Path, say: Say) -> None:
    (found,) = imagenet_tools.check(root, with_loader=True)
    assert not [one for one in found.findings if one.code[0] == "E"], found.findings
    say(found.loader)


# Two halves of a shard, each found by the index, and the index that the library makes itself. It cannot be imported
# beside TensorFlow, which defines the same messages of Protocol Buffers.
_BY_INDEX = """
import hashlib, json, sys
from tfrecord.reader import tfrecord_loader
from tfrecord.tools.tfrecord2idx import create_index
file, index, theirs = sys.argv[1:]
create_index(file, theirs)
assert open(index).read() == open(theirs).read()
if len(open(index).readlines()) == 1:  # it takes an index of one line for a vector
    shares = [tfrecord_loader(file, None, None)]
else:
    shares = [tfrecord_loader(file, index, None, shard=(share, 2)) for share in (0, 1)]
for examples in shares:
    for example in examples:
        data = hashlib.sha256(bytes(example["image/encoded"])).hexdigest()
        print(json.dumps([bytes(example["image/filename"]).decode(), int(example["image/class/label"].item()), data]))
"""


@pytest.mark.proof(target="tfrecord", loader="tfrecord, by the index")
def test_the_library_tfrecord_reads_shares_of_a_shard_by_its_index(
    root: Path, truth: dict[str, Truth], tmp_path: Path, say: Say
) -> None:
    read = {}
    for split in shards.CALLED:
        for file in files(root, split):
            index = root / "idx" / f"{Path(file).name}.idx"
            command = [sys.executable, "-c", _BY_INDEX, file, str(index), str(tmp_path / index.name)]
            ran = subprocess.run(command, check=True, capture_output=True, text=True)
            for name, label, digest in map(json.loads, ran.stdout.splitlines()):
                read[Path(name).stem] = (split, digest, label - 1)
    expected = {
        stem: (one.split, hashlib.sha256(one.data).hexdigest(), shards.CLASSES.index(one.wnid))
        for stem, one in truth.items()
    }
    assert read == expected
    say(f"{len(read)} images, and the index of its tfrecord2idx")
