"""The classes of an export: their order, their names, and classes.json."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from imagenet_tools.catalogue import lists
from imagenet_tools.errors import UnknownSynsetError, UsageError
from imagenet_tools.text import are, count_of, some_of
from imagenet_tools.wordnet import wordnet
from imagenet_tools.wordnet.wnid import sha256_of_lines

if TYPE_CHECKING:
    from imagenet_tools.catalogue.lists import Category

_MAX_NAME_BYTES = 255  # of a folder, on Linux and macOS


@dataclass(frozen=True)
class Class:
    """A class of an export. `display` is for people, `folder` for file systems; both are unique in any case."""

    index: int  # from 0, in the order of the export
    wnid: str
    name: str
    display: str
    folder: str


def order_classes(
    wnids: Sequence[str], *, names: str = "wnid", by_folder: bool = False, listed: Mapping[str, Category] | None = None
) -> list[Class]:
    """Return the classes of an export with their names.

    Args:
        wnids: The classes in order.
        names: "wnid", "lemma", "listed", or the path of a file of `wnid name` lines.
        by_folder: Order by folder name as plain text, as a loader of class folders will number them.
        listed: The categories that name the classes with "listed", by wnid.

    Raises:
        UsageError: A file that cannot be read or lacks a class, or names that cannot be folders.
        UnknownSynsetError: A class that is no synset.
    """
    if unknown := [wnid for wnid in wnids if wordnet.find_row(wnid) is None]:
        raise UnknownSynsetError(
            f"{count_of(len(unknown), 'class')} of the export {are(len(unknown))} no synset of WordNet 3.0: "
            f"{some_of(unknown)}. An export names its classes by WordNet: leave such out with --under entity, or call "
            "their folders by wnids of WordNet 3.0 and index them again."
        )
    titles = _display_names(wnids)
    if names == "wnid":
        folders = {wnid: wnid for wnid in wnids}
    else:
        if names == "listed":
            titles = _names_from_list(listed or {}, wnids)
        elif names != "lemma":
            titles = _names_from_file(Path(names), wnids)
        folders = {wnid: titles[wnid].replace("/", "_").replace(" ", "_") for wnid in wnids}
        _check_folders(folders, names)
    ordered = sorted(wnids, key=folders.__getitem__) if by_folder else wnids
    return [
        Class(index, wnid, wordnet.synset(wnid).name, titles[wnid], folders[wnid]) for index, wnid in enumerate(ordered)
    ]


def _display_names(wnids: Sequence[str]) -> dict[str, str]:
    """Return first lemmas; classes that share one have their first hypernym, or else the wnid, in parentheses."""
    lemmas = {wnid: _first_lemma(wnid) for wnid in wnids}
    names = dict(lemmas)
    for with_hypernym in (True, False):
        counts = Counter(name.casefold() for name in names.values())
        for wnid in [wnid for wnid, name in names.items() if counts[name.casefold()] > 1]:
            hypernyms = wordnet.synset(wnid).hypernyms
            if not with_hypernym:
                names[wnid] = f"{lemmas[wnid]} ({wnid})"
            elif hypernyms:
                names[wnid] = f"{lemmas[wnid]} ({_first_lemma(hypernyms[0])})"
    return names


def _first_lemma(wnid: str) -> str:
    return wordnet.synset(wnid).lemmas[0].replace("_", " ")


def _names_from_list(listed: Mapping[str, Category], wnids: Sequence[str]) -> dict[str, str]:
    if missing := [wnid for wnid in wnids if wnid not in listed]:
        problem = f"no published list names {missing[0]}" if listed else "found no published list"
        raise UsageError(
            f"--names listed: {problem}. Expected --superclasses with a list of named classes, such as coco80."
        )
    return {wnid: listed[wnid].name for wnid in wnids}


def _names_from_file(path: Path, wnids: Sequence[str]) -> dict[str, str]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        problem = f"byte {error.start} is no UTF-8" if isinstance(error, UnicodeDecodeError) else error.strerror
        message = f"--names {path}: {problem}. Expected wnid, lemma, listed, or a file of `wnid name` lines."
        raise UsageError(message) from error
    names: dict[str, str] = {}
    for wnid, name in (pair for pair in (line.split(None, 1) for line in lines) if len(pair) == 2):
        if names.setdefault(wnid, name.strip()) != name.strip():
            raise UsageError(f"--names {path}: {wnid} is {names[wnid]!r} and {name.strip()!r}. Expected one name.")
    missing = [wnid for wnid in wnids if wnid not in names]
    if missing:
        problem = f"no name for {len(missing)} classes, {missing[0]} first"
        raise UsageError(f"--names {path}: {problem}. Expected `wnid name` lines.")
    return {wnid: names[wnid] for wnid in wnids}


def _check_folders(folders: Mapping[str, str], names: str) -> None:
    wnid_of: dict[str, str] = {}
    expected = "Expected names that differ in more than case, and can name a folder."
    for wnid, folder in folders.items():
        key = folder.casefold()
        if key in wnid_of:
            raise UsageError(f"--names {names}: {wnid_of[key]} and {wnid} would both be '{folder}'. {expected}")
        if not folder or folder.startswith(".") or not folder.isprintable() or len(folder.encode()) > _MAX_NAME_BYTES:
            raise UsageError(f"--names {names}: {wnid} is called '{folder}'. {expected}")
        wnid_of[key] = wnid


def classes_json(
    classes: Sequence[Class],
    counts: Mapping[str, Mapping[str, Mapping[str, int]]],
    order: str,
    members: Mapping[str, Sequence[str]] | None = None,
) -> bytes:
    """Return classes.json: the order and its hash, and the names, places, members and counts of each class.

    Args:
        classes: The classes in order.
        counts: {split: {wnid: {"images": n, "boxes": n}}}.
        order: The name of the order.
        members: The wnids whose images each class has; default: its own.
    """
    wnids = [entry.wnid for entry in classes]
    content = {
        "format": 1,
        "order": order,
        "n_classes": len(classes),
        "sha256_of_wnid_lines": sha256_of_lines(wnids),
        "equals": lists.equal(wnids),
        "classes": [
            asdict(entry)
            | {
                "lemmas": synset.lemmas,
                "parents": synset.hypernyms,
                "members": (members or {}).get(entry.wnid, (entry.wnid,)),
                "label_spaces": lists.numbers_of(entry.wnid),
                "splits": {split: n.get(entry.wnid, {"images": 0, "boxes": 0}) for split, n in counts.items()},
            }
            for entry, synset in zip(classes, map(wordnet.synset, wnids), strict=True)
        ],
    }
    return (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode()
