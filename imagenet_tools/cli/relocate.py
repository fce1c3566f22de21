"""The command relocate: record in an index where its sources are now."""

from __future__ import annotations

from pathlib import Path

import click

import imagenet_tools
from imagenet_tools.cli import DONE
from imagenet_tools.cli.options import output_options
from imagenet_tools.cli.printing import print_json, printable

_EPILOG = """\b
Examples:
  imagenet-tools relocate ILSVRC2012_img_train.tar=/mnt/disk2/imagenet
  imagenet-tools -i lab.index relocate train=/scratch/train val.tar=/scratch/val.tar

For a single command, use its option --root NAME=PATH, or set $IMAGENET_ROOTS.
"""


@click.command("relocate", epilog=_EPILOG)
@click.argument("pairs", nargs=-1, required=True, metavar="NAME=PATH...")
@output_options
def command(pairs: tuple[str, ...], as_json: bool, index_path: Path | None) -> int:
    """Record new locations of sources in an index.

    NAME is the name of a source in `info`. PATH is the source, or the folder it is in. Sizes must be those that were
    indexed. The new file times are recorded and compared from then on; images, boxes and labels do not change.
    """
    from imagenet_tools.store.sources import parse_roots

    roots = imagenet_tools.relocate(parse_roots(pairs), index_path)
    if as_json:
        print_json({name: str(root) for name, root in roots.items()})
    else:
        click.echo(printable("\n".join(f"{name}: {root}" for name, root in roots.items())))
    return DONE
