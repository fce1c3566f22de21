"""RESULTS.md: a part a command that measures, each written anew by its own command alone, and in short for the README.

# Results
<!-- contests -->            what `make bench` found
...
<!-- for the README -->      rows of Markdown tables that data/make_readme.py takes over
...
<!-- end for the README -->
<!-- end of contests -->
<!-- whole -->               what `make bench-full` found
...
<!-- end of whole -->
<!-- explorer -->            what it found of the explorer, or `python -m tests.benchmarks.explorer INDEX` alone
...
<!-- end of explorer -->
"""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from pathlib import Path

from tests.benchmarks.environments import HERE, versions

RESULTS = HERE / "RESULTS.md"
PARTS = {"contests": "Against the peers and the machine", "whole": "The whole ImageNet: 14.2 million images",
         "explorer": "The explorer on the whole ImageNet"}  # fmt: skip


def write(name: str, text: str, short: Sequence[str]) -> None:
    """Put a part into RESULTS.md, in the place of what is there of it."""
    before = RESULTS.read_text() if RESULTS.exists() else ""
    RESULTS.write_text(with_part(before, name, f"{about()}\n{text}", short))


def with_part(before: str, name: str, text: str, short: Sequence[str]) -> str:
    """A text of RESULTS.md with a part of it changed."""
    parts = {one: _between(before, one) for one in PARTS}
    rows = "".join(f"{line}\n" for line in short)
    parts[name] = f"## {PARTS[name]}\n\n{text}\n<!-- for the README -->\n{rows}<!-- end for the README -->\n"
    held = "".join(f"<!-- {one} -->\n{part}<!-- end of {one} -->\n\n" for one, part in parts.items() if part)
    return f"# Results\n\n{held}".rstrip("\n") + "\n"


def _between(text: str, name: str) -> str:
    return text.partition(f"<!-- {name} -->\n")[2].partition(f"<!-- end of {name} -->\n")[0]


def about() -> str:
    """Where and with what it was measured."""
    with Path("/proc/cpuinfo").open() as file:
        model = next((line.partition(":")[2].strip() for line in file if line.startswith("model name")), "unknown")
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    return (
        f"{len(os.sched_getaffinity(0))} cores ({model}), {memory:.0f} GiB, {platform.system()} {platform.release()}. "
        f"{versions()}.\n"
    )
