"""Kaggle's whole tree in one source: images, boxes and tables found, boxes not doubled, lists held against folders."""

import gzip
import shutil
from pathlib import Path

import pytest

import imagenet_tools
from imagenet_tools.index import Index
from tests.conftest import Extracted
from tests.forms.annotations import tar_of
from tests.forms.kaggle import files_of, write, write_archive
from tests.index.test_build import FACTS
from tests.parameters import short_list
from tests.read_back import read_all


@pytest.fixture(scope="session")
def kaggle(extracted: Extracted, sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """imagenet-object-localization-challenge/."""
    return write(tmp_path_factory.mktemp("kaggle") / "challenge", extracted.data, sample)


@pytest.fixture(scope="session")
def built(kaggle: Path, tmp_path_factory: pytest.TempPathFactory) -> Index:
    """The index of all of it."""
    path = tmp_path_factory.mktemp("index") / "kaggle.index"
    imagenet_tools.build_index(kaggle, path, workers=1)
    return imagenet_tools.open_index(path)


BOXES = "SELECT image_id, wnid, xmin, ymin, xmax, ymax, stated_width, nxmin, nymax, flags FROM boxes ORDER BY ALL"


def test_images_boxes_and_tables_are_one_source(kaggle: Path, built: Index, index: Index) -> None:
    survey = imagenet_tools.detect(kaggle)
    assert sorted(found.form for found in survey.found) == ["box_xml", "box_xml", "kaggle_tree", "loc_csv", "loc_csv"]
    assert survey.ignored == ()
    assert {found.dataset for found in survey.found} == {"ilsvrc2012"}
    (tree,) = (found for found in survey.found if found.form == "kaggle_tree")
    assert "train with 13 class folders, val with 52 images, test with 5 images" in tree.evidence
    assert "130 in train_cls.txt" in tree.evidence
    assert "987 of the 1,000 classes" in tree.missing
    assert built.sql("SELECT source FROM sources").fetchall() == [("challenge",)]
    facts = f"SELECT {FACTS} FROM images WHERE split <> 'test' ORDER BY ALL"
    assert built.sql(facts).fetchall() == index.sql(facts).fetchall()


def test_every_image_is_read_back_byte_for_byte(built: Index, extracted: Extracted) -> None:
    assert read_all(built) == extracted.data


def test_boxes_of_table_and_annotations_are_not_doubled(built: Index, index: Index) -> None:
    assert built.sql(BOXES).fetchall() == index.sql(BOXES).fetchall()
    reasons = dict(built.sql("SELECT reason, count(*) FROM unused_boxes GROUP BY reason").fetchall())
    files = {
        file for (file,) in built.sql("SELECT DISTINCT file FROM unused_boxes WHERE reason = 'repeated'").fetchall()
    }
    assert files == {"LOC_train_solution.csv", "LOC_val_solution.csv"}
    assert reasons["repeated"] > 100


def test_labels_are_those_of_the_table_and_no_line_number(built: Index) -> None:
    wrong = built.sql("SELECT count(*) FROM labels l JOIN images i USING (image_id) WHERE l.wnid <> i.wnid").fetchall()
    assert wrong == [(0,)]
    assert built.sql("SELECT DISTINCT label_set FROM labels").fetchall() == [("loc_csv",)]


@pytest.mark.parametrize("place", short_list(["ILSVRC", "ILSVRC/Data", "ILSVRC/Data/CLS-LOC"], "ILSVRC/Data"))
def test_parts_of_the_tree_are_told_wherever_one_points(place: str, kaggle: Path, built: Index, tmp_path: Path) -> None:
    imagenet_tools.build_index(kaggle / place, tmp_path / "x.index", workers=1)
    opened = imagenet_tools.open_index(tmp_path / "x.index")
    facts = f"SELECT {FACTS} FROM images ORDER BY ALL"
    assert opened.sql(facts).fetchall() == built.sql(facts).fetchall()
    boxes = opened.sql(BOXES).fetchall()
    assert boxes == (built.sql(BOXES).fetchall() if place == "ILSVRC" else [])


def test_a_tree_that_agrees_with_its_lists_has_no_word_of_them(built: Index) -> None:
    codes = {code for (code,) in built.sql("SELECT code FROM problems").fetchall()}
    assert not {"listed_absent", "unlisted"} & codes


def test_a_link_to_a_folder_around_it_ends(extracted: Extracted, sample: Path, tmp_path: Path) -> None:
    kaggle = write(tmp_path / "challenge", extracted.data, sample)
    train = kaggle / "ILSVRC" / "Data" / "CLS-LOC" / "train"
    (train / "train").symlink_to(train)
    (train / "itself").symlink_to("itself")
    report = imagenet_tools.build_index(kaggle, tmp_path / "x.index", workers=1)
    assert not {"listed_absent", "unlisted"} & report.problems.keys()
    assert report.rows["images"] == len(extracted.data)


def test_what_is_missing_and_what_is_stray_is_counted(extracted: Extracted, sample: Path, tmp_path: Path) -> None:
    home = write(tmp_path / "challenge", extracted.data, sample)
    data = home / "ILSVRC" / "Data" / "CLS-LOC"
    boxes = home / "ILSVRC" / "Annotations" / "CLS-LOC"
    gone = sorted((data / "train" / "n02123045").iterdir())[0]
    gone.unlink()
    shutil.rmtree(data / "train" / "n01531178")
    some = next(iter(sorted((data / "train" / "n02123045").iterdir())))
    shutil.copy(some, data / "train" / "n02123045" / "n02123045_999999.JPEG")
    (boxes / "val" / "ILSVRC2012_val_00000020.xml").unlink()
    imagenet_tools.build_index(home, tmp_path / "x.index", workers=1)
    opened = imagenet_tools.open_index(tmp_path / "x.index")
    rows = opened.sql("SELECT code, file, reason FROM problems WHERE code IN ('listed_absent', 'unlisted')").fetchall()
    found = {(code, file.rpartition("/")[2]): reason for code, file, reason in rows}
    absent = found["listed_absent", "train_cls.txt"]
    assert absent.startswith("11 of the 130 images that train_cls.txt lists are not in Data/CLS-LOC/train: n01531178/")
    assert found["unlisted", "train_cls.txt"].startswith("1 images in Data/CLS-LOC/train are not in train_cls.txt")
    assert "n02123045/n02123045_999999" in found["unlisted", "train_cls.txt"]
    assert found["listed_absent", "val.txt"].startswith("1 of the 52 annotations that val.txt lists")
    assert len(found) == 3
    again = imagenet_tools.build_index(home, tmp_path / "x.index", workers=1)
    assert again.units["scanned"] == 0
    gone.write_bytes(some.read_bytes())
    assert imagenet_tools.build_index(home, tmp_path / "x.index", workers=1).units["scanned"] == 2


@pytest.mark.parametrize(
    "name", short_list(["imagenet_object_localization_patched2019.tar.gz", "gunzipped.tar"], "gunzipped.tar")
)
def test_the_whole_archive_gives_the_rows_of_the_tree(
    name: str, extracted: Extracted, sample: Path, built: Index, tmp_path: Path
) -> None:
    path = write_archive(tmp_path / "imagenet_object_localization_patched2019.tar.gz", extracted.data, sample)
    if name.endswith(".tar"):
        path = tmp_path / name
        path.write_bytes(gzip.decompress((tmp_path / "imagenet_object_localization_patched2019.tar.gz").read_bytes()))
    (found,) = imagenet_tools.detect(path).found
    assert (found.form, found.holds) == ("kaggle_tree", ("images", "boxes"))
    assert "Kaggle's whole tree" in found.evidence
    assert ("gunzip it once" in found.advice) == name.endswith(".gz")
    report = imagenet_tools.build_index(path, tmp_path / "x.index", workers=1)
    opened = imagenet_tools.open_index(tmp_path / "x.index")
    facts = f"SELECT {FACTS} FROM images ORDER BY ALL"
    assert opened.sql(facts).fetchall() == built.sql(facts).fetchall()
    assert opened.sql(BOXES).fetchall() == built.sql(BOXES).fetchall()
    assert read_all(opened) == extracted.data
    assert report.problems == {"xml_no_object": 1}  # as published


@pytest.mark.parametrize("mode", short_list(["w:gz", "w"], "w"))
def test_an_archive_is_held_to_the_lengths_of_its_lists(
    mode: str, extracted: Extracted, sample: Path, tmp_path: Path
) -> None:
    files = files_of(extracted.data, sample)
    gone = [name for name in files if "/Data/CLS-LOC/val/" in name][:2]
    gone.append(next(name for name in files if "/Annotations/CLS-LOC/train/" in name))
    files = {name: data for name, data in files.items() if name not in gone}
    files["ILSVRC/Data/CLS-LOC/train/n02123045/n02123045_999999.JPEG"] = next(iter(extracted.data.values()))
    files["ILSVRC/notes.txt"] = "ours"
    (tmp_path / "a.tar").write_bytes(tar_of(files, mode))
    report = imagenet_tools.build_index(tmp_path / "a.tar", tmp_path / "x.index", workers=1)
    query = "SELECT code, member, reason FROM problems WHERE code <> 'xml_no_object' ORDER BY ALL"
    rows = imagenet_tools.open_index(tmp_path / "x.index").sql(query).fetchall()
    assert rows == [
        ("listed_absent", "train_loc.txt", "train_loc.txt lists 66 annotations of train, and the archive holds 65"),
        ("listed_absent", "val.txt", "val.txt lists 52 images of val, and the archive holds 50"),
        ("stray_file", "ILSVRC/notes.txt", "a file, not an image"),
        ("unlisted", "train_cls.txt", "train_cls.txt lists 130 images of train, and the archive holds 131"),
    ]
    assert report.rows["images"] == 187 - 2 + 1


def test_an_archive_packed_in_another_order_is_told_too(extracted: Extracted, sample: Path, tmp_path: Path) -> None:
    """GNU tar packs a folder in the order of the disk."""
    files = dict(reversed(files_of(extracted.data, sample).items()))
    for n, part in enumerate(("ImageSets", "Data", "Annotations")):
        first = {name: data for name, data in files.items() if f"/{part}/" in name}
        (tmp_path / f"{n}.tar.gz").write_bytes(tar_of(first | files))
        assert [found.form for found in imagenet_tools.detect(tmp_path / f"{n}.tar.gz").found] == ["kaggle_tree"]
        report = imagenet_tools.build_index(tmp_path / f"{n}.tar.gz", tmp_path / f"{n}.index", workers=1)
        assert (report.rows["images"], report.problems) == (187, {"xml_no_object": 1})


@pytest.mark.long
def test_the_real_table_and_annotations_agree(real: Path, tmp_path: Path) -> None:
    home = tmp_path / "challenge" / "ILSVRC"
    shutil.copytree(real / "ilsvrc2012_val", home / "Data" / "CLS-LOC" / "val")
    shutil.copytree(real / "xml" / "clsloc" / "val", home / "Annotations" / "CLS-LOC" / "val")
    shutil.copy(real / "ilsvrc2012" / "LOC_val_solution.csv", home.parent)
    report = imagenet_tools.build_index(home.parent, tmp_path / "x.index", workers=1)
    opened = imagenet_tools.open_index(tmp_path / "x.index")
    assert (report.rows["images"], report.rows["boxes"], report.rows["unused_boxes"]) == (150, 222, 80_477 + 3 - 222)
    reasons = dict(opened.sql("SELECT reason, count(*) FROM unused_boxes GROUP BY reason").fetchall())
    assert reasons == {"no_image": 80_255, "repeated": 3}
