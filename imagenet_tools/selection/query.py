"""The query that a selection becomes: every image of the index, its class and split, or the step that left it out.

    _tested     images, with the step that leaves each out: before the classes are known, and after
    _classed    with the class that its wnid becomes
    _divided    with its draws and the split it falls in
    made        what is asked: the columns of images, split and wnid made anew, the official ones beside them, left_out
    class_boxes the table boxes, with the wnids of the selection's classes

What depends on all images of a class (the place of its n-th lowest draw) is found before, by cuts.py, and comes in as
values, so that each image goes through alone and the memory taken does not grow with their number.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from imagenet_tools.schema import TABLES
from imagenet_tools.selection import steps
from imagenet_tools.selection.splits import thresholds
from imagenet_tools.store.connection import GROUPS, LOCK

if TYPE_CHECKING:
    from imagenet_tools.selection.choice import Choice

# Of images that draw the same the one whose key is lower comes first.
KEY = "photo || chr(9) || dataset || chr(9) || image_id"


class Cut(NamedTuple):
    """The last image that is taken: its draw, 0 to EVERY, and its key."""

    drawn: int
    key: str


class Prepared(NamedTuple):
    """What was found before the query, for all images at once."""

    of: Mapping[str, str]  # the class that each wnid becomes
    reasons: Mapping[str, str]  # the step that leaves out each other wnid
    late: Mapping[str, str]  # the step that leaves out a class whole, once its images are counted
    sides: Mapping[str, str]  # of a split of classes, the split of each class
    counts: Mapping[str, tuple[Cut, ...]]  # of a count split, the cuts of each class
    amounts: Mapping[tuple[str, str], Cut]  # of per_class, the cut of each split and class that has too many
    limit: Cut | None
    mixed: bool = False  # whether some images have an official split and others have none: see steps.first


class Sql(NamedTuple):
    """SQL that begins a query, and the values it needs."""

    text: str
    values: dict[str, object]


def tested(choice: Choice, demands: tuple[tuple[str, str], ...], joins: str, *, mixed: bool, only: bool = False) -> str:
    """The first of the tables: images and the step that leaves each out. `only`: of the wnids $_only alone."""
    where = "WHERE images.wnid IN (SELECT unnest($_only::VARCHAR[]))" if only else ""
    early = _cases(list(steps.first(choice, mixed=mixed)))
    # Conditions see the columns of the tables that were joined; nothing else does, so that no name of theirs matters.
    holds = [(f"_where{n}", f"({condition}\n)") for n, condition in enumerate(choice.where)] if choice.with_ else []
    late = _cases(list(steps.of_images(choice, demands, where=[name for name, _ in holds] or choice.where)))
    columns = [*(f"{condition} AS {name}" for name, condition in holds), *(["_group"] if choice.groups else [])]
    images = f"(SELECT {', '.join(['images.*', *columns])} FROM images {joins} {where}) AS images"
    return f"""
_tested AS (
    SELECT images.*, {early} AS _early, {late} AS _image_step
    FROM {images})"""


def groups(keys: str) -> str:
    """The table of groups, with no column but those it is joined by and _group."""
    return f'(SELECT {keys}, "group"::VARCHAR AS _group FROM {GROUPS}) AS {GROUPS}'


def _cases(tests: list[tuple[str, str]]) -> str:
    if not tests:
        return "NULL::VARCHAR"
    cases = "".join(f"\n        WHEN NOT coalesce({condition}, false) THEN '{step}'" for step, condition in tests)
    return f"CASE {cases}\n    END"


def classed(found: Prepared) -> Sql:
    """The classes as a table, and the images with theirs."""
    wnids = sorted({*found.of, *found.reasons})
    classes = [found.of.get(wnid) for wnid in wnids]
    values: dict[str, object] = {
        "_own": wnids,
        "_class": classes,
        "_reason": [found.reasons.get(wnid) for wnid in wnids],
        "_late": [found.late.get(one) if one else None for one in classes],
        "_side": [found.sides.get(one) if one else None for one in classes],
    }
    text = """
_classes AS (
    SELECT unnest($_own::VARCHAR[]) AS _own, unnest($_class::VARCHAR[]) AS _class,
           unnest($_reason::VARCHAR[]) AS _reason, unnest($_late::VARCHAR[]) AS _late,
           unnest($_side::VARCHAR[]) AS _side),
_classed AS (
    SELECT _tested.*, _class, _side, coalesce(_early, _reason, _image_step, _late) AS _step
    FROM _tested LEFT JOIN _classes ON _early IS NULL AND wnid = _own)"""
    return Sql(text, values)


def divided(choice: Choice, found: Prepared) -> Sql:
    """The images with their draws, and the split that each falls in; null for none."""
    own = f"draw(hash32, {int(choice.seed)})"
    side_draw, home, homes = own, "_class", ""
    if choice.groups:
        # A group draws once, on its own name: a member more or less moves no other.
        hashed = "('0x' || left(sha256(_group), 8))::UBIGINT"
        side_draw = f"CASE WHEN _group IS NULL THEN {own} ELSE draw({hashed}, {int(choice.seed)}) END"
        home = "coalesce(_home, _class)"
        homes = """
_homes AS (
    SELECT _group AS _of, min(_class) AS _home, count(DISTINCT _side) > 1 AS _torn
    FROM _classed WHERE _step IS NULL AND _group IS NOT NULL GROUP BY _group),"""
    key = f"CASE WHEN _group IS NULL THEN {KEY} ELSE _group END" if choice.groups else KEY
    torn = ", _torn" if choice.groups else ""
    joined = "LEFT JOIN _homes ON _group = _of" if choice.groups else ""
    counts, values, join = _counts(choice, found)
    text = f"""{homes}
_drawn AS (
    SELECT _classed.*, {own} AS _draw, {KEY} AS _key, {side_draw} AS _side_draw, {key} AS _side_key, {home} AS _home
           {torn} FROM _classed {joined}),{counts}
_divided AS (
    SELECT _drawn.*, CASE WHEN _step IS NULL THEN {_target(choice)} END AS _split FROM _drawn {join})"""
    return Sql(text, values)


def _target(choice: Choice) -> str:
    split = choice.split
    if split.by == "official":
        return "coalesce(split, 'train')"
    if split.by in ("fraction", "folds"):
        bounds = " ".join(f"WHEN _side_draw < {bound} THEN '{name}'" for name, bound in thresholds(split))
        return f"CASE {bounds} END"
    if split.by == "classes":
        return "_side"
    tests = " ".join(
        f"WHEN _side_draw < _cut{n} OR (_side_draw = _cut{n} AND _side_key <= _cut_key{n}) THEN '{name}'"
        for n, (name, _) in enumerate(split.amounts)
    )
    return f"CASE {tests} ELSE '{split.rest}' END"


def _counts(choice: Choice, found: Prepared) -> tuple[str, dict[str, object], str]:
    """Of a count split the table of its cuts, its values, and how it is joined."""
    if choice.split.by != "count":
        return "", {}, ""
    names = sorted(found.counts)
    columns, values = ["unnest($_count_class::VARCHAR[]) AS _count_class"], {"_count_class": list[object](names)}
    for n in range(len(choice.split.amounts)):
        columns.append(f"unnest($_cut{n}::UBIGINT[]) AS _cut{n}, unnest($_cut_key{n}::VARCHAR[]) AS _cut_key{n}")
        values[f"_cut{n}"] = [found.counts[name][n].drawn for name in names]
        values[f"_cut_key{n}"] = [found.counts[name][n].key for name in names]
    return (
        f"\n_counts AS (SELECT {', '.join(columns)}),",
        dict(values),
        "LEFT JOIN _counts ON _home = _count_class",
    )


def made(choice: Choice, found: Prepared) -> Sql:
    """The last of the tables: what the query asks."""
    torn = "WHEN _torn THEN 'groups'" if choice.groups and choice.split.by == "classes" else ""
    over, limited = "false", "false"
    values: dict[str, object] = {}
    cuts = join = ""
    if found.amounts:
        rows = sorted(found.amounts.items())
        values["_amount_split"] = [split for (split, _), _ in rows]
        values["_amount_class"] = [wnid for (_, wnid), _ in rows]
        values["_amount_cut"] = [cut.drawn for _, cut in rows]
        values["_amount_key"] = [cut.key for _, cut in rows]
        cuts = """
_amounts AS (
    SELECT unnest($_amount_split::VARCHAR[]) AS _amount_split, unnest($_amount_class::VARCHAR[]) AS _amount_class,
           unnest($_amount_cut::UBIGINT[]) AS _amount_cut, unnest($_amount_key::VARCHAR[]) AS _amount_key),"""
        join = "LEFT JOIN _amounts ON _split = _amount_split AND _class = _amount_class"
        over = "coalesce(_draw > _amount_cut OR (_draw = _amount_cut AND _key > _amount_key), false)"
    if found.limit is not None:
        values |= {"_limit": found.limit.drawn, "_limit_key": found.limit.key}
        limited = "_draw > $_limit OR (_draw = $_limit AND _key > $_limit_key)"
    text = f"""{cuts}
_placed AS (
    SELECT _divided.*, CASE WHEN _step IS NOT NULL THEN _step WHEN _split IS NULL THEN 'split' {torn}
                            WHEN {over} THEN 'per_class' END AS _out FROM _divided {join}),
made AS (
    SELECT {_COLUMNS}, coalesce(_class, wnid) AS wnid, wnid AS official_wnid, _split AS split, split AS official_split,
           CASE WHEN _out IS NOT NULL THEN _out WHEN {limited} THEN 'limit' END AS left_out FROM _placed),{_BOXES}
"""
    return Sql(text, values)


def pinned(demands: tuple[tuple[str, str], ...], *, only: bool = False) -> Sql:
    """All the tables of a selection that a lock pins: the images, classes and splits are the lock's.

    `only`: of the images of the lock, those that were of the wnids $_only when it was made, and no others.
    """
    early = _cases([("lock", "_locked")])
    side, where = ("", "WHERE official_wnid IN (SELECT unnest($_only::VARCHAR[]))") if only else ("LEFT ", "")
    text = f"""WITH
_tested AS (
    SELECT images.*, {early} AS _early, {_cases(list(demands))} AS _image_step, _class,
           _split
    FROM images {side}JOIN (
        SELECT dataset, image_id, wnid AS _class, split AS _split, true AS _locked FROM {LOCK} {where})
         USING (dataset, image_id)),
made AS (
    SELECT {_COLUMNS}, coalesce(_class, wnid) AS wnid, wnid AS official_wnid, _split AS split, split AS official_split,
           coalesce(_early, _image_step) AS left_out FROM _tested),
_classes AS (SELECT DISTINCT official_wnid AS _own, wnid AS _class FROM {LOCK}),{_BOXES}
"""
    return Sql(text, {})


# Boxes, their wnid the class that it becomes, where it becomes one.
_BOXES = """
class_boxes AS (
    SELECT boxes.* REPLACE (coalesce(_class, boxes.wnid) AS wnid) FROM boxes LEFT JOIN _classes ON boxes.wnid = _own)"""

# All columns of images but those that are made anew.
_COLUMNS = ", ".join(f'"{column.name}"' for column in TABLES["images"].columns if column.name not in ("wnid", "split"))


def whole(
    choice: Choice, demands: tuple[tuple[str, str], ...], joins: str, found: Prepared, *, only: bool = False
) -> Sql:
    """All the tables, up to `made`."""
    parts = [classed(found), divided(choice, found), made(choice, found)]
    values = {name: value for part in parts for name, value in part.values.items()}
    return Sql(
        "WITH"
        + ",".join([tested(choice, demands, joins, mixed=found.mixed, only=only), *(part.text for part in parts)]),
        values,
    )
