"""The choice of disjoint sets is the best one, compared with all choices of small families."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagenet_tools.superclasses import disjoint
from imagenet_tools.superclasses.disjoint import CrossingError
from tests.examples import examples

quick = examples(80, many=600)

Family = list[frozenset[int]]


def families(greatest: int = 10) -> st.SearchStrategy[Family]:
    """Draw different sets over few members: many cross, hold one another, or are disjoint."""
    one = st.frozensets(st.integers(0, 7), min_size=1)
    interval = st.tuples(st.integers(0, 7), st.integers(1, 8)).map(lambda at: frozenset(range(at[0], min(8, sum(at)))))
    return st.lists(one | interval, max_size=greatest, unique=True)


def choices(sets: Family) -> list[tuple[int, ...]]:
    """Yield every choice of disjoint sets, the empty one too."""
    every = itertools.chain.from_iterable(itertools.combinations(range(len(sets)), n) for n in range(len(sets) + 1))
    return [c for c in every if sum(len(sets[n]) for n in c) == len(frozenset().union(*(sets[n] for n in c)))]


@quick
@given(families(), st.data())
def test_no_choice_weighs_more(sets: Family, data: st.DataObject) -> None:
    weights = data.draw(st.lists(st.integers(1, 9), min_size=len(sets), max_size=len(sets)))
    chosen = disjoint.heaviest(sets, weights)
    assert chosen is not None
    assert tuple(chosen) in choices(sets)
    assert sum(weights[n] for n in chosen) == max(sum(weights[n] for n in c) for c in choices(sets))


@quick
@given(families(), st.integers(0, 6), st.data())
def test_of_k_disjoint_sets_no_choice_weighs_more_and_none_is_missed(sets: Family, k: int, data: st.DataObject) -> None:
    weights = data.draw(st.lists(st.integers(1, 9), min_size=len(sets), max_size=len(sets)))
    chosen = disjoint.heaviest(sets, weights, k)
    of_k = [c for c in choices(sets) if len(c) == k]
    if not of_k:
        assert chosen is None
        return
    assert chosen is not None
    assert tuple(chosen) in of_k
    assert sum(weights[n] for n in chosen) == max(sum(weights[n] for n in c) for c in of_k)


@quick
@given(families())
def test_the_most_disjoint_sets_are_counted(sets: Family) -> None:
    assert disjoint.most(sets) == max(map(len, choices(sets)))


@quick
@given(families())
def test_the_innermost_hold_no_other(sets: Family) -> None:
    expected = [n for n, one in enumerate(sets) if not any(other < one for other in sets)]
    assert disjoint.innermost(sets) == expected


@quick
@given(families())
def test_the_same_family_gives_the_same_choice(sets: Family) -> None:
    weights = [len(one) for one in sets]
    assert disjoint.heaviest(sets, weights) == disjoint.heaviest([list(one) for one in sets], weights)


def test_a_family_that_crosses_too_much_is_refused_with_what_to_do() -> None:
    pairs = [frozenset(pair) for pair in itertools.combinations(range(12), 2)]
    with pytest.raises(CrossingError, match=r"more than 50 groups.*below a lower synset"):
        disjoint.heaviest(pairs, [1] * len(pairs), limit=50)
