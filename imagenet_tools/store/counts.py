"""The query that counts images, photos and boxes at each synset and at or below it: the rows of synset_counts."""

from __future__ import annotations

_COUNTED = ("images", "photos", "boxes")


def synset_counts_sql(images: str, boxes: str, closure: str, photos: str, classes: str) -> str:
    """Return SQL of the rows of synset_counts, ordered by wnid.

    Each class counts once at each synset above it; a photo in several classes below one synset counts once.

    Args:
        images: Table of images.
        boxes: Table of boxes.
        closure: Table closure.
        photos: Table (wnid, n) of the number of photos of each class.
        classes: Table (photo, wnid) of the photos that are in several classes.
    """
    counts = ", ".join(
        f"coalesce(sum({counted}) FILTER (distance = 0), 0)::BIGINT AS n_{counted}, "
        f"coalesce(sum({counted}), 0)::BIGINT AS n_{counted}_inclusive"
        for counted in _COUNTED
    )
    return f"""
        WITH direct AS (SELECT wnid, count(*) AS images FROM {images} GROUP BY wnid UNION ALL BY NAME
                        SELECT wnid, n AS photos FROM {photos} UNION ALL BY NAME
                        SELECT wnid, count(*) AS boxes FROM {boxes} GROUP BY wnid),
             inclusive AS (SELECT ancestor, {counts} FROM {closure} JOIN direct ON descendant = wnid
                           GROUP BY ancestor),
             repeated AS (SELECT ancestor, count(*) - count(DISTINCT photo) AS n
                          FROM {classes} JOIN {closure} ON descendant = wnid GROUP BY ancestor)
        SELECT * REPLACE (n_photos_inclusive - coalesce(n, 0) AS n_photos_inclusive), ancestor AS wnid
        FROM inclusive LEFT JOIN repeated USING (ancestor) ORDER BY wnid"""
