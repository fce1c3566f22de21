"""The command merge: make the index or the export whose shards were worked on."""

from __future__ import annotations

from pathlib import Path

import click

import imagenet_tools
from imagenet_tools.cli import export, options
from imagenet_tools.cli.build_index import print_report
from imagenet_tools.progress import ProgressBar
from imagenet_tools.storage.executors import ray_cluster


@options.make_command("merge", asks_index=False)
@click.argument("target", type=options.PATH)
@options.workers_option
@options.ray_option
@click.option("--strict", is_flag=True, help="Exit with 1 if there are problems.")
def command(target: Path, workers: int | None, ray: str | None, strict: bool) -> int:
    """Make the index or the export TARGET of its shards.

    What no shard has finished is done first, so it may also be used after a shard was lost.

    Examples:
        imagenet-tools merge all.index      # after: build-index fall11_whole.tar -o all.index --shard 0/2, and 1/2
        imagenet-tools merge shards         # after: export shards --to webdataset --shard 0/2, and 1/2
    """
    from imagenet_tools.build.build import Report

    with ray_cluster(ray) as executor:
        merged = imagenet_tools.merge(target, workers=workers, executor=executor, progress=ProgressBar())
    if isinstance(merged, Report):
        return print_report(merged, strict=strict)
    return export.print_result(merged, target, strict=strict)
