"""`make bench-full`: 14.2 million images, from class tars in a tar to an index, its answers, exports and the explorer.

    python -m tests.benchmarks.whole [FOLDER] [--every 1] [--tenth 10] [--rounds 3] [--per-class 80]

    FOLDER/every-1/             the set: fall11_whole.tar and its boxes, some 18 GB; used again where it is there
    FOLDER/every-10/            its tenth
    FOLDER/scratch/             indexes and exports, made anew each time

It writes its part of RESULTS.md beside this, when it is asked for the whole.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from pathlib import Path

from imagenet_tools.progress import ProgressBar
from tests.benchmarks import explorer, full_imagenet
from tests.benchmarks.contest import hold, prepare
from tests.benchmarks.contests.asking import questions
from tests.benchmarks.contests.detection import coco_json
from tests.benchmarks.environments import CHECKOUT
from tests.benchmarks.results import about, write
from tests.benchmarks.space import no_room
from tests.benchmarks.table import HOW_TO_READ, short, table
from tests.benchmarks.whole_path import Whole, walk
from tests.benchmarks.whole_report import in_short, report

_INDEX_BYTES = 60  # an image, at most: what a build leaves on the way and the index
_ROUNDS_OF_THE_FIRST_PAGE = 5
_ROOM = 2 * 10**9  # for the export, the index that a class is added to, and what else is small


def main() -> int:
    """Make the sets, go the whole path, write its part of RESULTS.md."""
    parser = argparse.ArgumentParser(description="Measure the whole path on the whole ImageNet.")
    parser.add_argument("folder", type=Path, nargs="?", default=CHECKOUT / ".bench" / "full")
    parser.add_argument("--every", type=int, default=1, help="every n-th class alone (default 1: all 21,841)")
    parser.add_argument(
        "--tenth", type=int, default=10, help="the smaller set that growth is told by: every n-th of it"
    )
    parser.add_argument("--rounds", type=int, default=3, help="of the questions")
    parser.add_argument("--per-class", type=int, default=80, help="images of each of the 1,000 classes of the export")
    asked = parser.parse_args()
    folder, began = asked.folder.resolve(), time.monotonic()
    scratch = folder / "scratch"
    shutil.rmtree(scratch, ignore_errors=True)
    needed = _needed(folder, (asked.every, asked.every * asked.tenth))
    if no_room(folder, needed, "name a folder with more room, or measure a part with --every 10."):
        return 1
    sets = [_set(folder, every) for every in (asked.every * asked.tenth, asked.every)]
    scratch.mkdir()
    made = time.monotonic()
    found = walk(sets[1], sets[0], scratch, per_class=asked.per_class)
    there = found.index.is_dir()
    of_it = [(one, asked.rounds) for one in questions(found.index, scratch)] + [(coco_json(found.index, scratch), 1)]
    prepare([contest for contest, _ in of_it if there])
    results = []
    for contest, rounds in of_it if there else ():
        results.append(hold(contest, rounds))
        print(table(results[-1:]), flush=True)
    ended = time.monotonic()
    text = (
        f"`make bench-full`: {sets[1].images:,} images in {sets[1].classes:,} class tars in a tar of "
        f"{sets[1].tar.stat().st_size / 1e9:.1f} GB, and {sets[1].annotations:,} XML of boxes in a tar.gz of tar.gz. "
        "The images are drawn, and small: a real one has some 8 KB to read of each, and is bound by its disk. It took "
        f"{(ended - made) / 60:.0f} minutes, and {(made - began) / 60:.0f} before them to make what was not there.\n\n"
        f"{report(found)}\nQuestions to the whole index, {asked.rounds} rounds, and its boxes as COCO's JSON, once. "
        f"{HOW_TO_READ}\n{table(results)}"
    )
    print(about(), text, sep="\n")
    if asked.every == 1:
        write("whole", text, [*in_short(found), *(line for line in map(short, results) if line)])
    if there:
        explorer.hold(found.index, _ROUNDS_OF_THE_FIRST_PAGE, is_whole=asked.every == 1)
    shutil.rmtree(scratch)
    return 1 if any(step.failure for step in found.steps) else 0


def _needed(folder: Path, sets: tuple[int, ...]) -> int:
    """Bytes of what is not there yet."""
    images = sum(one.images for one in full_imagenet.layout(sets[0]))
    missing = (full_imagenet.whole_size(every) for every in sets if not _tar(folder, every).exists())
    return sum(missing) + _INDEX_BYTES * images + _ROOM


def _tar(folder: Path, every: int) -> Path:
    return folder / f"every-{every}" / full_imagenet.WHOLE


def _set(folder: Path, every: int) -> Whole:
    tar = _tar(folder, every)
    full_imagenet.make(tar.parent, every=every, progress=ProgressBar())
    classes = full_imagenet.layout(every)
    boxed = full_imagenet.n_annotations(classes, full_imagenet.BOXED // every)
    return Whole(tar, tar.parent / full_imagenet.BOXES, len(classes), sum(one.images for one in classes), boxed)


if __name__ == "__main__":
    sys.exit(main())
