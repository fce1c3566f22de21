"""WordNet ids and image names: how they are spelled, and which photograph a name means."""

from __future__ import annotations

import functools
import hashlib
import re
import struct
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import PurePath

# n and the eight digits of the synset's offset in WordNet 3.0's data.noun.
WNID = re.compile(r"n\d{8}")

# The stems that every release of ImageNet keeps, and that therefore name one photograph wherever they stand.
# So does a wnid with anything else behind it, but that names no photograph.
_STEM = re.compile(r"(n\d{8})_(?:(\d+)|.*)|ILSVRC(20\d\d)_(train|val|test)_\d{8}", re.DOTALL)
_OTHER_STEM = (None, None, None, None)

# Data sets that spell their images as ImageNet does and mean others (Tiny-ImageNet's n01774750_18), the same image
# altered many times over (-C, -P), or images that were never ImageNet's (-R, -A, -O, -Sketch, V2, ObjectNet).
_OF_THEIR_OWN = re.compile(
    r"(?:tiny-?imagenet|mini-?imagenet|imagenet-?(?:[acopr]|sketch|v2)(?![a-z0-9])|objectnet)(?:[-_.].*|\d.*)?"
)

# Folders of ILSVRC's tasks of detection, in images and in video: Data/DET, ILSVRC2013_DET_val ...
_TASK = re.compile(r"(?:ILSVRC\d{4}_)?(DET|VID)(?:_.*)?")
_ABOVE_TASK = ("Data", "Annotations", "ImageSets")

# Names of the folder of a split, in lower case, with the name of the split. The small classes of ImageNet-21K-P, those
# of at most 500 images, are in neither of its splits.
SPLIT_FOLDERS: dict[str, str | None] = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
    "imagenet21k_train": "train",
    "imagenet21k_val": "val",
    "imagenet21k_small_classes": None,
}


class PathFacts(NamedTuple):
    """What the path of an image says: its stem as ImageNet spells it, its class, its split; None for nothing."""

    stem: str
    wnid: str | None
    split: str | None


def is_wnid(text: str) -> bool:
    """Whether the text is spelled as a wnid: n and eight digits. Says nothing of whether the synset exists."""
    return len(text) == 9 and WNID.fullmatch(text) is not None


def spelled_by(stem: str) -> tuple[str | None, str | None, str | None, str | None]:
    """(wnid, number, year, split) that a stem is spelled by, None for what it has not. All other readings follow it.

    n01440764_10026 has the first two, n01491361_tiger_shark a wnid alone, ILSVRC2012_val_00000001 the last two.
    """
    found = _STEM.fullmatch(stem)
    return (found[1], found[2], found[3], found[4]) if found else _OTHER_STEM


def wnid_of_stem(stem: str) -> str | None:
    """The wnid that a stem begins with and '_' follows (n01440764_10026, n01491361_tiger_shark), or None."""
    return spelled_by(stem)[0]


def wnid_of_folder(name: str) -> str | None:
    """The wnid that a folder is called by, n02085620 or n02085620-Chihuahua, or None."""
    return name[:9] if is_wnid(name[:9]) and name[9:10] in {"", "-"} else None


def is_split_folder(name: str) -> bool:
    """Return True if a folder has the name of a split, in any case: train, Val, TEST."""
    return name.lower() in SPLIT_FOLDERS


def split_of_folder(name: str) -> str | None:
    """Return the split that a folder is named after, in any case of its letters; None where its name is no split's."""
    return SPLIT_FOLDERS.get(name.lower())


def is_training_stem(stem: str) -> bool:
    """Whether a stem is spelled as ImageNet spells training images: a wnid and a number (n01440764_10026)."""
    return spelled_by(stem)[1] is not None


def official_split(stem: str) -> tuple[str, str] | None:
    """(year, split) of an ILSVRC stem such as ILSVRC2012_val_00000001, or None: the name alone decides."""
    _, _, year, split = spelled_by(stem)
    return (year, split) if year is not None and split is not None else None


def keeps_imagenet_name(stem: str) -> bool:
    """Whether a stem is one that releases of ImageNet share, and so names a photograph by itself."""
    _, number, year, _ = spelled_by(stem)
    return number is not None or year is not None


def without_label(stem: str) -> tuple[str, str | None]:
    """(the stem that ImageNet gave, the wnid that was put behind it), as Hugging Face's copies have it, or None.

    n01440764_10026_n01440764 is (n01440764_10026, n01440764).
    """
    first, _, last = stem.rpartition("_")
    return (first, last) if is_wnid(last) and keeps_imagenet_name(first) else (stem, None)


def told_by_path(path: str) -> PathFacts:
    """What a path such as imagenette2/train/n01440764/ILSVRC2012_val_00000293.JPEG says of its image; '/' between."""
    folder, _, name = path.rpartition("/")
    stem, wnid = without_label(name[: name.rfind(".")] if "." in name else name)
    if not folder:
        return PathFacts(stem, wnid, None)
    of_folder, split = _told_by_folder(folder)
    return PathFacts(stem, of_folder or wnid, split)


@functools.lru_cache
def _told_by_folder(folder: str) -> tuple[str | None, str | None]:
    """Return (class, split) as a path of folders says them.

    The outermost folder called by a wnid is the class, as torchvision's ImageFolder has it.
    """
    parts = folder.split("/")
    for n, part in enumerate(parts):
        if (wnid := wnid_of_folder(part)) is not None:
            return wnid, split_of_folder(parts[n - 1]) if n else None
    return None, split_of_folder(parts[-1])


def photo_of(dataset: str, image_id: str) -> str:
    """The photograph of an image: its stem where releases share stems, else a name of its data set's own."""
    shared = keeps_imagenet_name(image_id) and shares_names(dataset)
    return image_id if shared else f"{dataset}/{image_id}"


@functools.lru_cache
def shares_names(dataset: str) -> bool:
    """Whether images of a data set that are spelled as ImageNet spells them are ImageNet's."""
    return _OF_THEIR_OWN.fullmatch(dataset) is None


def hash32(photo: str) -> int:
    """First four bytes, big-endian, of SHA-256 of a photo's name: 0 to 4,294,967,295, the same for ever."""
    return hashes32((photo,))[0]


def hashes32(photos: Iterable[str]) -> list[int]:
    """The hash32 of each of many photos."""
    digests = b"".join([hashlib.sha256(photo.encode()).digest() for photo in photos])
    return [number for (number,) in struct.iter_unpack(">I28x", digests)]


def is_of_detection(stem: str) -> bool:
    """Whether an image is of ILSVRC's detection task alone, by its name: the classification task ended in 2012."""
    named = official_split(stem)
    return named is not None and named[0] > "2012"


def task_of(folder: PurePath) -> str | None:
    """DET or VID, where a folder is one of ILSVRC's tasks of detection by its name or by those around it, else None."""
    parts = folder.parts[-5:]
    for n in reversed(range(len(parts))):
        found = _TASK.fullmatch(parts[n])
        # A folder merely called DET is one where it stands right here, or below what the releases put it into.
        if found and (parts[n] != found[1] or n >= len(parts) - 2 or parts[n - 1] in _ABOVE_TASK):
            return found[1]
    return None
