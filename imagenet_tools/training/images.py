"""Store the places of a data set's images in arrays: about 35 bytes an image, shared by processes that fork.

Images of one archive, or files of one folder, share a `Container`. An image is a container, a length, and a place in
the container.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from imagenet_tools.containers.payload import Place, reading_order
from imagenet_tools.storage.files import inside

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy.typing as npt
    import pyarrow as pa

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
        addressed = home.compression in (None, "gzip")
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
