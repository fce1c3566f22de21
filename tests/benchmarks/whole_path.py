"""The whole path through this project, each step a command as a user gives it, and what each cost."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from tests.benchmarks import full_imagenet
from tests.benchmarks.contest import forget
from tests.benchmarks.environments import CHECKOUT
from tests.benchmarks.measure import Spent, spend
from tests.benchmarks.space import bytes_below

# Of ILSVRC2012's classes the one that fall11 has not.
ADDED = "n04399382"
_ADDED_IMAGES = 1_300
_PATIENCE = 3_600.0
_DONE = (0, 3)  # 3: done, with problems counted
_CLI = (sys.executable, "-c", "from imagenet_tools.cli import main; main()")


class Whole(NamedTuple):
    """A set: a tar of class tars and the boxes."""

    tar: Path
    boxes: Path
    classes: int
    images: int
    annotations: int


class Step(NamedTuple):
    """A command, what it cost, and how many images it was about."""

    name: str
    spent: Spent
    images: int
    failure: str = ""


@dataclass
class Walk:
    """All steps, and what they left."""

    index: Path  # of the whole
    sets: tuple[Whole, Whole]  # the whole, its tenth
    steps: list[Step] = field(default_factory=list)
    tables: dict[str, int] = field(default_factory=dict)  # bytes of the index by table
    cached: float | None = None  # the part of the tar that was in the page cache before the first build
    exported: tuple[int, int] = (0, 0)  # images and bytes of the export

    def step(self, name: str) -> Step | None:
        """A step that was gone without failing."""
        return next((step for step in self.steps if step.name == name and not step.failure), None)


def walk(whole: Whole, tenth: Whole, scratch: Path, *, per_class: int) -> Walk:
    """Go the path: the tenth and the whole built, refreshed, asked, added to, exported."""
    one = scratch / f"{ADDED}.tar"
    one.write_bytes(full_imagenet.class_tar(ADDED, _ADDED_IMAGES))
    found = Walk(scratch / "whole.index", (whole, tenth))

    def step(name: str, images: int, *words: object) -> None:
        print(f"{name} ...", file=sys.stderr, flush=True)
        command = [*_CLI, *map(str, words)]
        spent = spend(command, cwd=CHECKOUT, patience=_PATIENCE, show=True)
        said = spent.complaints[-1][1] if spent.complaints else "it said nothing"
        failure = "" if spent.code in _DONE else f"exit code {spent.code}: {said}"
        found.steps.append(Step(name, spent, images, failure))
        print(f"{name}: {failure or f'{spent.wall:.1f} s'}", file=sys.stderr, flush=True)

    def build(name: str, source: Whole, index: Path, *words: str) -> None:
        step(name, source.images, "build-index", source.tar, source.boxes, "-o", index, *words)

    build(TENTH, tenth, scratch / "tenth.index")
    build(TENTH_AGAIN, tenth, scratch / "tenth-again.index")
    step(FIXED, 0, "build-index", one, "-o", scratch / "one.index")
    forget(whole.tar)
    build(COLD, whole, scratch / "cold.index")
    shutil.rmtree(scratch / "cold.index", ignore_errors=True)
    found.cached = in_page_cache(whole.tar)
    build(WHOLE, whole, found.index)
    found.tables = {folder.name: bytes_below(folder) for folder in found.index.glob("*") if folder.is_dir()}
    build(UNCHANGED, whole, found.index)
    step(ASK, 0, "-i", found.index, "query", "SELECT count(*) FROM images WHERE is_a(wnid, 'dog.n.01')")
    step(ADD, _ADDED_IMAGES, "build-index", one, "--dataset", "fall11", "-o", found.index)
    out = scratch / "out"
    words = ("--to", "webdataset", "--classes", "ilsvrc2012", "--per-class", per_class)
    step(EXPORT, 0, "-i", found.index, "export", out, *words)
    found.exported = exported(out)
    shutil.rmtree(out, ignore_errors=True)
    words = ("--to", "webdataset", "--shuffle", "block")
    step(PLAN, whole.images, "-i", found.index, "export", out, *words, "--dry-run")
    step(ORDER, whole.images, "-i", found.index, "export", out, *words, "--shard", "0/10000")
    shutil.rmtree(out, ignore_errors=True)
    build(UNPROBED, tenth, scratch / "unprobed.index", "--no-probe")
    return found


FIXED = "build-index of one class alone: the fixed cost"
TENTH, TENTH_AGAIN = "build-index of the tenth", "build-index of the tenth, once more"
COLD = "build-index of the whole, none of its tar in the page cache"
WHOLE = "build-index of the whole"
UNCHANGED = "build-index once more, nothing changed"
ASK = "open it and count the dogs, by the command line"
ADD = "build-index of one class more"
EXPORT = "export of 1,000 classes as webdataset"
PLAN = "plan of all images as webdataset"
ORDER = "plan and order of all images in blocks, and the first of 10,000 shares of them"
UNPROBED = "build-index of the tenth, --no-probe"


def exported(out: Path) -> tuple[int, int]:
    """(images, bytes) of an export of shards, counted by GNU tar."""
    shards = sorted(out.glob("*.tar"))
    n = 0
    for shard in shards:
        listed = subprocess.run(["tar", "--list", "--file", shard], capture_output=True, text=True, check=True).stdout
        n += sum(name.endswith(".jpg") for name in listed.splitlines())
    return n, sum(shard.stat().st_size for shard in shards)


def in_page_cache(path: Path) -> float | None:
    """The part of a file that the page cache holds; None where nothing tells."""
    program = shutil.which("fincore")
    if not program:
        return None
    command = [program, "--bytes", "--noheadings", "--output", "RES,SIZE", str(path)]
    resident, size = map(int, subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())
    return resident / size
