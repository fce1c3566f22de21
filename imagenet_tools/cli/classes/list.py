"""classes list: the published class lists and image lists, and what is left out."""

from __future__ import annotations

from pathlib import Path

import click

from imagenet_tools.cli import DONE
from imagenet_tools.cli.classes.printing import OUTPUT, class_facts, give, give_json, image_facts
from imagenet_tools.cli.common import note, output_options, table, width_of_terminal


@click.command("list", epilog="\b\nExamples:\n  imagenet-tools classes list\n  imagenet-tools classes list --images")
@click.option("--parts", is_flag=True, help="Also the parts of splits, such as breeds-living17/rand-source.")
@click.option("--images", is_flag=True, help="The lists of images instead, such as simclr-1pct.")
@OUTPUT
@output_options
def command(parts: bool, images: bool, output: Path | None, as_json: bool, index_path: Path | None) -> int:
    """List the published class lists, or image lists."""
    if images:
        return _list_images(output, as_json)
    from imagenet_tools.catalogue import lists

    found = [lists.get(name) for name in lists.names(parts=parts)]
    if as_json:
        give_json([class_facts(one) for one in found], output)
        return DONE
    rows = [(one.name, len(one), len(set(one.wnids)), one.base, one.title) for one in found]
    give(table(("name", "classes", "synsets", "from", "what it is"), rows, width=width_of_terminal()), output)
    for name, why in lists.LEFT_OUT.items():
        note(f"left out: {name}: {why}")
    return DONE


def _list_images(output: Path | None, as_json: bool) -> int:
    from imagenet_tools.catalogue import image_lists

    found = [image_lists.get(name) for name in image_lists.names()]
    if as_json:
        give_json([image_facts(one) for one in found], output)
        return DONE
    rows = [(one.name, len(one), one.dataset, one.title) for one in found]
    give(table(("name", "images", "dataset", "what it is"), rows, width=width_of_terminal()), output)
    for name, why in image_lists.LEFT_OUT.items():
        note(f"left out: {name}: {why}")
    return DONE
