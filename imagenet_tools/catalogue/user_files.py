"""Files of classes and files of labels, as people keep them, read without being told which they are.

n01440764                                      a class a line; a wnid, or a name
n01440764 n01443537                            wnids alone: several on a line are several classes
tench, goldfish                                a single line: names with ',' between
n02099267,n02098550                            each class and a synset above it, as tieredImageNet has them
n01440764 tench, Tinca tinca                   LOC_synset_mapping.txt, synset_words.txt
n02119789 1 kit_fox                            map_clsloc.txt
0, tench                                       numbered names, with or without a heading above
["tench", "goldfish"]                          json: names or wnids in order
{"0": ["n01440764", "tench"]}                  json: by index, as Keras has them
{0: 'tench, Tinca tinca', 1: 'goldfish'}       a Python dict or list
{"n01440764": 0}                               json: class_to_idx
{"id2label": {"0": "tench"}}                   config.json of transformers; label2id too
{"classes": [{"wnid": "n01440764"}]}           classes.json of an export
names: [tench, goldfish]                       data.yaml of Ultralytics; names by index and a name a line too

65                                             a label a line; of several numbers the first
ILSVRC2012_val_00000001.JPEG 65                an image and its label, with ' ', ',' or a tab between
val/n01751748/ILSVRC2012_val_00000001.JPEG 65  an image in folders
{"ILSVRC2012_val_00000001": 65}                json, by image
{"image": "ILSVRC2012_val_00000001", "label": 65}   json lines, an image a line, whatever its keys are called
12\t65.0\tval/ILSVRC2012_val_00000001.JPEG     .lst of MXNet: index, label, path
*.npy                                          whole numbers: (n,); or scores: (n, classes), of which the greatest
"""

from __future__ import annotations

import ast
import itertools
import json
import re
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from imagenet_tools.errors import UsageError
from imagenet_tools.wordnet import wordnet
from imagenet_tools.wordnet.wnid import is_training_stem, is_wnid, official_split

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


@dataclass(frozen=True)
class ClassFile:
    """A file of classes, each a wnid or a name, in their order."""

    texts: tuple[str, ...] = field(repr=False)


@dataclass(frozen=True, eq=False)
class LabelFile:
    """A file of labels: numbers or wnids, with the stems of their images where it names any."""

    numbers: npt.NDArray[np.int64] | None = field(repr=False)  # (n,)
    wnids: tuple[str, ...] | None = field(repr=False)
    images: tuple[str, ...] | None = field(repr=False)

    def __len__(self) -> int:
        """How many rows there are."""
        return len(self.wnids or ()) if self.numbers is None else len(self.numbers)


# Larger files are refused before they are read: the names of 1.3 million images with labels take 50 MB.
_MOST_BYTES = 64 << 20
_MOST_LINES = 4_000_000
_MOST_LITERAL_BYTES = 4 << 20  # a Python literal takes 200 times its size while it is parsed


def read(path: str | Path) -> ClassFile | LabelFile:
    """Read a file of classes or of labels; UsageError where it is neither, OSError where it cannot be read."""
    path = Path(path)
    if path.suffix == ".npy":
        return _array(path)
    text = _text(path)
    if path.suffix in {".json", ".jsonl"} or text.lstrip()[:1] in {"[", "{"}:
        return _of_json(path, text)
    if (names := _yaml_names(path, text.splitlines())) is not None:
        return _classes(path, names)
    if path.suffix in {".yaml", ".yml"}:
        raise _neither(path, "it is YAML without `names:` and names below it")
    return _lines(path, [line for line in (line.partition("#")[0].strip() for line in text.splitlines()) if line])


def _text(path: Path) -> str:
    with path.open("rb") as file:
        data = file.read(_MOST_BYTES + 1)
    if len(data) > _MOST_BYTES or data.count(b"\n") > _MOST_LINES:
        raise _neither(path, f"it is larger than {_MOST_BYTES >> 20} MiB or {_MOST_LINES:,} lines")
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise _neither(path, "it is no text in UTF-8 but in UTF-16: save it as UTF-8")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _neither(path, f"it is no text in UTF-8: byte {error.start:,} is {data[error.start]:#04x}") from error
    if "\0" in text:
        raise _neither(path, "it is no text: it holds NUL")
    return text


def _neither(path: Path, why: str) -> UsageError:
    return UsageError(
        f"{path}: {why}. Expected a file of classes (a wnid or a name a line, json, a Python dict, or data.yaml) or of "
        "labels (a number a line, or an image and a label)."
    )


def read_classes(path: str | Path) -> Sequence[str]:
    """Return the classes that a file lists: wnids, names, or class numbers; UsageError where it holds labels."""
    given = read(path)
    if isinstance(given, ClassFile):
        return given.texts
    if given.images is None and given.wnids is not None:
        return tuple(dict.fromkeys(given.wnids))
    if given.images is None and given.numbers is not None and len(np.unique(given.numbers)) == len(given):
        return tuple(map(str, given.numbers.tolist()))
    raise _neither(Path(path), "it holds labels, and no list of classes")


def _classes(path: Path, texts: Sequence[str]) -> ClassFile:
    """Return classes of which each text is one; a single text may be several names with ',' between.

    UsageError: one of several texts names several classes.
    """
    several = [[part.strip() for part in text.split(",")] for text in texts if "," in text]
    several = [parts for parts in several if not wordnet.rows_with(parts) and all(map(_is_lemma, parts))]
    if several and len(texts) > 1:
        found = f"{', '.join(several[0])!r} names {len(several[0])} classes"
        raise _neither(path, f"{found}; expected one class a line, or all on a single line")
    return ClassFile(tuple(several[0]) if several else tuple(texts))


def _is_lemma(text: str) -> bool:
    return not _is_number(text) and bool(wordnet.rows_with([text]))


# ---- lines


def _lines(path: Path, lines: Sequence[str]) -> ClassFile | LabelFile:
    rows = [_cells(line) for line in lines]
    kinds = [_kind(row) for row in rows]
    if len(rows) > 1 and kinds[0] == "name" and _is_head(rows[0], kinds[1:]):
        rows, lines, kinds = rows[1:], lines[1:], kinds[1:]
    if not rows:
        raise _neither(path, "it holds nothing")
    if set(kinds) == {"lst"}:
        if several := next((row for row in rows if len(row) > 3), None):
            raise _neither(path, f"{' '.join(several)!r} has {len(several) - 2} labels; expected index, label, path")
        return _labelled(path, [row[1:2] for row in rows], [_stem(row[-1]) or "" for row in rows])
    if set(kinds) == {"image"}:
        return _labelled(path, [row[1:] for row in rows], [_stem(row[0]) or "" for row in rows])
    if set(kinds) == {"number"}:
        counted = len(rows[0]) > 1 and [int(float(row[0])) for row in rows] in (_count(0, rows), _count(1, rows))
        return _labelled(path, [row[1:] if counted else row for row in rows], None)
    if set(kinds) == {"wnid"} or (len(rows) <= _MOST and set(kinds) == {"wnid", "name"}):
        texts = _wnids_or_lines(path, rows, lines)
        repeated = len(set(texts)) < len(texts)
        return LabelFile(None, texts, None) if repeated and set(kinds) == {"wnid"} else ClassFile(texts)
    if len(rows) > _MOST or kinds.count("name") * 2 < len(kinds):
        place = next(n for n, kind in enumerate(kinds) if kind != kinds[0] or kind == "name")
        raise _neither(path, f"line {place + 1:,} of {len(rows):,} is {lines[place]!r}, unlike the others")
    return _classes(path, [text.strip().strip("\"'") for text in _names(lines)])


def _wnids_or_lines(path: Path, rows: Sequence[Sequence[str]], lines: Sequence[str]) -> tuple[str, ...]:
    """Return the wnid of each line, or the line where it has none; several where a line is wnids alone.

    UsageError: a line has several wnids beside other words, or a wnid is there twice.
    """
    if all(len(row) == 2 and all(map(is_wnid, row)) and _is_above(row[1], row[0]) for row in rows):
        return tuple(row[0] for row in rows)
    texts: list[str] = []
    several = False
    for row, line in zip(rows, lines, strict=True):
        wnids = list(filter(is_wnid, row))
        if 1 < len(wnids) < len(row):
            raise _neither(path, f"{line!r} names {len(wnids)} wnids; expected one a line, or wnids alone")
        several = several or len(wnids) > 1
        texts += wnids or [line]
    twice = next((text for text, n in Counter(texts).items() if n > 1), None) if several else None
    if twice is not None:
        raise _neither(path, f"it has several wnids a line, and {twice} more than once; expected each class once")
    return tuple(texts)


def _is_above(wnid: str, below: str) -> bool:
    above, waiting = wordnet.find_row(wnid), [wordnet.find_row(below)]
    while waiting:
        row = waiting.pop()
        if row is not None and row != above:
            waiting += wordnet.load().hypernyms.of(row).tolist()
        elif row is not None:
            return below != wnid
    return False


def _names(lines: Sequence[str]) -> Sequence[str]:
    """Return the names of lines: without the number before each, and without a heading above numbers from 0 or 1."""
    placed = [_PLACED.match(line) for line in lines]
    first = next((n for n, match in enumerate(placed) if match), len(lines))
    numbered = [match for match in placed[first:] if match]
    if not numbered or len(numbered) < len(lines) - first:
        return lines
    counted = [int(match[1]) for match in numbered] in (_count(0, numbered), _count(1, numbered))
    return [match[2] for match in numbered] if first == 0 or counted else lines


def _cells(line: str) -> Sequence[str]:
    if "\t" in line and _kind(cells := line.split("\t")) == "lst":  # whose paths may hold spaces
        return cells
    return _SEPARATOR.split(line.replace('"', "").strip())


_SEPARATOR = re.compile(r"[,;\s]+")
_NUMBER = re.compile(r"-?\d+(\.0*)?")
_NUMERIC = re.compile(r"[-+]?[\d.]+(e[-+]?\d+)?", re.IGNORECASE)
_PLACED = re.compile(r"(\d{1,9})[,;:\s]+(\S.*)")
_SUFFIX = re.compile(r"\.(jpe?g|png|webp)$", re.IGNORECASE)
_ADDED = re.compile(r"(?<=.)_n\d{8}$")  # the wnid that Hugging Face's names have behind the stem
_HEADS = {"name", "names", "class", "classes", "class_name", "label", "labels", "index", "id", "wnid", "synset"}
_MOST = 30_000  # names: WordNet's classes of images are 21,843


def _is_head(row: Sequence[str], below: Sequence[str]) -> bool:
    """Whether the first line names the columns, and is no class: a lone name above wnids may well be one."""
    return row[0].casefold() in _HEADS or ("name" not in below and (len(row) > 1 or "wnid" not in below))


def _kind(row: Sequence[str]) -> str:
    """What a line is: an image and what is said of it, a line of a .lst, numbers, something with a wnid, or a name."""
    if _is_number(row[0]) and all(map(_is_numeric, row[1:])):
        return "number"
    if len(row) > 2 and all(map(_is_numeric, row[:-1])) and _stem(row[-1]):
        return "lst"
    if _stem(row[0]):
        return "image"
    return "wnid" if any(map(is_wnid, row)) else "name"


def _labelled(path: Path, rows: Sequence[Sequence[str]], stems: Sequence[str] | None) -> LabelFile:
    said = [next((text for text in row if _is_number(text) or is_wnid(text)), "") for row in rows]
    images = tuple(stems) if stems else None
    if all(map(_is_number, said)):
        return LabelFile(np.array([int(float(text)) for text in said]), None, images)
    if all(map(is_wnid, said)):
        return LabelFile(None, tuple(said), images)
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


def _of_json(path: Path, text: str) -> ClassFile | LabelFile:
    try:
        lines = [line for line in text.splitlines() if line.strip()]
        if len(lines) > 1 and all(line.lstrip()[:1] == "{" and line.rstrip()[-1:] == "}" for line in lines):
            rows = [_value(path, line) for line in lines]
            if not all(isinstance(row, dict) for row in rows):
                raise _neither(path, "its lines are no JSON objects")
            return _lines(path, [" ".join(str(_first(said)) for said in row.values()) for row in rows])
        return _json(path, _value(path, text))
    except RecursionError as error:
        raise _neither(path, "its JSON is nested too deeply") from error


def _value(path: Path, text: str) -> Any:
    """Return the value of JSON, or of a Python dict or list; UsageError where it is neither or repeats a key."""

    def unique(pairs: Iterable[tuple[Any, Any]]) -> dict[Any, Any]:
        found: dict[Any, Any] = {}
        for key, value in pairs:
            if key in found:
                raise _neither(path, f"it gives {key!r} twice: {found[key]!r} and {value!r}")
            found[key] = value
        return found

    try:
        return json.loads(text, object_pairs_hook=unique)
    except UsageError:
        raise
    except ValueError as error:
        why = _neither(path, f"it is no JSON, nor a Python dict or list: {error}")
    if len(text) > _MOST_LITERAL_BYTES:
        raise why
    try:
        node = ast.parse(text.strip(), mode="eval").body
        if isinstance(node, ast.Dict):
            keys = [ast.literal_eval(key) for key in node.keys if key is not None]
            return unique(zip(keys, map(ast.literal_eval, node.values), strict=True))
        return ast.literal_eval(node)
    except UsageError:
        raise
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError) as error:
        raise why from error


def _json(path: Path, value: Any) -> ClassFile | LabelFile:
    if isinstance(value, dict):
        inner = next((value[key] for key in _INNER if isinstance(value.get(key), (list, dict))), None)
        value = value if inner is None else inner
    if isinstance(value, dict) and value:
        keys = [str(key) for key in value]
        if all(_stem(key) for key in keys):
            return _lines(path, [f"{key} {_first(said)}" for key, said in value.items()])
        value = _listed(path, value, keys)
    if not isinstance(value, (list, tuple)) or not value:
        raise _neither(path, "its JSON is no list of classes or labels")
    value = [one.get("wnid") or one.get("name") if isinstance(one, dict) else one for one in value]
    if all(isinstance(one, (list, tuple)) and one and isinstance(one[0], str) for one in value):
        texts = [[str(text) for text in one] for one in value]
        if any(any(map(is_wnid, one)) for one in texts):
            return ClassFile(_wnids_or_lines(path, texts, [", ".join(one) for one in texts]))
        value = [", ".join(one) for one in texts]
    value = [_first(one) if one != [] else -1 for one in value]  # ReaL has images without a label
    if all(isinstance(one, (int, float)) and not isinstance(one, bool) for one in value):
        return LabelFile(_whole(path, np.array(value)), None, None)
    if all(isinstance(one, str) for one in value):
        wnids = all(map(is_wnid, value)) and len(set(value)) < len(value)
        return LabelFile(None, tuple(value), None) if wnids else _classes(path, value)
    raise _neither(path, "its JSON mixes numbers and texts, or holds an empty list")


_INNER = ("id2label", "label2id", "names", "classes")  # keys below which other tools keep their classes


def _listed(path: Path, value: dict[Any, Any], keys: Sequence[str]) -> list[Any]:
    """Return the classes of a dict in order: by index, by name with its index (class_to_idx), or by wnid."""
    if all(map(_is_number, keys)):
        return [said for _, said in sorted(value.items(), key=lambda pair: float(pair[0]))]
    if all(type(said) is int for said in value.values()):
        by_index: dict[int, str] = {}
        for name, index in value.items():
            if by_index.setdefault(index, name) != name:
                raise _neither(path, f"it gives {index} to two classes: {by_index[index]!r} and {name!r}")
        return [by_index[index] for index in sorted(by_index)]
    if all(map(is_wnid, keys)):
        return [*keys]
    if all(isinstance(said, str) and is_wnid(said) for said in value.values()):
        return list(value.values())
    found = ", ".join(map(repr, keys[:3])) + (" ..." if len(keys) > 3 else "")
    raise _neither(path, f"its keys are {found}: no numbers or wnids, nor {', '.join(_INNER)} with classes below")


# ---- names of a data.yaml


_YAML_ITEM = re.compile(r"(?:(-)|(\d{1,9})\s*:)\s+(.*)")
_YAML_QUOTED = re.compile(r"""("(?:[^"\\]|\\.)*+"|'(?:[^']|'')*+')""")
_YAML_FLOW = re.compile(rf"""\s*((?:\d{{1,9}}\s*:\s+)?(?:{_YAML_QUOTED.pattern}\s*|[^\s,"'][^,]*))(?:,|$)""")


def _yaml_names(path: Path, lines: Sequence[str]) -> Sequence[str] | None:
    """Return the names of Ultralytics' data.yaml: a list or a dict by index, in brackets or with a name a line.

    No other YAML is read: UsageError, with what was found. None: there is no key `names` with anything below it.
    """
    start = next((n for n, line in enumerate(lines) if line.startswith("names:")), None)
    if start is None:
        return None
    below = itertools.takewhile(lambda line: not line.strip() or line[0] in " \t-#]}", lines[start + 1 :])
    block = [line.strip() for line in (lines[start].removeprefix("names:"), *below)]
    block = [line for line in block if line and line[0] != "#"]
    if block and block[0][0] in "[{":
        flow = " ".join(line.partition(" #")[0].rstrip() for line in block)
        inner, place = flow[1:-1].rstrip().removesuffix(","), 0
        items = []
        while match := _YAML_FLOW.match(inner, place):
            items.append(("" if flow[0] == "{" else "- ") + match[1].rstrip())
            place = match.end()
        if flow[-1] != {"[": "]", "{": "}"}[flow[0]] or place < len(inner):
            raise _neither(path, f"its names are no list or dict of names in one pair of brackets: {flow[:60]!r}")
    else:
        items = block
    matches = [_YAML_ITEM.fullmatch(item) for item in items]
    if None in matches:
        raise _neither(path, f"{items[matches.index(None)]!r} among its names is no `0: name` and no `- name`")
    found = [(int(match[2]) if match[2] else None, _yaml_scalar(path, match[3])) for match in matches if match]
    indexes = [index for index, _ in found if index is not None]
    if indexes and len(set(indexes)) < len(found):
        raise _neither(path, "its names do not all have an index of their own")
    return [name for _, name in sorted(found, key=lambda item: item[0] or 0)] or None


def _yaml_scalar(path: Path, text: str) -> str:
    quoted = _YAML_QUOTED.match(text)
    plain = text.partition(" #")[0].rstrip()
    if quoted and text[quoted.end() :].lstrip()[:1] in {"", "#"}:
        inner = quoted[0][1:-1]
        if text[0] == "'":
            return inner.replace("''", "'")
        with suppress(ValueError):  # an escape that YAML has and JSON has not
            return str(json.loads(quoted[0]))
    elif plain and plain[0] not in "\"'[]{}&*!|>%@`#" and ": " not in plain:
        return plain
    raise _neither(path, f"{text!r} among its names is YAML that is not read here; expected a name, or one in quotes")


def _first(value: Any) -> Any:
    return value[0] if isinstance(value, (list, tuple)) and value else value


def _array(path: Path) -> LabelFile:
    try:
        values = np.lib.format.open_memmap(path, mode="r")
    except (ValueError, EOFError, OverflowError) as error:
        raise _neither(path, f"numpy cannot read it: {error}") from error
    if values.ndim == 2 and values.shape[1] > 1 and values.dtype.kind in "iuf":
        return LabelFile(values.argmax(axis=1).astype(np.int64), None, None)
    if values.ndim not in {1, 2}:
        raise _neither(path, f"it holds {values.dtype} of shape {values.shape}")
    return LabelFile(_whole(path, values.reshape(-1)), None, None)


def _whole(path: Path, values: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Numbers as whole ones; UsageError where one is none, or too great to number a class."""
    if values.dtype.kind not in "iuf" or not (np.abs(values.astype(np.float64)) < _GREATEST).all():
        raise _neither(path, f"it holds {values.dtype} that number no classes")
    if (values != np.round(values)).any():
        raise _neither(path, f"it holds {values.dtype} of shape {values.shape}, not all of them whole")
    return values.astype(np.int64)


_GREATEST = 1e9
