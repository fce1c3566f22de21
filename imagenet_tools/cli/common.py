"""What commands share: the options that each of them takes, the open index, and how results are printed."""

from __future__ import annotations

import functools
import json
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from imagenet_tools.errors import UsageError
from imagenet_tools.selection.choice import pairs as parse_pairs
from imagenet_tools.selection.words import EXPORT, SELECTION, Word

if TYPE_CHECKING:
    from imagenet_tools.index import Index
    from imagenet_tools.selection.selection import Selection

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
    if word.kind in ("texts", "pairs"):
        return click.option(word.flag, word.keyword, multiple=True, metavar=word.metavar, help=text)
    if word.kind == "number":
        return click.option(word.flag, word.keyword, type=int, metavar=word.metavar, help=text)
    if "|" in word.kind:
        return click.option(word.flag, word.keyword, type=click.Choice(word.kind.split("|")), help=text)
    return click.option(word.flag, word.keyword, metavar=word.metavar, help=text)


def open_index(path: Path | None, roots: Iterable[str] = ()) -> Index:
    """The index that was named, with the roots that were given."""
    from imagenet_tools.index import Index
    from imagenet_tools.store.sources import parse_roots

    return Index.open(path, roots=parse_roots(roots))


def select(index: Index, words: Mapping[str, Any]) -> Selection:
    """The selection that flags make; what a lemma was taken for is said on stderr."""
    for text in (*words["under"], *words["also_under"], *words["without"]):
        say_taken(index, text)
    return index.select(**said(words))


def said(words: Mapping[str, Any], table: Iterable[Word] = SELECTION) -> dict[str, Any]:
    """The words of a table that were given as flags, by keyword."""
    given = {word.keyword: words[word.keyword] for word in table}
    found = {
        keyword: value for keyword, value in given.items() if value is not None and value is not False and value != ()
    }
    pairs = {word.keyword: word.flag for word in SELECTION if word.kind == "pairs"}
    return {key: parse_pairs(pairs[key], value) if key in pairs else value for key, value in found.items()}


def say_taken(index: Index, text: str) -> str:
    """The wnid of a synset; says on stderr which sense of a lemma was taken."""
    taken = index.resolve(text)
    if taken.guessed:
        note(taken.note)
    return taken.wnid


def note(text: str) -> None:
    """A line on stderr: not a result."""
    click.echo(printable(text), err=True)


def form_of(output: Path | None, suffixes: Mapping[str, str]) -> str | None:
    """The format that the suffix of an output tells; None where there is no output. UsageError: it tells none."""
    if output is None:
        return None
    if output.suffix.lower() not in suffixes:
        message = f"-o {output}: its suffix tells no format. Expected one of {', '.join(suffixes)}, or add --format."
        raise UsageError(message)
    return suffixes[output.suffix.lower()]


def counted(n: int, noun: str) -> str:
    """A number and what it counts, such as `1 box` or `1,300 boxes`."""
    return f"{n:,} {noun}" + ("" if n == 1 else "es" if noun.endswith(("x", "s")) else "s")


def some_of(names: Sequence[str], n: int = 5) -> str:
    """Return the first n of some names, and how many more there are."""
    more = f" and {len(names) - n:,} more" if len(names) > n else ""
    return ", ".join(names[:n]) + more


def print_json(value: object) -> None:
    """A result as JSON on stdout."""
    click.echo(json.dumps(value, indent=1, default=str))


def printable(text: str) -> str:
    """A text without the characters that would steer a terminal; they may come from a name in somebody's archive."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)


def width_of_terminal() -> int | None:
    """The columns of the terminal that stdout is, None where it is none: nothing is cut for a program."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


# ---- aligned text


class Layout(NamedTuple):
    """How wide each column of aligned text is, and whether it is aligned to the right, as numbers are."""

    widths: list[int]
    right: list[bool]
    cut: bool = False  # whether texts that are wider are cut


def table(head: Sequence[str], rows: Sequence[Sequence[object]], *, width: int | None = None) -> str:
    """Rows as aligned text, numbers to the right and with separators.

    Where the lines would be longer than `width`, texts are cut, numbers never; where that does not do, each row
    becomes a block of lines, one a column.
    """
    if not rows:
        return "\n".join(("  ".join(head), "(no rows)"))
    form = layout(head, rows)
    if width is None or _fit(form, width):
        return "\n".join(aligned(head, rows, form._replace(cut=True)))
    indent = max(map(len, head))
    return "\n\n".join(
        "\n".join(f"{name:{indent}}  {cell(value)}" for name, value in zip(head, row, strict=True)) for row in rows
    )


def layout(head: Sequence[str], rows: Sequence[Sequence[object]]) -> Layout:
    """The layout in which a head and these rows, one at least, stand in full."""
    columns = list(zip(*rows, strict=True))
    widths = [
        max(len(cell(name)), *(len(cell(value)) for value in column))
        for name, column in zip(head, columns, strict=True)
    ]
    right = [all(value is None or isinstance(value, (int, float, Decimal)) for value in column) for column in columns]
    return Layout(widths, right)


def aligned(head: Sequence[str] | None, rows: Iterable[Sequence[object]], form: Layout) -> Iterator[str]:
    """The lines of a table: a head and a rule, if a head is given, and a line a row."""
    if head is not None:
        yield _line([cell(name) for name in head], form)
        yield "  ".join("-" * n for n in form.widths)
    for row in rows:
        yield _line([cell(value) for value in row], form)


def _line(texts: Iterable[str], form: Layout) -> str:
    parts = []
    for text, n, right in zip(texts, form.widths, form.right, strict=True):
        kept = text[: max(0, n - 3)] + "..."[:n] if form.cut and not right and len(text) > n else text
        parts.append(kept.rjust(n) if right else kept.ljust(n))
    return "  ".join(parts).rstrip()


def cell(value: object) -> str:
    """A value as people read it, on one line."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, Decimal)):
        return f"{value:,}" if not -10_000 < value < 10_000 else str(value)
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list):
        return ", ".join(map(cell, value))
    if isinstance(value, bytes):
        return f"{len(value):,} bytes"
    if isinstance(value, dict):
        value = json.dumps(value, ensure_ascii=False, default=str)
    return printable(" ".join(str(value).split("\n")))


def _fit(form: Layout, width: int) -> bool:
    """Narrow the widest columns of texts until a line fits in `width`; False where they would be less than 8 wide."""
    room = width - 2 * (len(form.widths) - 1)
    texts = [n for n, end in enumerate(form.right) if not end]
    while sum(form.widths) > room:
        widest = max(texts, key=form.widths.__getitem__, default=None)
        if widest is None or form.widths[widest] <= 8:
            return False
        form.widths[widest] -= 1
    return True
