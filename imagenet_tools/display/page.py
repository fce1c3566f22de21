"""Write a self-contained HTML page: tables, charts and pictures, in light and dark, without scripts and other files.

Every text is escaped here: names in archives, annotations and manifests may hold anything.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

from imagenet_tools.display import charts
from imagenet_tools.display.pictures import as_bytes
from imagenet_tools.display.style import DARK, FONT, LIGHT, escaped
from imagenet_tools.text import cell, html_table

if TYPE_CHECKING:
    from PIL import Image

    from imagenet_tools.display.charts import Chart
    from imagenet_tools.display.pictures import SheetRow, Tile


def _variables(colours: Mapping[str, str]) -> str:
    return " ".join(f"--{name}: {colour};" for name, colour in colours.items())


# The page loads nothing, even if a text were not escaped.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"

_STYLE = f"""
:root {{ color-scheme: light dark; {_variables(LIGHT)} }}
@media (prefers-color-scheme: dark) {{ :root {{ {_variables(DARK)} }} }}
{charts.STYLE}
""" + Template(Path(__file__).with_suffix(".css").read_text("utf-8")).substitute(font=FONT, width=charts.WIDTH)


def document(title: str, parts: Iterable[str]) -> bytes:
    """Return a whole page of a title and some parts, which the functions below made."""
    name = escaped(title)
    lines = [
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{name}</title>\n<style>{_STYLE}</style></head>\n<body><h1>{name}</h1>",
        *parts,
        "</body></html>",
    ]
    return "\n".join(lines).encode()


def section(heading: str, *parts: str) -> str:
    """Return a part of the page under a heading; "" if all parts are empty."""
    return "\n".join([f"<section><h2>{escaped(heading)}</h2>", *parts, "</section>"]) if any(parts) else ""


def paragraph(text: str) -> str:
    """Return a line of text; "" for an empty one."""
    return f"<p>{escaped(text)}</p>" if text else ""


def figures(values: Mapping[str, object]) -> str:
    """Return large numbers with their names."""
    return (
        f"<dl>{''.join(f'<div><dt>{escaped(k)}</dt><dd>{escaped(cell(v))}</dd></div>' for k, v in values.items())}</dl>"
    )


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return a table with numbers to the right; "" without rows."""
    return f'<div class="scroll">{html_table(head, rows, most=len(rows))}</div>' if rows else ""


def chart_grid(some: Iterable[Chart]) -> str:
    """Return charts beside each other."""
    return f'<div class="charts">{"".join(chart.svg(style=False) for chart in some)}</div>'


def tile_rows(rows: Iterable[SheetRow]) -> str:
    """Return the rows of a contact sheet, with their pictures as JPEG in the page."""
    lines = []
    for row in rows:
        lines += [f"<h3>{escaped(row.heading)}</h3>"] if row.heading else []
        lines += [f'<div class="tiles">{"".join(map(_tile, row.tiles))}</div>'] if row.tiles else []
    return "\n".join(lines)


def _tile(tile: Tile) -> str:
    if tile.picture is None:
        shown = f"<p>cannot be shown: {escaped(tile.problem)}</p>"
    else:
        shown = picture(tile.picture, tile.caption)
    return f"<figure>{shown}<figcaption>{escaped(tile.caption)}</figcaption></figure>"


def picture(shown: Image.Image, name: str) -> str:
    """Return a picture as JPEG in the page."""
    data = base64.b64encode(as_bytes(shown, "JPEG")).decode()
    return f'<img src="data:image/jpeg;base64,{data}" alt="{escaped(name)}">'
