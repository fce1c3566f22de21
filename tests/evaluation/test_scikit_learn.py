"""Measures that scikit-learn has too are the same, to the last digits of a float."""

from pathlib import Path

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

import imagenet_tools
from imagenet_tools.evaluation import metrics
from tests.evaluation.predictions import IMAGES, TRUTH, N, logits, top5

ROWS = np.sort(np.random.default_rng(3).permutation(N)[:4_000])


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
def test_accuracies_of_the_best_classes_and_nll(tmp_path: Path) -> None:
    scores = logits(top5()[ROWS], np.float64)
    np.savez(tmp_path / "a.npz", logits=scores, names=np.array([IMAGES[row] for row in ROWS]))
    (model,) = imagenet_tools.evaluate(tmp_path / "a.npz").models
    probabilities = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    truth, labels = TRUTH[ROWS], np.arange(1000)
    expected = {
        "top1": sklearn_metrics.accuracy_score(truth, scores.argmax(axis=1)),
        "top5": sklearn_metrics.top_k_accuracy_score(truth, scores, k=5, labels=labels),
        "class_mean": sklearn_metrics.balanced_accuracy_score(truth, scores.argmax(axis=1)),
        "nll": sklearn_metrics.log_loss(truth, probabilities, labels=labels),
    }
    for name, value in expected.items():
        assert model.measures[name].value == pytest.approx(value, rel=1e-12), name


def test_average_precision_with_ties() -> None:
    rng = np.random.default_rng(5)
    for n in (1, 2, 50, 5_000):
        scores, positive = rng.integers(0, max(2, n // 3), n) / 7, rng.random(n) < 0.3
        positive[0] = True
        expected = sklearn_metrics.average_precision_score(positive, scores)
        assert metrics.average_precision(scores, positive) == pytest.approx(expected, rel=1e-12)
