"""Draw the sample's pictures: a simple drawing for each class, and its background.

A drawing is made of shapes in a unit frame, x to the right and y downwards, 0 to 1; a pen places the frame in the
picture. Everything is drawn on a transparent layer four times as large. This makes edges smooth, and the opaque part of
the layer is exactly the object's box.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import NamedTuple

from PIL import Image, ImageDraw

Drawing = Callable[["Pen"], None]
Box = tuple[int, int, int, int]

SCALE = 4  # of the layer that is drawn on
BLACK = "#1c1c1e"
WHITE = "#f6f4ee"
# Colours of the (upper, lower) halves of the background, by scene.
SCENES = {
    "meadow": [("#a9d3ee", "#5f9a4b"), ("#cfe4f2", "#7fae54"), ("#8fc1e8", "#4c8448")],
    "room": [("#cfe0d8", "#5c7a8c"), ("#dcd3ea", "#4f6f86"), ("#bfdce6", "#6b6f94")],
    "street": [("#c3d9ea", "#70757c"), ("#b4cfe6", "#5c6067"), ("#d8e4ec", "#83888d")],
    "marsh": [("#f0dcc0", "#a8925a"), ("#ece4c2", "#8f8a4a"), ("#f5dfc4", "#b58a55")],
}


@dataclass(frozen=True)
class Pen:
    """A unit frame placed on a layer: `left`, `top`, `width`, `height` in the layer's pixels."""

    draw: ImageDraw.ImageDraw
    left: float
    top: float
    width: float
    height: float
    mirrored: bool = False

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Return a point of the frame in the layer's pixels."""
        return self.left + (1 - x if self.mirrored else x) * self.width, self.top + y * self.height

    def _span(self, x0: float, y0: float, x1: float, y1: float) -> tuple[float, float, float, float]:
        (ax, ay), (bx, by) = self.at(x0, y0), self.at(x1, y1)
        return min(ax, bx), ay, max(ax, bx), by

    def oval(self, x0: float, y0: float, x1: float, y1: float, fill: str) -> None:
        """Draw a filled ellipse."""
        self.draw.ellipse(self._span(x0, y0, x1, y1), fill=fill)

    def ring(self, x0: float, y0: float, x1: float, y1: float, fill: str, thick: float) -> None:
        """Draw the outline of an ellipse, `thick` in widths of the frame."""
        self.draw.ellipse(self._span(x0, y0, x1, y1), outline=fill, width=round(thick * self.width))

    def block(self, x0: float, y0: float, x1: float, y1: float, fill: str) -> None:
        """Draw a filled rectangle."""
        self.draw.rectangle(self._span(x0, y0, x1, y1), fill=fill)

    def shape(self, fill: str, *points: tuple[float, float]) -> None:
        """Draw a filled polygon."""
        self.draw.polygon([self.at(x, y) for x, y in points], fill=fill)

    def stroke(self, fill: str, thick: float, *points: tuple[float, float]) -> None:
        """Draw a line through points, `thick` in widths of the frame."""
        self.draw.line([self.at(x, y) for x, y in points], fill=fill, width=round(thick * self.width), joint="curve")


class Sitter(NamedTuple):
    """The look of a class: its drawing, the width of the drawing over its height, and its scene."""

    draw: Drawing
    aspect: float
    scene: str


def dog(pen: Pen, *, coat: str, back: str, face: str, ear: str, pricked: bool, shaggy: bool = False) -> None:
    """Draw a dog from the side."""
    pen.stroke(back, 0.07, (0.86, 0.45), (0.94, 0.30), (0.97, 0.12))
    for x in (0.30, 0.41, 0.68, 0.79):
        pen.block(x, 0.6, x + 0.09, 1.0, coat)
    pen.oval(0.22, 0.34, 0.94, 0.78, coat)
    pen.oval(0.40, 0.34, 0.93, 0.60, back)
    if shaggy:
        for x in (0.22, 0.36, 0.50, 0.64, 0.78):
            pen.oval(x, 0.55, x + 0.18, 0.93, coat)
        pen.oval(0.82, 0.05, 1.0, 0.42, back)
    pen.oval(0.06, 0.12, 0.42, 0.56, coat)
    pen.oval(0.0, 0.30, 0.24, 0.50, face)
    pen.oval(0.0, 0.32, 0.07, 0.40, BLACK)
    pen.oval(0.16, 0.24, 0.22, 0.31, BLACK)
    if pricked:
        pen.shape(ear, (0.14, 0.18), (0.17, 0.0), (0.27, 0.14))
        pen.shape(ear, (0.27, 0.15), (0.38, 0.0), (0.40, 0.24))
    else:
        pen.oval(0.28, 0.14, 0.43, 0.58, ear)


def cat(pen: Pen, *, coat: str, stripe: str) -> None:
    """Draw a striped cat, sitting, from the front."""
    pen.stroke(coat, 0.11, (0.70, 0.94), (0.93, 0.86), (0.92, 0.58))
    pen.oval(0.16, 0.40, 0.80, 1.0, coat)
    pen.shape(coat, (0.16, 0.26), (0.18, 0.0), (0.42, 0.12))
    pen.shape(coat, (0.80, 0.26), (0.78, 0.0), (0.54, 0.12))
    pen.oval(0.14, 0.08, 0.82, 0.52, coat)
    for x in (0.38, 0.48, 0.58):
        pen.stroke(stripe, 0.04, (x, 0.10), (x, 0.21))
    for y in (0.60, 0.70, 0.80):
        pen.stroke(stripe, 0.04, (0.20, y + 0.03), (0.36, y))
        pen.stroke(stripe, 0.04, (0.60, y), (0.76, y + 0.03))
    for x in (0.28, 0.58):
        pen.oval(x, 0.24, x + 0.12, 0.34, "#d9d23c")
        pen.oval(x + 0.04, 0.24, x + 0.08, 0.34, BLACK)
    pen.shape("#c9706f", (0.44, 0.37), (0.54, 0.37), (0.49, 0.42))


def songbird(pen: Pen, *, back: str, breast: str, head: str, wing: str) -> None:
    """Draw a small standing bird."""
    for x in (0.44, 0.54):
        pen.stroke("#6d4a2a", 0.025, (x, 0.72), (x, 0.98), (x - 0.07, 0.99))
    pen.shape(back, (0.66, 0.44), (1.0, 0.62), (0.98, 0.74), (0.62, 0.66))
    pen.oval(0.18, 0.26, 0.78, 0.82, back)
    pen.oval(0.18, 0.34, 0.58, 0.82, breast)
    pen.oval(0.40, 0.34, 0.82, 0.64, wing)
    pen.oval(0.10, 0.04, 0.44, 0.46, head)
    pen.shape("#d99a2b", (0.0, 0.25), (0.13, 0.17), (0.13, 0.31))
    pen.oval(0.19, 0.16, 0.25, 0.23, WHITE)
    pen.oval(0.205, 0.175, 0.24, 0.215, BLACK)


def crane_bird(pen: Pen) -> None:
    """Draw a crane, the bird: long legs, long neck, a red crown."""
    for x in (0.50, 0.60):
        pen.stroke(BLACK, 0.035, (x, 0.56), (x + 0.02, 0.78), (x - 0.02, 0.99))
    pen.stroke("#9fb0c8", 0.10, (0.42, 0.46), (0.24, 0.34), (0.30, 0.08))
    pen.oval(0.30, 0.36, 0.94, 0.64, "#7f93b0")
    pen.shape("#4f6079", (0.60, 0.40), (1.0, 0.60), (0.92, 0.72), (0.56, 0.60))
    pen.oval(0.20, 0.02, 0.42, 0.15, "#9fb0c8")
    pen.oval(0.24, 0.0, 0.42, 0.08, "#c8322b")
    pen.shape("#31343c", (0.0, 0.11), (0.23, 0.06), (0.23, 0.12))
    pen.oval(0.26, 0.07, 0.30, 0.10, BLACK)


def crane_machine(pen: Pen) -> None:
    """Draw a tower crane with a load on its hook."""
    yellow = "#e2a21b"
    for y in range(4):
        top, bottom = 0.20 + 0.19 * y, 0.39 + 0.19 * y
        pen.stroke(yellow, 0.02, (0.60, top), (0.72, bottom))
        pen.stroke(yellow, 0.02, (0.72, top), (0.60, bottom))
    for x in (0.60, 0.72):
        pen.stroke(yellow, 0.035, (x, 0.10), (x, 0.97))
    pen.block(0.50, 0.95, 0.82, 1.0, "#55585e")
    pen.block(0.02, 0.14, 1.0, 0.19, yellow)
    pen.stroke(BLACK, 0.015, (0.66, 0.02), (0.06, 0.15))
    pen.stroke(BLACK, 0.015, (0.66, 0.02), (0.96, 0.15))
    pen.shape(yellow, (0.60, 0.14), (0.66, 0.0), (0.72, 0.14))
    pen.block(0.88, 0.19, 1.0, 0.30, "#55585e")
    pen.stroke(BLACK, 0.015, (0.14, 0.19), (0.14, 0.46))
    pen.block(0.02, 0.46, 0.26, 0.60, "#b2452f")


def school_bus(pen: Pen) -> None:
    """Draw a yellow school bus."""
    pen.block(0.0, 0.34, 0.20, 0.82, "#e8a413")
    pen.block(0.14, 0.0, 1.0, 0.82, "#f0b01c")
    for x in (0.18, 0.34, 0.50, 0.66, 0.82):
        pen.block(x, 0.12, x + 0.12, 0.38, "#3d4c5a")
    pen.block(0.0, 0.50, 1.0, 0.54, BLACK)
    pen.block(0.14, 0.62, 1.0, 0.65, BLACK)
    for x in (0.10, 0.72):
        pen.oval(x, 0.60, x + 0.18, 1.0, BLACK)
        pen.oval(x + 0.05, 0.71, x + 0.13, 0.89, "#9a9da2")
    pen.oval(0.0, 0.58, 0.04, 0.68, WHITE)


def burning_glass(pen: Pen) -> None:
    """Draw a sunglass as WordNet defines it: a lens that focuses the rays of the sun."""
    pen.stroke("#6b3d1e", 0.16, (0.62, 0.66), (0.90, 0.96))
    pen.oval(0.0, 0.0, 0.86, 0.72, "#8a5a2c")
    pen.oval(0.08, 0.07, 0.78, 0.65, "#d8f0f6")
    pen.oval(0.30, 0.25, 0.56, 0.47, "#fbe27a")
    pen.stroke(WHITE, 0.06, (0.20, 0.30), (0.34, 0.15))


def sunglasses(pen: Pen) -> None:
    """Draw a pair of dark glasses."""
    pen.stroke(BLACK, 0.03, (0.03, 0.30), (0.10, 0.05), (0.20, 0.02))
    pen.stroke(BLACK, 0.03, (0.97, 0.30), (0.90, 0.05), (0.80, 0.02))
    pen.stroke(BLACK, 0.04, (0.40, 0.42), (0.50, 0.32), (0.60, 0.42))
    for x in (0.0, 0.55):
        pen.oval(x, 0.22, x + 0.45, 1.0, BLACK)
        pen.oval(x + 0.04, 0.30, x + 0.41, 0.92, "#4a2f5e")
        pen.stroke("#a98bc0", 0.03, (x + 0.12, 0.55), (x + 0.20, 0.40))


_CHIHUAHUA = partial(dog, coat="#cf9d62", back="#b98549", face="#efdcc0", ear="#a8743c", pricked=True)
_PEKINESE = partial(dog, coat="#e9d3a8", back="#c79a5b", face="#3a2a22", ear="#8f6232", pricked=False, shaggy=True)
_BEAGLE = partial(dog, coat="#f1ebe0", back="#2f2723", face="#f6f2ea", ear="#8a4f25", pricked=False)
_RETRIEVER = partial(dog, coat="#dba94e", back="#cf9637", face="#e8c27c", ear="#b67d29", pricked=False, shaggy=True)
_SHEPHERD = partial(dog, coat="#a8763e", back="#26221f", face="#3b2d24", ear="#3b2d24", pricked=True)
_ROBIN = partial(songbird, back="#6a6259", breast="#d4622a", head="#3d3a38", wing="#544d46")
_GOLDFINCH = partial(songbird, back="#b98a4e", breast="#efe3cc", head="#c2342c", wing="#e6bd2a")
_TABBY = partial(cat, coat="#a08a6c", stripe="#40352a")

# Sorted by wnid; the comments are WordNet's first lemmas.
SITTERS: dict[str, Sitter] = {
    "n01531178": Sitter(_GOLDFINCH, 1.3, "meadow"),  # goldfinch
    "n01558993": Sitter(_ROBIN, 1.3, "meadow"),  # robin
    "n02012849": Sitter(crane_bird, 0.7, "marsh"),  # crane, the bird
    "n02085620": Sitter(_CHIHUAHUA, 1.3, "room"),  # Chihuahua, a toy dog
    "n02086079": Sitter(_PEKINESE, 1.5, "room"),  # Pekinese, a toy dog
    "n02088364": Sitter(_BEAGLE, 1.4, "meadow"),  # beagle, a hunting dog
    "n02099601": Sitter(_RETRIEVER, 1.5, "meadow"),  # golden retriever, a hunting dog
    "n02106662": Sitter(_SHEPHERD, 1.4, "street"),  # German shepherd, a working dog
    "n02123045": Sitter(_TABBY, 0.8, "room"),  # tabby
    "n03126707": Sitter(crane_machine, 1.0, "street"),  # crane, the machine
    "n04146614": Sitter(school_bus, 1.9, "street"),  # school bus
    "n04355933": Sitter(burning_glass, 0.85, "room"),  # sunglass
    "n04356056": Sitter(sunglasses, 2.2, "room"),  # sunglasses
}


def picture(sitter: Sitter, rng: Random, *, size: tuple[int, int], n: int = 1) -> tuple[Image.Image, list[Box]]:
    """Return an RGB picture of `size` pixels with `n` objects side by side, and the box of each.

    A box is (xmin, ymin, xmax, ymax): pixels from 0; xmax and ymax are the last column and row of the object.
    """
    width, height = size
    upper, lower = rng.choice(SCENES[sitter.scene])
    image = Image.new("RGB", size, upper)
    horizon = round(height * (0.40 + 0.25 * rng.random()))
    ImageDraw.Draw(image).rectangle((0, horizon, width, height), fill=lower)
    boxes = []
    for place in range(n):
        layer = _layer(sitter, rng, size, (width * place / n, width * (place + 1) / n))
        image.paste(layer, mask=layer)
        left, top, right, bottom = layer.getchannel("A").point(lambda alpha: 255 * (alpha > 127)).getbbox()
        boxes.append((left, top, right - 1, bottom - 1))
    return image, boxes


def _layer(sitter: Sitter, rng: Random, size: tuple[int, int], columns: tuple[float, float]) -> Image.Image:
    """Return a transparent RGBA layer of `size` with one object between `columns[0]` and `columns[1]`."""
    room_x, room_y = 0.92 * (columns[1] - columns[0]), 0.92 * size[1]
    scale = 0.70 + 0.30 * rng.random()
    height = scale * min(room_y, room_x / sitter.aspect)
    width = height * sitter.aspect
    left = columns[0] + (columns[1] - columns[0] - width) * (0.1 + 0.8 * rng.random())
    top = (size[1] - height) * (0.7 + 0.25 * rng.random())
    layer = Image.new("RGBA", (size[0] * SCALE, size[1] * SCALE))
    frame = (left * SCALE, top * SCALE, width * SCALE, height * SCALE)
    sitter.draw(Pen(ImageDraw.Draw(layer), *frame, mirrored=rng.random() < 0.5))
    return layer.reduce(SCALE)
