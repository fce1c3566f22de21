"""`make bench`: every contest in turn, several rounds in one run, and the table of what came out.

    python -m tests.benchmarks.run [--only WORDS] [--rounds 3] [--folder .bench]

Absolute figures drift on a shared machine: the ratios of one run are what counts. The part of RESULTS.md beside this
that tells of it is written by it alone, and only when all contests were held.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from tests.benchmarks import data as made
from tests.benchmarks.contest import hold, prepare
from tests.benchmarks.contests import contests
from tests.benchmarks.environments import CHECKOUT
from tests.benchmarks.results import about, write
from tests.benchmarks.table import HOW_TO_READ, short, table

# By default: 20,000 images of 55 KB, 1.1 GB, in folders and in a tar; 709,832 small ones, 0.9 GB, in a tar of class
# tars, 200,000 of them with boxes; 1,000 for resizing, 2,000 for detection.
CLASSES, PER_CLASS, EVERY, BOXED = 100, 200, 20, 200_000


def main() -> int:
    """Make the data, hold the contests, write their part of RESULTS.md."""
    parser = argparse.ArgumentParser(description="Measure this project against its peers and the machine.")
    parser.add_argument("--only", default="", help="contests whose name holds these words")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=CHECKOUT / ".bench", help="where the data are, or are made")
    parser.add_argument("--classes", type=int, default=CLASSES, help="classes in folders")
    parser.add_argument("--per-class", type=int, default=PER_CLASS, help="images in each")
    parser.add_argument("--every", type=int, default=EVERY, help="of the whole ImageNet, every n-th class")
    parser.add_argument("--boxed", type=int, default=BOXED, help="images with boxes")
    asked = parser.parse_args()
    began = time.monotonic()
    folder = asked.folder.resolve()
    print(f"making the data in {folder}, where they are not there yet", file=sys.stderr, flush=True)
    data = made.make(folder, classes=asked.classes, per_class=asked.per_class, every=asked.every, n_boxed=asked.boxed)
    scratch = folder / "scratch"
    scratch.mkdir(exist_ok=True)
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
    sizes = (
        f"{data.n_folders:,} images of some 55 KB in {asked.classes} classes; every {asked.every}th class of the whole "
        f"ImageNet in small images, {data.n_boxed:,} of them with boxes; {data.n_voc:,} images for detection"
    )
    text = (
        f"`make bench`: {sizes}. Medians of {asked.rounds} rounds, in which all took turns, first there and then back "
        "(fewer of what is slow, or answers from tables that took long to load); warm page cache unless said; images "
        f"are drawn. It took {took}.\n\n{HOW_TO_READ}\n{table(results)}"
    )
    print(about())
    if not asked.only:
        write("contests", text, [line for line in map(short, results) if line])
    return 0


if __name__ == "__main__":
    sys.exit(main())
