"""The numbering of a file of labels or predictions is found, or the file is refused."""

import functools
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from imagenet_tools import identify
from imagenet_tools.catalogue import identify_labels, labels, lists
from imagenet_tools.catalogue.identify_labels import LabelsFound, numberings
from imagenet_tools.catalogue.labels import ListNumbering
from imagenet_tools.catalogue.user_files import LabelFile
from tests.parameters import short_list

TRUTH = labels.validation_wnids()
IMAGES = [f"ILSVRC2012_val_{n:08d}" for n in range(1, 50_001)]


@functools.cache
def order_of(numbering: ListNumbering) -> Sequence[str]:
    """Return the classes by number, computed in another way than in the package."""
    listed = lists.get(numbering.space)
    if not numbering.as_text:
        return listed.wnids
    folders = {str(number): wnid for number, wnid in enumerate(listed.wnids, listed.base)}
    return [folders[folder] for folder in sorted(folders)]


def truth_in(numbering: ListNumbering, wnids: Sequence[str] = TRUTH) -> npt.NDArray[np.int64]:
    return _truth_in(numbering).copy() if wnids is TRUTH else _numbers(numbering, wnids)


@functools.cache
def _truth_in(numbering: ListNumbering) -> npt.NDArray[np.int64]:
    return _numbers(numbering, TRUTH)


def _numbers(numbering: ListNumbering, wnids: Sequence[str]) -> npt.NDArray[np.int64]:
    index = {wnid: n for n, wnid in enumerate(order_of(numbering), numbering.base)}
    return np.array([index.get(wnid, numbering.base) for wnid in wnids])


def predictions(numbering: ListNumbering, accuracy: float, seed: int) -> npt.NDArray[np.int64]:
    """Return the true labels, with a share of the rows replaced by random classes."""
    rng = np.random.default_rng(seed)
    said = truth_in(numbering)
    wrong = rng.random(len(said)) >= accuracy
    said[wrong] = rng.integers(numbering.base, numbering.base + len(order_of(numbering)), wrong.sum())
    return said


def found_in(path: Path, numbers: npt.ArrayLike) -> LabelsFound:
    path.write_text("".join(f"{number}\n" for number in np.asarray(numbers).tolist()))
    found = identify(path)
    assert isinstance(found, LabelsFound)
    return found


def means(found: LabelsFound, numbering: ListNumbering, numbers: npt.NDArray[np.int64]) -> bool:
    """Return True if the result gives every number the same class as the numbering."""
    assert found.numbering is not None
    theirs, ours = (dict(enumerate(order_of(one), one.base)) for one in (found.numbering, numbering))
    return all(theirs.get(number) == ours.get(number) for number in set(numbers[numbers >= 0].tolist()))


def find(numbers: npt.NDArray[np.int64], rows: npt.NDArray[np.int64] | None = None) -> LabelsFound:
    """Identify numbers for all images in order, or for some images by name."""
    images = None if rows is None else tuple(IMAGES[row] for row in rows.tolist())
    return identify_labels.find(LabelFile(numbers, images))


@pytest.mark.parametrize("accuracy", short_list([1.0, 0.9, 0.8, 0.7, 0.6], 0.6))
@pytest.mark.parametrize("numbering", short_list(numberings(), *numberings()[::6]), ids=str)
def test_every_order_and_base_is_told_by_labels_and_by_predictions(
    numbering: ListNumbering, accuracy: float, tmp_path: Path
) -> None:
    known = np.isin(TRUTH, order_of(numbering)).mean()
    said = predictions(numbering, accuracy, seed=round(10 - 10 * accuracy))
    found = found_in(tmp_path / "labels.txt", said) if accuracy == 0.6 else find(said)
    assert found.best is not None and found.next is not None
    assert found.numbering is not None
    assert numbering in (found.numbering, *found.same), found.why
    # What means the same by every number may be named first: Microsoft's first thousand are ILSVRC2012's.
    assert means(found, numbering, said)
    assert abs(found.best.share - accuracy * known) < 0.02
    assert found.next.share < found.best.share
    assert found.best.rows == "in the order of the validation images' numbers"


@pytest.mark.parametrize("numbering", short_list(numberings(), *numberings()[::3]), ids=str)
def test_fifty_rows_are_told_rightly_or_refused(numbering: ListNumbering) -> None:
    n_told = 0
    for seed in range(4):
        for accuracy in (1.0, 0.8, 0.6):
            rows = np.random.default_rng(seed).permutation(50_000)[:50]
            said = predictions(numbering, accuracy, seed)[rows]
            found = find(said, rows)
            n_told += found.numbering is not None
            assert found.numbering is None or means(found, numbering, said), found.why
    assert n_told


@pytest.mark.parametrize("numbering", numberings(), ids=str)
@pytest.mark.parametrize("n", short_list([50, 500, 50_000], 500))
def test_shuffled_rows_are_refused_in_every_numbering(numbering: ListNumbering, n: int) -> None:
    rng = np.random.default_rng(n)
    rows = rng.permutation(50_000)[:n]
    found = find(rng.permutation(truth_in(numbering)[rows]), rows)
    assert found.numbering is None and found.best is not None and found.best.share < 0.1


@pytest.mark.parametrize("name", ["imagenette", "imagewoof", "imagenet100-cmc", "tiny-imagenet-200", "imagenet-r"])
def test_labels_that_count_a_subset_are_refused(name: str) -> None:
    index = {wnid: number for number, wnid in enumerate(sorted(lists.get(name).wnids))}
    rows = np.array([row for row, wnid in enumerate(TRUTH) if wnid in index])
    found = find(np.array([index[TRUTH[row]] for row in rows.tolist()]), rows)
    assert found.numbering is None, found.why


def test_a_subset_that_begins_as_ilsvrc2012_does_is_refused_for_the_classes_that_contradict() -> None:
    """Half the rows agree, as tench is 0 in both lists; English springer is 1 in one and 217 in the other."""
    rows = np.array([row for row, wnid in enumerate(TRUTH) if wnid in {"n01440764", "n02102040"}])
    found = find(np.array([int(TRUTH[row] == "n02102040") for row in rows.tolist()]), rows)
    assert found.numbering is None and found.best is not None and found.best.share == 0.5
    assert "Classes with another number throughout: 1." in found.why


def test_images_of_no_known_class_do_not_count_against_a_numbering(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    said = truth_in(ListNumbering("ilsvrc2012", 0, False))
    named = [f"{IMAGES[n]}.JPEG,{said[n]}" for n in range(100)]
    path.write_text("\n".join([*named, *(f"mine_{n}.jpg,{n}" for n in range(900))]))
    found = identify(path)
    assert isinstance(found, LabelsFound) and found.numbering == ListNumbering("ilsvrc2012", 0, False)
    assert found.best is not None and (found.best.right, found.best.share) == (100, 1.0)


def test_the_orders_of_ilsvrc2012_and_the_21k_lists_are_all_tried() -> None:
    tried = {(one.space, one.base, one.as_text) for one in numberings()}
    for space in set(lists.SPACES) - {"ilsvrc2012-slim"}:
        assert {(space, 0, False), (space, 1, False)} <= tried
    assert ("ilsvrc2012", 0, True) in tried
    assert len(tried) == len(numberings()) == 24


@pytest.mark.parametrize("seed", short_list(range(2), 0))
@pytest.mark.parametrize("space", ["ilsvrc2012-id", "imagenet21k-goog"])
def test_shuffled_labels_are_refused(space: str, seed: int, tmp_path: Path) -> None:
    numbers = truth_in(ListNumbering(space, lists.get(space).base, False))
    np.random.default_rng(seed).shuffle(numbers)
    found = found_in(tmp_path / "labels.txt", numbers)
    assert found.numbering is None and not found.told
    assert found.best is not None and found.best.share < 0.01
    assert "Nothing can be told" in found.why and "shuffled" in found.why


def test_rows_in_the_order_of_class_folders_are_known(tmp_path: Path) -> None:
    found = found_in(tmp_path / "labels.txt", truth_in(ListNumbering("ilsvrc2012-id", 1, False), sorted(TRUTH)))
    assert found.numbering == ListNumbering("ilsvrc2012-id", 1, False)
    assert found.best is not None and found.best.rows == "in the order of class folders"


def test_google_s_list_is_told_from_fall11_s_though_they_agree_on_most(tmp_path: Path) -> None:
    for seed, (space, other) in enumerate([("imagenet21k-goog", "fall11"), ("fall11", "imagenet21k-goog")]):
        found = found_in(tmp_path / "labels.txt", truth_in(ListNumbering(space, 0, False)))
        assert found.numbering == ListNumbering(space, 0, False), seed
        assert found.next is not None and found.next.numbering.space == other
        assert found.next.share > 0.5


def test_a_model_of_1001_outputs_may_say_background(tmp_path: Path) -> None:
    numbers = predictions(ListNumbering("ilsvrc2012", 1, False), 0.7, seed=1)
    numbers[:50] = 0
    found = found_in(tmp_path / "labels.txt", numbers)
    assert found.numbering == ListNumbering("ilsvrc2012", 1, False)
    assert "ilsvrc2012-slim" in str(found.numbering) and "1,001" in str(found.numbering)


def test_string_order_of_folders_is_told_from_natural_order(tmp_path: Path) -> None:
    """ImageNetV2's folders are called 0 to 999, and loaders of class folders sort them as texts: '10' before '2'."""
    natural = ListNumbering("ilsvrc2012", 0, False)
    texts = ListNumbering("ilsvrc2012", 0, True)
    assert order_of(texts)[:4] == [lists.get("ilsvrc2012").wnids[n] for n in (0, 1, 10, 100)]
    assert found_in(tmp_path / "a.txt", truth_in(natural)).numbering == natural
    assert found_in(tmp_path / "b.txt", truth_in(texts)).numbering == texts


# ---- named rows


@pytest.mark.parametrize(
    "form", ["{image}.JPEG {n}", "{image},{n}", "val/n00000000/{image}.JPEG\t{n}", "{image}_n01440764.JPEG,{n}.0"]
)
def test_named_images_may_come_in_any_order(form: str, tmp_path: Path) -> None:
    numbering = ListNumbering("ilsvrc2012-id", 1, False)
    rng = np.random.default_rng(3)
    rows = rng.permutation(50_000)[:2_000]
    said = predictions(numbering, 0.6, seed=2)
    path = tmp_path / "predictions.csv"
    path.write_text("image,label\n" + "".join(form.format(image=IMAGES[n], n=said[n]) + "\n" for n in rows))
    found = identify(path)
    assert isinstance(found, LabelsFound) and found.numbering == numbering
    assert found.best is not None and found.best.rows == "by the names of their images"


def test_names_of_training_images_tell_their_class(tmp_path: Path) -> None:
    path = tmp_path / "train.txt"
    index = {wnid: n for n, wnid in enumerate(lists.get("imagenet12k").wnids)}
    path.write_text("".join(f"{wnid}/{wnid}_7.JPEG {n}\n" for wnid, n in list(index.items())[::100]))
    found = identify(path)
    assert isinstance(found, LabelsFound) and found.numbering == ListNumbering("imagenet12k", 0, False)


def test_too_few_rows_tell_nothing(tmp_path: Path) -> None:
    path = tmp_path / "few.csv"
    said = truth_in(ListNumbering("ilsvrc2012", 0, False))
    path.write_text("".join(f"{IMAGES[n]},{said[n]}\n" for n in range(3)))
    found = identify(path)
    assert isinstance(found, LabelsFound) and found.numbering is None and "More rows may tell" in found.why


def test_predictions_that_count_up_are_labels_if_they_agree(tmp_path: Path) -> None:
    """Right predictions for an image of each class, in the order of the classes."""
    said = truth_in(ListNumbering("ilsvrc2012", 0, False)).tolist()
    path = tmp_path / "labels.txt"
    path.write_text("".join(f"{IMAGES[said.index(n)]} {n}\n" for n in range(20)))
    found = identify(path)
    assert isinstance(found, LabelsFound) and found.numbering == ListNumbering("ilsvrc2012", 0, False)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("5\n" * 49_999, "49,999 rows are not the 50,000"),
        ("cat_1.jpg 3\ncat_2.jpg 4\n", "none of its images is one of"),
        ("".join(f"{n}\n" for n in range(1, 50_001)), "those of the rows, 1 to 50,000, and no labels"),
        ("".join(f"{image} {n}\n" for n, image in enumerate(IMAGES, 1)), "so Kaggle's val.txt has it"),
        ("30000\n" * 50_000, "No known numbering has both 30,000 and 30,000"),
    ],
)
def test_what_cannot_be_told_is_refused_in_words(text: str, why: str, tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    path.write_text(text)
    found = identify(path)
    assert isinstance(found, LabelsFound) and found.numbering is None
    assert why in found.why


def test_labels_that_are_wnids_need_no_order(tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    path.write_text("".join(f"{wnid}\n" for wnid in TRUTH))
    found = identify(path)
    assert isinstance(found, LabelsFound) and found.told and found.numbering is None
    assert "50,000 of 50,000 agree" in found.why


def test_arrays_of_numbers_and_of_scores_are_read(tmp_path: Path) -> None:
    said = truth_in(ListNumbering("ilsvrc2012", 0, False))
    np.save(tmp_path / "labels.npy", said.astype(np.int16))
    scores = np.zeros((50_000, 1000), np.int8)
    scores[np.arange(50_000), said] = 1
    np.save(tmp_path / "scores.npy", scores)
    np.save(tmp_path / "best5.npy", np.stack([said, *((said + n) % 1000 for n in (7, 77, 300, 500))], axis=1))
    for name in ("labels.npy", "scores.npy", "best5.npy"):
        found = identify(tmp_path / name)
        assert isinstance(found, LabelsFound) and found.numbering == ListNumbering("ilsvrc2012", 0, False)


def test_json_lines_are_read_whatever_their_keys_are_called(tmp_path: Path) -> None:
    said = truth_in(ListNumbering("ilsvrc2012-id", 1, False))
    path = tmp_path / "predictions.jsonl"
    path.write_text("".join(json.dumps({"file": f"{IMAGES[n]}.JPEG", "pred": int(said[n])}) + "\n" for n in range(99)))
    found = identify(path)
    assert isinstance(found, LabelsFound) and found.numbering == ListNumbering("ilsvrc2012-id", 1, False)


# ---- real files


@pytest.mark.parametrize(
    ("file", "space"),
    [
        ("ilsvrc2012/ILSVRC2012_validation_ground_truth.txt", "ilsvrc2012-id"),
        ("ilsvrc2012/ILSVRC2015_clsloc_validation_ground_truth.txt", "ilsvrc2012-id"),
        ("lists/real.json", "ilsvrc2012"),
    ],
)
def test_published_labels_are_told(real: Path, file: str, space: str) -> None:
    found = identify(real / file)
    assert isinstance(found, LabelsFound) and found.numbering is not None
    assert (found.numbering.space, found.numbering.base) == (space, lists.get(space).base)


def test_kaggle_s_labels_are_wnids(real: Path) -> None:
    found = identify(real / "ilsvrc2012/LOC_val_solution.csv")
    assert isinstance(found, LabelsFound) and "50,000 of 50,000 agree" in found.why
