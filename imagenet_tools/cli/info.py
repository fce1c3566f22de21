"""info: what an index holds, by data set and split, against the published counts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from imagenet_tools.cli.chosen import choose, print_steps, recipe_option, steps_json
from imagenet_tools.cli.common import (
    choose_options,
    counted,
    open_index,
    output_options,
    print_json,
    printable,
    root_option,
    said,
    table,
    width_of_terminal,
)

if TYPE_CHECKING:
    from imagenet_tools.selection.selection import Selection

_EPILOG = """\b
Examples:
  imagenet-tools info
  imagenet-tools -i lab.index info --json
  imagenet-tools info --under dog --split val=50/class
"""


@click.command("info", epilog=_EPILOG)
@choose_options
@recipe_option
@root_option
@output_options
def command(
    recipe: Path | None,
    roots: tuple[str, ...],
    as_json: bool,
    index_path: Path | None,
    **words: Any,  # one each of words.py
) -> int:
    """Show what an index holds: images, boxes, sources, problems.

    Images, classes and boxes are counted by data set and official split, beside the published counts. Where images
    are chosen, those alone are counted, by the split they fall in, with what every step left.
    """
    from imagenet_tools.store import summary

    index = open_index(index_path, roots)
    if said(words) or recipe:
        _show_chosen(choose(index, words, recipe), as_json)
        return 0
    found = summary.summarise(index)
    if as_json:
        print_json(found._asdict())
        return 0
    width = width_of_terminal()
    click.echo(printable(str(index.path)))
    head = ("data set", "split", "images", "published", "classes", "with boxes", "boxes", "bytes")
    click.echo(table(head, [tuple(row.values()) for row in found.splits], width=width))
    if found.boxes:
        click.echo()
        counts = ("data set", "split", "annotations", "published", "boxes", "without image", "published", "note")
        click.echo(table(counts, [tuple(row.values()) for row in found.boxes], width=width))
    click.echo()
    about = ("source", "root", "forms", "images", "boxes", "labels", "problems")
    click.echo(table(about, [tuple(row.values()) for row in found.sources], width=width))
    for title, meaning, rows in (
        ("problem", "example", found.problems),
        ("box repair or note", "meaning", found.box_flags),
    ):
        if rows:
            click.echo()
            click.echo(table((title, "count", meaning), [tuple(row.values()) for row in rows], width=width))
    if found.photos < found.labelled:
        shared = f"{counted(found.photos, 'photograph')}: those that several data sets have count once"
        click.echo(f"\n{counted(found.labelled, 'labelled image')} of {shared}")
    if found.copies:
        others = f", {found.other_bytes:,} of them with other bytes (column other_bytes)" if found.other_bytes else ""
        click.echo(f"\n{counted(found.copies, 'image')} also in a second place (table copies){others}")
    for reason, n in found.unused_boxes.items():
        click.echo(f"\n{counted(n, 'box')} kept aside (table unused_boxes): {reason}")
    return 0


def _show_chosen(selection: Selection, as_json: bool) -> None:
    columns = ("dataset", "official split", "split", "images", "classes", "with boxes", "boxes", "bytes")
    rows = selection.run(
        """SELECT dataset, official_split, split, count(*), count(DISTINCT wnid), count(*) FILTER (n_boxes > 0),
                  sum(n_boxes)::BIGINT, sum(length)::BIGINT
           FROM made WHERE left_out IS NULL GROUP BY ALL ORDER BY ALL"""
    ).fetchall()
    if as_json:
        counts = [dict(zip(columns, row, strict=True)) for row in rows]
        print_json({"steps": steps_json(selection), "chosen": counts, "notes": list(selection.notes())})
        return
    print_steps(selection)
    click.echo()
    click.echo(table(columns, rows, width=width_of_terminal()))
