"""Batches of images in arrays, as npz or pickles: read them, add their images, and write them in parts.

data        (N, 3 * side * side) bytes: the planes of red, green and blue of each image, row by row
labels      N whole numbers
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from imagenet_tools.containers import array_pickles, npz
from imagenet_tools.containers.array_pickles import Array
from imagenet_tools.containers.gzip_stream import GzipStream, point_rows
from imagenet_tools.containers.planar import DEFLATED_PLANAR, PLANAR, png, side_of
from imagenet_tools.containers.zip_directory import MAGICS
from imagenet_tools.errors import FormatError
from imagenet_tools.formats._shared.contract import Tables, read_range
from imagenet_tools.images.image_rows import ImageRows
from imagenet_tools.images.jpeg import ImageFacts, reader_at
from imagenet_tools.units import Unit

BAD_BATCH = "array_batch"  # the code of a file whose arrays are not a batch of images
PROBLEMS = {
    BAD_BATCH: "a batch that is cut, or whose arrays are none of images; the images before a cut are kept",
    "array_label": "a label of no class; the image has none",
}

_MAX_LABELS = 1 << 22


class Batch(NamedTuple):
    """A file of images in arrays."""

    side: int  # pixels
    offset: int  # of the first image in the file, bytes
    n: int  # whole images in the file
    labels: npt.NDArray[np.int64]  # of all images, also those behind a cut
    values: Mapping[str, Any]  # the other entries: texts, numbers, lists, arrays
    fault: str  # what is wrong with the file, or ""
    deflated: bool = False  # whether `offset` is a position in the stream that the file's array inflates to

    @property
    def image_bytes(self) -> int:
        """Return the bytes of an image."""
        return 3 * self.side**2

    def read(self, path: Path, n: int) -> bytes:
        """Return an image of the file as a PNG."""
        return png(read_range(path, *self.place(n)))

    def place(self, n: int) -> tuple[int, int]:
        """Return the byte range of an image: offset and length."""
        return self.offset + n * self.image_bytes, self.image_bytes


def read_batch(path: Path, labels: str = "labels") -> Batch:
    """Return the batch in an npz or a pickle; no image is read.

    Args:
        path: The file.
        labels: The key of the labels.

    Raises:
        FormatError: The file is cut, damaged, compressed or refused, or its arrays are not a batch of images.
    """
    with path.open("rb", buffering=0) as file:
        fd = file.fileno()
        is_npz = os.pread(fd, 4, 0) in MAGICS
        content = array_pickles.Pickled(dict[str, Any](npz.read(fd))) if is_npz else array_pickles.read(fd)
        data = content.values.get("data")
        side = side_of(data.shape[1]) if isinstance(data, Array) and len(data.shape) == 2 else None
        if not isinstance(data, Array) or data.dtype != "|u1" or data.fortran or side is None:
            order = ", columns first" if isinstance(data, Array) and data.fortran else ""
            shape = f"{data.dtype} of shape {data.shape}{order}" if isinstance(data, Array) else "none"
            message = f"Found as data: {shape}; expected bytes of shape (images, 3 * side * side), rows first."
            raise FormatError(message, code=BAD_BATCH)
        numbers = integers(fd, content.values.get(labels))
        if len(numbers) != data.shape[0]:
            message = f"Found {len(numbers):,} {labels} of {data.shape[0]:,} images; expected one of each."
            raise FormatError(message, code=BAD_BATCH)
    n = min(data.shape[0], data.values.length // data.shape[1])
    fault = content.fault or (f"its array holds {n:,} whole images of {data.shape[0]:,}" if n < data.shape[0] else "")
    others = {key: value for key, value in content.values.items() if key not in ("data", labels)}
    return Batch(side, data.values.offset, n, numbers, others, fault, data.deflated is not None)


def integers(fd: int, values: object) -> npt.NDArray[np.int64]:
    """Return whole numbers of a list, or of an array in an open file; none for anything else."""
    if isinstance(values, Array) and values.dtype[1:2] in ("i", "u") and values.values.length < 8 * _MAX_LABELS:
        return np.frombuffer(npz.read_values(fd, values), values.dtype).astype(np.int64)
    if isinstance(values, list) and all(type(value) is int and abs(value) < 1 << 31 for value in values):
        return np.array(values, np.int64)
    return np.zeros(0, np.int64)


def texts(path: Path, values: object) -> list[str]:
    """Return the texts of a list, or of an array of bytes in a file; none for anything else."""
    if isinstance(values, Array) and values.dtype[1:2] == "S":
        with path.open("rb", buffering=0) as file:
            array = np.frombuffer(npz.read_values(file.fileno(), values), values.dtype)
        return [text.decode(errors="surrogateescape") for text in array.tolist()]
    return [str(value) for value in values] if isinstance(values, list) else []


def add_images(
    rows: ImageRows,
    batch: Batch,
    *,
    wnids: Sequence[str | None],
    ids: Sequence[str],
    members: Sequence[str],
    split: str | None = None,
) -> Iterator[None]:
    """Add the images of a batch as byte ranges, and its fault after them.

    Args:
        rows: Rows of the unit whose file the batch is.
        batch: The batch.
        wnids: The class of each label, by number.
        ids: The image id of each image.
        members: The name of each image in its batch.
        split: The split, if the batch itself names it.
    """
    facts = ImageFacts(batch.side, batch.side, "RGB", "png", None, None)
    for n in range(batch.n):
        offset, length = batch.place(n)
        label = int(batch.labels[n])
        wnid = wnids[label] if 0 <= label < len(wnids) else None
        if wnid is None:
            reason = f"found the label {label}, expected one of {len([1 for known in wnids if known]):,} classes"
            rows.problem("array_label", rows.unit.file, reason, members[n], ids[n])
        rows.add(
            ids[n],
            file=rows.unit.file,
            member=members[n],
            head=b"",
            more=lambda _offset, _n: b"",
            offset=None if batch.deflated else offset,
            position=offset if batch.deflated else None,
            length=length,
            compression=DEFLATED_PLANAR if batch.deflated else PLANAR,
            wnid=wnid,
            split=split,
            facts=facts,
        )
        yield
    if batch.fault:
        rows.problem(BAD_BATCH, rows.unit.file, batch.fault)


def seek_points(unit: Unit) -> Tables:
    """Yield the seek points of a unit's npz, if its images are compressed; one that is damaged is a problem."""
    with unit.path.open("rb", buffering=0) as file:
        fd = file.fileno()
        if os.pread(fd, 4, 0) not in MAGICS:
            return
        try:
            data = npz.read(fd).get("data")
        except FormatError:  # the scan of the images has reported it
            return
        if data is None or data.deflated is None:
            return
        start, size = data.deflated
        stream = GzipStream(reader_at(fd, start), size, label=unit.file, raw=True)
        yield "seek_points", point_rows(unit, stream, start=start, size=size)
        rows = ImageRows(unit)
        if fault := npz.damage(fd, "data"):
            rows.problem(BAD_BATCH, unit.file, fault)
        yield from rows.batches()
