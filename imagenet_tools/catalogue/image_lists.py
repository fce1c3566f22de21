"""Image lists that papers are defined by, lists of known defects, and ReaL's labels of the validation images.

data/make_image_lists.py makes the tables; it names the source of each list and pins its SHA-256.
"""

from __future__ import annotations

import difflib
import functools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from imagenet_tools.catalogue import lists
from imagenet_tools.errors import UsageError
from imagenet_tools.wordnet.wnid import sha256_of_lines
from imagenet_tools.wordnet.wordnet import read_table

if TYPE_CHECKING:
    import pyarrow as pa

# Lists that are not bundled, because no exact copy is public.
LEFT_OUT = {
    "imagenet2012-fewshot": "TFDS's 1, 5 and 10 images a class and its tuning set are only in Google's storage; "
    "msn-1shot-1 and the other lists of MSN are bundled",
}

_ALIASES = {"blacklist": "ilsvrc2012-val-blacklist"}


@dataclass(frozen=True)
class ImageList:
    """A set of images of one data set.

    The images of imagenet21k are those of any release of the whole ImageNet.
    """

    name: str
    title: str
    dataset: str  # the data set's name in an index
    images: tuple[str, ...] = field(repr=False)  # stems, n01440764_10026, sorted by wnid and number
    sha256: str  # of the lines, a stem each
    source: str
    checked: str  # the other sources that it agrees with

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.images)


@functools.cache
def names() -> tuple[str, ...]:
    """Return the names of the image lists."""
    return tuple(_table()["name"].to_pylist())


def get(name: str) -> ImageList:
    """Return an image list by its name, such as simclr-1pct or blacklist; UsageError if there is no such list."""
    image_list = find(name)
    if image_list is not None:
        return image_list
    name = name.strip().lower()
    if name in LEFT_OUT:
        raise UsageError(f"The image list {name!r} is left out: {LEFT_OUT[name]}.")
    close = difflib.get_close_matches(name, names(), 3, 0.5)
    advice = f"Close to it are {', '.join(close)}." if close else f"There are {', '.join(names())}."
    raise UsageError(f"No image list is called {name!r}. {advice}")


def find(name: str) -> ImageList | None:
    """Return an image list by its name; None if there is no such list."""
    name = name.strip().lower()
    name = _ALIASES.get(name, name)
    return _read(name) if name in names() else None


@functools.cache
def _read(name: str) -> ImageList:
    row = _table().slice(names().index(name), 1).to_pylist()[0]
    pairs = zip(row["offsets"], row["numbers"], strict=True)
    stems = tuple(f"n{offset:08d}_{n}" if offset else f"ILSVRC2012_val_{n:08d}" for offset, n in pairs)
    return ImageList(name, row["title"], row["dataset"], stems, sha256_of_lines(stems), row["source"], row["checked"])


@functools.cache
def real_labels() -> tuple[tuple[str, ...], ...]:
    """Return ReaL's wnids of each ILSVRC2012 validation image, in the order of their numbers: 50,000.

    Empty for the 3,163 images on whose labels the raters did not agree; several for 7,443 of the others.
    """
    by_index = lists.get("ilsvrc2012").wnids
    return tuple(tuple(by_index[i] for i in indexes) for indexes in read_table("ilsvrc2012_real")["labels"].to_pylist())


@functools.cache
def _table() -> pa.RecordBatch:
    return read_table("image_lists")
