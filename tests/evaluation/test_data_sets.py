"""Data sets of other images, named with their folders, by each convention of the field; and lists of classes."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import imagenet_tools as imt
from imagenet_tools.catalogue import class_maps, lists
from imagenet_tools.errors import UsageError
from imagenet_tools.evaluation.corruptions import (
    ALEXNET_CLEAN_ERROR,
    ALEXNET_ERRORS,
    condition_of,
    mean_corruption_error,
)
from imagenet_tools.superclasses import superclasses
from tests.cli.conftest import Run
from tests.cli.conftest import run as run  # noqa: PLC0414 (a fixture)
from tests.evaluation.predictions import IMAGES, INDEX, TRUTH, WNIDS, N, logits, top5

long = pytest.mark.long  # proofs of the whole; the long suite has them

RNG = np.random.default_rng(6)
SOME = np.sort(RNG.permutation(N)[:4_000])


def drawn(truth: Any, n_outputs: int = 1000) -> Any:
    """Return logits that are right for a part of the rows."""
    scores = RNG.normal(0, 1, (len(truth), n_outputs)).astype(np.float32)
    scores[np.arange(len(truth)), truth] += RNG.choice([0, 2, 5], len(truth))
    return scores


def scored(folder: Path, paths: list[str], scores: Any, **options: Any) -> dict[str, Any]:
    np.savez(folder / "model.npz", path=np.array(paths), logits=scores)
    (model,) = imt.evaluate(folder / "model.npz", **options).models
    return model.measures


@long
@pytest.mark.parametrize("name", ["imagenet-a", "imagenet-r"])
def test_200_classes_by_all_outputs_and_by_theirs(name: str, tmp_path: Path) -> None:
    wnids = lists.get(name).wnids
    truth = np.array([INDEX[wnid] for wnid in wnids] * 4)
    scores = drawn(truth)
    # Names that repeat in other folders, as in ImageNet-Sketch.
    paths = [f"{WNIDS[place]}/sketch_{n // 200}.jpg" for n, place in enumerate(truth.tolist())]
    found = scored(tmp_path, paths, scores)
    columns = np.sort([INDEX[wnid] for wnid in wnids])
    among = scores[:, columns].astype(np.float64)
    right = columns[among.argmax(axis=1)] == truth
    assert found["top1"].hits == (scores.argmax(axis=1) == truth).sum()
    assert (found["masked_top1"].hits, found["masked_top1"].n) == (right.sum(), 800)
    if name == "imagenet-a":
        exact = np.exp(among - among.max(axis=1, keepdims=True))
        confidence = exact.max(axis=1) / exact.sum(axis=1)
        order = np.argsort(confidence, kind="stable")
        error = sum(100 / 800 * (confidence[rows].mean() - right[rows].mean()) ** 2 for rows in np.split(order, 8)[:7])
        assert found["rms_calibration"].value == pytest.approx(math.sqrt(error), abs=1e-12)
        shares = [right[order[::-1][: n + 1]].mean() for n in range(800)]
        assert found["aurra"].value == pytest.approx(np.mean(shares), abs=1e-12)


@long
def test_folders_of_imagenet_v2(tmp_path: Path) -> None:
    truth = np.repeat(np.arange(1000), 2)
    scores = drawn(truth)
    found = scored(tmp_path, [f"v2/{place}/{n:040x}.jpeg" for n, place in enumerate(truth.tolist())], scores)
    assert found["top1"].hits == (scores.argmax(axis=1) == truth).sum() and found["top1"].n == 2000
    assert "masked_top1" not in found


@long
@pytest.mark.parametrize("name", ["objectnet113", "imagenet-d"])
def test_folders_of_several_classes(name: str, tmp_path: Path) -> None:
    listed = lists.get(name)
    folder_of = {INDEX[wnid]: category.name for category in listed.categories for wnid in category.members}
    classes = np.array([*folder_of] * 8)
    scores = drawn(classes)
    above = "material/" if name == "imagenet-d" else "images/"
    names = [folder_of[place] for place in classes.tolist()]
    paths = [f"{above}{folder}/{n}.png" for n, folder in enumerate(names)]
    # A folder of ObjectNet without classes of ILSVRC2012 is not scored.
    found = scored(tmp_path, [*paths, f"{above}squeegee/1.png"], np.vstack([scores, scores[:1]]))
    order = np.argsort(-scores, axis=1)[:, :5]
    official = [[folder_of.get(place) for place in row] for row in order.tolist()]
    assert found["top1"].n == len(classes)
    assert found["top1"].hits == sum(row[0] == folder for row, folder in zip(official, names, strict=True))
    assert found["top5"].hits == sum(folder in row for row, folder in zip(official, names, strict=True))
    columns = np.array(sorted(folder_of))
    testbed = [folder_of[place] for place in columns[scores[:, columns].argmax(axis=1)].tolist()]
    assert found["masked_top1"].hits == sum(a == b for a, b in zip(testbed, names, strict=True))
    assert "hierarchical_top1" not in found and found["class_mean"].value > 0


@long
def test_a_few_hits_of_many_tell_the_numbering_of_hard_images_or_it_is_named(tmp_path: Path) -> None:
    wnids = lists.get("imagenet-a").wnids
    truth = np.array([INDEX[wnid] for wnid in wnids] * 10)
    top = RNG.integers(0, 1000, (2000, 1))
    top[:50, 0] = truth[:50]
    paths = np.array([f"{WNIDS[place]}/{n}.jpg" for n, place in enumerate(truth.tolist())])
    np.savez(tmp_path / "a.npz", path=paths, predicted=top)
    (model,) = imt.evaluate(tmp_path / "a.npz").models
    assert model.measures["top1"].hits == (top[:, 0] == truth).sum()
    top[:50, 0] = RNG.integers(0, 1000, 50)
    np.savez(tmp_path / "b.npz", path=paths, predicted=top)
    with pytest.raises(UsageError, match="--labels"):
        imt.evaluate(tmp_path / "b.npz", labels=None)
    (model,) = imt.evaluate(tmp_path / "b.npz", labels="ilsvrc2012").models
    assert model.measures["top1"].hits == (top[:, 0] == truth).sum()


@long
def test_outputs_for_images_of_no_class(tmp_path: Path) -> None:
    wnids = lists.get("imagenet-o").wnids
    truth = np.array([INDEX[wnid] for wnid in wnids] * 2)
    scores, others = drawn(truth), RNG.normal(0, 1, (300, 1000)).astype(np.float32)
    np.save(tmp_path / "o.npy", others)
    paths = [f"{WNIDS[place]}/{n}.jpg" for n, place in enumerate(truth.tolist())]
    found = scored(tmp_path, paths, scores, unknown=tmp_path / "o.npy")
    columns = [INDEX[wnid] for wnid in wnids]
    values = []
    for rows in (scores, others):
        exact = np.exp(rows[:, columns].astype(np.float64))
        values.append(-exact.max(axis=1) / exact.sum(axis=1))
    order = np.argsort(-np.concatenate(values))
    positive = (order >= 400).tolist()
    precisions = [sum(positive[: n + 1]) / (n + 1) for n, is_positive in enumerate(positive) if is_positive]
    assert found["aupr"].value == pytest.approx(np.mean(precisions), abs=1e-9)
    np.save(tmp_path / "o.npy", others[:, :500])
    with pytest.raises(UsageError, match="as many classes"):
        scored(tmp_path, paths, scores, unknown=tmp_path / "o.npy")


@long
def test_two_models_of_folders_and_their_rows(tmp_path: Path) -> None:
    listed = lists.get("objectnet113")
    rows = [(category.name, INDEX[category.members[0]]) for category in listed.categories] * 10
    paths = np.array([f"{folder}/{n}.png" for n, (folder, _) in enumerate(rows)])
    truth = np.array([place for _, place in rows])
    for name, n_right in (("a", 300), ("b", 500)):
        top = np.where(np.arange(len(rows)) < n_right, truth, 0)  # 0, the tench, is in no folder
        np.savez(tmp_path / f"{name}.npz", path=paths, predicted=top[:, None])
    evaluation = imt.evaluate([tmp_path / "a.npz", tmp_path / "b.npz"])
    (pair,) = evaluation.comparisons
    assert (pair.both, pair.only_first, pair.only_second) == (300, 0, 200)
    assert any("alarm_clock" in str(table) for table in evaluation.tables())
    table = evaluation.table().to_pylist()
    assert {row["wnid"] for row in table} == {None} and table[0]["folder"] == table[0]["predicted_folder"] == rows[0][0]
    assert table[-1]["predicted_folder"] is None
    with pytest.raises(UsageError, match="folders of objectnet"):
        imt.evaluate(tmp_path / "a.npz", classes="imagenette")


@long
def test_repeated_training_images_keep_their_names(tmp_path: Path) -> None:
    names = [f"{wnid}/{wnid}_{n}.JPEG" for wnid in WNIDS[:100] for n in range(5)]
    np.savez(tmp_path / "a.npz", path=np.array([*names, names[0]]), predicted=np.repeat(np.arange(101), 5)[:501])
    (model,) = imt.evaluate(tmp_path / "a.npz").models
    assert len(model.aligned.images) == 500 and model.aligned.images[0] == f"{WNIDS[0]}_0"


# ---- ImageNet-C


@long
def test_mean_corruption_error_of_published_errors() -> None:
    """ResNet-50's errors of the paper's table, and AlexNet's: 76.7 as Hendrycks and Dietterich publish it.

    The 15 errors are those of the table, in percent of AlexNet's. Relative to the clean error of 23.9 %, it is 105.0.
    """
    ratios = (80, 82, 83, 75, 89, 78, 80, 78, 75, 66, 57, 71, 85, 77, 77)
    errors = {
        corruption: error * ratio / 100
        for (corruption, error), ratio in zip(ALEXNET_ERRORS.items(), ratios, strict=True)
    }
    value = mean_corruption_error(errors)
    assert value is not None and round(100 * value, 1) == pytest.approx(76.7, abs=0.3)
    relative = mean_corruption_error(errors, clean=0.239)
    assert relative is not None and 100 * relative == pytest.approx(105.0, abs=1.0)
    del errors["fog"]
    assert mean_corruption_error(errors) is None


@long
def test_conditions_in_paths_and_in_names() -> None:
    assert condition_of("data/gaussian_noise/3/n01440764/ILSVRC2012_val_00000293.JPEG") == ("gaussian_noise", 3)
    assert condition_of("resnet50_snow-5.npy") == ("snow", 5)
    assert condition_of("resnet50_snow_severity_5.csv") == ("snow", 5)
    assert condition_of("snow/n04228054/1.JPEG") is None and condition_of("resnet50") is None


@long
def test_corrupted_images(run: Run, tmp_path: Path) -> None:
    rows = np.sort(RNG.permutation(N)[:40])
    expected = {}
    lines = ["path,predicted"]
    for n, corruption in enumerate(ALEXNET_ERRORS):
        for severity in range(1, 6):
            wrong = RNG.random(len(rows)) < 0.1 + 0.03 * severity + 0.01 * n
            expected[corruption, severity] = wrong.mean()
            for row, is_wrong in zip(rows.tolist(), wrong.tolist(), strict=True):
                wnid = WNIDS[TRUTH[row]]
                label = (TRUTH[row] + int(is_wrong) * 17) % 1000
                lines.append(f"{corruption}/{severity}/{wnid}/{IMAGES[row]}.JPEG,{label}")
    (tmp_path / "model.csv").write_text("\n".join(lines))
    evaluation = imt.evaluate(tmp_path / "model.csv", labels="ilsvrc2012")
    assert not evaluation.models
    (one,) = evaluation.corruptions
    assert {tuple(condition): error for condition, error in one.errors.items()} == pytest.approx(expected)
    means = [np.mean([expected[c, s] for s in range(1, 6)]) / error for c, error in ALEXNET_ERRORS.items()]
    assert one.mce == pytest.approx(np.mean(means)) and "mean corruption error" in repr(evaluation)
    assert one.clean is one.relative_mce is None
    clean = np.where(np.arange(N) % 10 == 0, (TRUTH + 3) % 1000, TRUTH)
    np.save(tmp_path / "clean.npy", clean)
    paths = [tmp_path / "model.csv", tmp_path / "clean.npy"]
    (one,) = imt.evaluate(paths, labels="ilsvrc2012").corruptions
    means = [
        (np.mean([expected[c, s] for s in range(1, 6)]) - 0.1) / (error - ALEXNET_CLEAN_ERROR)
        for c, error in ALEXNET_ERRORS.items()
    ]
    assert one.clean == pytest.approx(0.1) and one.relative_mce == pytest.approx(np.mean(means))
    ran = run("evaluate", str(tmp_path / "model.csv"), "--labels", "ilsvrc2012")
    assert ran.code == 0 and "jpeg_compression" in ran.out and f"{one.mce:.2%}" in ran.out
    ran = run("evaluate", str(tmp_path / "model.csv"), "--labels", "ilsvrc2012", "-o", str(tmp_path / "x.parquet"))
    assert ran.code == 2 and not (tmp_path / "x.parquet").exists()


# ---- lists of classes


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    path = tmp_path_factory.mktemp("lists") / "model.npz"
    scores = logits(top5()[SOME])
    np.savez(path, path=np.array(IMAGES)[SOME], logits=scores)
    return path, scores


@long
@pytest.mark.parametrize("name", ["imagenette", "breeds-living17", "coco80"])
def test_a_model_scored_by_a_list(name: str, outputs: tuple[Path, Any]) -> None:
    path, scores = outputs
    target = class_maps.class_map("ilsvrc2012", name).target
    truth, best = target[TRUTH[SOME]], target[scores.argmax(axis=1)]
    (model,) = imt.evaluate(path, classes=name).models
    kept = truth >= 0
    one = model.measures[f"{name}_top1"]
    assert (one.hits, one.n) == ((truth == best)[kept].sum(), kept.sum())
    columns = np.flatnonzero(target >= 0)
    among = target[columns[scores[:, columns].argmax(axis=1)]]
    assert model.measures[f"{name}_masked_top1"].hits == (truth == among)[kept].sum()
    assert f"{name}_top5" in model.measures


def test_the_masked_figure_of_few_rows_takes_the_best_of_all_outputs_of_the_list(tmp_path: Path) -> None:
    """A class that is no label of a row, and among the best ten of none, can still be the best of the list's."""
    target = class_maps.class_map("ilsvrc2012", "breeds-living17").target
    rows = np.flatnonzero(target[TRUTH] >= 0)[:20]
    scores = np.random.default_rng(5).normal(0, 1, (len(rows), 1000)).astype(np.float32)
    scores[np.arange(len(rows)), TRUTH[rows]] += 1.5
    found = scored(tmp_path, [IMAGES[row] for row in rows], scores, classes="breeds-living17", labels="ilsvrc2012")
    columns = np.flatnonzero(target >= 0)
    best = target[columns[scores[:, columns].argmax(axis=1)]]
    one = found["breeds-living17_masked_top1"]
    assert one.hits == (best == target[TRUTH[rows]]).sum() < len(rows)
    assert f"the best of the {len(columns)} outputs" in one.convention


def test_a_list_of_no_output_of_the_model_has_no_masked_figure(tmp_path: Path) -> None:
    """A model of the first 100 classes, on images of others too."""
    rows = [int(np.flatnonzero(place == TRUTH)[0]) for place in (0, 1, 500)]
    scores = np.random.default_rng(5).normal(0, 1, (3, 100)).astype(np.float32)
    found = scored(tmp_path, [IMAGES[row] for row in rows], scores, classes=WNIDS[500], labels="ilsvrc2012")
    assert (found[f"{WNIDS[500]}_top1"].hits, found[f"{WNIDS[500]}_top1"].n) == (0, 1)
    assert f"{WNIDS[500]}_masked_top1" not in found


def test_two_figures_of_one_name_are_refused(tmp_path: Path) -> None:
    scores = drawn(TRUTH[SOME[:50]])
    (tmp_path / "other").mkdir()
    for folder, wnid in ((tmp_path, WNIDS[TRUTH[SOME[0]]]), (tmp_path / "other", WNIDS[TRUTH[SOME[1]]])):
        (folder / "mine.txt").write_text(f"{wnid}\n")
    lists_of_classes = [str(tmp_path / "mine.txt"), str(tmp_path / "other" / "mine.txt")]
    with pytest.raises(UsageError, match="two figures would be called 'mine, top-1'"):
        scored(tmp_path, [IMAGES[row] for row in SOME[:50]], scores, classes=lists_of_classes, labels="ilsvrc2012")


@long
def test_a_cut_and_a_file_of_classes(run: Run, outputs: tuple[Path, Any], tmp_path: Path) -> None:
    path, scores = outputs
    cut = imt.cut(k=6)
    superclasses.write(cut, tmp_path / "six.toml")
    (tmp_path / "three.txt").write_text("\n".join(WNIDS[:3]))
    (model,) = imt.evaluate(path, classes=[str(tmp_path / "six.toml"), str(tmp_path / "three.txt")]).models
    group_of = cut.superclass_of()
    best = scores.argmax(axis=1).tolist()
    pairs = [(group_of.get(WNIDS[a]), group_of.get(WNIDS[b])) for a, b in zip(TRUTH[SOME].tolist(), best, strict=True)]
    assert model.measures["six_top1"].hits == sum(a is not None and a == b for a, b in pairs)
    assert model.measures["three_top1"].n == (TRUTH[SOME] < 3).sum()
    ran = run("evaluate", str(path), "--classes", "nothing-like-it")
    assert ran.code == 2 and "nothing-like-it" in ran.err


@pytest.mark.long
def test_a_21k_model_is_scored_on_1k_by_all_outputs_and_by_its_own(tmp_path: Path) -> None:
    index = lists.index_of("imagenet12k")
    rows = np.sort(RNG.permutation(N)[:3000])
    columns = np.array([index.get(WNIDS[place], -1) for place in TRUTH[rows].tolist()])
    scores = np.zeros((len(rows), 11_821), np.float16)
    scores[:] = RNG.normal(0, 1, 11_821).astype(np.float16)
    scores[np.arange(len(rows)), columns] += RNG.choice([0, 9], len(rows)).astype(np.float16)
    found = scored(tmp_path, [f"{IMAGES[row]}.JPEG" for row in rows], scores)
    known = np.array([index[wnid] for wnid in WNIDS if wnid in index])
    assert len(known) == 993
    assert found["top1"].hits == ((scores.argmax(axis=1) == columns) & (columns >= 0)).sum()
    if "masked_top1" in found:  # if every class of ILSVRC2012 is among the rows
        best = known[scores[:, known].argmax(axis=1)]
        assert found["masked_top1"].hits == ((best == columns) & (columns >= 0)).sum()
