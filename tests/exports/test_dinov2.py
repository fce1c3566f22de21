"""DINOv2's metadata, read as its ImageNet and ImageNet22k read it, and held to the files and to tarfile's offsets."""

import gzip
import io
import mmap
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

import imagenet_tools
from imagenet_tools.errors import ExportError
from imagenet_tools.exports.plan import Result
from imagenet_tools.index import Index
from tests.shared import Shared

DOG, CHIHUAHUA = "n02084071", "n02085620"


class Sample(NamedTuple):
    """What the loader gives for an entry."""

    name: str
    label: int
    data: bytes


def samples_in_files(root: Path, extra: Path, split: str) -> Iterator[Sample]:
    """The samples as dinov2's ImageNet finds them: the path of an image is made of its entry."""
    entries = np.load(extra / f"entries-{split}.npy", mmap_mode="r")
    ids, names = (np.load(extra / f"class-{kind}-{split}.npy", mmap_mode="r") for kind in ("ids", "names"))
    assert entries.dtype.names == ("actual_index", "class_index", "class_id", "class_name")
    for number, label, wnid, name in entries.tolist():
        assert names[label] == name
        assert len(ids) == len(names) > label
        stem = f"{wnid}_{number}" if split == "TRAIN" else f"ILSVRC2012_val_{number:08d}"
        yield Sample(stem, label, (root / split.lower() / wnid / f"{stem}.JPEG").read_bytes())


def samples_in_tars(root: Path, extra: Path) -> Iterator[Sample]:
    """The samples as dinov2's ImageNet22k finds them: a range of a tar, without its first block."""
    entries = np.load(extra / "entries.npy", mmap_mode="r")
    assert entries.dtype.names == ("class_index", "class_id", "start_offset", "end_offset", "filename")
    assert [entries.dtype[name].str for name in ("class_index", "start_offset", "end_offset")] == ["<u4"] * 3
    for label, wnid, start, end, filename in entries.tolist():
        with (root / f"{wnid}.tar").open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as tar:
            yield Sample(filename, label, tar[start:end][512:])


@pytest.fixture(scope="module")
def tars(sample: Path, shared: Shared) -> Path:
    """The class tars of the sample in one folder, and its index beside them."""

    def make(root: Path) -> None:
        root.mkdir()
        with tarfile.open(sample / "ILSVRC2012_img_train.tar") as outer:
            outer.extractall(root / "tars", filter="data")
        imagenet_tools.build_index(root / "tars", root / "x.index", workers=1)

    return shared("class-tars", make)


@pytest.fixture(scope="module")
def folders(index: Index, shared: Shared) -> Path:
    """The sample's class folders, and their index."""

    def make(root: Path) -> None:
        root.mkdir()
        imagenet_tools.export(index.select(), root / "folders", to="image_folder", workers=1)
        imagenet_tools.build_index(root / "folders", root / "x.index", workers=1)

    return shared("class-folders", make)


def exported(root: Path, dest: Path, **words: str) -> Result:
    return imagenet_tools.export(imagenet_tools.open_index(root / "x.index").select(**words), dest, to="dinov2")  # type: ignore[arg-type]


def test_offsets_are_those_of_the_tars(tars: Path, tmp_path: Path) -> None:
    result = exported(tars, tmp_path / "x")
    ids = np.load(tmp_path / "x" / "train" / "class-ids.npy").tolist()
    assert ids == [cls.wnid for cls in result.classes] == sorted(path.stem for path in (tars / "tars").iterdir())
    found = {one.name: one for one in samples_in_tars(tars / "tars", tmp_path / "x" / "train")}
    entries = {one["filename"]: one for one in np.load(tmp_path / "x" / "train" / "entries.npy")}
    n = 0
    for label, wnid in enumerate(ids):
        with tarfile.open(tars / "tars" / f"{wnid}.tar") as tar:
            members = tar.getmembers()
            nexts = [*(member.offset for member in members[1:]), None]
            for member, after in zip(members, nexts, strict=True):
                file = tar.extractfile(member)
                assert file is not None
                data, entry = file.read(), entries[member.name]
                assert entry["start_offset"] == member.offset
                assert after is None or entry["end_offset"] == after
                one = found.pop(member.name)
                assert (one.label, one.data[: len(data)]) == (label, data)
                assert not one.data[len(data) :].strip(b"\0")
                n += 1
    assert not found
    assert n == result.images()


def test_files_are_found_by_their_entries(folders: Path, index: Index, tmp_path: Path) -> None:
    result = exported(folders, tmp_path / "x")
    assert any("dinov2 asserts 1,281,167 images in TRAIN" in hazard for hazard in result.hazards)
    query = "SELECT image_id, wnid, length FROM images WHERE split = $split"
    for split in ("train", "val"):
        found = list(samples_in_files(folders / "folders", tmp_path / "x", split.upper()))
        truth = {stem: (wnid, length) for stem, wnid, length in index.sql(query, split=split).fetchall()}
        assert {one.name: (result.classes[one.label].wnid, len(one.data)) for one in found} == truth
        assert len(found) == len(truth)
    assert all(checked.ok and checked.images == 182 for checked in result.check())


def test_superclasses_number_the_classes_and_the_paths_keep_their_wnids(
    folders: Path, tars: Path, tmp_path: Path
) -> None:
    for root, name, entries in ((folders, "a", "entries-TRAIN.npy"), (tars, "b", "train/entries.npy")):
        exported(root, tmp_path / name, superclasses=DOG)
        read = np.load(tmp_path / name / entries)
        assert set(read["class_index"].tolist()) == {0}
        assert len(set(read["class_id"].tolist())) == 5
    assert np.load(tmp_path / "a" / "class-ids-TRAIN.npy").tolist() == [DOG]
    assert len(list(samples_in_tars(tars / "tars", tmp_path / "b" / "train"))) == 50


def test_images_that_the_loader_cannot_find_are_left_out_and_counted(index: Index, folders: Path) -> None:
    with pytest.raises(
        ExportError, match=r"182 by place \(not at a place, .* another target than dinov2\."
    ):  # in a tar of class tars
        imagenet_tools.plan_export(index.select(), to="dinov2")
    plan = imagenet_tools.plan_export(imagenet_tools.open_index(folders / "x.index").select(), to="dinov2")
    assert (plan.images(), plan.left_out) == (182, {})


def test_a_compressed_image_is_left_out_and_counted(tars: Path, tmp_path: Path) -> None:
    with tarfile.open(tars / "tars" / f"{CHIHUAHUA}.tar") as tar:
        images = [(member.name, tar.extractfile(member).read()) for member in tar]  # type: ignore[union-attr]
    (tmp_path / "a").mkdir()
    with tarfile.open(tmp_path / "a" / f"{CHIHUAHUA}.tar", "w") as tar:
        for n, (name, data) in enumerate(images):
            member = tarfile.TarInfo(name)
            stored = gzip.compress(data) if n == 1 else data  # as 26 members of the fall 2011 release are
            member.size = len(stored)
            tar.addfile(member, io.BytesIO(stored))
    imagenet_tools.build_index(tmp_path / "a", tmp_path / "x.index", workers=1)
    result = exported(tmp_path, tmp_path / "x")
    assert result.left_out == {"place": 1}
    assert images[1][0] not in {one.name for one in samples_in_tars(tmp_path / "a", tmp_path / "x" / "train")}


def test_a_split_of_one_s_own_is_refused_for_files_and_taken_for_tars(
    folders: Path, tars: Path, tmp_path: Path
) -> None:
    with pytest.raises(ExportError, match="dinov2 looks for them in a folder called val"):
        exported(folders, tmp_path / "x", split="train=0.5,val=0.5")
    result = exported(tars, tmp_path / "x", split="train=0.5,val=0.5")
    n = [len(list(samples_in_tars(tars / "tars", tmp_path / "x" / split))) for split in ("train", "val")]
    assert n == [result.images("train"), result.images("val")]


def test_two_folders_of_images_are_refused(tars: Path, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / f"{CHIHUAHUA}.tar").write_bytes((tars / "tars" / f"{CHIHUAHUA}.tar").read_bytes())
    other = tmp_path / "b" / "n02123045.tar"
    other.parent.mkdir()
    other.write_bytes((tars / "tars" / "n02123045.tar").read_bytes())
    imagenet_tools.build_index([tmp_path / "a", tmp_path / "b"], tmp_path / "x.index", workers=1)
    with pytest.raises(ExportError, match="The images of train are in several folders"):
        exported(tmp_path, tmp_path / "x")
