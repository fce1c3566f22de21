"""Images in one gzip stream: indexed in one pass, read back from its middle by seek points."""

import gzip
import json
import os
import pickle
import random
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import imagenet_tools
from imagenet_tools.containers import payload
from imagenet_tools.errors import SourceError
from imagenet_tools.storage import blob
from tests.conftest import Extracted
from tests.formats.test_image_tars import built, only
from tests.forms import small, whole
from tests.parameters import short_list
from tests.read_back import images_of, read_all

BIG = 200_000  # bytes of an image: some sixty make a stream of several seek points


@pytest.fixture(scope="module")
def big(tmp_path_factory: pytest.TempPathFactory, extracted: Extracted) -> tuple[Path, dict[str, bytes]]:
    """winter21_whole.tar.gz of 13 MB, and its images: drawings with noise behind them."""
    noise = random.Random(1)
    pictures = (data + noise.randbytes(BIG) for data in sorted(extracted.data.values()))
    images = whole.images(pictures, each=13)
    home = tmp_path_factory.mktemp("big")
    return whole.winter21_whole(home / "winter21_whole.tar.gz", images), whole.flat(images)


def digests(index: Path) -> dict[str, list[str]]:
    tables = json.loads((index / "manifest.json").read_text())["tables"]
    return {table: [entry["sha256"] for entry in files] for table, files in tables.items() if table != "sources"}


def test_a_stream_of_class_tars_is_told_and_read_back_in_any_order(
    big: tuple[Path, dict[str, bytes]], tmp_path: Path
) -> None:
    path, data = big
    found = only(path)
    assert (found.form, found.dataset) == ("image_tar_gz", "winter21")
    assert "gunzip it once" in found.advice
    index = built(path, tmp_path / "x.index")
    rows = index.sql('SELECT count(*), count(DISTINCT wnid), count("offset"), min(compression) FROM images').fetchall()
    assert rows == [(65, 5, 0, "tar.gz")]
    assert index.sql("SELECT count(*) > 2 FROM seek_points").fetchall() == [(True,)]
    places = {image_id: image.place for image_id, image in images_of(index).items()}
    shuffled = random.Random(2).sample(sorted(data), len(data))
    with blob.Descriptors() as files:
        for order in (shuffled, sorted(data), sorted(data, reverse=True)):
            assert all(payload.read(places[image_id], files) == data[image_id] for image_id in order)
        with ThreadPoolExecutor(4) as pool:
            assert list(pool.map(lambda image_id: payload.read(places[image_id], files), shuffled)) == [
                data[image_id] for image_id in shuffled
            ]
    assert pickle.loads(pickle.dumps(index)).image(shuffled[0]).read() == data[shuffled[0]]


def test_the_middle_is_read_without_what_comes_before(big: tuple[Path, dict[str, bytes]], tmp_path: Path) -> None:
    path, data = big
    copy = tmp_path / path.name
    copy.write_bytes(path.read_bytes())
    index = built(copy, tmp_path / "x.index")
    last = max(index.sql("SELECT position, image_id FROM images").fetchall())[1]
    first = min(index.sql("SELECT position, image_id FROM images").fetchall())[1]
    status = copy.stat()
    with copy.open("r+b") as file:
        file.seek(1_000)
        file.write(b"\xff" * 2_000_000)
    os.utime(copy, ns=(status.st_atime_ns, status.st_mtime_ns))  # a disk that fails changes no time
    assert index.image(last).read() == data[last]
    with pytest.raises(SourceError):
        index.image(first).read()


def test_the_same_stream_gives_the_same_bytes_and_is_not_read_again(
    big: tuple[Path, dict[str, bytes]], tmp_path: Path
) -> None:
    path, _ = big
    for name, workers in (("x", 1), ("y", 2)):
        imagenet_tools.build_index([path], tmp_path / name, workers=workers)
    assert digests(tmp_path / "x") == digests(tmp_path / "y")
    before = digests(tmp_path / "x")
    assert imagenet_tools.build_index([path], tmp_path / "x").units["unchanged"] == 1
    assert digests(tmp_path / "x") == before
    named = json.loads((tmp_path / "x" / "manifest.json").read_text())["tables"]
    listed = {entry["file"] for entries in named.values() for entry in entries}
    there = {file.relative_to(tmp_path / "x").as_posix() for file in (tmp_path / "x").rglob("*") if file.is_file()}
    assert there == listed | {"manifest.json"}


def test_seek_points_go_with_the_stream_they_are_of(extracted: Extracted, tmp_path: Path) -> None:
    images = whole.images(extracted.data.values())
    path = whole.winter21_whole(tmp_path / "whole", images)
    other = whole.winter21_whole(tmp_path / "other", whole.images(extracted.data.values(), classes=["n02123045"]))
    imagenet_tools.build_index([path], tmp_path / "x.index", workers=1, dataset="mine")
    imagenet_tools.build_index([other], tmp_path / "x.index", workers=1, dataset="others")
    kept = digests(tmp_path / "x.index")["seek_points"]
    assert len(kept) == 2
    path.unlink()
    whole.fall11_whole(path, images)  # gunzipped, as is advised
    imagenet_tools.build_index([path], tmp_path / "x.index", workers=1, dataset="mine")
    index = imagenet_tools.open_index(tmp_path / "x.index")
    assert [source for (source,) in index.sql("SELECT DISTINCT source FROM seek_points").fetchall()] == ["other"]
    assert set(digests(tmp_path / "x.index")["seek_points"]) < set(kept)


@pytest.mark.parametrize("cut", short_list([40_000, 6_000_000], 6_000_000))
def test_a_stream_that_is_cut_short_keeps_its_whole_images_and_says_so(
    cut: int, big: tuple[Path, dict[str, bytes]], tmp_path: Path
) -> None:
    path, data = big
    (tmp_path / path.name).write_bytes(path.read_bytes()[:-cut])
    report = imagenet_tools.build_index([tmp_path / path.name], tmp_path / "x.index", workers=1)
    assert report.problems == {"tar_truncated": 1}
    index = imagenet_tools.open_index(tmp_path / "x.index")
    found = read_all(index)
    assert 25 < len(found) < 65
    assert all(found[image_id] == data[image_id] for image_id in found)


def test_a_stream_whose_checksum_is_wrong_says_so(big: tuple[Path, dict[str, bytes]], tmp_path: Path) -> None:
    path, data = big
    wrong = bytearray(path.read_bytes())
    wrong[-6] ^= 1
    (tmp_path / path.name).write_bytes(wrong)
    report = imagenet_tools.build_index([tmp_path / path.name], tmp_path / "x.index", workers=1)
    assert report.problems == {"gzip_damaged": 1}
    assert report.rows["images"] == len(data)


def test_an_image_wrapped_once_more_is_unwrapped(extracted: Extracted, tmp_path: Path) -> None:
    images = whole.images(extracted.data.values())
    path = whole.winter21_whole(tmp_path / "winter21_whole.tar.gz", images, wrapped=["n00007846_7"])
    index = built(path, tmp_path / "x.index")
    assert read_all(index) == whole.flat(images)


def test_a_folder_of_class_tars_in_gzip_is_read_class_by_class(extracted: Extracted, tmp_path: Path) -> None:
    images = whole.images(extracted.data.values())
    (tmp_path / "classes").mkdir()
    for wnid, inside in images.items():
        (tmp_path / "classes" / f"{wnid}.tar.gz").write_bytes(gzip.compress(whole.class_tar(inside)))
    assert only(tmp_path / "classes").form == "image_tar_gz"
    assert only(tmp_path / "classes" / "n00004475.tar.gz").dataset == "imagenet21k"
    index = built(tmp_path / "classes", tmp_path / "x.index")
    assert read_all(index) == whole.flat(images)


def test_the_hubs_old_archives_are_ilsvrc2012_under_its_own_names(extracted: Extracted, tmp_path: Path) -> None:
    for split, stems in (
        ("train_images_0", [path.stem for path in sorted(extracted.train.glob("*/*"))]),
        ("val_images", [path.stem for path in sorted(extracted.val.iterdir())]),
        ("test_images", [path.stem for path in sorted(extracted.test.iterdir())]),
    ):
        data = {stem: extracted.data[stem] for stem in stems}
        wnids = {
            stem: imagenet_tools.catalogue.labels.validation_wnid(stem) or stem[:9]
            for stem in stems
            if "test" not in stem
        }  # type: ignore[attr-defined]
        path = small.hub_archive(tmp_path / f"{split}.tar.gz", data, wnids)
        assert only(path).splits == (split.split("_")[0],)
        index = built(path, tmp_path / f"{split}.index")
        assert read_all(index) == data
        rows = index.sql("SELECT DISTINCT dataset, split, photo = image_id FROM images").fetchall()
        assert rows == [("ilsvrc2012", split.split("_")[0], True)]
        assert dict(index.sql("SELECT image_id, wnid FROM images WHERE wnid IS NOT NULL").fetchall()) == wnids


def test_without_the_library_the_error_names_the_extra_and_the_other_way(
    extracted: Extracted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = whole.winter21_whole(tmp_path / "winter21_whole.tar.gz", whole.images(extracted.data.values()))
    monkeypatch.setitem(sys.modules, "indexed_gzip", None)
    assert only(path).form == "image_tar_gz"
    with pytest.raises(SourceError, match=r"imagenet-tools\[gzip\].*gunzip it once"):
        imagenet_tools.build_index([path], tmp_path / "x.index", workers=1)
