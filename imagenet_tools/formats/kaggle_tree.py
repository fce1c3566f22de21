"""The tree of ILSVRC2012's images that ILSVRC has since 2015, and Kaggle: images, boxes and lists apart.

    imagenet-object-localization-challenge/
        ILSVRC/                             from here, from above, or, without the lists, from Data/CLS-LOC
            Data/CLS-LOC/
                train/n01440764/n01440764_10026.JPEG
                val/ILSVRC2012_val_00000001.JPEG    flat
                test/ILSVRC2012_test_00000001.JPEG  flat
            Annotations/CLS-LOC/            read by box_xml
            ImageSets/CLS-LOC/              train_cls.txt, train_loc.txt, val.txt, test.txt: held against the folders
        LOC_train_solution.csv ...          read by loc_csv; where the annotations have the same boxes, those are taken
    imagenet_object_localization_patched2019.tar.gz     all of it but the csv in one gzip stream: named, not read

The number behind an image in a list is that of the line, and no label.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from imagenet_tools.annotations.annotation_files import first_members
from imagenet_tools.annotations.image_sets import counted, lists_fingerprint, scan_lists
from imagenet_tools.containers import tar
from imagenet_tools.images.class_folders import class_folders
from imagenet_tools.images.image_rows import is_image_name
from imagenet_tools.images.image_scan import folder_fingerprint, scan_folder
from imagenet_tools.units import Detection, Labelling, Unit

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pyarrow as pa

_TASK = "CLS-LOC"
_TOPS = ("", "ILSVRC", "ILSVRC2015", "ILSVRC2016", "ILSVRC2017")
_PUBLISHED = {"train": 1_000, "val": 50_000, "test": 100_000}  # classes of train, images of the others
_LISTED = {"train_cls.txt": "train", "val.txt": "val", "test.txt": "test"}
_IMAGE_SETS = "image sets"  # Unit.member, where the lists are meant

_ADVICE = (
    "unpack it once (tar xzf; some 170 GB) and index the folder ILSVRC in it: in one gzip stream nothing can be read "
    "without what comes before"
)


def detect(path: Path) -> list[Detection]:
    """The images of a tree, with the lists beside them; an archive of the whole tree is named."""
    if not path.is_dir():
        return _archive(path) if tar.is_gzip(path) or tar.is_tar(path) else []
    return [found for top in _TOPS if (found := _tree(path / top)) is not None]


def _archive(path: Path) -> list[Detection]:
    names = [name for name, _ in first_members(path, 1)]
    if not names or f"/{_TASK}/" not in names[0] or names[0].split("/")[0] not in _TOPS:
        return []
    form = "a gzip stream" if tar.is_gzip(path) else "a tar"
    evidence = f"Kaggle's whole tree of ILSVRC2012 in {form} of {path.stat().st_size:,} bytes, the first {names[0]}"
    return [Detection("kaggle_tree", path, "ilsvrc2012", (), evidence, advice=_ADVICE)]


def _tree(home: Path) -> Detection | None:
    data, sets = home / "Data" / _TASK, home / "ImageSets" / _TASK
    counts = _counts(data)
    if not counts:
        return None
    what = {"train": "class folders", "val": "images", "test": "images"}
    evidence = "Kaggle's tree of ILSVRC2012: " + ", ".join(
        f"{name} with {n:,} {what[name]}" for name, n in counts.items()
    )
    lists = {name: counted(sets / name) for name in (*_LISTED, "train_loc.txt") if (sets / name).is_file()}
    if lists:
        evidence += "; ImageSets list " + ", ".join(f"{n:,} in {name}" for name, n in lists.items())
    missing = [f"{split}/" for split in _PUBLISHED if split not in counts]
    for split, n in counts.items():
        if n < _PUBLISHED[split]:
            of = "classes" if split == "train" else f"images of {split}"
            missing.append(f"{_PUBLISHED[split] - n:,} of the {_PUBLISHED[split]:,} {of}")
    labels = Labelling("class folders, and the official labels of the validation images, bundled", "ilsvrc2012")
    splits = tuple(counts)
    return Detection("kaggle_tree", data, "ilsvrc2012", ("images",), evidence, splits, "; ".join(missing), labels)


def _counts(data: Path) -> dict[str, int]:
    """The class folders of train, and the images of val and test, where there are any."""
    found: dict[str, int] = {}
    for split in _PUBLISHED:
        folder = data / split
        if folder.is_dir():
            with os.scandir(folder) as entries:
                flat = sum(is_image_name(entry.name) for entry in entries) if split != "train" else 0
            if n := flat or len(class_folders(folder)):
                found[split] = n
    return found


def units(found: Detection, source: str, root: Path) -> Iterator[Unit]:
    """One unit a class folder of train, one a flat folder, and one for the lists."""
    if not found.holds:
        return
    whole = Unit("kaggle_tree", source, str(root), "", found.dataset)

    def place(path: Path) -> str:
        return path.relative_to(root).as_posix()

    for split in found.splits:
        folder = found.path / split
        wnids = class_folders(folder)
        for wnid in wnids:
            yield whole._replace(file=place(folder / wnid), split=split, wnid=wnid)
        if not wnids:
            yield whole._replace(file=place(folder), split=split)
    sets = found.path.parent.parent / "ImageSets" / _TASK
    if sets.is_dir():
        yield whole._replace(file=place(sets), member=_IMAGE_SETS)


def fingerprint(unit: Unit) -> str:
    """Name, size and time of what a unit reads."""
    return lists_fingerprint(unit, _TASK) if unit.member == _IMAGE_SETS else folder_fingerprint(unit)


def scan(unit: Unit) -> Iterator[tuple[str, pa.RecordBatch]]:
    """The images of a unit's folder; of the lists, what they and the folders do not have in common."""
    yield from scan_lists(unit, _TASK) if unit.member == _IMAGE_SETS else scan_folder(unit)
