"""A cut has its depth or number, and is disjoint and covering as stated; compared with plain sets."""

import functools
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imagenet_tools.catalogue import labels, lists
from imagenet_tools.errors import UnknownSynsetError, UsageError
from imagenet_tools.superclasses.cuts import cut, cut_by
from imagenet_tools.superclasses.superclasses import OVERLAPS, Superclasses
from imagenet_tools.wordnet import hierarchy, wordnet

ILSVRC = labels.ilsvrc2012_sorted()
FALL11 = labels.fall11()

quick = settings(deadline=None, max_examples=25)


def classes(greatest: int = 40) -> st.SearchStrategy[list[str]]:
    """Draw classes of fall11, among them classes with several hypernyms and instances."""
    odd = [wnid for wnid in FALL11 if len(hierarchy.hypernyms(wnid)) > 1]
    odd += ["n09450163", "n10994097", "n11196627", "n11318824"]
    return st.lists(st.sampled_from(FALL11) | st.sampled_from(odd), min_size=1, max_size=greatest, unique=True)


@functools.cache
def above(wnid: str) -> frozenset[str]:
    return frozenset(hierarchy.ancestors(wnid))


def below(synset: str, among: list[str]) -> set[str]:
    return {wnid for wnid in among if synset in above(wnid)}


def check(made: Superclasses, among: list[str]) -> None:
    """Check that every class is in one place, and every member below its superclass."""
    places = [wnid for one in made.superclasses for wnid in one.members]
    places += [wnid for _, wnids in made.unassigned() for wnid in wnids]
    assert sorted(places) == sorted(among)
    for one in made.superclasses:
        assert one.members
        assert set(one.members) <= below(one.wnid, among)
    chosen = [one.wnid for one in made.superclasses]
    chosen += [wnid for wnid, why in made.passed_over.items() if "went to others" in why]
    for wnid in made.uncovered:
        assert not set(chosen) & above(wnid)
    several = {wnid for wnid in among if len(set(chosen) & above(wnid)) > 1}
    assert {one.wnid for one in made.shared()} == several


@quick
@given(classes(), st.integers(0, 9), st.sampled_from(("longest", "shortest")), st.sampled_from(OVERLAPS))
def test_a_cut_by_depth_is_the_synsets_at_that_depth(among: list[str], depth: int, measure: str, overlap: str) -> None:
    made = cut(among, depth=depth, measure=measure, overlap=overlap)
    check(made, among)
    of = hierarchy.max_depth if measure == "longest" else hierarchy.min_depth
    every = {up for wnid in among for up in above(wnid)}
    assert {one.wnid for one in made.superclasses} | set(made.passed_over) == {up for up in every if of(up) == depth}


@quick
@given(classes(), st.integers(0, 9))
def test_a_disjoint_cut_shares_no_class_and_no_more_could_be_covered(among: list[str], depth: int) -> None:
    made = cut(among, depth=depth, disjoint=True)
    check(made, among)
    assert made.shared() == ()
    family = {frozenset(below(up, among)) for up in wordnet.wnids()[hierarchy.max_depths() == depth]} - {frozenset()}
    if len(family) > 9:
        return
    covers = [
        frozenset().union(*some)
        for n in range(len(family) + 1)
        for some in itertools.combinations(family, n)
        if sum(map(len, some)) == len(frozenset().union(*some))
    ]
    assert len(made.superclass_of()) == max(map(len, covers))


@settings(deadline=None, max_examples=15)
@given(classes(greatest=5), st.integers(1, 3), st.booleans())
def test_k_superclasses_are_the_best_of_every_choice(among: list[str], k: int, balanced: bool) -> None:
    every = {up for wnid in among for up in above(wnid)}
    family = {frozenset(below(up, among)) for up in every}
    choices = [
        (min(map(len, some)), sum(map(len, some)))
        for some in itertools.combinations(family, k)
        if sum(map(len, some)) == len(frozenset().union(*some))
    ]
    if not choices:
        with pytest.raises(UsageError, match=f"{k} disjoint superclasses"):
            cut(among, k=k, balanced=balanced)
        return
    made = cut(among, k=k, balanced=balanced)
    check(made, among)
    assert made.shared() == ()
    sizes = [len(one.members) for one in made.superclasses]
    assert len(sizes) == k
    if balanced:
        assert (min(sizes), sum(sizes)) == max(choices)
    else:
        assert sum(sizes) == max(covered for _, covered in choices)


@quick
@given(classes(), st.lists(st.sampled_from(wordnet.wnids()[:3000].tolist()), min_size=1, max_size=6, unique=True))
def test_a_cut_at_a_list_takes_these(among: list[str], at: list[str]) -> None:
    made = cut(among, at=at)
    check(made, among)
    assert {one.wnid for one in made.superclasses} | set(made.passed_over) == set(at)


@quick
@given(classes(), st.integers(1, 6))
def test_the_same_call_gives_the_same_superclasses_and_its_rule_gives_them_again(among: list[str], depth: int) -> None:
    made = cut(among, depth=depth)
    assert cut(among[::-1], depth=depth) == made
    assert made.rule is not None
    assert cut_by(made.rule, among) == made


def test_each_overlap_gives_a_class_of_two_superclasses_to_the_one_it_says() -> None:
    at = ["domestic_animal.n.01", "hound.n.01"]
    greyhounds = "n02091032"  # Italian greyhound: a greyhound, which is a hound and a racer, a domestic animal twice
    for overlap, name in (("nearest", "hound.n.01"), ("first", "hound.n.01"), ("none", "hound.n.01")):
        made = cut(ILSVRC, at=at, overlap=overlap)
        # A hound is a dog, and a dog a domestic animal: of nested ones the lower is taken, whatever the rule.
        assert made.superclass_of()[greyhounds] == wordnet.synset(name).wnid
    at = ["carnivore.n.01", "domestic_animal.n.01"]
    taken = {overlap: cut(ILSVRC, at=at, overlap=overlap) for overlap in OVERLAPS}
    tabby, carnivore, domestic = "n02123045", "n02075296", "n01317541"
    assert taken["nearest"].superclass_of()[tabby] == domestic
    assert taken["largest"].superclass_of()[tabby] == carnivore
    assert len(below(carnivore, list(ILSVRC))) == 158 > len(below(domestic, list(ILSVRC))) == 123
    assert taken["first"].superclass_of()[tabby] == carnivore
    assert tabby in taken["none"].undecided and tabby not in taken["none"].superclass_of()
    shared = {one.wnid for one in taken["none"].shared()}
    assert shared == set(taken["none"].undecided) and len(shared) == 123


def test_below_an_ancestor_all_others_are_outside() -> None:
    made = cut(ILSVRC, depth=1, under="dog.n.01")
    assert len(made.outside) == 1_000 - 118
    assert {wordnet.synset(one.wnid).hypernyms[0] for one in made.superclasses} == {"n02084071"}


def test_equal_superclasses_keep_the_same_number_of_classes_and_say_which_are_left() -> None:
    made = cut(ILSVRC, at=["dog.n.01", "domestic_cat.n.01", "bird.n.01"], equal=True)
    assert [len(one.members) for one in made.superclasses] == [5, 5, 5]
    assert len(made.surplus) == 118 + 59 - 10


def test_sizes_may_be_bound_and_what_is_passed_over_says_why() -> None:
    made = cut(ILSVRC, at=["dog.n.01", "domestic_cat.n.01", "bird.n.01", "car.n.01"], min_classes=6, max_classes=100)
    assert [one.name for one in made.superclasses] == ["bird.n.01", "car.n.01"]
    assert made.passed_over == {"n02084071": "118 classes, more than 100", "n02121808": "5 classes, fewer than 6"}


def test_twenty_balanced_superclasses_of_every_list() -> None:
    for name, smallest, covered in (("ilsvrc2012", 16, 665), ("fall11", 277, 12_840)):
        among = lists.get(name).wnids
        made = cut(among, k=20, balanced=True)
        assert (len(made.superclasses), min(len(one.members) for one in made.superclasses)) == (20, smallest)
        assert (len(made.superclass_of()), made.shared()) == (covered, ())


def test_instances_may_be_left_out() -> None:
    with_sun = cut(["n09450163", "n09444100"], at=["celestial_body.n.01"])
    assert len(with_sun.superclasses[0].members) == 2
    assert cut(["n09450163", "n09444100"], at=["celestial_body.n.01"], instances=False).outside == ("n09450163",)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({}, "no way to choose"),
        ({"k": 2, "depth": 3}, "depth and k; expected one of"),
        ({"k": 0}, "k = 0; expected a whole number from 1"),
        ({"k": 1_001}, "1,001 disjoint superclasses of these 1,000 classes do not exist, only 1,000"),
        ({"at": ["bird.n.01"], "under": "dog.n.01"}, "bird.n.01 is not below dog.n.01"),
        ({"at": ["bird.n.01", "n01503061"]}, "bird.n.01 appears twice in the list"),
        ({"depth": 2, "overlap": "any"}, "overlap = 'any'; expected one of nearest"),
    ],
)
def test_what_cannot_be_is_an_error_that_says_so(words: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        cut(ILSVRC, **words)  # type: ignore[arg-type]


def test_classes_that_are_none_or_twice_or_unknown_are_refused() -> None:
    with pytest.raises(UsageError, match="Found no classes"):
        cut([], k=1)
    with pytest.raises(UsageError, match="n02084071 appears twice in the list"):
        cut(["dog.n.01", "n02084071"], k=1)
    with pytest.raises(UnknownSynsetError):
        cut(["n00000000"], k=1)
