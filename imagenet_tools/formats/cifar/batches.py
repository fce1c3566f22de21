"""Batches like CIFAR-10's, of any classes: 32 by 32 pixels, each image squeezed to a square by the box filter.

    root/cifar-10-batches-py/
        data_batch_1 ... data_batch_5       train; without train, they are not written
        test_batch                          test, or val if there is no test
        val_batch ...                       every further split, which CIFAR's loaders do not read
        batches.meta                        label_names, num_cases_per_batch, num_vis; and wnids

The lock, recipe and manifest of an export are at its root, beside classes.json: see exports.manifest.

The pickles are those of Python 2 and protocol 2, as published, which torchvision and Keras expect. Each batch also has
its split. Its filenames are the image ids with .png behind. torchvision compares the MD5 of CIFAR's own files, so that
a subclass must name these files without one: see docs/recipes/cifar.md, and load() below.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path

from imagenet_tools.containers import array_pickles
from imagenet_tools.errors import ExportError, FormatError
from imagenet_tools.exports.job import Job
from imagenet_tools.exports.plan import Plan
from imagenet_tools.exports.writer import Loaded, ReadBack, Shard, Writes
from imagenet_tools.formats._shared import array_files
from imagenet_tools.formats._shared.array_batches import BAD_BATCH, read_batch, texts
from imagenet_tools.text import count_of

_SIDE = 32  # pixels
_IMAGE_BYTES = 3 * _SIDE**2
WRITES = Writes(keeps=("image_id", "wnid", "split"), remade_bytes=_IMAGE_BYTES, ordered=True)

FOLDER = "cifar-10-batches-py"
META = "batches.meta"
_BATCHES = 5  # of train
_PROTOCOL = 2  # Python 2's
_MAX_IMAGES = array_files.MAX_ARRAY_BYTES // _IMAGE_BYTES  # in a batch


def _test_split(splits: tuple[str, ...]) -> str:
    """Return the split that is written as test_batch; "" if there is none."""
    return next((split for split in ("test", "val") if split in splits), "")


def hazards(plan: Plan) -> Iterator[str]:
    """Yield notes on splits, order and room. ExportError: a batch would be too large for its format."""
    for split in plan.splits:
        n = max(array_files.batch_sizes(plan.images(split), _BATCHES if split == "train" else 1))
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
    return array_files.PartSink(job, shard, _SIDE)


def finish(job: Job) -> None:
    """Write the batches of each split, and the names of the classes."""
    largest = 0
    for split in job.plan.splits:
        n_batches = _BATCHES if split == "train" else 1
        sizes = array_files.batch_sizes(array_files.n_images(job, split), n_batches)
        largest = max(largest, *sizes)
        _write(job, split, sizes)
    classes = job.plan.classes
    with array_files.pickle_file(job, f"{FOLDER}/{META}", _PROTOCOL) as out:
        out.text("num_cases_per_batch")
        out.number(largest)
        out.texts("label_names", len(classes), (row.display for row in classes))
        out.text("num_vis")
        out.number(_IMAGE_BYTES)
        out.texts("wnids", len(classes), (row.wnid for row in classes))


def _write(job: Job, split: str, sizes: list[int]) -> None:
    """Write the batches of a split, with these numbers of images."""
    images = array_files.images_of(job, split, _IMAGE_BYTES)
    labels = (row.class_index for row in job.rows(split))
    names = (f"{row.image_id}.png" for row in job.rows(split))
    is_test = split == _test_split(job.plan.splits)
    for number, n in enumerate(sizes, 1):
        name = f"data_batch_{number}" if split == "train" else "test_batch" if is_test else f"{split}_batch"
        with array_files.pickle_file(job, f"{FOLDER}/{name}", _PROTOCOL) as out:
            out.text("batch_label")
            out.text(f"{'training' if split == 'train' else 'testing'} batch {number} of {len(sizes)}")
            out.integers("labels", n, labels)
            out.array("data", "|u1", (n, _IMAGE_BYTES), islice(images, n))
            out.texts("filenames", n, names)
            out.text("split")
            out.text(split)


def read_back(root: Path) -> Iterator[ReadBack]:
    """Yield the images of the batches."""
    for path in sorted((root / FOLDER).glob("*_batch*")):
        batch = read_batch(path)
        names = texts(path, batch.values.get("filenames"))
        if batch.fault or len(names) != batch.n or batch.side != _SIDE:
            found = f"{batch.n:,} images of {batch.side} pixels, {len(names):,} filenames"
            raise FormatError(
                f"{path}: found {found}; expected the batch as it was written. {batch.fault}", code=BAD_BATCH
            )
        for n, name in enumerate(names):
            stem = name.removesuffix(".png").replace("/", "_")
            read = partial(batch.read, path, n)
            yield ReadBack(stem, str(batch.values.get("split", "")), int(batch.labels[n]), None, read)


def load(root: Path) -> Loaded:
    """Return what torchvision's CIFAR10 finds, told the names of the files; the split of test_batch as it was named."""
    import torchvision
    from torchvision.datasets import CIFAR10

    train = sorted(path.name for path in (root / FOLDER).glob("data_batch_*"))
    test = [name for name in ("test_batch",) if (root / FOLDER / name).is_file()]

    class Batches(CIFAR10):  # type: ignore[misc]  # torchvision has no types
        train_list = [[name, None] for name in train]  # noqa: RUF012  # as CIFAR100 sets them
        test_list = [[name, None] for name in test]  # noqa: RUF012
        meta = {"filename": META, "key": "label_names", "md5": None}  # noqa: RUF012

    images: dict[str, Counter[int]] = {}
    names: tuple[str, ...] | None = None
    for is_train, names_of_files in ((True, train), (False, test)):
        if not names_of_files:
            continue
        dataset = Batches(str(root), train=is_train)
        images["train" if is_train else _split_of(root / FOLDER / "test_batch")] = Counter(dataset.targets)
        names = tuple(dataset.classes)
    for path in (root / FOLDER).glob("*_batch"):  # torchvision reads no further split
        if path.name not in test:
            batch = read_batch(path)
            images[str(batch.values["split"])] = Counter(batch.labels.tolist())
    return Loaded(f"torchvision {torchvision.__version__}", names, "display", images)


def _split_of(path: Path) -> str:
    with path.open("rb", buffering=0) as file:
        return str(array_pickles.read(file.fileno()).values["split"])
