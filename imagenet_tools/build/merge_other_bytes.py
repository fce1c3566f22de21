"""Choose between images of one key with other bytes: which is kept, which copies are flagged, when a build stops.

Two rows of one key differ if their lengths or their widths and heights differ, and with --hash if their bytes do. The
choice between them depends on no name. The first of these rules that decides is applied:

1. an image that can be decoded to its end
2. the image that the index has already
3. the larger raster
4. an image that no converter encoded again
5. more bytes
6. the lower digest
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
    from collections.abc import Sequence
    from pathlib import Path

    from imagenet_tools.build.stage import Relation, Stage
    from imagenet_tools.store.layout import FileEntry

# A build stops if more of a source's images differ.
_MAX_DIFFERING_PERCENT = 1
_MAX_NAMED_IMAGES = 3
_BATCH_IMAGES = 1_000  # images whose rows are Python objects at a time

_KEY = "dataset, image_id"
# SQL: the place of an image as a number, the same in two generations of the index.
_SPOT = 'hash(source, file, member, "offset", position, length)'
# Images whose lengths do not tell them apart.
_COMPRESSED = "coalesce(compression LIKE '%gzip' OR compression IN ('planar', 'interleaved', 'npz'), false)"
_RASTER = "width::BIGINT * 4294967296 + height"

# Codes of problems that mean a converter encoded the image again.
_CONVERTED = ("reencoded", "resized")

_READING_ORDER = """source, file, CASE WHEN compression LIKE 'tar.gz%' THEN split_part(member, '.tar', 1) END,
                    coalesce("offset", position), row"""

# Columns of the differing rows of all parts.
_DIFFERING = f"{_KEY}, source, file, member, unit, length, width, height"


class OtherBytes:
    """The comparison of a merge's images of one key, part by part."""

    def __init__(self, stage: Stage, misfiled: Relation, problems: Relation, seek_points: Sequence[FileEntry]):
        """Start a comparison.

        Args:
            stage: The merge.
            misfiled: Table (dataset, image_id, wnid) of images that are in another class's folder and in their own.
            problems: View of the problems of all units.
            seek_points: Files of the seek points of the next index.
        """
        self._stage = stage
        self._misfiled = misfiled
        self._problems = problems
        self._points = {entry.part: stage.folder / entry.file for entry in seek_points}
        no_images = stage.written_rows("images", [])
        self._differing = stage.table(  # in all parts so far
            f"SELECT 0::BIGINT AS row, {_DIFFERING}, 0::BIGINT AS raster, 0::BIGINT AS size FROM {no_images}"
        )

    def rank(self, settled: Relation, images: Sequence[Path], copies: Sequence[Path], visitors: str) -> Relation | None:
        """Compare the rows of one part that are one image.

        Args:
            settled: Table of the rows of the part.
            images: Old files of images of the part.
            copies: Old files of copies of the part.
            visitors: Query of rows of other parts to compare the rows with.

        Returns:
            A table (row, place, other_bytes) of the rows that differ; `row` is the rowid in `settled`. None if too
            many images of a source differ: refuse_many() will raise when all parts are compared.

        Raises:
            SourceError: Too many images of a source differ, and there are enough to name.
        """
        stage = self._stage
        compared = self._compared(settled, copies, visitors)
        opened = self._read(f"FROM {compared}" if stage.by_hash else f"FROM {compared} WHERE {_COMPRESSED}")
        sized = stage.table(
            f"""SELECT c.*, {_RASTER} AS raster, CASE WHEN {_COMPRESSED} THEN o.size ELSE length END AS size
                FROM {compared} AS c LEFT JOIN {opened} AS o USING (row)"""
        )
        differing = stage.table(
            f"""FROM {sized} SEMI JOIN (
                    SELECT {_KEY} FROM {sized} AS sized LEFT JOIN {opened} USING (row) GROUP BY ALL HAVING
                        min(sized.size) <> max(sized.size) OR min(raster) <> max(raster)
                        OR min(digest) <> max(digest) OR bool_or(flagged)) USING ({_KEY})"""
        )
        stage.sql.execute(
            f"""INSERT INTO {self._differing} BY NAME
                SELECT row, {_DIFFERING}, raster, size FROM {differing}
                SEMI JOIN (SELECT {_KEY} FROM {differing} GROUP BY ALL HAVING count(DISTINCT unit) > 1) USING ({_KEY})
            """
        )
        if self.refuse_many(least=_MAX_NAMED_IMAGES):
            return None
        opened = self._read(f"FROM {differing}", decode=True)
        indexed = f"{_SPOT} IN (SELECT {_SPOT} FROM {parquet(images)})" if images else "false"
        converted = f"""EXISTS (FROM {self._problems} AS p WHERE p.code IN {_CONVERTED!r} AND p.source = d.source
                                AND p.file = d.file AND p.image_id = d.image_id)"""
        return stage.table(
            f"""SELECT row, place, coalesce(size <> kept.size, false) OR coalesce(raster <> kept.raster, false)
                                   OR coalesce(digest <> kept.digest, flagged AND kept.indexed) AS other_bytes
                FROM (SELECT *, row_number() OVER best AS place,
                             first_value({{'size': size, 'raster': raster, 'digest': digest, 'indexed': indexed}})
                                 OVER best AS kept
                      FROM (SELECT d.*, o.digest, o.whole, {indexed} AS indexed, {converted} AS converted
                            FROM {differing} AS d LEFT JOIN {opened} AS o USING (row))
                      WINDOW best AS (PARTITION BY {_KEY} ORDER BY
                          elsewhere, whole IS NOT DISTINCT FROM false, NOT indexed,
                          width::BIGINT * height DESC NULLS LAST, converted, size DESC NULLS LAST, digest NULLS LAST,
                          "offset" IS NULL, source, file, "offset", member, position))
                WHERE row >= 0"""
        )

    def refuse_many(self, *, least: int = 0) -> bool:
        """Return True if too many images of a source differ in the parts so far, or raise SourceError.

        The counts only grow, so a source that exceeds the share in some parts exceeds it in all.

        Args:
            least: Number of differing images that must be known to raise.
        """
        stage = self._stage
        counts = stage.fetch(
            f"""SELECT source, count(*), sum(length), list(DISTINCT unit) FROM {self._differing} WHERE row >= 0
                GROUP BY source"""
        )
        many = []
        for source, n, size, units in counts:
            total = stage.n_images.get(source, 0)
            if n * 100 > total * _MAX_DIFFERING_PERCENT:
                is_old = not any(unit in stage.parts for unit in units)
                many.append((is_old, -n / max(total, 1), size, source, n))
        if not many:
            return False
        # A source of this build, with the largest share; of two equal ones the one with fewer bytes.
        *_, source, n = min(many)
        if n < least:
            return True
        raise SourceError(self._message(source))

    def _message(self, source: str) -> str:
        pairs = self._stage.fetch(
            f"""SELECT DISTINCT ON (a.image_id)
                       a.image_id, {size_of("a")}, {place_of("a")}, {size_of("b")}, {place_of("b")}
                FROM {self._differing} AS a JOIN {self._differing} AS b USING ({_KEY})
                WHERE a.source = $source AND a.row >= 0 AND a.unit <> b.unit
                ORDER BY a.image_id, (a.size, a.raster) IS NOT DISTINCT FROM (b.size, b.raster),
                         b.source, b.file, b.row
                LIMIT {_MAX_NAMED_IMAGES}""",
            {"source": source},
        )
        named = "\n".join(
            f"  {image_id}: {size} in {place}, but {other} in {other_place}"
            for image_id, size, place, other, other_place in pairs
        )
        n = self._stage.n_images.get(source, 0)
        return (
            f"More than {_MAX_DIFFERING_PERCENT} % of the {n:,} images of the source {source} have other bytes than "
            f"another image of the same name and data set; nothing was indexed.\n{named}\nIf one of the two is a data "
            "set of its own (resized, corrupted, drawn), index it under another name: imagenet-tools build-index PATH "
            "--dataset NAME. If one is damaged, leave it out."
        )

    def _compared(self, settled: Relation, copies: Sequence[Path], visitors: str) -> Relation:
        """Return a table of the rows of one key that may differ; rows of other parts have negative numbers."""
        flagged = f"SELECT {_SPOT} FROM {parquet(copies)} WHERE other_bytes" if copies else "SELECT 0::UBIGINT LIMIT 0"
        rows = f"""(SELECT rowid AS row, * FROM {settled}
                    UNION ALL BY NAME SELECT -1 - row_number() OVER () AS row, * FROM ({visitors}) SEMI JOIN {settled}
                                      USING ({_KEY}))"""
        suspect = f"min(length) <> max(length) OR min({_RASTER}) <> max({_RASTER}) OR bool_or({_COMPRESSED})"
        return self._stage.table(
            f"""SELECT row, {_KEY}, source, file, member, "offset", position, length, compression, width, height, unit,
                       m.wnid IS NOT NULL AS elsewhere, {_SPOT} IN ({flagged}) AS flagged
                FROM {rows} LEFT JOIN {self._misfiled} AS m USING ({_KEY}, wnid)
                SEMI JOIN (SELECT {_KEY} FROM {rows} GROUP BY ALL HAVING count(*) > 1 AND (
                               {self._stage.by_hash} OR {suspect} OR bool_or({_SPOT} IN ({flagged})))) USING ({_KEY})"""
        )

    # ---- bytes

    def _read(self, query: str, *, decode: bool = False) -> Relation:
        """Return a table (row, size, digest, whole) of the images of a query, read from their sources.

        The values are null if the bytes cannot be read; `whole` is null too without `decode`.
        """
        import pyarrow as pa

        stage = self._stage
        schema = pa.schema([("row", pa.int64()), ("size", pa.int64()), ("digest", pa.string()), ("whole", pa.bool_())])
        rows = stage.sql.sql(f"FROM ({query}) ORDER BY {_READING_ORDER}").to_arrow_table()
        batches = []
        with Descriptors() as files:
            for batch in rows.to_batches(max_chunksize=_BATCH_IMAGES):
                facts = [self._facts(row, files, decode=decode) for row in batch.to_pylist()]
                batches.append(pa.RecordBatch.from_pylist(facts, schema))
        return stage.table(f"FROM {stage.arrow(pa.Table.from_batches(batches, schema))}")

    def _facts(self, row: dict[str, Any], files: Descriptors, *, decode: bool) -> dict[str, object]:
        data = self._bytes(row, files)
        if data is None:
            return {"row": row["row"]}
        digest = hashlib.sha256(data).hexdigest()
        return {"row": row["row"], "size": len(data), "digest": digest, "whole": _is_whole(data) if decode else None}

    def _bytes(self, row: dict[str, Any], files: Descriptors) -> bytes | None:
        """Return the bytes of an image, or None if its source is missing or has changed."""
        source, file = row["source"], row["file"]
        if source not in self._stage.roots:
            return None
        try:
            columns = {name: row[name] for name in ("offset", "length", "member", "position", "compression")}
            points = self._points.get(part_of(source, file))
            return payload.read(Place(inside(self._stage.roots[source], file), **columns, points=points), files)
        except (OSError, ImagenetToolsError):
            return None


def _is_whole(data: bytes) -> bool | None:
    """Return True if an image can be decoded to its end, or None if Pillow does not read its kind."""
    try:
        with warnings.catch_warnings(action="ignore"):
            probe.rgb(data)
    except FormatError as error:
        return None if error.code in ("too_many_pixels", "unsupported") else False
    return True


def size_of(row: str) -> str:
    """Return SQL for the length of an image in bytes, and its width and height if they are known."""
    return f"format('{{:,}}', {row}.length) || ' bytes' || coalesce(', ' || {row}.width || ' x ' || {row}.height, '')"


def place_of(row: str) -> str:
    """Return SQL for the source, the file and the member of an image."""
    return f"{row}.source || ', ' || {row}.file || coalesce('/' || {row}.member, '')"
