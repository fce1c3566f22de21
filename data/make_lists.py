#!/usr/bin/env python3
"""Make the published class lists in imagenet_tools/tables/ from the sources that data/lists.toml names.

    python data/make_lists.py SOURCES [--only NAME ...]

    SOURCES                a folder of the sources, laid out as lists.toml spells their paths
    --only NAME ...        read these lists alone, and keep the others as they are bundled
    data/lists.toml        the lists, the source of each, and the sources that it is compared with
    data/categories.toml   the categories of VOC, COCO and CIFAR, and the synsets that this project chose for them

    class_lists/         a row a list, with the offsets of its wnids; a part of a split is a list too, NAME/PART
    class_categories/    a row a superclass of a list, or a category of another data set

Nothing is written unless every list agrees with all the sources that it is compared with, and has the SHA-256 that
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

import groups
import pyarrow as pa
from groups import Category
from tables import write_columns

from imagenet_tools.catalogue import lists as bundled
from imagenet_tools.containers import mat5
from imagenet_tools.wordnet import wordnet

ROOT = Path(__file__).resolve().parent.parent
WNID = re.compile(r"n\d{8}")


@dataclass
class PublishedList:
    """A list as it is written to the tables."""

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
        """Return the text whose SHA-256 is stored: a line a class."""
        if not self.categories:
            return "".join(f"{wnid}\n" for wnid in self.wnids)
        return "".join(
            f"{category.name}\t{' '.join(category.members or category.synsets)}\n" for category in self.categories
        )

    def sha256(self) -> str:
        """Return the SHA-256 of the lines."""
        return hashlib.sha256(self.lines().encode()).hexdigest()


# ---- sources


def wnids_of(how: dict[str, Any], sources: Path) -> list[str]:
    """Return the wnids that an entry `read` or `checks` refers to."""
    path = sources / how["file"]
    if "field" in how:
        rows = {int(row[how["field"]]): str(row["WNID"]) for row in mat5.read_structs(path.read_bytes())}  # type: ignore[arg-type]
        wnids = [rows[number] for number in range(1, 1001)]
    else:
        text = path.read_text(encoding="utf-8")
        if "after" in how:
            text = text.partition(how["after"])[2]
            text = text[: re.search(r"[\]}]", text).start()]  # type: ignore[union-attr]
            wnids = WNID.findall(text)
        elif path.suffix == ".json":
            wnids = WNID.findall(text)
        elif "column" in how:
            wnids = [row[how["column"]] for row in csv.reader(text.splitlines())][1:]
        else:
            wnids = [match[0] for match in map(WNID.search, text.splitlines()) if match]
    wnids = list(dict.fromkeys(wnids))
    if "less" in how:
        others = wnids_of({"file": how["less"]}, sources)
        wnids = [wnid for wnid in wnids if wnid not in others]
    return sorted({*wnids, *how.get("extra", ())}) if how.get("sorted") or "extra" in how else wnids


def disagreement(wnids: list[str], how: dict[str, Any], sources: Path) -> str:
    """Return how a source differs from a list, in words; empty if it does not."""
    if "at" in how:
        wnids = [wnids[int(index)] for index in (sources / how["at"]).read_text().split()]
    others = wnids_of(how, sources)
    if others == wnids:
        return ""
    if set(others) == set(wnids):
        return "has another order"
    return f"lacks {len(set(wnids) - set(others))} of them and has {len(set(others) - set(wnids))} others"


def source_title(file: str, titles: dict[str, str]) -> str:
    """Return the title of a source and the file in it."""
    key = max((key for key in titles if file.startswith(f"{key}/")), key=len)
    return f"{titles[key]}, {file.removeprefix(f'{key}/')}"


# ---- lists


def plain(entry: dict[str, Any], sources: Path, titles: dict[str, str]) -> list[PublishedList]:
    """Return a list of wnids and the parts of its split; or, with superclasses, the list of all parts and the parts."""
    shared = {"title": entry["title"], "order": entry["order"]}
    checks = entry["checks"]
    checked = "; ".join(dict.fromkeys(source_title(how["file"], titles) for how in checks))
    parts = []
    for part, how in entry.get("parts", {}).items():
        categories = superclasses(sources / how["file"], how["superclass"]) if "superclass" in how else []
        wnids = [wnid for category in categories for wnid in category.members] or wnids_of(how, sources)
        name, source = f"{entry['name']}/{part}", source_title(how["file"], titles)
        parts.append(PublishedList(name=name, source=source, checked="", wnids=wnids, categories=categories, **shared))
    if "read" not in entry:
        whole = [category for part in parts for category in part.categories]
        wnids = [wnid for category in whole for wnid in category.members]
        source = "; ".join(part.source for part in parts)
        return [
            PublishedList(entry["name"], source=source, checked=checked, wnids=wnids, categories=whole, **shared),
            *parts,
        ]
    wnids = wnids_of(entry["read"], sources)
    for how in checks:
        if wrong := disagreement(wnids, how, sources):
            raise SystemExit(f"{entry['name']}: {how['file']} {wrong}")
    if parts and sorted(wnid for part in parts for wnid in part.wnids) != wnids:
        raise SystemExit(f"{entry['name']}: its parts are not all of it")
    numbers = {key: entry[key] for key in ("base", "background") if key in entry}
    source = source_title(entry["read"]["file"], titles)
    return [PublishedList(entry["name"], source=source, checked=checked, wnids=wnids, **numbers, **shared), *parts]


def superclasses(path: Path, column: int) -> list[Category]:
    """Return the superclasses of a CSV file, each with its classes, in the order of the file."""
    by_wnid: dict[str, Category] = {}
    for row in csv.reader(path.read_text(encoding="ascii").splitlines()):
        above = row[column]
        by_wnid.setdefault(above, Category(wordnet.synset(above).name, [above])).members.append(row[1 - column])
    return list(by_wnid.values())


def breeds(entry: dict[str, Any], sources: Path, titles: dict[str, str]) -> list[PublishedList]:
    """Return a task of BREEDS: its superclasses with their classes, and the source and the target of each split."""
    import json

    splits = json.loads((sources / "breeds/splits.json").read_text())
    source = source_title("breeds/splits.json", titles)
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
        wnids = [wnid for category in groups for wnid in category.members]
        lists.append(PublishedList(name, entry["title"], entry["order"], source, checked, wnids, categories=groups))
    return lists


def grouped(entry: dict[str, Any], sources: Path, titles: dict[str, str]) -> list[PublishedList]:
    """Return a list of groups of classes, or of categories of another data set, by the reader of groups.py."""
    files = [entry["read"]["file"], *(how["file"] for how in entry["checks"])]
    read, *checks = (sources / file for file in files)
    source, *checked = (source_title(file, titles) for file in files)
    categories = groups.READERS[entry["groups"]](read, checks)
    wnids = [wnid for category in categories for wnid in category.members or category.synsets]
    about = (entry["name"], entry["title"], entry["order"], source, "; ".join(checked), wnids)
    return [PublishedList(*about, base=entry.get("base", 0), categories=categories)]


def kept(entry: dict[str, Any]) -> list[PublishedList]:
    """Return a list, and the parts of its split, as they are bundled."""
    names = [name for name in bundled.names(parts=True) if name.partition("/")[0] == entry["name"]]
    lists = []
    for old in map(bundled.get, names):
        categories = [
            Category(name, list(synsets), list(without), list(members), -1 if number is None else number, note)
            for name, synsets, without, members, number, note in old.categories
        ]
        numbers = {"base": old.base, "background": old.background}
        about = (old.name, old.title, old.order, old.source, old.checked, list(old.wnids))
        lists.append(PublishedList(*about, categories=categories, **numbers))
    return lists


def categories(page: dict[str, Any]) -> list[PublishedList]:
    """Return the lists of categories.toml, and CIFAR-100's 20 coarse categories."""
    lists = []
    for name, entry in page.items():
        fine = [
            Category(
                name=category,
                synsets=[wordnet.synset(synset).wnid for synset in facts["synsets"]],
                without=[wordnet.synset(synset).wnid for synset in facts.get("without", [])],
                number=facts.get("number", -1),
                note=facts.get("note", ""),
            )
            for category, facts in entry["categories"].items()
        ]
        about = {key: entry[key] for key in ("title", "order", "source", "checked")}
        lists.append(
            PublishedList(
                name=name, wnids=[wnid for category in fine for wnid in category.synsets], categories=fine, **about
            )
        )
        coarse: dict[str, Category] = {}
        for category, facts in zip(fine, entry["categories"].values(), strict=True):
            if "coarse" in facts:
                above = coarse.setdefault(facts["coarse"], Category(facts["coarse"], []))
                above.synsets += category.synsets
                above.without += category.without
        if coarse:
            ordered = [coarse[key] for key in sorted(coarse)]
            about |= {"title": "CIFAR-100's 20 superclasses", "order": "by CIFAR-100's coarse label, from 0"}
            wnids = [wnid for category in ordered for wnid in category.synsets]
            lists.append(PublishedList(name=f"{name}-coarse", wnids=wnids, categories=ordered, **about))
    return lists


# ---- write


def offsets(values: list[list[str]]) -> pa.Array:
    """Return lists of wnids as lists of whole numbers."""
    return pa.array([[int(wnid[1:]) for wnid in wnids] for wnids in values], pa.list_(pa.int32()))


def main() -> None:
    """Read the sources, compare the lists with them, and write the two tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("sources", type=Path, help="the folder of the sources")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="read these lists alone; keep the others")
    arguments = parser.parse_args()
    sources = arguments.sources
    page = tomllib.loads((ROOT / "data/lists.toml").read_text(encoding="utf-8"))
    lists, wrong = [], []
    for entry in page["list"]:
        if arguments.only and entry["name"] not in arguments.only:
            entry_lists = kept(entry)
        else:
            read = breeds if "breeds" in entry else grouped if "groups" in entry else plain
            entry_lists = read(entry, sources, page["sources"])
        if entry_lists[0].sha256() != entry["sha256"]:
            wrong.append(
                f"{entry['name']}: its SHA-256 is {entry_lists[0].sha256()}, lists.toml pins {entry['sha256']!r}"
            )
        lists += entry_lists
    lists += categories(tomllib.loads((ROOT / "data/categories.toml").read_text(encoding="utf-8")))
    for listed in lists:
        repeated = len(listed.wnids) != len(set(listed.wnids)) and not listed.name.startswith("cifar100")
        if repeated or any(wordnet.find_row(wnid) is None for wnid in listed.wnids):
            wrong.append(f"{listed.name}: a wnid appears twice, or is no synset of WordNet 3.0")
    if wrong:
        raise SystemExit("\n".join(wrong))
    texts = {
        key: pa.array([getattr(listed, key) for listed in lists])
        for key in ("name", "title", "order", "source", "checked")
    }
    numbers = {key: pa.array([getattr(listed, key) for listed in lists], pa.int16()) for key in ("base", "background")}
    hashes = {
        "sha256": pa.array([listed.sha256() for listed in lists]),
        "offsets": offsets([listed.wnids for listed in lists]),
    }
    write_columns("class_lists", {**texts, **numbers, **hashes})
    rows = [(number, category) for number, listed in enumerate(lists) for category in listed.categories]
    write_columns(
        "class_categories",
        {
            "list": pa.array([number for number, _ in rows], pa.int16()),
            "name": pa.array([category.name for _, category in rows]),
            "number": pa.array([category.number for _, category in rows], pa.int16()),
            "note": pa.array([category.note for _, category in rows]),
            "synsets": offsets([category.synsets for _, category in rows]),
            "without": offsets([category.without for _, category in rows]),
            "members": offsets([category.members for _, category in rows]),
        },
    )


if __name__ == "__main__":
    main()
