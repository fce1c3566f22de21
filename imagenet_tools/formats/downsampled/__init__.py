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

formats/downsampled/batches.py writes such batches, and draws their layout.

Source: image_resizer_imagent.py and image2numpy_imagenet_train.py of PatrykChrabaszcz/Imagenet32_Scripts, and
TensorFlow Datasets' imagenet_resized.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from imagenet_tools.catalogue import lists
from imagenet_tools.errors import FormatError
from imagenet_tools.formats._shared.array_batches import BAD_BATCH, PROBLEMS, Batch, add_images, seek_points, texts
from imagenet_tools.formats._shared.contract import Tables, gathers, lacking, unit_at
from imagenet_tools.formats.downsampled.batches import (  # noqa: F401
    FROM_0,
    IDS,
    TRAIN_BATCHES,
    WRITES,
    batch_files,
    finish,
    hazards,
    load,
    open_batch,
    open_shard,
    read_back,
    split_of,
)  # fmt: skip
from imagenet_tools.images.image_rows import ImageRows
from imagenet_tools.text import count_of
from imagenet_tools.units import Detection, Labelling, Reads, Unit, unit_file

READS = Reads(
    holds=("images",),
    problems=PROBLEMS | {FROM_0: "labels of another numbering than ILSVRC's ids: nothing of the batch is indexed"},
)

_STORE_ADVICE = (
    "an image of a compressed npz is read by inflating up to 4 MiB before it: save each once more, by "
    "np.savez(NEW, **np.load(OLD)), and every image is a byte range"
)


def detect(path: Path) -> list[Detection]:
    """Return the batches at a path by their names and the arrays of the first of each split."""
    splits: dict[str, list[Path]] = {}
    for file in batch_files(path):
        splits.setdefault(split_of(file), []).append(file)
    first, fault = _first([files[0] for files in splits.values()])
    counts = "; ".join(
        f"{split} in {count_of(len(files), 'file')}, {files[0].name} first" for split, files in splits.items()
    )
    if fault:
        evidence = f"arrays of a downsampled ImageNet, {counts}"
        return [Detection("downsampled", path, "imagenet-downsampled", (), evidence, advice=fault)]
    if first is None:
        return []
    n_train = len(splits["train"]) if path.is_dir() and "train" in splits else TRAIN_BATCHES
    missing = lacking(n_train, TRAIN_BATCHES, "batches of train")
    labels = Labelling("numbers beside the arrays", "ilsvrc2012", "ilsvrc_id", 1)
    evidence = f"arrays of {first.side} x {first.side} pixels with ILSVRC's ids as labels: {counts}"
    about = (evidence, tuple(splits), missing, labels)
    advice = _STORE_ADVICE if first.deflated else ""
    return [Detection("downsampled", path, f"imagenet{first.side}", ("images",), *about, advice=advice)]


def _first(files: list[Path]) -> tuple[Batch | None, str]:
    """Return the first batch that is whole; and why those of a downsampled ImageNet cannot be read, or ""."""
    first = None
    for file in files:
        try:
            first = first or open_batch(file)
        except FormatError as error:
            if error.code == FROM_0:
                return None, str(error)
            if error.code == BAD_BATCH:
                return None, ""  # other arrays; one that is cut has another code
    return first, ""


def units(detection: Detection, source: str, root: Path) -> Iterator[Unit]:
    """Yield one unit for each batch."""
    for file in batch_files(detection.path):
        yield unit_at(detection, source, root, file, split=split_of(file))


files = unit_file


def scan(unit: Unit) -> Tables:
    """Yield the images of a batch, byte ranges of its array; and the seek points of an array that is compressed."""
    yield from _scan_images(unit)
    yield from seek_points(unit)


@gathers(ImageRows)
def _scan_images(unit: Unit, rows: ImageRows) -> Iterator[None]:
    batch = open_batch(unit.path)
    ids = texts(unit.path, batch.values.get("filenames"))
    if len(ids) != len(batch.labels):
        ids = [f"{unit.path.name.removesuffix('.npz')}_{n}" for n in range(batch.n)]
    wnids = (None, *lists.get(IDS).wnids)
    yield from add_images(rows, batch, wnids=wnids, ids=ids, members=[f"{name}.png" for name in ids])
