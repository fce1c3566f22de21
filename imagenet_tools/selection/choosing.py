"""A selection made at once: of words, as the command line and Index.select give them, of a recipe, or of a lock."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from imagenet_tools.selection import choice as said
from imagenet_tools.selection import image_ids, lock, recipe
from imagenet_tools.selection.choice import Choice, joined
from imagenet_tools.selection.selection import Selection
from imagenet_tools.selection.splits import parse_amount, parse_split
from imagenet_tools.store.store import Store


def choose(index: Store, words: Mapping[str, Any], *, near: Path | None = None) -> Selection:
    """The selection that words make, by their Python keywords; paths are relative to `near`, else to where this runs.

    UsageError: a value is not understood. QueryError: a condition is none.
    """
    chosen = Selection(index, near=near or Path.cwd())
    resolve, folder = index.synset, chosen.near
    readers: dict[str, Callable[[Any], object]] = {
        "dataset": said.texts,
        "from_": said.comma_separated,
        "under": lambda given: tuple(map(resolve, said.texts(given))),
        "also_under": lambda given: tuple(map(resolve, said.texts(given))),
        "without": lambda given: tuple(map(resolve, said.texts(given))),
        "classes": lambda given: said.listed(given, resolve, folder),
        "class_where": said.texts,
        "superclasses": lambda given: joined(given, resolve, folder),
        "images": lambda given: tuple(image_ids.absolute("--images", one, folder) for one in said.texts(given)),
        "where": said.texts,
        "parameter": lambda given: {
            name: said.number_or_text(value) for name, value in said.pairs("--parameter", given).items()
        },
        "with_": lambda given: {
            name: said.absolute(str(path), folder) for name, path in said.pairs("--with", given).items()
        },
        "exclude": lambda given: tuple(image_ids.absolute("--exclude", one, folder) for one in said.texts(given)),
        "split": parse_split,
        "groups": lambda given: said.absolute(str(given), folder),
        "per_class": parse_amount,
    }
    given = {keyword: value for keyword, value in words.items() if value is not None}
    values = {keyword: readers[keyword](value) if keyword in readers else value for keyword, value in given.items()}
    choice = Choice(**values)  # type: ignore[arg-type]  # Choice checks what no reader did
    for condition in choice.where:
        index.condition("--where", condition, choice.with_)
    for condition in choice.class_where:
        index.condition("--class-where", condition)
    return replace(chosen, choice=choice)


def by_recipe(index: Store, path: str | Path) -> Selection:
    """The selection that a recipe, or a lock, makes of an index; UsageError: the file is neither.

    SourceError: images that a lock pins are not in the index, or are of another class there.
    """
    path = Path(path)
    if lock.is_lock(path):
        pinned = pin(index, path)
        lock.check_all_here(pinned)
        return pinned
    return choose(index, recipe.read(path).words, near=path.absolute().parent)


def pin(index: Store, path: str | Path) -> Selection:
    """The images that a lock pins, whatever form they have in an index, and whether or not all are there."""
    return Selection(index, pinned=lock.read(path))
