"""Print results to stdout, as tables, text or JSON, and notes and progress to stderr."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import shutil
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

if TYPE_CHECKING:
    from imagenet_tools.selection.selection import Selection

_MIN_COLUMN_CHARS = 8  # a table with narrower columns is printed as blocks

_BAR_SECONDS = 0.1  # between two drawings of the bar
_LINE_SECONDS = 10.0  # between two plain lines
# The time left is estimated from the pace of the last 45 s, because units that an interrupted build finished pass
# in no time.
_PACE_SECONDS = 45.0
_MIN_BAR_CHARS = 8
_MAX_BAR_CHARS = 40


def note(text: str) -> None:
    """Print a line to stderr."""
    click.echo(printable(text), err=True)


def print_text(text: str, output: Path | None = None) -> None:
    """Print a text, with a line break at its end, or write it to `output`, which must not exist."""
    if not text.endswith("\n"):
        text += "\n"
    if output is None:
        click.echo(text, nl=False)
        return
    from imagenet_tools.storage.files import write_whole

    write_whole(output, text.encode())


def print_json(value: object, output: Path | None = None) -> None:
    """Print a value as JSON, or write it to `output`, which must not exist."""
    print_text(json.dumps(_plain(value), indent=1, default=str), output)


def _plain(value: Any) -> Any:
    """Return a value for JSON: dataclasses and named tuples become objects, with their words if they have some."""
    if dataclasses.is_dataclass(value):
        value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    elif hasattr(value, "_asdict"):
        value = value._asdict() | ({"words": str(value)} if "__str__" in vars(type(value)) else {})
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


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
        return "  ".join(map(cell, head)) + "\n(no rows)"
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
    widths = [max(len(cell(value)) for value in (name, *column)) for name, column in zip(head, columns, strict=True)]
    right = [all(value is None or isinstance(value, (int, float, Decimal)) for value in column) for column in columns]
    return TextLayout(widths, right)


def aligned(head: Sequence[str], rows: Iterable[Sequence[object]], layout: TextLayout) -> Iterator[str]:
    """Yield the lines of a table: the head, a rule below it, and a line a row."""
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


class ProgressBar:
    """Show progress. Call it with (stage, done, total)."""

    def __init__(self) -> None:
        self._is_terminal = sys.stderr.isatty()
        self._stage = ""
        self._shown = 0.0
        self._marks: deque[tuple[float, int]] = deque()  # (time, done) of the last _PACE_SECONDS, a second apart
        self._later_seconds = 0.0

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Show progress, at most as often as a person can read it."""
        now = time.monotonic()
        if stage != self._stage:
            self._stage, self._later_seconds, self._shown = stage, 0.0, -math.inf
            self._marks.clear()
        self._mark(now, done)
        if done >= total or now - self._shown >= (_BAR_SECONDS if self._is_terminal else _LINE_SECONDS):
            self._show(stage, done, total, now)
        if done >= total and self._is_terminal:
            self._write("\r\x1b[K")

    def then(self, seconds: float) -> None:
        """Add the estimated time of the work after this stage to the time left."""
        self._later_seconds = seconds

    def _mark(self, now: float, done: int) -> None:
        if len(self._marks) == 1 and self._marks[0][1] == done:
            self._marks.clear()  # nothing was counted since the stage began: measure the pace from now
        if not self._marks or (self._marks[-1][1] != done and now - self._marks[-1][0] >= 1):
            self._marks.append((now, done))
        while len(self._marks) > 2 and now - self._marks[1][0] >= _PACE_SECONDS:
            self._marks.popleft()

    def _show(self, stage: str, done: int, total: int, now: float) -> None:
        self._shown = now
        text = f"{stage} {done:,} of {total:,}{self._time_left(done, total, now)}" if total > 1 else f"{stage} ..."
        if not self._is_terminal:
            if done < total or total > 1:
                self._write(text + "\n")
            return
        # $COLUMNS overrides the width of the terminal.
        columns = shutil.get_terminal_size(os.get_terminal_size(sys.stderr.fileno())).columns or 80
        width = min(_MAX_BAR_CHARS, columns - len(text) - 4)
        full = width * done // max(total, 1)
        bar = f" [{'#' * full}{'.' * (width - full)}]" if width >= _MIN_BAR_CHARS and total > 1 else ""
        self._write(f"\r{(text + bar)[: columns - 1]}\x1b[K")

    def _write(self, text: str) -> None:
        sys.stderr.write(text)
        sys.stderr.flush()

    def _time_left(self, done: int, total: int, now: float) -> str:
        start, done_at_start = self._marks[0]
        if not done_at_start < done < total or now - start < 1:
            return ""
        seconds = int((now - start) / (done - done_at_start) * (total - done) + self._later_seconds)
        return f", {seconds // 60} min {seconds % 60:02d} s left" if seconds >= 60 else f", {seconds} s left"
