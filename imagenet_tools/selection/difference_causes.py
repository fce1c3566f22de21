"""Why two sets of images differ, as far as published image lists and the problems of an index say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imagenet_tools.catalogue import image_lists
from imagenet_tools.store.connection import add_image_lists, read_files
from imagenet_tools.text import are, count_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    import duckdb

# The photos of one side alone.
_ALONE = """
CREATE TEMP VIEW alone AS
    SELECT coalesce(a.photo, b.photo) AS photo, CASE WHEN b.photo IS NULL THEN 'a' ELSE 'b' END AS side
    FROM (SELECT DISTINCT photo FROM a) AS a FULL JOIN (SELECT DISTINCT photo FROM b) AS b USING (photo)
    WHERE a.photo IS NULL OR b.photo IS NULL
"""
# A list tells why if all of it is on one side alone, or all photos of that side alone are on it.
_BY_LIST = """
    SELECT side, list, count(*) AS n, any_value(n_listed) AS n_listed, any_value(n_alone) AS n_alone
    FROM alone JOIN image_lists USING (photo)
    JOIN (SELECT list, count(*) AS n_listed FROM image_lists GROUP BY ALL) USING (list)
    JOIN (SELECT side, count(*) AS n_alone FROM alone GROUP BY ALL) USING (side)
    WHERE NOT list_contains($1, list) GROUP BY side, list HAVING n = n_alone OR n = any_value(n_listed) ORDER BY ALL
"""
_BY_PROBLEM = r"""
    SELECT code, count(DISTINCT photo) AS n FROM alone
    JOIN (SELECT code, coalesce(image_id, regexp_extract(coalesce(member, file), '([^/]+?)(\.[^./]*)?$', 1)) AS stem
          FROM {problems}) ON stem = photo
    WHERE side = $1 GROUP BY code ORDER BY ALL
"""


def why(
    sql: duckdb.DuckDBPyConnection, problems: Mapping[str, Sequence[Path]], *, besides: Sequence[str]
) -> Iterator[str]:
    """Yield a sentence for each reason why one of the relations a and b lacks photos that the other has.

    Args:
        sql: A connection with the relations `a` and `b`, each with the column photo.
        problems: The files of the table problems of a side, "a" or "b", that is an index.
        besides: What is compared; an image list does not tell its own photos.
    """
    sql.execute(_ALONE)
    add_image_lists(sql)
    compared = [found.name for text in besides if (found := image_lists.find(text)) is not None]
    for side, name, n, n_listed, n_alone in sql.execute(_BY_LIST, [compared]).fetchall():
        of_side = f"{n:,} of the {count_of(n_alone, 'photo')} only in {side.upper()} {are(n)} on the image list {name}"
        yield f"{of_side}, which has {n_listed:,}."
    for lacking, other in (("b", "a"), ("a", "b")):
        if files := problems.get(lacking):
            query = _BY_PROBLEM.format(problems=read_files("read_parquet", files))
            for code, n in sql.execute(query, [other]).fetchall():
                yield f"{count_of(n, 'photo')} only in {other.upper()}: {lacking.upper()} reports the problem {code}."
