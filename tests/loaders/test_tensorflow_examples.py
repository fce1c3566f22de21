"""TensorFlow Datasets and grain read the Examples of an export, from TFRecord and from ArrayRecord shards."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import grain
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from PIL import Image

import imagenet_tools
from tests.loaders import shards
from tests.loaders.truth import Say, Truth

TARGETS = ("tfrecord", "array_record")
NOT_DECODED = {"image/encoded": tfds.decode.SkipDecoding()}
EDGES = [f"image/object/bbox/{edge}" for edge in ("xmin", "ymin", "xmax", "ymax")]


@pytest.fixture(scope="module")
def roots(index: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    out = tmp_path_factory.mktemp("examples") / "x"
    imagenet_tools.export(index.select(), out, to=",".join(TARGETS), shard_size=60_000)
    return {target: out / target for target in TARGETS}


def name_of(example: Mapping[str, Any]) -> str:
    return example["imagenet_tools/image_id"].decode()


def boxes_of(example: Mapping[str, Any]) -> list[tuple[float, ...]]:
    return sorted(zip(*(map(float, example[edge]) for edge in EDGES), strict=True))


def check_boxes(example: Mapping[str, Any], one: Truth) -> int:
    boxes = boxes_of(example)
    assert boxes == [pytest.approx(box[1:], abs=1e-6) for box in sorted(one.boxes, key=lambda box: box[1:])]
    assert set(map(int, example["image/object/bbox/label"])) <= {int(example["image/class/label"])}
    return len(boxes)


def examples_of(builder: Any, called: str) -> Iterator[Mapping[str, Any]]:
    """The examples of a split, by the way that TensorFlow Datasets has for the format."""
    if builder.info.file_format.value == "tfrecord":
        yield from tfds.as_numpy(builder.as_dataset(split=called, decoders=NOT_DECODED))
    else:
        yield from builder.as_data_source(split=called, decoders=NOT_DECODED)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.proof(target="tfrecord, array_record", loader="tfds.builder_from_directory")
def test_tensorflow_datasets_opens_the_folder(
    target: str, roots: dict[str, Path], truth: dict[str, Truth], say: Say
) -> None:
    builder = tfds.builder_from_directory(roots[target])
    names = builder.info.features["image/class/label"].names
    assert names == ["background", *shards.CLASSES]
    read, n_boxes = {}, 0
    for split, called in shards.CALLED.items():
        assert builder.info.splits[called].num_examples == sum(one.split == split for one in truth.values())
        assert builder.info.splits[called].num_shards > 1
        for example in examples_of(builder, called):
            one = truth[name_of(example)]
            read[name_of(example)] = (split, example["image/encoded"], int(example["image/class/label"]) - 1)
            assert (example["image/width"], example["image/height"]) == one.size
            assert example["image/class/synset"].decode() == one.wnid == names[example["image/class/label"]]
            n_boxes += check_boxes(example, one)
    shards.agree(read, truth)
    say(f"{target}: {len(read)} images, {n_boxes} boxes")


@pytest.mark.proof(target="tfrecord", loader="tfds, as_dataset(as_supervised=True)")
def test_its_data_set_gives_pixels_and_labels(roots: dict[str, Path], truth: dict[str, Truth], say: Say) -> None:
    data = tfds.builder_from_directory(roots["tfrecord"]).as_dataset(split="validation", as_supervised=True)
    found = [(int(label) - 1, pixels.shape) for pixels, label in tfds.as_numpy(data)]
    assert sorted(found) == labels_and_shapes(truth)
    say(f"{len(found)} decoded")


@pytest.mark.proof(target="array_record", loader="tfds, as_data_source")
def test_its_data_source_decodes_pixels(roots: dict[str, Path], truth: dict[str, Truth], say: Say) -> None:
    data = tfds.builder_from_directory(roots["array_record"]).as_data_source(split="validation")
    found = [(int(example["image/class/label"]) - 1, example["image/encoded"].shape) for example in data]
    assert sorted(found) == labels_and_shapes(truth)
    say(f"{len(found)} decoded")


def labels_and_shapes(truth: dict[str, Truth]) -> list[tuple[int, tuple[int, int, int]]]:
    images = [one for one in truth.values() if one.split == "val"]
    return sorted((shards.CLASSES.index(one.wnid), (one.size[1], one.size[0], 3)) for one in images)


@pytest.mark.proof(target="array_record", loader="grain, tf.train.Examples")
def test_grain_reads_the_records_in_any_order(roots: dict[str, Path], truth: dict[str, Truth], say: Say) -> None:
    read = {}
    for split, called in shards.CALLED.items():
        files = sorted(map(str, roots["array_record"].glob(f"{called}-*")))
        source = grain.sources.ArrayRecordDataSource(files)
        order = []
        for record in grain.MapDataset.source(source).seed(1).shuffle():
            example = tf.train.Example.FromString(record).features.feature
            name = example["imagenet_tools/image_id"].bytes_list.value[0].decode()
            label = example["image/class/label"].int64_list.value[0]
            read[name] = (split, example["image/encoded"].bytes_list.value[0], label - 1)
            order.append(name)
        assert order != sorted(order)
    shards.agree(read, truth)
    say(f"{len(read)} images")


@pytest.mark.proof(target="array_record", loader="grain.DataLoader over tfds.data_source")
def test_grain_batches_what_tensorflow_datasets_parses(
    roots: dict[str, Path], truth: dict[str, Truth], say: Say
) -> None:
    def small(example: Mapping[str, Any]) -> dict[str, Any]:
        with Image.open(io.BytesIO(example["image/encoded"])) as image:
            pixels = np.asarray(image.convert("RGB").resize((32, 32)))
        return {"image": pixels, "label": example["image/class/label"] - 1, "name": name_of(example)}

    builder = tfds.builder_from_directory(roots["array_record"])
    source = builder.as_data_source(split="validation", decoders=NOT_DECODED)
    batches = list(grain.MapDataset.source(source).map(small).batch(8))
    assert all(batch["image"].shape[1:] == (32, 32, 3) for batch in batches)
    found = {name: int(n) for batch in batches for name, n in zip(batch["name"], batch["label"], strict=True)}
    assert found == {name: shards.CLASSES.index(one.wnid) for name, one in truth.items() if one.split == "val"}
    say(f"{len(batches)} batches")


@pytest.mark.proof(target="array_record", loader="check --with-loader (tfds)")
def test_check_lets_tensorflow_datasets_read_it(roots: dict[str, Path], say: Say) -> None:
    (found,) = imagenet_tools.check(roots["array_record"], with_loader=True)
    assert not [one for one in found.findings if one.code[0] == "E"], found.findings
    say(found.loader)
