"""Draw charts: bars, histograms and treemaps, as SVG and as PNG.

A chart is a list of rectangles and texts, laid out once and written by either of two short writers. So both forms show
the same, the bytes of an SVG depend on the values alone, and a page can hold a chart without a library.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from imagenet_tools.display.style import DARK, FONT, LIGHT, SHADES, escaped, fitted
from imagenet_tools.errors import UsageError
from imagenet_tools.storage.files import write_whole

WIDTH = 720  # pixels of a chart
_TREE_HEIGHT = 460
_HISTOGRAM_HEIGHT = 200
_HEAD_PIXELS = 44  # the title and the line below it
_EDGE_PIXELS = 12
_FONT_PIXELS = 12
_TITLE_FONT_PIXELS = 15
_LETTER_SHARE = 0.56  # the mean width of a letter in the size of its font; measured for names in DejaVu Sans: 0.55
_ROW_PIXELS = 22
_PNG_SCALE = 2  # pixels of a PNG a pixel of the SVG

# A part of a treemap smaller than this is joined with the other small ones.
_SMALL_PIXELS = 300.0
_GROUP_WIDTH = 64  # a part smaller than this is not divided further
_GROUP_HEIGHT = 44
_GROUP_HEAD_PIXELS = 17
_GAP_PIXELS = 2
SHADE_LIMITS = (0.4, 0.6, 0.75, 0.9)  # of shares, for colours: accuracies of classes are mostly above one half
_TICK_PIXELS = 14  # between the texts of an axis

_MAX_BINS = 32


class Rectangle(NamedTuple):
    """A rectangle of a chart, in pixels, with a text that is shown when the mouse is over it."""

    x: float
    y: float
    width: float
    height: float
    colour: str  # a key of style.LIGHT
    note: str = ""
    link: str = ""  # an address that a click opens


class Text(NamedTuple):
    """A text of a chart; y is the middle of its line."""

    x: float
    y: float
    text: str
    colour: str = "ink"
    anchor: str = "start"
    size: int = _FONT_PIXELS
    bold: bool = False


class Branch(NamedTuple):
    """A part of a treemap. Its value is at least the sum of those of its parts."""

    name: str
    value: int
    parts: tuple[Branch, ...] = ()
    link: str = ""  # an address that a click opens
    colour: str = "bar"  # a key of style.LIGHT; of a part that is not divided
    share: float | None = None  # from 0 to 1: its shade is the colour instead


@dataclass(frozen=True)
class Chart:
    """A chart. A notebook shows it; save() writes it as .svg or .png."""

    title: str
    about: str  # the line below the title
    width: int
    height: int
    shapes: tuple[Rectangle | Text, ...] = field(repr=False)

    def svg(self, *, style: bool = True) -> str:
        """Return an SVG 1.1 document in light and dark; without `style`, for a page that has STYLE."""
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" class="chart" viewBox="0 0 {self.width} {self.height}" '
            f'width="{self.width}" height="{self.height}" font-size="{_FONT_PIXELS}" role="img" '
            f'aria-label="{escaped(self.title)}">'
        )
        lines = [head, f"<style>.chart {{ font-family: {FONT}; }} {STYLE}</style>"] if style else [head]
        if style:
            lines.append(_svg_of(Rectangle(0, 0, self.width, self.height, "page")))
        return "\n".join([*lines, *map(_svg_of, self.shapes), "</svg>", ""])

    def png(self) -> bytes:
        """Return the chart as PNG, in light, with twice as many pixels a side."""
        from PIL import Image, ImageDraw, ImageFont

        from imagenet_tools.display.pictures import as_bytes

        size = (self.width * _PNG_SCALE, self.height * _PNG_SCALE)
        picture = Image.new("RGB", size, LIGHT["page"])
        canvas = ImageDraw.Draw(picture)
        for shape in self.shapes:
            if isinstance(shape, Rectangle):
                left, top = round(shape.x * _PNG_SCALE), round(shape.y * _PNG_SCALE)
                right, bottom = (shape.x + shape.width) * _PNG_SCALE, (shape.y + shape.height) * _PNG_SCALE
                corner = (max(left, round(right) - 1), max(top, round(bottom) - 1))
                canvas.rectangle(((left, top), corner), fill=LIGHT[shape.colour])
                continue
            place = (shape.x * _PNG_SCALE, shape.y * _PNG_SCALE)
            anchor = {"start": "lm", "middle": "mm", "end": "rm"}[shape.anchor]
            font = ImageFont.load_default(shape.size * _PNG_SCALE)
            canvas.text(place, shape.text, fill=LIGHT[shape.colour], font=font, anchor=anchor)
        return as_bytes(picture, "PNG")

    def save(self, path: str | Path) -> Path:
        """Write the chart to a file that must not exist, as its suffix says: .svg or .png.

        Raises:
            UsageError: The suffix is another one.
            ExistsError: Something is at the path.
        """
        path = Path(path)
        suffix = path.suffix.lower()
        if suffix not in (".svg", ".png"):
            raise UsageError(f"{path}: found the suffix {suffix!r}; expected .svg or .png.")
        write_whole(path, self.svg().encode() if suffix == ".svg" else self.png())
        return path

    def _repr_svg_(self) -> str:
        return self.svg()


def _rules(colours: Mapping[str, str]) -> str:
    return " ".join(f".chart .{name} {{ fill: {colour}; }}" for name, colour in colours.items())


# The colours of charts. Those in the attributes are for programs that ignore styles.
STYLE = f"@media (prefers-color-scheme: dark) {{ {_rules(DARK)} }}"


def _svg_of(shape: Rectangle | Text) -> str:
    colour = f'class="{shape.colour}" fill="{LIGHT[shape.colour]}"'
    if isinstance(shape, Rectangle):
        place = f'x="{shape.x:.1f}" y="{shape.y:.1f}" width="{shape.width:.1f}" height="{shape.height:.1f}"'
        note = f"<title>{escaped(shape.note)}</title>" if shape.note else ""
        rect = f"<rect {place} {colour}>{note}</rect>"
        return f'<a href="{escaped(shape.link)}">{rect}</a>' if shape.link else rect
    anchor = "" if shape.anchor == "start" else f' text-anchor="{shape.anchor}"'
    size = "" if shape.size == _FONT_PIXELS else f' font-size="{shape.size}"'
    bold = ' font-weight="600"' if shape.bold else ""
    # The middle of a line is 0.35 of its size above the baseline, on which SVG puts a text.
    place = f'x="{shape.x:.1f}" y="{shape.y + shape.size * 0.35:.1f}"'
    return f"<text {place} {colour}{anchor}{size}{bold}>{escaped(shape.text)}</text>"


def _text_width(text: str) -> float:
    return len(text) * _FONT_PIXELS * _LETTER_SHARE


def _cut(text: str, width: float) -> str:
    return fitted(text, width, _text_width)


def _chart(title: str, about: str, height: float, shapes: Iterator[Rectangle | Text]) -> Chart:
    """Return a chart with its title and the line below it over the shapes."""
    head = (
        Text(_EDGE_PIXELS, 16, _cut(title, WIDTH - 2 * _EDGE_PIXELS), size=_TITLE_FONT_PIXELS, bold=True),
        Text(_EDGE_PIXELS, 34, _cut(about, WIDTH - 2 * _EDGE_PIXELS), "dim"),
    )
    return Chart(title, about, WIDTH, round(height + _HEAD_PIXELS + _EDGE_PIXELS), (*head, *shapes))


# ---- bars


def bars(title: str, about: str, rows: Sequence[tuple[str, int]], *, emphasis: Collection[str] | None = None) -> Chart:
    """Return a horizontal bar for each (name, value); with `emphasis`, the bars of other names are grey."""
    return _chart(title, about, max(1, len(rows)) * _ROW_PIXELS, _bars(rows, emphasis))


def _bars(rows: Sequence[tuple[str, int]], emphasis: Collection[str] | None) -> Iterator[Rectangle | Text]:
    if not rows:
        yield Text(_EDGE_PIXELS, _HEAD_PIXELS + _ROW_PIXELS / 2, "none", "dim")
        return
    most = max(value for _, value in rows) or 1
    names = min(WIDTH * 0.35, max(_text_width(name) for name, _ in rows) + 8)
    numbers = max(_text_width(f"{value:,}") for _, value in rows) + 8
    room = WIDTH - 2 * _EDGE_PIXELS - names - numbers
    for n, (name, value) in enumerate(rows):
        y = _HEAD_PIXELS + n * _ROW_PIXELS
        length = room * value / most
        colour = "accent" if emphasis is None or name in emphasis else "muted"
        yield Text(_EDGE_PIXELS, y + _ROW_PIXELS / 2, _cut(name, names - 8))
        yield Rectangle(_EDGE_PIXELS + names, y + 3, max(length, 1), _ROW_PIXELS - 6, colour, f"{name}: {value:,}")
        yield Text(_EDGE_PIXELS + names + length + 6, y + _ROW_PIXELS / 2, f"{value:,}", "dim")


# ---- histograms


def histogram(title: str, unit: str, counts: Mapping[float, int], *, of: str, step: float | None = None) -> Chart:
    """Return a histogram of values, of which `counts` says how often each occurs.

    The bins cover 99 % of the values; the first and the last one also hold what is beyond them.

    Args:
        title: The title.
        unit: Unit of the values, such as "px".
        counts: How often each value occurs.
        of: What is counted, such as "images".
        step: The width of a bin; default: a round number, at least 1, for at most 32 bins.
    """
    values = sorted(counts)
    total = sum(counts.values())
    if not total:
        return _chart(title, f"no {of}", _ROW_PIXELS, iter(()))
    low, median, high = (_quantile(counts, values, share) for share in (0.005, 0.5, 0.995))
    step = step or _round_step(max(1.0, (high - low) / _MAX_BINS))
    first, last = _bin(low, step), _bin(high, step)
    bins = [0] * (last - first + 1)
    for value, n in counts.items():
        bins[min(max(_bin(value, step), first), last) - first] += n
    about = f"{total:,} {of}; median {median:,.6g}{unit}, from {values[0]:,.6g} to {values[-1]:,.6g}{unit}"
    return _chart(title, about, _HISTOGRAM_HEIGHT + 20, _histogram(bins, first, step, unit))


def _bin(value: float, step: float) -> int:
    return math.floor(value / step + 1e-9)  # 1.5 // 0.1 is 14


def _histogram(bins: Sequence[int], first: int, step: float, unit: str) -> Iterator[Rectangle | Text]:
    most, room = max(bins), WIDTH - 2 * _EDGE_PIXELS
    bottom, width = _HEAD_PIXELS + _HISTOGRAM_HEIGHT, room / len(bins)
    for n, value in enumerate(bins):
        height = (_HISTOGRAM_HEIGHT - 16) * value / most
        start = (first + n) * step
        note = f"{start:,.6g} to {start + step:,.6g}{unit}: {value:,}"
        x = _EDGE_PIXELS + n * width
        if value:
            yield Rectangle(x, bottom - max(height, 1), max(width - 1, 1), max(height, 1), "accent", note)
    peak = bins.index(most)
    x = min(max(_EDGE_PIXELS + (peak + 0.5) * width, _EDGE_PIXELS + 20), WIDTH - _EDGE_PIXELS - 20)
    yield Text(x, bottom - _HISTOGRAM_HEIGHT + 8, f"{most:,}", "dim", "middle")
    yield Rectangle(_EDGE_PIXELS, bottom, room, 1, "dim")
    ticks = [f"{(first + n) * step:,.6g}{unit}" for n in range(len(bins) + 1)]
    widest = max(map(_text_width, ticks))
    margin = (widest + _EDGE_PIXELS) / 2
    every = _round_step(max(1.0, (widest + _TICK_PIXELS) / width))
    for n, tick in enumerate(ticks):
        if (first + n) % every == 0:
            x = min(max(_EDGE_PIXELS + n * width, margin), WIDTH - margin)
            yield Text(x, bottom + 12, tick, "dim", "middle")


def _quantile(counts: Mapping[float, int], values: Sequence[float], share: float) -> float:
    left = share * sum(counts.values())
    for value in values:
        left -= counts[value]
        if left < 0:
            return value
    return values[-1]


def _round_step(least: float) -> float:
    """Return 1, 2 or 5 times a power of ten that is at least this."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= least)


# ---- treemaps


def treemap(title: str, about: str, root: Branch, *, height: int = _TREE_HEIGHT) -> Chart:
    """Return a treemap: the area of each part is its value.

    Names are written only where they fit. Parts that are too small to be seen are joined.
    """
    room = (_EDGE_PIXELS, _HEAD_PIXELS, WIDTH - 2 * _EDGE_PIXELS, height)
    return _chart(title, about, height, _divided(root, *room, path="", depth=0))


def _divided(
    branch: Branch, x: float, y: float, width: float, height: float, *, path: str, depth: int
) -> Iterator[Rectangle | Text]:
    """Yield a part and, if it is large enough, its parts below its name."""
    path = f"{path} > {branch.name}" if path else branch.name
    note = f"{path}: {branch.value:,}" + ("" if branch.share is None else f", {branch.share:.1%}")
    is_group = bool(branch.parts) and width >= _GROUP_WIDTH and height >= _GROUP_HEIGHT
    if not is_group and len(branch.parts) == 1 and branch.parts[0].value == branch.value:
        yield from _divided(branch.parts[0], x, y, width, height, path=path, depth=depth)
        return
    colour = ("line" if depth % 2 else "panel") if is_group else _colour(branch)
    yield Rectangle(x, y, width, height, colour, note, branch.link)
    name = _cut(branch.name, width - 8) if height >= _FONT_PIXELS + 3 else ""
    middle = y + (_GROUP_HEAD_PIXELS / 2 if is_group or height < 2 * _FONT_PIXELS + 10 else _FONT_PIXELS)
    number = f"{branch.value:,}"
    beside = _text_width(branch.name) + _text_width(number) + 16 <= width
    if name:
        yield Text(x + 4, middle, name, bold=is_group)
        if beside:
            yield Text(x + width - 4, middle, number, "dim" if is_group else "ink", "end")
        elif not is_group and height >= 2 * _FONT_PIXELS + 10 and _text_width(number) <= width - 8:
            yield Text(x + 4, middle + _FONT_PIXELS + 3, number)
    if not is_group:
        return
    inner = (
        x + _GAP_PIXELS, y + _GROUP_HEAD_PIXELS, width - 2 * _GAP_PIXELS, height - _GROUP_HEAD_PIXELS - _GAP_PIXELS
    )  # fmt: skip
    if colour == "line":
        yield Rectangle(*inner, "panel", note)  # a gap in this colour is seen between bars
    shown = _large_parts(branch, inner[2] * inner[3])
    for part, place in zip(shown, _squares([part.value for part in shown], *inner), strict=True):
        left, top, right, bottom = (place[0] + 1, place[1] + 1, place[2] - 1, place[3] - 1)
        if right > left and bottom > top:
            yield from _divided(part, left, top, right - left, bottom - top, path=path, depth=depth + 1)


def _large_parts(branch: Branch, area: float) -> list[Branch]:
    """Return the parts of a branch, largest first; those too small to be seen are joined to one."""
    parts = sorted((part for part in branch.parts if part.value > 0), key=lambda part: (-part.value, part.name))
    own = branch.value - sum(part.value for part in parts)
    if own > 0:
        parts.append(Branch(f"{branch.name} itself", own))
        parts.sort(key=lambda part: -part.value)
    least = _SMALL_PIXELS * branch.value / area
    large = [part for part in parts if part.value >= least]
    small = parts[len(large) :]
    if len(small) == 1:
        return parts
    if not small:
        return large
    value = sum(part.value for part in small)
    shares = [part.value * part.share for part in small if part.share is not None]
    share = sum(shares) / value if len(shares) == len(small) else None
    return [*large, Branch(f"{len(small):,} more", value, share=share)]


def _colour(branch: Branch) -> str:
    """Return the colour of a part: the shade of its share, if it has one."""
    return branch.colour if branch.share is None else SHADES[sum(branch.share >= limit for limit in SHADE_LIMITS)]


def _squares(
    values: Sequence[int], x: float, y: float, width: float, height: float
) -> Iterator[tuple[float, float, float, float]]:
    """Yield (left, top, right, bottom) of each value, descending, with sides as equal as possible.

    Squarified treemaps of Bruls, Huizing and van Wijk (2000): a row along the shorter side takes values as long as
    its worst ratio of sides gets no worse.
    """
    scale = width * height / (sum(values) or 1)
    areas = [value * scale for value in values]
    start = 0
    while start < len(areas):
        side = min(width, height)
        if side <= 0:
            yield from [(x, y, x, y)] * (len(areas) - start)
            return
        end = start + 1
        while end < len(areas) and _worst(areas[start : end + 1], side) <= _worst(areas[start:end], side):
            end += 1
        row = areas[start:end]
        depth = sum(row) / side
        place = 0.0
        for area in row:
            length = area / depth if depth else 0.0
            if width >= height:
                yield x, y + place, x + depth, y + place + length
            else:
                yield x + place, y, x + place + length, y + depth
            place += length
        if width >= height:
            x, width = x + depth, width - depth
        else:
            y, height = y + depth, height - depth
        start = end


def _worst(row: Sequence[float], side: float) -> float:
    """Return the worst ratio of sides in a row of areas along a side."""
    total = sum(row)
    if not min(row):
        return float("inf")
    return max(side**2 * max(row) / total**2, total**2 / (side**2 * min(row)))
