"""Bootstrap intervals cover as often as they say, and agree with drawing rows."""

import numpy as np
import pytest

from imagenet_tools.evaluation import metrics, scores

RNG = np.random.default_rng(7)


def test_the_interval_of_a_mean_is_the_normal_one() -> None:
    for values in (RNG.integers(0, 19, 5_000).astype(np.float64), RNG.random(5_000)):
        mean = metrics.mean("a", "b", values)
        error = 1.96 * values.std() / len(values) ** 0.5
        assert mean.value == values.mean() and mean.low is not None and mean.high is not None
        assert (mean.low, mean.high) == pytest.approx((values.mean() - error, values.mean() + error), abs=0.15 * error)


def test_counts_and_rows_give_one_interval() -> None:
    right, truth = RNG.random(4_000) < 0.7, RNG.integers(0, 20, 4_000)
    n, n_right = metrics.by_class(right, truth, 20)
    by_counts = metrics.of_counts(np.concatenate([n_right, n - n_right]), metrics.class_means)

    def statistic(weights: metrics.Ints) -> float:
        return float((np.bincount(truth, weights * right) / np.bincount(truth, weights)).mean())

    by_rows = metrics.of_rows(len(right), statistic)
    assert by_counts == pytest.approx(by_rows, abs=0.003) and by_rows[0] < 0.7 < by_rows[1]


def test_the_interval_of_the_calibration_error_agrees_with_drawing_rows() -> None:
    confidence = RNG.random(3_000)
    right = RNG.random(3_000) < confidence * 0.9

    def statistic(drawn: metrics.Ints) -> float:
        rows = np.repeat(np.arange(3_000), drawn)
        return metrics.calibration_error(confidence[rows], right[rows])

    assert scores._ece_interval(confidence, right) == pytest.approx(metrics.of_rows(3_000, statistic), abs=0.003)


def test_equal_input_gives_equal_intervals_and_texts() -> None:
    one, other = (metrics.mean("a", "b", np.arange(5.0), is_share=True) for _ in range(2))
    assert one == other and one.value_text == "200.000%" and " to " in one.interval_text
    assert metrics.Measure("a", 0.5, 1, "b").interval_text == ""


def test_average_precision_with_ties() -> None:
    """Three thresholds: 1 of 1, 2 of 4 (tied), 3 of 5."""
    scores, positive = np.array([0.9, 0.5, 0.5, 0.5, 0.1]), np.array([True, False, True, False, True])
    assert metrics.average_precision(scores, positive) == pytest.approx((1 / 1 + 2 / 4 + 3 / 5) / 3)
    assert np.isnan(metrics.average_precision(scores, np.zeros(5, np.bool_)))


def test_few_rows_have_no_calibration_bins() -> None:
    assert metrics.rms_calibration_error(np.ones(150), np.ones(150, np.bool_)) == 0
