"""What commands share: the options that each of them takes, the open index, and how results are printed."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from imagenet_tools.words import EXPORT, SELECTION, Word

if TYPE_CHECKING:
    from imagenet_tools.index import Index
    from imagenet_tools.selection import Selection

Command = Callable[..., Any]


def output_options(command: Command) -> Command:
    """--json and -i, which may stand before the command or behind it."""

    @click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
    @click.option("-i", "--index", "index_path", type=click.Path(path_type=Path), help="The index to use.")
    @click.pass_context
    @functools.wraps(command)
    def wrapped(ctx: click.Context, /, *args: object, as_json: bool, index_path: Path | None, **options: object) -> Any:
        said = ctx.find_root().obj or {}
        where = index_path or said.get("index")
        return command(*args, as_json=as_json or bool(said.get("json")), index_path=where, **options)

    return wrapped


def root_option(command: Command) -> Command:
    """--root NAME=PATH: where a source lies now."""
    help_text = "Where a source of the index lies now; may be repeated (also $IMAGENET_ROOTS)."
    return click.option("--root", "roots", multiple=True, metavar="NAME=PATH", help=help_text)(command)


def choose_options(command: Command) -> Command:
    """The words of a selection as flags, from the one table."""
    for word in reversed(SELECTION):
        command = _option(word)(command)
    return command


def export_options(command: Command) -> Command:
    """The words of an export as flags, from the one table."""
    for word in reversed(EXPORT):
        command = _option(word)(command)
    return command


def _option(word: Word) -> Callable[[Command], Command]:
    text = word.help[0].upper() + word.help[1:] + "."
    if word.kind == "flag":
        return click.option(word.flag, word.keyword, is_flag=True, help=text)
    if word.kind == "texts":
        return click.option(word.flag, word.keyword, multiple=True, metavar=word.metavar, help=text)
    if word.kind == "number":
        return click.option(word.flag, word.keyword, type=int, metavar=word.metavar, help=text)
    if "|" in word.kind:
        return click.option(word.flag, word.keyword, type=click.Choice(word.kind.split("|")), help=text)
    return click.option(word.flag, word.keyword, metavar=word.metavar, help=text)


def open_index(path: Path | None, roots: Iterable[str] = ()) -> Index:
    """The index that was named, with the roots that were given."""
    from imagenet_tools import index

    return index.open_index(path, roots=index.parse_roots(roots))


def select(index: Index, words: dict[str, Any]) -> Selection:
    """The selection that flags make; what a lemma was taken for is said on stderr."""
    for text in (*words["under"], *words["without"]):
        say_taken(index, text)
    said = {key: value for key, value in words.items() if value is not None}
    return index.select(**said)


def say_taken(index: Index, text: str) -> str:
    """The wnid of a synset; says on stderr which sense of a lemma was taken."""
    taken = index.resolve(text)
    if taken.guessed:
        note(taken.note)
    return taken.wnid


def note(text: str) -> None:
    """A line on stderr: not a result."""
    click.echo(text, err=True)


def print_json(value: object) -> None:
    """A result as JSON on stdout."""
    click.echo(json.dumps(value, indent=1, ensure_ascii=False, default=str))


def table(head: Sequence[str], rows: Sequence[Sequence[object]], *, width: int | None = None) -> str:
    """Rows as aligned text: numbers to the right, with separators; cells cut to the width of the terminal."""
    if not rows:
        return "\n".join(("  ".join(head), "(no rows)"))
    cells = [[cell(value) for value in row] for row in rows]
    right = [all(isinstance(row[n], (int, float)) or row[n] is None for row in rows) for n in range(len(head))]
    widths = [max(len(head[n]), *(len(row[n]) for row in cells)) for n in range(len(head))]
    if width is not None:
        widths = _fit(widths, width - 2 * (len(widths) - 1))
    lines = []
    for row in (list(head), ["-" * n for n in widths], *cells):
        parts = (
            _cut(text, n).rjust(n) if end else _cut(text, n).ljust(n)
            for text, n, end in zip(row, widths, right, strict=True)
        )
        lines.append("  ".join(parts).rstrip())
    return "\n".join(lines)


def cell(value: object) -> str:
    """A value as people read it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return f"{value:,}" if abs(value) >= 10_000 else str(value)
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list):
        return ", ".join(map(cell, value))
    return " ".join(str(value).split("\n"))


def _cut(text: str, n: int) -> str:
    return text if len(text) <= n else text[: max(0, n - 3)] + "..."[:n]


def _fit(widths: list[int], room: int) -> list[int]:
    """Take from the widest columns until all fit, and leave each at least 6."""
    fitted = list(widths)
    while sum(fitted) > room and max(fitted) > 6:
        fitted[fitted.index(max(fitted))] -= 1
    return fitted
