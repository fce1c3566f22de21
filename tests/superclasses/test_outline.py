"""An outline has every synset and edge once; it is pruned, skips chains, and ends at a depth."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imagenet_tools.catalogue import labels, terms
from imagenet_tools.errors import UsageError
from imagenet_tools.superclasses.drawing import Outline, outline
from imagenet_tools.superclasses.exclusive_tree import exclusive_tree
from imagenet_tools.wordnet import hierarchy, wordnet

ILSVRC = labels.ilsvrc2012_sorted()
FALL11 = labels.fall11()

quick = settings(deadline=None, max_examples=20)
some = st.lists(st.sampled_from(FALL11), min_size=1, max_size=15, unique=True)


def edges(drawn: Outline) -> set[tuple[str, str]]:
    """Return the drawn edges, and check that each appears once."""
    found = [(link.upper, link.lower) for link in drawn.links]
    assert len(found) == len(set(found))
    return set(found)


def kept(classes: list[str]) -> set[str]:
    return {up for wnid in classes for up in hierarchy.ancestors(wnid)}


def test_all_below_a_synset_stands_once_with_every_edge() -> None:
    drawn = outline("dog.n.01")
    assert sorted(node.wnid for node in drawn.nodes) == list(hierarchy.descendants("dog.n.01"))
    below = set(hierarchy.descendants("dog.n.01"))
    assert edges(drawn) == {(up, low) for low in below for up in hierarchy.hypernyms(low) if up in below}
    assert not any(node.hidden for node in drawn.nodes)


@quick
@given(some)
def test_classes_prune_it_to_what_is_one_or_lies_above_one(classes: list[str]) -> None:
    drawn = outline(classes=classes)
    assert {node.wnid for node in drawn.nodes} == kept(classes)
    assert edges(drawn) == {(up, low) for low in kept(classes) for up in hierarchy.hypernyms(low)}


@quick
@given(some, st.integers(0, 8))
def test_what_lies_within_a_depth_is_drawn_by_whichever_path_and_the_rest_is_counted(
    classes: list[str], depth: int
) -> None:
    drawn = outline(classes=classes, depth=depth)
    within = {wnid for wnid in kept(classes) if hierarchy.min_depth(wnid) <= depth}
    assert {node.wnid for node in drawn.nodes} == within
    for node in drawn.nodes:
        assert node.depth == hierarchy.min_depth(node.wnid)
        children = kept(classes) & set(hierarchy.hyponyms(node.wnid))
        # The children of a synset stand all together or are hidden all together.
        at_the_end = node.depth == depth
        assert node.hidden == (len(children) if at_the_end else 0)
        assert {low for up, low in edges(drawn) if up == node.wnid} == (set() if at_the_end else children)


@quick
@given(some)
def test_chains_are_skipped_and_said_and_no_class_is(classes: list[str]) -> None:
    drawn = outline(classes=classes, collapse=True)
    stand = {node.wnid for node in drawn.nodes}
    assert {*classes, "n00001740"} <= stand
    for link in drawn.links:
        path = [link.upper, *link.skipped, link.lower]
        assert all(up in hierarchy.hypernyms(low) for up, low in itertools.pairwise(path))
        assert not stand & set(link.skipped)
    for wnid in kept(classes) - {"n00001740"} - set(classes):
        children = kept(classes) & set(hierarchy.hyponyms(wnid))
        assert (wnid in stand) == (len(children) != 1)


def test_a_synset_that_counts_more_than_the_one_below_it_is_not_skipped() -> None:
    direct = np.zeros(82_115, np.int64)
    direct[wordnet.rows_of(["canine.n.02", "pug.n.01"])] = 1
    drawn = outline("carnivore.n.01", counts=hierarchy.inclusive(direct), counted=True, collapse=True)
    assert [(node.name, node.count) for node in drawn.nodes] == [
        ("carnivore.n.01", 2),
        ("canine.n.02", 2),
        ("pug.n.01", 1),
    ]
    assert [wordnet.synset(wnid).name for wnid in drawn.links[-1].skipped] == ["dog.n.01"]


def test_only_what_counts_stands_where_that_is_asked_for() -> None:
    counts = terms.ilsvrc2012_below()
    drawn = outline(counts=counts, counted=True)
    assert len(drawn.nodes) == 1_860 and len(drawn.links) == 1_937
    assert {node.wnid: node.count for node in drawn.nodes} == dict(
        zip(wordnet.wnids()[counts > 0], counts[counts > 0].tolist(), strict=True)
    )
    with pytest.raises(UsageError, match="Nothing is counted"):
        outline(counted=True)


def test_an_instance_is_told_from_a_kind_and_may_be_left_out() -> None:
    drawn = outline("star.n.01")
    assert next(link for link in drawn.links if link.lower == "n09450163").instance
    assert not next(
        link for link in drawn.links if link.lower == hierarchy.hyponyms("star.n.01", instances=False)[0]
    ).instance
    without = outline("star.n.01", edges=hierarchy.edges_down(instances=False))
    assert "n09450163" not in {node.wnid for node in without.nodes}


def test_of_a_tree_its_own_edges_are_drawn() -> None:
    tree = exclusive_tree(ILSVRC, rule="first")
    drawn = outline(edges=tree.edges_down(), classes=ILSVRC)
    assert edges(drawn) == {(up, low) for low, up in tree.hypernyms.items()}
    assert len(drawn.links) == len(drawn.nodes) - 1
