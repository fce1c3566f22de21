"""Stanford Dogs: 20,580 photos of ImageNet, of 120 breeds, with a box file each and a split of its own.

    Images/n02085620-Chihuahua/n02085620_10074.jpg      or images.tar
    Annotation/n02085620-Chihuahua/n02085620_10074      or annotation.tar; XML, without a suffix
    train_list.mat, test_list.mat                       or lists.tar: 12,000 and 8,580 names; beside the two above
    train/n02085620-Chihuahua/n02085620_10074.jpg       or the images sorted into folders of the splits

The stems are ImageNet's, and so are the photos. The annotations call the class by a word, and their <folder> has no n:
the folder that they are in decides. The lists give the split. Without the lists, the folder of a split gives it;
without such a folder, the split is unknown. image_folder reads folders of other classes called by a wnid and a word.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from imagenet_tools.annotations.annotation_files import is_annotation, scan_xml
from imagenet_tools.catalogue.releases import are_stanford_dogs
from imagenet_tools.containers import tar
from imagenet_tools.containers.mat5 import read_texts
from imagenet_tools.formats._shared.contract import Tables, unit_at
from imagenet_tools.images.class_folders import folders_by_wnid, image_names, split_folders
from imagenet_tools.images.folder_scan import folder_files, scan_folder
from imagenet_tools.images.image_rows import ImageRows, is_image_name
from imagenet_tools.images.tar_scan import scan_tar
from imagenet_tools.text import count_of, lacking
from imagenet_tools.units import Detection, FileRange, Labelling, Reads, Unit
from imagenet_tools.wordnet.wnid import split_of_folder

READS = Reads(
    holds=("images", "boxes"),
    beside=frozenset({"train_list.mat", "test_list.mat", "file_list.mat", "lists.tar", "README.txt"}),
)

DATASET = "stanford-dogs"

_N_BREEDS = 120
_FOLDERS = ("Images", "Annotation")
_BOXES = "boxes"  # Unit.member of annotations
_LISTS = {"train_list.mat": "train", "test_list.mat": "test"}
_LIST_BYTES = 16 << 20  # at most; a published list has 0.2 MB


def detect(path: Path) -> list[Detection]:
    """Return the images and the annotations at a path, by folders that are called by a wnid and a word."""
    if not path.is_dir():
        return _detect_archive(path) if tar.is_tar(path) else []
    places = [path, *(path / name for name in (*_FOLDERS, *split_folders(path)))]
    return [detection for place in places if place.is_dir() for detection in _detect_folder(place)]


def _detect_archive(path: Path) -> list[Detection]:
    first = tar.first_file(path)
    name = PurePosixPath(first)
    holds = "images" if is_image_name(name.name) else _BOXES if _is_annotation(name.name) else ""
    if not holds or not are_stanford_dogs([name.parent.name]):
        return []
    return [_detection(path, holds, f"a tar of the {holds} of Stanford Dogs, the first {first}")]


def _detect_folder(folder: Path) -> list[Detection]:
    breeds = _breeds(folder)
    if any(image_names(folder / name, 1) for name in breeds):
        holds = "images"
    elif any(_is_annotation(path.name) for name in breeds for path in (folder / name).iterdir()):
        holds = _BOXES
    else:
        return []
    evidence = f"{count_of(len(breeds), 'folder')} of {holds} of Stanford Dogs, {breeds[0]} first"
    return [_detection(folder, holds, evidence, lacking(len(breeds), _N_BREEDS, "breeds"))]


def _detection(path: Path, holds: str, evidence: str, missing: str = "") -> Detection:
    lists = sorted(file.name for file in _list_files(path.parent))
    split = split_of_folder(path.name)
    splits = ("train", "test") if lists else (split,) if split else ()
    by = " and ".join(lists) or (f"the folder {path.name}/" if split else "")
    known = f"split by {by}" if by else "the split is not known without train_list.mat"
    about = (f"{evidence}; {known}", splits, missing, Labelling("class folders", "wordnet"))
    return Detection("stanford_dogs", path, DATASET, (holds,), *about)


def _is_annotation(name: str) -> bool:
    return is_annotation(name, "")


def _breeds(folder: Path) -> list[str]:
    """Return the folders of breeds; none if a folder is called by a wnid of no breed."""
    names = folders_by_wnid(folder)
    return names if are_stanford_dogs(names) else []


def _list_files(folder: Path) -> list[Path]:
    """Return the lists of the split in a folder, or the lists.tar in it."""
    plain = [folder / name for name in _LISTS if (folder / name).is_file()]
    archive = folder / "lists.tar"
    return plain or ([archive] if archive.is_file() else [])


def units(detection: Detection, source: str, root: Path) -> Iterator[Unit]:
    """Yield one unit for each breed, or one for a tar."""
    member = _BOXES if detection.holds == (_BOXES,) else ""
    split = split_of_folder(detection.path.name)
    if not detection.path.is_dir():
        yield unit_at(detection, source, root, split=split, member=member)
        return
    for name in _breeds(detection.path):
        yield unit_at(detection, source, root, detection.path / name, split=split, wnid=name[:9], member=member)


def files(unit: Unit) -> Iterator[FileRange]:
    """Yield the files of a breed's folder, or the tar; and the lists that give the split."""
    yield from folder_files(unit)
    yield from (FileRange(os.path.relpath(file, unit.root)) for file in _lists_of(unit))


def scan(unit: Unit) -> Tables:
    """Yield the images of a unit with their split, or its boxes, and the problems of its files."""
    if unit.member == _BOXES:
        yield from scan_xml(unit, suffix="")
        return
    lists = tuple(content for file in _lists_of(unit) for content in _read_lists(file))
    rows = ImageRows(unit, split_of=_splits(lists).get)
    yield from scan_folder(unit, rows) if unit.path.is_dir() else scan_tar(unit, rows)


def _lists_of(unit: Unit) -> list[Path]:
    """Return the lists beside Images/ or images.tar; annotations need none."""
    if unit.member == _BOXES:
        return []
    return _list_files(unit.path.parent.parent if unit.path.is_dir() else unit.path.parent)


@functools.lru_cache(maxsize=2)
def _splits(lists: tuple[tuple[str, bytes], ...]) -> dict[str, str]:
    """Return the split of each image by stem, from the names and bytes of the lists. FormatError: one is damaged."""
    return {PurePosixPath(file).stem: _LISTS[name] for name, data in lists for file in read_texts(data, "file_list")}


def _read_lists(file: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the name and the bytes of a list, or of the lists in a tar."""
    if file.name in _LISTS:
        yield file.name, file.read_bytes()
        return
    with tar.open_stream(file) as stream:
        for member, data, _ in tar.stream(stream, cap=_LIST_BYTES):
            name = PurePosixPath(member.name).name
            if name in _LISTS and data is not None:
                yield name, data
