"""The detection task of ILSVRC (DET, 2013 to 2017): its images, its boxes of 200 classes, and its lists of labels.

    ILSVRC/                                     or ILSVRC2015/; also from above it, or from any folder of DET below it
        Data/DET/
            train/ILSVRC2013_train/n01440764/n01440764_10026.JPEG           the photos of ImageNet, by their synset
            train/ILSVRC2013_train_extra0/ILSVRC2013_train_00000001.JPEG    ... extra10: taken as negatives
            train/ILSVRC2014_train_0000/ILSVRC2014_train_00000001.JPEG      ... 0006
            val/ILSVRC2012_val_00000001.JPEG, ILSVRC2013_val_00000001.JPEG
            test/ILSVRC2012_test_00000003.JPEG ...
        Annotations/DET/                        the same folders, *.xml; an image without objects may have none
        ImageSets/DET/
            train_1.txt ... train_200.txt       ILSVRC2013_train/n02672831/n02672831_9812 1
            train.txt, val.txt, test.txt        ILSVRC2012_val_00000001 1: the line, no label
    ILSVRC2014_DET_train/n01440764/, ILSVRC2013_DET_val/ ...        the archives of 2013 and 2014 unpacked
    ILSVRC2014_DET_bbox_train.tgz, ILSVRC2013_DET_bbox_val.tgz      their boxes, unpacked or not
    devkit/data/det_lists/train_pos_1.txt, train_part_1.txt, train_neg_1.txt    their lists, without labels

What is in an image is in the table labels: label set `det` has the classes of its boxes; of the lists, `det_positive`
has the classes all of whose objects are boxed (label 1), `det_partial` those with some boxed (0), `det_negative` those
that were looked for and are not there (-1). images.wnid is the synset of the folder in train/ILSVRC2013_train, one of
ImageNet's and often none of the 200, and null elsewhere.

The photos called ILSVRC2012_val_* are those of the classification task, with the same numbers: 15,522 of DET's 20,121,
as many as the devkit's readme says the tasks share, and of the 7,681 of them in val2, 7,519 have the very box of the
classification task. Their labels are not: its class of an image is a breed where DET's is a dog, and is not given here.
"""

from __future__ import annotations

import os
import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from imagenet_tools.annotations import annotation_files, image_sets
from imagenet_tools.annotations.annotation_files import first_members, is_annotation, scan_xml, task_in
from imagenet_tools.annotations.annotation_rows import AnnotationRows
from imagenet_tools.annotations.image_sets import counted, list_files, scan_lists
from imagenet_tools.catalogue import lists
from imagenet_tools.containers import tar
from imagenet_tools.images import folder_scan, image_scan
from imagenet_tools.images.folder_scan import folder_files, scan_folder
from imagenet_tools.images.image_rows import ImageRows, is_image_name
from imagenet_tools.images.image_scan import scan_tar
from imagenet_tools.units import Detection, FileRange, Labelling, Reads, Unit
from imagenet_tools.wordnet.wnid import is_of_detection, is_wnid, official_split, task_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pyarrow as pa


DATASET = "ilsvrc-det"
_CLASSES = "ilsvrc-det200"  # the published list, by ILSVRC_DET_ID from 1

_TOPS = ("", "ILSVRC/", "ILSVRC2013/", "ILSVRC2014/", "ILSVRC2015/", "ILSVRC2016/", "ILSVRC2017/")
_PLACES = tuple(f"{top}{kind}/DET" for top in _TOPS for kind in ("Data", "Annotations", "ImageSets"))
_LISTS = ("devkit/data/det_lists", "data/det_lists", "det_lists")

_SPLITS = ("train", "val", "test")
_SPLIT = re.compile(r"(?:^|_)(train|val|test)(?:_|$)")
_DEPTH = 3  # of train/ILSVRC2013_train/n01440764 below DET

# What a unit reads, where it reads no images: written into Unit.member.
_BOXES, _LABELS, _IMAGE_SETS = "boxes", "labels", "image sets"

# The list of a class: its number among the 200, and what its images are, where the lines do not say it.
_LIST = re.compile(r"train_(?:(pos|part|neg)_)?(\d{1,3})\.txt")
_SET_OF = {"1": "det_positive", "0": "det_partial", "-1": "det_negative"}
_SET_OF_LIST = {"pos": "det_positive", "part": "det_partial", "neg": "det_negative"}

# What scan() may report, for the table problems.
READS = Reads(
    holds=("images", "boxes", "labels"),
    problems=folder_scan.PROBLEMS
    | image_scan.PROBLEMS
    | annotation_files.PROBLEMS
    | image_sets.PROBLEMS
    | {"det_bad_line": "a line of a list of DET that is not an image and 1, 0 or -1"},
)


def detect(path: Path) -> list[Detection]:
    """What of DET lies at a path: images, boxes and lists are a detection each; VID is named, and not read."""
    if not path.is_dir():
        return _archive(path) if tar.is_tar(path) or tar.is_gzip(path) else []
    places = [path, path / "DET", *(path / place for place in _PLACES)]
    folders = [folder for folder in places if folder.is_dir() and task_of(folder.absolute()) == "DET"]
    if not folders:
        folders = [folder for folder in (path, *(path / split for split in _SPLITS)) if _told_by_images(folder)]
    found = [one for folder in folders for one in _folder(folder)]
    lists = [folder for place in ("", *_LISTS) if _lists(folder := path / place)]
    found += [_of_lists(folder) for folder in lists if all(one.path != folder for one in found)]
    return found + _video(path)


def _told_by_images(folder: Path) -> bool:
    """Whether images of the detection task lie loose in a folder, whatever it is called."""
    if not folder.is_dir():
        return False
    with os.scandir(folder) as entries:
        return any(is_image_name(entry.name) and is_of_detection(PurePosixPath(entry.name).stem) for entry in entries)


def _archive(path: Path) -> list[Detection]:
    named = task_of(PurePosixPath(path.name))
    members = [(PurePosixPath(name), data) for name, data in first_members(path, 8)]
    if not members:
        return []
    first = members[0][0]
    boxes = [(name, data) for name, data in members if is_annotation(name.name)]
    said = {task_in(data) for _, data in boxes} - {None}
    task = named or task_of(first.parent) or next(iter(sorted(said, key=str)), None)
    if task == "VID":
        return [Detection("ilsvrc_det", path, DATASET, (), _VIDEO, advice=_INSTEAD)]
    if task != "DET" or not (boxes or is_image_name(first.name)):
        return []
    holds = ("boxes", "labels") if boxes else ("images",)
    what = "boxes" if boxes else "images"
    splits = sorted({split for text in (path.name, *map(str, first.parts)) if (split := _split_of(text))})
    evidence = f"an archive of {what} of ILSVRC's detection task, the first {first}"
    labels = Labelling("the annotations", "wordnet") if boxes else None
    return [Detection("ilsvrc_det", path, DATASET, holds, evidence, tuple(splits[:1]), labels=labels)]


def _folder(folder: Path) -> list[Detection]:
    """The images and the boxes below a folder of DET, and the lists in it."""
    leaves = list(_leaves(folder))
    found = []
    for kind, what in (("", "images"), (_BOXES, "boxes")):
        places = [leaf for leaf, one in leaves if one == kind]
        if places:
            found.append(_of_leaves(folder, places, kind, what))
    if _lists(folder):
        found.append(_of_lists(folder))
    return found


def _of_leaves(folder: Path, places: list[Path], kind: str, what: str) -> Detection:
    splits = {split for place in places if (split := _split_below(folder, place))}
    classes = sum(is_wnid(place.name) for place in places)
    counts = [f"{classes:,} folders of synsets"] if classes else []
    counts += [f"{place.name} with {_count(place):,}" for place in places if not is_wnid(place.name)]
    evidence = f"{what} of ILSVRC's detection task: {', '.join(counts)}"
    missing = [f"the {split} {what}" for split in ("train", "val") if split not in splits]
    for place in places:
        if place.name.endswith("val") and (n := _count(place)) < _N_VAL:
            missing.append(f"{_N_VAL - n:,} of the {_N_VAL:,} validation {what}")
    holds = ("boxes", "labels") if kind else ("images",)
    by = "the annotations" if kind else "the folders of train, and no others" if classes else ""
    about = (evidence, tuple(sorted(splits)), "; ".join(missing), Labelling(by, "wordnet") if by else None)
    return Detection("ilsvrc_det", folder, DATASET, holds, *about)


_N_VAL = 20_121
_VIDEO = "frames of ILSVRC's video task (VID), which are not read: their names are numbers within a snippet"
_INSTEAD = "name the folder of the still images, of DET or of CLS-LOC"


def _of_lists(folder: Path) -> Detection:
    names = _lists(folder)
    numbered = [name for name in names if _LIST.fullmatch(name)]
    evidence = f"{len(numbered):,} lists of DET's training images by class" if numbered else "lists of DET's images"
    if others := [name for name in names if name not in numbered]:
        evidence += f", {', '.join(others)} ({', '.join(f'{counted(folder / name):,}' for name in others)} lines)"
    labels = Labelling("the lists, one a class, by its number", DATASET, "det_id", 1)
    return Detection("ilsvrc_det", folder, DATASET, ("labels",), evidence, ("train",), labels=labels)


def _video(path: Path) -> list[Detection]:
    """A word on VID, where it is all that lies at a path or beside DET."""
    places = [path, path / "VID", *(path / place.replace("/DET", "/VID") for place in _PLACES)]
    folders = [folder for folder in places if folder.is_dir() and task_of(folder.absolute()) == "VID"]
    return [Detection("ilsvrc_det", folder, DATASET, (), _VIDEO, advice=_INSTEAD) for folder in folders[:1]]


def _leaves(folder: Path, depth: int = _DEPTH) -> Iterator[tuple[Path, str]]:
    """(folder, what is in it) of those that hold images or annotations, by name; what decides is the first file."""
    with os.scandir(folder) as entries:
        listed = sorted((entry.name, entry.is_dir()) for entry in entries if not entry.name.startswith("."))
    names = [name for name, is_dir in listed if not is_dir]
    if any(map(is_image_name, names[:8])):
        yield folder, ""
    elif any(is_annotation(name) for name in names[:8]):
        yield folder, _BOXES
    if depth:
        for name, is_dir in listed:
            if is_dir:
                yield from _leaves(folder / name, depth - 1)


def _lists(folder: Path) -> list[str]:
    """The lists of DET that lie directly in a folder, those of classes in the order of their numbers."""
    if not folder.is_dir() or not (folder.name == "det_lists" or task_of(folder.absolute()) == "DET"):
        return []
    names = [entry.name for entry in os.scandir(folder) if entry.is_file()]
    numbered = sorted((int(found[2]), found[1] or "", name) for name in names if (found := _LIST.fullmatch(name)))
    plain = [name for name in ("train.txt", "val.txt", "test.txt") if name in names]
    return [*plain, *(name for _, _, name in numbered)]


def _count(folder: Path) -> int:
    with os.scandir(folder) as entries:
        return sum(is_image_name(entry.name) or is_annotation(entry.name) for entry in entries)


def _split_below(folder: Path, place: Path) -> str | None:
    """The split of a folder by its own name or those of the folders around it, up to that of DET and one above."""
    parts = [folder.parent.name, folder.name, *place.relative_to(folder).parts]
    return next((split for part in reversed(parts) if (split := _split_of(part))), None)


def _split_of(text: str) -> str | None:
    found = _SPLIT.search(PurePosixPath(text).name.partition(".")[0])
    return found[1] if found else None


def units(found: Detection, source: str, root: Path) -> Iterator[Unit]:
    """One unit a folder of images or of annotations, an archive, or a list of a class; one for the other lists."""
    if not found.holds:
        return
    whole = Unit("ilsvrc_det", source, str(root), "", found.dataset)

    def place(path: Path) -> str:
        file = path.relative_to(root).as_posix()
        return "" if file == "." else file

    if not found.path.is_dir():
        split = found.splits[0] if found.splits else None
        member = _BOXES if "boxes" in found.holds else ""
        yield whole._replace(file=place(found.path), split=split, member=member)
    elif found.holds == ("labels",):
        for name in _lists(found.path):
            if _LIST.fullmatch(name):
                yield whole._replace(file=place(found.path / name), split="train", member=_LABELS)
        yield whole._replace(file=place(found.path), member=_IMAGE_SETS)
    else:
        kind = _BOXES if "boxes" in found.holds else ""
        for leaf, one in _leaves(found.path):
            if one == kind:
                wnid = leaf.name if is_wnid(leaf.name) and not kind else None
                yield whole._replace(file=place(leaf), split=_split_below(found.path, leaf), wnid=wnid, member=kind)


def files(unit: Unit) -> Iterator[FileRange]:
    """Yield the files of a unit's folder, its archive or its list; of the lists, also the folders that they list."""
    yield from list_files(unit, "DET") if unit.member == _IMAGE_SETS else folder_files(unit)


def scan(unit: Unit) -> Iterator[tuple[str, pa.RecordBatch]]:
    """The images of a unit, or its boxes and labels, and what is wrong with its files."""
    if unit.member == _IMAGE_SETS:
        yield from scan_lists(unit, "DET")
    elif unit.member == _LABELS:
        yield from _scan_list(unit)
    elif unit.member == _BOXES:
        yield from scan_xml(unit, label_set="det", classes=frozenset(lists.get(_CLASSES).wnids))
    elif unit.path.is_dir():
        yield from scan_folder(unit, ImageRows(unit, bundled=False))
    else:
        yield from scan_tar(unit, ImageRows(unit, bundled=False))


def _scan_list(unit: Unit) -> Iterator[tuple[str, pa.RecordBatch]]:
    """The labels of one class's list."""
    rows = AnnotationRows(unit)
    found = _LIST.fullmatch(unit.path.name)
    number = int(found[2]) if found else 0
    classes = lists.get(_CLASSES).wnids
    if found is None or not 1 <= number <= len(classes):
        rows.problem("det_bad_line", unit.file, f"a list of class {number}; DET has the classes 1 to {len(classes)}")
    else:
        wnid, all_of = classes[number - 1], _SET_OF_LIST.get(found[1] or "")
        with unit.path.open(encoding="utf-8", errors="backslashreplace") as file:
            for n, line in enumerate(file, 1):
                image, _, label = line.rstrip().partition(" ")
                image_id = image.rpartition("/")[2]
                label_set = all_of or _SET_OF.get(label.strip())
                if label_set is None or not (is_wnid(image_id[:9]) or official_split(image_id)):
                    if line.strip():
                        reason = f"{line[:100]!r}; expected an image and its label, 1, 0 or -1"
                        rows.problem("det_bad_line", unit.file, reason, f"line {n}")
                    continue
                rows.label(image_id, label_set, wnid)
                if rows.full():
                    yield from rows.batches()
    yield from rows.batches()
