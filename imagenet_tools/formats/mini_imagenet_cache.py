"""miniImageNet as pickles of arrays, mini-imagenet-cache-train.pkl and so on: 84 by 84 pixels, without names.

    mini-imagenet-cache-train.pkl       38,400 images of 64 classes; -val.pkl 9,600 of 16, -test.pkl 12,000 of 20
        image_data      (38400, 84, 84, 3) bytes: red, green and blue of each pixel
        class_dict      the places of the images of each class, from 0: {"n01532829": [0, 1, 2 ...], ...}

These are the images of the csv of Ravi and Larochelle, made smaller: see mini_imagenet.py. An image is called after its
file and place, mini-imagenet-cache-train_0, and shares no photo with ILSVRC2012. The split is that of the file's name.
The pickles are read without being run: see containers.array_pickles.

Source: fewshot/data/mini_imagenet.py of renmengye/few-shot-ssl-public on GitHub, which writes and reads them. As it was
first published, a pickle is Python 2's of protocol 2; later copies are Python 3's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from imagenet_tools.containers import array_pickles
from imagenet_tools.containers.array_pickles import Array
from imagenet_tools.containers.planar import INTERLEAVED
from imagenet_tools.errors import FormatError
from imagenet_tools.formats._shared.array_batches import BAD_BATCH, PROBLEMS
from imagenet_tools.formats._shared.contract import files_by_split, gathers, unit_at
from imagenet_tools.formats.mini_imagenet import DATASET, IMAGES
from imagenet_tools.images.image_rows import ImageRows
from imagenet_tools.images.jpeg import ImageFacts
from imagenet_tools.text import count_of, joined, lacking
from imagenet_tools.units import Detection, Labelling, Reads, Unit, unit_file
from imagenet_tools.wordnet.wnid import is_wnid

READS = Reads(holds=("images",), problems=PROBLEMS)

_NAME = re.compile(rf"(?:.*[-_])?(?P<split>{'|'.join(IMAGES)})\.(?:pkl|pickle)")
_KEYS = ("image_data", "class_dict")
_HEAD_BYTES = 256  # a key of the dictionary is in them


class _Cache(NamedTuple):
    """The images of a file."""

    side: int  # pixels
    offset: int  # of the first image, bytes
    n: int  # whole images
    classes: Mapping[str, list[int]]
    fault: str  # what is wrong with the file, or ""


def detect(path: Path) -> list[Detection]:
    """Return the files at a path by their first bytes, and their dictionaries."""
    counts, n_classes, first = dict[str, int](), 0, ""
    for file, split in _files(path).items():
        try:
            cache = _open(file)
        except FormatError as error:
            first = first or f"{file.name}: {error}"
            continue
        counts[split] = cache.n
        n_classes += len(cache.classes)
    if not counts and not first:
        return []
    if not counts:
        evidence = "a cache of miniImageNet that cannot be read"
        return [Detection("mini_imagenet_cache", path, DATASET, (), evidence, advice=first)]
    rows = ", ".join(f"{count_of(n, 'image')} of {split}" for split, n in counts.items())
    evidence = f"miniImageNet's pickles of {rows}, in {count_of(n_classes, 'class')}"
    lacks = (lacking(n, IMAGES[split], f"images of {split}") for split, n in counts.items())
    missing = joined((lacking(len(counts), len(IMAGES), "files") if path.is_dir() else "", *lacks))
    about = (evidence, tuple(counts), missing, Labelling("class_dict of the files", DATASET))
    return [Detection("mini_imagenet_cache", path, DATASET, ("images",), *about)]


def _files(path: Path) -> dict[Path, str]:
    """Return the files at a path that are called so and begin so, with their splits."""
    return {file: split for file, split in files_by_split(path, _NAME, IMAGES).items() if _is_cache(file)}


def _is_cache(file: Path) -> bool:
    with file.open("rb") as opened:
        head = opened.read(_HEAD_BYTES)
    return any(key.encode() in head for key in _KEYS)


def _open(path: Path) -> _Cache:
    """Return the images of a file. FormatError: it is damaged, refused, or holds others."""
    with path.open("rb", buffering=0) as file:
        values, fault = array_pickles.read(file.fileno())
    images, classes = (values.get(key) for key in _KEYS)
    is_array = isinstance(images, Array) and images.dtype == "|u1" and not images.fortran
    if not isinstance(images, Array) or not is_array or images.shape[1:] != (*images.shape[1:2] * 2, 3):
        found = f"{images.dtype} of shape {images.shape}" if isinstance(images, Array) else "none"
        message = f"Found as image_data: {found}; expected bytes of shape (images, side, side, 3), rows first."
        raise FormatError(message, code=BAD_BATCH)
    if not isinstance(classes, dict) or not all(is_wnid(wnid) and _are_places(classes[wnid]) for wnid in classes):
        message = "Found no class_dict before the end; expected the places of the images by wnid."
        raise FormatError(f"{message} {fault}".strip(), code=BAD_BATCH)
    n_stated, side = images.shape[:2]
    n = min(n_stated, images.values.length // (3 * side**2))
    return _Cache(side, images.values.offset, n, {str(wnid): classes[wnid] for wnid in classes}, fault)


def _are_places(places: object) -> bool:
    return isinstance(places, list) and all(type(place) is int for place in places)


def units(detection: Detection, source: str, root: Path) -> Iterator[Unit]:
    """Yield one unit for each file."""
    for file, split in _files(detection.path).items():
        yield unit_at(detection, source, root, file, split=split)


files = unit_file


@gathers(ImageRows)
def scan(unit: Unit, rows: ImageRows) -> Iterator[None]:
    """Add the images of a file, byte ranges of its array."""
    cache = _open(unit.path)
    wnids = {place: wnid for wnid, places in cache.classes.items() for place in places}
    facts = ImageFacts(cache.side, cache.side, "RGB", "png", None, None)
    length = 3 * cache.side**2
    for n in range(cache.n):
        image_id = f"{unit.path.stem}_{n}"
        if n not in wnids:
            reason = f"found place {n} in no class of class_dict, expected it in one"
            rows.problem("array_label", unit.file, reason, None, image_id)
        rows.add(
            image_id,
            file=unit.file,
            member=f"{image_id}.png",
            head=b"",
            more=lambda _offset, _n: b"",
            offset=cache.offset + n * length,
            length=length,
            compression=INTERLEAVED,
            wnid=wnids.get(n),
            facts=facts,
        )
        yield
    if cache.fault:
        rows.problem(BAD_BATCH, unit.file, cache.fault)
