"""The work on one piece of an export: each image is read once and handed to every target. What workers run.

A piece that is done has a record, <number>.json: by target the files and the note of its sink, and of the piece, each
with the bits of the targets that take it, the images that were repaired, left out, lack the end of a JPEG, or are cut
so that Pillow stops at them.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imagenet_tools.errors import FormatError
from imagenet_tools.exports import pieces
from imagenet_tools.exports.estimate import notes_on_links
from imagenet_tools.exports.job import Job
from imagenet_tools.exports.manifest import write_manifest
from imagenet_tools.exports.partial import DONE, WORK, partial_folder
from imagenet_tools.exports.pictures import Picture, PictureSource
from imagenet_tools.exports.rows import Places, changes
from imagenet_tools.storage.blob import Descriptors
from imagenet_tools.storage.files import explain_full_disk, write_whole
from imagenet_tools.storage.processes import in_processes, prepare_workers

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from imagenet_tools.containers.payload import Place
    from imagenet_tools.exports.job import Job
    from imagenet_tools.exports.pieces import Columns
    from imagenet_tools.exports.plan import Plan
    from imagenet_tools.exports.rows import Changed
    from imagenet_tools.exports.writer import Row, Shard, SinkOutput
    from imagenet_tools.units import Progress


@dataclass(frozen=True)
class PieceRecord:
    """A piece that is done."""

    number: int
    images: int


# (bits of the targets, data set, image id), and the rule of a repair or why it was left out.
Record = dict[str, list[list[int | str]]]


class StoppedError(Exception):
    """The export was interrupted; the piece on the way is not finished."""


def do_piece(jobs: tuple[Job, ...], number: int, stopped: Callable[[], bool] = lambda: False) -> PieceRecord:
    """Write a piece for every target, and its record last. SourceError: an image's bytes are not there any more."""
    own = [_Own(job, job.shard_of[number]) for job in jobs if number in job.shard_of]
    record: Record = {"repaired": [], "left_out": [], "endless": [], "cut": []}
    places = Places(jobs[0].plan.index)
    with Descriptors(stamps=jobs[0].stamps) as files:
        for columns in jobs[0].pieces.columns(number):
            changed = changes(jobs[0].plan.options, columns)
            rows = [one.rows(columns, changed) for one in own]
            pictures = _pictures(jobs, columns, changed, places.of(columns), files, record)
            for picture, targets in zip(pictures, columns["targets"], strict=True):
                if stopped():
                    raise StoppedError
                for one, its in zip(own, rows, strict=True):
                    if targets & one.bit:
                        row = next(its)
                        if picture is not None:
                            one.add(row, picture)
        made = {one.job.plan.target: _as_json(one.job, one.sink.close()) for one in own}
    content = json.dumps({"targets": made, **record}, ensure_ascii=False).encode(errors="surrogatepass")
    write_whole(jobs[0].done / f"{number}.json", content, replace=True, fsync=False)
    return PieceRecord(number, sum(jobs[0].pieces.pieces[number].images[:1]))


class _Own:
    """A target that takes images of the piece: its sink, and the numbers of its next image and box."""

    def __init__(self, job: Job, shard: Shard):
        self.job, self.bit = job, 1 << job.target
        self.sink = job.plan.writer.open_shard(job, shard)
        self.add = self.sink.add
        self._number, self._first_box = shard.first, shard.first_box

    def rows(self, columns: Columns, changed: Sequence[Changed]) -> Iterator[Row]:
        """Its rows of a batch."""
        made = self.job.made.of(columns, changed, self._number, self._first_box)
        self._number += len(made)
        self._first_box += sum(len(row.boxes) for row in made)
        return iter(made)


def _pictures(
    jobs: tuple[Job, ...],
    columns: Columns,
    changed: Sequence[Changed],
    places: Iterable[Place],
    files: Descriptors,
    record: Record,
) -> Iterator[Picture | None]:
    """The bytes of each image; None, and a line in the record, where they had to be decoded and cannot be."""
    end = "eoi" in jobs[0].plan.options.repair
    read = any(job.plan.writes.holds_bytes for job in jobs)
    linked = read and any(job.plan.writes.files_per_image for job in jobs)
    keys = zip(columns["targets"], columns["dataset"], columns["image_id"], strict=True)
    for key, place, (change, rules) in zip(keys, places, changed, strict=True):
        try:
            picture = Picture(PictureSource(place, change, end), files, read=read)
        except FormatError as error:
            if error.code != "undecodable":
                raise
            record["left_out"].append([*key, str(error)])
            yield None
            continue
        if rules and read:
            record["repaired"] += [[*key, rule] for rule in rules]
        if picture.ended:
            record["repaired"].append([*key, "eoi"])
        if linked and picture.endless:
            record["endless"].append([*key])
        yield picture
        if read and picture.cut:  # after the sinks, which have read its end
            record["cut"].append([*key])


def _as_json(job: Job, written: SinkOutput) -> dict[str, object]:
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


def work(number: int) -> PieceRecord | None:
    """As do_piece, in a worker; None where it was told to stop."""
    try:
        return do_piece(_mine["jobs"], number, lambda: bool(_mine["stop"].value))
    except StoppedError:
        return None


# ---- Making an export: its pieces are written by workers, each target is finished, and all of it appears at once.


def make_export(plan: Plan, dest: Path, *, workers: int = 1, progress: Progress | None = None) -> Plan:
    """Make an export as planned, all its targets in one pass; gives the plan as it was carried out.

    With several targets, each lies in a folder of its own below dest. ExistsError: something is at dest, or another
    export is half made there.
    """
    plans = plan.together
    with explain_full_disk(dest, dest.with_name(dest.name + ".partial")), partial_folder(plans, dest) as partial:
        work_folder = partial / WORK
        if workers != 1:
            prepare_workers(__name__, "pyarrow")
        cut = pieces.cut(plans, work_folder)
        stamps = plan.index.stamps
        jobs = tuple(
            Job(one, partial / one.target if len(plans) > 1 else partial, cut, n, work_folder / DONE, stamps)
            for n, one in enumerate(plans)
        )
        _do_all(jobs, workers, progress)
        for job in jobs:
            job.plan.writer.finish(job)
            write_manifest(job)
    for one in plans:
        one.hazards.extend(notes_on_links(one))
    first, *others = (replace(one, dest=dest / one.target if others_of(plans) else dest) for one in plans)
    return replace(first, also=tuple(others))


def others_of(plans: Sequence[Plan]) -> bool:
    """Whether there are several targets, each in a folder of its own."""
    return len(plans) > 1


def _do_all(jobs: tuple[Job, ...], workers: int, progress: Progress | None) -> None:
    """Write every piece that is not done yet."""
    images = [piece_images(jobs, n) for n in range(len(jobs[0].pieces.pieces))]
    left = [n for n in range(len(images)) if not is_done(jobs, n)]
    total = sum(images)
    done = total - sum(images[n] for n in left)
    if progress:
        progress("writing", done, total)
    with closing(_results(jobs, left, workers)) as results:
        for one in results:
            done += images[one.number]
            if progress:
                progress("writing", done, total)


def piece_images(jobs: tuple[Job, ...], number: int) -> int:
    """About how many images a piece has: those of the target that takes most."""
    return max(jobs[0].pieces.pieces[number].images)


def _results(jobs: tuple[Job, ...], left: Sequence[int], workers: int) -> Generator[PieceRecord, None, None]:
    if workers == 1 or len(left) < 2:
        for number in left:
            yield do_piece(jobs, number)
        return
    stop = multiprocessing.RawValue("b", 0)

    def stop_all() -> None:
        stop.value = 1

    with closing(
        in_processes(work, left, min(workers, len(left)), begin=begin, given=(jobs, stop), stop=stop_all)
    ) as found:
        for one in found:
            if one is not None:
                yield one
