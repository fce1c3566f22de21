"""Choose a part of the graph to draw, and draw it as text, node-link JSON, Graphviz dot, or SVG.

outline() keeps the synsets below a top that have classes or counts, skips chains, and stops at a depth. A node-link
document, as networkx reads it:

    {"directed": true, "multigraph": false, "graph": {"title": "..."},
     "nodes": [{"id": "n02084071", "name": "dog.n.01", "count": 118, "depth": 0, "hidden": 7}, ...],
     "edges": [{"source": "n02084071", "target": "n02087122", "instance": false, "skipped": []}, ...]}
"""

from __future__ import annotations

import html
import json
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from imagenet_tools.errors import UsageError
from imagenet_tools.text import count_of
from imagenet_tools.wordnet import graph, hierarchy, wordnet

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from imagenet_tools.wordnet.graph import Edges, Ints


@dataclass(frozen=True)
class Node:
    """A synset of a drawing."""

    wnid: str
    name: str
    count: int | None
    depth: int  # drawn edges on the shortest path from the top
    hidden: int  # edges that a greater depth would draw from it

    @property
    def count_text(self) -> str:
        """The count after two spaces, or ""."""
        return "" if self.count is None else f"  {self.count:,}"

    @property
    def hidden_text(self) -> str:
        """The number of hidden edges after a space, such as ` (+7)`, or ""."""
        return f" (+{self.hidden:,})" if self.hidden else ""


class Link(NamedTuple):
    """An edge of a drawing, by the wnids of its ends."""

    upper: str
    lower: str
    instance: bool  # `lower` is an instance of its hypernym, not a kind
    skipped: tuple[str, ...]  # the wnids of the chain between, from above


class Outline(NamedTuple):
    """A drawing; every synset is one node, whatever the number of its links."""

    nodes: tuple[Node, ...]  # the top, then breadth first; children sorted by wnid
    links: tuple[Link, ...]  # in the order of `upper` among the nodes, then by wnid

    def __str__(self) -> str:
        return "\n".join(text_lines(self))

    def __repr__(self) -> str:
        return f"Outline: {self.nodes[0].name}; {count_of(len(self.nodes), 'synset')}"

    def _repr_svg_(self) -> str:
        """Return the drawing for notebooks."""
        return svg(self)

    def below(self) -> dict[str, list[Link]]:
        """Return the links by the wnid of their upper end."""
        links: dict[str, list[Link]] = {node.wnid: [] for node in self.nodes}
        for link in self.links:
            links[link.upper].append(link)
        return links


def outline(
    top: str = hierarchy.ROOT,
    *,
    depth: int | None = None,
    classes: Iterable[str] | None = None,
    counts: npt.NDArray[np.int64] | None = None,
    counted: bool = False,
    collapse: bool = False,
    edges: Edges | None = None,
) -> Outline:
    """Return the part of the graph to draw.

    Args:
        top: A wnid or a name; it is always drawn.
        depth: The greatest number of drawn edges below the top, by the shortest path.
        classes: Keep only these classes and the synsets above one of them.
        counts: What is at or below each synset, by row of wordnet: (82,115,). Shown as `count`.
        counted: Keep only synsets with a count.
        collapse: Skip each synset that is no class, has one child, and counts no more than this child.
        edges: The edges down of another graph, such as an exclusive tree; default: WordNet's, of both kinds.

    Raises:
        UsageError: `counted` without counts.
    """
    if counted and counts is None:
        raise UsageError("Nothing is counted; expected counts by row where `counted` is asked for.")
    row = wordnet.row_of(top)
    class_rows = wordnet.rows_of(classes) if classes is not None else None
    down = hierarchy.edges_down() if edges is None else edges
    below = _kept_edges(row, down, class_rows, counts if counted else None)
    skip = wordnet.mask_of([])
    if collapse:
        single = np.flatnonzero(below.degrees() == 1)
        if counts is not None:
            single = single[counts[single] == counts[below.targets[below.starts[single]]]]
        skip[single] = True
        skip[row] = False
        if class_rows is not None:
            skip[class_rows] = False
    return _walk(row, below, skip, counts, below.n if depth is None else depth)


def _kept_edges(top: int, down: Edges, classes: Ints | None, counts: npt.NDArray[np.int64] | None) -> Edges:
    """Return the edges below the top between synsets that are drawn."""
    kept = wordnet.mask_of(graph.reach(down, [top]))
    if classes is not None:
        kept &= wordnet.mask_of(graph.reach(graph.reverse(down), classes))
    if counts is not None:
        kept &= counts > 0
    kept[top] = True
    sources = graph.sources_of(down)
    both = kept[sources] & kept[down.targets]
    return graph.from_pairs(down.n, sources[both], down.targets[both])


def _walk(
    top: int, below: Edges, skip: npt.NDArray[np.bool_], counts: npt.NDArray[np.int64] | None, depth: int
) -> Outline:
    """Walk breadth first from the top; a skipped synset is replaced by the one that it leads to."""
    depths, hidden, links = {top: 0}, {}, []
    queue = [top]
    for row in queue:  # grows during the loop
        chains: dict[int, list[int]] = {}  # by the lower end of a link: the skipped rows between
        for child in below.of(row).tolist():
            chain = [child]
            while skip[chain[-1]]:
                chain.append(int(below.of(chain[-1])[0]))
            lower = chain.pop()
            if lower not in chains or len(chain) < len(chains[lower]):
                chains[lower] = chain
        if chains and depths[row] == depth:
            hidden[row] = len(chains)
            continue
        for lower, chain in sorted(chains.items()):
            links.append((row, chain, lower))
            if lower not in depths:
                depths[lower] = depths[row] + 1
                queue.append(lower)
    shown = [None] * len(queue) if counts is None else counts[queue].tolist()
    rows = [top, *(row for upper, chain, lower in links for row in (upper, *chain, lower))]
    wnids = dict(zip(rows, wordnet.wnids_of(rows), strict=True))
    instance_hypernyms = wordnet.load().instance_hypernyms
    return Outline(
        tuple(
            Node(wnids[row], wordnet.name_at(row), count, depths[row], hidden.get(row, 0))
            for row, count in zip(queue, shown, strict=True)
        ),
        tuple(
            Link(
                wnids[upper],
                wnids[lower],
                bool([upper, *chain][-1] in instance_hypernyms.of(lower)),
                tuple(wnids[row] for row in chain),
            )
            for upper, chain, lower in links
        ),
    )


# ---- text, JSON, dot


def text_lines(outline: Outline, *, width: int | None = None) -> Iterator[str]:
    """Yield a line for each synset under each of its parents: name, wnid, count; cut to `width` columns.

    `^`: opened elsewhere. `(+7)`: 7 more below it. `..`: a chain of synsets is skipped before it.
    """
    nodes = {node.wnid: node for node in outline.nodes}
    below = outline.below()
    opened: set[str] = set()

    def lines(wnid: str, depth: int, first: str, rest: str, mark: str) -> Iterator[str]:
        node = nodes[wnid]
        opens = node.depth == depth and wnid not in opened
        more = node.hidden_text if opens else " ^"
        yield _fitted(first + mark, node.name, f" {wnid}{node.count_text}{more}", width)
        if not opens:
            return
        opened.add(wnid)
        for link in below[wnid]:
            branch, stem = ("└─ ", "   ") if link is below[wnid][-1] else ("├─ ", "│  ")
            yield from lines(link.lower, depth + 1, rest + branch, rest + stem, ".. " if link.skipped else "")

    yield from lines(outline.nodes[0].wnid, 0, "", "", "")


def _fitted(before: str, name: str, after: str, width: int | None) -> str:
    """Return a line cut to a width: the name is shortened first, then the stems on the left."""
    if width is not None and len(before) + len(name) + len(after) > width:
        room = max(8, width - len(before) - len(after))
        name = name if len(name) <= room else name[: room - 3] + "..."
        before = before[max(0, len(before) + len(name) + len(after) - width) :]
    return (before + name + after)[:width]


def node_link(outline: Outline, *, title: str = "") -> dict[str, object]:
    """Return the outline as a node-link document, as drawn at the head of this module."""
    node_keys, link_keys = ("id", "name", "count", "depth", "hidden"), ("source", "target", "instance", "skipped")
    return {
        "directed": True,
        "multigraph": False,
        "graph": {"title": title},
        "nodes": [dict(zip(node_keys, astuple(node), strict=True)) for node in outline.nodes],
        "edges": [dict(zip(link_keys, link, strict=True)) for link in outline.links],
    }


def dot(outline: Outline, *, title: str = "") -> str:
    """Return the outline in Graphviz's language: instance edges dashed, the length of skipped chains as labels."""
    lines = [
        "digraph wordnet {",
        f"  graph [rankdir=LR, label={_quoted(title)}, labelloc=t];",
        '  node [shape=box, fontname="monospace", fontsize=10];',
    ]
    for node in outline.nodes:
        label = _quoted(f"{node.name}\n{node.wnid}{node.count_text}{node.hidden_text}")
        lines.append(f"  {node.wnid} [label={label}];")
    for link in outline.links:
        styles = ["style=dashed"] if link.instance else []
        styles += [f'label="{len(link.skipped)} skipped"'] if link.skipped else []
        attributes = f" [{', '.join(styles)}]" if styles else ""
        lines.append(f"  {link.upper} -> {link.lower}{attributes};")
    return "\n".join([*lines, "}", ""])


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)  # Graphviz has the same escapes


# ---- SVG: boxes of text in columns from left to right

_FONT_PIXELS = 11
_LETTER_PIXELS = _FONT_PIXELS * 0.6  # the width of a letter in monospaced fonts
_ROW_PIXELS = 24
_BOX_PIXELS = 18
_GAP_PIXELS = 46
_EDGE_PIXELS = 16

_STYLE = f"""\
text {{ font: {_FONT_PIXELS}px ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; fill: #1b1f24; }}
.wnid {{ fill: #6e7781; }} .count {{ fill: #0550ae; }} .title {{ font-weight: bold; }}
rect.box {{ fill: #ffffff; stroke: #8c959f; }} path {{ fill: none; stroke: #8c959f; }}
path.other {{ stroke: #bc4c00; stroke-dasharray: 4 3; }}"""


class _BoxPosition(NamedTuple):
    """The place of a box in pixels: its left edge, its middle, its width, and the right edge of its column."""

    x: float
    y: float
    width: float
    right: float


def svg(outline: Outline, *, title: str = "") -> str:
    """Return the outline as a self-contained SVG 1.1 document; equal outlines give equal texts."""
    parents, boxes = _layout(outline)
    width = max(box.x + box.width for box in boxes.values()) + _EDGE_PIXELS
    width = max(width, len(title) * _LETTER_PIXELS + 2 * _EDGE_PIXELS)
    height = max(box.y for box in boxes.values()) + _ROW_PIXELS / 2 + _EDGE_PIXELS
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" role="img">',
        f"<title>{html.escape(title)}</title>",
        f"<style>{_STYLE}</style>",
        f'<rect width="{width:.0f}" height="{height:.0f}" fill="#ffffff"/>',
        f'<text class="title" x="{_EDGE_PIXELS}" y="{_EDGE_PIXELS + _FONT_PIXELS}">{html.escape(title)}</text>',
    ]
    # The dashed edges come first, so that the solid ones are drawn over them.
    for link in sorted(outline.links, key=lambda link: parents[link.lower] == link.upper):
        kind = "" if parents[link.lower] == link.upper else ' class="other"'
        note = f"<title>skipped: {', '.join(link.skipped)}</title>" if link.skipped else ""
        lines.append(f'<path{kind} d="{_curve(boxes[link.upper], boxes[link.lower])}">{note}</path>')
    for node in outline.nodes:
        box = boxes[node.wnid]
        parts = [html.escape(node.name), f'<tspan class="wnid">{node.wnid}</tspan>']
        parts += [f'<tspan class="count">{number}</tspan>' for number in _numbers(node)]
        lines += [
            f'<rect class="box" x="{box.x:.1f}" y="{box.y - _BOX_PIXELS / 2:.1f}" width="{box.width:.1f}" '
            f'height="{_BOX_PIXELS}" rx="3"/>',
            f'<text x="{box.x + 6:.1f}" y="{box.y + _FONT_PIXELS * 0.35:.1f}">{" ".join(parts)}</text>',
        ]
    return "\n".join([*lines, "</svg>", ""])


def _numbers(node: Node) -> list[str]:
    return f"{node.count_text}{node.hidden_text}".split()


def _layout(outline: Outline) -> tuple[dict[str, str], dict[str, _BoxPosition]]:
    """Return the upper end of the one solid edge to each synset, and the position of the box of each."""
    below = outline.below()
    place_of = {node.wnid: place for place, node in enumerate(outline.nodes)}
    ends = [(place_of[link.upper], place_of[link.lower]) for link in outline.links]
    edges = graph.from_pairs(len(place_of), [upper for upper, _ in ends], [lower for _, lower in ends])
    # The column of a synset is the number of edges on the longest path from the top.
    columns = dict(zip(place_of, graph.depths(edges, [0])[1].tolist(), strict=True))
    parents: dict[str, str] = {}
    for link in sorted(outline.links, key=lambda link: -columns[link.upper]):
        parents.setdefault(link.lower, link.upper)
    labels = {node.wnid: " ".join([node.name, node.wnid, *_numbers(node)]) for node in outline.nodes}
    widths = {wnid: len(label) * _LETTER_PIXELS + 12 for wnid, label in labels.items()}
    lefts = [float(_EDGE_PIXELS)]
    for column in range(max(columns.values())):
        widest = max(width for wnid, width in widths.items() if columns[wnid] == column)
        lefts.append(lefts[-1] + widest + _GAP_PIXELS)
    rights = [left - _GAP_PIXELS for left in lefts[1:]] + [0.0]  # no edge leaves the last column
    boxes: dict[str, _BoxPosition] = {}
    n_rows = 0

    def place(wnid: str) -> float:
        """Place a synset in the middle of its children, or in a new row; return its y."""
        nonlocal n_rows
        children = [place(link.lower) for link in below[wnid] if parents[link.lower] == wnid]
        row = (children[0] + children[-1]) / 2 if children else float(n_rows)
        if not children:
            n_rows += 1
        column = columns[wnid]
        y = _EDGE_PIXELS + _ROW_PIXELS * 1.5 + row * _ROW_PIXELS
        boxes[wnid] = _BoxPosition(lefts[column], y, widths[wnid], rights[column])
        return row

    place(outline.nodes[0].wnid)
    return parents, boxes


def _curve(upper: _BoxPosition, lower: _BoxPosition) -> str:
    """Return the path from the right of a box to the left of another; it bends only before the next column."""
    start, end, middle = upper.right, upper.right + _GAP_PIXELS, upper.right + _GAP_PIXELS / 2
    curve = f"C{middle:.1f} {upper.y:.1f} {middle:.1f} {lower.y:.1f} {end:.1f} {lower.y:.1f}"
    return f"M{upper.x + upper.width:.1f} {upper.y:.1f} H{start:.1f} {curve} H{lower.x:.1f}"
