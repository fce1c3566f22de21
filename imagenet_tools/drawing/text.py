"""An outline as text for a terminal, as node-link JSON, and as dot for Graphviz.

Text has no place for a graph: a synset with several hypernyms stands under each of them, marked '^' but where it is
opened, which is where the shortest path leads to it. JSON and dot hold every synset once, and every edge.

    {"directed": true, "multigraph": false,           node-link, as networkx.node_link_graph reads it
     "graph": {"title": "..."},
     "nodes": [{"id": "n02084071", "name": "dog.n.01", "count": 118, "depth": 0, "hidden": 0}, ...],
     "edges": [{"source": "n02084071", "target": "n02085374", "instance": false, "skipped": []}, ...]}
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from imagenet_tools.drawing.outline import Link, Outline


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
