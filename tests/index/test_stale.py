"""Nothing stale is kept: a file that could not be read once is read again, and a damaged index is not added to."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

import imagenet_tools
from imagenet_tools.errors import NoIndexError
from imagenet_tools.store.layout import read_manifest, write_manifest
from imagenet_tools.store.sources import read_sources, write_sources
from tests.conftest import Extracted
from tests.forms import kaggle
from tests.index.test_build import build, tables
from tests.index.test_refresh import states
from tests.parameters import short_list

WNID = "n02123045"


@pytest.fixture
def folder(extracted: Extracted, tmp_path: Path) -> Path:
    """A copy of one class folder."""
    shutil.copytree(extracted.train / WNID, tmp_path / "train" / WNID)
    return tmp_path / "train" / WNID


def refuse(patch: pytest.MonkeyPatch, call: str, name: str) -> None:
    """Let a call on a file of this name fail, as a bad disk or a lost permission makes it fail."""
    original = getattr(os, call)

    def refused(path: object, *arguments: object, **options: object) -> object:
        place = Path(f"/proc/self/fd/{path}").readlink() if isinstance(path, int) else Path(os.fspath(path))  # type: ignore[call-overload]
        if place.name == name:
            raise PermissionError(13, "Permission denied") if call == "open" else OSError(5, "Input/output error")
        return original(path, *arguments, **options)

    patch.setattr(os, call, refused)


@pytest.mark.parametrize("by_hash", short_list([False, True], True), ids=["by time", "by hash"])
@pytest.mark.parametrize("call", short_list(["open", "preadv"], "preadv"))
@pytest.mark.parametrize("images", [1, 10], ids=["one by one", "together"])
def test_an_image_that_could_not_be_read_once_is_read_by_the_next_build(
    images: int, call: str, by_hash: bool, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in sorted(folder.iterdir())[images:]:
        path.unlink()
    name = min(path.name for path in folder.iterdir())
    with monkeypatch.context() as patch:
        refuse(patch, call, name)
        if call == "preadv":
            refuse(patch, "pread", name)
        report = build([folder.parent], tmp_path / "x.index", by_hash=by_hash)
    assert report.problems == {"unreadable_file": 1}
    assert states(build([folder.parent], tmp_path / "x.index", by_hash=by_hash)) == {"scanned": 1}
    found = imagenet_tools.open_index(tmp_path / "x.index")
    assert found.sql("SELECT count(*), count(width) FROM images").fetchall() == [(images, images)]
    assert found.sql("SELECT * FROM problems").fetchall() == []
    assert states(build([folder.parent], tmp_path / "x.index", by_hash=by_hash)) == {"unchanged": 1}


def test_an_image_that_could_not_be_read_is_read_again_by_a_build_that_goes_on(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        refuse(patch, "open", min(path.name for path in folder.iterdir()))
        patch.setattr("imagenet_tools.build.build.merge", interrupted)
        with pytest.raises(KeyboardInterrupt):
            build([folder.parent], tmp_path / "x.index")
    report = build([folder.parent], tmp_path / "x.index")
    assert (states(report), report.problems) == ({"scanned": 1}, {})


def interrupted(*arguments: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("module", ["build.find", "build.unit_work"])
def test_a_tar_of_a_failing_disk_is_named(
    module: str, sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(5, "Input/output error")  # as os.pread() raises it: without a path

    monkeypatch.setattr(f"imagenet_tools.{module}.{'detect' if module == 'build.find' else '_state'}", fail)
    with pytest.raises(OSError, match=r"Input/output error: '.*ILSVRC2012_img_val\.tar'"):
        build([sample / "ILSVRC2012_img_val.tar"], tmp_path / "x.index")


def test_an_annotation_that_could_not_be_read_once_is_read_by_the_next_build(
    sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.unpack_archive(sample / "ILSVRC2012_bbox_val_v3.tgz", tmp_path)
    with monkeypatch.context() as patch:
        refuse(patch, "open", max(path.name for path in (tmp_path / "val").iterdir()))
        report = build([tmp_path / "val"], tmp_path / "x.index")
    assert report.problems == {"unreadable_file": 1}
    report = build([tmp_path / "val"], tmp_path / "x.index")
    assert (states(report), report.problems) == ({"scanned": 1}, {})


def test_a_folder_that_a_list_names_is_listed_again_by_hash(extracted: Extracted, sample: Path, tmp_path: Path) -> None:
    kaggle.write(tmp_path / "kaggle", extracted.data, sample)
    build([tmp_path / "kaggle"], tmp_path / "x.index", by_hash=True)
    folder = tmp_path / "kaggle" / "ILSVRC" / "Data" / "CLS-LOC" / "val"
    status = folder.stat()
    min(folder.iterdir()).rename(folder / "ILSVRC2012_val_00049999.JPEG")
    os.utime(folder, ns=(status.st_atime_ns, status.st_mtime_ns))
    report = build([tmp_path / "kaggle"], tmp_path / "x.index", by_hash=True)
    assert report.units["scanned"] == 2  # the images, and the lists that are held against them
    assert report.problems["listed_absent"] == report.problems["unlisted"] == 1


def test_an_index_of_an_older_fingerprint_is_scanned_again(folder: Path, tmp_path: Path) -> None:
    build([folder.parent], tmp_path / "x.index", by_hash=True)
    expected = tables(tmp_path / "x.index")
    with_fingerprint(tmp_path / "x.index", "ilsvrc2012 train n02123045 5f2a", "0123")
    assert states(build([folder.parent], tmp_path / "x.index", by_hash=True)) == {"scanned": 1}
    with_fingerprint(tmp_path / "x.index", "ilsvrc2012 train n02123045 5f2a", "")
    assert states(build([folder.parent], tmp_path / "x.index")) == {"scanned": 1}
    assert tables(tmp_path / "x.index") == expected


def with_fingerprint(index: Path, fingerprint: str, digest: str) -> None:
    """Write another fingerprint and digest of all units into an index."""
    manifest = read_manifest(index)
    sources = read_sources(index, manifest)
    changed = [unit._replace(fingerprint=fingerprint, digest=digest) for unit in sources[0].units]
    write_manifest(index, write_sources(index, manifest, [replace(sources[0], units=tuple(changed))]))


# ---- the index's own files


@pytest.mark.parametrize("harm", short_list(["gone", "cut", "same size"], "same size"))
@pytest.mark.parametrize("table", short_list(["images", "synset_terms", "sources"], "images"))
def test_a_damaged_file_of_an_index_stops_a_build_and_fresh_replaces_it(
    table: str, harm: str, folder: Path, tmp_path: Path
) -> None:
    index = tmp_path / "x.index"
    build([folder.parent], index)
    expected = tables(index)
    [file] = (index / table).iterdir()
    data = bytearray(file.read_bytes())
    data[len(data) // 3] ^= 1
    if harm == "gone":
        file.unlink()
    else:
        file.write_bytes(data if harm == "same size" else data[:-9])
    before = (index / "manifest.json").read_bytes()
    with pytest.raises(NoIndexError, match=rf"{file.name} .*--fresh"):
        build([folder.parent], index)
    assert (index / "manifest.json").read_bytes() == before
    assert not index.with_name("x.index.partial").exists()
    build([folder.parent], index, fresh=True)
    assert tables(index) == expected
    assert states(build([folder.parent], index)) == {"unchanged": 1}
