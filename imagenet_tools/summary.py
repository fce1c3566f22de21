"""What an index holds, in counts, beside what was published of the releases."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from imagenet_tools import bbox

if TYPE_CHECKING:
    from imagenet_tools.index import Index

# Images by data set and split: ILSVRC2012's and ILSVRC2010's from their devkits' readme files.
PUBLISHED = {
    ("ilsvrc2012", "train"): 1_281_167,
    ("ilsvrc2012", "val"): 50_000,
    ("ilsvrc2012", "test"): 100_000,
    ("ilsvrc2010", "train"): 1_261_406,
    ("ilsvrc2010", "val"): 50_000,
    ("ilsvrc2010", "test"): 150_000,
}

UNUSED = {
    "no_image": "their images are not in this index",
    "repeated": "another source gives the same boxes",
    "conflict": "another source gives other boxes of the same image",
}


Rows = list[dict[str, object]]


class Summary(NamedTuple):
    """What an index holds, as plain values."""

    splits: Rows  # by data set and official split: images, published, classes, boxed, boxes, bytes
    sources: Rows
    problems: Rows  # code, n, and an example
    box_flags: Rows  # flag, n, and what it means
    copies: int
    unused_boxes: dict[str, int]  # by reason


def summarise(index: Index) -> Summary:
    """Count what an index holds."""
    splits = _rows(
        index,
        """SELECT dataset, split, count(*) AS images, NULL AS published, count(DISTINCT wnid) AS classes,
                  count(*) FILTER (n_boxes > 0) AS boxed, sum(n_boxes)::BIGINT AS boxes, sum(length)::BIGINT AS bytes
           FROM images GROUP BY ALL ORDER BY ALL""",
    )
    for row in splits:
        row["published"] = PUBLISHED.get((str(row["dataset"]), str(row["split"])))
    sources = _rows(
        index, "SELECT source, root, forms, n_images, n_boxes, n_labels, n_problems FROM sources ORDER BY source"
    )
    for row in sources:
        row["root"] = str(index.roots[str(row["source"])])
    problems = _rows(
        index, "SELECT code, count(*) AS n, min(reason) AS example FROM problems GROUP BY code ORDER BY n DESC, code"
    )
    flags = _rows(index, "SELECT unnest(flags) AS flag, count(*) AS n FROM boxes GROUP BY flag ORDER BY n DESC, flag")
    for row in flags:
        row["meaning"] = bbox.FLAGS[str(row["flag"])]
    unused = dict(index.sql("SELECT reason, count(*) FROM unused_boxes GROUP BY reason ORDER BY reason").fetchall())
    (copies,) = index.sql("SELECT count(*) FROM copies").fetchall()[0]
    kept_aside = {UNUSED[reason]: n for reason, n in unused.items()}
    return Summary(splits, sources, problems, flags, copies, kept_aside)


def _rows(index: Index, query: str) -> Rows:
    found = index.sql(query)
    return [dict(zip(found.columns, row, strict=True)) for row in found.fetchall()]
