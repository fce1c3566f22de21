"""The classes of an export: their order, what they are called, and classes.json, which says it to everyone."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from imagenet_tools.catalogue import lists
from imagenet_tools.errors import UsageError
from imagenet_tools.wordnet import wordnet


@dataclass(frozen=True)
class Class:
    """A class of an export. `display` is for people, `folder` for file systems; both unique without regard to case."""

    index: int  # 0-based, in the order of the export
    wnid: str
    name: str
    display: str
    folder: str


def order_classes(wnids: Sequence[str], *, names: str = "wnid", by_folder: bool = False) -> list[Class]:
    """The classes in order, named: `names` is wnid, lemma, or a file of `wnid name` lines.

    With `by_folder`, in the order in which a loader of class folders will number them: plain string order of folders.
    Else in the order given.
    """
    display = _display(wnids)
    if names == "wnid":
        called, folders = display, {wnid: wnid for wnid in wnids}
    else:
        called = display if names == "lemma" else _from_file(Path(names), wnids)
        folders = {wnid: called[wnid].replace("/", "_").replace(" ", "_") for wnid in wnids}
        _check_unique(folders, names)
    rows = sorted(wnids, key=folders.__getitem__) if by_folder else wnids
    return [
        Class(index, wnid, wordnet.synset(wnid).name, called[wnid], folders[wnid]) for index, wnid in enumerate(rows)
    ]


def _display(wnids: Sequence[str]) -> dict[str, str]:
    """First lemmas; where two classes share one, with the first hypernym that tells them apart in parentheses."""
    first = {wnid: wordnet.synset(wnid).lemmas[0].replace("_", " ") for wnid in wnids}
    called = dict(first)
    for qualify in (_by_hypernym, _by_wnid):
        shared = Counter(name.casefold() for name in called.values())
        called = {
            wnid: qualify(wnid, first[wnid]) if shared[name.casefold()] > 1 else name for wnid, name in called.items()
        }
    return called


def _by_hypernym(wnid: str, lemma: str) -> str:
    parents = wordnet.synset(wnid).hypernyms
    return f"{lemma} ({wordnet.synset(parents[0]).lemmas[0].replace('_', ' ')})" if parents else lemma


def _by_wnid(wnid: str, lemma: str) -> str:
    return f"{lemma} ({wnid})"


def _from_file(path: Path, wnids: Sequence[str]) -> dict[str, str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        message = f"--names {path}: {error.strerror}. Expected wnid, lemma, or a file of `wnid name` lines."
        raise UsageError(message) from error
    pairs = [line.split(None, 1) for line in lines if line.strip()]
    found = {pair[0]: pair[1].strip() for pair in pairs if len(pair) == 2}
    missing = [wnid for wnid in wnids if wnid not in found]
    if missing:
        message = f"--names {path}: no name for {len(missing)} classes, {missing[0]} first. Expected `wnid name` lines."
        raise UsageError(message)
    return {wnid: found[wnid] for wnid in wnids}


def _check_unique(folders: Mapping[str, str], names: str) -> None:
    seen: dict[str, str] = {}
    for wnid, folder in folders.items():
        key = folder.casefold()
        if not folder or folder.startswith(".") or key in seen:
            what = f"{seen[key]} and {wnid} would both be '{folder}'" if key in seen else f"{wnid} is called '{folder}'"
            message = f"--names {names}: {what}. Expected names that differ in more than case, and can name a folder."
            raise UsageError(message)
        seen[key] = wnid


def classes_json(
    classes: Sequence[Class],
    counts: Mapping[str, Mapping[str, Mapping[str, int]]],
    order: str,
    members: Mapping[str, Sequence[str]] | None = None,
) -> bytes:
    """classes.json: order and its hash, and for each class its names, place in WordNet and other orders, and counts.

    `counts` is {split: {wnid: {"images": n, "boxes": n}}}; `members` the wnids of the images that a class is made of.
    """
    lines = "".join(f"{one.wnid}\n" for one in classes)
    rows: list[dict[str, object]] = []
    for one in classes:
        synset = wordnet.synset(one.wnid)
        rows.append(
            {
                "index": one.index,
                "wnid": one.wnid,
                "name": one.name,
                "display": one.display,
                "folder": one.folder,
                "lemmas": list(synset.lemmas),
                "parents": list(synset.hypernyms),
                "members": list((members or {}).get(one.wnid, (one.wnid,))),
                "label_spaces": lists.numbers_of(one.wnid),
                "splits": {split: found.get(one.wnid, {"images": 0, "boxes": 0}) for split, found in counts.items()},
            }
        )
    content = {
        "format": 1,
        "order": order,
        "n_classes": len(classes),
        "sha256_of_wnid_lines": hashlib.sha256(lines.encode()).hexdigest(),
        "equals": lists.equal([one.wnid for one in classes]),
        "classes": rows,
    }
    return (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode()
