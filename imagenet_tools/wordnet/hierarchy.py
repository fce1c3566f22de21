"""Ask the graph of WordNet's nouns: ancestors and descendants, depths and heights, counts, and costs of a mistake.

WordNet is a graph, not a tree: 2,213 synsets have several hypernyms, and 304 of the 1,000 ILSVRC2012 classes have
several paths to the root, entity.n.01. No function here drops a hypernym.

An edge is a kind (`@`: a dog is a kind of canine) or an instance (`@i`: the sun is one star). Membership, depths,
paths and counts follow both unless `instances=False`, as NLTK does. Heights, and the costs made of them, follow kinds
alone, as ILSVRC's official ones do. Without instance edges 7,725 synsets are roots beside entity.n.01.

A synset is given as a wnid or a name. An array has a value for each row of imagenet_tools.wordnet.wordnet: (82,115,).
Every function raises UnknownSynsetError for a text that is neither a wnid nor a name of WordNet 3.0.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from imagenet_tools.errors import UsageError
from imagenet_tools.wordnet import graph, wordnet

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from imagenet_tools.wordnet.graph import Edges, Ints, Shorts

ROOT = "entity.n.01"


def edges_up(*, instances: bool = True) -> Edges:
    """Return the edges from each row to its hypernyms in WordNet's order, then to those that it is an instance of."""
    return _up(instances)


def edges_down(*, instances: bool = True) -> Edges:
    """Return the edges from each row to its hyponyms and instances, sorted."""
    return _down(instances)


# ---- ancestors and descendants


def hypernyms(synset: str, *, instances: bool = True) -> tuple[str, ...]:
    """Return the wnids of a synset's hypernyms in WordNet's order, then of those that it is an instance of.

    Example:
        >>> hypernyms("dog.n.01")
        ('n02083346', 'n01317541')
    """
    return wordnet.wnids_of(_up(instances).of(wordnet.row_of(synset)))


def hyponyms(synset: str, *, instances: bool = True) -> tuple[str, ...]:
    """Return the wnids of a synset's hyponyms and instances, sorted.

    Example:
        >>> hyponyms("tabby.n.01")
        ()
    """
    return wordnet.wnids_of(_down(instances).of(wordnet.row_of(synset)))


def ancestors(synset: str, *, itself: bool = True, instances: bool = True) -> tuple[str, ...]:
    """Return the wnids of all synsets above a synset, sorted; the synset too unless `itself=False`.

    Example:
        >>> len(ancestors("dog.n.01"))
        15
    """
    return wordnet.wnids_of(_reached(_up(instances), synset, itself))


def descendants(synset: str, *, itself: bool = True, instances: bool = True) -> tuple[str, ...]:
    """Return the wnids of all synsets below a synset, sorted; the synset too unless `itself=False`.

    Example:
        >>> descendants("crane.n.05", itself=False)
        ('n02013177',)
    """
    return wordnet.wnids_of(_reached(_down(instances), synset, itself))


def is_a(synset: str, ancestor: str, *, instances: bool = True) -> bool:
    """Return True if a synset is another one or below it.

    Example:
        >>> is_a("dog.n.01", "animal.n.01")
        True
    """
    return wordnet.row_of(ancestor) in graph.reach(_up(instances), [wordnet.row_of(synset)])


def leaves(synset: str = ROOT, *, instances: bool = True) -> tuple[str, ...]:
    """Return the wnids at or below a synset that have nothing below them, sorted.

    Example:
        >>> len(leaves())
        64958
    """
    down = _down(instances)
    below = _reached(down, synset, True)
    return wordnet.wnids_of(below[down.degrees()[below] == 0])


def roots(*, instances: bool = True) -> tuple[str, ...]:
    """Return the wnids of the synsets without a hypernym, sorted.

    Example:
        >>> roots(), len(roots(instances=False))
        (('n00001740',), 7726)
    """
    return wordnet.wnids_of(np.flatnonzero(_up(instances).degrees() == 0))


def hypernym_paths(synset: str, *, instances: bool = True) -> list[tuple[str, ...]]:
    """Return every path from a root down to a synset.

    These are NLTK's hypernym_paths in another order: by WordNet's order of hypernyms at each step.

    Returns:
        The wnids on each path, both ends included: at most 12 paths of at most 20 wnids.

    Example:
        >>> [len(path) for path in hypernym_paths("dog.n.01")]
        [14, 9]
    """
    up = _up(instances)

    def paths(row: int) -> list[tuple[int, ...]]:
        return [(*path, row) for above in up.of(row).tolist() for path in paths(above)] or [(row,)]

    return [wordnet.wnids_of(path) for path in paths(wordnet.row_of(synset))]


def lowest_common_hypernyms(
    first: str, second: str, *, use_min_depth: bool = False, instances: bool = True
) -> tuple[str, ...]:
    """Return the deepest synsets that are ancestors of both synsets.

    The rule is NLTK's: of all common ancestors, either synset included, those with the greatest max_depth. There are
    several only if they tie.

    Args:
        first: A wnid or a name.
        second: A wnid or a name.
        use_min_depth: Rank by min_depth, NLTK's older rule. A result can then be an ancestor of another common one.
        instances: Also follow instance edges, as NLTK does.

    Returns:
        Wnids, sorted. Empty if nothing is above both synsets.

    Example:
        >>> lowest_common_hypernyms("dog.n.01", "cat.n.01")
        ('n02075296',)
    """
    up = _up(instances)
    above_first = graph.reach(up, [wordnet.row_of(first)])
    above_second = graph.reach(up, [wordnet.row_of(second)])
    common = np.intersect1d(above_first, above_second, assume_unique=True)
    shortest, longest = _depths(instances)
    depths = (shortest if use_min_depth else longest)[common]
    return wordnet.wnids_of(common[depths == depths.max(initial=-1)])


# ---- depths and heights


def min_depth(synset: str, *, instances: bool = True) -> int:
    """Return the edges on the shortest path from a root to a synset: NLTK's min_depth.

    Example:
        >>> min_depth("dog.n.01"), max_depth("dog.n.01"), height("dog.n.01")
        (8, 13, 5)
    """
    return int(_depths(instances)[0][wordnet.row_of(synset)])


def max_depth(synset: str, *, instances: bool = True) -> int:
    """Return the edges on the longest path from a root to a synset: NLTK's max_depth; see min_depth."""
    return int(_depths(instances)[1][wordnet.row_of(synset)])


def height(synset: str, *, instances: bool = False) -> int:
    """Return the edges on the longest path from a synset to a leaf, over kinds alone by default; see min_depth."""
    return int(_heights(instances)[wordnet.row_of(synset)])


def min_depths(*, instances: bool = True) -> Shorts:
    """Return the edges on the shortest path from a root to each row: 0 to 18."""
    return _depths(instances)[0]


def max_depths(*, instances: bool = True) -> Shorts:
    """Return the edges on the longest path from a root to each row: 0 to 19."""
    return _depths(instances)[1]


def heights(*, instances: bool = False) -> Shorts:
    """Return the edges on the longest path from each row to a leaf: 0 to 19; ILSVRC's wordnet_height by default."""
    return _heights(instances)


# ---- counts and costs


def inclusive(counts: npt.ArrayLike, *, instances: bool = True) -> npt.NDArray[np.int64]:
    """Return what is at or below each synset, from what is at each; every descendant counts once.

    Args:
        counts: Whole numbers by row: (82,115,).
        instances: Also follow instance edges.

    Returns:
        Totals by row. A synset adds to an ancestor once, whatever the number of paths between.

    Raises:
        UsageError: Another shape or type.

    Example:
        >>> counts = np.zeros(82_115, int)
        >>> counts[wordnet.rows_of(["beagle.n.01", "tabby.n.01"])] = 50, 8
        >>> int(inclusive(counts)[wordnet.row_of("carnivore.n.01")])
        58
    """
    direct = np.asarray(counts)
    n = _up(instances).n
    if direct.shape != (n,) or not np.issubdtype(direct.dtype, np.integer):
        raise UsageError(
            f"Expected {n:,} whole numbers, one for each row of imagenet_tools.wordnet.wordnet; "
            f"found {direct.dtype} of shape {direct.shape}."
        )
    return graph.inclusive(_up(instances), direct)


def classes_below(classes: Iterable[str]) -> npt.NDArray[np.int64]:
    """Return the number of different classes at or below each synset, by row.

    Example:
        >>> int(classes_below(["beagle.n.01", "tabby.n.01"])[wordnet.row_of("dog.n.01")])
        1
    """
    return inclusive(wordnet.mask_of(wordnet.rows_of(classes)).astype(np.int64))


def cost_matrix(
    synsets: Sequence[str], *, out: npt.NDArray[np.uint8] | None = None, block: int = 2_048
) -> npt.NDArray[np.uint8]:
    """Return ILSVRC's hierarchical cost of taking one class for another.

    The cost is the least height among the common ancestors, 0 for the class itself. Ancestors follow both kinds of
    edge, so that instances have a cost too; heights follow kinds alone. Equal to the official cost_matrix of
    ILSVRC2010.

    Args:
        synsets: n classes, all different.
        out: The array to fill, uint8 of shape (n, n), such as a numpy.memmap if n * n bytes do not fit in memory.
        block: The number of rows to fill at a time.

    Returns:
        Heights, 0 to 19: (n, n), uint8.

    Raises:
        UsageError: A class twice, another shape or type of `out`, or a block without rows.

    Example:
        >>> cost_matrix(["beagle.n.01", "tabby.n.01", "tench.n.01"]).tolist()
        [[0, 6, 11], [6, 0, 11], [11, 11, 0]]
    """
    n = len(synsets)
    costs = np.zeros((n, n), np.uint8) if out is None else out
    if costs.shape != (n, n) or costs.dtype != np.uint8:
        raise UsageError(f"out is {costs.dtype} of shape {costs.shape}; expected uint8 of shape {(n, n)}.")
    for start, rows in cost_blocks(synsets, block=block):
        costs[start : start + len(rows)] = rows
    return costs


def cost_blocks(synsets: Sequence[str], *, block: int = 2_048) -> Iterator[tuple[int, npt.NDArray[np.uint8]]]:
    """Return an iterator over blocks of rows of cost_matrix: the first row, and a new array of up to (block, n).

    UsageError is raised at once, not when the iterator is used.
    """
    if block < 1:
        raise UsageError(f"block = {block}; expected a number of rows from 1.")
    rows = wordnet.distinct_rows_of(synsets)
    by_height = sorted(_members_by_ancestor(rows), key=lambda pair: -heights()[pair[1]])
    ancestors = [(places, heights()[row]) for places, row in by_height if len(places) > 1]
    return _cost_blocks(len(rows), ancestors, block)


def deepest_common_hypernyms(synsets: Sequence[str], n: int) -> Ints:
    """Return the lowest common hypernym of each of the first n synsets and each of all, by lowest_common_hypernyms.

    Args:
        synsets: Classes, all different.
        n: The number of rows of the result.

    Returns:
        Rows of synsets: (n, classes), int32. If several tie, the one with the greatest wnid.

    Raises:
        UsageError: A class twice, or more rows than there are synsets.

    Example:
        >>> wordnet.wnids_of(deepest_common_hypernyms(["dog.n.01", "cat.n.01"], 1)[0])
        ('n02084071', 'n02075296')
    """
    rows = wordnet.distinct_rows_of(synsets)
    if not 0 <= n <= len(rows):
        raise UsageError(f"n = {n}; expected a number of rows from 0 to {len(rows):,}, the number of synsets.")
    common = np.zeros((n, len(rows)), np.int32)  # row 0 is entity.n.01, which is above all
    # Deeper ancestors come later and overwrite.
    for places, ancestor in sorted(_members_by_ancestor(rows), key=lambda pair: max_depths()[pair[1]]):
        common[np.ix_(places[: np.searchsorted(places, n)], places)] = ancestor
    common[np.arange(n), np.arange(n)] = rows[:n]
    return common


def _members_by_ancestor(rows: Ints) -> Iterator[tuple[npt.NDArray[np.intp], int]]:
    """Yield each synset at or above some of `rows`, by row, with the sorted places in `rows` that are below it."""
    order = np.argsort(rows)
    below, above, _ = graph.pairs(_up(True), rows)
    starts = np.flatnonzero(np.diff(above, prepend=-1))
    members = np.split(order[np.searchsorted(rows[order], below)], starts[1:]) if len(starts) else []
    for places, row in zip(members, above[starts].tolist(), strict=True):
        yield np.sort(places), row


def _cost_blocks(
    n: int, ancestors: list[tuple[npt.NDArray[np.intp], np.int16]], block: int
) -> Iterator[tuple[int, npt.NDArray[np.uint8]]]:
    for start in range(0, n, block):
        costs = np.zeros((min(block, n - start), n), np.uint8)
        # Lower ancestors come later and overwrite: the lowest common ancestor stays.
        for places, ancestor_height in ancestors:
            rows = places[slice(*np.searchsorted(places, (start, start + block)))] - start
            if len(rows) == len(costs) and len(places) == n:
                costs[:] = ancestor_height
            elif len(rows):
                costs[np.ix_(rows, places)] = ancestor_height
        diagonal = np.arange(len(costs))
        costs[diagonal, start + diagonal] = 0
        yield start, costs


# ---- the edges


@functools.cache
def _up(instances: bool) -> Edges:
    facts = wordnet.load()
    return graph.join(facts.hypernyms, facts.instance_hypernyms) if instances else facts.hypernyms


@functools.cache
def _down(instances: bool) -> Edges:
    return graph.reverse(_up(instances))


@functools.cache
def _depths(instances: bool) -> tuple[Shorts, Shorts]:
    tops = np.flatnonzero(_up(instances).degrees() == 0).astype(np.int32)
    depths = graph.depths(_down(instances), tops)
    for array in depths:
        array.setflags(write=False)  # cached, and shared by all callers
    return depths


@functools.cache
def _heights(instances: bool) -> Shorts:
    bottoms = np.flatnonzero(_down(instances).degrees() == 0).astype(np.int32)
    heights = graph.depths(_up(instances), bottoms)[1]
    heights.setflags(write=False)
    return heights


def _reached(edges: Edges, synset: str, itself: bool) -> Ints:
    row = wordnet.row_of(synset)
    rows = graph.reach(edges, [row])
    return rows if itself else rows[rows != row]
