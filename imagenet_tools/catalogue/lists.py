"""The published class lists: which classes, in which order, and from which number on.

The classes of a list are its wnids, or its categories if it has some. Some categories are superclasses with the classes
that they were published with (BREEDS, tieredImageNet, ObjectNet). Others are those of another data set, with the
synsets that it published (LVIS), or that this project chose for them (VOC, COCO, CIFAR). A part of a split is a list of
its own: `tieredimagenet/train`, `breeds-living17/rand-source`.

data/make_lists.py makes the tables. data/lists.toml names the source of each list, and the sources that it was compared
with.
"""

from __future__ import annotations

import difflib
import functools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from imagenet_tools.errors import UsageError
from imagenet_tools.tables import columns
from imagenet_tools.text import count_of, html_of
from imagenet_tools.wordnet import wordnet
from imagenet_tools.wordnet.wnid import sha256_of_lines
from imagenet_tools.wordnet.wordnet import spell

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import numpy as np
    import numpy.typing as npt

# The lists that number the classes of models and labels, and the column of the table synsets for each.
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

# Lists that are not bundled, and why.
LEFT_OUT = {
    "winter21": "the 19,167 classes of winter 2021's release were never published as a list; its archive names them",
    "cvpr09": "no list of the 5,247 classes of ImageNet's first release was found",
    "imagenet100": "different lists bear this name; the nearest here is imagenet100-cmc, the one of CMC",
    "imagenet21k": "different lists bear this name; the nearest here are fall11 (21,841 classes), imagenet21k-goog "
    "(21,843) and imagenet21k-p (11,221)",
}

# Other names of bundled lists.
_ALIASES = {
    "ilsvrc2012": ("imagenet", "imagenet1k", "imagenet-1k", "imagenet-v2", "imagenet-c", "imagenet-sketch", "real"),
    "fall11": ("imagenet22k", "imagenet-22k"),
    "imagenet21k-p": ("imagenet21k_miil", "imagenet-21k-p"),
    "coco80": ("coco", "ms-coco"),
    "lvis1203": ("lvis", "lvis-v1"),
    "imagenet-lvis997": ("imagenet-lvis", "in-l"),
    "objectnet113": ("objectnet",),
    "imagenet-x17": ("imagenet-x",),
    "model-vs-human16": ("model-vs-human", "16-class-imagenet", "stylized-imagenet"),
}

# A class number of a list in words; default: "index {} of NAME".
_NUMBER_WORDS = {
    "ilsvrc2012": "index {} of ilsvrc2012 in sorted order",
    "ilsvrc2012-id": "ILSVRC id {}",
    "ilsvrc2012-slim": "label {} of ilsvrc2012 from 1, as TF-slim and models of 1,001 outputs have it",
    "ilsvrc2010": "ILSVRC2010 id {}",
    "fall11": "index {} of fall11 in sorted order",
}


class Category(NamedTuple):
    """A class that is not one synset: a superclass, or a category of another data set."""

    name: str
    synsets: tuple[str, ...]  # its wnids in WordNet; empty if WordNet has no noun for it
    without: tuple[str, ...]  # wnids at or below those that are left out
    members: tuple[str, ...]  # the classes that it was published with; empty: everything at or below its synsets
    number: int | None  # its number in its data set, such as COCO's category id
    note: str


@dataclass(frozen=True)
class ClassList:
    """A list of classes in order. Its classes are its categories, or its wnids if it has no categories."""

    name: str
    title: str
    order: str  # what orders the classes, and who uses that order
    wnids: tuple[str, ...] = field(repr=False)  # of the classes; with categories, of their members or synsets in turn
    sha256: str  # of a line a class: its wnid; or the category's name, a tab, and its wnids with a space between
    base: int = 0  # the number of the first class
    background: int = 0  # outputs before the first class that mean none: 1 in models of 1,001 outputs
    categories: tuple[Category, ...] = field(default=(), repr=False)
    source: str = ""
    checked: str = ""  # the other sources that it agrees with

    def __len__(self) -> int:
        """Return the number of classes."""
        return len(self.categories or self.wnids)

    def __repr__(self) -> str:
        return f"ClassList: {self.name}; {count_of(len(self), 'class')}"

    def _repr_html_(self) -> str:
        """Return the title and the first classes with their numbers, for notebooks."""
        names = wordnet.names()
        if self.categories:
            texts = [", ".join(names[wordnet.rows_of(category.synsets)]) for category in self.categories]
        else:
            texts = names[wordnet.rows_of(self.wnids)].tolist()
        rows = list(zip(range(self.base, self.base + len(self)), self.classes, texts, strict=True))
        return html_of(f"{self!r}; {self.title}; order: {self.order}", (("number", "class", "synset"), rows))

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the categories, or the wnids."""
        return tuple(category.name for category in self.categories) or self.wnids


def names(*, parts: bool = False) -> tuple[str, ...]:
    """Return the names of the published lists.

    Args:
        parts: Also name the parts of splits.

    Example:
        >>> names()[:3]
        ('ilsvrc2012', 'ilsvrc2012-id', 'ilsvrc2012-slim')
    """
    return tuple(name for name in _rows() if parts or "/" not in name)


def get(name: str) -> ClassList:
    """Return a published list, or a part of one.

    Args:
        name: Such as imagenet12k or breeds-living17/rand-source, in any case.

    Raises:
        UsageError: No such list; the message names the nearest ones.

    Example:
        >>> get("imagenette").wnids[:2]
        ('n01440764', 'n02102040')
    """
    row = _rows().get(name.strip().lower())
    if row is None:
        known = nearest(name) or f"There are {', '.join(names())}."
        raise UsageError(f"No published class list is called {name!r}. {known}")
    return _read(row)


def nearest(name: str) -> str | None:
    """Return a sentence about the lists nearest to a name; None if there are none.

    Example:
        >>> nearest("imagenet-1k")
        'Here its classes are those of ilsvrc2012.'
    """
    wanted = _without_marks(name.strip().lower())
    for left_out, why in LEFT_OUT.items():
        if _without_marks(left_out) == wanted:
            return f"{left_out} is left out: {why}."
    for listed, aliases in _ALIASES.items():
        if wanted in map(_without_marks, aliases):
            return f"Here its classes are those of {listed}."
    close = difflib.get_close_matches(name.strip().lower(), names(parts=True), 3, 0.6)
    return f"Close to it are {', '.join(close)}." if close else None


def _without_marks(name: str) -> str:
    return name.replace("-", "").replace("_", "")


def from_wnids(name: str, wnids: Sequence[str]) -> ClassList:
    """Return a list of the caller's classes.

    Example:
        >>> len(from_wnids("pets", ["n02084071", "n02121620"]))
        2
    """
    return ClassList(name, "a list of your own", "as it is given", tuple(wnids), sha256_of_lines(wnids))


def equal(wnids: Sequence[str]) -> str | None:
    """Return the name of the first published list with these wnids in this order; None if there is none.

    Example:
        >>> equal(get("imagewoof").wnids)
        'imagewoof'
    """
    sha256 = sha256_of_lines(wnids)
    return next((name for name, row in _rows().items() if _texts("sha256")[row] == sha256), None)


def list_of_categories(records: Iterable[Mapping[str, Any]]) -> str | None:
    """Return the published list that has the ids and names of all categories of a file in COCO's form, or None.

    Example:
        >>> list_of_categories([{"id": 18, "name": "dog"}, {"id": 90, "name": "toothbrush"}])
        'coco80'
    """
    try:
        wanted = {(record["id"], record["name"]) for record in records if "wnid" not in record}
    except (KeyError, TypeError):
        return None
    table = "class_categories"
    rows = (_column(table, "number") >= 0).nonzero()[0].tolist()
    texts, numbers, owners = columns.text(table, "name").split("\n"), _column(table, "number"), _column(table, "list")
    known: dict[int, set[tuple[int, str]]] = {}
    for row in rows:
        known.setdefault(int(owners[row]), set()).add((int(numbers[row]), texts[row]))
    return next((_texts("name")[owner] for owner, pairs in known.items() if wanted and wanted <= pairs), None)


def wnids_of_categories(records: Sequence[Mapping[str, Any]]) -> dict[int, str | None]:
    """Return the wnid of each category of a file in COCO's form by its id; None if WordNet has none.

    It is the record's wnid, that of the published list which has all the ids and names, or that of its synset.

    Example:
        >>> wnids_of_categories([{"id": 18, "name": "dog"}, {"id": 13, "name": "stop sign"}])
        {18: 'n02084071', 13: None}
    """
    name = list_of_categories(records)
    listed = {category.number: category.synsets for category in get(name).categories} if name else {}
    wnids: dict[int, str | None] = {}
    for record in records:
        synset = record.get("synset")
        row = wordnet.find_row(synset) if isinstance(synset, str) else None
        by_synset = None if row is None else wordnet.wnid_at(row)
        wnids[record["id"]] = record.get("wnid") or next(iter(listed.get(record["id"], ())), by_synset)
    return wnids


def of_length(n: int) -> Iterator[ClassList]:
    """Yield the published lists, and parts of lists, of n synsets; not lists of categories."""
    starts = _column("class_lists", "offsets.starts").tolist()
    for row in _rows().values():
        if starts[row + 1] - starts[row] == n and not (listed := _read(row)).categories:
            yield listed


def numbers_of(wnid: str) -> dict[str, int]:
    """Return the number of a class in each label space that has it.

    Example:
        >>> numbers_of("n01440764")["ilsvrc2012-id"]
        449
    """
    places = {name: index_of(name).get(wnid) for name in SPACES}
    return {name: place + _base(name) for name, place in places.items() if place is not None}


def numbered(number: int) -> Iterator[tuple[str, str]]:
    """Yield (wnid, words) for the class with a number in each label space.

    Example:
        >>> next(numbered(281))
        ('n02123045', 'index 281 of ilsvrc2012 in sorted order')
    """
    for name in SPACES:
        offsets = _part("class_lists", "offsets", _rows()[name])  # get() would spell 21,841 wnids for one
        place = number - _base(name)
        if 0 <= place < len(offsets):
            words = _NUMBER_WORDS.get(name, f"index {{}} of {name}")
            yield spell(offsets[place : place + 1])[0], words.format(number)


@functools.cache
def index_of(name: str) -> Mapping[str, int]:
    """Return the place of each wnid in a published list of wnids, from 0.

    Example:
        >>> index_of("ilsvrc2012")["n02123045"]
        281
    """
    return {wnid: place for place, wnid in enumerate(get(name).wnids)}


# ---- the tables

_column = functools.cache(columns.numbers)


@functools.cache
def _texts(column: str) -> Sequence[str]:
    return columns.text("class_lists", column).split("\n")


@functools.cache
def _rows() -> Mapping[str, int]:
    return {name: row for row, name in enumerate(_texts("name"))}


def _base(name: str) -> int:
    return int(_column("class_lists", "base")[_rows()[name]])


@functools.cache
def _read(row: int) -> ClassList:
    texts = {column: _texts(column)[row] for column in ("name", "title", "order", "sha256", "source", "checked")}
    return ClassList(
        **texts,
        wnids=_wnids("class_lists", "offsets", row),
        base=int(_column("class_lists", "base")[row]),
        background=int(_column("class_lists", "background")[row]),
        categories=tuple(_categories(row)),
    )


def _categories(list_row: int) -> Iterator[Category]:
    table = "class_categories"
    rows = (_column(table, "list") == list_row).nonzero()[0].tolist()
    if not rows:
        return
    names, notes = (columns.text(table, column).split("\n") for column in ("name", "note"))
    for row in rows:
        synsets, without, members = (_wnids(table, column, row) for column in ("synsets", "without", "members"))
        number = int(_column(table, "number")[row])
        yield Category(names[row], synsets, without, members, number if number >= 0 else None, notes[row])


def _wnids(table: str, column: str, row: int) -> tuple[str, ...]:
    return tuple(spell(_part(table, column, row)))


def _part(table: str, column: str, row: int) -> npt.NDArray[np.integer]:
    start, end = _column(table, f"{column}.starts")[row : row + 2].tolist()
    return _column(table, column)[start:end]
