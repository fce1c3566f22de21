"""Query the boxes of an export: their edges in the exported image, and the reason why a box is left out."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from imagenet_tools import arrays
from imagenet_tools.annotations import bbox

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import pyarrow as pa

    from imagenet_tools.exports.options import Options
    from imagenet_tools.selection.selection import Selection
    from imagenet_tools.store.store import Store

# Why a box of an image that is in an export is left out.
REASONS = {
    "no_area": "no part of it is inside the image, or its numbers cannot be used",
    "outside": "it reaches out of the image",
    "cropped": "no part of it is in the square that --crop keeps",
    "small_box": "a side of it is shorter than --min-box asks",
    "other_class": "of a class that is not in the export",
    "same_twice": "the image has the same box twice",
}

_EDGES = ("nxmin", "nymin", "nxmax", "nymax")
_BOX_EDGES = '"left", top, "right", bottom'

# Columns of the images of which BoxesOf finds the boxes.
_IMAGE_COLUMNS = {
    "dataset": "VARCHAR",
    "image_id": "VARCHAR",
    "width": "INTEGER",
    "height": "INTEGER",
}
_ALL_IMAGES = "(SELECT dataset, image_id, width, height, NULL AS number FROM images WHERE n_boxes > 0)"

# The class of the export that each wnid of a box becomes; the parameters are those of class_values().
_CLASSES = "SELECT unnest($_box_wnid::VARCHAR[]) AS box_wnid, unnest($_box_class::VARCHAR[]) AS class"


def all_boxes(options: Options, images: str = "") -> str:
    """Return SQL of every box of the index, with the columns

        dataset, image_id, wnid, left, top, right, bottom, pose, truncated, difficult, flags
        lost    the reason why it is left out, or null

    The edges are fractions of the exported raster before it is turned.

    Args:
        options: The options of the export.
        images: SQL of the images whose boxes are asked for, with a `number`, which is then a column too.
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
    source = "boxes"
    if images or needs_size(options):
        source = f"boxes JOIN {images or _ALL_IMAGES} USING (dataset, image_id)"
    return f"""SELECT {"number, " if images else ""}dataset, image_id, wnid, {edges["nxmin"]} AS "left",
                   {edges["nymin"]} AS top, {edges["nxmax"]} AS "right", {edges["nymax"]} AS bottom,
                   pose, truncated, difficult, flags, CASE {" ".join(lost)} END AS lost FROM {source}"""


def needs_size(options: Options) -> bool:
    """Return True if the size of an image decides on its boxes."""
    return options.square or options.min_box > 0


def class_of(chosen: Selection) -> dict[str, str]:
    """Return the class of the export that each wnid becomes; none for a class all of whose images are left out."""
    exported = set(chosen.wnids())
    return {wnid: own for wnid, own in chosen.classes_of().items() if own in exported}


def class_values(class_of: Mapping[str, str]) -> dict[str, object]:
    """Return the parameters of _CLASSES: the class of the export by wnid."""
    return {"_box_wnid": list(class_of), "_box_class": list(class_of.values())}


class BoxesOf:
    """Finds the boxes of batches of images: each box once, of the classes in `class_of` (class by wnid), sorted."""

    def __init__(self, index: Store, options: Options, class_of: Mapping[str, str]) -> None:
        self._cursor = index.cursor()
        self._cursor.execute(f"CREATE TEMP TABLE _box_classes AS {_CLASSES}", class_values(class_of))
        self._columns = ["dataset", "image_id", *(("width", "height") if needs_size(options) else ())]
        # As lists: DuckDB imports pandas to scan Arrow data (see imagenet_tools.arrays).
        images = ", ".join(f"unnest(${name}::{_IMAGE_COLUMNS[name]}[]) AS {name}" for name in self._columns)
        numbered = f"(SELECT {images}, generate_subscripts($image_id, 1) - 1 AS number)"
        self._query = f"""
            SELECT number, class AS wnid, {_BOX_EDGES}, min(pose) AS pose, bool_or(truncated) AS truncated,
                   bool_or(difficult) AS difficult
            FROM ({all_boxes(options, numbered)}) JOIN _box_classes ON wnid = box_wnid
            WHERE lost IS NULL GROUP BY number, class, {_BOX_EDGES} ORDER BY number, class, {_BOX_EDGES}"""

    def find(self, images: pa.RecordBatch) -> pa.Array:
        """Return a list of structs for each image, null where it has no box.

        The batch has the columns dataset, image_id, width, height and n_boxes.
        """
        import pyarrow as pa

        boxed = np.flatnonzero(np.from_dlpack(images.column("n_boxes")) > 0)
        asked = images.select(self._columns).take(arrays.integers(boxed))
        rows = self._cursor.sql(self._query, params=asked.to_pydict()).to_arrow_table().combine_chunks()
        numbers, *columns = (column.combine_chunks() for column in rows.columns)
        boxes = pa.StructArray.from_arrays(columns, fields=list(rows.schema)[1:])
        return arrays.lists_or_null(np.bincount(boxed[np.from_dlpack(numbers)], minlength=len(images)), boxes)


def quoted(column: str) -> str:
    """Return a column as SQL spells it: COLUMN, or TABLE.COLUMN of a table of --with."""
    return ".".join('"' + part.replace('"', '""') + '"' for part in column.split(".", 1))


def usable(options: Options, wnids: Iterable[str] | None = None) -> str:
    """Return SQL that is true for images with a box that can be used; only boxes of `wnids` count, if given.

    It lists the images without such a box, which are few. A list of the others took 1.2 s more of each query of 14.2
    million images, a million of them with boxes.
    """
    of_classes = "" if wnids is None else f" AND wnid IN (SELECT unnest({list(wnids)}::VARCHAR[]))"
    used = f"coalesce(lost IS NULL{of_classes}, false)"
    marked = f"(SELECT dataset, image_id, {used} AS used FROM ({all_boxes(options)}))"
    unusable = f"(FROM {marked} WHERE NOT used) ANTI JOIN (FROM {marked} WHERE used) USING (dataset, image_id)"
    keys = f"SELECT (dataset, image_id) FROM {unusable}"
    return f"(images.n_boxes > 0 AND (images.dataset, images.image_id) NOT IN ({keys}))"


def has_other_classes(chosen: Selection) -> bool:
    """Return True if the index has a box of a class that is not in the export."""
    query = "SELECT 1 FROM boxes WHERE coalesce(wnid NOT IN (SELECT unnest($_box_wnid::VARCHAR[])), true) LIMIT 1"
    wnids = class_values(class_of(chosen))["_box_wnid"]
    return bool(chosen.index.cursor().execute(query, {"_box_wnid": wnids}).fetchall())


def counted(chosen: Selection, options: Options) -> tuple[dict[tuple[str, str], int], dict[str, int]]:
    """Return the boxes that are exported, by split and class of the image, and those left out, by reason."""
    kept: dict[tuple[str, str], int] = {}
    lost: Counter[str] = Counter()
    rows = chosen.run(
        f"""SELECT split, of_image, coalesce(lost, CASE WHEN class IS NULL THEN 'other_class' END) AS reason,
                   sum(n)::BIGINT, sum(n - 1)::BIGINT
            FROM (SELECT split, of_image, lost, class, count(*) AS n
                  FROM ({all_boxes(options)})
                  JOIN (SELECT dataset, image_id, split, wnid AS of_image FROM made
                        WHERE left_out IS NULL AND n_boxes > 0) USING (dataset, image_id)
                  LEFT JOIN ({_CLASSES}) ON wnid = box_wnid
                  GROUP BY dataset, image_id, split, of_image, lost, class, "left", top, "right", bottom)
            GROUP BY ALL ORDER BY ALL""",
        class_values(class_of(chosen)),
    ).fetchall()
    for split, wnid, reason, n, repeated in rows:
        if reason is None:
            kept[split, wnid] = n - repeated
            lost["same_twice"] += repeated
        else:
            lost[reason] += n
    return kept, {reason: n for reason, n in sorted(lost.items()) if n}
