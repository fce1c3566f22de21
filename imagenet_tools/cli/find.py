"""find: synsets by word, name, wnid or class index; needs no data."""

from __future__ import annotations

from pathlib import Path

import click

import imagenet_tools
from imagenet_tools.cli import FAILED
from imagenet_tools.cli.common import note, output_options, print_json, table, width_of_terminal

_EPILOG = """\b
Examples:
  imagenet-tools find tabby
  imagenet-tools find 281
  imagenet-tools find n02123045
"""


@click.command("find", epilog=_EPILOG)
@click.argument("text")
@click.option("-n", "--limit", type=click.IntRange(1), default=20, show_default=True, help="At most so many synsets.")
@output_options
def command(text: str, limit: int, as_json: bool, index_path: Path | None) -> int:
    """Find synsets by word, name, wnid or class index.

    TEXT is looked for among all 82,115 noun synsets of WordNet 3.0. No index is needed.
    """
    from imagenet_tools.wordnet import nltk_bridge

    found = imagenet_tools.find(text, limit=limit)
    glosses = nltk_bridge.glosses_at_hand(one.wnid for one in found)
    if as_json:
        print_json([one._asdict() | {"gloss": glosses.get(one.wnid)} for one in found])
    if not found:
        note(
            f"No synset of WordNet 3.0 matches {text!r}. Expected a word or a part of one, a name, a wnid or a number."
        )
        return FAILED
    if not as_json:
        head = ("wnid", "name", "index", "id", "classes", "lemmas", "matches")
        rows = [
            (one.wnid, one.name, one.ilsvrc2012_index, one.ilsvrc_id, one.classes, ", ".join(one.lemmas), one.why)
            for one in found
        ]
        click.echo(table(head, rows, width=width_of_terminal()))
        note("index: in ILSVRC2012's sorted order, from 0; id: ILSVRC2012_ID; classes: ILSVRC2012's at or below")
        for one in found:
            if one.wnid in glosses:
                click.echo(f"{one.name}: {glosses[one.wnid]}")
    return 0
