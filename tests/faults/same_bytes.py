"""Index 500,000 images by one process, two processes, seven shares and a Ray cluster of two nodes; compare the bytes.

    python -m tests.faults.same_bytes       # Ray must be installed; SAME_BYTES.md

A WebDataset of 100 images of each class is exported in the same four ways.
"""

from __future__ import annotations

import hashlib
import os
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import imagenet_tools
from imagenet_tools.storage.executors import RayExecutor
from tests.faults.kills import HERE, draw, manifest, ray_nodes

RESULTS = HERE / "SAME_BYTES.md"
CLASSES, IMAGES = 1_000, 500
SHARES = 7
EXPORT = {"to": "webdataset", "shard_size": "4MB", "shuffle": "block"}
WAYS = ("one process", "two processes", "seven shares", "Ray, two nodes")


def build(way: str, source: Path, index: Path, address: str) -> None:
    if way == "one process":
        imagenet_tools.build_index(source, index, workers=1)
    elif way == "two processes":
        imagenet_tools.build_index(source, index, workers=2)
    elif way == "seven shares":
        for n in (3, 0, 6, 1, 5, 2, 4):
            imagenet_tools.build_index(source, index, shard=f"{n}/{SHARES}", workers=1)
        imagenet_tools.merge(index)
    else:
        with RayExecutor(address) as executor:
            imagenet_tools.build_index(source, index, executor=executor)


def export(way: str, index: Path, dest: Path, address: str) -> None:
    chosen = imagenet_tools.open_index(index).select(per_class=100, seed=7)
    if way == "one process":
        imagenet_tools.export(chosen, dest, workers=1, **EXPORT)
    elif way == "two processes":
        imagenet_tools.export(chosen, dest, workers=2, **EXPORT)
    elif way == "seven shares":
        for n in (3, 0, 6, 1, 5, 2, 4):
            imagenet_tools.export_shard(chosen, dest, f"{n}/{SHARES}", workers=1, **EXPORT)
        imagenet_tools.merge(dest)
    else:
        with RayExecutor(address) as executor:
            imagenet_tools.export(chosen, dest, executor=executor, **EXPORT)


def timed(work: Callable[..., None], *arguments: object) -> float:
    begin = time.monotonic()
    work(*arguments)
    return time.monotonic() - begin


def digests(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each file below a folder."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def main() -> None:
    rows = []
    with tempfile.TemporaryDirectory() as name, ray_nodes(True) as address:
        folder = Path(name)
        source = folder / "ILSVRC2012_img_train.tar"
        draw(source, CLASSES, IMAGES)
        for n, way in enumerate(WAYS):
            index, dest = folder / f"{n}.index", folder / f"export-{n}"
            seconds = timed(build, way, source, index, address), timed(export, way, index, dest, address)
            if manifest(index) != manifest(folder / "0.index") or digests(dest) != digests(folder / "export-0"):
                raise AssertionError(f"{way}: other bytes than one process")
            rows.append(f"| {way} | {seconds[0]:.1f} | {seconds[1]:.1f} | same | same |")
            print(rows[-1], flush=True)
        files, size = len(digests(folder / "export-0")), source.stat().st_size
    head = (
        "# The same bytes by any number of workers\n\n"
        f"`python -m tests.faults.same_bytes`: {CLASSES * IMAGES:,} drawn images in a tar of {CLASSES:,} class tars, "
        f"{size:,} bytes; a WebDataset of 100 images of each class, {files} files. Python {platform.python_version()}, "
        f"{os.cpu_count()} cores, beside other work. All Parquet files of the indexes but the table sources, and all "
        "files of the exports, are compared.\n\n"
        "| way | index, s | export, s | index | export |\n|---|---|---|---|---|\n"
    )
    RESULTS.write_text(head + "\n".join(rows) + "\n")


if __name__ == "__main__":
    main()
