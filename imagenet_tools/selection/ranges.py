"""The chosen images in an order, some at a time: where the order is cut, and the SQL condition of each stretch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from imagenet_tools.selection.query import Sql

if TYPE_CHECKING:
    from imagenet_tools.selection.selection import Selection

_SAMPLED = 1_000  # images looked at for each place where the order is cut


def ranges(selection: Selection, keys: Mapping[str, str], at_once: int) -> Iterator[Sql]:
    """Conditions on `made` that cut the chosen images, in order of these keys, into stretches of about `at_once`.

    `keys` are SQL expressions without nulls, by the name of a value. Where the images of an index lie about in order,
    the first key that tells two cuts apart tells the engine which row groups it need not read.
    """
    n = sum(sum(counted.values()) for counted in selection.counts().values())
    parts = n // at_once + 1
    bounds: list[tuple[object, ...]] = []
    if parts > 1:
        share = min(1 << 32, (_SAMPLED * parts << 32) // n)
        sample = selection.run(
            f"SELECT {', '.join(keys.values())} FROM made WHERE left_out IS NULL AND hash32 < $_share ORDER BY ALL",
            {"_share": share},
        ).fetchall()
        bounds = list(dict.fromkeys(sample[_SAMPLED::_SAMPLED]))
    for low, high in zip([None, *bounds], [*bounds, None], strict=True):
        yield _between(list(keys.items()), low, high)


def _between(keys: Sequence[tuple[str, str]], low: tuple[object, ...] | None, high: tuple[object, ...] | None) -> Sql:
    """low <= keys < high, where both are there."""
    tests, values = [], dict[str, object]()
    shared = 0
    if low is not None and high is not None:
        shared = next(n for n, (a, b) in enumerate(zip(low, high, strict=True)) if a != b)
    for n, (name, key) in enumerate(keys):
        for side, bound in (("low", low), ("high", high)):
            if bound is not None:
                values[f"_{side}_{name}"] = bound[n]
        if n < shared:
            tests.append(f"{key} = $_low_{name}")
    rest = keys[shared:]
    first, key = rest[0]
    if low is not None:
        tests += [f"{key} >= $_low_{first}", _after(rest, "low", equal=True)]
    if high is not None:
        tests += [f"{key} <= $_high_{first}", f"NOT {_after(rest, 'high', equal=True)}"]
    return Sql(" AND ".join(tests) or "true", values)


def _after(keys: Sequence[tuple[str, str]], side: str, *, equal: bool) -> str:
    """keys >= the bound of a side, or keys > it."""
    (name, key), *others = keys
    value = f"$_{side}_{name}"
    if not others:
        return f"({key} {'>=' if equal else '>'} {value})"
    return f"({key} > {value} OR ({key} = {value} AND {_after(others, side, equal=equal)}))"
