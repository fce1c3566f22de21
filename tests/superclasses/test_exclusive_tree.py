"""An exclusive tree keeps one hypernym of each synset by its rule, and its file holds every choice."""

import tomllib
from pathlib import Path

import numpy as np
import pytest

from imagenet_tools.catalogue import labels, terms
from imagenet_tools.errors import ImagenetToolsError, UsageError
from imagenet_tools.superclasses import exclusive_tree as trees
from imagenet_tools.superclasses.exclusive_tree import RULES, ExclusiveTree, exclusive_tree
from imagenet_tools.wordnet import graph, hierarchy, wordnet

ILSVRC = labels.ilsvrc2012_sorted()


def made(rule: str, **words: object) -> ExclusiveTree:
    images = np.zeros(82_115, np.int64)
    images[wordnet.rows_of(ILSVRC)] = np.arange(1, 1_001)
    return exclusive_tree(ILSVRC, rule=rule, images=images, **words)  # type: ignore[arg-type]


@pytest.mark.parametrize("rule", RULES)
def test_every_synset_above_the_classes_keeps_one_of_its_hypernyms_and_leads_to_the_top(rule: str) -> None:
    tree = made(rule)
    assert {*tree.hypernyms, tree.under} == {up for wnid in ILSVRC for up in tree.path(wnid)}
    assert all(kept in hierarchy.hypernyms(wnid) for wnid, kept in tree.hypernyms.items())
    several = {wnid for wnid in tree.hypernyms if len(hierarchy.hypernyms(wnid)) > 1}
    assert {choice.wnid for choice in tree.choices} == several
    assert len(several & set(ILSVRC)) == 38
    for choice in tree.choices:
        assert tree.hypernyms[choice.wnid] == choice.hypernym
        assert {choice.hypernym, *choice.others} == set(hierarchy.hypernyms(choice.wnid))
    for wnid in ILSVRC:
        assert tree.path(wnid) in hierarchy.hypernym_paths(wnid)
    # Each class counts once at the top, and the branches share none.
    counts = np.zeros(82_115, np.int64)
    counts[wordnet.rows_of(ILSVRC)] = 1
    below = graph.inclusive(graph.reverse(tree.edges_down()), counts)
    assert below[0] == 1_000 == sum(below[row] for row in tree.edges_down().of(0))


def test_each_rule_keeps_what_it_says() -> None:
    images = np.zeros(82_115, np.int64)
    images[wordnet.rows_of(ILSVRC)] = np.arange(1, 1_001)
    classes_below, images_below = terms.ilsvrc2012_below(), hierarchy.inclusive(images)
    least = {
        "first": lambda wnid, above: hierarchy.hypernyms(wnid).index(above),
        "min-depth": lambda _, above: hierarchy.min_depth(above),
        "max-depth": lambda _, above: -hierarchy.max_depth(above),
        "most-classes": lambda _, above: -classes_below[wordnet.row_of(above)],
        "fewest-classes": lambda _, above: classes_below[wordnet.row_of(above)],
        "most-images": lambda _, above: -images_below[wordnet.row_of(above)],
    }
    assert set(least) == set(RULES)
    for rule, value in least.items():
        for choice in made(rule).choices:
            # min keeps the first of equals, and hypernyms stand in WordNet's order.
            expected = min(hierarchy.hypernyms(choice.wnid), key=lambda above: value(choice.wnid, above))
            assert choice.hypernym == expected, (rule, choice)
    dog = {rule: made(rule).path("dog.n.01")[-2] for rule in RULES}
    assert (dog["min-depth"], dog["max-depth"]) == ("n01317541", "n02083346")


def test_below_a_synset_only_what_lies_there_is_a_choice() -> None:
    dogs = [wnid for wnid in ILSVRC if hierarchy.is_a(wnid, "dog.n.01")]
    tree = exclusive_tree(dogs, rule="first", under="canine.n.02")
    assert tree.hypernyms["n02084071"] == "n02083346"
    assert "n02084071" not in {choice.wnid for choice in tree.choices}
    with pytest.raises(UsageError, match=r"882 of 1,000 classes are not below dog.n.01, such as tench.n.01"):
        exclusive_tree(ILSVRC, rule="first", under="dog.n.01")


@pytest.mark.parametrize("rule", ["first", "max-depth", "most-images"])
def test_what_is_written_is_read_again(rule: str, tmp_path: Path) -> None:
    tree = made(rule)
    trees.write(tree, tmp_path / "tree.toml")
    read = trees.read(tmp_path / "tree.toml")
    assert read == tree
    assert trees.text(read) == (tmp_path / "tree.toml").read_text()
    table = tomllib.loads((tmp_path / "tree.toml").read_text())
    assert len(table["choice"]) == len(tree.choices) and table["made"]["n_synsets"] == len(tree.hypernyms) + 1


DOG = 'synset = "n02084071 dog.n.01"\nhypernym = "n01317541 domestic_animal.n.01"\n'


def edited(old: str, new: str) -> ExclusiveTree:
    content = trees.text(made("min-depth"))
    assert old in content, old
    return trees.parse(content.replace(old, new, 1), where="tree.toml")


def test_a_choice_may_be_changed_by_hand() -> None:
    tree = edited(DOG, DOG.replace("n01317541 domestic_animal.n.01", "canine.n.02"))
    assert tree.edited and tree.path("dog.n.01")[-2] == "n02083346"
    assert not edited(DOG, DOG).edited


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            'hypernym = "n01317541 domestic_animal.n.01"',
            'hypernym = "bird.n.01"',
            "bird.n.01.* is no hypernym of .*dog",
        ),
        (DOG, 'synset = "fox.n.01"\nhypernym = "canine.n.02"\n', r"dog.n.01.* has 2 hypernyms and no \[\[choice\]\]"),
        (DOG, DOG.replace("02084071 dog.n.01", "00007846 person.n.01"), "person.n.01.* appears twice"),
        ('rule = "min-depth"', 'rule = "deepest"', "'deepest' is no rule; expected one of first"),
        ("instances = true", "instances = 1", "expected true or false"),
        ('kind = "exclusive tree"', 'kind = "superclasses"', "kind 'superclasses'"),
        ("[tree]\nclasses = [", '[tree]\nclasses = [\n  "n00000000",', "No noun synset"),
        ("[tree]\nclasses = [", '[tree]\nclasses = [\n  "tench.n.01",', "appears twice"),
        ("[tree]", "[three]", "'three' is no key here"),
    ],
)
def test_a_mistake_of_an_editor_is_told_with_its_place(old: str, new: str, message: str) -> None:
    with pytest.raises(ImagenetToolsError, match=message) as caught:
        edited(old, new)
    assert str(caught.value).startswith("tree.toml")


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(UsageError, match="'lowest' is no rule; expected one of first, min-depth"):
        exclusive_tree(ILSVRC, rule="lowest")
    with pytest.raises(UsageError, match="needs images"):
        exclusive_tree(ILSVRC, rule="most-images")
    with pytest.raises(UsageError, match="n02084071 appears twice in the list"):
        exclusive_tree(["dog.n.01", "n02084071"], rule="first")
    with pytest.raises(UsageError, match="Found no classes"):
        exclusive_tree([], rule="first")
    with pytest.raises(UsageError, match="is not in the tree"):
        made("first").path("sun.n.01")
