"""A recipe: a selection as a TOML file to keep and to run again, its keys those of words.py.

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

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from imagenet_tools.errors import UnknownSynsetError, UsageError
from imagenet_tools.selection.words import EXPORT, SELECTION, Word
from imagenet_tools.storage.files import parse_toml, read_text, write_whole
from imagenet_tools.wordnet import wordnet

if TYPE_CHECKING:
    from imagenet_tools.selection.selection import Selection

FORMAT = 1
_SYNSETS = ("under", "also_under", "without", "classes", "superclasses")
_SECTIONS = tuple(dict.fromkeys(word.section for word in SELECTION if word.section))


class Recipe(NamedTuple):
    """A recipe as it was read."""

    path: Path
    name: str
    words: dict[str, Any]  # by Python keyword, checked, not yet resolved
    export: dict[str, dict[str, Any]]  # options by target


# ---- written


def is_lock_name(path: Path) -> bool:
    """Return True if a file is called as a lock is, dogs.lock.toml or lock.toml, whatever it holds."""
    return path.name == "lock.toml" or path.name.endswith(".lock.toml")


def save(selection: Selection, path: str | Path, *, name: str = "") -> Path:
    """Write a selection as a recipe, whole; ExistsError where something is at `path`."""
    path = Path(path)
    if is_lock_name(path):
        raise UsageError(f"{path}: a file of this name is a lock. Give the recipe another name, such as dogs.toml.")
    write_whole(path, text(selection, name=name or path.stem, near=path.absolute().parent).encode())
    return path


def text(selection: Selection, *, name: str, near: Path | None = None) -> str:
    """A selection as a recipe's text; the same selection gives the same text."""
    import tomli_w

    return tomli_w.dumps({"format": FORMAT, "name": name, **tables(selection, near=near)}, indent=2)


def tables(selection: Selection, *, near: Path | None = None) -> dict[str, Any]:
    """The words of a selection by the tables of a recipe; of a lock's images those that made the lock."""
    if selection.pinned is not None:
        return dict(selection.pinned.recipe)
    values = selection.choice.values(near)
    found: dict[str, Any] = {word.key: values[word.key] for word in SELECTION if not word.section}
    for section in _SECTIONS:
        keys = [word.key for word in SELECTION if word.section == section and word.key in values]
        if keys:
            found[section] = {key: values[key] for key in keys}
    return found


# ---- read


def read(path: str | Path) -> Recipe:
    """Read and check a recipe; UsageError, with the place, says what is wrong in it."""
    path = Path(path)
    return parse(load(path), path)


def load(path: Path) -> dict[str, Any]:
    """A TOML file as plain values; UsageError: it cannot be read, or is no TOML."""
    made_by = "subset FILE.toml"
    return parse_toml(read_text(path, made_by), where=str(path), made_by=made_by)


def parse(table: Mapping[str, Any], path: Path) -> Recipe:
    """The recipe that a file's values are: see read. Without a format it is of the first one."""
    if repr(table.get("format", FORMAT)) != str(FORMAT) or "kind" in table:  # not true, nor 1.0
        kind = f", kind {table['kind']!r}" if "kind" in table else ""
        raise UsageError(f"{path}: found format {table.get('format')!r}{kind}; expected a recipe of format {FORMAT}.")
    tops = {word.key for word in SELECTION if not word.section}
    _known(str(path), table, ("format", "name", *sorted(tops), *_SECTIONS, "export"))
    words: dict[str, Any] = {}
    for section in ("", *_SECTIONS):
        rows = table.get(section, {}) if section else {key: table[key] for key in table if key in tops}
        if not isinstance(rows, dict):
            raise UsageError(f"{path}: {section} is {rows!r}; expected a table, [{section}].")
        mine = {word.key: word for word in SELECTION if word.section == section}
        _known(f"{path}, [{section}]", rows, tuple(mine))
        words |= {mine[key].keyword: _value(f"{path}, {key}", mine[key], value) for key, value in rows.items()}
    name = table.get("name", path.stem)
    if not isinstance(name, str):
        raise UsageError(f"{path}, name: found {name!r}; expected a text.")
    return Recipe(path, name, words, options(path, table.get("export", {})))


def _known(where: str, table: Mapping[str, Any], keys: Iterable[str]) -> None:
    unknown = sorted(set(table) - set(keys))
    if unknown:
        raise UsageError(f"{where}: {unknown[0]!r} is no key here. Expected {', '.join(keys)}.")


def _value(where: str, word: Word, value: Any) -> Any:
    """A value of the kind that the word has; synsets checked."""
    kinds: dict[str, Callable[[Any], bool]] = {
        "flag": lambda given: isinstance(given, bool),
        "number": lambda given: type(given) is int,
        "amount": lambda given: type(given) is int or _table_of(given, int),
        "pairs": lambda given: _table_of(given, (int, float, str)),
        "texts": lambda given: isinstance(given, str) or _list_of_texts(given),
        "text": lambda given: (
            isinstance(given, str)
            or (word.keyword in _SYNSETS and _list_of_texts(given))
            or (word.keyword == "split" and _table_of(given, (int, float)))
            or (word.keyword == "shard_size" and type(given) is int)
        ),
    }
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else [value]
    fits = kinds.get(word.kind, lambda given: isinstance(given, str))
    if not fits(value) or any("\0" in str(part) for part in parts):
        metavar = word.metavar or word.kind
        raise UsageError(f"{where}: found {value!r}; expected {metavar}: {word.help}.")
    if word.keyword in _SYNSETS and isinstance(value, list):
        return [_synset(where, one) for one in value]
    if word.keyword in ("under", "also_under", "without"):
        return [_synset(where, value)]
    return value


def _table_of(given: Any, kinds: type | tuple[type, ...]) -> bool:
    values = given.values() if isinstance(given, dict) else [None]
    return all(isinstance(value, kinds) and not isinstance(value, bool) for value in values)


def _list_of_texts(given: Any) -> bool:
    return isinstance(given, list) and all(isinstance(one, str) for one in given)


def _synset(where: str, written: str) -> str:
    """The synset of `wnid name`, which must agree; what is one of them alone is left as it is."""
    first, _, second = written.strip().partition(" ")
    try:
        row = wordnet.find_row(first)
        if row is None or not second or (not first.startswith("n0") and not first.startswith("n1")):
            return written.strip()
        if wordnet.spelled(second) != wordnet.name_at(row):
            raise UsageError(f"{where}: {first} is {wordnet.name_at(row)}, not {second.strip()}. Correct one of them.")
    except UnknownSynsetError as error:
        raise UnknownSynsetError(f"{where}: {error}") from error
    return wordnet.wnids_of([row])[0]


def options(path: Path, found: Any) -> dict[str, dict[str, Any]]:
    """The options of exports, by target and keyword, of the table `export` of a recipe, or of the recipe in a lock."""
    if not isinstance(found, dict) or not all(isinstance(one, dict) for one in found.values()):
        raise UsageError(f"{path}, export: expected a table a target, such as [export.yolo].")
    words = {word.key: word for word in EXPORT}
    for target, said in found.items():
        _known(f"{path}, [export.{target}]", said, tuple(words))
    return {
        target: {
            words[key].keyword: _value(f"{path}, [export.{target}] {key}", words[key], value)
            for key, value in said.items()
        }
        for target, said in found.items()
    }
