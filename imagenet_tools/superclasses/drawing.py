"""A part of the graph chosen to be drawn: what lies below a synset, pruned to classes, chains skipped, cut in depth."""

from __future__ import annotations

import html
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from imagenet_tools.errors import UsageError
from imagenet_tools.wordnet import graph, hierarchy, wordnet

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from imagenet_tools.wordnet.graph import Edges


@dataclass(frozen=True)
class Node:
    """A synset that is drawn."""

    wnid: str
    name: str
    count: int | None
    depth: int  # drawn edges on the shortest path from the top
    hidden: int  # what would be drawn right below it, were `depth` greater


class Link(NamedTuple):
    """An edge that is drawn, by the wnids of its ends."""

    upper: str
    lower: str
    instance: bool  # `lower` is an instance of what lies right above it, not a kind
    skipped: tuple[str, ...]  # the wnids of the chain between, from above


class Outline(NamedTuple):
    """What is to be drawn; every synset stands once, however many links lead to it."""

    nodes: tuple[Node, ...]  # the top first, then by depth; those found through one synset sorted by wnid
    links: tuple[Link, ...]  # by the place of `upper` among the nodes, then by wnid

    def below(self) -> dict[str, list[Link]]:
        """The links by the wnid of their upper end."""
        found: dict[str, list[Link]] = {node.wnid: [] for node in self.nodes}
        for link in self.links:
            found[link.upper].append(link)
        return found


def outline(
    top: str = hierarchy.ROOT,
    *,
    depth: int | None = None,
    classes: Iterable[str] | None = None,
    counts: npt.NDArray[np.int64] | None = None,
    counted: bool = False,
    collapse: bool = False,
    instances: bool = True,
    edges: Edges | None = None,
) -> Outline:
    """The graph below a synset as it shall be drawn; with `edges` that graph, given by what lies right below each row.

    `classes` keeps what is one of these classes or lies above one; `counts`, inclusive and by row, become `count`, and
    `counted` keeps what has any. `collapse` then skips each synset that has one single synset drawn below it and
    counts no more than that one, but no class. `depth` is the greatest number of drawn edges below the top, by the
    shortest path. The top itself always stands.
    """
    if counted and counts is None:
        raise UsageError("Nothing is counted; expected counts by row where `counted` is asked for.")
    row = wordnet.row_of(top)
    chosen = wordnet.rows_of(classes) if classes is not None else None
    down = hierarchy.edges_down(instances=instances) if edges is None else edges
    below = _kept(row, down, chosen, counts if counted else None)
    skip = np.zeros(below.n, np.bool_)
    if collapse:
        single = np.flatnonzero(below.degrees() == 1)
        if counts is not None:
            single = single[counts[single] == counts[below.targets[below.starts[single]]]]
        skip[single] = True
        skip[[row, *([] if chosen is None else chosen)]] = False
    return _walk(row, below, skip, counts, below.n if depth is None else depth)


def _kept(top: int, down: Edges, classes: graph.Ints | None, counts: npt.NDArray[np.int64] | None) -> Edges:
    """The edges below the top between synsets that are kept."""
    kept = np.zeros(down.n, np.bool_)
    kept[graph.reach(down, [top])] = True
    if classes is not None:
        above = np.zeros(down.n, np.bool_)
        above[graph.reach(graph.reverse(down), classes)] = True
        kept &= above
    if counts is not None:
        kept &= counts > 0
    kept[top] = True
    sources = graph.sources_of(down)
    both = kept[sources] & kept[down.targets]
    return graph.from_pairs(down.n, sources[both], down.targets[both])


def _walk(
    top: int, below: Edges, skip: npt.NDArray[np.bool_], counts: npt.NDArray[np.int64] | None, depth: int
) -> Outline:
    """Level by level from the top; what is skipped is replaced by what it leads to."""
    depths, links, hidden = {top: 0}, [], {}
    queue = [top]
    for row in queue:  # grows while it is walked
        found: dict[int, tuple[int, ...]] = {}
        for child in below.of(row).tolist():
            chain = [child]
            while skip[chain[-1]]:
                chain.append(int(below.of(chain[-1])[0]))
            lower, chain = chain[-1], chain[:-1]
            if lower not in found or len(chain) < len(found[lower]):
                found[lower] = tuple(chain)
        if found and depths[row] == depth:
            hidden[row] = len(found)
            continue
        for lower in sorted(found):
            links.append((row, lower, found[lower]))
            if lower not in depths:
                depths[lower] = depths[row] + 1
                queue.append(lower)
    counted = [None] * len(queue) if counts is None else counts[queue].tolist()
    nodes = (
        Node(wnid, wordnet.name_at(row), count, depths[row], hidden.get(row, 0))
        for row, wnid, count in zip(queue, wordnet.wnids_of(queue), counted, strict=True)
    )
    return Outline(tuple(nodes), _links(links))


def _links(links: list[tuple[int, int, tuple[int, ...]]]) -> tuple[Link, ...]:
    uppers = wordnet.wnids_of([upper for upper, _, _ in links])
    lowers = wordnet.wnids_of([lower for _, lower, _ in links])
    instance_of = wordnet.load().instance_hypernyms
    found = []
    for upper, lower, (row, child, chain) in zip(uppers, lowers, links, strict=True):
        instance = (chain[-1] if chain else row) in instance_of.of(child)
        found.append(Link(upper, lower, instance, wordnet.wnids_of(chain)))
    return tuple(found)


# ---- An outline drawn as SVG: boxes of text in columns from the left to the right, and the edges between them.


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


class _BoxPosition(NamedTuple):
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


def _places(outline: Outline) -> dict[str, _BoxPosition]:
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
        wnid: _BoxPosition(lefts[columns[wnid]], top + row * _ROW, widths[wnid], rights[columns[wnid]])
        for wnid, row in rows.items()
    }


def _curve(upper: _BoxPosition, lower: _BoxPosition) -> str:
    """From the right of a box to the left of another: all of the bend lies before the next column."""
    start, bend = upper.right, upper.right + _GAP
    curve = f"C{start + _GAP / 2:.1f} {upper.y:.1f} {start + _GAP / 2:.1f} {lower.y:.1f} {bend:.1f} {lower.y:.1f}"
    return f"M{upper.x + upper.width:.1f} {upper.y:.1f} H{start:.1f} {curve} H{lower.x:.1f}"


def _label(node: Node) -> str:
    return " ".join([node.name, node.wnid, *_numbers(node)])


def _numbers(node: Node) -> list[str]:
    count = [] if node.count is None else [f"{node.count:,}"]
    return [*count, f"(+{node.hidden:,})"] if node.hidden else count


def _box(node: Node, place: _BoxPosition) -> Iterator[str]:
    parts = [html.escape(node.name), f'<tspan class="wnid">{node.wnid}</tspan>']
    parts += [f'<tspan class="count">{number}</tspan>' for number in _numbers(node)]
    left, top = f"{place.x:.1f}", f"{place.y - _BOX / 2:.1f}"
    yield f'<rect class="box" x="{left}" y="{top}" width="{place.width:.1f}" height="{_BOX}" rx="3"/>'
    yield f'<text x="{place.x + 6:.1f}" y="{place.y + _FONT * 0.35:.1f}">{" ".join(parts)}</text>'


# ---- An outline as text for a terminal, as node-link JSON, and as dot for Graphviz.


def text_lines(outline: Outline, *, width: int | None = None) -> Iterator[str]:
    """A line a synset: name, wnid and count, and how many edges are not drawn; cut to `width` columns.

    `^`: it is opened elsewhere; `(+7)`: so many more lie below it; `..`: a chain of synsets is skipped before it.
    """
    nodes = {node.wnid: node for node in outline.nodes}
    below = outline.below()
    opened: set[str] = set()

    def lines(wnid: str, depth: int, first: str, rest: str, mark: str) -> Iterator[str]:
        node = nodes[wnid]
        here = node.depth == depth and wnid not in opened
        count = "" if node.count is None else f"  {node.count:,}"
        opened.update([wnid] if here else [])
        more = " ^" if not here else f" (+{node.hidden:,})" if node.hidden else ""
        yield _fitted(first + mark, node.name, f" {wnid}{count}{more}", width)
        links = below[wnid] if here else []
        for place, link in enumerate(links, 1):
            last = place == len(links)
            branch, stem = ("└─ ", "   ") if last else ("├─ ", "│  ")
            yield from lines(link.lower, depth + 1, rest + branch, rest + stem, ".. " if link.skipped else "")

    yield from lines(outline.nodes[0].wnid, 0, "", "", "")


def _fitted(before: str, name: str, after: str, width: int | None) -> str:
    """A line that is no longer than `width`: the name gives way first, then the stems on the left."""
    if width is not None and len(before) + len(name) + len(after) > width:
        room = max(8, width - len(before) - len(after))
        name = name if len(name) <= room else name[: room - 3] + "..."
        before = before[max(0, len(before) + len(name) + len(after) - width) :]
    return (before + name + after)[:width]


def node_link(outline: Outline, *, title: str = "") -> dict[str, object]:
    """The outline as plain values, as drawn at the head of this module."""
    return {
        "directed": True,
        "multigraph": False,
        "graph": {"title": title},
        "nodes": [
            {"id": node.wnid, "name": node.name, "count": node.count, "depth": node.depth, "hidden": node.hidden}
            for node in outline.nodes
        ],
        "edges": [
            {"source": link.upper, "target": link.lower, "instance": link.instance, "skipped": list(link.skipped)}
            for link in outline.links
        ],
    }


def dot(outline: Outline, *, title: str = "") -> str:
    """The outline in Graphviz's language: instances on dashed edges, skipped chains said on theirs."""
    lines = [
        "digraph wordnet {",
        f"  graph [rankdir=LR, label={_quoted(title)}, labelloc=t];",
        '  node [shape=box, fontname="monospace", fontsize=10];',
    ]
    for node in outline.nodes:
        count = "" if node.count is None else f"  {node.count:,}"
        hidden = f" (+{node.hidden:,})" if node.hidden else ""
        label = _quoted(f"{node.name}\n{node.wnid}{count}{hidden}")
        lines.append(f"  {node.wnid} [label={label}];")
    lines += [f"  {link.upper} -> {link.lower}{_style(link)};" for link in outline.links]
    return "\n".join([*lines, "}", ""])


def _style(link: Link) -> str:
    words = ["style=dashed"] if link.instance else []
    words += [f'label="{len(link.skipped)} skipped"'] if link.skipped else []
    return f" [{', '.join(words)}]" if words else ""


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
