"""Classes that a selection shares with a list, a file or an index are left out, counted and kept in a recipe."""

from pathlib import Path

import pytest

import imagenet_tools
from imagenet_tools.catalogue import lists
from imagenet_tools.errors import UsageError
from imagenet_tools.index import Index
from imagenet_tools.selection.classes import overlapping
from imagenet_tools.selection.differences import differences
from imagenet_tools.wordnet import hierarchy
from tests.forms.written_index import image
from tests.selection.conftest import Written

DOG, BEAGLE, HOUND, CAT, TABBY, CAR = "n02084071", "n02088364", "n02087551", "n02121808", "n02123045", "n02958343"
ALL = (DOG, BEAGLE, HOUND, CAT, TABBY, CAR)


@pytest.fixture
def animals(written: Written) -> Index:
    return written([image(f"{wnid}_{n}", wnid) for wnid in ALL for n in (1, 2)])


def classes(index: Index, **words: object) -> list[str]:
    return sorted(index.select(**words).wnids())  # type: ignore[arg-type]


def test_equal_classes_and_those_above_and_below_are_left_out(animals: Index) -> None:
    chosen = animals.select(exclude="overlap:hound.n.01,domestic_cat.n.01")
    assert sorted(chosen.wnids()) == [CAR]
    assert chosen.left_out() == {"overlap": 10}
    note = "overlap with n02087551,n02121808: 5 classes left out: 2 are its classes, 2 are below one, 1 are above one"
    assert note in chosen.notes()
    assert overlapping(ALL, f"{HOUND},{CAT}") == {
        DOG: "above",
        BEAGLE: "below",
        HOUND: "equal",
        CAT: "equal",
        TABBY: "below",
    }


def test_a_published_list_a_file_and_an_index(animals: Index, written: Written, tmp_path: Path) -> None:
    assert classes(animals, exclude="overlap:imagewoof") == sorted({CAT, TABBY, CAR})  # it has the beagle
    assert classes(animals, exclude="overlap:coco80") == []  # cats, dogs and cars
    (tmp_path / "target.txt").write_text(f"{TABBY}\n")
    assert classes(animals, exclude=f"overlap:{tmp_path / 'target.txt'}") == sorted({DOG, BEAGLE, HOUND, CAR})
    other = written([image(f"{BEAGLE}_9", BEAGLE)])
    assert classes(animals, exclude=[f"overlap:{other.path}", "defects"]) == sorted({CAT, TABBY, CAR})
    with pytest.raises(UsageError, match="no such file"):
        animals.select(exclude="overlap:nothing.txt")


def test_lists_that_are_longer_than_a_file_name(animals: Index, tmp_path: Path) -> None:
    listed = ",".join(lists.get("ilsvrc2012").wnids[:40])
    assert animals.select(superclasses=f"dog.n.01,{listed}").counts() == {"train": {DOG: 6}}
    assert classes(animals, exclude=f"overlap:{CAR},{listed}") == sorted({DOG, BEAGLE, HOUND, CAT, TABBY})
    assert animals.select(exclude=f"overlap:{listed}").choice.files() == ()
    assert differences(listed, listed).counts == {}
    with pytest.raises(UsageError, match="no such list or file"):
        animals.select(images=",".join(f"{BEAGLE}_{n}" for n in range(40)))


def test_it_is_a_word_of_a_recipe(animals: Index, tmp_path: Path) -> None:
    (tmp_path / "target.txt").write_text(f"{TABBY}\n")
    chosen = animals.select(exclude=f"overlap:{tmp_path / 'target.txt'}")
    recipe = chosen.save(tmp_path / "pretrain.toml")
    assert '"overlap:target.txt"' in Path(recipe).read_text()
    again = imagenet_tools.subset(recipe, animals)
    assert sorted(again.wnids()) == sorted(chosen.wnids())
    assert chosen.choice.files() == (str(tmp_path / "target.txt"),)


def test_the_rule_is_the_closure_of_wordnet() -> None:
    """No class that is left shares a synset of the target's subtree or the way up to the root with it."""
    whole = imagenet_tools.classes("imagenet12k").wnids
    target = imagenet_tools.classes("imagenet100-cmc").wnids
    kinds = overlapping(whole, "imagenet100-cmc")
    for wnid in target:
        near = {*hierarchy.ancestors(wnid), *hierarchy.descendants(wnid)}
        assert near.isdisjoint(set(whole) - kinds.keys())
    for wnid, kind in list(kinds.items())[::50]:
        near = {"equal": {wnid}, "below": {*hierarchy.ancestors(wnid)}, "above": {*hierarchy.descendants(wnid)}}[kind]
        assert near & set(target)
