"""A split as a map-style data set with ImageFolder's face, over the original archives and folders.

It holds arrays and no connection, so it pickles (some 35 bytes an image, whole: a worker asks no index) and is shared
by workers that fork. Files are opened in the process that reads, and kept open there.
"""

from __future__ import annotations

import mmap
import operator
import os
import resource
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, SupportsIndex, TypeVar, overload

import numpy as np

from imagenet_tools.catalogue.export_classes import order_classes
from imagenet_tools.containers import payload
from imagenet_tools.errors import FormatError, ImagenetToolsError, SourceError
from imagenet_tools.images import probe
from imagenet_tools.storage.blob import Descriptors

if TYPE_CHECKING:
    import numpy.typing as npt
    import pyarrow as pa

    from imagenet_tools.storage.blob import Stamps
    from imagenet_tools.training.images import ImagePlaces


# ---- `targets` and `samples`: what looks like ImageFolder's lists, and is made of arrays when it is asked for.


_Item = TypeVar("_Item")


class LazyList(Sequence[_Item]):
    """A sequence of what `item` gives for each row, equal to a list of the same; its slices are lists.

    Where its items are numbers, `array` holds them as well, for those who want all at once, numpy among them.
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


# ----


# Of the files that a process may open, the share that is kept open here, and the most.
_SHARE, _MOST = 4, 4096
# Images that are skipped one after another before it is an error: so many are not a few bad images.
_MOST_IN_A_ROW = 100

Transform = Callable[[Any], Any]


class Boxes(NamedTuple):
    """The boxes of all images in their order: those of image n are the rows from starts[n] up to starts[n + 1]."""

    starts: npt.NDArray[np.int64]
    label: npt.NDArray[np.int64]  # 0-based class index
    fractions: npt.NDArray[np.float32]  # (boxes, 4): xmin, ymin, xmax, ymax of the stored raster, 0 to 1
    pixels: npt.NDArray[np.float32]  # the same in pixels: 0 to the width, 0 to the height

    def of(self, row: int) -> slice:
        """The rows of the boxes of an image."""
        return slice(self.starts[row], self.starts[row + 1])


class Dataset:
    """The images of a split: `dataset[n]` is (image, label), or what `fields` asks for, as a tuple.

    `loader` makes an image of its bytes; by default Pillow, in RGB, and the EXIF orientation is not applied, as in
    torchvision. `transform` is given the image, `target_transform` the label; all four may be set at any time.

    With `on_error="skip"`, the next image that can be read comes in the place of one that cannot, and each process
    warns of those that it meets. `skipped` names them, also those that forked workers met.
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
        self.left_out = dict(left_out or {})  # images of the index that are not in it, by reason
        self.transform, self.target_transform = transform, target_transform
        self.loader = loader or probe.rgb
        self._images, self._columns, self._boxes = images, dict(columns or {}), boxes
        self._stamps = stamps
        self._reads = "image" in fields or "bytes" in fields
        self._opened: tuple[int, Descriptors] | None = None
        self._bad: mmap.mmap | None = _marks(len(self)) if on_error == "skip" else None

    @property
    def skipped(self) -> list[str]:
        """The images that could not be read and were left, as dataset/image_id, each once."""
        marks = np.frombuffer(b"" if self._bad is None else self._bad[:], np.uint8)[: len(self)]
        return [self._images.key(row) for row in np.flatnonzero(marks).tolist()]

    @property
    def names(self) -> list[str]:
        """What people call the classes, in their order; unique without regard to case."""
        return [one.display for one in order_classes(self.classes)]

    @property
    def targets(self) -> LazyList[int]:
        """The class index of every image, as a list would have it."""
        return LazyList(len(self), self._images.target, self._images.label)

    @property
    def samples(self) -> LazyList[tuple[str, int]]:
        """(path, class index) of every image, as a list would have it; an image in an archive is archive/name."""
        return LazyList(len(self), self._images.sample)

    def __len__(self) -> int:
        return len(self._images.label)

    def __getitem__(self, index: SupportsIndex) -> tuple[Any, ...]:
        return self._item(self._row(index))

    def __getitems__(self, indices: Iterable[SupportsIndex]) -> list[tuple[Any, ...]]:
        """A batch, as torch's DataLoader asks for one: read in the order of the archives, given in the order asked."""
        if type(self).__getitem__ is not Dataset.__getitem__:  # somebody's own items, which torch must not get round
            return [self[index] for index in indices]
        rows = [self._row(index) for index in indices]
        data: dict[int, bytes] = {}
        for row in self._images.on_disk(set(rows)) if self._reads else ():
            try:
                data[row] = self._read(row)
            except SourceError:
                if self._bad is None:
                    raise
        return [self._item(row, data.get(row)) for row in rows]

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return map(self.__getitem__, range(len(self)))

    def read(self, index: SupportsIndex) -> bytes:
        """The bytes of an image, undecoded. SourceError names the image, its file and what was found there."""
        return self._read(self._row(index))

    def close(self) -> None:
        """Close the files that are open in this process; they are opened again when an image is asked for."""
        if self._opened is not None:
            self._opened[1].close()
            self._opened = None

    def __repr__(self) -> str:
        return f"Dataset({self.split!r}: {len(self):,} images, {len(self.classes):,} classes)"

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_opened": None, "_bad": None if self._bad is None else self._bad[:]}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if state["_bad"] is not None:
            self._bad = _marks(len(self))
            self._bad[:] = state["_bad"]

    # ---- one image

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
        row, data, image = self._loaded(row, data) if self._reads else (row, b"", None)
        return tuple(self._field(field, row, data, image) for field in self.fields)

    def _loaded(self, row: int, data: bytes | None) -> tuple[int, bytes, Any]:
        """(row, bytes, image) of an image, or of the next one that can be read, where that is asked for."""
        failure: Exception | None = None
        most = min(_MOST_IN_A_ROW, len(self))
        for n in (place % len(self) for place in range(row, row + most)):
            if self._bad is not None and self._bad[n]:
                continue
            try:
                read = data if n == row and data is not None else self._read(n)
                return n, read, self._decoded(n, read) if "image" in self.fields else None
            except Exception as error:
                if self._bad is None or not _of_one_image(error):
                    raise
                failure = error
                self._bad[n] = 1
                said = str(error).partition(" To train without it")[0]
                warnings.warn(f"Skipped an image. {said}", stacklevel=4)
        message = f"Skipped {most} images in a row from {self._images.key(row)} on, expected one that can be "
        raise SourceError(message + "read. Look at their source: imagenet-tools check INDEX --read-data") from failure

    def _field(self, field: str, row: int, data: bytes, image: Any) -> Any:
        if field == "image":
            return image if self.transform is None else self.transform(image)
        if field == "label":
            label = self._images.target(row)
            return label if self.target_transform is None else self.target_transform(label)
        if field == "bytes":
            return data
        if field in BOX_FIELDS and self._boxes is not None:
            values: npt.NDArray[Any] = getattr(self._boxes, BOX_FIELDS[field])[self._boxes.of(row)]
            return values.copy()  # what is changed on the way must not change for the next epoch
        return self._columns[field][row].as_py()

    def _decoded(self, row: int, data: bytes) -> Any:
        if self.loader is not probe.rgb:
            return self.loader(data)
        try:
            return probe.rgb(data)
        except SourceError as error:
            raise self._unreadable(row, error) from error

    def _unreadable(self, row: int, error: Exception) -> SourceError:
        what = str(error) if isinstance(error, ImagenetToolsError) else f"{type(error).__name__}: {error}."
        key = self._images.key(row)
        named = key.partition("/")[2].replace("'", "''")
        message = f"Image {key}, in {self._images.path(row)}, cannot be read. {what}"
        without = f'select(where="image_id <> \'{named}\'"), or dataset(on_error="skip")'
        return SourceError(f"{message} To train without it: {without}.")

    def _descriptors(self) -> Descriptors:
        """The open files of this process: a lock of the parent's may have been held when it forked."""
        opened, process = self._opened, os.getpid()
        if opened is None or opened[0] != process:
            allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
            most = _MOST if allowed == resource.RLIM_INFINITY else min(allowed // _SHARE, _MOST)
            opened = self._opened = (process, Descriptors(capacity=most, stamps=self._stamps))
        return opened[1]


def _marks(n: int) -> mmap.mmap:
    """Return a byte for each image, shared with processes that are forked."""
    return mmap.mmap(-1, max(n, 1))


def _of_one_image(error: Exception) -> bool:
    """Return True if an error is about one image, and not about its source, which is gone or has changed."""
    cause = error.__cause__ if isinstance(error, SourceError) else error
    return isinstance(cause, FormatError) or not isinstance(cause, ImagenetToolsError | MemoryError)


# The fields of a data set that are made of boxes: the arrays of Boxes that they are.
BOX_FIELDS = {"boxes": "pixels", "boxes_normalised": "fractions", "box_labels": "label"}
