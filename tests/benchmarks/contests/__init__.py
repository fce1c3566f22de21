"""The contests, a module a kind of work; `make bench` holds them in this order."""

from __future__ import annotations

from pathlib import Path

from tests.benchmarks.contest import Contest
from tests.benchmarks.contests import asking, backends, cold, detection, reading, writing
from tests.benchmarks.data import Data


def contests(data: Data, scratch: Path) -> list[Contest]:
    """All contests on a set of data; what they write goes below `scratch`."""
    kinds = (
        reading.contests,
        cold.contests,
        backends.contests,
        asking.contests,
        writing.contests,
        detection.contests,
    )
    return [one for kind in kinds for one in kind(data, scratch)]
