"""The classes that a text means: a published list by its name, a file of classes, or synsets with ',' between."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from imagenet_tools.class_lists import lists, user_files
from imagenet_tools.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from imagenet_tools.class_lists.lists import ClassList


def published(text: str) -> ClassList | None:
    """The published list, or part of one, that a text names; None: it names none."""
    return lists.get(text) if text.strip().lower() in lists.names(parts=True) else None


def read_list(text: str, resolve: Callable[[str], str]) -> list[str]:
    """The wnids that a text means, in their order; `resolve` gives the wnid of what a class is called.

    UsageError: there is no such file, it is one of labels, or the list is one of categories that are no classes.
    """
    listed = published(text)
    if listed is not None:
        if any(not one.members for one in listed.categories):
            message = (
                f"The classes of {listed.name} are categories, given by synsets and what lies below them. Expected a "
                f"list of classes: see `classes map ilsvrc2012 {listed.name}` for those in each category."
            )
            raise UsageError(message)
        return list(listed.wnids)
    if Path(text).is_file():
        return [resolve(one) for one in user_files.read_classes(text)]
    if "/" in text or text.endswith((".txt", ".csv", ".json")):
        message = f"{text}: no such file. Expected a published list, a file with a class a line, or a,b,c."
        raise UsageError(message)
    return [resolve(one.strip()) for one in text.split(",") if one.strip()]
