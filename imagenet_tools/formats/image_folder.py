"""Class folders: read as people have them, written as torchvision's ImageFolder and every classifier reads them.

root/train/n01440764/n01440764_10026.JPEG       <split>/<wnid>/<image>
root/val/n01440764/ILSVRC2012_val_00000293.JPEG
root/n01440764/n01440764_10026.JPEG             or a folder of wnid folders, without splits
root/Train/n01440764-tench/night/1.JPEG         a split in any case; a word after the wnid; images in folders below
root/train/n02083346/n02084071/n02085620/...    with --layout tree: nested; the innermost is the class
root/tree.toml                                  with --layout tree: the tree, as `classes tree` writes it
root/meta.bin                                   with --meta-bin: torchvision's ImageNet then needs no devkit

The lock, recipe and manifest of an export are at its root, beside classes.json: see exports.manifest.
"""

from __future__ import annotations

import importlib.util
import io
import re
from collections import Counter
from collections.abc import Iterator
from operator import attrgetter
from pathlib import Path

from imagenet_tools.catalogue.releases import Verdict, published_classes
from imagenet_tools.errors import ExportError
from imagenet_tools.exports import layout
from imagenet_tools.exports.job import FilePerImage, Job
from imagenet_tools.exports.manifest import folders_if_dropped
from imagenet_tools.exports.plan import Plan
from imagenet_tools.exports.writer import NO_CLASS, Loaded, ReadBack, Shard, Writes
from imagenet_tools.formats._shared.contract import unit_at
from imagenet_tools.images.class_folders import image_names, nested_class_folders, split_folders
from imagenet_tools.images.detection import (
    TINY,
    are_tiny_imagenet,
    folder_names,
    identify_dataset,
    is_severity_folder,
    tiny_folders,
)
from imagenet_tools.images.folder_scan import folder_files, scan_folder
from imagenet_tools.superclasses import exclusive_tree
from imagenet_tools.text import count_of, joined, lacking
from imagenet_tools.units import Detection, Labelling, Reads, Unit
from imagenet_tools.wordnet import wordnet
from imagenet_tools.wordnet.wnid import is_split_folder, split_of_folder, task_of, wnid_of_folder

READS = Reads(holds=("images",), beside=frozenset({"README.txt"}))

WRITES = Writes(by_folder=True, nested=True, files_per_image=1)

_LOOKED_AT_IMAGES = 16  # of each class folder


class _SplitFolder:
    """The class folders in a folder of a split, or in the path itself if its name is "".

    Attributes:
        name: The name of the split's folder.
        folders: Class folders with images.
        empty: Class folders without images.
        images: Some images, relative to the path.
    """

    def __init__(self, path: Path, name: str, folders: list[str]):
        self.name = name
        images = {folder: image_names(path / name / folder, _LOOKED_AT_IMAGES) for folder in folders}
        self.folders = [folder for folder in folders if images[folder]]
        self.empty = [folder for folder in folders if not images[folder]]
        self.images = [f"{name}/{folder}/{image}".lstrip("/") for folder in folders for image in images[folder]]

    @property
    def text(self) -> str:
        """The numbers of its class folders, in words."""
        count = count_of(len(self.folders), "class folder")
        text = f"{self.name}/ with {count}" if self.name else f"{count}, {self.folders[0]} first"
        if self.empty:
            few = ", ".join(self.empty[:3]) + (" ..." if len(self.empty) > 3 else "")
            text += f", and {len(self.empty):,} without images ({few})"
        return text


def detect(path: Path) -> list[Detection]:
    """Return the class folders in a folder, and those in its train, val and test."""
    if not path.is_dir() or _is_of_21k_p(path.name) or task_of(path.absolute()):
        return []
    if wnid_of_folder(path.name) and "/" not in next(iter(image_names(path, 1)), "/"):
        return []  # a class folder itself: flat_folder reads it with the folders below
    if tiny_folders(path) or is_severity_folder(path):
        return []  # tiny_imagenet reads it with its boxes, imagenet_c with its corruption
    splits = [_SplitFolder(path, name, folders) for name, folders in _class_folders(path).items()]
    if not splits:
        return []
    verdict = _verdict(path, splits)
    other_sets = [_verdict(path, [split]).own for split in splits]
    if verdict.dataset != TINY and any(other_sets) and not all(other_sets):
        # A test set beside ILSVRC's train is a data set of its own.
        return [detection for split in splits if split.name for detection in detect(path / split.name)]
    names = tuple(dict.fromkeys(name for split in splits if (name := split_of_folder(split.name or path.name))))
    whole = published_classes(verdict.dataset)
    nouns = [f"classes in {split.name}/" if split.name else "classes" for split in splits]
    missing = joined(lacking(len(split.folders), whole, noun) for split, noun in zip(splits, nouns, strict=True))
    evidence = f"{', '.join(split.text for split in splits)}; {verdict.why}"
    about = (evidence, names, missing, Labelling("class folders", verdict.dataset), verdict.readings)
    return [Detection("image_folder", path, verdict.dataset, ("images",), *about)]


def _is_of_21k_p(name: str) -> bool:
    """Return True for a folder of ImageNet-21K-P, which is a format of its own."""
    return is_split_folder(name) and name.startswith("imagenet21k_")


def _wnid(folder: str) -> str:
    """Return the class of a class folder, which may be nested in others."""
    return folder.rpartition("/")[2][:9]


def _class_folders(path: Path) -> dict[str, list[str]]:
    """Return the class folders by the folder of their split; "" for the path itself."""
    names = [name for name in split_folders(path) if not _is_of_21k_p(name)]
    return {name: folders for name in ("", *names) if (folders := nested_class_folders(path / name))}


def _verdict(path: Path, splits: list[_SplitFolder]) -> Verdict:
    """Return the data set that the class folders of some splits speak for."""
    wnids = {_wnid(folder) for split in splits for folder in split.folders}
    images = [image for split in splits for image in split.images]
    return identify_dataset(
        wnids, images, folder_names(path), tiny=lambda: are_tiny_imagenet([path / image for image in images])
    )


def units(detection: Detection, source: str, root: Path) -> Iterator[Unit]:
    """Yield one unit for each class folder, by split and wnid."""
    if detection.classes:
        for place, wnid in detection.classes:
            path = detection.path / place
            yield unit_at(detection, source, root, path, split=split_of_folder(path.parent.name), wnid=wnid)
        return
    for name, folders in _class_folders(detection.path).items():
        home = detection.path / name
        split = split_of_folder(home.name)
        for folder in folders:
            yield unit_at(detection, source, root, home / folder, split=split, wnid=_wnid(folder))


files = folder_files
scan = scan_folder


def hazards(plan: Plan) -> Iterator[str]:
    """Yield what stops torchvision's ImageFolder, how it numbers nested folders, and whether timm numbers otherwise.

    ExportError: meta.bin is asked for and cannot be written.
    """
    if has_empty_folders(plan):
        yield "a class folder without images stops torchvision's ImageFolder without allow_empty=True"
    folders = [cls.folder.rpartition("/")[2] for cls in plan.classes]
    if sorted(folders, key=_natural) != folders:
        yield (
            "timm sorts folders without regard to case, and digits as numbers: its class indices are not those of "
            "classes.json, which ImageFolder and imagefolder have. --names wnid is the same for all"
        )
    if plan.options.nested:
        yield from layout.hazards(plan)
    if plan.options.meta_bin:
        _check_meta_bin(plan)


def has_empty_folders(plan: Plan) -> bool:
    """Return True if a class folder of some split will hold no image."""
    is_kept = plan.options.empty_classes == "keep"
    return is_kept and any(len(tallies) < len(plan.classes) for tallies in plan.tallies.values())


def _natural(folder: str) -> list[tuple[bool, int, str]]:
    """Return timm's sort key of a folder."""
    return [(part.isdigit(), int(part) if part.isdigit() else 0, part) for part in re.split(r"(\d+)", folder.lower())]


def _check_meta_bin(plan: Plan) -> None:
    """Raise ExportError before anything is written if torch is missing, or if folders are not called by wnids."""
    if importlib.util.find_spec("torch") is None:
        message = "--meta-bin: torch, which writes it, is not installed here. Install torch, or leave the option out."
        raise ExportError(message)
    other = next((cls for cls in plan.classes if cls.folder != cls.wnid), None)
    if other is not None:
        message = f"--meta-bin: torchvision's ImageNet looks for folders called by wnids; found {other.folder}, "
        raise ExportError(message + f"expected {other.wnid}. Leave --names and --layout out.")


def open_shard(job: Job, shard: Shard) -> FilePerImage:
    """Return a sink that puts each image into the folder of its class."""
    folders = [cls.folder for cls in job.plan.classes]
    return FilePerImage(job, lambda row: f"{shard.split}/{folders[row.class_index]}/{row.name}")


def make_class_folders(job: Job) -> None:
    """Create the folder of every class in every split: loaders number the classes by the folders that they find."""
    if job.plan.options.empty_classes == "keep":
        for split in job.plan.splits:
            for cls in job.plan.classes:
                (job.out / split / cls.folder).mkdir(parents=True, exist_ok=True)


def finish(job: Job) -> None:
    """Create the folders of all classes, and write tree.toml with --layout and meta.bin with --meta-bin."""
    make_class_folders(job)
    if job.plan.options.nested:
        job.write("tree.toml", exclusive_tree.text(layout.tree_of_plan(job.plan)).encode())
    if job.plan.options.meta_bin:
        job.write("meta.bin", _meta_bin(job))


def _meta_bin(job: Job) -> bytes:
    """Return what torchvision makes of the devkit: the words of each wnid, and the wnids of the val images by name."""
    import torch

    words = {
        cls.wnid: tuple(lemma.replace("_", " ") for lemma in wordnet.synset(cls.wnid).lemmas)
        for cls in job.plan.classes
    }
    val = [wnid for _, wnid in sorted((row.stem, row.wnid) for row in job.rows("val"))]
    out = io.BytesIO()
    torch.save((words, val), out)
    return out.getvalue()


def read_back(root: Path) -> Iterator[ReadBack]:
    """Yield the images; a class index is the place of the class folder among the sorted ones of its split.

    With --empty-classes drop, it is the place in classes.json.
    """
    dropped = folders_if_dropped(root)
    for split in sorted(path for path in root.iterdir() if path.is_dir()):
        folders = _class_folders_of(split)
        index_of = {name: n for n, name in enumerate(dropped or [folder.name for folder in folders])}
        for folder in folders:
            for path in sorted(folder.iterdir()):
                yield ReadBack(path.stem, split.name, index_of.get(folder.name, NO_CLASS), None, path.read_bytes)


def _class_folders_of(split: Path) -> list[Path]:
    """Return the folders without folders in them below that of a split, by name."""
    folders = [path for path in split.rglob("*") if path.is_dir()]
    return sorted(set(folders) - {path.parent for path in folders}, key=attrgetter("name"))


def load(root: Path) -> Loaded:
    """Return what torchvision's ImageFolder finds in each split; of nested class folders the number of images alone."""
    import torchvision
    from torchvision.datasets import ImageFolder

    counts: dict[str, dict[int, int]] = {}
    splits = sorted(path for path in root.iterdir() if path.is_dir())
    dropped = classes = tuple(folders_if_dropped(root))
    is_flat = not (root / "tree.toml").exists()
    for split in splits:
        loaded = ImageFolder(str(split), allow_empty=True)
        if is_flat and not dropped:
            classes = tuple(loaded.classes)
        names = [loaded.classes[target] for target in loaded.targets]
        counts[split.name] = Counter(map(classes.index, names)) if is_flat else {-1: len(names)}
    return Loaded(f"torchvision {torchvision.__version__} ImageFolder", classes if is_flat else None, "folder", counts)
