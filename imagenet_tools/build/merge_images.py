"""The images of an index: ids, boxes and copies settled, contradictions refused, and the files that change written."""

from __future__ import annotations

import importlib
from itertools import accumulate
from typing import TYPE_CHECKING

from imagenet_tools.build import merge_other_bytes
from imagenet_tools.build.plain import HEAD, PART, PLAIN
from imagenet_tools.build.plain_files import (
    FRAME,
    NAMED_CLASS,
    Work,
    WrittenFile,
    classes_in_splits,
    classes_named,
    define_plain,
    odd_entries,
    odd_units,
    plain_entries,
    write_plain,
)
from imagenet_tools.build.stage import parquet
from imagenet_tools.errors import ImagenetToolsError
from imagenet_tools.schema import TABLES
from imagenet_tools.storage.processes import in_processes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    import pyarrow as pa

    from imagenet_tools.build.stage import Stage

# A name that no release shares: its id is the stem while the data set's stems differ, else the path without suffix.
# Where the source itself tells the id, as exports of this project do, it is that.
_FOREIGN = "starts_with(photo, dataset || '/')"
# A member that lies loose in a class tar has its class from the name of the tar.
_MEMBER = "CASE WHEN contains(member, '/') THEN member ELSE file || coalesce('/' || member, '') END"
_PATH = rf"regexp_replace(replace({_MEMBER}, '.tar/', '/'), '\.[^./]+$', '')"
_STEM = f"regexp_extract({_PATH}, '[^/]+$')"
# An image named by a class, in the folder of another one. Where it stands in its own class too, it is of that one.
_ELSEWHERE = r"regexp_full_match(image_id, 'n\d{8}_\d+') AND left(image_id, 9) <> wnid"
_HASH32 = "('0x' || left(sha256(photo), 8))::UBIGINT::UINTEGER"

# Which of several places of the same bytes is the first one, and the order of rows in a file.
_PLACE = 'source, file, "offset", member, position'
_ORDER = f'dataset, split, wnid, image_id, "offset" IS NULL, {_PLACE}'

# Fewer images are written sooner than other processes start.
_FEW = 100_000


def merge_images(stage: Stage, *, changed: Iterable[str] = ()) -> list[Path]:
    """Write the files of images and copies that change, and keep the others. SourceError: a contradiction.

    Needs the table chosen_counts (dataset, image_id, n) of the boxes, and the classes, as ids have them, of the images
    of which it may say something else than before. Defines the views images and copies, and the table frames of the
    images with boxes, but for those in the files that it gives.
    """
    stage.define("all_problems", "problems")
    foreign = _hold_against_each_other(stage)
    _check(stage)
    odd, new = _units_by_part(stage)
    touched = new.keys() | odd | _touched_parts(stage, changed)
    odd |= {entry.part for entry in odd_entries(stage)}
    for table in ("images", "copies"):
        stage.keep(table, but=touched)
    columns = ", ".join(FRAME)
    stage.sql.execute(f"CREATE TEMP TABLE frames AS SELECT {columns} FROM odd_images LIMIT 0")
    odd |= _write_plain_parts(stage, {part: new.get(part, set()) for part in sorted(touched - odd)})
    written = [_write_part(stage, part, new.get(part, set()), foreign=foreign) for part in sorted(touched & odd)]
    if not all(written):
        merge_other_bytes.refuse_many(stage)
    for table in ("images", "copies"):
        stage.tables.get(table, []).sort(key=lambda entry: entry.part)
    _check_none_lost(stage)
    stage.view("images")
    stage.view("copies")
    return [stage.folder / entry.file for entry in stage.tables.get("images", []) if entry.part not in touched - odd]


def _hold_against_each_other(stage: Stage) -> bool:
    """Define the views found_images and all_images of those that may be one; the tables by_path, misfiled and beside.

    Gives whether some images have names that no release shares.
    """
    foreign: bool = stage.sql.execute(f"SELECT count(*) > 0 FROM odd_images WHERE {_FOREIGN}").fetchall()[0][0]
    stage.sql.execute(
        f"""CREATE TEMP TABLE by_path AS SELECT DISTINCT dataset FROM (
                SELECT dataset, {_STEM} AS stem FROM odd_images WHERE {_FOREIGN}
                GROUP BY ALL HAVING count(DISTINCT {_PATH}) > 1)"""
    )
    named = classes_named(stage, "odd_images") | classes_named(stage, f"({_settled('odd_images', foreign=foreign)})")
    define_plain(stage, "near_images", named | classes_in_splits(stage))
    stage.sql.execute("CREATE TEMP VIEW found_images AS FROM odd_images UNION ALL FROM near_images")
    stage.sql.execute(
        f"""CREATE TEMP TABLE misfiled AS SELECT DISTINCT dataset, image_id, wnid
            FROM (SELECT dataset, image_id, wnid, split FROM odd_images WHERE {_ELSEWHERE}) AS here
            SEMI JOIN found_images AS own
                ON own.dataset = here.dataset AND own.image_id = here.image_id AND own.wnid = left(here.image_id, 9)
                AND own.split IS NOT DISTINCT FROM here.split"""
    )
    stage.sql.execute(f"CREATE TEMP VIEW all_images AS {_settled('found_images', foreign=foreign)}")
    # The images in their own classes that misfiled ones are compared with.
    stage.sql.execute(
        """CREATE TEMP TABLE beside AS FROM all_images
           SEMI JOIN misfiled USING (dataset, image_id) WHERE wnid = left(image_id, 9)"""
    )
    return foreign


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
    stage.refuse(
        "stand in two classes or two splits of one data set",
        "Where a source is a data set of its own, name it: --dataset NAME.",
        """SELECT image_id, min(place) AS found, max(place) AS expected FROM (
             SELECT dataset, image_id, coalesce(split, '') || coalesce(wnid, '') AS kind,
                    'it is in ' || coalesce(split, 'no split') || ', ' || coalesce(wnid, 'no class')
                    || ' in ' || source AS place
             FROM all_images ANTI JOIN misfiled USING (dataset, image_id, wnid))
           GROUP BY dataset, image_id HAVING count(DISTINCT kind) > 1""",
    )


def _check_none_lost(stage: Stage) -> None:
    """Every image that was found is written, and every one that was written before and stays: whatever goes wrong."""
    old = [entry for table in ("images", "copies") for entry in stage.old.tables.get(table, [])]
    expected = sum(part.tables["images"][2] for part in stage.parts.values() if "images" in part.tables)
    expected += sum(entry.rows for entry in old)
    if old and stage.dropped:
        files = parquet(stage.folder / entry.file for entry in old)
        query = f"SELECT count(*) FROM {files} WHERE unit IN (FROM dropped)"
        expected -= stage.sql.execute(query).fetchall()[0][0]
    found = sum(entry.rows for table in ("images", "copies") for entry in stage.tables.get(table, []))
    if found != expected:
        message = (
            f"The index cannot be made: expected {expected:,} images and copies, found {found:,} written. Nothing was "
            "changed. This is a fault of imagenet-tools: please report it, with the names of the sources."
        )
        raise ImagenetToolsError(message)


def _units_by_part(stage: Stage) -> tuple[set[str], dict[str, set[int]]]:
    """(the parts with new rows that are not plain, or beside such; the units of new rows by part)."""
    units: dict[str, set[int]] = {}
    for unit, known in stage.parts.items():
        for home in known.plain or ():
            units.setdefault(home.part, set()).add(unit)
    odd: set[str] = set()
    if odd_units(stage):
        for unit, part in stage.sql.execute(f"SELECT DISTINCT unit, {PART} FROM new_odd_images").fetchall():
            odd.add(part)
            units.setdefault(part, set()).add(unit)
    return odd, units


def _touched_parts(stage: Stage, changed: Iterable[str]) -> set[str]:
    """The old parts that must be written: with rows that go, with another id, or another count of boxes."""
    all_old = [path for table in ("images", "copies") for path in stage.old.paths(stage.folder, table)]
    queries = []
    if all_old and stage.dropped:
        queries.append(f"SELECT DISTINCT {PART} FROM {parquet(all_old)} WHERE unit IN (FROM dropped)")
    if all_old and changed:
        sets = {dataset for _, dataset, _, _ in plain_entries(stage)}
        define_plain(stage, "counted_images", {(one, wnid) for wnid in changed for one in sets})
        queries.append(
            f"""SELECT DISTINCT {PART} FROM (FROM odd_images UNION ALL FROM counted_images)
                LEFT JOIN chosen_counts USING (dataset, image_id) WHERE n_boxes <> coalesce(n, 0)"""
        )
    if odd := [stage.folder / entry.file for entry in odd_entries(stage)]:
        queries.append(
            f"""SELECT DISTINCT {PART} FROM {parquet(odd)}
                WHERE {_FOREIGN} AND image_id IN ({_STEM}, {_PATH})
                AND image_id <> CASE WHEN dataset IN (FROM by_path) THEN {_PATH} ELSE {_STEM} END"""
        )
        queries.append(_moved(stage))
    return {part for query in queries for (part,) in stage.sql.execute(query).fetchall()}


def _moved(stage: Stage) -> str:
    """The old parts of images that are copies now, as they are in their own class too, and of those that were.

    The latter are no copies any more, or are compared with images that may be others now.
    """
    odd, rows = odd_entries(stage), {}
    for table in ("images", "copies"):
        files = [stage.folder / entry.file for entry in stage.old.tables.get(table, []) if entry in odd]
        rows[table] = f"(FROM {parquet(files)})" if files else "(FROM odd_images LIMIT 0)"
    return f"""SELECT {PART} FROM {rows["images"]} SEMI JOIN misfiled USING (dataset, image_id, wnid)
               UNION SELECT {PART} FROM {rows["copies"]} WHERE {_ELSEWHERE}"""


def _write_plain_parts(stage: Stage, parts: dict[str, set[int]]) -> set[str]:
    """Write the files of parts whose images are all plain; gives those in which some stand twice, left unwritten."""
    works = list(_works(stage, parts))
    n_images = sum(part.tables["images"][2] for work in works for part in work.new)
    results: Iterable[WrittenFile | None] = map(write_plain, works)
    if stage.threads > 1 and len(works) > 1 and n_images > _FEW:
        importlib.import_module("pyarrow.parquet")  # once, for all processes that are forked
        results = in_processes(write_plain, works, stage.threads)
    twice = set()
    for work, written in zip(works, results, strict=True):
        if written is None:
            twice.add(work.part)
            continue
        if written.entry is not None:
            stage.tables.setdefault("images", []).append(written.entry)
        if written.frames.num_rows:
            stage.sql.register("some_frames", written.frames)
            stage.sql.execute("INSERT INTO frames FROM some_frames")
    return twice


def _works(stage: Stage, parts: dict[str, set[int]]) -> Iterator[Work]:
    old = {entry.part: stage.folder / entry.file for entry in stage.old.tables.get("images", [])}
    counts, places = _counts(stage)
    for part, units in parts.items():
        dataset, _, head = part.rsplit("-", 2)
        before = (old[part],) if part in old else ()
        new = tuple(stage.parts[unit] for unit in sorted(units))
        boxes = counts.slice(*places.get((dataset, head), (0, 0)))
        yield Work(stage.folder, part, new, before, stage.dropped if before else (), boxes)


def _counts(stage: Stage) -> tuple[pa.Table, dict[tuple[str, str], tuple[int, int]]]:
    """image_id and n of the images with boxes; and by data set and head of the id, the first of them and how many."""
    heads = f"SELECT dataset, {HEAD} AS head, image_id, n FROM (SELECT *, {NAMED_CLASS} AS wnid FROM chosen_counts)"
    runs = stage.sql.execute(f"SELECT dataset, head, count(*) FROM ({heads}) GROUP BY ALL ORDER BY ALL").fetchall()
    ends = list(accumulate((n for *_, n in runs), initial=0))
    counts = stage.sql.sql(f"SELECT image_id, n FROM ({heads}) ORDER BY dataset, head, image_id").to_arrow_table()
    return counts, {(dataset, head): (end, n) for (dataset, head, n), end in zip(runs, ends, strict=False)}


def _write_part(stage: Stage, part: str, units: set[int], *, foreign: bool) -> bool:
    """Write the files of one part of images and copies, from its new units and its old files alone.

    Returns False, and writes nothing, where too many images have other bytes.
    """
    names = [column.name for column in TABLES["images"].columns]
    columns = ", ".join(f'"{name}"' for name in names)
    stage.sql.register("piece", stage.new("images", sorted(units)))
    union = [f"SELECT {columns} FROM piece WHERE {PART} = '{part}'"]
    before = {
        table: [stage.folder / entry.file for entry in stage.old.tables.get(table, []) if entry.part == part]
        for table in ("images", "copies")
    }
    if files := [*before["images"], *before["copies"]]:
        union.append(f"SELECT {columns} FROM {parquet(files)} WHERE unit NOT IN (FROM dropped)")
    rows = f"({' UNION ALL '.join(union)})"
    stage.sql.execute(f"CREATE OR REPLACE TEMP TABLE settled AS {_settled(rows, foreign=foreign)}")
    # Numbering the places of each image costs more than all the rest, and is needed where one has two.
    key = "USING (dataset, image_id, wnid)"
    once, plain = stage.sql.execute(
        f"""SELECT count(*) = count(DISTINCT image_id) AND count(m.wnid) = 0, bool_and({PLAIN})
            FROM settled LEFT JOIN misfiled AS m {key}"""
    ).fetchall()[0]
    if once:
        stage.write("images", part, f"FROM settled ORDER BY {_ORDER}", plain=bool(plain))
        return True
    if not merge_other_bytes.choose(stage, before, f"FROM beside WHERE {PART} <> '{part}'"):
        return False
    first = f'PARTITION BY dataset, image_id ORDER BY elsewhere, "offset" IS NULL, {_PLACE}'
    known = f"""SELECT settled.*, m.wnid IS NOT NULL AS elsewhere, r.place AS ranked,
                       coalesce(r.other_bytes, false) AS other_bytes
                FROM settled LEFT JOIN misfiled AS m {key} LEFT JOIN ranked AS r ON settled.rowid = r.row"""
    placed = f"SELECT *, coalesce(ranked, row_number() OVER ({first})) AS place FROM ({known})"
    stage.write("images", part, f"FROM ({placed}) WHERE place = 1 AND NOT elsewhere ORDER BY {_ORDER}")
    stage.write("copies", part, f"FROM ({placed}) WHERE place > 1 OR elsewhere ORDER BY {_ORDER}")
    return True
