"""Which published class list a list of one's own equals, in set and in order, and which come close.

A list may give wnids or names. A name counts for a class if it is one of its lemmas, all of them joined with ', ' as
ImageNet publishes them, or the synset's name; for a category, if it is the category's name. By the same rule a list
decides what its names mean: of the 1,000 names of ILSVRC2012, `crane` in one place is the bird, in another the machine.
"""

from __future__ import annotations

import functools
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from imagenet_tools.catalogue import identify_labels, lists, user_files
from imagenet_tools.wordnet import wordnet
from imagenet_tools.wordnet.wnid import is_wnid

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence, Set
    from pathlib import Path

    from imagenet_tools.catalogue.identify_labels import LabelsFound
    from imagenet_tools.catalogue.lists import ClassList
    from imagenet_tools.catalogue.user_files import ClassFile


class Near(NamedTuple):
    """A published list that comes close."""

    name: str
    shared: int  # classes of the file that are in it; of names, those that stand in the same place
    missing: int  # classes of it that are not in the file
    extra: int  # classes of the file that are not in it


@dataclass(frozen=True)
class ClassesFound:
    """What a file of classes was found to be."""

    n: int
    given: str  # wnids or names
    equal: tuple[str, ...]  # published lists with these classes in this order
    same_set: tuple[str, ...]  # published lists with these classes in another order
    in_order: str  # of wnids: "sorted by wnid", or ""
    near: tuple[Near, ...] = ()  # where none is equal: the closest lists, the best first
    # How the closest list differs, where it shares more classes than it does not:
    missing: tuple[str, ...] = field(default=(), repr=False)  # classes of it that are not in the file
    extra: tuple[str, ...] = field(default=(), repr=False)  # classes of the file that are not in it
    ambiguous: Mapping[str, tuple[str, ...]] = field(default_factory=dict, repr=False)  # names, and what each may be
    repeated: tuple[str, ...] = field(default=(), repr=False)  # classes that stand twice
    unknown: tuple[str, ...] = field(default=(), repr=False)  # what is no synset of WordNet 3.0, or of no known name

    @property
    def told(self) -> bool:
        """Whether a published list has these classes."""
        return bool(self.equal or self.same_set)

    @property
    def why(self) -> str:
        """In a sentence."""
        about = f"{self.n:,} {self.given if self.n != 1 else self.given[:-1]}" + (
            f", {self.in_order}" if self.in_order else ""
        )
        about += f", {len(self.repeated):,} of them repeated" if self.repeated else ""
        about += f", {len(self.unknown):,} of them unknown to WordNet 3.0" if self.unknown else ""
        if self.equal:
            return f"{about}: equal to {' and '.join(self.equal)}, in this order."
        if self.same_set:
            return f"{about}: the classes of {' and '.join(self.same_set)}, in another order."
        if not self.near:
            return f"{about}: like no published list."
        best = self.near[0]
        return (
            f"{about}: equal to no published list. The closest, {best.name}, has {best.shared:,} of them, "
            f"and {best.missing:,} others."
        )


def find(given: ClassFile) -> ClassesFound:
    """The published lists that a file's classes equal, or come close to."""
    texts = given.texts
    if sum(map(is_wnid, texts)) * 2 > len(texts):
        return _of_wnids(texts)
    return _of_names(texts)


def _published() -> list[ClassList]:
    """All lists; of several with the same classes in the same order, as ilsvrc2012 and -slim, the first."""
    by_hash = {(one.sha256, one.wnids): one for one in map(lists.get, reversed(lists.names(parts=True)))}
    return list(reversed(by_hash.values()))


def _of_wnids(texts: Sequence[str]) -> ClassesFound:
    mine, counts = set(texts), Counter(texts)
    equal = tuple(one.name for one in _published() if one.wnids == tuple(texts))
    same_set = tuple(
        one.name for one in _published() if one.name not in equal and len(texts) == len(mine) and set(one.wnids) == mine
    )
    near = _closest([] if equal or same_set else [_near(one, set(one.wnids), mine) for one in _published()])
    closest = lists.get(near[0].name).wnids if near and _is_close(near[0]) else ()
    theirs = set(closest)
    return ClassesFound(
        n=len(texts),
        given="wnids",
        equal=equal,
        same_set=same_set,
        in_order="sorted by wnid" if list(texts) == sorted(texts) else "",
        near=near,
        missing=tuple(_called(wnid) for wnid in closest if wnid not in mine),
        extra=tuple(text for text in dict.fromkeys(texts) if closest and text not in theirs),
        repeated=tuple(text for text, n in counts.items() if n > 1),
        unknown=tuple(text for text in counts if wordnet.find_row(text) is None),
    )


def _near(one: ClassList, theirs: Set[str], mine: Set[str]) -> Near:
    return Near(one.name, len(mine & theirs), len(theirs - mine), len(mine - theirs))


def _closest(near: Sequence[Near]) -> tuple[Near, ...]:
    """The three that share most of what either has."""
    like = [one for one in near if one.shared]
    return tuple(sorted(like, key=lambda one: (-one.shared / (one.shared + one.missing + one.extra), one.name))[:3])


def _is_close(near: Near) -> bool:
    return near.shared > near.missing + near.extra


def _called(wnid: str) -> str:
    return f"{wnid} {wordnet.synset(wnid).name}"


# ---- names


def wnids_of_names(texts: Sequence[str]) -> tuple[str, ...] | None:
    """Return the wnid of each name, by the published list that has all of them and no other class.

    None: there is no such list, lists disagree, or a name may be several of its classes.
    """
    said = [_plain(text) for text in texts]
    found = {_wnids_in(said, one.wnids) for one in lists.of_length(len(said))} - {None}
    return found.pop() if len(found) == 1 else None


def _wnids_in(said: Sequence[str], wnids: Sequence[str]) -> tuple[str, ...] | None:
    theirs = [_names_of(wnid) for wnid in wnids]
    if all(name in names for name, names in zip(said, theirs, strict=True)):
        return tuple(wnids)
    # In another order, each name must have a class for itself once those are taken that can be no other's.
    places = _places(theirs)
    free, left, found = set(range(len(wnids))), set(range(len(said))), list(wnids)
    while left:
        sure = [(n, [place for place in places.get(said[n], ()) if place in free]) for n in sorted(left)]
        sure = [(n, candidates) for n, candidates in sure if len(candidates) == 1]
        if not sure:
            return None
        for n, (place,) in sure:
            if place not in free:
                return None
            found[n] = wnids[place]
            free.remove(place)
            left.remove(n)
    return tuple(found)


def _of_names(texts: Sequence[str]) -> ClassesFound:
    said = [_plain(text) for text in texts]
    equal, same_set, near = [], [], []
    for one in _published():
        if len(one) > 4 * len(said):
            continue
        theirs = _names(one)
        if len(said) == len(theirs) and all(name in names for name, names in zip(said, theirs, strict=True)):
            equal.append(one.name)
        shared = len(_matched(said, theirs))
        if len(said) == len(theirs) == shared:
            same_set.append(one.name)
        near.append(Near(one.name, shared, len(theirs) - shared, len(said) - shared))
    closest = _closest([] if equal or same_set else near)
    missing, extra, ambiguous = _differing(texts, closest[0]) if closest else ((), (), {})
    return ClassesFound(
        n=len(texts),
        given="names",
        equal=tuple(equal),
        same_set=tuple(name for name in same_set if name not in equal),
        in_order="",
        near=closest,
        missing=missing,
        extra=extra,
        ambiguous=ambiguous,
        repeated=tuple(text for text, n in Counter(texts).items() if n > 1),
        unknown=() if equal or same_set else tuple(dict.fromkeys(name for name in said if not _known(name))),
    )


def _plain(text: str) -> str:
    return " ".join(text.replace("_", " ").split()).casefold()


@functools.cache
def _names_of(wnid: str) -> frozenset[str]:
    synset = wordnet.synset(wnid)
    lemmas = [_plain(lemma) for lemma in synset.lemmas]
    return frozenset([*lemmas, ", ".join(lemmas), _plain(synset.name), wnid])


def _names(one: ClassList) -> list[frozenset[str]]:
    if one.categories:
        return [frozenset([_plain(category.name)]) for category in one.categories]
    return [_names_of(wnid) for wnid in one.wnids]


def _places(theirs: Iterable[frozenset[str]]) -> dict[str, list[int]]:
    """Return the places of a list that each name may mean."""
    places: dict[str, list[int]] = {}
    for place, names in enumerate(theirs):
        for name in names:
            places.setdefault(name, []).append(place)
    return places


def _matched(said: Sequence[str], theirs: Sequence[frozenset[str]]) -> dict[int, int]:
    """Return which of the names has which place, each its own: `crane` twice is the bird and the machine."""
    places = _places(theirs)
    holder: dict[int, int] = {}

    def give(number: int, tried: set[int]) -> bool:
        for place in places.get(said[number], ()):
            if place not in tried:
                tried.add(place)
                if place not in holder or give(holder[place], tried):
                    holder[place] = number
                    return True
        return False

    for number in range(len(said)):
        give(number, set())
    return holder


def _differing(texts: Sequence[str], near: Near) -> tuple[tuple[str, ...], tuple[str, ...], dict[str, tuple[str, ...]]]:
    """Return the classes of a close list that no name means, the names that it lacks, and those that may be several."""
    if not _is_close(near):
        return (), (), {}
    said, one = [_plain(text) for text in texts], lists.get(near.name)
    theirs = _names(one)
    holder, places = _matched(said, theirs), _places(theirs)
    called = one.classes if one.categories else tuple(map(_called, one.wnids))
    without, matched = set(range(len(theirs))) - holder.keys(), set(holder.values())
    ambiguous = {
        text: tuple(called[place] for place in places[name])
        for text, name in zip(texts, said, strict=True)
        if without & set(places.get(name, ()))
    }
    unclear = {choice for choices in ambiguous.values() for choice in choices}
    missing = tuple(called[place] for place in sorted(without) if called[place] not in unclear)
    extra = tuple(text for n, text in enumerate(texts) if n not in matched)
    return missing, extra, ambiguous


def _known(name: str) -> bool:
    return bool(wordnet.rows_with(name.split(","))) or wordnet.find_row(name) is not None


# ---- What a file of classes or of labels is: told by identify_classes for the one, by identify_labels for the other.


def identify(path: str | Path) -> ClassesFound | LabelsFound:
    """Which published list a file of classes equals, or in which order and base a file of labels counts classes.

    UsageError: the file is neither; imagenet_tools.catalogue.user_files draws what it may be.
    """
    given = user_files.read(path)
    if isinstance(given, user_files.ClassFile):
        return find(given)
    return identify_labels.find(given)
