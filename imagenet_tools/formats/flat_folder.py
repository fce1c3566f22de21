"""A folder of images that lie loose in it: ILSVRC's val and test folders, or any n01440764_*.JPEG.

val/ILSVRC2012_val_00000001.JPEG ...        as the tar or Kaggle's tree has it; also as <root>/val
test/ILSVRC2012_test_00000001.JPEG ...
n01440764/n01440764_10026.JPEG ...          one class folder by itself, with the folders below it
some/folder/n01440764_10026.JPEG ...        the name tells the class
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from imagenet_tools.catalogue.releases import RELEASES
from imagenet_tools.images import folder_scan
from imagenet_tools.images.class_folders import split_folders
from imagenet_tools.images.folder_scan import folder_files, scan_folder
from imagenet_tools.images.image_archives import VALIDATION_LABELS
from imagenet_tools.images.image_rows import is_image_name
from imagenet_tools.images.metadata_table import find_table
from imagenet_tools.images.told_set import are_tiny, folder_names, set_of
from imagenet_tools.units import Detection, Labelling, Reads, Unit
from imagenet_tools.wordnet.wnid import (
    is_of_detection,
    official_split,
    split_of_folder,
    task_of,
    told_by_path,
    wnid_of_folder,
    wnid_of_stem,
)
from imagenet_tools.wordnet.wordnet import find_row

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

READS = Reads(
    holds=("images",),
    problems=folder_scan.PROBLEMS,
)

# A unit of a folder that is called by no class is read without the folders in it.
LOOSE = True


def detect(path: Path) -> list[Detection]:
    """The folder itself, or its val and test, if ImageNet's images lie directly in it."""
    if not path.is_dir():
        return []
    folders = [path, *(path / name for name in split_folders(path))]
    return [found for folder in folders if (found := _detect(folder)) is not None]


def _detect(folder: Path) -> Detection | None:
    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in entries if is_image_name(entry.name))
    told = [told_by_path(name) for name in names]
    if task_of(folder.absolute()) or any(is_of_detection(one.stem) for one in told):
        return None
    official = sorted({found for one in told if (found := official_split(one.stem)) is not None})
    wnids = {wnid for one in told if (wnid := wnid_of_stem(one.stem)) is not None}
    if not official and not any(find_row(wnid) is not None for wnid in wnids):
        return None
    if find_table(folder)[0]:
        return None  # Hugging Face's imagefolder
    paths = [folder / name for name in names]
    verdict = set_of(wnids, names, folder_names(folder.absolute()), tiny=lambda: are_tiny(paths))
    dataset = f"ilsvrc{official[0][0]}" if official else verdict.dataset
    # Training images carry no split in their names; those of ILSVRC are its training set where no folder says another.
    split = _split(folder) or ("train" if dataset.startswith("ilsvrc") else None)
    splits = tuple(dict.fromkeys([*([split] if wnids and split else []), *(split for _, split in official)]))
    evidence = f"{len(names):,} images loose in a folder, such as {names[0]}"
    whole = RELEASES[dataset].images if dataset in RELEASES else {}
    missing = ""
    if len(splits) == 1 and len(names) < (published := whole.get(splits[0]) or 0):
        missing = f"{published - len(names):,} of the {published:,} images of {splits[0]}"
    labels = Labelling("the images' names" if wnids else VALIDATION_LABELS, dataset) if splits != ("test",) else None
    readings = () if official else verdict.readings
    return Detection("flat_folder", folder, dataset, ("images",), evidence, splits, missing, labels, readings)


def units(found: Detection, source: str, root: Path) -> Iterator[Unit]:
    """One unit: the folder."""
    file = found.path.relative_to(root).as_posix()
    place = ("" if file == "." else file, found.dataset, _split(found.path), wnid_of_folder(found.path.name))
    yield Unit("flat_folder", source, str(root), *place)


def _split(folder: Path) -> str | None:
    """The split that a folder, or the one around a class folder, is named after."""
    return split_of_folder((folder.absolute().parent if wnid_of_folder(folder.name) else folder).name)


files = folder_files
scan = scan_folder
