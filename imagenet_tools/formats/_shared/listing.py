"""Exports that say where images lie and hold none: the notes of their shards, and paths relative to a folder."""

from __future__ import annotations

import os
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from imagenet_tools.errors import ExportError
from imagenet_tools.exports.writer import ReadBack, SinkOutput

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from imagenet_tools.exports.job import Job
    from imagenet_tools.exports.pictures import Picture
    from imagenet_tools.exports.plan import Plan
    from imagenet_tools.exports.writer import Row

_ALONE = """"offset" = 0 AND compression IS NULL"""


class ListSink:
    """Keeps, as the note of a shard, what `said` gives of each image: plain values, as JSON has them."""

    def __init__(self, said: Callable[[Row], Any]):
        self._said = said
        self._rows: list[Any] = []

    def add(self, row: Row, picture: Picture) -> None:
        """Keep what is to be said of an image."""
        self._rows.append(self._said(row))

    def close(self) -> SinkOutput:
        """The note."""
        return SinkOutput(note={"rows": self._rows})


def listed(job: Job, split: str) -> Iterator[list[Any]]:
    """What was said of the images of a split, in order: the rows of a shard at a time."""
    return (note["rows"] for shard, note in job.notes() if shard.split == split)


# ---- paths


def place(row: Row) -> tuple[str, str, int]:
    """What `lines` needs of an image."""
    return row.origin.source, row.origin.file, row.class_index


def lines(job: Job, split: str) -> Iterator[bytes]:
    """`path label` of each image of a split: paths are relative to the folder that notes_on_paths() names."""
    below = _below(job.plan, _sources(job.plan)[split])
    for rows in listed(job, split):
        yield "".join(f"{below[source]}{file} {index}\n" for source, file, index in rows).encode()


def notes_on_paths(plan: Plan, name: str) -> Iterator[str]:
    """What paths are relative to, in the list of each split; ExportError where paths cannot name the images.

    `name` is that of the list, with {split} in it.
    """
    rows = plan.selection.run(
        f"""SELECT count(*), min(file) FROM made
            WHERE left_out IS NULL AND NOT coalesce({_ALONE} AND NOT contains(file, chr(10)), false)"""
    ).fetchall()
    for n, first in rows:
        if n:
            message = (
                f"{n:,} images lie in archives, or have names of several lines, in {first} first: {plan.target} names "
                "files by their paths. Export to image_folder, or to csv or parquet, which name places in archives."
            )
            raise ExportError(message)
    for split, sources in _sources(plan).items():
        called = ", ".join(sources)
        where = f"the root of the source {called}" if len(sources) == 1 else f"the folder above the sources {called}"
        yield f"{name.format(split=split)}: paths are relative to {where}"


def _sources(plan: Plan) -> dict[str, list[str]]:
    rows = plan.selection.run(
        "SELECT split, list_sort(list(DISTINCT source)) FROM made WHERE left_out IS NULL GROUP BY split ORDER BY split"
    ).fetchall()
    return dict(rows)


def _below(plan: Plan, sources: Iterable[str]) -> dict[str, str]:
    """What comes before the file of each source: its root, relative to the folder that all of them share."""
    roots = {source: str(plan.index.roots[source]) for source in sources}
    shared = os.path.commonpath(roots.values())
    below = {source: os.path.relpath(root, shared) for source, root in roots.items()}
    return {source: "" if path == "." else f"{path}/" for source, path in below.items()}


def read_lines(file: Path, split: str) -> Iterator[ReadBack]:
    """The images of a list of `path label` lines, by the stems of their paths."""
    with file.open(encoding="utf-8") as found:
        for line in found:
            path, _, label = line.rstrip("\n").rpartition(" ")
            yield ReadBack(PurePosixPath(path).stem, split, int(label), None, None)
