"""Parse WordNet ids, image names and folder names: class, split, and the photograph that a name means."""

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

# Every release of ImageNet keeps these stems, so that a stem names one photograph in all of them. A wnid with other
# text behind it (n01491361_tiger_shark) tells the class, but names no photograph.
_STEM = re.compile(r"(n\d{8})_(?:(\d+)|.*)|ILSVRC(20\d\d)_(train|val|test)_\d{8}", re.DOTALL)
# An official name inside another one, as copying makes it: "ILSVRC2012_val_00000293 (1)".
_OFFICIAL_COPY = re.compile(r"ILSVRC20\d\d_(train|val|test)_\d{8}", re.IGNORECASE)
_SUFFIXES = (".jpeg", ".jpg", ".png", ".webp")  # of the files of images
_OTHER_STEM = (None, None, None, None)

# Data sets whose images are not ImageNet's under the same names: renumbered (Tiny-ImageNet's n01774750_18), altered in
# several ways each (-C, -P), or never in ImageNet (-R, -A, -O, -D, -Sketch, V2, ObjectNet, NINCO).
_OTHER_IMAGES = re.compile(
    r"(?:tiny-?imagenet|mini-?imagenet|imagenet-?(?:[acdopr]|sketch|v2)(?![a-z0-9])|objectnet|ninco)(?:[-_.].*|\d.*)?"
)

# Folders of ILSVRC's detection tasks, in images and in video: Data/DET, ILSVRC2013_DET_val ...
_TASK = re.compile(r"(?:ILSVRC\d{4}_)?(DET|VID)(?:_.*)?")
_TASK_PARENTS = ("Data", "Annotations", "ImageSets")

# The split of a folder by its name in lower case. The small classes of ImageNet-21K-P, those of at most 500 images, are
# in neither of its splits.
SPLIT_FOLDERS: dict[str, str | None] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
    **{"imagenet21k_train": "train", "imagenet21k_val": "val", "imagenet21k_small_classes": None},
}


class PathFacts(NamedTuple):
    """The facts in the path of an image: the stem as ImageNet spells it, the class, the split; None if missing."""

    stem: str
    wnid: str | None
    split: str | None


def is_wnid(text: str) -> bool:
    """Return True if a text is spelled as a wnid, n and eight digits; the synset may not exist."""
    return len(text) == 9 and WNID.fullmatch(text) is not None


def stem_parts(stem: str) -> tuple[str | None, str | None, str | None, str | None]:
    """Return the (wnid, number, year, split) in a stem, None for each that it lacks.

    n01440764_10026 has the first two, n01491361_tiger_shark a wnid alone, ILSVRC2012_val_00000001 the last two.
    """
    match = _STEM.fullmatch(stem)
    return (match[1], match[2], match[3], match[4]) if match else _OTHER_STEM


def wnid_of_stem(stem: str) -> str | None:
    """Return the wnid before the first '_' of a stem (n01440764_10026, n01491361_tiger_shark), or None."""
    return stem_parts(stem)[0]


@functools.lru_cache
def wnid_of_folder(name: str) -> str | None:
    """Return the wnid of a folder's name, n02085620 or n02085620-Chihuahua, or None."""
    return name[:9] if is_wnid(name[:9]) and name[9:10] in {"", "-"} else None


def is_split_folder(name: str) -> bool:
    """Return True if a folder has the name of a split, in any case: train, Val, TEST."""
    return name.lower() in SPLIT_FOLDERS


def split_of_folder(name: str) -> str | None:
    """Return the split that a folder is named after, in any case; None for another name."""
    return SPLIT_FOLDERS.get(name.lower())


def is_training_stem(stem: str) -> bool:
    """Return True if a stem is spelled as a training image's: a wnid and a number (n01440764_10026)."""
    return stem_parts(stem)[1] is not None


def official_split(stem: str) -> tuple[str, str] | None:
    """Return (year, split) of an ILSVRC stem such as ILSVRC2012_val_00000001, or None."""
    _, _, year, split = stem_parts(stem)
    return (year, split) if year is not None and split is not None else None


def split_of_copy(stem: str) -> str | None:
    """Return the split of an official name that is a part of a stem, in any case; None if there is none.

    Example:
        >>> split_of_copy("ILSVRC2012_val_00000293 (1)")
        'val'
    """
    match = _OFFICIAL_COPY.search(stem)
    return match[1].lower() if match else None


def keeps_imagenet_name(stem: str) -> bool:
    """Return True if the releases of ImageNet share a stem, so that it names a photograph by itself."""
    _, number, year, _ = stem_parts(stem)
    return number is not None or year is not None


def without_label(stem: str) -> tuple[str, str | None]:
    """Return ImageNet's stem and the wnid that Hugging Face's copies have behind it, or None.

    Example:
        >>> without_label("n01440764_10026_n01440764")
        ('n01440764_10026', 'n01440764')
    """
    first, _, last = stem.rpartition("_")
    return (first, last) if is_wnid(last) and keeps_imagenet_name(first) else (stem, None)


def path_facts(path: str) -> PathFacts:
    """Return the facts in the path of an image, with '/' between folders.

    Example:
        >>> path_facts("imagenette2/train/n01440764/ILSVRC2012_val_00000293.JPEG")
        PathFacts(stem='ILSVRC2012_val_00000293', wnid='n01440764', split='train')
    """
    folder, _, name = path.rpartition("/")
    stem, wnid = without_label(name[: name.rfind(".")] if "." in name else name)
    if not folder:
        return PathFacts(stem, wnid, None)
    folder_wnid, split = _folder_facts(folder)
    return PathFacts(stem, folder_wnid or wnid, split)


@functools.lru_cache
def _folder_facts(folder: str) -> tuple[str | None, str | None]:
    """Return (class, split) of a path of folders; the outermost folder with a wnid is the class, as in ImageFolder."""
    parts = folder.split("/")
    for n, part in enumerate(parts):
        if (wnid := wnid_of_folder(part)) is not None:
            return wnid, split_of_folder(parts[n - 1]) if n else None
    return None, split_of_folder(parts[-1])


def photo_of(dataset: str, image_id: str) -> str:
    """Return the photograph of an image: its stem if releases share it, else data set and id."""
    shared = keeps_imagenet_name(image_id) and shares_names(dataset)
    return image_id if shared else f"{dataset}/{image_id}"


@functools.lru_cache
def shares_names(dataset: str) -> bool:
    """Return True if the images of a data set are ImageNet's, where they have ImageNet's names."""
    return _OTHER_IMAGES.fullmatch(dataset) is None


def hash32(photo: str) -> int:
    """Return the first four bytes, big-endian, of the SHA-256 of a photo's name: 0 to 4,294,967,295."""
    return hashes32((photo,))[0]


def hashes32(photos: Iterable[str]) -> list[int]:
    """Return the hash32 of each photo."""
    digests = b"".join([hashlib.sha256(photo.encode()).digest() for photo in photos])
    return [number for (number,) in struct.iter_unpack(">I28x", digests)]


def sha256_of_lines(texts: Iterable[str]) -> str:
    """Return the SHA-256 of texts with a line feed behind each, in hexadecimal: the identity of a list."""
    return hashlib.sha256("".join(f"{text}\n" for text in texts).encode()).hexdigest()


def is_detection_stem(stem: str) -> bool:
    """Return True if an image is of ILSVRC's detection task, by the year in its name: classification ended in 2012."""
    official = official_split(stem)
    return official is not None and official[0] > "2012"


def task_of(folder: PurePath) -> str | None:
    """Return DET or VID if a folder is one of ILSVRC's detection tasks, by its name or its parents'; else None."""
    parts = folder.parts[-5:]
    for n in reversed(range(len(parts))):
        match = _TASK.fullmatch(parts[n])
        # A plain "DET" counts only close to the end of the path, or below a folder that the releases put it into.
        if match and (parts[n] != match[1] or n >= len(parts) - 2 or parts[n - 1] in _TASK_PARENTS):
            return match[1]
    return None


def ids_of_path(text: str) -> tuple[str, ...]:
    """Return the ids that a path of an image may mean: its stem if releases share it, or the path without its suffix.

    Example:
        >>> ids_of_path("train/n01440764/n01440764_10026.JPEG"), ids_of_path("ilsvrc2012/n01440764_10026")
        (('n01440764_10026',), ('ilsvrc2012/n01440764_10026',))
    """
    path = text.replace("\\", "/").removeprefix("./")
    has_suffix = path.lower().endswith(_SUFFIXES)
    path = path[: path.rfind(".")] if has_suffix else path
    folder, _, name = path.rpartition("/")
    stem = without_label(name)[0]
    if not keeps_imagenet_name(stem):
        return (path,)
    # A path with a suffix is a file in some folder. Without a suffix, the folder may be a data set.
    if has_suffix or not folder or "/" in folder:
        return (stem,)
    return (path, stem) if is_wnid(folder) or folder in SPLIT_FOLDERS else (path,)
