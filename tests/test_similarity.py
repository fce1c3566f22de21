"""Similarities agree with their definitions; wordnet_check.py compares them with NLTK's on 10,000 pairs."""

import math

import pytest

from imagenet_tools.errors import UnknownSynsetError
from imagenet_tools.wordnet import hierarchy, similarity


def brute(first: str, second: str) -> int:
    """Return the least number of edges over any common ancestor, from all hypernym paths."""
    up = [
        {
            wnid: min(len(p) - 1 - p.index(wnid) for p in hierarchy.hypernym_paths(one) if wnid in p)
            for path in hierarchy.hypernym_paths(one)
            for wnid in path
        }
        for one in (first, second)
    ]
    return min(up[0][wnid] + up[1][wnid] for wnid in up[0].keys() & up[1].keys())


PAIRS = [
    ("dog.n.01", "cat.n.01"),
    ("dog.n.01", "dog.n.01"),
    ("dog.n.01", "domestic_animal.n.01"),
    ("person.n.01", "dog.n.01"),
    ("italian_greyhound.n.01", "racer.n.03"),
    ("sun.n.01", "star.n.01"),
    ("entity.n.01", "pug.n.01"),
]


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_the_distance_is_the_shortest_way_over_any_common_ancestor(first: str, second: str) -> None:
    edges = brute(first, second)
    assert similarity.distance(first, second) == similarity.distance(second, first) == edges
    assert similarity.path_similarity(first, second) == 1 / (edges + 1)
    assert similarity.lch_similarity(first, second) == -math.log((edges + 1) / 38)


def test_published_values_of_dog_and_cat() -> None:
    # As NLTK's documentation gives them.
    assert similarity.path_similarity("dog.n.01", "cat.n.01") == 0.2
    assert similarity.lch_similarity("dog.n.01", "cat.n.01") == pytest.approx(2.0281482472922856)
    assert similarity.wup_similarity("dog.n.01", "cat.n.01") == pytest.approx(0.8571428571428571)


def test_over_kinds_alone_two_may_have_nothing_above_both() -> None:
    for similar in (
        similarity.distance,
        similarity.path_similarity,
        similarity.wup_similarity,
        similarity.lch_similarity,
    ):
        assert similar("sun.n.01", "dog.n.01", instances=False) is None
        assert similar("sun.n.01", "dog.n.01") is not None


def test_a_lemma_is_refused() -> None:
    with pytest.raises(UnknownSynsetError):
        similarity.distance("dog", "cat.n.01")
