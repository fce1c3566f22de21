"""The outputs of models for all classes, (images, classes): the best classes of each row, and single values.

Outputs are read in blocks of rows, so that a file that is mapped into memory stays on the disk.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from imagenet_tools.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    Array = npt.NDArray[Any]

# Ranks to keep of the outputs: ReaL gives an image up to 9 labels.
N_RANKS = 10
_BLOCK_BYTES = 32 << 20  # of the outputs that are read at once
_MAX_SUM_ERROR = 0.02  # of the probabilities of a row: 1,000 float16


def rank(path: Path, outputs: Array) -> tuple[Array, Array, Array | None]:
    """Return the best columns of each row with their scores, and the log of the sum of exp of all.

    Reads a block of rows at a time, so that a file in memory stays on the disk. There are no logs if all rows are
    probabilities. Of equal scores the first column is better.
    """
    n, n_columns = outputs.shape
    k = min(N_RANKS, n_columns)
    top, best, norms = np.empty((n, k), np.int64), np.empty((n, k)), np.empty(n)
    is_probable = True
    for start, block in _blocks(outputs):
        rows = np.asarray(block, np.promote_types(outputs.dtype, np.float32))
        if not np.isfinite(rows.max(axis=1)).all():  # -inf is a class that was left out
            row = start + int((~np.isfinite(rows.max(axis=1))).argmax())
            raise UsageError(f"{path}: found nan or inf in row {row + 1:,}; expected a finite score for each class.")
        part = slice(start, start + len(rows))
        top[part], best[part] = _best(rows, k)
        norms[part] = best[part, 0] + np.log(np.exp(rows - rows.max(axis=1, keepdims=True)).sum(axis=1))
        sums = rows.sum(axis=1, dtype=np.float64)
        is_probable = is_probable and bool(rows.min() >= 0 and np.abs(sums - 1).max() < _MAX_SUM_ERROR)
    return top, best, None if is_probable else norms


def _best(rows: Array, k: int) -> tuple[Array, Array]:
    """Return the k best columns of each row, best first, and their scores; of equal scores the first is better."""
    columns = np.sort(np.argpartition(-rows, k - 1, axis=1)[:, :k], axis=1)
    scores = np.take_along_axis(rows, columns, axis=1)
    order = np.argsort(-scores, axis=1, kind="stable")
    return np.take_along_axis(columns, order, axis=1), np.take_along_axis(scores, order, axis=1)


def rank_among(outputs: Array, rows: Array, columns: Array, *, are_logits: bool) -> tuple[Array, Array]:
    """Return the best of some columns of the outputs, and the probability of the first among them.

    Args:
        outputs: (n, C).
        rows: Rows, sorted: (m,).
        columns: Columns of the outputs: (c,).
        are_logits: The outputs are no probabilities, and get a softmax.

    Returns:
        Places in `columns`, best first: (m, min(5, c)); and the softmax over these columns: (m,).
    """
    k = min(5, len(columns))
    top, probability = np.empty((len(rows), k), np.int64), np.empty(len(rows))
    for start, block in _blocks(outputs):
        part = slice(*np.searchsorted(rows, (start, start + len(block))).tolist())
        chosen = np.asarray(block[rows[part] - start][:, columns], np.float64)
        top[part], _ = _best(chosen, k)
        if are_logits:
            chosen = np.exp(chosen - chosen.max(axis=1, keepdims=True))
        sums = chosen.sum(axis=1)
        probability[part] = np.divide(chosen.max(axis=1), sums, out=np.zeros(len(chosen)), where=sums > 0)
    return top, probability


def pick(outputs: Array, rows: Array, columns: Array) -> Array:
    """Return outputs[rows, columns] as float64, read in blocks; rows are sorted."""
    picked = np.empty(len(rows))
    for start, block in _blocks(outputs):
        part = slice(*np.searchsorted(rows, (start, start + len(block))).tolist())
        picked[part] = block[rows[part] - start, columns[part]]
    return picked


def _blocks(outputs: Array) -> Iterator[tuple[int, Array]]:
    """Yield blocks of rows, each with its first row. A block of a file is a map of its own, released with the block."""
    n, n_columns = outputs.shape
    n_rows = max(1, _BLOCK_BYTES // (n_columns * 8))
    for start in range(0, n, n_rows):
        rows = outputs[start : start + n_rows]
        if isinstance(outputs, np.memmap) and outputs.flags.c_contiguous and outputs.filename is not None:
            place = outputs.offset + start * outputs.strides[0]
            rows = np.memmap(outputs.filename, outputs.dtype, "r", place, rows.shape)
        yield start, rows
