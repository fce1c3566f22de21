"""Show images as viewers do: upright by their EXIF orientation, with their boxes drawn, alone or on a contact sheet."""

from __future__ import annotations

import io
import textwrap
import warnings
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from imagenet_tools.annotations import bbox
from imagenet_tools.display.style import BOX, LIGHT, fitted
from imagenet_tools.errors import ImagenetToolsError
from imagenet_tools.images.jpeg import ORIENTATION
from imagenet_tools.images.probe import PILLOW_ERRORS, rgb

if TYPE_CHECKING:
    from PIL import Image, ImageDraw, ImageFont

# A tile of a contact sheet, and the space around tiles, in pixels.
TILE = (184, 138)
_GAP_PIXELS = 6
_EDGE_PIXELS = 14
_HEADING_PIXELS = 26
_HEADING_FONT_PIXELS = 14
_CAPTION_PIXELS = 16
_FONT_PIXELS = 11
_TILES_A_LINE = 8
SMALL_PIXELS = 400  # an image shown alone is enlarged to this longer side: labels have 11 pixels, and need room
_PROBLEM_CHARS = 28  # in a line of a tile that says why there is no picture

_DARK = "#1c1b19"  # around the lines of boxes, so that they can be seen on any picture
_LINE_SHARE = 200  # the longer side of a picture in lines of its boxes
_LABEL_SHARE = 40  # and in the height of their labels


_Area = tuple[int, int, int, int]  # left, top, right, bottom, in pixels, both ends included


class ShownBox(NamedTuple):
    """A box to draw. The edges are fractions of the image."""

    left: float
    top: float
    right: float
    bottom: float
    label: str = ""
    upright: bool = False  # the edges are of the image as it is shown, not of the raster as stored


class Tile(NamedTuple):
    """An image of a contact sheet; without a picture, it could not be read, and `problem` says why."""

    caption: str
    picture: Image.Image | None
    problem: str = ""


class SheetRow(NamedTuple):
    """The tiles of a class, or of several that have one each; without tiles, a heading of the whole sheet."""

    heading: str
    tiles: tuple[Tile, ...]


def upright(
    data: bytes,
    boxes: Iterable[ShownBox] = (),
    *,
    fit: tuple[int, int] | None = None,
    least: int = 0,
    labels: bool = True,
) -> Image.Image:
    """Return an image in RGB with its EXIF orientation applied, and its boxes drawn.

    Args:
        data: The bytes of the image.
        boxes: Its boxes.
        fit: Width and height in pixels, of which the image fills one. Default: its own.
        least: Pixels. An image with a shorter longer side is enlarged by the smallest whole factor that reaches this.
        labels: Write the label of each box beside it.

    Raises:
        FormatError: The image cannot be decoded.
    """
    from PIL import Image, ImageOps

    with warnings.catch_warnings(action="ignore"):
        # The decoder may scale by 1/2, 1/4 or 1/8. The frame is square, so it holds the image turned or not.
        picture = rgb(data, at_least=None if fit is None else (max(fit), max(fit)))
        try:
            orientation = picture.getexif().get(ORIENTATION)
            picture = ImageOps.exif_transpose(picture)
        except PILLOW_ERRORS:  # damaged EXIF is harmless to the pixels
            orientation = None
    if fit is not None and (picture.width > fit[0] or picture.height > fit[1]):
        picture.thumbnail(fit, Image.Resampling.LANCZOS)
    elif fit is not None:
        picture = ImageOps.contain(picture, fit, Image.Resampling.BICUBIC)
    elif max(picture.size) < least:
        picture = ImageOps.scale(picture, -(-least // max(picture.size)), Image.Resampling.BICUBIC)
    draw_boxes(picture, boxes, orientation=orientation, labels=labels)
    return picture


def draw_boxes(
    picture: Image.Image, boxes: Iterable[ShownBox], *, orientation: int | None = None, labels: bool = True
) -> None:
    """Draw boxes on a picture in RGB that is upright already, with their lines outside of them where there is room.

    Args:
        picture: Is changed.
        boxes: The boxes.
        orientation: The EXIF orientation that was applied to the picture, and is applied to boxes that are not upright.
        labels: Write the label of each box beside it.
    """
    from PIL import ImageDraw

    canvas = ImageDraw.Draw(picture)
    line = max(1, round(max(picture.size) / _LINE_SHARE))
    frames: list[tuple[_Area, str]] = []
    for box in boxes:
        edges = box[:4] if box.upright or orientation is None else bbox.turn(*box[:4], orientation)
        pixels = bbox.voc(*edges, width=picture.width, height=picture.height)
        left, top, right, bottom = (int(pixel) - 1 for pixel in pixels)
        frame = (
            max(0, left - line), max(0, top - line),
            min(picture.width - 1, right + line), min(picture.height - 1, bottom + line),
        )  # fmt: skip
        canvas.rectangle((frame[0] - 1, frame[1] - 1, frame[2] + 1, frame[3] + 1), outline=_DARK)
        canvas.rectangle(frame, outline=BOX, width=line)
        frames.append((frame, box.label))
    if labels:
        _write_labels(canvas, picture, frames)


def _write_labels(canvas: ImageDraw.ImageDraw, picture: Image.Image, frames: Sequence[tuple[_Area, str]]) -> None:
    """Write the label of each frame of a box, outside of boxes and of other labels where there is room."""
    size = max(_FONT_PIXELS, max(picture.size) // _LABEL_SHARE)
    font, height = _font(size), size + 5
    taken: list[_Area] = []
    for frame, label in frames:
        text = fitted(label, picture.width - 7, partial(canvas.textlength, font=font))
        if not text:
            continue
        width = round(canvas.textlength(text, font=font)) + 6
        # The last places are for pictures full of labels.
        left, top, right, bottom = frame
        places = [(left, top - height - 1), (left, bottom + 1), (right + 1, top), (left - width - 1, top)]
        places += [(left, top), (left, bottom - height), *((left, y) for y in range(0, picture.height, height + 1))]
        areas = [_area(picture, x, y, width, height) for x, y in places]
        area = min(
            areas,
            key=lambda area: (
                sum(_overlap(area, other) for other in taken),
                sum(_overlap(area, other) for other, _ in frames),
            ),
        )
        taken.append(area)
        canvas.rectangle(area, fill=BOX)
        canvas.text((area[0] + 3, area[1] + height / 2), text, fill=_DARK, font=font, anchor="lm")


def _area(picture: Image.Image, x: int, y: int, width: int, height: int) -> _Area:
    """Return the area of a label, moved into the picture."""
    x = max(0, min(x, picture.width - width - 1))
    y = max(0, min(y, picture.height - height - 1))
    return x, y, x + width, y + height


def _overlap(a: _Area, b: _Area) -> int:
    """Return the number of pixels that two areas share."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]) + 1, min(a[3], b[3]) - max(a[1], b[1]) + 1
    return max(0, width) * max(0, height)


def tile(caption: str, read: Callable[[], bytes], boxes: Iterable[ShownBox], *, fit: tuple[int, int] = TILE) -> Tile:
    """Return an image as a tile; one that cannot be read or decoded becomes a tile that says so."""
    try:
        return Tile(caption, upright(read(), boxes, fit=fit, labels=False))
    except (ImagenetToolsError, OSError, MemoryError) as error:
        return unshown(caption, error)


def unshown(caption: str, error: Exception) -> Tile:
    """Return a tile without a picture, which says why there is none."""
    return Tile(caption, None, str(error) or type(error).__name__)


def contact_sheet(rows: Sequence[SheetRow]) -> Image.Image:
    """Return the tiles of several classes as one picture, each class below its heading."""
    from PIL import Image, ImageDraw

    columns = min(_TILES_A_LINE, max(len(row.tiles) for row in rows))
    step_x, step_y = TILE[0] + _GAP_PIXELS, TILE[1] + _CAPTION_PIXELS + _GAP_PIXELS
    n_lines = sum(-(-len(row.tiles) // columns) for row in rows)
    width = 2 * _EDGE_PIXELS + columns * step_x - _GAP_PIXELS
    height = 2 * _EDGE_PIXELS + n_lines * step_y + len(rows) * _HEADING_PIXELS - _GAP_PIXELS
    sheet = Image.new("RGB", (width, height), LIGHT["page"])
    canvas = ImageDraw.Draw(sheet)
    heading_font, font, y = _font(_HEADING_FONT_PIXELS), _font(_FONT_PIXELS), _EDGE_PIXELS
    for row in rows:
        heading = fitted(row.heading, width - 2 * _EDGE_PIXELS, partial(canvas.textlength, font=heading_font))
        canvas.text((_EDGE_PIXELS, y + 8), heading, fill=LIGHT["ink"], font=heading_font, anchor="lm")
        y += _HEADING_PIXELS
        for n, shown in enumerate(row.tiles):
            left, top = _EDGE_PIXELS + n % columns * step_x, y + n // columns * step_y
            sheet.paste(framed(shown), (left, top))
            caption = fitted(shown.caption, TILE[0], partial(canvas.textlength, font=font))
            middle = top + TILE[1] + _CAPTION_PIXELS / 2
            canvas.text((left, middle), caption, fill=LIGHT["dim"], font=font, anchor="lm")
        y += -(-len(row.tiles) // columns) * step_y
    return sheet


def framed(shown: Tile) -> Image.Image:
    """Return a tile of the size of all tiles, with the picture in its middle, or the problem in words."""
    from PIL import Image, ImageDraw

    frame = Image.new("RGB", TILE, LIGHT["bar"] if shown.picture is None else LIGHT["line"])
    if shown.picture is not None:
        x, y = ((whole - part) // 2 for whole, part in zip(TILE, shown.picture.size, strict=True))
        frame.paste(shown.picture, (x, y))
        return frame
    canvas, font = ImageDraw.Draw(frame), _font(_FONT_PIXELS)
    lines = ["cannot be shown:", *textwrap.wrap(shown.problem, _PROBLEM_CHARS)]
    for n, line in enumerate(lines[: TILE[1] // (_FONT_PIXELS + 3) - 1]):
        text = fitted(line, TILE[0] - 12, partial(canvas.textlength, font=font))
        canvas.text((6, 6 + n * (_FONT_PIXELS + 3)), text, fill=LIGHT["ink"], font=font)
    return frame


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    from PIL import ImageFont

    return ImageFont.load_default(size)


def as_bytes(picture: Image.Image, form: str) -> bytes:
    """Return a picture as PNG or JPEG."""
    out = io.BytesIO()
    picture.save(out, form, **({"quality": 85} if form == "JPEG" else {}))
    return out.getvalue()
