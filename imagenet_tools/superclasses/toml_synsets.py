"""Synsets as they stand in a TOML file that people edit: written with wnid and name, read with what was wrong."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

from imagenet_tools.errors import UnknownSynsetError, UsageError
from imagenet_tools.storage.files import parse_toml
from imagenet_tools.wordnet import wordnet

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping


# ---- written


def listed(key: str, wnids: Iterable[str]) -> Iterator[str]:
    """The lines of a list of synsets, one a line."""
    lines = [f"  {synset(wnid)}," for wnid in wnids]
    yield from [f"{key} = [", *lines, "]"] if lines else [f"{key} = []"]


def synset(wnid: str) -> str:
    """A synset as a TOML text: its wnid and its name."""
    return value(named(wnid))


def named(wnid: str) -> str:
    """A synset as it is written: its wnid and its name."""
    return f"{wnid} {wordnet.name_at(wordnet.row_of(wnid))}"


def value(given: object) -> str:
    """A text, a number, a truth or a flat list in TOML."""
    # JSON's texts, numbers, truths and flat lists are TOML's too, but for one letter.
    return json.dumps(given, ensure_ascii=False).replace("\x7f", "\\u007f")


# ---- read


def parsed(content: str, *, where: str, kind: str, made_by: str, keys: tuple[str, ...]) -> Mapping[str, Any]:
    """The table of a file of one kind; UsageError: it is no TOML, of another kind or format, or has another key."""
    table = parse_toml(content, where=where, made_by=made_by)
    if table.get("format") != 1 or table.get("kind") != kind:
        found = f"format {table.get('format')!r}, kind {table.get('kind')!r}"
        raise UsageError(f'{where}: found {found}; expected format 1, kind "{kind}".')
    known(where, table, ("format", "kind", *keys))
    return table


def tables(where: str, table: Mapping[str, object], key: str) -> list[Mapping[str, object]]:
    """The tables [[key]]; UsageError: there is none."""
    found = table.get(key, [])
    if not isinstance(found, list) or not found or not all(isinstance(one, dict) for one in found):
        raise UsageError(f"{where}: found no [[{key}]]. Expected one for each {key}, with synset, name and members.")
    return found


def table_of(where: str, table: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """The table [key], empty where there is none; UsageError: something else is called so."""
    found = table.get(key, {})
    if not isinstance(found, dict):
        raise UsageError(f"{where}: found {key} = {found!r}; expected a table, [{key}].")
    return found


def known(where: str, table: Mapping[str, object], keys: tuple[str, ...]) -> None:
    """UsageError: a table has a key that is not one of these."""
    unknown = sorted(set(table) - set(keys))
    if unknown:
        raise UsageError(f"{where}: {unknown[0]!r} is no key here. Expected {', '.join(keys)}.")


def wnids(where: str, given: object) -> list[str]:
    """The wnids of a list of synsets; UsageError: it is no list, or one stands twice."""
    if not isinstance(given, list):
        raise UsageError(f"{where}: expected a list of synsets, found {given!r}.")
    found = [wnid(where, text) for text in given]
    twice = [wnid for wnid, n in Counter(found).items() if n > 1]
    if twice:
        raise UsageError(f"{where}: {synset(twice[0])} stands twice. Take one out.")
    return found


def wnid(where: str, written: object) -> str:
    """The wnid of a synset written as a wnid, a name, or both."""
    if not isinstance(written, str) or not written.strip():
        raise UsageError(f'{where}: expected a synset, such as "n02084071 dog.n.01", found {written!r}.')
    first, _, second = written.strip().partition(" ")
    try:
        row = wordnet.row_of(first)
    except UnknownSynsetError as error:
        raise UnknownSynsetError(f"{where}: {error}") from error
    if second and wordnet.spelled(second) != wordnet.name_at(row):
        raise UsageError(f"{where}: {first} is {wordnet.name_at(row)}, not {second.strip()}. Correct one of them.")
    return wordnet.wnids_of([row])[0]
