"""Ways to split: official, shares by hash, counts a class, folds, and classes apart; and the draws they depend on."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from imagenet_tools.errors import UsageError
from imagenet_tools.wordnet.wnid import hash32

EVERY = 1 << 32  # above every draw, which has 32 bits
REST = "train"  # the split of the images beyond the counts of a count split
_MASK = EVERY - 1
_MAX_ATTEMPTS = 200  # orders of families that divide() tries


class Split(NamedTuple):
    """A way to split.

    `by` is official; fraction (shares of each split); count (images a class, by lowest draw; others are train); folds
    (equal shares); or classes (a number of classes for each split).
    """

    by: str
    amounts: tuple[tuple[str, float], ...] = ()  # (name, share or count)
    # In a split of classes, classes of different splits share no ancestor deeper than `below` edges, by the longest
    # path from the root. None: they may share any, unless that is itself one of the classes.
    below: int | None = None

    def __str__(self) -> str:
        """Return the split as it is typed."""
        if self.by == "official":
            return self.by
        if self.by == "folds":
            return f"folds={len(self.amounts)}"
        suffix = "/class" if self.by == "count" else ""
        text = ",".join(f"{name}={amount:.12g}{suffix}" for name, amount in self.amounts)
        if self.by != "classes":
            return text
        return f"classes:{text}" + (f",below={self.below}" if self.below is not None else "")


OFFICIAL = Split("official")

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_EXPECTED = (
    "Expected official, fractions such as train=0.9,val=0.1, counts a class such as val=50/class, folds=5, or classes "
    "apart such as classes:train=64,val=16,test=20 (with ,below=4: no ancestor shared below depth 4)."
)


# ---- Read


def parse_split(text: str | Mapping[str, float] | Split) -> Split:
    """Read a split as it is typed, or a mapping of fractions.

    Raises:
        UsageError: It is neither; the message lists the ways to split.

    Example:
        >>> parse_split("val=50/class").amounts
        (('val', 50.0),)
    """
    if isinstance(text, Split):
        return text
    if not isinstance(text, str):
        text = ",".join(f"{name}={share!r}" for name, share in text.items())
    text = text.strip()
    if text == "official":
        return OFFICIAL
    kind, colon, rest = text.partition(":")
    pairs = [pair.partition("=") for pair in (rest if colon else text).split(",")]
    values = {name.strip(): value.strip() for name, _, value in pairs}
    if not all(map(_NAME.fullmatch, values)) or len(values) < len(pairs):
        raise _not_a_split(text, "the splits need names, each once")
    if colon:
        return _class_split(text, kind, values)
    if list(values) == ["folds"] and "." not in values["folds"]:
        if not values["folds"].isdecimal() or int(values["folds"]) < 2:
            raise _not_a_split(text, "the number of folds is a whole number above 1")
        n_folds = int(values["folds"])
        return Split("folds", tuple((f"fold{k}", 1 / n_folds) for k in range(n_folds)))
    if all(value.endswith("/class") for value in values.values()):
        counts = {name: value.removesuffix("/class") for name, value in values.items()}
        if not all(map(_is_count, counts.values())):
            raise _not_a_split(text, "a count is a whole number above 0")
        return Split("count", _amounts(counts))
    try:
        amounts = _amounts(values)
    except ValueError:
        raise _not_a_split(text, "not understood") from None
    shares = [share for _, share in amounts]
    if not all(0 < share <= 1 for share in shares) or math.fsum(shares) > 1 + 1e-9:
        raise _not_a_split(text, "the fractions must be above 0 and sum to at most 1")
    return Split("fraction", amounts)


def _class_split(text: str, kind: str, counts: dict[str, str]) -> Split:
    below = counts.pop("below", None)
    if kind != "classes" or not counts or not all(map(_is_count, counts.values())):
        raise _not_a_split(text, "classes are counted by whole numbers above 0")
    if below is not None and not below.isdecimal():
        raise _not_a_split(text, "below is a depth, 0 or more")
    return Split("classes", _amounts(counts), int(below) if below is not None else None)


def _amounts(values: Mapping[str, str]) -> tuple[tuple[str, float], ...]:
    return tuple((name, float(value)) for name, value in values.items())


def _is_count(text: str) -> bool:
    return text.isdecimal() and int(text) > 0


def _not_a_split(text: str, problem: str) -> UsageError:
    return UsageError(f"--split {text}: {problem}. {_EXPECTED}")


def parse_amount(text: str | int | Mapping[str, int]) -> dict[str, int]:
    """Read `300`, `train=300,val=50`, or the same as a number or a mapping, as numbers by split.

    A number for every split has the key "".

    Raises:
        UsageError: A number is not a whole number above 0.

    Example:
        >>> parse_amount("train=300,val=50")
        {'train': 300, 'val': 50}
    """
    pairs: list[tuple[str, int | str]] = list(text.items()) if isinstance(text, Mapping) else [("", text)]
    if isinstance(text, str) and "=" in text:
        pairs = [(name.strip(), n.strip()) for name, _, n in (pair.partition("=") for pair in text.split(","))]
    amounts = dict(pairs)
    for name, n in pairs:
        if not _is_count(str(n).strip()) or (name and not _NAME.fullmatch(name)) or len(amounts) < len(pairs):
            raise UsageError(
                f"--per-class: found {text!r}; expected a whole number above 0, such as 300, or one for each split, "
                "such as train=300,val=50."
            )
    return {name: int(n) for name, n in amounts.items()}


# ---- Draws


def thresholds(split: Split) -> list[tuple[str, int]]:
    """Return (name, upper bound of a draw) of shares or folds: a draw falls into the first split it is below.

    Example:
        >>> thresholds(parse_split("train=0.5,val=0.5"))
        [('train', 2147483648), ('val', 4294967296)]
    """
    shares = [share for _, share in split.amounts]
    return [(name, min(EVERY, round(math.fsum(shares[: n + 1]) * EVERY))) for n, (name, _) in enumerate(split.amounts)]


def draw(hash32: int, seed: int) -> int:
    """Return the number that a photo draws, 0 to 4,294,967,295, by its stored hash; equal to draw() in views.sql.

    An array of 64-bit unsigned numbers gives an array.
    """
    return _mix(hash32 ^ _mix((seed + 1) & _MASK))


def draw_sql(hash32: str, seed: int) -> str:
    """Return SQL of draw() for an expression. The macro draw() mixes the seed in SQL, which takes 4 ms to plan."""
    return f"_mix3(xor(({hash32})::UBIGINT, {_mix((seed + 1) & _MASK)}::UBIGINT))"


def _mix(x: int) -> int:
    x = (x ^ x >> 16) * 2246822507 & _MASK
    x = (x ^ x >> 13) * 3266489909 & _MASK
    return x ^ x >> 16


# ---- A split of classes, for few-shot learning: some classes for training, others for validation and test


def divide(wnids: Iterable[str], split: Split, seed: int) -> dict[str, str]:
    """Return the split of each class that has one; the same classes, split and seed give the same result.

    Classes that must stay together form a family: one above the other, or with a common ancestor below the depth
    `split.below`. Families are taken by the lowest draw of their classes, and each goes to the split that lacks most
    classes. Classes beyond the wanted number, those with the highest draws, get no split.

    Raises:
        UsageError: There are too few classes, or their families are too large.
    """
    wanted = {name: int(n) for name, n in split.amounts}
    groups = families(wnids, split.below)
    n_classes = sum(map(len, groups))
    if n_classes < sum(wanted.values()):
        raise UsageError(f"--split {split}: {sum(wanted.values()):,} classes are asked for, found {n_classes:,}.")
    for attempt in range(_MAX_ATTEMPTS):
        sides = _try_divide(groups, wanted, seed, attempt)
        if sides is not None:
            return sides
    sizes = ", ".join(f"{len(family):,}" for family in sorted(groups, key=len, reverse=True)[:5])
    raise UsageError(
        f"--split {split}: no way was found to fill these splits from {len(groups):,} families of classes that must "
        f"stay together; the largest have {sizes} classes. Ask for fewer classes, or a larger below=."
    )


def _try_divide(
    groups: Sequence[Sequence[str]], wanted: Mapping[str, int], seed: int, attempt: int
) -> dict[str, str] | None:
    """Return the split of each class, or None if the splits are not filled.

    The first attempt takes the largest families first; further ones take other orders, by other draws.
    """

    def drawn(wnid: str) -> tuple[int, str]:
        return draw(hash32(wnid), seed + attempt), wnid

    def order(family: Sequence[str]) -> tuple[int, tuple[int, str]]:
        return (-len(family) if attempt == 0 else 0), min(map(drawn, family))

    left = dict(wanted)
    sides: dict[str, str] = {}
    for family in sorted(groups, key=order):
        name = max(left, key=left.__getitem__)  # the first of equals
        taken = sorted(family, key=drawn)[: left[name]]
        sides |= dict.fromkeys(taken, name)
        left[name] -= len(taken)
    return sides if not any(left.values()) else None


def families(wnids: Iterable[str], below: int | None) -> list[tuple[str, ...]]:
    """Return the classes that must stay together: one above the other, or with a common ancestor deeper than `below`.

    A class outside WordNet is a family by itself.
    """
    import numpy as np

    from imagenet_tools.wordnet import graph, hierarchy, wordnet

    names = sorted(set(wnids))
    known = [wnid for wnid in names if wordnet.find_row(wnid) is not None]
    rows = wordnet.rows_of(known)
    member, node, _ = graph.pairs(hierarchy.edges_up(), rows)
    joins = np.isin(node, rows)
    if below is not None:
        joins |= hierarchy.max_depths()[node] > below
    parent: dict[int, int] = {}  # union-find over rows

    def root(row: int) -> int:
        while parent.setdefault(row, row) != row:
            parent[row] = parent[parent[row]]
            row = parent[row]
        return row

    for row, above in zip(member[joins].tolist(), node[joins].tolist(), strict=True):
        parent[root(row)] = root(above)
    together: dict[int, list[str]] = {}
    for row, wnid in zip(rows.tolist(), known, strict=True):
        together.setdefault(root(row), []).append(wnid)
    alone = [[wnid] for wnid in set(names) - set(known)]
    return sorted(tuple(family) for family in (*together.values(), *alone))
