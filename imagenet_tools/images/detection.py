"""Detect which data set, classes and splits a source of images holds, by names of images, folders and archives.

ILSVRC2012's images in class folders are called n01440764_10026 or ILSVRC2012_val_00000001. If more than half of the
checked names are none of ImageNet's, the images are another data set of the same classes: the known one that the
folder is called after, or a new one with the folder's name. If fewer are, they are odd images of the release, which
the scan reports.
"""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from imagenet_tools.catalogue import lists
from imagenet_tools.catalogue.releases import (
    RELEASES,
    Verdict,
    are_stanford_dogs,
    other_set,
    published,
    release_of,
    release_of_21k_p,
)
from imagenet_tools.containers.gzip_stream import GZIP_MAGIC
from imagenet_tools.containers.zip_directory import MAGICS as ZIP_MAGICS
from imagenet_tools.images.class_folders import folders_by_wnid, image_names, split_folders
from imagenet_tools.images.image_rows import is_image_name
from imagenet_tools.images.jpeg import reader_at
from imagenet_tools.images.probe import probe
from imagenet_tools.images.tar_scan import CLASS_TAR
from imagenet_tools.text import joined, lacking
from imagenet_tools.units import Detection, Labelling
from imagenet_tools.wordnet.wnid import (
    SPLIT_FOLDERS,
    is_detection_stem,
    is_split_folder,
    is_training_stem,
    is_wnid,
    keeps_imagenet_name,
    official_split,
    path_facts,
    split_of_folder,
    stem_parts,
    task_of,
    wnid_of_folder,
    wnid_of_stem,
)
from imagenet_tools.wordnet.wordnet import find_row

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import PurePath


TINY = "tiny-imagenet-200"

_TINY_IMAGES = 500  # Tiny-ImageNet numbers the images of a class from 0 to 499
_TINY_SIZE = (64, 64)  # pixels
TINY_ANNOTATIONS = "val_annotations.txt"
TINY_BOXES = "_boxes.txt"  # after the wnid of the class folder
_TINY_LISTS = ("wnids.txt", TINY_ANNOTATIONS)

_PROBED_IMAGES = 8

# ImageNet-C's corruptions, the last four of its archive extra.tar, and their severities.
CORRUPTIONS = frozenset(
    {"gaussian_noise", "shot_noise", "impulse_noise", "defocus_blur", "glass_blur", "motion_blur", "zoom_blur", "snow",
     "frost", "fog", "brightness", "contrast", "elastic_transform", "pixelate", "jpeg_compression",
     "speckle_noise", "gaussian_blur", "spatter", "saturate"}
)  # fmt: skip
SEVERITIES = ("1", "2", "3", "4", "5")

# Other sets of ILSVRC2012's classes that are known by their classes, if the folder's name says nothing.
_KNOWN_BY_CLASSES = ("imagenet-a", "imagenet-o", "imagenet-r")
_SKETCH = re.compile(r"sketch_\d+")
_MINI = re.compile(r"n\d{16}")  # a wnid, and the place of the image in its class, from n0153282900000005 on


def folder_names(path: PurePath) -> list[str]:
    """Return the names that identify a folder: for the folder of a split or class, first those of its parent."""
    if is_split_folder(path.name) or wnid_of_folder(path.name):
        return [*folder_names(path.parent), path.name]
    return [path.name]


def identify_dataset(
    wnids: Collection[str],
    images: Sequence[str],
    names: Sequence[str],
    *,
    tiny: Callable[[], bool] = lambda: False,
) -> Verdict:
    """Return the data set that classes, names of images and names of folders identify.

    Args:
        wnids: The classes of the images.
        images: File names of some of the images.
        names: Names of the folders or the archive around them, the outermost first.
        tiny: Returns True if more than the names indicates Tiny-ImageNet; called only if the names may be its.
    """
    facts = [path_facts(name) for name in images]
    stems = [image.stem for image in facts]
    known = next(filter(None, map(other_set, names)), None)
    # In ImageNet-O, images of other classes are in the folders of the classes that they are mistaken for.
    odd = [
        name
        for name, image in zip(images, facts, strict=True)
        if not keeps_imagenet_name(image.stem)
        or (known and image.wnid and wnid_of_stem(image.stem) not in (None, image.wnid))
    ]
    has_tiny_classes = set(wnids) <= set(lists.get(TINY).wnids)
    if known == TINY:
        return Verdict(TINY if has_tiny_classes else _name_by_folder(names), "its name says so")
    if has_tiny_classes and all(_is_tiny(stem) for stem in stems) and tiny():
        why = "the classes, numbers and sizes of Tiny-ImageNet's images, which are not ILSVRC2012's of the same names"
        return Verdict(TINY, why, ("ilsvrc2012",))
    if 2 * len(odd) <= len(images):
        return release_of(wnids, name=" ".join(names))
    by_classes = None if known else _by_classes(wnids, stems)
    reason = "known by its classes and names" if by_classes else "called after its folder (or by --dataset NAME)"
    why = f"names that ILSVRC2012 never gives, such as {min(odd)}: another set of its classes, {reason}"
    return Verdict(known or by_classes or _name_by_folder(names), why, own=True)


def _by_classes(wnids: Collection[str], stems: Sequence[str]) -> str | None:
    """Return the other set of ILSVRC2012's classes that has exactly these, or names that it alone has."""
    if stems and all(map(_SKETCH.fullmatch, stems)):
        return "imagenet-sketch"
    if stems and all(map(_MINI.fullmatch, stems)) and set(wnids) <= set(lists.get("mini-imagenet").wnids):
        return "mini-imagenet"
    return next((name for name in _KNOWN_BY_CLASSES if set(wnids) == set(lists.get(name).wnids)), None)


def is_corrupted(image: str) -> bool:
    """Return True if a path ends as ImageNet-C's do: <corruption>/<severity>/<wnid>/<name of a validation image>."""
    corruption, severity, wnid, name = ["", "", "", "", *PurePosixPath(image).parts][-4:]
    official = official_split(PurePosixPath(name).stem)
    return corruption in CORRUPTIONS and severity in SEVERITIES and is_wnid(wnid) and official is not None


def is_severity_folder(folder: Path) -> bool:
    """Return True for a folder of ImageNet-C that has class folders: <corruption>/<severity>."""
    if folder.name not in SEVERITIES and folder.absolute().name not in SEVERITIES:
        return False
    return any(is_corrupted((folder.absolute() / image).as_posix()) for image in image_names(folder, 1))


def _name_by_folder(names: Sequence[str]) -> str:
    """Return the name of a data set that is called after its folder; it is never the name of a release."""
    name = dataset_name(names[0])
    return f"other-{name}" if name in RELEASES or name.startswith("ilsvrc") else name


def _is_tiny(stem: str) -> bool:
    """Return True if a stem may be Tiny-ImageNet's: n01443537_0 to n01443537_499, or val_0 of its validation images."""
    number = stem_parts(stem)[1]
    return stem.startswith("val_") or (number is not None and len(number) < 4 and int(number) < _TINY_IMAGES)


def are_tiny_imagenet(images: Sequence[Path]) -> bool:
    """Return True if Tiny-ImageNet's lists or boxes are beside images, or if the images have its size."""
    some = images[:: len(images) // _PROBED_IMAGES + 1]
    return any(map(_has_tiny_lists, some)) or all(map(_has_tiny_size, some))


def _has_tiny_lists(image: Path) -> bool:
    folder = image.parent.parent if image.parent.name == "images" else image.parent
    home = folder.parent.parent if is_split_folder(folder.parent.name) else folder.parent
    places = [folder / f"{folder.name}{TINY_BOXES}", *(home / name for name in _TINY_LISTS)]
    return any(place.is_file() for place in [*places, home / "val" / TINY_ANNOTATIONS])


def tiny_folders(path: Path) -> dict[str, Path]:
    """Return the folders at a path that have Tiny-ImageNet's lists of boxes, by split: the path, or those in it."""
    folders = [path, *(path / name for name in split_folders(path))] if path.is_dir() else []
    train = [("train", folder) for folder in folders if _has_tiny_boxes(folder)]
    return dict(train + [("val", folder) for folder in folders if (folder / TINY_ANNOTATIONS).is_file()])


def _has_tiny_boxes(folder: Path) -> bool:
    wnids = folders_by_wnid(folder)
    return set(wnids) <= set(lists.get(TINY).wnids) and any(
        (folder / wnid / f"{wnid}{TINY_BOXES}").is_file() for wnid in wnids
    )


def _has_tiny_size(image: Path) -> bool:
    with suppress(OSError), image.open("rb", buffering=0) as file:
        facts = probe(b"", os.fstat(file.fileno()).st_size, reader_at(file.fileno(), 0))
        return (facts.width, facts.height) == _TINY_SIZE
    return False


# Members that are looked at: enough to reach a second class of a tree that is not shuffled.
MAX_SEEN_MEMBERS = 2_048

# Side files of WebDataset's samples. Archives with them are another form.
_SIDE_FILES = frozenset({".cls", ".json"})

# The source of the classes of validation images that are in no class folders.
VALIDATION_LABELS = "the official labels of the validation images, bundled"

# Folders of a whole tree with annotations and lists, which is another form.
_WHOLE_TREE = re.compile(r"(?:.*/)?(?:Annotations/|(?:Data|ImageSets)/CLS-LOC/)")

# A tar ends in two blocks of zeros.
_END = bytes(1024)


def first_class_tar(names: Sequence[str]) -> str | None:
    """Return the class of the first class tar among an archive's files; None if an image comes before it."""
    for name in names:
        if match := CLASS_TAR.fullmatch(name):
            return match[1]
        if is_image_name(name):
            return None
    return None


def detect_class_tars(
    form: str, path: Path, wnids: Sequence[str], noun: str, *, images: Sequence[str] = (), all_seen: bool = True
) -> Detection:
    """Return the detection of class tars in a folder or in a tar.

    Args:
        form: The name of the form.
        path: The folder or the tar.
        wnids: Classes of the tars.
        noun: The folder or archive, in words.
        images: Names of some images in the tars.
        all_seen: Whether `wnids` are all classes.
    """
    names = folder_names(path.absolute()) if path.is_dir() else [_without_suffix(path)]
    verdict = identify_dataset(wnids, _image_names(images), names)
    split = split_of_folder(path.name) or ("train" if verdict.dataset == "ilsvrc2012" else None)
    splits = (split,) if split else ()
    is_counted = all_seen and verdict.dataset in RELEASES and verdict.dataset != "imagenet21k"
    whole = RELEASES[verdict.dataset].classes if is_counted else 0
    missing = joined((lacking(len(wnids), whole, "classes"), _missing_end(path)))
    labels = Labelling("the names of the class tars", verdict.dataset)
    evidence = f"{noun}, {wnids[0]} first; {verdict.why}"
    return Detection(form, path, verdict.dataset, ("images",), evidence, splits, missing, labels, verdict.readings)


def detect_images(
    form: str, path: Path, names: Sequence[str], noun: str, *, all_seen: bool = False
) -> Detection | None:
    """Return the detection of an archive of images by the names of its first files; None if it is not ImageNet's.

    With `all_seen`, `names` are all files.
    """
    images = _image_names(names)
    if not images or _is_webdataset(names) or any(map(_WHOLE_TREE.match, names)):
        return None
    paths = [path_facts(name) for name in images]
    task = task_of(PurePosixPath(path.name)) or task_of(PurePosixPath(images[0]).parent)
    if task or any(is_detection_stem(image.stem) for image in paths):
        return None
    if are_stanford_dogs([part for part in PurePosixPath(images[0]).parts[:-1] if wnid_of_folder(part)][:1]):
        return None
    if is_corrupted(images[0]):
        return None
    names_around = _names_around(path, images[0])
    tiny = any(name.endswith((*_TINY_LISTS, TINY_BOXES)) for name in names)
    if (tiny or TINY in map(other_set, names_around)) and any(
        image.wnid and "/images/" in name for image, name in zip(paths, images, strict=True)
    ):
        why = "which is read from a folder: its lists give the labels and the boxes"
        advice = "unpack it, and index the folder"
        return Detection(form, path, TINY, (), f"{noun} of Tiny-ImageNet as it is released, {why}", advice=advice)
    official = [official_split(image.stem) for image in paths]  # (year, split) or None
    years = sorted(release[0] for release in official if release)
    image_wnids = [image.wnid or wnid_of_stem(image.stem) for image in paths]
    wnids = {wnid for wnid in image_wnids if wnid is not None}
    if class_tar := CLASS_TAR.fullmatch(path.name.removesuffix(".gz")):
        wnids.add(class_tar[1])
    elif not all(wnid or release for wnid, release in zip(image_wnids, official, strict=True)):
        return None
    if not years and not any(find_row(wnid) is not None for wnid in wnids):
        return None
    treed = any(wnid_of_folder(part) for name in images for part in name.split("/")[:-1])
    verdict = _verdict(wnids, images, years, names_around, treed=treed, tiny=tiny)
    by_image = [image.split or (release[1] if release else "") for image, release in zip(paths, official, strict=True)]
    splits = dict.fromkeys(filter(None, by_image))
    if verdict.dataset == "ilsvrc2012" and any(image.split is None and is_training_stem(image.stem) for image in paths):
        splits = {"train": None} | splits
    source = "class folders" if treed else "the images' names" if wnids else VALIDATION_LABELS
    labels = None if set(splits) == {"test"} else Labelling(source, verdict.dataset)
    evidence = f"{noun} of images, the first {images[0]}; {verdict.why}"
    absent = "" if treed or wnids or not all_seen else missing_images(verdict.dataset, [*splits], len(images))
    missing = joined((absent, _missing_end(path)))
    return Detection(
        form, path, verdict.dataset, ("images",), evidence, tuple(splits), missing, labels, verdict.readings
    )


def _image_names(names: Sequence[str]) -> list[str]:
    return [name for name in names if is_image_name(name)]


def _without_suffix(path: Path) -> str:
    return re.sub(r"\.(?:zip|tgz|tar|tar\.gz)\Z", "", path.name)


def _names_around(path: Path, image: str) -> list[str]:
    """Return the names that identify an archive: of the folder around its splits or classes, and its own."""
    name = _without_suffix(path)
    if is_wnid(name):
        return folder_names(path.absolute().parent)
    folders = image.split("/")[:-1]
    tops = itertools.takewhile(lambda part: not is_split_folder(part) and not wnid_of_folder(part), folders)
    return [*list(tops)[-1:], name]


def _verdict(
    wnids: set[str], images: Sequence[str], years: Sequence[str], names: Sequence[str], *, treed: bool, tiny: bool
) -> Verdict:
    """Return the data set of an archive; `years` are those of ILSVRC's official names, sorted."""
    folders = images[0].split("/")
    if any(folder.startswith("imagenet21k_") and folder in SPLIT_FOLDERS for folder in folders):
        return release_of_21k_p(wnids, name=" ".join(names))
    verdict = identify_dataset(wnids, images, names, tiny=lambda: tiny)
    if years and verdict.dataset == "ilsvrc2012":
        # Other data sets, such as Imagenette, are trees of classes made of ILSVRC's images.
        return Verdict(f"ilsvrc{years[0]}", f"the names of ILSVRC{years[0]}", verdict.others if treed else ())
    return verdict


def _is_webdataset(names: Sequence[str]) -> bool:
    """Return True if files with the label and the facts of an image are beside it, under the same stem."""
    stems = {name.rpartition(".")[0] for name in _image_names(names)}
    return any(PurePosixPath(name).suffix in _SIDE_FILES and name.rpartition(".")[0] in stems for name in names)


def missing_images(dataset: str, splits: Sequence[str], n: int) -> str:
    """Return how many images of its only split are not among n images, in words; "" if none or unknown."""
    whole = published(dataset, splits[0]) if len(splits) == 1 else None
    return lacking(n, whole or 0, f"images of {''.join(splits)}")


def _missing_end(path: Path) -> str:
    """Return a text if a plain tar has no end, because it is cut or still being copied; else ""."""
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        if file.read(4).startswith((GZIP_MAGIC, *ZIP_MAGICS)) or path.stat().st_size < len(_END):
            return ""
        file.seek(-len(_END), 2)
        return "" if file.read() == _END else "its end: the tar is cut short, or is still being copied"


def dataset_name(name: str) -> str:
    """Return a name as names of data sets are spelled: lower-case letters, digits, '.', '_' and '-'."""
    return re.sub(r"[^a-z0-9._-]+", "-", name.lower()).lstrip("._-") or "imagenet"
