"""The images that a merge holds against each other: all that are not plain, and the plain ones that may be the same.

A plain image can be another row's image only where that row is of its data set and has its class in its id, or is plain
too and of another split. So these two kinds are looked up, and the files of all other plain images stay unread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from imagenet_tools.index.plain import Home, splits_of
from imagenet_tools.index.stage import parquet
from imagenet_tools.schema import TABLES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imagenet_tools.index.layout import FileEntry
    from imagenet_tools.index.stage import Stage

# What a wnid in front of an id is: of a plain image, its class.
NAMED_CLASS = "left(image_id, 9)"

_COLUMNS = ", ".join(f'"{column.name}"' for column in TABLES["images"].columns)

Classes = set[tuple[str, str]]  # data set, wnid


def odd_units(stage: Stage) -> set[int]:
    """The new units with images of which not all are plain."""
    return {unit for unit, part in stage.parts.items() if "images" in part.tables and part.plain is None}


def odd_entries(stage: Stage) -> list[FileEntry]:
    """The old files of images, and of copies, of which not all are plain, or some stand twice."""
    copies = stage.old.tables.get("copies", [])
    twice = {entry.part for entry in copies}
    images = stage.old.tables.get("images", [])
    return [*(entry for entry in images if not entry.plain or entry.part in twice), *copies]


def define_odd(stage: Stage) -> None:
    """Define the view odd_images: those of units and files of which not all are plain."""
    stage.sql.register("new_odd_images", stage.new("images", sorted(odd_units(stage))))
    files = [stage.folder / entry.file for entry in odd_entries(stage)]
    old = f" UNION ALL SELECT {_COLUMNS} FROM {parquet(files)} WHERE unit NOT IN (FROM dropped)" if files else ""
    stage.sql.execute(f"CREATE TEMP VIEW odd_images AS SELECT {_COLUMNS} FROM new_odd_images{old}")


def define_plain(stage: Stage, view: str, classes: Classes) -> None:
    """Define a view of the plain images of these classes, or of some more."""
    import pyarrow as pa

    near = [
        unit
        for unit, part in stage.parts.items()
        if any((home.dataset, home.wnid) in classes for home in part.plain or ())
    ]
    stage.sql.register(f"new_{view}", stage.new("images", near))
    columns = [pa.array([one[n] for one in sorted(classes)], pa.string()) for n in (0, 1)]
    stage.sql.register(f"classes_of_{view}", pa.table(columns, ["dataset", "wnid"]))
    heads = {(dataset, Home(dataset, None, wnid).head) for dataset, wnid in classes}
    files = [stage.folder / entry.file for entry, dataset, _, head in plain_entries(stage) if (dataset, head) in heads]
    old = f""" UNION ALL SELECT {_COLUMNS} FROM {parquet(files)} SEMI JOIN classes_of_{view} USING (dataset, wnid)
               WHERE unit NOT IN (FROM dropped)""" if files else ""  # fmt: skip
    stage.sql.execute(f"CREATE TEMP VIEW {view} AS SELECT {_COLUMNS} FROM new_{view}{old}")


def forget(stage: Stage, view: str) -> None:
    """Let go of a view of define_plain, and of the parts that are mapped for it."""
    stage.sql.execute(f"DROP VIEW {view}")
    stage.sql.unregister(f"new_{view}")


def classes_named(stage: Stage, rows: str) -> Classes:
    """The data sets and classes of the plain images that may have the ids of these rows."""
    query = f"SELECT DISTINCT dataset, {NAMED_CLASS} FROM {rows} WHERE image_id LIKE 'n%'"
    return set(stage.sql.execute(query).fetchall())


def classes_in_splits(stage: Stage) -> Classes:
    """The data sets and classes whose new plain images are not in the one split of all the others."""
    new = {home for part in stage.parts.values() for home in part.plain or ()}
    splits = splits_of(new)
    for _, dataset, split, head in plain_entries(stage):
        splits.setdefault((dataset, head), set()).add(split)
    return {(home.dataset, home.wnid) for home in new if len(splits[home.dataset, home.head]) > 1}


def plain_entries(stage: Stage) -> Iterator[tuple[FileEntry, str, str | None, str]]:
    """The old files of plain images alone: (file, data set, split, head of the wnid), which their parts say."""
    odd = {entry.part for entry in odd_entries(stage)}
    for entry in stage.old.tables.get("images", []):
        if entry.part not in odd:
            dataset, split, head = entry.part.rsplit("-", 2)
            yield entry, dataset, None if split == "nosplit" else split, head
