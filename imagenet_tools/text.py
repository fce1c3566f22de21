"""Counts with their nouns, lists of names, and tables as text and as HTML."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Literal, NamedTuple

# A table with narrower columns is printed as blocks. Words of up to 30 characters, such as names of files, stay whole.
_MIN_CUT_CHARS = 8
_MIN_WRAPPED_CHARS = 12
_MAX_WORD_CHARS = 30
_MAX_HTML_ROWS = 20  # of a table in a notebook

# Names of columns whose numbers identify something, or place it: ids, class numbers, offsets, hashes.
_IDENTIFIER = re.compile(r"(?:^|_)(?:id|index|number|seed|offset|position|start|unit|ns)$|hash|draw", re.IGNORECASE)


def count_of(n: int, noun: str) -> str:
    """Return a number with its noun.

    Example:
        >>> count_of(1, "box"), count_of(1300, "class")
        ('1 box', '1,300 classes')
    """
    return f"{n:,} {noun}" + ("" if n == 1 else "es" if noun.endswith(("x", "s")) else "s")


def joined(parts: Iterable[str]) -> str:
    """Return the parts that are not empty, with "; " between."""
    return "; ".join(filter(None, parts))


def lacking(n: int, whole: int, noun: str) -> str:
    """Return how much of a whole is missing, in words; "" if nothing is.

    Example:
        >>> lacking(998, 1_000, "classes")
        '2 of the 1,000 classes'
    """
    return f"{whole - n:,} of the {whole:,} {noun}" if n < whole else ""


def images_of(images_by_split: Mapping[str, int], n_classes: int) -> str:
    """Return counts of images in words: of all, and of each split.

    Example:
        >>> images_of({"train": 105, "val": 18}, 33)
        '123 images, 33 classes, train 105, val 18'
    """
    splits = "".join(f", {split} {n:,}" for split, n in images_by_split.items())
    return f"{count_of(sum(images_by_split.values()), 'image')}, {count_of(n_classes, 'class')}{splits}"


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


_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "\0")


def csv_safe(value: object) -> object:
    """Return a cell of CSV that no spreadsheet takes for a formula: a text that begins like one gets a ' before it.

    The characters are those of CWE-1236 and OWASP ASVS 1.2.10. A text that begins with ' before one of them gets
    another ', so that taking one away restores every text. Numbers stay as they are, also as texts.

    Example:
        >>> csv_safe("=1+1"), csv_safe("-1.5"), csv_safe(-3), csv_safe("beagle")
        ("'=1+1", '-1.5', -3, 'beagle')
    """
    if not isinstance(value, str) or not value.lstrip("'").startswith(_FORMULA_STARTS):
        return value
    return value if re.fullmatch(r"[+-]\d+(?:\.\d+)?(?:e[+-]?\d+)?", value, re.ASCII) else f"'{value}"


def did_you_mean(text: str, known: Iterable[str]) -> str:
    """Return a question that names the closest known name, with a space at its end; empty if none is close.

    Example:
        >>> did_you_mean("exprot", ["export", "query"])
        'Did you mean export? '
    """
    import difflib

    close = difflib.get_close_matches(text, known, 1)
    return f"Did you mean {close[0]}? " if close else ""


class TextLayout(NamedTuple):
    """The width of each column, in characters, and whether it is aligned to the right."""

    widths: list[int]
    right: list[bool]
    identifier: list[bool]  # numbers that identify: without ',' between thousands
    wider: Literal["keep", "cut", "wrap"] = "keep"  # what happens to texts that are wider than their column


def table(head: Sequence[str], rows: Sequence[Sequence[object]], *, width: int | None = None, cut: bool = False) -> str:
    """Return rows as aligned text, with numbers to the right.

    Texts, never numbers, go on in the next line of their column to make lines fit in `width`; with `cut` they are cut.
    If that is not enough, each row becomes a block that begins a line for each column.
    """
    if not rows:
        return "  ".join(map(cell, head)) + "\n(no rows)"
    layout = layout_of(head, rows)
    if width is None or _fit(layout, width, [_MIN_CUT_CHARS] * len(head) if cut else _least_wrapped(rows)):
        return "\n".join(aligned(head, rows, layout._replace(wider="cut" if cut else "wrap")))
    indent = max(map(len, head)) + 2
    room = None if cut else max(width - indent, _MIN_WRAPPED_CHARS)
    return "\n\n".join(
        "\n".join(
            f"{name:{indent}}" + f"\n{'':{indent}}".join(_wrapped(cell(value, identifier=identifier), room))
            for name, value, identifier in zip(head, row, layout.identifier, strict=True)
        )
        for row in rows
    )


def layout_of(head: Sequence[str], rows: Sequence[Sequence[object]]) -> TextLayout:
    """Return the layout that shows a head and at least one row in full."""
    columns = list(zip(*rows, strict=True))
    identifier = [_IDENTIFIER.search(name) is not None for name in head]
    widths = [
        max(len(name), *(len(cell(value, identifier=plain)) for value in column))
        for name, column, plain in zip(map(cell, head), columns, identifier, strict=True)
    ]
    right = [all(value is None or isinstance(value, (int, float, Decimal)) for value in column) for column in columns]
    return TextLayout(widths, right, identifier)


def aligned(head: Sequence[str], rows: Iterable[Sequence[object]], layout: TextLayout) -> Iterator[str]:
    """Yield the lines of a table: the head, a rule below it, and a line a row."""
    yield _line(head, layout)
    yield "  ".join("-" * width for width in layout.widths)
    for row in rows:
        yield _line(row, layout)


def _line(row: Iterable[object], layout: TextLayout) -> str:
    """Return the line of a row; several lines if texts are wrapped."""
    columns: list[list[str]] = []
    for value, width, right, identifier in zip(row, layout.widths, layout.right, layout.identifier, strict=True):
        text = cell(value, identifier=identifier)
        if layout.wider == "cut" and not right and len(text) > width:
            text = text[: max(0, width - 3)] + "..."[:width]
        lines = _wrapped(text, width) if layout.wider == "wrap" and not right else [text]
        columns.append([line.rjust(width) if right else line.ljust(width) for line in lines])
    blank = [" " * width for width in layout.widths]
    return "\n".join(
        "  ".join(lines[n] if n < len(lines) else space for lines, space in zip(columns, blank, strict=True)).rstrip()
        for n in range(max(map(len, columns)))
    )


def _wrapped(text: str, width: int | None) -> list[str]:
    """Return the lines of a text, at least one; without a width, the text as it is."""
    if width is None or len(text) <= width:
        return [text]
    import textwrap  # only narrow terminals need it

    return textwrap.wrap(text, width, break_on_hyphens=False) or [""]


def cell(value: object, *, identifier: bool = False) -> str:
    """Return a value as readable text on one line; a number that is an `identifier` has no ',' between thousands."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, Decimal)):
        return str(value) if identifier or -10_000 < value < 10_000 else f"{value:,}"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list):
        return ", ".join(map(cell, value))
    if isinstance(value, bytes):
        return f"{len(value):,} bytes"
    if isinstance(value, dict):
        value = json.dumps(value, ensure_ascii=False, default=str)
    return printable(" ".join(str(value).split("\n")))


def _least_wrapped(rows: Sequence[Sequence[object]]) -> list[int]:
    """Return the least width of each column: its longest word fits."""
    columns = ([word for value in column for word in cell(value).split()] for column in zip(*rows, strict=True))
    return [min(max(_MIN_WRAPPED_CHARS, max(map(len, words), default=0)), _MAX_WORD_CHARS) for words in columns]


def _fit(layout: TextLayout, width: int, least: Sequence[int]) -> bool:
    """Narrow the widest text columns until a line fits in `width`; return False if they would be too narrow to read."""
    room = width - 2 * (len(layout.widths) - 1)
    texts = [n for n, right in enumerate(layout.right) if not right]
    while sum(layout.widths) > room:
        wide = [n for n in texts if layout.widths[n] > least[n]]
        widest = max(wide, key=layout.widths.__getitem__, default=None)
        if widest is None:
            return False
        layout.widths[widest] -= 1
    return True


# ---- HTML, for notebooks


def html_of(title: str, *tables: tuple[Sequence[str], Sequence[Sequence[object]]], notes: Iterable[str] = ()) -> str:
    """Return an object as HTML: a line, its tables (head and rows) if they have rows, and a list of notes."""
    lines = "".join(f"<li>{_escaped(note)}</li>" for note in notes)
    parts = [f"<div>{_escaped(title)}</div>", *(html_table(head, rows) for head, rows in tables if rows)]
    return "".join([*parts, f"<ul>{lines}</ul>" if lines else ""])


def html_table(head: Sequence[str], rows: Sequence[Sequence[object]], *, most: int = _MAX_HTML_ROWS) -> str:
    """Return rows as an HTML table, with numbers to the right; of a long table its first `most` rows."""
    shown = rows[:most]
    layout = layout_of(head, shown)
    styles = [f' style="text-align:{"right;white-space:nowrap" if right else "left"}"' for right in layout.right]
    lines = [_html_row("th", map(cell, head), styles)]
    for row in shown:
        texts = (cell(value, identifier=plain) for value, plain in zip(row, layout.identifier, strict=True))
        lines.append(_html_row("td", texts, styles))
    more = f"<div>... and {len(rows) - len(shown):,} more</div>" if len(rows) > len(shown) else ""
    return f"<table>{''.join(lines)}</table>{more}"


def _html_row(tag: str, texts: Iterable[str], styles: Iterable[str]) -> str:
    cells = (f"<{tag}{style}>{_escaped(text)}</{tag}>" for text, style in zip(texts, styles, strict=True))
    return f"<tr>{''.join(cells)}</tr>"


def _escaped(text: str) -> str:
    import html  # it takes 5 ms to import, and only notebooks need it

    return html.escape(printable(text))
