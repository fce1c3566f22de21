"""Every metric is compared with its definition, written out in loops, and every statistic with SciPy."""

import numpy as np
import pytest
from scipy import stats

from imagenet_tools.catalogue import lists
from imagenet_tools.evaluation import metrics
from imagenet_tools.wordnet import hierarchy, wordnet

RNG = np.random.default_rng(0)
N, K, CLASSES = 300, 5, 12
WNIDS = tuple(sorted(np.random.default_rng(1).choice(lists.get("ilsvrc2012").wnids, CLASSES, replace=False).tolist()))
TRUTH = RNG.integers(0, CLASSES, N)
TOP = np.array([RNG.permutation(CLASSES)[:K] for _ in range(N)])
TOP[::17, 1] = -1  # no class
COSTS = hierarchy.cost_matrix(WNIDS)
WORST = int(COSTS.max())


def cost(row: int, rank: int) -> int:
    place = TOP[row, rank]
    return int(COSTS[TRUTH[row], place]) if place >= 0 else WORST


@pytest.mark.parametrize("k", [1, 3, 5])
def test_hits_and_classes(k: int) -> None:
    right = metrics.hits(TOP, TRUTH, k)
    assert right.tolist() == [TRUTH[row] in TOP[row, :k].tolist() for row in range(N)]
    n, n_right = metrics.by_class(right, TRUTH, CLASSES)
    for place in range(CLASSES):
        rows = [row for row in range(N) if TRUTH[row] == place]
        assert (n[place], n_right[place]) == (len(rows), sum(right[row] for row in rows))


@pytest.mark.parametrize("k", [1, 5])
def test_costs(k: int) -> None:
    least = [min(cost(row, rank) for rank in range(k)) for row in range(N)]
    assert metrics.least_costs(COSTS, TOP, TRUTH, k).tolist() == least
    mean = np.mean([cost(row, rank) for row in range(N) for rank in range(k)])
    assert metrics.hierarchical_distances(COSTS, TOP, TRUTH, k).mean() == pytest.approx(mean)


def test_common_hypernyms_are_those_of_nltks_rule() -> None:
    wnids = [*WNIDS, "n02084071", "n09450163"]  # dog, and the sun, which is an instance
    common = hierarchy.deepest_common_hypernyms(wnids, len(wnids) - 1)
    assert common.shape == (len(wnids) - 1, len(wnids))
    for n, first in enumerate(wnids[:-1]):
        for m, second in enumerate(wnids):
            expected = hierarchy.lowest_common_hypernyms(first, second)[-1]
            assert wordnet.wnids_of([common[n, m]]) == (expected,)


def test_depths() -> None:
    depths = hierarchy.max_depths()[hierarchy.deepest_common_hypernyms(WNIDS, CLASSES)]
    counts = metrics.hits_by_depth(depths, TOP, TRUTH)
    deepest = []
    for row in range(N):
        first, truth = WNIDS[TOP[row, 0]], WNIDS[TRUTH[row]]
        shared = set(hierarchy.ancestors(first)) & set(hierarchy.ancestors(truth))
        deepest.append(len(counts) if first == truth else max(map(hierarchy.max_depth, shared)))
    for depth, count in enumerate(counts.tolist()):
        assert count == sum(reached >= depth for reached in deepest)
    assert counts[0] == N and counts[-1] == (TOP[:, 0] == TRUTH).sum()
    none = np.full((3, 1), -1)
    assert metrics.hits_by_depth(depths, none, TRUTH[:3]).max() == 0


def test_confused_pairs() -> None:
    pairs = metrics.confused_pairs(TOP, TRUTH)
    counts = [n for _, _, n in pairs]
    assert counts == sorted(counts, reverse=True) and sum(counts) == (TOP[:, 0] != TRUTH).sum()
    for true, predicted, n in pairs:
        assert true != predicted
        assert n == sum(TRUTH[row] == true and TOP[row, 0] == predicted for row in range(N))


@pytest.mark.parametrize("n_bins", [1, 10, 15])
def test_calibration(n_bins: int) -> None:
    confidence = np.concatenate([RNG.random(N - 4), [0.0, 1.0, 1 / 15, 0.2]])
    right = RNG.random(N) < confidence
    error = 0.0
    for n in range(n_bins):
        low, high = n / n_bins, (n + 1) / n_bins
        rows = [i for i in range(N) if low < confidence[i] <= high or (n == 0 and confidence[i] == 0)]
        if rows:
            gap = np.mean([right[i] for i in rows]) - np.mean([confidence[i] for i in rows])
            error += len(rows) / N * abs(gap)
    assert metrics.calibration_error(confidence, right, n_bins) == pytest.approx(error)


def test_several_labels() -> None:
    sets = [RNG.choice(CLASSES, RNG.integers(1, 8), replace=False).tolist() for _ in range(N)]
    valid = np.array([labels + [-1] * (9 - len(labels)) for labels in sets])
    valid[5, 0] = -2  # a label that no row predicts
    sets[5][0] = -2
    for k in (1, 5):
        expected = [not {*TOP[row, :k].tolist()}.isdisjoint(sets[row]) for row in range(N)]
        assert metrics.set_hits(TOP, valid, k).tolist() == expected
    fits, recalls = metrics.set_recalls(TOP, valid)
    assert fits.tolist() == [len(labels) <= K for labels in sets]
    some = [labels for labels in zip(sets, TOP.tolist(), strict=True) if len(labels[0]) <= K]
    assert recalls.tolist() == pytest.approx(
        [len({*row[: len(labels)]} & {*labels}) / len(labels) for labels, row in some]
    )


@pytest.mark.parametrize(
    ("n_hits", "n"),
    [(0, 1), (1, 1), (0, 50), (50, 50), (1, 10), (7, 10), (35_796, 50_000), (3, 50_000), (712_345, 10**6)],
)
def test_clopper_pearson(n_hits: int, n: int) -> None:
    interval = stats.binomtest(n_hits, n).proportion_ci(method="exact")
    assert metrics.clopper_pearson(n_hits, n) == pytest.approx((interval.low, interval.high), abs=1e-9)


def test_clopper_pearson_of_a_textbook() -> None:
    """4 of 20 in Clopper and Pearson's own table: 0.057 to 0.437."""
    assert [round(bound, 3) for bound in metrics.clopper_pearson(4, 20)] == [0.057, 0.437]


@pytest.mark.parametrize("pair", [(0, 0), (5, 5), (0, 1), (2, 8), (8, 2), (120, 180), (3_000, 3_200), (4_000, 1_000)])
def test_mcnemar(pair: tuple[int, int]) -> None:
    expected = stats.binomtest(pair[0], sum(pair)).pvalue if sum(pair) else 1
    assert metrics.mcnemar(*pair) == pytest.approx(expected, rel=1e-7)


def test_whether_columns_are_best_first() -> None:
    truth = RNG.integers(0, 100, 20_000)
    ranks = RNG.choice(6, len(truth), p=[0.6, 0.15, 0.08, 0.05, 0.02, 0.1])
    top = (truth[:, None] + RNG.permuted(np.tile(np.arange(1, 100), (len(truth), 1)), axis=1)[:, :5]) % 100
    rows = np.flatnonzero(ranks < 5)
    top[rows, ranks[rows]] = truth[rows]
    assert metrics.is_best_first(top, truth)
    assert not metrics.is_best_first(top[:, ::-1], truth)
    assert not metrics.is_best_first(RNG.permuted(top, axis=1), truth)
    assert not metrics.is_best_first(np.sort(top, axis=1), truth)
    assert metrics.is_best_first(top[:, :1], truth)
