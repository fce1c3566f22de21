"""A split as a map-style data set with ImageFolder's interface, read from the original archives and folders.

A data set holds arrays and no connection. So it pickles (about 35 bytes an image; workers never open the index), and
forked workers share it. Files are opened in the process that reads, and stay open there.
"""

from __future__ import annotations

import gc
import mmap
import operator
import os
import resource
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, SupportsIndex, TypeVar, overload

import numpy as np

from imagenet_tools.catalogue.export_classes import order_classes
from imagenet_tools.containers import payload
from imagenet_tools.containers.payload import Place, reading_order
from imagenet_tools.errors import FormatError, ImagenetToolsError, SourceError
from imagenet_tools.images import probe
from imagenet_tools.storage.blob import Descriptors
from imagenet_tools.storage.files import inside
from imagenet_tools.text import count_of, html_of

if TYPE_CHECKING:
    import numpy.typing as npt
    import pyarrow as pa

    from imagenet_tools.storage.blob import Stamps

# A forked worker of a loader inherits the objects of its parent, such as an open DuckDB query, whose threads do not
# exist there. Frozen, they are never collected: to finalise one ended the worker with a segmentation fault.
os.register_at_fork(after_in_child=gc.freeze)

_Item = TypeVar("_Item")


class LazyList(Sequence[_Item]):
    """A sequence that computes item(row) on access and equals a list of the same items; slices are lists.

    `array` holds all items if they are numbers, for users that want them at once, such as NumPy.
    """

    def __init__(self, n: int, item: Callable[[int], _Item], array: npt.NDArray[Any] | None = None):
        self._rows, self._item, self._array = range(n), item, array

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> _Item: ...
    @overload
    def __getitem__(self, index: slice) -> list[_Item]: ...
    def __getitem__(self, index: int | slice) -> _Item | list[_Item]:
        rows = self._rows[index]
        return [self._item(row) for row in rows] if isinstance(rows, range) else self._item(rows)

    def __iter__(self) -> Iterator[_Item]:
        return map(self._item, self._rows) if self._array is None else iter(self._array.tolist())

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[Any]:
        if self._array is None:
            return np.array(list(self), dtype)
        return self._array.astype(np.int64 if dtype is None else dtype)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, (LazyList, list)):
            return NotImplemented
        return len(self) == len(other) and all(mine == theirs for mine, theirs in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"[{', '.join([*map(repr, self[:3]), *(['...'] if len(self) > 3 else [])])}] ({len(self):,} in all)"


# ---- The places of images: about 35 bytes an image. Images of one archive, or files of one folder, share a Container.


# Whole numbers of the smallest type that holds them.
Numbers = np.ndarray[tuple[int], np.dtype[Any]]


class Container(NamedTuple):
    """An archive of images, or a folder whose files are images."""

    dataset: str
    path: Path  # on this machine
    folder: bool  # whether `path` is a folder
    compression: str | None  # as in Place
    points: Path | None  # as in Place
    encoding: str | None  # as in Place


class ImagePlaces(NamedTuple):
    """Images in order: one row each in every array."""

    homes: tuple[Container, ...]
    home: Numbers  # row of `homes`
    start: npt.NDArray[np.int64]  # offset in the archive, or the `position` of Place in a container without offsets
    length: Numbers  # bytes in the container
    image_id: pa.StringArray
    name: pa.StringArray | None  # file or member name; null, or None for all rows, if it is image_id + .JPEG
    label: Numbers  # 0-based class index

    def place(self, row: int) -> Place:
        """Return the place of an image's bytes.

        Raises:
            IndexError: There is no such row.
        """
        home = self.homes[self.home[row]]
        start, length = int(self.start[row]), int(self.length[row])
        if home.folder:
            return Place(inside(home.path, self._name(row)), start, length, encoding=home.encoding)
        name = None if self.name is None else self.name[row].as_py()
        addressed = home.compression in payload.ADDRESSED
        offset, position = (start, None) if addressed else (None, start)
        return Place(home.path, offset, length, name, position, home.compression, home.points, home.encoding)

    def path(self, row: int) -> str:
        """Return the file of an image, or archive/name."""
        return f"{self.homes[self.home[row]].path}/{self._name(row)}"

    def sample(self, row: int) -> tuple[str, int]:
        """Return (path, class index) of an image."""
        return self.path(row), int(self.label[row])

    def key(self, row: int) -> str:
        """Return dataset/image_id."""
        return f"{self.homes[self.home[row]].dataset}/{self.image_id[row].as_py()}"

    def on_disk(self, rows: Iterable[int]) -> list[int]:
        """Return rows in the order in which they are stored, so that no container is decoded twice."""
        return sorted(rows, key=lambda row: reading_order(self.place(row)))

    def _name(self, row: int) -> str:
        name: str | None = None if self.name is None else self.name[row].as_py()
        return f"{self.image_id[row].as_py()}.JPEG" if name is None else name


def smallest(values: npt.NDArray[Any]) -> Numbers:
    """Return numbers of 0 or more in the smallest type that holds them, signed so that arithmetic does not wrap."""
    most = int(values.max(initial=0))
    return values.astype(np.min_scalar_type(-most - 1))


# ---- The data set

# A data set keeps at most this part of the files open that a process may open, and at most _MAX_OPEN_FILES.
_OPEN_FILES_DIVISOR = 4
_MAX_OPEN_FILES = 4096
# More unreadable images in a row are not a few bad images but an error of the source.
_MAX_SKIPPED_IN_A_ROW = 100

Transform = Callable[[Any], Any]


class Boxes(NamedTuple):
    """The boxes of all images, in their order: those of image n are the rows from starts[n] to starts[n + 1]."""

    starts: npt.NDArray[np.int64]
    label: npt.NDArray[np.int64]  # 0-based class index
    fractions: npt.NDArray[np.float32]  # (boxes, 4): xmin, ymin, xmax, ymax of the stored raster, 0 to 1
    pixels: npt.NDArray[np.float32]  # the same in pixels, 0 to width and 0 to height


class Dataset:
    """The images of a split: `dataset[n]` is (image, label), or the values of `fields`, as a tuple.

    `loader` makes an image of its bytes. By default it is Pillow, in RGB, without applying the EXIF orientation, as in
    torchvision. `transform` is called with the image, `target_transform` with the label. All can be set at any time.

    With `on_error="skip"`, an image that cannot be read is replaced by the next one that can. Each process warns about
    the images that it skips. `skipped` lists them, those of forked workers included.
    """

    def __init__(
        self,
        images: ImagePlaces,
        wnids: Sequence[str],
        *,
        split: str,
        stamps: Stamps | None = None,
        fields: Sequence[str] = ("image", "label"),
        columns: Mapping[str, pa.Array] | None = None,
        boxes: Boxes | None = None,
        left_out: Mapping[str, int] | None = None,
        transform: Transform | None = None,
        target_transform: Transform | None = None,
        loader: Callable[[bytes], Any] | None = None,
        on_error: str = "raise",
    ):
        self.split = split
        self.classes = list(wnids)  # wnids, in the order of the class indices
        self.class_to_idx = {wnid: label for label, wnid in enumerate(wnids)}
        self.fields = tuple(fields)
        self.left_out = dict(left_out or {})  # reason: images of the index that are not in the data set
        self.transform, self.target_transform = transform, target_transform
        self.loader = loader or probe.rgb
        self._images, self._columns, self._boxes = images, dict(columns or {}), boxes
        self._stamps = stamps
        self._reads_bytes = "image" in fields or "bytes" in fields
        self._opened: tuple[int, Descriptors] | None = None
        # A byte for each image, shared with forked processes: 1 if it cannot be read.
        self._bad_marks: mmap.mmap | None = _marks(len(self)) if on_error == "skip" else None

    @property
    def skipped(self) -> list[str]:
        """Return the images that could not be read and were skipped, as dataset/image_id."""
        marks = np.frombuffer(b"" if self._bad_marks is None else self._bad_marks[:], np.uint8)[: len(self)]
        return [self._images.key(row) for row in np.flatnonzero(marks).tolist()]

    @property
    def names(self) -> list[str]:
        """Return display names of the classes, in their order; unique ignoring case."""
        return [ordered.display for ordered in order_classes(self.classes)]

    @property
    def targets(self) -> LazyList[int]:
        """Return the class index of every image, in place of a list."""
        return LazyList(len(self), self._images.label.item, self._images.label)

    @property
    def samples(self) -> LazyList[tuple[str, int]]:
        """Return (path, class index) of every image, in place of a list; the path in an archive is archive/name."""
        return LazyList(len(self), self._images.sample)

    def __len__(self) -> int:
        return len(self._images.label)

    def __getitem__(self, index: SupportsIndex) -> tuple[Any, ...]:
        return self._item(self._row(index))

    def __getitems__(self, indices: Iterable[SupportsIndex]) -> list[tuple[Any, ...]]:
        """Return a batch for torch's DataLoader; images are read in the order in which they are stored."""
        if type(self).__getitem__ is not Dataset.__getitem__:  # a subclass changes items: use its method
            return [self[index] for index in indices]
        rows = [self._row(index) for index in indices]
        data: dict[int, bytes] = {}
        for row in self._images.on_disk(set(rows)) if self._reads_bytes else ():
            try:
                data[row] = self._read(row)
            except SourceError:
                if self._bad_marks is None:
                    raise
        return [self._item(row, data.get(row)) for row in rows]

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return map(self.__getitem__, range(len(self)))

    def read(self, index: SupportsIndex) -> bytes:
        """Return the bytes of an image, undecoded.

        Raises:
            SourceError: The image cannot be read. The message names the image, its file and what was found.
        """
        return self._read(self._row(index))

    def close(self) -> None:
        """Close the files that are open in this process; the next read opens them again."""
        if self._opened is not None:
            self._opened[1].close()
            self._opened = None

    def __repr__(self) -> str:
        fields = "" if self.fields == ("image", "label") else f"; {', '.join(self.fields)}"
        return f"Dataset: {self.split}; {count_of(len(self), 'image')}, {count_of(len(self.classes), 'class')}{fields}"

    def _repr_html_(self) -> str:
        """Return the number of images of each class, and what is left out, for notebooks."""
        counts = np.bincount(self._images.label, minlength=len(self.classes)).tolist()
        classes = list(zip(range(len(counts)), self.classes, self.names, counts, strict=True))
        left_out = ("left out because", "images")
        return html_of(repr(self), (("index", "wnid", "name", "images"), classes), (left_out, [*self.left_out.items()]))

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_opened": None, "_bad_marks": None if self._bad_marks is None else self._bad_marks[:]}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if state["_bad_marks"] is not None:
            self._bad_marks = _marks(len(self))
            self._bad_marks[:] = state["_bad_marks"]

    def _row(self, index: SupportsIndex) -> int:
        row = operator.index(index)
        if not -len(self) <= row < len(self):
            message = f"No image {row}: there are {len(self):,}."
            raise IndexError(message)
        return row % len(self)

    def _read(self, row: int) -> bytes:
        try:
            return payload.read(self._images.place(row), self._descriptors())
        except (OSError, ImagenetToolsError) as error:
            raise self._unreadable(row, error) from error

    def _item(self, row: int, data: bytes | None = None) -> tuple[Any, ...]:
        row, data, image = self._loaded(row, data) if self._reads_bytes else (row, b"", None)
        return tuple(self._field(field, row, data, image) for field in self.fields)

    def _loaded(self, row: int, data: bytes | None) -> tuple[int, bytes, Any]:
        """Return (row, bytes, image) of an image or, with on_error="skip", of the next one that can be read."""
        failure: Exception | None = None
        attempts = min(_MAX_SKIPPED_IN_A_ROW, len(self))
        for n in (row_or_next % len(self) for row_or_next in range(row, row + attempts)):
            if self._bad_marks is not None and self._bad_marks[n]:
                continue
            try:
                read = data if n == row and data is not None else self._read(n)
                return n, read, self._decoded(n, read) if "image" in self.fields else None
            except Exception as error:
                if self._bad_marks is None or not _is_of_one_image(error):
                    raise
                failure = error
                self._bad_marks[n] = 1
                reason = str(error).partition(" To train without it")[0]
                warnings.warn(f"Skipped an image. {reason}", stacklevel=4)
        message = f"Skipped {attempts} images in a row from {self._images.key(row)} on, expected one that can be "
        raise SourceError(message + "read. Look at their source: imagenet-tools check INDEX --read-data") from failure

    def _field(self, field: str, row: int, data: bytes, image: Any) -> Any:
        if field == "image":
            return image if self.transform is None else self.transform(image)
        if field == "label":
            label = self._images.label.item(row)
            return label if self.target_transform is None else self.target_transform(label)
        if field == "bytes":
            return data
        if field in BOX_FIELDS and self._boxes is not None:
            start, end = self._boxes.starts[row : row + 2]
            values: npt.NDArray[Any] = getattr(self._boxes, BOX_FIELDS[field])[start:end]
            return values.copy()  # a transform that changes them in place must not change the next epoch
        return self._columns[field][row].as_py()

    def _decoded(self, row: int, data: bytes) -> Any:
        if self.loader is not probe.rgb:
            return self.loader(data)
        try:
            return probe.rgb(data)
        except SourceError as error:
            raise self._unreadable(row, error) from error

    def _unreadable(self, row: int, error: Exception) -> SourceError:
        reason = str(error) if isinstance(error, ImagenetToolsError) else f"{type(error).__name__}: {error}."
        key = self._images.key(row)
        quoted = key.partition("/")[2].replace("'", "''")
        message = f"Image {key}, in {self._images.path(row)}, cannot be read. {reason}"
        without = f'select(where="image_id <> \'{quoted}\'"), or dataset(on_error="skip")'
        return SourceError(f"{message} To train without it: {without}.")

    def _descriptors(self) -> Descriptors:
        """Return the open files of this process; those of a parent may have a lock held while it forked."""
        process = os.getpid()
        if self._opened is None or self._opened[0] != process:
            allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
            share = _MAX_OPEN_FILES if allowed == resource.RLIM_INFINITY else allowed // _OPEN_FILES_DIVISOR
            self._opened = process, Descriptors(capacity=min(share, _MAX_OPEN_FILES), stamps=self._stamps)
        return self._opened[1]


def _marks(n: int) -> mmap.mmap:
    """Return a byte for each image, shared with forked processes."""
    return mmap.mmap(-1, max(n, 1))


def _is_of_one_image(error: Exception) -> bool:
    """Return True if an error is about one image, and not about a source that is gone or has changed."""
    cause = error.__cause__ if isinstance(error, SourceError) else error
    return isinstance(cause, FormatError) or not isinstance(cause, ImagenetToolsError | MemoryError)


# Fields of a data set that are arrays of Boxes.
BOX_FIELDS = {"boxes": "pixels", "boxes_normalised": "fractions", "box_labels": "label"}
