"""Making an export: its pieces are written by workers, each target is finished, and all of it appears at once."""

from __future__ import annotations

import multiprocessing
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from imagenet_tools.exports import pieces
from imagenet_tools.exports.estimate import notes_on_links
from imagenet_tools.exports.job import Job
from imagenet_tools.exports.manifest import write_manifest
from imagenet_tools.exports.partial import DONE, WORK, partial_folder
from imagenet_tools.exports.work import Done, begin, do_piece, is_done, work
from imagenet_tools.files import named_when_full
from imagenet_tools.processes import in_processes

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from imagenet_tools.exports.plan import Plan
    from imagenet_tools.units import Progress


def make_export(plan: Plan, dest: Path, *, workers: int = 1, progress: Progress | None = None) -> Plan:
    """Make an export as planned, all its targets in one pass; gives the plan as it was carried out.

    With several targets, each lies in a folder of its own below dest. ExistsError: something is at dest, or another
    export is half made there.
    """
    plans = plan.together
    with named_when_full(dest, dest.with_name(dest.name + ".partial")), partial_folder(plans, dest) as partial:
        work_folder = partial / WORK
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


def _results(jobs: tuple[Job, ...], left: Sequence[int], workers: int) -> Generator[Done, None, None]:
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
