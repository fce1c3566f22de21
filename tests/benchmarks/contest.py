"""A contest: our work, the peers' and the limit of the machine, on the same data in turn, and what came of it."""

from __future__ import annotations

import compileall
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import NamedTuple

from tests.benchmarks.environments import CHECKOUT, environment
from tests.benchmarks.measure import spend

OURS = "ours"
_PATIENCE = 900.0  # seconds that a run may take


@dataclass(frozen=True)
class Run:
    """A work in a process: the module and the function, its arguments, and where its libraries are."""

    module: str  # or the path of a program
    name: str
    arguments: tuple[str, ...] = ()
    group: str = ""  # of requirements-GROUP.txt; "" for the project's own environment
    made: tuple[Path, ...] = ()  # what a run leaves, removed before the next
    cold: tuple[Path, ...] = ()  # what is put out of the page cache before it
    rounds: int = 0  # at most so many, for what is slow; 0 for all
    environment: tuple[tuple[str, str], ...] = ()  # variables of the environment

    def command(self) -> list[str]:
        """What is started. CalledProcessError: the environment cannot be made."""
        if self.module.startswith("/"):
            return [self.module, self.name, *self.arguments]
        return [str(environment(self.group)), "-m", self.module, self.name, *self.arguments]


class Aim(NamedTuple):
    """What is aimed at: a ratio to a peer or a limit, or a rate of our own; held against the median."""

    least: float
    words: str = ""  # how the aim is written where not by its number


@dataclass(frozen=True)
class Contest:
    """A work that is measured, and who else does it."""

    work: str
    unit: str
    ours: Run
    peers: dict[str, Run] = field(default_factory=dict)
    limits: dict[str, Run] = field(default_factory=dict)
    aims: dict[str, Aim] = field(default_factory=dict)  # by the name of the run that is to be equalled so many times
    memory: int = 0  # bytes that ours is to stay below, together; 0 where nothing is aimed at
    cpu: float = 0.0  # CPU seconds a unit that ours is to stay below; 0 if there is no such aim
    reads: tuple[Path, ...] = ()  # what is read before the first round, that all find it in the page cache
    note: str = ""

    def runs(self) -> Iterator[tuple[str, Run]]:
        """Every run, ours first, by the name that the table gives it."""
        yield OURS, self.ours
        yield from self.peers.items()
        yield from self.limits.items()


class Figure(NamedTuple):
    """What a run came to."""

    rate: float  # units a second
    cpu: float  # CPU seconds a unit
    together: int  # bytes, of all its processes at once
    largest: int  # bytes, of its largest process
    disk: float = 0.0  # bytes read from the disk a unit


@dataclass
class Result:
    """The figures of a contest by the name of the run and the number of the round, or why a run has none."""

    contest: Contest
    figures: dict[str, dict[int, Figure]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)

    def rates(self, name: str) -> list[float]:
        """Units a second of a run in its rounds."""
        return [one.rate for one in self.figures.get(name, {}).values()]

    def ratios(self, name: str) -> list[float]:
        """How many times another's rate ours is, in each round that both were in; above 1, ours is the faster."""
        return [ours.rate / other.rate for ours, other in self._pairs(name)]

    def cpu_ratios(self, name: str) -> list[float]:
        """How many times our CPU seconds a unit another's are, in each round; above 1, ours takes fewer."""
        return [other.cpu / ours.cpu for ours, other in self._pairs(name) if ours.cpu]

    def _pairs(self, name: str) -> list[tuple[Figure, Figure]]:
        ours, other = self.figures.get(OURS, {}), self.figures.get(name, {})
        return [(ours[number], other[number]) for number in sorted(ours.keys() & other.keys())]

    def reached(self, name: str) -> bool | None:
        """Whether the aim that names a run is reached; None where it was not measured."""
        measured = self.rates(OURS) if name == OURS else self.ratios(name)
        return median(measured) >= self.contest.aims[name].least if measured else None

    def within_cpu(self) -> bool | None:
        """Return whether ours took fewer CPU seconds a unit than its aim; None without an aim or a figure."""
        figures = self.figures.get(OURS, {}).values()
        return median(figure.cpu for figure in figures) < self.contest.cpu if figures and self.contest.cpu else None

    def within_memory(self) -> bool | None:
        """Whether ours stayed below the memory that is aimed at; None where there is no aim or no figure."""
        figures = self.figures.get(OURS, {}).values()
        return max(one.together for one in figures) < self.contest.memory if figures and self.contest.memory else None


def prepare(contests: Sequence[Contest]) -> None:
    """Make the environments of all runs, that none is made between two rounds; what cannot be made, its rows say.

    The package is compiled once, as pip does when it installs it: a checkout may be set to keep no bytecode, and then
    compiles it in each run.
    """
    compileall.compile_dir(CHECKOUT / "imagenet_tools", quiet=1)
    for group in sorted({run.group for contest in contests for _, run in contest.runs()}):
        try:
            environment(group)
        except (OSError, subprocess.CalledProcessError) as error:
            print(f"the environment of {group} cannot be made: {error}", file=sys.stderr, flush=True)


def hold(contest: Contest, rounds: int) -> Result:
    """The runs of a contest, `rounds` times, there and back again, so that none is always the first."""
    result = Result(contest)
    _read(contest.reads)
    for number in range(rounds):
        runs = list(contest.runs())
        for name, run in runs if number % 2 == 0 else reversed(runs):
            if name in result.failures or (run.rounds and number >= run.rounds):
                continue
            print(f"{contest.work}: round {number + 1} of {rounds}, {name}", file=sys.stderr, flush=True)
            found = measure(run)
            if isinstance(found, str):
                result.failures[name] = found
                result.figures.pop(name, None)
            else:
                result.figures.setdefault(name, {})[number] = found
    for run in (run for _, run in contest.runs()):
        _remove(run.made)
    return result


def measure(run: Run) -> Figure | str:
    """Run a work in a process of its own; the figure, or why there is none."""
    _remove(run.made)
    for path in run.cold:
        forget(path)
    try:
        command = run.command()
    except (OSError, subprocess.CalledProcessError) as error:
        return f"its environment cannot be made: {error}"
    spent = spend(command, cwd=CHECKOUT, patience=_PATIENCE, environment=dict(run.environment))
    printed = spent.out.strip().splitlines()
    if spent.code or not printed:
        return spent.complaints[-1][1] if spent.complaints else f"it ended with code {spent.code} and said nothing"
    said = json.loads(printed[-1])
    if not said["units"]:
        return "it did nothing: 0 units"
    cpu = max(spent.cpu - said.get("cpu_before", 0.0), 0.0) / said["units"]
    disk = spent.disk / said["units"]
    return Figure(said["units"] / said["seconds"], cpu, spent.together, spent.largest, disk)


def _remove(paths: tuple[Path, ...]) -> None:
    for path in paths:
        shutil.rmtree(path, ignore_errors=True)
        path.unlink(missing_ok=True)


def forget(path: Path) -> None:
    """Put a file out of the page cache, or all files below a folder, what is written of them first."""
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if file.is_file():
            fd = os.open(file, os.O_RDONLY)
            os.fsync(fd)
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(fd)


def _read(paths: tuple[Path, ...]) -> None:
    buffer = bytearray(1 << 20)
    for path in paths:
        for file in path.rglob("*") if path.is_dir() else [path]:
            if file.is_file():
                with file.open("rb", buffering=0) as opened:
                    while opened.readinto(buffer):
                        pass
