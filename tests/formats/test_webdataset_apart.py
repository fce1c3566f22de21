"""WebDataset shards made of a folder in no order: the members of a sample lie apart, and are put together."""

import os
import random
import subprocess
from pathlib import Path

import pytest

import imagenet_tools
from imagenet_tools.containers import tar
from imagenet_tools.formats import image_tars, webdataset
from tests.forms.annotations import write_files
from tests.forms.thousand import drawn
from tests.forms.webdataset import sample_1k, write_shard
from tests.parameters import short_list
from tests.scanned import Scanned

WNIDS = ("n02085620", "n02086079", "n02088364")
DATA = {f"{WNIDS[n % 3]}_{n}": drawn(n) for n in range(100)}
SAMPLES = [sample_1k(*one) for one in DATA.items()]
NAMES = [(f"{key}.{ext}", text) for key, fields in SAMPLES for ext, text in fields.items()]
ORDERS = {
    "images first": sorted(NAMES, key=lambda one: (not one[0].endswith("jpg"), one[0])),
    "classes first": sorted(NAMES, key=lambda one: one[0].partition(".")[2]),
    "images last": sorted(NAMES, key=lambda one: (one[0].endswith("jpg"), one[0])),
    "any": random.Random(3).sample(NAMES, len(NAMES)),
}


def shard(folder: Path, files: list[tuple[str, bytes]]) -> Path:
    """A shard of these files in this order, by GNU tar."""
    write_files(folder / "files", dict(files))
    path = folder / "shards" / "imagenet-train-000000.tar"
    path.parent.mkdir(exist_ok=True)
    command = ["tar", "-cf", str(path), "-C", str(folder / "files"), "--no-recursion", *(name for name, _ in files)]
    subprocess.run(command, check=True)
    return path


@pytest.mark.parametrize("order", short_list(ORDERS, *[*ORDERS][::2]))
def test_samples_whose_members_lie_apart_are_those_of_the_sorted_shard(order: str, tmp_path: Path) -> None:
    path = shard(tmp_path, ORDERS[order])
    write_shard(tmp_path / "sorted" / path.name, SAMPLES)
    expected = Scanned(webdataset, tmp_path / "sorted")
    for given in (path, path.parent):
        found = Scanned(webdataset, given)
        assert found.bytes() == DATA
        assert found.facts() == expected.facts()
        assert found.problems == expected.problems == {}
        assert [one.form for one in imagenet_tools.detect(given).found] == ["webdataset"]
        assert "tar --sort=name -cf" in found.found[0].advice
    assert expected.found[0].advice == ""


def test_a_class_number_that_contradicts_is_found_though_it_lies_apart(tmp_path: Path) -> None:
    files = dict(ORDERS["images first"])
    files[f"{WNIDS[0]}_99.cls"] = b"7"
    found = Scanned(webdataset, shard(tmp_path, list(files.items())))
    assert found.problems == {"label_differs": 1}


def test_a_name_that_only_the_json_says_is_found_though_it_lies_apart(tmp_path: Path) -> None:
    files = [(f"{int(name.partition('.')[0][10:]):05d}.{name.partition('.')[2]}", data) for name, data in NAMES]
    files.sort(key=lambda one: (not one[0].endswith("jpg"), one[0]))
    found = Scanned(webdataset, shard(tmp_path, files))
    assert found.bytes() == DATA
    assert found.problems == {}


def test_what_lies_before_a_cut_is_kept_and_the_cut_is_said(tmp_path: Path) -> None:
    path = shard(tmp_path, ORDERS["classes first"])
    whole = Scanned(webdataset, path)
    os.truncate(path, whole.images[f"{WNIDS[0]}_90"]["offset"])
    found = Scanned(webdataset, path)
    assert 50 < len(found.images) < 100
    assert found.bytes() == {stem: DATA[stem] for stem in found.images}
    assert found.problems == {"tar_truncated": 1}


def test_a_shard_of_very_many_images_before_their_classes_is_no_tar_of_images(tmp_path: Path) -> None:
    image = drawn(0)
    files = [
        (f"{WNIDS[0]}_{n:04d}.{ext}", image if ext == "jpg" else b"151") for ext in ("jpg", "cls") for n in range(2_100)
    ]
    path = shard(tmp_path, files)
    assert image_tars.detect(path) == []
    found = Scanned(webdataset, path)
    assert len(found.images) == 2_100
    assert found.problems == {}


def test_a_tar_of_images_alone_is_not_walked_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = shard(tmp_path, [(f"{stem}.jpg", data) for stem, data in DATA.items()])
    monkeypatch.setattr(tar, "walk", None)  # every header is read by it, to see whether keys come back
    assert webdataset.detect(path) == []
