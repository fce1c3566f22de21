"""Options that several commands share, and the index and the selection that they name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from imagenet_tools.cli.printing import note, print_json
from imagenet_tools.errors import UsageError
from imagenet_tools.selection.choice import pairs
from imagenet_tools.selection.words import SELECTION, Word
from imagenet_tools.text import did_you_mean, printable

if TYPE_CHECKING:
    from imagenet_tools.catalogue.terms import ResolvedSynset
    from imagenet_tools.index import Index
    from imagenet_tools.selection.selection import Selection

Function = Callable[..., Any]

PATH = click.Path(path_type=Path)
EXISTING = click.Path(path_type=Path, exists=True)
EXISTING_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
TOML_FILE = click.Path(path_type=Path, dir_okay=False)


def _remember(ctx: click.Context, option: click.Parameter, value: object) -> None:
    """Keep the value of an option, if it is set, for the functions below. The last value counts."""
    if value is not None and value is not False and value != ():
        ctx.meta[option.name or ""] = value


class HeadedOption(click.Option):
    """An option below a heading of the help."""

    def __init__(self, *args: Any, heading: str, **settings: Any):
        super().__init__(*args, **settings)
        self.heading = heading


class Command(click.Command):
    """A command whose help shows options below headings; those without one come last."""

    last_heading = "Options"

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, heading by heading."""
        records: dict[str, list[tuple[str, str]]] = {heading: [] for heading in (*HEADINGS, self.last_heading)}
        for param in self.get_params(ctx):
            if isinstance(param, click.Option) and (record := param.get_help_record(ctx)):
                records[getattr(param, "heading", self.last_heading)].append(record)
        for heading, lines in records.items():
            if lines:
                with formatter.section(heading):
                    formatter.write_dl(lines)


class Group(click.Group):
    """A group that names the closest command if a command does not exist."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that the first argument names."""
        known = self.list_commands(ctx)
        if args[0] not in known and not ctx.resilient_parsing:
            ctx.fail(f"No such command {args[0]!r}. {did_you_mean(args[0], known)}Expected one of {', '.join(known)}.")
        return super().resolve_command(ctx, args)


CHOOSE = "Choose images"
WRITE = "Write"
HEADINGS = (CHOOSE, WRITE)

# The values of these options are no arguments of a command.
_REMEMBERED: dict[str, Any] = {"expose_value": False, "callback": _remember}
JSON_OPTION = click.Option(["--json", "as_json"], is_flag=True, help="Print the result as JSON.", **_REMEMBERED)
_INDEX_OPTION = click.Option(["-i", "--index", "index_path"], type=PATH, help="The index to use.", **_REMEMBERED)
default_index_option = click.option(
    "-i",
    "--index",
    "index_path",
    type=PATH,
    envvar="IMAGENET_INDEX",
    help="The index to use. Default: $IMAGENET_INDEX, or ./imagenet.index.",
    **_REMEMBERED,
)
root_option = click.option(
    "--root",
    "roots",
    multiple=True,
    metavar="NAME=PATH",
    help="Where a source of the index is now. Repeatable; $IMAGENET_ROOTS sets the same.",
    **_REMEMBERED,
)
shard_option = click.option(
    "--shard",
    metavar="I/N",
    help="Do only share I of N, such as 0/3. `merge` joins the shares; they may be done on several machines.",
)
ray_option = click.option("--ray", metavar="ADDRESS", help="Work on a Ray cluster: auto, or host:port.")
workers_option = click.option(
    "--workers", type=click.IntRange(1), metavar="N", help="Number of processes. Default: one a core."
)
output_file_option = click.option("-o", "--output", type=PATH, help="Write to this file, which must not exist.")
recipe_option = click.option(
    "--recipe",
    type=TOML_FILE,
    metavar="FILE|LOCK",
    cls=HeadedOption,
    heading=CHOOSE,
    help="Choose by a recipe or a lock instead of by flags.",
)


def make_command(
    name: str,
    *,
    cls: type[click.Command] = Command,
    parent: click.Group | None = None,
    asks_index: bool = True,
    **settings: Any,
) -> Callable[[Function], Any]:
    """Return a decorator that makes a command of a function, with its docstring as the help, --json, and -i.

    The paragraphs of the docstring from "Example" on are printed below the options, line by line.
    """

    def decorate(function: Function) -> click.Command:
        text, heading, examples = inspect.cleandoc(function.__doc__ or "").partition("\n\nExample")
        # Click keeps the lines of a paragraph that begins with a line of \b.
        epilog = (heading + examples).replace("\n\n", "\n\n\b\n").replace("\n    ", "\n  ")
        # Click cuts a summary that is not given as a short help.
        summary = " ".join(text.partition("\n\n")[0].split()).rstrip(".")
        command = click.command(name, cls=cls, help=text, short_help=summary, epilog=epilog, **settings)(function)
        if not isinstance(command, click.Group):
            command.params += [JSON_OPTION, *([_INDEX_OPTION] if asks_index else [])]
        if parent is not None:
            parent.add_command(command)
        return command

    return decorate


def as_json() -> bool:
    """Return True if --json is set."""
    return "as_json" in click.get_current_context().meta


def show_result(text: str, facts: object) -> None:
    """Print a text, or with --json the facts in it."""
    if as_json():
        print_json(facts)
    else:
        click.echo(printable(text))


def index_path() -> Path | None:
    """Return the path of -i or $IMAGENET_INDEX; None if neither is set."""
    return click.get_current_context().meta.get("index_path")


def existing_index() -> Path | None:
    """Return the folder of -i or $IMAGENET_INDEX, else ./imagenet.index; None if that does not exist."""
    from imagenet_tools.storage.buckets import is_remote, path_of
    from imagenet_tools.store.in_bucket import local_copy
    from imagenet_tools.store.layout import default_index

    path = path_of(index_path() or default_index())
    return local_copy(path) if index_path() or is_remote(path) or path.exists() else None


def roots() -> dict[str, Path]:
    """Return the paths of --root by the names of sources."""
    from imagenet_tools.store.sources import parse_roots

    return parse_roots(click.get_current_context().meta.get("roots", ()))


def word_options(words: Iterable[Word], heading: str) -> Callable[[Function], Function]:
    """Return a decorator that adds a flag for each word, below a heading of the help."""

    def decorate(function: Function) -> Function:
        for word in reversed(tuple(words)):
            option = click.option(
                word.flag,
                word.keyword,
                cls=HeadedOption,
                heading=heading,
                is_flag=True if word.kind == "flag" else None,  # click takes no value that begins with - if it is False
                multiple=word.kind in ("texts", "pairs"),
                type=int if word.kind == "number" else click.Choice(word.kind.split("|")) if "|" in word.kind else None,
                metavar=word.metavar or None,
                help=word.help[0].upper() + word.help[1:] + ".",
                **_REMEMBERED,
            )
            function = option(function)
        return function

    return decorate


selection_options = word_options(SELECTION, CHOOSE)


def chosen_words(words: Iterable[Word] = SELECTION) -> dict[str, Any]:
    """Return the values of the words that the user set, by keyword."""
    values = click.get_current_context().meta
    chosen = {word: values[word.keyword] for word in words if word.keyword in values}
    return {word.keyword: pairs(word.flag, value) if word.kind == "pairs" else value for word, value in chosen.items()}


def open_index(path: Path | None = None) -> Index:
    """Open an index: the one at a path, of -i, or the default index; with the roots of --root."""
    from imagenet_tools.index import Index

    return Index.open(path or index_path(), roots=roots())


def choose(index: Index, recipe: Path | None) -> Selection:
    """Return the selection that flags, a recipe or a lock make. Notes on stderr say which sense of a lemma was taken.

    Raises:
        UsageError: Flags beside a recipe.
    """
    chosen = chosen_words()
    if recipe is None:
        for keyword in ("under", "also_under", "without"):
            for text in chosen.get(keyword, ()):
                note_sense(index.resolve(text))
        return index.select(**chosen)
    if chosen:
        flags = ", ".join(word.flag for word in SELECTION if word.keyword in chosen)
        raise UsageError(
            f"Found {flags} beside the recipe {recipe}, which chooses the images. Edit the recipe instead."
        )
    from imagenet_tools.index import by_recipe

    return by_recipe(index, recipe)


def note_sense(taken: ResolvedSynset) -> str:
    """Return the wnid of a resolved synset. A note says which sense was taken if the lemma has several."""
    if taken.guessed:
        note(taken.note)
    return taken.wnid


def format_by_suffix(output: Path | None, suffixes: Mapping[str, str]) -> str | None:
    """Return the format that the suffix of an output names; None without an output."""
    if output is None:
        return None
    if output.suffix.lower() not in suffixes:
        raise UsageError(
            f"-o {output}: no format has this suffix. Expected one of {', '.join(suffixes)}, or add --format."
        )
    return suffixes[output.suffix.lower()]
