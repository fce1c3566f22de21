"""Drawings show the outline as text, dot and SVG."""

import itertools
import json
import re
import shutil
import subprocess
import xml.etree.ElementTree as ET
from collections import Counter

import pytest

from imagenet_tools.catalogue import labels, terms
from imagenet_tools.superclasses import drawing
from imagenet_tools.superclasses.drawing import Outline, outline, svg
from imagenet_tools.wordnet import hierarchy

SVG = "{http://www.w3.org/2000/svg}"
DOGS = ["n02091032", "n02099601", "n02123045", "n02085620", "n09450163"]  # a hound that is a racer too, the sun ...


@pytest.fixture(params=["dogs", "depth", "collapse", "whole", "one"])
def drawn(request: pytest.FixtureRequest) -> Outline:
    counts = terms.ilsvrc2012_below()
    return {
        "dogs": lambda: outline(classes=DOGS),
        "depth": lambda: outline("carnivore.n.01", depth=2, counts=counts, counted=True),
        "collapse": lambda: outline(classes=DOGS, collapse=True, counts=hierarchy.classes_below(DOGS)),
        "whole": lambda: outline(counts=counts, counted=True),
        "one": lambda: outline("pug.n.01"),
    }[request.param]()


def test_text_has_a_line_an_edge_and_opens_each_synset_once(drawn: Outline) -> None:
    lines = list(drawing.text_lines(drawn))
    wnids = [re.search(r" (n\d{8})", line)[1] for line in lines]  # type: ignore[index]
    assert len(lines) == len(drawn.links) + 1
    # Under each of its hypernyms stands a synset; where it is not opened, '^'.
    assert Counter(wnids) == Counter([drawn.nodes[0].wnid, *(link.lower for link in drawn.links)])
    opened = [wnid for wnid, line in zip(wnids, lines, strict=True) if not line.endswith(" ^")]
    assert sorted(opened) == sorted(node.wnid for node in drawn.nodes)
    hidden = {node.wnid: node.hidden for node in drawn.nodes if node.hidden}
    said = {
        w: int(re.search(r"\(\+([\d,]+)\)$", line)[1].replace(",", ""))  # type: ignore[index]
        for w, line in zip(wnids, lines, strict=True)
        if line.endswith(")")
    }
    assert said == hidden


def test_text_of_a_small_graph() -> None:
    drawn = outline("domestic_animal.n.01", classes=["n02123045", "n02085620"], collapse=True)
    assert list(drawing.text_lines(drawn)) == [
        "domestic_animal.n.01 n01317541",
        "├─ .. chihuahua.n.03 n02085620",
        "└─ .. tabby.n.01 n02123045",
    ]


@pytest.mark.parametrize("width", [20, 40, 80])
def test_text_is_cut_to_the_terminal(drawn: Outline, width: int) -> None:
    lines = list(drawing.text_lines(drawn, width=width))
    assert max(map(len, lines)) <= width
    assert len(lines) == len(drawn.links) + 1


def test_node_link_holds_every_synset_and_edge_once(drawn: Outline) -> None:
    said = json.loads(json.dumps(drawing.node_link(drawn, title="so")))
    assert [one["id"] for one in said["nodes"]] == [node.wnid for node in drawn.nodes]
    assert [(one["source"], one["target"]) for one in said["edges"]] == [(link[0], link[1]) for link in drawn.links]
    assert (said["directed"], said["multigraph"], said["graph"]) == (True, False, {"title": "so"})


def test_networkx_reads_node_link(drawn: Outline) -> None:
    networkx = pytest.importorskip("networkx")
    graph = networkx.node_link_graph(drawing.node_link(drawn), edges="edges")
    assert (len(graph.nodes), len(graph.edges)) == (len(drawn.nodes), len(drawn.links))
    assert networkx.is_directed_acyclic_graph(graph)


STATEMENT = re.compile(
    r'  (?:(n\d{8}) \[label="((?:[^"\\]|\\.)*)"\]|(n\d{8}) -> (n\d{8})(?: \[[^\]]*\])?'
    r"|graph \[[^\]]*\]|node \[[^\]]*\]);"
)


def test_dot_declares_every_synset_and_edge_once(drawn: Outline) -> None:
    first, *lines, last = drawing.dot(drawn, title='a "title" \\ with\nall').splitlines()
    assert (first, last) == ("digraph wordnet {", "}")
    found = [STATEMENT.fullmatch(line) for line in lines]
    assert all(found)
    assert [m[1] for m in found if m and m[1]] == [node.wnid for node in drawn.nodes]
    assert [(m[3], m[4]) for m in found if m and m[3]] == [(link.upper, link.lower) for link in drawn.links]


@pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz is not installed")
def test_graphviz_reads_dot(drawn: Outline) -> None:
    source = drawing.dot(drawn, title='a "title" \\ with\nall')
    plain = subprocess.run(["dot", "-Tcanon"], input=source, capture_output=True, text=True, check=True)
    assert plain.stderr == ""
    arrows = re.findall(r"(n\d{8}) -> (n\d{8})", plain.stdout)
    assert sorted(arrows) == sorted((link.upper, link.lower) for link in drawn.links)


def boxes(root: ET.Element) -> list[tuple[float, float, float, float]]:
    rects = [one for one in root.iter(f"{SVG}rect") if one.get("class") == "box"]
    return [tuple(float(one.get(key, "nan")) for key in ("x", "y", "width", "height")) for one in rects]  # type: ignore[misc]


def test_svg_is_well_formed_and_its_boxes_lie_inside_and_do_not_meet(drawn: Outline) -> None:
    root = ET.fromstring(svg(drawn, title='<a> & "b"'))
    assert root.tag == f"{SVG}svg" and root.findtext(f"{SVG}title") == '<a> & "b"'
    found = boxes(root)
    assert len(found) == len(drawn.nodes)
    assert len(list(root.iter(f"{SVG}path"))) == len(drawn.links)
    width, height = float(root.get("width", 0)), float(root.get("height", 0))
    for x, y, w, h in found:
        assert x >= 0 and y >= 0 and x + w <= width and y + h <= height
    by_column: dict[float, list[tuple[float, float, float, float]]] = {}
    for one in found:
        by_column.setdefault(one[0], []).append(one)
    columns = sorted(by_column)
    for n, x in enumerate(columns):
        column = sorted(by_column[x], key=lambda one: one[1])
        assert all(a[1] + a[3] < b[1] for a, b in itertools.pairwise(column))
        if n + 1 < len(columns):
            assert max(one[0] + one[2] for one in column) < columns[n + 1]


def test_svg_has_the_words_of_every_synset(drawn: Outline) -> None:
    root = ET.fromstring(svg(drawn, title="so"))
    said = ["".join(one.itertext()) for one in root.iter(f"{SVG}text")]
    for node in drawn.nodes:
        [line] = [one for one in said if f" {node.wnid}" in one]
        assert line.startswith(node.name) and (node.count is None or f"{node.count:,}" in line)


def test_drawings_are_the_same_every_time(drawn: Outline) -> None:
    again = Outline(drawn.nodes, drawn.links)
    assert svg(drawn) == svg(again) and drawing.dot(drawn) == drawing.dot(again)


def test_all_of_fall11_is_drawn() -> None:
    drawn = outline(classes=labels.fall11(), collapse=True)
    assert len(ET.fromstring(svg(drawn)).findall(f"{SVG}path")) == len(drawn.links)
