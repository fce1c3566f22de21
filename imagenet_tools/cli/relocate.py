"""The command relocate: record in an index where its sources are now."""

from __future__ import annotations

import click

import imagenet_tools
from imagenet_tools.cli import options


@options.make_command("relocate")
@click.argument("pairs", nargs=-1, required=True, metavar="NAME=PATH...")
def command(pairs: tuple[str, ...]) -> None:
    """Record new locations of sources in an index.

    NAME is the name of a source in `info`. PATH is the source, or the folder it is in. Sizes must be those that were
    indexed. The new file times are recorded and compared from then on; images, boxes and labels do not change.

    Examples:
        imagenet-tools relocate ILSVRC2012_img_train.tar=/mnt/disk2/imagenet
        imagenet-tools -i lab.index relocate train=/scratch/train val.tar=/scratch/val.tar

    For a single command, use its option --root NAME=PATH, or set
    $IMAGENET_ROOTS.
    """
    from imagenet_tools.store.sources import parse_roots

    roots = imagenet_tools.relocate(parse_roots(pairs), options.index_path())
    options.show_result("\n".join(f"{name}: {root}" for name, root in roots.items()), roots)
