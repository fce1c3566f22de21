"""Graph functions agree with plain recursion on random graphs without cycles."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from imagenet_tools.wordnet import graph

quick = settings(deadline=None, max_examples=60)


@st.composite
def edges(draw: st.DrawFn, n: int | None = None) -> graph.Edges:
    """Draw edges from greater to lesser nodes, which have no cycle; the parents of a node in any order."""
    n = n or draw(st.integers(1, 14))
    targets = [draw(st.permutations(sorted(draw(st.sets(st.integers(0, row - 1)))))) if row else [] for row in range(n)]
    starts = np.cumsum([0, *map(len, targets)]).astype(np.int32)
    return graph.Edges(starts, np.array([target for row in targets for target in row], np.int32))


def path_lengths(edges: graph.Edges, row: int) -> dict[int, set[int]]:
    """Return the lengths of all paths from a row, by the node that they lead to."""
    found: dict[int, set[int]] = {row: {0}}
    for target in edges.of(row).tolist():
        for node, lengths in path_lengths(edges, target).items():
            found.setdefault(node, set()).update(length + 1 for length in lengths)
    return found


@quick
@given(edges(), st.data())
def test_reach_is_what_any_path_leads_to(e: graph.Edges, data: st.DataObject) -> None:
    rows = data.draw(st.lists(st.integers(0, e.n - 1)))
    expected = set().union(*(path_lengths(e, row) for row in rows)) if rows else set()
    assert graph.reach(e, rows).tolist() == sorted(expected)


@quick
@given(edges())
def test_a_reaches_b_exactly_if_b_reaches_a_the_other_way_round(e: graph.Edges) -> None:
    back = graph.reverse(e)
    for row in range(e.n):
        for node in range(e.n):
            assert (node in graph.reach(e, [row])) == (row in graph.reach(back, [node]))


@quick
@given(edges(), st.data())
def test_depths_are_the_shortest_and_the_longest_path(e: graph.Edges, data: st.DataObject) -> None:
    rows = data.draw(st.lists(st.integers(0, e.n - 1)))
    shortest, longest = graph.depths(e, rows)
    for node in range(e.n):
        lengths = set().union(*(path_lengths(e, row).get(node, set()) for row in rows), set())
        assert (shortest[node], longest[node]) == ((min(lengths), max(lengths)) if lengths else (-1, -1))


@quick
@given(edges(), st.data())
def test_pairs_stand_once_with_their_shortest_path_sorted(e: graph.Edges, data: st.DataObject) -> None:
    rows = data.draw(st.lists(st.integers(0, e.n - 1)))
    expected = [(node, row, min(lengths)) for row in set(rows) for node, lengths in path_lengths(e, row).items()]
    row, node, distance = graph.pairs(e, rows)
    assert list(zip(node.tolist(), row.tolist(), distance.tolist(), strict=True)) == sorted(expected)


@quick
@given(edges())
def test_reversing_twice_gives_the_same_edges_sorted(e: graph.Edges) -> None:
    twice = graph.reverse(graph.reverse(e))
    assert [twice.of(row).tolist() for row in range(e.n)] == [sorted(e.of(row).tolist()) for row in range(e.n)]


@quick
@given(edges(n=9), edges(n=9))
def test_joining_keeps_the_order_first_then_second(first: graph.Edges, second: graph.Edges) -> None:
    joined = graph.join(first, second)
    for row in range(9):
        assert joined.of(row).tolist() == [*first.of(row).tolist(), *second.of(row).tolist()]


@quick
@given(edges(), st.data())
def test_a_step_gives_every_edge_of_every_row(e: graph.Edges, data: st.DataObject) -> None:
    rows = data.draw(st.lists(st.integers(0, e.n - 1)))
    positions, targets = graph.step(e, np.array(rows, np.int32))
    expected = [(position, target) for position, row in enumerate(rows) for target in e.of(row).tolist()]
    assert list(zip(positions.tolist(), targets.tolist(), strict=True)) == expected


@quick
@given(edges(), st.data())
def test_inclusive_counts_are_those_of_the_union_of_what_lies_below(e: graph.Edges, data: st.DataObject) -> None:
    counts = np.array(data.draw(st.lists(st.integers(0, 10**9), min_size=e.n, max_size=e.n)), np.int64)
    leads_to = [set(path_lengths(e, row)) for row in range(e.n)]
    below = [{row for row in range(e.n) if node in leads_to[row]} for node in range(e.n)]
    assert graph.inclusive(e, counts).tolist() == [int(sum(counts[row] for row in rows)) for rows in below]
