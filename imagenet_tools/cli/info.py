"""info: what an index holds, by data set and split, against the published counts."""

from __future__ import annotations

from pathlib import Path

import click

from imagenet_tools import summary
from imagenet_tools.cli.common import open_index, output_options, print_json, root_option, table

_EPILOG = """\b
Examples:
  imagenet-tools info
  imagenet-tools -i lab.index info --json
"""


@click.command("info", epilog=_EPILOG)
@root_option
@output_options
def command(roots: tuple[str, ...], as_json: bool, index_path: Path | None) -> int:
    """Show what an index holds: images, classes and boxes by data set and split, sources, problems."""
    index = open_index(index_path, roots)
    found = summary.summarise(index)
    if as_json:
        print_json(found._asdict())
        return 0
    click.echo(f"{index.path}")
    head = ("data set", "split", "images", "published", "classes", "with boxes", "boxes", "bytes")
    click.echo(table(head, [tuple(row.values()) for row in found.splits]))
    click.echo()
    about = ("source", "root", "forms", "images", "boxes", "labels", "problems")
    click.echo(table(about, [tuple(row.values()) for row in found.sources]))
    for title, rows in (("problem", found.problems), ("box repair or note", found.box_flags)):
        if rows:
            click.echo()
            click.echo(table((title, "count", "meaning"), [tuple(row.values()) for row in rows]))
    if found.copies:
        click.echo(f"\n{found.copies:,} images lie in a second place too")
    for reason, n in found.unused_boxes.items():
        click.echo(f"\n{n:,} boxes are kept aside: {reason}")
    return 0
