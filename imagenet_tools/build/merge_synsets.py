"""Write the tables of WordNet in an index: copy the constant ones, and count images, photos and boxes by synset."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imagenet_tools.store.layout import write_constant_tables

if TYPE_CHECKING:
    from imagenet_tools.build.stage import Relation, Stage
    from imagenet_tools.store.layout import FileEntry

_COUNTED = ("images", "photos", "boxes")


def merge_synsets(stage: Stage, images: Relation, boxes: Relation) -> dict[str, list[FileEntry]]:
    """Write the tables of WordNet, with the counts of these images and boxes. Return the files by table."""
    tables = write_constant_tables(stage.folder)
    closure = stage.written_rows("closure", tables["closure"])
    photos, classes = _photos(stage, images)
    counts = ", ".join(
        f"coalesce(sum({counted}) FILTER (distance = 0), 0)::BIGINT AS n_{counted}, "
        f"coalesce(sum({counted}), 0)::BIGINT AS n_{counted}_inclusive"
        for counted in _COUNTED
    )
    # Each class counts once at each synset above it; a photo in several classes below one synset counts once.
    tables["synset_counts"] = stage.write(
        "synset_counts",
        "all",
        f"""WITH direct AS (SELECT wnid, count(*) AS images FROM {images} GROUP BY wnid UNION ALL BY NAME
                            SELECT wnid, n AS photos FROM {photos} UNION ALL BY NAME
                            SELECT wnid, count(*) AS boxes FROM {boxes} GROUP BY wnid),
                 inclusive AS (SELECT ancestor, {counts} FROM {closure} JOIN direct ON descendant = wnid
                               GROUP BY ancestor),
                 repeated AS (SELECT ancestor, count(*) - count(DISTINCT photo) AS n
                              FROM {classes} JOIN {closure} ON descendant = wnid GROUP BY ancestor)
            SELECT * REPLACE (n_photos_inclusive - coalesce(n, 0) AS n_photos_inclusive), ancestor AS wnid
            FROM inclusive LEFT JOIN repeated USING (ancestor) ORDER BY wnid""",
    )
    return tables


def _photos(stage: Stage, images: Relation) -> tuple[Relation, Relation]:
    """Return tables (wnid, n) of photos by class, and (photo, wnid) of the photos that data sets class differently.

    Photos are counted class by class, and searched by their hash first: 14 million names at once take 1 GB.
    """
    no_classes = "SELECT NULL::VARCHAR AS photo, NULL::VARCHAR AS wnid LIMIT 0"
    ((n_datasets,),) = stage.fetch(f"SELECT count(DISTINCT dataset) FROM {images}")
    if n_datasets < 2:  # within a data set no two images are one photo
        return stage.table(f"SELECT wnid, count(*) AS n FROM {images} GROUP BY wnid"), stage.table(no_classes)
    photos = stage.table("SELECT NULL::VARCHAR AS wnid, NULL::BIGINT AS n LIMIT 0")
    for (head,) in stage.fetch(f"SELECT DISTINCT left(wnid, 3) FROM {images} WHERE wnid IS NOT NULL ORDER BY 1"):
        stage.sql.execute(
            f"""INSERT INTO {photos} SELECT wnid, count(DISTINCT photo) FROM {images}
                WHERE wnid BETWEEN $head AND $head || ':' GROUP BY wnid""",
            {"head": head},
        )
    several = "HAVING min(wnid) <> max(wnid)"
    classes = stage.table(
        f"""WITH likely AS (SELECT DISTINCT photo, wnid FROM {images} SEMI JOIN
                            (SELECT hash32 FROM {images} GROUP BY hash32 {several}) USING (hash32)
                            WHERE wnid IS NOT NULL)
            FROM likely SEMI JOIN (SELECT photo FROM likely GROUP BY photo {several}) USING (photo)"""
    )
    return photos, classes
