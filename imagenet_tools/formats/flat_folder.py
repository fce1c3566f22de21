"""A folder of images that lie loose in it: ILSVRC's val and test folders, or any n01440764_*.JPEG.

val/ILSVRC2012_val_00000001.JPEG ...        as the tar or Kaggle's tree has it; also as <root>/val
test/ILSVRC2012_test_00000001.JPEG ...
some/folder/n01440764_10026.JPEG ...        the name tells the class
"""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from imagenet_tools.containers import folder_fingerprint, scan_folder
from imagenet_tools.rows import dataset_of, is_image_name
from imagenet_tools.units import Detection, Unit
from imagenet_tools.wnid import official_split, wnid_of_stem

if TYPE_CHECKING:
    from collections.abc import Iterator

_SPLITS = ("train", "val", "test")


def detect(path: Path) -> list[Detection]:
    """The folder itself, or its val and test, if ImageNet's images lie directly in it."""
    if not path.is_dir():
        return []
    folders = [path, *(path / split for split in _SPLITS if (path / split).is_dir())]
    return [found for folder in folders if (found := _detect(folder)) is not None]


def _detect(folder: Path) -> Detection | None:
    with os.scandir(folder) as entries:
        stems = [PurePosixPath(entry.name).stem for entry in entries if is_image_name(entry.name)]
    official = sorted({found for stem in stems if (found := official_split(stem)) is not None})
    wnids = {wnid for stem in stems if (wnid := wnid_of_stem(stem)) is not None}
    if not official and not wnids:
        return None
    dataset = f"ilsvrc{official[0][0]}" if official else dataset_of(wnids)
    # Training images carry no split in their names; those of ILSVRC are its training set wherever they lie.
    splits = tuple(split for _, split in official)
    if wnids and dataset.startswith("ilsvrc"):
        splits = ("train", *splits)
    evidence = f"{len(stems):,} images loose in a folder, such as {min(stems)}"
    return Detection("flat_folder", folder, dataset, ("images",), evidence, splits)


def units(found: Detection, source: str, root: Path) -> Iterator[Unit]:
    """One unit: the folder."""
    file = found.path.relative_to(root).as_posix()
    yield Unit("flat_folder", source, str(root), "" if file == "." else file, found.dataset)


fingerprint = folder_fingerprint
scan = scan_folder
