"""The work on one piece of an export: each image is read once and handed to every target. What workers run.

A piece that is done has a record, <number>.json: by target the files and the note of its sink, and of the piece, each
with the bits of the targets that take it, the images that were repaired, left out, or lack the end of a JPEG.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imagenet_tools.containers.blob import Descriptors
from imagenet_tools.errors import FormatError
from imagenet_tools.exports.job import facts_of, place_of
from imagenet_tools.exports.pictures import Picture, Source
from imagenet_tools.files import write_whole

if TYPE_CHECKING:
    from imagenet_tools.exports.job import Job
    from imagenet_tools.exports.writer import Written


@dataclass(frozen=True)
class Done:
    """A piece that is done."""

    number: int
    images: int


# (bits of the targets, data set, image id), and the rule of a repair or why it was left out.
Record = dict[str, list[list[int | str]]]


class StoppedError(Exception):
    """The export was interrupted; the piece on the way is not finished."""


def do_piece(jobs: tuple[Job, ...], number: int, stopped: Callable[[], bool] = lambda: False) -> Done:
    """Write a piece for every target, and its record last. SourceError: an image's bytes are not there any more."""
    shards = {job.plan.target: job.shard_of[number] for job in jobs if number in job.shard_of}
    sinks = {job.plan.target: job.plan.writer.open_shard(job, shards[job.plan.target]) for job in _own(jobs, shards)}
    numbers = {target: (shard.first, shard.first_box) for target, shard in shards.items()}
    record: Record = {"repaired": [], "left_out": [], "endless": []}
    with Descriptors() as files:
        for values in jobs[0].pieces.rows(number):
            if stopped():
                raise StoppedError
            picture = _picture(jobs, values, files, record)
            for job in jobs:
                target = job.plan.target
                if not values["targets"] >> job.target & 1:
                    continue
                row = job.row(values, *numbers[target])
                numbers[target] = (row.number + 1, row.first_box + len(row.boxes))
                if picture is not None:
                    sinks[target].add(row, picture)
        targets = {job.plan.target: _as_json(job, sinks[job.plan.target].close()) for job in _own(jobs, shards)}
    content = json.dumps({"targets": targets, **record}, ensure_ascii=False).encode(errors="surrogatepass")
    write_whole(jobs[0].done / f"{number}.json", content, replace=True, fsync=False)
    return Done(number, sum(jobs[0].pieces.pieces[number].images[:1]))


def _own(jobs: tuple[Job, ...], shards: dict[str, Any]) -> list[Job]:
    return [job for job in jobs if job.plan.target in shards]


def _picture(jobs: tuple[Job, ...], values: dict[str, Any], files: Descriptors, record: Record) -> Picture | None:
    """The bytes of an image; None, and a line in the record, where they had to be decoded and cannot be."""
    options = jobs[0].plan.options
    change, rules = options.change(facts_of(values), (values["out_width"], values["out_height"]))
    source = Source(place_of(jobs[0].plan, values), values["encoding"], change, "eoi" in options.repair)
    key = (values["targets"], values["dataset"], values["image_id"])
    if not any(job.plan.writer.HOLDS_BYTES for job in jobs):
        return Picture(source, files, read=False)
    try:
        picture = Picture(source, files)
    except FormatError as error:
        if error.code != "undecodable":
            raise
        record["left_out"].append([*key, str(error)])
        return None
    record["repaired"] += [[*key, rule] for rule in (*rules, *(("eoi",) if picture.ended else ()))]
    if any(job.plan.writer.FILES_PER_IMAGE for job in jobs) and picture.endless:
        record["endless"].append([*key])
    return picture


def _as_json(job: Job, written: Written) -> dict[str, object]:
    files = []
    for name in written.files:
        path, digest = job.out / name, ""
        if job.plan.options.hash:  # to read them again costs as much as to write them
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        files.append([name, path.stat().st_size, digest])
    return {"files": files, "images": [list(one) for one in written.images], "note": written.note}


def is_done(jobs: tuple[Job, ...], number: int) -> bool:
    """Whether a piece has its record, and every file that it names is there with its size."""
    try:
        record = json.loads((jobs[0].done / f"{number}.json").read_text())
        return all(
            _size(job.out / name) == size
            for job in jobs
            for kind in ("files", "images")
            for name, size, _ in record["targets"].get(job.plan.target, {}).get(kind, ())
        )
    except (FileNotFoundError, ValueError):
        return False


def _size(path: Path) -> int:
    return path.stat().st_size


# ---- in a process of its own

_mine: dict[str, Any] = {}


def begin(jobs: tuple[Job, ...], stop: Any) -> None:
    """Called once in a worker, before work()."""
    _mine.update(jobs=jobs, stop=stop)


def work(number: int) -> Done | None:
    """As do_piece, in a worker; None where it was told to stop."""
    try:
        return do_piece(_mine["jobs"], number, lambda: bool(_mine["stop"].value))
    except StoppedError:
        return None
