"""Published figures of real models come out to the last digit; the command prints, writes and compares."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from scipy import stats

import imagenet_tools as imt
from imagenet_tools.evaluation.evaluation import Evaluation
from tests.cli.conftest import Run
from tests.cli.conftest import run as run  # noqa: PLC0414 (a fixture)
from tests.cli.test_commands import loaded
from tests.evaluation.predictions import TRUTH, WNIDS, logits, top5
from tests.parameters import short_list

REAL = {
    "imagenetv2_authors.val.vgg16.npy": {"top1": 35_796, "top5": 45_191},
    "imagenetv2_authors.matched_frequency.vgg16.npy imagenetv2_authors.matched_frequency.rows.json": {
        "top1": 5_884,
        "top5": 8_166,
    },
    "keras_pytorch.vgg16_top5preds.npy keras_pytorch.vgg16_top5probs.npy": {"top1": 35_332, "top5": 44_963},
    "keras_pytorch.vgg16_top5preds.npy": {"top5": 44_963},
    "reliability.resnet34.csv": {"top1": 37_556},
    "imagenetx.SimCLR.csv": {"top1": 34_071},
    "mlperf.mobilenet.json": {"top1": 35_407},
}


@pytest.mark.parametrize("names", short_list(REAL, [*REAL][1], "reliability.resnet34.csv", "mlperf.mobilenet.json"))
def test_published_figures(names: str, real: Path) -> None:
    (model,) = imt.evaluate([real / "predictions" / name for name in names.split()]).models
    found = {key: model.measures[key].hits for key in ("top1", "top5") if key in model.measures}
    assert found == REAL[names]


def test_real_and_calibration_of_real_models(real: Path) -> None:
    """ReaL as its authors count it, from their own file; ECE by its definition."""
    labels = json.loads((real / "lists" / "real.json").read_text())
    vgg = np.load(real / "predictions" / "imagenetv2_authors.val.vgg16.npy")
    by_number = np.empty_like(vgg)
    by_number[np.argsort(TRUTH, kind="stable")] = vgg
    hits = [place in valid for place, valid in zip(by_number[:, 0], labels, strict=True) if valid]
    (model,) = imt.evaluate(real / "predictions" / "imagenetv2_authors.val.vgg16.npy").models
    measure = model.measures["real_top1"]
    assert (measure.hits, measure.n) == (sum(hits), 46_837)
    table = np.genfromtxt(real / "predictions" / "reliability.resnet34.csv", delimiter=",", skip_header=1)
    right, confidence = table[:, 0] == table[:, 1], table[:, 2]
    bins = np.ceil(confidence * 15)
    parts = [bins == n for n in range(1, 16)]
    error = sum(abs(right[part].sum() - confidence[part].sum()) for part in parts) / len(table)
    (model,) = imt.evaluate(real / "predictions" / "reliability.resnet34.csv").models
    assert model.measures["ece"].value == pytest.approx(error)


@pytest.mark.parametrize(
    "name",
    short_list(
        ["imagenetv2_authors.val.vgg16.npy", "keras_pytorch.vgg16_top5preds.npy"], "keras_pytorch.vgg16_top5preds.npy"
    ),
)
def test_real_predictions_with_a_tenth_of_the_rows_shuffled_are_refused(name: str, real: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    top = np.load(real / "predictions" / name)
    rows = rng.permutation(len(top))[:5_000]
    top[rows] = top[rng.permutation(rows)]
    np.save(tmp_path / "top.npy", top)
    with pytest.raises(imt.errors.UsageError, match="other images"):
        imt.evaluate(tmp_path / "top.npy")


# ---- the result


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("two")
    np.save(folder / "a.npy", top5())
    np.save(folder / "b.npy", top5(36_000, 46_000, seed=1))
    return folder / "a.npy", folder / "b.npy"


@pytest.fixture(scope="module")
def evaluation(two: tuple[Path, Path]) -> Evaluation:
    return imt.evaluate(two)


def test_two_models_are_compared(two: tuple[Path, Path], evaluation: Evaluation) -> None:
    (pair,) = evaluation.comparisons
    right, other = (np.load(path)[:, 0] == TRUTH for path in two)
    assert (pair.n, pair.both) == (50_000, (right & other).sum())
    assert (pair.only_first, pair.only_second) == ((right & ~other).sum(), (other & ~right).sum())
    assert pair.p == pytest.approx(
        stats.binomtest(pair.only_first, pair.only_first + pair.only_second).pvalue, rel=1e-6
    )
    for facts in (*pair.gains, *pair.losses):
        rows = WNIDS[0:1000].index(facts["wnid"]) == TRUTH
        assert (facts["first"], facts["second"], facts["n"]) == (right[rows].sum(), other[rows].sum(), 50)
    changes = [facts["second"] - facts["first"] for facts in (*pair.gains, *reversed(pair.losses))]
    assert changes == sorted(changes, reverse=True) and sum(changes) == 1_000
    assert repr(evaluation) == "Evaluation: a: top-1 70.00%, top-5 90.00%; b: top-1 72.00%, top-5 92.00%"
    html = evaluation._repr_html_()
    assert html.count("<table>") == 2 and "McNemar" in html


def test_facts_add_up(evaluation: Evaluation) -> None:
    model = evaluation.models[0]
    facts = model.facts()
    assert sum(row["top1"] for row in facts["by_class"]) == 35_000
    assert sum(row["n"] for row in facts["by_common_hypernym"]) == 15_000
    assert facts["by_depth"][0]["hits"] == 50_000 and facts["by_depth"][-1]["hits"] == 35_000
    assert model.measures["class_mean"].value == pytest.approx(0.7)
    low, high = model.measures["top1"].low, model.measures["top1"].high
    interval = stats.binomtest(35_000, 50_000).proportion_ci()
    assert (low, high) == pytest.approx((interval.low, interval.high))


def test_perfect_predictions_have_no_mistakes(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", TRUTH)
    evaluation = imt.evaluate(tmp_path / "a.npy")
    assert evaluation.models[0].measures["top1"].value == 1
    assert json.loads(json.dumps(evaluation.facts(), allow_nan=False, default=str))
    assert all(isinstance(head, tuple) for _, head, _ in evaluation.tables())


def test_the_command_prints_tables_and_notes(run: Run, two: tuple[Path, Path]) -> None:
    ran = run("evaluate", str(two[0]))
    assert ran.code == 0
    assert (
        "top-1                       70.000%  69.60% to 70.40%  35,000  50,000  the best class is the label" in ran.out
    )
    assert "best: 70.00%" in ran.err and "next: " in ran.err
    ran = run("evaluate", *map(str, two))
    assert (
        "b beside a: McNemar's exact test over 50,000 rows: p = " in ran.out and "b loses in these classes" in ran.out
    )
    facts = json.loads(run("evaluate", str(two[0]), "--json").out)
    assert facts["models"][0]["measures"]["top1"]["hits"] == 35_000


def test_rows_an_image_join_an_index(run: Run, two: tuple[Path, Path], tmp_path: Path) -> None:
    path = tmp_path / "images.parquet"
    assert run("evaluate", *map(str, two), "-o", str(path)).code == 0
    table = pq.read_table(path)
    assert len(table) == 100_000 and set(table["model"].to_pylist()) == {"a", "b"}
    assert sum(table["top1"].to_pylist()) == 71_000 and sum(table["top5"].to_pylist()) == 91_000
    sql = "SELECT count(*) AS n, count(*) FILTER (p.wnid = i.wnid) AS same FROM images i JOIN p USING (image_id)"
    rows = json.loads(run("query", "--with", f"p={path}", sql, "--json").out)
    (n, same) = rows[0].values()
    assert n == same > 0
    assert run("evaluate", str(two[0]), "-o", str(path)).code == 4


def test_refusals_are_usage_errors(run: Run, two: tuple[Path, Path], tmp_path: Path) -> None:
    ran = run("evaluate", str(tmp_path / "none.npy"))
    assert ran.code == 2
    ran = run("evaluate", str(two[0]), "--rows", "upwards")
    assert ran.code == 2 and "numbers or folders" in ran.err


def test_nothing_heavy_is_loaded(two: tuple[Path, Path]) -> None:
    assert not {"nltk", "pandas", "duckdb", "PIL", "scipy"} & loaded("evaluate", str(two[0]))


@pytest.mark.long
def test_confidence_of_logits_is_that_of_the_best_class(tmp_path: Path) -> None:
    scores = logits(top5())
    np.save(tmp_path / "a.npy", scores)
    (model,) = imt.evaluate(tmp_path / "a.npy").models
    exact = np.exp(scores[:100].astype(np.float64))
    assert model.confidence is not None
    assert model.confidence[:100] == pytest.approx(exact.max(axis=1) / exact.sum(axis=1), rel=1e-5)
