"""Drawn predictions for the 50,000 validation images, with exact numbers of hits and with mistakes for near classes."""

import functools

import numpy as np
import numpy.typing as npt

from imagenet_tools.catalogue import labels, lists
from imagenet_tools.wordnet import hierarchy

Ints = npt.NDArray[np.int64]

WNIDS = lists.get("ilsvrc2012").wnids
INDEX = {wnid: place for place, wnid in enumerate(WNIDS)}
TRUTH: Ints = np.array([INDEX[wnid] for wnid in labels.validation_wnids()])  # by the images' numbers
N = len(TRUTH)
IMAGES = [f"ILSVRC2012_val_{number:08d}" for number in range(1, N + 1)]
# The row of each image in class folders: by class, then by name.
FOLDERS = np.array(sorted(range(N), key=lambda row: (WNIDS[TRUTH[row]], IMAGES[row])))


@functools.cache
def nearest() -> Ints:
    """Return for each class the five nearest others: (1000, 5)."""
    costs = hierarchy.cost_matrix(WNIDS).astype(np.int64)
    return np.argsort(costs, axis=1, kind="stable")[:, 1:6]


def top5(top1_hits: int = 35_000, top5_hits: int = 45_000, seed: int = 0) -> Ints:
    """Return the best five of each image, by number: (50000, 5)."""
    rows = np.random.default_rng(seed).permutation(N)
    top = nearest()[TRUTH].copy()
    top[rows[:top1_hits], 0] = TRUTH[rows[:top1_hits]]
    later = rows[top1_hits:top5_hits]
    top[later, 1 + np.arange(len(later)) % 4] = TRUTH[later]
    # A fifth of the mistakes is of any class, as with models.
    rng = np.random.default_rng(seed)
    for row in rows[top1_hits::5].tolist():
        others = set(rng.integers(0, 1000, 7).tolist()) - {*top[row].tolist(), int(TRUTH[row])}
        top[row, 0] = min(others)
    return top


def shuffled(top: Ints, share: float, seed: int = 1) -> Ints:
    """Return predictions with a share of the rows in another order."""
    rng = np.random.default_rng(seed)
    rows, top = rng.permutation(N)[: int(N * share)], top.copy()
    top[rows] = top[rng.permutation(rows)]
    return top


def logits(top: Ints, dtype: npt.DTypeLike = np.float32, n: int = 1000) -> npt.NDArray[np.floating]:
    """Return scores of n classes whose best five are `top`."""
    scores = np.random.default_rng(2).uniform(-4, 0, (len(top), n)).astype(dtype)
    np.put_along_axis(scores, top, np.array([9, 7, 5, 3, 2], dtype)[None], axis=1)
    return scores
