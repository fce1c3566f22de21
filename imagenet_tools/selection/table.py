"""A selection as a table: its images one by one and in slices, and all its rows in memory."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, overload

from imagenet_tools.store.store import IMAGE_COLUMNS

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from imagenet_tools.selection.selection import Selection
    from imagenet_tools.store.store import Image

_IMAGES_AT_ONCE = 131_072  # sorted in memory, by one query


def n_images(selection: Selection) -> int:
    """Return the number of chosen images."""
    return sum(n for counted in selection.counts().values() for n in counted.values())


def iterate(selection: Selection) -> Iterator[Image]:
    """Yield the chosen images, ordered by split, wnid, data set and image_id; wnid is the selection's class."""
    for start in range(0, len(selection), _IMAGES_AT_ONCE):
        yield from _images(selection, start, start + _IMAGES_AT_ONCE)


@overload
def item(selection: Selection, index: int) -> Image:
    """Return the image at a place."""


@overload
def item(selection: Selection, index: slice) -> list[Image]:
    """Return the images of a slice."""


def item(selection: Selection, index: int | slice) -> Image | list[Image]:
    """Return the image at a place of the order, or the images of a slice.

    Raises:
        IndexError: There is no such image.
    """
    places = range(len(selection))[index]
    if isinstance(places, int):
        return next(_images(selection, places, places + 1))
    if not places:
        return []
    first = min(places[0], places[-1])
    images = list(_images(selection, first, max(places[0], places[-1]) + 1))
    return [images[place - first] for place in places]


def _images(selection: Selection, start: int, stop: int) -> Iterator[Image]:
    place = 0
    for split, counted in selection.counts().items():
        wnids: list[str] = []
        first = place
        for wnid, n in counted.items():
            if place + n <= start:
                first = place + n
            elif place < stop:
                wnids.append(wnid)
            place += n
        if wnids:
            skipped = max(start - first, 0)
            n_rows = min(stop, place) - first - skipped
            for row in selection.sorted_rows(IMAGE_COLUMNS, split, wnids, f"LIMIT {n_rows} OFFSET {skipped}"):
                yield selection.index.image_of(*row)


def arrow(selection: Selection) -> pa.Table:
    """Return the rows of the chosen images as an Arrow table, in the order of the selection.

    Example:
        index.select(under="dog").arrow().num_rows
    """
    import pyarrow as pa

    batches = list(selection.batches())
    if not batches:  # a row of nulls has the columns
        no_row = selection.read("SELECT made.* EXCLUDE left_out FROM (SELECT 1) LEFT JOIN made ON false")
        batches = [batch.slice(0, 0) for batch in no_row]
    return pa.Table.from_batches(batches)


def df(selection: Selection) -> pd.DataFrame:
    """Return the rows of the chosen images as a DataFrame of pandas, in the order of the selection.

    Example:
        index.select(under="dog").df().groupby("wnid").width.mean()
    """
    frame: pd.DataFrame = arrow(selection).to_pandas()
    return frame


def pl(selection: Selection) -> Any:
    """Return the rows of the chosen images as a DataFrame of polars, which must be installed.

    Example:
        index.select(under="dog").pl()
    """
    return importlib.import_module("polars").from_arrow(arrow(selection))
