"""The class orders and the validation labels equal every published source of them."""

import csv
from pathlib import Path

import pytest

from imagenet_tools.catalogue import labels
from imagenet_tools.wordnet import wordnet


def test_orders_of_ilsvrc2012() -> None:
    by_index, by_id = labels.ilsvrc2012_sorted(), labels.ilsvrc2012_ids()
    assert (by_index[0], by_index[-1], len(by_index)) == ("n01440764", "n15075141", 1_000)
    assert (by_id[0], by_id[1], by_id[2], by_id[-1]) == ("n02119789", "n02100735", "n02110185", "n03255030")
    assert by_index == tuple(sorted(set(by_id)))
    index = labels.index_of(by_index)
    assert [index[wnid] for wnid in (by_id[0], by_id[1], by_id[2], by_id[-1])] == [278, 212, 250, 543]


def test_no_class_has_its_id_less_one_for_its_index() -> None:
    assert not any(a == b for a, b in zip(labels.ilsvrc2012_sorted(), labels.ilsvrc2012_ids(), strict=True))


def test_fall11_is_sorted_known_to_wordnet_and_holds_all_classes_but_teddy() -> None:
    fall11 = labels.fall11()
    assert (len(fall11), fall11[0], fall11[-1]) == (21_841, "n00004475", "n15102894")
    assert fall11 == tuple(sorted(set(fall11)))
    assert len(wordnet.rows_of(fall11)) == 21_841
    assert set(labels.ilsvrc2012_sorted()) - set(fall11) == {"n04399382"}
    assert not {"n03931044", "n09859684"} & set(fall11)  # in Google's list alone


def test_validation_labels_are_fifty_of_each_class() -> None:
    truth = labels.validation_wnids()
    assert truth[:5] == ("n01751748", "n09193705", "n02105855", "n04263257", "n03125729")
    assert len(truth) == 50_000
    assert all(truth.count(wnid) == 50 for wnid in labels.ilsvrc2012_sorted()[::100])


def test_an_image_s_label_is_had_by_its_stem() -> None:
    assert labels.validation_wnid("ILSVRC2012_val_00000001") == "n01751748"
    assert labels.validation_wnid("ILSVRC2012_val_00050000") == labels.validation_wnids()[-1]


@pytest.mark.parametrize(
    "stem",
    [
        "ILSVRC2012_val_00000000",
        "ILSVRC2012_val_00050001",
        "ILSVRC2012_val_1",
        "00000001",
        "ILSVRC2012_val_0000000²",
        "",
    ],
)
def test_what_is_no_validation_image_has_no_label(stem: str) -> None:
    assert labels.validation_wnid(stem) is None


# ---- the published sources


def test_classes_equal_map_clsloc_and_kaggle_s_mapping(real: Path) -> None:
    lines = (real / "ilsvrc2012/map_clsloc.txt").read_text().splitlines()
    assert [line.split()[:2] for line in lines] == [[w, str(i)] for i, w in enumerate(labels.ilsvrc2012_ids(), 1)]
    lines = (real / "ilsvrc2012/LOC_synset_mapping.txt").read_text().splitlines()
    assert tuple(line[:9] for line in lines) == labels.ilsvrc2012_sorted()


def test_classes_equal_the_devkit_s_meta_mat(real: Path) -> None:
    loadmat = pytest.importorskip("scipy.io").loadmat
    synsets = loadmat(real / "ilsvrc2012/meta.mat", squeeze_me=True)["synsets"]
    by_id = {int(row["ILSVRC2012_ID"]): str(row["WNID"]) for row in synsets}
    assert len(by_id) == 1_860
    assert tuple(by_id[ilsvrc_id] for ilsvrc_id in range(1, 1_001)) == labels.ilsvrc2012_ids()


@pytest.mark.parametrize(
    "name", ["ILSVRC2012_validation_ground_truth.txt", "ILSVRC2015_clsloc_validation_ground_truth.txt"]
)
def test_validation_labels_equal_the_devkit_s(real: Path, name: str) -> None:
    ids = (real / "ilsvrc2012" / name).read_text().split()
    by_id = labels.ilsvrc2012_ids()
    assert tuple(by_id[int(ilsvrc_id) - 1] for ilsvrc_id in ids) == labels.validation_wnids()


def test_validation_labels_equal_the_devkit_s_by_its_own_map(real: Path) -> None:
    lines = (real / "ilsvrc2012/map_clsloc.txt").read_text().splitlines()
    by_id = {ilsvrc_id: wnid for wnid, ilsvrc_id, _ in (line.split() for line in lines)}
    ids = (real / "ilsvrc2012/ILSVRC2015_clsloc_validation_ground_truth.txt").read_text().split()
    assert len(ids) == 50_000
    assert sum(by_id[one] == wnid for one, wnid in zip(ids, labels.validation_wnids(), strict=True)) == 50_000


def test_validation_labels_equal_kaggle_s(real: Path) -> None:
    with (real / "ilsvrc2012/LOC_val_solution.csv").open(newline="") as file:
        theirs = {row["ImageId"]: row["PredictionString"][:9] for row in csv.DictReader(file)}
    assert len(theirs) == 50_000
    assert theirs == {stem: labels.validation_wnid(stem) for stem in theirs}


def test_fall11_equals_the_public_list(real: Path) -> None:
    with (real / "lists/fall11_classes.csv").open(newline="") as file:
        assert sorted(row["synid"] for row in csv.DictReader(file)) == list(labels.fall11())
