"""The command subset: write a selection as a recipe, run a recipe, and lock its images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from imagenet_tools.cli import DONE, PROBLEMS, options
from imagenet_tools.cli.check import lock_findings, print_lock_findings
from imagenet_tools.cli.printing import note, print_json, print_steps, print_table, steps_json
from imagenet_tools.errors import ExistsError, UsageError
from imagenet_tools.text import count_of, first_of

if TYPE_CHECKING:
    from imagenet_tools.selection.lock import Lock
    from imagenet_tools.selection.selection import Selection


@options.make_command("subset")
@click.argument("file", type=options.TOML_FILE, metavar="FILE.toml")
@options.selection_options
@click.option("--lock", "pin", is_flag=True, help="Lock the images in FILE.lock.toml, with their ids beside it.")
@click.option("--check", is_flag=True, help="Report the images of FILE.lock.toml that the index does not have.")
@click.option("--dry-run", is_flag=True, help="Report what would be chosen, and write nothing.")
@options.root_option
def command(file: Path, pin: bool, check: bool, dry_run: bool) -> int:
    """Write a selection as a recipe, or run the recipe in FILE.

    If FILE exists, its recipe runs and the images left after each step are counted. --lock records exactly these
    images: the lock gives the same subset from any form of them. --check exits with 3 if images are missing.

    Examples:
        imagenet-tools subset dogs.toml --under dog --without toy_dog --per-class train=300,val=50     # write the recipe
        imagenet-tools subset dogs.toml --lock               # run it, and lock its images in dogs.lock.toml
        imagenet-tools subset dogs.toml --check              # are all images of the lock in the index?
    """  # noqa: E501
    from imagenet_tools.selection import lock as locks

    index = options.open_index()
    exists = file.exists()
    if check and not exists:
        raise UsageError(f"{file}: no such recipe; --check looks for the images of its lock.")
    if pin and not exists and not options.chosen_words():
        raise UsageError(
            f"{file}: no such recipe, and nothing is chosen by flags. Expected a recipe to lock, or flags that choose "
            "images; --under entity.n.01 chooses every class."
        )
    if exists and locks.is_lock(file):
        raise UsageError(f"{file} is a lock; expected a recipe. Use `check {file}` or `export --recipe {file}`.")
    selection = options.choose(index, file if exists else None)
    counts = selection.counts()  # before the recipe is written: an error in the words must leave no recipe
    if not exists and not dry_run:
        selection.save(file)
        note(f"{file}: written")
    lock_path = file.with_suffix(".lock.toml")
    lock = _lock(selection, file, lock_path, dry_run) if pin else None
    findings: dict[str, object] = {}
    if check:
        if not lock_path.exists():
            raise UsageError(f"{lock_path}: no such lock; `subset {file} --lock` makes it.")
        findings = lock_findings(index, lock_path) | {"drift": _drift(selection, locks.read(lock_path))}
    if options.as_json():
        result: dict[str, object] = {"recipe": str(file), "written": not exists and not dry_run}
        result |= {"steps": steps_json(selection), "counts": counts, "notes": list(selection.notes())}
        result |= ({"sha256": lock.sha256} if lock else {}) | ({"check": findings} if check else {})
        print_json(result)
    else:
        print_steps(selection)
        click.echo()
        _print_counts(selection)
        if check:
            print_lock_findings(findings)
            if findings["drift"]:
                click.echo(f"{findings['lock']}: {findings['drift']}")
    return PROBLEMS if any(findings.get(key) for key in ("missing", "relabelled", "drift")) else DONE


def _lock(selection: Selection, file: Path, path: Path, dry_run: bool) -> Lock:
    """Write the lock of the recipe in a file. A lock that exists must hold the same images."""
    from imagenet_tools.selection import lock

    if not path.exists():
        new = selection.lock(None if dry_run else path, name=file.stem)
        verb = "would be written" if dry_run else "written"
        note(f"{path}: {verb}, {count_of(new.n_images, 'image')}, {new.sha256[:12]}...")
        return new
    existing = lock.read(path)
    if difference := _drift(selection, existing):
        raise ExistsError(
            f"{path} exists and locks other images: {difference}. List the differences with "
            f"`subset {file} --check`; remove the lock and its .parquet to make a new one."
        )
    note(f"{path}: it locks exactly these images")
    return existing


def _drift(selection: Selection, lock: Lock) -> str:
    """Return how a recipe's choice differs from its lock; empty if it does not."""
    now = selection.lock()
    if now.sha256 == lock.sha256:
        return ""
    if now.named != lock.named:
        return "the recipe gives other classes here than the lock has, in another order, or by other names"
    return f"the recipe chooses {count_of(now.n_images, 'image')} here, not the {lock.n_images:,} of the lock"


def _print_counts(selection: Selection) -> None:
    """Print images and classes by split, and a note about classes without images in a split."""
    counts, wnids = selection.counts(), selection.wnids()
    rows = [(split, sum(images.values()), len(images)) for split, images in counts.items()]
    print_table(("split", "images", "classes"), rows)
    for split, images in counts.items():
        empty = [wnid for wnid in wnids if wnid not in images]
        if empty and selection.choice.split.by != "classes":
            n_empty = f"{len(empty):,} of {count_of(len(wnids), 'class')}"
            note(f"note: {split} has no image of {n_empty}: {first_of(empty, 5)}")
