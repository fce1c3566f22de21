"""Draws: how a photo falls into a split or a sample, by its stored hash and a seed; the same in SQL and in Python."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, NamedTuple

from imagenet_tools.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

_MASK = 0xFFFFFFFF
_RANGE = 1 << 32


def draw(hash32: int, seed: int) -> int:
    """The number a photo draws, 0 to 4,294,967,295: the twin of the macro draw() in views.sql."""
    return _mix(hash32 ^ _mix((seed + 1) & _MASK))


def _mix(x: int) -> int:
    x = (x ^ x >> 16) * 2246822507 & _MASK
    x = (x ^ x >> 13) * 3266489909 & _MASK
    return x ^ x >> 16


class Split(NamedTuple):
    """A way to split: official; fraction (shares of each split, by threshold); count (images a class, by lowest draw).

    Of a count split, images beyond the counts fall to `rest`.
    """

    by: str
    amounts: tuple[tuple[str, float], ...] = ()
    rest: str = "train"

    @property
    def names(self) -> tuple[str, ...]:
        """The splits that this makes; none for the official one, whose names the images bear."""
        named = tuple(name for name, _ in self.amounts)
        return named if self.by != "count" or self.rest in named else (self.rest, *named)

    def __str__(self) -> str:
        """As it is typed."""
        if self.by == "official":
            return self.by
        suffix = "/class" if self.by == "count" else ""
        return ",".join(f"{name}={amount:.12g}{suffix}" for name, amount in self.amounts)


OFFICIAL = Split("official")

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")


def parse_split(text: str | Mapping[str, float] | Split) -> Split:
    """`official`, `train=0.9,val=0.1` or `val=50/class`, or a mapping of fractions; UsageError says what else it is."""
    if isinstance(text, Split):
        return text
    if not isinstance(text, str):
        text = ",".join(f"{name}={share!r}" for name, share in text.items())
    text = text.strip()
    if text == "official":
        return OFFICIAL
    pairs = [pair.partition("=") for pair in text.split(",")]
    names = [name.strip() for name, _, _ in pairs]
    values = [value.strip() for _, _, value in pairs]
    expected = "Expected official, fractions such as train=0.9,val=0.1, or counts a class such as val=50/class."
    if not all(_NAME.fullmatch(name) for name in names) or len(set(names)) < len(names):
        message = f"--split {text}: the splits need names, each once. {expected}"
        raise UsageError(message)
    if all(value.endswith("/class") for value in values):
        counts = [value.removesuffix("/class") for value in values]
        if not all(count.isdecimal() and int(count) > 0 for count in counts):
            message = f"--split {text}: a count is a whole number above 0. {expected}"
            raise UsageError(message)
        return Split("count", tuple((name, float(count)) for name, count in zip(names, counts, strict=True)))
    try:
        shares = [float(value) for value in values]
    except ValueError:
        message = f"--split {text}: not understood. {expected}"
        raise UsageError(message) from None
    if not all(0 < share <= 1 for share in shares) or math.fsum(shares) > 1 + 1e-9:
        message = f"--split {text}: the fractions must be above 0 and sum to at most 1. {expected}"
        raise UsageError(message)
    return Split("fraction", tuple(zip(names, shares, strict=True)))


def thresholds(split: Split) -> list[tuple[str, int]]:
    """Of a fraction split, (name, upper bound): a draw below a bound, and not below the one before, falls there."""
    bounds: list[tuple[str, int]] = []
    total = 0.0
    for name, share in split.amounts:
        total = math.fsum((total, share))
        bounds.append((name, min(_RANGE, round(total * _RANGE))))
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
        if not str(n).isdecimal() or int(n) == 0 or (name and not _NAME.fullmatch(name)):
            message = f"--per-class {text}: expected a whole number above 0, such as 300 or train=300,val=50."
            raise UsageError(message)
        amounts[name] = int(n)
    return amounts
