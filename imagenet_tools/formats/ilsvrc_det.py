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
            train.txt, val.txt, test.txt        ILSVRC2012_val_00000001 1: the number of the line, no label
    ILSVRC2014_DET_train/n01440764/, ILSVRC2013_DET_val/ ...        the archives of 2013 and 2014 unpacked
    ILSVRC2014_DET_bbox_train.tgz, ILSVRC2013_DET_bbox_val.tgz      their boxes, unpacked or not
    devkit/data/det_lists/train_pos_1.txt, train_part_1.txt, train_neg_1.txt    their lists, without labels

The classes in an image are in the table labels. Label set `det` has the classes of its boxes. From the lists,
`det_positive` has the classes all of whose objects are boxed (label 1), `det_partial` those with some boxed (0), and
`det_negative` those that were looked for and are not there (-1). images.wnid is the synset of the folder in
train/ILSVRC2013_train, which is one of ImageNet's and often none of the 200. It is null elsewhere.

The photos called ILSVRC2012_val_* are those of the classification task, with the same numbers: 15,522 of DET's 20,121,
the number of shared photos in the devkit's readme. val2 has 7,681 of them, and 7,519 of these have exactly the box of
the classification task. Their labels differ: the classification task names a breed where DET has a dog. Labels of the
classification task are not given here.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from imagenet_tools.annotations.annotation_files import first_files, is_annotation, scan_xml, task_in
from imagenet_tools.annotations.annotation_rows import AnnotationRows
from imagenet_tools.annotations.image_sets import counted, list_files, scan_lists
from imagenet_tools.catalogue import lists
from imagenet_tools.containers import tar
from imagenet_tools.formats._shared.contract import Tables, gathers, names_in, unit_at
from imagenet_tools.images.folder_scan import folder_files, scan_folder
from imagenet_tools.images.image_rows import ImageRows, is_image_name
from imagenet_tools.images.tar_scan import scan_tar
from imagenet_tools.text import count_of, joined, lacking
from imagenet_tools.units import Detection, FileRange, Labelling, Reads, Unit
from imagenet_tools.wordnet.wnid import is_detection_stem, is_wnid, official_split, task_of

READS = Reads(
    holds=("images", "boxes", "labels"),
    problems={"det_bad_line": "a line of a list of DET that is not an image and 1, 0 or -1"},
)

DATASET = "ilsvrc-det"
_CLASS_LIST = "ilsvrc-det200"  # the published list, by ILSVRC_DET_ID from 1
_N_VAL = 20_121

_TOPS = ("", "ILSVRC", *(f"ILSVRC{year}" for year in range(2013, 2018)))
_KINDS = ("Data", "Annotations", "ImageSets")
_SPLITS = ("", "train", "val", "test")  # folders of the splits, or the path itself
_LIST_PLACES = ("", "devkit/data/det_lists", "data/det_lists", "det_lists")
_LEAF_DEPTH = 3  # of train/ILSVRC2013_train/n01440764 below DET
_LOOKED_AT_FILES = 8

_SPLIT = re.compile(r"(?:^|_)(train|val|test)(?:_|$)")

# Unit.member of a unit that reads no images.
_BOXES = "boxes"
_LABELS = "labels"
_IMAGE_SETS = "image sets"

# The list of a class: the kind of its images if the lines do not say it, and the number of the class among the 200.
_LIST = re.compile(r"train_(?:(pos|part|neg)_)?(\d{1,3})\.txt")
_LABEL_OF_LIST = {"pos": "1", "part": "0", "neg": "-1"}
_LABEL_SETS = {"1": "det_positive", "0": "det_partial", "-1": "det_negative"}

_VIDEO = "an archive of ILSVRC's video task (VID), which is read from a folder"
_VIDEO_ADVICE = "unpack it, and index the folder"


def detect(path: Path) -> list[Detection]:
    """Return what of DET is at a path: images, boxes and lists, one detection each. An archive of VID is named."""
    if not path.is_dir():
        return _detect_archive(path) if tar.is_archive(path) else []
    folders = _folders_of_task(path) or [path / name for name in _SPLITS if _has_images(path / name)]
    detections = [detection for folder in folders for detection in _detect_folder(folder)]
    known = [detection.path for detection in detections]
    listed = [path / place for place in _LIST_PLACES]
    return detections + [_detect_lists(folder) for folder in listed if folder not in known and _lists(folder)]


def _folders_of_task(path: Path) -> list[Path]:
    places = (path, path / "DET", *(path / top / kind / "DET" for top in _TOPS for kind in _KINDS))
    return [folder for folder in places if folder.is_dir() and task_of(folder.absolute()) == "DET"]


def _has_images(folder: Path) -> bool:
    """Return True if images of the detection task are directly in a folder, whatever its name."""
    return folder.is_dir() and any(
        is_image_name(path.name) and is_detection_stem(PurePosixPath(path.name).stem) for path in folder.iterdir()
    )


def _detect_archive(path: Path) -> list[Detection]:
    members = [(PurePosixPath(name), data) for name, data in first_files(path, _LOOKED_AT_FILES)]
    if not members:
        return []
    first = members[0][0]
    boxes = [data for name, data in members if is_annotation(name.name)]
    stated = sorted({task for data in boxes if (task := task_in(data)) is not None})
    task = task_of(PurePosixPath(path.name)) or task_of(first.parent) or next(iter(stated), None)
    if task == "VID":
        return [Detection("ilsvrc_det", path, DATASET, (), _VIDEO, advice=_VIDEO_ADVICE)]
    if task != "DET" or not (boxes or is_image_name(first.name)):
        return []
    holds = ("boxes", "labels") if boxes else ("images",)
    splits = sorted({split for text in (path.name, *first.parts) if (split := _split_of(text))})
    evidence = f"an archive of {holds[0]} of ILSVRC's detection task, the first {first}"
    labels = Labelling("the annotations", "wordnet") if boxes else None
    return [Detection("ilsvrc_det", path, DATASET, holds, evidence, tuple(splits[:1]), labels=labels)]


def _detect_folder(folder: Path) -> list[Detection]:
    """Return the images, the boxes and the lists below a folder of DET."""
    leaves = list(_leaves(folder))
    detections = [
        _detect_leaves(folder, places, kind)
        for kind in ("", _BOXES)
        if (places := [leaf for leaf, leaf_kind in leaves if leaf_kind == kind])
    ]
    return detections + ([_detect_lists(folder)] if _lists(folder) else [])


def _detect_leaves(folder: Path, places: list[Path], kind: str) -> Detection:
    noun = kind or "images"
    splits = {split for place in places if (split := _split_below(folder, place))}
    classes = sum(is_wnid(place.name) for place in places)
    sizes = [(place.name, _count(place)) for place in places if not is_wnid(place.name)]
    parts = [count_of(classes, "synset folder")] if classes else []
    parts += [f"{name} with {n:,}" for name, n in sizes]
    missing = [f"the {split} {noun}" for split in ("train", "val") if split not in splits]
    missing += [lacking(n, _N_VAL, f"validation {noun}") for name, n in sizes if name.endswith("val")]
    holds = ("boxes", "labels") if kind else ("images",)
    by = "the annotations" if kind else "the folders of train, and no others" if classes else ""
    labels = Labelling(by, "wordnet") if by else None
    about = (f"{noun} of ILSVRC's detection task: {', '.join(parts)}", tuple(sorted(splits)), joined(missing), labels)
    return Detection("ilsvrc_det", folder, DATASET, holds, *about)


def _detect_lists(folder: Path) -> Detection:
    names = _lists(folder)
    others = {name: counted(folder / name) for name in names if not _LIST.fullmatch(name)}
    numbered = len(names) - len(others)
    numbered_lists = f"{count_of(numbered, 'list')} of DET's training images by class"
    evidence = numbered_lists if numbered else "lists of DET's images"
    if others:
        evidence += f", {', '.join(others)} ({', '.join(f'{n:,}' for n in others.values())} lines)"
    labels = Labelling("the lists, one a class, by its number", DATASET, "det_id", 1)
    return Detection("ilsvrc_det", folder, DATASET, ("labels",), evidence, ("train",), labels=labels)


def _leaves(folder: Path, depth: int = _LEAF_DEPTH) -> Iterator[tuple[Path, str]]:
    """Yield (folder, "" for images or "boxes"), by name, of folders whose first files are images or annotations."""
    with os.scandir(folder) as entries:
        listed = sorted((entry.name, entry.is_dir()) for entry in entries if not entry.name.startswith("."))
    names = [name for name, is_folder in listed if not is_folder][:_LOOKED_AT_FILES]
    if any(map(is_image_name, names)):
        yield folder, ""
    elif any(map(is_annotation, names)):
        yield folder, _BOXES
    if depth:
        for name, is_folder in listed:
            if is_folder:
                yield from _leaves(folder / name, depth - 1)


def _lists(folder: Path) -> list[str]:
    """Return the lists of DET in a folder: of the splits, then of the classes by number."""
    if not folder.is_dir() or not (folder.name == "det_lists" or task_of(folder.absolute()) == "DET"):
        return []
    names = names_in(folder, lambda name: name.endswith(".txt"))
    numbered = sorted((int(match[2]), match[1] or "", name) for name in names if (match := _LIST.fullmatch(name)))
    plain = [name for name in ("train.txt", "val.txt", "test.txt") if name in names]
    return [*plain, *(name for _, _, name in numbered)]


def _count(folder: Path) -> int:
    return sum(is_image_name(path.name) or is_annotation(path.name) for path in folder.iterdir())


def _split_below(folder: Path, place: Path) -> str | None:
    """Return the split of a folder by its name or the names around it, up to the parent of DET's folder."""
    parts = [folder.parent.name, folder.name, *place.relative_to(folder).parts]
    return next((split for part in reversed(parts) if (split := _split_of(part))), None)


def _split_of(text: str) -> str | None:
    match = _SPLIT.search(PurePosixPath(text).name.partition(".")[0])
    return match[1] if match else None


def units(detection: Detection, source: str, root: Path) -> Iterator[Unit]:
    """Yield one unit for each folder of images or annotations, archive, and list of a class; one for other lists."""
    kind = _BOXES if "boxes" in detection.holds else ""
    if not detection.path.is_dir():
        yield unit_at(detection, source, root, split=detection.splits[0] if detection.splits else None, member=kind)
    elif detection.holds == ("labels",):
        for name in filter(_LIST.fullmatch, _lists(detection.path)):
            yield unit_at(detection, source, root, detection.path / name, split="train", member=_LABELS)
        yield unit_at(detection, source, root, member=_IMAGE_SETS)
    else:
        for leaf, leaf_kind in _leaves(detection.path):
            if leaf_kind == kind:
                wnid = leaf.name if is_wnid(leaf.name) and not kind else None
                split = _split_below(detection.path, leaf)
                yield unit_at(detection, source, root, leaf, split=split, wnid=wnid, member=kind)


def files(unit: Unit) -> Iterator[FileRange]:
    """Yield the files of a unit's folder, its archive or its list; of the lists, also the folders that they list."""
    yield from list_files(unit, "DET") if unit.member == _IMAGE_SETS else folder_files(unit)


def scan(unit: Unit) -> Tables:
    """Yield the images of a unit, or its boxes and labels, and the problems of its files."""
    if unit.member == _IMAGE_SETS:
        yield from scan_lists(unit, "DET")
    elif unit.member == _LABELS:
        yield from _scan_list(unit)
    elif unit.member == _BOXES:
        classes = frozenset(lists.get(_CLASS_LIST).wnids)
        yield from scan_xml(unit, rows=AnnotationRows(unit, label_set="det", classes=classes))
    else:
        scan_images = scan_folder if unit.path.is_dir() else scan_tar
        yield from scan_images(unit, ImageRows(unit, bundled=False))


@gathers(AnnotationRows)
def _scan_list(unit: Unit, rows: AnnotationRows) -> Iterator[None]:
    """Add the labels of the list of one class."""
    match = _LIST.fullmatch(unit.path.name)
    number = int(match[2]) if match else 0
    classes = lists.get(_CLASS_LIST).wnids
    if match is None or not 1 <= number <= len(classes):
        rows.problem("det_bad_line", unit.file, f"a list of class {number}; DET has the classes 1 to {len(classes)}")
        return
    with unit.path.open(encoding="utf-8", errors="backslashreplace") as file:
        for n, line in enumerate(file, 1):
            image, _, label = line.rstrip().partition(" ")
            image_id = image.rpartition("/")[2]
            label_set = _LABEL_SETS.get(_LABEL_OF_LIST.get(match[1] or "", label.strip()))
            if label_set and (is_wnid(image_id[:9]) or official_split(image_id)):
                rows.label(image_id, label_set, classes[number - 1])
            elif line.strip():
                reason = f"{line[:100]!r}; expected an image and its label, 1, 0 or -1"
                rows.problem("det_bad_line", unit.file, reason, f"line {n}")
            yield
