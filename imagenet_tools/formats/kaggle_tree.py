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
    imagenet_object_localization_patched2019.tar.gz     all of it but the csv in one gzip stream, or gunzipped: read in
                                            one pass, images, annotations and the lengths of the lists

The number behind an image in a list is that of the line, and no label.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from imagenet_tools.annotations import annotation_files, image_sets
from imagenet_tools.annotations.annotation import MAX_BYTES
from imagenet_tools.annotations.annotation_files import first_members, is_annotation
from imagenet_tools.annotations.annotation_rows import AnnotationRows
from imagenet_tools.annotations.image_sets import counted, list_files, scan_lists
from imagenet_tools.containers import tar
from imagenet_tools.images import folder_scan, image_scan
from imagenet_tools.images.class_folders import class_folders
from imagenet_tools.images.folder_scan import folder_files, scan_folder
from imagenet_tools.images.image_rows import is_image_name
from imagenet_tools.images.image_scan import scan_tar
from imagenet_tools.units import Detection, FileRange, Labelling, Reads, Unit
from imagenet_tools.wordnet.wnid import wnid_of_folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pyarrow as pa

    from imagenet_tools.containers.tar import Member
    from imagenet_tools.images.jpeg import More

READS = Reads(
    holds=("images", "boxes"),
    problems=folder_scan.PROBLEMS | image_scan.PROBLEMS | annotation_files.PROBLEMS | image_sets.PROBLEMS,
)

# A unit of a folder that is called by no class is read without the folders in it.
LOOSE = True

_TASK = "CLS-LOC"
_TOPS = ("", "ILSVRC", "ILSVRC2015", "ILSVRC2016", "ILSVRC2017")
_PUBLISHED = {"train": 1_000, "val": 50_000, "test": 100_000}  # classes of train, images of the others
_LISTED = {"train_cls.txt": "train", "val.txt": "val", "test.txt": "test"}
_IMAGE_SETS = "image sets"  # Unit.member, where the lists are meant

# What each list is a list of.
_OF_LIST = {
    "train_cls.txt": ("images of train",),
    "train_loc.txt": ("annotations of train",),
    "val.txt": ("images of val", "annotations of val"),
    "test.txt": ("images of test",),
}
_CHUNK = 1 << 20

_ADVICE = (
    "gunzip it once and index the tar, or unpack it: each image is then read at once; in the stream it costs the "
    "inflating of some megabytes before it"
)
_LABELS = Labelling("class folders, and the official labels of the validation images, bundled", "ilsvrc2012")


def detect(path: Path) -> list[Detection]:
    """The images of a tree, with the lists beside them; or an archive of the whole tree, annotations with it."""
    if not path.is_dir():
        return _archive(path) if tar.is_gzip(path) or tar.is_tar(path) else []
    return [found for top in _TOPS if (found := _tree(path / top)) is not None]


def _archive(path: Path) -> list[Detection]:
    names = [name for name, _ in first_members(path, 1)]
    if not names or f"/{_TASK}/" not in names[0] or names[0].split("/")[0] not in _TOPS:
        return []
    form, advice = ("a gzip stream", _ADVICE) if tar.is_gzip(path) else ("a tar", "")
    evidence = f"Kaggle's whole tree of ILSVRC2012 in {form} of {path.stat().st_size:,} bytes, the first {names[0]}"
    holds = ("images", "boxes")
    return [Detection("kaggle_tree", path, "ilsvrc2012", holds, evidence, labels=_LABELS, advice=advice)]


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
    return Detection(
        "kaggle_tree", data, "ilsvrc2012", ("images",), evidence, tuple(counts), "; ".join(missing), _LABELS
    )


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
    """One unit a class folder of train, one a flat folder, and one for the lists; or one for the archive."""
    whole = Unit("kaggle_tree", source, str(root), "", found.dataset)

    def place(path: Path) -> str:
        return path.relative_to(root).as_posix()

    if not found.path.is_dir():
        yield whole._replace(file=place(found.path))
        return
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


def files(unit: Unit) -> Iterator[FileRange]:
    """Yield the files of a unit's folder, its archive or its list; of the lists, also the folders that they list."""
    yield from list_files(unit, _TASK) if unit.member == _IMAGE_SETS else folder_files(unit)


def scan(unit: Unit) -> Iterator[tuple[str, pa.RecordBatch]]:
    """The images of a unit's folder, or of an archive with its boxes; what lists and folders do not have in common."""
    if unit.member == _IMAGE_SETS:
        yield from scan_lists(unit, _TASK)
    elif unit.path.is_dir():
        yield from scan_folder(unit)
    else:
        yield from _scan_archive(unit)


def _scan_archive(unit: Unit) -> Iterator[tuple[str, pa.RecordBatch]]:
    """The images and the boxes of an archive of the whole tree, and whether they are as many as its lists name."""
    beside = _Beside(unit)
    for table, batch in scan_tar(unit, beside=beside):
        if table == "images":
            beside.there.update(f"images of {split}" for split in batch["split"].to_pylist())
        yield table, batch
    beside.compare()
    yield from beside.batches()


class _Beside:
    """The annotations in an archive of the whole tree, and the lengths of its lists: held to what is `there`."""

    def __init__(self, unit: Unit):
        self._rows, self._file = AnnotationRows(unit), unit.file
        self.full, self.batches = self._rows.full, self._rows.batches
        self.there: Counter[str] = Counter()
        self._listed: dict[str, int] = {}

    def take(self, member: Member, read: More) -> bool:
        """Take an annotation or a list."""
        place = PurePosixPath(member.name)
        if is_annotation(place.name):
            split = place.parent.name if place.parent.name in _PUBLISHED else "train"
            self.there[f"annotations of {split}"] += 1
            if member.size > MAX_BYTES:
                reason = f"the file has {member.size:,} bytes; at most {MAX_BYTES:,} are read"
                self._rows.problem("xml_too_large", self._file, reason, member.name, place.stem)
            else:
                folder = wnid_of_folder(place.parent.name)
                data = read(0, member.size)
                self._rows.xml(data, place.stem, folder=folder, file=self._file, member=member.name)
            return True
        if place.name in _OF_LIST and place.parent.name == _TASK:
            starts = range(0, member.size, _CHUNK)
            ends = sum(read(start, min(_CHUNK, member.size - start)).count(b"\n") for start in starts)
            self._listed[place.name] = ends + (member.size > 0 and read(member.size - 1, 1) != b"\n")
            return True
        return False

    def compare(self) -> None:
        """Report the lists whose lengths are not the numbers of what they list."""
        for name, n in sorted(self._listed.items()):
            for what in _OF_LIST[name]:
                if self.there[what] not in (0, n):  # what was left out as a whole was not forgotten
                    code = "listed_absent" if n > self.there[what] else "unlisted"
                    reason = f"{name} lists {n:,} {what}, and the archive holds {self.there[what]:,}"
                    self._rows.problem(code, self._file, reason, name)
