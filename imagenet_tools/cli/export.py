"""export: a selection, written for a training loader."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import imagenet_tools
from imagenet_tools.cli.common import (
    choose_options,
    export_options,
    open_index,
    output_options,
    print_json,
    root_option,
    select,
    table,
)
from imagenet_tools.cli.progress import Progress
from imagenet_tools.selection.steps import REASONS
from imagenet_tools.selection.words import EXPORT

if TYPE_CHECKING:
    from imagenet_tools.exports.plan import Plan

_EPILOG = """\b
Examples:
  imagenet-tools export dogs --to image_folder --under dog --link hard
  imagenet-tools export dogs-yolo --to yolo --under dog --without toy_dog --per-class train=300,val=50
  imagenet-tools export big --to yolo_classify --where "least(width, height) >= 256" --dry-run
"""


@click.command("export", epilog=_EPILOG)
@click.argument("dest", type=click.Path(path_type=Path))
@click.option("--to", required=True, metavar="TARGET", help="image_folder, yolo or yolo_classify.")
@choose_options
@export_options
@click.option("--dry-run", is_flag=True, help="Say what would be written and what is left out, and write nothing.")
@click.option("--workers", type=click.IntRange(1), metavar="N", help="Threads that write; default: one a core.")
@root_option
@output_options
def command(
    dest: Path,
    to: str,
    dry_run: bool,
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
    chosen = select(index, words)
    said = {word.keyword: words[word.keyword] for word in EXPORT if words[word.keyword] is not None}
    if dry_run:
        plan = imagenet_tools.plan_export(chosen, to=to, **said)
    else:
        plan = imagenet_tools.export(chosen, dest, to=to, workers=workers, progress=Progress(), **said)
    if as_json:
        from imagenet_tools.exports.plan import describe

        print_json({"dest": str(dest), "written": not dry_run, **describe(plan)})
        return 0
    _print(plan, dest, dry_run)
    return 0


def _print(plan: Plan, dest: Path, dry_run: bool) -> None:
    click.echo(
        f"{dest}: {'would hold' if dry_run else 'holds'} {plan.images():,} images of {len(plan.classes):,} classes"
        f"{f', {plan.boxes():,} boxes' if plan.writer.DETECTION else ''}, {plan.bytes():,} bytes, as {plan.target}"
    )
    rows = [
        (split, plan.images(split), sum(one.boxes for one in found.values()), len(found))
        for split, found in plan.tallies.items()
    ]
    click.echo(table(("split", "images", "boxes", "classes"), rows))
    if plan.left_out or plan.boxes_left_out:
        left = [("image", reason, n, REASONS[reason]) for reason, n in plan.left_out.items()]
        left += [("box", reason, n, BOX_REASONS[reason]) for reason, n in plan.boxes_left_out.items()]
        click.echo("\nleft out:")
        click.echo(table(("of", "step", "count", "why"), left))
    for hazard in plan.hazards:
        click.echo(f"note: {hazard}", err=True)


BOX_REASONS = {
    "no_area": "nothing of it lies inside the image, or its numbers cannot be used",
    "outside": "it reaches out of the image",
    "other_class": "of a class that is not in the export",
    "same_twice": "the same box of the same image stands twice",
}
