"""The boxes of an index: of each image from one source, normalised by the size they refer to, and written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imagenet_tools import bbox

if TYPE_CHECKING:
    from imagenet_tools.stage import Stage

_BOX_PART = "dataset || '-' || coalesce(left(wnid, 3), 'nolabel')"


def choose_boxes(stage: Stage) -> None:
    """Where several sources have boxes of one image, one is chosen: those that state a size first."""
    stage.define("all_boxes", "boxes", "unused_boxes")
    stage.sql.execute(
        """CREATE TEMP TABLE annotations AS
           SELECT dataset, image_id, source, file, count(*) AS n,
                  list_sort(list((xmin, ymin, xmax, ymax)))::VARCHAR AS content,
                  row_number() OVER (PARTITION BY dataset, image_id
                                     ORDER BY max(stated_width) IS NULL, source, file) AS place
           FROM all_boxes GROUP BY dataset, image_id, source, file"""
    )
    stage.sql.execute("CREATE TEMP TABLE chosen_counts AS SELECT dataset, image_id, n FROM annotations WHERE place = 1")


def merge_boxes(stage: Stage) -> None:
    """Write the boxes of the images that are here, and keep the others aside. SourceError: a box contradicts a label.

    Needs the view images, and choose_boxes() before it.
    """
    import pyarrow as pa

    found = stage.sql.sql(
        """SELECT b.* REPLACE (coalesce(b.wnid, i.wnid) AS wnid), i.width, i.height,
                  CASE WHEN a.place = 1 AND i.image_id IS NULL THEN 'no_image'
                       WHEN a.place = 1 THEN NULL
                       WHEN a.content = first.content THEN 'repeated' ELSE 'conflict' END AS reason,
                  i.wnid AS image_wnid
           FROM all_boxes b
           JOIN annotations a USING (dataset, image_id, source, file)
           JOIN annotations first ON first.dataset = b.dataset AND first.image_id = b.image_id AND first.place = 1
           LEFT JOIN images i ON i.dataset = b.dataset AND i.image_id = b.image_id
           ORDER BY ALL"""
    ).to_arrow_table()
    columns = ("xmin", "ymin", "xmax", "ymax", "stated_width", "stated_height", "width", "height")
    done = bbox.normalise(*(found[name].cast(pa.float64()).fill_null(float("nan")).to_numpy() for name in columns))
    edges = {"nxmin": done.left, "nymin": done.top, "nxmax": done.right, "nymax": done.bottom}
    for name, values in edges.items():
        edge = pa.array(values, from_pandas=True)  # nan, what cannot be used, becomes null
        found = found.set_column(found.column_names.index(name), name, edge)
    known = [[flag for flag in flags or () if flag not in bbox.COMPUTED] for flags in found["flags"].to_pylist()]
    flags = pa.array([[*old, *new] for old, new in zip(known, done.flags, strict=True)], pa.list_(pa.string()))
    found = found.set_column(found.column_names.index("flags"), "flags", flags)
    stage.sql.register("done_boxes", found)
    stage.refuse(
        "have a box of another class than their label",
        "The annotations and the images are not of one release, or one is damaged: leave one out.",
        """SELECT image_id, source || ' has a box of ' || wnid AS found, 'the image is ' || image_wnid AS expected
           FROM done_boxes WHERE reason IS NULL AND wnid <> image_wnid AND image_id LIKE 'ILSVRC%_val_%'""",
    )
    order = "dataset, wnid, image_id, source, file, xmin, ymin, xmax, ymax, name, flags::VARCHAR"
    parts = stage.sql.execute(f"SELECT DISTINCT {_BOX_PART} AS part FROM done_boxes WHERE reason IS NULL ORDER BY 1")
    for (part,) in parts.fetchall():
        rows = f"FROM done_boxes WHERE reason IS NULL AND {_BOX_PART} = '{part}'"
        stage.write("boxes", part, f"{rows} ORDER BY {order}")
    stage.write("unused_boxes", "all", f"FROM done_boxes WHERE reason IS NOT NULL ORDER BY {order}")
    stage.view("boxes")
