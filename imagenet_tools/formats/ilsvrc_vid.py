"""The frames of ILSVRC's task of detection in videos (VID, 2015 to 2017), and their boxes of 30 classes.

    ILSVRC2015/                                 or ILSVRC/; also from above it, or from any folder of VID below it
        Data/VID/
            train/ILSVRC2015_VID_train_0000/ILSVRC2015_train_00000000/000000.JPEG ...       to _0003; a snippet a folder
            val/ILSVRC2015_val_00000000/000000.JPEG ...
            test/ILSVRC2015_test_00000000/000000.JPEG ...
            snippets/train/...                  the same as .mp4; not read
        Annotations/VID/                        the same folders, 000000.xml: name, trackid, bndbox, occluded, generated
        ImageSets/VID/                          train_1.txt ... train_30.txt, val.txt, test.txt; not read

Frames are called by numbers within their snippet, so that a frame has the id ILSVRC2015_train_00000000/000000 and a
photo of its own. In SQL, split_part(image_id, '/', 1) is the snippet. As in DET, images.wnid is null, and the classes
of the boxes in a frame are in the table labels, in label set `vid`. The number of a track is not kept, nor whether an
object is occluded or its box generated between two others.

Source: the readme of the devkit of ILSVRC2015.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from imagenet_tools.annotations.annotation_files import is_annotation, scan_xml
from imagenet_tools.annotations.annotation_rows import AnnotationRows
from imagenet_tools.catalogue import lists
from imagenet_tools.formats._shared.contract import Tables, names_in, unit_at
from imagenet_tools.images.class_folders import image_names
from imagenet_tools.images.folder_scan import folder_files, scan_folder
from imagenet_tools.images.image_rows import ImageRows
from imagenet_tools.text import count_of, joined, lacking
from imagenet_tools.units import Detection, Labelling, Reads, Unit
from imagenet_tools.wordnet.wnid import task_of

_N_CLASSES = 30  # ImageSets/VID has a list of training snippets for each
_SNIPPETS = {"train": 3_862, "val": 555, "test": 937}

READS = Reads(
    holds=("images", "boxes", "labels"),
    beside=frozenset(f"{name}.txt" for name in (*_SNIPPETS, *(f"train_{n}" for n in range(1, _N_CLASSES + 1)))),
)

DATASET = "ilsvrc-vid"
_TOPS = ("", "ILSVRC", *(f"ILSVRC{year}" for year in range(2015, 2018)))
_PARTS = re.compile(r"train|val|test|ILSVRC20\d\d_VID_train_\d{4}")  # folders around those of snippets
_SNIPPET = re.compile(r"ILSVRC20\d\d_(train|val|test)_\d{8}")

_BOXES = "boxes"  # Unit.member of a unit that reads no images


def detect(path: Path) -> list[Detection]:
    """Return the frames and the boxes at a path, one detection each."""
    if not path.is_dir():
        return []
    places = (path, path / "VID", *(path / top / kind / "VID" for top in _TOPS for kind in ("Data", "Annotations")))
    folders = [folder for folder in places if folder.is_dir() and task_of(folder.absolute()) == "VID"]
    return [found for folder in folders for kind in ("", _BOXES) for found in _detect_kind(folder, kind)]


def _detect_kind(folder: Path, kind: str) -> list[Detection]:
    snippets = [snippet for snippet in _snippets(folder) if _holds(snippet, kind)]
    if not snippets:
        return []
    n_of = {split: sum(_split_of(snippet) == split for snippet in snippets) for split in _SNIPPETS}
    counts = [f"{split} with {count_of(n, 'snippet')}" for split, n in n_of.items() if n]
    evidence = f"{kind or 'frames'} of ILSVRC's videos (VID): {', '.join(counts)}, {snippets[0].name} first"
    missing = joined(lacking(n, _SNIPPETS[split], f"snippets of {split}") for split, n in n_of.items() if n)
    splits = tuple(split for split, n in n_of.items() if n)
    holds = ("boxes", "labels") if kind else ("images",)
    labels = Labelling("the annotations", "wordnet") if kind else None
    return [Detection("ilsvrc_vid", folder, DATASET, holds, evidence, splits, missing, labels)]


def _snippets(folder: Path) -> list[Path]:
    """Return the folders of snippets at or below a folder of VID, by name."""
    if _SNIPPET.fullmatch(folder.absolute().name):
        return [folder]
    names = names_in(folder, lambda name: _SNIPPET.fullmatch(name) or _PARTS.fullmatch(name), folders=True)
    return [snippet for name in names for snippet in _snippets(folder / name)]


def _holds(snippet: Path, kind: str) -> bool:
    """Return True if a snippet has frames, or with kind "boxes" annotations."""
    return bool(names_in(snippet, is_annotation)) if kind else bool(image_names(snippet, 1))


def _split_of(snippet: Path) -> str:
    match = _SNIPPET.fullmatch(snippet.absolute().name)
    return match[1] if match else ""


def units(detection: Detection, source: str, root: Path) -> Iterator[Unit]:
    """Yield one unit for each snippet: its frames or its boxes."""
    kind = _BOXES if "boxes" in detection.holds else ""
    for snippet in _snippets(detection.path):
        if _holds(snippet, kind):
            yield unit_at(detection, source, root, snippet, split=_split_of(snippet), member=kind)


files = folder_files


def scan(unit: Unit) -> Tables:
    """Yield the frames of a snippet, or their boxes and labels, and the problems of its files."""
    prefix = f"{unit.path.name}/"
    if unit.member == _BOXES:
        classes = frozenset(lists.get("ilsvrc-det200").wnids)
        return scan_xml(unit, rows=AnnotationRows(unit, label_set="vid", classes=classes, prefix=prefix))
    return scan_folder(unit, ImageRows(unit, prefix=prefix), deep=False)
