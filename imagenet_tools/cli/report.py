"""The command report: write one HTML page about an index or an export."""

from __future__ import annotations

from pathlib import Path

import click

from imagenet_tools.cli import options
from imagenet_tools.errors import UsageError


@options.make_command("report")
@click.argument("path", required=False, type=options.PATH, metavar="INDEX|EXPORT")
@click.option("-o", "--output", type=options.PATH, required=True, help="The page, which must not exist.")
@options.root_option
def command(path: Path | None, output: Path) -> None:
    """Write one HTML page about an index or an export.

    The page has the counts by split and class, charts of classes, sizes and boxes, the problems, and twenty images.
    INDEX is -i, or the default index, if it is not named.

    Examples:
        imagenet-tools report imagenet.index -o report.html
        imagenet-tools report dogs-yolo -o dogs.html
    """
    from imagenet_tools.exports import report
    from imagenet_tools.storage.buckets import is_remote, path_of
    from imagenet_tools.storage.files import refuse_taken, write_whole
    from imagenet_tools.store.layout import MANIFEST, is_index

    refuse_taken(str(output))
    path = path and path_of(path)
    if path is None or is_remote(path) or is_index(path):
        data = report.index_page(options.open_index(path))
    elif (path / MANIFEST).is_file():
        data = report.export_page(path)
    else:
        raise UsageError(f"{path}: found neither an index nor an export. Expected the folder of one.")
    write_whole(output, data)
    options.show_result(str(output), {"path": str(output), "bytes": len(data)})
