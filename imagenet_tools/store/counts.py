"""Count images, photos and boxes at each synset, and at or below it: the rows of the table synset_counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from imagenet_tools import arrays
from imagenet_tools.schema import arrow_schema
from imagenet_tools.wordnet import graph, hierarchy, wordnet

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    import numpy.typing as npt
    import pyarrow as pa

ClassCounts = dict[str | None, int]  # number of rows by wnid


def class_counts(files: Iterable[Path]) -> ClassCounts:
    """Return the number of rows of each class, and of None, in Parquet files with a column wnid."""
    import pyarrow.parquet as pq

    counts: ClassCounts = {}
    for path in files:
        with pq.ParquetFile(path, read_dictionary=["wnid"]) as file:
            chunks = file.read(columns=["wnid"])["wnid"].chunks
        for chunk in chunks:
            labelled = chunk.drop_null() if chunk.null_count else chunk
            # Not value_counts(), nor to_numpy(): they import pyarrow.compute and pandas, 0.05 and 0.3 s.
            numbers = np.bincount(np.from_dlpack(labelled.indices), minlength=len(labelled.dictionary)).tolist()
            wnids = [*labelled.dictionary.to_pylist(), None]
            for wnid, n in zip(wnids, [*numbers, chunk.null_count], strict=True):
                if n:
                    counts[wnid] = counts.get(wnid, 0) + n
    return counts


def unknown_classes(counts: ClassCounts) -> list[str]:
    """Return the classes that are no synsets of WordNet 3.0."""
    wnids = [wnid for wnid in counts if wnid is not None]
    return [wnid for wnid, row in zip(wnids, wordnet.find_rows(wnids), strict=True) if row < 0]


def synset_counts(
    images: ClassCounts, photos: ClassCounts, boxes: ClassCounts, repeated: Sequence[tuple[str, str | None]] = ()
) -> pa.Table:
    """Return the rows of synset_counts: the synsets at or above any class, ordered by wnid.

    Each class counts once at each synset above it; a photo in several classes below one synset counts once.

    Args:
        images: The number of images by class.
        photos: The number of photos by class.
        boxes: The number of boxes by class.
        repeated: The pairs (photo, wnid) of the photos that are in several classes.
    """
    import pyarrow as pa

    direct = {"images": _by_row(images), "photos": _by_row(photos), "boxes": _by_row(boxes)}
    classes = np.flatnonzero(sum(direct.values())).astype(np.int32)
    below, above, _ = graph.pairs(hierarchy.edges_up(), classes)
    columns: dict[str, npt.NDArray[np.int64]] = {}
    for name, counts in direct.items():
        columns[f"n_{name}"] = counts
        columns[f"n_{name}_inclusive"] = np.bincount(above, counts[below], len(counts)).astype(np.int64)
    if repeated:
        columns["n_photos_inclusive"] -= _repetitions(repeated)
    rows = np.flatnonzero(np.bincount(above))
    values = {name: arrays.integers(counts[rows]) for name, counts in columns.items()}
    values["wnid"] = arrays.strings(wordnet.wnids_of(rows))
    schema = arrow_schema("synset_counts")
    return pa.table([values[field.name] for field in schema], schema=schema)


def _repetitions(repeated: Sequence[tuple[str, str | None]]) -> npt.NDArray[np.int64]:
    """Return at each synset how often the photos of several classes at or below it are counted beyond once."""
    n = len(wordnet.load().offsets)
    rows = wordnet.find_rows(wnid for _, wnid in repeated)
    numbers = {photo: number for number, photo in enumerate({photo for photo, _ in repeated})}
    photos = np.array([numbers[photo] for photo, _ in repeated], np.int64)[rows >= 0]
    rows = rows[rows >= 0]
    below, above, _ = graph.pairs(hierarchy.edges_up(), np.unique(rows))
    positions, nodes = graph.step(graph.from_pairs(n, below, above), rows)
    distinct = np.unique(photos[positions] * n + nodes) % n
    return np.bincount(nodes, minlength=n) - np.bincount(distinct, minlength=n)


def _by_row(counts: ClassCounts) -> npt.NDArray[np.int64]:
    """Return the counts of the synsets: (82,115,)."""
    rows = wordnet.find_rows(counts)
    return wordnet.sums_of(rows[rows >= 0], np.array(list(counts.values()), np.int64)[rows >= 0])
