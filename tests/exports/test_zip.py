"""Zips, read by Python's zipfile and Info-ZIP's unzip: stored, whole, dated alike, with a folder for every class."""

import shutil
import subprocess
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

import imagenet_tools
from imagenet_tools.formats import webdataset
from imagenet_tools.index import Index
from tests.exports.odd import CRANE, ODD, SPANIEL, TENCH


def members(path: Path) -> dict[str, zipfile.ZipInfo]:
    with zipfile.ZipFile(path) as file:
        assert file.testzip() is None
        found = {info.filename: info for info in file.infolist()}
        assert len(found) == len(file.infolist())
    return found


def test_a_split_is_one_zip_of_stored_files_without_dates(odd: Index, tmp_path: Path) -> None:
    imagenet_tools.export(odd.select(), tmp_path / "x", to="zip", workers=2)
    assert {path.name for path in tmp_path.glob("x/*.zip")} == {"train.zip", "val.zip"}
    for split in ("train", "val"):
        found = members(tmp_path / "x" / f"{split}.zip")
        images = {name for name, info in found.items() if not info.is_dir()}
        assert images == {f"{split}/{one.wnid}/{one.stem}.JPEG" for one in ODD if one.split == split}
        assert {f"{split}/{wnid}/" for wnid in (TENCH, CRANE, SPANIEL)} == set(found) - images
        assert {info.compress_type for info in found.values()} == {zipfile.ZIP_STORED}
        assert {info.date_time for info in found.values()} == {(1980, 1, 1, 0, 0, 0)}
        assert not any(info.flag_bits & 0x08 for info in found.values())  # sizes stand before the bytes


def test_the_map_of_a_split_names_every_member_with_its_class(odd: Index, tmp_path: Path) -> None:
    imagenet_tools.export(odd.select(), tmp_path / "x", to="zip")
    for split in ("train", "val"):
        lines = [line.split("\t") for line in (tmp_path / "x" / f"{split}_map.txt").read_text().splitlines()]
        found = members(tmp_path / "x" / f"{split}.zip")
        assert [path for path, _ in lines] == [name for name, info in found.items() if not info.is_dir()]
        assert all(int(label) == [TENCH, CRANE, SPANIEL].index(path.split("/")[1]) for path, label in lines)


def test_several_zips_of_a_split_hold_each_image_once_and_have_no_map(odd: Index, tmp_path: Path) -> None:
    imagenet_tools.export(odd.select(), tmp_path / "x", to="zip", shard_size="8KB", workers=2)
    paths = sorted((tmp_path / "x").glob("train-*.zip"))
    assert len(paths) > 2
    assert [path.name for path in paths] == [f"train-{n:05d}-of-{len(paths):05d}.zip" for n in range(len(paths))]
    names = [name for path in paths for name in members(path) if not name.endswith("/")]
    assert sorted(names) == sorted(f"train/{one.wnid}/{one.stem}.JPEG" for one in ODD if one.split == "train")
    assert not list((tmp_path / "x").glob("train*_map.txt"))


@pytest.mark.skipif(shutil.which("unzip") is None, reason="needs Info-ZIP's unzip")
def test_a_pass_that_cuts_a_zip_into_the_shards_of_another_target_says_so(
    odd: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webdataset, "WRITES", replace(webdataset.WRITES, shard_bytes=8_000))
    said = "zip is cut into the shards of webdataset, of 8,000 bytes of images"
    plans = imagenet_tools.plan_export(odd.select(), to="zip,webdataset").together
    assert [sum(said in hazard for hazard in plan.hazards) for plan in plans] == [1, 0]
    asked = imagenet_tools.plan_export(odd.select(), to="zip,webdataset", shard_size=8_000)
    alone = imagenet_tools.plan_export(odd.select(), to="zip")
    assert not any(said in hazard for plan in (asked, alone) for hazard in plan.hazards)


def test_unzip_finds_no_fault_and_makes_an_image_folder_of_it(odd: Index, tmp_path: Path) -> None:
    imagenet_tools.export(odd.select(), tmp_path / "x", to="zip")
    imagenet_tools.export(odd.select(), tmp_path / "folder", to="image_folder", link="copy")
    for path in (tmp_path / "x").glob("*.zip"):
        subprocess.run(["unzip", "-tq", str(path)], check=True)
        subprocess.run(["unzip", "-qd", str(tmp_path / "unzipped"), str(path)], check=True)
    unzipped = {path.relative_to(tmp_path / "unzipped") for path in (tmp_path / "unzipped").rglob("*")}
    for path in (tmp_path / "folder").glob("*/**/*"):
        there = path.relative_to(tmp_path / "folder")
        if path.is_file():
            assert (tmp_path / "unzipped" / there).read_bytes() == path.read_bytes()
        unzipped.remove(there)
    assert unzipped == {Path("train"), Path("val")}
