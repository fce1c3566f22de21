"""Tiny-ImageNet-200 with its boxes, as it is released or with val/ sorted: 200 classes, 64 by 64 pixels, renumbered.

    train/n01443537/images/n01443537_0.JPEG ... _499    the images of a class; in the class folder itself too
    train/n01443537/n01443537_boxes.txt                 n01443537_0.JPEG, xmin, ymin, xmax, ymax; tabs between
    val/images/val_0.JPEG ... val_9999.JPEG             or sorted: val/n01443537/val_0.JPEG, with images/ between or not
    val/val_annotations.txt                             val_0.JPEG, n03444034, xmin, ymin, xmax, ymax
    test/images/test_0.JPEG ... test_9999.JPEG          without labels
    wnids.txt, words.txt                                the 200 classes, not sorted; the words of all nouns of WordNet

n01443537_0 is not ILSVRC2012's image of that name, so no image shares its photo. A list states no size, so its pixels
are those of the image; some boxes have no area. Without box files and val_annotations.txt, it is an image_folder.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from imagenet_tools.annotations.annotation import Object, class_of, read_number
from imagenet_tools.annotations.annotation_rows import AnnotationRows
from imagenet_tools.annotations.image_sets import counted
from imagenet_tools.catalogue import lists
from imagenet_tools.formats._shared.contract import Tables, gathers, names_in, unit_at
from imagenet_tools.images.class_folders import folders_by_wnid, split_folders
from imagenet_tools.images.detection import TINY, TINY_ANNOTATIONS, TINY_BOXES, tiny_folders
from imagenet_tools.images.folder_scan import folder_files, scan_folder
from imagenet_tools.images.image_rows import ImageRows, is_image_name
from imagenet_tools.images.jpeg import ImageFacts
from imagenet_tools.text import count_of, joined, lacking
from imagenet_tools.units import Detection, FileRange, Labelling, Reads, Unit, files_beside
from imagenet_tools.wordnet.wnid import path_facts, split_of_folder

READS = Reads(
    holds=("images", "boxes"),
    beside=frozenset({"wnids.txt", "words.txt"}),
    problems={"tiny_bad_row": "a row of boxes that is not a name, in val a class of the 200, and four numbers"},
)

_WHOLE = {"train": (200, "classes"), "val": (10_000, "images"), "test": (10_000, "images")}
_IMAGES = "images"  # the folder of images that are in no class folder


def detect(path: Path) -> list[Detection]:
    """Return the splits in a folder, or the split that it is, by box files or val_annotations.txt."""
    texts, missing = [], []
    splits = _splits(path)
    for split, folder in splits.items():
        names = folders_by_wnid(folder)
        loose = len(_loose_images(folder))
        counts = [count_of(len(names), "class folder")] if names else []
        counts += [count_of(loose, "image")] if loose else []
        if (annotations := folder / TINY_ANNOTATIONS).is_file():
            counts.append(f"{count_of(counted(annotations), 'row')} in {TINY_ANNOTATIONS}")
        texts.append(f"{folder.name}/ with {', '.join(counts)}")
        whole, noun = _WHOLE[split]
        missing.append("" if names and split != "train" else lacking(len(names) or loose, whole, f"{noun} of {split}"))
    labels = Labelling(f"class folders and {TINY_ANNOTATIONS}", TINY)
    evidence = f"Tiny-ImageNet with its boxes: {', '.join(texts)}"
    about = (evidence, tuple(splits), joined(missing), labels)
    return [Detection("tiny_imagenet", path, TINY, ("images", "boxes"), *about)] if splits else []


def _splits(path: Path) -> dict[str, Path]:
    """Return the folders of the splits at a path, if one of them has lists of boxes; first the path, if it is one."""
    found = tiny_folders(path)
    if path in found.values() or not found:
        return found
    folders = {split: path / name for name in split_folders(path) if (split := split_of_folder(name))}
    return {split: folder for split, folder in folders.items() if folders_by_wnid(folder) or _loose_images(folder)}


def _loose_images(folder: Path) -> list[str]:
    return names_in(folder / _IMAGES, is_image_name)


def units(detection: Detection, source: str, root: Path) -> Iterator[Unit]:
    """Yield one unit for each class folder, by split and wnid, for the loose images of a split, and for val's list."""
    unit = functools.partial(unit_at, detection, source, root)
    for split, folder in _splits(detection.path).items():
        for wnid in folders_by_wnid(folder):
            yield unit(folder / wnid, split=split, wnid=wnid[:9])
        if _loose_images(folder):
            yield unit(folder / _IMAGES, split=split)
        if (folder / TINY_ANNOTATIONS).is_file():
            yield unit(folder / TINY_ANNOTATIONS, split=split)


def files(unit: Unit) -> Iterator[FileRange]:
    """Yield the files of a folder of images, with the list of their labels; or the list of val's boxes."""
    yield from folder_files(unit)
    if unit.split == "val" and unit.path.is_dir():
        yield from files_beside(unit, (TINY_ANNOTATIONS,))


def scan(unit: Unit) -> Tables:
    """Yield the images of a folder and the boxes of its class, or the boxes of val; and the rows that are none."""
    boxes = _boxes(unit)
    if unit.path.is_dir():
        yield from scan_folder(unit, _LabelledRows(unit), beside=(boxes.name,))
    if boxes.is_file():
        yield from _scan_boxes(unit)


def _boxes(unit: Unit) -> Path:
    """Return the list of boxes of a unit: the unit's file, or that of its class folder, which may not exist."""
    return unit.path / f"{unit.path.name}{TINY_BOXES}" if unit.path.is_dir() else unit.path


class _LabelledRows(ImageRows):
    """Gathers images with the classes that val_annotations.txt gives, and refuses a class folder that differs."""

    def __init__(self, unit: Unit):
        super().__init__(unit)
        annotations = unit.path.parent / TINY_ANNOTATIONS
        labelled = unit.split == "val" and annotations.is_file()
        self._classes = _classes(annotations.read_bytes()) if labelled else {}

    def add(self, stem: str, *, file: str, wnid: str | None = None, **values: Any) -> ImageFacts:
        """Add an image with the class of its folder, or without one with that of the list."""
        label = self._classes.get(stem)
        if label and wnid and label != wnid:
            reason = f"the folder says {wnid}, {TINY_ANNOTATIONS} {label}"
            self.problem("label_contradiction", file, reason, None, stem)
        return super().add(stem, file=file, wnid=wnid or label, **values)


def _cells(line: str, *, has_class: bool) -> tuple[str, str | None, list[float]] | None:
    """Return the stem, the class and the edges of a row; None for a row of another form."""
    name, *cells = line.rstrip("\r\n").split("\t")
    wnid = cells.pop(0) if has_class and cells else None
    edges = [number for cell in cells if (number := read_number(cell)) is not None]
    known = not has_class or wnid in lists.get(TINY).wnids
    return (path_facts(name).stem, wnid, edges) if known and len(cells) == len(edges) == 4 else None


@functools.lru_cache(maxsize=1)
def _classes(annotations: bytes) -> dict[str, str]:
    rows = (_cells(line, has_class=True) for line in annotations.decode(errors="backslashreplace").splitlines())
    return {stem: wnid for stem, wnid, _ in filter(None, rows) if wnid}


@gathers(AnnotationRows)
def _scan_boxes(unit: Unit, rows: AnnotationRows) -> Iterator[None]:
    """Add the boxes of a class, whose unit has its wnid, or of val."""
    boxes = _boxes(unit)
    file = boxes.relative_to(unit.root).as_posix()
    expected = "a name and 4 numbers" if unit.wnid else "a name, one of the 200 classes and 4 numbers"
    with boxes.open(encoding="utf-8", errors="backslashreplace") as lines:
        for n, line in enumerate(lines, 1):
            if row := _cells(line, has_class=unit.wnid is None):
                stem, name, (xmin, ymin, xmax, ymax) = row
                wnid, flags = class_of(name, stem, unit.wnid)
                rows.box(stem, wnid, file, Object(name, None, None, None, xmin, ymin, xmax, ymax, flags))
            else:
                rows.problem("tiny_bad_row", file, f"{line.strip()[:100]!r}; expected {expected}", f"line {n}")
            yield
