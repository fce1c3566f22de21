"""What the commands share that choose images: the selection that flags, a recipe or a lock make, and its steps."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from imagenet_tools.cli.common import Command, note, printable, said, select, table
from imagenet_tools.errors import UsageError
from imagenet_tools.selection.steps import REASONS
from imagenet_tools.selection.words import SELECTION

if TYPE_CHECKING:
    from imagenet_tools.index import Index
    from imagenet_tools.selection.lock import Lock
    from imagenet_tools.selection.selection import Selection

_NAMED = 20  # missing images that are printed; --json has them all


def recipe_option(command: Command) -> Command:
    """--recipe FILE|LOCK, in place of the words of a selection."""
    text = "A recipe or a lock that chooses, in place of the flags that do."
    return click.option("--recipe", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE|LOCK", help=text)(
        command
    )


def recipe_options(recipe: Path | None, to: str) -> dict[str, Any]:
    """The options of an export that a recipe holds, or the recipe in the lock of an export, by keyword.

    UsageError: several targets, which are made in one pass with the same options, have others there.
    """
    from imagenet_tools.selection import lock
    from imagenet_tools.selection import recipe as recipes

    if recipe is None:
        return {}
    if lock.is_lock(recipe):
        found = recipes.options(recipe, lock.read(recipe).recipe.get("export", {}))
    else:
        found = recipes.read(recipe).export
    first, *others = targets = [target.strip() for target in to.split(",")]
    if any(found.get(one, {}) != found.get(first, {}) for one in others):
        had = " and ".join(f"[export.{one}] {found.get(one, {})}" for one in targets)
        raise UsageError(f"{recipe}: found {had}; one pass has the same options for all. Export them one by one.")
    return found.get(first, {})


def choose(index: Index, words: Mapping[str, Any], recipe: Path | None) -> Selection:
    """The selection that the flags make, or a recipe or a lock; UsageError where there are both."""
    if recipe is None:
        return select(index, words)
    refuse_words(words, f"--recipe {recipe}")
    from imagenet_tools.selection.choosing import by_recipe

    return by_recipe(index, recipe)


def refuse_words(words: Mapping[str, Any], beside: str) -> None:
    """UsageError where words of a selection stand beside what makes one already."""
    given = said(words)
    if given:
        flags = ", ".join(word.flag for word in SELECTION if word.keyword in given)
        raise UsageError(f"Found {flags} beside {beside}, which chooses already. Edit the recipe.")


def steps_json(selection: Selection) -> list[dict[str, object]]:
    """The steps as plain values."""
    return [one._asdict() | {"why": REASONS[one.name] if one.left_out else ""} for one in selection.steps()]


def print_steps(selection: Selection, *, notes: bool = True) -> None:
    """Print what is left after every step, what it left out and why; with `notes`, the selection's on stderr."""
    rows = [(one["name"], one["left_out"] or None, one["left"], one["why"]) for one in steps_json(selection)]
    click.echo(table(("step", "left out", "left", "why"), rows))
    for text in selection.notes() if notes else ():
        note(f"note: {text}")


def print_counts(selection: Selection) -> None:
    """Images and classes by split; the classes of a split that is empty of some are said on stderr."""
    counts, wnids = selection.counts(), selection.wnids()
    click.echo(table(("split", "images", "classes"), [(s, sum(n.values()), len(n)) for s, n in counts.items()]))
    for split, found in counts.items():
        empty = [wnid for wnid in wnids if wnid not in found]
        if empty and selection.choice.split.by != "classes":
            more = " ..." if len(empty) > _NAMED else ""
            note(
                f"note: {len(empty):,} of {len(wnids):,} classes have no image in {split}: {', '.join(empty[:5])}{more}"
            )


def findings(index: Index, path: Path) -> dict[str, object]:
    """What a lock names and this index has otherwise, as plain values: missing and relabelled images."""
    from imagenet_tools.selection import lock
    from imagenet_tools.selection.choosing import pin

    pinned = pin(index, path)
    return {
        "lock": str(path),
        "images": pinned.pinned.n_images if pinned.pinned else 0,
        "missing": lock.missing(pinned),
        "relabelled": [{"image": key, "locked": was, "here": here} for key, was, here in lock.relabelled(pinned)],
    }


def print_findings(found: Mapping[str, Any]) -> None:
    """The findings, for people."""
    missing, relabelled = found["missing"], found["relabelled"]
    if not missing and not relabelled:
        click.echo(f"{found['lock']}: all {found['images']:,} images are here")
    if missing:
        click.echo(f"{found['lock']}: {len(missing):,} of {found['images']:,} images are not in the index")
        for key in missing[:_NAMED]:
            click.echo(printable(f"  {key}"))
        if len(missing) > _NAMED:
            click.echo(f"  ... and {len(missing) - _NAMED:,} more; --json names all")
    if relabelled:
        click.echo(f"{found['lock']}: {len(relabelled):,} images are of another class here")
        for one in relabelled[:_NAMED]:
            click.echo(printable(f"  {one['image']}: locked as {one['locked']}, here {one['here']}"))


def lock_path(recipe: Path) -> Path:
    """The lock that belongs to a recipe: dogs.lock.toml to dogs.toml."""
    return recipe.with_suffix(".lock.toml")


def drift(selection: Selection, lock: Lock) -> str:
    """What a recipe chooses here otherwise than its lock, in a sentence; empty where it chooses the same."""
    now = selection.lock()
    if now.sha256 == lock.sha256:
        return ""
    if now.named != lock.named:
        return "the recipe gives other classes here than the lock has, in another order, or by other names"
    return f"the recipe chooses {now.n_images:,} images here, not the {lock.n_images:,} of the lock"
