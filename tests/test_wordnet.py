"""The bundled table of WordNet 3.0 agrees with the published counts and files."""

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from imagenet_tools.errors import SourceError, UnknownSynsetError
from imagenet_tools.tables import columns
from imagenet_tools.wordnet import nltk_bridge, wordnet

SHA256 = {
    "ilsvrc2012_real": "bba6c4abde1984750c7ff83f50ea7c750abcd51d187d8aa6ce4ddf2d2b93d3ca",
    "image_lists": "f27a4da5e30a6de7472d7507257943e199d970629be8c9e0e6f05856c91f0bff",
}


@pytest.mark.parametrize("table", sorted(SHA256))
def test_a_bundled_table_has_not_changed(table: str) -> None:
    data = (columns.TABLES / f"{table}.parquet").read_bytes()
    assert hashlib.sha256(data).hexdigest() == SHA256[table]


@pytest.mark.parametrize("table", sorted(SHA256))
def test_a_bundled_table_names_its_source(table: str) -> None:
    metadata = wordnet.read_table(table).schema.metadata
    assert metadata[b"description"]
    assert metadata[b"source"]


def test_the_columns_of_wordnet_have_not_changed() -> None:
    paths = sorted((columns.TABLES / "wordnet").iterdir())
    assert [path.name for path in paths] == [
        *("hypernyms.npy", "hypernyms.starts.npy", "instance_hypernyms.npy", "instance_hypernyms.starts.npy"),
        *("lemmas.npy", "lexfile.npy", "offset.npy", "sense.npy"),
    ]
    data = b"".join(path.read_bytes() for path in paths)
    assert hashlib.sha256(data).hexdigest() == "cdf2cc2d5e65f6426dc4d8af1bb4a99707bd8cbd1c6bb4a6bac45c2f093e910c"


def test_the_licence_of_wordnet_stands_beside_the_project_s() -> None:
    licence = (Path(__file__).parent.parent / "LICENSES/WordNet-3.0.txt").read_bytes()
    assert b"WordNet 3.0 Copyright 2006 by Princeton University.  All rights reserved." in licence


def test_counts_of_wordnet_3_0() -> None:
    facts = wordnet.load()
    assert len(facts.offsets) == len(facts.lemmas) == len(facts.senses) == len(facts.lexfiles) == 82_115
    assert (np.diff(facts.offsets) > 0).all()
    kinds, instances = facts.hypernyms.degrees(), facts.instance_hypernyms.degrees()
    assert (len(facts.hypernyms.targets), len(facts.instance_hypernyms.targets)) == (75_850, 8_577)
    assert ((kinds > 0).sum(), (instances > 0).sum(), ((kinds > 0) & (instances > 0)).sum()) == (74_389, 7_730, 5)
    assert ((kinds > 1).sum(), kinds.max()) == (1_422, 5)
    assert ((kinds + instances > 1).sum(), (kinds + instances).max()) == (2_213, 6)
    assert wordnet.wnids()[kinds + instances == 0].tolist() == ["n00001740"]


def test_names_are_all_different_and_spelled_as_nltk_spells_them() -> None:
    names = wordnet.names()
    assert len(set(names)) == 82_115
    for wnid, name in [
        ("n00001740", "entity.n.01"),
        ("n02084071", "dog.n.01"),
        ("n02110341", "dalmatian.n.02"),
        ("n04502851", "twenty-two.n.02"),
        ("n11318824", "stoker.n.01"),
    ]:
        assert names[wordnet.row_of(wnid)] == name
        assert wordnet.wnids()[wordnet.row_of(name)] == wnid


def test_a_synset_with_all_that_is_known_of_it() -> None:
    assert wordnet.synset("dog.n.01") == wordnet.Synset(
        wnid="n02084071",
        name="dog.n.01",
        lemmas=("dog", "domestic_dog", "Canis_familiaris"),
        lexfile="noun.animal",
        hypernyms=("n02083346", "n01317541"),
        instance_hypernyms=(),
    )
    assert wordnet.synset("n09450163")[-2:] == ((), ("n09444100",))


def test_every_noun_stands_in_a_lexicographer_file_of_nouns() -> None:
    assert len(wordnet.LEXFILES) == 45
    assert {wordnet.LEXFILES[number][:5] for number in np.unique(wordnet.load().lexfiles)} == {"noun."}
    assert np.unique(wordnet.load().lexfiles).tolist() == list(range(3, 29))


@pytest.mark.parametrize("text", ["n02085374", "N02085374", "toy_dog.n.01", "Toy Dog.N.1", " toy  dog.n.01 "])
def test_a_wnid_or_a_name_is_understood_however_it_is_typed(text: str) -> None:
    assert wordnet.wnids()[wordnet.row_of(text)] == "n02085374"


@pytest.mark.parametrize("text", ["n00000001", "n99999999", "n15300052", "dog.n.99", "dog.v.01", "dog", ""])
def test_what_no_synset_is_called_is_an_error_that_says_what_was_expected(text: str) -> None:
    with pytest.raises(UnknownSynsetError, match="n02084071"):
        wordnet.row_of(text)
    with pytest.raises(UnknownSynsetError, match="n02084071"):
        wordnet.rows_of(["n02084071", text])


def test_rows_of_many_are_the_rows_of_each_in_their_order() -> None:
    texts = ["n15300051", "n00001740", "n02084071", "n02084071"]
    assert wordnet.rows_of(texts).tolist() == [wordnet.row_of(text) for text in texts]
    assert wordnet.rows_of([*texts, "dog.n.01"]).tolist()[-2:] == [wordnet.row_of("n02084071")] * 2
    assert wordnet.rows_of([]).dtype == np.int32


def test_what_is_handed_to_many_cannot_be_written_to() -> None:
    for array in (wordnet.wnids(), wordnet.names(), wordnet.load().offsets, wordnet.load().hypernyms.starts):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


def test_lemmas_equal_the_published_words_txt(real: Path) -> None:
    published = dict(line.split("\t") for line in (real / "oracles/words.txt").read_text().splitlines())
    ours = (lemmas.replace(" ", ", ").replace("_", " ") for lemmas in wordnet.load().lemmas)
    assert dict(zip(wordnet.wnids(), ours, strict=True)) == published


def test_kinds_equal_the_published_wordnet_is_a_txt(real: Path) -> None:
    published = [tuple(line.split()) for line in (real / "oracles/wordnet.is_a.txt").read_text().splitlines()]
    edges = wordnet.load().hypernyms
    ours = zip(wordnet.wnids()[edges.targets], np.repeat(wordnet.wnids(), edges.degrees()), strict=True)
    assert len(published) == 75_850
    assert set(ours) == set(published)


# ---- glosses, and NLTK where its corpus is absent (where it is present: wordnet_check.py)


def test_a_folder_without_a_dict_is_an_error_that_says_where_one_is_had(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="wordnet-base"):
        nltk_bridge.glosses_from_dict(tmp_path)


@pytest.mark.parametrize(
    "content", [b"", b"  1 WordNet 3.1 Copyright 2011\n00001740 03 n 01 entity 0 000 | that which\n"]
)
def test_a_dict_that_is_not_3_0_is_an_error_that_says_what_was_found(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "data.noun").write_bytes(content)
    with pytest.raises(SourceError, match="expected n00001740"):
        nltk_bridge.glosses_from_dict(tmp_path)


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_without_nltk_s_corpus_the_error_says_how_to_get_it() -> None:
    out = run(
        "import nltk; nltk.data.path[:] = []\n"
        "from imagenet_tools import errors; from imagenet_tools.wordnet import nltk_bridge\n"
        "for ask in (lambda: nltk_bridge.to_nltk('dog.n.01'), nltk_bridge.glosses_from_nltk):\n"
        "    try: ask()\n"
        "    except errors.SourceError as error: print(error)\n"
    )
    assert out.count('nltk.download("wordnet")') == 2


def test_reading_the_table_imports_neither_nltk_nor_pandas() -> None:
    out = run(
        "import sys; from imagenet_tools.wordnet import wordnet\n"
        "wordnet.synset('dog.n.01'); wordnet.names()\n"
        "print(sorted({'nltk', 'pandas', 'duckdb', 'pyarrow.dataset'} & set(sys.modules)))\n"
    )
    assert out == "[]\n"
