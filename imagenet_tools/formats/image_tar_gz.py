"""Tars of images in one gzip stream, read in one pass and later by seek points: slow, and better gunzipped once.

winter21_whole.tar.gz           a tar of 19,167 class tars in one stream of 1.1 TB
    n00004475.tar
imagenet21k_resized.tar.gz      imagenet21k_resized/imagenet21k_train/n00005787/n00005787_10007.JPEG
imagenette2.tgz                 imagenette2/train/n01440764/n01440764_10026.JPEG, noisy_imagenette.csv beside
data/train_images_0.tar.gz      n01440764_10026_n01440764.JPEG, as the hub gave ILSVRC2012 before Parquet; 0 to 4, and
                                val_images, test_images
n01440764.tar.gz                one class tar, or a folder of class tars
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from imagenet_tools.containers import tar
from imagenet_tools.errors import FormatError
from imagenet_tools.formats._shared.contract import names_in, unit_at
from imagenet_tools.images.detection import MAX_SEEN_MEMBERS, detect_class_tars, detect_images, first_class_tar
from imagenet_tools.images.tar_scan import CLASS_TAR, STREAM_ADVICE, scan_tar
from imagenet_tools.text import count_of
from imagenet_tools.units import Detection, Reads, Unit, unit_file

READS = Reads(
    holds=("images",),
    beside=frozenset({"README.md", ".gitattributes", "classes.py", "imagenet-1k.py", "dataset_infos.json"}),
)

_HUB_FILE = re.compile(r"(?:train_images_\d+|val_images|test_images)\.tar\.gz")
_CLASS_FILE = re.compile(r"(n\d{8})(?:\.tar\.gz|\.tgz)")

# Inflated to identify the stream: some hundred images.
_LOOKED_AT_BYTES = 32 << 20


def detect(path: Path) -> list[Detection]:
    """Return the archive at a path, by the names of its first members; or a folder of class archives or of the hub."""
    if not path.is_dir():
        detections = [_detect_file(path)] if tar.is_gzip(path) else []
    elif (names := names_in(path, _CLASS_FILE.fullmatch)) and _detect_file(path / names[0]):
        archive = f"a folder of {count_of(len(names), 'class tar')}, each in gzip"
        detections = [detect_class_tars("image_tar_gz", path, [name[:9] for name in names], archive)]
    else:
        home = path / "data"
        detections = [_detect_file(home / name) for name in names_in(home, _HUB_FILE.fullmatch)]
    return [replace(detection, advice=STREAM_ADVICE) for detection in detections if detection]


def _detect_file(path: Path) -> Detection | None:
    names: list[str] = []
    with suppress(FormatError):  # the members before a break identify the archive; the scan reports the break
        for member in tar.members(path):
            if member.kind == "file":
                names.append(member.name)
            if len(names) == MAX_SEEN_MEMBERS or member.offset + member.size > _LOOKED_AT_BYTES:
                break
    if wnid := first_class_tar(names):
        archive = "a gzip stream of class tars, not counted"
        return detect_class_tars("image_tar_gz", path, [wnid], archive, all_seen=False)
    return detect_images("image_tar_gz", path, names, "a gzip stream")


def units(detection: Detection, source: str, root: Path) -> Iterator[Unit]:
    """Yield one unit for each stream: one process reads it from front to back."""
    if detection.path.is_dir():
        for name in names_in(detection.path, _CLASS_FILE.fullmatch):
            yield unit_at(detection, source, root, detection.path / name, wnid=name[:9])
    else:
        match = _CLASS_FILE.fullmatch(detection.path.name) or CLASS_TAR.fullmatch(detection.path.name)
        yield unit_at(detection, source, root, wnid=match[1] if match else None)


files = unit_file
scan = scan_tar
