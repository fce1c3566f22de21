"""A recipe: a selection as a TOML file to keep and to run again. Its keys are those of words.py.

    format = 1
    name = "dogs-no-toys"
    seed = 0
    [images]                                    dataset, from, images, where, parameter, with, exclude, boxed
    from = ["train", "val"]
    where = ["least(width, height) >= 128"]
    [classes]                                   under ... order
    under = ["n02084071 dog.n.01"]              a wnid, a name, or both, which must agree
    [split]                                     by, groups, per_class, limit
    by = "official"
    per_class = { train = 300, val = 50 }
    [export.yolo]                               options of an export, by target
    names = "lemma"

Files are named relative to the recipe.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from imagenet_tools.arguments import fits, keyword_types
from imagenet_tools.errors import UsageError
from imagenet_tools.selection.words import BY_KEYWORD, EXPORT, SELECTION, ExportOptions, SelectionWords, Word
from imagenet_tools.storage.files import parse_toml, read_text, write_whole
from imagenet_tools.superclasses.toml_file import check_keys, read_synset, table_at
from imagenet_tools.wordnet import wordnet
from imagenet_tools.wordnet.wnid import is_wnid

if TYPE_CHECKING:
    from imagenet_tools.selection.selection import Selection

FORMAT = 1
_SECTIONS = tuple(dict.fromkeys(word.section for word in SELECTION if word.section))
# The type of the value of each word, by keyword.
_TYPES = keyword_types(SelectionWords) | keyword_types(ExportOptions)


class Recipe(NamedTuple):
    """A recipe as it was read."""

    words: dict[str, Any]  # by Python keyword; types are checked, values are not resolved
    export: dict[str, dict[str, Any]]  # options by target


# ---- Write


def is_lock_name(path: Path) -> bool:
    """Return True if a file is named as a lock, dogs.lock.toml or lock.toml, whatever it holds."""
    return path.name == "lock.toml" or path.name.endswith(".lock.toml")


def save(selection: Selection, path: str | Path, *, name: str = "") -> Path:
    """Write a selection as a recipe, atomically.

    Raises:
        ExistsError: Something is at `path`.
        UsageError: The file name is that of a lock.
    """
    path = Path(path)
    if is_lock_name(path):
        raise UsageError(f"{path}: a file of this name is a lock. Give the recipe another name, such as dogs.toml.")
    write_whole(path, text(selection, name=name or path.stem, near=path.absolute().parent).encode())
    return path


def text(selection: Selection, *, name: str, near: Path | None = None) -> str:
    """Return a selection as the text of a recipe; equal selections give equal texts."""
    import tomli_w

    return tomli_w.dumps({"format": FORMAT, "name": name, **tables(selection, near=near)}, indent=2)


def tables(selection: Selection, *, near: Path | None = None) -> dict[str, Any]:
    """Return the words of a selection by the tables of a recipe; for a lock, the words that the lock was made with."""
    if selection.pinned is not None:
        return dict(selection.pinned.recipe)
    values = selection.choice.values(near)
    sections: dict[str, dict[str, Any]] = {section: {} for section in ("", *_SECTIONS)}
    for word in SELECTION:
        if word.key in values:
            sections[word.section][word.key] = values[word.key]
    return sections.pop("") | {section: rows for section, rows in sections.items() if rows}


# ---- Read


def read(path: str | Path) -> Recipe:
    """Read and check a recipe.

    Raises:
        UsageError: The file cannot be read, or something in it is wrong; the message names the place.
    """
    return parse(load(Path(path)), Path(path))


def load(path: Path) -> dict[str, Any]:
    """Read a TOML file as plain values.

    Raises:
        UsageError: It cannot be read, or is no TOML.
    """
    made_by = "subset FILE.toml"
    return parse_toml(read_text(path, made_by), where=str(path), made_by=made_by)


def parse(table: Mapping[str, Any], path: Path) -> Recipe:
    """Return the recipe that the values of a file make; without a key `format` it has format 1. See read."""
    if not table:  # a file that was cut to nothing would choose every image
        raise UsageError(f"{path}: found nothing in it; expected a recipe, as `subset FILE.toml` writes it.")
    if repr(table.get("format", FORMAT)) != str(FORMAT) or "kind" in table:  # repr: neither true nor 1.0 is 1
        kind = f", kind {table['kind']!r}" if "kind" in table else ""
        raise UsageError(f"{path}: found format {table.get('format')!r}{kind}; expected a recipe of format {FORMAT}.")
    top = [word for word in SELECTION if not word.section]
    check_keys(str(path), table, ("format", "name", *(word.key for word in top), *_SECTIONS, "export"))
    words = _values(f"{path},", top, table)
    for section in _SECTIONS:
        where = f"{path}, [{section}]"
        rows = table_at(str(path), table, section)
        section_words = [word for word in SELECTION if word.section == section]
        check_keys(where, rows, tuple(word.key for word in section_words))
        words |= _values(f"{path},", section_words, rows)
    name = table.get("name", "")
    if not isinstance(name, str):
        raise UsageError(f"{path}, name: found {name!r}; expected a text.")
    return Recipe(words, options(path, table.get("export", {})))


def options(path: Path, table: Any) -> dict[str, dict[str, Any]]:
    """Return the options of exports, by target and keyword, from the table `export` of a recipe or a lock."""
    if not isinstance(table, dict) or not all(isinstance(rows, dict) for rows in table.values()):
        raise UsageError(f"{path}, export: expected a table a target, such as [export.yolo].")
    for target, rows in table.items():
        check_keys(f"{path}, [export.{target}]", rows, tuple(word.key for word in EXPORT))
    return {target: _values(f"{path}, [export.{target}]", EXPORT, rows) for target, rows in table.items()}


def _values(where: str, words: Iterable[Word], table: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a table by keyword, after a check of their types and of the synsets in them."""
    return {word.keyword: _value(f"{where} {word.key}", word, table[word.key]) for word in words if word.key in table}


def _value(where: str, word: Word, value: Any) -> Any:
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else [value]
    if not fits(value, _TYPES[word.keyword]) or any("\0" in str(part) for part in parts):
        metavar = word.metavar or word.kind
        raise UsageError(f"{where}: found {value!r}; expected {metavar}: {word.help}.")
    if not word.form.synsets:
        return value
    if isinstance(value, list):
        return [_synset(where, text) for text in value]
    return _synset(where, value) if word.kind == "texts" else value


def _synset(where: str, text: str) -> str:
    """Return the wnid of `wnid name`, which must agree; a wnid or a name alone is returned as it is."""
    return read_synset(where, text) if is_wnid(text.strip().partition(" ")[0]) and " " in text.strip() else text.strip()


# ---- Other spellings


def python(words: Mapping[str, Any]) -> str:
    """Return words as a call of index.select.

    Example:
        >>> python({"under": ["n02084071"], "per_class": "300"})
        'index.select(under="dog.n.01", per_class="300")'
    """
    texts = []
    for keyword, value in words.items():
        synsets = BY_KEYWORD[keyword].form.synsets
        values = [spelled(synsets, str(part)) for part in value] if isinstance(value, list) else value
        shown = values[0] if isinstance(values, list) and len(values) == 1 else values
        texts.append(f"{keyword}={'True' if shown is True else json.dumps(shown, ensure_ascii=False)}")
    return f"index.select({', '.join(texts)})"


def spelled(is_synset: bool, text: str) -> str:
    """Return a wnid as the name of its synset, which people read more easily."""
    row = wordnet.find_row(text) if is_synset else None
    return text if row is None else wordnet.name_at(row)
