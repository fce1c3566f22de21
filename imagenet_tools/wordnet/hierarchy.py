"""The graph of WordNet's nouns: what lies above and below a synset, how deep, how much, and what a mistake costs.

WordNet is a graph, not a tree: 2,213 synsets have several hypernyms, and 304 of the 1,000 ILSVRC2012 classes several
paths to the root, entity.n.01. Nothing here keeps one hypernym of several.

An edge is a kind (`@`: a dog is a kind of canine) or an instance (`@i`: the sun is one star). Which is followed can
be chosen: membership, depths, paths and counts follow both unless `instances=False`, as NLTK does; heights, and with
them costs, follow kinds alone, as ILSVRC's official ones do. Without instance edges 7,725 synsets are roots of their
own beside entity.n.01.

A synset is given as a wnid or a name; an array has a value for each row of imagenet_tools.wordnet.wordnet.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import numpy.typing as npt

from imagenet_tools.errors import UsageError
from imagenet_tools.wordnet import graph, wordnet

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from imagenet_tools.wordnet.graph import Edges, Ints, Shorts

_Number = TypeVar("_Number", bound=np.generic)

ROOT = "entity.n.01"


def edges_up(*, instances: bool = True) -> Edges:
    """The edges from each row to its hypernyms in WordNet's order, then to those that it is an instance of."""
    return _up(instances)


def edges_down(*, instances: bool = True) -> Edges:
    """The edges from each row to its hyponyms and, sorted among them, its instances."""
    return _down(instances)


# ---- above and below


def hypernyms(synset: str, *, instances: bool = True) -> tuple[str, ...]:
    """The wnids of a synset's hypernyms in WordNet's order, then those of the synsets that it is an instance of."""
    return wordnet.wnids_of(_up(instances).of(wordnet.row_of(synset)))


def hyponyms(synset: str, *, instances: bool = True) -> tuple[str, ...]:
    """The wnids of a synset's hyponyms and instances, sorted."""
    return wordnet.wnids_of(_down(instances).of(wordnet.row_of(synset)))


def ancestors(synset: str, *, itself: bool = True, instances: bool = True) -> tuple[str, ...]:
    """The wnids of all synsets above a synset, sorted; with the synset itself unless `itself=False`."""
    return wordnet.wnids_of(_reached(_up(instances), synset, itself))


def descendants(synset: str, *, itself: bool = True, instances: bool = True) -> tuple[str, ...]:
    """The wnids of all synsets below a synset, sorted; with the synset itself unless `itself=False`."""
    return wordnet.wnids_of(_reached(_down(instances), synset, itself))


def is_a(synset: str, ancestor: str, *, instances: bool = True) -> bool:
    """Whether a synset is another one or lies below it."""
    return wordnet.row_of(ancestor) in graph.reach(_up(instances), [wordnet.row_of(synset)])


def leaves(synset: str = ROOT, *, instances: bool = True) -> tuple[str, ...]:
    """The wnids at or below a synset that have nothing below them, sorted: 64,958 in all."""
    below, down = _reached(_down(instances), synset, True), _down(instances)
    return wordnet.wnids_of(below[down.degrees()[below] == 0])


def roots(*, instances: bool = True) -> tuple[str, ...]:
    """The wnids of the synsets that have no hypernym, sorted: entity.n.01 alone, or 7,726 over kinds alone."""
    return wordnet.wnids_of(np.flatnonzero(_up(instances).degrees() == 0))


def hypernym_paths(synset: str, *, instances: bool = True) -> list[tuple[str, ...]]:
    """Every path from a root down to a synset, each the wnids on it, both ends included; at most 12 of at most 20.

    NLTK's hypernym_paths, in another order: here the hypernyms' own decides, WordNet's first one first.
    """
    up = _up(instances)

    def paths(row: int) -> list[tuple[int, ...]]:
        return [(*path, row) for above in up.of(row).tolist() for path in paths(above)] or [(row,)]

    return [wordnet.wnids_of(path) for path in paths(wordnet.row_of(synset))]


def lowest_common_hypernyms(
    first: str, second: str, *, use_min_depth: bool = False, instances: bool = True
) -> tuple[str, ...]:
    """The deepest synsets at or above both of two, sorted by wnid; empty where nothing is above both.

    The rule is NLTK's: of all common ancestors, either synset itself included, those of the greatest max_depth, which
    are few and mostly one. With `use_min_depth` those of the greatest min_depth, NLTK's older rule, which may give an
    ancestor of another common one.
    """
    up = _up(instances)
    above_first, above_second = (graph.reach(up, [wordnet.row_of(synset)]) for synset in (first, second))
    common = np.intersect1d(above_first, above_second, assume_unique=True)
    depths = _depths(instances)[0 if use_min_depth else 1][common]
    return wordnet.wnids_of(common[depths == depths.max(initial=-1)])


# ---- depths and heights


def min_depth(synset: str, *, instances: bool = True) -> int:
    """Edges on the shortest path from a root to a synset: NLTK's min_depth."""
    return int(_depths(instances)[0][wordnet.row_of(synset)])


def max_depth(synset: str, *, instances: bool = True) -> int:
    """Edges on the longest path from a root to a synset: NLTK's max_depth."""
    return int(_depths(instances)[1][wordnet.row_of(synset)])


def height(synset: str, *, instances: bool = False) -> int:
    """Edges on the longest path from a synset down to a leaf; kinds alone unless `instances=True`."""
    return int(_heights(instances)[wordnet.row_of(synset)])


def min_depths(*, instances: bool = True) -> Shorts:
    """Edges on the shortest path from a root, 0 to 18, by row."""
    return _depths(instances)[0]


def max_depths(*, instances: bool = True) -> Shorts:
    """Edges on the longest path from a root, 0 to 19, by row."""
    return _depths(instances)[1]


def heights(*, instances: bool = False) -> Shorts:
    """Edges on the longest path down to a leaf, 0 to 19, by row; kinds alone: ILSVRC's wordnet_height."""
    return _heights(instances)


# ---- counts and costs


def inclusive(counts: npt.ArrayLike, *, instances: bool = True) -> npt.NDArray[np.int64]:
    """What lies at or below each synset, by row, given what lies at each: every descendant counts once.

    `counts` are whole numbers, by row. However many paths lead from a synset up to another, it adds to it once.
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
    """How many of these classes each synset is or has below it, by row; a class that stands twice counts once."""
    counts = np.zeros(_up(True).n, np.int64)
    counts[wordnet.rows_of(classes)] = 1
    return inclusive(counts)


def cost_matrix(
    synsets: Sequence[str], *, out: npt.NDArray[np.uint8] | None = None, block: int = 2_048
) -> npt.NDArray[np.uint8]:
    """What it costs to take one class for another: (n, n), the height of the lowest synset above both, 0 to 19.

    ILSVRC's hierarchical cost: the least height among the common ancestors; 0 for the class itself. Ancestors
    follow both kinds of edge, so that instances have a cost too, heights kinds alone: equal to the official
    cost_matrix of ILSVRC2010. It is filled `block` rows at a time, into `out` where it is given: (n, n), uint8, such
    as a numpy.memmap where n * n bytes are too many for memory. UsageError where a class stands twice.
    """
    n = len(synsets)
    costs = np.zeros((n, n), np.uint8) if out is None else out
    if costs.shape != (n, n) or costs.dtype != np.uint8:
        raise UsageError(f"out is {costs.dtype} of shape {costs.shape}; expected uint8 of shape {(n, n)}.")
    for start, rows in cost_blocks(synsets, block=block):
        costs[start : start + len(rows)] = rows
    return costs


def cost_blocks(synsets: Sequence[str], *, block: int = 2_048) -> Iterator[tuple[int, npt.NDArray[np.uint8]]]:
    """cost_matrix in blocks of rows from the first to the last: (number of the first row, (at most block, n)).

    Every block is an array of its own. UsageError, at once, where a class stands twice.
    """
    if block < 1:
        raise UsageError(f"block = {block}; expected a number of rows from 1.")
    rows = wordnet.rows_of(synsets)
    order = np.argsort(rows)
    if len(np.unique(rows)) != len(rows):
        twice = rows[order][1:][np.diff(rows[order]) == 0]
        raise UsageError(f"Expected different classes; {wordnet.wnids_of(twice[:1])[0]} stands in the list twice.")
    below, above, _ = graph.pairs(_up(True), rows)
    starts = np.flatnonzero(np.diff(above, prepend=-1))
    # The classes of each ancestor by their places, sorted, from the highest ancestor to the lowest.
    members = np.split(order[np.searchsorted(rows[order], below)], starts[1:]) if len(starts) else []
    of_height = heights()[above[starts]]
    painted = [
        (np.sort(members[group]), of_height[group])
        for group in np.argsort(-of_height, kind="stable").tolist()
        if len(members[group]) > 1
    ]
    return _cost_blocks(len(rows), painted, block)


def _cost_blocks(
    n: int, painted: list[tuple[npt.NDArray[np.intp], np.int16]], block: int
) -> Iterator[tuple[int, npt.NDArray[np.uint8]]]:
    for start in range(0, n, block):
        costs = np.zeros((min(block, n - start), n), np.uint8)
        # What is painted later lies above: the lowest ancestor stays.
        for places, of_height in painted:
            here = places[slice(*np.searchsorted(places, (start, start + block)))] - start
            if len(here) == len(costs) and len(places) == n:
                costs[:] = of_height
            elif len(here):
                costs[np.ix_(here, places)] = of_height
        own = np.arange(len(costs))
        costs[own, start + own] = 0
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
    shortest, longest = graph.depths(_down(instances), np.flatnonzero(_up(instances).degrees() == 0).astype(np.int32))
    return _fixed(shortest), _fixed(longest)


@functools.cache
def _heights(instances: bool) -> Shorts:
    lowest = np.flatnonzero(_down(instances).degrees() == 0)
    return _fixed(graph.depths(_up(instances), lowest.astype(np.int32))[1])


def _fixed(array: npt.NDArray[_Number]) -> npt.NDArray[_Number]:
    array.setflags(write=False)  # it is cached, and handed to many
    return array


def _reached(edges: Edges, synset: str, itself: bool) -> Ints:
    row = wordnet.row_of(synset)
    rows = graph.reach(edges, [row])
    return rows if itself else rows[rows != row]
