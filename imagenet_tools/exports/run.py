"""Write an export: workers write its pieces, each target is finished, and the folder gets its name when all is there.

    dogs.partial/               the export, as far as it is written
        .work/export.json       what it depends on: recipe, classes, a digest of the index, software
        .work/rows.arrow        its rows, cut into pieces: see exports.pieces
        .work/done/12.images    the files with one image of piece 12 by target: [path, bytes, SHA-256 or ""]
        .work/done/12.json      the record of piece 12, written when the piece is complete
        .work/lock              held by the process that writes

In a piece, each image is read once and handed to every target. A record has

    targets     by target: the files, the parts and the note of its sink, the digest of its files with one image, and in
                left_out ["dataset/image_id", error, class, boxes] of images that could not be decoded
    repaired    [targets, "dataset/image_id", rule] of images that --repair changed
    endless     [targets, "dataset/image_id"] of JPEGs without an end mark that would have been linked
    cut         [targets, "dataset/image_id"] of images at which Pillow stops

where `targets` has bit n set if the n-th target takes the image. A run that was interrupted goes on with the pieces
that have no record.
"""

from __future__ import annotations

import functools
import json
import multiprocessing
import shutil
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imagenet_tools import system
from imagenet_tools.containers import payload
from imagenet_tools.errors import ExistsError, ExportError, FormatError
from imagenet_tools.exports import in_bucket, pieces
from imagenet_tools.exports.estimate import notes_on_links
from imagenet_tools.exports.job import Job
from imagenet_tools.exports.manifest import Digest, sha256_of, state_of, write_manifest
from imagenet_tools.exports.pictures import Picture
from imagenet_tools.exports.rows import RowMaker, changes, places
from imagenet_tools.exports.writer import SinkOutput
from imagenet_tools.storage.blob import Descriptors
from imagenet_tools.storage.buckets import Remote, is_remote, on_disk
from imagenet_tools.storage.executors import in_executor
from imagenet_tools.storage.files import (
    LOCK,
    clear_locked,
    explain_full_disk,
    lock,
    partial_of,
    publish_folder,
    refuse_taken,
    settle_work,
    write_whole,
)
from imagenet_tools.storage.processes import in_processes, prepare_workers
from imagenet_tools.storage.shares import refuse_running

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from imagenet_tools.containers.payload import Place
    from imagenet_tools.exports.pieces import Columns
    from imagenet_tools.exports.plan import Plan, Result
    from imagenet_tools.exports.rows import Changed
    from imagenet_tools.exports.writer import Row, Sink
    from imagenet_tools.units import Progress

WORK = ".work"
_STATE = "export.json"
_DONE = "done"

# Two worker processes take 0.5 s of processor time to start, and a hard link 50 us (2 cores). The driver writes a small
# export alone. If that takes longer, as on a slow disk, workers write the pieces that are left. A changed image is
# decoded and encoded: it counts as many.
_SMALL_IMAGES = 10_000
_SMALL_BYTES = 64 << 20
_CHANGE_COST = 500
_ALONE_SECONDS = 1.0

# Format of the records of finished pieces. A half of an export with another one is not resumed.
_RECORD_FORMAT = 4

_Record = dict[str, list[list[int | str]]]


def make_export(
    plan: Plan,
    dest: Path,
    *,
    workers: int | None,
    executor: Executor | None = None,
    progress: Progress | None = None,
) -> Result:
    """Write an export, all its targets in one pass over the sources.

    Args:
        plan: The plan of the first target, with the others in `also`. Several targets get a folder each below `dest`.
        dest: A path where nothing is.
        workers: Processes that write; None: this one for a small export, else one a core.
        executor: An executor that writes instead of worker processes.
        progress: Called with ("writing", images done, images in all).

    Raises:
        ExistsError: Something is at `dest`, or an unfinished export of another kind is beside it.
        SourceError: The bytes of an image are not there any more.
    """
    plans = plan.together
    with explain_full_disk(on_disk(dest)), partial_folder(plans, dest) as partial:
        begin_workers(plans, workers, executor)
        refuse_running(partial / WORK)
        jobs = make_jobs(plans, partial, dest)
        write_pieces(jobs, range(len(jobs[0].pieces.pieces)), workers, executor, progress)
        results = []
        for job in jobs:
            job.plan.writer.finish(job)
            result = write_manifest(job)
            path = dest / result.target if len(plans) > 1 else dest
            results.append(replace(result, path=path, hazards=(*result.hazards, *notes_on_links(job.plan))))
        if is_remote(dest):
            in_bucket.finish(jobs, dest, WORK)
    first, *others = results
    return replace(first, also=tuple(others))


def begin_workers(plans: Sequence[Plan], workers: int | None, executor: Executor | None) -> None:
    """Let worker processes begin to start, if the export will need them from its beginning."""
    if executor is None and (workers or system.cores()) != 1 and not _begins_alone(plans, workers):
        prepare_workers(__name__, "pyarrow")


def make_jobs(plans: Sequence[Plan], partial: Path, dest: Path) -> tuple[Job, ...]:
    """Cut the export into pieces, unless an earlier run did, and return the job of each target."""
    work_folder = partial.absolute() / WORK
    cut = pieces.cut(plans, work_folder)
    stamps = plans[0].index.stamps
    names = [plan.target if len(plans) > 1 else "" for plan in plans]
    jobs = [
        Job(plan, partial.absolute() / name, cut, n, work_folder / _DONE, stamps)
        for n, (plan, name) in enumerate(zip(plans, names, strict=True))
    ]
    if is_remote(dest):
        done = dest / WORK / _DONE
        in_bucket.fetch_records(done, work_folder / _DONE)
        jobs = [
            replace(job, bucket=str(dest / name), bucket_done=str(done)) for job, name in zip(jobs, names, strict=True)
        ]
    return tuple(jobs)


# ---- the folder of an unfinished export


@contextmanager
def partial_folder(plans: Sequence[Plan], dest: Path) -> Iterator[Path]:
    """Lock <dest>.partial, and rename it to `dest` when the block ends without an error.

    Raises:
        ExistsError: Something is at `dest`, or <dest>.partial is not an unfinished export of these plans.
        ExportError: `dest` is in a source or in the index.
    """
    partial = unfinished_folder(plans, dest)
    work_folder = partial / WORK
    with lock(work_folder / LOCK):
        check_state(partial, plans, dest)
        yield partial
        if is_remote(dest):
            clear_locked(work_folder)
        else:
            publish_folder(partial, dest, work=WORK)
    if is_remote(dest):
        shutil.rmtree(partial)
    else:
        settle_work(partial, WORK)


def unfinished_folder(plans: Sequence[Plan], dest: Path) -> Path:
    """Return <dest>.partial, which is made if it is not there. Raises as partial_folder() does."""
    _refuse_place(plans, dest)
    partial = partial_of(on_disk(dest))
    if partial.is_symlink() or (partial.exists() and not partial.is_dir()):
        message = f"{partial} is in the way: expected nothing there, or half of this export. Remove it."
        raise ExistsError(message)
    settle_work(partial, WORK)
    work_folder = partial / WORK
    if partial.exists() and not work_folder.exists():
        _refuse_others(partial)
    (work_folder / _DONE).mkdir(parents=True, exist_ok=True)
    return partial


def _refuse_others(partial: Path) -> None:
    """Refuse a folder with other files, such as those of an export that another process is about to publish."""
    if any(path.name != WORK for path in partial.iterdir()):
        message = f"{partial} exists and is not half of an export. Remove it, or name another place."
        raise ExistsError(message)


def _refuse_place(plans: Sequence[Plan], dest: Path) -> None:
    """Refuse a place that is taken, or that is in a source or in the index: a later build would index the export."""
    if is_remote(dest):
        in_bucket.refuse(plans, dest, f"{WORK}/{_STATE}")
        return
    refuse_taken(str(dest))
    index = plans[0].index
    for folder in [*(Path(source.path) for source in index.stamps.sources), index.folder]:
        if folder.is_dir() and dest.absolute().parent.resolve().is_relative_to(folder.resolve()):
            message = f"{dest} is in {folder}, which is indexed, or the index. Name a place outside of it."
            raise ExportError(message)


def check_state(partial: Path, plans: Sequence[Plan], dest: Path) -> None:
    """Write what a new export to `dest` depends on; refuse an unfinished one that depends on something else."""
    states = []
    for plan in plans:
        # The words of a selection name files, such as a list of images: their digests tell whether they changed.
        files = sorted((Path(path).name, sha256_of(Path(path))) for path in plan.selection.choice.files())
        folders = [cls.folder for cls in plan.classes]
        states.append(
            state_of(plan) | {"counts": plan.counts(), "folders": folders, "files": files, "records": _RECORD_FORMAT}
        )
    path, text = partial / WORK / _STATE, json.dumps(states, indent=1, ensure_ascii=False, default=str)
    if not path.exists():
        _refuse_others(partial)
        write_whole(path, text.encode())
    elif path.read_text() != text:
        message = f"{partial} is half of another export. Remove it if nobody needs it, or name another place."
        raise ExistsError(message)
    if is_remote(dest):
        in_bucket.claim(dest / WORK / _STATE, text)


# ---- all pieces


def _begins_alone(plans: Sequence[Plan], workers: int | None) -> bool:
    """Return True if the driver begins to write alone: the number of workers is not given, and the export is small."""
    copies = sum(
        plan.images() * (_CHANGE_COST if plan.options.changes or plan.writes.remade_bytes else 1) for plan in plans
    )
    is_small = copies <= _SMALL_IMAGES and sum(plan.bytes() for plan in plans) <= _SMALL_BYTES
    return workers is None and is_small


def write_pieces(
    jobs: tuple[Job, ...],
    numbers: Sequence[int],
    workers: int | None,
    executor: Executor | None,
    progress: Progress | None,
) -> None:
    """Write every piece of these numbers that has no record yet."""
    # By the target that takes most images of the piece.
    images = {number: max(jobs[0].pieces.pieces[number].images) for number in numbers}
    listings = [Remote(job.bucket).files() if job.bucket else None for job in jobs]
    left = [number for number in numbers if not _is_done(jobs, number, listings)]
    total = sum(images.values())
    done = total - sum(images[number] for number in left)
    if progress:
        progress("writing", done, total)
    with closing(_finished_pieces(jobs, left, workers, executor)) as finished:
        for number in finished:
            done += images[number]
            if progress:
                progress("writing", done, total)


def _finished_pieces(
    jobs: tuple[Job, ...], left: Sequence[int], workers: int | None, executor: Executor | None
) -> Generator[int, None, None]:
    """Write pieces, and yield the number of each that is complete."""
    if executor is not None:
        yield from in_executor(functools.partial(_write_alone, jobs), left, executor)
        return
    alone_until = time.monotonic() + (_ALONE_SECONDS if _begins_alone([job.plan for job in jobs], workers) else 0)
    workers = workers or system.cores()
    waiting = deque(left)
    while waiting and (workers == 1 or len(waiting) == 1 or time.monotonic() < alone_until):
        number = waiting.popleft()
        _write_piece(jobs, number)
        yield number
    if not waiting:
        return
    stop = multiprocessing.RawValue("b", 0)

    def stop_all() -> None:
        stop.value = 1

    begin = functools.partial(_begin, jobs, stop)
    yield from in_processes(_work, list(waiting), min(workers, len(waiting)), begin=begin, stop=stop_all)


def _is_done(jobs: tuple[Job, ...], number: int, listings: Sequence[Mapping[str, int] | None]) -> bool:
    """Return True if a piece has its record, and every file in it is there with its size.

    In a bucket, the files of each target are those of its listing. Parts are on the machine that wrote them alone.
    """
    try:
        outputs = json.loads((jobs[0].done / f"{number}.json").read_text())["targets"]
        for job, listing in zip(jobs, listings, strict=True):
            if (output := outputs.get(job.plan.target)) is None:
                continue
            images = job.image_files(number)
            if len(images) != output["digest"][0] or any(
                (listing.get(name) if listing is not None else (job.out / name).stat().st_size) != size
                for name, size, _ in (*output["files"], *images)
            ):
                return False
            if any((job.done / name).stat().st_size != size for name, size in output["parts"]):
                return False
    except (FileNotFoundError, ValueError):
        return False
    return True


# The jobs and the stop flag of a worker process. in_processes() passes to _work() a number alone.
_of_worker: dict[str, Any] = {}


def _begin(jobs: tuple[Job, ...], stop: Any) -> None:
    """Set up a worker process; called once, before _work()."""
    _of_worker.update(jobs=jobs, stop=stop)


def _work(number: int) -> int:
    """Write a piece in a worker process, and return its number."""
    _write_piece(_of_worker["jobs"], number, lambda: bool(_of_worker["stop"].value))
    return number


def _write_alone(jobs: tuple[Job, ...], number: int) -> int:
    """Write a piece on an executor, and return its number."""
    _write_piece(jobs, number)
    return number


# ---- one piece


def _write_piece(jobs: tuple[Job, ...], number: int, stopped: Callable[[], bool] = lambda: False) -> None:
    """Write a piece for every target, and its record last; nothing of it counts if the export is stopped before."""
    jobs_here = [job for job in jobs if number in job.shard_of]
    opened = [(job, job.plan.writer.open_shard(job, job.shard_of[number])) for job in jobs_here]
    sinks = [(job, sink) for job, sink in opened if sink is not None]
    row_makers = [RowMaker(job.plan, job.target, job.shard_of[number]) for job, _ in sinks]
    options, index = jobs[0].plan.options, jobs[0].plan.index
    record: _Record = {"repaired": [], "endless": [], "cut": []}
    left_out: dict[str, list[list[object]]] = {job.plan.target: [] for job in jobs_here}
    with Descriptors(stamps=jobs[0].stamps) as files:
        for columns in jobs[0].pieces.columns(number) if sinks else ():
            changed = changes(options, columns)
            rows_of_jobs = [iter(row_maker.rows(columns, changed)) for row_maker in row_makers]
            pictures = _pictures(jobs, columns, changed, places(index, columns), files, record)
            for picture, targets in zip(pictures, columns["targets"], strict=True):
                if stopped():
                    return
                for (job, sink), rows in zip(sinks, rows_of_jobs, strict=True):
                    if targets >> job.target & 1:
                        row = next(rows)
                        if error := _add(sink, row, picture):
                            image = f"{row.dataset}/{row.image_id}"
                            left_out[job.plan.target].append([image, str(error), row.wnid, len(row.boxes)])
        outputs = {job.plan.target: sink.close() if sink else SinkOutput() for job, sink in opened}
    targets = {job.plan.target: _as_json(job, outputs[job.plan.target]) for job in jobs_here}
    for target in targets:
        targets[target]["left_out"] = left_out[target]
    content = json.dumps({"targets": targets, **record}, ensure_ascii=False).encode(errors="surrogatepass")
    if jobs[0].bucket:
        in_bucket.upload(jobs_here, outputs)
        Remote(f"{jobs[0].bucket_done}/{number}.json").write(content)
    images = {target: output.images for target, output in outputs.items() if output.images}
    if images:
        text = json.dumps(images, ensure_ascii=False).encode(errors="surrogatepass")
        write_whole(jobs[0].done / f"{number}.images", text, replace=True, fsync=False)
    write_whole(jobs[0].done / f"{number}.json", content, replace=True, fsync=False)


def _add(sink: Sink, row: Row, picture: Picture | FormatError) -> FormatError | None:
    """Add an image, or return why it cannot be decoded."""
    if isinstance(picture, FormatError):
        return picture
    try:
        sink.add(row, picture)
    except FormatError as error:
        if error.code != "undecodable":
            raise
        return error
    return None


def _pictures(
    jobs: tuple[Job, ...],
    columns: Columns,
    changed: Sequence[Changed],
    places: Iterable[Place],
    files: Descriptors,
    record: _Record,
) -> Iterator[Picture | FormatError]:
    """Yield the bytes of each image, or why it cannot be decoded, and note in the record what else happened."""
    add_end = "eoi" in jobs[0].plan.options.repair
    read = any(job.plan.writes.holds_bytes for job in jobs)
    may_link = read and any(job.plan.writes.files_per_image for job in jobs)
    shared = sum(job.plan.writes.holds_bytes and not job.plan.writes.files_per_image for job in jobs) > 1
    if read:
        places = payload.read_ahead(places, files)
    keys = zip(columns["targets"], columns["dataset"], columns["image_id"], strict=True)
    for (targets, dataset, image_id), place, (change, rules) in zip(keys, places, changed, strict=True):
        key = [targets, f"{dataset}/{image_id}"]
        try:
            picture = Picture(place, files, change=change, add_end=add_end, read=read, shared=shared)
        except FormatError as error:
            if error.code != "undecodable":
                raise
            yield error
            continue
        if rules and read:
            record["repaired"] += [[*key, rule] for rule in rules]
        if picture.ended:
            record["repaired"].append([*key, "eoi"])
        if may_link and picture.endless:
            record["endless"].append(key)
        yield picture
        # After the sinks: they have read the last bytes of the image, so the test costs no read.
        if read and picture.cut:
            record["cut"].append(key)


def _as_json(job: Job, output: SinkOutput) -> dict[str, object]:
    files = []
    for name in output.files:
        path = job.out / name
        # The digest reads the file again, which takes as long as writing it.
        files.append([name, path.stat().st_size, sha256_of(path) if job.plan.options.hash else ""])
    parts = [(name, (job.done / name).stat().st_size) for name in output.parts]
    digest = Digest()
    digest.add(output.images)
    return {"files": files, "parts": parts, "digest": digest.totals(), "note": output.note}
