"""Class folders: read as people hold them, written as torchvision's ImageFolder and every classifier reads them.

root/train/n01440764/n01440764_10026.JPEG       <split>/<wnid>/<image>
root/val/n01440764/ILSVRC2012_val_00000293.JPEG
root/n01440764/n01440764_10026.JPEG             or a bare folder of wnid folders
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from imagenet_tools.containers import folder_fingerprint, scan_folder
from imagenet_tools.rows import dataset_of, is_image_name
from imagenet_tools.units import Detection, Unit
from imagenet_tools.wnid import is_wnid

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imagenet_tools.exporter import Job
    from imagenet_tools.plan import Plan

# What people call the splits, and what they are called here.
_SPLITS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}


def detect(path: Path) -> list[Detection]:
    """The class folders directly in a folder, or those in its train, val and test."""
    if not path.is_dir():
        return []
    splits = [name for name in _SPLITS if (path / name).is_dir()]
    wnids = {name: _class_folders(path / name) for name in splits}
    wnids = {name: found for name, found in wnids.items() if found}
    if wnids:
        dataset = dataset_of(set().union(*wnids.values()))
        counts = ", ".join(f"{name}/ with {len(found):,} class folders" for name, found in wnids.items())
        return [Detection("image_folder", path, dataset, ("images",), counts, tuple(_SPLITS[name] for name in wnids))]
    bare = _class_folders(path)
    if not bare:
        return []
    dataset = dataset_of(bare)
    named = _SPLITS.get(path.name)
    evidence = f"{len(bare):,} class folders, {bare[0]} first"
    return [Detection("image_folder", path, dataset, ("images",), evidence, (named,) if named else ())]


def _class_folders(folder: Path) -> list[str]:
    """The folders called by a wnid, if images lie in the first that holds anything: annotations lie so too."""
    with os.scandir(folder) as entries:
        wnids = sorted(entry.name for entry in entries if is_wnid(entry.name) and entry.is_dir())
    for wnid in wnids:
        with os.scandir(folder / wnid) as entries:
            names = [entry.name for entry in entries]
        if names:
            return wnids if any(map(is_image_name, names)) else []
    return []


def units(found: Detection, source: str, root: Path) -> Iterator[Unit]:
    """One unit a class folder, by split and wnid."""
    named = [name for name in _SPLITS if (found.path / name).is_dir() and _class_folders(found.path / name)]
    for name in named or [""]:
        split = _SPLITS[name] if name else _SPLITS.get(found.path.name)
        for wnid in _class_folders(found.path / name):
            file = (found.path / name / wnid).relative_to(root).as_posix()
            yield Unit("image_folder", source, str(root), file, found.dataset, split, wnid)


fingerprint = folder_fingerprint
scan = scan_folder


KEEPS = ("image_id", "wnid", "split", "length", "width", "height", "mode", "encoding", "orientation")
BY_FOLDER = True
DETECTION = False
TURNED = False
DEMANDS: tuple[tuple[str, str], ...] = ()


def hazards(plan: Plan) -> Iterator[str]:
    """What torchvision's ImageFolder does not forgive."""
    if any(len(found) < len(plan.classes) for found in plan.tallies.values()):
        yield "a class folder without images stops torchvision's ImageFolder unless it is told allow_empty=True"


def write(job: Job) -> None:
    """<split>/<folder of the class>/<image>, every class in every split."""
    job.place_in_class_folders()
