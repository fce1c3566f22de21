"""info: what an index holds, by data set and split, against the published counts."""

from __future__ import annotations

from pathlib import Path

import click

from imagenet_tools.cli.common import (
    counted,
    open_index,
    output_options,
    print_json,
    printable,
    root_option,
    table,
    width_of_terminal,
)

_EPILOG = """\b
Examples:
  imagenet-tools info
  imagenet-tools -i lab.index info --json
"""


@click.command("info", epilog=_EPILOG)
@root_option
@output_options
def command(roots: tuple[str, ...], as_json: bool, index_path: Path | None) -> int:
    """Show what an index holds: images, boxes, sources, problems.

    Images, classes and boxes are counted by data set and official split, beside the published counts.
    """
    from imagenet_tools.index import summary

    index = open_index(index_path, roots)
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
        click.echo(f"\n{counted(found.copies, 'image')} also in a second place (table copies)")
    for reason, n in found.unused_boxes.items():
        click.echo(f"\n{counted(n, 'box')} kept aside (table unused_boxes): {reason}")
    return 0
