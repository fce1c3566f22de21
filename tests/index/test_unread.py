"""What is no ImageNet is named by its content, with the command that comes next."""

import bz2
import gzip
import io
import lzma
import os
import shutil
import subprocess
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

import imagenet_tools
from imagenet_tools.errors import SourceError
from imagenet_tools.index import Index
from tests.conftest import Extracted


def _zip_of(name: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(name, "text")
    return out.getvalue()


def _tar_of(*names: str) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name in names:
            archive.addfile(tarfile.TarInfo(name), io.BytesIO())
    return out.getvalue()


def _drawn(encoding: str) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (8, 8)).save(out, encoding)
    return out.getvalue()


NAME = "ILSVRC2012_img_val.tar"  # a name decides nothing
_NO_NAME = "no name is a wnid or one of ImageNet's"

# A frame of zstd by hand: magic, a header that says one raw block, the block.
_ZSTD = b"\x28\xb5\x2f\xfd\x20\x01\x09\x00\x00x"
_HTML = b"\n<!-- moved -->\n<!DOCTYPE html><html>\n<head><title>\n Sign in |\n ImageNet \x1b[31m</title>"
_POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935\nsize 499000000\n"

FILES: dict[str, tuple[bytes, str, str]] = {
    "bzip2": (bz2.compress(b"a tar"), "compressed by bzip2", "`bunzip2 {path}`"),
    "xz": (lzma.compress(b"a tar"), "compressed by xz", "`unxz {path}`"),
    "zstd": (_ZSTD, "compressed by zstd", "`zstd -d {path}`"),
    "zip of notes": (_zip_of("notes.txt"), f"a zip of files, notes.txt first; {_NO_NAME}", ""),
    "zip of cats": (_zip_of("a/cat0.jpg"), f"a zip of 1 image, a/cat0.jpg first; {_NO_NAME}", "n02085620/cat0.jpg"),
    "zip of a tar": (_zip_of("ILSVRC2012_img_val.tar"), "a zip of files", "`unzip {path} -d {path}-files`"),
    "tar of cats": (_tar_of("cat0.jpg", "cat1.jpg"), f"a tar of 2 images, cat0.jpg first; {_NO_NAME}", "n02085620/"),
    "tar of notes": (_tar_of("README"), f"a tar of files, README first; {_NO_NAME}", ""),
    "tar of nothing": (_tar_of(), "an empty tar", ""),
    "tar of a tar": (_tar_of("imagenet/a.tar"), "a tar of files, imagenet/a.tar first", "`tar -xf {path}`"),
    "gzip of a tar": (gzip.compress(_tar_of("cat0.jpg")), "a compressed tar of 1 image, cat0.jpg first", _NO_NAME),
    "gzip of text": (gzip.compress(b"text" * 200), "a gzip file that holds no tar", "`gunzip {path}`"),
    "cut gzip": (gzip.compress(_tar_of("cat0.jpg"))[:40], "a gzip file that is broken", ""),
    "jpeg": (_drawn("JPEG"), "one JPEG image by itself", "n02085620/" + NAME),
    "png": (_drawn("PNG"), "one PNG image by itself", "n02085620/" + NAME),
    "zip of nothing": (_zip_of("a")[-22:-14] + bytes(14), "an empty zip", ""),
    "cut zip": (_zip_of("notes.txt")[:-9], "a zip that is broken: found no list of members", "Download it again"),
    "html": (_HTML, "an HTML page titled 'Sign in | ImageNet [31m'", "download it again"),
    "html without a title": (b"<HTML><body>403</body>", "an HTML page, not the file", "log in"),
    "xhtml": (b'<?xml version="1.0"?>\n<!DOCTYPE html><html>', "an HTML page", "log in"),
    "empty": (b"", "an empty file", "copy or download it again"),
    "pointer": (_POINTER, "a Git LFS pointer to 499,000,000 bytes", "`git lfs pull`"),
}


@pytest.mark.parametrize("kind", FILES)
def test_a_file_is_named_by_its_content_with_advice(kind: str, tmp_path: Path) -> None:
    data, what, advice = FILES[kind]
    path = tmp_path / NAME
    path.write_bytes(data)
    found = imagenet_tools.detect(path)
    assert found.found == ()
    assert found.unrecognised.startswith(what)
    assert advice.format(path=path) in found.unrecognised
    with pytest.raises(SourceError) as caught:
        imagenet_tools.build_index([path], tmp_path / "x.index")
    assert f"{path} is not recognised: it is {what}" in str(caught.value)
    assert ".." not in str(caught.value).replace("...", "")


@pytest.mark.parametrize("kind", FILES)
def test_beside_images_a_file_that_is_not_read_is_listed_with_the_reason(
    kind: str, extracted: Extracted, tmp_path: Path
) -> None:
    shutil.copytree(extracted.val, tmp_path / "val")
    data, what, _ = FILES[kind]
    (tmp_path / NAME).write_bytes(data)
    found = imagenet_tools.detect(tmp_path)
    assert [one.form for one in found.found] == ["flat_folder"]
    [listed] = found.ignored
    assert listed.startswith(f"{NAME} ({what}")


def test_a_link_to_a_folder_around_it_is_not_followed(extracted: Extracted, tmp_path: Path) -> None:
    home = tmp_path / "imagenet"
    shutil.copytree(extracted.train, home / "train")
    (home / "imagenet").symlink_to(home)  # a second `ln -s` of the folder makes it
    (home / "a").mkdir()
    (home / "b").mkdir()
    (home / "a" / "b").symlink_to(home / "b")
    (home / "b" / "a").symlink_to(home / "a")
    (home / "train" / "up").symlink_to(tmp_path)
    found = imagenet_tools.detect(home)
    assert [(one.form, one.path) for one in found.found] == [("image_folder", home)]
    note = "(a link to a folder around it)"
    assert found.ignored == ("a/", "b/", f"imagenet/ {note}", f"train/up/ {note}")


def test_a_link_to_itself_hides_nothing_beside_it(index: Index, extracted: Extracted, tmp_path: Path) -> None:
    for home in ("empty", "images", "images/exports"):
        (tmp_path / home).mkdir()
        (tmp_path / home / "a").symlink_to("a")
    assert imagenet_tools.detect(tmp_path / "empty").unrecognised == "a folder with a"
    shutil.copytree(extracted.val, tmp_path / "images" / "val")
    imagenet_tools.export(index.select(limit=2), tmp_path / "images" / "exports" / "dogs", to="webdataset", workers=1)
    found = imagenet_tools.detect(tmp_path / "images")
    assert [one.form for one in found.found] == ["flat_folder"]
    assert any("exports/dogs/ (an export to webdataset" in name for name in found.ignored), found.ignored


@pytest.mark.parametrize("place", ["", "train/"])
def test_images_beside_class_folders_are_counted(place: str, extracted: Extracted, tmp_path: Path) -> None:
    shutil.copytree(extracted.train, tmp_path / place, dirs_exist_ok=True)
    for name in ("cat1.jpg", "cat2.jpg"):
        (tmp_path / place / name).write_bytes(_drawn("JPEG"))
    advice = "(2 images beside class folders: put each into the folder of its class)"
    assert imagenet_tools.detect(tmp_path).ignored == (f"{place}cat1.jpg {advice}",)


@pytest.mark.skipif(shutil.which("zstd") is None, reason="needs zstd")
def test_what_zstd_writes_is_named(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a tar" * 1000)
    subprocess.run(["zstd", "-q", "a"], cwd=tmp_path, check=True)
    assert imagenet_tools.detect(tmp_path / "a.zst").unrecognised.startswith("compressed by zstd")


def test_a_clone_without_its_large_files_is_told_by_a_pointer_in_it(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "README.md").write_text("")
    (tmp_path / "data" / "train-00000-of-00294.parquet").write_bytes(_POINTER)
    what = imagenet_tools.detect(tmp_path).unrecognised
    assert what.startswith("a folder with data/train-00000-of-00294.parquet, which is a Git LFS pointer")


def test_a_path_with_spaces_is_quoted_in_the_command(tmp_path: Path) -> None:
    path = tmp_path / "my data.tar"
    path.write_bytes(bz2.compress(b""))
    assert f"`bunzip2 '{path}'`" in imagenet_tools.detect(path).unrecognised


@pytest.mark.parametrize("place", ["", "2019/May"])
def test_a_folder_of_photos_is_told_by_their_number_and_what_their_names_lack(place: str, tmp_path: Path) -> None:
    (tmp_path / "holiday" / place).mkdir(parents=True)
    for n in range(3):
        (tmp_path / "holiday" / place / f"IMG_{n}.jpg").write_bytes(_drawn("JPEG"))
    what = imagenet_tools.detect(tmp_path / "holiday").unrecognised
    inside = f" in {place}/" if place else ""
    assert what.startswith(f"a folder with 3 images{inside}, IMG_0.jpg first; {_NO_NAME}: put the images of each class")


# ---- class folders that nothing names


def _folders(home: Path, names: list[str], data: bytes) -> Path:
    for n, name in enumerate(names):
        (home / name).mkdir(parents=True)
        (home / name / f"photo {n}.jpg").write_bytes(data)
    return home


Place = Callable[[Path], Path]


@pytest.mark.parametrize("place", [lambda home: home, lambda home: home / "train"], ids=["itself", "in train/"])
@pytest.mark.parametrize(
    ("names", "what", "command"),
    [
        (["0", "1", "2", "10", "999"], "called by numbers (0, 1, 2 ...)", "imagenet-tools classes show ilsvrc2012"),
        (["tench", "crane", "red fox"], "called by words (crane, red fox, tench)", "imagenet-tools find crane"),
        (["7", "tench"], "called by words (7, tench)", "imagenet-tools find"),
    ],
    ids=["numbers", "words", "both"],
)
def test_class_folders_that_nothing_names_say_why_and_what_comes_next(
    place: Place, names: list[str], what: str, command: str, extracted: Extracted, tmp_path: Path
) -> None:
    _folders(place(tmp_path / "data"), names, next(iter(extracted.data.values())))
    found = imagenet_tools.detect(tmp_path / "data")
    assert found.found == ()
    assert found.unrecognised.startswith(f"a folder of class folders {what}, with images such as ")
    assert "nothing here tells which" in found.unrecognised
    assert f"or rename each folder to its wnid: `{command}" in found.unrecognised
    with pytest.raises(SourceError, match="nothing here tells which"):
        imagenet_tools.build_index([tmp_path / "data"], tmp_path / "x.index")


def test_one_image_without_a_name_among_class_folders_of_words_is_the_reason(
    extracted: Extracted, tmp_path: Path
) -> None:
    data = next(iter(extracted.data.values()))
    for name, image in (("tench", "n01440764_1.JPEG"), ("crane", "mine.jpg")):
        (tmp_path / "train" / name).mkdir(parents=True)
        (tmp_path / "train" / name / image).write_bytes(data)
    assert "images such as crane/mine.jpg" in imagenet_tools.detect(tmp_path).unrecognised


@pytest.mark.skipif(os.geteuid() == 0, reason="root may look into every folder")
def test_a_folder_that_may_not_be_looked_into_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "0").mkdir(mode=0)
    assert imagenet_tools.detect(tmp_path).unrecognised
