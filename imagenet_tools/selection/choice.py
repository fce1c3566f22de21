"""Read the values of a selection's words, and write them as plain values for a recipe."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from imagenet_tools.arguments import is_frame
from imagenet_tools.errors import UsageError
from imagenet_tools.selection.splits import parse_amount, parse_split
from imagenet_tools.text import count_of

if TYPE_CHECKING:
    import pyarrow as pa

    from imagenet_tools.arguments import Frame
    from imagenet_tools.catalogue.lists import Category, ClassList


# 007, 1_000 and nan stay texts.
_NUMBER = re.compile(r"(?P<integer>-?(?:0|[1-9][0-9]*))|-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")

# Before a list of classes in the word exclude: classes that it shares are left out.
OVERLAP = "overlap:"


class ValueContext(NamedTuple):
    """The context in which a value is read."""

    flag: str  # the word's flag, for errors
    resolve: Callable[[str], str]  # gives the wnid of a synset's name
    folder: Path  # paths of files are relative to it


class ValueForm(NamedTuple):
    """The way the value of a word is typed, read, and written in a recipe near a folder (None: file names alone).

    `kind` is flag (present or absent), text, number, texts (repeatable, or a list), pairs (NAME=VALUE, repeatable),
    amount (a number, or a number for each split), or the allowed values with '|' between them.
    """

    kind: str
    read: Callable[[Any, ValueContext], Any] = lambda raw, _: raw
    write: Callable[[Any, Path | None], Any] = lambda value, _: list(value) if isinstance(value, tuple) else value
    synsets: bool = False  # a recipe may give a list of `wnid name`


@dataclass(frozen=True)
class ClassSelection:
    """Classes or superclasses in order, each identified by a wnid."""

    source: str  # the published name, or the absolute path of a file of superclasses; empty for others
    wnids: tuple[str, ...]
    members: tuple[tuple[str, str], ...] | None = field(default=None, repr=False)  # (class, superclass), from a file

    def superclass_of(self, wnids: Iterable[str]) -> dict[str, str]:
        """Return the superclass of each class that has one."""
        if self.members is not None:
            known = dict(self.members)
            return {wnid: known[wnid] for wnid in wnids if wnid in known}
        from imagenet_tools.catalogue import class_maps, lists

        classes = lists.from_wnids("the classes", list(wnids))
        target = lists.get(self.source) if self.source else lists.from_wnids("the superclasses", self.wnids)
        # A class goes to the nearest synset above it. A published category lists its members, so no ancestors there.
        mapped = class_maps.class_map(classes, target, ancestors=not target.categories)
        superclasses = [wnid for wnid, _ in self._categories()] or self.wnids
        places = zip(classes.wnids, mapped.target, strict=True)
        return {wnid: superclass for wnid, place in places if place >= 0 and (superclass := superclasses[place])}

    def categories(self) -> dict[str, Category]:
        """Return the category of the published list that each superclass is, by wnid; empty for other superclasses."""
        return {wnid: category for wnid, category in self._categories() if wnid}

    def without_synset(self) -> list[Category]:
        """Return the categories of the list that WordNet has no noun for: they are no superclasses."""
        return [category for wnid, category in self._categories() if not wnid]

    def _categories(self) -> list[tuple[str, Category]]:
        from imagenet_tools.catalogue import lists

        if not self.source or self.members is not None:
            return []
        listed = lists.get(self.source)
        return list(zip(_category_wnids(listed), listed.categories, strict=True))


# ---- Texts, pairs and paths


def texts(raw: str | Iterable[str]) -> tuple[str, ...]:
    """Return one text, or several, as a tuple."""
    return (raw,) if isinstance(raw, str) else tuple(raw)


def pairs(flag: str, raw: Iterable[str]) -> dict[str, object]:
    """Return the texts NAME=VALUE of the command line as a dictionary.

    Raises:
        UsageError: A text is no NAME=VALUE, or a name is there twice.
    """
    values: dict[str, object] = {}
    for text in raw:
        name, equals, value = text.partition("=")
        if not (name.isidentifier() and equals and value) or name in values:
            raise UsageError(f"{flag} {text}: expected NAME=VALUE, each name once.")
        values[name] = value
    return values


def _number_or_text(value: object) -> object:
    """Return the number that a text spells as Python does, else the value: the command line gives texts alone."""
    if isinstance(value, str) and (match := _NUMBER.fullmatch(value)):
        return int(value) if match["integer"] else float(value)
    return value


def plain(value: Any) -> object:
    """Return a number of NumPy as one of Python, which DuckDB and recipes take; other values as they are."""
    return value.item() if getattr(value, "shape", None) == () else value


def absolute(path: str, folder: Path) -> str:
    """Return a path, relative to a folder, as an absolute path."""
    return str((folder / Path(path).expanduser()).absolute())


def _relative(text: str, near: Path | None) -> str:
    """Return an absolute path as a recipe near it names it; other texts, such as published names, as they are."""
    if text.startswith(OVERLAP):
        return OVERLAP + _relative(text.removeprefix(OVERLAP), near)
    path = Path(text)
    if not path.is_absolute():
        return text
    return path.name if near is None else Path(os.path.relpath(path, near)).as_posix()


def _labels(wnids: Iterable[str]) -> list[str]:
    from imagenet_tools.superclasses.toml_file import synset_label

    return list(map(synset_label, wnids))


def _write_classes(value: ClassSelection, near: Path | None) -> str | list[str]:
    return _relative(value.source, near) if value.source else _labels(value.wnids)


def _user_table(table: str | Path | Frame, folder: Path) -> str | pa.Table:
    """Return a file as its absolute path, and a table in memory as an Arrow table."""
    if is_frame(table):
        from imagenet_tools.store.connection import as_table

        return as_table(table)
    return absolute(str(table), folder)


def _write_user_table(name: str, table: str | pa.Table, near: Path | None) -> str:
    if isinstance(table, str):
        return _relative(table, near)
    if near is not None:
        raise UsageError(
            f"The table {name} is in memory; a recipe names files. Write it to a file, such as {name}.parquet, and "
            "pass its path."
        )
    return f"a table in memory of {count_of(len(table), 'row')}"


# ---- Lists of classes, superclasses and images


def _class_list(raw: str | Iterable[str], context: ValueContext) -> ClassSelection:
    """Read a published list, a file, a,b,c, or synsets."""
    from imagenet_tools.catalogue import given_lists

    published = given_lists.published(raw) if isinstance(raw, str) else None
    if isinstance(raw, str):
        path = absolute(raw, context.folder)
        wnids = given_lists.read_list(path if given_lists.is_file(path) else raw, context.resolve)
    else:
        wnids = given_lists.resolve_all(list(raw), context.resolve)
    if published is not None:
        return ClassSelection(published.name, tuple(dict.fromkeys(wnids)))
    twice = sorted(wnid for wnid, n in Counter(wnids).items() if n > 1)
    if twice:
        raise UsageError(f"The list of classes names {', '.join(twice)} more than once. Expected each class once.")
    return ClassSelection("", tuple(wnids))


def _superclasses(raw: str | Iterable[str], context: ValueContext) -> ClassSelection:
    """Read a file that `classes cut` wrote, a published list, a,b,c, or synsets."""
    from imagenet_tools.catalogue import given_lists
    from imagenet_tools.superclasses import superclasses

    if isinstance(raw, str):
        published, path = given_lists.published(raw), Path(absolute(raw, context.folder))
        if published is not None:
            wnids = tuple(filter(None, _category_wnids(published))) or published.wnids
            return ClassSelection(raw.strip().lower(), wnids)
        if given_lists.is_file(str(path)):
            cut = superclasses.read(path)
            members = tuple(sorted(cut.superclass_of().items()))
            return ClassSelection(str(path), tuple(superclass.wnid for superclass in cut.superclasses), members)
        if "/" in raw or path.suffix == ".toml":
            raise UsageError(f"{context.flag} {raw}: no such file. Expected a file of `classes cut`, a list, or a,b,c.")
        raw = [text.strip() for text in raw.split(",") if text.strip()]
    synsets = tuple(map(context.resolve, raw))
    if not synsets or len(set(synsets)) < len(synsets):
        raise UsageError(f"{context.flag}: found {', '.join(synsets) or 'none'}; expected synsets, each once.")
    return ClassSelection("", synsets)


def _category_wnids(listed: ClassList) -> tuple[str, ...]:
    """Return the wnid that identifies each category: its first synset, or the lowest one above all its members.

    It is "" for a category without either: stop signs are no synset of WordNet 3.0.
    """
    from imagenet_tools.wordnet import wordnet

    wnids: list[str] = []
    for category in listed.categories:
        wnid = category.synsets[0] if category.synsets else _lowest_above(category.members)
        if wnid and wnid in wnids:
            raise UsageError(
                f"--superclasses {listed.name}: for its category '{category.name}' found {wordnet.synset(wnid).name}, "
                "as another category has; expected one of its own."
            )
        wnids.append(wnid)
    return tuple(wnids)


def _lowest_above(members: tuple[str, ...]) -> str:
    from imagenet_tools.wordnet import hierarchy

    above = [set(hierarchy.ancestors(member)) for member in members]
    return max(sorted(set.intersection(*above)), key=hierarchy.max_depth) if above else ""


def _image_list(text: str, context: ValueContext) -> str:
    """Return a published or special name as it is, and a file of ids as its absolute path."""
    from imagenet_tools.catalogue import given_lists, image_lists

    is_exclude = context.flag == "--exclude"
    if is_exclude and text.startswith(OVERLAP):
        return OVERLAP + _class_source(text.removeprefix(OVERLAP), context)
    special = ("defects",) if is_exclude else ()
    if text in special or image_lists.find(text) is not None:
        return text
    path = absolute(text, context.folder)
    if not given_lists.is_file(path):
        known = ", ".join((*special, *image_lists.names()))
        raise UsageError(f"{context.flag} {text}: no such list or file. Expected a file of ids, or one of {known}.")
    return path


def _class_source(text: str, context: ValueContext) -> str:
    """Return a published list as it is, an index or a file as its absolute path, and synsets as their wnids."""
    from imagenet_tools.catalogue import given_lists
    from imagenet_tools.store.layout import is_index

    published = given_lists.published(text)
    if published is not None:
        return published.name
    path = absolute(text, context.folder)
    if given_lists.is_file(path) or is_index(Path(path)):
        return path
    return ",".join(given_lists.read_list(text, context.resolve))


# ---- The forms of values

FLAG = ValueForm("flag")
NUMBER = ValueForm("number")
TEXTS = ValueForm("texts", lambda raw, _: texts(raw))
COMMA_SEPARATED = ValueForm(
    "texts",
    lambda raw, _: tuple(part.strip() for text in texts(raw) for part in text.split(",") if part.strip()),
)
SYNSETS = ValueForm(
    "texts",
    lambda raw, context: tuple(map(context.resolve, texts(raw))),
    lambda value, _: _labels(value),
    synsets=True,
)
CLASS_LIST = ValueForm("text", _class_list, _write_classes, synsets=True)
SUPERCLASSES = ValueForm("text", _superclasses, _write_classes, synsets=True)
IMAGE_LISTS = ValueForm(
    "texts",
    lambda raw, context: tuple(_image_list(text, context) for text in texts(raw)),
    lambda value, near: [_relative(text, near) for text in value],
)
PARAMETERS = ValueForm("pairs", lambda raw, _: {name: _number_or_text(plain(value)) for name, value in raw.items()})
USER_TABLES = ValueForm(
    "pairs",
    lambda raw, context: {name: _user_table(table, context.folder) for name, table in raw.items()},
    lambda value, near: {name: _write_user_table(name, table, near) for name, table in value.items()},
)
FILE = ValueForm("text", lambda raw, context: absolute(str(raw), context.folder), _relative)
SPLIT = ValueForm("text", lambda raw, _: parse_split(raw), lambda value, _: str(value))
AMOUNT = ValueForm("amount", lambda raw, _: parse_amount(raw), lambda value, _: value.get("", value))
