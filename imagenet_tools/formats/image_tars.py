"""Tars of images, never unpacked: a tar or a folder of class tars, one class tar, a flat tar, a tree in a tar.

ILSVRC2012_img_train.tar            a tar of class tars
    n01440764.tar
        n01440764_10026.JPEG        the number is neither of fixed width nor consecutive
fall11_whole.tar                    likewise, 21,841; a few images, or a class tar, are wrapped in gzip
winter21_whole/n01440764.tar        a folder of class tars, as image-net.org gives winter 2021 class by class
n01440764.tar                       one class tar
ILSVRC2012_img_val.tar              ILSVRC2012_val_00000001.JPEG ... 00050000, flat, not in order
ILSVRC2012_img_test_v10102019.tar   test/ILSVRC2012_test_00000001.JPEG ... 00100000
imagenette2.tar                     imagenette2/train/n01440764/*.JPEG, a tree of class folders
"""

from __future__ import annotations

import itertools
import os
from typing import TYPE_CHECKING

from imagenet_tools.containers import tar
from imagenet_tools.errors import FormatError
from imagenet_tools.images import image_scan
from imagenet_tools.images.image_archives import SEEN, first_class, of_class_tars, of_images
from imagenet_tools.images.image_rows import ImageRows
from imagenet_tools.images.image_scan import CLASS_TAR, scan_tar
from imagenet_tools.images.samples import ends_in_texts
from imagenet_tools.units import Reads, Unit, unit_file
from imagenet_tools.wordnet.wnid import split_of_folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pyarrow as pa

    from imagenet_tools.units import Detection

READS = Reads(
    holds=("images",),
    problems=image_scan.PROBLEMS,
)

# Class tars, and images of each, whose names are looked at to tell ILSVRC2012 from other sets of its classes.
_LOOKED_INTO = 8
_NAMES_OF_A_CLASS = 16

# The unit that stands for an outer tar itself: it holds the faults of the archive around its class tars.
_OUTER = "/"


def detect(path: Path) -> list[Detection]:
    """The tars of images at a path, told by the names of their first members, whatever the file is called."""
    if path.is_dir():
        files = _class_files(path)
        if not files:
            return []
        images = [name for file in files[:_LOOKED_INTO] for name in _first_names(path / file, _NAMES_OF_A_CLASS)]
        wnids = [name[:9] for name in files]
        what = f"a folder of {len(wnids):,} class tars"
        return [of_class_tars("image_tars", path, wnids, what, images=images)]
    if not tar.is_tar(path):
        return []
    names = _first_names(path)
    if first_class(names):
        inner = list(_class_tars(path))
        images = [
            name
            for _, member in inner[:_LOOKED_INTO]
            for name in _first_names(path, _NAMES_OF_A_CLASS, member.offset, member.offset + member.size)
        ]
        what = f"a tar of {len(inner):,} class tars"
        return [of_class_tars("image_tars", path, [wnid for wnid, _ in inner], what, images=images)]
    if len(names) == SEEN and _is_shard(path):
        return []
    found = of_images("image_tars", path, names, "a tar", all_seen=len(names) < SEEN)
    return [found] if found else []


def _class_files(folder: Path) -> list[str]:
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if CLASS_TAR.fullmatch(entry.name))


def _first_names(path: Path, most: int = SEEN, start: int = 0, end: int | None = None) -> list[str]:
    """The names of the first files in a tar, or in the part of a file from start to end."""
    names: list[str] = []
    try:
        files = (member.name for member in tar.walk(path, start=start, end=end) if member.kind == "file")
        names.extend(itertools.islice(files, most))
    except (FormatError, PermissionError):
        pass  # what came before the break tells the form; the scan reports the break
    return names


def _is_shard(path: Path) -> bool:
    """Return True if labels follow the images: a WebDataset shard that was not sorted."""
    with path.open("rb", buffering=0) as file:
        return ends_in_texts(file.fileno())


def _class_tars(path: Path) -> Iterator[tuple[str, tar.Member]]:
    """The class tars in a tar; the one that its end cuts too, for the whole images in it."""
    try:
        for member in tar.walk(path, cut=True):
            if member.kind == "file" and (found := CLASS_TAR.fullmatch(member.name)):
                yield found[1], member
    except FormatError:
        return  # reported by the scan of the unit that stands for the outer tar


def units(found: Detection, source: str, root: Path) -> Iterator[Unit]:
    """One unit a class tar, in the order of the archive, and one for the tar around them; one a flat tar or a tree."""
    file = found.path.relative_to(root).as_posix()
    whole = Unit("image_tars", source, str(root), file, found.dataset)
    if found.path.is_dir():
        prefix = "" if file == "." else f"{file}/"
        split = split_of_folder(found.path.name)
        for name in _class_files(found.path):
            yield whole._replace(file=prefix + name, split=split, wnid=name[:9])
        return
    if not first_class(_first_names(found.path)):
        named = CLASS_TAR.fullmatch(found.path.name)
        yield whole._replace(wnid=named[1] if named else None)
        return
    seen: set[str] = set()
    for wnid, member in _class_tars(found.path):
        # A class tar that was added to the tar once more has the name of the first; a unit has one of its own.
        name = f"{member.name}@{member.offset}" if member.name in seen else member.name
        seen.add(name)
        yield whole._replace(wnid=wnid, member=name, offset=member.offset, length=member.size)
    yield whole._replace(member=_OUTER)


files = unit_file


def scan(unit: Unit) -> Iterator[tuple[str, pa.RecordBatch]]:
    """The images of a unit's tar; of the tar around class tars, only what is wrong with it."""
    if unit.member != _OUTER:
        yield from scan_tar(unit)
        return
    rows = ImageRows(unit)
    with unit.path.open("rb", buffering=0) as file:
        try:
            for member in tar.walk(file.fileno()):
                if member.kind != "dir" and not (member.kind == "file" and CLASS_TAR.fullmatch(member.name)):
                    rows.problem("stray_file", unit.file, f"a {member.kind}, not a class tar", member.name)
        except FormatError as error:
            rows.problem(error.code, unit.file, str(error), error.member or None)
    yield from rows.batches()
