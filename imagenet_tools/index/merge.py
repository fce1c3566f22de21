"""Parts and the index before them become the files of the next generation: joined, checked, sorted, written.

Only files whose rows change are written anew. SQL does the work, pyarrow writes the bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from imagenet_tools.class_lists import labels
from imagenet_tools.index.found_images import define_odd
from imagenet_tools.index.layout import Manifest, software
from imagenet_tools.index.merge_boxes import choose_boxes, keep_boxes, merge_boxes
from imagenet_tools.index.merge_images import merge_images
from imagenet_tools.index.merge_other_bytes import place_of, size_of
from imagenet_tools.index.merge_points import merge_points
from imagenet_tools.index.merge_synsets import merge_synsets

if TYPE_CHECKING:
    from imagenet_tools.index.stage import Stage

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
