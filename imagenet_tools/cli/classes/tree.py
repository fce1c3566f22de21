"""classes tree: an exclusive tree made of the graph into a file; needs no data."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import click

from imagenet_tools.cli import DONE
from imagenet_tools.cli.classes.printing import CLASSES, KINDS_ONLY, OUTPUT, UNDER, resolved
from imagenet_tools.cli.common import counted, note, output_options, print_json

_EPILOG = """\b
Examples:
  imagenet-tools classes tree --rule min-depth -o tree.toml
  imagenet-tools tree --exclusive tree.toml --depth 4
"""


@click.command("tree", epilog=_EPILOG)
@CLASSES
@click.option("--rule", required=True, metavar="RULE", help="Which hypernym of several is kept.")
@UNDER
@KINDS_ONLY
@OUTPUT
@output_options
def command(
    classes: str, rule: str, under: str, kinds_only: bool, output: Path | None, as_json: bool, index_path: Path | None
) -> int:
    """Make a tree of the graph above some classes: one hypernym each, by a rule, with every choice in a TOML file.

    RULE: first (WordNet's first), min-depth or max-depth (by the shortest or longest path from the top),
    most-classes or fewest-classes (at or below it), most-images (in the index). Among equals WordNet's first one. The
    file can be edited, and drawn or turned to JSON by `tree --exclusive FILE`.
    """
    from imagenet_tools.catalogue.given_lists import read_list
    from imagenet_tools.superclasses import exclusive_tree_file
    from imagenet_tools.superclasses.exclusive_tree import exclusive_tree

    images = None
    if rule == "most-images":
        from imagenet_tools.cli.common import open_index

        images = open_index(index_path).counts("images")
    listed = read_list(classes, resolved)
    made = exclusive_tree(listed, rule=rule, under=resolved(under), images=images, instances=not kinds_only)
    if output is not None:
        exclusive_tree_file.write(made, output)
    if as_json:
        said = dataclasses.asdict(made)
        print_json(said | {"choices": [choice._asdict() for choice in made.choices]})
    elif output is None:
        click.echo(exclusive_tree_file.text(made), nl=False)
    chosen = set(made.classes)
    n = sum(choice.wnid in chosen for choice in made.choices)
    note(
        f"{counted(len(made.hypernyms) + 1, 'synset')} of {len(made.classes):,} classes; {len(made.choices):,} keep "
        f"one hypernym of several by {rule}, {n:,} of them classes"
    )
    return DONE
