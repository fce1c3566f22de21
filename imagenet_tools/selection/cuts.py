"""Find what a selection needs before its query: classes, class counts, and the last image of each amount.

Classes are queried some at a time, so that memory does not grow with the number of images.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from imagenet_tools.errors import UsageError
from imagenet_tools.selection import classes, query, splits, steps
from imagenet_tools.selection.query import Cut, Prepared, Request, Sql
from imagenet_tools.selection.splits import EVERY, OFFICIAL, REST
from imagenet_tools.text import count_of, did_you_mean

if TYPE_CHECKING:
    from imagenet_tools.selection.words import Choice

Ask = Callable[[str, Mapping[str, object]], list[Any]]  # runs SQL for a selection

_AT_ONCE_IMAGES = 1_000_000  # images that are ranked in one query
_BUCKET_BITS = 16  # bits of a draw that are counted first, to find the last image of a limit
_NAMED_CLASSES = 5  # classes that a note names
_OFFICIAL_SPLITS = ("train", "val", "test")

_Batches = Sequence[list[str] | None]


def find(request: Request, ask: Ask) -> tuple[Prepared, tuple[str, ...]]:
    """Return what the query of a selection needs, and notes for the user.

    Raises:
        UsageError: A data set, split or number of classes is not in the index, or nested classes are an error.
    """
    choice = request.choice
    _check_names(choice, ask)
    mixed, notes = _split_mix(request, ask)
    rows = ask(f"SELECT wnid, count(*) FROM images WHERE {_early(choice, mixed=mixed)} GROUP BY wnid ORDER BY wnid", {})
    present: dict[str, int] = dict(rows)  # images of each wnid that can be chosen
    wnids = sorted({*present, *(choice.classes.wnids if choice.classes else ())})
    prepared, class_notes = classes.choose(choice, wnids, _where_holds(choice, wnids, ask))
    prepared = prepared._replace(mixed=mixed)
    notes = [*class_notes, *notes]
    if choice.min_images is not None or choice.max_images is not None or choice.split.by == "classes":
        prepared = _count_classes(request, prepared, notes, ask)
    sizes = Counter[str]()
    for wnid, class_wnid in prepared.class_of.items():
        sizes[class_wnid] += present.get(wnid, 0)
    # Groups join classes, so they are ranked in one query.
    batches: _Batches = [None]
    if choice.groups is None:
        batches = list(classes.batches(prepared.class_of, dict(sorted(sizes.items())), _AT_ONCE_IMAGES))
    if choice.split.by == "count":
        prepared = prepared._replace(counts=_count_cuts(request, prepared, batches, ask))
        _check_rest(choice, query.divided(request, prepared), ask)
    if choice.per_class:
        _check_per_class(choice, ask)
        prepared = prepared._replace(amounts=_amount_cuts(request, prepared, batches, ask))
    if choice.limit is not None:
        prepared = prepared._replace(limit=_limit_cut(choice, query.whole(request, prepared), choice.limit, ask))
    return prepared, tuple(notes)


def _early(choice: Choice, *, mixed: bool) -> str:
    """Return SQL that is true for the images that are left by the steps before the classes."""
    return " AND ".join(f"coalesce({condition}, false)" for _, condition in steps.first(choice, mixed=mixed))


def _check_names(choice: Choice, ask: Ask) -> None:
    """Raise UsageError if no image has a data set, or an official split of the data sets, that was named."""
    within = "dataset IN (SELECT unnest($_dataset::VARCHAR[]))" if choice.dataset else "true"
    for flag, column, kind, names, where in (
        ("--dataset", "dataset", "data set", choice.dataset, "true"),
        ("--from", "split", "official split", choice.from_, within),
    ):
        if not names:
            continue
        rows = ask(f"SELECT DISTINCT {column} FROM images WHERE {column} IS NOT NULL AND {where} ORDER BY ALL", {})
        known = [name for (name,) in rows]
        for name in names:
            if name not in known:
                expected = f"Expected {' or '.join(known)}." if known else f"No image has any {kind}: leave {flag} out."
                raise UsageError(
                    f"{flag} {name}: the index has no image of this {kind}. {did_you_mean(name, known)}{expected}"
                )


def _check_per_class(choice: Choice, ask: Ask) -> None:
    """Raise UsageError if --per-class names a split that neither the index, nor ImageNet, nor --split has."""
    rows = ask("SELECT DISTINCT split FROM images WHERE split IS NOT NULL ORDER BY split", {})
    official = [*dict.fromkeys((*_OFFICIAL_SPLITS, *(name for (name,) in rows)))]
    known = official if choice.split == OFFICIAL else [*dict.fromkeys((*dict(choice.split.amounts), REST))]
    for name in choice.per_class:
        if name and name not in known:
            raise UsageError(
                f"--per-class {name}: no split is called so. {did_you_mean(name, known)}Expected {' or '.join(known)}."
            )


def _split_mix(request: Request, ask: Ask) -> tuple[bool, list[str]]:
    """Return whether some images have an official split and others have none, and a note if none has one.

    Only the words that choose images before a new split is made count, and no demands of an export, so that a selection
    has the same splits in every target.
    """
    choice = replace(request.choice, split=OFFICIAL, groups=None, nested="keep", per_class={}, limit=None)
    choice = replace(choice, min_images=None, max_images=None)
    early = _early(choice, mixed=False)
    if not ask(f"SELECT 1 FROM images WHERE split IS NULL AND {early} LIMIT 1", {}):
        return False, []
    wnids = [wnid for (wnid,) in ask(f"SELECT DISTINCT wnid FROM images WHERE {early} ORDER BY wnid", {})]
    prepared, _ = classes.choose(choice, wnids, _where_holds(choice, wnids, ask))
    text, values = query.classed(request._replace(choice=choice, demands=()), prepared)
    ((n, n_split),) = ask(f"{text} SELECT count(*), count(split) FROM _classed WHERE _step IS NULL", values)
    if n_split or not n:
        return n_split != n, []
    return False, [f"none of the {n:,} images has an official split: all of them count as train"]


def _where_holds(choice: Choice, wnids: Sequence[str], ask: Ask) -> frozenset[str] | None:
    """Return the wnids for which all conditions of class_where hold; None without conditions."""
    if not choice.class_where:
        return None
    conditions = " AND ".join(f"coalesce(({condition}\n), false)" for condition in choice.class_where)
    text = f"SELECT wnid FROM synsets WHERE wnid IN (SELECT unnest($_wnid::VARCHAR[])) AND {conditions}"
    return frozenset(wnid for (wnid,) in ask(text, {"_wnid": list(wnids)}))


def _count_classes(request: Request, prepared: Prepared, notes: list[str], ask: Ask) -> Prepared:
    """Leave out classes with too few or too many images, and divide the others if the split is one of classes."""
    choice = request.choice
    text, values = query.divided(request, prepared)
    counts = dict(
        ask(f"{text} SELECT _class, count(*) FROM _divided WHERE _step IS NULL GROUP BY ALL ORDER BY ALL", values)
    )
    late: dict[str, str] = {}
    for wnid in {*prepared.class_of.values(), *(choice.superclasses.wnids if choice.superclasses else ())}:
        n = counts.get(wnid, 0)
        if choice.min_images is not None and n < choice.min_images:
            late[wnid] = "min_images"
        elif choice.max_images is not None and n > choice.max_images:
            late[wnid] = "max_images"
    prepared = prepared._replace(late=late)
    if choice.split.by != "classes":
        return prepared
    eligible = [wnid for wnid in counts if wnid not in late]
    sides = splits.divide(eligible, choice.split, choice.seed)
    dropped = sorted(set(eligible) - set(sides))
    if dropped:
        named = ", ".join(dropped[:_NAMED_CLASSES]) + (" ..." if len(dropped) > _NAMED_CLASSES else "")
        notes.append(f"{len(dropped):,} of {len(eligible):,} classes are in no split ({named})")
    return prepared._replace(sides=sides)


def _ranked(
    request: Request, prepared: Prepared, batches: _Batches, ask: Ask, *, by: str, order: str, chosen: str, ranks: str
) -> Iterator[tuple[Any, ...]]:
    """Yield the columns `by` and `order`, and the rank, of chosen images with some ranks.

    Args:
        request: The conditions of the selection.
        prepared: What was found so far.
        batches: The wnids of the images that are ranked in each query.
        ask: Runs SQL.
        by: The columns of `_divided` within which images are ranked.
        order: The columns by which they are ranked.
        chosen: A condition on the images.
        ranks: SQL that follows the rank, and compares it with the ranks that are wanted.
    """
    rank = f"row_number() OVER (PARTITION BY {by} ORDER BY {order})"
    for batch in batches:
        text, values = query.divided(request, prepared, batch)
        rows = f"FROM _divided WHERE _step IS NULL AND {chosen} QUALIFY {rank} {ranks}"
        yield from ask(f"{text} SELECT {by}, {order}, {rank} {rows}", values)


def _count_cuts(request: Request, prepared: Prepared, batches: _Batches, ask: Ask) -> dict[str, list[Cut]]:
    """Return the last image of each split of a count split, by class; EVERY if the class has too few images."""
    totals = list(accumulate(int(n) for _, n in request.choice.split.amounts))
    cuts = {wnid: [Cut(EVERY, "")] * len(totals) for wnid in prepared.class_of.values()}
    ranks = f"IN ({', '.join(map(str, totals))})"
    how = {"by": "_class", "order": "_side_draw, _side_key", "chosen": "_home = _class", "ranks": ranks}
    for wnid, drawn, key, rank in _ranked(request, prepared, batches, ask, **how):
        cuts[wnid][totals.index(rank)] = Cut(drawn, key)
    return cuts


def _check_rest(choice: Choice, begin: Sql, ask: Ask) -> None:
    """Raise UsageError if the counts take all images, and none is left for the rest, which is train."""
    split = choice.split
    if REST in dict(split.amounts):
        return
    counted = f"SELECT count(*), count(*) FILTER (_split = '{REST}')"
    rows = ask(f"{begin.text} {counted} FROM _divided WHERE _step IS NULL GROUP BY _class", begin.values)
    if rows and not any(rest for _, rest in rows):
        raise UsageError(
            f"--split {split}: it leaves no image for {REST}; the largest class has {count_of(max(rows)[0], 'image')} "
            "to split. Ask for fewer a class."
        )


def _amount_cuts(request: Request, prepared: Prepared, batches: _Batches, ask: Ask) -> dict[tuple[str, str], Cut]:
    """Return the last image that per_class takes, by split and class; only where there are enough images."""
    per_class = request.choice.per_class
    numbers = " ".join(f"WHEN _split = '{split}' THEN {n}" for split, n in per_class.items() if split)
    ranks = f"= CASE {numbers} WHEN true THEN {per_class.get('', 'NULL')} END"
    how = {"by": "_split, _class", "order": "_draw, _key", "chosen": "_split IS NOT NULL", "ranks": ranks}
    rows = _ranked(request, prepared, batches, ask, **how)
    return {(split, wnid): Cut(drawn, key) for split, wnid, drawn, key, _ in rows}


def _limit_cut(choice: Choice, begin: Sql, limit: int, ask: Ask) -> Cut | None:
    """Return the last image of a limit; None if there are no more images than that.

    Images are counted by the first bits of their draw, then one bucket is sorted: sorting all of them would take
    memory for each image.
    """
    draw = splits.draw_sql("hash32", int(choice.seed))
    bucket = f"({draw} >> {32 - _BUCKET_BITS})"
    chosen = "FROM made WHERE left_out IS NULL"
    n_before = 0
    for number, n in ask(f"{begin.text} SELECT {bucket}, count(*) {chosen} GROUP BY ALL ORDER BY ALL", begin.values):
        if n_before + n >= limit:
            ((drawn, key),) = ask(
                f"""{begin.text} SELECT {draw} AS drawn, {query.KEY} AS key {chosen} AND {bucket} = $_bucket
                    ORDER BY ALL LIMIT 1 OFFSET {limit - n_before - 1}""",
                {**begin.values, "_bucket": number},
            )
            return Cut(drawn, key)
        n_before += n
    return None
