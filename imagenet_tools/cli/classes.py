"""classes: the published class lists, what a list of one's own is, and maps between them; needs no data."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from imagenet_tools.cli import DONE, FAILED
from imagenet_tools.cli.common import note, output_options, print_json, table, width_of_terminal

if TYPE_CHECKING:
    from imagenet_tools.class_lists.class_maps import ClassMap
    from imagenet_tools.class_lists.lists import ClassList

_EPILOG = """\b
Examples:
  imagenet-tools classes list
  imagenet-tools classes show coco80
  imagenet-tools classes show imagenet100-cmc -o classes.txt
  imagenet-tools classes identify predictions.csv
  imagenet-tools classes map imagenet21k-goog ilsvrc2012 -o map.csv

\b
A LIST is a published name, a file with a class a line, or a,b,c.
"""

_OUTPUT = click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="Write to a file that does not exist yet."
)


@click.group("classes", epilog=_EPILOG)
def command() -> None:
    """Show published class lists, tell what a list is, map one to another."""


def _give(text: str, output: Path | None) -> None:
    if output is None:
        click.echo(text)
        return
    from imagenet_tools.files import write_whole

    write_whole(output, f"{text}\n".encode())


def _give_json(value: object, output: Path | None) -> None:
    if output is None:
        print_json(value)
    else:
        _give(json.dumps(value, indent=1, default=str), output)


# ---- list


@command.command("list", epilog="\b\nExample:\n  imagenet-tools classes list --parts")
@click.option("--parts", is_flag=True, help="Also the parts of splits, such as breeds-living17/rand-source.")
@_OUTPUT
@output_options
def list_(parts: bool, output: Path | None, as_json: bool, index_path: Path | None) -> int:
    """List the published class lists."""
    from imagenet_tools.class_lists import lists

    found = [lists.get(name) for name in lists.names(parts=parts)]
    if as_json:
        _give_json([_facts(one) for one in found], output)
        return DONE
    rows = [(one.name, len(one), len(set(one.wnids)), one.base, one.title) for one in found]
    _give(table(("name", "classes", "synsets", "from", "what it is"), rows, width=width_of_terminal()), output)
    for name, why in lists.LEFT_OUT.items():
        note(f"left out: {name}: {why}")
    return DONE


def _facts(one: ClassList) -> dict[str, Any]:
    return {
        "name": one.name,
        "title": one.title,
        "n_classes": len(one),
        "order": one.order,
        "base": one.base,
        "background": one.background,
        "sha256": one.sha256,
        "source": one.source,
        "checked": one.checked,
    }


# ---- show


@command.command(
    "show", epilog="\b\nExamples:\n  imagenet-tools classes show imagenette\n  imagenet-tools classes show voc20"
)
@click.argument("list_", metavar="LIST")
@_OUTPUT
@output_options
def show(list_: str, output: Path | None, as_json: bool, index_path: Path | None) -> int:
    """Show a class list in its order: wnid, number and name of each class.

    What is printed, or written with -o, can be given to --classes. A list of categories is a table instead: with the
    synsets of each, and how many classes of ILSVRC2012 and of fall11 it takes in.
    """
    from imagenet_tools.class_lists import class_maps

    one = class_maps.listed(list_)
    if as_json:
        _give_json(_facts(one) | {"classes": [*one.wnids] if not one.categories else _categories(one)}, output)
        return DONE
    note(f"{one.name}: {one.title}; {len(one):,} classes; order: {one.order}")
    note(f"sha256 {one.sha256}" + (f"; from {one.source}" if one.source else ""))
    if one.checked:
        note(f"agrees with {one.checked}")
    _give(_category_table(one) if one.categories else _lines(one), output)
    return DONE


def _lines(one: ClassList) -> str:
    from imagenet_tools import wordnet

    lemmas = wordnet.load().lemmas
    numbered = enumerate(zip(one.wnids, wordnet.rows_of(one.wnids).tolist(), strict=True), one.base)
    return "\n".join(f"{wnid} {number} {lemmas[row].partition(' ')[0]}" for number, (wnid, row) in numbered)


def _categories(one: ClassList) -> list[dict[str, Any]]:
    from collections import Counter

    from imagenet_tools.class_lists import class_maps

    spaces = ("ilsvrc2012", "fall11")
    below = {name: Counter(class_maps.class_map(name, one).target.tolist()) for name in spaces}
    return [
        {"index": place, **category._asdict()} | {f"n_{name}": below[name][place] for name in spaces}
        for place, category in enumerate(one.categories)
    ]


def _category_table(one: ClassList) -> str:
    from imagenet_tools import wordnet

    rows = []
    for said in _categories(one):
        called = ", ".join(wordnet.synset(wnid).name for wnid in said["synsets"])
        members = len(said["members"]) or None
        none = (
            "" if said["n_ilsvrc2012"] else "no image of it in ILSVRC2012" + ("" if said["n_fall11"] else " or fall11")
        )
        about = "; ".join(text for text in (none, said["note"]) if text)
        numbers = (said["index"], said["number"])
        rows.append((*numbers, said["name"], called, members, said["n_ilsvrc2012"], said["n_fall11"], about))
    head = ("index", "number", "name", "synsets", "members", "ilsvrc2012", "fall11", "note")
    kept = [n for n in range(len(head)) if n < 1 or any(row[n] not in (None, "") for row in rows)]
    return table([head[n] for n in kept], [[row[n] for n in kept] for row in rows], width=width_of_terminal())


# ---- identify


@command.command(
    "identify",
    epilog="\b\nExamples:\n  imagenet-tools classes identify my_classes.txt\n"
    "  imagenet-tools classes identify predictions.csv",
)
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@_OUTPUT
@output_options
def identify(file: Path, output: Path | None, as_json: bool, index_path: Path | None) -> int:
    """Tell which published list a file of classes equals, or how a file of labels counts classes.

    Classes: wnids or names a line, csv, or json. Labels or predictions: a number a line for the 50,000 validation
    images, or image and number. Where nothing can be told the exit code is 1.
    """
    import imagenet_tools
    from imagenet_tools.class_lists.identify_classes import ClassesFound

    found = imagenet_tools.identify(file)
    if as_json:
        said = dataclasses.asdict(found) | {"why": found.why, "told": found.told}
        said.pop("tried", None)
        _give_json(said, output)
        return DONE if found.told else FAILED
    lines = [found.why]
    if isinstance(found, ClassesFound):
        lines += [f"  {n.name}: {n.shared:,} in it, {n.missing:,} missing, {n.extra:,} not in it" for n in found.near]
    else:
        lines += [f"  the same numbers as {numbering}" for numbering in found.same if found.numbering]
        for word, one in (("best", found.best), ("next", found.next)):
            if one is not None:
                lines.append(f"  {word}: {one.share:8.2%}  {one.numbering}; rows {one.rows}")
    _give("\n".join(lines), output)
    return DONE if found.told else FAILED


# ---- map


@command.command(
    "map",
    epilog="\b\nExamples:\n  imagenet-tools classes map imagenet12k ilsvrc2012\n"
    "  imagenet-tools classes map ilsvrc2012 breeds-living17 -o map.csv",
)
@click.argument("a", metavar="A")
@click.argument("b", metavar="B")
@click.option("--ancestors", is_flag=True, help="A class that is not in B goes to the nearest class of B above it.")
@_OUTPUT
@output_options
def map_(a: str, b: str, ancestors: bool, output: Path | None, as_json: bool, index_path: Path | None) -> int:
    """Map the classes of list A to those of list B, and say what is lost.

    The result is csv: output and class of A, output and class of B, and whether it is the same class or one above.
    Outputs count from 0.
    """
    import imagenet_tools

    found = imagenet_tools.class_map(a, b, ancestors=ancestors)
    if as_json:
        _give_json(_map_facts(found), output)
        return DONE
    _give("\n".join(_map_lines(found)), output)
    note(
        f"{found.a.name} ({len(found.a):,}) to {found.b.name} ({len(found.b):,}): "
        f"{len(found.a) - len(found.dropped):,} classes have one, {len(found.above):,} of them above; "
        f"{len(found.dropped):,} have none"
    )
    for what, names in (("lost", found.lost), ("merged", tuple(found.merged)), ("ambiguous", tuple(found.ambiguous))):
        if names:
            some = ", ".join(names[:10]) + (" ..." if len(names) > 10 else "")
            note(f"{what}: {len(names):,} classes of {(found.a if what == 'ambiguous' else found.b).name}: {some}")
    return DONE


def _map_lines(found: ClassMap) -> list[str]:
    lines = ["a_output,a,b_output,b,how"]
    for place, name in enumerate(found.a.classes):
        target = int(found.target[found.a.background + place])
        if target >= 0:
            how = "above" if name in found.above else "same"
            into = found.b.classes[target - found.b.background]
            cells = (str(found.a.background + place), name, str(target), into, how)
            lines.append(",".join(f'"{cell}"' if "," in cell else cell for cell in cells))
    return lines


def _map_facts(found: ClassMap) -> dict[str, Any]:
    return {
        "a": _facts(found.a),
        "b": _facts(found.b),
        "target": found.target.tolist(),
        "index": None if found.merged else found.index.tolist(),
        "lost": found.lost,
        "dropped": found.dropped,
        "merged": found.merged,
        "above": found.above,
        "ambiguous": found.ambiguous,
    }
