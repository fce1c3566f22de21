"""tree: the WordNet graph below a synset, drawn with counts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from imagenet_tools.cli.common import note, open_index, output_options, print_json

if TYPE_CHECKING:
    from imagenet_tools.hierarchy import Branch

_EPILOG = """\b
Examples:
  imagenet-tools tree dog --depth 2
  imagenet-tools tree n02512053 --all
"""


@click.command("tree", epilog=_EPILOG)
@click.argument("synset", default="entity.n.01")
@click.option("--depth", type=click.IntRange(0), default=3, show_default=True, help="At most so many edges down.")
@click.option("--all", "everything", is_flag=True, help="Also synsets without images (or classes) below them.")
@output_options
def command(synset: str, depth: int, everything: bool, as_json: bool, index_path: Path | None) -> int:
    """Draw what lies below a synset, with counts.

    Counted are images at or below each; without an index, ILSVRC2012 classes.

    A synset with several parents stands under each of them, and opens once ('^').
    """
    from imagenet_tools import hierarchy, terms
    from imagenet_tools.layout import MANIFEST, default_index

    if index_path is None and not (default_index() / MANIFEST).exists():
        counts, unit = hierarchy.ilsvrc2012_below(), "ILSVRC2012 classes"
        taken = terms.resolve(synset)
    else:
        index = open_index(index_path)
        counts, unit = index.images_below(), "images"
        taken = index.resolve(synset)
    if taken.guessed:
        note(taken.note)
    branch = hierarchy.tree(taken.wnid, depth=depth, counts=counts)
    kept = branch if everything else _with_count(branch)
    if as_json:
        print_json(_plain(kept))
        return 0
    note(f"counts: {unit} at or below, each once")
    for line in _lines(kept, "", ""):
        click.echo(line)
    return 0


def _with_count(branch: Branch) -> Branch:
    from dataclasses import replace

    shown = tuple(_with_count(child) for child in branch.children if child.count)
    return replace(branch, children=shown)


def _lines(branch: Branch, first: str, rest: str) -> Iterator[str]:
    more = " ^" if branch.repeated else f" (+{branch.hidden})" if branch.hidden else ""
    yield f"{first}{branch.name} {branch.wnid}  {branch.count or 0:,}{more}"
    for n, child in enumerate(branch.children):
        last = n == len(branch.children) - 1
        yield from _lines(child, rest + ("└─ " if last else "├─ "), rest + ("   " if last else "│  "))


def _plain(branch: Branch) -> dict[str, object]:
    return {
        "wnid": branch.wnid,
        "name": branch.name,
        "count": branch.count,
        "repeated": branch.repeated,
        "hidden": branch.hidden,
        "children": [_plain(child) for child in branch.children],
    }
