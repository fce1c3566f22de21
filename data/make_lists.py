#!/usr/bin/env python3
"""Make the published class lists in imagenet_tools/tables/ from the sources that data/lists.toml names.

    python data/make_lists.py SOURCES

    SOURCES                a folder of the sources, laid out as lists.toml spells their paths
    data/lists.toml        the lists, where each is read from, and what it is held against
    data/categories.toml   the categories of VOC, COCO and CIFAR, and the synsets that this project takes them for

    class_lists/         a list a row, `offsets` being those of its wnids; a part of a split is a list too, NAME/PART
    class_categories/    a superclass of a list, or a category of one of the other data sets, a row

Nothing is written unless every list agrees with all the sources it is held against, and has the SHA-256 that
lists.toml pins. Only wnids, numbers and names of categories are kept.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
from tables import write_columns

from imagenet_tools.containers import mat5
from imagenet_tools.wordnet import wordnet

HOUSE = Path(__file__).resolve().parent.parent
WNID = re.compile(r"n\d{8}")


@dataclass
class Category:
    """A superclass, or a category of another data set."""

    name: str
    synsets: list[str]
    without: list[str] = field(default_factory=list)
    members: list[str] = field(default_factory=list)
    number: int = -1  # of the other data set; -1: none
    note: str = ""


@dataclass
class List:
    """A list as it is written."""

    name: str
    title: str
    order: str
    source: str
    checked: str
    wnids: list[str]
    base: int = 0
    background: int = 0
    categories: list[Category] = field(default_factory=list)

    def lines(self) -> str:
        """What its SHA-256 is of: a line a class."""
        if not self.categories:
            return "".join(f"{wnid}\n" for wnid in self.wnids)
        return "".join(f"{one.name}\t{' '.join(one.members or one.synsets)}\n" for one in self.categories)

    def sha256(self) -> str:
        """Of its lines."""
        return hashlib.sha256(self.lines().encode()).hexdigest()


# ---- what the sources say


def wnids_of(how: dict[str, Any], sources: Path) -> list[str]:
    """The wnids that an entry `read` or `checks` means."""
    path = sources / how["file"]
    if "field" in how:
        rows = {int(row[how["field"]]): str(row["WNID"]) for row in mat5.read_structs(path.read_bytes())}  # type: ignore[arg-type]
        found = [rows[number] for number in range(1, 1001)]
    else:
        text = path.read_text(encoding="utf-8")
        if "after" in how:
            text = text.partition(how["after"])[2]
            text = text[: re.search(r"[\]}]", text).start()]  # type: ignore[union-attr]
            found = WNID.findall(text)
        elif path.suffix == ".json":
            found = WNID.findall(text)
        elif "column" in how:
            found = [row[how["column"]] for row in csv.reader(text.splitlines())][1:]
        else:
            found = [match[0] for match in map(WNID.search, text.splitlines()) if match]
    found = list(dict.fromkeys(found))
    if "less" in how:
        others = wnids_of({"file": how["less"]}, sources)
        found = [wnid for wnid in found if wnid not in others]
    return sorted({*found, *how.get("extra", ())}) if how.get("sorted") or "extra" in how else found


def disagreement(wnids: list[str], how: dict[str, Any], sources: Path) -> str:
    """What a source says against a list, in words; empty: nothing."""
    if "at" in how:
        wnids = [wnids[int(index)] for index in (sources / how["at"]).read_text().split()]
    theirs = wnids_of(how, sources)
    if theirs == wnids:
        return ""
    if set(theirs) == set(wnids):
        return "has another order"
    return f"lacks {len(set(wnids) - set(theirs))} of them and has {len(set(theirs) - set(wnids))} others"


def said(file: str, titles: dict[str, str]) -> str:
    """A source's file as people read it."""
    key = max((key for key in titles if file.startswith(f"{key}/")), key=len)
    return f"{titles[key]}, {file.removeprefix(f'{key}/')}"


# ---- lists


def plain(entry: dict[str, Any], sources: Path, titles: dict[str, str]) -> list[List]:
    """A list of wnids and the parts of its split; or, with superclasses, the parts and the list of all of them."""
    shared = {"title": entry["title"], "order": entry["order"]}
    checks = entry["checks"]
    checked = "; ".join(dict.fromkeys(said(how["file"], titles) for how in checks))
    parts = []
    for part, how in entry.get("parts", {}).items():
        categories = superclasses(sources / how["file"], how["superclass"]) if "superclass" in how else []
        wnids = [wnid for one in categories for wnid in one.members] or wnids_of(how, sources)
        name, source = f"{entry['name']}/{part}", said(how["file"], titles)
        parts.append(List(name=name, source=source, checked="", wnids=wnids, categories=categories, **shared))
    if "read" not in entry:
        whole = [one for part in parts for one in part.categories]
        wnids = [wnid for one in whole for wnid in one.members]
        source = "; ".join(part.source for part in parts)
        return [List(entry["name"], source=source, checked=checked, wnids=wnids, categories=whole, **shared), *parts]
    wnids = wnids_of(entry["read"], sources)
    for how in checks:
        if wrong := disagreement(wnids, how, sources):
            raise SystemExit(f"{entry['name']}: {how['file']} {wrong}")
    if parts and sorted(wnid for part in parts for wnid in part.wnids) != wnids:
        raise SystemExit(f"{entry['name']}: its parts are not all of it")
    numbers = {key: entry[key] for key in ("base", "background") if key in entry}
    source = said(entry["read"]["file"], titles)
    return [List(entry["name"], source=source, checked=checked, wnids=wnids, **numbers, **shared), *parts]


def superclasses(path: Path, column: int) -> list[Category]:
    """The superclasses of a csv, each with its classes, in the order in which they come."""
    found: dict[str, Category] = {}
    for row in csv.reader(path.read_text(encoding="ascii").splitlines()):
        above = row[column]
        found.setdefault(above, Category(wordnet.synset(above).name, [above])).members.append(row[1 - column])
    return list(found.values())


def breeds(entry: dict[str, Any], sources: Path, titles: dict[str, str]) -> list[List]:
    """A task of BREEDS: its superclasses with their classes, and the source and the target of each split."""
    import json

    splits = json.loads((sources / "breeds/splits.json").read_text())
    source = said("breeds/splits.json", titles)
    checked = "its own notebook, for living17/rand" if entry["breeds"] == "living17" else ""
    lists = []
    for split, side in [("None", "source"), *((s, d) for s in ("good", "bad", "rand") for d in ("source", "target"))]:
        task = splits[f"{entry['breeds']}/{split}"]
        names = [task["label_map"][str(number)] for number in range(len(task["superclasses"]))]
        # A superclass that robustness made itself is called dummy32, and is no synset.
        groups = [
            Category(name, [above] if WNID.fullmatch(above) else [], members=members)
            for name, above, members in zip(names, task["superclasses"], task[side], strict=True)
        ]
        name = entry["name"] + ("" if split == "None" else f"/{split}-{side}")
        wnids = [wnid for one in groups for wnid in one.members]
        lists.append(List(name, entry["title"], entry["order"], source, checked, wnids, categories=groups))
    return lists


def categories(page: dict[str, Any]) -> list[List]:
    """The lists of categories.toml, and CIFAR-100's 20 coarse ones."""
    lists = []
    for name, entry in page.items():
        found = [
            Category(
                name=one,
                synsets=[wordnet.synset(synset).wnid for synset in said["synsets"]],
                without=[wordnet.synset(synset).wnid for synset in said.get("without", [])],
                number=said.get("number", -1),
                note=said.get("note", ""),
            )
            for one, said in entry["categories"].items()
        ]
        about = {key: entry[key] for key in ("title", "order", "source", "checked")}
        lists.append(List(name=name, wnids=[wnid for one in found for wnid in one.synsets], categories=found, **about))
        coarse: dict[str, Category] = {}
        for one, said in zip(found, entry["categories"].values(), strict=True):
            if "coarse" in said:
                above = coarse.setdefault(said["coarse"], Category(said["coarse"], []))
                above.synsets += one.synsets
                above.without += one.without
        if coarse:
            ordered = [coarse[key] for key in sorted(coarse)]
            about |= {"title": "CIFAR-100's 20 superclasses", "order": "by CIFAR-100's coarse label, from 0"}
            wnids = [wnid for one in ordered for wnid in one.synsets]
            lists.append(List(name=f"{name}-coarse", wnids=wnids, categories=ordered, **about))
    return lists


# ---- writing


def offsets(values: list[list[str]]) -> pa.Array:
    """Lists of wnids as lists of whole numbers."""
    return pa.array([[int(wnid[1:]) for wnid in wnids] for wnids in values], pa.list_(pa.int32()))


def main() -> None:
    """Read the sources, hold the lists against them, write the two tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("sources", type=Path, help="the folder of the sources")
    sources = parser.parse_args().sources
    page = tomllib.loads((HOUSE / "data/lists.toml").read_text(encoding="utf-8"))
    lists, wrong = [], []
    for entry in page["list"]:
        made = (breeds if "breeds" in entry else plain)(entry, sources, page["sources"])
        if made[0].sha256() != entry["sha256"]:
            wrong.append(f"{entry['name']}: its SHA-256 is {made[0].sha256()}, lists.toml pins {entry['sha256']!r}")
        lists += made
    lists += categories(tomllib.loads((HOUSE / "data/categories.toml").read_text(encoding="utf-8")))
    for one in lists:
        repeated = len(one.wnids) != len(set(one.wnids)) and not one.name.startswith("cifar100")
        if repeated or any(wordnet.find_row(wnid) is None for wnid in one.wnids):
            wrong.append(f"{one.name}: a wnid stands twice, or is no synset of WordNet 3.0")
    if wrong:
        raise SystemExit("\n".join(wrong))
    texts = {
        key: pa.array([getattr(one, key) for one in lists]) for key in ("name", "title", "order", "source", "checked")
    }
    numbers = {key: pa.array([getattr(one, key) for one in lists], pa.int16()) for key in ("base", "background")}
    hashes = {"sha256": pa.array([one.sha256() for one in lists]), "offsets": offsets([one.wnids for one in lists])}
    write_columns("class_lists", {**texts, **numbers, **hashes})
    rows = [(number, one) for number, each in enumerate(lists) for one in each.categories]
    write_columns(
        "class_categories",
        {
            "list": pa.array([number for number, _ in rows], pa.int16()),
            "name": pa.array([one.name for _, one in rows]),
            "number": pa.array([one.number for _, one in rows], pa.int16()),
            "note": pa.array([one.note for _, one in rows]),
            "synsets": offsets([one.synsets for _, one in rows]),
            "without": offsets([one.without for _, one in rows]),
            "members": offsets([one.members for _, one in rows]),
        },
    )


if __name__ == "__main__":
    main()
