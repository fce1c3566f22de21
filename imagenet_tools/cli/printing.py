"""Print results to stdout, as tables, text or JSON, and notes to stderr."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

if TYPE_CHECKING:
    from imagenet_tools.selection.selection import Selection

_MIN_COLUMN_CHARS = 8  # a table with narrower columns is printed as blocks


def note(text: str) -> None:
    """Print a line to stderr."""
    click.echo(printable(text), err=True)


def print_json(value: object) -> None:
    """Print a value as JSON."""
    click.echo(json.dumps(value, indent=1, default=str))


def print_or_write(text: str, output: Path | None) -> None:
    """Print a text, or write it to `output`, which must not exist."""
    if output is None:
        click.echo(text)
        return
    from imagenet_tools.storage.files import write_whole

    write_whole(output, f"{text}\n".encode())


def print_or_write_json(value: object, output: Path | None) -> None:
    """Print a value as JSON, or write it to `output`, which must not exist."""
    print_or_write(json.dumps(value, indent=1, default=str), output)


def print_table(head: Sequence[str], rows: Sequence[Sequence[object]], *, fit: bool = True) -> None:
    """Print a table. On a terminal, `fit` cuts long texts to its width."""
    click.echo(table(head, rows, width=terminal_columns() if fit else None))


def steps_json(selection: Selection) -> list[dict[str, object]]:
    """Return the steps of a selection as plain values."""
    from imagenet_tools.selection.steps import REASONS

    return [step._asdict() | {"why": REASONS[step.name] if step.left_out else ""} for step in selection.steps()]


def print_steps(selection: Selection, *, notes: bool = True) -> None:
    """Print how many images each step of a selection keeps and leaves out, and why; `notes` go to stderr."""
    rows = [(step["name"], step["left_out"] or None, step["left"], step["why"]) for step in steps_json(selection)]
    print_table(("step", "left out", "left", "why"), rows, fit=False)
    for text in selection.notes() if notes else ():
        note(f"note: {text}")


def counted(n: int, noun: str) -> str:
    """Return a number with its noun, such as `1 box` or `1,300 boxes`."""
    return f"{n:,} {noun}" + ("" if n == 1 else "es" if noun.endswith(("x", "s")) else "s")


def are(n: int) -> str:
    """Return the verb for n things."""
    return "is" if n == 1 else "are"


def some_of(names: Sequence[str], n: int = 5) -> str:
    """Return the first n names, and how many more there are."""
    more = f" and {len(names) - n:,} more" if len(names) > n else ""
    return ", ".join(names[:n]) + more


def first_of(names: Sequence[str], n: int) -> str:
    """Return the first n names, with `...` if there are more."""
    return ", ".join(names[:n]) + (" ..." if len(names) > n else "")


def printable(text: str) -> str:
    """Escape control characters: a name in an archive must not steer the user's terminal."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)


def terminal_columns() -> int | None:
    """Return the width of the terminal that stdout is; None for a file or a pipe, where nothing is cut."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


class TextLayout(NamedTuple):
    """The width of each column, in characters, and whether it is aligned to the right."""

    widths: list[int]
    right: list[bool]
    cut: bool = False  # cut wider texts


def table(head: Sequence[str], rows: Sequence[Sequence[object]], *, width: int | None = None) -> str:
    """Return rows as aligned text, with numbers to the right.

    Texts, never numbers, are cut to make lines fit in `width`. If that is not enough, each row becomes a block with
    one line a column.
    """
    if not rows:
        return "\n".join(("  ".join(head), "(no rows)"))
    layout = layout_of(head, rows)
    if width is None or _fit(layout, width):
        return "\n".join(aligned(head, rows, layout._replace(cut=True)))
    indent = max(map(len, head))
    return "\n\n".join(
        "\n".join(f"{name:{indent}}  {cell(value)}" for name, value in zip(head, row, strict=True)) for row in rows
    )


def layout_of(head: Sequence[str], rows: Sequence[Sequence[object]]) -> TextLayout:
    """Return the layout that shows a head and at least one row in full."""
    columns = list(zip(*rows, strict=True))
    widths = [
        max(len(cell(name)), *(len(cell(value)) for value in column))
        for name, column in zip(head, columns, strict=True)
    ]
    right = [all(value is None or isinstance(value, (int, float, Decimal)) for value in column) for column in columns]
    return TextLayout(widths, right)


def aligned(head: Sequence[str] | None, rows: Iterable[Sequence[object]], layout: TextLayout) -> Iterator[str]:
    """Yield the lines of a table: the head with a rule below it, if there is a head, and a line a row."""
    if head is not None:
        yield _line(head, layout)
        yield "  ".join("-" * width for width in layout.widths)
    for row in rows:
        yield _line(row, layout)


def _line(row: Iterable[object], layout: TextLayout) -> str:
    parts = []
    for text, width, right in zip(map(cell, row), layout.widths, layout.right, strict=True):
        if layout.cut and not right and len(text) > width:
            text = text[: max(0, width - 3)] + "..."[:width]  # noqa: PLW2901
        parts.append(text.rjust(width) if right else text.ljust(width))
    return "  ".join(parts).rstrip()


def cell(value: object) -> str:
    """Return a value as readable text on one line."""
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


def _fit(layout: TextLayout, width: int) -> bool:
    """Narrow the widest text columns until a line fits in `width`; return False if one gets too narrow to read."""
    room = width - 2 * (len(layout.widths) - 1)
    texts = [n for n, right in enumerate(layout.right) if not right]
    while sum(layout.widths) > room:
        widest = max(texts, key=layout.widths.__getitem__, default=None)
        if widest is None or layout.widths[widest] <= _MIN_COLUMN_CHARS:
            return False
        layout.widths[widest] -= 1
    return True
