"""The boxes of an export, as queries: in the raster as it will be, and why one is left out, if it is."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from imagenet_tools.annotations import bbox
from imagenet_tools.exports.sorting import as_arrow

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import pyarrow as pa

    from imagenet_tools.exports.options import Options
    from imagenet_tools.selection.selection import Selection
    from imagenet_tools.store.store import Store

# Why a box of an image that is in an export is not.
REASONS = {
    "no_area": "nothing of it lies inside the image, or its numbers cannot be used",
    "outside": "it reaches out of the image",
    "cropped": "nothing of it lies in the square that --crop keeps",
    "small_box": "a side of it is shorter than --min-box asks",
    "other_class": "of a class that is not in the export",
    "same_twice": "the same box of the same image stands twice",
}

_EDGES = ("nxmin", "nymin", "nxmax", "nymax")


# Images that have boxes, with their width and height, and a number of their own.
_OF_SOME = {"number": "BIGINT", "dataset": "VARCHAR", "image_id": "VARCHAR", "width": "INTEGER", "height": "INTEGER"}
_OF_ALL = "(SELECT dataset, image_id, width, height, NULL AS number FROM images WHERE n_boxes > 0)"


def all_boxes(options: Options, images: str = "") -> str:
    """Every box of the index: dataset, image_id, wnid, left, top, right, bottom, remarks, and lost: why, or null.

    The edges are fractions of the raster that the export will hold, before it is turned. `images` is a table of those
    whose boxes are asked for: dataset, image_id, width, height, number, which then is beside each box.
    """
    edges = {name: name for name in _EDGES}
    lost = ["WHEN nxmin IS NULL THEN 'no_area'"]
    if options.bad_boxes == "drop":
        lost.append("WHEN list_contains(flags, 'outside') THEN 'outside'")
    if options.square:
        edges = {name: bbox.sql_in_square(name, "width" if name.startswith("nx") else "height") for name in _EDGES}
        for low, high in (("nxmin", "nxmax"), ("nymin", "nymax")):
            lost.append(f"WHEN NOT coalesce({edges[low]} < {edges[high]}, false) THEN 'cropped'")
    if options.min_box:
        width, height = options.size_sql()
        sides = (
            bbox.sql_extent(edges["nxmin"], edges["nxmax"], width),
            bbox.sql_extent(edges["nymin"], edges["nymax"], height),
        )
        lost.append(f"WHEN least({', '.join(sides)}) < {options.min_box} THEN 'small_box'")
    source, number = "boxes", "number, " if images else ""
    if images or options.square or options.min_box:
        # Boxes that share no image are of none that is chosen.
        source = f"boxes JOIN {images or _OF_ALL} USING (dataset, image_id)"
    named = ", ".join(
        f"{edges[name]} AS {edge}" for name, edge in zip(_EDGES, ("left", "top", "right", "bottom"), strict=True)
    )
    named = named.replace(" AS left", ' AS "left"').replace(" AS right", ' AS "right"')
    return f"""SELECT {number}dataset, image_id, wnid, {named}, pose, truncated, difficult, flags,
                   CASE {" ".join(lost)} END AS lost FROM {source}"""


# The class that each wnid of a box becomes, from the parameters of class_values().
_CLASSES = "SELECT unnest($_box_wnid::VARCHAR[]) AS own, unnest($_box_class::VARCHAR[]) AS class"


def class_values(of: Mapping[str, str]) -> dict[str, object]:
    """The parameters of the queries over boxes: the class that each wnid becomes."""
    return {"_box_wnid": list(of), "_box_class": list(of.values())}


class BoxesOf:
    """Finds the boxes of some images at a time, each box once, sorted; of classes that `of` gives their wnids."""

    def __init__(self, index: Store, options: Options, of: Mapping[str, str]) -> None:
        self._cursor = index.cursor()
        self._cursor.execute(f"CREATE TEMP TABLE _box_classes AS {_CLASSES}", class_values(of))
        # As values: whatever else takes Arrow in imports pandas where that is installed.
        given = ", ".join(f"unnest(${name}::{kind}[]) AS {name}" for name, kind in _OF_SOME.items())
        self._query = f"""
            SELECT number, list_sort(list(box)) AS found FROM (
                SELECT number, {{'wnid': class, 'left': "left", 'top': top, 'right': "right", 'bottom': bottom,
                                'pose': min(pose), 'truncated': bool_or(truncated),
                                'difficult': bool_or(difficult)}} AS box
                FROM ({all_boxes(options, f"(SELECT {given})")}) JOIN _box_classes ON wnid = own WHERE lost IS NULL
                GROUP BY number, dataset, image_id, class, "left", top, "right", bottom)
            GROUP BY number ORDER BY number"""

    def add(self, images: pa.RecordBatch) -> pa.Array:
        """The boxes of images of which dataset, image_id, width, height and n_boxes are known: a list of structs each.

        Null where an image has none.
        """
        number = np.flatnonzero(np.from_dlpack(images.column("n_boxes")) > 0)
        boxed = images.take(as_arrow(number))
        values = {name: boxed.column(name).to_pylist() for name in _OF_SOME if name != "number"}
        found = self._cursor.sql(self._query, params={**values, "number": number.tolist()}).to_arrow_table()
        place = np.full(len(images), -1, np.int64)
        place[np.from_dlpack(found.column("number").combine_chunks())] = np.arange(len(found))
        lists = found.column("found").combine_chunks()
        return lists.take(as_arrow(place, valid=place >= 0))


def quoted(column: str) -> str:
    """A column as SQL spells it: COLUMN, or TABLE.COLUMN of a table of one's own."""
    return ".".join('"' + part.replace('"', '""') + '"' for part in column.split(".", 1))


def usable(options: Options, wnids: Iterable[str] | None = None) -> str:
    """SQL over images: whether an image has a box that can be used; of one of these classes, where they are given."""
    of = "" if wnids is None else " AND wnid IN (" + ", ".join(f"'{wnid}'" for wnid in wnids) + ")"
    found = f"SELECT (dataset, image_id) FROM ({all_boxes(options)}) WHERE lost IS NULL{of}"
    return f"(images.dataset, images.image_id) IN ({found})"


def counted(chosen: Selection, options: Options) -> tuple[dict[tuple[str, str], int], dict[str, int]]:
    """(boxes that are kept, by split and class of the image; how many are left out, by the reason)."""
    kept: dict[tuple[str, str], int] = {}
    lost: Counter[str] = Counter()
    rows = chosen.run(
        f"""SELECT split, of_image, coalesce(lost, CASE WHEN class IS NULL THEN 'other_class' END) AS reason,
                   sum(n)::BIGINT, sum(n - 1)::BIGINT
            FROM (SELECT split, of_image, lost, class, count(*) AS n
                  FROM ({all_boxes(options)})
                  JOIN (SELECT dataset, image_id, split, wnid AS of_image FROM made
                        WHERE left_out IS NULL AND n_boxes > 0) USING (dataset, image_id)
                  LEFT JOIN ({_CLASSES}) ON wnid = own
                  GROUP BY dataset, image_id, split, of_image, lost, class, "left", top, "right", bottom)
            GROUP BY ALL ORDER BY ALL""",
        class_values(chosen.classes_of()),
    ).fetchall()
    for split, wnid, reason, n, again in rows:
        if reason is None:
            kept[split, wnid] = n - again
            lost["same_twice"] += again
        else:
            lost[reason] += n
    return kept, {reason: n for reason, n in sorted(lost.items()) if n}
