"""A hard link in a tar is the image that it names: GNU tar writes one where a file of the tree has a second name."""

import io
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

import imagenet_tools
from imagenet_tools.containers import tar
from imagenet_tools.formats import image_tars, webdataset
from tests.forms import kaggle
from tests.forms.annotations import write_files
from tests.forms.thousand import drawn
from tests.forms.webdataset import sample_1k
from tests.index.test_build import build
from tests.parameters import short_list
from tests.scanned import Scanned

WNID = "n02085620"
STEMS = [f"{WNID}_{n}" for n in range(12)]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """train/<wnid>/ with twelve names of eight files; and two names of one file, longer than a header holds."""
    folder = tmp_path / "tree" / "train" / WNID
    folder.mkdir(parents=True)
    for n, stem in enumerate(STEMS):
        if n % 3 == 2:
            os.link(folder / f"{STEMS[n - 2]}.JPEG", folder / f"{stem}.JPEG")
        else:
            (folder / f"{stem}.JPEG").write_bytes(drawn(n))
    deep = tmp_path / "tree" / ("deep" * 20) / ("deeper" * 10) / "train" / "n02086079"
    deep.mkdir(parents=True)
    (deep / "n02086079_1.JPEG").write_bytes(drawn(100))
    os.link(deep / "n02086079_1.JPEG", deep / "n02086079_2.JPEG")
    return tmp_path / "tree"


def packed(path: Path, tree: Path, *options: str) -> Path:
    command = ["tar", "--sort=name", *options, "-cf", str(path), "-C", str(tree.parent), tree.name]
    subprocess.run(command, check=True, capture_output=True)
    return path


def indexed(path: Path) -> tuple[dict[str, bytes], dict[str, int]]:
    """The images of an index of this archive, each read back, and the codes of its problems."""
    home = path.with_name(f"{path.name}.index")
    report = build([path], home)
    index = imagenet_tools.open_index(home)
    ids = [image_id for (image_id,) in index.sql("SELECT image_id FROM images WHERE width > 0").fetchall()]
    return {image_id: index.image(image_id).read() for image_id in ids}, report.problems


def files_of(tree: Path) -> dict[str, bytes]:
    return {path.stem: path.read_bytes() for path in tree.rglob("*.JPEG")}


@pytest.mark.parametrize("form", ["gnu", "posix", "oldgnu"])
def test_the_links_of_gnu_tar_are_the_images_that_they_name(form: str, tree: Path, tmp_path: Path) -> None:
    path = packed(tmp_path / "tree.tar", tree, f"--format={form}")
    with tarfile.open(path) as archive:
        assert sum(member.islnk() for member in archive) == 5
    found = Scanned(image_tars, path)
    assert found.problems == {}
    assert found.bytes() == files_of(tree)
    assert {row["width"] is None for row in found.tables["images"]} == {False}
    assert len({row["offset"] for row in found.tables["images"]}) == 9


def test_the_links_in_a_gzip_stream_are_the_images_that_they_name(tree: Path, tmp_path: Path) -> None:
    path = packed(tmp_path / "tree.tar.gz", tree, "-z")
    assert [one.form for one in imagenet_tools.detect(path).found] == ["image_tar_gz"]
    assert indexed(path) == (files_of(tree), {})


@pytest.mark.parametrize("packing", short_list(["", "-z"], "-z"))
def test_the_links_in_class_tars_are_the_images_that_they_name(packing: str, tree: Path, tmp_path: Path) -> None:
    (tmp_path / "tars").mkdir()
    inner = packed(tmp_path / "tars" / f"{WNID}.tar", tree / "train" / WNID, "--transform=s,.*/,,")
    path = tmp_path / "whole.bin"
    subprocess.run(["tar", "-cf", str(path), *packing.split(), "-C", str(inner.parent), inner.name], check=True)
    assert indexed(path) == (files_of(tree / "train"), {})


def test_the_links_in_kaggles_archive_are_the_files_that_they_name(tree: Path, sample: Path, tmp_path: Path) -> None:
    data = files_of(tree / "train")
    kaggle.write(tmp_path / "kaggle", data, sample)
    folder = tmp_path / "kaggle" / "ILSVRC" / "Data" / "CLS-LOC" / "train" / WNID
    (folder / f"{STEMS[1]}.JPEG").unlink()
    os.link(folder / f"{STEMS[0]}.JPEG", folder / f"{STEMS[1]}.JPEG")
    for options in (["-z"], []):
        path = packed(tmp_path / f"kaggle{len(options)}.bin", tmp_path / "kaggle" / "ILSVRC", *options)
        images, problems = indexed(path)
        assert images == data | {STEMS[1]: data[STEMS[0]]}
        assert "listed_absent" not in problems


def test_a_link_in_a_shard_is_the_image_of_its_sample(tmp_path: Path) -> None:
    data = {stem: drawn(0) for stem in STEMS}
    for stem, image in data.items():
        write_files(tmp_path / "files", {f"{stem}.{ext}": text for ext, text in sample_1k(stem, image)[1].items()})
    for stem in STEMS[1:]:
        (tmp_path / "files" / f"{stem}.jpg").unlink()
        os.link(tmp_path / "files" / f"{STEMS[0]}.jpg", tmp_path / "files" / f"{stem}.jpg")
    path = packed(tmp_path / "imagenet1k-train-0000.tar", tmp_path / "files")
    found = Scanned(webdataset, path)
    assert found.problems == {}
    assert found.bytes() == data
    assert len({row["offset"] for row in found.tables["images"]}) == 1


def test_a_link_names_a_file_before_it_and_a_link_to_that_is_the_same(tmp_path: Path) -> None:
    path = tmp_path / f"{WNID}.tar"
    with tarfile.open(path, "w") as archive:
        add(archive, STEMS[0], drawn(0))
        for own, other in ((1, 0), (2, 1), (3, 2), (4, 9), (5, 7), (6, 6)):
            add(archive, STEMS[own], None, STEMS[other])
        add(archive, STEMS[9], drawn(9))
        # A name that comes twice is the last before the link, as it would be unpacked.
        add(archive, STEMS[0], drawn(8))
        add(archive, STEMS[10], None, STEMS[0])
        add(archive, STEMS[11], None, STEMS[9])
    kinds = {member.name: member.kind for member in tar.walk(path)}
    assert [name for name, kind in kinds.items() if kind == "link"] == [f"{STEMS[n]}.JPEG" for n in (4, 5, 6)]
    found = Scanned(image_tars, path)
    assert found.problems == {"stray_file": 3}
    assert f"a hard link to {STEMS[9]}.JPEG, which is no file before it in the archive" in str(found.tables["problems"])
    read = {row["image_id"]: row["offset"] for row in found.tables["images"]}
    assert read[STEMS[1]] == read[STEMS[2]] == read[STEMS[3]] == 512
    assert read[STEMS[10]] == read[STEMS[0]] != 512
    assert read[STEMS[11]] == read[STEMS[9]]


def add(archive: tarfile.TarFile, stem: str, data: bytes | None, target: str = "") -> None:
    info = tarfile.TarInfo(f"{stem}.JPEG")
    if data is None:
        info.type, info.linkname = tarfile.LNKTYPE, f"{target}.JPEG"
    else:
        info.size = len(data)
    archive.addfile(info, io.BytesIO(data or b""))


@pytest.mark.parametrize(("suffix", "percent"), [("", 60), (".gz", 90)])
def test_links_before_a_break_are_kept(suffix: str, percent: int, tree: Path, tmp_path: Path) -> None:
    path = packed(tmp_path / f"tree.tar{suffix}", tree, *(["-z"] if suffix else []))
    os.truncate(path, path.stat().st_size * percent // 100)
    kept, problems = indexed(path)
    assert sum(problems.values()) == 1
    assert len(kept) > 4
    assert kept == {stem: data for stem, data in files_of(tree).items() if stem in kept}
    assert any(stem in kept for stem in STEMS[2::3])
