"""A folder with images directly in it: ILSVRC's val and test folders, or any n01440764_*.JPEG.

val/ILSVRC2012_val_00000001.JPEG ...        as in the tar or Kaggle's tree; also as <root>/val
test/ILSVRC2012_test_00000001.JPEG ...
n01440764/n01440764_10026.JPEG ...          one class folder alone, with the folders below it
some/folder/n01440764_10026.JPEG ...        the name gives the class
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from imagenet_tools.formats._shared.contract import unit_at
from imagenet_tools.images.class_folders import find_table, split_folders
from imagenet_tools.images.detection import (
    VALIDATION_LABELS,
    are_tiny_imagenet,
    folder_names,
    identify_dataset,
    is_severity_folder,
    missing_images,
)
from imagenet_tools.images.folder_scan import folder_files, scan_folder
from imagenet_tools.images.image_rows import is_image_name
from imagenet_tools.text import count_of
from imagenet_tools.units import Detection, Labelling, Reads, Unit
from imagenet_tools.wordnet.wnid import (
    is_detection_stem,
    official_split,
    path_facts,
    split_of_folder,
    task_of,
    wnid_of_folder,
    wnid_of_stem,
)
from imagenet_tools.wordnet.wordnet import find_row

READS = Reads(loose=True, holds=("images",))


def detect(path: Path) -> list[Detection]:
    """Return the folder itself, or its val and test, if ImageNet's images are directly in it."""
    if not path.is_dir():
        return []
    folders = [path, *(path / name for name in split_folders(path))]
    return [detection for folder in folders if (detection := _detect_folder(folder)) is not None]


def _detect_folder(folder: Path) -> Detection | None:
    names = sorted(path.name for path in folder.iterdir() if is_image_name(path.name))
    stems = [path_facts(name).stem for name in names]
    # hf_imagefolder reads a folder with a table. One class of ImageNet-C has the names of ILSVRC2012's images.
    if (
        is_severity_folder(folder.absolute().parent)
        or task_of(folder.absolute())
        or any(map(is_detection_stem, stems))
        or find_table(folder)[0]
    ):
        return None
    official = sorted(set(filter(None, map(official_split, stems))))
    wnids = {wnid for stem in stems if (wnid := wnid_of_stem(stem)) is not None}
    if not official and not any(find_row(wnid) is not None for wnid in wnids):
        return None
    verdict = identify_dataset(
        wnids, names, folder_names(folder.absolute()), tiny=lambda: are_tiny_imagenet([folder / name for name in names])
    )
    dataset = f"ilsvrc{official[0][0]}" if official else verdict.dataset
    # Names of training images have no split. Those of ILSVRC are its training set if no folder gives another split.
    split = _split_of(folder) or ("train" if dataset.startswith("ilsvrc") else None)
    splits = tuple(dict.fromkeys([*([split] if wnids and split else []), *(split for _, split in official)]))
    evidence = f"{count_of(len(names), 'image')} loose in a folder, such as {names[0]}"
    missing = missing_images(dataset, splits, len(names))
    labels = Labelling("the images' names" if wnids else VALIDATION_LABELS, dataset) if splits != ("test",) else None
    readings = () if official else verdict.readings
    return Detection("flat_folder", folder, dataset, ("images",), evidence, splits, missing, labels, readings)


def units(detection: Detection, source: str, root: Path) -> Iterator[Unit]:
    """Yield one unit: the folder."""
    yield unit_at(detection, source, root, split=_split_of(detection.path), wnid=wnid_of_folder(detection.path.name))


def _split_of(folder: Path) -> str | None:
    """Return the split that a folder is named after, or the folder around a class folder."""
    return split_of_folder((folder.absolute().parent if wnid_of_folder(folder.name) else folder).name)


files = folder_files
scan = scan_folder
