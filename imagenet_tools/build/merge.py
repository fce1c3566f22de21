"""Parts and the index before them become the files of the next generation: joined, checked, sorted, written.

Only files whose rows change are written anew. SQL does the work, pyarrow writes the bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from imagenet_tools.build.merge_boxes import choose_boxes, keep_boxes, merge_boxes
from imagenet_tools.build.merge_images import merge_images
from imagenet_tools.build.merge_other_bytes import place_of, size_of
from imagenet_tools.build.plain_files import define_odd
from imagenet_tools.build.stage import parquet
from imagenet_tools.catalogue import labels
from imagenet_tools.containers.gzip_stream import part_of
from imagenet_tools.store.layout import Manifest, copy_table, software
from imagenet_tools.store.wordnet_tables import CONSTANT, path_of

if TYPE_CHECKING:
    from imagenet_tools.build.stage import Stage


# ---- The seek points of an index: written anew for the files whose streams were read again, kept for the others.


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


# ---- The tables of WordNet in an index: those that never change are copied, and what lies at each synset is counted.


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


# ----


# Label sets that are the official truth: they may not contradict each other.
_TRUTH = ("devkit", "loc_csv")


def merge(stage: Stage) -> tuple[Manifest, dict[str, int]]:
    """Write what changed: (the next generation, without sources; problems by code). SourceError: a contradiction.

    Where no unit came and none went, the generation before is the next one.
    """
    if not stage.parts and not stage.dropped and stage.old.software == software():
        return _as_before(stage)
    _merge_labels(stage)
    define_odd(stage)
    changed = choose_boxes(stage)
    merge_points(stage)
    others = merge_images(stage, changed=changed or ())
    keep_boxes(stage) if changed is None else merge_boxes(stage, others)
    problems = _merge_problems(stage)
    merge_synsets(stage)
    return Manifest(stage.tables), problems


def _as_before(stage: Stage) -> tuple[Manifest, dict[str, int]]:
    stage.tables.update({table: files for table, files in stage.old.tables.items() if table != "glosses"})
    stage.view("problems")
    return Manifest(stage.tables), _count_problems(stage)


def _merge_labels(stage: Stage) -> None:
    import pyarrow as pa

    truth = labels.validation_wnids()
    names = [f"ILSVRC2012_val_{number:08d}" for number in range(1, len(truth) + 1)]
    stage.sql.register("official", pa.table({"image_id": names, "wnid": list(truth)}))
    stage.define("all_labels", "labels")
    official = f"label_set IN {_TRUTH!r}"
    stage.refuse(
        "have another label in a source than in the official ground truth",
        "One of the sources is not ILSVRC2012's, or is damaged: leave it out, or give another copy.",
        f"""SELECT image_id, l.source || ' says ' || l.wnid AS found,
                   'the official ground truth says ' || o.wnid AS expected
            FROM all_labels l JOIN official o USING (image_id)
            WHERE dataset = 'ilsvrc2012' AND {official} AND l.wnid <> o.wnid""",
    )
    stage.refuse(
        "have two labels",
        "One of the sources is wrong or of another data set: leave it out, or name it with --dataset.",
        f"""SELECT a.image_id, a.source || ' says ' || a.wnid AS found, b.source || ' says ' || b.wnid AS expected
            FROM all_labels a JOIN all_labels b USING (dataset, image_id)
            WHERE a.{official} AND b.{official} AND a.wnid < b.wnid""",
    )
    # Two lists of one source may say the same.
    once = "SELECT * EXCLUDE (unit), min(unit) AS unit FROM all_labels GROUP BY ALL ORDER BY ALL"
    stage.write("labels", "all", once)


def _merge_problems(stage: Stage) -> dict[str, int]:
    """The problems of the units, and those that only the whole shows (unit is null): written anew each time."""
    stage.write(
        "problems",
        "all",
        f"""SELECT * FROM all_problems WHERE unit IS NOT NULL
           UNION ALL BY NAME
           SELECT 'no_label' AS code, source, dataset,
                  count(*) || ' images of split ' || coalesce(split, 'none') || ' have no label; expected a class '
                  || 'folder, a name that tells the class, or an official label list' AS reason
           FROM images
           WHERE wnid IS NULL AND split IS DISTINCT FROM 'test' AND dataset NOT IN (
               SELECT dataset FROM all_labels WHERE label_set = 'det') -- whose images have many classes, or none
           GROUP BY source, dataset, split
           UNION ALL BY NAME
           SELECT 'box_conflict' AS code, source, file, dataset, image_id,
                  count(*) || ' boxes differ from those of the source that was taken; kept in unused_boxes' AS reason
           FROM unused_boxes WHERE reason = 'conflict' GROUP BY source, file, dataset, image_id
           UNION ALL BY NAME
           SELECT 'other_bytes' AS code, c.source, c.file, c.member, dataset, image_id,
                  'found ' || {size_of("c")} || ' in ' || {place_of("c")} || '; kept the ' || {size_of("i")} || ' in '
                  || {place_of("i")} AS reason
           FROM (FROM copies WHERE other_bytes) AS c JOIN images AS i USING (dataset, image_id)
           ORDER BY ALL""",
    )
    stage.view("problems")
    return _count_problems(stage)


def _count_problems(stage: Stage) -> dict[str, int]:
    counts = "SELECT code, count(*) FROM problems GROUP BY code ORDER BY count(*) DESC, code"
    return dict(stage.sql.execute(counts).fetchall())
