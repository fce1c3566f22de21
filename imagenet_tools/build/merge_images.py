"""Merge the images of an index: settle ids and box counts, refuse contradictions, write the files that change."""

from __future__ import annotations

import importlib
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from imagenet_tools.build.merge_other_bytes import OtherBytes
from imagenet_tools.build.plain import (
    HEAD,
    NAMED_CLASS,
    PART,
    PLAIN,
    OddImages,
    classes_in_splits,
    classes_named,
    names_in,
    plain_images,
)
from imagenet_tools.build.plain_files import PlainFileTask, write_plain
from imagenet_tools.build.stage import DROPPED, columns_of, parquet
from imagenet_tools.errors import ImagenetToolsError
from imagenet_tools.storage.processes import in_processes
from imagenet_tools.text import count_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

    import pyarrow as pa

    from imagenet_tools.build.stage import Relation, Stage
    from imagenet_tools.store.layout import FileEntry

# SQL condition: a foreign name, which no release shares. The id of such an image is its stem if the data set's stems
# are unique, else its path without suffix. An id that its source gives, as exports of this project do, is kept.
_FOREIGN = "starts_with(photo, dataset || '/')"
# An image directly in a class tar has its class in the name of the tar.
_MEMBER = "CASE WHEN contains(member, '/') THEN member ELSE file || coalesce('/' || member, '') END"
_PATH = rf"regexp_replace(replace({_MEMBER}, '.tar/', '/'), '\.[^./]+$', '')"
_STEM = f"regexp_extract({_PATH}, '[^/]+$')"
# SQL condition: the id names one class, the folder is of another. If the image is in its own class too, it is of that.
_ELSEWHERE = r"regexp_full_match(image_id, 'n\d{8}_\d+') AND left(image_id, 9) <> wnid"
_HASH32 = "('0x' || left(sha256(photo), 8))::UBIGINT::UINTEGER"

# Order of the places of one image, and order of the rows of a file.
_PLACE = 'source, file, "offset", member, position'
_ORDER = f'dataset, split, wnid, image_id, "offset" IS NULL, {_PLACE}'

# For fewer images, starting worker processes takes longer than writing in this one.
_MIN_IMAGES_FOR_WORKERS = 100_000


class _Comparison(NamedTuple):
    """Relations of the images that are compared with each other.

    Attributes:
        settle: Returns a query of rows of images with settled ids, photos and box counts.
        counts: Table (dataset, image_id, n) of box counts.
        by_path: Table of the data sets whose ids are paths.
        misfiled: Table (dataset, image_id, wnid) of images that are in another class's folder and in their own.
        images: View of all compared images, with settled ids and box counts.
        beside: Table of those in their own class that `misfiled` images are compared with.
        any: There are such images.
    """

    settle: Callable[[str], str]
    counts: Relation
    by_path: Relation
    misfiled: Relation
    images: Relation
    beside: Relation
    any: bool


def merge_images(
    stage: Stage,
    odd: OddImages,
    *,
    counts: Relation,
    problems: Relation,
    seek_points: Sequence[FileEntry],
    changed: Collection[str] = (),
) -> dict[str, list[FileEntry]]:
    """Write the files of images and copies that change, and keep the others. Return the files by table.

    Args:
        stage: The merge.
        odd: The images that are compared with all others.
        counts: Table (dataset, image_id, n): the number of boxes of each image that has any.
        problems: View of the problems of all units.
        seek_points: Files of the seek points of the next index.
        changed: Classes, as ids name them, of images whose count may differ from the old one.

    Raises:
        SourceError: Two sources contradict each other.
        ImagenetToolsError: An image would be lost.
    """
    compared = _compare(stage, odd, counts)
    _refuse_contradictions(stage, compared, problems)
    odd_parts, new = _units_by_part(stage, odd)
    touched = new.keys() | odd_parts | _touched_parts(stage, odd, compared, changed)
    odd_parts |= {entry.part for entry in odd.entries}
    images, copies = (
        [entry for entry in stage.old_entries(table) if entry.part not in touched] for table in ("images", "copies")
    )
    plain = {part: new.get(part, set()) for part in sorted(touched - odd_parts)}
    for part, written in _write_plain_parts(stage, plain, counts):
        if written is None:
            odd_parts.add(part)
        else:
            images += written
    other_bytes = OtherBytes(stage, compared.misfiled, problems, seek_points)
    complete = True
    for part in sorted(touched & odd_parts):
        with stage.dropping():
            entries = _write_part(stage, part, new.get(part, set()), compared, other_bytes)
        if entries is None:
            complete = False
        else:
            images += entries[0]
            copies += entries[1]
    if not complete:
        other_bytes.refuse_many()
    for files in (images, copies):
        files.sort(key=lambda entry: entry.part)
    _check_none_lost(stage, [*images, *copies])
    return {"images": images, "copies": copies}


def _compare(stage: Stage, odd: OddImages, counts: Relation) -> _Comparison:
    """Return the relations of the odd images and of the plain images that may be the same."""
    rows = odd.rows.all
    foreign = odd.any and bool(stage.fetch(f"SELECT 1 FROM {rows} WHERE {_FOREIGN} LIMIT 1"))
    by_path = stage.table(
        f"""SELECT DISTINCT dataset FROM (
                SELECT dataset, {_STEM} AS stem FROM {rows} WHERE {_FOREIGN}
                GROUP BY ALL HAVING count(DISTINCT {_PATH}) > 1)"""
    )
    settle = partial(_settled, foreign=foreign, by_path=by_path, counts=counts)
    classes = classes_in_splits(stage, odd.plain)
    if odd.any:
        classes |= classes_named(stage, rows) | classes_named(stage, f"({settle(rows)})")
    near = plain_images(stage, odd, classes)
    unsettled = stage.view(f"FROM {rows} UNION ALL FROM {near.all}")
    misfiled = stage.table(
        f"""SELECT DISTINCT dataset, image_id, wnid
            FROM (SELECT dataset, image_id, wnid, split FROM {rows} WHERE {_ELSEWHERE}) AS odd
            SEMI JOIN {unsettled} AS proper
                ON proper.dataset = odd.dataset AND proper.image_id = odd.image_id
                AND proper.wnid = left(odd.image_id, 9) AND proper.split IS NOT DISTINCT FROM odd.split"""
    )
    images = stage.view(settle(unsettled))
    beside = stage.table(f"FROM {images} SEMI JOIN {misfiled} USING (dataset, image_id) WHERE wnid = left(image_id, 9)")
    return _Comparison(settle, counts, by_path, misfiled, images, beside, any=odd.any or bool(classes))


def _settled(rows: str, *, foreign: bool, by_path: Relation, counts: Relation) -> str:
    """Return a query of rows of images with settled ids, photos and box counts."""
    if foreign:
        rows = f"""(SELECT * REPLACE (CASE WHEN {_FOREIGN} THEN {_HASH32} ELSE hash32 END AS hash32) FROM (
                    SELECT * REPLACE (CASE WHEN {_FOREIGN} THEN dataset || '/' || image_id ELSE photo END AS photo)
                    FROM (SELECT * REPLACE (CASE WHEN NOT {_FOREIGN} OR image_id NOT IN ({_STEM}, {_PATH}) THEN image_id
                                                 WHEN dataset IN (FROM {by_path}) THEN {_PATH}
                                                 ELSE {_STEM} END AS image_id) FROM {rows})))"""
    return f"""SELECT rows.* REPLACE (coalesce(chosen.n, 0)::INTEGER AS n_boxes)
               FROM {rows} AS rows LEFT JOIN {counts} AS chosen USING (dataset, image_id)"""


def _refuse_contradictions(stage: Stage, compared: _Comparison, problems: Relation) -> None:
    if stage.has_rows("problems"):
        stage.refuse(
            "are in a folder of another class than the official ground truth gives",
            "Were they sorted by another list, or by ILSVRC ids taken for sorted indices? Sort them again, or index "
            "the flat tar.",
            f"""SELECT image_id, reason AS found, 'they must agree' AS expected
                FROM {problems} WHERE code = 'label_contradiction'""",
        )
    if compared.any:
        stage.refuse(
            "are in two classes or two splits of one data set",
            "If a source is a data set of its own, name it: --dataset NAME.",
            f"""SELECT image_id, min(place) AS found, max(place) AS expected FROM (
                    SELECT dataset, image_id, coalesce(split, '') || coalesce(wnid, '') AS kind,
                           'it is in ' || coalesce(split, 'no split') || ', ' || coalesce(wnid, 'no class')
                           || ' in ' || source AS place
                    FROM {compared.images} ANTI JOIN {compared.misfiled} USING (dataset, image_id, wnid))
                GROUP BY dataset, image_id HAVING count(DISTINCT kind) > 1""",
        )


def _check_none_lost(stage: Stage, written: Sequence[FileEntry]) -> None:
    """Raise ImagenetToolsError unless the files have every new row, and every old row whose unit stays."""
    old = stage.old_entries("images", "copies")
    expected = sum(part.counts.get("images", 0) for part in stage.parts.values())
    expected += sum(entry.rows for entry in old)
    if old and stage.dropped:
        files = parquet(stage.old_paths("images", "copies"))
        ((dropped,),) = stage.fetch(f"SELECT count(*) FROM {files} WHERE {DROPPED}")
        expected -= dropped
    n_written = sum(entry.rows for entry in written)
    if n_written != expected:
        raise ImagenetToolsError(
            f"The index cannot be made: expected {count_of(expected, 'image')} and copies, found {n_written:,} "
            "written. Nothing was changed. This is a fault of imagenet-tools: please report it, with the names of the "
            "sources."
        )


# ---- which files change


def _units_by_part(stage: Stage, odd: OddImages) -> tuple[set[str], dict[str, set[int]]]:
    """Return (the parts with new rows of odd units, the new units by part)."""
    units: dict[str, set[int]] = {}
    for unit, known in stage.parts.items():
        for home in known.plain or ():
            units.setdefault(home.part, set()).add(unit)
    odd_parts: set[str] = set()
    if odd.units:
        for unit, part in stage.fetch(f"SELECT DISTINCT unit, {PART} FROM {odd.rows.new}"):
            odd_parts.add(part)
            units.setdefault(part, set()).add(unit)
    return odd_parts, units


def _touched_parts(stage: Stage, odd: OddImages, compared: _Comparison, changed: Collection[str]) -> set[str]:
    """Return the old parts to write again: rows are dropped, or their ids, box counts or copies may change."""
    queries = []
    old = stage.old_paths("images", "copies")
    if old and stage.dropped:
        queries.append(f"SELECT DISTINCT {PART} FROM {parquet(old)} WHERE {DROPPED}")
    if old and changed:
        datasets = {file.dataset for file in odd.plain}
        counted = plain_images(stage, odd, {(dataset, wnid) for wnid in changed for dataset in datasets})
        queries.append(
            f"""SELECT DISTINCT {PART} FROM (FROM {odd.rows.all} UNION ALL FROM {counted.all})
                LEFT JOIN {compared.counts} USING (dataset, image_id) WHERE n_boxes <> coalesce(n, 0)"""
        )
    if odd.entries:
        files = parquet(stage.folder / entry.file for entry in odd.entries)
        queries.append(
            f"""SELECT DISTINCT {PART} FROM {files}
                WHERE {_FOREIGN} AND image_id IN ({_STEM}, {_PATH})
                AND image_id <> CASE WHEN dataset IN (FROM {compared.by_path}) THEN {_PATH} ELSE {_STEM} END"""
        )
        # Images that are copies now because they are in their own class too; and copies that may be none any more.
        images, copies = (
            stage.written_rows(table, [entry for entry in stage.old_entries(table) if entry in odd.entries])
            for table in ("images", "copies")
        )
        queries.append(f"SELECT {PART} FROM {images} SEMI JOIN {compared.misfiled} USING (dataset, image_id, wnid)")
        queries.append(f"SELECT DISTINCT {PART} FROM {copies} WHERE {_ELSEWHERE}")
    return {part for query in queries for (part,) in stage.fetch(query)}


# ---- files of plain images


def _write_plain_parts(
    stage: Stage, parts: dict[str, set[int]], counts: Relation
) -> Iterator[tuple[str, list[FileEntry] | None]]:
    """Write the files of parts whose images are all plain. Yield (part, None) if an image is in it twice."""
    tasks = list(_tasks(stage, parts, counts))
    n_images = sum(part.counts["images"] for task in tasks for part in task.new)
    results: Iterable[list[FileEntry] | None] = map(write_plain, tasks)
    if stage.threads > 1 and len(tasks) > 1 and n_images > _MIN_IMAGES_FOR_WORKERS:
        importlib.import_module("pyarrow.parquet")  # once, before the processes are forked
        results = in_processes(write_plain, tasks, stage.threads)
    yield from zip(parts, results, strict=True)


def _tasks(stage: Stage, parts: dict[str, set[int]], counts: Relation) -> Iterator[PlainFileTask]:
    old = {entry.part: stage.folder / entry.file for entry in stage.old_entries("images")}
    boxes = _box_counts(stage, counts)
    for part, units in parts.items():
        dataset, _, head = names_in(part)
        new = tuple(stage.parts[unit] for unit in sorted(units))
        dropped = stage.dropped if part in old else ()
        yield PlainFileTask(stage.folder, part, new, old.get(part), dropped, boxes.get((dataset, head)))


def _box_counts(stage: Stage, counts: Relation) -> dict[tuple[str, str], pa.RecordBatch]:
    """Return (image_id, n), the number of boxes of each image that has any, by data set and head."""
    import pyarrow as pa

    if not stage.has_rows("boxes", "unused_boxes"):
        return {}
    # One query: each of 43 would take 0.1 s for a million boxes.
    groups = stage.sql.sql(
        f"""SELECT dataset, {HEAD} AS head, list({{'image_id': image_id, 'n': n}}) AS images
            FROM (SELECT *, {NAMED_CLASS} AS wnid FROM {counts}) GROUP BY ALL"""
    ).to_arrow_table()
    boxes: dict[tuple[str, str], pa.RecordBatch] = {}
    for dataset, head, images in zip(*groups.columns, strict=True):
        batch = pa.RecordBatch.from_struct_array(images.values)
        # A copy: pickled, a slice has the rows of all groups.
        boxes[dataset.as_py(), head.as_py()] = pa.ipc.read_record_batch(batch.serialize(), batch.schema)
    return boxes


# ---- files of compared images


def _write_part(
    stage: Stage, part: str, units: set[int], compared: _Comparison, other_bytes: OtherBytes
) -> tuple[list[FileEntry], list[FileEntry]] | None:
    """Write the files of images and copies of one part. Return None, without a file, if too many have other bytes."""
    columns = columns_of("images")
    images, copies = (
        [stage.folder / entry.file for entry in stage.old_entries(table) if entry.part == part]
        for table in ("images", "copies")
    )
    new = stage.arrow(stage.new("images", sorted(units)))
    rows = f"SELECT {columns} FROM {new} WHERE {PART} = '{part}'"
    if images or copies:
        rows += f" UNION ALL SELECT {columns} FROM {parquet([*images, *copies])} WHERE NOT {DROPPED}"
    settled = stage.table(compared.settle(f"({rows})"))
    stage.drop(new)
    # Numbering the places of each image is the slowest step, and is needed only if an image has two.
    key = "USING (dataset, image_id, wnid)"
    ((once, plain),) = stage.fetch(
        f"""SELECT count(*) = count(DISTINCT image_id) AND count(m.wnid) = 0, bool_and({PLAIN})
            FROM {settled} LEFT JOIN {compared.misfiled} AS m {key}"""
    )
    if once:
        return stage.write("images", part, f"FROM {settled} ORDER BY {_ORDER}", plain=bool(plain)), []
    ranked = other_bytes.rank(settled, images, copies, f"FROM {compared.beside} WHERE {PART} <> '{part}'")
    if ranked is None:
        return None
    first = f'PARTITION BY dataset, image_id ORDER BY elsewhere, "offset" IS NULL, {_PLACE}'
    known = f"""SELECT settled.*, m.wnid IS NOT NULL AS elsewhere, r.place AS ranked,
                       coalesce(r.other_bytes, false) AS other_bytes
                FROM {settled} AS settled LEFT JOIN {compared.misfiled} AS m {key}
                LEFT JOIN {ranked} AS r ON settled.rowid = r.row"""
    placed = f"SELECT *, coalesce(ranked, row_number() OVER ({first})) AS place FROM ({known})"
    return (
        stage.write("images", part, f"FROM ({placed}) WHERE place = 1 AND NOT elsewhere ORDER BY {_ORDER}"),
        stage.write("copies", part, f"FROM ({placed}) WHERE place > 1 OR elsewhere ORDER BY {_ORDER}"),
    )
