"""Read and write the TOML files of this folder: synsets as `n02084071 dog.n.01`, in tables that people edit.

Both kinds of file begin with `format = 1` and `kind = "..."`. A synset may be typed as a wnid, a name, or both, which
must agree. Every error names the file and the table.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imagenet_tools.errors import UnknownSynsetError, UsageError
from imagenet_tools.storage.files import parse_toml, write_whole
from imagenet_tools.wordnet import wordnet

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# ---- write


def document(kind: str, comments: Iterable[str], sections: Iterable[tuple[str, Mapping[str, str]]]) -> str:
    """Return a TOML document.

    Args:
        kind: The value of the key `kind`.
        comments: Lines at the head of the file.
        sections: Headers such as "[rule]" or "[[choice]]", each with its keys and their values in TOML.
    """
    lines = [*(f"# {comment}" for comment in comments), "format = 1", f'kind = "{kind}"']
    for header, entries in sections:
        lines += ["", header, *(f"{key} = {text}" for key, text in entries.items())]
    return "\n".join(lines) + "\n"


def write_document(path: str | Path, text: str) -> None:
    """Write a document, whole or not at all; ExistsError if the path exists."""
    write_whole(Path(path), text.encode())


def value_text(value: object) -> str:
    """Return a text, number, boolean or flat list in TOML."""
    # JSON spells these as TOML does, except for DEL, which TOML allows only as an escape.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def synset_label(wnid: str) -> str:
    """Return a wnid and the synset's name: `n02084071 dog.n.01`."""
    return f"{wnid} {wordnet.name_at(wordnet.row_of(wnid))}"


def synset_text(wnid: str) -> str:
    """Return a synset as a TOML text."""
    return value_text(synset_label(wnid))


def synset_lines(wnids: Iterable[str]) -> str:
    """Return a TOML list of synsets, one a line."""
    lines = "".join(f"  {synset_text(wnid)},\n" for wnid in wnids)
    return f"[\n{lines}]" if lines else "[]"


def synset_list(wnids: Iterable[str]) -> str:
    """Return a TOML list of synsets on one line."""
    return f"[{', '.join(map(synset_text, wnids))}]"


# ---- read


def parse_document(content: str, *, where: str, kind: str, made_by: str, keys: tuple[str, ...]) -> Mapping[str, Any]:
    """Return the top table of a document of one kind.

    Raises:
        UsageError: Not TOML, another kind or format, or a key that is not one of `keys`.
    """
    table = parse_toml(content, where=where, made_by=made_by)
    if table.get("format") != 1 or table.get("kind") != kind:
        problem = f"format {table.get('format')!r}, kind {table.get('kind')!r}"
        raise UsageError(f'{where}: found {problem}; expected format 1, kind "{kind}".')
    check_keys(where, table, ("format", "kind", *keys))
    return table


def table_at(where: str, table: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """Return the table [key], empty if it is missing; UsageError if the value is not a table."""
    value = table.get(key, {})
    if not isinstance(value, dict):
        raise UsageError(f"{where}: found {key} = {value!r}; expected a table, [{key}].")
    return value


def check_keys(where: str, table: Mapping[str, object], keys: tuple[str, ...]) -> None:
    """Raise UsageError if a table has a key that is not one of these."""
    unknown = sorted(set(table) - set(keys))
    if unknown:
        raise UsageError(f"{where}: {unknown[0]!r} is no key here. Expected {', '.join(keys)}.")


def read_synsets(where: str, value: object) -> list[str]:
    """Return the wnids of a list of synsets; UsageError if it is not a list, or names a synset twice."""
    if not isinstance(value, list):
        raise UsageError(f"{where}: expected a list of synsets, found {value!r}.")
    wnids = [read_synset(where, text) for text in value]
    twice = [wnid for wnid, n in Counter(wnids).items() if n > 1]
    if twice:
        raise UsageError(f"{where}: {synset_text(twice[0])} appears twice. Remove one.")
    return wnids


def read_synset(where: str, value: object) -> str:
    """Return the wnid of a synset typed as a wnid, a name, or both; UsageError if the two disagree."""
    if not isinstance(value, str) or not value.strip():
        raise UsageError(f'{where}: expected a synset, such as "n02084071 dog.n.01", found {value!r}.')
    first, _, second = value.strip().partition(" ")
    try:
        row = wordnet.row_of(first)
    except UnknownSynsetError as error:
        raise UnknownSynsetError(f"{where}: {error}") from error
    if second and wordnet.normalised(second) != wordnet.name_at(row):
        raise UsageError(f"{where}: {first} is {wordnet.name_at(row)}, not {second.strip()}. Correct one of them.")
    return wordnet.wnids_of([row])[0]
