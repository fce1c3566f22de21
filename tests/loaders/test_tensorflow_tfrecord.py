"""TFRecords that TensorFlow and TensorFlow Datasets themselves write are read by ours, byte for byte."""

from __future__ import annotations

import io
import shutil
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from PIL import Image
from tensorflow_datasets.testing import disable_gcs_access

import imagenet_tools
from imagenet_tools.catalogue import labels
from imagenet_tools.formats import tfrecord
from tests.forms import tfrecord as form
from tests.forms.whole import class_tar
from tests.loaders.truth import Say, Truth
from tests.scanned import Scanned


def prepare(archives: Path, home: Path) -> Path:
    """What tensorflow-datasets' own imagenet2012 makes of the official archives in a folder; without the network."""
    builder = tfds.builder("imagenet2012", data_dir=home)
    with disable_gcs_access():
        builder.download_and_prepare(download_config=tfds.download.DownloadConfig(manual_dir=archives))
    return home


def write_val(archives: Path, images: Mapping[str, bytes]) -> None:
    """The flat tar of validation images, which is in no order."""
    with tarfile.open(archives / "ILSVRC2012_img_val.tar", "w") as archive:
        for stem in reversed(list(images)):
            member = tarfile.TarInfo(f"{stem}.JPEG")
            member.size = len(images[stem])
            archive.addfile(member, io.BytesIO(images[stem]))


def named(builder_folder: Path, split: str) -> dict[str, tuple[bytes, int]]:
    """(image, label) of each file name, as TensorFlow reads the shards of a split."""
    features = {
        name: tf.io.FixedLenFeature([], kind) for name, kind in (("image", tf.string), ("file_name", tf.string))
    }
    features["label"] = tf.io.FixedLenFeature([], tf.int64)
    found = {}
    for record in tf.data.TFRecordDataset(sorted(map(str, builder_folder.glob(f"*-{split}.tfrecord-*")))):
        one = tf.io.parse_single_example(record, features)
        name = one["file_name"].numpy().decode()
        found[name] = (one["image"].numpy(), int(one["label"].numpy()))
    return found


@pytest.mark.proof(target="tfrecord, read", loader="tensorflow-datasets' imagenet2012")
def test_what_tensorflow_datasets_prepares_is_read_as_the_archives_are(
    truth: dict[str, Truth], sample: Path, tmp_path: Path, say: Say
) -> None:
    (tmp_path / "manual").mkdir()
    shutil.copy(sample / "ILSVRC2012_img_train.tar", tmp_path / "manual")
    tests = sample / "ILSVRC2012_img_test_v10102019.tar"
    shutil.copy(tests, tmp_path / "manual" / "ILSVRC2012_img_test.tar")
    # The builder gives validation labels by place in the list of names, so the numbers must begin at 1.
    val = {f"ILSVRC2012_val_{n:08d}": image.data for n, image in enumerate(list(truth.values())[:4], 1)}
    write_val(tmp_path / "manual", val)
    scanned = Scanned(tfrecord, prepare(tmp_path / "manual", tmp_path / "data"))
    [found] = scanned.found
    assert (found.dataset, found.splits, found.missing) == ("ilsvrc2012", ("train", "val", "test"), "")
    assert "class numbers in sorted order of ilsvrc2012, from 0" in found.evidence
    assert scanned.problems == {}
    data = scanned.bytes()
    train = {stem: image for stem, image in truth.items() if image.split == "train"}
    assert {stem: data[stem] for stem in val} == val
    assert {stem for stem in data if stem.startswith("n")} == train.keys()
    for stem, image in train.items():
        row = scanned.images[stem]
        assert data[stem] == image.data
        assert (row["wnid"], row["split"], (row["width"], row["height"])) == (image.wnid, "train", image.size)
    theirs = named(found.path, "train")
    assert {name.removesuffix(".JPEG"): image for name, (image, _) in theirs.items()} == {s: data[s] for s in train}
    assert len(data) == len(train) + len(val) + 5
    say(f"{len(data)} images")


@pytest.mark.proof(target="tfrecord, read", loader="tensorflow-datasets' imagenet2012")
def test_validation_images_keep_their_labels(real: Path, sample: Path, tmp_path: Path, say: Say) -> None:
    (tmp_path / "manual").mkdir()
    shutil.copy(sample / "ILSVRC2012_img_train.tar", tmp_path / "manual")
    images = {path.stem: path.read_bytes() for path in sorted((real / "ilsvrc2012_val").iterdir())}
    write_val(tmp_path / "manual", images)
    scanned = Scanned(tfrecord, prepare(tmp_path / "manual", tmp_path / "data"))
    assert scanned.problems == {}
    found = {image_id: data for image_id, data in scanned.bytes().items() if image_id in images}
    assert {scanned.images[image_id]["split"] for image_id in found} == {"val"}
    assert found == images
    say(f"{len(images)} validation images, every label the official one")


@pytest.mark.proof(target="tfrecord, read", loader="tensorflow-datasets' imagenet2012")
def test_what_tensorflow_datasets_encodes_anew_is_said(tmp_path: Path, say: Say) -> None:
    (tmp_path / "manual").mkdir()
    png, cmyk, kept = "n02105855_2933", "n01739381_1309", "n01739381_1"
    images = {stem: io.BytesIO() for stem in (png, cmyk, kept)}
    Image.effect_mandelbrot((60, 50), (-2, -1, 1, 1), 9).convert("RGB").save(images[png], "PNG")
    Image.new("CMYK", (40, 30), (90, 20, 10, 5)).save(images[cmyk], "JPEG")
    Image.new("RGB", (40, 30), (90, 20, 10)).save(images[kept], "JPEG")
    with tarfile.open(tmp_path / "manual" / "ILSVRC2012_img_train.tar", "w") as archive:
        for wnid in ("n01739381", "n02105855"):
            inside = {stem: sink.getvalue() for stem, sink in images.items() if stem.startswith(wnid)}
            data = class_tar(inside)
            member = tarfile.TarInfo(f"{wnid}.tar")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    write_val(tmp_path / "manual", {"ILSVRC2012_val_00000001": images[kept].getvalue()})
    scanned = Scanned(tfrecord, prepare(tmp_path / "manual", tmp_path / "data"))
    said = {row["image_id"]: row["code"] for row in scanned.tables["problems"]}
    assert said == {png: "reencoded", cmyk: "reencoded"}
    data = scanned.bytes()
    assert data[kept] == images[kept].getvalue()
    assert {scanned.images[stem]["mode"] for stem in (png, cmyk)} == {"RGB"}
    say("a PNG and a CMYK JPEG encoded anew, and said")


@pytest.mark.proof(target="tfrecord, read", loader="tf.data.TFRecordDataset")
def test_the_shards_of_our_tests_are_tensorflows_own(truth: dict[str, Truth], tmp_path: Path) -> None:
    data = {stem: image.data for stem, image in truth.items()}
    boxes = {stem: [box[1:] for box in image.boxes] for stem, image in truth.items()}
    form.write_classic(tmp_path / "classic", data, boxes)
    kinds = {"image/encoded": tf.string, "image/filename": tf.string, "image/class/label": tf.int64}
    features = {name: tf.io.FixedLenFeature([], kind) for name, kind in kinds.items()}
    features["image/object/bbox/xmin"] = tf.io.VarLenFeature(tf.float32)
    read = {}
    for record in tf.data.TFRecordDataset(sorted(map(str, (tmp_path / "classic").iterdir()))):
        one = tf.io.parse_single_example(record, features)
        edges = tf.sparse.to_dense(one["image/object/bbox/xmin"]).numpy().tolist()
        stem = one["image/filename"].numpy().decode().removesuffix(".JPEG")
        read[stem] = (one["image/encoded"].numpy(), int(one["image/class/label"].numpy()), len(edges))
    order = labels.ilsvrc2012_sorted()
    assert read == {stem: (image.data, order.index(image.wnid) + 1, len(image.boxes)) for stem, image in truth.items()}


@pytest.mark.proof(target="tfrecord, read", loader="tf.io.TFRecordWriter")
def test_classic_shards_that_tensorflow_writes_are_read_with_their_boxes(
    truth: dict[str, Truth], tmp_path: Path, say: Say
) -> None:
    def feature(values: form.Values) -> tf.train.Feature:
        if values and isinstance(values[0], bytes):
            return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))
        if isinstance(values, form.Floats):
            return tf.train.Feature(float_list=tf.train.FloatList(value=values))
        return tf.train.Feature(int64_list=tf.train.Int64List(value=values))

    boxes = 0
    for split, called in (("train", "train"), ("val", "validation")):
        stems = [stem for stem, image in truth.items() if image.split == split]
        for number in range(2):
            with tf.io.TFRecordWriter(str(tmp_path / f"{called}-{number:05d}-of-00002")) as writer:
                for stem in stems[number::2]:
                    features = form.classic(stem, truth[stem].data, [box[1:] for box in truth[stem].boxes])
                    given = {name: feature(values) for name, values in features.items()}
                    example = tf.train.Example(features=tf.train.Features(feature=given))
                    writer.write(example.SerializeToString())
                    boxes += len(truth[stem].boxes)
    scanned = Scanned(tfrecord, tmp_path)
    assert scanned.problems == {}
    assert scanned.bytes() == {stem: image.data for stem, image in truth.items()}
    assert {stem: row["wnid"] for stem, row in scanned.images.items()} == {s: one.wnid for s, one in truth.items()}
    assert len(scanned.tables["boxes"]) == boxes
    imagenet_tools.build_index([tmp_path], tmp_path / "x.index", workers=1)
    index = imagenet_tools.open_index(tmp_path / "x.index")
    edges = index.sql("SELECT image_id, nxmin, nymin, nxmax, nymax FROM boxes ORDER BY ALL").fetchall()
    expected = sorted((stem, *box[1:]) for stem, image in truth.items() for box in image.boxes)
    for one, other in zip(edges, expected, strict=True):
        assert one[0] == other[0]
        assert one[1:] == pytest.approx(other[1:], abs=1e-6)
    say(f"{len(scanned.images)} images, {boxes} boxes")
