"""What is taken over from the index of somebody who holds the same archives: what agrees here, and nothing else."""

import io
import shutil
import tarfile
from pathlib import Path

import pytest

import imagenet_tools
from imagenet_tools.errors import NoIndexError
from imagenet_tools.index import Index
from tests.conftest import OFFICIAL, Extracted
from tests.forms import whole
from tests.index.test_build import build, tables
from tests.parameters import short_list

TRAIN, VAL = "ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar"


@pytest.fixture
def here(sample: Path, tmp_path: Path) -> Path:
    """The archives of the sample in another place, with other times."""
    (tmp_path / "here").mkdir()
    for name in OFFICIAL:
        shutil.copyfile(sample / name, tmp_path / "here" / name)
    return tmp_path / "here"


def changed(path: Path, name: str, *, data: bytes | None = None, called: str | None = None) -> None:
    """Rewrite a member's payload, or its name, in a flat tar or in a tar of tars, and no size."""
    raw = bytearray(path.read_bytes())
    places = [(0, raw)]
    with tarfile.open(path) as outer:
        for member in outer:
            if member.name.endswith(".tar"):
                places.append((member.offset_data, raw[member.offset_data : member.offset_data + member.size]))
    for start, piece in places:
        with tarfile.open(fileobj=io.BytesIO(piece)) as archive:
            for member in archive:
                if member.name == name:
                    if data is not None:
                        raw[start + member.offset_data : start + member.offset_data + len(data)] = data
                    if called is not None:
                        member.name = called
                        header = member.tobuf(tarfile.GNU_FORMAT)
                        raw[start + member.offset : start + member.offset + 512] = header
                    path.write_bytes(raw)
                    return
    raise AssertionError(name)


def test_the_same_archives_are_taken_over_and_the_bytes_are_those_of_a_scan(
    here: Path, index: Index, tmp_path: Path
) -> None:
    report = build([here / name for name in OFFICIAL], tmp_path / "x.index", like=index.path)
    # 13 classes and the validation images; the tar around the classes, the devkit and the boxes are read as ever.
    assert report.units == {"scanned": 4, "resumed": 0, "unchanged": 0, "borrowed": 14, "removed": 0}
    assert tables(tmp_path / "x.index") == tables(index.path)
    again = build([here / name for name in OFFICIAL], tmp_path / "x.index")
    assert (again.units["unchanged"], again.units["scanned"]) == (18, 0)


def test_an_archive_that_is_called_otherwise_is_taken_over_too(here: Path, index: Index, tmp_path: Path) -> None:
    (here / VAL).rename(here / "val.bin")
    report = build([here / "val.bin"], tmp_path / "x.index", like=index.path)
    assert report.units["borrowed"] == 1
    opened = imagenet_tools.open_index(tmp_path / "x.index")
    assert opened.image("ILSVRC2012_val_00000020").read() == index.image("ILSVRC2012_val_00000020").read()


def first_and_last(index: Index, split: str) -> list[str]:
    rows = index.sql(f"SELECT image_id FROM images WHERE split = '{split}' ORDER BY wnid, image_id").fetchall()
    return [rows[0][0], rows[-1][0]]


def test_another_archive_of_the_same_size_is_scanned(here: Path, index: Index, tmp_path: Path) -> None:
    """The same names and sizes, and other images: none of them is where the other index has it."""
    path = here / VAL
    ids = index.sql("SELECT image_id, length FROM images WHERE split = 'val'").fetchall()
    for image_id, length in ids:
        changed(path, f"{image_id}.JPEG", data=b"\x89PNG\r\n\x1a\n" + bytes(length - 8))
    assert path.stat().st_size == (index.roots[VAL] / VAL).stat().st_size
    report = build([path], tmp_path / "x.index", like=index.path)
    assert (report.units["borrowed"], report.units["scanned"]) == (0, 1)
    build([path], tmp_path / "anew.index")
    assert tables(tmp_path / "x.index") == tables(tmp_path / "anew.index") != tables(index.path)


@pytest.mark.parametrize("which", short_list([0, 1], 1), ids=["first", "last"])
def test_a_header_that_differs_has_its_unit_scanned(which: int, here: Path, index: Index, tmp_path: Path) -> None:
    stem = first_and_last(index, "train")[which]
    changed(here / TRAIN, f"{stem}.JPEG", called=f"{stem[:9]}_99999.JPEG")
    report = build([here / TRAIN], tmp_path / "x.index", like=index.path)
    assert (report.units["borrowed"], report.units["scanned"]) == (12, 2)
    build([here / TRAIN], tmp_path / "anew.index")
    assert tables(tmp_path / "x.index") == tables(tmp_path / "anew.index")


def test_an_archive_that_was_written_to_or_cut_is_scanned(here: Path, index: Index, tmp_path: Path) -> None:
    with (here / VAL).open("ab") as file:
        file.write(bytes(10_240))
    report = build([here / VAL], tmp_path / "x.index", like=index.path)
    assert (report.units["borrowed"], report.units["scanned"]) == (0, 1)


def test_what_was_not_probed_is_not_taken_for_what_is(here: Path, tmp_path: Path) -> None:
    build([here / VAL], tmp_path / "unprobed.index", probe=False)
    report = build([here / VAL], tmp_path / "x.index", like=tmp_path / "unprobed.index")
    assert report.units["scanned"] == 1
    opened = imagenet_tools.open_index(tmp_path / "x.index")
    assert opened.sql("SELECT count(width) FROM images").fetchall() == [(52,)]


def test_problems_and_copies_come_along(here: Path, extracted: Extracted, tmp_path: Path) -> None:
    broken = {"n00004475_7": b"no image"}
    images = whole.images(extracted.data.values()) | {"n00004475": broken}
    archive = whole.fall11_whole(tmp_path / "fall11_whole.tar", images)
    copy = shutil.copyfile(archive, here / "fall11_whole.tar")
    first = build([archive, copy], tmp_path / "first.index")
    assert (first.problems, first.rows["copies"]) == ({"not_an_image": 2}, 17)
    report = build([copy], tmp_path / "x.index", like=tmp_path / "first.index")
    assert report.problems == {"not_an_image": 1}
    build([copy], tmp_path / "anew.index")
    assert tables(tmp_path / "x.index") == tables(tmp_path / "anew.index")


def test_what_is_no_index_cannot_be_like(here: Path, tmp_path: Path) -> None:
    with pytest.raises(NoIndexError, match="No index at"):
        build([here / VAL], tmp_path / "x.index", like=tmp_path)
    assert not (tmp_path / "x.index").exists()


def test_a_damaged_index_cannot_be_like(here: Path, index: Index, tmp_path: Path) -> None:
    like = tmp_path / "like.index"
    shutil.copytree(index.path, like)
    images = next((like / "images").glob("*train*.parquet"))
    images.write_bytes(images.read_bytes()[:100])
    with pytest.raises(NoIndexError, match="is damaged; its table images cannot be read: "):
        build([here / TRAIN], tmp_path / "x.index", like=like)
    assert not (tmp_path / "x.index").exists()
