"""The images of an index: ids, boxes and copies settled, contradictions refused, and the files that change written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imagenet_tools.index.stage import parquet
from imagenet_tools.schema import TABLES, arrow_schema

if TYPE_CHECKING:
    from imagenet_tools.index.stage import Stage

# The file that a row lies in, by its data set, split and wnid alone: adding a class rewrites one file in fifteen.
_PART = "dataset || '-' || coalesce(split, 'nosplit') || '-' || coalesce(left(wnid, 3), 'nolabel')"

# A name that no release shares: its id is the stem while the data set's stems differ, else the path without suffix.
# Where the source itself tells the id, as exports of this project do, it is that.
_FOREIGN = "starts_with(photo, dataset || '/')"
_PATH = r"regexp_replace(replace(coalesce(member, file), '.tar/', '/'), '\.[^./]+$', '')"
_STEM = f"regexp_extract({_PATH}, '[^/]+$')"
# An image named by a class, in the folder of another one. Where it stands in its own class too, it is of that one.
_ELSEWHERE = r"regexp_full_match(image_id, 'n\d{8}_\d+') AND left(image_id, 9) <> wnid"
_HASH32 = "('0x' || left(sha256(photo), 8))::UBIGINT::UINTEGER"

# Which of several places of an image is the first one, and the order of rows in a file.
_PLACE = 'source, file, "offset", member, position'
_ORDER = f'dataset, split, wnid, image_id, "offset" IS NULL, {_PLACE}'


def merge_images(stage: Stage) -> None:
    """Write the files of images and copies that change, and keep the others. SourceError: a contradiction.

    Needs the table chosen_counts (dataset, image_id, n) of the boxes, and defines the view images.
    """
    stage.define("found_images", "images", "copies")
    stage.define("all_problems", "problems")
    foreign = stage.sql.execute(f"SELECT count(*) > 0 FROM found_images WHERE {_FOREIGN}").fetchall()[0][0]
    stage.sql.execute(
        f"""CREATE TEMP TABLE by_path AS SELECT DISTINCT dataset FROM (
                SELECT dataset, {_STEM} AS stem FROM found_images WHERE {_FOREIGN}
                GROUP BY ALL HAVING count(DISTINCT {_PATH}) > 1)"""
    )
    stage.sql.execute(
        f"""CREATE TEMP TABLE misfiled AS SELECT DISTINCT dataset, image_id, wnid
            FROM (SELECT dataset, image_id, wnid, split FROM found_images WHERE {_ELSEWHERE}) AS here
            SEMI JOIN found_images AS own
                ON own.dataset = here.dataset AND own.image_id = here.image_id AND own.wnid = left(here.image_id, 9)
                AND own.split IS NOT DISTINCT FROM here.split"""
    )
    stage.sql.execute(f"CREATE TEMP VIEW all_images AS {_settled('found_images', foreign=foreign)}")
    _check(stage)
    units = _parts_of_new_units(stage)
    touched = units.keys() | _touched_parts(stage)
    for table in ("images", "copies"):
        stage.keep(table, but=touched)
    for part in sorted(touched):
        _write_part(stage, part, units.get(part, set()), foreign=foreign)
    for table in ("images", "copies"):
        stage.tables.get(table, []).sort(key=lambda entry: entry.part)
    stage.view("images")


def _settled(rows: str, *, foreign: bool) -> str:
    """Rows of images with their settled ids (where some are foreign) and counts of boxes, as a query."""
    if foreign:
        named = "dataset || '/' || image_id"
        rows = f"""(SELECT * REPLACE (CASE WHEN {_FOREIGN} THEN {_HASH32} ELSE hash32 END AS hash32) FROM (
                    SELECT * REPLACE (CASE WHEN {_FOREIGN} THEN {named} ELSE photo END AS photo) FROM (
                    SELECT * REPLACE (CASE WHEN NOT {_FOREIGN} OR image_id NOT IN ({_STEM}, {_PATH}) THEN image_id
                                           WHEN dataset IN (FROM by_path) THEN {_PATH}
                                           ELSE {_STEM} END AS image_id) FROM {rows})))"""
    return f"""SELECT rows.* REPLACE (coalesce(chosen.n, 0)::INTEGER AS n_boxes)
               FROM {rows} AS rows LEFT JOIN chosen_counts AS chosen USING (dataset, image_id)"""


def _check(stage: Stage) -> None:
    stage.refuse(
        "lie in a folder of another class than the official ground truth gives",
        "Were they sorted by another list, or by ILSVRC ids taken for sorted indices? Sort them again, or index the "
        "flat tar.",
        """SELECT image_id, reason AS found, 'they must agree' AS expected
           FROM all_problems WHERE code = 'label_contradiction'""",
    )
    # An image named by its class, in that class, in a data set where all such are in one split, can stand nowhere
    # else: the others alone are looked up among all.
    stage.sql.execute(
        """CREATE TEMP TABLE homes AS SELECT dataset FROM found_images WHERE image_id NOT LIKE 'ILSVRC%'
           GROUP BY dataset HAVING count(DISTINCT coalesce(split, '')) = 1"""
    )
    stage.sql.execute(
        """CREATE TEMP TABLE odd AS SELECT DISTINCT dataset, image_id FROM all_images
           WHERE NOT coalesce(left(image_id, 9) = wnid AND dataset IN (FROM homes), false)"""
    )
    stage.refuse(
        "stand in two classes or two splits of one data set",
        "Where a source is a data set of its own, name it: --dataset NAME.",
        """SELECT image_id, min(place) AS found, max(place) AS expected FROM (
             SELECT dataset, image_id, coalesce(split, '') || coalesce(wnid, '') AS kind,
                    'it is in ' || coalesce(split, 'no split') || ', ' || coalesce(wnid, 'no class')
                    || ' in ' || source AS place
             FROM all_images SEMI JOIN odd USING (dataset, image_id) ANTI JOIN misfiled USING (dataset, image_id, wnid))
           GROUP BY dataset, image_id HAVING count(DISTINCT kind) > 1""",
    )


def _parts_of_new_units(stage: Stage) -> dict[str, set[int]]:
    """The units of new rows by the part that their rows belong to."""
    found: dict[str, set[int]] = {}
    query = f"SELECT DISTINCT unit, {_PART} FROM new_found_images"
    for unit, part in stage.sql.execute(query).fetchall():
        found.setdefault(part, set()).add(unit)
    return found


def _touched_parts(stage: Stage) -> set[str]:
    """The old parts that must be written: with rows that go, with another id, or another count of boxes."""
    old = [path for table in ("images", "copies") for path in stage.old.paths(stage.folder, table)]
    if not old:
        return set()
    gone = f"SELECT DISTINCT {_PART} FROM {parquet(old)} WHERE unit IN (FROM dropped)"
    changed = f"""SELECT DISTINCT {_PART} FROM {parquet(old)} AS old LEFT JOIN chosen_counts USING (dataset, image_id)
                  WHERE n_boxes <> coalesce(n, 0)
                  OR ({_FOREIGN} AND image_id IN ({_STEM}, {_PATH})
                      AND image_id <> CASE WHEN dataset IN (FROM by_path) THEN {_PATH} ELSE {_STEM} END)"""
    return {part for (part,) in stage.sql.execute(f"{gone} UNION {changed} UNION {_moved(stage)}").fetchall()}


def _moved(stage: Stage) -> str:
    """The old parts of images that are copies now, as they stand in their own class too, and the other way round."""
    rows = {}
    for table in ("images", "copies"):
        files = list(stage.old.paths(stage.folder, table))
        rows[table] = f"(FROM {parquet(files)})" if files else "(FROM found_images LIMIT 0)"
    key = "USING (dataset, image_id, wnid)"
    return f"""SELECT {_PART} FROM {rows["images"]} SEMI JOIN misfiled {key}
               UNION SELECT {_PART} FROM (FROM {rows["copies"]} WHERE {_ELSEWHERE})
               ANTI JOIN misfiled {key} ANTI JOIN {rows["images"]} {key}"""


def _write_part(stage: Stage, part: str, units: set[int], *, foreign: bool) -> None:
    """Write the files of one part of images and copies, from its new units and its old files alone."""
    import pyarrow as pa

    names = [column.name for column in TABLES["images"].columns]
    columns = ", ".join(f'"{name}"' for name in names)
    empty = arrow_schema("images").empty_table()
    stage.sql.register("piece", pa.concat_tables([empty, *stage.new_of("images", units)]))
    union = [f"SELECT {columns} FROM piece WHERE {_PART} = '{part}'"]
    entries = [entry for table in ("images", "copies") for entry in stage.old.tables.get(table, [])]
    files = [stage.folder / entry.file for entry in entries if entry.part == part]
    if files:
        union.append(f"SELECT {columns} FROM {parquet(files)} WHERE unit NOT IN (FROM dropped)")
    rows = f"({' UNION ALL '.join(union)})"
    stage.sql.execute(f"CREATE OR REPLACE TEMP TABLE settled AS {_settled(rows, foreign=foreign)}")
    # Numbering the places of each image costs more than all the rest, and is needed where one has two.
    key = "USING (dataset, image_id, wnid)"
    query = f"""SELECT count(*) = count(DISTINCT image_id) AND count(m.wnid) = 0
                FROM settled LEFT JOIN misfiled AS m {key}"""
    if stage.sql.execute(query).fetchall()[0][0]:
        stage.write("images", part, f"FROM settled ORDER BY {_ORDER}")
        return
    first = f'PARTITION BY dataset, image_id ORDER BY elsewhere, "offset" IS NULL, {_PLACE}'
    known = f"SELECT settled.*, m.wnid IS NOT NULL AS elsewhere FROM settled LEFT JOIN misfiled AS m {key}"
    placed = f"SELECT *, row_number() OVER ({first}) AS place FROM ({known})"
    stage.write("images", part, f"FROM ({placed}) WHERE place = 1 AND NOT elsewhere ORDER BY {_ORDER}")
    stage.write("copies", part, f"FROM ({placed}) WHERE place > 1 OR elsewhere ORDER BY {_ORDER}")
