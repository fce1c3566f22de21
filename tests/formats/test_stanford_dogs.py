"""Stanford Dogs: photos of ImageNet with a split and boxes of their own, in XML that does not say so."""

import shutil
from pathlib import Path

import pytest

import imagenet_tools
from imagenet_tools.build.unit_work import fingerprint_of
from imagenet_tools.containers.mat5 import read_texts
from imagenet_tools.errors import FormatError
from imagenet_tools.formats import stanford_dogs
from imagenet_tools.index import Index
from tests.conftest import Extracted
from tests.forms.dogs import BREEDS, Dogs, mat
from tests.read_back import read_all
from tests.scanned import Scanned


@pytest.fixture(scope="session")
def dogs(extracted: Extracted) -> Dogs:
    return Dogs(extracted.data)


def build(path: Path, index: Path) -> Index:
    imagenet_tools.build_index(path, index, workers=1)
    return imagenet_tools.open_index(index)


@pytest.mark.parametrize("form", ["folders", "tars"])
def test_images_boxes_and_the_split_are_read(form: str, dogs: Dogs, extracted: Extracted, tmp_path: Path) -> None:
    home = (dogs.write_folders if form == "folders" else dogs.write_tars)(tmp_path / "dogs")
    survey = imagenet_tools.detect(home)
    assert sorted((found.form, found.holds) for found in survey.found) == [
        ("stanford_dogs", ("boxes",)),
        ("stanford_dogs", ("images",)),
    ]
    assert survey.ignored == ()
    index = build(home, tmp_path / "x.index")
    rows = index.sql("SELECT dataset, image_id, photo, wnid, split, n_boxes FROM images ORDER BY 2").fetchall()
    assert rows == [("stanford-dogs", stem, stem, stem[:9], dogs.split[stem], 1) for stem in dogs.stems]
    assert read_all(index) == {stem: extracted.data[stem] for stem in dogs.stems}
    boxes = index.sql("SELECT image_id, wnid, ymin, 'name_is_word' IN flags FROM boxes").fetchall()
    assert {row[0]: row[1:3] for row in boxes} == dogs.boxes
    assert all(row[3] for row in boxes)
    assert index.sql("SELECT * FROM problems").fetchall() == []


def test_without_the_lists_the_split_is_not_known(dogs: Dogs, tmp_path: Path) -> None:
    home = dogs.write_folders(tmp_path / "dogs", lists=False)
    images = next(found for found in stanford_dogs.detect(home) if found.holds == ("images",))
    assert "not known" in images.evidence
    assert images.missing == "117 of the 120 breeds"
    assert {row["split"] for row in Scanned(stanford_dogs, home).tables["images"]} == {None}
    before = [fingerprint_of(unit) for unit in Scanned(stanford_dogs, home).units]
    for name, data in dogs.lists.items():
        (home / name).write_bytes(data)
    after = Scanned(stanford_dogs, home)
    assert {row["split"] for row in after.tables["images"]} == {"train", "test"}
    changed = [old != fingerprint_of(unit) for old, unit in zip(before, after.units, strict=True)]
    assert changed == [True] * 3 + [False] * 3  # the images; the boxes need no list


def test_images_and_annotations_are_told_from_the_folder_itself(dogs: Dogs, tmp_path: Path) -> None:
    home = dogs.write_folders(tmp_path / "dogs")
    for name, holds in (("Images", "images"), ("Annotation", "boxes")):
        (found,) = imagenet_tools.detect(home / name).found
        assert (found.form, found.holds, found.splits) == ("stanford_dogs", (holds,), ("train", "test"))


def test_the_photos_are_those_of_imagenet(dogs: Dogs, extracted: Extracted, tmp_path: Path) -> None:
    imagenet_tools.build_index(extracted.train, tmp_path / "x.index", workers=1)
    index = build(dogs.write_folders(tmp_path / "dogs"), tmp_path / "x.index")
    shared = index.sql("SELECT photo FROM images GROUP BY photo HAVING count(DISTINCT dataset) = 2 ORDER BY 1")
    assert [photo for (photo,) in shared.fetchall()] == dogs.stems


def test_the_real_annotations_are_read(real: Path, tmp_path: Path) -> None:
    shutil.copytree(real / "xml" / "stanford_dogs", tmp_path / "Annotation")
    scanned = Scanned(stanford_dogs, tmp_path)
    rows = {row["image_id"]: row for row in scanned.tables["boxes"]}
    assert sorted(rows) == ["n02085620_10074", "n02085620_7", "n02085782_17", "n02086646_45", "n02106166_1031"]
    assert {stem: row["wnid"] for stem, row in rows.items()} == {stem: stem[:9] for stem in rows}
    chihuahua = rows["n02085620_7"]
    assert [chihuahua[edge] for edge in ("xmin", "ymin", "xmax", "ymax")] == [71, 1, 192, 180]
    assert (chihuahua["stated_width"], chihuahua["stated_height"], chihuahua["name"]) == (250, 188, "Chihuahua")
    assert scanned.problems == {}


def test_the_lists_are_read_as_scipy_reads_them(dogs: Dogs) -> None:
    texts = read_texts(dogs.lists["train_list.mat"], "file_list")
    assert texts == [f"{dogs.place(stem)}.jpg" for stem in dogs.stems if dogs.split[stem] == "train"]
    assert read_texts(mat([]), "file_list") == []
    with pytest.raises(FormatError, match="no cell array"):
        read_texts(dogs.lists["train_list.mat"], "other")
    with pytest.raises(FormatError, match="cut short"):
        read_texts(dogs.lists["train_list.mat"][:300], "file_list")


def test_strays_beside_annotations_are_counted(dogs: Dogs, tmp_path: Path) -> None:
    home = dogs.write_folders(tmp_path / "dogs")
    folder = home / "Annotation" / f"n02085620-{BREEDS['n02085620']}"
    (folder / "notes.txt").write_text("ours")
    (folder / "n02085620_1").write_text("no XML")
    scanned = Scanned(stanford_dogs, home)
    assert scanned.problems == {"stray_file": 1, "xml_broken": 1}
    assert len(scanned.tables["boxes"]) == len(dogs.stems)
