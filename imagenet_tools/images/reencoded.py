"""The 23 training images that TensorFlow's converters encode anew, so that their bytes are not ImageNet's.

The classic build_imagenet_data.py, TensorFlow Datasets' imagenet2012 and what was made of it, such as timm's shards of
the 1,000 classes, hold one PNG and 22 CMYK JPEGs of ILSVRC2012 as RGB JPEGs. Source: the lists in both converters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from imagenet_tools.images.probe import probe

if TYPE_CHECKING:
    from imagenet_tools.images.jpeg import More

_PNG = frozenset({"n02105855_2933"})
_CMYK = frozenset({
    "n01739381_1309", "n02077923_14822", "n02447366_23489", "n02492035_15739", "n02747177_10752",
    "n03018349_4028", "n03062245_4620", "n03347037_9675", "n03467068_12171", "n03529860_11437",
    "n03544143_17228", "n03633091_5218", "n03710637_5125", "n03961711_5286", "n04033995_2932",
    "n04258138_17003", "n04264628_27969", "n04336792_7448", "n04371774_5854", "n04596742_4225",
    "n07583066_647", "n13037406_4650",
})  # fmt: skip


def reencoded(stem: str, head: bytes, length: int, more: More) -> str | None:
    """What is said of an image that is one of the 23, and no longer what it was; None for every other."""
    if stem not in _PNG and stem not in _CMYK:
        return None
    found = probe(head, length, more)
    was = "a PNG" if stem in _PNG else "a CMYK JPEG"
    if (found.encoding == "png") if stem in _PNG else (found.mode == "CMYK"):
        return None
    return f"the image is {was} in ILSVRC2012, and here a {found.mode} {found.encoding}: encoded anew, as converters do"
