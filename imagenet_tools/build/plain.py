"""Plain images: images whose id begins with their class, so that they need no comparison with all others.

n01440764_10026 of class n01440764, with photo = image_id, is plain. Nearly all images of a release are. Two rows of one
plain image have the same class, so they belong to one file of the index, or to files of two splits. A merge therefore
checks plain images file by file, and compares only the other ("odd") images with all the rest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from imagenet_tools.catalogue.releases import RELEASES

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pyarrow as pa

# Data sets of more classes have two files per head. Opening a file costs a query 0.1 ms; rewriting costs 1 us an image.
_LARGE = tuple(name for name, release in RELEASES.items() if release.classes > 5_000)

# SQL: the head of a wnid that selects its file: n02, or n020 and n025 for the two halves of n02 in a large data set.
_HALF = f"CASE WHEN dataset NOT IN {_LARGE!r} THEN '' WHEN substr(wnid, 4, 1) < '5' THEN '0' ELSE '5' END"
HEAD = f"left(wnid, 3) || {_HALF}"

# SQL: the file of a row, from its data set, split and wnid alone, so that a new class rewrites one file.
PART = f"dataset || '-' || coalesce(split, 'nosplit') || '-' || coalesce({HEAD}, 'nolabel')"

# SQL condition: the row is plain. The same rule as homes().
PLAIN = "coalesce(photo = image_id AND left(image_id, 10) = wnid || '_', false)"


class PlainHome(NamedTuple):
    """Data set, split and class of plain images. They select a file of the index."""

    dataset: str
    split: str | None
    wnid: str

    @property
    def head(self) -> str:
        """The head of the wnid, as the SQL expression HEAD."""
        if self.dataset not in _LARGE:
            return self.wnid[:3]
        return self.wnid[:3] + ("0" if self.wnid[3] < "5" else "5")

    @property
    def part(self) -> str:
        """The file of the index, as the SQL expression PART."""
        return f"{self.dataset}-{self.split or 'nosplit'}-{self.head}"


def homes(rows: pa.RecordBatch) -> set[PlainHome] | None:
    """Return the homes of rows of images, or None if one of them is not plain."""
    import pyarrow.compute as pc

    ids, wnids = rows["image_id"], rows["wnid"]
    named = pc.and_(
        pc.equal(pc.utf8_slice_codeunits(ids, 0, 9), wnids), pc.equal(pc.utf8_slice_codeunits(ids, 9, 10), "_")
    )
    if not pc.all(pc.and_(named, pc.equal(rows["photo"], ids)), skip_nulls=False).as_py():
        return None
    columns = [rows[name] for name in ("dataset", "split", "wnid")]
    distinct = [column.unique() for column in columns]
    if all(len(values) == 1 for values in distinct):  # a class folder or a class tar: skip the other rows
        columns = distinct
    return {PlainHome(*row) for row in zip(*(column.to_pylist() for column in columns), strict=True)}


def splits_of(plain_homes: Iterable[PlainHome]) -> dict[tuple[str, str], set[str | None]]:
    """Return the splits by data set and head of the wnid."""
    splits: dict[tuple[str, str], set[str | None]] = {}
    for home in plain_homes:
        splits.setdefault((home.dataset, home.head), set()).add(home.split)
    return splits
