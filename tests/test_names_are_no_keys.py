"""A name is never a key: classes share words, so nothing is joined on them or guessed from them."""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

import imagenet_tools
from imagenet_tools import schema
from imagenet_tools.catalogue import labels
from imagenet_tools.errors import AmbiguousSynsetError
from imagenet_tools.index import Index
from imagenet_tools.wordnet import wordnet

# What a person calls a class by; the synset's own name, dog.n.01, is another spelling of the wnid.
WORDS = ("lemma", "lemmas", "term", "terms", "gloss", "display", "words")


def shared(wnids: Sequence[str]) -> tuple[int, int, int]:
    """Return (first lemmas, those that name several classes, the classes with these)."""
    named = Counter(wordnet.synset(wnid).lemmas[0] for wnid in wnids)
    several = [n for n in named.values() if n > 1]
    return len(named), len(several), sum(several)


def test_998_first_lemmas_name_the_1000_classes() -> None:
    assert shared(labels.ilsvrc2012_sorted()) == (998, 2, 4)


def test_1444_names_cover_3186_of_the_classes_of_fall_2011() -> None:
    assert shared(labels.fall11()) == (20_099, 1_444, 3_186)


def test_names_of_synsets_are_as_many_as_synsets(index: Index) -> None:
    counts = "SELECT count(*), count(DISTINCT wnid), count(DISTINCT name) FROM synsets"
    assert index.sql(counts).fetchall() == [(82_115, 82_115, 82_115)]


def test_nothing_is_joined_on_a_word() -> None:
    package = Path(imagenet_tools.__file__).parent
    joins = []
    for path in [*package.rglob("*.py"), *package.rglob("*.sql")]:
        text = path.read_text()
        joins += re.findall(r"USING\s*\(([^)]*)\)", text)
        joins += re.findall(r"JOIN\s[^;]*?\sON\s+([\w.]+\s*=\s*[\w.]+)", text)
    assert len(joins) > 10
    for columns in joins:
        assert not set(re.findall(r"\w+", columns)) & set(WORDS), columns


def test_tables_of_images_carry_wnids_and_no_words() -> None:
    for table in ("images", "copies", "boxes", "labels", "unused_boxes", "problems"):
        assert not set(schema.arrow_schema(table).names) & set(WORDS), table


@pytest.mark.parametrize(
    ("word", "wnids"),
    [("crane", {"n02012849", "n03126707"}), ("maillot", {"n03710637", "n03710721"})],
)
def test_a_word_of_two_classes_is_never_taken_for_one(word: str, wnids: set[str], index: Index) -> None:
    assert {wnid for wnid in labels.ilsvrc2012_sorted() if wordnet.synset(wnid).lemmas[0] == word} == wnids
    with pytest.raises(AmbiguousSynsetError) as error:
        imagenet_tools.synset(word)
    assert all(wnid in str(error.value) for wnid in wnids)
    if word == "crane":
        with pytest.raises(AmbiguousSynsetError):
            index.synset(word)
