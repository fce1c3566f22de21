"""Count what an index holds, beside the published numbers of the releases."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from imagenet_tools.annotations import bbox
from imagenet_tools.catalogue.releases import published
from imagenet_tools.storage.buckets import url_of
from imagenet_tools.text import count_of

if TYPE_CHECKING:
    from imagenet_tools.store.store import Store


class Annotated(NamedTuple):
    """Published numbers of the annotations of a split."""

    images: int  # annotations, one an image
    boxes: int | None
    note: str = ""  # how other sources count them


# ILSVRC2012: the archives ILSVRC2012_bbox_train_v2.tar.gz, as TensorFlow's slim counts it in process_bounding_boxes.py,
# and ILSVRC2012_bbox_val_v3.tgz, whose boxes are those of Kaggle's LOC_val_solution.csv. The paper: Russakovsky et al.,
# ImageNet Large Scale Visual Recognition Challenge, IJCV 115 (2015), arXiv:1409.0575. DET: the devkit's readme of
# ILSVRC2015, and the files of its archive as its readers count them. The whole ImageNet: image-net.org's statistics.
_PAPER = "ILSVRC's paper counts"
_WHOLE = Annotated(1_034_908, None, "images with boxes of all releases, as image-net.org counted them")
ANNOTATED = {
    ("ilsvrc2012", "train"): Annotated(544_546, 615_299, f"{_PAPER} 593,173 boxes of 523,966 images"),
    ("ilsvrc2012", "val"): Annotated(50_000, 80_477, f"{_PAPER} 64,058 boxes"),
    ("ilsvrc-det", "train"): Annotated(349_319, 478_807, "images without an object may have no annotation"),
    ("ilsvrc-det", "val"): Annotated(20_121, 55_502),
    ("imagenet21k", None): _WHOLE,
    ("fall11", None): _WHOLE,
    ("winter21", None): _WHOLE,
}

UNUSED = {
    "no_image": "their images are not in this index",
    "repeated": "another source gives the same boxes",
    "conflict": "another source gives other boxes of the same image",
}

_SPLIT_HEAD = ("data set", "split", "images", "published", "classes", "with boxes", "boxes", "bytes")
_BOX_HEAD = ("data set", "split", "annotations", "published", "boxes", "without image", "published", "note")
_SOURCE_HEAD = ("source", "root", "forms", "images", "boxes", "labels", "problems")

Rows = list[dict[str, object]]


class Summary(NamedTuple):
    """The content of an index, as plain values."""

    splits: Rows  # by data set and official split: images, published, classes, boxed, boxes, bytes
    boxes: Rows  # by data set and split: annotations, boxes, boxes without image, published numbers, note
    sources: Rows
    problems: Rows  # code, n, and an example
    box_flags: Rows  # flag, n, and its meaning
    copies: int
    other_bytes: int  # copies with other bytes than the image in images
    unused_boxes: dict[str, int]  # by reason
    labelled: int  # images of all data sets that have a class
    photos: int  # distinct photographs of them: one in several data sets counts once

    def tables(self) -> list[tuple[tuple[str, ...], list[tuple[object, ...]]]]:
        """Return the tables to print, (head, rows); all but the first only if they have rows."""
        tables = [
            (_SPLIT_HEAD, self.splits),
            (_BOX_HEAD, self.boxes),
            (_SOURCE_HEAD, self.sources),
            (("problem", "count", "example"), self.problems),
            (("box repair or note", "count", "meaning"), self.box_flags),
        ]
        return [
            (head, [tuple(row.values()) for row in rows]) for n, (head, rows) in enumerate(tables) if rows or n == 0
        ]

    def notes(self) -> list[str]:
        """Return sentences on photographs, copies and unused boxes."""
        notes: list[str] = []
        if self.photos < self.labelled:
            photos = f"{count_of(self.photos, 'photograph')}: a photograph in several data sets is counted once"
            notes.append(f"{count_of(self.labelled, 'labelled image')} of {photos}")
        if self.copies:
            others = f", {self.other_bytes:,} of them with other bytes (column other_bytes)" if self.other_bytes else ""
            notes.append(f"{count_of(self.copies, 'image')} also in a second place (table copies){others}")
        return notes + [
            f"{count_of(n, 'box')} in the table unused_boxes: {reason}" for reason, n in self.unused_boxes.items()
        ]


def summarise(index: Store) -> Summary:
    """Count what an index holds."""
    splits = _rows(
        index,
        """SELECT dataset, split, count(*) AS images, NULL AS published, count(DISTINCT wnid) AS classes,
                  count(*) FILTER (n_boxes > 0) AS boxed, sum(n_boxes)::BIGINT AS boxes, sum(length)::BIGINT AS bytes
           FROM images GROUP BY ALL ORDER BY ALL""",
    )
    for row in splits:
        row["published"] = published(*_split_of(row))
    sources = _rows(
        index, "SELECT source, root, forms, n_images, n_boxes, n_labels, n_problems FROM sources ORDER BY source"
    )
    for row in sources:
        row["root"] = url_of(index.roots[str(row["source"])])
    problems = _rows(
        index, "SELECT code, count(*) AS n, min(reason) AS example FROM problems GROUP BY code ORDER BY n DESC, code"
    )
    flags = _rows(index, "SELECT unnest(flags) AS flag, count(*) AS n FROM boxes GROUP BY flag ORDER BY n DESC, flag")
    for row in flags:
        row["meaning"] = bbox.FLAGS[str(row["flag"])]
    unused = index.sql("SELECT reason, count(*) FROM unused_boxes GROUP BY reason ORDER BY reason").fetchall()
    ((copies, other_bytes),) = index.sql("SELECT count(*), count(*) FILTER (other_bytes) FROM copies").fetchall()
    ((labelled, photos),) = index.sql(
        "SELECT n_images_inclusive, n_photos_inclusive FROM synsets WHERE name = 'entity.n.01'"
    ).fetchall()
    by_reason = {UNUSED[reason]: n for reason, n in unused}
    boxes = _boxes(index)
    return Summary(splits, boxes, sources, problems, flags, copies, other_bytes, by_reason, labelled, photos)


def _boxes(index: Store) -> Rows:
    """Return annotations and boxes by data set and split, with those without image, and the published numbers."""
    rows = _rows(
        index,
        """WITH annotated AS (
               SELECT dataset, image_id, count(*) AS boxes, 0 AS without_image FROM boxes GROUP BY ALL
               UNION ALL
               SELECT dataset, image_id, 0, count(*) FROM unused_boxes WHERE reason = 'no_image' GROUP BY ALL
               UNION ALL
               SELECT dataset, image_id, 0, 0 FROM problems WHERE code = 'xml_no_object'),
           placed AS (
               SELECT a.*, CASE WHEN i.split IS NOT NULL OR NOT starts_with(dataset, 'ilsvrc') THEN i.split
                                WHEN starts_with(image_id, 'ILSVRC') THEN split_part(image_id, '_', 2)
                                ELSE 'train' END AS split
               FROM annotated AS a LEFT JOIN images AS i USING (dataset, image_id))
           SELECT dataset, split, count(DISTINCT image_id) AS annotations, NULL AS annotations_published,
                  sum(boxes)::BIGINT AS boxes, sum(without_image)::BIGINT AS boxes_without_image,
                  NULL AS boxes_published, '' AS note
           FROM placed GROUP BY ALL ORDER BY ALL""",
    )
    for row in rows:
        if known := ANNOTATED.get(_split_of(row)):
            row |= {"annotations_published": known.images, "boxes_published": known.boxes, "note": known.note}
    return rows


def _split_of(row: dict[str, object]) -> tuple[str, str | None]:
    split = row["split"]
    return str(row["dataset"]), None if split is None else str(split)


def _rows(index: Store, query: str) -> Rows:
    relation = index.sql(query)
    return [dict(zip(relation.columns, row, strict=True)) for row in relation.fetchall()]
