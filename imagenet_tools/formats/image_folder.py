"""Class folders: read as people hold them, written as torchvision's ImageFolder and every classifier reads them.

root/train/n01440764/n01440764_10026.JPEG       <split>/<wnid>/<image>
root/val/n01440764/ILSVRC2012_val_00000293.JPEG
root/n01440764/n01440764_10026.JPEG             or a bare folder of wnid folders
root/meta.bin                                   where --meta-bin asks: torchvision's ImageNet then needs no devkit
"""

from __future__ import annotations

import importlib.util
import io
import re
from collections import Counter
from typing import TYPE_CHECKING

from imagenet_tools import wordnet
from imagenet_tools.errors import ExportError
from imagenet_tools.exports import class_folder_layout
from imagenet_tools.exports.writer import Loaded
from imagenet_tools.images import folder_scan
from imagenet_tools.images.class_folders import class_folders
from imagenet_tools.images.folder_scan import folder_files, scan_folder
from imagenet_tools.published.releases import RELEASES, release_of
from imagenet_tools.units import Detection, Labelling, Unit
from imagenet_tools.wnid import SPLIT_FOLDERS, task_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from imagenet_tools.exports.job import Job
    from imagenet_tools.exports.plan import Plan

HOLDS = ("images",)
PROBLEMS = folder_scan.PROBLEMS

# What people call the splits; those of ImageNet-21K-P are a form of their own.
_SPLITS = {name: split for name, split in SPLIT_FOLDERS.items() if not name.startswith("imagenet21k_")}


def detect(path: Path) -> list[Detection]:
    """The class folders directly in a folder, or those in its train, val and test."""
    if not path.is_dir() or (path.name in SPLIT_FOLDERS and path.name not in _SPLITS) or task_of(path.absolute()):
        return []
    found = _splits(path)
    if not found:
        return []
    wnids = set().union(*found.values())
    verdict = release_of(wnids, name=path.name)
    splits = tuple(dict.fromkeys(split for name in found if (split := _split(path, name))))
    counts = ", ".join(
        f"{name}/ with {len(inside):,} class folders" if name else f"{len(inside):,} class folders, {inside[0]} first"
        for name, inside in found.items()
    )
    classes = RELEASES[verdict.dataset].classes if verdict.dataset in RELEASES else 0
    lacking = {name: classes - len(inside) for name, inside in found.items() if verdict.dataset != "imagenet21k"}
    missing = "; ".join(
        f"{n:,} of the {classes:,} classes{f' in {name}/' if name else ''}" for name, n in lacking.items() if n > 0
    )
    by = Labelling("class folders", verdict.dataset)
    evidence = f"{counts}; {verdict.why}"
    return [
        Detection("image_folder", path, verdict.dataset, ("images",), evidence, splits, missing, by, verdict.readings)
    ]


def _splits(path: Path) -> dict[str, list[str]]:
    """The class folders by the folder of the split that they lie in; "" for the path itself."""
    named = {name: class_folders(path / name) for name in _SPLITS if (path / name).is_dir()}
    named = {name: found for name, found in named.items() if found}
    bare = {} if named else {"": class_folders(path)}
    return named or {name: found for name, found in bare.items() if found}


def _split(path: Path, name: str) -> str | None:
    return _SPLITS.get(name or path.name)


def units(found: Detection, source: str, root: Path) -> Iterator[Unit]:
    """One unit a class folder, by split and wnid."""
    for name, wnids in _splits(found.path).items():
        for wnid in wnids:
            file = (found.path / name / wnid).relative_to(root).as_posix()
            yield Unit("image_folder", source, str(root), file, found.dataset, _split(found.path, name), wnid)


files = folder_files
scan = scan_folder


KEEPS = ("image_id", "wnid", "split", "length", "width", "height", "mode", "encoding", "orientation")
BY_FOLDER = True
DETECTION = False
BOXES = False
TURNED = False
DEMANDS: tuple[tuple[str, str], ...] = ()
FILES_PER_IMAGE = 1
SHARD_BYTES = None
ORDERED = False
FIELDS = False
HOLDS_BYTES = True


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
