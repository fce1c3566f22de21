"""The published class lists, each under its own name: which classes, in what order, and from which number on.

A list's classes are its wnids; or its categories, where it has some: superclasses with the classes that each was
published with (BREEDS, tieredImageNet), or the categories of another data set with the synsets that this project takes
them for (VOC, COCO, CIFAR). A part of a split is a list of its own: `tieredimagenet/train`,
`breeds-living17/rand-source`.

Made by data/make_lists.py; data/lists.toml says where each list was read and which other sources it was held against.
"""

from __future__ import annotations

import difflib
import functools
import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from imagenet_tools.errors import UsageError
from imagenet_tools.tables import columns
from imagenet_tools.wordnet.wordnet import spell

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy as np
    import numpy.typing as npt

# The lists that number the classes of models and labels, and the column of the table synsets that each has.
SPACES = {
    "ilsvrc2012": "ilsvrc2012_index",
    "ilsvrc2012-id": "ilsvrc_id",
    "ilsvrc2012-slim": "ilsvrc2012_slim_id",
    "ilsvrc2010": "ilsvrc2010_id",
    "fall11": "fall11_index",
    "imagenet21k-goog": "imagenet21k_goog_index",
    "imagenet22k-ms": "imagenet22k_ms_index",
    "imagenet12k": "imagenet12k_index",
    "imagenet21k-p": "imagenet21k_p_index",
    "imagenet21k-p-winter21": "imagenet21k_p_winter21_index",
}

# What has a name and is not given here, because it cannot be had exactly.
LEFT_OUT = {
    "winter21": "the 19,167 classes of winter 2021's release were never published as a list; its archive tells them",
    "cvpr09": "no list of the 5,247 classes of ImageNet's first release was found",
    "imagenet100": "different lists bear this name; the nearest here is imagenet100-cmc, the one of CMC",
    "imagenet21k": "different lists bear this name; the nearest here are fall11 (21,841 classes), imagenet21k-goog "
    "(21,843) and imagenet21k-p (11,221)",
    "objectnet": "its folders are mapped to ILSVRC2012 by names, and no list of wnids was found",
}

# Other names that these lists go by.
_ALSO = {
    "ilsvrc2012": ("imagenet", "imagenet1k", "imagenet-1k", "imagenet-v2", "imagenet-c", "imagenet-sketch", "real"),
    "fall11": ("imagenet22k", "imagenet-22k"),
    "imagenet21k-p": ("imagenet21k_miil", "imagenet-21k-p"),
}


class Category(NamedTuple):
    """A class of a list that is no synset of its own: a superclass, or a category of another data set."""

    name: str
    synsets: tuple[str, ...]  # the wnids of what it is in WordNet; empty where WordNet has no noun for it
    without: tuple[str, ...]  # synsets at or below those that it does not take in
    members: tuple[str, ...]  # the classes that it was published with; empty: what lies at or below its synsets
    number: int | None  # its own number in its data set, such as COCO's category id
    note: str


@dataclass(frozen=True)
class ClassList:
    """A list of classes in order. Its classes are its categories, or its wnids where it has no categories."""

    name: str
    title: str
    order: str  # what orders them, and who uses that order
    wnids: tuple[str, ...] = field(repr=False)  # of the classes; with categories, of their members or synsets in turn
    sha256: str  # of the lines: a wnid a class; or a category's name, a tab, and its wnids with a space between
    base: int = 0  # the number of the first class
    background: int = 0  # outputs before the first class that mean none: 1 in the models of 1,001 outputs
    categories: tuple[Category, ...] = field(default=(), repr=False)
    source: str = ""
    checked: str = ""  # the other sources that it agrees with

    def __len__(self) -> int:
        """How many classes there are."""
        return len(self.categories or self.wnids)

    @property
    def classes(self) -> tuple[str, ...]:
        """What the classes are called: the names of the categories, or the wnids."""
        return tuple(one.name for one in self.categories) or self.wnids


def names(*, parts: bool = False) -> tuple[str, ...]:
    """The names of the published lists; with those of the parts of their splits if `parts`."""
    return tuple(name for name in _rows() if parts or "/" not in name)


def get(name: str) -> ClassList:
    """A published list by its name, such as imagenet12k or breeds-living17/rand-source; UsageError: no such list."""
    row = _rows().get(name.strip().lower())
    if row is None:
        known = nearest(name) or f"There are {', '.join(names())}."
        raise UsageError(f"No published class list is called {name!r}. {known}")
    return _read(row)


def of_length(n: int) -> Iterator[ClassList]:
    """The published lists, and parts of lists, of n synsets; not those of categories."""
    starts = _column("class_lists", "offsets.starts").tolist()
    for name, row in _rows().items():
        if starts[row + 1] - starts[row] == n and not (one := get(name)).categories:
            yield one


def made(name: str, wnids: Sequence[str]) -> ClassList:
    """A list of one's own."""
    lines = "".join(f"{wnid}\n" for wnid in wnids)
    sha256 = hashlib.sha256(lines.encode()).hexdigest()
    return ClassList(name, "a list of your own", "as it is given", tuple(wnids), sha256)


def equal(wnids: Sequence[str]) -> str | None:
    """The name of the published list that has these wnids in this order, the first of several; None: there is none."""
    wanted = made("", wnids).sha256
    return next((name for name in names(parts=True) if _hashes()[_rows()[name]] == wanted), None)


def numbers_of(wnid: str) -> dict[str, int]:
    """The number of a class in each label space that has it."""
    spaces = ((name, index_of(name).get(wnid)) for name in SPACES)
    return {
        name: place + int(_column("class_lists", "base")[_rows()[name]]) for name, place in spaces if place is not None
    }


def numbered(number: int) -> Iterator[tuple[str, str]]:
    """(wnid, words) of the class that each label space counts by a number, `index 281 of imagenet12k`."""
    for name in SPACES:
        offsets = _part("class_lists", "offsets", _rows()[name])  # not get(): that spells 21,841 wnids for one
        place = number - int(_column("class_lists", "base")[_rows()[name]])
        if 0 <= place < len(offsets):
            yield spell(offsets[place : place + 1])[0], _WORDS.get(name, "index {} of " + name).format(number)


_WORDS = {
    "ilsvrc2012": "index {} of ilsvrc2012 in sorted order",
    "ilsvrc2012-id": "ILSVRC id {}",
    "ilsvrc2012-slim": "label {} of ilsvrc2012 from 1, as TF-slim and models of 1,001 outputs have it",
    "ilsvrc2010": "ILSVRC2010 id {}",
    "fall11": "index {} of fall11 in sorted order",
}


@functools.cache
def index_of(name: str) -> Mapping[str, int]:
    """The place of each wnid in a published list of wnids, from 0."""
    return {wnid: place for place, wnid in enumerate(get(name).wnids)}


# ---- the tables


@functools.cache
def _rows() -> Mapping[str, int]:
    return {name: row for row, name in enumerate(_texts("name"))}


@functools.cache
def _texts(column: str) -> Sequence[str]:
    return columns.text("class_lists", column).split("\n")


def _hashes() -> Sequence[str]:
    return _texts("sha256")


@functools.cache
def _read(row: int) -> ClassList:
    base, background = (int(_column("class_lists", column)[row]) for column in ("base", "background"))
    return ClassList(
        name=_texts("name")[row],
        title=_texts("title")[row],
        order=_texts("order")[row],
        wnids=_wnids("class_lists", "offsets", row),
        sha256=_hashes()[row],
        base=base,
        background=background,
        categories=tuple(_categories(row)),
        source=_texts("source")[row],
        checked=_texts("checked")[row],
    )


def _categories(row: int) -> Iterator[Category]:
    table = "class_categories"
    rows = (_column(table, "list") == row).nonzero()[0].tolist()
    if not rows:
        return
    called, notes = (columns.text(table, column).split("\n") for column in ("name", "note"))
    for one in rows:
        synsets, without, members = (_wnids(table, column, one) for column in ("synsets", "without", "members"))
        number = int(_column(table, "number")[one])
        yield Category(called[one], synsets, without, members, number if number >= 0 else None, notes[one])


def _wnids(table: str, column: str, row: int) -> tuple[str, ...]:
    return tuple(spell(_part(table, column, row)))


def _part(table: str, column: str, row: int) -> npt.NDArray[np.integer]:
    start, end = _column(table, f"{column}.starts")[row : row + 2].tolist()
    return _column(table, column)[start:end]


_column = functools.cache(columns.numbers)


def nearest(name: str) -> str | None:
    """Return a sentence with the published lists that come nearest to a name, and why; None: there are none."""
    wanted = _plain(name.strip().lower())
    for one, why in LEFT_OUT.items():
        if _plain(one) == wanted:
            return f"{one} is left out: {why}."
    for one, others in _ALSO.items():
        if wanted in map(_plain, others):
            return f"Here its classes are those of {one}."
    close = difflib.get_close_matches(name.strip().lower(), names(parts=True), 3, 0.6)
    return f"Close to it are {', '.join(close)}." if close else None


def _plain(name: str) -> str:
    return name.replace("-", "").replace("_", "")
