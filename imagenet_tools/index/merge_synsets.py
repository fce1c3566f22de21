"""The tables of WordNet in an index: those that never change are copied, and what lies at each synset is counted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imagenet_tools.index.layout import copy_table
from imagenet_tools.index.wordnet_tables import CONSTANT, path_of

if TYPE_CHECKING:
    from imagenet_tools.index.stage import Stage


def merge_synsets(stage: Stage) -> None:
    """Write the tables of WordNet. Needs the views images and boxes."""
    for table in CONSTANT:
        stage.tables[table] = [copy_table(stage.folder, table, "all", path_of(table))]
    stage.view("closure")
    _count_photos(stage)
    # Each class counts once for each synset above it; a photograph in several classes below one synset counts once.
    counts = ", ".join(
        f"coalesce(sum({what}) FILTER (distance = 0), 0)::BIGINT AS n_{what}, "
        f"coalesce(sum({what}), 0)::BIGINT AS n_{what}_inclusive"
        for what in ("images", "photos", "boxes")
    )
    stage.write(
        "synset_counts",
        "all",
        f"""WITH direct AS (SELECT wnid, count(*) AS images FROM images GROUP BY wnid UNION ALL BY NAME
                        SELECT wnid, n AS photos FROM photos UNION ALL BY NAME
                        SELECT wnid, count(*) AS boxes FROM boxes GROUP BY wnid),
                 inclusive AS (SELECT ancestor, {counts} FROM closure JOIN direct ON descendant = wnid
                               GROUP BY ancestor),
                 repeated AS (SELECT ancestor, count(*) - count(DISTINCT photo) AS n
                              FROM classes_of JOIN closure ON descendant = wnid GROUP BY ancestor)
            SELECT * REPLACE (n_photos_inclusive - coalesce(n, 0) AS n_photos_inclusive), ancestor AS wnid
            FROM inclusive LEFT JOIN repeated USING (ancestor) ORDER BY wnid""",
    )


def _count_photos(stage: Stage) -> None:
    """Define photos (wnid, n), and classes_of (photo, wnid): those few that different data sets put in several classes.

    Photos are looked at class by class, or by their hash first: held all at once, 14 million names are a gigabyte.
    """
    stage.sql.execute("CREATE TEMP TABLE photos (wnid VARCHAR, n BIGINT)")
    stage.sql.execute("CREATE TEMP TABLE classes_of (photo VARCHAR, wnid VARCHAR)")
    if stage.sql.execute("SELECT count(DISTINCT dataset) < 2 FROM images").fetchall()[0][0]:
        # Within a data set no two images are one photo.
        stage.sql.execute("INSERT INTO photos SELECT wnid, count(*) FROM images GROUP BY wnid")
        return
    groups = stage.sql.execute("SELECT DISTINCT left(wnid, 3) FROM images WHERE wnid IS NOT NULL ORDER BY 1").fetchall()
    for (group,) in groups:
        stage.sql.execute(
            """INSERT INTO photos SELECT wnid, count(DISTINCT photo) FROM images
               WHERE wnid BETWEEN $group AND $group || ':' GROUP BY wnid""",
            {"group": group},
        )
    several = "HAVING min(wnid) <> max(wnid)"
    stage.sql.execute(
        f"""INSERT INTO classes_of
            WITH likely AS (SELECT DISTINCT photo, wnid FROM images SEMI JOIN
                            (SELECT hash32 FROM images GROUP BY hash32 {several}) USING (hash32) WHERE wnid IS NOT NULL)
            FROM likely SEMI JOIN (SELECT photo FROM likely GROUP BY photo {several}) USING (photo)"""
    )
