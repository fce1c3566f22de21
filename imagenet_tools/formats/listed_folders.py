"""ObjectNet, ImageNet-D and NINCO, in class folders called by words, whose classes a published list tells.

    objectnet-1.0/images/                   also the folder images/ itself
        alarm_clock/0f3a....png             313 folders: 113 are in the list objectnet113, the other 200 have no class
    ImageNet-D/background/                  and texture/, material/
        alarm_clock/...                     113 folders, those of the list imagenet-d
    NINCO/NINCO_OOD_classes/                none of its classes is one of ILSVRC2012's, and no list gives their synsets
        amphiuma_means/...

A folder means its class only in its own data set, so a folder around must be called after it. All images are of test.
Where the list gives a folder one class of ILSVRC2012, its images have it. Where it gives several, as alarm_clock is
analog clock and digital clock, they have no class, and each of the several is a label, in a label set called after the
list. The images of ImageNet-D are called by their paths, so that equal names in two folders stay apart.

Sources: the lists, see data/lists.toml; for the folders, the authors' evaluation of ImageNet-D (its three subsets) and
public loaders of NINCO. No copy of these three sets was at hand.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from imagenet_tools.annotations.annotation_rows import AnnotationRows
from imagenet_tools.catalogue import lists
from imagenet_tools.catalogue.releases import other_set
from imagenet_tools.formats._shared.contract import Tables, names_in, unit_at
from imagenet_tools.images.class_folders import image_names
from imagenet_tools.images.folder_scan import folder_files, scan_folder
from imagenet_tools.images.image_rows import ImageRows
from imagenet_tools.text import count_of, lacking
from imagenet_tools.units import Detection, FileRange, Labelling, Reads, Unit
from imagenet_tools.wordnet.wnid import wnid_of_folder

READS = Reads(holds=("images", "labels"))

_SPLIT = "test"


class _Set(NamedTuple):
    """A data set in folders called by words."""

    title: str
    listed: str  # the published list that has the classes of the folders; "" for none
    homes: tuple[str, ...]  # folders that hold the class folders
    n_folders: int  # class folders in each of them
    by_path: bool = False  # its images are called by their paths


_SETS = {
    "objectnet": _Set("ObjectNet", "objectnet113", ("images",), 313),
    "imagenet-d": _Set("ImageNet-D", "imagenet-d", ("background", "texture", "material"), 113, by_path=True),
    "ninco": _Set("NINCO", "", ("NINCO_OOD_classes",), 64),
}


def detect(path: Path) -> list[Detection]:
    """Return the class folders in a folder called after one of the sets, or in the folders that the set has."""
    dataset = _dataset(path) if path.is_dir() else ""
    homes = _homes(path, dataset) if dataset else []
    if not homes:
        return []
    known = _SETS[dataset]
    folders = [folder for home in homes for folder in _folders(home)]
    n_listed = sum(folder.name in _classes(known.listed) for folder in folders)
    if known.listed and not n_listed:
        return []
    listed = f"{n_listed:,} of them in the list {known.listed}" if known.listed else "whose synsets no list gives"
    evidence = f"{count_of(len(folders), 'class folder')} called by words, {listed}: {known.title}, as its name says"
    n_expected = known.n_folders * (len(homes) if path in homes else len(known.homes))
    missing = lacking(len(folders), n_expected, "class folders")
    labels = Labelling(f"class folders, by the list {known.listed}", "ilsvrc2012") if known.listed else None
    holds = ("images", "labels") if known.listed else ("images",)
    return [Detection("listed_folders", path, dataset, holds, evidence, (_SPLIT,), missing, labels)]


def _dataset(path: Path) -> str:
    """Return the set that a folder, or the folder around one of its homes, is called after; "" for none."""
    folder = path.absolute()
    if (own := other_set(folder.name)) in _SETS:
        return own or ""
    around = other_set(folder.parent.name) or ""
    return around if around in _SETS and folder.name in _SETS[around].homes else ""


def _homes(path: Path, dataset: str) -> list[Path]:
    """Return the folders of class folders at a path: those that the data set has, or the path itself."""
    homes = [home for name in _SETS[dataset].homes if (home := path / name).is_dir() and _folders(home)]
    is_home = bool(_SETS[dataset].listed) or path.absolute().name in _SETS[dataset].homes
    return homes or ([path] if is_home and _folders(path) else [])


def _folders(home: Path) -> list[Path]:
    """Return the folders with images in a folder; not those called by wnids, which are an image_folder."""
    names = names_in(home, lambda name: not name.startswith(".") and not wnid_of_folder(name), folders=True)
    return [home / name for name in sorted(names) if image_names(home / name, 1)]


@functools.cache
def _classes(listed: str) -> dict[str, tuple[str, ...]]:
    """Return the classes of ILSVRC2012 that a list gives each folder."""
    return {category.name: category.members for category in lists.get(listed).categories} if listed else {}


def units(detection: Detection, source: str, root: Path) -> Iterator[Unit]:
    """Yield one unit for each class folder."""
    dataset = _dataset(detection.path)
    known = _SETS[dataset]
    for home in _homes(detection.path, dataset):
        for folder in _folders(home):
            members = _classes(known.listed).get(folder.name, ())
            wnid = members[0] if len(members) == 1 else None
            yield unit_at(detection, source, root, folder, split=_SPLIT, wnid=wnid, numbers=dataset)


def files(unit: Unit) -> Iterator[FileRange]:
    """Yield the files of a class folder."""
    return folder_files(unit, deep=False)


def scan(unit: Unit) -> Tables:
    """Yield the images of a class folder, their labels if the list gives it several classes, and problems."""
    known = _SETS[unit.numbers]
    members = _classes(known.listed).get(unit.path.name, ())
    labels = AnnotationRows(unit)
    prefix = f"{unit.path.parent.name}/{unit.path.name}/" if known.by_path else ""
    for table, batch in scan_folder(unit, ImageRows(unit, prefix=prefix), deep=False):
        yield table, batch
        for image_id in batch["image_id"].to_pylist() if table == "images" and len(members) > 1 else ():
            for wnid in members:
                labels.label(image_id, known.listed, wnid)
    yield from labels.batches()
