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
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from imagenet_tools.errors import QueryError, UsageError
from imagenet_tools.schema import TABLES
from imagenet_tools.selection import steps
from imagenet_tools.selection.splits import thresholds
from imagenet_tools.store.connection import GROUPS, LOCK

if TYPE_CHECKING:
    import duckdb

    from imagenet_tools.selection.lock import Lock
    from imagenet_tools.selection.selection import Selection
    from imagenet_tools.selection.words import Choice
    from imagenet_tools.store.store import Store

_Result = TypeVar("_Result")

# Images with the same draw are ordered by this key.
KEY = "photo || chr(9) || dataset || chr(9) || image_id"

_SAMPLE_IMAGES = 1_000  # images sampled for each place where ranges() cuts the order


class Sql(NamedTuple):
    """SQL text and the values of its parameters."""

    text: str
    values: dict[str, object]


class Cut(NamedTuple):
    """The last image that is taken: its draw, 0 to splits.EVERY, and its key."""

    drawn: int
    key: str


class Asked(NamedTuple):
    """The conditions that a selection puts on the images of an index."""

    choice: Choice
    demands: tuple[tuple[str, str], ...]  # (reason, SQL condition) of an export target
    joins: str  # SQL that joins the user's tables to images


class Prepared(NamedTuple):
    """The values that depend on all images, found before the query."""

    of: Mapping[str, str]  # the class that each wnid becomes
    reasons: Mapping[str, str] = {}  # the step that leaves out each other wnid
    late: Mapping[str, str] = {}  # the step that leaves out a whole class, once its images are counted
    sides: Mapping[str, str] = {}  # for a split of classes: the split of each class
    counts: Mapping[str, tuple[Cut, ...]] = {}  # for a count split: the cuts of each class
    amounts: Mapping[tuple[str, str], Cut] = {}  # for per_class: the cut of each (split, class) that has too many
    limit: Cut | None = None
    mixed: bool = False  # some images have an official split and others have none: see steps.first


# ---- Tables of the user


def user_tables(choice: Choice, pinned: Lock | None) -> dict[str, Path]:
    """Return the files that a cursor has as tables, by name: those of --with, the groups, or the ids of a lock."""
    if pinned is not None and pinned.ids is not None:
        return {LOCK: pinned.ids}
    tables = {name: Path(path) for name, path in choice.with_.items()}
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
        flag = f"--groups {path.name}" if name == GROUPS else f"--with {name}={path.name}"
        keys = index.keys(name, path)
        # The groups come without other columns, so that none of these hides a column in a condition.
        table = f'(SELECT {keys}, "group"::VARCHAR AS _group FROM {GROUPS}) AS {GROUPS}'
        clauses.append(f"LEFT JOIN {table if name == GROUPS else _quoted(name)} USING ({keys})")
        lost = f"(SELECT {keys} FROM {_quoted(name)} ANTI JOIN images USING ({keys}))"
        try:
            ((n_rows, n_lost),) = cursor.execute(
                f"SELECT (SELECT count(*) FROM {_quoted(name)}), (SELECT count(*) FROM {lost})"
            ).fetchall()
            first = cursor.execute(f"FROM {lost} ORDER BY ALL LIMIT 1").fetchall()
        except duckdb.Error as error:
            raise QueryError(f"{flag}: it cannot be joined to images by {keys}. {_first_line(error)}") from error
        named = "".join(f", {'/'.join(map(str, row))} first" for row in first)
        if n_lost == n_rows:
            raise UsageError(
                f"{flag}: none of its {n_rows:,} rows joins an image of the index by {keys}{named}. Expected values as "
                "the table images has them; `query` shows them."
            )
        if n_lost:
            notes.append(f"{flag}: {n_lost:,} of its {n_rows:,} rows join no image of the index{named}")
    return " ".join(clauses), notes


def _quoted(name: str) -> str:
    return f'"{name}"'


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


def whole(asked: Asked, prepared: Prepared, only: Sequence[str] | None = None) -> Sql:
    """Return the WITH clause with all tables; `only` restricts it to images of these official wnids."""
    return _with(*_classed(asked, prepared, only), *_divided(asked.choice, prepared), *_made(asked.choice, prepared))


def divided(asked: Asked, prepared: Prepared, only: Sequence[str] | None = None) -> Sql:
    """Return the WITH clause up to `_divided`."""
    return _with(*_classed(asked, prepared, only), *_divided(asked.choice, prepared))


def classed(asked: Asked, prepared: Prepared) -> Sql:
    """Return the WITH clause up to `_classed`."""
    return _with(*_classed(asked, prepared, None))


def _with(*tables: Sql) -> Sql:
    values = {name: value for table in tables for name, value in table.values.items()}
    return Sql(f"WITH {', '.join(table.text for table in tables)}\n", values)


def _value_table(name: str, **columns: Sequence[object]) -> Sql:
    """Return a table of values; a column whose name begins with _cut holds draws, any other texts."""
    types = {column: "UBIGINT" if column.startswith("_cut") else "VARCHAR" for column in columns}
    parts = (f"unnest(${column}::{kind}[]) AS {column}" for column, kind in types.items())
    return Sql(f"{name} AS (SELECT {', '.join(parts)})", dict(columns))


def _classed(asked: Asked, prepared: Prepared, only: Sequence[str] | None) -> list[Sql]:
    wnids = sorted({*prepared.of, *prepared.reasons})
    classes = [prepared.of.get(wnid) for wnid in wnids]
    tested = f"_tested AS ({_tested(asked, mixed=prepared.mixed, only=only is not None)})"
    return [
        Sql(tested, {"_only": list(only)} if only is not None else {}),
        _value_table(
            "_classes",
            _own=wnids,
            _class=classes,
            _reason=[prepared.reasons.get(wnid) for wnid in wnids],
            _late=[prepared.late.get(wnid) if wnid else None for wnid in classes],
            _side=[prepared.sides.get(wnid) if wnid else None for wnid in classes],
        ),
        Sql(
            """_classed AS (
    SELECT _tested.*, _class, _side, coalesce(_early, _reason, _image_step, _late) AS _step
    FROM _tested LEFT JOIN _classes ON _early IS NULL AND wnid = _own)""",
            {},
        ),
    ]


def _tested(asked: Asked, *, mixed: bool, only: bool) -> str:
    choice = asked.choice
    where = "WHERE images.wnid IN (SELECT unnest($_only::VARCHAR[]))" if only else ""
    early = _first_failed(list(steps.first(choice, mixed=mixed)))
    # With joined tables, conditions are evaluated where the tables are joined. Nothing else sees their columns, so
    # that these may have any names.
    holds = [(f"_where{n}", f"({condition}\n)") for n, condition in enumerate(choice.where)] if choice.with_ else []
    conditions = [name for name, _ in holds] or choice.where
    late = _first_failed(list(steps.of_images(choice, asked.demands, where=conditions)))
    columns = ["images.*", *(f"{condition} AS {name}" for name, condition in holds)]
    columns += ["_group"] if choice.groups else []
    return f"""
    SELECT images.*, {early} AS _early, {late} AS _image_step
    FROM (SELECT {", ".join(columns)} FROM images {asked.joins} {where}) AS images"""


def _first_failed(tests: list[tuple[str, str]]) -> str:
    """Return SQL for the name of the first step whose condition does not hold, of (name, condition)."""
    if not tests:
        return "NULL::VARCHAR"
    cases = "".join(f"\n        WHEN NOT coalesce({condition}, false) THEN '{step}'" for step, condition in tests)
    return f"CASE {cases}\n    END"


def _divided(choice: Choice, prepared: Prepared) -> list[Sql]:
    draw = f"draw(hash32, {int(choice.seed)})"
    tables: list[Sql] = []
    if choice.groups:
        # A group draws once, by its name, so that one member more or less moves no other group.
        hashed = "('0x' || left(sha256(_group), 8))::UBIGINT"
        homes = """_homes AS (
    SELECT _group AS _of, min(_class) AS _home, count(DISTINCT _side) > 1 AS _torn
    FROM _classed WHERE _step IS NULL AND _group IS NOT NULL GROUP BY _group)"""
        tables.append(Sql(homes, {}))
        sides = f"""
           CASE WHEN _group IS NULL THEN {draw} ELSE draw({hashed}, {int(choice.seed)}) END AS _side_draw,
           CASE WHEN _group IS NULL THEN {KEY} ELSE _group END AS _side_key, coalesce(_home, _class) AS _home, _torn
    FROM _classed LEFT JOIN _homes ON _group = _of"""
    else:
        sides = f"{draw} AS _side_draw, {KEY} AS _side_key, _class AS _home FROM _classed"
    tables.append(Sql(f"_drawn AS (SELECT _classed.*, {draw} AS _draw, {KEY} AS _key, {sides})", {}))
    join = ""
    if choice.split.by == "count":
        classes = sorted(prepared.counts)
        columns: dict[str, list[object]] = {"_count_class": list(classes)}
        for n in range(len(choice.split.amounts)):
            columns[f"_cut{n}"] = [prepared.counts[wnid][n].drawn for wnid in classes]
            columns[f"_key{n}"] = [prepared.counts[wnid][n].key for wnid in classes]
        tables.append(_value_table("_counts", **columns))
        join = "LEFT JOIN _counts ON _home = _count_class"
    split = f"CASE WHEN _step IS NULL THEN {_target_split(choice)} END"
    return [*tables, Sql(f"_divided AS (SELECT _drawn.*, {split} AS _split FROM _drawn {join})", {})]


def _target_split(choice: Choice) -> str:
    """Return SQL for the split that a chosen image falls into; null for none."""
    split = choice.split
    if split.by == "official":
        return "coalesce(split, 'train')"
    if split.by in ("fraction", "folds"):
        bounds = " ".join(f"WHEN _side_draw < {bound} THEN '{name}'" for name, bound in thresholds(split))
        return f"CASE {bounds} END"
    if split.by == "classes":
        return "_side"
    tests = " ".join(
        f"WHEN _side_draw < _cut{n} OR (_side_draw = _cut{n} AND _side_key <= _key{n}) THEN '{name}'"
        for n, (name, _) in enumerate(split.amounts)
    )
    return f"CASE {tests} ELSE '{split.rest}' END"


def _made(choice: Choice, prepared: Prepared) -> list[Sql]:
    torn = "WHEN _torn THEN 'groups'" if choice.groups and choice.split.by == "classes" else ""
    tables: list[Sql] = []
    join = over = limited = ""
    if prepared.amounts:
        rows = sorted(prepared.amounts.items())
        amounts = _value_table(
            "_amounts",
            _amount_split=[split for (split, _), _ in rows],
            _amount_class=[wnid for (_, wnid), _ in rows],
            _cut_amount=[cut.drawn for _, cut in rows],
            _amount_key=[cut.key for _, cut in rows],
        )
        tables.append(amounts)
        join = "LEFT JOIN _amounts ON _split = _amount_split AND _class = _amount_class"
        over = "WHEN _draw > _cut_amount OR (_draw = _cut_amount AND _key > _amount_key) THEN 'per_class'"
    values: dict[str, object] = {}
    if prepared.limit is not None:
        values = {"_limit": prepared.limit.drawn, "_limit_key": prepared.limit.key}
        limited = "WHEN _draw > $_limit OR (_draw = $_limit AND _key > $_limit_key) THEN 'limit'"
    placed = f"""_placed AS (
    SELECT _divided.*, CASE WHEN _step IS NOT NULL THEN _step WHEN _split IS NULL THEN 'split' {torn} {over} END AS _out
    FROM _divided {join})"""
    made = f"made AS (SELECT {_COLUMNS}, CASE WHEN _out IS NOT NULL THEN _out {limited} END AS left_out FROM _placed)"
    return [*tables, Sql(placed, {}), Sql(made, values), Sql(_CLASS_BOXES, {})]


def pinned(demands: tuple[tuple[str, str], ...], only: Sequence[str] | None = None) -> Sql:
    """Return the WITH clause of a selection that a lock pins: images, classes and splits are those of the lock.

    `only` restricts it to images of the lock that had one of these official wnids when it was made.
    """
    where = "WHERE official_wnid IN (SELECT unnest($_only::VARCHAR[]))" if only is not None else ""
    tested = f"""_tested AS (
    SELECT images.*, {_first_failed([("lock", "_locked")])} AS _early, {_first_failed(list(demands))} AS _image_step,
           _class, _split
    FROM images {"" if where else "LEFT "}JOIN (
        SELECT dataset, image_id, wnid AS _class, split AS _split, true AS _locked FROM {LOCK} {where})
        USING (dataset, image_id))"""
    made = f"made AS (SELECT {_COLUMNS}, coalesce(_early, _image_step) AS left_out FROM _tested)"
    classes = f"_classes AS (SELECT DISTINCT official_wnid AS _own, wnid AS _class FROM {LOCK})"
    values: dict[str, object] = {"_only": list(only)} if only is not None else {}
    return _with(Sql(tested, values), Sql(made, {}), Sql(classes, {}), Sql(_CLASS_BOXES, {}))


# Boxes with the selection's class as wnid, for wnids that have one.
_CLASS_BOXES = """class_boxes AS (
    SELECT boxes.* REPLACE (coalesce(_class, boxes.wnid) AS wnid) FROM boxes LEFT JOIN _classes ON boxes.wnid = _own)"""

# The columns of `made`, without left_out.
_UNCHANGED = (f'"{column.name}"' for column in TABLES["images"].columns if column.name not in ("wnid", "split"))
_COLUMNS = (
    f"{', '.join(_UNCHANGED)}, coalesce(_class, wnid) AS wnid, wnid AS official_wnid, _split AS split, "
    "split AS official_split"
)


# ---- Stretches of the chosen images, in an order


def ranges(selection: Selection, keys: Mapping[str, str], at_once: int) -> Iterator[Sql]:
    """Yield conditions on `made` that cut the chosen images, sorted by keys, into stretches of about `at_once` images.

    If the images are stored almost in this order, the first key that differs between two cuts lets DuckDB skip row
    groups.

    Args:
        selection: The images.
        keys: SQL expressions without nulls, by a name for their values.
        at_once: Images in a stretch, about.
    """
    n_images = sum(sum(counted.values()) for counted in selection.counts().values())
    n_parts = n_images // at_once + 1
    bounds: list[tuple[object, ...]] = []
    if n_parts > 1:
        share = min(1 << 32, (_SAMPLE_IMAGES * n_parts << 32) // n_images)  # of the 2^32 values of hash32
        sample = selection.run(
            f"SELECT {', '.join(keys.values())} FROM made WHERE left_out IS NULL AND hash32 < $_share ORDER BY ALL",
            {"_share": share},
        ).fetchall()
        bounds = list(dict.fromkeys(sample[_SAMPLE_IMAGES::_SAMPLE_IMAGES]))
    for low, high in zip([None, *bounds], [*bounds, None], strict=True):
        yield _between(list(keys.items()), low, high)


def _between(keys: Sequence[tuple[str, str]], low: tuple[object, ...] | None, high: tuple[object, ...] | None) -> Sql:
    """Return the condition low <= keys < high; a bound that is None is open."""
    n_shared = 0
    if low is not None and high is not None:
        n_shared = next(n for n, (a, b) in enumerate(zip(low, high, strict=True)) if a != b)
    values: dict[str, object] = {}
    tests = [f"{key} = $_low_{name}" for name, key in keys[:n_shared]]
    name, key = keys[n_shared]
    for side, bound, compare, negate in (("low", low, ">=", ""), ("high", high, "<=", "NOT ")):
        if bound is not None:
            values |= {f"_{side}_{name}": value for (name, _), value in zip(keys, bound, strict=True)}
            tests += [f"{key} {compare} $_{side}_{name}", negate + _from(keys[n_shared:], side)]
    return Sql(" AND ".join(tests) or "true", values)


def _from(keys: Sequence[tuple[str, str]], side: str) -> str:
    """Return the condition keys >= the bound of a side."""
    (name, key), *others = keys
    value = f"$_{side}_{name}"
    if not others:
        return f"({key} >= {value})"
    return f"({key} > {value} OR ({key} = {value} AND {_from(others, side)}))"
