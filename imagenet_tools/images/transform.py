"""An image encoded anew as JPEG: resized, cut to its middle square, turned, made RGB. The other user of Pillow.

Pixels are resampled by Lanczos, after the decoder has scaled by 1/2, 1/4 or 1/8 where that leaves twice the size asked
for. An EXIF block and an ICC profile are kept, but for an image whose pixels are turned as its EXIF block said.
"""

from __future__ import annotations

import io
import warnings
from typing import TYPE_CHECKING, NamedTuple

from imagenet_tools.errors import FormatError
from imagenet_tools.images.probe import PILLOW_ERRORS, image

if TYPE_CHECKING:
    from PIL import Image

EOI = b"\xff\xd9"  # how a JPEG ends

# Modes that a JPEG can be of; the others become RGB.
_JPEG_MODES = ("L", "RGB", "CMYK")
# The decoder leaves this many times the pixels a side that are asked for, so that resampling has something to do.
_SPARE = 2


class Change(NamedTuple):
    """What is to be done to an image."""

    width: int  # pixels, of the raster before it is turned
    height: int
    square: bool = False  # whether the middle square is cut out first
    rgb: bool = False  # whether CMYK becomes RGB
    orientation: int | None = None  # the EXIF orientation that the pixels are turned by; None: they are not
    quality: int = 90


def mode_after(mode: str, *, rgb: bool) -> str:
    """The mode of an image that was of this mode."""
    return "RGB" if mode not in _JPEG_MODES or (rgb and mode == "CMYK") else mode


def encode_anew(data: bytes, change: Change) -> bytes:
    """The image in these bytes, changed, as a JPEG. FormatError, code undecodable: its pixels cannot be decoded."""
    from PIL import Image

    try:
        with warnings.catch_warnings(action="ignore"), image(data) as opened:
            found = _resized(opened, change)
            found = found.convert(mode_after(found.mode, rgb=change.rgb))
            kept = {name: opened.info[name] for name in ("exif", "icc_profile") if opened.info.get(name)}
            if change.orientation is not None:
                found = found.transpose(_turns(Image.Transpose)[change.orientation])
                kept.pop("exif", None)
            if found.mode != opened.mode:
                kept.pop("icc_profile", None)  # it describes the other colours
            out = io.BytesIO()
            found.save(out, "JPEG", quality=change.quality, **kept)
    except PILLOW_ERRORS as error:
        if isinstance(error, FormatError):
            message = str(error)
        else:
            message = f"Found pixels that Pillow does not decode: {error}; expected a whole image."
        raise FormatError(message, code="undecodable") from error
    return out.getvalue()


def _resized(opened: Image.Image, change: Change) -> Image.Image:
    from PIL import Image

    width, height = opened.size
    size = (change.width, change.height)
    side = min(width, height)
    whole = (width, height) if not change.square else (side, side)
    if whole == size and not change.square:
        opened.load()
        return opened
    opened.draft(opened.mode, (size[0] * width // whole[0] * _SPARE, size[1] * height // whole[1] * _SPARE))
    opened.load()
    left, top = (width - whole[0]) / 2, (height - whole[1]) / 2
    x, y = opened.width / width, opened.height / height
    box = (left * x, top * y, min((left + whole[0]) * x, opened.width), min((top + whole[1]) * y, opened.height))
    smooth = opened if opened.mode in _JPEG_MODES else opened.convert("RGB")
    return smooth.resize(size, Image.Resampling.LANCZOS, box=box)


def _turns(transpose: type[Image.Transpose]) -> dict[int, Image.Transpose]:
    """What EXIF orientations ask for (Exif 2.3, tag 0x0112)."""
    return {
        2: transpose.FLIP_LEFT_RIGHT,
        3: transpose.ROTATE_180,
        4: transpose.FLIP_TOP_BOTTOM,
        5: transpose.TRANSPOSE,
        6: transpose.ROTATE_270,
        7: transpose.TRANSVERSE,
        8: transpose.ROTATE_90,
    }
