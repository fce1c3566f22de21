"""ImageNetV2, three test sets of 10,000 new images of ILSVRC2012's classes, in class folders called by class indices.

    imagenetv2-matched-frequency.tar.gz     or a plain tar, or unpacked; and threshold0.7, top-images
    imagenetv2-matched-frequency-format-val/
        0/0aa1b6c3....jpeg                  10 images of n01440764, named by 40 hexadecimal digits
        1/...                               of n01443537; the folder is the index, 0 to 999, in the order of the wnids
        10/...                              of n01530575, before 2/: loaders that sort the folders number them wrongly

A number means these classes only in ImageNetV2, so the folder or the archive must be called after it. Each of the three
is a data set of its own. With class folders called by wnids, it is an image_folder.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from imagenet_tools.catalogue import labels
from imagenet_tools.catalogue.releases import other_set
from imagenet_tools.containers import tar
from imagenet_tools.formats._shared.contract import Tables, names_in, unit_at
from imagenet_tools.images.class_folders import image_names
from imagenet_tools.images.folder_scan import folder_files, scan_folder
from imagenet_tools.images.image_rows import ImageRows, is_image_name
from imagenet_tools.images.jpeg import ImageFacts
from imagenet_tools.images.tar_scan import STREAM_ADVICE, scan_tar
from imagenet_tools.text import count_of, lacking
from imagenet_tools.units import Detection, Labelling, Reads, Unit
from imagenet_tools.wordnet.wnid import keeps_imagenet_name, path_facts

READS = Reads(
    holds=("images",),
    problems={"no_class_index": "an image in a folder that is called by no class index, 0 to 999; it has no class"},
)

_SPLIT = "test"  # its authors call it three test sets; "format-val" is the layout
_N_CLASSES = 1_000
_LOOKED_AT_FOLDERS = 16


def detect(path: Path) -> list[Detection]:
    """Return the class folders in a folder, or a tar of them, if it is called after ImageNetV2."""
    if not path.is_dir():
        return _detect_archive(path) if tar.is_archive(path) else []
    dataset = _dataset(path.absolute().name, path.absolute().parent.name)
    folders = _folders(path) if dataset else []
    names = [name for folder in folders[:_LOOKED_AT_FOLDERS] for name in image_names(path / folder, 1)]
    if not _are_own(names):
        return []
    missing = lacking(len(folders), _N_CLASSES, "classes")
    return [_detection(path, dataset, f"{count_of(len(folders), 'class folder')}, {folders[0]} first", missing)]


def _detect_archive(path: Path) -> list[Detection]:
    first = PurePosixPath(tar.first_file(path))
    if not _wnid(first.parent.name) or not _are_own([first.name]):
        return []
    dataset = _dataset(first.parts[0], "") or _dataset(path.name, "")
    is_gzip = tar.is_gzip(path)
    text = f"a {'gzip stream' if is_gzip else 'tar'} of class folders, the first image {first}"
    return [_detection(path, dataset, text, advice=STREAM_ADVICE if is_gzip else "")] if dataset else []


def _dataset(name: str, parent: str) -> str:
    """Return which of the three sets a folder or archive is called after; "" for none.

    A folder's parent counts only where both names make one of the three: imagenetv2/matched-frequency.
    """
    for text in (name, f"{parent}-{name}"):
        dataset = other_set(text) or ""
        if dataset.startswith("imagenetv2") and (text == name or dataset != "imagenetv2"):
            return dataset
    return ""


def _are_own(names: list[str]) -> bool:
    """Return True if there are images, and none has a name of ImageNet, which would give its class itself."""
    return bool(names) and all(is_image_name(name) and not keeps_imagenet_name(path_facts(name).stem) for name in names)


def _detection(path: Path, dataset: str, text: str, missing: str = "", advice: str = "") -> Detection:
    evidence = f"{text}, called by indices of ILSVRC2012's sorted classes, from 0: ImageNetV2, as its name says"
    labelling = Labelling("class folders called by class indices", "ilsvrc2012", "wnid", 0)
    about = (evidence, (_SPLIT,), missing, labelling)
    return Detection("imagenet_v2", path, dataset, ("images",), *about, advice=advice)


def _folders(path: Path) -> list[str]:
    """Return the folders called by class indices, in the order of the classes."""
    return sorted(names_in(path, _wnid, folders=True), key=int)


def _wnid(folder: str) -> str | None:
    """Return the class of a folder's name, as an index is written: 0, not 00."""
    known = folder.isdecimal() and folder.isascii() and str(int(folder)) == folder and int(folder) < _N_CLASSES
    return labels.ilsvrc2012_sorted()[int(folder)] if known else None


def units(detection: Detection, source: str, root: Path) -> Iterator[Unit]:
    """Yield one unit for each class folder, by class, or one for a tar."""
    if not detection.path.is_dir():
        yield unit_at(detection, source, root, split=_SPLIT)
        return
    for name in _folders(detection.path):
        yield unit_at(detection, source, root, detection.path / name, split=_SPLIT, wnid=_wnid(name))


files = folder_files


def scan(unit: Unit) -> Tables:
    """Yield the images of a class folder, or of a tar, and the problems of its files."""
    return scan_folder(unit) if unit.path.is_dir() else scan_tar(unit, _MemberRows(unit))


class _MemberRows(ImageRows):
    """Gathers the images of a tar with the class of the folder that each is in."""

    def add(self, stem: str, *, file: str, member: str | None = None, **values: Any) -> ImageFacts:
        """Add an image, and a problem if its folder is called by no class index."""
        values["wnid"] = _wnid(PurePosixPath(member or "").parent.name)
        if values["wnid"] is None:
            self.problem("no_class_index", file, "expected a folder called 0 to 999", member, stem)
        return super().add(stem, file=file, member=member, **values)
