"""Resolve the names of synsets: a wnid, a name such as dog.n.01, or a lemma; and search for parts of them.

A lemma often names several synsets (dog: seven). It means the one that has images at or below it, if only one has;
without images to count, the one that has ILSVRC2012 classes. If nothing decides, the error lists them all. The view
`terms` of index/views.sql has the same rule, by which SQL looks up synsets.
"""

from __future__ import annotations

import difflib
import functools
import re
import string
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from imagenet_tools.catalogue import labels, lists
from imagenet_tools.errors import AmbiguousSynsetError, UnknownSynsetError, UsageError
from imagenet_tools.text import are, count_of
from imagenet_tools.wordnet import hierarchy, wordnet
from imagenet_tools.wordnet.wnid import is_wnid

if TYPE_CHECKING:
    from collections.abc import Iterator


Counts = npt.NDArray[np.integer]

# How well a text matches; less is better.
_NUMBER = 0
_WHOLE = 1
_LEMMA = 2
_WORD = 3
_BEGINS = 4
_HOLDS = 5

_MIN_EDITED_LETTERS = 3  # one edit makes any word of a shorter one


class ResolvedSynset(NamedTuple):
    """The synset that a text means."""

    wnid: str
    guessed: bool  # the text names several synsets, and the counts decided
    note: str  # a sentence about the guess; empty if nothing was guessed


class Sense(NamedTuple):
    """One of the synsets that a text names."""

    wnid: str
    name: str
    lemmas: tuple[str, ...]
    below: int  # images, or ILSVRC2012 classes, at or below it


class FoundSynset(NamedTuple):
    """A result of a search."""

    wnid: str
    name: str
    lemmas: tuple[str, ...]
    ilsvrc2012_index: int | None  # of the class in sorted order, from 0
    ilsvrc_id: int | None  # of the class in the devkit, from 1
    classes: int  # ILSVRC2012 classes at or below it
    why: str  # the part that the text matched, in words

    def __repr__(self) -> str:
        return f"FoundSynset: {self.wnid} {self.name}; {self.why}"


@functools.cache
def ilsvrc2012_below() -> npt.NDArray[np.int64]:
    """Return the number of ILSVRC2012's 1,000 classes at or below each synset, by row: (82,115,).

    Example:
        >>> int(ilsvrc2012_below()[wordnet.row_of("dog.n.01")])
        118
    """
    below = hierarchy.classes_below(labels.ilsvrc2012_sorted())
    below.flags.writeable = False
    return below


def resolve(text: str, *, images: Counts | None = None, strict: bool = False) -> ResolvedSynset:
    """Return the synset that a text means.

    Args:
        text: A wnid, a name (`Toy Dog.n.1` too), or a lemma, in any case, with '_' or spaces.
        images: Images at or below each synset, by row of imagenet_tools.wordnet.wordnet: (82,115,). Default: count
            ILSVRC2012's classes.
        strict: Never guess.

    Raises:
        AmbiguousSynsetError: A lemma of several synsets, and `strict` is set or not exactly one of them has a count.
        UnknownSynsetError: No synset has this name.

    Example:
        >>> resolve("tabby")
        ResolvedSynset(wnid='n02123045', guessed=True,
              note="'tabby' is taken for tabby.n.01 (n02123045), alone of its 2 senses to have ILSVRC2012 classes.")
    """
    named = senses(text, images=images)
    if not named:
        raise UnknownSynsetError(_unknown(text))
    if len(named) == 1:
        return ResolvedSynset(named[0].wnid, False, "")
    counted = [sense for sense in named if sense.below > 0]
    if len(counted) == 1 and not strict:
        sense, unit = counted[0], "ILSVRC2012 classes" if images is None else "images"
        note = f"{text!r} is taken for {sense.name} ({sense.wnid}), alone of its {len(named)} senses to have {unit}."
        return ResolvedSynset(sense.wnid, True, note)
    raise AmbiguousSynsetError(_ambiguous(text, named, by_class=images is None))


def senses(text: str, *, images: Counts | None = None) -> list[Sense]:
    """Return the synsets that a text names, those with the greatest counts first.

    Args:
        text: As resolve() takes it.
        images: As resolve() takes them.

    Returns:
        The senses; empty if the text names no synset.

    Example:
        >>> [(sense.name, sense.below) for sense in senses("crane")[:3]]
        [('crane.n.05', 1), ('crane.n.04', 1), ('grus.n.01', 0)]
    """
    counts = ilsvrc2012_below() if images is None else images
    row = wordnet.find_row(text)
    rows = wordnet.rows_called(_underlined(text)) if row is None else (row,)
    ordered = sorted(rows, key=lambda row: (-counts[row], row))
    synsets = ((row, wordnet.synset_at(row)) for row in ordered)
    return [Sense(synset.wnid, synset.name, synset.lemmas, int(counts[row])) for row, synset in synsets]


def close_lemmas(text: str) -> list[str]:
    """Return up to five lemmas that are spelled almost like a text, in lower case.

    Words of ImageNet classes at one edit are enough: a letter added, left out or changed, or two neighbours swapped.
    If there are none, other words are returned too, after those of classes.

    Example:
        >>> close_lemmas("dgo")
        ['dog']
    """
    spelled, known = _underlined(text), dict.fromkeys(lemmas()[0])
    one_edit = _edited(spelled) & known.keys() if len(spelled) >= _MIN_EDITED_LETTERS else set()
    close = [lemma for lemma in one_edit if _is_class(lemma)]
    close = close or [*one_edit, *difflib.get_close_matches(spelled, known, 5, 0.75)]

    def rank(lemma: str) -> tuple[bool, bool, bool, float, str]:
        is_swap = sorted(lemma) == sorted(spelled)
        ratio = difflib.SequenceMatcher(None, lemma, spelled).ratio()
        return not _is_class(lemma), lemma not in one_edit, not is_swap, -ratio, lemma

    return [lemma.replace("_", " ") for lemma in sorted(set(close), key=rank)[:5]]


def _edited(text: str) -> set[str]:
    """Return all texts at one edit, in the sense of Damerau, from a text."""
    cuts = [(text[:n], text[n:]) for n in range(len(text) + 1)]
    letters = string.ascii_lowercase + "_-"
    added = {head + letter + tail for head, tail in cuts for letter in letters}
    changed = {head + letter + tail[1:] for head, tail in cuts[:-1] for letter in ("", *letters)}
    swapped = {head + tail[1] + tail[0] + tail[2:] for head, tail in cuts[:-2]}
    return added | changed | swapped


def _is_class(lemma: str) -> bool:
    """Return True if a synset with the lemma has ILSVRC2012 classes at or below it, or is one of the 21,841 classes."""
    rows = wordnet.rows_called(lemma)
    return bool(ilsvrc2012_below()[rows].any()) or not set(wordnet.wnids_of(rows)).isdisjoint(labels.fall11())


def _underlined(text: str) -> str:
    return wordnet.normalised(text).replace(" ", "_")


@functools.cache
def lemmas() -> tuple[list[str], list[int]]:
    """Return every lemma of every synset, in lower case with '_' for a space, and the row of each: 146,347."""
    text = wordnet.lower_text()
    rows = [row for row, line in enumerate(text.split("\n")) for _ in range(line.count(" ") + 1)]
    return text.replace("\n", " ").split(" "), rows


def _ambiguous(text: str, named: list[Sense], *, by_class: bool) -> str:
    counts = [count_of(sense.below, "class" if by_class else "image") for sense in named]
    widths = max(len(sense.name) for sense in named), max(map(len, counts))
    lines = [
        f"  {sense.name:{widths[0]}}  {sense.wnid}  {count:>{widths[1]}}  {', '.join(sense.lemmas).replace('_', ' ')}"
        for sense, count in zip(named, counts, strict=True)
    ]
    n_counted = sum(sense.below > 0 for sense in named)
    having = f"{n_counted or 'none'} of them with any {'ILSVRC2012 classes' if by_class else 'images'}"
    return "\n".join(
        [
            f"{text!r} names {len(named)} synsets, {having}; nothing decides between them:",
            *lines,
            f"Type the name or the wnid of the one that is meant: {named[0].name} in place of {text}.",
        ]
    )


def _unknown(text: str) -> str:
    spelled = wordnet.normalised(text)
    lemma = re.sub(r"\.n\.\d+$", "", spelled).replace("_", " ")
    named = [sense.name for sense in senses(lemma)] if lemma != spelled else []
    if named:
        advice = f"The senses of {lemma!r} are {', '.join(named)}."
    elif is_wnid(spelled):
        advice = "Other versions of WordNet have other numbers."
    elif close := close_lemmas(lemma):
        advice = f"Close to it {are(len(close))} {', '.join(close)}."
    else:
        advice = "`imagenet-tools find` looks inside words too."
    return (
        f"No noun synset of WordNet 3.0 is called {text!r}; expected a wnid (n02084071), a name (dog.n.01) or a lemma "
        f"(dog). {advice}"
    )


# ---- search


def find(text: str, *, limit: int | None = 20) -> list[FoundSynset]:
    """Return the synsets that a text may mean, the best matches first.

    Whole matches come first, then ILSVRC2012's classes, then lemmas with the text as a word, at their beginning, and
    inside. Ties go to the synset with more classes below it.

    Args:
        text: A wnid, name or lemma, a part of one, or the number of a class.
        limit: The greatest number of results; None for all.

    Raises:
        UsageError: An empty text, or a limit below 0.

    Example:
        >>> [(synset.name, synset.why) for synset in find("tabby", limit=2)]
        [('tabby.n.01', 'its lemma tabby'), ('tabby.n.02', 'its lemma tabby')]
    """
    if not text.strip():
        raise UsageError("Nothing to look for; expected a word, a name, a wnid or a number.")
    if limit is not None and limit < 0:
        raise UsageError(f"limit = {limit}; expected a number of synsets, or None for all.")
    below = ilsvrc2012_below()
    index_of, id_of = lists.index_of("ilsvrc2012"), lists.index_of("ilsvrc2012-id")
    is_class = wordnet.mask_of(wordnet.rows_of(index_of))
    best: dict[int, tuple[tuple[int, ...], list[str]]] = {}  # by row: the sort key, and the reasons
    for place, (rank, row, why) in enumerate(_matches(wordnet.normalised(text))):
        not_class = int(not is_class[row])
        whole = (0, rank, place if rank == _NUMBER else 0)
        key = (*(whole if rank < _WORD else (1, not_class, rank)), not_class, -int(below[row]), row)
        if row in best and rank == _NUMBER:
            best[row][1].append(why)
        elif row not in best or key < best[row][0]:
            best[row] = key, [why]
    results = []
    for (*_, row), reasons in sorted(best.values())[:limit]:
        wnid, name, lemmas = wordnet.synset_at(row)[:3]
        ilsvrc_id = id_of[wnid] + 1 if wnid in id_of else None
        why = "; ".join(reasons)
        results.append(FoundSynset(wnid, name, lemmas, index_of.get(wnid), ilsvrc_id, int(below[row]), why))
    return results


def _matches(wanted: str) -> Iterator[tuple[int, int, str]]:
    """Yield (rank, row, reason) of every match of a text as wordnet.normalised returns it."""
    if re.fullmatch(r"\d{1,5}", wanted):
        yield from ((_NUMBER, wordnet.row_of(wnid), why) for wnid, why in lists.numbered(int(wanted)))
    row = wordnet.find_row(wanted)
    if row is not None:
        yield _WHOLE, row, "its wnid" if is_wnid(wanted) else "its name"
    if re.fullmatch(r"n\d{2,7}|\d{5,8}", wanted):
        yield from ((rank, row, "in its wnid") for rank, row in _containing(wanted, wordnet.wnids()))
    wanted = wanted.replace(" ", "_")
    if ".n" in wanted:
        yield from ((rank, row, "in its name") for rank, row in _containing(wanted, wordnet.names()))
    for row, lemma in wordnet.lemmas_with(wanted):
        if lemma == wanted:
            rank = _LEMMA
        elif f"_{wanted}_" in f"_{lemma}_":
            rank = _WORD
        else:
            rank = _BEGINS if lemma.startswith(wanted) else _HOLDS
        yield rank, row, f"its lemma {lemma.replace('_', ' ')}"


def _containing(part: str, texts: wordnet.Texts) -> Iterator[tuple[int, int]]:
    return ((_BEGINS if text.startswith(part) else _HOLDS, row) for row, text in enumerate(texts) if part in text)
