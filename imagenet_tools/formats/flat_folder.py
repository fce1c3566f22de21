"""A folder of images that lie loose in it: ILSVRC's val and test folders, or any n01440764_*.JPEG.

val/ILSVRC2012_val_00000001.JPEG ...        as the tar or Kaggle's tree has it; also as <root>/val
test/ILSVRC2012_test_00000001.JPEG ...
some/folder/n01440764_10026.JPEG ...        the name tells the class
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from imagenet_tools.images import folder_scan
from imagenet_tools.images.folder_scan import folder_files, scan_folder
from imagenet_tools.images.image_archives import VALIDATION_LABELS
from imagenet_tools.images.image_rows import is_image_name
from imagenet_tools.images.metadata_table import find_table
from imagenet_tools.published.releases import RELEASES, release_of
from imagenet_tools.units import Detection, Labelling, Unit
from imagenet_tools.wnid import (
    is_of_detection,
    keeps_imagenet_name,
    official_split,
    task_of,
    told_by_path,
    wnid_of_stem,
)
from imagenet_tools.wordnet import find_row

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HOLDS = ("images",)
PROBLEMS = folder_scan.PROBLEMS

_SPLITS = ("train", "val", "test")


def detect(path: Path) -> list[Detection]:
    """The folder itself, or its val and test, if ImageNet's images lie directly in it."""
    if not path.is_dir():
        return []
    folders = [path, *(path / split for split in _SPLITS if (path / split).is_dir())]
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
    verdict = release_of(wnids, name=folder.name)
    dataset = f"ilsvrc{official[0][0]}" if official else verdict.dataset
    # Training images carry no split in their names; those of ILSVRC are its training set wherever they lie.
    splits = tuple(split for _, split in official)
    if wnids and dataset.startswith("ilsvrc"):
        splits = ("train", *splits)
    evidence = f"{len(names):,} images loose in a folder, such as {names[0]}"
    whole = RELEASES[dataset].images if dataset in RELEASES else {}
    missing = ""
    if len(splits) == 1 and len(names) < (published := whole.get(splits[0]) or 0):
        missing = f"{published - len(names):,} of the {published:,} images of {splits[0]}"
    labels = Labelling("the images' names" if wnids else VALIDATION_LABELS, dataset) if splits != ("test",) else None
    readings = () if official else verdict.readings
    if not any(keeps_imagenet_name(one.stem) for one in told):
        readings = ("images of your own, named by their class (--dataset NAME)", *readings)
        missing = ""
    return Detection("flat_folder", folder, dataset, ("images",), evidence, splits, missing, labels, readings)


def units(found: Detection, source: str, root: Path) -> Iterator[Unit]:
    """One unit: the folder."""
    file = found.path.relative_to(root).as_posix()
    yield Unit("flat_folder", source, str(root), "" if file == "." else file, found.dataset)


files = folder_files
scan = scan_folder
