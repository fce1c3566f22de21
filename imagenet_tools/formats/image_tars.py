"""Tars of images, never unpacked: a tar or a folder of class tars, one class tar, a flat tar, a tree in a tar.

ILSVRC2012_img_train.tar            a tar of class tars
    n01440764.tar
        n01440764_10026.JPEG        the number is neither of fixed width nor consecutive
fall11_whole.tar                    the same, 21,841 class tars; a few images, or a class tar, are wrapped in gzip
winter21_whole/n01440764.tar        a folder of class tars, as image-net.org gives winter 2021 class by class
n01440764.tar                       one class tar
ILSVRC2012_img_val.tar              ILSVRC2012_val_00000001.JPEG ... 00050000, flat, not in order
ILSVRC2012_img_test_v10102019.tar   test/ILSVRC2012_test_00000001.JPEG ... 00100000
imagenette2.tar                     imagenette2/train/n01440764/*.JPEG, a tree of class folders
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path

from imagenet_tools.containers import tar
from imagenet_tools.errors import FormatError
from imagenet_tools.formats._shared.contract import Tables, gathers, names_in, unit_at
from imagenet_tools.images.detection import MAX_SEEN_MEMBERS, detect_class_tars, detect_images, first_class_tar
from imagenet_tools.images.image_rows import ImageRows
from imagenet_tools.images.jpeg import reader_at
from imagenet_tools.images.samples import ends_in_texts
from imagenet_tools.images.tar_scan import CLASS_TAR, scan_tar
from imagenet_tools.storage.buckets import Remote, is_remote
from imagenet_tools.text import count_of
from imagenet_tools.units import Detection, Reads, Unit, unit_file
from imagenet_tools.wordnet.wnid import split_of_folder

READS = Reads(holds=("images",))

# Class tars, and images of each, whose names separate ILSVRC2012 from other sets of its classes.
_LOOKED_AT_TARS = 8
_LOOKED_AT_IMAGES = 16

# Members of a tar in a bucket that are looked at: each is a request, one after the other.
_REMOTE_MEMBERS = 64

# Unit.member of the unit for the tar around class tars: it reports the faults between them.
_OUTER = "/"


def detect(path: Path) -> list[Detection]:
    """Return the tars of images at a path, by the names of their first members, whatever the file is called."""
    if path.is_dir():
        files = names_in(path, CLASS_TAR.fullmatch)
        images = [name for file in files[:_LOOKED_AT_TARS] for name in _first_names(path / file, _LOOKED_AT_IMAGES)]
        archive = f"a folder of {count_of(len(files), 'class tar')}"
        wnids = [name[:9] for name in files]
        return [detect_class_tars("image_tars", path, wnids, archive, images=images)] if files else []
    if not tar.is_tar(path):
        return []
    names = _first_names(path)
    if first_class_tar(names):
        class_tars = list(_class_tars(path))
        images = [
            name
            for _, member in class_tars[:_LOOKED_AT_TARS]
            for name in _first_names(path, _LOOKED_AT_IMAGES, member.offset, member.offset + member.size)
        ]
        archive = f"a tar of {count_of(len(class_tars), 'class tar')}"
        return [detect_class_tars("image_tars", path, [wnid for wnid, _ in class_tars], archive, images=images)]
    most = _most(path)
    if len(names) == most and _is_shard(path):
        return []
    detection = detect_images("image_tars", path, names, "a tar", all_seen=len(names) < most)
    return [detection] if detection else []


def _most(path: Path) -> int:
    """Return the number of members of a tar that are looked at."""
    return _REMOTE_MEMBERS if is_remote(path) else MAX_SEEN_MEMBERS


def _first_names(path: Path, most: int | None = None, start: int = 0, end: int | None = None) -> list[str]:
    """Return the names of the first files in a tar, or in the part of a file from start to end."""
    if is_remote(path) and most is None:
        return list(_remote_names(path, *Remote(str(path)).status()))
    most = MAX_SEEN_MEMBERS if most is None else most
    names: list[str] = []
    # The members before a break identify the tar; the scan reports the break.
    with suppress(FormatError, PermissionError):
        files = (member.name for member in tar.walk(path, start=start, end=end) if member.kind == "file")
        names.extend(itertools.islice(files, most))
    return names


def _is_shard(path: Path) -> bool:
    """Return True if labels follow the images: a WebDataset shard that was not sorted."""
    if is_remote(path):
        remote = Remote(str(path))
        return ends_in_texts(remote.read, remote.size())
    with path.open("rb", buffering=0) as file:
        return ends_in_texts(reader_at(file.fileno(), 0), path.stat().st_size)


def _class_tars(path: Path) -> Iterable[tuple[str, tar.Member]]:
    """Return the class tars in a tar; also one that the end of the file cuts, for the whole images in it."""
    return _remote_class_tars(path, *Remote(str(path)).status()) if is_remote(path) else _walk_class_tars(path)


@cache
def _remote_names(path: Path, _size: int, _mtime_ns: int) -> tuple[str, ...]:
    """Return the names of the first files of a tar in a bucket, which are read once, not to detect it and again."""
    return tuple(_first_names(path, _REMOTE_MEMBERS))


@cache
def _remote_class_tars(path: Path, _size: int, _mtime_ns: int) -> tuple[tuple[str, tar.Member], ...]:
    """Return the class tars of a tar in a bucket, as _remote_names() does."""
    return tuple(_walk_class_tars(path))


def _walk_class_tars(path: Path) -> Iterator[tuple[str, tar.Member]]:
    with suppress(FormatError):  # the scan of the outer tar's unit reports it
        for member in tar.walk(path, cut=True):
            if member.kind == "file" and (match := CLASS_TAR.fullmatch(member.name)):
                yield match[1], member


def units(detection: Detection, source: str, root: Path) -> Iterator[Unit]:
    """Yield one unit for each class tar, in the archive's order, and one for the tar around; one for any other tar."""
    if detection.path.is_dir():
        for name in names_in(detection.path, CLASS_TAR.fullmatch):
            split = split_of_folder(detection.path.name)
            yield unit_at(detection, source, root, detection.path / name, split=split, wnid=name[:9])
        return
    if not first_class_tar(_first_names(detection.path)):
        match = CLASS_TAR.fullmatch(detection.path.name)
        yield unit_at(detection, source, root, wnid=match[1] if match else None)
        return
    seen: set[str] = set()
    for wnid, member in _class_tars(detection.path):
        # A class tar may be in the tar twice under one name. The offset makes the second unit's name unique.
        name = f"{member.name}@{member.offset}" if member.name in seen else member.name
        seen.add(name)
        yield unit_at(detection, source, root, wnid=wnid, member=name, offset=member.offset, length=member.size)
    yield unit_at(detection, source, root, member=_OUTER)


files = unit_file


def scan(unit: Unit) -> Tables:
    """Yield the images of a unit's tar; of the tar around class tars, only its problems."""
    return _scan_outer(unit) if unit.member == _OUTER else scan_tar(unit)


@gathers(ImageRows)
def _scan_outer(unit: Unit, rows: ImageRows) -> Iterator[None]:
    for member in tar.walk(unit.path, label=tar.ARCHIVE):
        if member.kind != "dir" and not (member.kind == "file" and CLASS_TAR.fullmatch(member.name)):
            rows.problem("stray_file", unit.file, f"a {member.kind}, not a class tar", member.name)
            yield
