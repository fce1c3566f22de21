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

An export has batches like CIFAR-10's, of any classes. Each image is squeezed to a square by the box filter:

    root/cifar-10-batches-py/
        data_batch_1 ... data_batch_5       train; without train, they are not written
        test_batch                          test, or val if there is no test
        val_batch ...                       every further split, which CIFAR's loaders do not read
        batches.meta                        label_names, num_cases_per_batch, num_vis; and wnids

The lock, recipe and manifest of an export are at its root, beside classes.json: see exports.manifest.

The pickles are those of Python 2 and protocol 2, as published, which torchvision and Keras expect. They are read
without being run: see containers.array_pickles. Each batch of an export also has its split. Its filenames are the image
ids with .png behind. torchvision compares the MD5 of CIFAR's own files, so that a subclass must name these files
without one: see docs/recipes/cifar.md, and load() below.

Source: the page of CIFAR by Alex Krizhevsky, and torchvision.datasets.CIFAR10.
"""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from imagenet_tools.catalogue import lists
from imagenet_tools.containers import array_pickles
from imagenet_tools.errors import ExportError, FormatError
from imagenet_tools.exports.job import Job
from imagenet_tools.exports.plan import Plan
from imagenet_tools.exports.writer import Loaded, ReadBack, Shard, Writes
from imagenet_tools.formats._shared import array_batches, array_files
from imagenet_tools.formats._shared.contract import gathers, names_in, unit_at
from imagenet_tools.images.detection import dataset_name
from imagenet_tools.images.image_rows import ImageRows
from imagenet_tools.images.transform import box_planes
from imagenet_tools.text import count_of, joined, lacking
from imagenet_tools.units import Detection, FileRange, Labelling, Reads, Unit, files_beside, unit_file
from imagenet_tools.wordnet.wnid import is_wnid

READS = Reads(
    holds=("images",),
    beside=frozenset({"batches.meta", "meta", "readme.html", "file.txt~"}),
    problems=array_batches.PROBLEMS
    | {"coarse_differs": "a coarse label that is not the superclass of the fine one, which is kept"},
)

_SIDE = 32  # pixels
_IMAGE_BYTES = 3 * _SIDE**2
WRITES = Writes(keeps=("image_id", "wnid", "split"), remade_bytes=_IMAGE_BYTES, ordered=True)

_BATCH = re.compile(r"(?P<train>data_batch_\d+)|(?P<split>[A-Za-z0-9_.-]+?)_batch")
_SPLITS_OF_100 = ("train", "test")

_FOLDER = "cifar-10-batches-py"
_META_FILE = "batches.meta"
_TRAIN_BATCHES = 5
_PROTOCOL = 2  # Python 2's
_MAX_IMAGES = array_files.MAX_ARRAY_BYTES // _IMAGE_BYTES  # in a batch


class _Meta(NamedTuple):
    """The classes that a file of names states."""

    dataset: str  # "" for classes of an export
    wnids: tuple[str, ...]
    labels: str  # the key of the labels


def _folder_of(path: Path) -> Path:
    """Return the folder of the batches at a path: the path, or that of the batch that it is."""
    return path if path.is_dir() else path.parent


def _meta(folder: Path) -> _Meta | None:
    """Return the classes of the file of names in a folder; None if they are not known."""
    for name, key, dataset, labels in (
        (_META_FILE, "label_names", "cifar10", "labels"),
        ("meta", "fine_label_names", "cifar100", "fine_labels"),
    ):
        path = folder / name
        if path.is_file() and (classes := _classes(path, key, dataset)):
            return _Meta(*classes, labels)
    return None


def _classes(path: Path, key: str, dataset: str) -> tuple[str, tuple[str, ...]] | None:
    try:
        with path.open("rb", buffering=0) as file:
            values = array_pickles.read(file.fileno()).values
    except FormatError:
        return None
    wnids = array_batches.texts(path, values.get("wnids"))
    if wnids and all(map(is_wnid, wnids)):
        return "", tuple(wnids)
    categories = lists.get(dataset).categories
    known = array_batches.texts(path, values.get(key)) == [category.name for category in categories]
    return (dataset, tuple(category.synsets[0] for category in categories)) if known else None


def _batches(path: Path, meta: _Meta) -> dict[str, list[str]]:
    """Return the names of the batches at a path by split, as their names tell it."""
    folder = _folder_of(path)
    if meta.dataset == "cifar100":
        names = [split for split in _SPLITS_OF_100 if (folder / split).is_file()]
    else:
        names = names_in(folder, _BATCH.fullmatch)
    batches: dict[str, list[str]] = {}
    for name in names:
        if path in (folder, folder / name):
            match = _BATCH.fullmatch(name)
            split = name if match is None else "train" if match["train"] else match["split"]
            batches.setdefault(split, []).append(name)
    return batches


def detect(path: Path) -> list[Detection]:
    """Return the batches in a folder, or the batch that is a path, by the names of their classes."""
    folder = _folder_of(path)
    meta = _meta(folder)
    batches = _batches(path, meta) if meta else {}
    if meta is None or not batches:
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
    dataset = meta.dataset or dataset_name((home.parent if home.name == _FOLDER else home).name)
    return [Detection("cifar", path, dataset, ("images",), evidence, tuple(batches), missing, labels)]


def units(detection: Detection, source: str, root: Path) -> Iterator[Unit]:
    """Yield one unit for each batch."""
    folder = _folder_of(detection.path)
    meta = _meta(folder)
    for split, names in _batches(detection.path, meta).items() if meta else ():
        for name in names:
            yield unit_at(detection, source, root, folder / name, split=split)


def files(unit: Unit) -> Iterator[FileRange]:
    """Yield a batch, and the files of names that may be beside it."""
    yield from unit_file(unit)
    yield from files_beside(unit, (_META_FILE, "meta"))


@gathers(ImageRows)
def scan(unit: Unit, rows: ImageRows) -> Iterator[None]:
    """Add the images of a batch as byte ranges of its array."""
    meta = _meta(unit.path.parent)
    if meta is None:
        message = f"{unit.path.parent}: found no names of CIFAR's classes; expected batches.meta or meta."
        raise FormatError(message, code=array_batches.BAD_BATCH)
    batch = array_batches.read_batch(unit.path, meta.labels)
    names = array_batches.texts(unit.path, batch.values.get("filenames"))
    own = [f"{unit.path.name}_{n}" for n in range(batch.n)]
    members = names if len(names) == len(batch.labels) else [f"{name}.png" for name in own]
    ids = own if meta.dataset or len(names) != len(batch.labels) else [name.removesuffix(".png") for name in names]
    split = None if meta.dataset else str(batch.values.get("split") or unit.split)
    yield from array_batches.add_images(rows, batch, wnids=meta.wnids, ids=ids, members=members, split=split)
    if meta.dataset == "cifar100":
        _compare_coarse(rows, batch, own)


def _compare_coarse(rows: ImageRows, batch: array_batches.Batch, ids: list[str]) -> None:
    """Add a problem for each coarse label that is not the superclass of the fine one."""
    coarse = array_batches.integers(-1, batch.values.get("coarse_labels")).tolist()
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


def _test_split(splits: tuple[str, ...]) -> str:
    """Return the split that is written as test_batch; "" if there is none."""
    return next((split for split in ("test", "val") if split in splits), "")


def hazards(plan: Plan) -> Iterator[str]:
    """Yield notes on splits, order and room. ExportError: a batch would be too large for its format."""
    for split in plan.splits:
        n = max(array_files.batch_sizes(plan.images(split), _TRAIN_BATCHES if split == "train" else 1))
        if n > _MAX_IMAGES:
            message = (
                f"A batch of {split} would have {n:,} images; the pickles of Python 2 hold {_MAX_IMAGES:,} at most. "
                "Choose fewer with --per-class, or export to webdataset."
            )
            raise ExportError(message)
    test = _test_split(plan.splits)
    missing = ([] if "train" in plan.splits else ["train"]) + ([] if test else ["test or val"])
    if missing:
        yield f"there is no {' and no '.join(missing)}: CIFAR's loaders need both, data_batch_1 to 5 and test_batch"
    further = [split for split in plan.splits if split not in ("train", test)]
    if further:
        yield f"CIFAR's loaders do not read {', '.join(f'{split}_batch' for split in further)}"
    if plan.options.shuffle == "none":
        yield "the batches hold class after class; the published ones are shuffled, as --shuffle full does"
    yield f"until the batches are complete, every image is there twice: this takes {count_of(2 * plan.bytes(), 'byte')}"


def open_shard(job: Job, shard: Shard) -> array_files.PartSink:
    """Return the sink of a piece."""
    return array_files.PartSink(job, shard, functools.partial(box_planes, side=_SIDE))


def finish(job: Job) -> None:
    """Write the batches of each split, and the names of the classes."""
    largest = 0
    for split in job.plan.splits:
        n_batches = _TRAIN_BATCHES if split == "train" else 1
        sizes = array_files.batch_sizes(array_files.n_images(job, split), n_batches)
        largest = max(largest, *sizes)
        _write(job, split, sizes)
    classes = job.plan.classes
    with array_files.pickle_file(job, f"{_FOLDER}/{_META_FILE}", _PROTOCOL) as out:
        out.text("num_cases_per_batch")
        out.number(largest)
        out.texts("label_names", len(classes), (row.display for row in classes))
        out.text("num_vis")
        out.number(_IMAGE_BYTES)
        out.texts("wnids", len(classes), (row.wnid for row in classes))


def _write(job: Job, split: str, sizes: list[int]) -> None:
    """Write the batches of a split, with these numbers of images."""
    images = array_files.images_of(job, split)
    labels = (row.class_index for row in job.rows(split))
    names = (f"{row.image_id}.png" for row in job.rows(split))
    is_test = split == _test_split(job.plan.splits)
    for number, n in enumerate(sizes, 1):
        name = f"data_batch_{number}" if split == "train" else "test_batch" if is_test else f"{split}_batch"
        with array_files.pickle_file(job, f"{_FOLDER}/{name}", _PROTOCOL) as out:
            out.text("batch_label")
            out.text(f"{'training' if split == 'train' else 'testing'} batch {number} of {len(sizes)}")
            out.integers("labels", n, labels)
            out.array("data", "|u1", (n, _IMAGE_BYTES), islice(images, n))
            out.texts("filenames", n, names)
            out.text("split")
            out.text(split)


def read_back(root: Path) -> Iterator[ReadBack]:
    """Yield the images of the batches."""
    for path in sorted((root / _FOLDER).glob("*_batch*")):
        batch = array_batches.read_batch(path)
        names = array_batches.texts(path, batch.values.get("filenames"))
        if batch.fault or len(names) != batch.n or batch.side != _SIDE:
            content = f"{batch.n:,} images of {batch.side} pixels, {len(names):,} filenames"
            raise FormatError(
                f"{path}: found {content}; expected the batch as it was written. {batch.fault}",
                code=array_batches.BAD_BATCH,
            )
        for n, name in enumerate(names):
            stem = name.removesuffix(".png").replace("/", "_")
            read = functools.partial(batch.read, path, n)
            yield ReadBack(stem, str(batch.values.get("split", "")), int(batch.labels[n]), None, read)


def load(root: Path) -> Loaded:
    """Return what torchvision's CIFAR10 finds, told the names of the files; the split of test_batch as it was named."""
    import torchvision
    from torchvision.datasets import CIFAR10

    train = sorted(path.name for path in (root / _FOLDER).glob("data_batch_*"))
    test = [name for name in ("test_batch",) if (root / _FOLDER / name).is_file()]

    class Batches(CIFAR10):  # type: ignore[misc]  # torchvision has no types
        train_list = [[name, None] for name in train]  # noqa: RUF012  # as CIFAR100 sets them
        test_list = [[name, None] for name in test]  # noqa: RUF012
        meta = {"filename": _META_FILE, "key": "label_names", "md5": None}  # noqa: RUF012

    images: dict[str, Counter[int]] = {}
    names: tuple[str, ...] | None = None
    for is_train, files_of_split in ((True, train), (False, test)):
        if files_of_split:
            dataset = Batches(str(root), train=is_train)
            split = str(array_batches.read_batch(root / _FOLDER / files_of_split[0]).values["split"])
            images[split] = Counter(dataset.targets)
            names = tuple(dataset.classes)
    for path in (root / _FOLDER).glob("*_batch"):  # torchvision reads no further split
        if path.name not in test:
            batch = array_batches.read_batch(path)
            images[str(batch.values["split"])] = Counter(batch.labels.tolist())
    return Loaded(f"torchvision {torchvision.__version__}", names, "display", images)
