"""subset: a selection as a recipe in a file, written or run, and its lock."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from imagenet_tools.cli import PROBLEMS
from imagenet_tools.cli.chosen import (
    drift,
    findings,
    lock_path,
    print_counts,
    print_findings,
    print_steps,
    refuse_words,
    steps_json,
)
from imagenet_tools.cli.common import (
    choose_options,
    note,
    open_index,
    output_options,
    print_json,
    root_option,
    said,
    select,
)
from imagenet_tools.errors import ExistsError, UsageError

if TYPE_CHECKING:
    from imagenet_tools.index import Index
    from imagenet_tools.selection.lock import Lock
    from imagenet_tools.selection.selection import Selection

_EPILOG = """\b
Examples:
  imagenet-tools subset dogs.toml --under dog --without toy_dog --per-class train=300,val=50     # write it
  imagenet-tools subset dogs.toml --lock               # run it, and pin its images in dogs.lock.toml
  imagenet-tools subset dogs.toml --check              # are they all here?
"""


@click.command("subset", epilog=_EPILOG)
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE.toml")
@choose_options
@click.option("--lock", "pin", is_flag=True, help="Pin the images in FILE.lock.toml, and their ids beside it.")
@click.option("--check", is_flag=True, help="Say what FILE.lock.toml names and this index does not have.")
@click.option("--dry-run", is_flag=True, help="Say what would be chosen, and write nothing.")
@root_option
@output_options
def command(
    file: Path,
    pin: bool,
    check: bool,
    dry_run: bool,
    roots: tuple[str, ...],
    as_json: bool,
    index_path: Path | None,
    **words: Any,  # one each of words.py
) -> int:
    """Write a selection as a recipe, or run the recipe that FILE is.

    Where FILE exists it is run, and says how many images are left after every step. --lock writes down exactly which
    they are: the lock gives the same subset from any form of the same images. --check exits with 3 where some are
    missing.
    """
    index = open_index(index_path, roots)
    there = file.exists()
    if check and not there:
        raise UsageError(f"{file}: no such recipe; --check looks for the images of its lock.")
    if pin and not there and not said(words):
        raise UsageError(
            f"{file}: no such recipe, and nothing is chosen beside it. Expected the recipe to lock, or words that make "
            "it; --under entity.n.01 chooses every class."
        )
    chosen = _chosen(index, file, words) if there else select(index, words)
    chosen.counts()  # a word that this index refuses is no recipe to write
    if not there and not dry_run:
        chosen.save(file)
        note(f"{file}: written")
    locked = _lock(chosen, file, dry_run) if pin else None
    found = _checked(index, chosen, file) if check else {}
    if as_json:
        about: dict[str, object] = {"recipe": str(file), "written": not there and not dry_run}
        about |= {"steps": steps_json(chosen), "counts": chosen.counts(), "notes": list(chosen.notes())}
        print_json(about | ({"sha256": locked.sha256} if locked else {}) | ({"check": found} if check else {}))
    else:
        print_steps(chosen)
        click.echo()
        print_counts(chosen)
        if check:
            print_findings(found)
            if found["drift"]:
                click.echo(f"{found['lock']}: {found['drift']}")
    return PROBLEMS if found.get("missing") or found.get("relabelled") or found.get("drift") else 0


def _chosen(index: Index, file: Path, words: dict[str, Any]) -> Selection:
    from imagenet_tools.selection import lock
    from imagenet_tools.selection.choosing import by_recipe

    refuse_words(words, f"{file}, which exists")
    if lock.is_lock(file):
        raise UsageError(f"{file} is a lock: see `check {file}` and `export --recipe {file}`.")
    return by_recipe(index, file)


def _lock(chosen: Selection, file: Path, dry_run: bool) -> Lock:
    """Lock it; a lock that is there already must be of the same images."""
    from imagenet_tools.selection import lock

    path = lock_path(file)
    if not path.exists():
        made = chosen.lock(None if dry_run else path, name=file.stem)
        note(f"{path}: {'would be written' if dry_run else 'written'}, {made.n_images:,} images, {made.sha256[:12]}...")
        return made
    was = lock.read(path)
    if differs := drift(chosen, was):
        raise ExistsError(
            f"{path} exists and does not pin this: {differs}. See what differs with "
            f"`subset {file} --check`; remove it and its .parquet to lock anew."
        )
    note(f"{path}: it pins these very images")
    return was


def _checked(index: Index, chosen: Selection, file: Path) -> dict[str, object]:
    from imagenet_tools.selection import lock

    path = lock_path(file)
    if not path.exists():
        raise UsageError(f"{path}: no such lock; `subset {file} --lock` makes it.")
    return findings(index, path) | {"drift": drift(chosen, lock.read(path))}
