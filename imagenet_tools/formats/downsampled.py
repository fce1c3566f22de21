"""The downsampled ImageNets of 8, 16, 32 and 64 pixels (ImageNet32 ...), as npz or pickles.

    Imagenet32_train_npz/train_data_batch_1.npz ... train_data_batch_10.npz     10 batches of train, shuffled
    Imagenet32_val_npz/val_data.npz                                             val, without mean
    Imagenet32_train/train_data_batch_1 ...     Imagenet32_val/val_data         the same as pickles
        data        (128116, 3072) bytes: the planes of red, green and blue of each image
        labels      1 to 1,000: ILSVRC2012's ids, in the devkit's order, not in the sorted one
        mean        (3072,) of all training images

An image was squeezed to a square by the box filter, whatever its shape. It has no name, so it is called after its
batch, train_data_batch_1_0, and shares no photo with ILSVRC2012. In an npz that numpy.savez_compressed wrote, images
are read by seek points: slow, and better saved once more. The pickles are read without being run: see
containers.array_pickles.

An export has squares of 8, 16, 32 or 64 pixels (--side):

    root/train_data_batch_1.npz ... train_data_batch_10.npz     train; data, labels, mean as published, and filenames
    root/val_data.npz                                           every other split by its name, without mean
    root/pickles/train_data_batch_1 ...                         with --side-files: the same as pickles of Python 3

The lock, recipe and manifest of an export are at its root, beside classes.json: see exports.manifest.

Its images are squeezed as the published ones were. filenames are the image ids. The labels are ILSVRC's ids here too,
so that every class must be one of the 1,000.

Source: image_resizer_imagent.py and image2numpy_imagenet_train.py of PatrykChrabaszcz/Imagenet32_Scripts, and
TensorFlow Datasets' imagenet_resized.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np

from imagenet_tools.catalogue import lists
from imagenet_tools.errors import ExportError, FormatError
from imagenet_tools.exports.job import Job
from imagenet_tools.exports.plan import Plan
from imagenet_tools.exports.writer import Loaded, ReadBack, Shard, Writes
from imagenet_tools.formats._shared import array_batches, array_files
from imagenet_tools.formats._shared.contract import Tables, gathers, names_in, unit_at
from imagenet_tools.images.image_rows import ImageRows
from imagenet_tools.images.transform import box_planes
from imagenet_tools.text import count_of, lacking
from imagenet_tools.units import Detection, Labelling, Reads, Unit, unit_file

_FROM_0 = "labels_from_0"  # the code of labels of another numbering

READS = Reads(
    holds=("images",),
    problems=array_batches.PROBLEMS
    | {_FROM_0: "labels of another numbering than ILSVRC's ids: nothing of the batch is indexed"},
)

_SIDE = 32  # pixels
WRITES = Writes(keeps=("image_id", "wnid", "split"), remade_bytes=3 * _SIDE**2, sides=(_SIDE, 8, 16, 64), ordered=True)

_TRAIN_BATCHES = 10
_IDS = "ilsvrc2012-id"  # the published list whose numbers are the labels

_FILE = re.compile(r"(?:(?P<train>train_data_batch_\d+)|(?P<split>[A-Za-z0-9_.-]+)_data)(?:\.npz)?")

_STORE_ADVICE = (
    "an image of a compressed npz is read by inflating up to 4 MiB before it: save each once more, by "
    "np.savez(NEW, **np.load(OLD)), and every image is a byte range"
)


def _split_of(path: Path) -> str:
    """Return the split of a batch by its name."""
    match = _FILE.fullmatch(path.name)
    return "train" if match is None or match["train"] else match["split"]


def _batch_files(path: Path) -> list[Path]:
    """Return the path, if it is called as a batch is, or the files in it that are, by split and number."""
    if path.is_file():
        return [path] if _FILE.fullmatch(path.name) else []
    files = [path / name for name in names_in(path, _FILE.fullmatch)]
    return sorted(files, key=lambda file: (_split_of(file), len(file.name), file.name))


def _open_batch(path: Path) -> array_batches.Batch:
    """Return a batch. FormatError: it is none of an ImageNet of these sides, by its arrays."""
    batch = array_batches.read_batch(path)
    if batch.side not in WRITES.sides:
        sides = ", ".join(map(str, sorted(WRITES.sides)))
        raise FormatError(
            f"Found images of {batch.side} pixels a side, expected {sides}.", code=array_batches.BAD_BATCH
        )
    if (batch.labels == 0).any():
        message = "Found labels from 0 on, expected ILSVRC's ids, 1 to 1,000: who wrote them, and in which order?"
        raise FormatError(message, code=_FROM_0)
    return batch


def detect(path: Path) -> list[Detection]:
    """Return the batches at a path by their names and the arrays of the first of each split."""
    splits: dict[str, list[Path]] = {}
    for file in _batch_files(path):
        splits.setdefault(_split_of(file), []).append(file)
    first, fault = _first([files[0] for files in splits.values()])
    counts = "; ".join(
        f"{split} in {count_of(len(files), 'file')}, {files[0].name} first" for split, files in splits.items()
    )
    if fault:
        evidence = f"arrays of a downsampled ImageNet, {counts}"
        return [Detection("downsampled", path, "imagenet-downsampled", (), evidence, advice=fault)]
    if first is None:
        return []
    n_train = len(splits["train"]) if path.is_dir() and "train" in splits else _TRAIN_BATCHES
    missing = lacking(n_train, _TRAIN_BATCHES, "batches of train")
    labels = Labelling("numbers beside the arrays", "ilsvrc2012", "ilsvrc_id", 1)
    evidence = f"arrays of {first.side} x {first.side} pixels with ILSVRC's ids as labels: {counts}"
    about = (evidence, tuple(splits), missing, labels)
    advice = _STORE_ADVICE if first.deflated else ""
    return [Detection("downsampled", path, f"imagenet{first.side}", ("images",), *about, advice=advice)]


def _first(files: list[Path]) -> tuple[array_batches.Batch | None, str]:
    """Return the first batch that is whole; and why those of a downsampled ImageNet cannot be read, or ""."""
    first = None
    for file in files:
        try:
            first = first or _open_batch(file)
        except FormatError as error:
            if error.code == _FROM_0:
                return None, str(error)
            if error.code == array_batches.BAD_BATCH:
                return None, ""  # other arrays; one that is cut has another code
    return first, ""


def units(detection: Detection, source: str, root: Path) -> Iterator[Unit]:
    """Yield one unit for each batch."""
    for file in _batch_files(detection.path):
        yield unit_at(detection, source, root, file, split=_split_of(file))


files = unit_file


def scan(unit: Unit) -> Tables:
    """Yield the images of a batch, byte ranges of its array; and the seek points of an array that is compressed."""
    yield from _scan_images(unit)
    yield from array_batches.seek_points(unit)


@gathers(ImageRows)
def _scan_images(unit: Unit, rows: ImageRows) -> Iterator[None]:
    batch = _open_batch(unit.path)
    ids = array_batches.texts(unit.path, batch.values.get("filenames"))
    if len(ids) != len(batch.labels):
        ids = [f"{unit.path.name.removesuffix('.npz')}_{n}" for n in range(batch.n)]
    wnids = (None, *lists.get(_IDS).wnids)
    yield from array_batches.add_images(rows, batch, wnids=wnids, ids=ids, members=[f"{name}.png" for name in ids])


def hazards(plan: Plan) -> Iterator[str]:
    """Yield notes on labels, order and room. ExportError: a class is none of ILSVRC2012's."""
    own = [row for row in plan.classes if row.wnid not in lists.index_of(_IDS)]
    if own:
        message = (
            f"The labels of downsampled are ILSVRC2012's ids, and {own[0].wnid} ({own[0].display}) is none of its "
            "1,000 classes. Leave it out, or export to cifar, which takes any classes."
        )
        raise ExportError(message)
    if len(plan.classes) < len(lists.index_of(_IDS)):
        classes = count_of(len(plan.classes), "class")
        yield f"the labels of the {classes} are ILSVRC's ids, 1 to 1,000, and not 1 to {len(plan.classes):,}"
    if plan.options.shuffle == "none":
        yield "the batches hold class after class; the published ones are shuffled, as --shuffle full does"
    yield f"until the arrays are complete, every image is there twice: this takes {count_of(2 * plan.bytes(), 'byte')}"


def open_shard(job: Job, shard: Shard) -> array_files.PartSink:
    """Return the sink of a piece."""
    return array_files.PartSink(job, shard, partial(box_planes, side=job.plan.side))


def finish(job: Job) -> None:
    """Write the batches of each split."""
    for split in job.plan.splits:
        n_batches = _TRAIN_BATCHES if split == "train" else 1
        names = [f"train_data_batch_{n + 1}" for n in range(n_batches)] if split == "train" else [f"{split}_data"]
        sizes = array_files.batch_sizes(array_files.n_images(job, split), n_batches)
        batches = dict(zip(names, sizes, strict=True))
        _write(job, split, batches, pickled=False)
        if job.plan.options.side_files:
            _write(job, split, batches, pickled=True)


def _write(job: Job, split: str, batches: dict[str, int], *, pickled: bool) -> None:
    """Write the batches of a split, whose images are given by name."""
    image_bytes = 3 * job.plan.side**2
    label_of = lists.index_of(_IDS)
    mean = array_files.mean_image(job, split, image_bytes) if split == "train" else None
    images = array_files.images_of(job, split)
    labels = (label_of[row.wnid] + 1 for row in job.rows(split))
    ids = (row.image_id for row in job.rows(split))
    longest = max(source.longest_id for source in job.plan.sources)
    for name, n in batches.items():
        opened = (
            array_files.pickle_file(job, f"pickles/{name}", 3) if pickled else array_files.npz_file(job, f"{name}.npz")
        )
        with opened as out:
            out.array("data", "|u1", (n, image_bytes), islice(images, n))
            out.integers("labels", n, labels)
            if mean is not None:
                out.array("mean", "<f8", mean.shape, (mean.astype("<f8").tobytes(),))
            out.texts("filenames", n, ids, longest)


def _index_of(root: Path) -> dict[int, int]:
    """Return the class index of each label, by classes.json."""
    classes = json.loads((root / "classes.json").read_text(encoding="utf-8"))["classes"]
    return {lists.index_of(_IDS)[row["wnid"]] + 1: int(row["index"]) for row in classes}


def read_back(root: Path) -> Iterator[ReadBack]:
    """Yield the images of the npz."""
    index_of = _index_of(root)
    for path in _batch_files(root):
        batch = _open_batch(path)
        ids = array_batches.texts(path, batch.values.get("filenames"))
        if batch.fault or len(ids) != batch.n:
            message = f"{path}: found {batch.n:,} images and {len(ids):,} filenames. {batch.fault}"
            raise FormatError(message, code=array_batches.BAD_BATCH)
        for n, image_id in enumerate(ids):
            label = int(batch.labels[n])
            stem = image_id.replace("/", "_")
            yield ReadBack(stem, _split_of(path), index_of.get(label, -1), None, partial(batch.read, path, n))


def load(root: Path) -> Loaded:
    """Return what numpy finds in the batches, as TensorFlow Datasets' imagenet_resized reads them."""
    index_of = _index_of(root)
    images: dict[str, Counter[int]] = {}
    for path in _batch_files(root):
        with np.load(path) as arrays:
            pairs = zip(arrays["data"], arrays["labels"].tolist(), strict=True)
            images.setdefault(_split_of(path), Counter()).update(index_of[label] for _, label in pairs)
    return Loaded(f"numpy {np.__version__}", None, "wnid", images)
