"""Merge new parts and the old index into the files of the next index: compare, check, sort, write.

Only files whose rows change are written. DuckDB compares rows where there are any to compare; pyarrow writes the bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from imagenet_tools.build.merge_boxes import choose_boxes, merge_boxes
from imagenet_tools.build.merge_images import merge_images
from imagenet_tools.build.merge_other_bytes import place_of, size_of
from imagenet_tools.build.plain import names_in, odd_images
from imagenet_tools.build.stage import DROPPED, parquet
from imagenet_tools.catalogue import labels
from imagenet_tools.containers.gzip_stream import part_of
from imagenet_tools.store.counts import ClassCounts, class_counts, synset_counts, unknown_classes
from imagenet_tools.store.layout import Manifest, software, write_constant_tables

if TYPE_CHECKING:
    from imagenet_tools.build.stage import Relation, Stage
    from imagenet_tools.store.layout import FileEntry

# Problems of a whole index, for the table problems.
PROBLEMS = {
    "no_label": "images of train or val have no class: no class folder, no name and no official list tells it",
    "no_synset": "a class is no synset of WordNet 3.0; its images are kept",
    "box_conflict": "two sources have different boxes of an image; those of one are kept in unused_boxes",
    "other_bytes": "two places of an image have different bytes; one is in the table images, the other in copies",
}

# Label sets that are official ground truth: they may not contradict each other.
_TRUTH = ("devkit", "loc_csv")

# Label sets of the objects in an image: images of such a data set have many classes, or none.
_OF_OBJECTS = ("det", "instances", "vid")


def merge(stage: Stage) -> tuple[Manifest, dict[str, int]]:
    """Write the files that change. If no unit was added or dropped, keep the old index.

    Returns:
        The manifest of the next index, without sources and glosses; the number of problems by code.

    Raises:
        SourceError: Two sources contradict each other.
    """
    if not stage.parts and not stage.dropped and stage.old.software == software():
        tables = {table: files for table, files in stage.old.tables.items() if table != "glosses"}
        return Manifest(tables), _count_problems(stage, tables.get("problems", []))
    all_labels = stage.table_rows("labels").all
    unit_problems = stage.table_rows("problems").all
    tables = {"labels": _merge_labels(stage, all_labels)}
    odd = odd_images(stage)
    boxes = choose_boxes(stage, odd)
    tables["seek_points"] = _merge_seek_points(stage)
    tables |= merge_images(
        stage,
        odd,
        counts=boxes.counts,
        problems=unit_problems,
        seek_points=tables["seek_points"],
        changed=boxes.changed or (),
    )
    images = stage.written_rows("images", tables["images"])
    if boxes.changed is None:
        tables |= {table: stage.old_entries(table) for table in ("boxes", "unused_boxes")}
    else:
        tables |= merge_boxes(stage, boxes, images)
    n_images = class_counts(stage.folder / entry.file for entry in tables["images"])
    tables |= _merge_synsets(stage, tables, images, n_images)
    tables["problems"] = _merge_problems(stage, unit_problems, all_labels, tables, n_images)
    return Manifest(tables), _count_problems(stage, tables["problems"])


def _count_problems(stage: Stage, entries: list[FileEntry]) -> dict[str, int]:
    if not entries:
        return {}
    problems = stage.written_rows("problems", entries)
    counts = f"SELECT code, count(*) FROM {problems} GROUP BY code ORDER BY count(*) DESC, code"
    return dict(stage.fetch(counts))


def _merge_labels(stage: Stage, all_labels: Relation) -> list[FileEntry]:
    if not stage.has_rows("labels"):
        return []
    is_truth = f"label_set IN {_TRUTH!r}"
    if stage.fetch(f"SELECT 1 FROM {all_labels} WHERE {is_truth} LIMIT 1"):
        _refuse_labels(stage, all_labels, is_truth)
    # Two lists of one source may have the same label.
    once = f"SELECT * EXCLUDE (unit), min(unit) AS unit FROM {all_labels} GROUP BY ALL ORDER BY ALL"
    return stage.write("labels", "all", once)


def _refuse_labels(stage: Stage, all_labels: Relation, is_truth: str) -> None:
    """Raise SourceError if labels that must be true contradict each other, or the official ground truth."""
    import pyarrow as pa

    truth = labels.validation_wnids()
    names = [f"ILSVRC2012_val_{number:08d}" for number in range(1, len(truth) + 1)]
    official = stage.arrow(pa.table({"image_id": names, "wnid": list(truth)}))
    stage.refuse(
        "have another label in a source than in the official ground truth",
        "One of the sources is not ILSVRC2012's, or is damaged: leave it out, or give another copy.",
        f"""SELECT image_id, l.source || ' says ' || l.wnid AS found,
                   'the official ground truth says ' || o.wnid AS expected
            FROM {all_labels} l JOIN {official} o USING (image_id)
            WHERE dataset = 'ilsvrc2012' AND {is_truth} AND l.wnid <> o.wnid""",
    )
    stage.refuse(
        "have two labels",
        "One of the sources is wrong or of another data set: leave it out, or name it with --dataset.",
        f"""SELECT a.image_id, a.source || ' says ' || a.wnid AS found, b.source || ' says ' || b.wnid AS expected
            FROM {all_labels} a JOIN {all_labels} b USING (dataset, image_id)
            WHERE a.{is_truth} AND b.{is_truth} AND a.wnid < b.wnid""",
    )


def _merge_seek_points(stage: Stage) -> list[FileEntry]:
    """Write the seek points of streams that were read again, one file a stream, and keep the others."""
    if not stage.has_rows("seek_points"):
        return []
    points = stage.table_rows("seek_points")
    streams = f"SELECT source, file FROM {points.new}"
    if old := stage.old_paths("seek_points"):
        streams += f" UNION SELECT source, file FROM {parquet(old)} WHERE {DROPPED}"
    files = stage.fetch(f"SELECT DISTINCT source, file FROM ({streams}) ORDER BY ALL")
    changed = {part_of(source, file) for source, file in files}
    entries = [entry for entry in stage.old_entries("seek_points") if entry.part not in changed]
    for source, file in files:
        with stage.dropping():
            wanted = stage.table("SELECT $source AS source, $file AS file", {"source": source, "file": file})
            query = f"FROM {points.all} SEMI JOIN {wanted} USING (source, file) ORDER BY member, position"
            entries += stage.write("seek_points", part_of(source, file), query)
    return sorted(entries, key=lambda entry: entry.part)


def _merge_problems(
    stage: Stage,
    unit_problems: Relation,
    all_labels: Relation,
    tables: dict[str, list[FileEntry]],
    n_images: ClassCounts,
) -> list[FileEntry]:
    """Write the problems of the units, and those of the whole index, whose unit is null."""
    of_classes = None in n_images or unknown_classes(n_images)
    if not (of_classes or tables["copies"] or tables["unused_boxes"] or stage.has_rows("problems")):
        return []
    read = ("images", "copies", "unused_boxes", "synset_facts")
    written = {table: stage.written_rows(table, tables[table]) for table in read}
    return stage.write(
        "problems",
        "all",
        f"""SELECT * FROM {unit_problems} WHERE unit IS NOT NULL
            UNION ALL BY NAME
            SELECT 'no_label' AS code, source, dataset,
                   count(*) || ' images of split ' || coalesce(split, 'none') || ' have no label; expected a class '
                   || 'folder, a name that tells the class, or an official label list' AS reason
            FROM {written["images"]}
            WHERE wnid IS NULL AND split IS DISTINCT FROM 'test' AND dataset NOT IN (
                SELECT dataset FROM {all_labels} WHERE label_set IN {_OF_OBJECTS!r})
            GROUP BY source, dataset, split
            UNION ALL BY NAME
            SELECT 'no_synset' AS code, source, dataset,
                   'the class ' || wnid || ' (' || count(*) || CASE WHEN count(*) = 1 THEN ' image' ELSE ' images' END
                   || ') is no synset of WordNet 3.0; exports leave it out with --under entity' AS reason
            FROM {written["images"]}
            WHERE wnid NOT IN (SELECT wnid FROM {written["synset_facts"]}) GROUP BY source, dataset, wnid
            UNION ALL BY NAME
            SELECT 'box_conflict' AS code, source, file, dataset, image_id,
                   count(*) || ' boxes differ from those of the source that was taken; kept in unused_boxes' AS reason
            FROM {written["unused_boxes"]} WHERE reason = 'conflict' GROUP BY source, file, dataset, image_id
            UNION ALL BY NAME
            SELECT 'other_bytes' AS code, c.source, c.file, c.member, dataset, image_id,
                   'found ' || {size_of("c")} || ' in ' || {place_of("c")} || '; kept the ' || {size_of("i")} || ' in '
                   || {place_of("i")} AS reason
            FROM (FROM {written["copies"]} WHERE other_bytes) AS c
            JOIN {written["images"]} AS i USING (dataset, image_id)
            ORDER BY ALL""",
    )


# ---- tables of WordNet


def _merge_synsets(
    stage: Stage, tables: dict[str, list[FileEntry]], images: Relation, n_images: ClassCounts
) -> dict[str, list[FileEntry]]:
    """Write the tables of WordNet, with the counts of images and boxes. Return the files by table."""
    # Within a data set, no two images are one photo.
    several = len({names_in(entry.part)[0] for entry in tables["images"]}) > 1
    n_photos, repeated = _photos(stage, images) if several else (n_images, [])
    n_boxes = class_counts(stage.folder / entry.file for entry in tables["boxes"])
    counts = synset_counts(n_images, n_photos, n_boxes, repeated)
    written = stage.write_rows("synset_counts", "all", counts.to_batches())
    return write_constant_tables(stage.folder) | {"synset_counts": written}


def _photos(stage: Stage, images: Relation) -> tuple[ClassCounts, list[tuple[str, str | None]]]:
    """Return the number of photos by class, and (photo, wnid) of the photos that data sets class differently.

    Photos are counted class by class, and searched by their hash first: 14 million names at once take 1 GB.
    """
    photos: ClassCounts = {}
    for (head,) in stage.fetch(f"SELECT DISTINCT left(wnid, 3) FROM {images} WHERE wnid IS NOT NULL ORDER BY 1"):
        photos |= stage.fetch(
            f"""SELECT wnid, count(DISTINCT photo) FROM {images}
                WHERE wnid BETWEEN $head AND $head || ':' GROUP BY wnid""",
            {"head": head},
        )
    several = "HAVING min(wnid) <> max(wnid)"
    repeated = stage.fetch(
        f"""WITH likely AS (SELECT DISTINCT photo, wnid FROM {images} SEMI JOIN
                            (SELECT hash32 FROM {images} GROUP BY hash32 {several}) USING (hash32)
                            WHERE wnid IS NOT NULL)
            FROM likely SEMI JOIN (SELECT photo FROM likely GROUP BY photo {several}) USING (photo)"""
    )
    return photos, repeated
