"""The command export: write a selection for a training loader."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

import imagenet_tools
from imagenet_tools import formats
from imagenet_tools.cli import DONE, FAILED, PROBLEMS, options
from imagenet_tools.cli.printing import note, print_json, print_steps, print_table, steps_json
from imagenet_tools.errors import UsageError
from imagenet_tools.progress import ProgressBar
from imagenet_tools.selection.steps import REASONS
from imagenet_tools.selection.words import EXPORT
from imagenet_tools.storage.buckets import on_disk, path_of, url_of
from imagenet_tools.storage.executors import ray_cluster
from imagenet_tools.text import count_of, did_you_mean

if TYPE_CHECKING:
    from imagenet_tools.exports.plan import Plan, Result
    from imagenet_tools.selection.words import Word


class Target(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.4
    """A target, or several with ',' between them."""

    name = "target"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the text, if it names targets."""
        formats.parse_targets(value)
        return str(value)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Return the targets that complete a text, after its last ','."""
        before, comma, begun = incomplete.rpartition(",")
        return [
            CompletionItem(before + comma + name, help=sentence)
            for name, sentence in formats.targets().items()
            if name.startswith(begun)
        ]


class ExportCommand(options.Command):
    """The command, with the targets in its help."""

    last_heading = "Run"

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the targets before the examples."""
        with formatter.section("Targets"):
            formatter.write_dl(list(formats.targets().items()))
        super().format_epilog(ctx, formatter)


@options.make_command("export", cls=ExportCommand)
@click.argument("dest", type=options.PATH)
@click.option(
    "--to",
    required=True,
    type=Target(),
    metavar="TARGET",
    cls=options.HeadedOption,
    heading=options.WRITE,
    help="The target, or several with ',' between them.",
)
@options.selection_options
@options.recipe_option
@options.word_options(EXPORT, options.WRITE)
@click.option("--dry-run", is_flag=True, help="Report what would be written and left out, and write nothing.")
@click.option("--strict", is_flag=True, help="Exit with 1 if images cannot be decoded.")
@options.workers_option
@options.shard_option
@options.ray_option
@options.root_option
def command(
    dest: Path,
    to: str,
    recipe: Path | None,
    dry_run: bool,
    strict: bool,
    workers: int | None,
    shard: str | None,
    ray: str | None,
) -> int:
    """Export a selection to DEST for a training loader.

    DEST is a folder or a URL of a bucket. It must not exist, and is complete when it appears; in a bucket, when its
    manifest.json does. The default split is the official one; a new split draws from the official train split only,
    unless --from names others.

    Examples:
        imagenet-tools export dogs --to image_folder --under dog --link hard
        imagenet-tools export dogs-yolo --to yolo --under dog --without toy_dog --per-class train=300,val=50
        imagenet-tools export dogs-shards --to webdataset,hf_parquet --under dog --shuffle block --side-files
        imagenet-tools export dogs-again --to yolo --recipe dogs-yolo/lock.toml
        imagenet-tools export big --to yolo_classify --where "least(width, height) >= 256" --dry-run
        imagenet-tools export big-shards --to webdataset --shard 0/3    # and 1/3, 2/3 elsewhere; then: merge
        imagenet-tools export small --to image_folder,yolo --resize 256 --crop center --repair cmyk,png,exif

    Exit code 3: some images cannot be decoded; manifest.json names them. With --strict it is 1.
    """
    dest = path_of(dest)
    index = options.open_index()
    selection = options.choose(index, recipe)
    keywords = {**_recipe_options(recipe, to), **options.chosen_words(EXPORT)}
    if dry_run:
        return _print_plan(imagenet_tools.plan_export(selection, to=to, **keywords), dest)
    common = {"to": to, "workers": workers, "progress": ProgressBar(), **keywords}
    with ray_cluster(ray) as executor:
        if shard is not None:
            done = imagenet_tools.export_shard(selection, dest, shard, executor=executor, **common)
            return _print_shard(dest, shard, *done)
        return print_result(imagenet_tools.export(selection, dest, executor=executor, **common), dest, strict=strict)


def _print_plan(plan: Plan, dest: Path) -> int:
    """Print what an export would write, and what it would take."""
    from imagenet_tools.exports.estimate import costs, describe, notes_on

    cost = costs(plan.together, on_disk(dest))
    plan = replace(plan, hazards=(*plan.hazards, *notes_on(plan.together, cost)))
    if options.as_json():
        content = _as_json({each.target: describe(each) for each in plan.together})
        steps = {each.target: steps_json(each.selection) for each in plan.together}
        print_json({"dest": url_of(dest), "written": False, **content, "costs": cost, "steps": steps})
        return DONE
    for each in plan.together:
        _print_export(each, None, dest)
    _print_hazards(plan.together)
    _print_costs(cost)
    return DONE


def _print_shard(dest: Path, shard: str, n_images: int, n_all: int) -> int:
    text = f"{url_of(dest)}, shard {shard}: {n_images:,} of {count_of(n_all, 'image')}"
    options.show_result(text, {"dest": url_of(dest), "shard": shard, "images": n_images, "images_of_all": n_all})
    if not options.as_json():
        note(f"when all shards are done: imagenet-tools merge {shlex.quote(url_of(dest))}")
    return DONE


def print_result(result: Result, dest: Path, *, strict: bool = False) -> int:
    """Print what an export holds, and return the exit code."""
    from imagenet_tools.exports.estimate import describe

    if options.as_json():
        content = _as_json({each.target: describe(each.plan, each) for each in result.together})
        print_json({"dest": url_of(dest), "written": True, **content})
    else:
        for each in result.together:
            _print_export(each.plan, each, dest)
        _print_hazards(result.together)
    if any(each.undecodable for each in result.together):
        return FAILED if strict else PROBLEMS
    return DONE


def _as_json(targets: dict[str, dict[str, object]]) -> dict[str, object]:
    """Return what describes one target, or several by their names."""
    return next(iter(targets.values())) if len(targets) == 1 else {"targets": targets}


def _recipe_options(recipe: Path | None, to: str) -> dict[str, Any]:
    """Return the export options of a recipe, or of the recipe in a lock, by keyword. Files are relative to it.

    Raise UsageError if they differ between several targets, because one pass writes all targets with the same options,
    or if it has options of a target that does not exist.
    """
    from imagenet_tools.selection import lock
    from imagenet_tools.selection import recipe as recipes

    if recipe is None:
        return {}
    if lock.is_lock(recipe):
        sections = recipes.options(recipe, lock.read(recipe).recipe.get("export", {}))
    else:
        sections = recipes.read(recipe).export
    if unknown := sorted(sections.keys() - formats.targets()):
        meant = did_you_mean(unknown[0], formats.targets())
        raise UsageError(f"{recipe}, [export.{unknown[0]}]: found no such target. {meant}See `export --help` for all.")
    first, *others = targets = [target.strip() for target in to.split(",")]
    if any(sections.get(target, {}) != sections.get(first, {}) for target in others):
        found = " and ".join(f"[export.{target}] {sections.get(target, {})}" for target in targets)
        raise UsageError(
            f"{recipe}: found {found}; expected the same options for all targets of one export. Export them one by one."
        )
    keywords = sections.get(first, {})
    return keywords | {
        word.keyword: str(recipe.parent / keywords[word.keyword])
        for word in EXPORT
        if _names_file(word, keywords.get(word.keyword), recipe.parent)
    }


def _names_file(word: Word, value: object, folder: Path) -> bool:
    """Return True if the value of an option is a file in a folder, and none of the option's own words."""
    words = word.metavar.split("|")
    return "FILE" in words and isinstance(value, str) and value not in words and (folder / value).is_file()


def _print_export(plan: Plan, result: Result | None, dest: Path) -> None:
    """Print a target's counts: what it would hold, or with a result what it holds."""
    from imagenet_tools.exports.boxes import REASONS as BOX_REASONS
    from imagenet_tools.exports.plan import SPLIT_HEAD

    counts = result or plan
    images, classes = count_of(counts.images(), "image"), count_of(len(plan.classes), "class")
    boxes = f", {count_of(counts.boxes(), 'box')}" if plan.writes.boxes else ""
    size = f"{'about ' if plan.options.resize else ''}{count_of(counts.bytes(), 'byte')}"
    verb, place = ("holds", result.path) if result else ("would hold", dest)
    click.echo(f"{url_of(place)}: {verb} {images} of {classes}{boxes}, {size}, as {plan.target}")
    print_table(SPLIT_HEAD, counts.split_rows())
    if result is None:
        click.echo()
        print_steps(plan.selection, notes=False)  # the hazards hold the notes
    elif result.left_out:
        _print_reasons(("step", "images left out", "why"), result.left_out, REASONS)
    if plan.boxes_left_out:
        _print_reasons(("reason", "boxes left out", "why"), plan.boxes_left_out, BOX_REASONS)


def _print_hazards(targets: Sequence[Plan | Result]) -> None:
    """Print what may go wrong with some targets to stderr, each sentence once."""
    for hazard in dict.fromkeys(hazard for each in targets for hazard in each.hazards):
        note(f"note: {hazard}")


def _print_reasons(head: tuple[str, ...], counts: Mapping[str, int], reasons: Mapping[str, str]) -> None:
    click.echo()
    print_table(head, [(code, n, reasons[code]) for code, n in counts.items()])


def _print_costs(cost: dict[str, Any]) -> None:
    ways = ", ".join(f"{way} {'possible' if works else 'not possible'}" for way, works in cost["links"].items())
    shards = f", {count_of(cost['shards'], 'shard')}" if cost["shards"] else ""
    click.echo(
        f"\nIt would take {count_of(cost['inodes'], 'inode')}{shards}; {cost['free_bytes']:,} bytes are free there. "
        f"Images that are files: {cost['images_that_are_files']:,}{f' ({ways})' if ways else ''}."
    )
