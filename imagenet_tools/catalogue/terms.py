"""What a synset may be called by, and which one a text means: a wnid, a name such as dog.n.01, or a lemma.

A lemma often names several synsets (dog: seven). It is taken for the one that has images at or below it, where just
one has; without images to count, where just one has ILSVRC2012 classes. Where nothing decides, the error lists them.
The view terms of index/views.sql has the same rule, by which SQL looks synsets up.
"""

from __future__ import annotations

import difflib
import functools
import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from imagenet_tools.catalogue import labels
from imagenet_tools.errors import AmbiguousSynsetError, UnknownSynsetError, UsageError
from imagenet_tools.wordnet import hierarchy, wordnet
from imagenet_tools.wordnet.wnid import is_wnid

if TYPE_CHECKING:
    from collections.abc import Iterator


Counts = npt.NDArray[np.integer]

# What a number is: (wnid, words) of the class that each label space counts by it.
Numbered = Callable[[int], Iterable[tuple[str, str]]]


class Taken(NamedTuple):
    """The synset that a text was taken for."""

    wnid: str
    guessed: bool  # the text names several synsets, and the counts decided
    note: str  # a sentence that says so; empty where nothing was guessed


class Sense(NamedTuple):
    """One of the synsets that a text names."""

    wnid: str
    name: str
    lemmas: tuple[str, ...]
    below: int  # images, or ILSVRC2012 classes, at or below it


@functools.cache
def ilsvrc2012_below() -> npt.NDArray[np.int64]:
    """Return how many of the 1,000 ILSVRC2012 classes each synset is or has below it, by row: (82,115,)."""
    below = hierarchy.classes_below(labels.ilsvrc2012_sorted())
    below.flags.writeable = False
    return below


def resolve(text: str, *, images: Counts | None = None, strict: bool = False) -> Taken:
    """The synset that a text means: a wnid, a name (`Toy Dog.n.1` too), or a lemma in any case, '_' or spaces.

    `images` are inclusive counts by row of imagenet_tools.wordnet.wordnet; without them ILSVRC2012 classes are counted.
    AmbiguousSynsetError: a lemma of several synsets, where not exactly one has any (or `strict` forbids to guess).
    UnknownSynsetError: no synset is called so.
    """
    found = senses(text, images=images)
    if not found:
        raise UnknownSynsetError(_unknown(text))
    what = "ILSVRC2012 classes" if images is None else "images"
    counted = [sense for sense in found if sense.below > 0]
    if len(found) == 1:
        return Taken(found[0].wnid, False, "")
    if len(counted) == 1 and not strict:
        taken = counted[0]
        note = f"{text!r} is taken for {taken.name} ({taken.wnid}), alone of its {len(found)} senses to have {what}."
        return Taken(taken.wnid, True, note)
    raise AmbiguousSynsetError(_ambiguous(text, found, "class" if images is None else "image"))


def senses(text: str, *, images: Counts | None = None) -> list[Sense]:
    """The synsets that a text names, those with the most images (or ILSVRC2012 classes) first; empty: unknown."""
    counts = ilsvrc2012_below() if images is None else images
    rows = sorted(_rows_of(text), key=lambda row: (-counts[row], row))
    found = [wordnet.synset_at(row) for row in rows]
    return [Sense(s.wnid, s.name, s.lemmas, int(counts[row])) for s, row in zip(found, rows, strict=True)]


def close_lemmas(text: str) -> list[str]:
    """Up to five lemmas that are spelled almost like a text, in lower case."""
    close = difflib.get_close_matches(_underlined(text), dict.fromkeys(lemmas()[0]), 5, 0.75)
    return [lemma.replace("_", " ") for lemma in close]


def _rows_of(text: str) -> Iterable[int]:
    row = wordnet.find_row(text)
    return wordnet.rows_called(_underlined(text)) if row is None else (row,)


def _underlined(text: str) -> str:
    return wordnet.spelled(text).replace(" ", "_")


@functools.cache
def lemmas() -> tuple[list[str], list[int]]:
    """Each lemma of each synset, in lower case with '_' for a space, and the row of the synset: 146,347 of each."""
    text = wordnet.lower_text()
    rows = [row for row, line in enumerate(text.split("\n")) for _ in range(line.count(" ") + 1)]
    return text.replace("\n", " ").split(" "), rows


def _ambiguous(text: str, found: list[Sense], unit: str) -> str:
    counted = sum(sense.below > 0 for sense in found)
    cells = [
        (sense.name, sense.wnid, _count(sense.below, unit), ", ".join(sense.lemmas).replace("_", " "))
        for sense in found
    ]
    widths = [max(map(len, column)) for column in list(zip(*cells, strict=True))[:3]]
    lines = [f"  {name:{widths[0]}}  {wnid}  {n:>{widths[2]}}  {lemmas}" for name, wnid, n, lemmas in cells]
    having = f"{counted or 'none'} of them with any {_plural(unit)}"
    return "\n".join(
        [
            f"{text!r} names {len(found)} synsets, {having}; nothing decides between them:",
            *lines,
            f"Type the name or the wnid of the one that is meant: {found[0].name} in place of {text}.",
        ]
    )


def _unknown(text: str) -> str:
    spelled = wordnet.spelled(text)
    lemma = re.sub(r"\.n\.\d+$", "", spelled).replace("_", " ")
    named = [sense.name for sense in senses(lemma)] if lemma != spelled else []
    if named:
        advice = f"The senses of {lemma!r} are {', '.join(named)}."
    elif is_wnid(spelled):
        advice = "Other versions of WordNet have other numbers."
    elif close := close_lemmas(lemma):
        advice = f"Close to it are {', '.join(close)}."
    else:
        advice = "`imagenet-tools find` looks inside words too."
    return (
        f"No noun synset of WordNet 3.0 is called {text!r}; expected a wnid (n02084071), a name (dog.n.01) or a lemma "
        f"(dog). {advice}"
    )


def _plural(unit: str) -> str:
    return "ILSVRC2012 classes" if unit == "class" else f"{unit}s"


def _count(n: int, unit: str) -> str:
    return f"{n:,} {unit}" if n == 1 else f"{n:,} {unit}{'es' if unit == 'class' else 's'}"


# ---- by a part of a word, or a number


class FoundSynset(NamedTuple):
    """A synset that a search found."""

    wnid: str
    name: str
    lemmas: tuple[str, ...]
    ilsvrc2012_index: int | None  # of the class in sorted order, from 0
    ilsvrc_id: int | None  # of the class in the devkit, from 1
    classes: int  # ILSVRC2012 classes at or below it
    why: str  # what of it the text matched, in words


def find(text: str, *, limit: int | None = 20, numbered: Numbered = labels.numbered) -> list[FoundSynset]:
    """The synsets that a text may mean: by lemma, name or wnid, or a part of one; by its number in a label space.

    Whole matches come first, then ILSVRC2012 classes, then lemmas with the text as a word, then what begins with it,
    then what holds it; among equals those with more classes below. `limit` None: all of them. `numbered` says what a
    number is in every label space.
    """
    if not text.strip():
        raise UsageError("Nothing to look for; expected a word, a name, a wnid or a number.")
    below = ilsvrc2012_below()
    index_of, id_of = labels.index_of(labels.ilsvrc2012_sorted()), labels.index_of(labels.ilsvrc2012_ids())
    is_class = np.zeros(len(below), np.bool_)
    is_class[wordnet.rows_of(index_of)] = True
    best: dict[int, tuple[tuple[int, ...], list[str]]] = {}
    for place, (rank, row, why) in enumerate(_matches(wordnet.spelled(text), numbered)):
        order = (0, rank, place * (rank == _NUMBER)) if rank < _WORD else (1, not is_class[row], rank)
        key = (*order, not is_class[row], -int(below[row]), row)
        if row in best and rank == _NUMBER:
            best[row][1].append(why)
        elif row not in best or key < best[row][0]:
            best[row] = key, [why]
    found = []
    for (*_, row), whys in sorted(best.values())[:limit]:
        synset = wordnet.synset_at(row)
        ilsvrc_id = id_of[synset.wnid] + 1 if synset.wnid in id_of else None
        index = index_of.get(synset.wnid)
        found.append(
            FoundSynset(synset.wnid, synset.name, synset.lemmas, index, ilsvrc_id, int(below[row]), "; ".join(whys))
        )
    return found


# How well a text matches: better is less.
_NUMBER, _WHOLE, _LEMMA, _WORD, _BEGINS, _HOLDS = range(6)


def _matches(wanted: str, numbered: Numbered) -> Iterator[tuple[int, int, str]]:
    """(rank, row, why) of all that a text, as wordnet.spelled gives it, matches."""
    if re.fullmatch(r"\d{1,5}", wanted):
        yield from ((_NUMBER, wordnet.row_of(wnid), why) for wnid, why in numbered(int(wanted)))
    row = wordnet.find_row(wanted)
    if row is not None:
        yield _WHOLE, row, "its wnid" if is_wnid(wanted) else "its name"
    if re.fullmatch(r"n\d{2,7}|\d{5,8}", wanted):
        yield from ((rank, row, "in its wnid") for rank, row in _holding(wanted, wordnet.wnids()))
    if ".n" in wanted:
        yield from ((rank, row, "in its name") for rank, row in _holding(wanted.replace(" ", "_"), wordnet.names()))
    wanted = wanted.replace(" ", "_")
    for row, lemma in wordnet.lemmas_with(wanted):
        yield _rank(wanted, lemma), row, f"its lemma {lemma.replace('_', ' ')}"


def _rank(wanted: str, lemma: str) -> int:
    if lemma == wanted:
        return _LEMMA
    return _WORD if f"_{wanted}_" in f"_{lemma}_" else _HOLDS - lemma.startswith(wanted)


def _holding(part: str, texts: wordnet.Texts) -> Iterator[tuple[int, int]]:
    return ((_HOLDS - text.startswith(part), row) for row, text in enumerate(texts) if part in text)
