"""The table of contests as Markdown: a line a run, ratios with their spread, and whether each aim is reached."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import median

from tests.benchmarks.contest import OURS, Result

HOW_TO_READ = (
    "Ours / it: how many times its units a second ours are, in the same round; **above 1, ours is the faster**. By "
    "CPU: how many times our CPU seconds a unit its are; above 1, ours takes fewer. Each is the median of the rounds, "
    "with the least and the most in brackets. Ours / limit is the share of what the machine gives. Memory is that of "
    "all processes of a run at once, what they share counted in each; in brackets that of its largest process. "
    "Preparation (imports, opening, loading) is in no rate and in no CPU seconds.\n"
)
HEAD = (
    "| work | run | a second | CPU each | memory | ours / it | by CPU | aim |",
    "|---|---|---|---|---|---|---|---|",
)
_REACHED = {True: "reached", False: "**not reached**", None: "not measured"}


def table(results: Sequence[Result]) -> str:
    """The results as Markdown."""
    return "".join(f"{line}\n" for line in (*HEAD, *(line for one in results for line in lines(one))))


def lines(result: Result) -> Iterator[str]:
    """The lines of a contest: ours, each peer, each limit."""
    contest = result.contest
    for name, run in contest.runs():
        work = f"{contest.work} ({contest.unit})" if name == OURS else ""
        called = f"limit: {name}" if name in contest.limits else name
        if run.cold and result.figures.get(name):
            read = median(one.disk for one in result.figures[name].values())
            called += f" ({read / 1024:.1f} KiB read from the disk each)"
        cells = [result.failures.get(name, "not run"), "", ""]
        figures = list(result.figures.get(name, {}).values())
        if figures:
            together, largest = max(one.together for one in figures), max(one.largest for one in figures)
            cells = [
                spread([one.rate for one in figures]),
                seconds(median(one.cpu for one in figures)),
                f"{megabytes(together)} ({megabytes(largest)})",
            ]
        ratios = ["", ""] if name == OURS else [spread(result.ratios(name)), spread(result.cpu_ratios(name))]
        yield "| " + " | ".join(map(cell, (work, called, *cells, *ratios, "; ".join(_aims(result, name))))) + " |"
    if contest.note:
        yield f"| | {cell(contest.note)} | | | | | | |"


def _aims(result: Result, name: str) -> Iterator[str]:
    contest = result.contest
    aim = contest.aims.get(name)
    if aim:
        words = aim.words or (f"{number(aim.least)} {contest.unit}/s" if name == OURS else f"{aim.least:g}")
        yield f"{words}: {_REACHED[result.reached(name)]}"
    if name == OURS and contest.cpu:
        yield f"under {seconds(contest.cpu)} of CPU: {_REACHED[result.within_cpu()]}"
    if name == OURS and contest.memory:
        yield f"under {megabytes(contest.memory)}: {_REACHED[result.within_memory()]}"


def short(result: Result) -> str | None:
    """A contest in a line, for the README: the work, the median ratio to each run; None where ours has no figure."""
    if not result.rates(OURS):
        return None
    told = [
        f"{number(median(result.ratios(name)))}x {'the limit, ' if name in result.contest.limits else ''}{name}"
        for name, _ in result.contest.runs()
        if name != OURS and result.ratios(name)
    ]
    rate = f"{number(median(result.rates(OURS)))} {result.contest.unit}/s"
    return f"| {cell(result.contest.work)} | {rate} | {cell('; '.join(told))} |"


def spread(values: Sequence[float]) -> str:
    """The median, and the least and the most where there are several; nothing for none."""
    if not values:
        return ""
    middle = number(median(values))
    return f"{middle} ({number(min(values))} to {number(max(values))})" if len(values) > 1 else middle


def number(value: float) -> str:
    """Three digits of a number, all of a large one."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def seconds(value: float) -> str:
    """Seconds in the unit in which they are read best."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if value >= size:
            return f"{number(value / size)} {unit}"
    return f"{number(value * 1e9)} ns"


def megabytes(n: float) -> str:
    """Bytes as megabytes of 1,000,000."""
    return f"{n / 1e6:,.0f} MB"


def cell(text: str) -> str:
    """A text that a cell of a table can hold."""
    return " ".join(text.replace("|", r"\|").split())
