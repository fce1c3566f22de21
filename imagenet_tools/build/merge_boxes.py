"""The boxes of an index: of each image from one source, normalised by the size they refer to, and written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imagenet_tools.annotations import bbox
from imagenet_tools.build.plain import HEAD
from imagenet_tools.build.plain_files import FRAME, NAMED_CLASS, define_plain, forget
from imagenet_tools.build.stage import parquet
from imagenet_tools.schema import arrow_schema

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    import pyarrow as pa

    from imagenet_tools.build.stage import Stage

_PART = f"dataset || '-' || coalesce({HEAD}, 'nolabel')"
_ORDER = "dataset, wnid, image_id, source, file, xmin, ymin, xmax, ymax, name, flags::VARCHAR, stated_width, unit"

# What is one annotation of an image. In the whole ImageNet an image has one in each folder that boxes it, each of the
# folder's class: those that lie in the folder of another class than the image's stand beside its own.
_SCOPE = "CASE WHEN coalesce(list_contains(flags, 'folder_differs'), false) THEN wnid ELSE '' END"
_ANNOTATION = "dataset, image_id, scope, source, file, unit"

# The boxes of the whole ImageNet do not say of which release its images are: the first of these that has the image.
_UNTOLD, _TOLD = "imagenet21k", ("fall11", "winter21")

# Fractions are rounded to four digits where they were made of pixels: they are the same boxes where the sums of their
# edges, each as a fraction of its size and clipped to the image, are as near as that.
_EDGES = (("least(xmin, xmax)", "width"), ("least(ymin, ymax)", "height"),
          ("greatest(xmin, xmax)", "width"), ("greatest(ymin, ymax)", "height"))  # fmt: skip
_SHARES = f"[{', '.join(f'sum(least(greatest({edge} / stated_{side}, 0), 1))' for edge, side in _EDGES)}]"
_NEAR = "list_aggregate(list_transform(list_zip(shares, taken.shares), lambda e: abs(e[1] - e[2])), 'max') <= n * 1e-4"

_BATCH = 65_536  # rows that are normalised at once: some 20 MB


def choose_boxes(stage: Stage) -> set[str] | None:
    """Where several sources have boxes of one image, one is chosen: pixels of a stated size first, then fractions.

    Needs the view odd_images. Defines the view all_boxes, and the tables spare (annotations that are not chosen, and
    why) and chosen_counts; gives the classes, as ids have them, of the images of which these may say something else
    than before; None where no box changes, nor whether its image is here, and only chosen_counts is defined.
    """
    stage.define("given_boxes", "boxes", "unused_boxes")
    old = stage.old.paths(stage.folder, "boxes")
    if _stay(stage):
        counts = f"SELECT dataset, image_id, count(*) AS n FROM {parquet(old)} GROUP BY ALL"
        stage.sql.execute(f"CREATE TEMP TABLE chosen_counts AS {counts}")
        return None
    _adopt(stage)
    # The sum of hashes tells whether two annotations have the same boxes, in whatever order.
    stage.sql.execute(
        f"""CREATE TEMP TABLE annotations AS
            SELECT {_ANNOTATION}, count(*) AS n, max(stated_width) IS NULL AS sizeless,
                   sum(hash(xmin, ymin, xmax, ymax)::HUGEINT) AS content,
                   bool_or(coalesce(list_contains(flags, 'fractions'), false)) AS rounded, {_SHARES} AS shares
            FROM all_boxes GROUP BY {_ANNOTATION}"""
    )
    stage.sql.execute(
        f"""CREATE TEMP TABLE spare AS
            SELECT {_ANNOTATION}, CASE WHEN content = taken.content THEN 'repeated'
                                       WHEN rounded AND n = taken.n AND {_NEAR} THEN 'repeated'
                                       ELSE 'conflict' END AS reason
            FROM (SELECT *, row_number() OVER best AS place,
                         first_value({{'content': content, 'n': n, 'shares': shares}}) OVER best AS taken
                  FROM annotations SEMI JOIN (SELECT dataset, image_id, scope FROM annotations
                                              GROUP BY ALL HAVING count(*) > 1)
                       USING (dataset, image_id, scope)
                  WINDOW best AS (PARTITION BY dataset, image_id, scope ORDER BY sizeless, rounded, source, file, unit))
            WHERE place > 1"""
    )
    stage.sql.execute(
        f"""CREATE TEMP TABLE chosen_counts AS
            SELECT dataset, image_id, sum(n)::BIGINT AS n FROM annotations ANTI JOIN spare USING ({_ANNOTATION})
            GROUP BY dataset, image_id"""
    )
    stage.sql.execute("DROP TABLE annotations")
    gone = f"(FROM {parquet(old)} WHERE unit IN (FROM dropped))" if old else "(FROM given_boxes LIMIT 0)"
    changed = " UNION ALL ".join(f"SELECT image_id FROM {rows}" for rows in ("new_given_boxes", "adopted", gone))
    return {wnid for (wnid,) in stage.sql.execute(f"SELECT DISTINCT {NAMED_CLASS} FROM ({changed})").fetchall()}


def _stay(stage: Stage) -> bool:
    """Whether no box came or went, nor an image that any box, used or not, is of."""
    old = stage.old.paths(stage.folder, "boxes")
    if not old or any("boxes" in part.tables for part in stage.parts.values()):
        return False
    boxes = parquet([*old, *stage.old.paths(stage.folder, "unused_boxes")])
    images = [path for table in ("images", "copies") for path in stage.old.paths(stage.folder, table)]
    stage.sql.register("new_ids", stage.new("images").select(["image_id"]))
    gone = f" UNION ALL SELECT image_id FROM {parquet(images)} WHERE unit IN (FROM dropped)" * bool(images)
    query = f"""SELECT count(*) = 0 FROM (SELECT image_id, unit FROM {boxes})
                WHERE unit IN (FROM dropped) OR image_id IN (FROM new_ids{gone * bool(stage.dropped)})"""
    return bool(stage.sql.execute(query).fetchall()[0][0])


def keep_boxes(stage: Stage) -> None:
    """Take over the boxes of the generation before."""
    for table in ("boxes", "unused_boxes"):
        stage.keep(table)
        stage.view(table)


def _adopt(stage: Stage) -> None:
    """Define all_boxes: those of the whole ImageNet, release untold, belong to the release whose images are here."""
    stage.sql.execute("CREATE TEMP TABLE adopted (image_id VARCHAR, home VARCHAR)")
    untold = f"SELECT DISTINCT image_id FROM given_boxes WHERE dataset = '{_UNTOLD}'"
    if stage.sql.execute(f"{untold} LIMIT 1").fetchall():
        releases = (*_TOLD, _UNTOLD)
        named = f"SELECT DISTINCT {NAMED_CLASS} FROM ({untold}) WHERE image_id LIKE 'n%'"
        classes = stage.sql.execute(named).fetchall()
        define_plain(stage, "likely_images", {(release, wnid) for release in releases for (wnid,) in classes})
        stage.sql.execute(
            f"""INSERT INTO adopted
                SELECT image_id, min(dataset) FROM (SELECT dataset, image_id FROM odd_images UNION ALL
                                                    SELECT dataset, image_id FROM likely_images)
                SEMI JOIN ({untold}) USING (image_id) WHERE dataset IN {releases!r}
                GROUP BY image_id HAVING max(dataset = '{_UNTOLD}') = false"""
        )
        forget(stage, "likely_images")
    stage.sql.execute(
        f"""CREATE TEMP VIEW all_boxes AS
            SELECT b.* REPLACE (CASE WHEN b.dataset = '{_UNTOLD}' THEN coalesce(a.home, b.dataset)
                                     ELSE b.dataset END AS dataset), {_SCOPE} AS scope
            FROM given_boxes AS b LEFT JOIN adopted AS a USING (image_id)"""
    )


def merge_boxes(stage: Stage, files: Iterable[Path]) -> None:
    """Write the boxes of the images that are here, and keep the others aside. SourceError: a box contradicts a label.

    Needs the table frames of the images with boxes, but for those in these files, and choose_boxes() before it.
    """
    if files:
        columns = ", ".join(FRAME)
        stage.sql.execute(f"INSERT INTO frames SELECT {columns} FROM {parquet(files)} WHERE n_boxes > 0")
    stage.sql.execute(
        f"""CREATE TEMP TABLE placed AS
            SELECT *, CASE WHEN reason IS NULL THEN {_PART} ELSE '' END AS part FROM (
            SELECT b.* EXCLUDE (scope) REPLACE (coalesce(b.wnid, f.wnid) AS wnid), width, height,
                   CASE WHEN spare.reason IS NULL AND f.image_id IS NULL THEN 'no_image' ELSE spare.reason END AS reason
            FROM all_boxes AS b LEFT JOIN spare USING ({_ANNOTATION})
            LEFT JOIN frames AS f USING (dataset, image_id))"""
    )
    stage.refuse(
        "have a box of another class than their label",
        "The annotations and the images are not of one release, or one is damaged: leave one out.",
        f"""SELECT image_id, source || ' has a box of ' || b.wnid AS found, 'the image is ' || f.wnid AS expected
            FROM (FROM all_boxes ANTI JOIN spare USING ({_ANNOTATION})) AS b JOIN frames AS f USING (dataset, image_id)
            WHERE b.wnid <> f.wnid AND image_id LIKE 'ILSVRC%_val_%'""",
    )
    # Part by part: to sort all at once takes a gigabyte for each million of boxes.
    parts = f"SELECT part FROM placed WHERE reason IS NULL GROUP BY part ORDER BY min(dataset), min({HEAD}), part"
    for (part,) in stage.sql.execute(parts).fetchall():
        stage.write_rows("boxes", part, _sorted(stage, "boxes", part))
    stage.write_rows("unused_boxes", "all", _sorted(stage, "unused_boxes", ""))
    stage.sql.execute("DROP TABLE placed")
    stage.view("boxes")
    stage.view("unused_boxes")


def _sorted(stage: Stage, table: str, part: str) -> Iterator[pa.RecordBatch]:
    """The boxes of a part in their order, normalised."""
    rows = stage.sql.sql(f"FROM placed WHERE part = $part ORDER BY {_ORDER}", params={"part": part})
    for batch in rows.arrow(_BATCH):
        yield normalised(batch, table)


def normalised(rows: pa.RecordBatch, table: str) -> pa.RecordBatch:
    """Rows of boxes with their normalised values and all their flags; needs the image's width and height."""
    import numpy as np
    import pyarrow as pa

    edges = ("xmin", "ymin", "xmax", "ymax")
    sizes = ("stated_width", "stated_height", "width", "height")
    done = bbox.normalise(*(_numbers(rows[name]) for name in (*edges, *sizes)))
    bits = done.bits | _known(rows["flags"])
    kinds, places = np.unique(bits, return_inverse=True)
    words = pa.array([bbox.in_words(kind) for kind in kinds.tolist()], pa.list_(pa.string()))
    made = {
        # nan, what cannot be used, becomes null.
        **{f"n{name}": pa.array(values, from_pandas=True) for name, values in zip(edges, done[:4], strict=True)},
        "flags": words.take(pa.array(places)),
    }
    schema = arrow_schema(table)
    return pa.RecordBatch.from_arrays(
        [made[name] if name in made else rows[name] for name in schema.names], schema=schema
    )


def _numbers(column: pa.Array) -> bbox.Floats:
    """A column as numbers, nan for null."""
    import pyarrow as pa

    found: bbox.Floats = column.cast(pa.float64()).fill_null(float("nan")).to_numpy()
    return found


def _known(column: pa.Array) -> bbox.Bits:
    """The flags that the readers gave, as bits: those that normalise() gives are made anew."""
    import numpy as np

    bits = np.zeros(len(column), np.int64)
    lengths = column.value_lengths().fill_null(0).to_numpy()
    for n in np.flatnonzero(lengths).tolist():
        bits[n] = bbox.in_bits(flag for flag in column[n].as_py() if flag not in bbox.COMPUTED)
    return bits
