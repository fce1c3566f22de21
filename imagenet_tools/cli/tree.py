"""The command tree: draw the WordNet graph below a synset, with counts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from imagenet_tools.cli import DONE
from imagenet_tools.cli.options import (
    chosen_words,
    format_by_suffix,
    note_sense,
    open_index,
    output_file_option,
    output_options,
    selection_options,
)
from imagenet_tools.cli.printing import note, terminal_columns
from imagenet_tools.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from imagenet_tools.catalogue.terms import ResolvedSynset
    from imagenet_tools.selection.selection import Selection
    from imagenet_tools.superclasses.drawing import Outline
    from imagenet_tools.wordnet.graph import Edges

_EPILOG = """\b
Examples:
  imagenet-tools tree dog --depth 2
  imagenet-tools tree --classes tench,tabby,pug --collapse --depth 9
  imagenet-tools tree dog --from val --counts boxes
  imagenet-tools tree vehicle --depth 9 --collapse -o vehicles.svg
  imagenet-tools tree dog --exclusive min-depth
"""

_FORMATS = ("text", "json", "dot", "svg")
_SUFFIXES = {".txt": "text", ".json": "json", ".dot": "dot", ".gv": "dot", ".svg": "svg"}


@click.command("tree", epilog=_EPILOG)
@click.argument("synset", default="entity.n.01")
@click.option("--depth", type=click.IntRange(0), metavar="N", default=3, show_default=True, help="Maximum edges down.")
@click.option("--collapse", is_flag=True, help="Skip synsets that count the same as one of their children ('..').")
@click.option(
    "--exclusive",
    metavar="RULE|FILE",
    help="Keep one hypernym each: by a rule of `classes tree`, for --classes or all counted classes, or by its file.",
)
@click.option("--counts", type=click.Choice(("images", "boxes")), help="What to count in the index. Default: images.")
@click.option("--all", "everything", is_flag=True, help="Also draw synsets with a count of 0.")
@click.option("--format", "form", type=click.Choice(_FORMATS), help="Default: by the suffix of -o, or text.")
@output_file_option
@selection_options
@output_options
def command(
    synset: str,
    depth: int,
    collapse: bool,
    exclusive: str | None,
    counts: str | None,
    everything: bool,
    form: str | None,
    output: Path | None,
    as_json: bool,
    index_path: Path | None,
    **words: Any,  # the flags of selection_options, by keyword
) -> int:
    """Draw the graph below a synset, with counts.

    Counts are the images, all or the chosen ones, at or below each synset. Without an index they are the classes of
    --classes, or of ILSVRC2012. In text, a synset with several hypernyms appears below each of them and is expanded
    once ('^' elsewhere); json (node-link), dot and svg have it once, with all its edges.
    """
    from imagenet_tools.superclasses.drawing import outline
    from imagenet_tools.wordnet import graph, hierarchy

    form = form or format_by_suffix(output, _SUFFIXES) or ("json" if as_json else "text")
    counted = _counted(synset, chosen_words(words), counts, index_path)
    if exclusive is None:
        edges, below = None, hierarchy.inclusive(counted.direct)
    else:
        edges = _exclusive_edges(exclusive, counted)
        below = graph.inclusive(graph.reverse(edges), counted.direct)
    drawn = outline(
        counted.top.wnid,
        depth=depth,
        classes=counted.classes,
        edges=edges,
        counts=below,
        counted=not everything,
        collapse=collapse,
    )
    note_sense(counted.top)
    title = f"{drawn.nodes[0].name}: {counted.unit} at or below, each once"
    if exclusive is not None:
        title += f"; one hypernym each, by {exclusive}"
    if form == "text":
        note(title)
    if output is None:
        click.echo(_text(drawn, form, title, width=terminal_columns()), nl=False)
    else:
        from imagenet_tools.storage.files import write_whole

        write_whole(output, _text(drawn, form, title).encode())
    return DONE


class _Counted(NamedTuple):
    """A synset, and the counts to draw below it."""

    top: ResolvedSynset
    classes: list[str] | None  # wnids; None: all
    direct: npt.NDArray[np.int64]  # count of each synset itself, by row: (82,115,)
    unit: str


def _counted(synset: str, words: dict[str, Any], counts: str | None, index_path: Path | None) -> _Counted:
    from imagenet_tools.catalogue import labels, terms
    from imagenet_tools.catalogue.given_lists import read_list
    from imagenet_tools.store.layout import MANIFEST, default_index

    classes = words.get("classes")
    only_classes = words.keys() <= {"classes"}
    has_index = index_path is not None or (default_index() / MANIFEST).exists()
    if not has_index and counts is None and only_classes:
        top = terms.resolve(synset)
        if classes is None:
            return _Counted(top, None, _by_row(dict.fromkeys(labels.ilsvrc2012_sorted(), 1)), "ILSVRC2012 classes")
        wnids = read_list(classes, lambda text: terms.resolve(text).wnid)
        return _Counted(top, wnids, _by_row(dict.fromkeys(wnids, 1)), f"classes of {classes}")
    index = open_index(index_path)
    unit = counts or "images"
    if only_classes:
        only = read_list(classes, index.synset) if classes is not None else None
        return _Counted(index.resolve(synset), only, index.counts(unit, classes=only), unit)
    selection = index.select(**words)
    for text in selection.notes():
        note(f"note: {text}")
    drawn = list(selection.choice.classes.wnids) if selection.choice.classes else None
    return _Counted(index.resolve(synset), drawn, _by_row(_selected(selection, unit)), unit)


def _selected(selection: Selection, unit: str) -> dict[str, int]:
    """Return the number of chosen images, or of their boxes, by wnid."""
    boxes = """SELECT boxes.wnid, count(*) FROM boxes JOIN made USING (dataset, image_id)
               WHERE left_out IS NULL GROUP BY ALL"""
    images = "SELECT official_wnid, count(*) FROM made WHERE left_out IS NULL GROUP BY ALL"
    return dict(selection.run(images if unit == "images" else boxes).fetchall())


def _by_row(counts: dict[str, int]) -> npt.NDArray[np.int64]:
    """Return counts by row of WordNet; skip wnids that WordNet 3.0 does not have."""
    import numpy as np

    from imagenet_tools.wordnet import wordnet

    direct = np.zeros(len(wordnet.load().offsets), np.int64)
    for wnid, n in counts.items():
        row = wordnet.find_row(wnid) if wnid else None
        if row is not None:
            direct[row] = n
    return direct


def _exclusive_edges(rule_or_file: str, counted: _Counted) -> Edges:
    """Return the edges of an exclusive tree, read from a file or made of the counted classes."""
    import numpy as np

    from imagenet_tools.superclasses import exclusive_tree
    from imagenet_tools.superclasses import exclusive_tree as trees
    from imagenet_tools.wordnet import wordnet

    if rule_or_file in trees.RULES:
        images = counted.direct if counted.unit == "images" else None
        classes = counted.classes or wordnet.wnids_of(np.flatnonzero(counted.direct))
        tree = trees.exclusive_tree(classes, rule=rule_or_file, images=images)
    elif Path(rule_or_file).is_file():
        tree = exclusive_tree.read(rule_or_file)
    else:
        rules = ", ".join(trees.RULES)
        raise UsageError(f"--exclusive {rule_or_file}: no such rule or file; expected one of {rules}, or a file.")
    tree.path(counted.top.wnid)  # raises an error if the synset is not in the tree
    return tree.edges_down()


def _text(drawn: Outline, form: str, title: str, *, width: int | None = None) -> str:
    from imagenet_tools.superclasses import drawing

    if form == "svg":
        return drawing.svg(drawn, title=title)
    if form == "dot":
        return drawing.dot(drawn, title=title)
    if form == "json":
        return json.dumps(drawing.node_link(drawn, title=title), indent=1) + "\n"
    return "".join(f"{line}\n" for line in drawing.text_lines(drawn, width=width))
