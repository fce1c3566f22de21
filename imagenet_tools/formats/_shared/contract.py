"""Defaults for names that the contracts of readers and writers ask for, and small parts that most formats use.

A format assigns a default where it has nothing of its own to do:

    units = one_unit        the detected file or folder is one unit
    @gathers(ImageRows)     makes scan() of a function that adds the rows
    hazards = no_hazards    nothing can go wrong in the target's loader
    finish = no_finish      the files of the shards are the whole export

`imagenet_tools.units.unit_file` is the default of `files`: the rows depend on the unit's own file only. FileSink is the
base of sinks that write one file for each shard.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from imagenet_tools.errors import FormatError
from imagenet_tools.exports.writer import SinkOutput
from imagenet_tools.images.class_folders import is_folder
from imagenet_tools.units import Detection, Unit

# Readers use this module too: without the imports below, their processes load no code of exports.
if TYPE_CHECKING:
    import pyarrow as pa

    from imagenet_tools.annotations.annotation_rows import AnnotationRows
    from imagenet_tools.exports.job import Job
    from imagenet_tools.exports.plan import Plan
    from imagenet_tools.images.image_rows import ImageRows

# The result of scan(): (table of schema.py, rows).
Tables: TypeAlias = "Iterator[tuple[str, pa.RecordBatch]]"


def unit_at(detection: Detection, source: str, root: Path, path: Path | None = None, **values: Any) -> Unit:
    """Return a unit of a detection: the file or folder at `path`, or the detected one; `values` are Unit's fields."""
    file = (path or detection.path).relative_to(root).as_posix()
    return Unit(detection.form, source, str(root), "" if file == "." else file, detection.dataset, **values)


def one_unit(detection: Detection, source: str, root: Path) -> Iterator[Unit]:
    """Yield the detected file or folder as one unit, with the split if the detection has exactly one."""
    yield unit_at(detection, source, root, split=detection.splits[0] if len(detection.splits) == 1 else None)


def gathers(
    *kinds: type[ImageRows] | type[AnnotationRows],
) -> Callable[[Callable[..., Iterator[None]]], Callable[[Unit], Tables]]:
    """Make scan() of a generator that adds the rows of a unit, and yields wherever full rows may be handed on.

    A FormatError ends the generator and becomes a problem of the unit; the rows before it are kept.

    Args:
        kinds: What the generator gets after the unit, one of each kind.
    """

    def decorate(add: Callable[..., Iterator[None]]) -> Callable[[Unit], Tables]:
        @functools.wraps(add)
        def scan(unit: Unit) -> Tables:
            gathered = [kind(unit) for kind in kinds]
            try:
                for _ in add(unit, *gathered):
                    if any(rows.full() for rows in gathered):
                        for rows in gathered:
                            yield from rows.batches()
            except FormatError as error:
                gathered[0].problem(error.code, unit.file, str(error), error.member or None)
            for rows in gathered:
                yield from rows.batches()

        return scan

    return decorate


def no_hazards(plan: Plan) -> Iterator[str]:
    """Yield nothing: this target's loader reads every export."""
    return iter(())


def no_finish(job: Job) -> None:
    """Write nothing: the files of the shards are the whole export."""


class FileSink:
    """Base of a sink that writes the images of a shard into one file, `self.out`; a format adds `add`."""

    def __init__(self, job: Job, name: str):
        self.name = name
        self.out = job.create(name)

    def close(self) -> SinkOutput:
        """Complete the file."""
        self.out.close()
        return SinkOutput(files=(self.name,))


def names_in(folder: Path, matches: Callable[[str], object], *, folders: bool = False) -> list[str]:
    """Return the names of the files in a folder that match, sorted; with `folders`, those of the folders in it.

    A path that is no folder has none.
    """
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        return sorted(
            entry.name
            for entry in entries
            if matches(entry.name) and (is_folder(entry) if folders else entry.is_file())
        )


def files_by_split(path: Path, pattern: re.Pattern[str], splits: Iterable[str]) -> dict[Path, str]:
    """Return the path, if it is a file, or the files in it, whose names match; with their group `split`, in its order.

    Args:
        path: A file or a folder.
        pattern: What a whole name matches; its group `split` is one of `splits`.
        splits: The splits in order.
    """
    files = [path] if path.is_file() else [path / name for name in names_in(path, pattern.fullmatch)]
    found = {file: match["split"] for file in files if (match := pattern.fullmatch(file.name))}
    order = list(splits)
    return dict(sorted(found.items(), key=lambda item: order.index(item[1])))


def read_range(path: Path, offset: int, length: int) -> bytes:
    """Return the bytes of a part of a file."""
    with path.open("rb") as file:
        file.seek(offset)
        return file.read(length)
