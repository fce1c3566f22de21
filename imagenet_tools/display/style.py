"""The colours of pictures, charts and pages, in light and in dark, and the text that may be shown in them."""

from __future__ import annotations

import html
from collections.abc import Callable

# One accent; every text has a contrast of at least 4.5:1 to what it is on.
LIGHT = {
    "page": "#fbfaf8",
    "panel": "#ffffff",
    "line": "#e4e1da",
    "ink": "#1c1b19",
    "dim": "#6d6a63",
    "accent": "#0b6bcb",
    "bar": "#cfe2f6",
    "muted": "#b8b4aa",
    "shade0": "#f5b98a",
    "shade1": "#fbddc3",
    "shade2": "#eeece6",
    "shade3": "#cfe2f6",
    "shade4": "#97c3f0",
}
DARK = {
    "page": "#16171a",
    "panel": "#1e2024",
    "line": "#33363c",
    "ink": "#eceae6",
    "dim": "#a09d96",
    "accent": "#6cb2ff",
    "bar": "#27415d",
    "muted": "#5c5f66",
    "shade0": "#7a3e14",
    "shade1": "#573a26",
    "shade2": "#3a3c40",
    "shade3": "#27415d",
    "shade4": "#1d5590",
}
# The colours of groups, such as the synsets at a level of the hierarchy: texts in `ink` can be read on each.
GROUPS = tuple(f"group{n}" for n in range(12))
LIGHT |= dict(zip(GROUPS, (
    "#b9d7f5", "#f5d3a8", "#bfe3b4", "#f3bfc0", "#d6c5ee", "#b3e4e0", "#f0e2a0", "#f2c4e0", "#cfd8a9", "#c9cfe0",
    "#e4cdb8", "#a9dcc4",
), strict=True))  # fmt: skip
DARK |= dict(zip(GROUPS, (
    "#264f78", "#6b4717", "#2c5a24", "#6d3032", "#4d3a70", "#1d5a56", "#5e5212", "#6a3357", "#49521f", "#3f4761",
    "#5a4330", "#1f573f",
), strict=True))  # fmt: skip
SHADES = tuple(key for key in LIGHT if key.startswith("shade"))  # from low, orange, to high, blue
BOX = "#ffcc00"  # the lines of boxes, on any picture

FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif'

_MIN_CHARS = 4  # left of a text that is cut
_UNKNOWN = "\N{REPLACEMENT CHARACTER}"


def readable(text: str) -> str:
    """Return a text on one line. File names may have control characters, and bytes that are no Unicode."""
    line = " ".join(text.split())
    return line if line.isprintable() else "".join(c if c.isprintable() else _UNKNOWN for c in line)


def escaped(text: object) -> str:
    """Return a text for HTML and SVG: on one line, without control characters, and escaped."""
    return html.escape(readable(str(text)))


def fitted(text: str, width: float, measure: Callable[[str], float]) -> str:
    """Return a text, cut with an ellipsis to fit in a width; "" if few characters would be left.

    Args:
        text: The text.
        width: Pixels.
        measure: Returns the width of a text in pixels.
    """
    text = readable(text)
    if measure(text) <= width:
        return text
    end = len(text)
    while end > _MIN_CHARS and measure(text[:end].rstrip("._ ") + "\N{HORIZONTAL ELLIPSIS}") > width:
        end -= 1
    return text[:end].rstrip("._ ") + "\N{HORIZONTAL ELLIPSIS}" if end > _MIN_CHARS else ""
