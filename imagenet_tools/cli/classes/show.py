"""classes show: a class list or an image list as it is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from imagenet_tools.cli import DONE
from imagenet_tools.cli.classes.printing import OUTPUT, class_facts, give, give_json, image_facts
from imagenet_tools.cli.common import note, output_options, table, width_of_terminal

if TYPE_CHECKING:
    from imagenet_tools.catalogue.image_lists import ImageList
    from imagenet_tools.catalogue.lists import ClassList


@click.command(
    "show", epilog="\b\nExamples:\n  imagenet-tools classes show imagenette\n  imagenet-tools classes show voc20"
)
@click.argument("list_", metavar="LIST")
@OUTPUT
@output_options
def command(list_: str, output: Path | None, as_json: bool, index_path: Path | None) -> int:
    """Show a class list in its order: wnid, number and name of each class; of an image list, its images.

    What is printed, or written with -o, can be given to --classes or --images. A list of categories is a table instead:
    with the synsets of each, and how many classes of ILSVRC2012 and of fall11 it takes in.
    """
    from imagenet_tools.catalogue import class_maps

    images = _image_list(list_)
    if images is not None:
        return _show_images(images, output, as_json)
    one = class_maps.listed(list_)
    if as_json:
        give_json(class_facts(one) | {"classes": [*one.wnids] if not one.categories else _categories(one)}, output)
        return DONE
    note(f"{one.name}: {one.title}; {len(one):,} classes; order: {one.order}")
    note(f"sha256 {one.sha256}" + (f"; from {one.source}" if one.source else ""))
    if one.checked:
        note(f"agrees with {one.checked}")
    give(_category_table(one) if one.categories else _lines(one), output)
    return DONE


def _image_list(text: str) -> ImageList | None:
    """The image list that a text names, where it is no class list and no file."""
    from imagenet_tools.catalogue import given_lists

    if given_lists.published(text) is not None or "," in text or Path(text).exists():
        return None
    from imagenet_tools.catalogue import image_lists

    return image_lists.find(text)


def _show_images(one: ImageList, output: Path | None, as_json: bool) -> int:
    if as_json:
        give_json(image_facts(one) | {"images": [*one.images]}, output)
        return DONE
    note(f"{one.name}: {one.title}; {len(one):,} images of {one.dataset}")
    note(f"sha256 {one.sha256}; from {one.source}" + (f"; agrees with {one.checked}" if one.checked else ""))
    give("\n".join(one.images), output)
    return DONE


def _lines(one: ClassList) -> str:
    from imagenet_tools.wordnet import wordnet

    lemmas = wordnet.load().lemmas
    numbered = enumerate(zip(one.wnids, wordnet.rows_of(one.wnids).tolist(), strict=True), one.base)
    return "\n".join(f"{wnid} {number} {lemmas[row].partition(' ')[0]}" for number, (wnid, row) in numbered)


def _categories(one: ClassList) -> list[dict[str, Any]]:
    from collections import Counter

    from imagenet_tools.catalogue import class_maps

    spaces = ("ilsvrc2012", "fall11")
    below = {name: Counter(class_maps.class_map(name, one).target.tolist()) for name in spaces}
    return [
        {"index": place, **category._asdict()} | {f"n_{name}": below[name][place] for name in spaces}
        for place, category in enumerate(one.categories)
    ]


def _category_table(one: ClassList) -> str:
    from imagenet_tools.wordnet import wordnet

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
