"""Tiny-ImageNet-200 as released and with val/ sorted: its own photos, its boxes, and test without labels."""

import shutil
from pathlib import Path

import pytest

import imagenet_tools
from imagenet_tools.build.build import Report
from imagenet_tools.errors import SourceError
from tests.forms import tiny
from tests.forms.thousand import drawn
from tests.parameters import short_list

TRAIN = {f"{wnid}_{n}": drawn(n) for wnid in tiny.WNIDS for n in (0, 499)}
VAL = {
    "val_0": (drawn(7), tiny.WNIDS[2], (3, 1, 20, 30)),
    "val_1": (drawn(8), tiny.WNIDS[0], (0, 12, 0, 20)),  # of no area, as 434 of the published boxes
    "val_2": (drawn(9), tiny.WNIDS[0], (5, 0, 63, 63)),
}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tiny.write(tmp_path / "tiny-imagenet-200", TRAIN, VAL)


def sort_val(home: Path, below: str = "") -> None:
    """As valprep.sh and the scripts that people pass on: into val/<wnid>/, or val/<wnid>/images/."""
    for stem, (_, wnid, _) in VAL.items():
        folder = home / "val" / wnid / below
        folder.mkdir(parents=True, exist_ok=True)
        (home / "val" / "images" / f"{stem}.JPEG").rename(folder / f"{stem}.JPEG")
    (home / "val" / "images").rmdir()


def built(path: Path, index: Path) -> tuple[Report, imagenet_tools.Index]:
    report = imagenet_tools.build_index(path, index, workers=1)
    return report, imagenet_tools.open_index(index)


@pytest.mark.parametrize(
    "form", short_list(["released", "sorted", "sorted into images/", "flat train"], "released", "sorted")
)
def test_all_images_boxes_and_labels_are_read(form: str, home: Path, tmp_path: Path) -> None:
    if form.startswith("sorted"):
        sort_val(home, form.removeprefix("sorted").removeprefix(" into "))
    for wnid in tiny.WNIDS if form == "flat train" else ():
        for image in (home / "train" / wnid / "images").iterdir():
            image.rename(home / "train" / wnid / image.name)
    (found,) = imagenet_tools.detect(home).found
    assert (found.form, found.dataset, found.splits) == ("tiny_imagenet", "tiny-imagenet-200", ("train", "val", "test"))
    report, index = built(home, tmp_path / "x.index")
    assert (report.problems, report.sources[0].ignored) == ({}, ())
    images = {
        id_: row for id_, *row in index.sql("SELECT image_id, split, wnid, photo, n_boxes FROM images").fetchall()
    }
    expected = {stem: ["train", stem[:9], f"tiny-imagenet-200/{stem}", 1] for stem in TRAIN}
    expected |= {stem: ["val", wnid, f"tiny-imagenet-200/{stem}", 1] for stem, (_, wnid, _) in VAL.items()}
    assert images == expected | {"test_0": ["test", None, "tiny-imagenet-200/test_0", 0]}
    boxes = index.sql("SELECT image_id, wnid, xmin, ymin, xmax, ymax, nxmin IS NULL FROM boxes").fetchall()
    assert {(id_, wnid, *edges) for id_, wnid, *edges, _ in boxes if id_ in VAL} == {
        (stem, wnid, *box) for stem, (_, wnid, box) in VAL.items()
    }
    assert [row[0] for row in boxes if row[-1]] == ["val_1"]
    for stem, data in TRAIN.items() | {(stem, data) for stem, (data, *_) in VAL.items()}:
        assert index.image(stem, dataset="tiny-imagenet-200").read() == data


def test_what_is_found_is_said_from_every_level(home: Path) -> None:
    (found,) = imagenet_tools.detect(home).found
    assert found.evidence == (
        "Tiny-ImageNet with its boxes: train/ with 3 class folders, val/ with 3 images, 3 rows in val_annotations.txt, "
        "test/ with 1 image"
    )
    assert found.missing == (
        "197 of the 200 classes of train; 9,997 of the 10,000 images of val; 9,999 of the 10,000 images of test"
    )
    shutil.copytree(home / "train", home.parent / "unnamed")
    for path, split in ((home / "train", "train"), (home / "val", "val"), (home.parent / "unnamed", "train")):
        (found,) = imagenet_tools.detect(path).found
        assert (found.form, found.splits) == ("tiny_imagenet", (split,))


def test_its_images_are_not_those_of_ilsvrc2012_with_the_same_names(home: Path, tmp_path: Path) -> None:
    official = tmp_path / "ilsvrc" / "train" / tiny.WNIDS[0] / f"{tiny.WNIDS[0]}_499.JPEG"
    official.parent.mkdir(parents=True)
    official.write_bytes(drawn(100))
    imagenet_tools.build_index([official.parents[2], home], tmp_path / "x.index", workers=1)
    photos = "SELECT dataset, count(DISTINCT photo), sum(n_boxes) FROM images GROUP BY ALL ORDER BY ALL"
    found = imagenet_tools.open_index(tmp_path / "x.index").sql(photos).fetchall()
    assert found == [("ilsvrc2012", 1, 0), ("tiny-imagenet-200", 10, 9)]


def test_a_val_sorted_by_other_labels_is_refused(home: Path, tmp_path: Path) -> None:
    sort_val(home)
    wrong, right = (home / "val" / wnid for wnid in tiny.WNIDS[1:])
    right.rename(wrong)
    with pytest.raises(SourceError, match=r"val_0: the folder says n01443537, val_annotations.txt n01629819"):
        imagenet_tools.build_index(home, tmp_path / "x.index", workers=1)


def test_bad_rows_are_problems_and_boxes_of_absent_images_are_kept_apart(home: Path, tmp_path: Path) -> None:
    with (home / "val" / "val_annotations.txt").open("a") as out:
        out.write(
            "val_3.JPEG\tn01443537\t1\t2\t3\nval_4.JPEG\tn99999999\t1\t2\t3\t4\nval_5.JPEG\tn01443537\t1\t2\t3\t4\n"
        )
    (home / "train" / tiny.WNIDS[0] / "images" / f"{tiny.WNIDS[0]}_0.JPEG").unlink()
    report, index = built(home, tmp_path / "x.index")
    assert report.problems == {"tiny_bad_row": 2}
    unused = index.sql("SELECT image_id, reason FROM unused_boxes ORDER BY ALL").fetchall()
    assert unused == [(f"{tiny.WNIDS[0]}_0", "no_image"), ("val_5", "no_image")]


def test_a_new_label_is_seen_by_the_next_build(home: Path, tmp_path: Path) -> None:
    built(home, tmp_path / "x.index")
    annotations = home / "val" / "val_annotations.txt"
    annotations.write_text(annotations.read_text().replace(tiny.WNIDS[2], tiny.WNIDS[1]))
    index = built(home, tmp_path / "x.index")[1]
    assert index.sql("SELECT wnid FROM images WHERE image_id = 'val_0'").fetchall() == [(tiny.WNIDS[1],)]
    assert index.sql("SELECT wnid FROM boxes WHERE image_id = 'val_0'").fetchall() == [(tiny.WNIDS[1],)]


def test_the_same_layout_of_other_classes_is_not_tiny_imagenet(home: Path) -> None:
    (home / "train" / tiny.WNIDS[0]).rename(home / "train" / "n02086079")
    shutil.rmtree(home / "val")
    assert [one.form for one in imagenet_tools.detect(home).found] == ["image_folder"]


@pytest.mark.long
def test_the_real_one_is_read_whole(real: Path, tmp_path: Path) -> None:
    """20 classes with 10 of their 500 images each, 100 of the validation images, and all boxes of both."""
    report, index = built(real / "tiny-imagenet-200", tmp_path / "x.index")
    assert (report.problems, report.rows["boxes"], report.rows["unused_boxes"]) == ({}, 300, 19_700)
    counts = index.sql("SELECT split, count(*), count(wnid), sum(n_boxes) FROM images GROUP BY ALL ORDER BY ALL")
    assert counts.fetchall() == [("test", 20, 0, 0), ("train", 200, 200, 200), ("val", 100, 100, 100)]
    flat = """SELECT left(file, 3), count(*), count(*) FILTER (xmin >= xmax OR ymin >= ymax)
              FROM (FROM boxes UNION ALL BY NAME FROM unused_boxes) GROUP BY ALL ORDER BY ALL"""
    assert index.sql(flat).fetchall() == [("tra", 10_000, 7), ("val", 10_000, 41)]
    assert index.sql("SELECT count(*) FROM boxes WHERE list_contains(flags, 'degenerate')").fetchall() == [(1,)]
    for image_id, file in index.sql("SELECT image_id, file FROM images").fetchall():
        assert index.image(image_id).read() == (real / "tiny-imagenet-200" / file).read_bytes()
