"""Resolve a text that names classes: a published list, a file of classes, or synsets with ',' between."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from imagenet_tools.catalogue import identify_classes, lists, user_files
from imagenet_tools.errors import UnknownSynsetError, UsageError
from imagenet_tools.wordnet import wordnet
from imagenet_tools.wordnet.wnid import is_wnid

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from imagenet_tools.catalogue.lists import ClassList

_FILE_SUFFIXES = (".txt", ".csv", ".json", ".yaml", ".yml", ".lst")


def published(text: str) -> ClassList | None:
    """Return the published list, or part of one, that a text names; None if it names none."""
    return lists.get(text) if text.strip().lower() in lists.names(parts=True) else None


def is_file(text: str) -> bool:
    """Return True if a text names a file; False also if it is longer than a file name can be."""
    return os.path.isfile(text)  # noqa: PTH113 (Path.is_file raises an error there)


def read_list(text: str, resolve: Callable[[str], str]) -> list[str]:
    """Return the wnids that a text means, in order.

    Args:
        text: A published list, a file, or a,b,c.
        resolve: Returns the wnid of what a class is called.

    Raises:
        UsageError: No such file, a file of labels, or a list whose classes are categories.
    """
    listed = published(text)
    if listed is not None:
        if any(not category.members for category in listed.categories):
            raise UsageError(
                f"The classes of {listed.name} are categories, given by synsets and all below them. Expected a "
                f"list of classes: see `classes map ilsvrc2012 {listed.name}` for those in each category."
            )
        return list(listed.wnids)
    if is_file(text):
        texts = user_files.read_classes(text)
        try:
            return resolve_all(texts, resolve)
        except UsageError as error:
            raise type(error)(f"{text}: {error}") from error
    if "/" in text or text.endswith(_FILE_SUFFIXES):
        problem = "it is a folder" if os.path.isdir(text) else "no such file"  # noqa: PTH112 (as in is_file)
        raise UsageError(f"{text}: {problem}. Expected a published list, a file with a class a line, or a,b,c.")
    texts = [part.strip() for part in text.split(",") if part.strip()]
    if not texts:
        raise UsageError(f"{text!r} names no class. Expected a published list, a file with a class a line, or a,b,c.")
    try:
        return resolve_all(texts, resolve)
    except UnknownSynsetError as error:
        if len(texts) > 1:
            raise
        problem = f"No published class list is called {text!r} (`imagenet-tools classes list` names them), and no file."
        raise type(error)(f"{problem} {lists.nearest(text) or error}") from error


def resolve_all(texts: Sequence[str], resolve: Callable[[str], str]) -> list[str]:
    """Return the wnids of classes: by the published list that has exactly these names, else each by `resolve`."""
    numbers = [text for text in texts if text.isdecimal()]
    if numbers:
        raise UsageError(_number_advice(numbers))
    if not all(map(is_wnid, texts)):
        wnids = identify_classes.wnids_of_names(texts)
        if wnids is not None:
            return list(wnids)
    return [_by_several_lemmas(text) or resolve(text) for text in texts]


def _by_several_lemmas(text: str) -> str | None:
    """Return the wnid of a synset given by several of its lemmas, as `tench, Tinca tinca`; None for another text."""
    rows = wordnet.rows_with(text.split(",")) if "," in text else ()
    return wordnet.wnids_of(list(rows))[0] if len(rows) == 1 else None


def _number_advice(numbers: Sequence[str]) -> str:
    """Return the error for class numbers: their meanings, and how to give the classes instead."""
    first = int(numbers[0][:9])
    meanings = [f"{wnid} {wordnet.synset(wnid).name} ({words})" for wnid, words in lists.numbered(first)]
    problem = f"Found the class {'number' if len(numbers) == 1 else 'numbers'} {', '.join(numbers[:5])}"
    problem += f" and {len(numbers) - 5:,} more" if len(numbers) > 5 else ""
    means = f" {first} is {' or '.join(meanings[:2])}." if meanings else f" No list has a class {first}."
    by_index = lists.get("ilsvrc2012").wnids
    wnids = [by_index[int(text[:9])] for text in numbers if int(text[:9]) < len(by_index)]
    example = f", such as {','.join(wnids[:5])} if ilsvrc2012's sorted order is meant" if wnids else ""
    return (
        f"{problem}; every list numbers its classes in its own way.{means} Expected wnids or names{example}. "
        "`imagenet-tools classes show ilsvrc2012` prints the wnid, number and name of every class, "
        f"`imagenet-tools find {first}` what a number is in each list."
    )
