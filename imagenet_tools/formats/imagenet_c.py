"""ImageNet-C: ILSVRC2012's validation images, corrupted in 15 ways and 4 more, at 5 severities each, 224 by 224 pixels.

    noise.tar                                                       or unpacked; and blur, weather, digital, extra
    gaussian_noise/1/n01440764/ILSVRC2012_val_00000293.JPEG         <corruption>/<severity>/<wnid>/<image>

The images have other bytes than those of ILSVRC2012 with these names, and each name is there 95 times. So an image has
the id gaussian_noise-1-ILSVRC2012_val_00000293, and a photo of its own. In SQL, split_part(image_id, '-', 1) is the
corruption, and split_part(image_id, '-', 2) the severity.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from imagenet_tools.containers import tar
from imagenet_tools.formats._shared.contract import Tables, names_in, unit_at
from imagenet_tools.images.class_folders import class_folders
from imagenet_tools.images.detection import CORRUPTIONS, SEVERITIES, is_corrupted, is_severity_folder
from imagenet_tools.images.folder_scan import folder_files, scan_folder
from imagenet_tools.images.image_rows import ImageRows
from imagenet_tools.images.jpeg import ImageFacts
from imagenet_tools.images.tar_scan import scan_tar
from imagenet_tools.text import count_of, lacking
from imagenet_tools.units import Detection, Labelling, Reads, Unit

READS = Reads(
    holds=("images",),
    problems={"no_corruption": "an image that is in no folder of a corruption and a severity; its id is its name"},
)

_DATASET = "imagenet-c"
_N_CLASSES = 1_000


def detect(path: Path) -> list[Detection]:
    """Return the corruptions in a folder, or the corruption or severity that it is; or a tar of them."""
    if not path.is_dir():
        return _detect_tar(path) if tar.is_tar(path) else []
    folders = _severities(path)
    if not folders:
        return []
    corruptions = sorted({folder.absolute().parent.name for folder in folders})
    n = len(class_folders(folders[0]))
    evidence = (
        f"{count_of(len(corruptions), 'corruption')} of validation images, {', '.join(corruptions)}, in "
        f"{count_of(len(folders), 'folder')} of severities, the first with {count_of(n, 'class folder')}"
    )
    return [_detection(path, evidence, lacking(n, _N_CLASSES, "classes"))]


def _detect_tar(path: Path) -> list[Detection]:
    first = tar.first_file(path)
    evidence = f"a tar of corrupted validation images, the first {first}"
    return [_detection(path, evidence)] if is_corrupted(first) else []


def _detection(path: Path, evidence: str, missing: str = "") -> Detection:
    about = (f"{evidence}: ImageNet-C", ("val",), missing, Labelling("class folders", "ilsvrc2012"))
    return Detection("imagenet_c", path, _DATASET, ("images",), *about)


def _severities(path: Path) -> list[Path]:
    """Return the folders of severities at a path, by corruption and severity."""
    if is_severity_folder(path):
        return [path]
    is_corruption = path.absolute().name in CORRUPTIONS
    corruptions = (
        [path] if is_corruption else [path / name for name in names_in(path, CORRUPTIONS.__contains__, folders=True)]
    )
    places = [corruption / severity for corruption in corruptions for severity in SEVERITIES]
    return [place for place in places if is_severity_folder(place)]


def units(detection: Detection, source: str, root: Path) -> Iterator[Unit]:
    """Yield one unit for each class folder, by corruption, severity and wnid, or one for a tar."""
    if not detection.path.is_dir():
        yield unit_at(detection, source, root, split="val")
        return
    for folder in _severities(detection.path):
        member = "/".join(folder.absolute().parts[-2:])
        for name in class_folders(folder):
            yield unit_at(detection, source, root, folder / name, split="val", wnid=name[:9], member=member)


files = folder_files


def scan(unit: Unit) -> Tables:
    """Yield the images of a class folder or of a tar, and the problems of its files."""
    rows = _CorruptedRows(unit)
    return scan_folder(unit, rows) if unit.path.is_dir() else scan_tar(unit, rows)


class _CorruptedRows(ImageRows):
    """Gathers images whose ids begin with a corruption and a severity."""

    def add(self, stem: str, *, file: str, member: str | None = None, **values: Any) -> ImageFacts:
        """Add an image with the corruption and severity of its unit, or of its place in the tar."""
        place = self.unit.member.split("/") if self.unit.member else PurePosixPath(member or "").parts[-4:-2]
        if not self.unit.member and not is_corrupted(member or ""):
            self.problem("no_corruption", file, "expected <corruption>/<severity>/<wnid>/<image>", member, stem)
            place = ()
        return super().add("-".join((*place, stem)), file=file, member=member, **values)
