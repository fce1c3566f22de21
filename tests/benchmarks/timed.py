"""A piece of work by name, timed in a process of its own, which prints its seconds and units as a line of JSON."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable

# A work takes its arguments, prepares (imports, opening), and gives what is timed: a function that says how many units
# it did.
Work = Callable[..., Callable[[], int]]


def run(works: dict[str, Work]) -> None:
    """Run the work that the command line names, and print its seconds and units as JSON."""
    timed = works[sys.argv[1]](*sys.argv[2:])
    began = time.perf_counter()
    units = timed()
    print(json.dumps({"seconds": time.perf_counter() - began, "units": units}))
