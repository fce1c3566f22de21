"""The boxes of an export, as queries: in the raster as it will be, and why one is left out, if it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imagenet_tools.annotations import bbox

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from imagenet_tools.exports.options import Options
    from imagenet_tools.selection.selection import Selection

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


def all_boxes(options: Options) -> str:
    """Every box of the index: dataset, image_id, wnid, left, top, right, bottom, remarks, and lost: why, or null.

    The edges are fractions of the raster that the export will hold, before it is turned.
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
    if options.square or options.min_box:
        # Boxes that share no image are of none that is chosen.
        source = "boxes JOIN (SELECT dataset, image_id, width, height FROM images) USING (dataset, image_id)"
    named = ", ".join(
        f"{edges[name]} AS {edge}" for name, edge in zip(_EDGES, ("left", "top", "right", "bottom"), strict=True)
    )
    named = named.replace(" AS left", ' AS "left"').replace(" AS right", ' AS "right"')
    return f"""SELECT dataset, image_id, wnid, {named}, pose, truncated, difficult, flags,
                   CASE {" ".join(lost)} END AS lost FROM {source}"""


# The class that each wnid of a box becomes, from the parameters of class_values().
_CLASSES = "SELECT unnest($_box_wnid::VARCHAR[]) AS own, unnest($_box_class::VARCHAR[]) AS class"


def class_values(of: Mapping[str, str]) -> dict[str, object]:
    """The parameters of by_image(): the class that each wnid becomes."""
    return {"_box_wnid": list(of), "_box_class": list(of.values())}


def by_image(options: Options) -> str:
    """The boxes of each image that has any: dataset, image_id, and found, a list of structs, each box once, sorted.

    Only boxes that have a class in the parameters of class_values(); their wnid is that class.
    """
    return f"""SELECT dataset, image_id, list_sort(list(box)) AS found FROM (
                   SELECT dataset, image_id, {{'wnid': class, 'left': "left", 'top': top, 'right': "right",
                          'bottom': bottom, 'pose': min(pose), 'truncated': bool_or(truncated),
                          'difficult': bool_or(difficult)}} AS box
                   FROM ({all_boxes(options)}) JOIN ({_CLASSES}) ON wnid = own WHERE lost IS NULL
                   GROUP BY dataset, image_id, class, "left", top, "right", bottom)
               GROUP BY dataset, image_id"""


NO_BOXES = "SELECT NULL AS dataset, NULL AS image_id, [] AS found"


def quoted(column: str) -> str:
    """A column as SQL spells it: COLUMN, or TABLE.COLUMN of a table of one's own."""
    return ".".join('"' + part.replace('"', '""') + '"' for part in column.split(".", 1))


def usable(options: Options, wnids: Iterable[str] | None = None) -> str:
    """SQL over images: whether an image has a box that can be used; of one of these classes, where they are given."""
    of = "" if wnids is None else " AND wnid IN (" + ", ".join(f"'{wnid}'" for wnid in wnids) + ")"
    found = f"SELECT (dataset, image_id) FROM ({all_boxes(options)}) WHERE lost IS NULL{of}"
    return f"(images.dataset, images.image_id) IN ({found})"


def left_out(chosen: Selection, options: Options) -> dict[str, int]:
    """How many boxes of the chosen images are left out, by the reason."""
    rows = chosen.run(
        f"""SELECT CASE WHEN lost IS NOT NULL THEN lost WHEN class IS NULL THEN 'other_class' ELSE 'same_twice' END
                       AS reason,
                   CASE WHEN reason = 'same_twice'
                        THEN count(*) - count(DISTINCT (dataset, image_id, class, "left", top, "right", bottom))
                        ELSE count(*) END AS n
            FROM ({all_boxes(options)}) JOIN (SELECT dataset, image_id FROM made WHERE left_out IS NULL)
                 USING (dataset, image_id) LEFT JOIN ({_CLASSES}) ON wnid = own
            GROUP BY reason HAVING n > 0 ORDER BY reason""",
        class_values(chosen.classes_of()),
    ).fetchall()
    return dict(rows)
