"""What an export keeps of how it was chosen, so that it can be made again: its recipe and its lock.

recipe.toml     the words of the selection, and under [export.TARGET] the options
lock.toml       the lock of the images that are there, with the same recipe: see selection.lock
lock.parquet    their ids
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imagenet_tools.errors import ImagenetToolsError
from imagenet_tools.files import whole
from imagenet_tools.selection import lock, recipe

if TYPE_CHECKING:
    from imagenet_tools.exports.job import Job
    from imagenet_tools.selection.lock import Lock
    from imagenet_tools.selection.selection import Selection

RECIPE, LOCK, IDS = "recipe.toml", "lock.toml", "lock.parquet"


def write_kept(job: Job, left_out: Collection[str]) -> Lock:
    """Write recipe and lock of a finished target; `left_out` are the images that could not be decoded."""
    import tomli_w

    plan = job.plan
    name = plan.target  # not that of the folder, which says nothing of what is in it
    options = {"export": {plan.target: plan.options.words()}}
    content = {"format": recipe.FORMAT, "name": name, **recipe.tables(plan.selection), **options}
    job.write(RECIPE, tomli_w.dumps(content, indent=2).encode())
    with whole(job.out / IDS, replace=True, fsync=False) as out:
        made = lock.write_ids(plan.selection, out, name=name, without=left_out, classes=plan.classes)
    job.wrote.append(IDS)
    made = made._replace(ids=Path(IDS), recipe={**made.recipe, **options})
    job.write(LOCK, lock.text(made).encode())
    return made


def order_of(selection: Selection) -> str:
    """How the classes of a selection are numbered, also of a lock's: wnid, listed or ilsvrc-id."""
    said = recipe.tables(selection).get("classes", {})
    return str(said.get("order") or ("listed" if {"classes", "superclasses"} & set(said) else "wnid"))


def seed_of(selection: Selection) -> int:
    """The seed of a selection, also of a lock's: that of the words that made it."""
    return int(recipe.tables(selection).get("seed", 0))


def wrong(root: Path, classes: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """What is wrong with recipe and lock of an export whose classes.json has these classes."""
    counts: dict[str, dict[str, int]] = {}
    for one in sorted(classes, key=lambda row: str(row["wnid"])):
        for split, n in one["splits"].items():
            if n["images"]:
                counts.setdefault(split, {})[one["wnid"]] = n["images"]
    try:
        locked, table = lock.read(root / LOCK), recipe.load(root / RECIPE)
        recipe.parse(table, root / RECIPE)
        by_folder = json.loads((root / "classes.json").read_text(encoding="utf-8"))["order"] == "folder"
        found = [(one["wnid"], one["name"], one["folder"], one["display"]) for one in classes]
    except (ImagenetToolsError, ValueError, LookupError, TypeError, AttributeError) as error:
        yield f"{RECIPE} and {LOCK} cannot be read: {error}"
        return
    if locked.counts != counts:
        yield f"{LOCK} pins {locked.n_images:,} images of other splits or classes than classes.json counts"
    named = sorted(locked.named, key=lambda one: one.folder) if by_folder else locked.named
    if found != [(one.wnid, one.name, one.folder, one.display) for one in named]:
        yield f"{LOCK} has other classes than classes.json, in another order, or by other names"
    if {key: value for key, value in table.items() if key not in ("format", "name")} != locked.recipe:
        yield f"{RECIPE} is not the recipe that {LOCK} holds"
