"""Write images into zips and arrays: what is made of them part by part in the workers, then zips, npz or pickles.

Workers write what is made of the images of a piece, pixels or PNGs, beside the export. When all pieces are there, they
are copied into the files of the export, one image after the other, so that no file is in memory.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import BinaryIO, TypeVar
from zipfile import ZipFile, ZipInfo

import numpy as np
import numpy.typing as npt

from imagenet_tools.exports.job import Job, OutFile
from imagenet_tools.exports.pictures import Picture
from imagenet_tools.exports.writer import Row, Shard, SinkOutput

MAX_ARRAY_BYTES = (1 << 31) - 1  # in a pickle of Python 2, whose lengths are signed

_FILE_ATTRIBUTES = 0o100644 << 16  # in a zip
_FOLDER_ATTRIBUTES = 0o40755 << 16 | 0x10
_READ_BYTES = 1 << 20  # of a part, at once
_IMAGES_AT_ONCE = 256
_VALUES_AT_ONCE = 1_000  # in a list of a pickle, as pickle itself writes them
_Value = TypeVar("_Value", int, str)

_NUMPY = b"numpy.core.multiarray\n_reconstruct\n"  # the name that all versions of numpy know


def batch_sizes(n: int, batches: int) -> list[int]:
    """Return the images of each batch, all equal but the last, which has the rest, as image2numpy_imagenet_train.py.

    Example:
        >>> batch_sizes(1_281_167, 10)[-2:]
        [128116, 128123]
    """
    size = n // batches
    return [size] * (batches - 1) + [n - size * (batches - 1)]


class PartSink:
    """Writes what `make` makes of each image of a piece, always of one length, one after the other."""

    def __init__(self, job: Job, shard: Shard, make: Callable[[bytes], bytes]):
        self._part = _part(job, shard)
        self._out = OutFile(self._part)
        self._make = make
        self._image_bytes = 0

    def add(self, row: Row, picture: Picture) -> None:
        """Append an image."""
        data = self._make(picture.data())
        self._out.write(data)
        self._image_bytes = len(data)

    def close(self) -> SinkOutput:
        """Complete the part."""
        self._out.close()
        return SinkOutput(note={"image_bytes": self._image_bytes}, parts=(self._part.name,))


def _part(job: Job, shard: Shard) -> Path:
    return job.done / f"{job.plan.target}-{shard.piece}.part"


def images_of(job: Job, split: str) -> Iterator[bytes]:
    """Yield what was made of each image of a split, in the order of job.rows()."""
    for shard, note in job.notes():
        if shard.split == split:
            with _part(job, shard).open("rb", buffering=_READ_BYTES) as part:
                while made := part.read(note["image_bytes"]):
                    yield made


def n_images(job: Job, split: str) -> int:
    """Return the number of images of a split that were written."""
    return sum(tally.images for tally in job.tallies[split].values())


def mean_image(job: Job, split: str, image_bytes: int) -> npt.NDArray[np.float64]:
    """Return the mean of the images of a split, value by value: (image_bytes,)."""
    total, n = np.zeros(image_bytes, np.uint64), 0
    images = images_of(job, split)
    while some := list(islice(images, _IMAGES_AT_ONCE)):
        total += np.frombuffer(b"".join(some), np.uint8).reshape(-1, image_bytes).sum(0, dtype=np.uint64)
        n += len(some)
    return total / max(n, 1)


def zip_entry(name: str, *, folder: bool = False) -> ZipInfo:
    """Return the entry of a stored file, or of a folder, in a zip, without the time: equal exports have equal bytes."""
    entry = ZipInfo(name)  # dated 1 January 1980, the first day that a zip can state
    entry.external_attr = _FOLDER_ATTRIBUTES if folder else _FILE_ATTRIBUTES
    return entry


class NpzWriter:
    """Writes arrays into an npz as numpy.savez does, part by part."""

    def __init__(self, archive: ZipFile):
        self._zip = archive

    def array(self, name: str, dtype: str, shape: tuple[int, ...], parts: Iterable[bytes]) -> None:
        """Add an array."""
        from numpy.lib import format as npy

        with self._zip.open(zip_entry(f"{name}.npy"), "w", force_zip64=True) as out:
            npy.write_array_header_1_0(out, {"descr": dtype, "fortran_order": False, "shape": shape})
            out.writelines(parts)

    def integers(self, name: str, n: int, values: Iterator[int]) -> None:
        """Add an array of n whole numbers of 64 bits."""
        self.array(name, "<i8", (n,), (struct.pack("<q", value) for value in islice(values, n)))

    def texts(self, name: str, n: int, values: Iterator[str], longest: int) -> None:
        """Add an array of n texts of at most `longest` bytes."""
        encoded = (value.encode(errors="surrogateescape").ljust(longest, b"\0") for value in islice(values, n))
        self.array(name, f"|S{longest}", (n,), encoded)


class PickleWriter:
    """Writes the items of a pickle's one dictionary, arrays and lists, part by part.

    Args:
        file: The file.
        protocol: 2 for the texts of Python 2, as CIFAR's; 3 for those of Python 3, as the downsampled ImageNets'.
    """

    def __init__(self, file: BinaryIO, protocol: int):
        self._file = file
        self._kinds = (b"U", b"T", b"U", b"T") if protocol == 2 else (b"X", b"X", b"C", b"B")

    def text(self, text: str) -> None:
        """Write a key, or a text as the value of one."""
        self._bytes(text.encode(errors="surrogateescape"), *self._kinds[:2])

    def _bytes(self, data: bytes, short: bytes, long: bytes) -> None:
        self._length(len(data), short, long)
        self._file.write(data)

    def _length(self, n: int, short: bytes, long: bytes) -> None:
        is_short = n < 256 and short != b"X"
        self._file.write(short + bytes((n,)) if is_short else long + struct.pack("<I", n))

    def number(self, n: int) -> None:
        """Write a whole number of 0 to 2**31 - 1."""
        pack = b"K%c" % n if n < 256 else b"M" + struct.pack("<H", n) if n < 1 << 16 else b"J" + struct.pack("<i", n)
        self._file.write(pack)

    def integers(self, name: str, n: int, values: Iterator[int]) -> None:
        """Add a list of n whole numbers."""
        self._list(name, islice(values, n), self.number)

    def texts(self, name: str, n: int, values: Iterator[str], longest: int = 0) -> None:
        """Add a list of n texts; `longest` is not needed."""
        self._list(name, islice(values, n), self.text)

    def _list(self, name: str, values: Iterator[_Value], write: Callable[[_Value], None]) -> None:
        self.text(name)
        self._file.write(b"]")
        while some := list(islice(values, _VALUES_AT_ONCE)):
            self._file.write(b"(")
            for value in some:
                write(value)
            self._file.write(b"e")

    def array(self, name: str, dtype: str, shape: tuple[int, ...], parts: Iterable[bytes]) -> None:
        """Add an array: the call that makes it, and the state that gives it type, shape and values."""
        self.text(name)
        self._file.write(b"c" + _NUMPY + b"cnumpy\nndarray\nK\0\x85")
        self._bytes(b"b", *self._kinds[2:])
        self._file.write(b"\x87R(K\x01(")
        for n in shape:
            self.number(n)
        self._file.write(b"tcnumpy\ndtype\n")
        self.text(dtype[1:])
        self._file.write(b"\x89\x88\x87R(K\x03")
        self.text(dtype[0])
        self._file.write(b"NNN" + 2 * (b"J" + struct.pack("<i", -1)) + b"K\0tb\x89")
        self._length(int(np.prod(shape)) * np.dtype(dtype).itemsize, *self._kinds[2:])
        self._file.writelines(parts)
        self._file.write(b"tb")


@contextmanager
def npz_file(job: Job, name: str) -> Iterator[NpzWriter]:
    """Open an npz of the export; it appears when the block ends without an error."""
    with job.writing(name) as file, ZipFile(file, "w") as archive:
        yield NpzWriter(archive)


@contextmanager
def pickle_file(job: Job, name: str, protocol: int) -> Iterator[PickleWriter]:
    """Open a pickle of the export; it appears when the block ends without an error."""
    with job.writing(name) as file:
        file.write(b"\x80%c}(" % protocol)
        yield PickleWriter(file, protocol)
        file.write(b"u.")
