"""Print results to stdout, as tables, text or JSON, and notes to stderr."""

from __future__ import annotations

import dataclasses
import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from imagenet_tools.selection.steps import STEP_HEAD
from imagenet_tools.text import printable, table

if TYPE_CHECKING:
    from imagenet_tools.selection.selection import Selection


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


def print_table(head: Sequence[str], rows: Sequence[Sequence[object]], *, cut: bool = False) -> None:
    """Print a table. On a terminal, long texts are wrapped to fit its width; with `cut` they are cut."""
    click.echo(table(head, rows, width=terminal_columns(), cut=cut))


def steps_json(selection: Selection) -> list[dict[str, object]]:
    """Return the steps of a selection as plain values."""
    return [step._asdict() | {"why": step.why} for step in selection.steps()]


def print_steps(selection: Selection, *, notes: bool = True) -> None:
    """Print how many images each step of a selection keeps and leaves out, and why; `notes` go to stderr."""
    print_table(STEP_HEAD, [step.cells() for step in selection.steps()])
    if notes:
        print_notes(selection)


def print_notes(selection: Selection) -> None:
    """Print the notes of a selection to stderr."""
    for text in selection.notes():
        note(f"note: {text}")


def terminal_columns() -> int | None:
    """Return the width of the terminal that stdout is; None for a file or a pipe, where nothing is cut."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None
