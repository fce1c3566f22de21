"""Ways to split, as they are typed: official, shares by hash, counts a class, folds, and classes apart."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import NamedTuple

from imagenet_tools.errors import UsageError

_RANGE = 1 << 32  # of a draw


class Split(NamedTuple):
    """A way to split: official; fraction (shares of each split, by threshold); count (images a class, by lowest draw);
    folds (equal shares); classes (so many classes each).

    Of a count split, images beyond the counts fall to `rest`. Of a classes split, classes of different splits share no
    ancestor that lies more than `below` edges below the root, by the longest path; None: but for their own ancestors
    among the classes, any.
    """

    by: str
    amounts: tuple[tuple[str, float], ...] = ()
    rest: str = "train"
    below: int | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The splits that this makes; none for the official one, whose names the images bear."""
        named = tuple(name for name, _ in self.amounts)
        return named if self.by != "count" or self.rest in named else (self.rest, *named)

    def __str__(self) -> str:
        """As it is typed."""
        if self.by == "official":
            return self.by
        if self.by == "folds":
            return f"folds={len(self.amounts)}"
        suffix = "/class" if self.by == "count" else ""
        said = ",".join(f"{name}={amount:.12g}{suffix}" for name, amount in self.amounts)
        if self.by != "classes":
            return said
        return f"classes:{said}" + (f",below={self.below}" if self.below is not None else "")


OFFICIAL = Split("official")

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_EXPECTED = (
    "Expected official, fractions such as train=0.9,val=0.1, counts a class such as val=50/class, folds=5, or classes "
    "apart such as classes:train=64,val=16,test=20 (with ,below=4: no ancestor shared below depth 4)."
)


def parse_split(text: str | Mapping[str, float] | Split) -> Split:
    """A split as it is typed, or a mapping of fractions; UsageError says what else it is."""
    if isinstance(text, Split):
        return text
    if not isinstance(text, str):
        text = ",".join(f"{name}={share!r}" for name, share in text.items())
    text = text.strip()
    if text == "official":
        return OFFICIAL
    kind, colon, rest = text.partition(":")
    pairs = [pair.partition("=") for pair in (rest if colon else text).split(",")]
    names = [name.strip() for name, _, _ in pairs]
    values = [value.strip() for _, _, value in pairs]
    if not all(_NAME.fullmatch(name) for name in names) or len(set(names)) < len(names):
        raise _wrong(text, "the splits need names, each once")
    if colon:
        return _of_classes(text, kind, dict(zip(names, values, strict=True)))
    if names == ["folds"] and "." not in values[0]:
        if not values[0].isdecimal() or int(values[0]) < 2:
            raise _wrong(text, "the number of folds is a whole number above 1")
        n = int(values[0])
        return Split("folds", tuple((f"fold{k}", 1 / n) for k in range(n)))
    if all(value.endswith("/class") for value in values):
        counts = [value.removesuffix("/class") for value in values]
        if not all(_is_count(count) for count in counts):
            raise _wrong(text, "a count is a whole number above 0")
        return Split("count", tuple((name, float(count)) for name, count in zip(names, counts, strict=True)))
    return _of_fractions(text, names, values)


def _of_fractions(text: str, names: list[str], values: list[str]) -> Split:
    try:
        shares = [float(value) for value in values]
    except ValueError:
        raise _wrong(text, "not understood") from None
    if not all(0 < share <= 1 for share in shares) or math.fsum(shares) > 1 + 1e-9:
        raise _wrong(text, "the fractions must be above 0 and sum to at most 1")
    return Split("fraction", tuple(zip(names, shares, strict=True)))


def _of_classes(text: str, kind: str, counts: dict[str, str]) -> Split:
    below = counts.pop("below", None)
    if kind != "classes" or not counts or not all(map(_is_count, counts.values())):
        raise _wrong(text, "classes are counted by whole numbers above 0")
    if below is not None and not below.isdecimal():
        raise _wrong(text, "below is a depth, 0 or more")
    amounts = tuple((name, float(count)) for name, count in counts.items())
    return Split("classes", amounts, below=int(below) if below is not None else None)


def _is_count(text: str) -> bool:
    return text.isdecimal() and int(text) > 0


def _wrong(text: str, what: str) -> UsageError:
    return UsageError(f"--split {text}: {what}. {_EXPECTED}")


def thresholds(split: Split) -> list[tuple[str, int]]:
    """Of shares or folds, (name, upper bound): a draw below a bound, and not below the one before, falls there."""
    bounds: list[tuple[str, int]] = []
    total: list[float] = []
    for name, share in split.amounts:
        total.append(share)
        bounds.append((name, min(_RANGE, round(math.fsum(total) * _RANGE))))
    return bounds


def parse_amount(text: str | int | Mapping[str, int] | None) -> dict[str, int]:
    """`300` ({"": 300}: any split) or `train=300,val=50`, or the same as a number or a mapping; empty for None."""
    if text is None:
        return {}
    if isinstance(text, int):
        found: dict[str, int | str] = {"": text}
    elif isinstance(text, str):
        if "=" in text:
            found = {name.strip(): n.strip() for name, _, n in (pair.partition("=") for pair in text.split(","))}
        else:
            found = {"": text.strip()}
    else:
        found = dict(text)
    amounts: dict[str, int] = {}
    for name, n in found.items():
        if not _is_count(str(n)) or (name and not _NAME.fullmatch(name)):
            message = f"--per-class {text}: expected a whole number above 0, such as 300 or train=300,val=50."
            raise UsageError(message)
        amounts[name] = int(n)
    return amounts


# ---- Draws: the number by which a photo falls into a split or a sample, of its stored hash and a seed.


_MASK = 0xFFFFFFFF
EVERY = 1 << 32  # above every draw


def draw(hash32: int, seed: int) -> int:
    """The number a photo draws, 0 to 4,294,967,295: the twin of the macro draw() in views.sql."""
    return _mix(hash32 ^ _mix((seed + 1) & _MASK))


def _mix(x: int) -> int:
    x = (x ^ x >> 16) * 2246822507 & _MASK
    x = (x ^ x >> 13) * 3266489909 & _MASK
    return x ^ x >> 16
