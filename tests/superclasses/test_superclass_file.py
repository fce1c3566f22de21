"""The file of superclasses holds everything, can be read back, and every mistake in it is an error."""

import tomllib
from pathlib import Path

import pytest

from imagenet_tools.catalogue import labels
from imagenet_tools.errors import ExistsError, ImagenetToolsError, UsageError
from imagenet_tools.superclasses import superclasses
from imagenet_tools.superclasses.cuts import cut, cut_by

ILSVRC = labels.ilsvrc2012_sorted()
AT = ["carnivore.n.01", "domestic_animal.n.01", "bird.n.01", "fox.n.01", "n09450163"]


@pytest.fixture(scope="module")
def content() -> str:
    return superclasses.text(cut(ILSVRC, at=AT))


@pytest.mark.parametrize("words", [{"at": AT}, {"k": 7, "balanced": True}, {"depth": 4, "overlap": "none"}])
def test_what_is_written_is_read_again(words: dict[str, object], tmp_path: Path) -> None:
    made = cut(ILSVRC, **words)  # type: ignore[arg-type]
    superclasses.write(made, tmp_path / "made.toml")
    read = superclasses.read(tmp_path / "made.toml")
    assert read == made
    assert read.rule is not None and cut_by(read.rule, read.classes()) == made
    assert superclasses.text(read) == (tmp_path / "made.toml").read_text()
    with pytest.raises(ExistsError):
        superclasses.write(made, tmp_path / "made.toml")


def test_the_file_says_what_is_not_covered_ambiguous_and_passed_over(content: str) -> None:
    table = tomllib.loads(content)
    assert table["rule"]["at"][0] == "n02075296 carnivore.n.01"
    assert table["made"] | {"sha256": "", "notes": []} == {
        "n_classes": 1_000,
        "n_covered": 158 + 59 + 5 - 5,
        "n_ambiguous": 123 + 4,
        "disjoint": False,
        "sha256": "",
        "notes": [],
    }
    assert table["passed_over"] == {"n09450163 sun.n.01": "no classes at or below it"}
    assert len(table["unassigned"]["uncovered"]) == 1_000 - 217
    tabby = next(one for one in table["ambiguous"] if one["class"].startswith("n02123045"))
    assert tabby["taken"] == "n01317541 domestic_animal.n.01" and tabby["others"] == ["n02075296 carnivore.n.01"]


TABBY = '  "n02123045 tabby.n.01",\n'


def edited(content: str, *changes: tuple[str, str]) -> str:
    for old, new in changes:
        assert old in content, old
        content = content.replace(old, new, 1)
    return content


def test_a_file_may_be_edited_and_says_that_it_was(content: str) -> None:
    carnivore = 'name = "carnivore.n.01"\nmembers = [\n'
    moved = superclasses.parse(edited(content, (TABBY, ""), (carnivore, carnivore + TABBY)))
    assert moved.edited and not superclasses.parse(content).edited
    assert moved.superclass_of()["n02123045"] == "n02075296"
    renamed = superclasses.parse(edited(content, ('name = "bird.n.01"', 'name = "birds"')))
    assert renamed.edited and "birds" in [one.name for one in renamed.superclasses]
    # By hand, of the least there must be; a synset as a wnid, a name, or both.
    small = (
        'format = 1\nkind = "superclasses"\n[[superclass]]\nsynset = "dog.n.01"\n'
        'members = ["n02085620", "Pug.n.1", "n02099601 golden_retriever.n.01"]\n'
    )
    assert superclasses.parse(small).superclass_of() == dict.fromkeys(
        ["n02085620", "n02099601", "n02110958"], "n02084071"
    )


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (TABBY, TABBY + TABBY, "n02123045 tabby.n.01.* appears twice. Remove one"),
        ('name = "bird.n.01"\nmembers = [\n', 'name = "bird.n.01"\nmembers = [\n' + TABBY, "is not below|and in"),
        (TABBY, '  "n02123045 tiger_cat.n.02",\n', "n02123045 is tabby.n.01, not tiger_cat.n.02"),
        (TABBY, '  "n02123046",\n', "No noun synset of WordNet 3.0 is 'n02123046'"),
        (TABBY, '  "n01440764 tench.n.01",\n', "tench.n.01.* is not below .*domestic_animal.*Its hypernyms are"),
        (TABBY, "  3,\n", "expected a synset, such as"),
        ('name = "bird.n.01"', 'title = "bird.n.01"', "'title' is no key here. Expected synset, name, members"),
        ('name = "bird.n.01"', 'name = "fox.n.01"', "two superclasses have the name fox.n.01"),
        ("format = 1", "format = 2", "found format 2"),
        ('kind = "superclasses"', 'kind = "subset"', "kind 'subset'; expected format 1"),
        ("[rule]", "[rule]\ndepth = 4", r"\[rule\]: Found depth and at"),
        ("[rule]", "[rule]\nsize = 4", "'size' is no key here"),
        ("[unassigned]\nuncovered = [", '[unassigned]\nwhy = "so"\nuncovered = [', "'why' is no key here"),
        ("[[superclass]]", "[superclass", "Expected TOML"),
        ("[made]", "[maid]", "'maid' is no key here"),
    ],
)
def test_a_mistake_of_an_editor_is_told_with_its_place(content: str, old: str, new: str, message: str) -> None:
    with pytest.raises(ImagenetToolsError, match=message) as caught:
        superclasses.parse(edited(content, (old, new)), where="pets.toml")
    assert str(caught.value).startswith("pets.toml")


@pytest.mark.parametrize(
    "line", ["superclass = 3", "unassigned = 3", "passed_over = []", "made = 3", "rule = 3", "superclass = []"]
)
def test_what_should_be_a_table_and_is_none_is_an_error(line: str) -> None:
    head = f'format = 1\nkind = "superclasses"\n{line}\n'
    tail = "" if line.startswith("superclass") else '[[superclass]]\nsynset = "dog.n.01"\nmembers = ["pug.n.01"]\n'
    with pytest.raises(UsageError, match=r"expected a table|found no"):
        superclasses.parse(head + tail)


def test_a_class_in_two_superclasses_is_refused(content: str) -> None:
    fox = '  "n02119022 red_fox.n.03",\n'
    carnivore = 'name = "carnivore.n.01"\nmembers = [\n'
    with pytest.raises(UsageError, match=r"red_fox.n.03.* is in .*carnivore.* and in .*fox.* belongs to one"):
        superclasses.parse(edited(content, (carnivore, carnivore + fox)))


def test_a_file_that_is_not_there_or_no_text_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none.toml: No such file.*classes cut"):
        superclasses.read(tmp_path / "none.toml")
    (tmp_path / "bytes.toml").write_bytes(b"format = 1\n\xff")
    with pytest.raises(UsageError, match="byte 11 is no UTF-8"):
        superclasses.read(tmp_path / "bytes.toml")
