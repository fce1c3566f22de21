"""The graph of WordNet's nouns: what lies above and below a synset, how deep, how much, and what a mistake costs.

WordNet is a graph, not a tree: 2,213 synsets have several parents, and 304 of the 1,000 ILSVRC2012 classes several
paths to the root, entity.n.01. Nothing here keeps one parent of several.

An edge is a kind (`@`: a dog is a kind of canine) or an instance (`@i`: the sun is one star). Which is followed:
ancestry, depths and counts follow both, unless `instances=False`; heights, and with them costs, follow kinds alone,
as ILSVRC's official ones do. A synset is given as a wnid or a name; an array has a value for each row of
imagenet_tools.wordnet.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import numpy.typing as npt

from imagenet_tools import graph, labels, wordnet
from imagenet_tools.errors import UsageError
from imagenet_tools.schema import arrow_schema

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import pyarrow as pa

    from imagenet_tools.graph import Edges, Ints, Shorts

_Number = TypeVar("_Number", bound=np.generic)

ROOT = "entity.n.01"


def parents(synset: str, *, instances: bool = True) -> tuple[str, ...]:
    """The wnids of a synset's hypernyms in WordNet's order, then those of the synsets that it is an instance of."""
    return _wnids(_up(instances).of(wordnet.row_of(synset)))


def children(synset: str, *, instances: bool = True) -> tuple[str, ...]:
    """The wnids of a synset's hyponyms and instances, sorted."""
    return _wnids(_down(instances).of(wordnet.row_of(synset)))


def ancestors(synset: str, *, itself: bool = True, instances: bool = True) -> tuple[str, ...]:
    """The wnids of all synsets above a synset, sorted; with the synset itself unless `itself=False`."""
    return _reached(_up(instances), synset, itself)


def descendants(synset: str, *, itself: bool = True, instances: bool = True) -> tuple[str, ...]:
    """The wnids of all synsets below a synset, sorted; with the synset itself unless `itself=False`."""
    return _reached(_down(instances), synset, itself)


def is_a(synset: str, ancestor: str, *, instances: bool = True) -> bool:
    """Whether a synset is another one or lies below it."""
    above = graph.reach(_up(instances), [wordnet.row_of(synset)])
    return wordnet.row_of(ancestor) in above


def min_depths() -> Shorts:
    """Edges of both kinds on the shortest path to entity.n.01, 0 to 18, by row."""
    return _depths()[0]


def max_depths() -> Shorts:
    """Edges of both kinds on the longest path to entity.n.01, 0 to 19, by row."""
    return _depths()[1]


@functools.cache
def heights() -> Shorts:
    """Edges on the longest path down to a leaf, kinds alone, 0 to 19, by row; ILSVRC's wordnet_height."""
    leaves = np.flatnonzero(_down(False).degrees() == 0)
    return _fixed(graph.depths(_up(False), leaves.astype(np.int32))[1])


def inclusive(counts: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """What lies at or below each synset, by row, given what lies at each: every descendant counts once.

    `counts` are whole numbers, by row. However many paths lead from a synset up to another, it adds to it once.
    """
    direct = np.asarray(counts)
    if direct.shape != (len(wordnet.wnids()),) or not np.issubdtype(direct.dtype, np.integer):
        raise UsageError(
            f"Expected {len(wordnet.wnids()):,} whole numbers, one for each row of imagenet_tools.wordnet; "
            f"found {direct.dtype} of shape {direct.shape}."
        )
    below, above, _ = graph.pairs(_up(True), np.flatnonzero(direct).astype(np.int32))
    totals = np.zeros(len(direct), np.int64)
    np.add.at(totals, above, direct[below])
    return totals


@functools.cache
def ilsvrc2012_below() -> npt.NDArray[np.int64]:
    """How many of the 1,000 ILSVRC2012 classes each synset is or has below it, by row."""
    counts = np.zeros(len(wordnet.wnids()), np.int64)
    counts[wordnet.rows_of(labels.ilsvrc2012_sorted())] = 1
    return _fixed(inclusive(counts))


def cost_matrix(synsets: Sequence[str]) -> npt.NDArray[np.uint8]:
    """What it costs to take one class for another: (n, n), the height of the lowest synset above both, 0 to 19.

    ILSVRC's hierarchical cost: the least height among the common ancestors; 0 for the class itself. Ancestors
    follow both kinds of edge, so that instances have a cost too, heights kinds alone: equal to the official
    cost_matrix of ILSVRC2010. UsageError where a class stands twice.
    """
    rows = wordnet.rows_of(synsets)
    order = np.argsort(rows)
    if len(np.unique(rows)) != len(rows):
        twice = rows[order][1:][np.diff(rows[order]) == 0]
        raise UsageError(f"Expected different classes; {wordnet.wnids()[twice[0]]} stands in the list twice.")
    below, above, _ = graph.pairs(_up(True), rows)
    groups = np.flatnonzero(np.diff(above, prepend=-1))
    members = np.split(order[np.searchsorted(rows[order], below)], groups[1:])
    costs = np.zeros((len(rows), len(rows)), np.uint8)
    # Painted from the highest ancestor to the lowest, so that the lowest one stays.
    for group in np.argsort(-heights()[above[groups]], kind="stable"):
        if len(members[group]) > 1:
            costs[np.ix_(members[group], members[group])] = heights()[above[groups[group]]]
    np.fill_diagonal(costs, 0)
    return costs


@dataclass(frozen=True)
class Branch:
    """A synset in a drawing of the graph as a tree."""

    wnid: str
    name: str
    count: int | None
    children: tuple[Branch, ...]
    hidden: int  # children that are not drawn here: too deep, or drawn where the synset stood before
    repeated: bool  # the synset has been drawn before, under another parent


def tree(
    root: str = ROOT,
    *,
    depth: int | None = None,
    classes: Iterable[str] | None = None,
    counts: npt.NDArray[np.int64] | None = None,
) -> Branch:
    """The graph below a synset, laid out to be drawn: a synset with several parents stands under each of them.

    What lies below it stands there the first time only, or again where `depth` cut that short and here there is more
    room. `depth` limits the edges below the root; `classes` keeps what is one of these classes or lies above one (and
    the root); `counts`, by row, become `count`. Children are sorted by wnid; both kinds of edge are followed.
    """
    down = _down(True)
    kept = np.ones(down.n, np.bool_)
    if classes is not None:
        kept[:] = False
        kept[graph.reach(_up(True), wordnet.rows_of(classes))] = True
    drawn: set[int] = set()
    opened: dict[int, int] = {}  # the levels that there was room for below
    cut: set[int] = set()  # those below which depth hides something

    def branch(row: int, room: int) -> Branch:
        below = down.of(row)[kept[down.of(row)]].tolist()
        repeated = row in drawn
        drawn.add(row)
        shown = below if room > 0 and (row not in opened or (row in cut and room > opened[row])) else []
        if shown:
            opened[row] = room
        children = tuple(branch(child, room - 1) for child in shown)
        if shown and cut.isdisjoint(shown):
            cut.discard(row)
        elif shown or (below and row not in opened):
            cut.add(row)
        return Branch(
            wnid=wordnet.wnids()[row],
            name=wordnet.names()[row],
            count=None if counts is None else int(counts[row]),
            children=children,
            hidden=len(below) - len(shown),
            repeated=repeated,
        )

    return branch(wordnet.row_of(root), down.n if depth is None else depth)


# ---- tables of an index


def closure_table() -> pa.Table:
    """The table closure: each synset with each of its ancestors, 825,356 rows sorted by (ancestor, descendant)."""
    import pyarrow as pa

    below, above, distances = graph.pairs(_up(True), np.arange(len(wordnet.wnids()), dtype=np.int32))
    wnids = pa.array(wordnet.wnids(), pa.string())
    columns = [wnids.take(pa.array(above)), wnids.take(pa.array(below)), pa.array(distances)]
    return pa.table(columns, schema=arrow_schema("closure"))


def hypernyms_table() -> pa.Table:
    """The table hypernyms: 84,427 edges sorted by wnid, kinds before instances, in WordNet's order."""
    import pyarrow as pa

    kinds = wordnet.load().hypernyms
    edges = _up(True)
    sources = graph.sources_of(edges)
    place = np.arange(len(sources)) - edges.starts[sources]
    wnids = pa.array(wordnet.wnids(), pa.string())
    instance = pa.array(place >= kinds.degrees()[sources])
    columns = [wnids.take(pa.array(sources)), wnids.take(pa.array(edges.targets)), instance]
    return pa.table(columns, schema=arrow_schema("hypernyms"))


def synsets_table() -> pa.Table:
    """The columns of the table synsets that WordNet and the class lists give (no counts): 82,115 rows by wnid."""
    import pyarrow as pa
    import pyarrow.compute as pc

    facts = wordnet.load()
    columns = {
        "wnid": pa.array(wordnet.wnids(), pa.string()),
        "name": pa.array(wordnet.names(), pa.string()),
        "lemmas": pc.split_pattern(pa.array(facts.lemmas), " "),
        "lexfile": pa.array(wordnet.LEXFILES).take(pa.array(facts.lexfiles)),
        "min_depth": pa.array(min_depths()),
        "max_depth": pa.array(max_depths()),
        "height": pa.array(heights()),
    }
    ids = labels.index_of(labels.ilsvrc2012_ids())
    rows = wordnet.rows_of(labels.ilsvrc2012_sorted())
    numbers = {
        "ilsvrc_id": [ids[wnid] + 1 for wnid in labels.ilsvrc2012_sorted()],
        "ilsvrc2012_index": list(range(len(rows))),
    }
    for name, values in numbers.items():
        column = np.full(len(facts.offsets), -1, np.int16)
        column[rows] = values
        columns[name] = pa.array(column, mask=column < 0)
    schema = arrow_schema("synsets")
    return pa.table(columns, schema=pa.schema([schema.field(name) for name in columns]))


# ---- the edges, and rows as wnids


@functools.cache
def _up(instances: bool) -> Edges:
    facts = wordnet.load()
    return graph.join(facts.hypernyms, facts.instance_hypernyms) if instances else facts.hypernyms


@functools.cache
def _down(instances: bool) -> Edges:
    return graph.reverse(_up(instances))


@functools.cache
def _depths() -> tuple[Shorts, Shorts]:
    shortest, longest = graph.depths(_down(True), [wordnet.row_of(ROOT)])
    return _fixed(shortest), _fixed(longest)


def _fixed(array: npt.NDArray[_Number]) -> npt.NDArray[_Number]:
    array.setflags(write=False)  # it is cached, and handed to many
    return array


def _reached(edges: Edges, synset: str, itself: bool) -> tuple[str, ...]:
    row = wordnet.row_of(synset)
    rows = graph.reach(edges, [row])
    return _wnids(rows if itself else rows[rows != row])


def _wnids(rows: Ints) -> tuple[str, ...]:
    return tuple(wordnet.wnids()[rows].tolist())
