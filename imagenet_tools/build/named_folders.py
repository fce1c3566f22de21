"""Class folders called by numbers or words, whose meaning the user states with --class-names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imagenet_tools.catalogue import given_lists, identify_classes, lists, terms
from imagenet_tools.errors import SourceError
from imagenet_tools.images.class_folders import image_names, split_folders
from imagenet_tools.images.detection import folder_names, identify_dataset
from imagenet_tools.text import count_of, some_of
from imagenet_tools.units import Detection, Labelling
from imagenet_tools.wordnet.wnid import is_split_folder, split_of_folder

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_LOOKED_AT_IMAGES = 16  # of each class folder


def named_source(path: Path, class_names: str) -> Detection:
    """Return the class folders at a path, or in its train, val and test, with the classes that a list gives them.

    Raises:
        SourceError: There are none, or the list does not tell the class of one.
    """
    homes = [path / name for name in split_folders(path)] if path.is_dir() else []
    homes = [home for home in homes if _folders(home)] or [path]
    folders = {home: _folders(home) for home in homes}
    names = sorted({name for found in folders.values() for name in found})
    if not names:
        raise SourceError(
            f"{path}: found no folders of images. Expected class folders, whose names --class-names explains."
        )
    meanings = _meanings(names, class_names)
    unknown = [name for name in names if name not in meanings]
    if unknown:
        raise SourceError(
            f"{path}: --class-names {class_names} does not tell the class of {count_of(len(unknown), 'folder')}: "
            f"{some_of(unknown)}. Expected a list or a file with each of them, once. Name another, or move them away."
        )
    classes = tuple(
        ((home / name).relative_to(path).as_posix(), meanings[name])
        for home, found in folders.items()
        for name in found
    )
    images = [f"{place}/{image}" for place, _ in classes for image in image_names(path / place, _LOOKED_AT_IMAGES)]
    verdict = identify_dataset({wnid for _, wnid in classes}, images, folder_names(path.absolute()))
    splits = tuple(dict.fromkeys(split for home in homes if (split := split_of_folder(home.name))))
    first = f"{names[0]} being {meanings[names[0]]}"
    evidence = f"{count_of(len(names), 'class folder')} called by {_kind(names)}, {first} by {class_names}"
    about = (verdict.dataset, ("images",), f"{evidence}; {verdict.why}", splits)
    labelling = Labelling("class folders, explained by --class-names", "wordnet")
    return Detection("image_folder", path, *about, labels=labelling, readings=verdict.readings, classes=classes)


def guess(names: Sequence[str]) -> str:
    """Return the published list that may explain the names of folders; "" if none is likelier than the others."""
    if all(name.isdecimal() for name in names):
        return "ilsvrc2012" if max(map(int, names)) < len(lists.get("ilsvrc2012")) else ""
    fits = [name for name in ("imagenette", "imagewoof", "ilsvrc2012") if len(_meanings(names, name)) == len(names)]
    return fits[0] if fits else ""


def _folders(home: Path) -> list[str]:
    """Return the folders with images in a folder, sorted; not those of splits."""
    if not home.is_dir():
        return []
    names = sorted(entry.name for entry in home.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    return [name for name in names if not is_split_folder(name) and image_names(home / name, 1)]


def _kind(names: Sequence[str]) -> str:
    return "numbers" if all(name.isdecimal() for name in names) else "words"


def _meanings(names: Sequence[str], class_names: str) -> dict[str, str]:
    """Return the class of each name that a list tells: a number by its place, a word if one class has it."""
    listed = given_lists.published(class_names)
    wnids = given_lists.read_list(class_names, lambda text: terms.resolve(text).wnid)
    if _kind(names) == "numbers":
        first = listed.base if listed else 0
        places = {name: int(name) - first for name in names}
        return {name: wnids[place] for name, place in places.items() if 0 <= place < len(wnids)}
    found = identify_classes.classes_of_names(names, wnids)
    return {name: next(iter(options)) for name, options in found.items() if len(options) == 1}
