"""Tars of images, never unpacked: a tar or a folder of class tars, one class tar, the flat tars of val and test.

ILSVRC2012_img_train.tar            a tar of class tars
    n01440764.tar
        n01440764_10026.JPEG        the number is neither of fixed width nor consecutive
winter21_whole/n01440764.tar        a folder of class tars
n01440764.tar                       one class tar
ILSVRC2012_img_val.tar              ILSVRC2012_val_00000001.JPEG ... 00050000, flat, not in order
ILSVRC2012_img_test_v10102019.tar   test/ILSVRC2012_test_00000001.JPEG ... 00100000
"""

from __future__ import annotations

import itertools
import re
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from imagenet_tools import tar
from imagenet_tools.containers import scan_tar, tar_fingerprint
from imagenet_tools.errors import FormatError
from imagenet_tools.rows import ImageRows, dataset_of
from imagenet_tools.units import Detection, Unit
from imagenet_tools.wnid import official_split, wnid_of_stem

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

_CLASS_TAR = re.compile(r"(?:.*/)?(n\d{8})\.tar")

# How many members are looked at to tell a tar of images from any other tar.
_SEEN = 8

# The unit that stands for an outer tar itself: it holds the faults of the archive around its class tars.
_OUTER = "/"


def detect(path: Path) -> list[Detection]:
    """The tars of images at a path, told by the names of their first members, whatever the file is called."""
    if path.is_dir():
        wnids = [found[1] for name in _names(path) if (found := _CLASS_TAR.fullmatch(name))]
        return [_of_classes(path, wnids, f"a folder of {len(wnids):,} class tars")] if wnids else []
    if not tar.is_tar(path):
        return []
    first = _first_names(path)
    if not first:
        return []
    if _CLASS_TAR.fullmatch(first[0]):
        wnids = [wnid for wnid, _ in _class_tars(path)]
        return [_of_classes(path, wnids, f"a tar of {len(wnids):,} class tars")]
    stems = [PurePosixPath(name).stem for name in first]
    official = official_split(stems[0])
    if official is not None and all(official_split(stem) == official for stem in stems):
        year, split = official
        evidence = f"a flat tar of ILSVRC{year} {split} images, the first {first[0]}"
        return [Detection("image_tars", path, f"ilsvrc{year}", ("images",), evidence, (split,))]
    wnid = wnid_of_stem(stems[0])
    if wnid is not None and all(wnid_of_stem(stem) == wnid for stem in stems):
        return [_of_classes(path, [wnid], "a tar of one class")]
    return []


def _names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def _first_names(path: Path) -> list[str]:
    names: list[str] = []
    try:
        files = (member.name for member in tar.walk(path) if member.kind == "file")
        names.extend(itertools.islice(files, _SEEN))
    except FormatError:
        pass  # what came before the break tells the form; the scan reports the break
    return names


def _class_tars(path: Path) -> Iterator[tuple[str, tar.Member]]:
    try:
        for member in tar.walk(path):
            if member.kind == "file" and (found := _CLASS_TAR.fullmatch(member.name)):
                yield found[1], member
    except FormatError:
        return  # reported by the scan of the unit that stands for the outer tar


def _of_classes(path: Path, wnids: list[str], what: str) -> Detection:
    dataset = dataset_of(wnids)
    splits: tuple[str, ...] = ()
    missing = ""
    if dataset == "ilsvrc2012":
        splits = ("train",)
        missing = f"{1000 - len(wnids):,} of the 1,000 classes" if len(wnids) < 1000 else ""
    return Detection("image_tars", path, dataset, ("images",), f"{what}, {wnids[0]} first", splits, missing)


def units(found: Detection, source: str, root: Path) -> Iterator[Unit]:
    """One unit a class tar, in the order of the archive, and one for the tar around them; one a flat tar."""
    file = found.path.relative_to(root).as_posix()
    whole = Unit("image_tars", source, str(root), file, found.dataset)
    if found.path.is_dir():
        prefix = "" if file == "." else f"{file}/"
        for name in _names(found.path):
            if entry := _CLASS_TAR.fullmatch(name):
                yield whole._replace(file=prefix + name, wnid=entry[1])
        return
    first = _first_names(found.path)[0]
    if not _CLASS_TAR.fullmatch(first):
        yield whole._replace(wnid=wnid_of_stem(PurePosixPath(first).stem))
        return
    for wnid, member in _class_tars(found.path):
        yield whole._replace(wnid=wnid, member=member.name, offset=member.offset, length=member.size)
    yield whole._replace(member=_OUTER)


fingerprint = tar_fingerprint


def scan(unit: Unit) -> Iterator[tuple[str, pa.RecordBatch]]:
    """The images of a unit's tar; of the tar around class tars, only what is wrong with it."""
    if unit.member != _OUTER:
        yield from scan_tar(unit)
        return
    rows = ImageRows(unit)
    try:
        for member in tar.walk(unit.path):
            if member.kind != "dir" and not (member.kind == "file" and _CLASS_TAR.fullmatch(member.name)):
                rows.problem("stray_file", unit.file, f"a {member.kind}, not a class tar", member.name)
    except FormatError as error:
        rows.problem(error.code, unit.file, str(error))
    yield from rows.batches()
