"""What a selection finds before its query: its classes, those with enough images, and the last image of each amount.

Classes are taken some at a time, so that the memory taken does not grow with the number of images.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from imagenet_tools.errors import UsageError
from imagenet_tools.selection import class_splits, classes, query, steps
from imagenet_tools.selection.query import Cut, Prepared, Sql
from imagenet_tools.selection.splits import EVERY, OFFICIAL

if TYPE_CHECKING:
    from imagenet_tools.selection.choice import Choice

Rows = list[tuple[object, ...]]

_AT_ONCE = 1_000_000  # images whose order is found at once
_BUCKETS = 16  # bits of a draw that are counted first, to find the place of the last of all


class Asks(Protocol):
    """What runs SQL for a selection."""

    def __call__(self, text: str, values: Mapping[str, object]) -> Rows:
        """The rows of a query."""


def find(
    choice: Choice, demands: tuple[tuple[str, str], ...], joins: str, ask: Asks
) -> tuple[Prepared, tuple[str, ...]]:
    """What was found, and what there is to say of it, in sentences."""
    words = replace(
        choice, split=OFFICIAL, groups=None, nested="keep", min_images=None, max_images=None, per_class={}, limit=None
    )
    _check_names(choice, ask)
    first = " AND ".join(f"coalesce({condition}, false)" for _, condition in steps.first(words, mixed=False))
    counted = ask(
        f"""SELECT wnid, count(*), count(split), count(*) FILTER (split = 'train')
            FROM images WHERE {first} GROUP BY wnid ORDER BY wnid""",
        {},
    )
    rows = [(str(wnid), int(str(n)), int(str(split)), int(str(train))) for wnid, n, split, train in counted]
    mixed, notes = False, list[str]()
    if any(n > split for _, n, split, _ in rows):
        mixed, notes = _splits(words, [wnid for wnid, *_ in rows], joins, ask)
    drawn = bool(choice.from_) or choice.split.by == "official"
    present = {
        wnid: left
        for wnid, n, split, train in rows
        if (left := (split if drawn else train) + (0 if mixed else n - split))
    }
    wnids = sorted({*present, *(choice.classes.wnids if choice.classes else ())})
    chosen = classes.choose(choice, wnids, _holds(choice, wnids, ask))
    notes[:0] = chosen.notes
    found = Prepared(chosen.of, chosen.reasons, {}, {}, {}, {}, None, mixed)
    batches = list(_batches(found, present, whole=choice.groups is not None))

    def tables(found: Prepared, only: Sequence[str] | None) -> Sql:
        parts = [query.classed(found), query.divided(choice, found)]
        values: dict[str, object] = {name: value for part in parts for name, value in part.values.items()}
        values |= {"_only": list(only)} if only is not None else {}
        begin = query.tested(choice, demands, joins, mixed=mixed, only=only is not None)
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
        _check_rest(choice, *tables(found, None), ask)
    if choice.per_class:
        found = found._replace(amounts=_amount_cuts(choice, found, batches, tables, ask))
    if choice.limit is not None:
        found = found._replace(limit=_limit(choice, demands, joins, found, ask))
    return found, tuple(notes)


def _check_names(choice: Choice, ask: Asks) -> None:
    """UsageError where no image is of a data set, or of an official split of the data sets, that was asked for."""
    within = "dataset IN (SELECT unnest($_dataset::VARCHAR[]))" if choice.dataset else "true"
    for flag, column, asked, where in (
        ("--dataset", "dataset", choice.dataset, "true"),
        ("--from", "split", choice.from_, within),
    ):
        if not asked:
            continue
        rows = ask(f"SELECT DISTINCT {column} FROM images WHERE {column} IS NOT NULL AND {where} ORDER BY ALL", {})
        names = [str(name) for (name,) in rows]
        for name in asked:
            if name not in names:
                close = difflib.get_close_matches(name, names, 1)
                meant = f"Did you mean {close[0]}? " if close else ""
                what = "data set" if column == "dataset" else "official split"
                there = f"Expected {' or '.join(names)}." if names else f"No image has any {what}: leave {flag} out."
                raise UsageError(f"{flag} {name}: the index has no image of this {what}. {meant}{there}")


def _splits(words: Choice, wnids: Sequence[str], joins: str, ask: Asks) -> tuple[bool, list[str]]:
    """(whether some images have an official split and others have none, notes if none has one).

    `words` are those that choose images before a new split is made, `wnids` the classes of images. What an export
    demands of an image does not count, so that a selection has the same splits in every target.
    """
    chosen = classes.choose(words, wnids, _holds(words, wnids, ask))
    text, values = query.classed(Prepared(chosen.of, chosen.reasons, {}, {}, {}, {}, None))
    begin = query.tested(words, (), joins, mixed=False)
    ((n, n_split),) = ask(f"WITH{begin},{text} SELECT count(*), count(split) FROM _classed WHERE _step IS NULL", values)
    if n_split or not n:
        return n_split != n, []
    return False, [f"none of the {n:,} images has an official split: all of them count as train"]


def _holds(choice: Choice, wnids: Sequence[str], ask: Asks) -> frozenset[str] | None:
    if not choice.class_where:
        return None
    conditions = " AND ".join(f"coalesce(({condition}\n), false)" for condition in choice.class_where)
    text = f"SELECT wnid FROM synsets WHERE wnid IN (SELECT unnest($_own::VARCHAR[])) AND {conditions}"
    return frozenset(str(wnid) for (wnid,) in ask(text, {"_own": list(wnids)}))


def _by_number(choice: Choice, found: Prepared, counted: Mapping[str, int]) -> Prepared:
    late: dict[str, str] = {}
    for wnid in {*found.of.values()}:
        n = counted.get(wnid, 0)
        if choice.min_images is not None and n < choice.min_images:
            late[wnid] = "min_images"
        elif choice.max_images is not None and n > choice.max_images:
            late[wnid] = "max_images"
    return found._replace(late=late)


def _batches(found: Prepared, present: Mapping[str, int], *, whole: bool) -> Iterator[list[str] | None]:
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
    def __call__(self, found: Prepared, only: Sequence[str] | None) -> Sql: ...


def _count_cuts(
    choice: Choice, found: Prepared, batches: Sequence[list[str] | None], tables: _Tables, ask: Asks
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


def _check_rest(choice: Choice, text: str, values: Mapping[str, object], ask: Asks) -> None:
    """UsageError where the counts a class take all images, and leave none to the rest, which is train."""
    split = choice.split
    if split.rest in dict(split.amounts):
        return
    of_rest = f"count(*) FILTER (_split = '{split.rest}')"
    counted = ask(f"{text} SELECT count(*), {of_rest} FROM _divided WHERE _step IS NULL GROUP BY _class", values)
    if counted and not any(rest for _, rest in counted):
        most = max(int(str(n)) for n, _ in counted)
        raise UsageError(
            f"--split {split}: it leaves no image for {split.rest}; the largest class has {most:,} images to split. "
            "Ask for fewer a class."
        )


def _amount_cuts(
    choice: Choice, found: Prepared, batches: Sequence[list[str] | None], tables: _Tables, ask: Asks
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


def _limit(choice: Choice, demands: tuple[tuple[str, str], ...], joins: str, found: Prepared, ask: Asks) -> Cut | None:
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
