"""`make bench`: every contest in turn, several rounds in one run, and the table of what came out.

    python -m tests.benchmarks.run [--only WORDS] [--rounds 5] [--full]

Absolute figures drift on a shared machine: the ratios of one run are what counts. RESULTS.md beside this is written
by it alone.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import venv
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import NamedTuple

from tests.benchmarks import data as made
from tests.benchmarks.contests import Contest, Run, clean, contests

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parent.parent


class Figure(NamedTuple):
    """What a run came to: units a second, seconds, and the memory of its largest process."""

    rate: float
    seconds: float
    peak: int  # bytes


def environment(group: str) -> Path:
    """The python of a peer's environment, made first where it is missing; our own for none."""
    if not group:
        return Path(sys.executable)
    folder = CHECKOUT / ".envs" / f"bench-{group}"
    python, ready = folder / "bin" / "python", folder / ".ready"
    pins = HERE / f"requirements-{group}.txt"
    if not ready.exists() or ready.read_text() != pins.read_text():
        print(f"making the environment of {group}", file=sys.stderr, flush=True)
        venv.create(folder, clear=True, with_pip=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", "--requirement", str(pins)], check=True)
        ready.write_text(pins.read_text())
    return python


def measure(run: Run) -> Figure | str:
    """Run a work in a process of its own; the figure, or why there is none."""
    clean(run)
    try:
        python = environment(run.group)
    except subprocess.CalledProcessError as error:
        return f"its environment cannot be made: {error}"
    command = (
        [run.module, run.name, *run.arguments]
        if run.module.startswith("/")
        else [str(python), "-m", run.module, run.name, *run.arguments]
    )
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        child = subprocess.Popen(command, stdout=out, stderr=err, cwd=CHECKOUT)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        printed, complaint = out.read().strip().splitlines(), err.read().strip().splitlines()
    if child.returncode or not printed:
        return (complaint or ["it failed"])[-1]
    said = json.loads(printed[-1])
    return Figure(said["units"] / said["seconds"], said["seconds"], usage.ru_maxrss * 1024)


class Result(NamedTuple):
    """A contest's figures by the name of the run, or why a run has none."""

    contest: Contest
    figures: dict[str, list[Figure]]
    failures: dict[str, str]


def hold(contest: Contest, rounds: int) -> Result:
    """The runs of a contest in turn, `rounds` times."""
    figures: dict[str, list[Figure]] = {}
    failures: dict[str, str] = {}
    for _ in range(rounds):
        for name, run in contest.runs():
            if name in failures:
                continue
            found = measure(run)
            if isinstance(found, str):
                failures[name] = found
            else:
                figures.setdefault(name, []).append(found)
    return Result(contest, figures, failures)


def ratio(result: Result, name: str) -> float:
    """How many times another's rate ours is, the median over the rounds."""
    pairs = zip(result.figures["ours"], result.figures[name], strict=False)
    return median(ours.rate / other.rate for ours, other in pairs)


def table(results: list[Result]) -> str:
    """The results as Markdown."""
    lines = [
        "| work | ours | memory | peer | its rate | ours / peer | limit | share of it | aim |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for result in results:
        contest = result.contest
        if "ours" not in result.figures:
            lines.append(f"| {contest.work} | {result.failures.get('ours', 'none')} | | | | | | | {contest.aim} |")
            continue
        ours = result.figures["ours"]
        rate = f"{_number(median(one.rate for one in ours))} {contest.unit}/s"
        memory = f"{max(one.peak for one in ours) / 2**20:,.0f} MB"
        limit, share = "", ""
        if contest.limit and contest.limit[0] in result.figures:
            name = contest.limit[0]
            limit = f"{name}: {_number(median(one.rate for one in result.figures[name]))}/s"
            share = f"{ratio(result, name):.2f}"
        first = True
        for name in contest.peers or {"": None}:
            there = result.figures.get(name)
            its = _number(median(one.rate for one in there)) + "/s" if there else result.failures.get(name, "")
            times = f"{ratio(result, name):.2f}" if there else ""
            head = (contest.work, rate, memory) if first else ("", "", "")
            tail = (limit, share, contest.aim) if first else ("", "", "")
            lines.append("| " + " | ".join((*head, name, its, times, *tail)) + " |")
            first = False
    return "\n".join(lines) + "\n"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def about(rounds: int) -> str:
    """Where and with what it was measured."""
    with Path("/proc/cpuinfo").open() as file:
        model = next((line.partition(":")[2].strip() for line in file if line.startswith("model name")), "unknown")
    names = ("duckdb", "pyarrow", "pillow", "numpy")
    versions = ", ".join(f"{name} {version(name)}" for name in names)
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    return (
        f"{len(os.sched_getaffinity(0))} cores ({model}), {memory:.0f} GiB, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}, {versions}. Medians of {rounds} rounds, in which all took turns; warm "
        "page cache unless said; images are drawn, and small where a set is large.\n"
    )


def main() -> int:
    """Make the data, hold the contests, write RESULTS.md."""
    parser = argparse.ArgumentParser(description="Measure this project against its peers and the machine.")
    parser.add_argument("--only", default="", help="contests whose name holds these words")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=CHECKOUT / ".bench")
    parser.add_argument("--classes", type=int, default=100)
    parser.add_argument("--per-class", type=int, default=200)
    parser.add_argument("--every", type=int, default=20, help="of the whole ImageNet, every n-th class")
    asked = parser.parse_args()
    data = made.make(asked.folder, classes=asked.classes, per_class=asked.per_class, every=asked.every)
    scratch = asked.folder / "scratch"
    scratch.mkdir(exist_ok=True)
    results = []
    for contest in contests(data, scratch):
        if asked.only in contest.work:
            results.append(hold(contest, asked.rounds))
            print(table(results[-1:]), flush=True)
    text = f"# Results\n\n{about(asked.rounds)}\n{table(results)}"
    if not asked.only:
        (HERE / "RESULTS.md").write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
