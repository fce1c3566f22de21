"""Which data set the images of class folders are, told by their names and by the names of the folders around them.

ILSVRC2012's images in class folders are called n01440764_10026 or ILSVRC2012_val_00000001. Where more than half of
the names that are looked at are none of ImageNet's, the images are another set of its classes: the one that the folder
is called after, or one that gets the folder's name. Fewer are odd images of the release, and the scan reports them.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from imagenet_tools.catalogue import lists
from imagenet_tools.catalogue.releases import RELEASES, Verdict, other_set, release_of
from imagenet_tools.images.image_rows import HEAD
from imagenet_tools.images.probe import probe
from imagenet_tools.images.shards import own_name
from imagenet_tools.wordnet.wnid import (
    is_split_folder,
    keeps_imagenet_name,
    spelled_by,
    told_by_path,
    wnid_of_folder,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from pathlib import Path, PurePath

TINY = "tiny-imagenet-200"

# Tiny-ImageNet numbers the images of a class from 0 to 499; they have 64 x 64 pixels.
_TINY_IMAGES = 500
_TINY_SIDE = 64
TINY_LISTS = ("wnids.txt", "val_annotations.txt")
TINY_BOXES = "_boxes.txt"

TINY_RELEASED = (
    "Tiny-ImageNet as it is released, which is not read yet: its validation images lie in no class folders, and its "
    "images are not ILSVRC2012's of the same names"
)
SORT_TINY = (
    "unpack it, sort val/images/ into val/<wnid>/ by val_annotations.txt, and index the folder; or index train/ alone"
)

_PROBED_IMAGES = 8


def folder_names(path: PurePath) -> list[str]:
    """Return the names that speak for a folder: its own, and first the name of what a split or a class lies in."""
    if is_split_folder(path.name) or wnid_of_folder(path.name):
        return [*folder_names(path.parent), path.name]
    return [path.name]


def set_of(
    wnids: Collection[str],
    images: Sequence[str],
    names: Sequence[str],
    *,
    tiny: Callable[[], bool] = lambda: False,
) -> Verdict:
    """Return the data set that classes, names of images and names of folders speak for.

    Args:
        wnids: The classes of the images.
        images: File names of some of the images.
        names: The names of the folders or the archive around them, the outermost first.
        tiny: Whether something besides the names says Tiny-ImageNet; asked only where the names may be its.
    """
    stems = [told_by_path(name).stem for name in images]
    odd = [name for name, stem in zip(images, stems, strict=True) if not keeps_imagenet_name(stem)]
    known = next((found for name in names if (found := other_set(name))), None)
    of_tiny = set(wnids) <= set(lists.get(TINY).wnids)
    if known == TINY:
        return Verdict(TINY if of_tiny else _own(names), "its name says so")
    if of_tiny and all(_is_tiny(stem) for stem in stems) and tiny():
        why = "the classes, numbers and sizes of Tiny-ImageNet's images, which are not ILSVRC2012's of the same names"
        return Verdict(TINY, why, ("ilsvrc2012",))
    if 2 * len(odd) <= len(images):
        return release_of(wnids, name=" ".join(names))
    why = f"names that ILSVRC2012 never gives, such as {min(odd)}: another set of its classes, called after its folder"
    return Verdict(known or _own(names), why, own=True)


def _own(names: Sequence[str]) -> str:
    """Return the name of a data set that is called after its folder, and never as a release is."""
    name = own_name(names[0])
    return f"other-{name}" if name in RELEASES or name.startswith("ilsvrc") else name


def _is_tiny(stem: str) -> bool:
    """Whether Tiny-ImageNet may have given a stem: n01443537_0 to n01443537_499, or val_0 of its validation images."""
    number = spelled_by(stem)[1]
    return stem.startswith("val_") or (number is not None and len(number) < 4 and int(number) < _TINY_IMAGES)


def are_tiny(images: Sequence[Path]) -> bool:
    """Return True if Tiny-ImageNet's lists or boxes lie beside images, or if the images have its size."""
    some = images[:: len(images) // _PROBED_IMAGES + 1]
    return any(map(_has_tiny_lists, some)) or all(map(_has_tiny_size, some))


def _has_tiny_lists(image: Path) -> bool:
    folder = image.parent.parent if image.parent.name == "images" else image.parent
    home = folder.parent.parent if is_split_folder(folder.parent.name) else folder.parent
    places = [folder / f"{folder.name}{TINY_BOXES}", *(home / one for one in TINY_LISTS)]
    return any(place.is_file() for place in [*places, home / "val" / TINY_LISTS[1]])


def _has_tiny_size(image: Path) -> bool:
    with suppress(OSError), image.open("rb", buffering=0) as file:

        def more(offset: int, n: int) -> bytes:
            return os.pread(file.fileno(), n, offset)

        found = probe(more(0, HEAD), os.fstat(file.fileno()).st_size, more)
        return (found.width, found.height) == (_TINY_SIDE, _TINY_SIDE)
    return False
