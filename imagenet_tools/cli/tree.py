"""tree: the WordNet graph below a synset, drawn with counts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from imagenet_tools.cli.common import (
    choose_options,
    form_of,
    note,
    open_index,
    output_options,
    print_json,
    said,
    width_of_terminal,
)
from imagenet_tools.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np
    import numpy.typing as npt

    from imagenet_tools.catalogue.terms import Taken
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
@click.option("--depth", type=click.IntRange(0), default=3, show_default=True, help="At most so many edges down.")
@click.option("--collapse", is_flag=True, help="Skip each synset with one below it that counts as much ('..').")
@click.option(
    "--exclusive",
    metavar="RULE|FILE",
    help="One hypernym each, by a rule or a file of `classes tree`; of --classes, or all counted ones.",
)
@click.option("--counts", type=click.Choice(("images", "boxes")), help="What is counted in the index (default images).")
@click.option("--all", "everything", is_flag=True, help="Also synsets with nothing counted below them.")
@click.option("--format", "form", type=click.Choice(_FORMATS), help="Default: text, or what -o's suffix says.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write to a file that does not exist yet.")
@choose_options
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
    **words: Any,  # one each of words.py
) -> int:
    """Draw what lies below a synset, with counts.

    The counts are images at or below each synset, each once, of those that are chosen where some are; without
    an index, those classes, or ILSVRC2012's. As text a synset with several hypernyms stands under each of them, and
    opens once ('^' elsewhere); json (node-link), dot and svg hold it once, with every edge.
    """
    from imagenet_tools.superclasses.drawing import outline

    form = form or form_of(output, _SUFFIXES) or ("json" if as_json else "text")
    counted = _counted(synset, said(words), counts, index_path)
    if exclusive is not None:
        counted = _exclusive(exclusive, counted)
    drawn = outline(
        counted.top.wnid,
        depth=depth,
        classes=counted.classes,
        edges=counted.edges,
        counts=counted.below,
        counted=not everything,
        collapse=collapse,
    )
    if counted.top.guessed:
        note(counted.top.note)
    title = f"{drawn.nodes[0].name}: {counted.unit} at or below, each once"
    title += "" if exclusive is None else f"; one hypernym each, by {exclusive}"
    if form == "text":
        note(title)
    if output is not None:
        from imagenet_tools.storage.files import write_whole

        write_whole(output, _written(drawn, form, title).encode())
    elif form == "json":
        from imagenet_tools.superclasses.drawing import node_link

        print_json(node_link(drawn, title=title))
    else:
        click.echo(_written(drawn, form, title, width=width_of_terminal()), nl=False)
    return 0


class _Counted(NamedTuple):
    """What is drawn and counted."""

    top: Taken
    classes: list[str] | None
    direct: npt.NDArray[np.int64]
    below: npt.NDArray[np.int64]
    unit: str
    edges: Edges | None = None  # what lies right below each row; None: WordNet's


def _counted(synset: str, words: dict[str, Any], counts: str | None, index_path: Path | None) -> _Counted:
    from imagenet_tools.catalogue import terms
    from imagenet_tools.catalogue.given_lists import read_list
    from imagenet_tools.store.layout import MANIFEST, default_index
    from imagenet_tools.wordnet import hierarchy

    classes = words.get("classes")
    here = index_path is not None or (default_index() / MANIFEST).exists()
    if not here and counts is None and words.keys() <= {"classes"}:
        top = terms.resolve(synset)
        if classes is None:
            from imagenet_tools.catalogue import labels

            below = terms.ilsvrc2012_below()
            return _Counted(top, None, _ones(labels.ilsvrc2012_sorted()), below, "ILSVRC2012 classes")
        listed = read_list(classes, lambda text: terms.resolve(text).wnid)
        return _Counted(top, listed, _ones(listed), hierarchy.classes_below(listed), f"classes of {classes}")
    index = open_index(index_path)
    unit = counts or "images"
    if words.keys() <= {"classes"}:
        only = read_list(classes, index.synset) if classes is not None else None
        direct, below = index.counts(unit, classes=only), index.below(unit, classes=only)
        return _Counted(index.resolve(synset), only, direct, below, unit)
    chosen = index.select(**words)
    for text in chosen.notes():
        note(f"note: {text}")
    drawn = list(chosen.choice.classes.wnids) if chosen.choice.classes else None
    direct = _direct(chosen, unit)
    return _Counted(index.resolve(synset), drawn, direct, hierarchy.inclusive(direct), unit)


def _direct(chosen: Selection, unit: str) -> npt.NDArray[np.int64]:
    """Chosen images, or boxes of them, by the row of their own synset: (82,115,)."""
    import numpy as np

    from imagenet_tools.wordnet import wordnet

    of_boxes = """SELECT boxes.wnid, count(*) FROM boxes JOIN made USING (dataset, image_id)
                  WHERE left_out IS NULL GROUP BY ALL"""
    of_images = "SELECT official_wnid, count(*) FROM made WHERE left_out IS NULL GROUP BY ALL"
    direct = np.zeros(len(wordnet.load().offsets), np.int64)
    for wnid, n in chosen.run(of_images if unit == "images" else of_boxes).fetchall():
        row = wordnet.find_row(wnid) if wnid else None
        if row is not None:
            direct[row] = n
    return direct


def _ones(classes: Iterable[str]) -> npt.NDArray[np.int64]:
    import numpy as np

    from imagenet_tools.wordnet import wordnet

    counts = np.zeros(len(wordnet.load().offsets), np.int64)
    counts[wordnet.rows_of(classes)] = 1
    return counts


def _exclusive(said: str, counted: _Counted) -> _Counted:
    """What is drawn of an exclusive tree: of a file, or made here of the classes that are counted."""
    import numpy as np

    from imagenet_tools.superclasses import exclusive_tree as trees
    from imagenet_tools.superclasses import exclusive_tree_file
    from imagenet_tools.wordnet import graph, wordnet

    if said in trees.RULES:
        images = counted.direct if counted.unit == "images" else None
        classes = counted.classes or wordnet.wnids_of(np.flatnonzero(counted.direct))
        tree = trees.exclusive_tree(classes, rule=said, images=images)
    elif Path(said).is_file():
        tree = exclusive_tree_file.read(said)
    else:
        raise UsageError(f"--exclusive {said}: no such file, nor a rule; expected {', '.join(trees.RULES)}, or a file.")
    tree.path(counted.top.wnid)  # it is in the tree
    edges = tree.edges_down()
    return counted._replace(edges=edges, below=graph.inclusive(graph.reverse(edges), counted.direct))


def _written(drawn: Outline, form: str, title: str, *, width: int | None = None) -> str:
    from imagenet_tools.superclasses import drawing

    if form == "svg":
        return drawing.svg(drawn, title=title)
    if form == "dot":
        return drawing.dot(drawn, title=title)
    if form == "json":
        import json

        return json.dumps(drawing.node_link(drawn, title=title), indent=1) + "\n"
    return "".join(f"{line}\n" for line in drawing.text_lines(drawn, width=width))
