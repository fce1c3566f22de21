"""The command tree: draw the WordNet graph below a synset, with counts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import click

from imagenet_tools.cli import options
from imagenet_tools.cli.printing import note, print_json, print_notes, print_text, terminal_columns
from imagenet_tools.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from imagenet_tools.catalogue.terms import ResolvedSynset
    from imagenet_tools.wordnet.graph import Edges

_FORMATS = ("text", "json", "dot", "svg")
_SUFFIXES = {".txt": "text", ".json": "json", ".dot": "dot", ".gv": "dot", ".svg": "svg"}


@options.make_command("tree")
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
@options.output_file_option
@options.selection_options
def command(
    synset: str,
    depth: int,
    collapse: bool,
    exclusive: str | None,
    counts: Literal["images", "boxes"] | None,
    everything: bool,
    form: str | None,
    output: Path | None,
) -> None:
    """Draw the graph below a synset, with counts.

    Counts are the images, all or the chosen ones, at or below each synset. Without an index they are the classes of
    --classes, or of ILSVRC2012. In text, a synset with several hypernyms appears below each of them and is expanded
    once ('^' elsewhere); json (node-link), dot and svg have it once, with all its edges.

    Examples:
        imagenet-tools tree dog --depth 2
        imagenet-tools tree --classes tench,tabby,pug --collapse --depth 9
        imagenet-tools tree dog --from val --counts boxes
        imagenet-tools tree vehicle --depth 9 --collapse -o vehicles.svg
        imagenet-tools tree dog --exclusive min-depth
    """
    from imagenet_tools.superclasses import drawing
    from imagenet_tools.wordnet import graph, hierarchy

    form = form or options.format_by_suffix(output, _SUFFIXES) or ("json" if options.as_json() else "text")
    counted = _counted(synset, options.chosen_words(), counts)
    edges = _exclusive_edges(exclusive, counted) if exclusive is not None else None
    drawn = drawing.outline(
        counted.top.wnid,
        depth=depth,
        classes=counted.classes,
        edges=edges,
        counts=graph.inclusive(graph.reverse(edges), counted.direct) if edges else hierarchy.inclusive(counted.direct),
        counted=not everything,
        collapse=collapse,
    )
    options.note_sense(counted.top)
    title = f"{drawn.nodes[0].name}: {counted.unit} at or below, each once"
    if exclusive is not None:
        title += f"; one hypernym each, by {exclusive}"
    if form == "json":
        print_json(drawing.node_link(drawn, title=title), output)
    elif form == "text":
        note(title)
        width = terminal_columns() if output is None else None
        print_text("\n".join(drawing.text_lines(drawn, width=width)), output)
    else:
        print_text((drawing.svg if form == "svg" else drawing.dot)(drawn, title=title), output)


class _Counted(NamedTuple):
    """A synset, and the counts to draw below it."""

    top: ResolvedSynset
    classes: list[str] | None  # wnids; None: all
    direct: npt.NDArray[np.int64]  # count of each synset itself, by row: (82,115,)
    unit: str


def _counted(synset: str, words: dict[str, Any], counts: Literal["images", "boxes"] | None) -> _Counted:
    from imagenet_tools.catalogue import labels, terms
    from imagenet_tools.catalogue.given_lists import read_list
    from imagenet_tools.selection import plots
    from imagenet_tools.store.layout import MANIFEST, default_index
    from imagenet_tools.wordnet import wordnet

    text = words.get("classes")
    only_classes = words.keys() <= {"classes"}
    has_index = options.index_path() is not None or (default_index() / MANIFEST).exists()
    if not has_index and counts is None and only_classes:
        top = terms.resolve(synset)
        classes = read_list(text, lambda name: terms.resolve(name).wnid) if text is not None else None
        rows = wordnet.rows_of(classes or labels.ilsvrc2012_sorted())
        title = "ILSVRC2012 classes" if text is None else f"classes of {text}"
        return _Counted(top, classes, wordnet.mask_of(rows).astype("int64"), title)
    index = options.open_index()
    unit = counts or "images"
    if only_classes:
        classes = read_list(text, index.synset) if text is not None else None
        return _Counted(index.resolve(synset), classes, index.counts(unit, classes=classes), unit)
    selection = index.select(**words)
    print_notes(selection)
    classes = list(selection.choice.classes.wnids) if selection.choice.classes else None
    direct = plots.by_row(plots.counts_by_class(selection, unit))
    return _Counted(index.resolve(synset), classes, direct, unit)


def _exclusive_edges(rule_or_file: str, counted: _Counted) -> Edges:
    """Return the edges of an exclusive tree, read from a file or made of the counted classes."""
    import numpy as np

    from imagenet_tools.superclasses import exclusive_tree as trees
    from imagenet_tools.wordnet import wordnet

    if rule_or_file in trees.RULES:
        images = counted.direct if counted.unit == "images" else None
        classes = counted.classes or wordnet.wnids_of(np.flatnonzero(counted.direct))
        tree = trees.exclusive_tree(classes, rule=rule_or_file, images=images)
    elif Path(rule_or_file).is_file():
        tree = trees.read(rule_or_file)
    else:
        rules = ", ".join(trees.RULES)
        raise UsageError(f"--exclusive {rule_or_file}: no such rule or file; expected one of {rules}, or a file.")
    tree.path(counted.top.wnid)  # raises an error if the synset is not in the tree
    return tree.edges_down()
