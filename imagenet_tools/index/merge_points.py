"""The seek points of an index: written anew for the files whose streams were read again, kept for the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imagenet_tools.containers.seek_points import part_of
from imagenet_tools.index.stage import parquet

if TYPE_CHECKING:
    from imagenet_tools.index.stage import Stage


def merge_points(stage: Stage) -> None:
    """Write the files of seek_points that change, one a file of images, and keep the others."""
    stage.define("all_points", "seek_points")
    touched = "SELECT source, file FROM new_all_points"
    old = stage.old.paths(stage.folder, "seek_points")
    if old:
        touched += f" UNION SELECT source, file FROM {parquet(old)} WHERE unit IN (FROM dropped)"
    files = stage.sql.execute(f"SELECT DISTINCT source, file FROM ({touched}) ORDER BY ALL").fetchall()
    stage.keep("seek_points", but=[part_of(*one) for one in files])
    for source, file in files:
        named = "CREATE OR REPLACE TEMP TABLE wanted AS SELECT $source AS source, $file AS file"
        stage.sql.execute(named, {"source": source, "file": file})
        query = "FROM all_points SEMI JOIN wanted USING (source, file) ORDER BY member, position"
        stage.write("seek_points", part_of(source, file), query)
    stage.tables.get("seek_points", []).sort(key=lambda entry: entry.part)
