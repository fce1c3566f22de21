"""The box annotations of ILSVRC in XML, in folders and in archives that are read as they stream by.

    ILSVRC2012_bbox_train_v2.tar.gz
        n01440764/n01440764_96.xml              <wnid>/<image>.xml
    ILSVRC2012_bbox_val_v3.tgz
        val/ILSVRC2012_val_00000001.xml         flat
    Annotations/CLS-LOC/train/n01440764/*.xml   Kaggle's tree; also from ILSVRC/ above, or from CLS-LOC/
    Annotations/CLS-LOC/val/*.xml
    train/n01440764/*.xml   val/*.xml           the archives unpacked
    Annotation/n01440764/*.xml                  as image-net.org's older per-class downloads unpack
    n01440764/*.xml   *.xml                     or either of them bare

The stem of the XML file is the image's id, whatever the annotation's own <filename> says. Validation images of DET
have the names of other images than CLS-LOC's, so folders of DET and VID are not taken for these.
"""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from imagenet_tools import tar
from imagenet_tools.annotation import MAX_BYTES
from imagenet_tools.annotation_rows import AnnotationRows
from imagenet_tools.containers import folder_fingerprint, tar_fingerprint
from imagenet_tools.errors import FormatError
from imagenet_tools.rows import dataset_of, is_image_name
from imagenet_tools.units import Detection, Unit
from imagenet_tools.wnid import is_wnid, keeps_imagenet_name, official_split, wnid_of_stem

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import pyarrow as pa

# Where folders of annotations may lie below a path.
_TREES = ("CLS-LOC", "Annotations/CLS-LOC", "ILSVRC/Annotations/CLS-LOC")
_PLACES = ("", "train", "val", "Annotation", *(f"{tree}/{split}" for tree in _TREES for split in ("train", "val")))

_OTHER_TASK = re.compile(r"DET|VID|ILSVRC\d{4}_(?:DET|VID)_.*")

# How many members of an archive, and how many class folders, are looked at to tell whether they hold annotations.
_SEEN = 16


def detect(path: Path) -> list[Detection]:
    """The box XML at a path: one detection an archive, one a folder that holds class folders or loose files."""
    if not path.is_dir():
        return _archive(path) if tar.is_tar(path) or tar.is_gzip(path) else []
    folders = (path / place for place in _PLACES)
    return [found for folder in folders if folder.is_dir() and (found := _folder(folder)) is not None]


def _archive(path: Path) -> list[Detection]:
    names = [PurePosixPath(name) for name in _first_names(path)]
    stems = [name.stem for name in names if _is_xml(name.name) and keeps_imagenet_name(name.stem)]
    if not stems or any(_of_other_task(name.parent) for name in names):
        return []
    return [_found(path, stems, f"an archive of box XML, the first {names[0]}")]


def _first_names(path: Path) -> list[str]:
    names: list[str] = []
    try:
        with tar.open_stream(path) as file:
            for member, _ in tar.stream(file, cap=0):
                if member.kind == "file" and not _is_hidden(member.name):
                    names.append(member.name)
                if len(names) == _SEEN or member.size > MAX_BYTES:
                    break
    except FormatError:
        pass  # what came before the break tells the form; the scan reports the break
    return names


def _folder(folder: Path) -> Detection | None:
    """What lies in one folder: class folders of XML, or loose XML."""
    if _of_other_task(PurePosixPath(folder.absolute())):
        return None
    wnids = _class_folders(folder)
    if any(_xml_names(folder / wnid) for wnid in wnids[:_SEEN]):
        found = _found(folder, [f"{wnid}_0" for wnid in wnids], f"{len(wnids):,} class folders of box XML")
        if found.dataset == "ilsvrc2012" and len(wnids) < 1000:
            return replace(found, missing=f"{1000 - len(wnids):,} of the 1,000 classes")
        return found
    stems = [stem for name in _xml_names(folder) if keeps_imagenet_name(stem := PurePosixPath(name).stem)]
    if not stems:
        return None
    found = _found(folder, stems, f"{len(stems):,} files of box XML, the first {stems[0]}.xml")
    if found.dataset == "ilsvrc2012" and found.splits == ("val",) and len(stems) < 50_000:
        return replace(found, missing=f"{50_000 - len(stems):,} of the 50,000 validation images")
    return found


def _found(path: Path, stems: Sequence[str], evidence: str) -> Detection:
    """A detection whose data set and splits are those that the names of the images speak for."""
    official = sorted({found for stem in stems if (found := official_split(stem)) is not None})
    wnids = {wnid for stem in stems if (wnid := wnid_of_stem(stem)) is not None}
    dataset = f"ilsvrc{official[0][0]}" if official else dataset_of(wnids)
    splits = {split for _, split in official} | ({"train"} if wnids and dataset.startswith("ilsvrc") else set())
    return Detection("box_xml", path, dataset, ("boxes",), evidence, tuple(sorted(splits)))


def _of_other_task(folder: PurePosixPath) -> bool:
    """Whether a folder is one of ILSVRC's detection tasks, by its name or that of the folder around it."""
    return any(_OTHER_TASK.fullmatch(part) for part in folder.parts[-2:])


def _class_folders(folder: Path) -> list[str]:
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if is_wnid(entry.name) and entry.is_dir())


def _xml_names(folder: Path) -> list[str]:
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if _is_xml(entry.name) and entry.is_file())


def _is_xml(name: str) -> bool:
    return name.lower().endswith(".xml") and not _is_hidden(name)


def _is_hidden(name: str) -> bool:
    """Whether a leading dot hides a file, as macOS does with the ._ files that it puts into its archives."""
    return name.rpartition("/")[2].startswith(".")


def units(found: Detection, source: str, root: Path) -> Iterator[Unit]:
    """One unit an archive, a class folder or a folder of loose files; class folders by wnid."""
    file = found.path.relative_to(root).as_posix()
    split = found.splits[0] if len(found.splits) == 1 else None
    whole = Unit("box_xml", source, str(root), "" if file == "." else file, found.dataset, split)
    if found.path.is_dir():
        wnids = _class_folders(found.path)
        for wnid in wnids:
            yield whole._replace(file=f"{whole.file}/{wnid}" if whole.file else wnid, wnid=wnid)
        if wnids and not _xml_names(found.path):
            return
        if is_wnid(found.path.name):
            whole = whole._replace(wnid=found.path.name)
    yield whole


def fingerprint(unit: Unit) -> str:
    """Name, size and time of what a unit reads."""
    return folder_fingerprint(unit) if unit.path.is_dir() else tar_fingerprint(unit)


def scan(unit: Unit) -> Iterator[tuple[str, pa.RecordBatch]]:
    """The boxes of a unit, and what is wrong with its files."""
    rows = AnnotationRows(unit)
    for _ in _scan_folder(unit, rows) if unit.path.is_dir() else _scan_archive(unit, rows):
        if rows.full():
            yield from rows.batches()
    yield from rows.batches()


def _scan_folder(unit: Unit, rows: AnnotationRows) -> Iterator[None]:
    """Gather the files of a folder by name; stops after each."""
    prefix = f"{unit.file}/" if unit.file else ""
    with os.scandir(unit.path) as entries:
        listed = sorted((entry.name, entry.is_file()) for entry in entries if not entry.is_dir())
    for entry, is_file in listed:
        name = os.fsencode(entry).decode("utf-8", "backslashreplace")
        if not is_file or not _is_xml(name):  # a pipe, which would be waited for, or a link to nothing
            if not (is_file and is_image_name(name)):
                rows.problem("stray_file", prefix + name, "a file that is no XML" if is_file else "no regular file")
            continue
        try:
            with (unit.path / entry).open("rb") as opened:
                data = opened.read(MAX_BYTES + 1)
        except OSError as error:
            rows.problem("unreadable_file", prefix + name, f"the file cannot be opened: {error.strerror}")
        else:
            rows.xml(data, name[: -len(".xml")], folder=unit.wnid, file=prefix + name)
        yield


def _scan_archive(unit: Unit, rows: AnnotationRows) -> Iterator[None]:
    """Gather the members of an archive in its order; stops after each."""
    seen: set[tuple[str, str]] = set()
    try:
        with tar.open_stream(unit.path) as file:
            for member, data in tar.stream(file, cap=MAX_BYTES):
                above, _, name = member.name.rpartition("/")
                if member.kind != "file" or not _is_xml(name):
                    if member.kind != "dir" and not (member.kind == "file" and is_image_name(name)):
                        rows.problem("stray_file", unit.file, f"a {member.kind}, not an XML file", member.name)
                    continue
                stem, folder = name[: -len(".xml")], above.rpartition("/")[2]
                if (folder, stem) in seen:
                    reason = "a second annotation of this image in this archive; the first is kept"
                    rows.problem("repeated_annotation", unit.file, reason, member.name, stem)
                elif data is None:
                    reason = f"the file has {member.size:,} bytes; at most {MAX_BYTES:,} are read"
                    rows.problem("xml_too_large", unit.file, reason, member.name, stem)
                else:
                    seen.add((folder, stem))
                    wnid = folder if is_wnid(folder) else None
                    rows.xml(data, stem, folder=wnid, file=unit.file, member=member.name)
                yield
    except FormatError as error:
        # The good members before the break are kept; the break is said.
        rows.problem(error.code, unit.file, str(error), error.member or None)
