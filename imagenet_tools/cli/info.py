"""The command info: count what an index holds, and compare with the published counts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from imagenet_tools.cli import options
from imagenet_tools.cli.printing import print_json, print_steps, print_table, steps_json
from imagenet_tools.storage.buckets import url_of
from imagenet_tools.text import printable

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
        click.echo(printable(url_of(index.path)))
        _print_summary(content)


def _print_summary(content: Summary) -> None:
    for n, (head, rows) in enumerate(content.tables()):
        if n:
            click.echo()
        print_table(head, rows)
    for text in content.notes():
        click.echo(f"\n{text}")


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
