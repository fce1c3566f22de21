"""The TFRecord shards of an export: classic Examples byte by byte, their index, and what the reader makes of them."""

import json
import struct
from pathlib import Path
from typing import Any

import pytest

import imagenet_tools
from imagenet_tools.catalogue import labels
from imagenet_tools.containers import tfrecords
from imagenet_tools.errors import ExportError
from imagenet_tools.formats import tfrecord
from imagenet_tools.formats.tfrecord import shards
from imagenet_tools.index import Index
from tests.forms import tfrecord as form
from tests.scanned import Scanned


@pytest.fixture(scope="module")
def root(index: Index, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The whole sample in small shards, with their indexes."""
    out = tmp_path_factory.mktemp("tfrecord") / "x"
    imagenet_tools.export(index.select(), out, to="tfrecord", shard_size=60_000, side_files=True)
    return out


def records(file: Path) -> list[bytes]:
    """The data of each record, after its two checksums were compared with Google's."""
    data, place, found = file.read_bytes(), 0, []
    while place < len(data):
        (length,) = struct.unpack_from("<Q", data, place)
        whole = data[place : place + length + 16]
        assert whole == form.record(whole[12:-4])
        found.append(whole[12:-4])
        place += len(whole)
    return found


def test_shards_are_named_as_the_classic_program_names_them(root: Path) -> None:
    files = sorted(path.name for path in root.glob("*-of-*"))
    n = len([name for name in files if name.startswith("train-")])
    assert n > 4 and files[0] == f"train-00000-of-{n:05d}"
    assert files[-1].startswith(f"validation-{len(files) - n - 1:05d}-of-")


def test_a_record_is_that_of_the_formats_rules_byte_by_byte(index: Index, tmp_path: Path) -> None:
    [(stem, wnid)] = index.sql(
        "SELECT image_id, wnid FROM images WHERE n_boxes > 1 AND mode = 'RGB' LIMIT 1"
    ).fetchall()
    plan = imagenet_tools.export(index.select(where=f"image_id = '{stem}'"), tmp_path / "x", to="tfrecord")
    [file] = (tmp_path / "x").glob("*-of-*")
    [data] = records(file)
    image = index.image(stem)
    asked = f"SELECT nxmin, nymin, nxmax, nymax FROM boxes WHERE image_id = '{stem}' AND nxmin IS NOT NULL"
    boxes = index.sql(asked).fetchall()
    values: dict[str, Any] = form.classic(stem, image.read(), boxes)
    values |= {"image/class/label": [1], "image/object/bbox/label": [1] * len(boxes)}  # of one class
    values |= {"image/class/synset": [wnid.encode()], "imagenet_tools/image_id": [stem.encode()]}
    values["image/class/text"] = [plan.classes[0].display.encode()]
    names = [*sorted(values.keys() - {"image/encoded"}), "image/encoded"]
    assert data == form.example({name: values[name] for name in names})


def test_the_index_has_the_place_of_each_record(root: Path) -> None:
    for file in root.glob("*-of-*"):
        data = file.read_bytes()
        lines = (root / "idx" / f"{file.name}.idx").read_text().splitlines()
        places = [tuple(map(int, line.split())) for line in lines]
        assert b"".join(data[start : start + size] for start, size in places) == data
        assert [data[start + 12 : start + size - 4] for start, size in places] == records(file)


def test_without_side_files_there_is_no_index(index: Index, tmp_path: Path) -> None:
    imagenet_tools.export(index.select(), tmp_path / "x", to="tfrecord")
    assert not (tmp_path / "x" / "idx").exists()


def test_an_example_is_read_without_a_second_read_before_its_image(root: Path) -> None:
    """The image is last: its name and its class are within the first bytes of a record."""
    for file in root.glob("*-of-*"):
        with file.open("rb", buffering=0) as opened:
            for record in tfrecords.walk(opened.fileno(), file.name):
                assert b"image/encoded" in record.head
                assert record.head.index(b"image/width") < record.head.index(b"image/encoded")


def test_the_reader_finds_no_problem_in_what_the_writer_wrote(root: Path, index: Index) -> None:
    again = Scanned(tfrecord, root)
    assert again.problems == {}
    columns = "image_id, wnid, width, height, length"
    before = index.sql(f"SELECT {columns} FROM images WHERE wnid IS NOT NULL ORDER BY ALL").fetchall()
    assert sorted(tuple(row[name] for name in columns.split(", ")) for row in again.images.values()) == before
    [detection] = tfrecord.detect(root)
    assert detection.splits == ("train", "val") and "boxes" in detection.holds


def test_tensorflow_datasets_is_told_the_examples_of_each_shard(root: Path) -> None:
    info = json.loads((root / "dataset_info.json").read_text())
    assert [split["name"] for split in info["splits"]] == ["train", "validation"]
    for split in info["splits"]:
        files = sorted(root.glob(f"{split['name']}-*"))
        assert [int(n) for n in split["shardLengths"]] == [len(records(file)) for file in files]
        assert int(split["numBytes"]) == sum(file.stat().st_size for file in files)
        of = len(files)
        names = [
            split["filepathTemplate"].format(SPLIT=split["name"], SHARD_X_OF_Y=f"{n:05d}-of-{of:05d}")
            for n in range(of)
        ]
        assert names == [file.name for file in files]
    named = json.loads((root / "features.json").read_text())["featuresDict"]["features"]
    with next(root.glob("train-*")).open("rb") as file:
        record = next(tfrecords.walk(file.fileno(), "x"))
        written = tfrecords.features(file.fileno(), record, "x")
    assert named.keys() == {**written.bytes, **written.ints, **written.floats}.keys()
    labels_file = (root / "image.class.label.labels.txt").read_text().split()
    assert len(labels_file) == int(named["image/class/label"]["classLabel"]["numClasses"]) == 14
    assert labels_file[:2] == ["background", "n01531178"]


def test_the_whole_of_ilsvrc2012_has_the_classic_labels(index: Index) -> None:
    plan = imagenet_tools.plan_export(index.select(classes="ilsvrc2012"), to="tfrecord")
    assert tuple(cls.wnid for cls in plan.classes) == tuple(labels.ilsvrc2012_sorted())
    assert plan.classes[0].index + 1 == 1


def test_a_missing_library_is_named_with_its_extra(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "find_spec", lambda name: None)
    with pytest.raises(ExportError, match=r"google-crc32c.*pip install 'imagenet-tools\[tfrecord\]'"):
        imagenet_tools.plan_export(index.select(), to="tfrecord")
