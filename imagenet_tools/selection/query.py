"""The SQL of a selection: every image of the index, with its class and split, or the step that left it out.

    _tested     images, with the step that leaves each out: before the classes are known, and after
    _classed    with the class that its wnid becomes
    _divided    with its draws and the split it falls into
    made        the result: the columns of images, with the selection's split and wnid, the official ones beside them,
                and left_out
    class_boxes the table boxes, with the wnids of the selection's classes

Some values depend on all images of a class, such as the place of its n-th lowest draw. cuts.py finds them before and
passes them in. So the query handles each image alone, and its memory does not grow with the number of images.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from imagenet_tools.errors import QueryError, UsageError
from imagenet_tools.schema import TABLES
from imagenet_tools.selection import steps
from imagenet_tools.selection.splits import REST, Split, draw_sql, thresholds
from imagenet_tools.store.connection import GROUPS, LOCK

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

    from imagenet_tools.selection.lock import Lock
    from imagenet_tools.selection.words import Choice
    from imagenet_tools.store.store import Store

_Result = TypeVar("_Result")

# Images with the same draw are ordered by this key.
KEY = "photo || chr(9) || dataset || chr(9) || image_id"


class Sql(NamedTuple):
    """SQL text and the values of its parameters."""

    text: str
    values: dict[str, object]


class Cut(NamedTuple):
    """The last image that is taken: its draw, 0 to splits.EVERY, and its key."""

    drawn: int
    key: str


class Request(NamedTuple):
    """The conditions that a selection puts on the images of an index."""

    choice: Choice
    demands: tuple[tuple[str, str], ...]  # (reason, SQL condition) of an export target
    joins: str  # SQL that joins the user's tables to images


class Prepared(NamedTuple):
    """The values that depend on all images, found before the query."""

    class_of: Mapping[str, str]  # the class that each wnid becomes
    reasons: Mapping[str, str] = {}  # the step that leaves out each other wnid
    late: Mapping[str, str] = {}  # the step that leaves out a whole class, once its images are counted
    sides: Mapping[str, str] = {}  # for a split of classes: the split of each class
    counts: Mapping[str, Sequence[Cut]] = {}  # for a count split: the cuts of each class
    amounts: Mapping[tuple[str, str], Cut] = {}  # for per_class: the cut of each (split, class) that has too many
    limit: Cut | None = None
    mixed: bool = False  # some images have an official split and others have none: see steps.first


# ---- Tables of the user


def user_tables(choice: Choice, pinned: Lock | None) -> dict[str, Path | pa.Table]:
    """Return the tables that a cursor has, by name: those of --with, the groups, or the ids of a lock."""
    if pinned is not None and pinned.ids is not None:
        return {LOCK: pinned.ids}
    tables = {name: Path(table) if isinstance(table, str) else table for name, table in choice.with_.items()}
    return tables | ({GROUPS: Path(choice.groups)} if choice.groups else {})


def joins(index: Store, choice: Choice, cursor: duckdb.DuckDBPyConnection) -> tuple[str, list[str]]:
    """Return SQL that joins the user's tables to images, and notes on tables with rows that join no image.

    Args:
        index: An open index.
        choice: The words that name the tables.
        cursor: A cursor that has the tables.

    Raises:
        UsageError: A table has no row that joins an image.
        QueryError: A table cannot be joined by its key.
    """
    import duckdb

    clauses: list[str] = []
    notes: list[str] = []
    for name, path in user_tables(choice, None).items():
        flag = f"--groups {path.name}" if name == GROUPS else f"--with {name}"
        flag += f"={path.name}" if name != GROUPS and isinstance(path, Path) else ""
        keys = index.keys(name, path)
        table = f'"{name}"'
        lost = f"(SELECT {keys} FROM {table} ANTI JOIN images USING ({keys}))"
        try:
            ((n_rows, n_lost, first),) = cursor.execute(
                f"""SELECT (SELECT count(*) FROM {table}), (SELECT count(*) FROM {lost}),
                           (SELECT concat_ws('/', {keys}) FROM {lost} ORDER BY ALL LIMIT 1)"""
            ).fetchall()
        except duckdb.Error as error:
            raise QueryError(f"{flag}: it cannot be joined to images by {keys}. {_first_line(error)}") from error
        named = f", {first} first" if n_lost else ""
        if name == GROUPS:  # without other columns, so that none of these hides a column in a condition
            table = f'(SELECT {keys}, "group"::VARCHAR AS _group FROM {GROUPS}) AS {GROUPS}'
        clauses.append(f"LEFT JOIN {table} USING ({keys})")
        if n_lost == n_rows:
            raise UsageError(
                f"{flag}: none of its {n_rows:,} rows joins an image of the index by {keys}{named}. Expected values as "
                "the table images has them; `query` shows them."
            )
        if n_lost:
            notes.append(f"{flag}: {n_lost:,} of its {n_rows:,} rows join no image of the index{named}")
    return " ".join(clauses), notes


def _first_line(error: Exception) -> str:
    """Return the message of DuckDB on one line, without the part of the query that it prints."""
    return " ".join(str(error).partition("\n\n")[0].split("\n"))


def ask(run: Callable[[str, dict[str, object]], _Result], sql: Sql, choice: Choice) -> _Result:
    """Run SQL with those of its values that it names.

    Raises:
        QueryError: DuckDB refused the query, and the user's conditions are in it.
    """
    import duckdb

    names = set(re.findall(r"\$(\w+)", sql.text))
    try:
        return run(sql.text, {name: value for name, value in sql.values.items() if name in names})
    except duckdb.Error as error:
        conditions = [f"--where {condition}" for condition in choice.where]
        conditions += [f"--class-where {condition}" for condition in choice.class_where]
        if not conditions:
            raise
        raise QueryError(f"{' '.join(conditions)}: {_first_line(error)}") from error


# ---- The query


def whole(request: Request, prepared: Prepared, only: Sequence[str] | None = None) -> Sql:
    """Return the WITH clause with all tables; `only` restricts it to images of these official wnids."""
    tables = [*_classed(request, prepared, only), *_divided(request.choice), *_made(request.choice, prepared)]
    return _with(tables, _values(request.choice, prepared, only))


def of_table(request: Request, prepared: Prepared, table: str, only: Sequence[str] | None = None) -> Sql:
    """Return the WITH clause as whole(), with the rows of `made` from a table that has them."""
    where = "" if only is None else " WHERE official_wnid IN (SELECT unnest($_only::VARCHAR[]))"
    tables = [_CLASSES, f"made AS (FROM {table}{where})", _CLASS_BOXES]
    return _with(tables, _values(request.choice, prepared, only))


def divided(request: Request, prepared: Prepared, only: Sequence[str] | None = None) -> Sql:
    """Return the WITH clause up to `_divided`."""
    return _with(
        [*_classed(request, prepared, only), *_divided(request.choice)], _values(request.choice, prepared, only)
    )


def classed(request: Request, prepared: Prepared) -> Sql:
    """Return the WITH clause up to `_classed`."""
    return _with(_classed(request, prepared, None), _values(request.choice, prepared, None))


def _with(tables: Iterable[str], values: dict[str, object]) -> Sql:
    return Sql(f"WITH {', '.join(tables)}\n", values)


def _values(choice: Choice, prepared: Prepared, only: Sequence[str] | None) -> dict[str, object]:
    """Return the values of all parameters; Selection passes on those that a query names."""
    wnids = sorted({*prepared.class_of, *prepared.reasons})
    classes = [prepared.class_of.get(wnid, "") for wnid in wnids]
    amounts = prepared.amounts.items()
    values: dict[str, object] = {
        "_only": only,
        "_wnid": wnids,
        "_class": [wnid or None for wnid in classes],
        "_reason": [prepared.reasons.get(wnid) for wnid in wnids],
        "_late": [prepared.late.get(wnid) for wnid in classes],
        "_side": [prepared.sides.get(wnid) for wnid in classes],
        "_count_class": list(prepared.counts),
        "_amount_split": [split for (split, _), _ in amounts],
        "_amount_class": [wnid for (_, wnid), _ in amounts],
        "_amount_draw": [cut.drawn for _, cut in amounts],
        "_amount_key": [cut.key for _, cut in amounts],
        "_limit_draw": prepared.limit.drawn if prepared.limit else None,
        "_limit_key": prepared.limit.key if prepared.limit else None,
    }
    for n in range(len(choice.split.amounts)):
        values[f"_count_draw{n}"] = [cuts[n].drawn for cuts in prepared.counts.values()]
        values[f"_count_key{n}"] = [cuts[n].key for cuts in prepared.counts.values()]
    return values


def _value_table(name: str, **types: str) -> str:
    """Return a table with a column for each list of values, by the SQL type of its values."""
    columns = (f"unnest(${column}::{kind}[]) AS {column}" for column, kind in types.items())
    return f"{name} AS (SELECT {', '.join(columns)})"


_CLASSES = _value_table(
    "_classes", _wnid="VARCHAR", _class="VARCHAR", _reason="VARCHAR", _late="VARCHAR", _side="VARCHAR"
)


def _classed(request: Request, prepared: Prepared, only: Sequence[str] | None) -> list[str]:
    choice = request.choice
    where = "" if only is None else "WHERE images.wnid IN (SELECT unnest($_only::VARCHAR[]))"
    early = _first_failed(steps.first(choice, mixed=prepared.mixed))
    # With joined tables, conditions are evaluated where the tables are joined. Nothing else sees their columns, so
    # that these may have any names.
    holds = [(f"_where{n}", f"({condition}\n)") for n, condition in enumerate(choice.where)] if choice.with_ else []
    conditions = [name for name, _ in holds] or choice.where
    late = _first_failed(steps.of_images(choice, request.demands, where=conditions))
    columns = ["images.*", *(f"{condition} AS {name}" for name, condition in holds)]
    columns += ["_group"] if choice.groups else []
    return [
        f"""_tested AS (
    SELECT images.*, {early} AS _early, {late} AS _image_step
    FROM (SELECT {", ".join(columns)} FROM images {request.joins} {where}) AS images)""",
        _CLASSES,
        """_classed AS (
    SELECT _tested.*, _class, _side, coalesce(_early, _reason, _image_step, _late) AS _step
    FROM _tested LEFT JOIN _classes ON _early IS NULL AND wnid = _wnid)""",
    ]


def _first_failed(tests: Iterable[tuple[str, str]]) -> str:
    """Return SQL for the name of the first step whose condition does not hold, of (name, condition)."""
    cases = "".join(f"\n        WHEN NOT coalesce({condition}, false) THEN '{step}'" for step, condition in tests)
    return f"CASE {cases}\n    END" if cases else "NULL::VARCHAR"


def _divided(choice: Choice) -> list[str]:
    seed = int(choice.seed)
    draw = draw_sql("hash32", seed)
    side_draw, side_key, home = draw, KEY, "_class"
    tables: list[str] = []
    source = "_classed"
    if choice.groups:
        # A group draws once, by its name, so that one member more or less moves no other group.
        group_draw = draw_sql("'0x' || left(sha256(_group), 8)", seed)
        side_draw = f"CASE WHEN _group IS NULL THEN {draw} ELSE {group_draw} END"
        side_key, home = f"coalesce(_group, {KEY})", "coalesce(_group_class, _class)"
        tables.append("""_groups_of_classes AS (
    SELECT _group AS _group_name, min(_class) AS _group_class, count(DISTINCT _side) > 1 AS _torn
    FROM _classed WHERE _step IS NULL AND _group IS NOT NULL GROUP BY _group)""")
        source += " LEFT JOIN _groups_of_classes ON _group = _group_name"
    tables.append(f"""_drawn AS (
    SELECT *, {draw} AS _draw, {KEY} AS _key, {side_draw} AS _side_draw, {side_key} AS _side_key, {home} AS _home
    FROM {source})""")
    source = "_drawn"
    if choice.split.by == "count":
        columns = {"_count_class": "VARCHAR"}
        for n in range(len(choice.split.amounts)):
            columns |= {f"_count_draw{n}": "UBIGINT", f"_count_key{n}": "VARCHAR"}
        tables.append(_value_table("_counts", **columns))
        source += " LEFT JOIN _counts ON _home = _count_class"
    split = f"CASE WHEN _step IS NULL THEN {_target_split(choice.split)} END"
    return [*tables, f"_divided AS (SELECT *, {split} AS _split FROM {source})"]


def _target_split(split: Split) -> str:
    """Return SQL for the split that a chosen image falls into; null for none."""
    if split.by == "official":
        return "coalesce(split, 'train')"
    if split.by == "classes":
        return "_side"
    if split.by == "count":
        tests = " ".join(
            f"WHEN NOT {_after('_side_draw', '_side_key', f'_count_draw{n}', f'_count_key{n}')} THEN '{name}'"
            for n, (name, _) in enumerate(split.amounts)
        )
        return f"CASE {tests} ELSE '{REST}' END"
    bounds = " ".join(f"WHEN _side_draw < {bound} THEN '{name}'" for name, bound in thresholds(split))
    return f"CASE {bounds} END"


def _after(draw: str, key: str, last_draw: str, last_key: str) -> str:
    """Return SQL that is true for an image after the last one that is taken, by draw and key."""
    return f"({draw} > {last_draw} OR ({draw} = {last_draw} AND {key} > {last_key}))"


def _made(choice: Choice, prepared: Prepared) -> list[str]:
    tables: list[str] = []
    source = "_divided"
    cases = "WHEN _step IS NOT NULL THEN _step WHEN _split IS NULL THEN 'split'"
    if choice.groups and choice.split.by == "classes":
        cases += " WHEN _torn THEN 'groups'"
    if prepared.amounts:
        columns = {"_amount_split": "VARCHAR", "_amount_class": "VARCHAR"}
        columns |= {"_amount_draw": "UBIGINT", "_amount_key": "VARCHAR"}
        tables.append(_value_table("_amounts", **columns))
        source += " LEFT JOIN _amounts ON _split = _amount_split AND _class = _amount_class"
        cases += f" WHEN {_after('_draw', '_key', '_amount_draw', '_amount_key')} THEN 'per_class'"
    if prepared.limit is not None:
        cases += f" WHEN {_after('_draw', '_key', '$_limit_draw', '$_limit_key')} THEN 'limit'"
    return [*tables, f"made AS (SELECT {_COLUMNS}, CASE {cases} END AS left_out FROM {source})", _CLASS_BOXES]


def pinned(demands: tuple[tuple[str, str], ...], only: Sequence[str] | None = None) -> Sql:
    """Return the WITH clause of a selection that a lock pins: images, classes and splits are those of the lock.

    `only` restricts it to images of the lock that had one of these official wnids when it was made.
    """
    where = "WHERE official_wnid IN (SELECT unnest($_only::VARCHAR[]))" if only is not None else ""
    tested = f"""_tested AS (
    SELECT images.*, {_first_failed([("lock", "_locked")])} AS _early, {_first_failed(demands)} AS _image_step,
           _class, _split
    FROM images {"" if where else "LEFT "}JOIN (
        SELECT dataset, image_id, wnid AS _class, split AS _split, true AS _locked FROM {LOCK} {where})
        USING (dataset, image_id))"""
    made = f"made AS (SELECT {_COLUMNS}, coalesce(_early, _image_step) AS left_out FROM _tested)"
    classes = f"_classes AS (SELECT DISTINCT official_wnid AS _wnid, wnid AS _class FROM {LOCK})"
    return _with([tested, made, classes, _CLASS_BOXES], {"_only": only})


# Boxes with the selection's class as wnid, for wnids that have one.
_CLASS_BOXES = """class_boxes AS (
    SELECT boxes.* REPLACE (coalesce(_class, boxes.wnid) AS wnid)
    FROM boxes LEFT JOIN _classes ON boxes.wnid = _wnid)"""

# The columns of `made`, without left_out.
_UNCHANGED = (f'"{column.name}"' for column in TABLES["images"].columns if column.name not in ("wnid", "split"))
_COLUMNS = (
    f"{', '.join(_UNCHANGED)}, coalesce(_class, wnid) AS wnid, wnid AS official_wnid, _split AS split, "
    "split AS official_split"
)
