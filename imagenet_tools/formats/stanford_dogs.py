"""Stanford Dogs: 20,580 photos of ImageNet, of 120 breeds, with a box file each and a split of its own.

    Images/n02085620-Chihuahua/n02085620_10074.jpg      or images.tar
    Annotation/n02085620-Chihuahua/n02085620_10074      or annotation.tar; XML, though nothing says so
    train_list.mat, test_list.mat                       or lists.tar: 12,000 and 8,580 names; beside the two above
    train/n02085620-Chihuahua/n02085620_10074.jpg       or the images sorted into folders of the splits

The stems are ImageNet's, and so are the photos. The annotations call the class by a word, and their <folder> has no n:
the folder that they lie in decides. Without the lists, the folder of a split tells the split; without it, nothing does.
Folders called by the wnid and a word of other classes are image_folder's.
"""

from __future__ import annotations

import functools
import os
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from imagenet_tools.annotations import annotation_files
from imagenet_tools.annotations.annotation_files import is_annotation, scan_xml
from imagenet_tools.catalogue.releases import are_stanford_dogs
from imagenet_tools.containers import tar
from imagenet_tools.containers.mat5 import read_texts
from imagenet_tools.errors import FormatError
from imagenet_tools.images import folder_scan, image_scan
from imagenet_tools.images.class_folders import folders_by_wnid, image_names, split_folders
from imagenet_tools.images.folder_scan import folder_files, scan_folder
from imagenet_tools.images.image_rows import ImageRows, is_image_name
from imagenet_tools.images.image_scan import scan_tar
from imagenet_tools.units import Detection, FileRange, Labelling, Reads, Unit
from imagenet_tools.wordnet.wnid import split_of_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

READS = Reads(
    holds=("images", "boxes"),
    beside=frozenset({"train_list.mat", "test_list.mat", "file_list.mat", "lists.tar", "README.txt"}),
    problems=folder_scan.PROBLEMS | image_scan.PROBLEMS | annotation_files.PROBLEMS,
)

DATASET = "stanford-dogs"

_CLASSES = 120
_FOLDERS = {"Images": "images", "Annotation": "boxes"}
_BOXES = "boxes"  # Unit.member, where annotations are meant
_LISTS = {"train_list.mat": "train", "test_list.mat": "test"}

# A list has 0.2 MB.
_CAP = 16 << 20


def detect(path: Path) -> list[Detection]:
    """The images and the annotations at a path: folders called by a wnid and a word tell them."""
    if not path.is_dir():
        found = _archive(path) if tar.is_tar(path) else None
        return [found] if found else []
    places = [path, *(path / name for name in (*_FOLDERS, *split_folders(path)))]
    return [found for place in places if place.is_dir() and (found := _folder(place)) is not None]


def _archive(path: Path) -> Detection | None:
    try:
        first = next((member.name for member in tar.walk(path) if member.kind == "file"), "")
    except FormatError:
        return None
    name = PurePosixPath(first)
    if not are_stanford_dogs([name.parent.name]):
        return None
    holds = "images" if is_image_name(name.name) else "boxes" if is_annotation(name.name, "") else None
    return _found(path, holds, f"a tar of the {holds} of Stanford Dogs, the first {first}") if holds else None


def _folder(folder: Path) -> Detection | None:
    breeds = _breeds(folder)
    if not breeds:
        return None
    if any(image_names(folder / name, 1) for name in breeds):
        holds = "images"
    elif any(_is_own(entry.name) for name in breeds for entry in os.scandir(folder / name)):
        holds = "boxes"
    else:
        return None
    found = _found(folder, holds, f"{len(breeds):,} folders of {holds} of Stanford Dogs, {breeds[0]} first")
    absent = _CLASSES - len(breeds)
    return replace(found, missing=f"{absent:,} of the {_CLASSES:,} breeds") if absent > 0 else found


def _found(path: Path, holds: str, evidence: str) -> Detection:
    lists = sorted({place.name for place in _list_files(path.parent)})
    split = split_of_folder(path.name)
    known = f"; split by {' and '.join(lists)}" if lists else "; the split is not known without train_list.mat"
    if split and not lists:
        known = f"; split by the folder {path.name}/"
    splits = ("train", "test") if lists else (split,) if split else ()
    labels = Labelling("class folders", "wordnet")
    return Detection("stanford_dogs", path, DATASET, (holds,), evidence + known, splits, labels=labels)


def _is_own(name: str) -> bool:
    return is_annotation(name, "")


def _breeds(folder: Path) -> list[str]:
    """The folders of breeds; none where a folder is called by a wnid that is none of the 120."""
    names = folders_by_wnid(folder)
    return names if are_stanford_dogs(names) else []


def _list_files(folder: Path) -> list[Path]:
    """The lists of the split that lie in a folder, in lists.tar or beside it."""
    plain = [folder / name for name in _LISTS if (folder / name).is_file()]
    archive = folder / "lists.tar"
    return plain or ([archive] if archive.is_file() else [])


def units(found: Detection, source: str, root: Path) -> Iterator[Unit]:
    """One unit a breed, or a tar."""
    file = found.path.relative_to(root).as_posix()
    member = _BOXES if found.holds == ("boxes",) else ""
    split = split_of_folder(found.path.name)
    whole = Unit("stanford_dogs", source, str(root), "" if file == "." else file, found.dataset, split, member=member)
    if not found.path.is_dir():
        yield whole
        return
    for name in _breeds(found.path):
        yield whole._replace(file=f"{whole.file}/{name}" if whole.file else name, wnid=name[:9])


def files(unit: Unit) -> Iterator[FileRange]:
    """Yield the files of a breed's folder, or the tar; and the lists that say the split."""
    yield from folder_files(unit)
    yield from (FileRange(os.path.relpath(place, unit.root)) for place in _lists_of(unit))


def scan(unit: Unit) -> Iterator[tuple[str, pa.RecordBatch]]:
    """The images of a unit with their split, or its boxes, and what is wrong with its files."""
    if unit.member == _BOXES:
        yield from scan_xml(unit, suffix="")
        return
    lists = tuple(one for place in _lists_of(unit) for one in _read(place))
    rows = ImageRows(unit, split_of=_splits(lists).get)
    yield from scan_folder(unit, rows) if unit.path.is_dir() else scan_tar(unit, rows)


def _lists_of(unit: Unit) -> list[Path]:
    """The lists beside Images/ or images.tar; annotations need none."""
    if unit.member == _BOXES:
        return []
    return _list_files(unit.path.parent.parent if unit.path.is_dir() else unit.path.parent)


@functools.lru_cache(maxsize=2)
def _splits(lists: tuple[tuple[str, bytes], ...]) -> dict[str, str]:
    """The split of each image by its stem, from the names and bytes of the lists; FormatError where one is damaged."""
    found: dict[str, str] = {}
    for name, data in lists:
        found |= {PurePosixPath(file).stem: _LISTS[name] for file in read_texts(data, "file_list")}
    return found


def _read(place: Path) -> Iterator[tuple[str, bytes]]:
    if place.name in _LISTS:
        yield place.name, place.read_bytes()
        return
    with tar.open_stream(place) as file:
        for member, data in tar.stream(file, cap=_CAP):
            name = PurePosixPath(member.name).name
            if name in _LISTS and data is not None:
                yield name, data
