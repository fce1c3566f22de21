"""Plain images: images whose id begins with their class, so that they need no comparison with all others.

n01440764_10026 of class n01440764, with photo = image_id, is plain. Nearly all images of a release are. Two rows of one
plain image have the same class, so they belong to one file of the index, or to files of two splits. A merge therefore
checks plain images file by file. It compares in SQL only the other ("odd") images, and plain ones that may be the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from imagenet_tools.catalogue.releases import RELEASES

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pyarrow as pa

    from imagenet_tools.build.stage import Stage, TableRows
    from imagenet_tools.store.layout import FileEntry

# Data sets of more classes have two files per head. Opening a file costs a query 0.1 ms; rewriting costs 1 us an image.
_LARGE = tuple(name for name, release in RELEASES.items() if release.classes > 5_000)

# SQL: the head of a wnid that selects its file: n02, or n020 and n025 for the two halves of n02 in a large data set.
_HALF = f"CASE WHEN dataset NOT IN {_LARGE!r} THEN '' WHEN substr(wnid, 4, 1) < '5' THEN '0' ELSE '5' END"
HEAD = f"left(wnid, 3) || {_HALF}"

# SQL: the file of a row, from its data set, split and wnid alone, so that a new class rewrites one file.
PART = f"dataset || '-' || coalesce(split, 'nosplit') || '-' || coalesce({HEAD}, 'nolabel')"

# SQL condition: the row is plain. The same rule as homes().
PLAIN = "coalesce(photo = image_id AND left(image_id, 10) = wnid || '_', false)"

# SQL: the wnid at the head of an id. For a plain image it is the class.
NAMED_CLASS = "left(image_id, 9)"


Classes = set[tuple[str, str]]  # data set, wnid


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


def names_in(part: str) -> tuple[str, str | None, str]:
    """Return the data set, the split and the head of the wnid in the name of a file, as the SQL expression PART."""
    dataset, split, head = part.rsplit("-", 2)
    return dataset, None if split == "nosplit" else split, head


def homes(rows: pa.RecordBatch) -> set[PlainHome] | None:
    """Return the homes of rows of images, or None if one of them is not plain.

    In plain Python: pyarrow.compute takes 0.1 us less an image, and 55 ms to import in each worker.
    """
    if not rows["image_id"].equals(rows["photo"]):
        return None
    wnids = rows["wnid"].to_pylist()
    for image_id, wnid in zip(rows["image_id"].to_pylist(), wnids, strict=True):
        if image_id[:9] != wnid or image_id[9:10] != "_":
            return None
    return {
        PlainHome(*home)
        for home in set(zip(rows["dataset"].to_pylist(), rows["split"].to_pylist(), wnids, strict=True))
    }


# ---- images that a merge compares


class PlainEntry(NamedTuple):
    """An old file that holds only plain images, each of them once, with what its name says."""

    entry: FileEntry
    dataset: str
    split: str | None
    head: str


class OddImages(NamedTuple):
    """The images of units and old files that are not plain throughout, and the old files that are."""

    rows: TableRows
    units: frozenset[int]  # new units
    entries: tuple[FileEntry, ...]  # old files of images and copies
    plain: tuple[PlainEntry, ...]

    @property
    def any(self) -> bool:
        """Return True if there are such images."""
        return bool(self.units or self.entries)


def odd_images(stage: Stage) -> OddImages:
    """Return the images that are compared with all others.

    An old file of plain images counts as odd where some of its images have copies.
    """
    units = frozenset(unit for unit, part in stage.parts.items() if "images" in part.tables and part.plain is None)
    images, copies = stage.old_entries("images"), stage.old_entries("copies")
    with_copies = {entry.part for entry in copies}
    odd = [entry for entry in images if not entry.plain or entry.part in with_copies] + copies
    odd_parts = {entry.part for entry in odd}
    plain = [PlainEntry(entry, *names_in(entry.part)) for entry in images if entry.part not in odd_parts]
    rows = stage.rows("images", sorted(units), [stage.folder / entry.file for entry in odd])
    return OddImages(rows, units, tuple(odd), tuple(plain))


def plain_images(stage: Stage, odd: OddImages, classes: Classes) -> TableRows:
    """Return views of the plain images of these classes. The new rows may include other classes of the same units."""
    import pyarrow as pa

    units = [
        unit
        for unit, part in stage.parts.items()
        if any((home.dataset, home.wnid) in classes for home in part.plain or ())
    ]
    columns = [pa.array([row[n] for row in sorted(classes)], pa.string()) for n in (0, 1)]
    wanted = stage.arrow(pa.table(columns, ["dataset", "wnid"]))
    heads = {(dataset, PlainHome(dataset, None, wnid).head) for dataset, wnid in classes}
    files = [stage.folder / file.entry.file for file in odd.plain if (file.dataset, file.head) in heads]
    return stage.rows("images", units, files, only=f"SEMI JOIN {wanted} USING (dataset, wnid)")


def classes_named(stage: Stage, rows: str) -> Classes:
    """Return the data sets and classes of the plain images that may have the ids of these rows."""
    return set(stage.fetch(f"SELECT DISTINCT dataset, {NAMED_CLASS} FROM {rows} WHERE image_id LIKE 'n%'"))


def classes_in_splits(stage: Stage, old: Iterable[PlainEntry]) -> Classes:
    """Return the classes of new plain images that may also be in another split of their data set."""
    new = {home for part in stage.parts.values() for home in part.plain or ()}
    splits: dict[tuple[str, str], set[str | None]] = {}
    files: list[PlainHome | PlainEntry] = [*new, *old]
    for file in files:
        splits.setdefault((file.dataset, file.head), set()).add(file.split)
    return {(home.dataset, home.wnid) for home in new if len(splits[home.dataset, home.head]) > 1}
