"""Look up the 82,115 noun synsets of WordNet 3.0 by wnid, name or lemma, in a bundled table.

A wnid is `n` and the eight digits of the synset's offset in data.noun. A row is the place of a synset among the sorted
offsets; every array has a value a row. A name is spelled as NLTK spells it: the first lemma in lower case, `.n.`, and
the two-digit sense number of that lemma (`dog.n.01`).

data/make_wordnet.py makes the table from Princeton's files; the licence is in LICENSES/WordNet-3.0.txt.
"""

from __future__ import annotations

import functools
import itertools
import re
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from imagenet_tools.errors import UnknownSynsetError, UsageError
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

# Searching the text of all lemmas takes 1 ms, building a table of them 100 ms: the table is built after this many
# searches. The counter is of the process, like the caches below.
_SEARCHES_BEFORE_TABLE = 50

# numpy spells this many wnids or more at once. It takes at least 25 us.
_MANY_OFFSETS = 64
_searches = itertools.count()

Texts = npt.NDArray[np.object_]


class Synset(NamedTuple):
    """The facts of a synset; hypernyms are wnids in WordNet's order."""

    wnid: str
    name: str
    lemmas: tuple[str, ...]  # original case, '_' for a space
    lexfile: str
    hypernyms: tuple[str, ...]
    instance_hypernyms: tuple[str, ...]


class WordNet:
    """The table in memory: each column is read when it is first used. Edges lead from row to row."""

    @functools.cached_property
    def offsets(self) -> Ints:
        """The offsets, sorted."""
        return columns.numbers("wordnet", "offset")

    @functools.cached_property
    def text(self) -> str:
        """The lemmas of all rows, '\\n' between rows and a space between lemmas; original case, '_' for a space."""
        return columns.text("wordnet", "lemmas")

    @functools.cached_property
    def lemmas(self) -> tuple[str, ...]:
        """The lemmas of each row, joined with a space."""
        return tuple(self.text.split("\n"))

    @functools.cached_property
    def starts(self) -> Ints:
        """The place in `text` of each row's first letter, and one past the end of the last row: (n + 1,)."""
        breaks = np.flatnonzero(columns.numbers("wordnet", "lemmas") == ord("\n"))
        return np.concatenate([[0], breaks + 1, [len(self.text) + 1]]).astype(np.int32)

    @functools.cached_property
    def senses(self) -> Shorts:
        """The sense number of each row's first lemma, from 1."""
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
    """Return the bundled table, one object a process."""
    return WordNet()


def read_table(name: str) -> pa.RecordBatch:
    """Return a bundled Parquet table by its name without the suffix; its metadata names the source."""
    import pyarrow.parquet as pq

    # pq.read_table would import pyarrow.dataset, which takes longer than all the rest.
    return pq.ParquetFile(columns.TABLES / f"{name}.parquet").read().combine_chunks().to_batches()[0]


# ---- all rows


@functools.cache
def wnids() -> Texts:
    """Return the wnids by row: 82,115 strings, sorted.

    Example:
        >>> wnids()[0]
        'n00001740'
    """
    return _texts(spell(load().offsets))


@functools.cache
def names() -> Texts:
    """Return the names by row: 82,115 different strings.

    Example:
        >>> names()[0]
        'entity.n.01'
    """
    lines = lower_text().split("\n")
    endings = [f".n.{sense:02d}" for sense in range(100)]
    return _texts([line.partition(" ")[0] + endings[n] for line, n in zip(lines, load().senses.tolist(), strict=True)])


def _texts(values: Sequence[str]) -> Texts:
    texts = np.array(values, np.object_)
    texts.flags.writeable = False
    return texts


def wnids_of(rows: npt.ArrayLike) -> tuple[str, ...]:
    """Return the wnids of rows, in their order.

    Example:
        >>> wnids_of([0, 1])
        ('n00001740', 'n00001930')
    """
    return tuple(spell(load().offsets[np.asarray(rows, np.intp)]))


def spell(offsets: npt.NDArray[np.integer]) -> list[str]:
    """Return the wnids of offsets, 0 to 99,999,999."""
    if len(offsets) < _MANY_OFFSETS:
        return [f"n{offset:08d}" for offset in offsets.tolist()]
    # All digits of a place at once: three times as fast as formatting many wnids one after the other.
    letters = np.full((len(offsets), 10), ord(" "), np.uint8)
    letters[:, 0] = ord("n")
    for place in range(8, 0, -1):
        offsets, digits = np.divmod(offsets, 10)
        letters[:, place] = digits + ord("0")
    return letters.tobytes().decode("ascii").split()


@functools.cache
def lower_text() -> str:
    """Return load().text in lower case; its length is the same."""
    return load().text.lower()


def mask_of(rows: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    """Return an array that is True at some rows: (82,115,)."""
    mask = np.zeros(len(load().offsets), np.bool_)
    mask[np.asarray(rows, np.intp)] = True
    return mask


def sums_of(rows: npt.ArrayLike, values: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Return the sum of the values at each row, whole numbers: (82,115,); a row may be there several times."""
    sums = np.zeros(len(load().offsets), np.int64)
    np.add.at(sums, np.asarray(rows, np.intp), np.asarray(values, np.int64))
    return sums


# ---- rows by text


def normalised(text: str) -> str:
    """Return the spelling by which a text is looked up.

    Example:
        >>> normalised("Toy Dog.n.1"), normalised("Toy_Dog"), normalised("N02084071")
        ('toy_dog.n.01', 'toy dog', 'n02084071')
    """
    text = " ".join(text.split()).lower()
    match = _NAME.fullmatch(text)
    return f"{match[1].replace(' ', '_')}.n.{int(match[2]):02d}" if match else text.replace("_", " ")


def find_row(text: str) -> int | None:
    """Return the row of a wnid or a name; None if no synset has it."""
    text = normalised(text)
    if is_wnid(text):
        offsets = load().offsets
        offset = offsets.dtype.type(int(text[1:]))  # an int of Python would make numpy convert all offsets: 60 us
        row = int(np.searchsorted(offsets, offset))
        return row if row < len(offsets) and offsets[row] == offset else None
    match = _NAME.fullmatch(text)
    if match is None:
        return None
    rows = (row for row in rows_called(match[1]) if load().senses[row] == int(match[2]))
    return next((row for row in rows if name_at(row) == text), None)


def row_of(text: str) -> int:
    """Return the row of a wnid or a name.

    A lemma may name several synsets, and is not accepted: imagenet_tools.catalogue.terms resolves lemmas.

    Raises:
        UnknownSynsetError: No synset has it.
        UsageError: It is no text.

    Example:
        >>> row_of("entity.n.01")
        0
    """
    if not isinstance(text, str):
        raise UsageError(f"synset: found {text!r} ({type(text).__name__}); expected a wnid or a name.")
    row = find_row(text)
    if row is None:
        raise UnknownSynsetError(
            f"No noun synset of WordNet 3.0 is {text!r}. Expected a wnid (n02084071) or a name (dog.n.01); "
            "other versions of WordNet have other numbers."
        )
    return row


def find_rows(wnids: Iterable[str | None]) -> Ints:
    """Return the rows of wnids, in their order, and -1 for None and what is no wnid of a noun synset: (n,)."""
    known = load().offsets
    offsets = np.array([int(wnid[1:]) if wnid is not None and is_wnid(wnid) else -1 for wnid in wnids], np.int32)
    rows = np.searchsorted(known[:-1], offsets).astype(np.int32)
    return np.where(known[rows] == offsets, rows, np.int32(-1))


def rows_of(texts: Iterable[str]) -> Ints:
    """Return the rows of wnids or names, in their order: (n,); UnknownSynsetError for the first unknown text."""
    texts = list(texts)
    rows = find_rows(texts)  # the usual case is wnids alone, ten times as fast
    return rows if (rows >= 0).all() else np.array([row_of(text) for text in texts], np.int32)


def distinct_rows_of(texts: Iterable[str]) -> Ints:
    """Return the rows of wnids or names, in their order; UsageError if a synset appears twice."""
    rows = rows_of(texts)
    ordered = np.sort(rows)
    twice = ordered[1:][np.diff(ordered) == 0]
    if len(twice):
        raise UsageError(f"Expected different classes; {wnids_of(twice[:1])[0]} appears twice in the list.")
    return rows


def rows_called(lemma: str) -> Sequence[int]:
    """Return the rows that have a lemma, in lower case with '_' for a space; sorted, empty if there are none."""
    if next(_searches) >= _SEARCHES_BEFORE_TABLE:
        return _rows_by_lemma().get(lemma, ())
    # A synset may have a lemma in two spellings, with capitals and without.
    return list(dict.fromkeys(row for row, other in lemmas_with(lemma) if other == lemma))


def rows_with(lemmas: Iterable[str]) -> set[int]:
    """Return the rows that have all of some lemmas, in any case, with '_' or spaces."""
    rows = [set(rows_called(normalised(lemma).replace(" ", "_"))) for lemma in lemmas]
    return set.intersection(*rows) if rows else set()


def lemmas_with(part: str) -> Iterator[tuple[int, str]]:
    """Yield (row, lemma) for every lemma that contains a text, in lower case with '_' for a space, by row."""
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
    rows: dict[str, list[int]] = {}
    for row, line in enumerate(lower_text().split("\n")):
        for lemma in dict.fromkeys(line.split(" ")):
            rows.setdefault(lemma, []).append(row)
    return rows


# ---- facts by row


def synset(text: str) -> Synset:
    """Return the synset of a wnid or a name; UnknownSynsetError if there is none.

    Example:
        >>> synset("tench.n.01")
        Synset(wnid='n01440764', name='tench.n.01', lemmas=('tench', 'Tinca_tinca'), lexfile='noun.animal',
               hypernyms=('n01439121',), instance_hypernyms=())
    """
    return synset_at(row_of(text))


def synset_at(row: int) -> Synset:
    """Return the synset of a row."""
    facts = load()
    return Synset(
        wnid=wnid_at(row),
        name=name_at(row),
        lemmas=tuple(_lemmas_at(row)),
        lexfile=LEXFILES[facts.lexfiles[row]],
        hypernyms=wnids_of(facts.hypernyms.of(row)),
        instance_hypernyms=wnids_of(facts.instance_hypernyms.of(row)),
    )


def wnid_at(row: int) -> str:
    """Return the wnid of a row."""
    return f"n{load().offsets[row]:08d}"


def name_at(row: int) -> str:
    """Return the name of a row, without building names()."""
    return f"{_lemmas_at(row)[0].lower()}.n.{load().senses[row]:02d}"


def label_of(wnid: str) -> str:
    """Return the first lemma of a synset with spaces, for people; the wnid itself if it is not in WordNet."""
    row = find_row(wnid)
    return wnid if row is None else _lemmas_at(row)[0].replace("_", " ")


def _lemmas_at(row: int) -> list[str]:
    start, end = load().starts[row : row + 2].tolist()
    return load().text[start : end - 1].split(" ")
