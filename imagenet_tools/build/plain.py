"""Plain images: named by their class and standing in it. What is known of them without comparing them with others.

n01440764_10026 of class n01440764, whose photo is called the same, is a plain image: as all but a few are. Two rows of
one plain image are of one class, so that they lie in one file of the index, or in those of two splits. A merge looks at
plain images file by file, and holds the others alone against all the rest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from imagenet_tools.catalogue.releases import RELEASES

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pyarrow as pa

# Data sets of so many classes that their images lie in twice as many files: to open one costs a query 0.1 ms, to write
# one anew a microsecond an image.
_LARGE = tuple(name for name, release in RELEASES.items() if release.classes > 5_000)

# The head of a wnid, by which files are told apart: n02, or n020 and n025 for the halves of it.
_HALF = f"CASE WHEN dataset NOT IN {_LARGE!r} THEN '' WHEN substr(wnid, 4, 1) < '5' THEN '0' ELSE '5' END"
HEAD = f"left(wnid, 3) || {_HALF}"

# The file that a row lies in, by its data set, split and wnid alone: adding a class rewrites one file of many.
PART = f"dataset || '-' || coalesce(split, 'nosplit') || '-' || coalesce({HEAD}, 'nolabel')"

# The twin of homes() in SQL.
PLAIN = "coalesce(photo = image_id AND left(image_id, 10) = wnid || '_', false)"


class PlainHome(NamedTuple):
    """Where plain images belong."""

    dataset: str
    split: str | None
    wnid: str

    @property
    def head(self) -> str:
        """The head of the wnid, by which files are told apart: HEAD."""
        half = "" if self.dataset not in _LARGE else "0" if self.wnid[3] < "5" else "5"
        return self.wnid[:3] + half

    @property
    def part(self) -> str:
        """The file of the index that they lie in: PART."""
        return f"{self.dataset}-{self.split or 'nosplit'}-{self.head}"


def homes(rows: pa.RecordBatch) -> set[PlainHome] | None:
    """Where rows of images belong if all of them are plain, else None."""
    import pyarrow.compute as pc

    ids, wnids = rows["image_id"], rows["wnid"]
    named = pc.and_(
        pc.equal(pc.utf8_slice_codeunits(ids, 0, 9), wnids), pc.equal(pc.utf8_slice_codeunits(ids, 9, 10), "_")
    )
    if not pc.all(pc.and_(named, pc.equal(rows["photo"], ids)), skip_nulls=False).as_py():
        return None
    columns = [rows[name] for name in ("dataset", "split", "wnid")]
    kinds = [column.unique() for column in columns]
    # Of a class folder or a class tar one row tells for all.
    told = kinds if all(len(kind) == 1 for kind in kinds) else columns
    return {PlainHome(*row) for row in zip(*(column.to_pylist() for column in told), strict=True)}


def splits_of(found: Iterable[PlainHome]) -> dict[tuple[str, str], set[str | None]]:
    """The splits by data set and head of the wnid."""
    splits: dict[tuple[str, str], set[str | None]] = {}
    for home in found:
        splits.setdefault((home.dataset, home.head), set()).add(home.split)
    return splits
