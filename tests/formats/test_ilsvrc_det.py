"""ILSVRC's detection task: many classes an image, photos shared with classification, labels that are not."""

import shutil
from pathlib import Path

import pytest

import imagenet_tools
from imagenet_tools.catalogue import lists
from imagenet_tools.errors import SourceError
from imagenet_tools.formats import ilsvrc_det
from imagenet_tools.index import Index
from tests.conftest import Extracted
from tests.forms.annotations import det_xml, tar_of, write_files
from tests.forms.det_tree import BIRD, DOG, PERSON, SNAKE, Det, write_2014, write_tree
from tests.scanned import Scanned


@pytest.fixture(scope="session")
def det(extracted: Extracted) -> Det:
    return Det(extracted.data)


@pytest.fixture(scope="session")
def tree(det: Det, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ILSVRC/ of the detection task."""
    return write_tree(tmp_path_factory.mktemp("det"), det)


def build(path: Path, index: Path, **options: object) -> Index:
    imagenet_tools.build_index(path, index, workers=1, **options)  # type: ignore[arg-type]
    return imagenet_tools.open_index(index)


@pytest.fixture(scope="session")
def index(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Index:
    return build(tree, tmp_path_factory.mktemp("index") / "det.index")


QUERIES = {
    "images": "SELECT dataset, image_id, photo, wnid, split, length, width, n_boxes, hash32 FROM images ORDER BY ALL",
    "boxes": "SELECT image_id, wnid, xmin, ymin, xmax, ymax, nxmin, subcategory, flags FROM boxes ORDER BY ALL",
    "labels": "SELECT dataset, image_id, label_set, wnid FROM labels ORDER BY ALL",
}


def facts(index: Index) -> dict[str, list[tuple[object, ...]]]:
    return {table: index.sql(query).fetchall() for table, query in QUERIES.items()}


def test_every_image_is_found_in_its_split_and_read_back(index: Index, det: Det) -> None:
    rows = index.sql("SELECT dataset, image_id, split FROM images").fetchall()
    expected = {(place.rpartition("/")[2], place.partition("/")[0]) for place in det.images}
    assert {row[0] for row in rows} == {"ilsvrc-det"}
    assert {row[1:] for row in rows} == expected
    assert len(rows) == len(det.images)
    for place, data in det.images.items():
        assert index.image(place.rpartition("/")[2]).read() == data


def test_the_class_of_an_image_is_that_of_its_synsets_folder_and_of_no_label(index: Index) -> None:
    rows = dict(index.sql("SELECT image_id, wnid FROM images").fetchall())
    assert all(wnid == (image_id[:9] if image_id.startswith("n") else None) for image_id, wnid in rows.items())
    assert sum(image_id.startswith("ILSVRC2012_val_") for image_id in rows) == 4
    assert index.sql("SELECT code, count(*) FROM problems GROUP BY code").fetchall() == []


def test_photos_are_those_of_the_classification_task(index: Index, extracted: Extracted, tmp_path: Path) -> None:
    both = tmp_path / "both.index"
    imagenet_tools.build_index([extracted.val, extracted.train], both, workers=1)
    root = dict(index.sql("SELECT source, root FROM sources").fetchall())["ILSVRC"]
    opened = build(Path(root), both)
    shared = opened.sql(
        """SELECT count(DISTINCT photo), count(*) FILTER (wnid IS NOT NULL AND dataset = 'ilsvrc2012') FROM images
           WHERE photo IN (SELECT photo FROM images GROUP BY photo HAVING count(DISTINCT dataset) = 2)"""
    ).fetchall()
    assert shared == [(8, 8)]  # four validation images, two of each class


def test_boxes_have_a_class_each_and_each_class_is_a_label(index: Index, det: Det) -> None:
    first = next(place for place in det.objects if place.startswith("val/ILSVRC2012")).rpartition("/")[2]
    rows = index.sql(f"SELECT wnid, xmin, xmax, flags FROM boxes WHERE image_id = '{first}' ORDER BY xmin").fetchall()
    assert [row[:3] for row in rows] == [(BIRD, 1, 30), (PERSON, 2, 20), (BIRD, 5, 40)]
    labels = index.sql(f"SELECT label_set, wnid FROM labels WHERE image_id = '{first}' ORDER BY ALL").fetchall()
    assert labels == [("det", PERSON), ("det", BIRD)]
    counts = dict(index.sql("SELECT image_id, n_boxes FROM images WHERE n_boxes > 0").fetchall())
    assert counts == {place.rpartition("/")[2]: len(found) for place, (found, _) in det.objects.items() if found}


def test_a_subcategory_stands_beside_the_class(index: Index) -> None:
    rows = index.sql("SELECT DISTINCT wnid, subcategory FROM boxes WHERE subcategory IS NOT NULL").fetchall()
    assert rows == [(DOG, "n02085620")]


def test_the_lists_of_classes_say_what_is_there_in_part_and_not(index: Index, det: Det) -> None:
    rows = index.sql("SELECT image_id, label_set, wnid FROM labels WHERE label_set <> 'det' ORDER BY ALL").fetchall()
    names = {1: "det_positive", 0: "det_partial", -1: "det_negative"}
    classes = {"train_58.txt": DOG, "train_26.txt": BIRD}
    expected = [
        (place.rpartition("/")[2], names[label], classes[name])
        for name, pairs in det.lists.items()
        for place, label in pairs
    ]
    assert rows == sorted(expected)


def test_the_archives_of_2013_and_2014_give_the_same_rows(index: Index, det: Det, tmp_path: Path) -> None:
    opened = build(write_2014(tmp_path / "old", det), tmp_path / "x.index")
    assert facts(opened) == facts(index)
    for place, data in det.images.items():
        assert opened.image(place.rpartition("/")[2]).read() == data


@pytest.mark.parametrize("place", ["..", "", "Data", "Data/DET", "Annotations", "ImageSets/DET"])
def test_a_part_of_the_tree_is_told_wherever_one_points(place: str, tree: Path, index: Index, tmp_path: Path) -> None:
    survey = imagenet_tools.detect(tree / place)
    assert {found.form for found in survey.found} == {"ilsvrc_det"}
    assert {found.dataset for found in survey.found} == {"ilsvrc-det"}
    holds = [found.holds for found in survey.found]
    whole = [("images",), ("boxes", "labels"), ("labels",)]
    parts = {"..": whole, "": whole, "Data": whole[:1], "Data/DET": whole[:1], "Annotations": whole[1:2]}
    assert holds == parts.get(place, whole[2:])
    if place == "..":
        assert facts(build(tree / place, tmp_path / "x.index")) == facts(index)


def test_a_split_alone_is_still_of_the_detection_task(tree: Path, det: Det) -> None:
    for place in ("val", "train/ILSVRC2013_train", "train/ILSVRC2014_train_0000", "train"):
        survey = imagenet_tools.detect(tree / "Data" / "DET" / place)
        assert [(found.form, found.splits) for found in survey.found] == [("ilsvrc_det", (place.split("/")[0],))]
    (found,) = ilsvrc_det.detect(tree / "Data" / "DET" / "val")
    assert "20,115 of the 20,121 validation images" in found.missing


def test_images_that_the_lists_name_and_are_not_there_are_counted(det: Det, tmp_path: Path) -> None:
    tree = write_tree(tmp_path, det)
    for path in sorted((tree / "Data/DET/val").iterdir())[:2]:
        path.unlink()
    shutil.copy(next((tree / "Data/DET/val").iterdir()), tree / "Data/DET/val/ILSVRC2013_val_00004599.JPEG")
    opened = build(tree, tmp_path / "x.index")
    rows = dict(
        opened.sql(
            "SELECT code, reason FROM problems WHERE file = 'ImageSets/DET/val.txt' AND reason LIKE '%Data%'"
        ).fetchall()
    )
    assert rows["listed_absent"].startswith("2 of the 6 images that val.txt lists are not in Data/DET/val: ILSVRC2012")
    assert rows["unlisted"] == "1 images in Data/DET/val are not in val.txt: ILSVRC2013_val_00004599"


def test_flat_tars_of_the_task_are_told_by_their_folder(det: Det, tmp_path: Path) -> None:
    images = {place: data for place, data in det.images.items() if place.startswith("val/")}
    tar = tar_of({f"ILSVRC2013_DET_val/{place[4:]}.JPEG": data for place, data in images.items()}, "w")
    (tmp_path / "ILSVRC2013_DET_val.tar").write_bytes(tar)
    survey = imagenet_tools.detect(tmp_path / "ILSVRC2013_DET_val.tar")
    assert [(found.form, found.holds, found.splits) for found in survey.found] == [
        ("ilsvrc_det", ("images",), ("val",))
    ]
    opened = build(tmp_path / "ILSVRC2013_DET_val.tar", tmp_path / "x.index")
    assert opened.sql("SELECT count(*), count(wnid), min(split) FROM images").fetchall() == [(6, 0, "val")]
    for place, data in images.items():
        assert opened.image(place[4:]).read() == data


def test_odd_names_are_flagged_and_objects_of_other_classes_kept(tmp_path: Path) -> None:
    objects = [(DOG, (1, 1, 9, 9)), ("n02119789", (2, 2, 9, 9)), ("dog", (3, 3, 9, 9))]
    text = det_xml("ILSVRC2013_val_00000001", "ILSVRC2013_val", objects, size=(10, 10))
    write_files(tmp_path, {"Annotations/DET/val/ILSVRC2013_val_00000001.xml": text})
    scanned = Scanned(ilsvrc_det, tmp_path)
    assert [(row["wnid"], row["flags"]) for row in scanned.tables["boxes"]] == [
        (DOG, []),
        ("n02119789", ["not_det_class"]),
        (None, ["name_is_word"]),
    ]
    assert [row["wnid"] for row in scanned.tables["labels"]] == [DOG, "n02119789"]


def test_bad_lines_of_a_list_are_counted_and_the_others_read(tmp_path: Path) -> None:
    lines = "ILSVRC2014_train_0000/ILSVRC2014_train_00000004 1\nno image 1\nILSVRC2013_train_00000001 2\n\n"
    write_files(tmp_path, {"ImageSets/DET/train_58.txt": lines, "ImageSets/DET/train_201.txt": lines})
    scanned = Scanned(ilsvrc_det, tmp_path)
    assert [(row["image_id"], row["label_set"], row["wnid"]) for row in scanned.tables["labels"]] == [
        ("ILSVRC2014_train_00000004", "det_positive", DOG)
    ]
    assert scanned.problems == {"det_bad_line": 3}


def test_an_archive_of_video_is_named_and_refused(real: Path, tmp_path: Path) -> None:
    files = {
        f"Annotations/VID/{path.relative_to(real / 'xml' / 'vid')}": path.read_bytes()
        for path in sorted((real / "xml" / "vid").rglob("*.xml"))
    }
    (tmp_path / "ILSVRC2015_VID.tar.gz").write_bytes(tar_of(files))
    (found,) = imagenet_tools.detect(tmp_path / "ILSVRC2015_VID.tar.gz").found
    assert found.holds == ()
    with pytest.raises(SourceError, match=r"video task \(VID\), which is read from a folder; unpack it"):
        imagenet_tools.build_index(tmp_path / "ILSVRC2015_VID.tar.gz", tmp_path / "x.index")


def test_the_classes_are_200_of_the_numbers_that_the_devkit_gives() -> None:
    classes = lists.get("ilsvrc-det200").wnids
    assert len(set(classes)) == 200
    named = {1: "n02672831", 2: "n02691156", 26: BIRD, 58: DOG, 124: PERSON, 159: SNAKE, 200: "n02391049"}
    assert {number: classes[number - 1] for number in named} == named
