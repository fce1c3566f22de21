"""CIFAR-10 and CIFAR-100, their batches for Python, and batches like CIFAR-10's of any classes: 32 by 32 pixels.

    cifar-10-batches-py/
        data_batch_1 ... data_batch_5       10,000 training images each; a pickle of a dictionary:
                                            batch_label, labels (0 to 9), data (10000, 3072), filenames
        test_batch                          10,000 test images
        batches.meta                        label_names, num_cases_per_batch, num_vis
    cifar-100-python/
        train, test                         50,000 and 10,000 images: filenames, batch_label, fine_labels (0 to 99),
                                            coarse_labels (0 to 19), data
        meta                                fine_label_names, coarse_label_names

A label is the class that the lists cifar10 and cifar100 have at this place; an image has the first synset of its class.
The coarse label follows from the fine one (--superclasses cifar100-coarse); one that differs is a problem. CIFAR's file
names are the words that the images were searched by, so an image is called after its batch: data_batch_1_0.

formats/cifar/batches.py writes such batches, and draws their layout.

Source: the page of CIFAR by Alex Krizhevsky, and torchvision.datasets.CIFAR10. As published, the pickles are Python 2's
of protocol 2. They are read without being run: see containers.array_pickles.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from imagenet_tools.catalogue import lists
from imagenet_tools.containers import array_pickles
from imagenet_tools.errors import FormatError
from imagenet_tools.formats._shared.array_batches import (
    BAD_BATCH,
    PROBLEMS,
    Batch,
    add_images,
    integers,
    read_batch,
    texts,
)
from imagenet_tools.formats._shared.contract import gathers, joined, lacking, names_in, unit_at
from imagenet_tools.formats.cifar.batches import FOLDER, WRITES, finish, hazards, load, open_shard, read_back  # noqa: F401
from imagenet_tools.images.detection import dataset_name
from imagenet_tools.images.image_rows import ImageRows
from imagenet_tools.text import count_of
from imagenet_tools.units import Detection, FileRange, Labelling, Reads, Unit
from imagenet_tools.wordnet.wnid import is_wnid

READS = Reads(
    holds=("images",),
    beside=frozenset({"batches.meta", "meta", "readme.html", "file.txt~"}),
    problems=PROBLEMS | {"coarse_differs": "a coarse label that is not the superclass of the fine one, which is kept"},
)

_BATCH = re.compile(r"(?P<train>data_batch_\d+)|(?P<split>[A-Za-z0-9_.-]+?)_batch")
_SPLITS_OF_100 = ("train", "test")


class _Meta(NamedTuple):
    """The classes that a file of names states."""

    dataset: str  # "" for classes of an export
    wnids: tuple[str, ...]
    labels: str  # the key of the labels


def _meta(folder: Path) -> tuple[Path, _Meta] | None:
    """Return the file of names in a folder, and its classes; None if they are not known."""
    for name, key, dataset, labels in (
        ("batches.meta", "label_names", "cifar10", "labels"),
        ("meta", "fine_label_names", "cifar100", "fine_labels"),
    ):
        path = folder / name
        if path.is_file() and (classes := _classes(path, key, dataset)):
            return path, _Meta(*classes, labels)
    return None


def _classes(path: Path, key: str, dataset: str) -> tuple[str, tuple[str, ...]] | None:
    try:
        with path.open("rb", buffering=0) as file:
            values = array_pickles.read(file.fileno()).values
    except FormatError:
        return None
    wnids = texts(path, values.get("wnids"))
    if wnids and all(map(is_wnid, wnids)):
        return "", tuple(wnids)
    categories = lists.get(dataset).categories
    known = texts(path, values.get(key)) == [category.name for category in categories]
    return (dataset, tuple(category.synsets[0] for category in categories)) if known else None


def _batches(folder: Path, meta: _Meta) -> dict[str, list[str]]:
    """Return the names of the batches in a folder by split, as their names tell it."""
    if meta.dataset == "cifar100":
        return {split: [split] for split in _SPLITS_OF_100 if (folder / split).is_file()}
    batches: dict[str, list[str]] = {}
    for name in names_in(folder, _BATCH.fullmatch):
        batches.setdefault(_split(name), []).append(name)
    return batches


def _split(name: str) -> str:
    match = _BATCH.fullmatch(name)
    return name if match is None else "train" if match["train"] else match["split"]


def detect(path: Path) -> list[Detection]:
    """Return the batches in a folder, or the batch that is a path, by the names of their classes."""
    folder = path if path.is_dir() else path.parent
    found = _meta(folder)
    if found is None:
        return []
    meta = found[1]
    batches = _batches(folder, meta)
    if path != folder:
        batches = {split: [path.name] for split, names in batches.items() if path.name in names}
    if not batches:
        return []
    counts = [f"{split} in {', '.join(names)}" for split, names in batches.items()]
    missing = "" if "test" in batches or path != folder else "the test images"
    if meta.dataset == "cifar10" and path == folder:
        missing = joined((lacking(len(batches.get("train", [])), 5, "batches of train"), missing))
    names = "cifar10's or cifar100's names of classes" if meta.dataset else "the wnids in batches.meta"
    labels = Labelling(
        f"numbers beside the arrays, by {names}", meta.dataset or "wordnet", "wnid" if not meta.dataset else "label", 0
    )
    evidence = f"batches of CIFAR's form, {count_of(len(meta.wnids), 'class')}: {'; '.join(counts)}"
    home = folder.absolute()
    dataset = meta.dataset or dataset_name((home.parent if home.name == FOLDER else home).name)
    return [Detection("cifar", path, dataset, ("images",), evidence, tuple(batches), missing, labels)]


def units(detection: Detection, source: str, root: Path) -> Iterator[Unit]:
    """Yield one unit for each batch."""
    folder = detection.path if detection.path.is_dir() else detection.path.parent
    found = _meta(folder)
    for split, names in _batches(folder, found[1]).items() if found else ():
        for name in names:
            if detection.path in (folder, folder / name):
                yield unit_at(detection, source, root, folder / name, split=split)


def files(unit: Unit) -> Iterator[FileRange]:
    """Yield a batch, and the files of names that may be beside it."""
    yield FileRange(unit.file)
    home = unit.file.rpartition("/")[0]
    yield from (FileRange(f"{home}/{name}".lstrip("/")) for name in ("batches.meta", "meta"))


@gathers(ImageRows)
def scan(unit: Unit, rows: ImageRows) -> Iterator[None]:
    """Add the images of a batch as byte ranges of its array."""
    found = _meta(unit.path.parent)
    if found is None:
        message = f"{unit.path.parent}: found no names of CIFAR's classes; expected batches.meta or meta."
        raise FormatError(message, code=BAD_BATCH)
    meta = found[1]
    batch = read_batch(unit.path, meta.labels)
    names = texts(unit.path, batch.values.get("filenames"))
    own = [f"{unit.path.name}_{n}" for n in range(batch.n)]
    members = names if len(names) == len(batch.labels) else [f"{name}.png" for name in own]
    ids = own if meta.dataset or len(names) != len(batch.labels) else [name.removesuffix(".png") for name in names]
    split = None if meta.dataset else str(batch.values.get("split") or unit.split)
    yield from add_images(rows, batch, wnids=meta.wnids, ids=ids, members=members, split=split)
    if meta.dataset == "cifar100":
        _compare_coarse(rows, batch, own)


def _compare_coarse(rows: ImageRows, batch: Batch, ids: list[str]) -> None:
    """Add a problem for each coarse label that is not the superclass of the fine one."""
    coarse = integers(-1, batch.values.get("coarse_labels")).tolist()
    expected = _coarse_of()
    for n, (fine, label) in enumerate(zip(batch.labels.tolist(), coarse, strict=False)):
        if n < batch.n and 0 <= fine < len(expected) and expected[fine] != label:
            reason = f"found the coarse label {label} beside the fine label {fine}, expected {expected[fine]}"
            rows.problem("coarse_differs", rows.unit.file, reason, None, ids[n])


@functools.cache
def _coarse_of() -> tuple[int, ...]:
    """Return the place in cifar100-coarse of each class of cifar100."""
    coarse = lists.get("cifar100-coarse").categories
    return tuple(
        next(n for n, category in enumerate(coarse) if set(fine.synsets) <= set(category.synsets))
        for fine in lists.get("cifar100").categories
    )
