"""Contests from a cold page cache: what is read is put out of it before each run."""

from __future__ import annotations

from pathlib import Path

from tests.benchmarks.contest import Aim, Contest
from tests.benchmarks.contests import runs
from tests.benchmarks.data import Data


def contests(data: Data, scratch: Path) -> list[Contest]:
    """Indexing from the disk."""
    whole, walk = data.whole, "C: pread of 512 + 4096 a member, one thread"
    return [
        Contest(
            "index a tar of class tars, from a cold page cache",
            "images",
            runs.ours(scratch, "build_index", runs.index(scratch), whole, cold=(whole,)),
            limits={walk: runs.limit(scratch, data.limits, "walk", whole, cold=(whole,))},
            aims={walk: Aim(0.9)},
        ),
    ]
