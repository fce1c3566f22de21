"""Contests of what does units of work: worker processes, executors, a Ray cluster if it is installed, and shares."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from tests.benchmarks.contest import Contest
from tests.benchmarks.contests import runs
from tests.benchmarks.data import Data

_UNITS = 10_000
_EXECUTORS = ("executor: threads", "executor: processes")


def contests(data: Data, scratch: Path) -> list[Contest]:
    """Units that do nothing on each backend, and an index by shares beside one by one process."""
    index = runs.index(scratch)
    others = {name: runs.ours(scratch, "units", name, _UNITS) for name in _EXECUTORS}
    if importlib.util.find_spec("ray"):
        others["Ray"] = runs.ours(scratch, "units", "Ray", _UNITS, rounds=1)
    return [
        Contest(
            "units of work that do nothing",
            "units",
            runs.ours(scratch, "units", "worker processes", _UNITS),
            others,
            note=f"ours: worker processes, whose start is among the {_UNITS:,} units; executors are warm",
        ),
        Contest(
            "index a tar of class tars by 8 shares, and merge them",
            "images",
            runs.ours(scratch, "build_by_shares", index, data.nested, rounds=2),
            {"one build, one process": runs.ours(scratch, "build_by_one_process", index, data.nested, rounds=2)},
            reads=(data.nested,),
        ),
    ]
