"""Files of classes and files of labels, as people keep them, read without being told which they are.

n01440764                                      a class a line; a wnid, or a name
n01440764 tench, Tinca tinca                   LOC_synset_mapping.txt, synset_words.txt
n02119789 1 kit_fox                            map_clsloc.txt
["tench", "goldfish"]                          json: names or wnids in order
{"0": ["n01440764", "tench"]}                  json: by index, as Keras has them
{"n01440764": 0}                               json: class_to_idx
{"classes": [{"wnid": "n01440764"}]}           classes.json of an export

65                                             a label a line; of several numbers the first
ILSVRC2012_val_00000001.JPEG 65                an image and its label, with ' ', ',' or a tab between
val/n01751748/ILSVRC2012_val_00000001.JPEG 65  an image in folders
{"ILSVRC2012_val_00000001": 65}                json, by image
{"image": "ILSVRC2012_val_00000001", "label": 65}   json lines, an image a line, whatever its keys are called
*.npy                                          whole numbers: (n,); or scores: (n, classes), of which the greatest
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from imagenet_tools.errors import UsageError
from imagenet_tools.wnid import is_training_stem, is_wnid, official_split

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class Classes:
    """A file of classes, each a wnid or a name, in their order."""

    texts: tuple[str, ...] = field(repr=False)


@dataclass(frozen=True, eq=False)
class Labels:
    """A file of labels: numbers or wnids, with the stems of their images where it names any."""

    numbers: npt.NDArray[np.int64] | None = field(repr=False)  # (n,)
    wnids: tuple[str, ...] | None = field(repr=False)
    images: tuple[str, ...] | None = field(repr=False)

    def __len__(self) -> int:
        """How many rows there are."""
        return len(self.wnids or ()) if self.numbers is None else len(self.numbers)


def read(path: str | Path) -> Classes | Labels:
    """What a file holds; UsageError where it is neither classes nor labels, OSError where it cannot be read."""
    path = Path(path)
    if path.suffix == ".npy":
        return _array(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise _neither(path, "it is no text") from error
    if "\0" in text:
        raise _neither(path, "it is no text")
    if path.suffix in {".json", ".jsonl"} or text.lstrip()[:1] in {"[", "{"}:
        return _of_json(path, text)
    lines = [line for line in (line.partition("#")[0].strip() for line in text.splitlines()) if line]
    return _lines(path, lines)


def _neither(path: Path, why: str) -> UsageError:
    return UsageError(
        f"{path}: {why}. Expected a file of classes (a wnid or a name a line, or json) or of labels (a number a line, "
        "or an image and a label)."
    )


def read_classes(path: str | Path) -> Sequence[str]:
    """The classes that a file lists, each a wnid or a name; UsageError where it holds numbers, or labels of images."""
    given = read(path)
    if isinstance(given, Classes):
        return given.texts
    if given.wnids is None or given.images is not None:
        raise _neither(Path(path), "it holds labels, and no list of classes")
    return tuple(dict.fromkeys(given.wnids))


# ---- lines


def _lines(path: Path, lines: Sequence[str]) -> Classes | Labels:
    rows = [_SEPARATOR.split(line.replace('"', "").strip()) for line in lines]
    kinds = [_kind(row) for row in rows]
    if len(rows) > 1 and kinds[0] == "name" and _is_head(rows[0], kinds[1:]):
        rows, lines, kinds = rows[1:], lines[1:], kinds[1:]
    if not rows:
        raise _neither(path, "it holds nothing")
    if set(kinds) == {"image"}:
        return _labelled(path, [row[1:] for row in rows], [_stem(row[0]) or "" for row in rows])
    if set(kinds) == {"number"}:
        counted = len(rows[0]) > 1 and [int(float(row[0])) for row in rows] in (_count(0, rows), _count(1, rows))
        return _labelled(path, [row[1:] if counted else row for row in rows], None)
    if set(kinds) == {"wnid"}:
        wnids = tuple(next(filter(is_wnid, row)) for row in rows)
        return Labels(None, wnids, None) if len(set(wnids)) < len(wnids) else Classes(wnids)
    if len(rows) <= _MOST and set(kinds) == {"wnid", "name"}:
        return Classes(tuple(next(filter(is_wnid, row), line) for row, line in zip(rows, lines, strict=True)))
    if len(rows) > _MOST or kinds.count("name") * 2 < len(kinds):
        place = next(n for n, kind in enumerate(kinds) if kind != kinds[0] or kind == "name")
        raise _neither(path, f"line {place + 1:,} of {len(rows):,} is {lines[place]!r}, unlike the others")
    # Names: a number before each is its place, and no part of the name.
    placed = [_PLACED.match(line) for line in lines]
    texts = [match[1] for match in placed if match] if all(placed) else lines
    return Classes(tuple(text.strip().strip("\"'") for text in texts))


_SEPARATOR = re.compile(r"[,;\s]+")
_NUMBER = re.compile(r"-?\d+(\.0*)?")
_NUMERIC = re.compile(r"[-+]?[\d.]+(e[-+]?\d+)?", re.IGNORECASE)
_PLACED = re.compile(r"\d+[,;:\s]+(\S.*)")
_SUFFIX = re.compile(r"\.(jpe?g|png|webp)$", re.IGNORECASE)
_ADDED = re.compile(r"(?<=.)_n\d{8}$")  # the wnid that Hugging Face's names have behind the stem
_HEADS = {"name", "names", "class", "classes", "class_name", "label", "labels", "index", "id", "wnid", "synset"}
_MOST = 30_000  # names: WordNet's classes of images are 21,843


def _is_head(row: Sequence[str], below: Sequence[str]) -> bool:
    """Whether the first line names the columns, and is no class: a lone name above wnids may well be one."""
    return row[0].casefold() in _HEADS or ("name" not in below and (len(row) > 1 or "wnid" not in below))


def _kind(row: Sequence[str]) -> str:
    """What a line is: an image and what is said of it, numbers, something with a wnid, or a name."""
    if _is_number(row[0]) and all(map(_is_numeric, row[1:])):
        return "number"
    if _stem(row[0]):
        return "image"
    return "wnid" if any(map(is_wnid, row)) else "name"


def _labelled(path: Path, rows: Sequence[Sequence[str]], stems: Sequence[str] | None) -> Labels:
    said = [next((text for text in row if _is_number(text) or is_wnid(text)), "") for row in rows]
    images = tuple(stems) if stems else None
    if all(map(_is_number, said)):
        return Labels(np.array([int(float(text)) for text in said]), None, images)
    if all(map(is_wnid, said)):
        return Labels(None, tuple(said), images)
    place = next(n for n, text in enumerate(said) if not text or is_wnid(text) != is_wnid(said[0]))
    found = " ".join(rows[place])
    raise _neither(path, f"row {place + 1:,} of the labels is {found!r}, no number or wnid as the first one is")


def _stem(text: str) -> str | None:
    """The stem of an image's name, without folders, suffix, and the wnid that some add; None for another text."""
    name = text.strip("\"'").replace("\\", "/").rpartition("/")[2]
    stem = _SUFFIX.sub("", name)
    known = _ADDED.sub("", stem)
    return known if stem != name or official_split(known) or is_training_stem(known) else None


def _is_number(text: str) -> bool:
    return _NUMBER.fullmatch(text) is not None and len(text) < 12


def _is_numeric(text: str) -> bool:
    return _NUMERIC.fullmatch(text) is not None


def _count(start: int, rows: Sequence[object]) -> list[int]:
    return list(range(start, start + len(rows)))


# ---- json and arrays


def _of_json(path: Path, text: str) -> Classes | Labels:
    try:
        lines = [line for line in text.splitlines() if line.strip()]
        if len(lines) > 1 and all(line.lstrip()[:1] == "{" and line.rstrip()[-1:] == "}" for line in lines):
            rows = [json.loads(line) for line in lines]
            return _lines(path, [" ".join(str(_first(said)) for said in row.values()) for row in rows])
        return _json(path, json.loads(text))
    except json.JSONDecodeError as error:
        raise _neither(path, f"it is no JSON: {error}") from error
    except RecursionError as error:
        raise _neither(path, "its JSON is nested too deeply") from error


def _json(path: Path, value: Any) -> Classes | Labels:
    if isinstance(value, dict) and isinstance(value.get("classes"), list):
        value = [one.get("wnid") or one.get("name") if isinstance(one, dict) else one for one in value["classes"]]
    if isinstance(value, dict) and value:
        keys = [str(key) for key in value]
        if all(_stem(key) for key in keys):
            return _lines(path, [f"{key} {_first(said)}" for key, said in value.items()])
        if all(map(_is_number, keys)):  # by index
            value = [said for _, said in sorted(value.items(), key=lambda pair: int(pair[0]))]
        elif all(type(said) is int for said in value.values()):  # class_to_idx
            value = sorted(value, key=value.__getitem__)
        else:
            value = keys
    if not isinstance(value, list) or not value:
        raise _neither(path, "its JSON is no list of classes or labels")
    if all(isinstance(one, list) and one and isinstance(one[0], str) for one in value):
        value = [next(filter(is_wnid, map(str, one)), one[0]) for one in value]
    value = [_first(one) if one != [] else -1 for one in value]  # ReaL has images without a label
    if all(isinstance(one, (int, float)) and not isinstance(one, bool) for one in value):
        return Labels(_whole(path, np.array(value)), None, None)
    if all(isinstance(one, str) for one in value):
        wnids = all(map(is_wnid, value)) and len(set(value)) < len(value)
        return Labels(None, tuple(value), None) if wnids else Classes(tuple(value))
    raise _neither(path, "its JSON mixes numbers and texts, or holds an empty list")


def _first(value: Any) -> Any:
    return value[0] if isinstance(value, list) and value else value


def _array(path: Path) -> Labels:
    try:
        values = np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise _neither(path, f"numpy cannot read it: {error}") from error
    if values.ndim == 2 and values.shape[1] > 1 and values.dtype.kind in "iuf":
        return Labels(values.argmax(axis=1).astype(np.int64), None, None)
    if values.ndim not in {1, 2}:
        raise _neither(path, f"it holds {values.dtype} of shape {values.shape}")
    return Labels(_whole(path, values.reshape(-1)), None, None)


def _whole(path: Path, values: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Numbers as whole ones; UsageError where one is none, or too great to number a class."""
    if values.dtype.kind not in "iuf" or not (np.abs(values.astype(np.float64)) < _GREATEST).all():
        raise _neither(path, f"it holds {values.dtype} that number no classes")
    if (values != np.round(values)).any():
        raise _neither(path, f"it holds {values.dtype} of shape {values.shape}, not all of them whole")
    return values.astype(np.int64)


_GREATEST = 1e9
