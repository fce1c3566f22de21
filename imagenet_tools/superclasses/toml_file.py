"""Read and write the TOML files of this folder: synsets as `n02084071 dog.n.01`, in tables that people edit.

Both kinds of file begin with `format = 1` and `kind = "..."`. A synset may be typed as a wnid, a name, or both, which
must agree. Every error names the file and the table.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

from imagenet_tools.errors import UnknownSynsetError, UsageError
from imagenet_tools.storage.files import parse_toml
from imagenet_tools.wordnet import wordnet

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

# ---- write


def document(
    kind: str,
    comments: Iterable[str],
    sections: Iterable[tuple[str, Mapping[str, object]]],
    *,
    remarks: Mapping[tuple[str, str], str] | None = None,
) -> str:
    """Return a TOML document.

    Args:
        kind: The value of the key `kind`.
        comments: Lines at the head of the file.
        sections: Headers such as "[rule]" or "[[choice]]", each with its keys and values: texts, numbers, booleans,
            tuples (written on one line) and lists (an item a line).
        remarks: Texts behind values, such as comments, by header and key.
    """
    lines = [*(f"# {comment}" for comment in comments), "format = 1", f'kind = "{kind}"']
    for header, entries in sections:
        lines += ["", header]
        for key, value in entries.items():
            lines.append(f"{key} = {_value_text(value)}" + (remarks or {}).get((header, key), ""))
    return "\n".join(lines) + "\n"


def _value_text(value: object) -> str:
    if isinstance(value, list):
        lines = "".join(f"  {_value_text(item)},\n" for item in value)
        return f"[\n{lines}]" if lines else "[]"
    # JSON spells all other values as TOML does, except for DEL, which TOML allows only as an escape.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def synset_label(wnid: str) -> str:
    """Return a wnid and the synset's name: `n02084071 dog.n.01`."""
    return f"{wnid} {wordnet.name_at(wordnet.row_of(wnid))}"


def synset_text(wnid: str) -> str:
    """Return a synset as a TOML text."""
    return _value_text(synset_label(wnid))


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


def tables_at(where: str, table: Mapping[str, Any], key: str) -> Sequence[Mapping[str, Any]]:
    """Return the tables [[key]], empty if there are none; UsageError if the value is something else."""
    tables = table.get(key, [])
    if not isinstance(tables, list) or not all(isinstance(entry, dict) for entry in tables):
        raise UsageError(f"{where}: found {key} = {tables!r}; expected a table for each entry, [[{key}]].")
    return tables


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
    return wordnet.wnid_at(row)
