"""The box annotations of ILSVRC and of the whole ImageNet in XML, in folders and in archives read as they stream by.

    ILSVRC2012_bbox_train_v2.tar.gz
        n01440764/n01440764_96.xml              <wnid>/<image>.xml
    ILSVRC2012_bbox_val_v3.tgz
        val/ILSVRC2012_val_00000001.xml         flat
    bboxes_annotations.tar.gz                   of the whole ImageNet
        n00007846.tar.gz                        an archive a class
            Annotation/n00007846/n00007846_6247.xml
    n00007846.tar.gz ...                        these alone, in a folder or one by one
    Annotation.tar.gz                           older: all classes in one
        Annotation/n00007846/*.xml
    Annotations/CLS-LOC/train/n01440764/*.xml   the tree of ILSVRC2015 and later; also from ILSVRC/ above, or CLS-LOC/
    Annotations/CLS-LOC/val/*.xml
    train/n01440764/*.xml   val/*.xml           the archives unpacked
    Annotation/n01440764/*.xml
    n01440764/*.xml   *.xml                     or either of them bare

The stem of the XML file is the image's id, whatever the annotation's own <filename> says. In the whole ImageNet an
image may lie in the folder of another class than its stem names: that folder boxes its own class in it. Its boxes are
others than ILSVRC's of the same images; they state their database as "ImageNet database", ILSVRC's as ILSVRC_2012.

The boxes of ILSVRC's detection task have several classes an image: ilsvrc_det reads them.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from imagenet_tools.annotations import annotation_files
from imagenet_tools.annotations.annotation_files import ARCHIVE, first_members, is_annotation, scan_xml, shares, task_in
from imagenet_tools.catalogue.releases import title
from imagenet_tools.containers import tar
from imagenet_tools.images.folder_scan import folder_files
from imagenet_tools.images.image_rows import dataset_of
from imagenet_tools.units import Detection, Labelling, Reads, Unit
from imagenet_tools.wordnet.wnid import (
    is_wnid,
    keeps_imagenet_name,
    official_split,
    task_of,
    wnid_of_folder,
    wnid_of_stem,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

READS = Reads(
    holds=("boxes",),
    problems=annotation_files.PROBLEMS,
)

# Where folders of annotations may lie below a path.
_TREES = ("CLS-LOC", *(f"{top}Annotations/CLS-LOC" for top in ("", "ILSVRC/", "ILSVRC2015/")))
_PLACES = ("", "train", "val", "Annotation", *(f"{tree}/{split}" for tree in _TREES for split in ("train", "val")))

# How many members of an archive, and how many class folders, are looked at to tell whether they hold annotations.
_SEEN = 16

# What an annotation of the whole ImageNet says of its origin; ILSVRC's say ILSVRC_2012.
_WHOLE = b"<database>ImageNet database</database>"
_WHOLE_DATASET = "imagenet21k"


def detect(path: Path) -> list[Detection]:
    """The box XML at a path: one detection an archive, one a folder that holds class folders or loose files."""
    if not path.is_dir():
        return _archive(path) if tar.is_tar(path) or tar.is_gzip(path) else []
    folders = (path / place for place in _PLACES)
    return [found for folder in folders if folder.is_dir() and (found := _folder(folder)) is not None]


def _archive(path: Path) -> list[Detection]:
    members = [(PurePosixPath(name), data) for name, data in first_members(path, _SEEN)]
    own = [name for name, _ in members if is_annotation(name.name) and keeps_imagenet_name(name.stem)]
    # An archive of a whole tree holds the images behind the annotations.
    if not own or any(task_of(name.parent) or name.parts[0] == "ILSVRC" for name, _ in members):
        return []
    if any(task_in(data) is not None for _, data in members):
        return []  # of the detection task
    stems = [wnid_of_folder(name.parent.name) or name.stem for name in own]
    nested = ARCHIVE.fullmatch("/".join(part for part in own[0].parts if ARCHIVE.fullmatch(part)))
    what = "an archive of class archives" if nested else "an archive"
    whole = any(_WHOLE in data for _, data in members)
    return [_found(path, stems, f"{what} of box XML, the first {own[0]}", whole=whole)]


def _folder(folder: Path) -> Detection | None:
    """What lies in one folder: class folders of XML, class archives of it, or loose XML."""
    if task_of(PurePosixPath(folder.absolute())):
        return None
    wnids = _class_folders(folder)
    for wnid in wnids[:_SEEN]:
        if names := _xml_names(folder / wnid):
            whole = _WHOLE in (folder / wnid / names[0]).read_bytes()[:4096]
            return _of_classes(folder, wnids, "class folders", whole=whole)
    archives = _class_archives(folder)
    if archives:
        first = first_members(folder / archives[0], 1)
        if not (first and is_annotation(PurePosixPath(first[0][0]).name)):
            return None
        return _of_classes(folder, [name[:9] for name in archives], "class archives", whole=_WHOLE in first[0][1])
    names = [name for name in _xml_names(folder) if keeps_imagenet_name(PurePosixPath(name).stem)]
    if not names:
        return None
    stems = [PurePosixPath(name).stem for name in names]
    whole = _WHOLE in (folder / names[0]).read_bytes()[:4096]
    found = _found(folder, stems, f"{len(stems):,} files of box XML, the first {stems[0]}.xml", whole=whole)
    if found.dataset == "ilsvrc2012" and found.splits == ("val",) and len(stems) < 50_000:
        return replace(found, missing=f"{50_000 - len(stems):,} of the 50,000 validation images")
    return found


def _of_classes(folder: Path, wnids: Sequence[str], what: str, *, whole: bool) -> Detection:
    found = _found(folder, wnids, f"{len(wnids):,} {what} of box XML", whole=whole)
    if found.dataset == "ilsvrc2012" and len(wnids) < 1000:
        return replace(found, missing=f"{1000 - len(wnids):,} of the 1,000 classes")
    return found


def _found(path: Path, stems: Sequence[str], evidence: str, *, whole: bool) -> Detection:
    """A detection whose data set and splits are those that the names of the images, or wnids, speak for."""
    official = sorted({found for stem in stems if (found := official_split(stem)) is not None})
    wnids = {wnid for stem in stems if (wnid := stem if is_wnid(stem) else wnid_of_stem(stem)) is not None}
    thousand = dataset_of(wnids) == "ilsvrc2012"
    dataset = f"ilsvrc{official[0][0]}" if official else "ilsvrc2012" if thousand and not whole else _WHOLE_DATASET
    splits = {split for _, split in official} | ({"train"} if wnids and dataset.startswith("ilsvrc") else set())
    readings: tuple[str, ...] = ()
    if dataset == _WHOLE_DATASET:
        evidence += ', of the "ImageNet database"' if whole else ", of classes beyond ILSVRC2012's 1,000"
        others = ("fall11", "winter21", *(("ilsvrc2012",) if thousand else ()))
        readings = tuple(f"boxes for the images of {title(other)} alone (--dataset {other})" for other in others)
    labels = Labelling("the classes that the boxes name", dataset if dataset == "ilsvrc2012" else "wordnet")
    about = (evidence, tuple(sorted(splits)), "", labels, readings)
    return Detection("box_xml", path, dataset, ("boxes",), *about)


def _class_folders(folder: Path) -> list[str]:
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if is_wnid(entry.name) and entry.is_dir())


def _class_archives(folder: Path) -> list[str]:
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if ARCHIVE.fullmatch(entry.name) and entry.is_file())


def _xml_names(folder: Path) -> list[str]:
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if is_annotation(entry.name) and entry.is_file())


def units(found: Detection, source: str, root: Path) -> Iterator[Unit]:
    """One unit an archive, a class folder or a folder of loose files; class folders and archives by wnid.

    A large archive of class archives is several, each of a share of its classes.
    """
    file = found.path.relative_to(root).as_posix()
    split = found.splits[0] if len(found.splits) == 1 else None
    whole = Unit("box_xml", source, str(root), "" if file == "." else file, found.dataset, split)
    if found.path.is_dir():
        classes = [*_class_folders(found.path), *_class_archives(found.path)]
        for name in classes:
            yield whole._replace(file=f"{whole.file}/{name}" if whole.file else name, wnid=name[:9])
        if classes and not _xml_names(found.path):
            return
        if is_wnid(found.path.name):
            whole = whole._replace(wnid=found.path.name)
        yield whole
        return
    for share in shares(found.path):
        yield whole._replace(member=share)


files = folder_files
scan = scan_xml
