"""Merge the boxes of an index: choose one source for each image, normalise, write the files."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from imagenet_tools.annotations import bbox
from imagenet_tools.build.plain import HEAD, NAMED_CLASS, plain_images
from imagenet_tools.build.stage import DROPPED, parquet
from imagenet_tools.schema import arrow_schema

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from imagenet_tools.build.plain import OddImages
    from imagenet_tools.build.stage import Relation, Stage
    from imagenet_tools.store.layout import FileEntry

_PART = f"dataset || '-' || coalesce({HEAD}, 'nolabel')"
_ORDER = "dataset, wnid, image_id, source, file, xmin, ymin, xmax, ymax, name, flags::VARCHAR, stated_width, unit"

# SQL: the key of one annotation of an image. The whole ImageNet annotates an image once in each class folder that boxes
# it. An annotation in the folder of another class than the image's is kept beside that of its own class.
_SCOPE = "CASE WHEN coalesce(list_contains(flags, 'folder_differs'), false) THEN wnid ELSE '' END"
_ANNOTATION = "dataset, image_id, scope, source, file, unit"

# The boxes of the whole ImageNet do not name a release: they belong to the first of these that has the image.
_NO_RELEASE = "imagenet21k"
_RELEASES = ("fall11", "winter21", _NO_RELEASE)

# Fractions made from pixels are rounded to four digits. Two annotations are the same boxes if the sums of their edges
# differ by at most 1e-4 a box. Each edge is a fraction of the stated size, clipped to the image.
_EDGES = (
    ("least(xmin, xmax)", "width"),
    ("least(ymin, ymax)", "height"),
    ("greatest(xmin, xmax)", "width"),
    ("greatest(ymin, ymax)", "height"),
)
_SHARES = f"[{', '.join(f'sum(least(greatest({edge} / stated_{side}, 0), 1))' for edge, side in _EDGES)}]"
_NEAR = "list_aggregate(list_transform(list_zip(shares, taken.shares), lambda e: abs(e[1] - e[2])), 'max') <= n * 1e-4"

_BATCH_BOXES = 65_536  # rows that are normalised at a time: about 20 MB


class ChosenBoxes(NamedTuple):
    """The boxes of a merge, and which of them are used."""

    counts: Relation  # table (dataset, image_id, n) of the boxes that are used
    changed: set[str] | None  # classes, as ids name them, whose counts may change; None: no box changes
    boxes: Relation | None = None  # view of all boxes, with `scope`
    spare: Relation | None = None  # table of the annotations that are not used, with the reason


def choose_boxes(stage: Stage, odd: OddImages) -> ChosenBoxes:
    """Choose the annotation of each image: pixels of a stated size first, then pixels, then fractions.

    If no box changed, nor whether its image is in the index, only `counts` is made.
    """
    old = stage.old_paths("boxes")
    if not stage.has_rows("boxes", "unused_boxes"):
        return ChosenBoxes(
            stage.table("SELECT NULL::VARCHAR AS dataset, NULL::VARCHAR AS image_id, 0 AS n LIMIT 0"), None
        )
    if _unchanged(stage):
        counts = stage.table(f"SELECT dataset, image_id, count(*) AS n FROM {parquet(old)} GROUP BY ALL")
        return ChosenBoxes(counts, None)
    rows = stage.rows("boxes", None, stage.old_paths("boxes", "unused_boxes"))
    adopted = _adopted(stage, odd, rows.all)
    boxes = stage.view(
        f"""SELECT b.* REPLACE (CASE WHEN b.dataset = '{_NO_RELEASE}' THEN coalesce(a.home, b.dataset)
                                     ELSE b.dataset END AS dataset), {_SCOPE} AS scope
            FROM {rows.all} AS b LEFT JOIN {adopted} AS a USING (image_id)"""
    )
    # The sum of hashes is equal for two annotations with the same boxes in any order.
    annotations = stage.table(
        f"""SELECT {_ANNOTATION}, count(*) AS n, max(stated_width) IS NULL AS sizeless,
                   sum(hash(xmin, ymin, xmax, ymax)::HUGEINT) AS content,
                   bool_or(coalesce(list_contains(flags, 'fractions'), false)) AS rounded, {_SHARES} AS shares
            FROM {boxes} GROUP BY {_ANNOTATION}"""
    )
    spare = stage.table(
        f"""SELECT {_ANNOTATION}, CASE WHEN content = taken.content THEN 'repeated'
                                       WHEN rounded AND n = taken.n AND {_NEAR} THEN 'repeated'
                                       ELSE 'conflict' END AS reason
            FROM (SELECT *, row_number() OVER best AS place,
                         first_value({{'content': content, 'n': n, 'shares': shares}}) OVER best AS taken
                  FROM {annotations} SEMI JOIN (SELECT dataset, image_id, scope FROM {annotations}
                                                GROUP BY ALL HAVING count(*) > 1)
                       USING (dataset, image_id, scope)
                  WINDOW best AS (PARTITION BY dataset, image_id, scope ORDER BY sizeless, rounded, source, file, unit))
            WHERE place > 1"""
    )
    counts = stage.table(
        f"""SELECT dataset, image_id, sum(n)::BIGINT AS n FROM {annotations} ANTI JOIN {spare} USING ({_ANNOTATION})
            GROUP BY dataset, image_id"""
    )
    stage.drop(annotations)
    dropped = f"(FROM {parquet(old)} WHERE {DROPPED})" if old else f"(FROM {rows.all} LIMIT 0)"
    changed = " UNION ALL ".join(f"SELECT image_id FROM {relation}" for relation in (rows.new, adopted, dropped))
    classes = {wnid for (wnid,) in stage.fetch(f"SELECT DISTINCT {NAMED_CLASS} FROM ({changed})")}
    return ChosenBoxes(counts, classes, boxes, spare)


def _unchanged(stage: Stage) -> bool:
    """Return True if no box was added or dropped, nor an image of any box, used or not."""
    if not stage.old_paths("boxes") or any("boxes" in part.tables for part in stage.parts.values()):
        return False
    images = stage.old_paths("images", "copies")
    ids = f"FROM {stage.arrow(stage.new('images').select(['image_id']))}"
    if images and stage.dropped:
        ids += f" UNION ALL SELECT image_id FROM {parquet(images)} WHERE {DROPPED}"
    boxes = parquet(stage.old_paths("boxes", "unused_boxes"))
    ((unchanged,),) = stage.fetch(
        f"""SELECT count(*) = 0 FROM (SELECT image_id, unit FROM {boxes}) WHERE {DROPPED} OR image_id IN ({ids})"""
    )
    return bool(unchanged)


def _adopted(stage: Stage, odd: OddImages, boxes: Relation) -> Relation:
    """Return a table (image_id, home): the release of each image that has boxes without a release."""
    ids = f"SELECT DISTINCT image_id FROM {boxes} WHERE dataset = '{_NO_RELEASE}'"
    adopted = stage.table("SELECT NULL::VARCHAR AS image_id, NULL::VARCHAR AS home LIMIT 0")
    if stage.fetch(f"{ids} LIMIT 1"):
        classes = stage.fetch(f"SELECT DISTINCT {NAMED_CLASS} FROM ({ids}) WHERE image_id LIKE 'n%'")
        likely = plain_images(stage, odd, {(release, wnid) for release in _RELEASES for (wnid,) in classes})
        stage.sql.execute(
            f"""INSERT INTO {adopted}
                SELECT image_id, min(dataset) FROM (SELECT dataset, image_id FROM {odd.rows.all} UNION ALL
                                                    SELECT dataset, image_id FROM {likely.all})
                SEMI JOIN ({ids}) USING (image_id) WHERE dataset IN {_RELEASES!r}
                GROUP BY image_id HAVING max(dataset = '{_NO_RELEASE}') = false"""
        )
        stage.drop(likely.all, likely.new)
    return adopted


def merge_boxes(stage: Stage, chosen: ChosenBoxes, images: Relation) -> dict[str, list[FileEntry]]:
    """Write the boxes of the images in the index, and the others to unused_boxes. Return the files by table.

    Args:
        stage: The merge.
        chosen: The boxes of choose_boxes(), with changes.
        images: View of the images of the next index.

    Raises:
        SourceError: A box of a validation image is of another class than its label.
    """
    frames = stage.table(f"SELECT dataset, image_id, wnid, width, height, orientation FROM {images} WHERE n_boxes > 0")
    placed = stage.table(
        f"""SELECT *, CASE WHEN reason IS NULL THEN {_PART} ELSE '' END AS part FROM (
            SELECT b.* EXCLUDE (scope) REPLACE (coalesce(b.wnid, f.wnid) AS wnid), width, height, orientation,
                   CASE WHEN spare.reason IS NULL AND f.image_id IS NULL THEN 'no_image' ELSE spare.reason END AS reason
            FROM {chosen.boxes} AS b LEFT JOIN {chosen.spare} AS spare USING ({_ANNOTATION})
            LEFT JOIN {frames} AS f USING (dataset, image_id))"""
    )
    stage.refuse(
        "have a box of another class than their label",
        "The annotations and the images are not of one release, or one is damaged: leave one out.",
        f"""SELECT image_id, source || ' has a box of ' || b.wnid AS found, 'the image is ' || f.wnid AS expected
            FROM (FROM {chosen.boxes} ANTI JOIN {chosen.spare} USING ({_ANNOTATION})) AS b
            JOIN {frames} AS f USING (dataset, image_id)
            WHERE b.wnid <> f.wnid AND image_id LIKE 'ILSVRC%_val_%'""",
    )
    # Sorting all boxes at once takes 1 GB a million boxes, so they are sorted part by part.
    parts = f"SELECT part FROM {placed} WHERE reason IS NULL GROUP BY part ORDER BY min(dataset), min({HEAD}), part"
    boxes: list[FileEntry] = []
    for (part,) in stage.fetch(parts):
        boxes += stage.write_rows("boxes", part, _sorted(stage, placed, "boxes", part))
    unused = stage.write_rows("unused_boxes", "all", _sorted(stage, placed, "unused_boxes", ""))
    stage.drop(placed, frames)
    return {"boxes": boxes, "unused_boxes": unused}


def _sorted(stage: Stage, placed: Relation, table: str, part: str) -> Iterator[pa.RecordBatch]:
    """Yield the boxes of a part in order, normalised."""
    rows = stage.sql.sql(f"FROM {placed} WHERE part = $part ORDER BY {_ORDER}", params={"part": part})
    for batch in rows.arrow(_BATCH_BOXES):
        yield _normalised(batch, table)


def _normalised(rows: pa.RecordBatch, table: str) -> pa.RecordBatch:
    """Return rows of boxes with normalised edges and all flags. They need the image's size and orientation."""
    import numpy as np
    import pyarrow as pa

    edges = ("xmin", "ymin", "xmax", "ymax")
    frame = ("stated_width", "stated_height", "width", "height", "orientation")
    numbers = (rows[name].cast(pa.float64()).fill_null(float("nan")).to_numpy() for name in (*edges, *frame))
    boxes = bbox.normalise(*numbers)
    kinds, places = np.unique(boxes.bits | _reader_flags(rows["flags"]), return_inverse=True)
    words = pa.array([bbox.in_words(kind) for kind in kinds.tolist()], pa.list_(pa.string()))
    columns = dict(zip(rows.schema.names, rows.columns, strict=True))
    columns["flags"] = words.take(pa.array(places))
    for name, values in zip(edges, boxes[:4], strict=True):
        columns[f"n{name}"] = pa.array(values, from_pandas=True)  # nan, an unusable edge, becomes null
    schema = arrow_schema(table)
    return pa.RecordBatch.from_arrays([columns[name] for name in schema.names], schema=schema)


def _reader_flags(column: pa.Array) -> bbox.Bits:
    """Return the flags of the readers as bits, without those that normalise() computes again."""
    import numpy as np

    bits = np.zeros(len(column), np.int64)
    lengths = column.value_lengths().fill_null(0).to_numpy()
    for n in np.flatnonzero(lengths).tolist():
        bits[n] = bbox.in_bits(flag for flag in column[n].as_py() if flag not in bbox.COMPUTED)
    return bits
