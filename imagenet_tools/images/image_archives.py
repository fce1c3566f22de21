"""What an archive of images is, told by the names of its first members: which release, which classes, which splits."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from imagenet_tools.catalogue.releases import (
    RELEASES,
    Verdict,
    are_stanford_dogs,
    other_set,
    published,
    release_of_21k_p,
)
from imagenet_tools.containers.zip_directory import MAGICS as ZIP_MAGICS
from imagenet_tools.images.image_rows import is_image_name
from imagenet_tools.images.image_scan import CLASS_TAR
from imagenet_tools.images.told_set import SORT_TINY, TINY, TINY_BOXES, TINY_LISTS, TINY_RELEASED, folder_names, set_of
from imagenet_tools.units import Detection, Labelling
from imagenet_tools.wordnet.wnid import (
    SPLIT_FOLDERS,
    is_of_detection,
    is_split_folder,
    is_training_stem,
    is_wnid,
    official_split,
    split_of_folder,
    task_of,
    told_by_path,
    wnid_of_folder,
    wnid_of_stem,
)
from imagenet_tools.wordnet.wordnet import find_row

# Members that are looked at: enough to meet a second class of a tree that is not shuffled.
SEEN = 2_048

# The side files of WebDataset's samples: archives of such are read by their own form.
_SIDE_FILES = frozenset({".cls", ".json"})

# What says the classes of the validation images, which lie flat.
VALIDATION_LABELS = "the official labels of the validation images, bundled"

# Where images lie with annotations and lists: the archive of a whole tree is a form of its own.
_OF_WHOLE_TREE = re.compile(r"(?:.*/)?(?:Annotations/|(?:Data|ImageSets)/CLS-LOC/)")

# A tar ends in two blocks of zeros.
_END = bytes(1024)


def first_class(names: Sequence[str]) -> str | None:
    """The class of the first class tar among an archive's first files, if no image comes before it."""
    for name in names:
        if found := CLASS_TAR.fullmatch(name):
            return found[1]
        if is_image_name(name.rpartition("/")[2]):
            return None
    return None


def of_class_tars(
    form: str, path: Path, wnids: Sequence[str], what: str, *, images: Sequence[str] = (), all_seen: bool = True
) -> Detection:
    """The detection of class tars, in a folder or in a tar; with all_seen, `wnids` are all there are.

    `images` are the names of some images in them.
    """
    names = folder_names(path.absolute()) if path.is_dir() else [_bare(path)]
    seen = [name for name in images if is_image_name(name.rpartition("/")[2])]
    verdict = set_of(wnids, seen, names)
    split = split_of_folder(path.name) or ("train" if verdict.dataset == "ilsvrc2012" else None)
    splits = (split,) if split else ()
    release = RELEASES.get(verdict.dataset)
    missing = []
    if all_seen and release and len(wnids) < release.classes and verdict.dataset != "imagenet21k":
        missing.append(f"{release.classes - len(wnids):,} of the {release.classes:,} classes")
    missing += _cut(path)
    by = Labelling("the names of the class tars", verdict.dataset)
    evidence = f"{what}, {wnids[0]} first; {verdict.why}"
    return Detection(
        form, path, verdict.dataset, ("images",), evidence, splits, "; ".join(missing), by, verdict.readings
    )


def of_images(form: str, path: Path, names: Sequence[str], what: str, *, all_seen: bool = False) -> Detection | None:
    """The detection of an archive of images by the names of its first files; None where it is not ImageNet's.

    With all_seen, `names` are all there are.
    """
    images = [name for name in names if is_image_name(name.rpartition("/")[2])]
    if not images or _is_webdataset(names) or any(map(_OF_WHOLE_TREE.match, names)):
        return None
    told = [told_by_path(name) for name in images]
    of_task = task_of(PurePosixPath(path.name)) or task_of(PurePosixPath(images[0]).parent)
    if of_task or any(is_of_detection(one.stem) for one in told):
        return None
    if are_stanford_dogs([part for part in PurePosixPath(images[0]).parts[:-1] if wnid_of_folder(part)][:1]):
        return None
    called = _names(path, images[0])
    tiny = any(name.endswith((*TINY_LISTS, TINY_BOXES)) for name in names)
    if (tiny or TINY in map(other_set, called)) and any(
        one.wnid and "/images/" in name for one, name in zip(told, images, strict=True)
    ):
        return Detection(form, path, TINY, (), f"{what} of {TINY_RELEASED}", advice=SORT_TINY)
    official = sorted({found for one in told if (found := official_split(one.stem)) is not None})
    wnids = {wnid for one in told if (wnid := one.wnid or wnid_of_stem(one.stem)) is not None}
    if class_tar := CLASS_TAR.fullmatch(path.name.removesuffix(".gz")):
        wnids.add(class_tar[1])
    elif not all(one.wnid or wnid_of_stem(one.stem) or official_split(one.stem) for one in told):
        return None
    if not official and not any(find_row(wnid) is not None for wnid in wnids):
        return None
    treed = any(wnid_of_folder(part) for name in images for part in name.split("/")[:-1])
    verdict = _verdict(wnids, images, official, called, treed=treed, tiny=tiny)
    splits = dict.fromkeys(split for one in told if (split := one.split or (official_split(one.stem) or ("", ""))[1]))
    if verdict.dataset == "ilsvrc2012" and any(one.split is None and is_training_stem(one.stem) for one in told):
        splits = {"train": None} | splits
    labels = None if set(splits) == {"test"} else Labelling(_by(treed, bool(wnids)), verdict.dataset)
    evidence = f"{what} of images, the first {images[0]}; {verdict.why}"
    lacking = [] if treed or wnids or not all_seen else _lacking(verdict.dataset, list(splits), len(images))
    missing = "; ".join([*lacking, *_cut(path)])
    return Detection(
        form, path, verdict.dataset, ("images",), evidence, tuple(splits), missing, labels, verdict.readings
    )


def _bare(path: Path) -> str:
    return re.sub(r"\.(?:zip|tgz|tar|tar\.gz)\Z", "", path.name)


def _names(path: Path, image: str) -> list[str]:
    """The names that speak for an archive: of the folder around its splits or classes, and its own without suffixes."""
    own = _bare(path)
    if is_wnid(own):
        return folder_names(path.absolute().parent)
    folders = image.split("/")[:-1]
    tops = itertools.takewhile(lambda part: not is_split_folder(part) and not wnid_of_folder(part), folders)
    return [*list(tops)[-1:], own]


def _verdict(
    wnids: set[str],
    images: Sequence[str],
    official: Sequence[tuple[str, str]],
    names: Sequence[str],
    *,
    treed: bool,
    tiny: bool,
) -> Verdict:
    if any(
        folder.startswith("imagenet21k_") for one in images[:1] for folder in one.split("/") if folder in SPLIT_FOLDERS
    ):
        return release_of_21k_p(wnids, name=" ".join(names))
    verdict = set_of(wnids, images, names, tiny=lambda: tiny)
    if official and verdict.dataset == "ilsvrc2012":
        year = official[0][0]
        # A tree of classes may be made of ILSVRC's images and be another data set, such as Imagenette.
        return Verdict(f"ilsvrc{year}", f"the names of ILSVRC{year}", verdict.others if treed else ())
    return verdict


def _by(treed: bool, named: bool) -> str:
    return "class folders" if treed else "the images' names" if named else VALIDATION_LABELS


def _is_webdataset(names: Sequence[str]) -> bool:
    """Whether files stand beside images under the same stem, as the label and the facts of a sample do."""
    stems = {name.rpartition(".")[0] for name in names if is_image_name(name.rpartition("/")[2])}
    return any(PurePosixPath(name).suffix in _SIDE_FILES and name.rpartition(".")[0] in stems for name in names)


def _lacking(dataset: str, splits: Sequence[str], n: int) -> list[str]:
    """How many images of the one split that an archive is of are not in it."""
    whole = published(dataset, splits[0]) if len(splits) == 1 else None
    return [f"{whole - n:,} of the {whole:,} images of {splits[0]}"] if whole and n < whole else []


def _cut(path: Path) -> list[str]:
    """Whether a plain tar lacks its end, as one does that is still being copied."""
    if not path.is_file():
        return []
    with path.open("rb") as file:
        if file.read(4).startswith((b"\x1f\x8b", *ZIP_MAGICS)) or path.stat().st_size < len(_END):
            return []
        file.seek(-len(_END), 2)
        return [] if file.read() == _END else ["its end: the tar is cut short, or is still being copied"]
