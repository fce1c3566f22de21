"""Where the images of a data set lie, in arrays: some 35 bytes an image, shared by processes that fork.

What many images have in common is a `Home`: the archive they lie in, or the folder whose files they are. An image is
then a home, a number of bytes, and a place in it.
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

# A column of whole numbers, of the smallest type that holds them.
Numbers = np.ndarray[tuple[int], np.dtype[Any]]


class Container(NamedTuple):
    """What images have in common: the archive that holds them, or the folder whose files they are."""

    dataset: str
    path: Path  # on this machine
    folder: bool  # whether `path` is the folder of files that are an image each
    compression: str | None  # as in Place
    points: Path | None  # as in Place
    encoding: str | None  # as in Place


class ImagePlaces(NamedTuple):
    """Images in order: one row each in every array."""

    homes: tuple[Container, ...]
    home: Numbers  # row of `homes`
    start: npt.NDArray[np.int64]  # where the bytes begin in the archive; or their row or byte in a container: Place
    length: Numbers  # bytes, as they lie there
    image_id: pa.StringArray
    name: pa.StringArray | None  # of the file, or in the archive; null, or None for all, where it is image_id + .JPEG
    label: Numbers  # 0-based class index

    def place(self, row: int) -> Place:
        """Where the bytes of an image lie; IndexError: there is no such row."""
        home = self.homes[self.home[row]]
        start, length = int(self.start[row]), int(self.length[row])
        if home.folder:
            return Place(inside(home.path, self._called(row)), start, length, encoding=home.encoding)
        name = None if self.name is None else self.name[row].as_py()
        addressed = home.compression in (None, "gzip")
        offset, position = (start, None) if addressed else (None, start)
        return Place(home.path, offset, length, name, position, home.compression, home.points, home.encoding)

    def path(self, row: int) -> str:
        """The file of an image, or archive/name where it lies in one."""
        return f"{self.homes[self.home[row]].path}/{self._called(row)}"

    def target(self, row: int) -> int:
        """The class index of an image."""
        return int(self.label[row])

    def sample(self, row: int) -> tuple[str, int]:
        """(path, class index) of an image."""
        return self.path(row), self.target(row)

    def key(self, row: int) -> str:
        """dataset/image_id."""
        return f"{self.homes[self.home[row]].dataset}/{self.image_id[row].as_py()}"

    def on_disk(self, rows: Iterable[int]) -> list[int]:
        """Rows in the order in which they lie, so that no container is decoded twice."""
        return sorted(rows, key=lambda row: reading_order(self.place(row)))

    def _called(self, row: int) -> str:
        name: str | None = None if self.name is None else self.name[row].as_py()
        return f"{self.image_id[row].as_py()}.JPEG" if name is None else name


def smallest(values: npt.NDArray[Any]) -> Numbers:
    """Whole numbers, 0 or more, in the smallest type that holds them all, signed so that arithmetic does not wrap."""
    most = int(values.max(initial=0))
    return values.astype(np.min_scalar_type(-most - 1))
