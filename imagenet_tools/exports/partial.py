"""An export in the making: <dest>.partial, what it is half of, and its lock.

dogs.partial/               what the export will hold, as far as it is done
    .work/export.json       what it is half of: recipe, classes, a digest of the index, software
    .work/rows.arrow        its rows, cut into pieces: see exports.pieces
    .work/done/12.json      the record of a piece that is done: see exports.work
    .work/lock              held by the process that writes
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from imagenet_tools import __version__
from imagenet_tools.errors import ExistsError, ExportError
from imagenet_tools.storage.files import lock, publish_folder, refuse_taken, whole
from imagenet_tools.store.layout import read_manifest

if TYPE_CHECKING:
    from imagenet_tools.exports.plan import Plan
    from imagenet_tools.store.store import Store

WORK, _STATE, DONE = ".work", "export.json", "done"


def state_of(plan: Plan) -> dict[str, object]:
    """What an export to one target depends on, as plain values: with the same, the same bytes come out."""
    return {
        "target": plan.target,
        "recipe": {"selection": plan.selection.words(), "options": plan.options.words()},
        "classes": [one.display for one in plan.classes],
        "index": index_digest(plan.index),
        "software": {"imagenet-tools": __version__} | ({"pillow": version("pillow")} if plan.options.changes else {}),
    }


def index_digest(index: Store) -> str:
    """SHA-256 over the digests of an index's tables, but for that of the sources, which tells of the machine."""
    tables = read_manifest(index.path).tables
    digests = {name: [entry.sha256 for entry in found] for name, found in sorted(tables.items()) if name != "sources"}
    return hashlib.sha256(json.dumps(digests).encode()).hexdigest()


@contextmanager
def partial_folder(plans: Sequence[Plan], dest: Path) -> Iterator[Path]:
    """The folder to write in, locked; it gets the name `dest` when the block ends well, and stays when it does not.

    ExistsError: something is at `dest`, or half of another export beside it. ExportError: `dest` cannot be there.
    """
    refuse_place(plans[0], dest)
    partial = dest.with_name(dest.name + ".partial")
    if partial.is_symlink() or (partial.exists() and not partial.is_dir()):
        message = f"{partial} is in the way: expected nothing there, or half of this export. Remove it."
        raise ExistsError(message)
    work = partial / WORK
    fresh = not partial.exists()
    if not fresh and not work.exists() and any(partial.iterdir()):
        message = f"{partial} exists and is not half of an export. Remove it, or name another place."
        raise ExistsError(message)
    work.mkdir(parents=True, exist_ok=True)
    with lock(work / "lock"):
        # A list or a table of one's own is named in the words; whether it is still the same, its bytes tell.
        state = [state_of(plan) | {"counts": plan.counts(), "files": _files(plan)} for plan in plans]
        _begin(partial, work, json.dumps(state, indent=1, ensure_ascii=False))
        (work / DONE).mkdir(exist_ok=True)
        yield partial
        shutil.rmtree(work)
    publish_folder(partial, dest)


def _files(plan: Plan) -> dict[str, str]:
    """The SHA-256 of every file that the words of the selection name."""
    found: dict[str, str] = {}
    for name, path in sorted(plan.selection.choice.files().items()):
        with Path(path).open("rb") as file:
            found[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def refuse_place(plan: Plan, dest: Path) -> None:
    """Refuse a place that is taken, or that lies in a source or in the index, which an export would grow into."""
    refuse_taken(str(dest))
    rows = plan.index.cursor().execute("SELECT DISTINCT source, path FROM sources ORDER BY 1").fetchall()
    places = [plan.index.place(source, path) for source, path in rows]
    for place in [*places, plan.index.path]:
        if place.is_dir() and dest.absolute().parent.resolve().is_relative_to(place.resolve()):
            message = f"{dest} lies in {place}, which is indexed, or the index. Name a place outside of it."
            raise ExportError(message)


def _begin(partial: Path, work: Path, text: str) -> None:
    """Take over the half that is there if it is of this very export; refuse another's."""
    path = work / _STATE
    if path.exists():
        if path.read_text() != text:
            message = f"{partial} is half of another export. Remove it if nobody needs it, or name another place."
            raise ExistsError(message)
        return
    with whole(path) as file:
        file.write(text.encode())
