"""The 82,115 noun synsets of WordNet 3.0: the bundled table of facts, and the bridge to NLTK both ways.

A wnid is `n` and the eight digits of the synset's offset in data.noun; a synset's row is its place among the sorted
offsets, and every array here is aligned with it. A name is spelled as NLTK spells it: the first lemma in lower case,
`.n.`, and the two-digit number of that lemma's sense (`dog.n.01`).

The table is made by data/make_wordnet.py from Princeton's files; its licence stands in LICENSES/WordNet-3.0.txt.
Only the bridge needs NLTK and its corpus, and only it imports them.
"""

from __future__ import annotations

import functools
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from imagenet_tools.errors import SourceError, UnknownSynsetError
from imagenet_tools.graph import Edges, Ints, Shorts
from imagenet_tools.wnid import is_wnid

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import nltk.corpus.reader.wordnet as nltk_wordnet
    import pyarrow as pa

TABLES = Path(__file__).parent / "tables"

# WordNet's lexicographer files by their number (lexnames(5WN)); the nouns' are 3 to 28.
LEXFILES = (
    *("adj.all", "adj.pert", "adv.all", "noun.Tops", "noun.act", "noun.animal", "noun.artifact", "noun.attribute"),
    *("noun.body", "noun.cognition", "noun.communication", "noun.event", "noun.feeling", "noun.food", "noun.group"),
    *("noun.location", "noun.motive", "noun.object", "noun.person", "noun.phenomenon", "noun.plant"),
    *("noun.possession", "noun.process", "noun.quantity", "noun.relation", "noun.shape", "noun.state"),
    *("noun.substance", "noun.time", "verb.body", "verb.change", "verb.cognition", "verb.communication"),
    *("verb.competition", "verb.consumption", "verb.contact", "verb.creation", "verb.emotion", "verb.motion"),
    *("verb.perception", "verb.possession", "verb.social", "verb.stative", "verb.weather", "adj.ppl"),
)

_NAME = re.compile(r"(.+)\.n\.(\d+)")

_HOW = "It is NLTK's corpus `wordnet`, nltk.download(\"wordnet\"), and the dict of Debian's package wordnet-base."

Texts = npt.NDArray[np.object_]


class Synset(NamedTuple):
    """What is known of one synset; wnids of its hypernyms are in WordNet's order."""

    wnid: str
    name: str
    lemmas: tuple[str, ...]  # original case, '_' for a space
    lexfile: str
    hypernyms: tuple[str, ...]
    instance_hypernyms: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class WordNet:
    """The table in memory. Every array has one value a row; edges lead from row to row."""

    offsets: Ints  # sorted
    lemmas: tuple[str, ...]  # of a synset joined with one space; original case, '_' for a space
    senses: Shorts  # of the first lemma, from 1
    lexfiles: npt.NDArray[np.int8]  # index into LEXFILES
    hypernyms: Edges  # WordNet's pointers @
    instance_hypernyms: Edges  # WordNet's pointers @i


@functools.cache
def load() -> WordNet:
    """The bundled table, read once a process."""
    table = read_table("wordnet")
    offsets = array_of(table["offset"])
    return WordNet(
        offsets=offsets,
        lemmas=tuple(table["lemmas"].to_pylist()),
        senses=array_of(table["sense"]),
        lexfiles=array_of(table["lexfile"]),
        hypernyms=_edges(table["hypernyms"], offsets),
        instance_hypernyms=_edges(table["instance_hypernyms"], offsets),
    )


def read_table(name: str) -> pa.RecordBatch:
    """A bundled table, by its name without the suffix."""
    import pyarrow.parquet as pq

    # Not pq.read_table: that imports pyarrow.dataset, which takes longer than all the rest.
    return pq.ParquetFile(TABLES / f"{name}.parquet").read().combine_chunks().to_batches()[0]


def array_of(column: pa.Array) -> npt.NDArray[Any]:
    """A column of whole numbers without nulls as an array, not to be written to."""
    # Not to_numpy: that imports pandas, which takes longer than all the rest.
    return np.from_dlpack(column)


def _edges(column: pa.ListArray, offsets: Ints) -> Edges:
    return Edges(array_of(column.offsets), np.searchsorted(offsets, array_of(column.values)).astype(np.int32))


@functools.cache
def wnids() -> Texts:
    """The wnids by row: 82,115 strings, sorted."""
    offsets = load().offsets.tolist()
    return _texts(("n%08d " * len(offsets) % tuple(offsets)).split())  # half the time of one string after another


@functools.cache
def names() -> Texts:
    """The names by row: 82,115 strings, all different."""
    lemmas = "\n".join(load().lemmas).lower().split("\n")  # in lower case all at once: a third of the time
    endings = [f".n.{sense:02d}" for sense in range(100)]
    return _texts(each.partition(" ")[0] + endings[n] for each, n in zip(lemmas, load().senses.tolist(), strict=True))


def _texts(values: Iterable[str]) -> Texts:
    texts = np.array(list(values), np.object_)
    texts.flags.writeable = False
    return texts


@functools.cache
def _row_of_name() -> dict[str, int]:
    return dict(zip(names(), range(len(names())), strict=True))


def spelled(text: str) -> str:
    """A text as it is looked up: a wnid or a name as spelled here (`Toy Dog.n.1` is `toy_dog.n.01`), else a lemma.

    A lemma is looked up in lower case, with spaces for `_`.
    """
    text = " ".join(text.split()).lower()
    found = _NAME.fullmatch(text)
    if found:
        return f"{found[1].replace(' ', '_')}.n.{int(found[2]):02d}"
    return text.replace("_", " ")


def find_row(text: str) -> int | None:
    """The row of a wnid or a name, None where no synset has it."""
    text = spelled(text)
    if is_wnid(text):
        offsets, offset = load().offsets, int(text[1:])
        row = int(np.searchsorted(offsets, offset))
        return row if row < len(offsets) and offsets[row] == offset else None
    return _row_of_name().get(text) if _NAME.fullmatch(text) else None


def row_of(text: str) -> int:
    """The row of a wnid or a name; UnknownSynsetError where no synset has it.

    A lemma is no key, for it may name several: imagenet_tools.terms takes lemmas too.
    """
    row = find_row(text)
    if row is None:
        raise UnknownSynsetError(
            f"No noun synset of WordNet 3.0 is {text!r}. Expected a wnid (n02084071) or a name (dog.n.01); "
            "other versions of WordNet have other numbers."
        )
    return row


def rows_of(texts: Iterable[str]) -> Ints:
    """The rows of wnids or names, in their order; UnknownSynsetError for the first that no synset has."""
    texts = list(texts)
    if all(map(is_wnid, texts)):  # usual, and ten times as fast
        offsets = np.array([int(wnid[1:]) for wnid in texts], np.int32)
        rows = np.searchsorted(load().offsets[:-1], offsets)
        if np.array_equal(load().offsets[rows], offsets):
            return rows.astype(np.int32)
    return np.array([row_of(text) for text in texts], np.int32)


def synset(text: str) -> Synset:
    """The synset of a wnid or a name; UnknownSynsetError where there is none."""
    return synset_at(row_of(text))


def synset_at(row: int) -> Synset:
    """The synset of a row."""
    facts = load()
    above = (facts.offsets[edges.of(row)].tolist() for edges in (facts.hypernyms, facts.instance_hypernyms))
    hypernyms, instance_hypernyms = (tuple(f"n{offset:08d}" for offset in offsets) for offsets in above)
    return Synset(
        wnid=f"n{facts.offsets[row]:08d}",
        name=f"{facts.lemmas[row].partition(' ')[0].lower()}.n.{facts.senses[row]:02d}",
        lemmas=tuple(facts.lemmas[row].split(" ")),
        lexfile=LEXFILES[facts.lexfiles[row]],
        hypernyms=hypernyms,
        instance_hypernyms=instance_hypernyms,
    )


# ---- the bridge to NLTK, and glosses


def to_nltk(text: str) -> nltk_wordnet.Synset:
    """NLTK's Synset of a wnid or a name. SourceError where NLTK's corpus is absent or of another version.

    NLTK's reader is not safe for threads: it shares one file between them.
    """
    return _nltk_corpus().synset_from_pos_and_offset("n", int(load().offsets[row_of(text)]))


def from_nltk(synset: nltk_wordnet.Synset) -> str:
    """The wnid of NLTK's Synset. UnknownSynsetError: not a noun; SourceError: of another version of WordNet."""
    if synset.pos() != "n":
        raise UnknownSynsetError(f"{synset.name()} is no noun; wnids are given to nouns alone.")
    wnid = f"n{synset.offset():08d}"
    row = find_row(wnid)
    here = "no synset" if row is None else names()[row]
    if here != synset.name():
        raise SourceError(
            f"{synset.name()} stands at {wnid}, which is {here} in WordNet 3.0: it comes from another version. "
            "Use nltk.corpus.wordnet, not wordnet31 or english_wordnet."
        )
    return wnid


def glosses_from_nltk(wnids: Iterable[str] | None = None) -> Iterator[tuple[str, str]]:
    """(wnid, gloss) out of NLTK's corpus `wordnet`, of all synsets in their order or of those named.

    A gloss is WordNet's: the definition and the examples as they stand. SourceError where the corpus is absent or
    of another version.
    """
    import nltk.data

    try:
        # The file itself: NLTK's reader would first load every index of the corpus.
        with nltk.data.find("corpora/wordnet/data.noun").open() as file:
            data = file.read()
    except LookupError as error:
        raise SourceError(f"NLTK has no corpus `wordnet` here, version 3.0 expected. {_HOW}") from error
    return _glosses(data, "NLTK's corpus wordnet", wnids)


def glosses_at_hand(wnids: Iterable[str]) -> dict[str, str]:
    """The glosses of synsets by wnid where NLTK has its corpus here, else nothing: NLTK is not even loaded then."""
    homes = [*os.environ.get("NLTK_DATA", "").split(os.pathsep), str(Path.home() / "nltk_data")]
    homes += [f"{prefix}/{place}" for prefix in (sys.prefix, "/usr", "/usr/local") for place in _NLTK_PLACES]
    if not any(home and Path(home, "corpora", name).exists() for home in homes for name in ("wordnet", "wordnet.zip")):
        return {}
    try:
        return dict(glosses_from_nltk(wnids))
    except SourceError:  # of another version: its glosses are of other synsets
        return {}


# Where NLTK looks below sys.prefix, /usr and /usr/local.
_NLTK_PLACES = ("nltk_data", "share/nltk_data", "lib/nltk_data")


def glosses_from_dict(dict_dir: str | Path, wnids: Iterable[str] | None = None) -> Iterator[tuple[str, str]]:
    """(wnid, gloss) out of the data.noun of a WordNet 3.0 dict folder, like glosses_from_nltk."""
    path = Path(dict_dir, "data.noun")
    if not path.is_file():
        raise SourceError(f"{path} does not exist; expected it in the dict folder of WordNet 3.0. {_HOW}")
    return _glosses(path.read_bytes(), str(path), wnids)


def _glosses(data: bytes, where: str, wanted: Iterable[str] | None) -> Iterator[tuple[str, str]]:
    """The glosses of data.noun; SourceError at once where it is not WordNet 3.0's or is cut short."""
    # Every offset differs in another version, so that a few tell it; the last one tells a file that is cut short.
    for wnid in wnids()[[0, len(wnids()) // 2, -1]]:
        _gloss(data, wnid, where)
    chosen = wnids() if wanted is None else wnids()[rows_of(wanted)]
    return ((wnid, _gloss(data, wnid, where)) for wnid in chosen)


def _gloss(data: bytes, wnid: str, where: str) -> str:
    start = int(wnid[1:])
    synset, _, gloss = data[start : data.find(b"\n", start)].decode(errors="replace").partition(" | ")
    if not synset.startswith(f"{wnid[1:]} ") or not gloss:
        raise SourceError(
            f"{where} is cut short, damaged, or not WordNet 3.0: expected {wnid} and its gloss at byte {start:,} of "
            f"data.noun, found {synset[:40]!r}. {_HOW}"
        )
    return gloss.strip()


@functools.cache
def _nltk_corpus() -> nltk_wordnet.WordNetCorpusReader:
    """NLTK's reader of its corpus `wordnet`, known to be version 3.0."""
    from nltk.corpus import wordnet

    glosses_from_nltk([])  # tells an absent corpus and another version
    wordnet.ensure_loaded()
    return wordnet
