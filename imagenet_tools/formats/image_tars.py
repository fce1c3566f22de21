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
import re
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import lru_cache
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

READS = Reads(
    holds=("images",),
    problems={
        "class_tars_unread": "class tars that were added to a tar while it was indexed; the next build reads them"
    },
)

# Class tars, and images of each, whose names separate ILSVRC2012 from other sets of its classes.
_LOOKED_AT_TARS = 8
_LOOKED_AT_IMAGES = 16

# Members of a tar in a bucket that are looked at: each is a request, one after the other.
_REMOTE_MEMBERS = 64

# The `member` of the unit that reports the faults between the class tars in a tar: a slash, and the number of these.
_OUTER = re.compile(r"/(\d+)")


def detect(path: Path) -> list[Detection]:
    """Return the tars of images at a path, by the names of their first members, whatever the file is called."""
    if path.is_dir():
        files = names_in(path, CLASS_TAR.fullmatch)
        images = _names_in([(path / file, 0, None) for file in files[:_LOOKED_AT_TARS]])
        archive = f"a folder of {count_of(len(files), 'class tar')}"
        wnids = [name[:9] for name in files]
        return [detect_class_tars("image_tars", path, wnids, archive, images=images)] if files else []
    if not tar.is_tar(path):
        return []
    members = _members(path)
    names = _file_names(members)
    if first_class_tar(names):
        class_tars = _class_tars(path)
        first_tars = [member for _, member in class_tars[:_LOOKED_AT_TARS]]
        images = _names_in([(path, member.offset, member.offset + member.size) for member in first_tars])
        archive = f"a tar of {count_of(len(class_tars), 'class tar')}"
        return [detect_class_tars("image_tars", path, [wnid for wnid, _ in class_tars], archive, images=images)]
    all_seen = len(members) < _most(path)
    if not all_seen and _is_shard(path):
        return []
    detection = detect_images("image_tars", path, names, "a tar", all_seen=all_seen)
    return [detection] if detection else []


def _most(path: Path) -> int:
    """Return the number of members of a tar that are looked at."""
    return _REMOTE_MEMBERS if is_remote(path) else MAX_SEEN_MEMBERS


def _file_names(members: Iterable[tar.Member]) -> list[str]:
    return [member.name for member in members if member.kind == "file"]


def _names_in(class_tars: Sequence[tuple[Path, int, int | None]]) -> list[str]:
    """Return the names of a few files in each of some class tars, which are ranges of files."""
    with ThreadPoolExecutor(_LOOKED_AT_TARS) as threads:  # a slow disk then makes one tar wait, not all of them
        return list(itertools.chain.from_iterable(threads.map(_first_names, class_tars)))


def _first_names(class_tar: tuple[Path, int, int | None]) -> list[str]:
    path, start, end = class_tar
    names: list[str] = []
    with suppress(FormatError, PermissionError):
        files = (member.name for member in tar.walk(path, start=start, end=end) if member.kind == "file")
        names.extend(itertools.islice(files, _LOOKED_AT_IMAGES))
    return names


def _is_shard(path: Path) -> bool:
    """Return True if labels follow the images: a WebDataset shard that was not sorted."""
    if is_remote(path):
        remote = Remote(str(path))
        return ends_in_texts(remote.read, remote.size())
    with path.open("rb", buffering=0) as file:
        return ends_in_texts(reader_at(file.fileno(), 0), path.stat().st_size)


def _class_tars(path: Path) -> list[tuple[str, tar.Member]]:
    """Return the class tars in a tar; also one that the end of the file cuts, for the whole images in it."""
    matches = ((CLASS_TAR.fullmatch(member.name), member) for member in _members(path) if member.kind == "file")
    return [(match[1], member) for match, member in matches if match]


def _members(path: Path) -> tuple[tar.Member, ...]:
    """Return the members of a tar of class tars, or the first members of any other tar."""
    if is_remote(path):
        return _members_of(path, *Remote(str(path)).status())
    status = path.stat()
    return _members_of(path, status.st_size, status.st_mtime_ns)


# Each header is a request, one after the other. It is not read once to detect the tar, and again to cut it into units.
@lru_cache(maxsize=16)
def _members_of(path: Path, size: int, _mtime_ns: int) -> tuple[tar.Member, ...]:
    members: list[tar.Member] = []
    # The members before a break identify the tar; the scan reports the break.
    with suppress(FormatError, PermissionError):
        walk = tar.walk(path, cut=True)
        members.extend(itertools.islice(walk, _most(path)))
        if first_class_tar(_file_names(members)):
            members.extend(walk)
    # A class tar that is cut has whole images; an image that is cut identifies nothing.
    whole = [member for member in members if member.offset + member.size <= size]
    return tuple(members if first_class_tar(_file_names(whole)) else whole)


def units(detection: Detection, source: str, root: Path) -> Iterator[Unit]:
    """Yield one unit for each class tar, in the archive's order, and one for the tar around; one for any other tar."""
    if detection.path.is_dir():
        for name in names_in(detection.path, CLASS_TAR.fullmatch):
            split = split_of_folder(detection.path.name)
            yield unit_at(detection, source, root, detection.path / name, split=split, wnid=name[:9])
        return
    if not first_class_tar(_file_names(_members(detection.path))):
        match = CLASS_TAR.fullmatch(detection.path.name)
        yield unit_at(detection, source, root, wnid=match[1] if match else None)
        return
    seen: set[str] = set()
    class_tars = _class_tars(detection.path)
    for wnid, member in class_tars:
        # A class tar may be in the tar twice under one name. The offset makes the second unit's name unique.
        name = f"{member.name}@{member.offset}" if member.name in seen else member.name
        seen.add(name)
        yield unit_at(detection, source, root, wnid=wnid, member=name, offset=member.offset, length=member.size)
    yield unit_at(detection, source, root, member=f"/{len(class_tars)}")


files = unit_file


def scan(unit: Unit) -> Tables:
    """Yield the images of a unit's tar; of the tar around class tars, only its problems."""
    return _scan_outer(unit) if _OUTER.fullmatch(unit.member) else scan_tar(unit)


@gathers(ImageRows)
def _scan_outer(unit: Unit, rows: ImageRows) -> Iterator[None]:
    n_class_tars, n_units = 0, int(unit.member[1:])
    for member in tar.walk(unit.path, label=tar.ARCHIVE):
        if member.kind == "file" and CLASS_TAR.fullmatch(member.name):
            n_class_tars += 1
        elif member.kind != "dir":
            rows.problem("stray_file", unit.file, f"a {member.kind}, not a class tar", member.name)
            yield
    if n_class_tars > n_units:
        counts = f"found {count_of(n_class_tars, 'class tar')}, and {n_units:,} when this build began"
        rows.problem(
            "class_tars_unread", unit.file, f"{counts}: the tar was still being written. Build the index again"
        )
