"""The command info: count what an index holds, and compare with the published counts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from imagenet_tools.cli import options
from imagenet_tools.cli.printing import counted, print_json, print_steps, print_table, printable, steps_json

if TYPE_CHECKING:
    from imagenet_tools.selection.selection import Selection
    from imagenet_tools.store.summary import Summary


@options.make_command("info")
@options.selection_options
@options.recipe_option
@options.root_option
def command(recipe: Path | None) -> None:
    """Count the images, boxes, sources and problems of an index.

    Counts are by data set and official split, beside the published counts. With flags that choose images, only the
    chosen images are counted, by their new split, with the effect of each step.

    Examples:
        imagenet-tools info
        imagenet-tools -i lab.index info --json
        imagenet-tools info --under dog --split val=50/class
    """
    from imagenet_tools.store import summary

    index = options.open_index()
    if options.chosen_words() or recipe:
        _print_selection(options.choose(index, recipe))
        return
    content = summary.summarise(index)
    if options.as_json():
        print_json(content)
    else:
        click.echo(printable(str(index.path)))
        _print_summary(content)


def _print_summary(content: Summary) -> None:
    split_head = ("data set", "split", "images", "published", "classes", "with boxes", "boxes", "bytes")
    print_table(split_head, [tuple(row.values()) for row in content.splits])
    box_head = ("data set", "split", "annotations", "published", "boxes", "without image", "published", "note")
    others: tuple[tuple[tuple[str, ...], list[dict[str, object]]], ...] = (
        (box_head, content.boxes),
        (("source", "root", "forms", "images", "boxes", "labels", "problems"), content.sources),
        (("problem", "count", "example"), content.problems),
        (("box repair or note", "count", "meaning"), content.box_flags),
    )
    for head, rows in others:
        if rows:
            click.echo()
            print_table(head, [tuple(row.values()) for row in rows])
    if content.photos < content.labelled:
        photos = f"{counted(content.photos, 'photograph')}: a photograph in several data sets is counted once"
        click.echo(f"\n{counted(content.labelled, 'labelled image')} of {photos}")
    if content.copies:
        text = f"\n{counted(content.copies, 'image')} also in a second place (table copies)"
        if content.other_bytes:
            text += f", {content.other_bytes:,} of them with other bytes (column other_bytes)"
        click.echo(text)
    for reason, n in content.unused_boxes.items():
        click.echo(f"\n{counted(n, 'box')} in the table unused_boxes: {reason}")


def _print_selection(selection: Selection) -> None:
    columns = ("dataset", "official split", "split", "images", "classes", "with boxes", "boxes", "bytes")
    rows = selection.run(
        """SELECT dataset, official_split, split, count(*), count(DISTINCT wnid), count(*) FILTER (n_boxes > 0),
                  sum(n_boxes)::BIGINT, sum(length)::BIGINT
           FROM made WHERE left_out IS NULL GROUP BY ALL ORDER BY ALL"""
    ).fetchall()
    if options.as_json():
        counts = [dict(zip(columns, row, strict=True)) for row in rows]
        print_json({"steps": steps_json(selection), "chosen": counts, "notes": list(selection.notes())})
        return
    print_steps(selection)
    click.echo()
    print_table(columns, rows)
