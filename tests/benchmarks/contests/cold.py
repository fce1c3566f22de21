"""Contests from a cold page cache: what is read is put out of it before each run, and read by many requests at once.

The limit of a disk is a matter of how many requests it is given at once: each row holds ours against several numbers.
"""

from __future__ import annotations

from pathlib import Path

from tests.benchmarks.contest import Aim, Contest
from tests.benchmarks.contests import runs
from tests.benchmarks.data import Data

_AT_ONCE = (1, 4, 16, 32)


def contests(data: Data, scratch: Path) -> list[Contest]:
    """Indexing from the disk: photographs of some 55 KB in a tar and in folders, and small images side by side."""
    return [
        _contest(data, scratch, "index a tar of class tars, from a cold page cache", "walk", data.nested),
        _contest(data, scratch, "index class folders, from a cold page cache", "stat", data.folders),
        _twin_of_folders(data, scratch),
        _contest(
            data, scratch, "index a tar of class tars of small images, from a cold page cache", "walk", data.whole
        ),
        *(
            _contest(data, scratch, f"{work}, from a disk with {ms} ms of latency", limit, source, ms)
            for ms in (1, 10)
            for work, limit, source in (
                ("index a tar of class tars", "walk", data.nested),
                ("index class folders", "stat", data.folders),
            )
        ),
    ]


def _twin_of_folders(data: Data, scratch: Path) -> Contest:
    """Return the contest of files that are read together, with those that are read one by one."""
    ours, twin = (
        runs.ours(scratch, work, runs.index(scratch), data.folders.parent, cold=(data.folders,))
        for work in ("build_index_alone", "build_folders_one_by_one")
    )
    peers = {"ours, one by one": twin}
    return Contest(
        "index class folders, from a cold page cache, one process",
        "images",
        ours,
        peers,
        aims={"ours, one by one": Aim(1.5)},
    )


def _contest(data: Data, scratch: Path, work: str, limit: str, source: Path, latency_ms: int = 0) -> Contest:
    said = {"walk": "pread of 512 + 4096 a member", "stat": "open, fstat, pread of 4096 and close"}[limit]
    slow: runs.Environment = ()
    if latency_ms:
        library = data.limits.with_name("latency.so")
        slow = (("LD_PRELOAD", str(library)), ("LATENCY_UNDER", str(source)), ("LATENCY_US", str(1000 * latency_ms)))
    limits = {
        f"C: {said}, {n} at once": runs.limit(scratch, data.limits, limit, source, n, cold=(source,), environment=slow)
        for n in (_AT_ONCE[-1:] if latency_ms else _AT_ONCE)
    }
    given = source.parent if limit == "stat" else source
    return Contest(
        work,
        "images",
        runs.ours(scratch, "build_index", runs.index(scratch), given, cold=(source,), environment=slow),
        limits=limits,
        aims=dict.fromkeys(limits, Aim(0.8)),
    )
