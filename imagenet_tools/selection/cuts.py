"""What a selection finds before its query: its classes, those with enough images, and the last image of each amount.

Classes are taken some at a time, so that the memory taken does not grow with the number of images.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from imagenet_tools.selection import class_splits, classes, query, steps
from imagenet_tools.selection.draws import EVERY
from imagenet_tools.selection.query import Cut, Found, Sql

if TYPE_CHECKING:
    from imagenet_tools.selection.choice import Choice

Rows = list[tuple[object, ...]]

_AT_ONCE = 1_000_000  # images whose order is found at once
_BUCKETS = 16  # bits of a draw that are counted first, to find the place of the last of all


class Asks(Protocol):
    """What runs SQL for a selection."""

    def __call__(self, text: str, values: Mapping[str, object]) -> Rows:
        """The rows of a query."""


def find(choice: Choice, demands: tuple[tuple[str, str], ...], joins: str, ask: Asks) -> tuple[Found, tuple[str, ...]]:
    """What was found, and what there is to say of it, in sentences."""
    first = " AND ".join(f"coalesce({condition}, false)" for _, condition in steps.first(choice))
    present = {
        str(wnid): int(str(n))
        for wnid, n in ask(f"SELECT wnid, count(*) FROM images WHERE {first} GROUP BY wnid ORDER BY wnid", {})
    }
    wnids = sorted({*present, *(choice.classes.wnids if choice.classes else ())})
    chosen = classes.choose(choice, wnids, _holds(choice, wnids, ask))
    notes = list(chosen.notes)
    found = Found(chosen.of, chosen.reasons, {}, {}, {}, {}, None)
    batches = list(_batches(found, present, whole=choice.groups is not None))

    def tables(found: Found, only: Sequence[str] | None) -> Sql:
        parts = [query.classed(found), query.divided(choice, found)]
        values: dict[str, object] = {name: value for part in parts for name, value in part.values.items()}
        values |= {"_only": list(only)} if only is not None else {}
        begin = query.tested(choice, demands, joins, only=only is not None)
        return Sql("WITH" + ",".join([begin, *(part.text for part in parts)]), values)

    if choice.min_images is not None or choice.max_images is not None or choice.split.by == "classes":
        # For now no class has a split, a cut or a step of its own.
        text, values = tables(found._replace(counts={}), None)
        counted = ask(
            f"{text} SELECT _class, count(*) FROM _divided WHERE _step IS NULL GROUP BY ALL ORDER BY ALL", values
        )
        found = _by_number(choice, found, {str(wnid): int(str(n)) for wnid, n in counted})
        if choice.split.by == "classes":
            eligible = [str(wnid) for wnid, _ in counted if str(wnid) not in found.late]
            found = found._replace(sides=class_splits.divide(eligible, choice.split, choice.seed))
            dropped = sorted(set(eligible) - set(found.sides))
            if dropped:
                named = ", ".join(dropped[:5]) + (" ..." if len(dropped) > 5 else "")
                notes.append(f"{len(dropped):,} of {len(eligible):,} classes are in no split ({named})")
    if choice.split.by == "count":
        found = found._replace(counts=_count_cuts(choice, found, batches, tables, ask))
    if choice.per_class:
        found = found._replace(amounts=_amount_cuts(choice, found, batches, tables, ask))
    if choice.limit is not None:
        found = found._replace(limit=_limit(choice, demands, joins, found, ask))
    return found, tuple(notes)


def _holds(choice: Choice, wnids: Sequence[str], ask: Asks) -> frozenset[str] | None:
    if not choice.class_where:
        return None
    conditions = " AND ".join(f"coalesce(({condition}\n), false)" for condition in choice.class_where)
    text = f"SELECT wnid FROM synsets WHERE wnid IN (SELECT unnest($_own::VARCHAR[])) AND {conditions}"
    return frozenset(str(wnid) for (wnid,) in ask(text, {"_own": list(wnids)}))


def _by_number(choice: Choice, found: Found, counted: Mapping[str, int]) -> Found:
    late: dict[str, str] = {}
    for wnid in {*found.of.values()}:
        n = counted.get(wnid, 0)
        if choice.min_images is not None and n < choice.min_images:
            late[wnid] = "min_images"
        elif choice.max_images is not None and n > choice.max_images:
            late[wnid] = "max_images"
    return found._replace(late=late)


def _batches(found: Found, present: Mapping[str, int], *, whole: bool) -> Iterator[list[str] | None]:
    """The wnids of the classes, some classes at a time; None for all of them, where groups join classes."""
    if whole:
        yield None
        return
    members: dict[str, list[str]] = {}
    for wnid, one in found.of.items():
        members.setdefault(one, []).append(wnid)
    batch, n = list[str](), 0
    for _, wnids in sorted(members.items()):
        size = sum(present.get(wnid, 0) for wnid in wnids)
        if batch and n + size > _AT_ONCE:
            yield batch
            batch, n = [], 0
        batch += wnids
        n += size
    if batch:
        yield batch


class _Tables(Protocol):
    def __call__(self, found: Found, only: Sequence[str] | None) -> Sql: ...


def _count_cuts(
    choice: Choice, found: Found, batches: Sequence[list[str] | None], tables: _Tables, ask: Asks
) -> dict[str, tuple[Cut, ...]]:
    totals: list[int] = []
    for _, n in choice.split.amounts:
        totals.append(int(n) + (totals[-1] if totals else 0))
    cuts = {wnid: [Cut(EVERY, "")] * len(totals) for wnid in found.of.values()}
    for batch in batches:
        text, values = tables(found, batch)
        rows = ask(
            f"""{text}, _ranked AS (
                SELECT _class, _side_draw, _side_key,
                       row_number() OVER (PARTITION BY _class ORDER BY _side_draw, _side_key) AS _rank
                FROM _divided WHERE _step IS NULL AND _home = _class)
            SELECT * FROM _ranked WHERE _rank IN (SELECT unnest($_totals::BIGINT[]))""",
            {**values, "_totals": totals},
        )
        for wnid, drawn, key, rank in rows:
            cuts[str(wnid)][totals.index(int(str(rank)))] = Cut(int(str(drawn)), str(key))
    return {wnid: tuple(one) for wnid, one in cuts.items()}


def _amount_cuts(
    choice: Choice, found: Found, batches: Sequence[list[str] | None], tables: _Tables, ask: Asks
) -> dict[tuple[str, str], Cut]:
    named = {name: n for name, n in choice.per_class.items() if name}
    anywhere = choice.per_class.get("")
    values = {"_names": list(named), "_numbers": list(named.values()), "_anywhere": anywhere}
    cuts: dict[tuple[str, str], Cut] = {}
    for batch in batches:
        text, more = tables(found, batch)
        rows = ask(
            f"""{text}, _ranked AS (
                SELECT _split, _class, _draw, _key,
                       row_number() OVER (PARTITION BY _split, _class ORDER BY _draw, _key) AS _rank
                FROM _divided WHERE _step IS NULL AND _split IS NOT NULL),
            _wanted AS (SELECT unnest($_names::VARCHAR[]) AS _name, unnest($_numbers::BIGINT[]) AS _most)
            SELECT _split, _class, _draw, _key
            FROM _ranked LEFT JOIN _wanted ON _split = _name WHERE _rank = coalesce(_most, $_anywhere::BIGINT)""",
            {**more, **values},
        )
        for split, wnid, drawn, key in rows:
            cuts[str(split), str(wnid)] = Cut(int(str(drawn)), str(key))
    return cuts


def _limit(choice: Choice, demands: tuple[tuple[str, str], ...], joins: str, found: Found, ask: Asks) -> Cut | None:
    """The cut of the limit; None: there are no more images than that."""
    limit = choice.limit or 0
    text, values = query.whole(choice, demands, joins, found)
    bucket = f"(draw(hash32, {int(choice.seed)}) >> {32 - _BUCKETS})"
    counted = ask(
        f"{text} SELECT {bucket} AS bucket, count(*) FROM made WHERE left_out IS NULL GROUP BY ALL ORDER BY ALL", values
    )
    before = 0
    for number, n in counted:
        if before + int(str(n)) >= limit:
            rows = ask(
                f"""{text} SELECT draw(hash32, {int(choice.seed)}) AS drawn, {query.KEY} AS key FROM made
                    WHERE left_out IS NULL AND {bucket} = $_bucket ORDER BY ALL LIMIT 1 OFFSET {limit - before - 1}""",
                {**values, "_bucket": number},
            )
            ((drawn, key),) = rows
            return Cut(int(str(drawn)), str(key))
        before += int(str(n))
    return None
