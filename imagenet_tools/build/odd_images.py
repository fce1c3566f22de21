"""Select the images that a merge compares in SQL: all that are not plain, and plain ones that may be the same image."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from imagenet_tools.build.plain import PlainHome, splits_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from imagenet_tools.build.stage import Stage, TableRows
    from imagenet_tools.store.layout import FileEntry

# SQL: the wnid at the head of an id. For a plain image it is the class.
NAMED_CLASS = "left(image_id, 9)"

Classes = set[tuple[str, str]]  # data set, wnid


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


def odd_images(stage: Stage) -> OddImages:
    """Return the images that are compared with all others.

    An old file of plain images counts as odd where some of its images have copies.
    """
    units = frozenset(unit for unit, part in stage.parts.items() if "images" in part.tables and part.plain is None)
    images, copies = stage.old_entries("images"), stage.old_entries("copies")
    with_copies = {entry.part for entry in copies}
    odd = [entry for entry in images if not entry.plain or entry.part in with_copies] + copies
    odd_parts = {entry.part for entry in odd}
    plain = []
    for entry in images:
        if entry.part not in odd_parts:
            dataset, split, head = entry.part.rsplit("-", 2)
            plain.append(PlainEntry(entry, dataset, None if split == "nosplit" else split, head))
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
    splits = splits_of(new)
    for file in old:
        splits.setdefault((file.dataset, file.head), set()).add(file.split)
    return {(home.dataset, home.wnid) for home in new if len(splits[home.dataset, home.head]) > 1}
