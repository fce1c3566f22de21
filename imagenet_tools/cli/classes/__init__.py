"""classes: the published lists, what a list of one's own is, maps between them, cuts of the graph; needs no data."""

from __future__ import annotations

from pathlib import Path

import click

from imagenet_tools.cli import Commands

_EPILOG = """\b
Examples:
  imagenet-tools classes list
  imagenet-tools classes show coco80
  imagenet-tools classes show imagenet100-cmc -o classes.txt
  imagenet-tools classes identify predictions.csv
  imagenet-tools classes map imagenet21k-goog ilsvrc2012 -o map.csv
  imagenet-tools classes cut --k 20 --balanced -o twenty.toml

\b
A LIST is a published name, a file with a class a line, or a,b,c.
"""


@click.group("classes", cls=Commands, folder=Path(__file__).parent, epilog=_EPILOG)
def command() -> None:
    """Show published class lists, tell what a list is, map one to another, join classes to superclasses."""
