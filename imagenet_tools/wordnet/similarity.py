"""How alike two synsets are, by the edges between them: path, Wu-Palmer and Leacock-Chodorow similarity, as NLTK's.

The distance of two synsets is the least number of edges up from both to one that lies above both (or is either of
them). Edges of both kinds are followed, as NLTK does, or kinds alone with `instances=False`: then two synsets may
have nothing above both, and their distance and similarity are None.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from imagenet_tools.wordnet import hierarchy, wordnet

if TYPE_CHECKING:
    from imagenet_tools.wordnet.graph import Edges


def distance(first: str, second: str, *, instances: bool = True) -> int | None:
    """Edges on the shortest way from a synset up and down to another; NLTK's shortest_path_distance."""
    up = hierarchy.edges_up(instances=instances)
    return _distance(up, wordnet.row_of(first), wordnet.row_of(second))


def path_similarity(first: str, second: str, *, instances: bool = True) -> float | None:
    """1 / (distance + 1): 1 for the synset itself, down towards 0."""
    edges = distance(first, second, instances=instances)
    return None if edges is None else 1 / (edges + 1)


def wup_similarity(first: str, second: str, *, instances: bool = True) -> float | None:
    """Wu and Palmer's: 2 d / (2 d + distances of both to c), where d is the depth of a lowest common hypernym c.

    c and d are NLTK's: c is the first synset where it lies above the second, else, of the common ancestors of the
    greatest min_depth, the first by name; d is c's max_depth, counted from 1. So in rare cases the value depends on
    the order of the two. Above 0, at most 1.
    """
    row, other = wordnet.row_of(first), wordnet.row_of(second)
    wnids = hierarchy.lowest_common_hypernyms(first, second, use_min_depth=True, instances=instances)
    if not wnids:
        return None
    rows = wordnet.rows_of(wnids).tolist()
    common = row if row in rows else min(rows, key=wordnet.name_at)
    up = hierarchy.edges_up(instances=instances)
    depth = int(hierarchy.max_depths(instances=instances)[common]) + 1
    # Not the edges up to c: a shorter way may lead over another ancestor of both.
    lengths = sum(_distance(up, one, common) or 0 for one in (row, other))
    return 2 * depth / (2 * depth + lengths)


def lch_similarity(first: str, second: str, *, instances: bool = True) -> float | None:
    """Leacock and Chodorow's: -log((distance + 1) / (2 D)), where D, the greatest depth of a noun, is 19.

    From 3.64 for the synset itself down towards 0. Over kinds alone the greatest depth is 19 too.
    """
    edges = distance(first, second, instances=instances)
    deepest = int(hierarchy.max_depths(instances=instances).max())
    return None if edges is None else -math.log((edges + 1) / (2 * deepest))


def _distance(up: Edges, first: int, second: int) -> int | None:
    if first == second:
        return 0
    above, over = _steps(up, first), _steps(up, second)
    return min((n + over[row] for row, n in above.items() if row in over), default=None)


def _steps(up: Edges, row: int) -> dict[int, int]:
    """The edges on the shortest path to each synset above a row, itself included."""
    # Some 20 nodes: plain Python is faster here than arrays.
    steps, level = {row: 0}, {row}
    while level:
        level = {above for one in level for above in up.of(one).tolist() if above not in steps}
        steps.update(dict.fromkeys(level, max(steps.values()) + 1))
    return steps
