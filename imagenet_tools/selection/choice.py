"""What a selection was told: the value of every word of words.py, checked, with synsets as wnids."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING

from imagenet_tools.errors import UsageError
from imagenet_tools.selection.splits import OFFICIAL, Split
from imagenet_tools.selection.words import SELECTION, Word

if TYPE_CHECKING:
    from imagenet_tools.catalogue.lists import Category


# ---- Superclasses as a selection takes them: which each class is joined to, by a file, a published list or a,b,c.


@dataclass(frozen=True)
class Joined:
    """Superclasses in order, each known by a wnid, and the way to tell which of them a class belongs to."""

    said: str  # a published name or an absolute path; empty: the synsets themselves were given
    order: tuple[str, ...]
    members: tuple[tuple[str, str], ...] | None = field(default=None, repr=False)  # (class, superclass), of a file
    list_name: str = ""  # of a published list

    def of(self, wnids: Iterable[str]) -> dict[str, str]:
        """The superclass of each class that has one."""
        if self.members is not None:
            known = dict(self.members)
            return {wnid: known[wnid] for wnid in wnids if wnid in known}
        from imagenet_tools.catalogue import class_maps, lists

        classes = lists.made("the classes", list(wnids))
        target = lists.get(self.list_name) if self.list_name else lists.made("the superclasses", self.order)
        # Of synsets, a class goes to the nearest above it; a published category says itself what it takes in.
        found = class_maps.class_map(classes, target, ancestors=not target.categories)
        return {wnid: self.order[place] for wnid, place in zip(classes.wnids, found.target, strict=True) if place >= 0}


def joined(given: str | Iterable[str], resolve: Callable[[str], str], near: Path) -> Joined:
    """Superclasses: a file that `classes cut` wrote, a published list, a,b,c, or the synsets themselves."""
    from imagenet_tools.catalogue import lists
    from imagenet_tools.superclasses import superclass_file

    if not isinstance(given, str):
        return _of_synsets([resolve(text) for text in given])
    path = Path(given).expanduser()
    path = (near / path).absolute()
    name = given.strip().lower()
    if name in lists.names(parts=True):
        target = lists.get(name)
        if not target.categories:
            return Joined(name, target.wnids, list_name=name)
        return Joined(name, _known_by(name, target.categories), list_name=name)
    if path.is_file():
        made = superclass_file.read(path)
        order = tuple(one.wnid for one in made.superclasses)
        return Joined(str(path), order, tuple(sorted(made.superclass_of().items())))
    if "/" in given or path.suffix == ".toml":
        raise UsageError(f"--superclasses {given}: no such file. Expected a file of `classes cut`, a list, or a,b,c.")
    return _of_synsets([resolve(text.strip()) for text in given.split(",") if text.strip()])


def _of_synsets(wnids: list[str]) -> Joined:
    if not wnids or len(set(wnids)) < len(wnids):
        raise UsageError(f"--superclasses: found {', '.join(wnids) or 'none'}; expected synsets, each once.")
    return Joined("", tuple(wnids))


def _known_by(name: str, categories: Iterable[Category]) -> tuple[str, ...]:
    """The wnid that each category is known by: its first synset, or the lowest one above all its members."""
    from imagenet_tools.wordnet import wordnet

    found: list[str] = []
    for one in categories:
        wnid = one.synsets[0] if one.synsets else _above_all(one.members)
        if wnid is None or wnid in found:
            what = "no synset" if wnid is None else f"{wordnet.synset(wnid).name}, as another category has"
            message = f"--superclasses {name}: for its category '{one.name}' found {what}; expected one of its own."
            raise UsageError(message)
        found.append(wnid)
    return tuple(found)


def _above_all(members: tuple[str, ...]) -> str | None:
    from imagenet_tools.wordnet import hierarchy

    if not members:
        return None
    shared = set.intersection(*(set(hierarchy.ancestors(member)) for member in members))
    return max(sorted(shared), key=hierarchy.max_depth)


# ----


ORDERS = ("wnid", "listed", "ilsvrc-id")


@dataclass(frozen=True)
class ClassSelection:
    """A list of classes as it was said, and the wnids that it means, in its order."""

    said: str  # a published name; empty: the wnids themselves were given, or a file of them
    wnids: tuple[str, ...]


@dataclass(frozen=True)
class Choice:
    """The words of a selection and their values; what was not said has the value that leaves everything as it is."""

    dataset: tuple[str, ...] = ()
    from_: tuple[str, ...] = ()  # empty: all of them, or train alone for a new split
    under: tuple[str, ...] = ()  # wnids, any of them
    also_under: tuple[str, ...] = ()  # wnids, each of them
    without: tuple[str, ...] = ()  # wnids
    classes: ClassSelection | None = None
    class_where: tuple[str, ...] = ()
    nested: str = "keep"
    superclasses: Joined | None = None
    images: tuple[str, ...] = ()
    where: tuple[str, ...] = ()
    parameter: Mapping[str, object] = field(default_factory=dict)
    with_: Mapping[str, str] = field(default_factory=dict)  # absolute paths
    exclude: tuple[str, ...] = ()
    boxed: bool = False
    min_images: int | None = None
    max_images: int | None = None
    split: Split = OFFICIAL
    groups: str | None = None  # an absolute path
    per_class: Mapping[str, int] = field(default_factory=dict)  # images a class by split; "" for every split
    limit: int | None = None
    order: str | None = None  # None: listed where a list of classes or superclasses was given, else by wnid
    seed: int = 0

    def __post_init__(self) -> None:
        for word in SELECTION:
            value = getattr(self, word.keyword)
            choices = word.kind.split("|")
            if len(choices) > 1 and value is not None and value not in choices:
                raise UsageError(f"{word.flag} {value}: expected one of {', '.join(choices)}.")
        for keyword in ("min_images", "max_images", "limit"):
            n = getattr(self, keyword)
            if n is not None and n < 1:
                flag = "--" + keyword.replace("_", "-")
                raise UsageError(f"{flag} {n}: expected a whole number above 0.")
        if self.groups is not None and self.split.by == "official":
            raise UsageError("--groups keeps groups together in a new split; expected --split as well, found none.")
        if self.order == "listed" and self.classes is None and self.superclasses is None:
            raise UsageError("--order listed: found no list; expected --classes or --superclasses as well.")

    def values(self, near: Path | None = None) -> dict[str, object]:
        """The words that were said, by recipe key, as plain values: synsets as `wnid name`, files relative to `near`.

        Without `near` files are named without their folders, so that no machine shows.
        """
        said: dict[str, object] = {}
        for word in SELECTION:
            value = getattr(self, word.keyword)
            if value != _DEFAULTS[word.keyword]:
                said[word.key] = _plain(word, value, near)
        return said | {"seed": self.seed}

    def files(self) -> dict[str, str]:
        """The files that the words name, as absolute paths, by the name that values() gives them."""
        paths = [*self.with_.values(), *((self.groups,) if self.groups else ())]
        paths += [text for text in (*self.images, *self.exclude) if Path(text).is_absolute()]
        paths += [self.superclasses.said] if self.superclasses and Path(self.superclasses.said).is_absolute() else []
        return {Path(path).name: path for path in paths}


_DEFAULTS = {one.name: getattr(Choice(), one.name) for one in fields(Choice)}


def _plain(word: Word, value: object, near: Path | None) -> object:
    from imagenet_tools.wordnet import wordnet

    def named(wnid: str) -> str:
        return f"{wnid} {wordnet.synset(wnid).name}"

    def placed(text: str) -> str:
        path = Path(text)
        if not path.is_absolute():
            return text
        return path.name if near is None else _relative(path, near)

    if isinstance(value, ClassSelection):
        return value.said or [named(wnid) for wnid in value.wnids]
    if isinstance(value, Joined):
        return placed(value.said) if value.said else [named(one) for one in value.order]
    if isinstance(value, Split):
        return str(value)
    if word.keyword in ("under", "also_under", "without"):
        return [named(wnid) for wnid in value]  # type: ignore[attr-defined]  # the field holds wnids
    if isinstance(value, tuple):
        return [placed(text) for text in value] if word.keyword in ("images", "exclude") else list(value)
    if isinstance(value, Mapping):
        if word.keyword == "with_":
            return {name: placed(path) for name, path in value.items()}
        return value[""] if list(value) == [""] else dict(value)
    return placed(value) if word.keyword == "groups" and isinstance(value, str) else value


def _relative(path: Path, near: Path) -> str:
    return Path(os.path.relpath(path, near)).as_posix()


def texts(given: str | Iterable[str]) -> tuple[str, ...]:
    """One text, or several."""
    return (given,) if isinstance(given, str) else tuple(given)


def comma_separated(given: str | Iterable[str]) -> tuple[str, ...]:
    """Texts that may each hold several, with ',' between."""
    return tuple(part.strip() for text in texts(given) for part in text.split(",") if part.strip())


def pairs(word: str, given: Mapping[str, object] | Iterable[str]) -> dict[str, object]:
    """A mapping, or NAME=VALUE texts; UsageError for anything else."""
    if isinstance(given, Mapping):
        return dict(given)
    found: dict[str, object] = {}
    for text in texts(given):
        name, equals, value = text.partition("=")
        if not (name.isidentifier() and equals and value) or name in found:
            raise UsageError(f"{word} {text}: expected NAME=VALUE, each name once.")
        found[name] = value
    return found


def number_or_text(value: object) -> object:
    """A text that spells a number as that number: what a parameter typed on the command line means."""
    if isinstance(value, str):
        for read in (int, float):
            try:
                return read(value)
            except ValueError:
                continue
    return value


def absolute(text: str, near: Path) -> str:
    """A path, absolute; what is relative lies in `near`."""
    return str((near / Path(text).expanduser()).absolute())


def listed(given: str | Iterable[str], resolve: Callable[[str], str], near: Path) -> ClassSelection:
    """The classes of a list: a published name, a file, a,b,c, or the synsets themselves."""
    from imagenet_tools.catalogue import given_lists

    published = given_lists.published(given) if isinstance(given, str) else None
    if isinstance(given, str):
        path = absolute(given, near)
        found = tuple(given_lists.read_list(path if given_lists.is_file(path) else given, resolve))
    else:
        found = tuple(given_lists.resolve_all(list(given), resolve))
    if published is not None:
        return ClassSelection(published.name, tuple(dict.fromkeys(found)))
    if len(set(found)) < len(found):
        twice = sorted({wnid for wnid in found if found.count(wnid) > 1})
        raise UsageError(f"The list of classes names {', '.join(twice)} more than once. Expected each class once.")
    return ClassSelection("", found)
