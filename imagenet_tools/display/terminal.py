"""Show a picture in a terminal that can, by the graphics protocol of kitty, of iTerm2, or by sixels.

A terminal is recognised by its environment variables: asking it needs an answer, which not every terminal gives.

kitty    ESC _G a=T,f=100,m=1; base64 of a PNG, 4,096 characters in each escape code ESC \\
         https://sw.kovidgoyal.net/kitty/graphics-protocol/
iTerm2   ESC ]1337;File=inline=1;size=N: base64 of a PNG BEL
         https://iterm2.com/documentation-images.html
sixel    ESC P q, colours, and rows of six pixels, a character each, ESC \\
         DEC VT340 Programmer Reference, chapter 14
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import TYPE_CHECKING

from imagenet_tools.display.pictures import as_bytes

if TYPE_CHECKING:
    from PIL import Image

KITTY = "kitty"
ITERM = "iterm2"
SIXEL = "sixel"

# Values of $TERM_PROGRAM, and parts of $TERM, of the terminals that have each protocol.
_PROGRAMS = {"ghostty": KITTY, "kitty": KITTY, "iTerm.app": ITERM, "WezTerm": ITERM, "mintty": ITERM}
_TERMS = {"kitty": KITTY, "ghostty": KITTY, "sixel": SIXEL, "foot": SIXEL, "mlterm": SIXEL, "contour": SIXEL}
_MULTIPLEXERS = ("screen", "tmux")  # they pass no graphics on

_CHUNK_CHARS = 4096  # of base64, in one escape code of kitty
_COLOURS = 255  # of sixels


def protocol(environ: Mapping[str, str], *, is_terminal: bool) -> str | None:
    """Return the protocol of the terminal that these variables describe: KITTY, ITERM or SIXEL; None without one.

    Args:
        environ: The environment variables.
        is_terminal: False for a file or a pipe, which never gets an escape code.
    """
    term = environ.get("TERM", "")
    if not is_terminal or term == "dumb" or "TMUX" in environ or term.startswith(_MULTIPLEXERS):
        return None
    if "KITTY_WINDOW_ID" in environ:
        return KITTY
    for name in ("TERM_PROGRAM", "LC_TERMINAL"):
        program = environ.get(name, "").replace("iTerm2", "iTerm.app")
        if program in _PROGRAMS:
            return _PROGRAMS[program]
    return next((name for part, name in _TERMS.items() if part in term), None)


def escape_codes(picture: Image.Image, name: str) -> str:
    """Return a picture in RGB as the escape codes of a protocol, in ASCII, with a line break at the end."""
    if name == SIXEL:
        return f"\x1bPq{_sixels(picture)}\x1b\\\n"
    data = as_bytes(picture, "PNG")
    text = base64.b64encode(data).decode()
    if name == ITERM:
        return f"\x1b]1337;File=inline=1;size={len(data)}:{text}\x07\n"
    chunks = [text[start : start + _CHUNK_CHARS] for start in range(0, len(text), _CHUNK_CHARS)]
    keys = ["a=T,f=100,"] + [""] * (len(chunks) - 1)
    more = [1] * (len(chunks) - 1) + [0]
    return "".join(f"\x1b_G{key}m={m};{chunk}\x1b\\" for key, m, chunk in zip(keys, more, chunks, strict=True)) + "\n"


def _sixels(picture: Image.Image) -> str:
    """Return the size, the colours in percent, and the pixels, six rows at a time and colour by colour."""
    import numpy as np

    indexed = picture.quantize(_COLOURS)
    palette = indexed.getpalette() or []
    colours = [palette[start : start + 3] for start in range(0, len(palette), 3)]
    parts = [f'"1;1;{picture.width};{picture.height}']
    parts += [f"#{n};2;" + ";".join(str(round(value / 2.55)) for value in rgb) for n, rgb in enumerate(colours)]
    pixels = np.asarray(indexed)
    weights = 1 << np.arange(6)[:, None]
    for top in range(0, picture.height, 6):
        band = pixels[top : top + 6]
        lines = []
        for colour in np.unique(band).tolist():
            values = ((band == colour) * weights[: len(band)]).sum(axis=0)
            lines.append(f"#{colour}{''.join(_runs((values + 63).tolist()))}")
        parts.append("$".join(lines) + "-")
    return "".join(parts)


def _runs(values: list[int]) -> Iterator[str]:
    """Yield characters, with repeated ones as !COUNT CHARACTER."""
    for value, group in groupby(values):
        n = len(list(group))
        yield f"!{n}{chr(value)}" if n > 3 else chr(value) * n
