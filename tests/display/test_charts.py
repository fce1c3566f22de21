"""Charts: what they draw, that names fit and are escaped, and that equal values give equal bytes."""

import io
import xml.etree.ElementTree as ET
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
from PIL import Image

from imagenet_tools.display import charts
from imagenet_tools.display.charts import Branch, Chart, Rectangle, Text
from imagenet_tools.display.style import DARK, LIGHT
from imagenet_tools.errors import ExistsError, UsageError

MARKUP = "<script>alert(1)</script>\"'&\x1b\n\udcff"
SVG = "{http://www.w3.org/2000/svg}"


def rectangles(chart: Chart) -> list[Rectangle]:
    return [shape for shape in chart.shapes if isinstance(shape, Rectangle)]


def texts(chart: Chart) -> list[Text]:
    return [shape for shape in chart.shapes if isinstance(shape, Text)]


def wide(n: int, depth: int = 3) -> Branch:
    """A tree with n parts at each of some levels."""
    parts = tuple(wide(n, depth - 1) for _ in range(n)) if depth else ()
    return Branch(f"a long name at level {depth}", sum(part.value for part in parts) or 7, parts)


ALL = {
    "bars": charts.bars("title", "about", [("a", 3), ("b", 0), (MARKUP, 5)]),
    "no bars": charts.bars("title", "about", []),
    "histogram": charts.histogram("title", " px", Counter({1.0: 5, 2.0: 1, 500.0: 3}), of="images"),
    "one value": charts.histogram("title", "", {7.0: 3}, of="images"),
    "no value": charts.histogram("title", "", {}, of="images"),
    "treemap": charts.treemap("title", "about", wide(12)),
    "one class": charts.treemap("title", "about", Branch("dog", 5)),
    "markup": charts.treemap(MARKUP, MARKUP, Branch(MARKUP, 9, (Branch(MARKUP, 5), Branch("b", 4)))),
}


@pytest.mark.parametrize("name", ALL)
def test_a_chart_is_svg_and_png(name: str) -> None:
    chart = ALL[name]
    for svg in (chart.svg(), chart.svg(style=False)):
        root = ET.fromstring(svg)  # well-formed, so escaped
        assert root.tag == f"{SVG}svg"
        assert {element.tag.removeprefix(SVG) for element in root.iter()} <= {"svg", "style", "rect", "text", "title"}
    picture = Image.open(io.BytesIO(chart.png()))
    assert picture.size == (2 * chart.width, 2 * chart.height)
    colours = {colour for _, colour in picture.convert("RGB").getcolors(1 << 20) or ()}
    assert tuple(bytes.fromhex(LIGHT["ink"][1:])) in colours


@pytest.mark.parametrize("name", ALL)
def test_everything_is_inside_the_chart(name: str) -> None:
    chart = ALL[name]
    for shape in rectangles(chart):
        assert shape.x >= 0 and shape.x + shape.width <= chart.width + 0.01
        assert shape.y >= 0 and shape.y + shape.height <= chart.height + 0.01
    for text in texts(chart):
        width = len(text.text) * text.size * 0.56
        start = text.x - {"start": 0, "middle": width / 2, "end": width}[text.anchor]
        assert start >= 0 and start + width <= chart.width and 0 <= text.y <= chart.height


def test_light_and_dark_have_the_same_colours_and_can_be_read() -> None:
    def luminance(colour: str) -> float:
        parts = [part / 255 for part in bytes.fromhex(colour[1:])]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    assert LIGHT.keys() == DARK.keys()
    for colours in (LIGHT, DARK):
        pairs = [("ink", on) for on in ("page", "panel", "line", "bar")] + [("dim", "page"), ("dim", "panel")]
        for text, ground in pairs:
            low, high = sorted((luminance(colours[text]), luminance(colours[ground])))
            assert (high + 0.05) / (low + 0.05) >= 4.5, (text, ground)


def test_the_areas_of_a_treemap_are_the_values() -> None:
    parts = tuple(Branch(f"part {n}", value) for n, value in enumerate((60, 30, 20, 10)))
    _, *shown = rectangles(charts.treemap("title", "about", Branch("all", 120, parts)))
    assert [shape.note for shape in shown] == [f"all > part {n}: {part.value}" for n, part in enumerate(parts)]
    scale = [(shape.width + 2) * (shape.height + 2) / part.value for shape, part in zip(shown, parts, strict=True)]
    assert max(scale) / min(scale) < 1.01
    for a in shown:
        for b in shown:
            apart = a.x + a.width <= b.x or b.x + b.width <= a.x or a.y + a.height <= b.y or b.y + b.height <= a.y
            assert a is b or apart
    assert all(max(s.width, s.height) / min(s.width, s.height) < 4 for s in shown)


def test_a_large_tree_stays_readable() -> None:
    """Twelve thousand classes are drawn in one screen: small ones are joined, and names never overlap."""
    chart = charts.treemap("title", "about", wide(23))
    assert (chart.width, chart.height) == (720, 516)
    assert len(rectangles(chart)) < 700
    assert any(shape.note.endswith(": 0") for shape in rectangles(chart)) is False
    joined = charts.treemap(
        "t", "a", Branch("all", 1900, (Branch("big", 1000), *(Branch(f"s{n}", 1) for n in range(900))))
    )
    assert [shape.note for shape in rectangles(joined)][1:] == ["all > big: 1,000", "all > 900 more: 900"]
    lines: dict[float, list[tuple[float, float]]] = {}
    for text in texts(chart):
        width = len(text.text) * text.size * 0.56
        start = text.x - (width if text.anchor == "end" else 0)
        lines.setdefault(text.y, []).append((start, start + width))
    for spans in lines.values():
        assert all(left[1] <= right[0] + 4 for left, right in pairwise(sorted(spans)))


def test_images_of_an_inner_class_itself_have_an_area() -> None:
    chart = charts.treemap("title", "about", Branch("dog", 10, (Branch("pug", 4),)))
    assert [shape.note for shape in rectangles(chart)] == ["dog: 10", "dog > dog itself: 6", "dog > pug: 4"]


def test_a_histogram_counts_every_value_once() -> None:
    counts = Counter({float(side): 10 for side in range(100, 600, 7)} | {5.0: 1, 9000.0: 1})
    chart = charts.histogram("title", " px", counts, of="images")
    assert sum(
        int(shape.note.rpartition(": ")[2].replace(",", "")) for shape in rectangles(chart) if shape.note
    ) == sum(counts.values())
    assert len(rectangles(chart)) < 40
    assert chart.about == "722 images; median 352 px, from 5 to 9,000 px"


def test_the_axis_of_a_histogram_has_units_at_the_edges_of_bins() -> None:
    chart = charts.histogram("title", " %", {5.0: 3, 12.0: 1, 23.0: 2}, of="boxes", step=5.0)
    bars = [shape for shape in rectangles(chart) if shape.note]
    ticks = {text.text: text.x for text in texts(chart) if text.y > max(bar.y + bar.height for bar in bars)}
    assert list(ticks) == ["5 %", "10 %", "15 %", "20 %", "25 %"]
    for bar in bars[1:]:
        assert abs(ticks[bar.note.partition(" to ")[0] + " %"] - bar.x) < 0.01


def test_bars_with_emphasis_have_two_colours() -> None:
    rows = [("ours", 3), ("theirs", 2)]
    assert [bar.colour for bar in rectangles(charts.bars("t", "a", rows, emphasis={"ours"}))] == ["accent", "muted"]
    assert [bar.colour for bar in rectangles(charts.bars("t", "a", rows))] == ["accent", "accent"]


def test_a_heading_of_a_single_class_is_drawn_where_it_has_room() -> None:
    def of(value: int) -> Chart:
        parts = (Branch("hound", 900), Branch("toy dog", value, (Branch("pug", value),)))
        return charts.treemap("title", "about", Branch("dog", 900 + value, parts))

    assert {"toy dog", "pug"} <= {text.text for text in texts(of(300))}
    small = {text.text for text in texts(of(70))}
    assert "pug" in small and "toy dog" not in small


def test_a_value_at_the_edge_of_a_bin_is_in_the_bin_that_it_begins() -> None:
    chart = charts.histogram("title", "", dict.fromkeys((n / 10 for n in range(1, 30)), 5), of="images", step=0.1)
    notes = [shape.note for shape in rectangles(chart) if shape.note]
    assert notes == [f"{n / 10:.6g} to {(n + 1) / 10:.6g}: 5" for n in range(1, 30)]


def test_a_chart_is_saved_by_its_suffix_and_never_over_a_file(tmp_path: Path) -> None:
    chart = ALL["bars"]
    assert chart.save(tmp_path / "x.svg").read_text() == chart.svg() == chart._repr_svg_()
    assert chart.save(tmp_path / "x.PNG").read_bytes() == chart.png()
    with pytest.raises(ExistsError):
        chart.save(tmp_path / "x.svg")
    with pytest.raises(UsageError, match=r"found the suffix '.pdf'; expected .svg or .png"):
        chart.save(tmp_path / "x.pdf")
