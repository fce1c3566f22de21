"""A piece of work by name, timed in a process of its own, which prints what it took as a line of JSON."""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable

# A work takes its arguments, prepares (imports, opening), and gives what is timed: a function that says how many units
# it did.
Work = Callable[..., Callable[[], int]]

_REPEATED_FOR = 1.0  # seconds


def run(names: dict[str, object], module: str) -> None:
    """Run the work of a module that the command line names; prints seconds, units, and the CPU seconds before it."""
    timed = works(names, module)[sys.argv[1]](*sys.argv[2:])
    before = sum(
        usage.ru_utime + usage.ru_stime
        for usage in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )
    began = time.perf_counter()
    units = timed()
    print(json.dumps({"seconds": time.perf_counter() - began, "units": units, "cpu_before": before}))


def works(names: dict[str, object], module: str) -> dict[str, Work]:
    """The works among the names of a module: its own public functions."""
    return {
        name: work
        for name, work in names.items()
        if callable(work) and getattr(work, "__module__", "") == module and not name.startswith("_")
    }


def repeated(ask: Callable[[], object]) -> Callable[[], int]:
    """Asks once unmeasured, then for a second or three times at least; the units are the times."""
    ask()

    def work() -> int:
        began, times = time.perf_counter(), 0
        while times < 3 or time.perf_counter() - began < _REPEATED_FOR:
            ask()
            times += 1
        return times

    return work
