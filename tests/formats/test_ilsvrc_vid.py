"""ILSVRC's videos: frames with the ids of their snippets, their boxes and labels, and the real annotations."""

import shutil
from pathlib import Path

import pytest

import imagenet_tools
from imagenet_tools.index import Index
from tests.forms import vid
from tests.forms.thousand import drawn

IDS = vid.frame_ids()
IMAGES = [drawn(n) for n in range(len(IDS))]
OBJECTS = {IDS[0]: [(vid.DOG, (1, 2, 40, 50)), (vid.SNAKE, (5, 6, 7, 8))], IDS[-1]: [(vid.DOG, (0, 0, 99, 79))]}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return vid.write(tmp_path, IMAGES, OBJECTS)


def build(path: Path, index: Path) -> Index:
    report = imagenet_tools.build_index(path, index, workers=1)
    assert not report.problems
    return imagenet_tools.open_index(index)


def test_frames_are_called_by_snippet_and_number_and_share_no_photo(tree: Path, tmp_path: Path) -> None:
    index = build(tree, tmp_path / "x.index")
    rows = index.sql("SELECT image_id, photo, wnid, split, dataset FROM images ORDER BY ALL").fetchall()
    assert rows == [
        (name, f"ilsvrc-vid/{name}", None, "val" if "_val_" in name else "train", "ilsvrc-vid") for name in sorted(IDS)
    ]
    assert [index.image(name).read() for name in IDS] == IMAGES


def test_boxes_and_labels_are_those_of_their_frame(tree: Path, tmp_path: Path) -> None:
    index = build(tree, tmp_path / "x.index")
    boxes = index.sql("SELECT image_id, wnid, xmin, ymin, xmax, ymax, flags FROM boxes ORDER BY ALL").fetchall()
    # The stated size is not that of the drawn images.
    assert [row[:6] for row in boxes] == [
        (name, wnid, *box) for name in sorted(OBJECTS) for wnid, box in sorted(OBJECTS[name])
    ]
    assert {flag for *_, flags in boxes for flag in flags} == {"size_differs"}
    assert index.sql("SELECT image_id, label_set, wnid FROM labels ORDER BY ALL").fetchall() == [
        (name, "vid", wnid) for name in sorted(OBJECTS) for wnid, _ in sorted(OBJECTS[name])
    ]
    query = "SELECT count(DISTINCT split_part(image_id, '/', 1)) FROM boxes WHERE is_a(wnid, 'dog.n.01')"
    assert index.sql(query).fetchall() == [(2,)]


@pytest.mark.parametrize(
    "place", ["..", "Data", "Data/VID", "Data/VID/train", "Data/VID/train/ILSVRC2015_VID_train_0000"]
)
def test_it_is_found_from_above_and_from_any_folder_of_it(place: str, tree: Path) -> None:
    survey = imagenet_tools.detect(tree / place)
    assert {(found.form, found.dataset) for found in survey.found} == {("ilsvrc_vid", "ilsvrc-vid")}
    assert "images" in {kind for found in survey.found for kind in found.holds}


def test_published_annotations_of_frames(real: Path, tmp_path: Path) -> None:
    shutil.copytree(real / "xml" / "vid", tmp_path / "VID" / "train")
    shutil.move(tmp_path / "VID/train/ILSVRC2015_val_00030000", tmp_path / "VID/val/ILSVRC2015_val_00030000")
    report = imagenet_tools.build_index(tmp_path, tmp_path / "x.index", workers=1)
    assert not report.problems
    index = imagenet_tools.open_index(tmp_path / "x.index")
    query = "SELECT image_id, wnid, xmin, ymax, stated_width FROM unused_boxes WHERE image_id LIKE '%00001000/%'"
    assert index.sql(query).fetchall() == [("ILSVRC2015_train_00001000/000000", "n01662784", 0, 718, 1280)]
