"""The tree of ILSVRC2012's images that ILSVRC has since 2015, and Kaggle: images, boxes and lists apart.

    imagenet-object-localization-challenge/
        ILSVRC/                             from here, from above, or, without the lists, from Data/CLS-LOC
            Data/CLS-LOC/
                train/n01440764/n01440764_10026.JPEG
                val/ILSVRC2012_val_00000001.JPEG    flat
                test/ILSVRC2012_test_00000001.JPEG  flat
            Annotations/CLS-LOC/            box_xml reads them
            ImageSets/CLS-LOC/              train_cls.txt, train_loc.txt, val.txt, test.txt: compared with the folders
        LOC_train_solution.csv ...          loc_csv reads it; annotations with the same boxes are taken in its place
    imagenet_object_localization_patched2019.tar.gz     all of it except the csv in one gzip stream, or gunzipped: read
                                            in one pass, images, annotations and the lengths of the lists

The number after an image in a list is the number of the line, and no label.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from imagenet_tools.annotations.annotation import MAX_BYTES
from imagenet_tools.annotations.annotation_files import first_files, is_annotation
from imagenet_tools.annotations.annotation_rows import AnnotationRows
from imagenet_tools.annotations.image_sets import counted, list_files, scan_lists
from imagenet_tools.containers import tar
from imagenet_tools.containers.tar import Member
from imagenet_tools.formats._shared.contract import Tables, unit_at
from imagenet_tools.images.class_folders import class_folders
from imagenet_tools.images.folder_scan import folder_files, scan_folder
from imagenet_tools.images.image_rows import is_image_name
from imagenet_tools.images.jpeg import More
from imagenet_tools.images.tar_scan import scan_tar
from imagenet_tools.text import count_of, joined, lacking
from imagenet_tools.units import Detection, FileRange, Labelling, Reads, Unit
from imagenet_tools.wordnet.wnid import wnid_of_folder

READS = Reads(loose=True, holds=("images", "boxes"))

_TASK = "CLS-LOC"
_TOPS = ("", "ILSVRC", "ILSVRC2015", "ILSVRC2016", "ILSVRC2017")
_PUBLISHED = {"train": 1_000, "val": 50_000, "test": 100_000}  # classes of train, images of the others
_IMAGE_SETS = "image sets"  # Unit.member of the lists

# The files that each list names.
_LISTS = {
    "train_cls.txt": ("images of train",),
    "val.txt": ("images of val", "annotations of val"),
    "test.txt": ("images of test",),
    "train_loc.txt": ("annotations of train",),
}
_CHUNK_BYTES = 1 << 20

_ADVICE = (
    "gunzip it once and index the tar, or unpack it: each image is then read at once; in the stream it costs the "
    "inflating of some megabytes before it"
)
_LABELS = Labelling("class folders, and the official labels of the validation images, bundled", "ilsvrc2012")


def detect(path: Path) -> list[Detection]:
    """Return the images of a tree, with the lists beside them; or an archive of the whole tree, with annotations."""
    if not path.is_dir():
        return _detect_archive(path) if tar.is_archive(path) else []
    return [detection for top in _TOPS if (detection := _detect_tree(path / top)) is not None]


def _detect_archive(path: Path) -> list[Detection]:
    names = [name for name, _ in first_files(path, 1)]
    if not names or f"/{_TASK}/" not in names[0] or names[0].split("/")[0] not in _TOPS:
        return []
    form, advice = ("a gzip stream", _ADVICE) if tar.is_gzip(path) else ("a tar", "")
    evidence = f"Kaggle's whole tree of ILSVRC2012 in {form} of {path.stat().st_size:,} bytes, the first {names[0]}"
    holds = ("images", "boxes")
    return [Detection("kaggle_tree", path, "ilsvrc2012", holds, evidence, labels=_LABELS, advice=advice)]


def _detect_tree(home: Path) -> Detection | None:
    data, sets = home / "Data" / _TASK, home / "ImageSets" / _TASK
    counts = {split: n for split in _PUBLISHED if (n := _count(data / split, split))}
    if not counts:
        return None
    parts = [
        f"{split} with {count_of(n, 'class folder' if split == 'train' else 'image')}" for split, n in counts.items()
    ]
    lists = [f"{counted(sets / name):,} in {name}" for name in _LISTS if (sets / name).is_file()]
    evidence = f"Kaggle's tree of ILSVRC2012: {', '.join(parts)}"
    if lists:
        evidence += f"; ImageSets list {', '.join(lists)}"
    missing = [f"{split}/" for split in _PUBLISHED if split not in counts]
    missing += [
        lacking(n, _PUBLISHED[split], "classes" if split == "train" else f"images of {split}")
        for split, n in counts.items()
    ]
    about = (evidence, tuple(counts), joined(missing), _LABELS)
    return Detection("kaggle_tree", data, "ilsvrc2012", ("images",), *about)


def _count(folder: Path, split: str) -> int:
    """Return the number of images in the folder of val or test, or of class folders in that of train."""
    if not folder.is_dir():
        return 0
    images = sum(is_image_name(path.name) for path in folder.iterdir()) if split != "train" else 0
    return images or len(class_folders(folder))


def units(detection: Detection, source: str, root: Path) -> Iterator[Unit]:
    """Yield one unit for each class folder of train and each flat folder, one for the lists; or one for the archive."""
    if not detection.path.is_dir():
        yield unit_at(detection, source, root)
        return
    for split in detection.splits:
        wnids = class_folders(detection.path / split)
        for wnid in wnids:
            yield unit_at(detection, source, root, detection.path / split / wnid, split=split, wnid=wnid)
        if not wnids:
            yield unit_at(detection, source, root, detection.path / split, split=split)
    sets = detection.path.parent.parent / "ImageSets" / _TASK
    if sets.is_dir():
        yield unit_at(detection, source, root, sets, member=_IMAGE_SETS)


def files(unit: Unit) -> Iterator[FileRange]:
    """Yield the files of a unit's folder, its archive or its list; of the lists, also the folders that they list."""
    yield from list_files(unit, _TASK) if unit.member == _IMAGE_SETS else folder_files(unit)


def scan(unit: Unit) -> Tables:
    """Yield the images of a folder, or of an archive with its boxes; or the differences between lists and folders."""
    if unit.member == _IMAGE_SETS:
        yield from scan_lists(unit, _TASK)
    elif unit.path.is_dir():
        yield from scan_folder(unit)
    else:
        yield from _scan_archive(unit)


def _scan_archive(unit: Unit) -> Tables:
    """Yield the images and the boxes of an archive of the whole tree, and the lists that name more or fewer files."""
    rows = _TreeRows(unit)
    for table, batch in scan_tar(unit, beside=rows):
        if table == "images":
            rows.present.update(f"images of {split}" for split in batch["split"].to_pylist())
        yield table, batch
    # Report the lists whose lengths differ from the numbers of the files that they name.
    for name, n in sorted(rows.listed.items()):
        for noun in _LISTS[name]:
            present = rows.present[noun]
            if present not in (0, n):  # 0: the archive was made without these files
                code = "listed_absent" if n > present else "unlisted"
                reason = f"{name} lists {n:,} {noun}, and the archive holds {present:,}"
                rows.problem(code, unit.file, reason, name)
    yield from rows.batches()


class _TreeRows(AnnotationRows):
    """The rows of the annotations in an archive of the whole tree.

    Attributes:
        present: The numbers of images and annotations by split.
        listed: The number of lines of each list.
    """

    def __init__(self, unit: Unit):
        super().__init__(unit)
        self._file = unit.file
        self.present: Counter[str] = Counter()
        self.listed: dict[str, int] = {}

    def take(self, member: Member, read: More) -> bool:
        """Take an annotation or a list; return False for any other file."""
        place = PurePosixPath(member.name)
        folder = place.parent.name
        if is_annotation(place.name):
            self.present[f"annotations of {folder if folder in _PUBLISHED else 'train'}"] += 1
            data = read(0, min(member.size, MAX_BYTES + 1))
            self.xml(data, place.stem, folder=wnid_of_folder(folder), file=self._file, member=member.name)
        elif place.name in _LISTS and folder == _TASK:
            starts = range(0, member.size, _CHUNK_BYTES)
            lines = sum(read(start, min(_CHUNK_BYTES, member.size - start)).count(b"\n") for start in starts)
            has_open_end = member.size > 0 and read(member.size - 1, 1) != b"\n"
            self.listed[place.name] = lines + has_open_end
        else:
            return False
        return True
