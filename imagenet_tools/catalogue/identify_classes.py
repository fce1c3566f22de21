"""Find the published class list that a file of classes equals, in set and in order, or the lists that come close.

A file gives wnids or names. A name means a class if it is one of its lemmas or the name of the synset. All lemmas
joined with ', ', as ImageNet publishes them, mean the class too. A category is meant by its own name. A whole list
decides what its names mean: of the 1,000 names of ILSVRC2012, `crane` at one place is the bird, at another the machine.
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
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from imagenet_tools.catalogue.identify_labels import LabelsFound
    from imagenet_tools.catalogue.lists import ClassList

# Names of torchvision's models (torchvision/models/_meta.py) that are no lemmas.
_OTHER_NAMES = {"n02012849": ("crane bird",), "n03710721": ("maillot tank suit",)}


class Near(NamedTuple):
    """A published list that comes close."""

    name: str
    shared: int  # classes of the file that are in the list
    missing: int  # classes of the list that are not in the file
    extra: int  # classes of the file that are not in the list


class _Differences(NamedTuple):
    """The differences of a file from a list: see ClassesFound."""

    missing: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    ambiguous: Mapping[str, tuple[str, ...]] = {}


@dataclass(frozen=True)
class ClassesFound:
    """The result for a file of classes."""

    n: int
    given: str  # wnids or names
    equal: tuple[str, ...]  # published lists with these classes in this order
    same_set: tuple[str, ...]  # published lists with these classes in another order
    in_order: str  # of wnids: "sorted by wnid", or ""
    near: tuple[Near, ...] = ()  # if none is equal: the closest lists, the best first
    # Differences from the closest list, if it is close:
    missing: tuple[str, ...] = field(default=(), repr=False)  # its classes that are not in the file
    extra: tuple[str, ...] = field(default=(), repr=False)  # classes of the file that it does not have
    ambiguous: Mapping[str, tuple[str, ...]] = field(default_factory=dict, repr=False)  # names, and their classes
    repeated: tuple[str, ...] = field(default=(), repr=False)  # classes that appear twice
    unknown: tuple[str, ...] = field(default=(), repr=False)  # neither synsets of WordNet 3.0 nor names of any

    @property
    def told(self) -> bool:
        """True if a published list has these classes."""
        return bool(self.equal or self.same_set)

    @property
    def why(self) -> str:
        """The result in a sentence."""
        about = f"{self.n:,} {self.given if self.n != 1 else self.given[:-1]}"
        about += f", {self.in_order}" if self.in_order else ""
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


def identify(path: str | Path) -> ClassesFound | LabelsFound:
    """Return which published list a file of classes equals, or how a file of labels counts classes.

    Raises:
        UsageError: The file is neither; imagenet_tools.catalogue.user_files draws the forms of both.
    """
    content = user_files.read(path)
    if isinstance(content, user_files.LabelFile):
        return identify_labels.find(content)
    return _find(content, is_wnids=sum(map(is_wnid, content)) * 2 > len(content))


def _find(texts: Sequence[str], *, is_wnids: bool) -> ClassesFound:
    names = texts if is_wnids else [_plain(text) for text in texts]
    counts = Counter(texts)
    has_repeats = is_wnids and len(counts) < len(texts)  # a name may be repeated: two classes are called crane
    compare = _compare_wnids if is_wnids else _compare_names
    equal, near = [], []
    same_set: list[ClassList] = []
    for listed in _published():
        if not is_wnids and len(listed) > 4 * len(names):
            continue
        is_equal, comparison = compare(names, listed)
        if is_equal:
            equal.append(listed.name)
        elif not has_repeats and not comparison.missing and not comparison.extra:
            same_set.append(listed)
        near.append(comparison)
    is_published = bool(equal or same_set)
    # ImageNet-X groups all of ILSVRC2012's classes, which says nothing about a list of them.
    same_set = [listed for listed in same_set if not listed.categories] or same_set
    # The three lists that share the greatest part of the union.
    near = [listed for listed in near if listed.shared and not is_published]
    closest = sorted(near, key=lambda listed: (-listed.shared / sum(listed[1:]), listed.name))[:3]
    differences = _Differences()
    if closest and closest[0].shared > closest[0].missing + closest[0].extra:
        differences = (_wnid_differences if is_wnids else _name_differences)(texts, lists.get(closest[0].name))
    is_known = _is_synset if is_wnids else _is_name
    return ClassesFound(
        n=len(texts),
        given="wnids" if is_wnids else "names",
        equal=tuple(equal),
        same_set=tuple(listed.name for listed in same_set),
        in_order="sorted by wnid" if is_wnids and list(texts) == sorted(texts) else "",
        near=tuple(closest),
        **differences._asdict(),
        repeated=tuple(text for text, n in counts.items() if n > 1),
        unknown=() if is_published else tuple(name for name in dict.fromkeys(names) if not is_known(name)),
    )


def _published() -> list[ClassList]:
    """Return all lists; of several with the same classes in the same order, as ilsvrc2012 and -slim, the first."""
    by_content: dict[tuple[str, tuple[str, ...]], ClassList] = {}
    for listed in map(lists.get, lists.names(parts=True)):
        by_content.setdefault((listed.sha256, listed.wnids), listed)
    return list(by_content.values())


def _title(wnid: str) -> str:
    return f"{wnid} {wordnet.synset(wnid).name}"


# ---- files of wnids


def _compare_wnids(wnids: Sequence[str], listed: ClassList) -> tuple[bool, Near]:
    classes, members = set(wnids), set(listed.wnids)
    near = Near(listed.name, len(classes & members), len(members - classes), len(classes - members))
    return listed.wnids == tuple(wnids), near


def _wnid_differences(wnids: Sequence[str], listed: ClassList) -> _Differences:
    classes, members = dict.fromkeys(wnids), set(listed.wnids)
    missing = tuple(_title(wnid) for wnid in listed.wnids if wnid not in classes)
    return _Differences(missing, tuple(wnid for wnid in classes if wnid not in members))


def _is_synset(wnid: str) -> bool:
    return wordnet.find_row(wnid) is not None


# ---- files of names


def wnids_of_names(texts: Sequence[str]) -> tuple[str, ...] | None:
    """Return the wnid of each name, by the published list that has all of them and no other class.

    None: there is no such list, lists disagree, or a name may be several of its classes.
    """
    names = [_plain(text) for text in texts]
    results = {_wnids_by_list(names, listed.wnids) for listed in lists.of_length(len(names))} - {None}
    return results.pop() if len(results) == 1 else None


class DecidedNames(NamedTuple):
    """The classes of names of which each can mean one class only."""

    wnids: tuple[str, ...]  # of the names, in order; empty if one of them is not decided
    by: str  # what decides, in words
    undecided: tuple[str, ...] = ()


@functools.lru_cache
def decide(names: tuple[str, ...]) -> DecidedNames:
    """Return the class of each name, if all are wnids, the names of a published list, or lemmas of one synset each.

    Two names of one class are not decided: they would join two classes.

    Example:
        >>> decide(("tench", "goldfish")).wnids, decide(("tench", "crane")).undecided
        (('n01440764', 'n01443537'), ('crane',))
    """
    if all(map(is_wnid, names)):
        unknown = tuple(name for name in names if not _is_synset(name))
        return DecidedNames((), "", unknown) if unknown else DecidedNames(names, "wnids")
    if wnids := wnids_of_names(names):
        return DecidedNames(wnids, "the names of a published list")
    for listed in _published():
        if listed.categories and listed.classes == names and all(each.synsets for each in listed.categories):
            return DecidedNames(tuple(each.synsets[0] for each in listed.categories), f"the names of {listed.name}")
    rows = {name: wordnet.rows_with(name.split(",")) for name in names}
    n_names = Counter(row for found in rows.values() for row in found)
    undecided = tuple(name for name, found in rows.items() if len(found) != 1 or n_names[min(found)] > 1)
    if undecided or len(rows) < len(names):
        return DecidedNames((), "", undecided or names)
    return DecidedNames(tuple(wordnet.wnids_of([min(rows[name]) for name in names])), "names of one synset each")


def classes_of_names(texts: Sequence[str], wnids: Sequence[str]) -> dict[str, set[str]]:
    """Return the classes of a list that each name may mean."""
    places = _places(map(_names_of, wnids))
    return {text: {wnids[place] for place in places.get(_plain(text), ())} for text in texts}


def classes_called(name: str, *, whole: bool = False) -> list[str]:
    """Return the wnids of ILSVRC2012's classes that have a name, in sorted order.

    Those whose first lemma it is come before others, as lists of one name a class have first lemmas: "harp" is no
    harmonica. Of these, the same case decides: "Cardigan" is a dog.

    Args:
        name: A lemma, all lemmas with ', ' between, the name of a synset, or a wnid.
        whole: Prefer the classes whose only or all lemmas these are: "maillot" is not "maillot, tank suit".

    Example:
        >>> classes_called("great_white_shark"), classes_called("crane"), classes_called("harp")
        (['n01484850'], ['n02012849', 'n03126707'], ['n03495258'])
    """
    wnids = lists.get("ilsvrc2012").wnids
    called = [wnids[place] for place in _places_of_ilsvrc2012().get(_plain(name), ())]
    lemmas = {wnid: wordnet.synset(wnid).lemmas for wnid in called}
    exact = [wnid for wnid in called if _plain(", ".join(lemmas[wnid])) == _plain(name)]
    first = [wnid for wnid in called if _plain(lemmas[wnid][0]) == _plain(name)]
    same_case = [wnid for wnid in first if lemmas[wnid][0].replace("_", " ") == name.replace("_", " ")]
    return (exact if whole else []) or same_case or first or called


@functools.cache
def _places_of_ilsvrc2012() -> dict[str, list[int]]:
    return _places(map(_names_of, lists.get("ilsvrc2012").wnids))


def _wnids_by_list(names: Sequence[str], wnids: Sequence[str]) -> tuple[str, ...] | None:
    class_names = [_names_of(wnid) for wnid in wnids]
    if _equal_in_order(names, class_names):
        return tuple(wnids)
    # In another order: give a name its class if only one free class has it, which frees no other choice, and repeat.
    places = _places(class_names)
    free = set(range(len(wnids)))
    place_of: dict[int, int] = {}
    while len(place_of) < len(names):
        candidates = {
            n: [place for place in places.get(name, ()) if place in free]
            for n, name in enumerate(names)
            if n not in place_of
        }
        certain = {n: options[0] for n, options in candidates.items() if len(options) == 1}
        if not certain or len(set(certain.values())) < len(certain):
            return None
        place_of |= certain
        free -= set(certain.values())
    return tuple(wnids[place_of[n]] for n in range(len(names)))


def _compare_names(names: Sequence[str], listed: ClassList) -> tuple[bool, Near]:
    class_names = _class_names(listed)
    shared = len(_matched(names, class_names))
    near = Near(listed.name, shared, len(class_names) - shared, len(names) - shared)
    return _equal_in_order(names, class_names), near


def _name_differences(texts: Sequence[str], listed: ClassList) -> _Differences:
    names, class_names = [_plain(text) for text in texts], _class_names(listed)
    matched, places = _matched(names, class_names), _places(class_names)
    titles = listed.classes if listed.categories else tuple(map(_title, listed.wnids))
    unmatched = set(range(len(class_names))) - matched.keys()
    ambiguous = {
        text: tuple(titles[place] for place in places[name])
        for text, name in zip(texts, names, strict=True)
        if unmatched & set(places.get(name, ()))
    }
    unclear = {title for choices in ambiguous.values() for title in choices}
    missing = tuple(titles[place] for place in sorted(unmatched) if titles[place] not in unclear)
    used = set(matched.values())
    return _Differences(missing, tuple(text for n, text in enumerate(texts) if n not in used), ambiguous)


def _plain(text: str) -> str:
    return " ".join(text.replace("_", " ").split()).casefold()


@functools.cache
def _names_of(wnid: str) -> frozenset[str]:
    synset = wordnet.synset(wnid)
    lemmas = [_plain(lemma) for lemma in synset.lemmas]
    return frozenset([*lemmas, ", ".join(lemmas), _plain(synset.name), wnid, *_OTHER_NAMES.get(wnid, ())])


def _class_names(listed: ClassList) -> list[frozenset[str]]:
    if listed.categories:
        return [frozenset([_plain(category.name)]) for category in listed.categories]
    return [_names_of(wnid) for wnid in listed.wnids]


def _equal_in_order(names: Sequence[str], class_names: Sequence[frozenset[str]]) -> bool:
    return len(names) == len(class_names) and all(name in known for name, known in zip(names, class_names, strict=True))


def _places(class_names: Iterable[frozenset[str]]) -> dict[str, list[int]]:
    """Return the places of a list that each name may mean."""
    places: dict[str, list[int]] = {}
    for place, names in enumerate(class_names):
        for name in names:
            places.setdefault(name, []).append(place)
    return places


def _matched(names: Sequence[str], class_names: Sequence[frozenset[str]]) -> dict[int, int]:
    """Return a greatest matching, by place of a class the name that has it: `crane` twice is the bird and the machine.

    Kuhn's algorithm: a name without a free class takes one whose name can move to another.
    """
    places = _places(class_names)
    holder: dict[int, int] = {}

    def give(number: int, tried: set[int]) -> bool:
        for place in places.get(names[number], ()):
            if place not in tried:
                tried.add(place)
                if place not in holder or give(holder[place], tried):
                    holder[place] = number
                    return True
        return False

    for number in range(len(names)):
        give(number, set())
    return holder


def _is_name(name: str) -> bool:
    return bool(wordnet.rows_with(name.split(","))) or _is_synset(name)
