"""Compute path, Wu-Palmer and Leacock-Chodorow similarity of two synsets, equal to NLTK's.

The distance of two synsets is the least number of edges up from both to a common ancestor, either synset included.
Edges of both kinds are followed, as NLTK does. With `instances=False` only kinds are followed: two synsets may then
have no common ancestor, and their distance and similarities are None.

A synset is given as a wnid or a name; UnknownSynsetError if WordNet 3.0 does not have it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from imagenet_tools.wordnet import hierarchy, wordnet

if TYPE_CHECKING:
    from imagenet_tools.wordnet.graph import Edges


def distance(first: str, second: str, *, instances: bool = True) -> int | None:
    """Return the edges on the shortest way up from one synset and down to the other: NLTK's shortest_path_distance.

    Example:
        >>> distance("dog.n.01", "cat.n.01")
        4
    """
    return _distance(hierarchy.edges_up(instances=instances), wordnet.row_of(first), wordnet.row_of(second))


def path_similarity(first: str, second: str, *, instances: bool = True) -> float | None:
    """Return 1 / (distance + 1): 1 for a synset and itself, falling towards 0.

    Example:
        >>> path_similarity("dog.n.01", "cat.n.01")
        0.2
    """
    edges = distance(first, second, instances=instances)
    return None if edges is None else 1 / (edges + 1)


def wup_similarity(first: str, second: str, *, instances: bool = True) -> float | None:
    """Return Wu and Palmer's similarity, above 0 and at most 1.

    It is 2 d / (2 d + distances of both synsets to c). As in NLTK, c is the first synset if it is above the second.
    Otherwise c is the common ancestor of the greatest min_depth, of several the first by name. d is c's max_depth,
    counted from 1. The value can therefore depend on the order of the two synsets.

    Example:
        >>> round(wup_similarity("dog.n.01", "cat.n.01"), 3)
        0.857
    """
    row, other = wordnet.row_of(first), wordnet.row_of(second)
    wnids = hierarchy.lowest_common_hypernyms(first, second, use_min_depth=True, instances=instances)
    if not wnids:
        return None
    rows = wordnet.rows_of(wnids).tolist()
    common = row if row in rows else min(rows, key=wordnet.name_at)
    up = hierarchy.edges_up(instances=instances)
    depth = int(hierarchy.max_depths(instances=instances)[common]) + 1
    # Not the edges straight up to `common`: a shorter way may lead over another common ancestor.
    lengths = sum(_distance(up, end, common) or 0 for end in (row, other))
    return 2 * depth / (2 * depth + lengths)


def lch_similarity(first: str, second: str, *, instances: bool = True) -> float | None:
    """Return Leacock and Chodorow's similarity: -log((distance + 1) / (2 D)), D = 19 being the greatest depth.

    It is 3.64 for a synset and itself, falling towards 0. D is 19 over kinds alone too.

    Example:
        >>> round(lch_similarity("dog.n.01", "cat.n.01"), 3)
        2.028
    """
    edges = distance(first, second, instances=instances)
    deepest = int(hierarchy.max_depths(instances=instances).max())
    return None if edges is None else -math.log((edges + 1) / (2 * deepest))


def _distance(up: Edges, first: int, second: int) -> int | None:
    if first == second:
        return 0
    above_first, above_second = _distances_up(up, first), _distances_up(up, second)
    return min((n + above_second[row] for row, n in above_first.items() if row in above_second), default=None)


def _distances_up(up: Edges, row: int) -> dict[int, int]:
    """Return the edges on the shortest path to each synset at or above a row."""
    # Some 20 nodes: plain Python is faster here than arrays.
    distances, level = {row: 0}, {row}
    while level:
        level = {above for node in level for above in up.of(node).tolist() if above not in distances}
        distances.update(dict.fromkeys(level, max(distances.values()) + 1))
    return distances
