"""Read the groups of classes that others published: LVIS, model-vs-human, ImageNet-X and ObjectNet.

Each reader takes the file of the list and the files that it is compared with, and returns the groups in their order.
It stops if the files disagree.
"""

from __future__ import annotations

import ast
import csv
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from imagenet_tools.catalogue import labels
from imagenet_tools.wordnet import wordnet

# The 1,203 categories of LVIS have a synset of WordNet 3.0 each, but this one.
_NO_SYNSET = "stop_sign.n.01"


@dataclass
class Category:
    """A superclass, or a category of another data set."""

    name: str
    synsets: list[str]
    without: list[str] = field(default_factory=list)
    members: list[str] = field(default_factory=list)
    number: int = -1  # of the other data set; -1: none
    note: str = ""


def lvis(read: Path, checks: Sequence[Path]) -> list[Category]:
    """Return the categories of LVIS by id, from its `categories` as JSON or as a Python module."""
    rows, *others = [_lvis_rows(path) for path in (read, *checks)]
    for path, other in zip(checks, others, strict=True):
        if other != rows:
            raise SystemExit(f"{path}: its categories are not those of {read}")
    return [
        Category(
            name,
            [] if synset == _NO_SYNSET else [wordnet.synset(synset).wnid],
            number=number,
            note="WordNet 3.0 has no stop sign" if synset == _NO_SYNSET else "",
        )
        for number, name, synset in rows
    ]


def _lvis_rows(path: Path) -> list[tuple[int, str, str]]:
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        values = re.search(r"^LVIS_CATEGORIES = (\[.*?\])(?:  #.*)?$", text, re.MULTILINE)
        records: list[dict[str, Any]] = ast.literal_eval(values[1])  # type: ignore[index]
    else:
        records = json.loads(text)
    return sorted((record["id"], record["name"], record["synset"]) for record in records)


def model_vs_human(read: Path, checks: Sequence[Path]) -> list[Category]:
    """Return the 16 categories, alphabetical; wnids that ILSVRC2012 does not have are left out, as their index has."""
    groups = _human_categories(read)
    for path in checks:
        if _human_categories(path) != groups:
            raise SystemExit(f"{path}: its categories are not those of {read}")
    return [Category(name, [], members=wnids, number=number) for number, (name, wnids) in enumerate(groups.items())]


def _human_categories(path: Path) -> dict[str, list[str]]:
    text = path.read_text(encoding="utf-8")
    named = re.search(r"sorted\((\[.*?\])\)", text, re.DOTALL)  # of the categories of the experiments, in order
    groups = dict(re.findall(r"^    (\w+) *=\s+(?:frozenset\()?\[(.*?)\]", text, re.MULTILINE | re.DOTALL))
    known = set(labels.ilsvrc2012_sorted())
    names = sorted(ast.literal_eval(named[1]))  # type: ignore[index]
    return {name: sorted(known.intersection(re.findall(r"n\d{8}", groups[name]))) for name in names}


def imagenet_x(read: Path, checks: Sequence[Path]) -> list[Category]:
    """Return the 17 metaclasses: those that the module of `checks` names, and `other`, which has all other classes.

    Row n of the file is the class with index n of ILSVRC2012; the wnid is that of the metaclass.
    """
    named = re.search(r"METACLASSES = (\[.*?\])", checks[0].read_text(encoding="utf-8"), re.DOTALL)
    groups = [Category(name, []) for name in ast.literal_eval(named[1])]  # type: ignore[index]
    by_name = {group.name: group for group in groups}
    rows = list(csv.DictReader(read.read_text(encoding="utf-8").splitlines()))
    for wnid, row in zip(labels.ilsvrc2012_sorted(), rows, strict=True):
        group = by_name.get(row["name"], by_name["other"])
        group.members.append(wnid)
        if group.name != "other" and row["wnid"] not in group.synsets:
            group.synsets.append(row["wnid"])
    return groups


def objectnet(read: Path, checks: Sequence[Path]) -> list[Category]:
    """Return the 113 folders of ObjectNet that ILSVRC2012 has classes of, by ObjectNet's id of 313, with these classes.

    The ids come from the authors' evaluation, {index of ILSVRC2012: id}; the labels from another file, whose words
    for ILSVRC2012's classes must give the same groups. `checks` are that file, the words, and the label of each folder.
    """
    by_id: dict[int, set[int]] = {}
    for index, number in json.loads(read.read_bytes()).items():
        by_id.setdefault(number, set()).add(int(index))
    names, words, label_of = (json.loads(path.read_bytes()) for path in checks)
    folder_of = {label: folder for folder, label in label_of.items()}
    by_words: dict[str, set[int]] = {}
    for index, text in words.items():
        by_words.setdefault(text, set()).add(int(index))
    by_name = {name: set().union(*(by_words[text] for text in texts.split("; "))) for name, texts in names.items()}
    wnids, groups = labels.ilsvrc2012_sorted(), []
    for number, indexes in sorted(by_id.items()):
        equal = [name for name, others in by_name.items() if others == indexes]
        if len(equal) != 1:
            raise SystemExit(f"{checks[0]}: found {equal} with the classes of ObjectNet's {number}, expected one name")
        folder, members = folder_of[equal[0]], [wnids[index] for index in sorted(indexes)]
        groups.append(Category(folder, [], members=members, number=number))
    return groups


def folders(read: Path, _: Sequence[Path]) -> list[Category]:
    """Return the folders of a data set by name, from {folder: indexes of ILSVRC2012}."""
    wnids = labels.ilsvrc2012_sorted()
    by_folder = sorted(json.loads(read.read_bytes()).items())
    return [Category(folder, [], members=[wnids[index] for index in indexes]) for folder, indexes in by_folder]


READERS: dict[str, Callable[[Path, Sequence[Path]], list[Category]]] = {
    "folders": folders,
    "lvis": lvis,
    "model-vs-human": model_vs_human,
    "imagenet-x": imagenet_x,
    "objectnet": objectnet,
}
