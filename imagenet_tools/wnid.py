"""WordNet ids and image names: how they are spelled, and which photograph a name means."""

from __future__ import annotations

import hashlib
import re

# n and the eight digits of the synset's offset in WordNet 3.0's data.noun.
WNID = re.compile(r"n\d{8}")

# The stems that every release of ImageNet keeps, and that therefore name one photograph wherever they stand.
_TRAIN_STEM = re.compile(r"n\d{8}_\d+")
_ILSVRC_STEM = re.compile(r"ILSVRC(20\d\d)_(train|val|test)_\d{8}")


def is_wnid(text: str) -> bool:
    """Whether the text is spelled as a wnid: n and eight digits. Says nothing of whether the synset exists."""
    return WNID.fullmatch(text) is not None


def wnid_of_stem(stem: str) -> str | None:
    """The wnid that a stem begins with and '_' follows (n01440764_10026, n01491361_tiger_shark), or None."""
    return stem[:9] if stem[9:10] == "_" and is_wnid(stem[:9]) else None


def is_training_stem(stem: str) -> bool:
    """Whether a stem is spelled as ImageNet spells training images: a wnid and a number (n01440764_10026)."""
    return _TRAIN_STEM.fullmatch(stem) is not None


def official_split(stem: str) -> tuple[str, str] | None:
    """(year, split) of an ILSVRC stem such as ILSVRC2012_val_00000001, or None: the name alone decides."""
    found = _ILSVRC_STEM.fullmatch(stem)
    return (found[1], found[2]) if found else None


def keeps_imagenet_name(stem: str) -> bool:
    """Whether a stem is one that releases of ImageNet share, and so names a photograph by itself."""
    return is_training_stem(stem) or _ILSVRC_STEM.fullmatch(stem) is not None


def photo_of(dataset: str, image_id: str) -> str:
    """The photograph of an image: its stem where releases share stems, else a name of its data set's own."""
    return image_id if keeps_imagenet_name(image_id) else f"{dataset}/{image_id}"


def hash32(photo: str) -> int:
    """First four bytes, big-endian, of SHA-256 of a photo's name: 0 to 4,294,967,295, the same for ever."""
    return int.from_bytes(hashlib.sha256(photo.encode()).digest()[:4], "big")
