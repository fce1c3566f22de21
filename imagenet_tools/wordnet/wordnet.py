"""The 82,115 noun synsets of WordNet 3.0: the bundled table of facts, and what a wnid or a name says.

A wnid is `n` and the eight digits of the synset's offset in data.noun; a synset's row is its place among the sorted
offsets, and every array here is aligned with it. A name is spelled as NLTK spells it: the first lemma in lower case,
`.n.`, and the two-digit number of that lemma's sense (`dog.n.01`).

The table is made by data/make_wordnet.py from Princeton's files; its licence stands in LICENSES/WordNet-3.0.txt.
"""

from __future__ import annotations

import functools
import itertools
import re
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from imagenet_tools.errors import UnknownSynsetError
from imagenet_tools.tables import columns
from imagenet_tools.wordnet.graph import Edges, Ints, Shorts
from imagenet_tools.wordnet.wnid import is_wnid

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import pyarrow as pa

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

Texts = npt.NDArray[np.object_]


class Synset(NamedTuple):
    """What is known of one synset; wnids of its hypernyms are in WordNet's order."""

    wnid: str
    name: str
    lemmas: tuple[str, ...]  # original case, '_' for a space
    lexfile: str
    hypernyms: tuple[str, ...]
    instance_hypernyms: tuple[str, ...]


class WordNet:
    """The table in memory, each column read when it is first asked for.

    Every array has one value a row; edges lead from row to row.
    """

    @functools.cached_property
    def offsets(self) -> Ints:
        """The offsets, sorted."""
        return columns.numbers("wordnet", "offset")

    @functools.cached_property
    def text(self) -> str:
        """The lemmas of all rows, '\\n' between rows and one space between lemmas; original case, '_' for a space."""
        return columns.text("wordnet", "lemmas")

    @functools.cached_property
    def lemmas(self) -> tuple[str, ...]:
        """The lemmas of each row, joined with one space."""
        return tuple(self.text.split("\n"))

    @functools.cached_property
    def starts(self) -> Ints:
        """Where in `text` the lemmas of each row begin, and one past the end of the last: (n + 1,)."""
        breaks = np.flatnonzero(columns.numbers("wordnet", "lemmas") == ord("\n"))
        return np.concatenate([[0], breaks + 1, [len(self.text) + 1]]).astype(np.int32)

    @functools.cached_property
    def senses(self) -> Shorts:
        """The sense of each row's first lemma that it is, from 1."""
        return columns.numbers("wordnet", "sense")

    @functools.cached_property
    def lexfiles(self) -> npt.NDArray[np.int8]:
        """Indexes into LEXFILES."""
        return columns.numbers("wordnet", "lexfile")

    @functools.cached_property
    def hypernyms(self) -> Edges:
        """WordNet's pointers @."""
        return self._edges("hypernyms")

    @functools.cached_property
    def instance_hypernyms(self) -> Edges:
        """WordNet's pointers @i."""
        return self._edges("instance_hypernyms")

    def _edges(self, column: str) -> Edges:
        targets = np.searchsorted(self.offsets, columns.numbers("wordnet", column)).astype(np.int32)
        return Edges(columns.numbers("wordnet", f"{column}.starts"), targets)


@functools.cache
def load() -> WordNet:
    """The bundled table, the same object for the whole process."""
    return WordNet()


def read_table(name: str) -> pa.RecordBatch:
    """A bundled Parquet table by its name without the suffix; its metadata names the source."""
    import pyarrow.parquet as pq

    # Not pq.read_table: that imports pyarrow.dataset, which takes longer than all the rest.
    return pq.ParquetFile(columns.TABLES / f"{name}.parquet").read().combine_chunks().to_batches()[0]


def array_of(column: pa.Array) -> npt.NDArray[Any]:
    """A column of whole numbers without nulls as an array, not to be written to."""
    # Not to_numpy: that imports pandas, which takes longer than all the rest.
    return np.from_dlpack(column)


@functools.cache
def wnids() -> Texts:
    """The wnids by row: 82,115 strings, sorted."""
    return _texts(spell(load().offsets))


def wnids_of(rows: npt.ArrayLike) -> tuple[str, ...]:
    """The wnids of some rows, in their order."""
    return tuple(spell(load().offsets[np.asarray(rows, np.intp)]))


def spell(offsets: npt.NDArray[np.integer]) -> list[str]:
    """The wnids that have these numbers, 0 to 99,999,999."""
    # All digits at once: a third of the time of one string after another.
    letters = np.full((len(offsets), 10), ord(" "), np.uint8)
    letters[:, 0] = ord("n")
    for place in range(8, 0, -1):
        offsets, digits = np.divmod(offsets, 10)
        letters[:, place] = digits + ord("0")
    return letters.tobytes().decode("ascii").split()


@functools.cache
def names() -> Texts:
    """The names by row: 82,115 strings, all different."""
    lines = load().text.lower().split("\n")  # in lower case all at once: a third of the time
    endings = [f".n.{sense:02d}" for sense in range(100)]
    return _texts(each.partition(" ")[0] + endings[n] for each, n in zip(lines, load().senses.tolist(), strict=True))


def _texts(values: Iterable[str]) -> Texts:
    texts = np.array(list(values), np.object_)
    texts.flags.writeable = False
    return texts


# ---- what a text means


@functools.cache
def lower_text() -> str:
    """load().text in lower case, of the same length."""
    return load().text.lower()


def rows_called(lemma: str) -> Sequence[int]:
    """The rows that have a lemma, given in lower case with '_' for a space, ascending; empty: no row has it."""
    # To search the text takes 1 ms, to make the table of all lemmas 100: it is made for whoever asks much.
    if next(_ASKED) >= _MANY:
        return _rows_by_lemma().get(lemma, ())
    # A synset may have a lemma twice, in capitals and without.
    return list(dict.fromkeys(row for row, found in lemmas_with(lemma) if found == lemma))


def rows_with(lemmas: Iterable[str]) -> set[int]:
    """The rows that have each of some lemmas, in any case, '_' or spaces; empty: no synset has them all."""
    rows = [set(rows_called(spelled(lemma).replace(" ", "_"))) for lemma in lemmas]
    return set.intersection(*rows) if rows else set()


_MANY = 50
_ASKED = itertools.count()


def lemmas_with(part: str) -> Iterator[tuple[int, str]]:
    """(row, lemma) of every lemma that holds a text, in lower case with '_' for a space, by row."""
    text, starts = lower_text(), load().starts
    place = text.find(part)
    while part and place >= 0:
        row = int(np.searchsorted(starts, place, side="right")) - 1
        first, after = int(starts[row]), int(starts[row + 1]) - 1
        start = text.rfind(" ", first, place) + 1 or first
        end = text.find(" ", place, after)
        end = after if end < 0 else end
        yield row, text[start:end]
        place = text.find(part, end)


@functools.cache
def _rows_by_lemma() -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for row, line in enumerate(lower_text().split("\n")):
        for lemma in dict.fromkeys(line.split(" ")):
            found.setdefault(lemma, []).append(row)
    return found


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
    named = _NAME.fullmatch(text)
    if named is None:
        return None
    found = (row for row in rows_called(named[1]) if load().senses[row] == int(named[2]))
    return next((row for row in found if name_at(row) == text), None)


def row_of(text: str) -> int:
    """The row of a wnid or a name; UnknownSynsetError where no synset has it.

    A lemma is no key, for it may name several: imagenet_tools.catalogue.terms takes lemmas too.
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
    return Synset(
        wnid=wnids_of([row])[0],
        name=name_at(row),
        lemmas=tuple(_lemmas_at(row)),
        lexfile=LEXFILES[facts.lexfiles[row]],
        hypernyms=wnids_of(facts.hypernyms.of(row)),
        instance_hypernyms=wnids_of(facts.instance_hypernyms.of(row)),
    )


def name_at(row: int) -> str:
    """The name of a row, without making all of them."""
    return f"{_lemmas_at(row)[0].lower()}.n.{load().senses[row]:02d}"


def _lemmas_at(row: int) -> list[str]:
    start, end = load().starts[row : row + 2].tolist()
    return load().text[start : end - 1].split(" ")
