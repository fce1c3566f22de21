"""`make bench`: every contest in turn, several rounds in one run, and the table of what came out.

    python -m tests.benchmarks.run [--only WORDS] [--rounds 2] [--folder .bench]

Absolute figures drift on a shared machine: the ratios of one run are what counts. The part of RESULTS.md beside this
that tells of it is written by it alone, and only when all contests were held on data of the usual size.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from pathlib import Path

from tests.benchmarks import data as made
from tests.benchmarks.contest import hold, prepare
from tests.benchmarks.contests import contests
from tests.benchmarks.environments import CHECKOUT
from tests.benchmarks.results import about, write
from tests.benchmarks.space import bytes_below, no_room
from tests.benchmarks.table import HOW_TO_READ, short, table

# By default: 100,000 small images and 40,000 of 55 KB in class folders, these in a tar of class tars as well; 1.4
# million small ones in a tar of class tars, 200,000 of them with boxes; 1,000 for resizing, 500 for detection. 11 GB.
CLASSES, PER_CLASS, SMALL, EVERY, BOXED = 100, 400, 1_000, 10, 200_000


def main() -> int:
    """Make the data, hold the contests, write their part of RESULTS.md."""
    parser = argparse.ArgumentParser(description="Measure this project against its peers and the machine.")
    parser.add_argument("--only", default="", help="contests whose name holds these words")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--folder", type=Path, default=CHECKOUT / ".bench", help="where the data are, or are made")
    parser.add_argument("--classes", type=int, default=CLASSES, help="classes in folders")
    parser.add_argument("--per-class", type=int, default=PER_CLASS, help="images of 55 KB in each")
    parser.add_argument("--small", type=int, default=SMALL, help="small images in each")
    parser.add_argument("--every", type=int, default=EVERY, help="of the whole ImageNet, every n-th class")
    parser.add_argument("--boxed", type=int, default=BOXED, help="images with boxes")
    asked = parser.parse_args()
    began = time.monotonic()
    folder = asked.folder.resolve()
    scratch = folder / "scratch"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    sizes = {"classes": asked.classes, "per_class": asked.per_class, "small": asked.small, "every": asked.every}
    left = max(made.size(**sizes) - bytes_below(folder), asked.classes * asked.per_class * 60_000 + 10**9)
    if no_room(folder, left, "name another --folder, or smaller sizes."):
        return 1
    print(f"making the data in {folder}, where they are not there yet", file=sys.stderr, flush=True)
    data = made.make(folder, n_boxed=asked.boxed, **sizes)
    chosen = [contest for contest in contests(data, scratch) if asked.only in contest.work]
    if not chosen:
        print(f"no contest is called by {asked.only!r}", file=sys.stderr)
        return 2
    prepare(chosen)
    ready = time.monotonic()
    results = []
    for contest in chosen:
        results.append(hold(contest, asked.rounds))
        print(table(results[-1:]), flush=True)
    took = f"{(time.monotonic() - ready) / 60:.0f} minutes, and {(ready - began) / 60:.0f} for environments and data"
    of = (
        f"{data.n_many:,} small images and {data.n_folders:,} of some 55 KB, in {asked.classes} class folders; every "
        f"{asked.every}th class of the whole ImageNet in small images, {data.n_boxed:,} of them with boxes; "
        f"{data.n_voc:,} images for detection"
    )
    text = (
        f"`make bench`: {of}. Medians of {asked.rounds} rounds, in which all took turns, first there and then back "
        "(fewer of what is slow, or answers from tables that took long to load); warm page cache unless said; images "
        f"are drawn. It took {took}.\n\n{HOW_TO_READ}\n{table(results)}"
    )
    print(about())
    if not asked.only and (*sizes.values(), asked.boxed) == (CLASSES, PER_CLASS, SMALL, EVERY, BOXED):
        write("contests", text, [line for line in map(short, results) if line])
    return 0


if __name__ == "__main__":
    sys.exit(main())
