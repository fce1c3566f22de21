"""What `make bench-full` tells of the whole path: the steps, growth, bytes, and the time left that builds showed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tests.benchmarks.table import cell, megabytes, number, seconds
from tests.benchmarks.whole_path import (
    ADD,
    ASK,
    COLD,
    EXPORT,
    FIXED,
    ORDER,
    PLAN,
    TENTH,
    TENTH_AGAIN,
    UNCHANGED,
    WHOLE,
    Step,
    Walk,
)

_LEFT = re.compile(r"(?:(\d+) h )?(?:(\d+) min )?(\d+) s left")
_MINUTE = 60.0

# What is aimed at: (words, seconds or bytes at most).
_SECONDS = {WHOLE: 50.0, COLD: 65.0, ASK: 0.35, PLAN: 15.0, ORDER: 20.0}  # of all images: 15 s to plan, 5 to order
_ORDER_MEMORY = ("under 1 GB", 1_000_000_000)
_MEMORY = ("under 1.5 GB", 1_500_000_000)
_BYTES_AN_IMAGE = 18.0
_GROWTH = 0.15
_WITHIN = 0.20
_A_BLINK = 2.0  # seconds by which a time left may always be wrong: it is told in whole ones


def report(found: Walk) -> str:
    """All of it as Markdown."""
    parts = ["".join(f"{line}\n" for line in _steps(found))]
    parts += [f"- {line}\n" for line in (*_sizes(found), *_growth(found), *_time_left(found))]
    return parts[0] + "\n" + "".join(parts[1:])


def in_short(found: Walk) -> Iterator[str]:
    """Rows of the README's table: a work, what it took, and what else there is to say."""
    whole, images = found.step(WHOLE), found.sets[0].images
    if whole:
        size = sum(found.tables.values())
        yield (
            f"| index {images:,} images and {found.sets[0].annotations:,} box XML | {number(whole.spent.wall)} s, "
            f"{megabytes(whole.spent.together)} of memory | {size / 1e6:,.0f} MB on disk, {size / images:.1f} bytes an "
            "image |"
        )
    for name in (COLD, UNCHANGED, ADD, ASK, EXPORT):
        step = found.step(name)
        if step:
            said = f"{found.exported[0]:,} images" if name == EXPORT else ""
            yield f"| the same: {name} | {number(step.spent.wall)} s | {said} |"


def _steps(found: Walk) -> Iterator[str]:
    yield "| step | wall | CPU | memory, all processes | largest process | read from disk | images/s | aim |"
    yield "|---|---|---|---|---|---|---|---|"
    for step in found.steps:
        if step.failure:
            yield f"| {step.name} | {cell(step.failure)} | | | | | | not measured |"
            continue
        spent = step.spent
        images = found.exported[0] if step.name == EXPORT else step.images
        rate = f"{images / spent.wall:,.0f}" if images else ""
        aims = "; ".join(_aims(step))
        yield (
            f"| {step.name} | {number(spent.wall)} s | {number(spent.cpu)} s | {megabytes(spent.together)} | "
            f"{megabytes(spent.largest)} | {megabytes(spent.disk)} | {rate} | {aims} |"
        )


def _aims(step: Step) -> Iterator[str]:
    if step.name in _SECONDS:
        yield f"under {_SECONDS[step.name]:g} s: {judged(step.spent.wall < _SECONDS[step.name])}"
    if step.name in (COLD, WHOLE):
        yield f"{_MEMORY[0]}: {judged(step.spent.together < _MEMORY[1])}"
    if step.name == ORDER:
        yield f"{_ORDER_MEMORY[0]}: {judged(step.spent.together < _ORDER_MEMORY[1])}"


def judged(reached: bool) -> str:
    """Whether an aim is reached, in the words of the tables."""
    return "reached" if reached else "**not reached**"


def _sizes(found: Walk) -> Iterator[str]:
    images, size = found.sets[0].images, sum(found.tables.values())
    if size:
        tables = ", ".join(f"{name} {n / 1e6:,.1f} MB" for name, n in sorted(found.tables.items()) if n)
        each = size / images
        yield (
            f"On disk: {size:,} bytes, {each:.1f} an image ({found.tables.get('images', 0) / images:.1f} of the table "
            f"images alone): {tables}. Aim, at most {_BYTES_AN_IMAGE:g}: {judged(each <= _BYTES_AN_IMAGE)}."
        )
    if found.exported[0]:
        yield f"The export: {found.exported[0]:,} images, {found.exported[1]:,} bytes in shards, as GNU tar lists them."
    if found.cached is not None:
        yield f"In the page cache before the whole was built: {found.cached:.0%} of its tar."


def growth(whole: tuple[float, int], tenth: tuple[float, int], fixed: float = 0.0) -> float | None:
    """By what part the cost of an image grows from the tenth to the whole: (cost, images) of each; 0.1 is 10 %.

    What any build costs is taken off both, where it is given; None where it is most of what the tenth costs, and the
    rest is noise.
    """
    (more, n_more), (less, n_less) = whole, tenth
    if fixed > less / 2:
        return None
    return (more - fixed) / n_more / ((less - fixed) / n_less) - 1


def _growth(found: Walk) -> Iterator[str]:
    whole, fixed = found.step(WHOLE), found.step(FIXED)
    tenths = [step for step in map(found.step, (TENTH, TENTH_AGAIN)) if step]
    if not (whole and fixed and tenths):
        yield "Growth: not measured, for a build failed."
        return
    for what, of in (("wall", 0), ("CPU", 1)):
        costs = {step.name: (step.spent.wall, step.spent.cpu)[of] for step in (whole, fixed, *tenths)}
        less = min(costs[step.name] for step in tenths)
        pair = ((costs[WHOLE], whole.images), (less, tenths[0].images))
        found_growths = [growth(*pair), growth(*pair, fixed=costs[FIXED])]
        told = ["not to be told, it is most of the tenth" if one is None else f"{one:+.0%}" for one in found_growths]
        reached = all(one is not None and one < _GROWTH for one in found_growths)
        yield (
            f"Growth, {what}: {seconds(costs[WHOLE] / whole.images)} an image of the whole, "
            f"{seconds(less / tenths[0].images)} an image of its tenth: {told[0]}; with the fixed cost, "
            f"{seconds(costs[FIXED])}, taken off both: {told[1]}. Aim, below {_GROWTH:.0%} in both: {judged(reached)}."
        )


class Left(NamedTuple):
    """A time left that a build showed, and the truth, known at its end; all in seconds."""

    at: float  # since its start
    shown: float
    was: float

    @property
    def off(self) -> float:
        """By what part of the truth it was wrong: 0.1 is 10 % too long."""
        return self.shown / self.was - 1

    @property
    def right(self) -> bool:
        """Whether it was right, within 20 % or a blink."""
        return abs(self.shown - self.was) <= max(_WITHIN * self.was, _A_BLINK)


def time_left(lines: Sequence[tuple[float, str]], wall: float) -> list[Left]:
    """The times left that a command's lines of stderr showed, beside what was left when each came."""
    found = []
    for at, line in lines:
        told = _LEFT.search(line)
        if told and at < wall:
            hours, minutes, rest = (int(one or 0) for one in told.groups())
            found.append(Left(at, hours * 3600 + minutes * 60 + rest, wall - at))
    return found


def counted(found: Sequence[Left], wall: float) -> list[Left]:
    """Those that are judged: after the first minute, or after the first half of a build below two minutes."""
    return [one for one in found if one.at >= min(_MINUTE, wall / 2)]


def _time_left(found: Walk) -> Iterator[str]:
    for step in filter(None, map(found.step, (COLD, WHOLE))):
        wall = step.spent.wall
        told = time_left(step.spent.complaints, wall)
        after = counted(told, wall)
        if not after:
            yield f"Time left, {step.name}: it lasted {wall:.0f} s and showed none to be judged."
            continue
        shown = "; ".join(
            f"at {one.at:.0f} s of {wall:.0f}, {one.shown:.0f} s were shown and {one.was:.0f} s left ({one.off:+.0%})"
            for one in told
        )
        since = "its first minute" if wall >= 2 * _MINUTE else "its first half, for it lasted less than two minutes"
        yield (
            f"Time left, {step.name}: {shown}. Aim, right within {_WITHIN:.0%} (or {_A_BLINK:g} s) after {since}: "
            f"{judged(all(one.right for one in after))}."
        )
