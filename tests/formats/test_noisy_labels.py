"""Imagenette, Imagewoof and Imagewang as folders: data sets of their own splits, with their noisy labels beside."""

from pathlib import Path

import pytest

import imagenet_tools
from imagenet_tools.catalogue import labels, lists
from tests.forms.annotations import write_files
from tests.forms.small import noisy_labels
from tests.forms.thousand import drawn
from tests.parameters import short_list


def validation_image(wnid: str) -> str:
    return f"ILSVRC2012_val_{labels.validation_wnids().index(wnid) + 1:08d}"


def split_again(home: Path, list_name: str) -> dict[str, tuple[str, str]]:
    """Images of ILSVRC2012's train and val in both splits; return the rows of the table of labels."""
    first, second = lists.get(list_name).wnids[:2]
    names = (
        f"train/{first}/{first}_10026.JPEG",
        f"train/{second}/{validation_image(second)}.JPEG",
        f"val/{first}/{first}_9.JPEG",
    )
    write_files(home, {name: drawn(n) for n, name in enumerate(names)})
    return {name: (name.split("/")[1], second) for name in names}


@pytest.mark.parametrize(
    "name",
    short_list(["imagenette2-160", "imagewoof2", "imagewoof2-320", "imagewang-160"], "imagenette2-160", "imagewoof2"),
)
def test_each_is_a_data_set_with_its_own_splits_and_imagenets_photos(name: str, tmp_path: Path) -> None:
    list_name = "imagenette" if "nette" in name else "imagewoof"
    split_again(tmp_path / name, list_name)
    (found,) = imagenet_tools.detect(tmp_path / name).found
    assert (found.form, found.dataset, found.splits) == ("image_folder", name, ("train", "val"))
    assert found.missing == ("" if "wang" in name else "8 of the 10 classes in train/; 9 of the 10 classes in val/")
    report = imagenet_tools.build_index(tmp_path / name, tmp_path / "x.index", workers=1)
    assert "split_differs" not in report.problems
    rows = (
        imagenet_tools.open_index(tmp_path / "x.index").sql("SELECT photo, split FROM images ORDER BY ALL").fetchall()
    )
    first, second = lists.get(list_name).wnids[:2]
    assert rows == [(validation_image(second), "train"), (f"{first}_10026", "train"), (f"{first}_9", "val")]


def test_noisy_labels_are_label_sets_and_leave_the_class_alone(tmp_path: Path) -> None:
    home = tmp_path / "imagewoof2-160"
    rows = split_again(home, "imagewoof")
    first, second = lists.get("imagewoof").wnids[:2]
    bad = f"train/{first}/{first}_3.JPEG,{first},{first}\n"
    (home / "noisy_imagewoof.csv").write_text(noisy_labels(rows) + bad)
    survey = imagenet_tools.detect(home)
    assert [(one.form, one.dataset) for one in survey.found] == [
        ("image_folder", "imagewoof2-160"),
        ("noisy_labels", "imagewoof2-160"),
    ]
    assert survey.found[1].evidence.startswith("4 rows of labels, noisy_labels_0, noisy_labels_1, noisy_labels_5, ")
    report = imagenet_tools.build_index(home, tmp_path / "x.index", workers=1)
    assert (report.problems["noisy_bad_row"], report.rows["labels"]) == (1, 15)
    index = imagenet_tools.open_index(tmp_path / "x.index")
    differ = """SELECT image_id, i.wnid, l.wnid FROM images AS i JOIN labels AS l USING (dataset, image_id)
                WHERE label_set = 'noisy_labels_50' AND i.wnid <> l.wnid ORDER BY ALL"""
    assert index.sql(differ).fetchall() == [(f"{first}_10026", first, second), (f"{first}_9", first, second)]


@pytest.mark.parametrize("text", ["", "path", "path,is_valid\n", "\n", "path,label,is_valid\na,b,c\n", "\0" * 99])
def test_other_tables_are_not_read(text: str, tmp_path: Path) -> None:
    (tmp_path / "other.csv").write_text(text)
    assert imagenet_tools.detect(tmp_path / "other.csv").found == ()
