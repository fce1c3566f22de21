"""Options that several commands share, and the index and the selection that they name."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from imagenet_tools.cli.printing import note
from imagenet_tools.errors import UsageError
from imagenet_tools.selection.words import SELECTION, Word

if TYPE_CHECKING:
    from imagenet_tools.catalogue.terms import ResolvedSynset
    from imagenet_tools.index import Index
    from imagenet_tools.selection.selection import Selection

Command = Callable[..., Any]

# The settings of a click option for a kind of word; other kinds are plain text.
_SETTINGS: dict[str, dict[str, Any]] = {
    "flag": {"is_flag": True},
    "number": {"type": int},
    "texts": {"multiple": True},
    "pairs": {"multiple": True},
}

output_file_option = click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="Write to this file, which must not exist."
)
root_option = click.option(
    "--root",
    "roots",
    multiple=True,
    metavar="NAME=PATH",
    help="Where a source of the index is now. Repeatable; $IMAGENET_ROOTS sets the same.",
)
recipe_option = click.option(
    "--recipe",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE|LOCK",
    help="Choose by a recipe or a lock instead of by flags.",
)


def output_options(command: Command) -> Command:
    """Add --json and -i, which may stand before or after the name of the command."""

    @click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
    @click.option("-i", "--index", "index_path", type=click.Path(path_type=Path), help="The index to use.")
    @click.pass_context
    @functools.wraps(command)
    def wrapped(ctx: click.Context, /, *args: object, as_json: bool, index_path: Path | None, **options: object) -> Any:
        before = ctx.find_root().obj or {}
        index_path = index_path or before.get("index")
        return command(*args, as_json=as_json or bool(before.get("json")), index_path=index_path, **options)

    return wrapped


def word_options(words: Iterable[Word]) -> Callable[[Command], Command]:
    """Return a decorator that adds a flag for each word."""

    def decorate(command: Command) -> Command:
        for word in reversed(tuple(words)):
            choices = {"type": click.Choice(word.kind.split("|"))} if "|" in word.kind else {}
            settings = _SETTINGS.get(word.kind, choices)
            text = word.help[0].upper() + word.help[1:] + "."
            option = click.option(word.flag, word.keyword, help=text, metavar=word.metavar or None, **settings)
            command = option(command)
        return command

    return decorate


selection_options = word_options(SELECTION)


def chosen_words(words: Mapping[str, Any], table: Iterable[Word] = SELECTION) -> dict[str, Any]:
    """Return the words of a table that the user set, by keyword."""
    from imagenet_tools.selection.choice import pairs as parse_pairs

    chosen = {}
    for word in table:
        value = words[word.keyword]
        if value is not None and value is not False and value != ():
            chosen[word.keyword] = parse_pairs(word.flag, value) if word.kind == "pairs" else value
    return chosen


def open_index(path: Path | None, roots: Iterable[str] = ()) -> Index:
    """Open the index at a path, or the default index, with the NAME=PATH roots of its sources."""
    from imagenet_tools.index import Index
    from imagenet_tools.store.sources import parse_roots

    return Index.open(path, roots=parse_roots(roots))


def select(index: Index, words: Mapping[str, Any]) -> Selection:
    """Return the selection that flags make. Notes on stderr say which sense of a lemma was taken."""
    for text in (*words["under"], *words["also_under"], *words["without"]):
        note_sense(index.resolve(text))
    return index.select(**chosen_words(words))


def choose(index: Index, words: Mapping[str, Any], recipe: Path | None) -> Selection:
    """Return the selection that flags, a recipe or a lock make; raise UsageError for flags beside a recipe."""
    if recipe is None:
        return select(index, words)
    if chosen := chosen_words(words):
        flags = ", ".join(word.flag for word in SELECTION if word.keyword in chosen)
        raise UsageError(
            f"Found {flags} beside the recipe {recipe}, which chooses the images. Edit the recipe instead."
        )
    from imagenet_tools.selection.choosing import by_recipe

    return by_recipe(index, recipe)


def note_sense(taken: ResolvedSynset) -> str:
    """Return the wnid of a resolved synset. A note says which sense was taken if the lemma has several."""
    if taken.guessed:
        note(taken.note)
    return taken.wnid


def resolve(text: str) -> str:
    """Return the wnid of a synset without an index."""
    from imagenet_tools.catalogue import terms

    return note_sense(terms.resolve(text))


def format_by_suffix(output: Path | None, suffixes: Mapping[str, str]) -> str | None:
    """Return the format that the suffix of an output names; None without an output."""
    if output is None:
        return None
    if output.suffix.lower() not in suffixes:
        raise UsageError(
            f"-o {output}: no format has this suffix. Expected one of {', '.join(suffixes)}, or add --format."
        )
    return suffixes[output.suffix.lower()]
