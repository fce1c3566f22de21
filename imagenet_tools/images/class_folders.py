"""Folders called by a wnid that hold images of the class: told from those that hold annotations or anything else.

A class folder is n02085620 or n02085620-Chihuahua. Its images lie in it or in folders below it, as torchvision's
ImageFolder reads them. Folders of Stanford Dogs' breeds called in the second way are Stanford Dogs'.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from imagenet_tools.catalogue.releases import are_stanford_dogs
from imagenet_tools.images.image_rows import is_image_name
from imagenet_tools.wordnet.wnid import SPLIT_FOLDERS, is_split_folder, wnid_of_folder
from imagenet_tools.wordnet.wordnet import find_row

if TYPE_CHECKING:
    from pathlib import Path


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Return True for a folder and for a link to one; False for a link that leads to itself."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def class_folders(folder: Path) -> list[str]:
    """Return the class folders in a folder, sorted, if one is of a synset that exists and one holds an image."""
    names = folders_by_wnid(folder)
    if are_stanford_dogs(names):
        return []
    return names if any(image_names(folder / name, 1) for name in names) else []


def folders_by_wnid(folder: Path) -> list[str]:
    """Return the folders called by a wnid, sorted; none if no wnid among them is of a synset that exists."""
    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in entries if wnid_of_folder(entry.name) and is_folder(entry))
    return names if any(find_row(name[:9]) is not None for name in names) else []


def split_folders(path: Path) -> list[str]:
    """Return the folders in a folder that have the name of a split, in any case: those of train, of val, of test."""
    with os.scandir(path) as entries:
        names = [entry.name for entry in entries if is_split_folder(entry.name) and is_folder(entry)]
    order = list(SPLIT_FOLDERS)
    return sorted(names, key=lambda name: (order.index(name.lower()), name))


def image_names(folder: Path, most: int, seen: frozenset[tuple[int, int]] = frozenset()) -> list[str]:
    """Return some images in a folder, or below it where none lies in it directly, relative to it; at most `most`.

    A folder that cannot be opened holds none here: the scan reports it. `seen` are the folders above, so that a link
    to one of them ends.
    """
    names: list[str] = []
    below: list[str] = []
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if is_image_name(entry.name):
                names.append(entry.name)
                if len(names) == most:
                    break
            elif is_folder(entry):
                below.append(entry.name)
    if names or not below:
        return names
    status = folder.stat()
    place = (status.st_dev, status.st_ino)
    for name in sorted(below) if place not in seen else ():
        if found := image_names(folder / name, most, seen | {place}):
            return [f"{name}/{image}" for image in found]
    return []
