"""Class folders: read as people hold them, written as torchvision's ImageFolder and every classifier reads them.

root/train/n01440764/n01440764_10026.JPEG       <split>/<wnid>/<image>
root/val/n01440764/ILSVRC2012_val_00000293.JPEG
root/n01440764/n01440764_10026.JPEG             or a bare folder of wnid folders
root/Train/n01440764-tench/night/1.JPEG         a split in any case; a word behind the wnid; images in folders below
root/meta.bin                                   where --meta-bin asks: torchvision's ImageNet then needs no devkit
"""

from __future__ import annotations

import importlib.util
import io
import re
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from imagenet_tools.catalogue.releases import RELEASES
from imagenet_tools.errors import ExportError
from imagenet_tools.exports.writer import Loaded, Writes
from imagenet_tools.formats._shared import class_folder_layout
from imagenet_tools.images import folder_scan
from imagenet_tools.images.class_folders import class_folders, image_names, split_folders
from imagenet_tools.images.folder_scan import folder_files, scan_folder
from imagenet_tools.images.told_set import SORT_TINY, TINY, TINY_RELEASED, are_tiny, folder_names, set_of
from imagenet_tools.units import Detection, Labelling, Reads, Unit
from imagenet_tools.wordnet import wordnet
from imagenet_tools.wordnet.wnid import is_split_folder, split_of_folder, task_of, wnid_of_folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from imagenet_tools.catalogue.releases import Verdict
    from imagenet_tools.exports.job import Job
    from imagenet_tools.exports.plan import Plan

READS = Reads(
    holds=("images",),
    problems=folder_scan.PROBLEMS,
)

# Images of each class folder whose names are looked at.
_NAMES_OF_A_CLASS = 16


class _Place(NamedTuple):
    """The class folders in a folder of a split, or in the path itself."""

    name: str  # of the split's folder; "" for the path itself
    folders: list[str]  # those with images
    empty: list[str]  # those without
    images: list[str]  # some images, relative to the path

    @property
    def text(self) -> str:
        """The numbers of its class folders in words."""
        of, first = (f"{self.name}/ with ", "") if self.name else ("", f", {self.folders[0]} first")
        few = ", ".join(self.empty[:3]) + (" ..." if len(self.empty) > 3 else "")
        without = f", and {len(self.empty):,} without images ({few})" if self.empty else ""
        return f"{of}{len(self.folders):,} class folders{first}{without}"


def detect(path: Path) -> list[Detection]:
    """The class folders directly in a folder, and those in its train, val and test."""
    if not path.is_dir() or _is_of_21k_p(path.name) or task_of(path.absolute()):
        return []
    if wnid_of_folder(path.name) and "/" not in next(iter(image_names(path, 1)), "/"):
        return []  # a class folder itself: flat_folder reads it with the folders below
    homes = [home for home in (path, path / "val") if (home / "val_annotations.txt").is_file()]
    if any(image_names(home / "images", 1) for home in homes):
        return [Detection("image_folder", path, TINY, (), TINY_RELEASED, advice=SORT_TINY)]
    places = [_place(path, name, folders) for name, folders in _splits(path).items()]
    if not places:
        return []
    verdict = _verdict(path, places)
    own = [_verdict(path, [place]).own for place in places]
    if verdict.dataset != TINY and any(own) and not all(own):
        # A test set beside ILSVRC's train is a data set of its own.
        return [found for place in places if place.name for found in detect(path / place.name)]
    splits = tuple(dict.fromkeys(split for place in places if (split := _split(path, place.name))))
    classes = RELEASES[verdict.dataset].classes if verdict.dataset in RELEASES else 0
    lacking = {place.name: classes - len(place.folders) for place in places if verdict.dataset != "imagenet21k"}
    missing = "; ".join(
        f"{n:,} of the {classes:,} classes{f' in {name}/' if name else ''}" for name, n in lacking.items() if n > 0
    )
    by = Labelling("class folders", verdict.dataset)
    evidence = f"{', '.join(place.text for place in places)}; {verdict.why}"
    return [
        Detection("image_folder", path, verdict.dataset, ("images",), evidence, splits, missing, by, verdict.readings)
    ]


def _is_of_21k_p(name: str) -> bool:
    """Whether a folder is one of ImageNet-21K-P's, which is a form of its own."""
    return is_split_folder(name) and name.startswith("imagenet21k_")


def _splits(path: Path) -> dict[str, list[str]]:
    """The class folders by the folder of the split that they lie in; "" for the path itself."""
    names = [name for name in split_folders(path) if not _is_of_21k_p(name)]
    return {name: folders for name in ("", *names) if (folders := class_folders(path / name))}


def _split(path: Path, name: str) -> str | None:
    return split_of_folder(name or path.name)


def _place(path: Path, name: str, folders: list[str]) -> _Place:
    """Look at every class folder of a split."""
    place = _Place(name, [], [], [])
    for folder in folders:
        images = image_names(path / name / folder, _NAMES_OF_A_CLASS)
        (place.folders if images else place.empty).append(folder)
        place.images.extend(f"{name}/{folder}/{image}".lstrip("/") for image in images)
    return place


def _verdict(path: Path, places: list[_Place]) -> Verdict:
    """The data set that the class folders of some splits speak for."""
    wnids = {folder[:9] for place in places for folder in place.folders}
    images = [image for place in places for image in place.images]
    return set_of(wnids, images, folder_names(path), tiny=lambda: are_tiny([path / image for image in images]))


def units(found: Detection, source: str, root: Path) -> Iterator[Unit]:
    """One unit a class folder, by split and wnid."""
    for name, folders in _splits(found.path).items():
        for folder in folders:
            file = (found.path / name / folder).relative_to(root).as_posix()
            split = _split(found.path, name)
            yield Unit("image_folder", source, str(root), file, found.dataset, split, folder[:9])


files = folder_files
scan = scan_folder


WRITES = Writes(
    keeps=("image_id", "wnid", "split", "length", "width", "height", "mode", "encoding", "orientation"),
    by_folder=True,
    files_per_image=1,
)


def hazards(plan: Plan) -> Iterator[str]:
    """What torchvision's ImageFolder does not forgive, and where timm numbers otherwise."""
    if any(len(found) < len(plan.classes) for found in plan.tallies.values()):
        yield "a class folder without images stops torchvision's ImageFolder unless it is told allow_empty=True"
    folders = [one.folder for one in plan.classes]
    if sorted(folders, key=_natural) != folders:
        yield (
            "timm sorts folders without regard to case, and digits as numbers: its class indices are not those of "
            "classes.json, which ImageFolder and imagefolder have. --names wnid is the same for all"
        )
    if plan.options.meta_bin:
        _check_meta_bin(plan)


def _natural(folder: str) -> list[tuple[bool, int, str]]:
    """What timm sorts folders by."""
    return [(part.isdigit(), int(part) if part.isdigit() else 0, part) for part in re.split(r"(\d+)", folder.lower())]


def _check_meta_bin(plan: Plan) -> None:
    """What is found wrong before anything is written: torch is missing, or folders are called by names."""
    if importlib.util.find_spec("torch") is None:
        message = "--meta-bin: torch, which writes it, is not installed here. Install torch, or leave the option out."
        raise ExportError(message)
    other = next((one for one in plan.classes if one.folder != one.wnid), None)
    if other is not None:
        message = f"--meta-bin: torchvision's ImageNet looks for folders called by wnids; found {other.folder}, "
        raise ExportError(message + f"expected {other.wnid}. Leave --names out.")


open_shard = class_folder_layout.open_shard


def finish(job: Job) -> None:
    """The folders of all classes, and meta.bin where it is asked for."""
    class_folder_layout.finish(job)
    if job.plan.options.meta_bin:
        job.write("meta.bin", _meta_bin(job))


def _meta_bin(job: Job) -> bytes:
    """What torchvision makes of the devkit: the words of each wnid, and the wnids of the val images by name."""
    import torch

    words = {
        one.wnid: tuple(lemma.replace("_", " ") for lemma in wordnet.synset(one.wnid).lemmas)
        for one in job.plan.classes
    }
    val = [wnid for _, wnid in sorted((row.stem, row.wnid) for row in job.rows("val"))]
    out = io.BytesIO()
    torch.save((words, val), out)
    return out.getvalue()


read_back = class_folder_layout.read_back


def load(root: Path) -> Loaded:
    """What torchvision's ImageFolder finds in each split."""
    import torchvision
    from torchvision.datasets import ImageFolder

    counts, classes = {}, None
    for split in sorted(path for path in root.iterdir() if path.is_dir()):
        found = ImageFolder(str(split), allow_empty=True)
        counts[split.name] = Counter(found.targets)
        classes = tuple(found.classes)
    return Loaded(f"torchvision {torchvision.__version__} ImageFolder", classes, "folder", counts)
