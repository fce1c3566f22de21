"""Labels that users have beside the official ones: published figures, and brute force over drawn files."""

import csv
import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import imagenet_tools as imt
from imagenet_tools.catalogue import lists
from imagenet_tools.catalogue.labels import IMAGENET_X_FACTORS as FACTORS
from imagenet_tools.errors import UsageError
from tests.evaluation.predictions import IMAGES, TRUTH, WNIDS, top5

long = pytest.mark.long  # proofs of the whole; the long suite has them

TOP = top5()
RNG = np.random.default_rng(5)
ROWS = np.sort(RNG.permutation(len(TOP))[:3_000])


@pytest.fixture(scope="module")
def predictions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("truths") / "a.npz"
    np.savez(path, path=np.array(IMAGES)[ROWS], top=TOP[ROWS])
    return path


def measures(predictions: Path, *truths: Path) -> dict[str, Any]:
    (model,) = imt.evaluate(predictions, truths=truths).models
    return model.measures


def drawn_sets() -> dict[int, tuple[list[int], list[int]]]:
    """Correct and unclear labels of some rows: the true label mostly, and others that may be predicted."""
    sets = {}
    for row in ROWS.tolist():
        others = RNG.permutation([*TOP[row].tolist(), *RNG.integers(0, 1000, 3).tolist()]).tolist()
        correct = list(dict.fromkeys([int(TRUTH[row]), *others[: RNG.integers(0, 3)]][RNG.random() < 0.1 :]))
        sets[row] = correct, [label for label in others[3 : 3 + RNG.integers(0, 2)] if label not in correct]
    return sets


@long
def test_multilabel_as_its_authors_publish_it(predictions: Path, tmp_path: Path) -> None:
    sets = drawn_sets()
    problematic = set(ROWS[::20].tolist())
    hardest = ROWS[::50].tolist()  # some of them problematic
    annotations = {}
    for row, (correct, unclear) in sets.items():
        entry = {"correct": [WNIDS[n] for n in correct], "wrong": ["n01440764"]}
        annotations[f"{IMAGES[row]}.JPEG"] = entry | ({"unclear": [WNIDS[n] for n in unclear]} if unclear else {})
    annotations["25949dd0704552263197b05a8359771a4192ff45"] = {"correct": ["n01440764"]}  # of ImageNet-V2
    content = {
        "initial_annots": annotations,
        "problematic_images": {f"{IMAGES[row]}.JPEG": "x" for row in problematic},
        "imagenet_m": [f"{IMAGES[row]}.JPEG" for row in hardest],
    }
    path = tmp_path / "human_accuracy_v3.0.0.json"
    path.write_text(json.dumps(content))
    found = measures(predictions, path)
    right = {row: TOP[row, 0] in {*a, *b} for row, (a, b) in sets.items() if row not in problematic}
    one = found["multilabel_v3_top1"]
    assert (one.hits, one.n) == (sum(right.values()), len(right))
    by_class: dict[int, list[bool]] = {}
    for row, hit in right.items():
        by_class.setdefault(int(TRUTH[row]), []).append(hit)
    mean = np.mean([np.mean(hits) for hits in by_class.values()])
    one = found["multilabel_v3_class_mean"]
    assert one.value == pytest.approx(mean, abs=1e-12) and one.low < mean < one.high
    one = found["imagenet_m"]
    right_of_all = {row: TOP[row, 0] in {*a, *b} for row, (a, b) in sets.items()}
    assert (one.hits, one.n) == (sum(right_of_all[row] for row in hardest), len(hardest))
    recalls = [
        len({*TOP[row, : len(a)].tolist()} & {*a}) / len(a)
        for row, (a, _) in sets.items()
        if row in right and 0 < len(a) <= 5
    ]
    assert found["multilabel_v3_recall"].value == pytest.approx(np.mean(recalls), abs=1e-12)


@long
@pytest.mark.parametrize("form", ["jsonl", "csv", "objects", "names", "reimagenet"])
def test_a_table_of_images_and_their_labels(form: str, predictions: Path, tmp_path: Path) -> None:
    sets = {row: correct for row, (correct, _) in drawn_sets().items() if correct}
    path = tmp_path / "labels"
    if form == "csv":
        lines = [f'{IMAGES[row]}.JPEG,"{", ".join(map(str, labels))}"' for row, labels in sets.items()]
        path.write_text("\n".join(["image,labels", *lines]))
    else:
        written = {
            "jsonl": lambda labels: labels,
            "objects": lambda labels: [{"bbox": [0, 0, 9, 9], "label": WNIDS[label]} for label in labels],
            "names": lambda labels: [WNIDS[label] for label in labels],
            "reimagenet": lambda labels: [*labels, -1],
        }[form]
        key = "reannotated_labels" if form == "reimagenet" else "labels"
        rows = [
            {"file_path": f"{WNIDS[TRUTH[row]]}/{IMAGES[row]}.JPEG", key: written(labels)}
            for row, labels in sets.items()
        ]
        path.write_text("\n".join(map(json.dumps, rows)))
    found = measures(predictions, path)
    assert found["labels_top1"].hits == sum(TOP[row, 0] in labels for row, labels in sets.items())
    assert found["labels_top5"].hits == sum(bool({*TOP[row].tolist()} & {*labels}) for row, labels in sets.items())
    assert found["labels_top1"].n == len(sets)


def test_an_image_may_have_a_row_for_each_of_its_labels(tmp_path: Path) -> None:
    rows = ROWS[:50].tolist()
    np.savez(tmp_path / "a.npz", path=np.array(IMAGES)[rows], top=TOP[rows])
    lines = [f"{IMAGES[row]}.JPEG,{label}" for row in rows for label in (TOP[row, 0], TOP[row, 1])]
    (tmp_path / "labels.csv").write_text("\n".join(["image,label", *lines]))
    (model,) = imt.evaluate(tmp_path / "a.npz", truths=tmp_path / "labels.csv", labels="ilsvrc2012").models
    one = model.measures["labels_top1"]
    assert (one.hits, one.n) == (50, 50)


@pytest.mark.parametrize("numbering", ["ilsvrc2012-id", "ilsvrc2012-slim"])
def test_labels_of_another_numbering_are_refused(numbering: str, tmp_path: Path) -> None:
    rows = [row for row in ROWS.tolist() if TRUTH[row] < 999][:200]
    np.savez(tmp_path / "a.npz", path=np.array(IMAGES)[rows], top=TOP[rows])
    index = lists.index_of(numbering)
    numbers = {row: index[WNIDS[TRUTH[row]]] + 1 for row in rows}
    lines = [f"{IMAGES[row]},{number}" for row, number in numbers.items() if number < 1000]
    (tmp_path / "labels.csv").write_text("\n".join(["image,label", *lines]))
    with pytest.raises(UsageError, match=r"from 1.* rows agree.*Expected numbers of ilsvrc2012, .*from 0"):
        imt.evaluate(tmp_path / "a.npz", truths=tmp_path / "labels.csv", labels="ilsvrc2012")


@long
def test_factors(predictions: Path, tmp_path: Path) -> None:
    flags = RNG.random((len(ROWS), len(FACTORS))) < 0.1
    rows = [
        {"file_name": f"{IMAGES[row]}.JPEG", "class": int(TRUTH[row]), **dict(zip(FACTORS, map(int, has), strict=True))}
        for row, has in zip(ROWS.tolist(), flags, strict=True)
    ]
    path = tmp_path / "imagenet_x_val_multi_factor.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    right = TOP[ROWS, 0] == TRUTH[ROWS]
    found = measures(predictions, path)
    assert found["imagenet_x"].hits == right.sum()
    for n, factor in enumerate(FACTORS):
        one = found[f"imagenet_x_{factor}"]
        assert (one.hits, one.n) == (right[flags[:, n]].sum(), flags[:, n].sum())
    (tmp_path / "prototypical_paths.csv").write_text("file_name\n" + f"{IMAGES[ROWS[0]]}.JPEG\n")
    assert measures(predictions, path)["imagenet_x"].n == len(ROWS) - 1


@long
def test_published_figures_of_multilabel(real: Path) -> None:
    """The mean of the classes by the rule, from the published csv and predictions."""
    with (real / "predictions" / "multilabel_v3.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["is_problematic"] == "False"]
    with (real / "predictions" / "imagenetx.SimCLR.csv").open() as file:
        predicted = {row["file_name"]: row["predicted_class"] for row in csv.DictReader(file)}
    by_class: dict[str, list[bool]] = {}
    for row in rows:
        valid = f"{row['proposed_labels']}, {row['unclear_multi_labels']}".split(", ")
        by_class.setdefault(row["original_label"], []).append(predicted[row["id"]] in valid)
    found = measures(real / "predictions" / "imagenetx.SimCLR.csv", real / "predictions" / "multilabel_v3.csv")
    one = found["multilabel_v3_class_mean"]
    assert one.value == pytest.approx(np.mean([np.mean(hits) for hits in by_class.values()]), abs=1e-12)
    assert (found["multilabel_v3_top1"].hits, one.n, len(by_class)) == (14_360, 18_692, 1_000)


@long
@pytest.mark.parametrize("factors", ["multi", "top"])
def test_published_figures_of_imagenet_x(factors: str, real: Path) -> None:
    package = importlib.util.find_spec("imagenet_x")
    if package is None or package.origin is None:
        pytest.skip("the package imagenet-x, which has the factors, is not installed")
    folder = Path(package.origin).parent / "annotations"
    name = (
        "imagenetx.accuracies_per_factor.csv"
        if factors == "multi"
        else "imagenetx.top_factor.accuracies_per_factor.csv"
    )
    with (real / "predictions" / name).open() as file:
        (published,) = [row for row in csv.DictReader(file) if row["model"] == "SimCLR"]
    path = folder / f"imagenet_x_val_{factors}_factor.jsonl"
    found = measures(real / "predictions" / "imagenetx.SimCLR.csv", path)
    for factor in FACTORS:
        assert found[f"imagenet_x_{factor}"].value == pytest.approx(float(published[factor]), abs=1e-12)
    assert found["imagenet_x"].value == pytest.approx(float(published["average"]), abs=1e-12)
    worst = float(published["worst_100_classes"])
    assert found["imagenet_x_worst_100"].value == pytest.approx(worst, abs=1e-12)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no rows of images"),
        ("a,b\n1,2\n", "no column of images"),
        ("image,score\nILSVRC2012_val_00000001.JPEG,2\n", "no column of labels"),
        ("image,label\nILSVRC2012_val_00000001.JPEG,no such class\n", "a class's name"),
        ('{"initial_annots": []}', "cannot be read"),
        ("[1, 2]", "no rows of images"),
        ("image,label\nother.JPEG,3\n", "none of which is predicted"),
    ],
)
@long
def test_refusals(text: str, message: str, predictions: Path, tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text(text)
    with pytest.raises(UsageError, match=message):
        measures(predictions, path)
