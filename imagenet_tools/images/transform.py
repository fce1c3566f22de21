"""Make a new image of the pixels of one: a JPEG that is resized, cropped, turned or of RGB; or a small square.

Pixels are resampled by the bicubic filter with antialiasing, as torchvision and timm resize them. Before that, the
decoder scales by 1/2, 1/4 or 1/8 if this leaves at least twice the wanted size. EXIF and ICC profile are kept; EXIF is
dropped if its orientation was applied to the pixels.
"""

from __future__ import annotations

import io
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from imagenet_tools.errors import FormatError
from imagenet_tools.images.probe import PILLOW_ERRORS, image

if TYPE_CHECKING:
    from collections.abc import Iterator

    from PIL import Image

EOI = b"\xff\xd9"  # the end of a JPEG

_JPEG_MODES = ("L", "RGB", "CMYK")  # other modes become RGB
# How each EXIF orientation is applied (Exif 2.3, tag 0x0112).
_TURNS = {
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}
# The decoder leaves at least this many times the wanted pixels a side. PSNR of 11 photographs to a full decode and the
# same filter, if it leaves 1, 1.5 and 2 times as many: 37.6, 42.0 and 45.4 dB. JPEG of quality 90 alone: 36.5 dB.
_DECODER_SCALE = 2


class Change(NamedTuple):
    """The change of an image's pixels."""

    width: int  # pixels, before the image is turned
    height: int
    square: bool = False  # whether to crop to the middle square first
    rgb: bool = False  # whether to convert CMYK to RGB
    orientation: int | None = None  # EXIF orientation to apply to the pixels
    quality: int = 90


def mode_after(mode: str, *, rgb: bool) -> str:
    """Return the mode that an image of this mode has after `reencode`."""
    return "RGB" if mode not in _JPEG_MODES or (rgb and mode == "CMYK") else mode


@contextmanager
def _decoding(data: bytes) -> Iterator[Image.Image]:
    """Open an image. FormatError, with the code undecodable: its pixels cannot be decoded in the block."""
    try:
        with warnings.catch_warnings(action="ignore"), image(data) as opened:
            yield opened
    except FormatError as error:
        raise FormatError(str(error), code="undecodable") from error
    except PILLOW_ERRORS as error:
        message = f"Found pixels that Pillow does not decode: {error}; expected a whole image."
        raise FormatError(message, code="undecodable") from error


def adm_square(data: bytes, side: int) -> bytes:
    """Return the middle square of an image, as ADM and its successors cut it, as an RGB PNG that is not compressed.

    The image is halved by the box filter while its shorter side is at least twice `side`, then made to fit by the
    bicubic filter. EXIF orientation is not applied.

    Raises:
        FormatError: The pixels cannot be decoded. Its code is undecodable.
    """
    from PIL.Image import Resampling

    with _decoding(data) as opened:
        pixels = opened.convert("RGB")
        while min(pixels.size) >= 2 * side:
            pixels = pixels.resize((pixels.width // 2, pixels.height // 2), Resampling.BOX)
        scale = side / min(pixels.size)
        pixels = pixels.resize((round(pixels.width * scale), round(pixels.height * scale)), Resampling.BICUBIC)
        left, top = (pixels.width - side) // 2, (pixels.height - side) // 2
        square = pixels.crop((left, top, left + side, top + side))
        square.info.clear()  # a colour profile would be written too
        out = io.BytesIO()
        square.save(out, "PNG", compress_level=0)
    return out.getvalue()


def box_planes(data: bytes, side: int) -> bytes:
    """Return an image of side * side pixels as the downsampled ImageNets have it: the planes of red, green and blue.

    The whole image is made to fit by the box filter, whatever its shape: each pixel is the mean of those that it
    covers. EXIF orientation is not applied. Source: image_resizer_imagent.py of PatrykChrabaszcz/Imagenet32_Scripts,
    with --algorithm box.

    Raises:
        FormatError: The pixels cannot be decoded. Its code is undecodable.
    """
    from PIL.Image import Resampling

    with _decoding(data) as opened:
        pixels = opened.convert("RGB").resize((side, side), Resampling.BOX)
    return b"".join(band.tobytes() for band in pixels.split())


def reencode(data: bytes, change: Change) -> bytes:
    """Return the changed image as a JPEG.

    Raises:
        FormatError: The pixels cannot be decoded. Its code is undecodable.
    """
    from PIL import Image

    with _decoding(data) as opened:
        resized = _resized(opened, change)
        result = resized.convert(mode_after(resized.mode, rgb=change.rgb))
        kept = {name: opened.info[name] for name in ("exif", "icc_profile") if opened.info.get(name)}
        if change.orientation is not None:
            result = result.transpose(Image.Transpose[_TURNS[change.orientation]])
            kept.pop("exif", None)
        if result.mode != opened.mode:
            kept.pop("icc_profile", None)  # it describes other colours
        out = io.BytesIO()
        result.save(out, "JPEG", quality=change.quality, **kept)
    return out.getvalue()


def _resized(opened: Image.Image, change: Change) -> Image.Image:
    from PIL import Image

    width, height = opened.size
    if not change.square and (width, height) == (change.width, change.height):
        opened.load()
        return opened
    side = min(width, height)
    whole_width, whole_height = (side, side) if change.square else (width, height)
    scaled_width = change.width * width // whole_width * _DECODER_SCALE
    scaled_height = change.height * height // whole_height * _DECODER_SCALE
    opened.draft(opened.mode, (scaled_width, scaled_height))
    opened.load()
    x, y = opened.width / width, opened.height / height
    left, top = (width - whole_width) / 2, (height - whole_height) / 2
    right, bottom = min((left + whole_width) * x, opened.width), min((top + whole_height) * y, opened.height)
    resampled = opened if opened.mode in _JPEG_MODES else opened.convert("RGB")  # a palette cannot be resampled
    size = (change.width, change.height)
    return resampled.resize(size, Image.Resampling.BICUBIC, box=(left * x, top * y, right, bottom))
