"""The box annotations of ILSVRC and of the whole ImageNet in XML, in folders and in archives, which are streamed.

    ILSVRC2012_bbox_train_v2.tar.gz
        n01440764/n01440764_96.xml              <wnid>/<image>.xml
    ILSVRC2012_bbox_val_v3.tgz
        val/ILSVRC2012_val_00000001.xml         flat
    bboxes_annotations.tar.gz                   of the whole ImageNet
        n00007846.tar.gz                        one archive for each class
            Annotation/n00007846/n00007846_6247.xml
    n00007846.tar.gz ...                        these archives without the outer one, in a folder or one by one
    Annotation.tar.gz                           older: all classes in one archive
        Annotation/n00007846/*.xml
    Annotations/CLS-LOC/train/n01440764/*.xml   the tree of ILSVRC2015 and later; also from ILSVRC/ above, or CLS-LOC/
    Annotations/CLS-LOC/val/*.xml
    train/n01440764/*.xml   val/*.xml           the archives unpacked
    Annotation/n01440764/*.xml
    n01440764/*.xml   *.xml                     or these folders alone

The stem of the XML file is the image's id, whatever the annotation's own <filename> says. In the whole ImageNet an
image may be in the folder of another class than its stem names: that folder boxes its own class in the image. The
boxes of the whole ImageNet differ from ILSVRC's of the same images. They state the database "ImageNet database",
ILSVRC's state ILSVRC_2012.

The boxes of ILSVRC's detection task have several classes in one image: ilsvrc_det reads them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from imagenet_tools.annotations.annotation_files import ARCHIVE, first_files, is_annotation, scan_xml, shares, task_in
from imagenet_tools.catalogue.releases import release_of, title
from imagenet_tools.containers import tar
from imagenet_tools.formats._shared.contract import names_in, unit_at
from imagenet_tools.images.folder_scan import folder_files
from imagenet_tools.text import count_of, lacking
from imagenet_tools.units import Detection, Labelling, Reads, Unit
from imagenet_tools.wordnet.wnid import (
    is_wnid,
    keeps_imagenet_name,
    official_split,
    task_of,
    wnid_of_folder,
    wnid_of_stem,
)

READS = Reads(holds=("boxes",))

# Places of annotations below a path.
_TREES = ("CLS-LOC", *(f"{top}Annotations/CLS-LOC" for top in ("", "ILSVRC/", "ILSVRC2015/")))
_PLACES = ("", "train", "val", "Annotation", *(f"{tree}/{split}" for tree in _TREES for split in ("train", "val")))

# Members of an archive, and class folders, that detect() looks at.
_LOOKED_AT = 16
_LOOKED_AT_BYTES = 4096

# The database that annotations of the whole ImageNet state.
_WHOLE = b"<database>ImageNet database</database>"
_WHOLE_DATASET = "imagenet21k"


def detect(path: Path) -> list[Detection]:
    """Return the box XML at a path: one detection for an archive, and for each folder of classes or of loose files."""
    if not path.is_dir():
        return _detect_archive(path) if tar.is_archive(path) else []
    folders = (path / place for place in _PLACES)
    return [detection for folder in folders if folder.is_dir() and (detection := _detect_folder(folder)) is not None]


def _detect_archive(path: Path) -> list[Detection]:
    members = [(PurePosixPath(name), data) for name, data in first_files(path, _LOOKED_AT)]
    names = [name for name, _ in members if is_annotation(name.name) and keeps_imagenet_name(name.stem)]
    # The archive of a whole tree has images after the annotations: kaggle_tree reads it, ilsvrc_det the detection task.
    if not names or any(task_of(name.parent) or name.parts[0] == "ILSVRC" for name, _ in members):
        return []
    if any(task_in(data) is not None for _, data in members):
        return []
    nested = any(map(ARCHIVE.fullmatch, names[0].parts))
    noun = "an archive of class archives" if nested else "an archive"
    stems = [wnid_of_folder(name.parent.name) or name.stem for name in names]
    whole = any(_WHOLE in data for _, data in members)
    return [_detection(path, stems, f"{noun} of box XML, the first {names[0]}", whole=whole)]


def _detect_folder(folder: Path) -> Detection | None:
    """Return the class folders of XML, the class archives, or the loose XML in a folder."""
    if task_of(PurePosixPath(folder.absolute())):
        return None
    wnids = names_in(folder, is_wnid, folders=True)
    for wnid in wnids[:_LOOKED_AT]:
        if names := names_in(folder / wnid, is_annotation):
            return _detect_classes(folder, wnids, "class folder", whole=_is_whole(folder / wnid / names[0]))
    if archives := names_in(folder, ARCHIVE.fullmatch):
        first = first_files(folder / archives[0], 1)
        if not first or not is_annotation(PurePosixPath(first[0][0]).name):
            return None
        return _detect_classes(folder, [name[:9] for name in archives], "class archive", whole=_WHOLE in first[0][1])
    names = [name for name in names_in(folder, is_annotation) if keeps_imagenet_name(PurePosixPath(name).stem)]
    if not names:
        return None
    stems = [PurePosixPath(name).stem for name in names]
    evidence = f"{count_of(len(stems), 'file')} of box XML, the first {stems[0]}.xml"
    detection = _detection(folder, stems, evidence, whole=_is_whole(folder / names[0]))
    whole_split = detection.dataset == "ilsvrc2012" and detection.splits == ("val",)
    return replace(detection, missing=lacking(len(stems), 50_000, "validation images")) if whole_split else detection


def _is_whole(file: Path) -> bool:
    """Return True for an annotation of the whole ImageNet."""
    return _WHOLE in file.read_bytes()[:_LOOKED_AT_BYTES]


def _detect_classes(folder: Path, wnids: Sequence[str], noun: str, *, whole: bool) -> Detection:
    detection = _detection(folder, wnids, f"{count_of(len(wnids), noun)} of box XML", whole=whole)
    thousand = detection.dataset == "ilsvrc2012"
    return replace(detection, missing=lacking(len(wnids), 1_000, "classes")) if thousand else detection


def _detection(path: Path, stems: Sequence[str], evidence: str, *, whole: bool) -> Detection:
    """Return a detection with the data set and the splits that stems of images, or wnids, give."""
    official = sorted(set(filter(None, map(official_split, stems))))
    wnids = {wnid for stem in stems if (wnid := stem if is_wnid(stem) else wnid_of_stem(stem)) is not None}
    thousand = release_of(wnids).dataset == "ilsvrc2012"
    dataset = f"ilsvrc{official[0][0]}" if official else "ilsvrc2012" if thousand and not whole else _WHOLE_DATASET
    splits = {split for _, split in official} | ({"train"} if wnids and dataset.startswith("ilsvrc") else set())
    readings: tuple[str, ...] = ()
    if dataset == _WHOLE_DATASET:
        evidence += ', of the "ImageNet database"' if whole else ", of classes beyond ILSVRC2012's 1,000"
        others = ("fall11", "winter21", *(("ilsvrc2012",) if thousand else ()))
        readings = tuple(f"boxes for the images of {title(other)} alone (--dataset {other})" for other in others)
    labels = Labelling("the classes that the boxes name", dataset if dataset == "ilsvrc2012" else "wordnet")
    return Detection("box_xml", path, dataset, ("boxes",), evidence, tuple(sorted(splits)), "", labels, readings)


def units(detection: Detection, source: str, root: Path) -> Iterator[Unit]:
    """Yield one unit for each archive, class folder or folder of loose files; class folders and archives by wnid.

    A large archive of class archives is several units, each with a share of the classes.
    """
    split = detection.splits[0] if len(detection.splits) == 1 else None
    if not detection.path.is_dir():
        for share in shares(detection.path):
            yield unit_at(detection, source, root, split=split, member=share)
        return
    classes = [*names_in(detection.path, is_wnid, folders=True), *names_in(detection.path, ARCHIVE.fullmatch)]
    for name in classes:
        yield unit_at(detection, source, root, detection.path / name, split=split, wnid=name[:9])
    if not classes or names_in(detection.path, is_annotation):
        wnid = detection.path.name if is_wnid(detection.path.name) else None
        yield unit_at(detection, source, root, split=split, wnid=wnid)


files = folder_files
scan = scan_xml
