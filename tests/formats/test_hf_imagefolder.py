"""Hugging Face's imagefolder: what names and columns tell exactly is taken, and what words mean is not guessed."""

from collections import Counter
from pathlib import Path

import pytest

import imagenet_tools
from imagenet_tools.catalogue import labels
from imagenet_tools.formats import flat_folder, hf_imagefolder, image_folder
from tests.conftest import Extracted
from tests.forms import hf_imagefolder as form
from tests.forms.hf_parquet import split_of, wnid_of, words
from tests.scanned import Scanned


def scan(path: Path) -> Scanned:
    return Scanned(hf_imagefolder, path)


def rows_of(extracted: Extracted, split: str, name: str = "{}.JPEG") -> list[dict[str, object]]:
    order = labels.ilsvrc2012_sorted()
    stems = [stem for stem in extracted.data if split_of(stem) == split]
    return [
        {"file_name": name.format(stem), "stem": stem, "label": order.index(wnid) if (wnid := wnid_of(stem)) else -1}
        for stem in stems
    ]


def test_class_folders_called_by_words_are_read_by_the_images_names(
    extracted: Extracted, sample: Path, tmp_path: Path
) -> None:
    form.write_words(tmp_path, extracted.data, words(sample))
    [found] = hf_imagefolder.detect(tmp_path)
    assert (found.dataset, found.splits) == ("ilsvrc2012", ("train", "val"))
    assert "12 class folders called by words in train/, Chihuahua first" in found.evidence
    assert image_folder.detect(tmp_path) == flat_folder.detect(tmp_path) == []
    scanned = scan(tmp_path)
    assert scanned.problems == {}
    assert {stem: row["wnid"] for stem, row in scanned.images.items()} == {
        stem: wnid_of(stem) for stem in extracted.data if "_test_" not in stem
    }
    assert scanned.bytes() == {stem: data for stem, data in extracted.data.items() if "_test_" not in stem}
    # Two classes are called crane, and share a folder.
    assert len({row["wnid"] for row in scanned.images.values() if "/crane/" in row["file"]}) == 2


def test_bare_folders_of_words_are_read_and_folders_of_anything_are_not(
    extracted: Extracted, sample: Path, tmp_path: Path
) -> None:
    form.write_words(tmp_path / "a", extracted.data, words(sample))
    (tmp_path / "a" / "train").rename(tmp_path / "pictures")
    assert len(scan(tmp_path / "pictures").images) == 130
    for number, (stem, data) in enumerate(extracted.data.items()):
        if "_test_" not in stem:
            (tmp_path / "mixed" / str(number % 4)).mkdir(parents=True, exist_ok=True)
            (tmp_path / "mixed" / str(number % 4) / f"{stem}.JPEG").write_bytes(data)
    assert hf_imagefolder.detect(tmp_path / "mixed") == []


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_a_table_beside_images_that_keep_their_names(kind: str, extracted: Extracted, tmp_path: Path) -> None:
    for split, folder in form.SPLITS.items():
        form.write_table(tmp_path / folder, extracted.data, rows_of(extracted, split), kind)
    [found] = hf_imagefolder.detect(tmp_path)
    assert (found.dataset, found.splits) == ("ilsvrc2012", ("train", "val"))
    assert "class numbers in sorted order of ilsvrc2012, from 0: 13 of 13 names agree" in found.evidence
    assert [one.path for one in flat_folder.detect(tmp_path)] == [tmp_path / "test"]  # a table of -1 tells nothing
    scanned = scan(tmp_path)
    assert scanned.problems == {}
    assert Counter(row["split"] for row in scanned.images.values()) == {"train": 130, "val": 52}
    assert scanned.bytes() == {stem: data for stem, data in extracted.data.items() if "_test_" not in stem}


def test_a_column_of_wnids_tells_the_class_of_any_image(extracted: Extracted, tmp_path: Path) -> None:
    rows = [
        {"file_name": f"{n % 3}/{n}.jpg", "stem": row["stem"], "wnid": wnid_of(str(row["stem"]))}
        for n, row in enumerate(rows_of(extracted, "train"))
    ]
    expected = {str(row["file_name"]): (row["wnid"], row["stem"]) for row in rows}
    form.write_table(tmp_path / "mine", extracted.data, rows)
    [found] = hf_imagefolder.detect(tmp_path / "mine")
    assert found.dataset == "imagefolder"
    assert found.readings == ("images of your own (--dataset NAME)",)
    report = imagenet_tools.build_index([tmp_path / "mine"], tmp_path / "x.index", workers=1, dataset="mine")
    index = imagenet_tools.open_index(tmp_path / "x.index")
    assert report.problems == {}
    found_rows = index.sql("SELECT image_id, photo, wnid, file FROM images").fetchall()
    assert {file: wnid for _, _, wnid, file in found_rows} == {file: wnid for file, (wnid, _) in expected.items()}
    for image_id, photo, _, file in found_rows:
        assert photo == f"mine/{image_id}"
        assert index.image(image_id).read() == extracted.data[expected[file][1]]


def test_what_is_wrong_with_a_table_is_said(extracted: Extracted, tmp_path: Path) -> None:
    rows = rows_of(extracted, "train")
    rows[3]["label"] = 999
    form.write_table(tmp_path, extracted.data, rows)
    with (tmp_path / "metadata.csv").open("a") as file:
        file.write("gone/n01440764_1.JPEG,0\n../n01440764_2.JPEG,0\n,0\nholiday.jpg,0\n")
    (tmp_path / "n01440764_3.JPEG").write_bytes(extracted.data["n02123045_15837"])
    scanned = scan(tmp_path)
    assert scanned.problems == {"row_unread": 4, "label_differs": 1, "not_listed": 1}
    assert len(scanned.images) == 130


def test_a_table_that_breaks_off_keeps_what_came_before(extracted: Extracted, tmp_path: Path) -> None:
    form.write_table(tmp_path, extracted.data, rows_of(extracted, "train"), "jsonl")
    text = (tmp_path / "metadata.jsonl").read_text()
    lines = text.splitlines()
    (tmp_path / "metadata.jsonl").write_text("\n".join([*lines[:60], lines[60][:20]]))
    scanned = scan(tmp_path)
    assert scanned.problems == {"table_damaged": 1, "not_listed": 1}
    assert len(scanned.images) == 60


def test_what_words_and_tables_do_not_tell_is_not_guessed(extracted: Extracted, tmp_path: Path) -> None:
    data = extracted.data["n02123045_15837"]
    for name in ("train/tabby/1.jpg", "train/crane/2.jpg", "words/tabby/1.jpg", "words/crane/2.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(data)
    assert hf_imagefolder.detect(tmp_path) == hf_imagefolder.detect(tmp_path / "words") == []
    rows: list[dict[str, object]] = [{"file_name": "a.jpg", "stem": "n02123045_15837", "label": "crane"}]
    form.write_table(tmp_path / "table", extracted.data, rows)
    assert hf_imagefolder.detect(tmp_path / "table") == []


def test_class_folders_called_by_wnids_stay_image_folders(extracted: Extracted, tmp_path: Path) -> None:
    assert hf_imagefolder.detect(extracted.train) == hf_imagefolder.detect(extracted.train.parent) == []
    assert hf_imagefolder.detect(extracted.val.parent) == []
