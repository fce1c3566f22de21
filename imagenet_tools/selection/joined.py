"""Superclasses as a selection takes them: which each class is joined to, by a file, a published list or a,b,c."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from imagenet_tools.errors import UsageError

if TYPE_CHECKING:
    from imagenet_tools.class_lists.lists import Category


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
        from imagenet_tools.class_lists import class_maps, lists

        classes = lists.made("the classes", list(wnids))
        target = lists.get(self.list_name) if self.list_name else lists.made("the superclasses", self.order)
        # Of synsets, a class goes to the nearest above it; a published category says itself what it takes in.
        found = class_maps.class_map(classes, target, ancestors=not target.categories)
        return {wnid: self.order[place] for wnid, place in zip(classes.wnids, found.target, strict=True) if place >= 0}


def joined(given: str | Iterable[str], resolve: Callable[[str], str], near: Path) -> Joined:
    """Superclasses: a file that `classes cut` wrote, a published list, a,b,c, or the synsets themselves."""
    from imagenet_tools.class_lists import lists
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
    from imagenet_tools import wordnet

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
    from imagenet_tools import hierarchy

    if not members:
        return None
    shared = set.intersection(*(set(hierarchy.ancestors(member)) for member in members))
    return max(sorted(shared), key=hierarchy.max_depth)
