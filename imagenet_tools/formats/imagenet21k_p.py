"""ImageNet-21K-P, the resized ImageNet-21K of Ridnik et al., as its archive unpacks; with wnids, so read as any tree.

imagenet21k_resized/
    imagenet21k_train/n00005787/n00005787_10007.JPEG            classes of more than 500 images, without 50 a class
    imagenet21k_val/n00005787/n00005787_10032.JPEG              the 50 of each, the first by name
    imagenet21k_small_classes/n00004475/n00004475_6590.JPEG     the classes of at most 500 images: of neither split

Its images keep ImageNet's names and so are the same photographs, but resized: other bytes, another data set.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from imagenet_tools.catalogue.releases import RELEASES, release_of_21k_p
from imagenet_tools.images import folder_scan
from imagenet_tools.images.class_folders import class_folders
from imagenet_tools.images.folder_scan import folder_files, scan_folder
from imagenet_tools.units import Detection, Labelling, Reads, Unit
from imagenet_tools.wordnet.wnid import SPLIT_FOLDERS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

READS = Reads(
    holds=("images",),
    problems=folder_scan.PROBLEMS,
)

_FOLDERS = ("imagenet21k_train", "imagenet21k_val", "imagenet21k_small_classes")
_TOP = "imagenet21k_resized"


def detect(path: Path) -> list[Detection]:
    """The three folders in a folder, in imagenet21k_resized/ in it, or one of them; told by their names and wnids."""
    found = _found(path)
    if not found:
        return []
    wnids = {folder.name: inside for folder, inside in found.items()}
    split_of = {name: split for name in wnids if (split := SPLIT_FOLDERS[name])}
    verdict = release_of_21k_p({wnid for name in split_of for wnid in wnids[name]}, name=path.name)
    counts = ", ".join(
        f"{name}/ with {len(inside):,} class folders{'' if name in split_of else ', of neither split'}"
        for name, inside in wnids.items()
    )
    classes = RELEASES[verdict.dataset].classes
    missing = [f"{name}/" for name in _FOLDERS if name not in wnids]
    missing += [
        f"{classes - len(wnids[name]):,} of the {classes:,} classes in {name}/"
        for name in split_of
        if len(wnids[name]) < classes
    ]
    by = Labelling("class folders", verdict.dataset)
    about = (f"{counts}; {verdict.why}", tuple(split_of.values()), "; ".join(missing), by, verdict.readings)
    return [Detection("imagenet21k_p", path, verdict.dataset, ("images",), *about)]


def _found(path: Path) -> dict[Path, list[str]]:
    """The class folders by the folder that they lie in."""
    if not path.is_dir():
        return {}
    places = [[path]] if path.name in _FOLDERS else [[path / top / name for name in _FOLDERS] for top in ("", _TOP)]
    for folders in places:
        inside = {folder: class_folders(folder) for folder in folders if folder.is_dir()}
        if found := {folder: wnids for folder, wnids in inside.items() if wnids}:
            return found
    return {}


def units(found: Detection, source: str, root: Path) -> Iterator[Unit]:
    """One unit a class folder, by split and wnid."""
    for folder, wnids in _found(found.path).items():
        for wnid in wnids:
            file = (folder / wnid).relative_to(root).as_posix()
            split = SPLIT_FOLDERS[folder.name]
            yield Unit("imagenet21k_p", source, str(root), file, found.dataset, split, wnid)


files = folder_files
scan = scan_folder
