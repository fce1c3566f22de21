"""Terminals that show pictures are recognised, and get a picture that decodes to the same pixels."""

import base64
import io
import re

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from imagenet_tools.display import terminal
from imagenet_tools.display.terminal import ITERM, KITTY, SIXEL

ENVIRONMENTS: list[tuple[dict[str, str], str | None]] = [
    ({"TERM": "xterm-kitty", "KITTY_WINDOW_ID": "1"}, KITTY),
    ({"TERM": "xterm-kitty"}, KITTY),
    ({"TERM": "xterm-ghostty", "TERM_PROGRAM": "ghostty"}, KITTY),
    ({"TERM": "xterm-256color", "TERM_PROGRAM": "iTerm.app"}, ITERM),
    ({"TERM": "xterm-256color", "LC_TERMINAL": "iTerm2"}, ITERM),
    ({"TERM": "xterm-256color", "TERM_PROGRAM": "WezTerm"}, ITERM),
    ({"TERM": "foot"}, SIXEL),
    ({"TERM": "xterm-sixel"}, SIXEL),
    ({"TERM": "mlterm"}, SIXEL),
    ({"TERM": "xterm-256color"}, None),
    ({"TERM": "xterm-256color", "TERM_PROGRAM": "Apple_Terminal"}, None),
    ({"TERM": "xterm-256color", "TERM_PROGRAM": "vscode"}, None),
    ({"TERM": "dumb", "KITTY_WINDOW_ID": "1"}, None),
    ({"TERM": "tmux-256color", "TMUX": "x", "KITTY_WINDOW_ID": "1"}, None),
    ({"TERM": "screen", "LC_TERMINAL": "iTerm2"}, None),
    ({}, None),
]


@pytest.mark.parametrize(("environ", "expected"), ENVIRONMENTS)
def test_a_terminal_is_recognised(environ: dict[str, str], expected: str | None) -> None:
    assert terminal.protocol(environ, is_terminal=True) == expected
    assert terminal.protocol(environ, is_terminal=False) is None  # a pipe gets no escape codes


def noise(width: int, height: int) -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def test_kitty_gets_a_png_in_chunks() -> None:
    picture = noise(90, 70)
    codes = re.findall(r"\x1b_G([^;]*);([^\x1b]*)\x1b\\", terminal.escape_codes(picture, KITTY))
    assert [keys for keys, _ in codes] == ["a=T,f=100,m=1", *["m=1"] * (len(codes) - 2), "m=0"]
    assert len(codes) > 2 and all(len(chunk) <= 4096 for _, chunk in codes)
    data = base64.b64decode("".join(chunk for _, chunk in codes))
    assert (np.asarray(Image.open(io.BytesIO(data))) == np.asarray(picture)).all()
    one = terminal.escape_codes(Image.new("RGB", (2, 2)), KITTY)
    assert one.startswith("\x1b_Ga=T,f=100,m=0;") and one.count("\x1b_G") == 1


def test_iterm_gets_a_png_with_its_size() -> None:
    picture = noise(20, 10)
    match = re.fullmatch(r"\x1b\]1337;File=inline=1;size=(\d+):(.*)\x07\n", terminal.escape_codes(picture, ITERM))
    assert match is not None
    data = base64.b64decode(match[2])
    assert len(data) == int(match[1]) and Image.open(io.BytesIO(data)).size == (20, 10)


def decoded(codes: str) -> NDArray[np.uint8]:
    """The pixels of sixels, by the rules of the VT340's manual."""
    match = re.fullmatch(r'\x1bPq"1;1;(\d+);(\d+)(.*)\x1b\\\n', codes, re.DOTALL)
    assert match is not None
    width, height = int(match[1]), int(match[2])
    pixels = np.zeros((height + 6, width, 3), np.uint8)
    colours: dict[int, list[int]] = {}
    x = y = colour = 0
    for token in re.findall(r"#\d+;2;\d+;\d+;\d+|#\d+|!\d+[?-~]|[?-~]|\$|-", match[3]):
        if token.startswith("#"):
            number, *rest = token[1:].split(";")
            colour = int(number)
            if rest:
                colours[colour] = [round(int(part) * 2.55) for part in rest[1:]]
        elif token == "$":
            x = 0
        elif token == "-":
            x, y = 0, y + 6
        else:
            n, bits = (int(token[1:-1]) if token[0] == "!" else 1), ord(token[-1]) - 63
            for bit in range(6):
                if bits >> bit & 1:
                    pixels[y + bit, x : x + n] = colours[colour]
            x += n
    return pixels[:height]


def test_sixels_are_the_picture() -> None:
    picture = Image.new("RGB", (37, 20), (10, 200, 30))
    picture.paste((255, 0, 0), (5, 3, 30, 17))
    pixels = decoded(terminal.escape_codes(picture, SIXEL))
    assert np.abs(pixels.astype(int) - np.asarray(picture)).max() <= 3  # colours are in percent
    photo = noise(40, 13)
    assert decoded(terminal.escape_codes(photo, SIXEL)).shape == (13, 40, 3)
    assert terminal.escape_codes(photo, SIXEL).isascii()
