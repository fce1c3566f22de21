"""Python and the table resolve a text to the same synset."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

import imagenet_tools
from imagenet_tools.catalogue import labels, lists, terms
from imagenet_tools.errors import AmbiguousSynsetError, UnknownSynsetError, UsageError
from imagenet_tools.schema import arrow_schema
from imagenet_tools.wordnet import hierarchy, wordnet
from tests.forms.thousand import drawn


def counts(**direct: int) -> np.ndarray:
    """Return inclusive counts of images at the named synsets, dog_n_01 for dog.n.01."""
    values = np.zeros(82_115, np.int64)
    for name, n in direct.items():
        values[wordnet.row_of(name.replace("_n_", ".n."))] = n
    return hierarchy.inclusive(values)


@pytest.mark.parametrize(
    ("text", "name", "guessed"),
    [
        ("n02084071", "dog.n.01", False),
        ("dog.n.01", "dog.n.01", False),
        ("Dog.n.3", "dog.n.03", False),
        ("domestic dog", "dog.n.01", False),
        ("Canis_Familiaris", "dog.n.01", False),
        ("dog", "dog.n.01", True),
        (" Toy  dog ", "toy_dog.n.01", False),
        ("bird", "bird.n.01", True),
        ("mammal", "mammal.n.01", False),
        ("domestic_animal", "domestic_animal.n.01", False),
    ],
)
def test_a_text_is_taken_for_the_synset_it_means(text: str, name: str, guessed: bool) -> None:
    taken = terms.resolve(text)
    assert (taken.wnid, taken.guessed) == (wordnet.synset(name).wnid, guessed)
    assert bool(taken.note) == guessed


def test_a_guess_says_what_was_taken_and_why() -> None:
    note = terms.resolve("dog").note
    assert "'dog' is taken for dog.n.01 (n02084071)" in note
    assert "7 senses" in note
    assert "images" in terms.resolve("dog", images=counts(dog_n_01=3)).note


def test_crane_lists_its_senses_with_counts_lemmas_and_what_to_type() -> None:
    with pytest.raises(AmbiguousSynsetError) as caught:
        terms.resolve("crane")
    lines = str(caught.value).splitlines()
    assert lines[0] == "'crane' names 5 synsets, 2 of them with any ILSVRC2012 classes; nothing decides between them:"
    assert lines[1].split() == ["crane.n.05", "n02012849", "1", "class", "crane"]
    assert "Harold Hart Crane" in lines[4]
    assert lines[-1] == "Type the name or the wnid of the one that is meant: crane.n.05 in place of crane."


def test_images_decide_where_they_are_given() -> None:
    birds = counts(crane_n_05=7)
    assert terms.resolve("crane", images=birds).wnid == "n02012849"
    with pytest.raises(AmbiguousSynsetError, match="7 images"):
        terms.resolve("crane", images=birds + counts(crane_n_04=1))
    with pytest.raises(AmbiguousSynsetError, match="none of them with any images"):
        terms.resolve("dog", images=birds)


def test_images_below_a_sense_count_for_it() -> None:
    assert terms.resolve("dog", images=counts(pug_n_01=1)).wnid == "n02084071"


def test_strictly_nothing_is_guessed() -> None:
    with pytest.raises(AmbiguousSynsetError, match=r"dog\.n\.01 +n02084071 +118 classes"):
        terms.resolve("dog", strict=True)
    assert terms.resolve("mammal", strict=True).guessed is False


def test_one_sense_is_taken_though_it_has_nothing_below_it() -> None:
    assert terms.resolve("endogamy", images=counts()).wnid == wordnet.synset("endogamy.n.01").wnid


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("tigger", "Close to it are trigger, tiger"),
        ("dog.n.99", r"The senses of 'dog' are dog\.n\.01, "),
        ("Canis familiaris.n.01", r"The senses of 'canis familiaris' are dog\.n\.01\."),
        ("n02084072", "Other versions of WordNet have other numbers"),
        ("qqqqzzzz", "imagenet-tools find"),
        ("", "imagenet-tools find"),
    ],
)
def test_an_unknown_text_is_an_error_with_what_comes_close(text: str, advice: str) -> None:
    with pytest.raises(UnknownSynsetError, match=advice):
        terms.resolve(text)


@pytest.mark.parametrize(
    ("text", "close"),
    [
        ("dgo", ["dog"]),
        ("hores", ["horse"]),
        ("beagel", ["beagle", "bagel", "beigel"]),
        ("golden_retreiver", ["golden retriever"]),
        ("Labrador retreiver", ["labrador retriever"]),
        ("elefant", ["elephant", "celebrant", "l'enfant", "levant"]),  # at two edits, words of classes first
        ("qq", []),
    ],
)
def test_a_swap_of_letters_is_one_edit_and_words_of_classes_come_first(text: str, close: list[str]) -> None:
    assert terms.close_lemmas(text) == close


# ---- the table


def table_of(folder: Path, direct: dict[str, int]) -> pa.Table:
    """Return the view terms of an index with these numbers of images by wnid."""
    for wnid, n in direct.items():
        (folder / "train" / wnid).mkdir(parents=True)
        for number in range(n):
            (folder / "train" / wnid / f"{wnid}_{number}.JPEG").write_bytes(drawn(0))
    index = imagenet_tools.open_index(imagenet_tools.build_index([folder / "train"], folder / "x.index").index)
    return index.sql("FROM terms ORDER BY term").to_arrow_table()


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> pa.Table:
    return table_of(tmp_path_factory.mktemp("terms"), dict.fromkeys(labels.ilsvrc2012_sorted(), 1))


def of_term(table: pa.Table, term: str) -> dict[str, object]:
    (row,) = table.filter(pc.equal(table["term"], term)).to_pylist()
    return row


@pytest.mark.long  # a proof of the whole
def test_every_wnid_name_and_lemma_is_a_term_once(table: pa.Table) -> None:
    assert table.schema == arrow_schema("terms")
    assert table.num_rows == len(table["term"].unique()) == 282_028
    assert table.sort_by("term").equals(table)
    assert set(table["term"].to_pylist()) >= {*wordnet.wnids(), *wordnet.names(), "canis familiaris", "dog"}


def test_a_term_of_one_synset_has_no_candidates(table: pa.Table) -> None:
    alone = pc.equal(table["n"], 1)
    assert table.filter(alone)["candidates"].null_count == pc.sum(alone).as_py()
    assert table.filter(alone)["wnid"].null_count == 0
    assert table.filter(pc.invert(alone))["candidates"].null_count == 0


def test_candidates_name_each_synset_with_its_images(table: pa.Table) -> None:
    assert of_term(table, "crane") == {
        "term": "crane",
        "n": 5,
        "wnid": None,
        "candidates": "crane.n.05 (n02012849, 1 image), crane.n.04 (n03126707, 1 image), "
        "grus.n.01 (n09295455, 0 images), crane.n.02 (n10914331, 0 images), crane.n.01 (n10914447, 0 images)",
    }
    dog = of_term(table, "dog")
    assert (dog["n"], dog["wnid"]) == (7, "n02084071")
    assert str(dog["candidates"]).startswith("dog.n.01 (n02084071, 118 images), ")


@pytest.mark.parametrize("every", [25, pytest.param(1, marks=pytest.mark.long)])
@pytest.mark.parametrize(
    "direct", [None, {"whale.n.02": 1}, {"crane.n.05": 7, "dog.n.01": 2, "frank.n.02": 1, "cat.n.01": 5}]
)
def test_the_table_and_resolve_take_the_same(
    direct: dict[str, int] | None, every: int, table: pa.Table, tmp_path: Path
) -> None:
    """All terms of several synsets, and one in fifty of the others, every kind among them; or some of these."""
    images = None if direct is None else counts(**{name.replace(".", "_"): n for name, n in direct.items()})
    if direct is not None:
        table = table_of(tmp_path, {wordnet.synset(name).wnid: n for name, n in direct.items()})
    several = table.filter(pc.greater(table["n"], 1))
    assert several.num_rows == 15_935  # the polysemous nouns of wnstats(7WN)
    several = several.take(list(range(0, several.num_rows, every)))
    alone = table.filter(pc.equal(table["n"], 1))
    alone = alone.take(list(range(0, alone.num_rows, 50 * every)))
    for term, n, wnid, candidates in zip(*pa.concat_tables([several, alone]).to_pydict().values(), strict=True):
        senses = terms.senses(term, images=images)
        assert len(senses) == n
        try:
            taken = terms.resolve(term, images=images)
        except AmbiguousSynsetError:
            assert wnid is None
        else:
            assert (taken.wnid, taken.guessed) == (wnid, n > 1)
        if n > 1:
            listed = (f"{s.name} ({s.wnid}, {s.below} image{'s' * (s.below != 1)})" for s in senses)
            assert candidates == ", ".join(listed)


# ---- find


def names(found: list[terms.FoundSynset]) -> list[str]:
    return [each.name for each in found]


def test_find_tabby() -> None:
    found = terms.find("tabby")
    assert names(found) == ["tabby.n.01", "tabby.n.02"]
    assert found[0] == terms.FoundSynset(
        wnid="n02123045",
        name="tabby.n.01",
        lemmas=("tabby", "tabby_cat"),
        ilsvrc2012_index=281,
        ilsvrc_id=174,
        classes=1,
        why="its lemma tabby",
    )


def test_a_number_is_a_class_index_and_an_ilsvrc_id() -> None:
    found = terms.find("281")
    assert [(each.wnid, each.why) for each in found[:2]] == [
        ("n02123045", "index 281 of ilsvrc2012 in sorted order; index 281 of imagenet22k-ms"),
        (labels.ilsvrc2012_ids()[280], "ILSVRC id 281"),
    ]
    said = "; ".join(each.why for each in found)
    assert all(words in said for _, words in lists.numbered(281))
    assert names(terms.find("0"))[:1] == ["tench.n.01"]
    assert terms.find("1000")[0].wnid == "n03255030"
    assert "sixteen.n.01" in names(terms.find("16"))


@pytest.mark.parametrize("text", ["n02084071", "dog.n.01", "Dog.n.1"])
def test_a_wnid_or_a_name_is_found_first(text: str) -> None:
    assert terms.find(text)[0].wnid == "n02084071"


@pytest.mark.parametrize("text", ["n0208407", "02084071", "2084071"])
def test_a_part_of_a_wnid_is_found(text: str) -> None:
    assert "dog.n.01" in names(terms.find(text))


def test_whole_lemmas_come_first_then_classes_then_words_then_beginnings_then_the_rest() -> None:
    found = names(terms.find("cat", limit=None))
    assert found[:2] == ["cat.n.01", "big_cat.n.01"]  # those with classes below lead their equals
    order = [
        "guy.n.01",
        "tabby.n.01",
        "cougar.n.01",
        "bullfrog.n.01",
        "house_cat.n.01",
        "cat_box.n.01",
        "abdication.n.01",
    ]
    found = [name for name in found if name in order]
    assert found == [name for name in order if name in found]
    assert len(found) >= 5
    assert len(set(names(terms.find("cat", limit=None)))) == len(terms.find("cat", limit=None))


def test_a_limit_keeps_the_first() -> None:
    assert terms.find("dog", limit=3) == terms.find("dog", limit=None)[:3]
    with pytest.raises(UsageError, match="limit = -1"):
        terms.find("dog", limit=-1)


def test_what_nothing_is_called_is_not_found_and_no_text_is_refused() -> None:
    assert terms.find("qqqqzzzz") == []
    with pytest.raises(UsageError, match="Nothing to look for"):
        terms.find("  ")
