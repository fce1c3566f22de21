"""ImageNet-21K-P, the resized ImageNet-21K of Ridnik et al., as its archive unpacks, with wnids as folder names.

imagenet21k_resized/
    imagenet21k_train/n00005787/n00005787_10007.JPEG            classes of more than 500 images, without 50 of each
    imagenet21k_val/n00005787/n00005787_10032.JPEG              the 50 of each class, the first by name
    imagenet21k_small_classes/n00004475/n00004475_6590.JPEG     the classes of at most 500 images: of neither split

Its images keep ImageNet's names and are the same photographs. They are resized: other bytes, another data set.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from imagenet_tools.catalogue.releases import RELEASES, release_of_21k_p
from imagenet_tools.formats._shared.contract import unit_at
from imagenet_tools.images.class_folders import class_folders
from imagenet_tools.images.folder_scan import folder_files, scan_folder
from imagenet_tools.text import count_of, joined, lacking
from imagenet_tools.units import Detection, Labelling, Reads, Unit
from imagenet_tools.wordnet.wnid import SPLIT_FOLDERS

READS = Reads(holds=("images",))

_FOLDERS = ("imagenet21k_train", "imagenet21k_val", "imagenet21k_small_classes")
_TOP = "imagenet21k_resized"


def detect(path: Path) -> list[Detection]:
    """Return the three folders in a folder, in its imagenet21k_resized/, or one of them, by their names and wnids."""
    wnids = {folder.name: folders for folder, folders in _class_folders(path).items()}
    if not wnids:
        return []
    splits = {name: split for name in wnids if (split := SPLIT_FOLDERS[name])}
    verdict = release_of_21k_p({wnid for name in splits for wnid in wnids[name]}, name=path.name)
    counts = ", ".join(
        f"{name}/ with {count_of(len(folders), 'class folder')}{'' if name in splits else ', of neither split'}"
        for name, folders in wnids.items()
    )
    classes = RELEASES[verdict.dataset].classes
    missing = [f"{name}/" for name in _FOLDERS if name not in wnids]
    missing += [lacking(len(wnids[name]), classes, f"classes in {name}/") for name in splits]
    labels = Labelling("class folders", verdict.dataset)
    about = (f"{counts}; {verdict.why}", tuple(splits.values()), joined(missing), labels, verdict.readings)
    return [Detection("imagenet21k_p", path, verdict.dataset, ("images",), *about)]


def _class_folders(path: Path) -> dict[Path, list[str]]:
    """Return the class folders by the folder that they are in."""
    if not path.is_dir():
        return {}
    places = [[path]] if path.name in _FOLDERS else [[path / top / name for name in _FOLDERS] for top in ("", _TOP)]
    for folders in places:
        if wnids := {folder: names for folder in folders if folder.is_dir() and (names := class_folders(folder))}:
            return wnids
    return {}


def units(detection: Detection, source: str, root: Path) -> Iterator[Unit]:
    """Yield one unit for each class folder, by split and wnid."""
    for folder, wnids in _class_folders(detection.path).items():
        for wnid in wnids:
            yield unit_at(detection, source, root, folder / wnid, split=SPLIT_FOLDERS[folder.name], wnid=wnid)


files = folder_files
scan = scan_folder
