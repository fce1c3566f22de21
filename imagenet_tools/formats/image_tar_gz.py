"""Tars of images in one gzip stream, read in one pass and then by seek points: slow, and better gunzipped once.

winter21_whole.tar.gz           a tar of 19,167 class tars in one stream of 1.1 TB
    n00004475.tar
imagenet21k_resized.tar.gz      imagenet21k_resized/imagenet21k_train/n00005787/n00005787_10007.JPEG
imagenette2.tgz                 imagenette2/train/n01440764/n01440764_10026.JPEG, noisy_imagenette.csv beside
data/train_images_0.tar.gz      n01440764_10026_n01440764.JPEG, as the hub gave ILSVRC2012 before Parquet; 0 to 4, and
                                val_images, test_images
n01440764.tar.gz                one class tar, or a folder of such
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from imagenet_tools.containers import tar
from imagenet_tools.errors import FormatError
from imagenet_tools.images import image_scan
from imagenet_tools.images.image_archives import SEEN, first_class, of_class_tars, of_images
from imagenet_tools.images.image_scan import CLASS_TAR, scan_tar
from imagenet_tools.units import Reads, Unit, unit_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from imagenet_tools.units import Detection

READS = Reads(
    holds=("images",),
    beside=frozenset({"README.md", ".gitattributes", "classes.py", "imagenet-1k.py", "dataset_infos.json"}),
    problems=image_scan.PROBLEMS,
)


_HUB_FILE = re.compile(r"(?:train_images_\d+|val_images|test_images)\.tar\.gz")
_CLASS_FILE = re.compile(r"(n\d{8})(?:\.tar\.gz|\.tgz)")

# Bytes of the stream that are inflated to see what it is: some hundred images.
_LOOKED_AT = 32 << 20

_ADVICE = (
    "gunzip it once and index the tar: each image is then a byte range, read at once; in the stream an image costs the "
    "inflating of some megabytes before it, and all but the first pass needs seek points"
)


def detect(path: Path) -> list[Detection]:
    """The archive at a path, told by the names of its first members; or a folder of one a class."""
    if path.is_dir():
        return _of_folder(path) or [one for file in _of_the_hub(path) if (one := _of_file(file))]
    found = _of_file(path) if tar.is_gzip(path) else None
    return [found] if found else []


def _of_folder(path: Path) -> list[Detection]:
    names = _class_files(path)
    if not names or _of_file(path / names[0]) is None:
        return []
    wnids = [name[:9] for name in names]
    found = of_class_tars("image_tar_gz", path, wnids, f"a folder of {len(names):,} class tars, each in gzip")
    return [_advised(found)]


def _of_the_hub(path: Path) -> list[Path]:
    """The archives in the folder data/ of a repository of the hub."""
    return sorted(file for file in (path / "data").glob("*.tar.gz") if _HUB_FILE.fullmatch(file.name))


def _class_files(path: Path) -> list[str]:
    return sorted(entry.name for entry in path.iterdir() if _CLASS_FILE.fullmatch(entry.name))


def _of_file(path: Path) -> Detection | None:
    names = _first_names(path)
    if first := first_class(names):
        what = "a gzip stream of class tars, not counted"
        return _advised(of_class_tars("image_tar_gz", path, [first], what, all_seen=False))
    found = of_images("image_tar_gz", path, names, "a gzip stream")
    return _advised(found) if found else None


def _advised(found: Detection) -> Detection:
    return replace(found, advice=_ADVICE)


def _first_names(path: Path) -> list[str]:
    names: list[str] = []
    try:
        for member in tar.members(path):
            if member.kind == "file":
                names.append(member.name)
            if len(names) == SEEN or member.offset + member.size > _LOOKED_AT:
                break
    except FormatError:
        pass  # what came before the break tells the form; the scan reports the break
    return names


def units(found: Detection, source: str, root: Path) -> Iterator[Unit]:
    """One unit a stream, which one process reads from front to back."""
    file = found.path.relative_to(root).as_posix()
    whole = Unit("image_tar_gz", source, str(root), "" if file == "." else file, found.dataset)
    if not found.path.is_dir():
        named = _CLASS_FILE.fullmatch(found.path.name) or CLASS_TAR.fullmatch(found.path.name)
        yield whole._replace(wnid=named[1] if named else None)
        return
    for name in _class_files(found.path):
        yield whole._replace(file=f"{whole.file}/{name}" if whole.file else name, wnid=name[:9])


files = unit_file
scan = scan_tar
