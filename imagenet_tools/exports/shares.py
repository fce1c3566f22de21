"""Shards of an export: each command writes a share of the pieces into <dest>.partial, and a last one finishes it.

What the shards are asked for is in .work/command.json, see storage.shares: the index, the selection with absolute
paths, and for each target its options. A selection that a lock pins is in .work/selection.lock.toml.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from imagenet_tools.exports.options import FILES, Options
from imagenet_tools.exports.plan import make_plans
from imagenet_tools.exports.run import (
    WORK,
    begin_workers,
    check_state,
    make_export,
    make_jobs,
    unfinished_folder,
    write_pieces,
)
from imagenet_tools.index import Index, pin
from imagenet_tools.selection import lock as locks
from imagenet_tools.selection import recipe
from imagenet_tools.selection.selection import Selection
from imagenet_tools.storage.buckets import on_disk
from imagenet_tools.storage.files import LOCK, explain_full_disk, lock, partial_of, settle_work
from imagenet_tools.storage.shares import Share, read_command, write_command

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Executor

    from imagenet_tools.exports.plan import Plan, Result
    from imagenet_tools.units import Progress

_LOCK = "selection.lock.toml"


def make_shard(
    plan: Plan,
    dest: Path,
    shard: Share,
    *,
    workers: int | None,
    executor: Executor | None = None,
    progress: Progress | None = None,
) -> tuple[int, int]:
    """Write a share of the pieces of an export, and return (images in them, images of the export).

    Args:
        plan: As for make_export(); so are the other arguments.
        dest: The export, the same for all shards.
        shard: The share.
        workers: Processes that write.
        executor: An executor that writes instead of worker processes.
        progress: Called with ("writing", images done, images of the share).

    Raises:
        ExistsError: Something is at `dest`, another process works on this shard, or the shards differ.
        SourceError: The bytes of an image are not there any more.
    """
    plans = plan.together
    partial = unfinished_folder(plans, dest)
    folder = partial / WORK
    with explain_full_disk(on_disk(dest)), shard.locked(folder):
        begin_workers(plans, workers, executor)
        with lock(folder / LOCK, waits=True):
            write_command(folder, _command(plans, folder))
            check_state(partial, plans, dest)
            jobs = make_jobs(plans, partial, dest)
        images = [max(piece.images) for piece in jobs[0].pieces.pieces]
        numbers = shard.take(range(len(images)))
        write_pieces(jobs, numbers, workers, executor, progress)
    return sum(images[number] for number in numbers), sum(images)


def merge_shards(
    dest: Path, *, workers: int | None, executor: Executor | None = None, progress: Progress | None = None
) -> Result | None:
    """Finish the export that shards have begun, with the pieces that none has written; None if there are no shards."""
    partial = partial_of(on_disk(dest))
    settle_work(partial, WORK)
    folder = partial / WORK
    command = read_command(folder)
    if command is None:
        return None
    index = Index.open(command["index"], roots=command["roots"])
    if command["locked"]:
        selection = pin(index, folder / _LOCK)
    else:
        words = recipe.parse(command["selection"], Path("/")).words
        selection = Selection(index, near=Path("/")).with_words(**words)
    options = Options(**{key: _as_option(value) for key, value in command["options"].items()})
    plan = make_plans(command["to"], selection, options)
    return make_export(plan, dest, workers=workers, executor=executor, progress=progress)


def _absolute(word: str) -> str:
    """Return the absolute path of a file; other words as they are."""
    return str(Path(word).absolute()) if Path(word).is_file() else word


def _as_option(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _command(plans: Sequence[Plan], folder: Path) -> dict[str, Any]:
    """Return what the shards are asked for; write the lock of a selection that is pinned by one."""
    first = plans[0]
    selection = first.selection
    pinned = selection.pinned
    if pinned is not None and not (folder / _LOCK).exists():
        locks.make(Selection(first.index, pinned=pinned), folder / _LOCK, name=pinned.name)
    return {
        "index": str(first.index.path),
        "roots": {name: str(root) for name, root in sorted(first.index.roots.items())},
        "locked": pinned is not None,
        "selection": None if pinned is not None else recipe.tables(selection, near=Path("/")),
        "to": [plan.target for plan in plans],
        "options": vars(first.options) | {option: _absolute(getattr(first.options, option)) for option in FILES},
    }
