"""The order of rows and the numbering of classes are found together; what is not certain is refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import imagenet_tools as imt
from imagenet_tools.catalogue.labels import ListNumbering
from imagenet_tools.errors import UsageError
from tests.evaluation.predictions import FOLDERS, IMAGES, TRUTH, WNIDS, N, shuffled, top5
from tests.parameters import short_list

TOP = top5()
ORDERS = {"numbers": np.arange(N), "folders": FOLDERS}
NUMBERINGS = [
    ListNumbering("ilsvrc2012", 0),
    ListNumbering("ilsvrc2012", 1),
    ListNumbering("ilsvrc2012-id", 1),
    ListNumbering("ilsvrc2012-id", 0),
    ListNumbering("ilsvrc2012", 0, as_text=True),
    ListNumbering("imagenet22k-ms", 0),
]


def saved(path: Path, values: npt.NDArray[Any]) -> Path:
    np.save(path, values)
    return path


@pytest.mark.parametrize("numbering", short_list(NUMBERINGS, *NUMBERINGS[1:3]), ids=str)
@pytest.mark.parametrize("order", short_list(ORDERS, "folders"))
def test_every_order_and_numbering_is_found(order: str, numbering: ListNumbering, tmp_path: Path) -> None:
    numbers = np.array([numbering.number_of(wnid) for wnid in WNIDS])
    path = saved(tmp_path / "top.npy", numbers[TOP[ORDERS[order]]])
    (model,) = imt.evaluate(path).models
    assert (model.measures["top1"].hits, model.measures["top5"].hits) == (35_000, 45_000)
    assert order in model.aligned.order.replace("class ", "")
    assert model.aligned.images.tolist() == [IMAGES[row] for row in ORDERS[order]]
    assert [model.aligned.classes[place] for place in model.aligned.truth[:5]] == [
        WNIDS[TRUTH[row]] for row in ORDERS[order][:5]
    ]
    best, following = model.aligned.evidence
    assert best.startswith("best: 70.00%") and following.startswith("next: ")


@pytest.mark.parametrize("k", short_list([1, 5], 5))
@pytest.mark.parametrize("order", short_list(ORDERS, "folders"))
def test_a_tenth_of_shuffled_rows_is_refused_and_the_options_are_named(order: str, k: int, tmp_path: Path) -> None:
    top = shuffled(TOP, 0.1)[ORDERS[order], :k]
    path = saved(tmp_path / "top.npy", top)
    with pytest.raises(UsageError, match=r"some rows are probably of other images.*--rows.*--labels"):
        imt.evaluate(path)
    # What the user knows is not doubted.
    (model,) = imt.evaluate(path, rows=order).models
    assert model.measures["top1"].hits == (shuffled(TOP, 0.1)[:, 0] == TRUTH).sum()


def test_wholly_shuffled_rows_are_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "top.npy", shuffled(TOP, 1))
    with pytest.raises(UsageError, match="may be shuffled"):
        imt.evaluate(path)
    with pytest.raises(UsageError, match="may be shuffled"):
        imt.evaluate(path, rows="numbers")
    (model,) = imt.evaluate(path, rows="numbers", labels="ilsvrc2012").models
    assert model.measures["top1"].value < 0.01 and "not detected" in model.aligned.evidence[0]


def test_true_labels_beside_the_predictions_tell_the_order_or_refuse(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", true=TRUTH[FOLDERS], pred=shuffled(TOP, 1)[FOLDERS, 0])
    (model,) = imt.evaluate(tmp_path / "a.npz").models
    assert model.aligned.evidence[0].startswith("best: 100.00%") and model.measures["top1"].value < 0.01
    np.savez(tmp_path / "b.npz", true=shuffled(TRUTH[:, None], 0.1)[:, 0], pred=TOP[:, 0])
    with pytest.raises(UsageError, match="of its true labels agree"):
        imt.evaluate(tmp_path / "b.npz")


def test_a_list_of_names_beside_the_file_or_named(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).permutation(N)[:2_000]
    path = saved(tmp_path / "top.npy", TOP[rows])
    names = tmp_path / "names.txt"
    names.write_text("".join(f"val/{IMAGES[row]}.JPEG\n" for row in rows))
    pairs = tmp_path / "pairs.json"
    # Images of another data set, whose classes the list names.
    pairs.write_text(json.dumps([[f"{row:040x}", WNIDS[TRUTH[row]]] for row in rows]))
    hits = int((TOP[rows, 0] == TRUTH[rows]).sum())
    for evaluation in (imt.evaluate([path, names]), imt.evaluate(path, rows=names), imt.evaluate([pairs, path])):
        assert evaluation.models[0].measures["top1"].hits == hits
    assert "real_top1" in imt.evaluate([path, names]).models[0].measures
    assert "real_top1" not in imt.evaluate([path, pairs]).models[0].measures
    with pytest.raises(UsageError, match=r"2,000 rows; names has 50,000|names\.txt has"):
        names.write_text("".join(f"{image}\n" for image in IMAGES))
        imt.evaluate(path, rows=names)


def test_other_images_and_repeated_ones_are_counted(tmp_path: Path) -> None:
    names = [*IMAGES[:1_000], IMAGES[0], "holiday", "ILSVRC2012_val_00050001"]
    lines = [f"{name}.JPEG,{place}" for name, place in zip(names, [*TOP[:1_000, 0], 999, 5, 5], strict=True)]
    (tmp_path / "a.csv").write_text("\n".join(lines))
    evaluation = imt.evaluate(tmp_path / "a.csv")
    measure = evaluation.models[0].measures["top1"]
    assert (measure.hits, measure.n) == ((TOP[:1_000, 0] == TRUTH[:1_000]).sum(), 1_000)
    assert any("2 rows of other images" in text for text in evaluation.notes())
    assert any("1 row of images that came before" in text for text in evaluation.notes())


def test_a_list_that_does_not_have_the_numbers_is_refused_by_its_name(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", TOP)
    with pytest.raises(UsageError, match=r"Its numbers are 0 to 999, but ilsvrc2012-id has 1 to 1,000\."):
        imt.evaluate(tmp_path / "a.npy", labels="ilsvrc2012-id")


def test_labels_of_a_subset_are_scored_if_the_list_is_named(tmp_path: Path) -> None:
    wnids = imt.classes("imagenette").wnids
    rows = [row for row in range(N) if WNIDS[TRUTH[row]] in wnids]
    lines = [f"{IMAGES[row]}.JPEG,{wnids.index(WNIDS[TRUTH[row]])}" for row in rows]
    (tmp_path / "a.csv").write_text("\n".join(lines))
    with pytest.raises(UsageError, match="--labels LIST"):
        imt.evaluate(tmp_path / "a.csv")
    assert imt.evaluate(tmp_path / "a.csv", labels="imagenette").models[0].measures["top1"].hits == 500


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rows": "backwards"}, "numbers or folders, or a file"),
        ({"labels": "imagenet9000"}, "published list of wnids"),
        ({"labels": "coco80"}, "published list of wnids"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message):
        imt.evaluate(saved(tmp_path / "top.npy", TOP), **options)
