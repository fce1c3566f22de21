"""A part of the graph chosen to be drawn: what lies below a synset, pruned to classes, chains skipped, cut in depth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from imagenet_tools import graph, hierarchy, wordnet
from imagenet_tools.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from imagenet_tools.graph import Edges


@dataclass(frozen=True)
class Node:
    """A synset that is drawn."""

    wnid: str
    name: str
    count: int | None
    depth: int  # drawn edges on the shortest path from the top
    hidden: int  # what would be drawn right below it, were `depth` greater


class Link(NamedTuple):
    """An edge that is drawn, by the wnids of its ends."""

    upper: str
    lower: str
    instance: bool  # `lower` is an instance of what lies right above it, not a kind
    skipped: tuple[str, ...]  # the wnids of the chain between, from above


class Outline(NamedTuple):
    """What is to be drawn; every synset stands once, however many links lead to it."""

    nodes: tuple[Node, ...]  # the top first, then by depth; those found through one synset sorted by wnid
    links: tuple[Link, ...]  # by the place of `upper` among the nodes, then by wnid

    def below(self) -> dict[str, list[Link]]:
        """The links by the wnid of their upper end."""
        found: dict[str, list[Link]] = {node.wnid: [] for node in self.nodes}
        for link in self.links:
            found[link.upper].append(link)
        return found


def outline(
    top: str = hierarchy.ROOT,
    *,
    depth: int | None = None,
    classes: Iterable[str] | None = None,
    counts: npt.NDArray[np.int64] | None = None,
    counted: bool = False,
    collapse: bool = False,
    instances: bool = True,
    edges: Edges | None = None,
) -> Outline:
    """The graph below a synset as it shall be drawn; with `edges` that graph, given by what lies right below each row.

    `classes` keeps what is one of these classes or lies above one; `counts`, inclusive and by row, become `count`, and
    `counted` keeps what has any. `collapse` then skips each synset that has one single synset drawn below it and
    counts no more than that one, but no class. `depth` is the greatest number of drawn edges below the top, by the
    shortest path. The top itself always stands.
    """
    if counted and counts is None:
        raise UsageError("Nothing is counted; expected counts by row where `counted` is asked for.")
    row = wordnet.row_of(top)
    chosen = wordnet.rows_of(classes) if classes is not None else None
    down = hierarchy.edges_down(instances=instances) if edges is None else edges
    below = _kept(row, down, chosen, counts if counted else None)
    skip = np.zeros(below.n, np.bool_)
    if collapse:
        single = np.flatnonzero(below.degrees() == 1)
        if counts is not None:
            single = single[counts[single] == counts[below.targets[below.starts[single]]]]
        skip[single] = True
        skip[[row, *([] if chosen is None else chosen)]] = False
    return _walk(row, below, skip, counts, below.n if depth is None else depth)


def _kept(top: int, down: Edges, classes: graph.Ints | None, counts: npt.NDArray[np.int64] | None) -> Edges:
    """The edges below the top between synsets that are kept."""
    kept = np.zeros(down.n, np.bool_)
    kept[graph.reach(down, [top])] = True
    if classes is not None:
        above = np.zeros(down.n, np.bool_)
        above[graph.reach(graph.reverse(down), classes)] = True
        kept &= above
    if counts is not None:
        kept &= counts > 0
    kept[top] = True
    sources = graph.sources_of(down)
    both = kept[sources] & kept[down.targets]
    return graph.from_pairs(down.n, sources[both], down.targets[both])


def _walk(
    top: int, below: Edges, skip: npt.NDArray[np.bool_], counts: npt.NDArray[np.int64] | None, depth: int
) -> Outline:
    """Level by level from the top; what is skipped is replaced by what it leads to."""
    depths, links, hidden = {top: 0}, [], {}
    queue = [top]
    for row in queue:  # grows while it is walked
        found: dict[int, tuple[int, ...]] = {}
        for child in below.of(row).tolist():
            chain = [child]
            while skip[chain[-1]]:
                chain.append(int(below.of(chain[-1])[0]))
            lower, chain = chain[-1], chain[:-1]
            if lower not in found or len(chain) < len(found[lower]):
                found[lower] = tuple(chain)
        if found and depths[row] == depth:
            hidden[row] = len(found)
            continue
        for lower in sorted(found):
            links.append((row, lower, found[lower]))
            if lower not in depths:
                depths[lower] = depths[row] + 1
                queue.append(lower)
    counted = [None] * len(queue) if counts is None else counts[queue].tolist()
    nodes = (
        Node(wnid, wordnet.name_at(row), count, depths[row], hidden.get(row, 0))
        for row, wnid, count in zip(queue, wordnet.wnids_of(queue), counted, strict=True)
    )
    return Outline(tuple(nodes), _links(links))


def _links(links: list[tuple[int, int, tuple[int, ...]]]) -> tuple[Link, ...]:
    uppers = wordnet.wnids_of([upper for upper, _, _ in links])
    lowers = wordnet.wnids_of([lower for _, lower, _ in links])
    instance_of = wordnet.load().instance_hypernyms
    found = []
    for upper, lower, (row, child, chain) in zip(uppers, lowers, links, strict=True):
        instance = (chain[-1] if chain else row) in instance_of.of(child)
        found.append(Link(upper, lower, instance, wordnet.wnids_of(chain)))
    return tuple(found)
