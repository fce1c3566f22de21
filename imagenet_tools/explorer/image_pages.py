"""Images by number, and pages of the images of a synset.

The number of an image is its place in the files of the table images, in the order of the manifest. Files never change
under their names, so a number means one image as long as the index is not built again.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from imagenet_tools.errors import UsageError
from imagenet_tools.store.connection import quoted
from imagenet_tools.store.layout import read_manifest
from imagenet_tools.wordnet import wordnet

if TYPE_CHECKING:
    import numpy.typing as npt

    from imagenet_tools.explorer.filters import Filters
    from imagenet_tools.store.store import Store

PAGE_IMAGES = 48
_KEPT_IMAGES = 4096
_AT_ONCE = 4  # images of a class before the next class has its turn

COLUMNS = (
    "dataset", "image_id", "photo", "wnid", "split", "source", "file", "member", "offset", "length", "position",
    "compression", "width", "height", "mode", "encoding", "orientation", "n_boxes", "hash32", "problem",
)  # fmt: skip
_SELECTED = ", ".join(f'images."{name}"' for name in COLUMNS)


class NumberedImage(NamedTuple):
    """A row of the table images, with its number."""

    number: int
    facts: dict[str, Any]  # by the names of COLUMNS


class ImagePages:
    """The images of an index by number and by page. Threads may share it."""

    def __init__(self, index: Store) -> None:
        self.index = index
        entries = read_manifest(index.folder).tables.get("images", [])
        self._files = [str(index.folder / entry.file) for entry in entries]
        self._starts = np.cumsum([0, *(entry.rows for entry in entries)])
        files = ", ".join(map(quoted, self._files))
        self._numbered_rows = f"read_parquet([{files}], filename = true, file_row_number = true) AS images"
        self._kept: OrderedDict[int, NumberedImage] = OrderedDict()
        self._lock = threading.Lock()

    def image(self, number: int) -> NumberedImage:
        """Return an image by its number; raise UsageError if no image has it."""
        return self.images([number])[0]

    def images(self, numbers: list[int]) -> list[NumberedImage]:
        """Return images by their numbers; raise UsageError if no image has one of them.

        The rows of a page are kept: its thumbnails ask for them one by one, and each would take a query of 3 ms.
        """
        for number in numbers:
            if not 0 <= number < self._starts[-1]:
                raise UsageError(f"image {number}: expected a number from 0 to {self._starts[-1] - 1:,}.")
        with self._lock:
            known = {number: self._kept[number] for number in numbers if number in self._kept}
        missing = [number for number in dict.fromkeys(numbers) if number not in known]
        if missing:
            read = {image.number: image for image in self._read(missing)}
            known |= read
            with self._lock:
                self._kept |= read
                while len(self._kept) > _KEPT_IMAGES:
                    self._kept.popitem(last=False)
        return [known[number] for number in numbers]

    def _read(self, numbers: list[int]) -> list[NumberedImage]:
        """Return images by their numbers, from the files that hold them alone."""
        places = np.searchsorted(self._starts, numbers, side="right") - 1
        queries = []
        for place in dict.fromkeys(places.tolist()):
            start = int(self._starts[place])
            rows = ", ".join(str(n - start) for n, own in zip(numbers, places, strict=True) if own == place)
            queries.append(
                f"""SELECT {start} + file_row_number, {_SELECTED}
                    FROM read_parquet({quoted(self._files[place])}, file_row_number = true) AS images
                    WHERE file_row_number IN ({rows})"""
            )
        found = self.index.cursor().execute(" UNION ALL ".join(queries)).fetchall()
        return [NumberedImage(number, dict(zip(COLUMNS, facts, strict=True))) for number, *facts in found]

    def page(
        self, direct: npt.NDArray[np.int64], mask: npt.NDArray[np.bool_], filters: Filters, page: int
    ) -> list[NumberedImage]:
        """Return a page of the images of some classes, a few of each class in turn.

        Args:
            direct: The number of images of each class, with the filters.
            mask: The classes.
            filters: The images that are shown.
            page: The number of the page, from 0.
        """
        turns = turns_of(np.where(mask, direct, 0), page * PAGE_IMAGES, PAGE_IMAGES)
        if not turns:
            return []
        wnids = wordnet.wnids_of([row for row, _, _ in turns])
        wanted = ", ".join(
            f"({quoted(wnid)}, {n}, {first}, {last})"
            for n, (wnid, (_, first, last)) in enumerate(zip(wnids, turns, strict=True))
        )
        where, values = filters.sql()
        listed = ", ".join(map(quoted, sorted(set(wnids))))
        query = f"""
            WITH placed AS (
                SELECT filename, file_row_number, wnid,
                       row_number() OVER (PARTITION BY wnid ORDER BY filename, file_row_number) - 1 AS place
                FROM {self._numbered_rows} WHERE wnid IN ({listed}) AND {where})
            SELECT filename, file_row_number
            FROM placed JOIN (VALUES {wanted}) AS wanted(_wnid, turn, low, high)
                 ON wnid = _wnid AND place >= low AND place < high
            ORDER BY turn, place"""
        return self._numbered(query, values)

    def sorted_page(
        self, classes: npt.NDArray[np.bool_], filters: Filters, order: str, page: int
    ) -> list[NumberedImage]:
        """Return a page of the images of some classes in an order of read_order(); equal ones are in index order."""
        where, values = filters.sql()
        query = f"""SELECT filename, file_row_number FROM {self._numbered_rows}
                    WHERE wnid IN (SELECT unnest($_wnids::VARCHAR[])) AND {where}
                    ORDER BY {order}, filename, file_row_number
                    LIMIT {PAGE_IMAGES} OFFSET {page * PAGE_IMAGES}"""
        values["_wnids"] = wordnet.wnids_of(np.flatnonzero(classes).tolist())
        return self._numbered(query, values)

    def of_ids(self, image_ids: list[str]) -> list[NumberedImage]:
        """Return the images with some ids, in their order; ids that the index lacks are left out."""
        query = f"""SELECT filename, file_row_number FROM {self._numbered_rows}
                    WHERE image_id IN (SELECT unnest($_ids::VARCHAR[]))"""
        images = self._numbered(query, {"_ids": image_ids})
        order = {image_id: place for place, image_id in enumerate(image_ids)}
        return sorted(images, key=lambda image: (order[image.facts["image_id"]], image.number))

    def _numbered(self, query: str, values: dict[str, object]) -> list[NumberedImage]:
        """Return the images of a query for filename and file_row_number.

        To find the places first, and then to read the rows of a page alone, is five times as fast as one query.
        """
        starts = dict(zip(self._files, self._starts.tolist(), strict=False))
        places = self.index.cursor().execute(query, values).fetchall()
        return self.images([starts[file] + row for file, row in places])


def turns_of(counts: npt.NDArray[np.int64], start: int, n: int) -> list[tuple[int, int, int]]:
    """Return which images of which classes are at places start to start + n, if classes take turns.

    In each turn a class with images left has _AT_ONCE of them; classes are in the order of their rows. A class alone
    has all its images in order.

    Returns:
        (row of the class, first image of it, the one after the last), in the order of places.

    Example:
        >>> turns_of(np.array([6, 0, 2]), 0, 8)
        [(0, 0, 4), (2, 0, 2), (0, 4, 6)]
    """
    rows = np.flatnonzero(counts)
    taken = np.zeros(len(rows), np.int64)
    turns: list[tuple[int, int, int]] = []
    before = 0
    while n > 0 and len(rows):
        shares = np.minimum(counts[rows] - taken, _AT_ONCE)
        total = int(shares.sum())
        if before + total > start:
            ends = before + np.cumsum(shares)
            for place in range(int(np.searchsorted(ends, start, side="right")), len(rows)):
                skipped = max(start - int(ends[place] - shares[place]), 0)
                first = int(taken[place]) + skipped
                last = min(int(taken[place] + shares[place]), first + n)
                turns.append((int(rows[place]), first, last))
                n -= last - first
                start += last - first
                if n <= 0:
                    break
        before += total
        taken += shares
        left = taken < counts[rows]
        rows, taken = rows[left], taken[left]
    return turns
