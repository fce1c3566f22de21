"""The table synsets of an index, with how much of the index lies at and below each, and the graph beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from imagenet_tools import terms
from imagenet_tools.index import wordnet_tables

if TYPE_CHECKING:
    from imagenet_tools.index.stage import Stage


def merge_synsets(stage: Stage) -> None:
    """Write the tables of WordNet. Needs the views images and boxes."""
    made = {"closure": wordnet_tables.closure_table, "hypernyms": wordnet_tables.hypernyms_table}
    for table, facts in made.items():
        if table in stage.old.tables:  # facts of WordNet 3.0: the same in every generation
            stage.tables[table] = stage.old.tables[table]
            stage.view(table)
        else:
            stage.sql.register(table, facts())
            stage.write(table, "all", f"FROM {table}")
    stage.sql.register("facts", wordnet_tables.synsets_table())
    _count_photos(stage)
    counts = ", ".join(
        f"coalesce({what}.direct, 0)::BIGINT AS n_{what}, coalesce({what}.inclusive, 0)::BIGINT AS n_{what}_inclusive"
        for what in ("images", "photos", "boxes")
    )
    by_class = "SELECT wnid, count(*) AS n FROM {} GROUP BY wnid"
    stage.sql.execute(
        f"""CREATE TEMP TABLE counted AS
            SELECT facts.*, {counts}
            FROM facts LEFT JOIN ({_below(by_class.format("images"))}) AS images USING (wnid)
                       LEFT JOIN ({_below("FROM photos")}) AS photos USING (wnid)
                       LEFT JOIN ({_below(by_class.format("boxes"))}) AS boxes USING (wnid)"""
    )
    stage.sql.execute(
        """UPDATE counted SET n_photos_inclusive = n_photos_inclusive - twice
           FROM (SELECT ancestor, count(*) - count(DISTINCT photo) AS twice
                 FROM classes_of JOIN closure ON descendant = classes_of.wnid GROUP BY ancestor)
           WHERE ancestor = counted.wnid"""
    )
    stage.write("synsets", "all", "FROM counted ORDER BY wnid")
    below = stage.sql.execute("SELECT n_images_inclusive FROM counted ORDER BY wnid").fetchall()
    stage.sql.register("made_terms", terms.terms_table(np.array(below, np.int64)[:, 0]))
    stage.write("terms", "all", "FROM made_terms ORDER BY ALL")


def _below(counts: str) -> str:
    """A query of (wnid, direct, inclusive) from one of (wnid, n): each class counts once for each synset above it."""
    return f"""SELECT ancestor AS wnid, sum(n) AS inclusive, sum(n) FILTER (distance = 0) AS direct
               FROM closure JOIN (SELECT wnid AS descendant, n FROM ({counts})) USING (descendant) GROUP BY ancestor"""


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
