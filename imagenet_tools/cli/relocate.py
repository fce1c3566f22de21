"""relocate: say in an index where its sources lie now."""

from __future__ import annotations

from pathlib import Path

import click

import imagenet_tools
from imagenet_tools.cli.common import output_options, print_json, printable

_EPILOG = """\b
Examples:
  imagenet-tools relocate ILSVRC2012_img_train.tar=/mnt/disk2/imagenet
  imagenet-tools -i lab.index relocate train=/scratch/train val.tar=/scratch/val.tar

For one command, say --root NAME=PATH there, or set $IMAGENET_ROOTS.
"""


@click.command("relocate", epilog=_EPILOG)
@click.argument("pairs", nargs=-1, required=True, metavar="NAME=PATH...")
@output_options
def command(pairs: tuple[str, ...], as_json: bool, index_path: Path | None) -> int:
    """Write into an index where its sources lie now, by their names as `info` lists them.

    PATH is the folder that a source lies in, or the source itself. Images, boxes and labels stay as they are. Sizes
    must be those that were indexed; the times of the files there are recorded, and compared from then on.
    """
    from imagenet_tools.store.sources import parse_roots

    moved = imagenet_tools.relocate(parse_roots(pairs), index_path)
    if as_json:
        print_json({name: str(root) for name, root in moved.items()})
    else:
        click.echo(printable("\n".join(f"{name}: {root}" for name, root in moved.items())))
    return 0
