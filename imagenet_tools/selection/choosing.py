"""Make a selection from words, from a recipe, or from a lock."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from imagenet_tools.selection import lock, recipe
from imagenet_tools.selection.selection import Selection
from imagenet_tools.selection.words import Choice, read_words
from imagenet_tools.store.store import Store


def choose(index: Store, words: Mapping[str, Any], *, near: Path | None = None) -> Selection:
    """Return the selection that words make.

    Args:
        index: An open index.
        words: Values by Python keyword, as the command line and `Index.select` pass them.
        near: Paths of files are relative to this folder; default: the current one.

    Raises:
        UsageError: A value is not understood.
        QueryError: A condition is not one SQL condition over the tables.
    """
    folder = near or Path.cwd()
    choice = Choice(**read_words(words, index.synset, folder))
    for condition in choice.where:
        index.condition("--where", condition, choice.with_)
    for condition in choice.class_where:
        index.condition("--class-where", condition)
    return Selection(index, choice, near=folder)


def by_recipe(index: Store, path: str | Path) -> Selection:
    """Return the selection that a recipe, or a lock, makes.

    Raises:
        UsageError: The file is neither.
        SourceError: Images that the lock pins are not in the index, or have another class there.
    """
    path = Path(path)
    if lock.is_lock(path):
        pinned = pin(index, path)
        lock.check_all_here(pinned)
        return pinned
    return choose(index, recipe.read(path).words, near=path.absolute().parent)


def pin(index: Store, path: str | Path) -> Selection:
    """Return the images that a lock pins; some of them may be missing from the index."""
    return Selection(index, pinned=lock.read(path))
