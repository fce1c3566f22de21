"""The bundled table against NLTK's own reading of WordNet 3.0: run by `make wordnet-check`, not with the other tests.

It needs a dict of WordNet 3.0, found at $WORDNET_DICT or where Debian's wordnet-base puts it, and fails without one.
"""

import importlib.util
import itertools
import os
import sys
import zipfile
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from imagenet_tools.errors import SourceError, UnknownSynsetError
from imagenet_tools.tables import columns
from imagenet_tools.wordnet import hierarchy, nltk_bridge, similarity, wordnet
from tests import nltk_corpus

HOUSE = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def dict_dir() -> Path:
    folder = nltk_corpus.dict_dir()
    if not (folder / "data.noun").is_file():
        pytest.fail(
            f"No WordNet 3.0 dict at {folder}. Install one (apt-get install wordnet-base), or name the folder that "
            "holds data.noun: WORDNET_DICT=... make wordnet-check",
            pytrace=False,
        )
    return folder


@pytest.fixture(scope="session")
def nltk_data(dict_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of NLTK data with the corpus `wordnet`, made of the dict."""
    folder = tmp_path_factory.mktemp("nltk_data")
    nltk_corpus.make(dict_dir, folder / "corpora" / "wordnet")
    return folder


@pytest.fixture(scope="session")
def nltk_wordnet(nltk_data: Path) -> Any:
    """NLTK's own reader of that corpus."""
    assert "nltk" not in sys.modules, "NLTK reads NLTK_DATA when it is imported; run this file by itself"
    os.environ["NLTK_DATA"] = str(nltk_data)
    from nltk.corpus import wordnet as reader

    reader.ensure_loaded()
    assert Path(str(reader.root)).resolve() == (nltk_data / "corpora" / "wordnet").resolve()
    return reader


@pytest.fixture(scope="session")
def nltk_synsets(nltk_wordnet: Any) -> dict[str, Any]:
    """All of NLTK's noun synsets by wnid."""
    return {f"n{synset.offset():08d}": synset for synset in nltk_wordnet.all_synsets("n")}


@pytest.fixture(scope="session")
def ours() -> list[wordnet.Synset]:
    return [wordnet.synset_at(row) for row in range(82_115)]


def test_nltk_has_the_same_wnids(nltk_synsets: dict[str, Any]) -> None:
    assert sorted(nltk_synsets) == wordnet.wnids().tolist()


def test_nltk_gives_the_same_names(nltk_synsets: dict[str, Any], ours: list[wordnet.Synset]) -> None:
    assert [nltk_synsets[synset.wnid].name() for synset in ours] == [synset.name for synset in ours]


def test_nltk_finds_every_synset_by_its_name(nltk_wordnet: Any, ours: list[wordnet.Synset]) -> None:
    assert [f"n{nltk_wordnet.synset(synset.name).offset():08d}" for synset in ours] == [synset.wnid for synset in ours]


def test_nltk_gives_the_same_lemmas(nltk_synsets: dict[str, Any], ours: list[wordnet.Synset]) -> None:
    assert [tuple(nltk_synsets[synset.wnid].lemma_names()) for synset in ours] == [synset.lemmas for synset in ours]


def test_nltk_gives_the_same_lexicographer_files(nltk_synsets: dict[str, Any], ours: list[wordnet.Synset]) -> None:
    assert [nltk_synsets[synset.wnid].lexname() for synset in ours] == [synset.lexfile for synset in ours]


@pytest.mark.parametrize(("kind", "n"), [("hypernyms", 75_850), ("instance_hypernyms", 8_577)])
def test_nltk_gives_the_same_edges(nltk_synsets: dict[str, Any], ours: list[wordnet.Synset], kind: str, n: int) -> None:
    theirs = [sorted(f"n{parent.offset():08d}" for parent in getattr(nltk_synsets[s.wnid], kind)()) for s in ours]
    assert theirs == [sorted(getattr(synset, kind)) for synset in ours]
    assert sum(map(len, theirs)) == n


def test_nltk_gives_the_same_depths(nltk_synsets: dict[str, Any], ours: list[wordnet.Synset]) -> None:
    every_twentieth = ours[::20]
    for depths, theirs in [(hierarchy.min_depths(), "min_depth"), (hierarchy.max_depths(), "max_depth")]:
        assert depths[::20].tolist() == [getattr(nltk_synsets[synset.wnid], theirs)() for synset in every_twentieth]


# ---- paths, lowest common hypernyms and similarities, on pairs drawn with a seed


def wnid_of(synset: Any) -> str:
    return f"n{synset.offset():08d}"


@pytest.fixture(scope="session")
def random_pairs() -> list[tuple[str, str]]:
    """10,000 pairs: half of any two synsets, half of two below the same one, which have more in common."""
    drawn = np.random.default_rng(0)
    wnids = wordnet.wnids()
    pairs = [tuple(wnids[drawn.integers(0, len(wnids), 2)].tolist()) for _ in range(5_000)]
    for above in drawn.choice(np.flatnonzero(hierarchy.heights() > 1), 5_000):
        below = hierarchy.descendants(wnids[above])
        pairs.append((below[drawn.integers(len(below))], below[drawn.integers(len(below))]))
    return pairs


def test_nltk_gives_the_same_similarities_on_10_000_pairs(
    nltk_synsets: dict[str, Any], random_pairs: list[tuple[str, str]]
) -> None:
    for name in ("path_similarity", "lch_similarity", "wup_similarity"):
        ours = [getattr(similarity, name)(*pair) for pair in random_pairs]
        theirs = [getattr(nltk_synsets[first], name)(nltk_synsets[second]) for first, second in random_pairs]
        differ = [
            pair for pair, a, b in zip(random_pairs, ours, theirs, strict=True) if a != pytest.approx(b, abs=1e-12)
        ]
        assert (name, len(differ), differ[:3]) == (name, 0, [])


def test_nltk_gives_the_same_lowest_common_hypernyms(
    nltk_synsets: dict[str, Any], random_pairs: list[tuple[str, str]]
) -> None:
    for first, second in random_pairs[::5]:
        for use_min_depth in (False, True):
            theirs = nltk_synsets[first].lowest_common_hypernyms(nltk_synsets[second], use_min_depth=use_min_depth)
            ours = hierarchy.lowest_common_hypernyms(first, second, use_min_depth=use_min_depth)
            assert list(ours) == sorted(map(wnid_of, theirs)), (first, second, use_min_depth)


def test_nltk_gives_the_same_paths_ancestors_and_distances(
    nltk_synsets: dict[str, Any], random_pairs: list[tuple[str, str]]
) -> None:
    for first, second in random_pairs[::10]:
        theirs = [tuple(map(wnid_of, path)) for path in nltk_synsets[first].hypernym_paths()]
        assert sorted(hierarchy.hypernym_paths(first)) == sorted(theirs)
        assert set(hierarchy.ancestors(first)) == {wnid for path in theirs for wnid in path}
        assert similarity.distance(first, second) == nltk_synsets[first].shortest_path_distance(nltk_synsets[second])


# ---- the bridge


def test_to_nltk_and_back(nltk_synsets: dict[str, Any]) -> None:
    for wnid in wordnet.wnids()[::50]:
        synset = nltk_bridge.to_nltk(wnid)
        assert synset == nltk_synsets[wnid]
        assert nltk_bridge.from_nltk(synset) == wnid
    assert nltk_bridge.to_nltk("Toy Dog.n.1").name() == "toy_dog.n.01"


def test_every_synset_of_nltk_has_its_wnid(nltk_synsets: dict[str, Any]) -> None:
    assert {wnid: nltk_bridge.from_nltk(synset) for wnid, synset in nltk_synsets.items()} == {
        w: w for w in nltk_synsets
    }


def test_what_has_no_wnid_is_refused(nltk_wordnet: Any) -> None:
    with pytest.raises(UnknownSynsetError, match="is no noun"):
        nltk_bridge.from_nltk(nltk_wordnet.synset("run.v.01"))
    with pytest.raises(UnknownSynsetError, match="n02084072"):
        nltk_bridge.to_nltk("n02084072")


@pytest.mark.parametrize("offset", [2_084_072, 2_085_374])
def test_a_synset_of_another_version_is_refused(nltk_wordnet: Any, offset: int) -> None:
    from nltk.corpus.reader.wordnet import Synset

    other = Synset(nltk_wordnet)
    other._name, other._pos, other._offset = "dog.n.01", "n", offset
    with pytest.raises(SourceError, match="another version"):
        nltk_bridge.from_nltk(other)


# ---- glosses


def test_glosses_of_both_sources_agree_with_what_nltk_reads(dict_dir: Path, nltk_synsets: dict[str, Any]) -> None:
    glosses = list(nltk_bridge.glosses_from_nltk())
    assert glosses == list(nltk_bridge.glosses_from_dict(dict_dir))
    assert [wnid for wnid, _ in glosses] == wordnet.wnids().tolist()
    assert all(nltk_synsets[wnid].definition() in gloss for wnid, gloss in glosses if '"' not in gloss)
    dog = dict(glosses)["n02084071"]
    assert dog.startswith("a member of the genus Canis")
    assert dog.endswith('"the dog barked all night"')


def test_glosses_of_some_come_in_their_order(nltk_wordnet: Any, dict_dir: Path) -> None:
    wanted = ["n02121620", "dog.n.01"]
    glosses = list(nltk_bridge.glosses_from_nltk(wanted))
    assert glosses == list(nltk_bridge.glosses_from_dict(dict_dir, wanted))
    assert [wnid for wnid, _ in glosses] == ["n02121620", "n02084071"]


def test_glosses_are_read_out_of_a_zip_too(
    nltk_wordnet: Any, nltk_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As nltk.download leaves the corpus."""
    import nltk.data

    (tmp_path / "corpora").mkdir()
    with zipfile.ZipFile(tmp_path / "corpora" / "wordnet.zip", "w") as archive:
        for path in sorted((nltk_data / "corpora" / "wordnet").iterdir()):
            archive.write(path, f"wordnet/{path.name}")
    expected = list(nltk_bridge.glosses_from_nltk())
    monkeypatch.setattr(nltk.data, "path", [str(tmp_path)])
    assert list(nltk_bridge.glosses_from_nltk()) == expected


def test_a_dict_that_is_cut_short_or_shifted_is_refused(dict_dir: Path, tmp_path: Path) -> None:
    data = (dict_dir / "data.noun").read_bytes()
    for damaged in (data[:-100_000], data[: len(data) // 2], b"\n" + data, data.replace(b"  6 ", b"  06 ", 1)):
        (tmp_path / "data.noun").write_bytes(damaged)
        with pytest.raises(SourceError, match=r"cut short, damaged, or not WordNet 3\.0"):
            nltk_bridge.glosses_from_dict(tmp_path)


def test_a_synset_that_is_damaged_is_an_error_and_no_gloss(dict_dir: Path, tmp_path: Path) -> None:
    data = (dict_dir / "data.noun").read_bytes()
    (tmp_path / "data.noun").write_bytes(data.replace(b"02084071 05 n 03", b"02084071 05 n 03".swapcase()[::-1], 1))
    with pytest.raises(SourceError, match="n02084071"):
        list(nltk_bridge.glosses_from_dict(tmp_path))


# ---- the script that made the table


@pytest.fixture(scope="session")
def make_wordnet() -> ModuleType:
    sys.path.insert(0, str(HOUSE / "data"))  # the scripts share a module
    spec = importlib.util.spec_from_file_location("make_wordnet", HOUSE / "data" / "make_wordnet.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_table_made_again_is_the_bundled_one(make_wordnet: ModuleType, dict_dir: Path, tmp_path: Path) -> None:
    made, licence = make_wordnet.make_columns(dict_dir)
    assert licence == (HOUSE / "LICENSES" / "WordNet-3.0.txt").read_text()
    columns.write(pa.table(made), tmp_path)
    bundled = {path.name: path.read_bytes() for path in (columns.TABLES / "wordnet").iterdir()}
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == bundled


def test_hypernyms_stand_in_wordnet_s_order(dict_dir: Path) -> None:
    """NLTK sorts them; the file itself says in which order they stand."""
    edges = wordnet.load().hypernyms
    several = np.flatnonzero(edges.degrees() > 1)
    data = (dict_dir / "data.noun").read_bytes()
    for row in several:
        offset = int(wordnet.load().offsets[row])
        words = data[offset : data.index(b" | ", offset)].decode().split()
        listed = [f"n{target}" for symbol, target in itertools.pairwise(words) if symbol == "@"]
        assert wordnet.wnids()[edges.of(row)].tolist() == listed
