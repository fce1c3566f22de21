"""The command plot: draw charts of an index or a selection, as SVG or PNG."""

from __future__ import annotations

from pathlib import Path

import click

from imagenet_tools.cli import options
from imagenet_tools.cli.printing import print_json, print_notes, print_text
from imagenet_tools.text import printable

_KINDS = ("tree", "classes", "sizes", "aspect", "boxes", "splits", "problems")


@options.make_command("plot")
@click.argument("kind", type=click.Choice(_KINDS), metavar="KIND")
@click.option("--by", metavar="COLUMN", default="images", help="The areas of a tree: images, boxes, or a column.")
@options.output_file_option
@options.selection_options
@options.recipe_option
def command(kind: str, by: str, recipe: Path | None, output: Path | None) -> None:
    """Draw a chart of the images, all or the chosen ones.

    The chart is written to the file of -o, .svg or .png; without it, the SVG is printed.

    Examples:
        imagenet-tools plot tree --under dog -o dogs.svg
        imagenet-tools plot tree --by length -o bytes.png
        imagenet-tools plot sizes --from val -o sizes.svg

    KIND:
        tree      a treemap of the classes; names where they fit, and small classes joined
        classes   images a class
        sizes     the shorter side in pixels
        aspect    width over height, as shown
        boxes     the share of the image that a box covers
        splits    images of each split
        problems  problems by code
    """
    selection = options.choose(options.open_index(), recipe)
    chart = selection.plot(kind, by=by)
    print_notes(selection)
    if output is not None:
        chart.save(output)
    if options.as_json():
        shown = {"svg": chart.svg()} if output is None else {"path": str(output)}
        print_json({"title": chart.title, "about": chart.about, **shown})
    else:
        print_text(chart.svg() if output is None else printable(str(output)))
