"""Small JPEGs in the many shapes that ImageNet's headers have: the stock from which a full-size ImageNet is made."""

from __future__ import annotations

import functools
import io
import random
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageCms

# What a header may hold, and how many of a hundred images have it. ImageNet's own 13 % that need a second read would
# make the set half as large again; 3 % need one here, and the README of the figures says so.
SHAPES = {
    "plain": 62,
    "exif": 14,
    "exif_turned": 1,
    "progressive": 9,
    "grey": 3,
    "comment": 7,
    "icc": 2,
    "long_header": 1,
    "cmyk": 1,
}


class Photograph(NamedTuple):
    """The bytes of a JPEG, and the facts that a reader must find in them."""

    data: bytes
    width: int  # pixels
    height: int  # pixels
    mode: str
    shape: str


@functools.cache
def stock(n: int = 2000, seed: int = 0) -> tuple[Photograph, ...]:
    """`n` different JPEGs, of some 0.7 KB where their shape allows, in the proportions of SHAPES."""
    choose = random.Random(seed)
    shapes = choose.choices(list(SHAPES), list(SHAPES.values()), k=n)
    return tuple(_draw(shape, random.Random(seed * n + number)) for number, shape in enumerate(shapes))


def _draw(shape: str, choose: random.Random) -> Photograph:
    width, height = choose.randrange(40, 72), choose.randrange(40, 72)
    mode = {"grey": "L", "cmyk": "CMYK"}.get(shape, "RGB")
    noise = np.random.default_rng(choose.getrandbits(32)).integers(
        0, 256, (3, 4, len(Image.new(mode, (1, 1)).getbands()))
    )
    pixels = noise.astype(np.uint8).squeeze()
    small = Image.fromarray(pixels, mode) if mode != "CMYK" else Image.frombytes("CMYK", (4, 3), pixels.tobytes())
    image = small.resize((width, height), Image.Resampling.BILINEAR)
    options: dict[str, object] = {"quality": 20, "optimize": True}
    if shape.startswith("exif"):
        exif = Image.Exif()
        exif[0x010F], exif[0x0110] = "Maker", f"Camera {choose.randrange(100)}"
        exif[0x0112] = 6 if shape == "exif_turned" else 1
        options["exif"] = exif
    if shape == "progressive":
        options["progressive"] = True
    if shape == "comment":
        options["comment"] = b"a comment " * choose.randrange(1, 6)
    if shape == "icc":
        options["icc_profile"] = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    if shape == "long_header":
        options["icc_profile"] = bytes(choose.randrange(256) for _ in range(choose.randrange(5_000, 9_000)))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", **options)
    return Photograph(buffer.getvalue(), width, height, mode, shape)
