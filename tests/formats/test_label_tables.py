"""Labels of the validation images by others: each file as its publisher writes it, and the real ones where they are."""

import json
from pathlib import Path
from typing import Any

import pytest

import imagenet_tools
from imagenet_tools.catalogue import image_lists, labels
from imagenet_tools.index import Index
from tests.forms import small
from tests.forms.annotations import write_files
from tests.forms.thousand import drawn

FIRST, SECOND, THIRD = (f"ILSVRC2012_val_{n:08d}" for n in (1, 2, 3))
TRUTH = labels.validation_wnids()
BY_INDEX = labels.ilsvrc2012_sorted()


def indexed(tmp_path: Path, files: dict[str, str], *images: str) -> tuple[Index, dict[str, int]]:
    """An index of validation images and of files of labels; and its problems."""
    write_files(tmp_path / "val", {f"{stem}.JPEG": drawn(n) for n, stem in enumerate(images or (FIRST, SECOND))})
    home = write_files(tmp_path / "labels", files)
    report = imagenet_tools.build_index([tmp_path / "val", home], tmp_path / "x.index", workers=1)
    return imagenet_tools.open_index(tmp_path / "x.index"), dict(report.problems)


def rows(index: Index) -> list[tuple[Any, ...]]:
    return index.sql("SELECT label_set, image_id, wnid FROM labels ORDER BY ALL").fetchall()


def test_real_is_a_list_for_each_of_the_50_000(tmp_path: Path) -> None:
    lists = [[], [970, 795], [5]] + [[7]] * 49_997
    index, problems = indexed(tmp_path, {"real.json": json.dumps(lists)})
    query = "SELECT image_id, wnid FROM labels WHERE label_set = 'real' AND image_id < 'ILSVRC2012_val_00000004'"
    assert set(index.sql(query).fetchall()) == {
        (SECOND, BY_INDEX[970]), (SECOND, BY_INDEX[795]), (THIRD, BY_INDEX[5])
    }  # fmt: skip
    assert not problems
    truths = index.sql("SELECT image_id, wnid FROM images ORDER BY ALL").fetchall()
    assert truths == [(FIRST, TRUTH[0]), (SECOND, TRUTH[1])]  # others' labels leave the class alone
    assert imagenet_tools.detect(tmp_path / "labels").found[0].evidence == "ReaL's labels of 50,000 validation images"


def test_multilabel_annotations_have_wnids_in_three_sets_and_two_lists_of_images(tmp_path: Path) -> None:
    content = {
        "initial_annots": {
            f"{FIRST}.JPEG": {"correct": [TRUTH[0]], "wrong": ["n02085620"], "unclear": ["n02085936"]},
            f"{SECOND}.JPEG": {"correct": []},
            "388/d5c5d8a1bc1e1fb2.jpeg": {"correct": ["n02085620"]},  # an image of ImageNet-V2
        },
        "problematic_images": {f"{SECOND}.JPEG": "reason"},
        "imagenet_m": [f"{FIRST}.JPEG"],
    }
    index, problems = indexed(tmp_path, {"human_accuracy_v3.0.0.json": json.dumps(content)})
    assert rows(index) == [
        ("multilabel_correct", FIRST, TRUTH[0]),
        ("multilabel_imagenet_m", FIRST, TRUTH[0]),
        ("multilabel_problematic", SECOND, TRUTH[1]),
        ("multilabel_unclear", FIRST, "n02085936"),
        ("multilabel_wrong", FIRST, "n02085620"),
    ]
    assert problems == {"label_other_set": 1}


def test_factors_of_imagenet_x_are_label_sets(tmp_path: Path) -> None:
    nothing = dict.fromkeys(small.FACTORS, 0)
    many = [
        {"file_name": f"{FIRST}.JPEG", "class": BY_INDEX.index(TRUTH[0]), **nothing, "pose": 1, "shape": 1},
        {"file_name": f"{SECOND}.JPEG", "class": BY_INDEX.index(TRUTH[1]), **nothing},
    ]
    top = [{**many[0], "shape": 0}]
    files = {
        "imagenet_x_val_multi_factor.jsonl": small.lines(many) + '{"file_name": 3}\n',
        "imagenet_x_val_top_factor.jsonl": small.lines(top),
    }
    index, problems = indexed(tmp_path, files)
    sets = [f"imagenet_x_{name}" for name in ("pose", "shape", "top_pose")]
    assert rows(index) == [(name, FIRST, TRUTH[0]) for name in sets]
    assert problems == {"label_bad_row": 1}


def test_reimagenets_labels_are_a_set_and_images_without_any_another(tmp_path: Path) -> None:
    places = [f"{wnid}/{stem}.JPEG" for wnid, stem in zip(TRUTH, (FIRST, SECOND, THIRD), strict=False)]
    several = [
        {"image_name": places[n].split("/")[1], "file_path": places[n], "original_class": [0], "bboxes": [],
         "reannotated_labels": numbers}
        for n, numbers in enumerate(([5, 970], [-1], [-1, 7]))
    ]  # fmt: skip
    text = small.lines([*several, {**several[0], "reannotated_labels": []}]) + '{"file_path": "x"}\n'
    index, problems = indexed(tmp_path, {"reannotation.jsonl": text})
    assert rows(index) == [
        ("reimagenet", FIRST, BY_INDEX[5]),
        ("reimagenet", FIRST, BY_INDEX[970]),
        ("reimagenet", THIRD, BY_INDEX[7]),
        ("reimagenet_none", FIRST, TRUTH[0]),
        ("reimagenet_none", SECOND, TRUTH[1]),
    ]
    assert problems == {"label_bad_row": 1}


def test_csv_files_of_corrected_labels_are_sets_called_after_them(tmp_path: Path) -> None:
    head = "id,category,original_label,proposed_labels,manually_validated,unclear_multi_labels,wrong_multi_labels"
    files = {
        "multilabel.csv": f"{head},is_problematic\n"
        f'{FIRST}.JPEG,M,582,"415, 813",True,,"467, 582",True\n'
        f"{SECOND}.JPEG,Z,614,,True,614,,False\n{THIRD}.JPEG,A,1,1000,True,,,False\n{THIRD}.JPEG,A\n",
        "label_errors.csv": "id,category,original_label,proposed_labels,manually_validated,cl_label,mturk\n"
        f"{FIRST}.JPEG,X,0,,True,48,\"{{'given': 5}}\"\n",
        "clean_validation.csv": f"id,original_label,proposed_labels,validation\n{FIRST}.JPEG,26,26,*\n",
    }
    index, problems = indexed(tmp_path, files)
    assert rows(index) == [
        ("flaws_clean_validation", FIRST, BY_INDEX[26]),
        ("flaws_label_errors_undecided", FIRST, TRUTH[0]),
        ("flaws_multilabel", FIRST, BY_INDEX[415]),
        ("flaws_multilabel", FIRST, BY_INDEX[813]),
        ("flaws_multilabel_none", SECOND, TRUTH[1]),
        ("flaws_multilabel_problematic", FIRST, TRUTH[0]),
        ("flaws_multilabel_unclear", SECOND, BY_INDEX[614]),
        ("flaws_multilabel_wrong", FIRST, BY_INDEX[467]),
        ("flaws_multilabel_wrong", FIRST, BY_INDEX[582]),
    ]
    assert problems == {"label_bad_row": 2}  # a number above 999, and a row that is cut


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.json", "[[1], [2]]"),
        ("a.json", "[1, 2]"),
        ("a.json", "{}"),
        ("a.json", ""),
        ("a.jsonl", '{"file_name": "a.JPEG", "class": 1}\n'),
        ("a.csv", "id,label\n1,2\n"),
        ("a.csv", ""),
    ],
)
def test_other_files_are_not_taken_for_labels(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    assert not any(one.form == "label_tables" for one in imagenet_tools.detect(tmp_path / name).found)


@pytest.mark.parametrize(
    "text", ['{"initial_annots": {', '{"initial_annots": []}', '{"initial_annots": {"a": 3}}', "[" * 9_999]
)
def test_a_file_that_is_cut_or_of_another_shape_is_a_problem(tmp_path: Path, text: str) -> None:
    index, problems = indexed(tmp_path, {"human_accuracy_v3.0.0.json": text})
    assert problems == {"label_unread": 1} and rows(index) == []


@pytest.mark.long
def test_the_published_files_give_the_published_counts(tmp_path: Path, real: Path) -> None:
    files = {
        "real.json": (real / "lists/real.json").read_text(),
        "multilabel.csv": (real / "predictions/multilabel_v3.csv").read_text(),
    }
    index, problems = indexed(tmp_path, files)
    assert not problems
    per_image = "SELECT count(*) AS n, image_id FROM labels WHERE label_set = 'real' GROUP BY image_id"
    query = f"SELECT count(*), count(*) FILTER (n > 1), max(n) FROM ({per_image})"
    assert index.sql(query).fetchall() == [(50_000 - 3_163, 7_443, 9)]
    by_stem = dict(zip((f"ILSVRC2012_val_{n:08d}" for n in range(1, 50_001)), image_lists.real_labels(), strict=True))
    pairs = index.sql("SELECT image_id, wnid FROM labels WHERE label_set = 'real'").fetchall()
    assert set(pairs) == {(stem, wnid) for stem, wnids in by_stem.items() for wnid in wnids}
    sets = dict(index.sql("SELECT label_set, count(DISTINCT image_id) FROM labels GROUP BY ALL").fetchall())
    assert sets["flaws_multilabel"] + sets["flaws_multilabel_none"] == 20_000
    assert sets["flaws_multilabel_problematic"] == 1_308
