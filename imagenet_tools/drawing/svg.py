"""An outline drawn as SVG: boxes of text in columns from the left to the right, and the edges between them.

A synset stands in the column after its last hypernym, so that every edge leads to the right. Along one edge each,
solid, the outline is a tree: its leaves take a row each, and a synset stands in the middle of the rows below it, so
that boxes never meet. The other edges, of synsets with several hypernyms, are dashed and lie under the boxes.
"""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imagenet_tools.drawing.outline import Node, Outline

# Pixels; a letter of the monospaced fonts is 0.6 of their size wide.
_FONT = 11
_LETTER = _FONT * 0.6
_ROW = 24
_BOX = 18
_GAP = 46
_EDGE = 16

_STYLE = f"""\
text {{ font: {_FONT}px ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; fill: #1b1f24; }}
.wnid {{ fill: #6e7781; }} .count {{ fill: #0550ae; }} .title {{ font-weight: bold; }}
rect.box {{ fill: #ffffff; stroke: #8c959f; }} path {{ fill: none; stroke: #8c959f; }}
path.other {{ stroke: #bc4c00; stroke-dasharray: 4 3; }}"""


class _Place(NamedTuple):
    """Where a box stands, in pixels: its left edge, its middle, its width, and the right edge of its column."""

    x: float
    y: float
    width: float
    right: float


def svg(outline: Outline, *, title: str = "") -> str:
    """The drawing, an SVG 1.1 document that stands alone; the same outline gives the same text."""
    places = _places(outline)
    width = max(place.x + place.width for place in places.values()) + _EDGE
    height = max(place.y for place in places.values()) + _ROW / 2 + _EDGE
    width = max(width, len(title) * _LETTER + 2 * _EDGE)
    tree = _tree(outline)
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" role="img">',
        f"<title>{html.escape(title)}</title>",
        f"<style>{_STYLE}</style>",
        f'<rect width="{width:.0f}" height="{height:.0f}" fill="#ffffff"/>',
        f'<text class="title" x="{_EDGE}" y="{_EDGE + _FONT}">{html.escape(title)}</text>',
    ]
    # The dashed ones first: what is drawn later lies above.
    links = sorted(outline.links, key=lambda link: tree.get(link.lower) == link.upper)
    for link in links:
        kind = "" if tree[link.lower] == link.upper else ' class="other"'
        note = f"<title>{html.escape(_said(link.skipped))}</title>" if link.skipped else ""
        lines.append(f'<path{kind} d="{_curve(places[link.upper], places[link.lower])}">{note}</path>')
    for node in outline.nodes:
        lines += _box(node, places[node.wnid])
    return "\n".join([*lines, "</svg>", ""])


def _said(skipped: tuple[str, ...]) -> str:
    return f"skipped: {', '.join(skipped)}"


def _columns(outline: Outline) -> dict[str, int]:
    """The column of each synset: the edges on the longest path from the top."""
    below = outline.below()
    waiting = dict.fromkeys(below, 0)
    for link in outline.links:
        waiting[link.lower] += 1
    columns = dict.fromkeys(below, 0)
    ready = [outline.nodes[0].wnid]
    for wnid in ready:  # grows while it is walked: each after all that lie above it
        for link in below[wnid]:
            columns[link.lower] = max(columns[link.lower], columns[wnid] + 1)
            waiting[link.lower] -= 1
            if not waiting[link.lower]:
                ready.append(link.lower)
    return columns


def _tree(outline: Outline) -> dict[str, str]:
    """The upper end of the one solid edge to each synset: the last column's, of several the first one's."""
    columns = _columns(outline)
    tree: dict[str, str] = {}
    for link in outline.links:
        if link.lower not in tree or columns[link.upper] > columns[tree[link.lower]]:
            tree[link.lower] = link.upper
    return tree


def _places(outline: Outline) -> dict[str, _Place]:
    columns, tree = _columns(outline), _tree(outline)
    below = outline.below()
    widths = {node.wnid: len(_label(node)) * _LETTER + 12 for node in outline.nodes}
    lefts = [float(_EDGE)]
    for column in range(max(columns.values())):
        widest = max(width for wnid, width in widths.items() if columns[wnid] == column)
        lefts.append(lefts[-1] + widest + _GAP)
    rows: dict[str, float] = {}
    n_rows = 0

    def put(wnid: str) -> float:
        nonlocal n_rows
        inner = [put(link.lower) for link in below[wnid] if tree[link.lower] == wnid]
        if not inner:
            n_rows += 1
        rows[wnid] = (inner[0] + inner[-1]) / 2 if inner else n_rows - 1
        return rows[wnid]

    put(outline.nodes[0].wnid)
    top = _EDGE + _ROW * 1.5
    rights = [left - _GAP for left in lefts[1:]] + [0.0]  # nothing leads out of the last column
    return {
        wnid: _Place(lefts[columns[wnid]], top + row * _ROW, widths[wnid], rights[columns[wnid]])
        for wnid, row in rows.items()
    }


def _curve(upper: _Place, lower: _Place) -> str:
    """From the right of a box to the left of another: all of the bend lies before the next column."""
    start, bend = upper.right, upper.right + _GAP
    curve = f"C{start + _GAP / 2:.1f} {upper.y:.1f} {start + _GAP / 2:.1f} {lower.y:.1f} {bend:.1f} {lower.y:.1f}"
    return f"M{upper.x + upper.width:.1f} {upper.y:.1f} H{start:.1f} {curve} H{lower.x:.1f}"


def _label(node: Node) -> str:
    return " ".join([node.name, node.wnid, *_numbers(node)])


def _numbers(node: Node) -> list[str]:
    count = [] if node.count is None else [f"{node.count:,}"]
    return [*count, f"(+{node.hidden:,})"] if node.hidden else count


def _box(node: Node, place: _Place) -> Iterator[str]:
    parts = [html.escape(node.name), f'<tspan class="wnid">{node.wnid}</tspan>']
    parts += [f'<tspan class="count">{number}</tspan>' for number in _numbers(node)]
    left, top = f"{place.x:.1f}", f"{place.y - _BOX / 2:.1f}"
    yield f'<rect class="box" x="{left}" y="{top}" width="{place.width:.1f}" height="{_BOX}" rx="3"/>'
    yield f'<text x="{place.x + 6:.1f}" y="{place.y + _FONT * 0.35:.1f}">{" ".join(parts)}</text>'
