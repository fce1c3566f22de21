"""export: a selection, written for a training loader."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import imagenet_tools
from imagenet_tools.cli import FAILED, PROBLEMS
from imagenet_tools.cli.chosen import choose, print_steps, recipe_option, recipe_options, steps_json
from imagenet_tools.cli.common import (
    choose_options,
    export_options,
    note,
    open_index,
    output_options,
    print_json,
    root_option,
    said,
    table,
)
from imagenet_tools.cli.progress import ProgressBar
from imagenet_tools.selection.steps import REASONS
from imagenet_tools.selection.words import EXPORT

if TYPE_CHECKING:
    from imagenet_tools.exports.plan import Plan

_EPILOG = """\b
Examples:
  imagenet-tools export dogs --to image_folder --under dog --link hard
  imagenet-tools export dogs-yolo --to yolo --under dog --without toy_dog --per-class train=300,val=50
  imagenet-tools export dogs-shards --to webdataset,hf_parquet --under dog --shuffle block --side-files
  imagenet-tools export dogs-again --to yolo --recipe dogs-yolo/lock.toml
  imagenet-tools export big --to yolo_classify --where "least(width, height) >= 256" --dry-run
  imagenet-tools export small --to image_folder,yolo --resize 256 --crop center --repair cmyk,png,exif

\b
Targets: see imagenet_tools.formats; a wrong name lists them. Exit code 3: some images could not be decoded;
manifest.json names them, and with --strict it is 1.
"""


@click.command("export", epilog=_EPILOG)
@click.argument("dest", type=click.Path(path_type=Path))
@click.option(
    "--to", required=True, metavar="TARGET", help="One of the targets, or several with ',' between: see below."
)
@choose_options
@recipe_option
@export_options
@click.option("--dry-run", is_flag=True, help="Say what would be written and what is left out, and write nothing.")
@click.option("--strict", is_flag=True, help="Exit with 1 where images could not be decoded.")
@click.option("--workers", type=click.IntRange(1), metavar="N", help="Processes that write; default: one a core.")
@root_option
@output_options
def command(
    dest: Path,
    to: str,
    recipe: Path | None,
    dry_run: bool,
    strict: bool,
    workers: int | None,
    roots: tuple[str, ...],
    as_json: bool,
    index_path: Path | None,
    **words: Any,  # one each of words.py: the table makes the flags, and hands them on by their own names
) -> int:
    """Export a selection to DEST for a training loader.

    DEST appears whole or not at all, and never over something that exists. The official split is the default; a new
    split draws on the official train alone unless --from says more.
    """
    index = open_index(index_path, roots)
    chosen = choose(index, words, recipe)
    options = {**recipe_options(recipe, to), **said(words, EXPORT)}
    from imagenet_tools.exports.estimate import costs, describe, notes_on

    cost: dict[str, object] = {}
    if dry_run:
        plan = imagenet_tools.plan_export(chosen, to=to, **options)
        cost = costs(plan.together, dest)
        plan.hazards.extend(notes_on(plan.together, cost))
    else:
        plan = imagenet_tools.export(chosen, dest, to=to, workers=workers, progress=ProgressBar(), **options)
    if as_json:
        targets = {one.target: describe(one) for one in plan.together}
        about = describe(plan) if len(targets) == 1 else {"targets": targets}
        if dry_run:
            about |= {"costs": cost, "steps": {one.target: steps_json(one.selection) for one in plan.together}}
        print_json({"dest": str(dest), "written": not dry_run, **about})
    else:
        for one in plan.together:
            _print(one, one.dest or dest, dry_run)
        if dry_run:
            _print_costs(cost)
    if any("undecodable" in one.left_out for one in plan.together):
        return FAILED if strict else PROBLEMS
    return 0


def _print(plan: Plan, dest: Path, dry_run: bool) -> None:
    from imagenet_tools.exports.boxes import REASONS as OF_BOXES

    about = "about " if plan.options.resize else ""
    click.echo(
        f"{dest}: {'would hold' if dry_run else 'holds'} {plan.images():,} images of {len(plan.classes):,} classes"
        f"{f', {plan.boxes():,} boxes' if plan.writes.boxes else ''}, {about}{plan.bytes():,} bytes, as {plan.target}"
    )
    counts = [
        (split, plan.images(split), sum(one.boxes for one in found.values()), len(found))
        for split, found in plan.tallies.items()
    ]
    click.echo(table(("split", "images", "boxes", "classes"), counts))
    if dry_run:
        click.echo()
        print_steps(plan.selection, notes=False)  # which are among the hazards
    elif plan.left_out:
        rows = [(reason, n, REASONS[reason]) for reason, n in plan.left_out.items()]
        click.echo()
        click.echo(table(("step", "images left out", "why"), rows))
    if plan.boxes_left_out:
        rows = [(reason, n, OF_BOXES[reason]) for reason, n in plan.boxes_left_out.items()]
        click.echo()
        click.echo(table(("reason", "boxes left out", "why"), rows))
    for hazard in plan.hazards:
        note(f"note: {hazard}")


def _print_costs(cost: dict[str, Any]) -> None:
    ways = cost["links"]
    can = ", ".join(f"{way} {'possible' if works else 'not possible'}" for way, works in ways.items())
    shards = f", {cost['shards']:,} shards" if cost["shards"] else ""
    click.echo(
        f"\nIt would take {cost['inodes']:,} inodes{shards}; {cost['free_bytes']:,} bytes are free there. "
        f"{cost['images_that_are_files']:,} images are files of their own{f': {can}' if can else ''}."
    )
