"""Images of one key with other bytes: which of them is kept, which copies are flagged, and when a build stops.

Two rows of one key differ if their lengths or their widths and heights differ, and with --hash if their bytes do. The
choice between them depends on no name. The first of these rules that decides is applied: an image that can be decoded
to its end, the one that the index has already, the larger raster, one that no converter encoded again, more bytes,
the lower digest.
"""

from __future__ import annotations

import hashlib
import warnings
from typing import TYPE_CHECKING, Any

from imagenet_tools.build.stage import parquet
from imagenet_tools.containers import payload
from imagenet_tools.containers.gzip_stream import part_of
from imagenet_tools.containers.payload import Place
from imagenet_tools.errors import FormatError, ImagenetToolsError, SourceError
from imagenet_tools.images import probe
from imagenet_tools.storage.blob import Descriptors
from imagenet_tools.storage.files import inside

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pyarrow as pa

    from imagenet_tools.build.stage import Stage

# A build stops where more than this share of a source's images differ.
_MOST_PERCENT = 1
_NAMED = 3  # images that the error names
_BATCH = 1_000  # images whose places are Python objects at a time

_KEY = "dataset, image_id"
# Where an image is, as a number: the same in two generations of the index.
_SPOT = 'hash(source, file, member, "offset", position, length)'
_WRAPPED = "coalesce(compression LIKE '%gzip', false)"
_RASTER = "width::BIGINT * 4294967296 + height"

# What says that a converter encoded an image again.
_CONVERTED = ("reencoded", "resized")

_READING_ORDER = """source, file, CASE WHEN compression LIKE 'tar.gz%' THEN split_part(member, '.tar', 1) END,
                    coalesce("offset", position), row"""


def choose(stage: Stage, before: dict[str, list[Path]], visitors: str) -> bool:
    """Define the table ranked: place and other_bytes of the rows of `settled` that are one image with other bytes.

    Needs the tables settled (the rows of a part) and misfiled, and the view all_problems.

    Args:
        stage: The merge.
        before: The files of this part in the generation before, by table.
        visitors: SQL of rows of other parts that the rows of this part are compared with.

    Returns:
        False if too many images of a source differ: the table is not made, and refuse_many() will raise.

    Raises:
        SourceError: The same, as soon as there are enough images to name.
    """
    copies, images = before.get("copies"), before.get("images")
    flagged = f"SELECT {_SPOT} FROM {parquet(copies)} WHERE other_bytes" if copies else "SELECT 0::UBIGINT LIMIT 0"
    rows = f"""(SELECT rowid AS row, * FROM settled
                UNION ALL BY NAME SELECT -1 - row_number() OVER () AS row, * FROM ({visitors}) SEMI JOIN settled
                                  USING ({_KEY}))"""
    suspect = f"min(length) <> max(length) OR min({_RASTER}) <> max({_RASTER}) OR bool_or({_WRAPPED})"
    stage.sql.execute(
        f"""CREATE OR REPLACE TEMP TABLE compared AS
            SELECT row, {_KEY}, source, file, member, "offset", position, length, compression, width, height, unit,
                   m.wnid IS NOT NULL AS elsewhere, {_SPOT} IN ({flagged}) AS flagged
            FROM {rows} LEFT JOIN misfiled AS m USING ({_KEY}, wnid)
            SEMI JOIN (SELECT {_KEY} FROM {rows} GROUP BY ALL HAVING count(*) > 1 AND (
                           {stage.by_hash} OR {suspect} OR bool_or({_SPOT} IN ({flagged})))) USING ({_KEY})"""
    )
    _read(stage, "opened", "FROM compared" if stage.by_hash else f"FROM compared WHERE {_WRAPPED}", decode=False)
    stage.sql.execute(
        f"""CREATE OR REPLACE TEMP TABLE sized AS
            SELECT c.*, {_RASTER} AS raster, CASE WHEN {_WRAPPED} THEN o.size ELSE length END AS size
            FROM compared AS c LEFT JOIN opened AS o USING (row)"""
    )
    stage.sql.execute(
        f"""CREATE OR REPLACE TEMP TABLE differing AS
            FROM sized SEMI JOIN (SELECT {_KEY} FROM sized LEFT JOIN opened USING (row) GROUP BY ALL HAVING
                min(sized.size) <> max(sized.size) OR min(raster) <> max(raster) OR min(digest) <> max(digest)
                OR bool_or(flagged)) USING ({_KEY})"""
    )
    stage.sql.execute("CREATE TEMP TABLE IF NOT EXISTS differing_so_far AS FROM differing LIMIT 0")
    stage.sql.execute(
        f"""INSERT INTO differing_so_far FROM differing
            SEMI JOIN (SELECT {_KEY} FROM differing GROUP BY ALL HAVING count(DISTINCT unit) > 1) USING ({_KEY})"""
    )
    if refuse_many(stage, least=_NAMED):
        return False
    _read(stage, "opened", "FROM differing", decode=True)
    indexed = f"{_SPOT} IN (SELECT {_SPOT} FROM {parquet(images)})" if images else "false"
    converted = f"""EXISTS (FROM all_problems AS p WHERE p.code IN {_CONVERTED!r} AND p.source = d.source
                            AND p.file = d.file AND p.image_id = d.image_id)"""
    stage.sql.execute(
        f"""CREATE OR REPLACE TEMP TABLE ranked AS
            SELECT row, place, coalesce(size <> kept.size, false) OR coalesce(raster <> kept.raster, false)
                               OR coalesce(digest <> kept.digest, flagged AND kept.indexed) AS other_bytes
            FROM (SELECT *, row_number() OVER best AS place,
                         first_value({{'size': size, 'raster': raster, 'digest': digest, 'indexed': indexed}})
                             OVER best AS kept
                  FROM (SELECT d.*, o.digest, o.whole, {indexed} AS indexed, {converted} AS converted
                        FROM differing AS d LEFT JOIN opened AS o USING (row))
                  WINDOW best AS (PARTITION BY {_KEY} ORDER BY
                      elsewhere, whole IS NOT DISTINCT FROM false, NOT indexed, width::BIGINT * height DESC NULLS LAST,
                      converted, size DESC NULLS LAST, digest NULLS LAST,
                      "offset" IS NULL, source, file, "offset", member, position))
            WHERE row >= 0"""
    )
    return True


def _read(stage: Stage, table: str, query: str, *, decode: bool) -> None:
    """Define a table of row, size, digest and whole of the images of a query, from their bytes; null if unreadable."""
    import pyarrow as pa

    form = pa.schema([("row", pa.int64()), ("size", pa.int64()), ("digest", pa.string()), ("whole", pa.bool_())])
    rows = stage.sql.sql(f"FROM ({query}) ORDER BY {_READING_ORDER}").to_arrow_table()
    facts = list(_facts(stage, rows, decode=decode))
    stage.sql.register("facts", pa.Table.from_batches(facts, form))
    stage.sql.execute(f"CREATE OR REPLACE TEMP TABLE {table} AS FROM facts")
    stage.sql.unregister("facts")


def _facts(stage: Stage, rows: pa.Table, *, decode: bool) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa

    points = {entry.part: stage.folder / entry.file for entry in stage.tables.get("seek_points", [])}
    with Descriptors() as files:
        for batch in rows.to_batches(max_chunksize=_BATCH):
            images = [_bytes(stage, row, points, files) for row in batch.to_pylist()]
            columns = [
                batch["row"],
                pa.array([None if data is None else len(data) for data in images], pa.int64()),
                pa.array([None if data is None else hashlib.sha256(data).hexdigest() for data in images], pa.string()),
                pa.array([_is_whole(data) if decode and data is not None else None for data in images], pa.bool_()),
            ]
            yield pa.RecordBatch.from_arrays(columns, ["row", "size", "digest", "whole"])


def _bytes(stage: Stage, row: dict[str, Any], points: dict[str, Path], files: Descriptors) -> bytes | None:
    """The bytes of an image, or None if its source is not there, or is not as it was indexed."""
    source, file = row["source"], row["file"]
    if source not in stage.roots:
        return None
    try:
        where = {name: row[name] for name in ("offset", "length", "member", "position", "compression")}
        place = Place(inside(stage.roots[source], file), **where, points=points.get(part_of(source, file)))
        return payload.read(place, files)
    except (OSError, ImagenetToolsError):
        return None


def _is_whole(data: bytes) -> bool | None:
    """Whether an image can be decoded to its end; None if Pillow does not read its kind."""
    try:
        with warnings.catch_warnings(action="ignore"):
            probe.rgb(data)
    except FormatError as error:
        return None if error.code in ("too_many_pixels", "unsupported") else False
    return True


def refuse_many(stage: Stage, *, least: int = 0) -> bool:
    """Return whether too many images of a source differ in the parts so far, or raise SourceError.

    The counts only grow, so a source that exceeds the share in some parts does so in all.

    Args:
        stage: The merge.
        least: How many of the images must be known to raise.
    """
    counts = stage.sql.execute(
        """SELECT source, count(*), sum(length), list(DISTINCT unit) FROM differing_so_far WHERE row >= 0
           GROUP BY source"""
    ).fetchall()
    many = [
        (not any(unit in stage.parts for unit in units), -n / max(stage.n_images.get(source, 0), 1), size, source, n)
        for source, n, size, units in counts
        if n * 100 > stage.n_images.get(source, 0) * _MOST_PERCENT
    ]
    if not many:
        return False
    # A source that this build brings, with the largest share; of two alike the one with fewer bytes.
    *_, source, n = min(many)
    if n < least:
        return True
    raise SourceError(_message(stage, source))


def _message(stage: Stage, source: str) -> str:
    pairs = stage.sql.execute(
        f"""SELECT DISTINCT ON (a.image_id) a.image_id, {size_of("a")}, {place_of("a")}, {size_of("b")}, {place_of("b")}
            FROM differing_so_far AS a JOIN differing_so_far AS b USING ({_KEY})
            WHERE a.source = $source AND a.row >= 0 AND a.unit <> b.unit
            ORDER BY a.image_id, (a.size, a.raster) IS NOT DISTINCT FROM (b.size, b.raster), b.source, b.file, b.row
            LIMIT {_NAMED}""",
        {"source": source},
    ).fetchall()
    named = "\n".join(
        f"  {image_id}: {size} in {place}, but {other} in {other_place}"
        for image_id, size, place, other, other_place in pairs
    )
    n = stage.n_images.get(source, 0)
    return (
        f"More than {_MOST_PERCENT} % of the {n:,} images of the source {source} have other bytes than another image "
        f"of the same name and data set; nothing was indexed.\n{named}\nIf one of the two is a data set of its own "
        "(resized, corrupted, drawn), index it under another name: imagenet-tools build-index PATH --dataset NAME. "
        "If one is damaged, leave it out."
    )


def size_of(row: str) -> str:
    """SQL: the length of an image in bytes, and its width and height where they are known."""
    return f"format('{{:,}}', {row}.length) || ' bytes' || coalesce(', ' || {row}.width || ' x ' || {row}.height, '')"


def place_of(row: str) -> str:
    """SQL: the source, the file and the member that an image is."""
    return f"{row}.source || ', ' || {row}.file || coalesce('/' || {row}.member, '')"
