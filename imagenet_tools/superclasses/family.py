"""Some classes, and each synset at or above one of them with its classes: what superclasses are chosen from."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from imagenet_tools import graph, hierarchy, wordnet
from imagenet_tools.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from imagenet_tools.graph import Ints
    from imagenet_tools.superclasses.superclasses import Rule


class Family(NamedTuple):
    """The classes below a synset, and what lies between."""

    classes: Ints  # rows, sorted
    members: Mapping[int, Ints]  # by row of each synset at or above a class: the rows of its classes, sorted
    edges: Mapping[int, Ints]  # likewise: edges on the shortest path from each of these up to it
    outside: Ints  # rows of the classes that do not lie below


def family_of(rule: Rule, classes: Iterable[str]) -> Family:
    """The family of classes below the synset that a rule names; UsageError: none, or one stands twice."""
    rows = np.sort(wordnet.rows_of(classes))
    if not len(rows):
        raise UsageError("Found no classes; expected one at least.")
    if (np.diff(rows) == 0).any():
        twice = rows[1:][np.diff(rows) == 0]
        raise UsageError(f"Expected different classes; {wordnet.wnids_of(twice[:1])[0]} stands in the list twice.")
    below = np.zeros(len(wordnet.load().offsets), np.bool_)
    below[graph.reach(hierarchy.edges_down(instances=rule.instances), [wordnet.row_of(rule.under)])] = True
    inside = rows[below[rows]]
    of, above, steps = graph.pairs(hierarchy.edges_up(instances=rule.instances), inside)
    of, above, steps = of[below[above]], above[below[above]], steps[below[above]]
    starts = np.flatnonzero(np.diff(above, prepend=-1))
    nodes = above[starts].tolist()
    members = dict(zip(nodes, np.split(of, starts[1:]), strict=True)) if nodes else {}
    edges = dict(zip(nodes, np.split(steps, starts[1:]), strict=True)) if nodes else {}
    return Family(inside, members, edges, rows[~below[rows]])
