"""Read files of classes and files of labels in the forms that people keep them; the content tells which it is.

n01440764                                      a class a line; a wnid, or a name
n01440764 n01443537                            wnids alone: several on a line are several classes
tench, goldfish                                a single line: names with ',' between
n02099267,n02098550                            each class and a synset above it, as tieredImageNet has them
n01440764 tench, Tinca tinca                   LOC_synset_mapping.txt, synset_words.txt
n02119789 1 kit_fox                            map_clsloc.txt
0, tench                                       numbered names, with or without a heading above
["tench", "goldfish"]                          JSON: names or wnids in order
{"0": ["n01440764", "tench"]}                  JSON: by index, as Keras has them
{0: 'tench, Tinca tinca', 1: 'goldfish'}       a Python dict or list
{"n01440764": 0}                               JSON: class_to_idx
{"id2label": {"0": "tench"}}                   config.json of transformers; label2id too
{"classes": [{"wnid": "n01440764"}]}           classes.json of an export
names: [tench, goldfish]                       data.yaml of Ultralytics; names by index and a name a line too

65                                             a label a line; of several numbers the first
ILSVRC2012_val_00000001.JPEG 65                an image and its label, with ' ', ',' or a tab between
val/n01751748/ILSVRC2012_val_00000001.JPEG 65  an image in folders
{"ILSVRC2012_val_00000001": 65}                JSON, by image
{"image": "ILSVRC2012_val_00000001", "label": 65}   JSON lines, an image a line, with any keys
12\t65.0\tval/ILSVRC2012_val_00000001.JPEG     .lst of MXNet: index, label, path
*.npy                                          whole numbers: (n,), or (n, k), the first is the label; or scores:
                                               (n, classes), the greatest is the label
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
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from imagenet_tools.errors import UsageError
from imagenet_tools.wordnet import hierarchy, wordnet
from imagenet_tools.wordnet.wnid import is_training_stem, is_wnid, official_split

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# Larger files are refused before they are read: the names of 1.3 million images with labels take 50 MB.
_MAX_BYTES = 64 << 20
_MAX_LINES = 4_000_000
_MAX_LITERAL_BYTES = 4 << 20  # parsing a Python literal takes 200 times its size
_MAX_NAMES = 30_000  # WordNet's classes of images are 21,843
_MAX_NUMBER = 1e9
_MIN_OUTPUTS = 100  # of a model; fewer columns of whole numbers are its best classes

_HEADER_WORDS = {"name", "names", "class", "classes", "class_name", "label", "labels", "index", "id", "wnid", "synset"}
_INNER_KEYS = ("id2label", "label2id", "names", "classes")  # keys below which other tools keep their classes
_SEPARATOR = re.compile(r"[,;\s]+")
_NUMBER = re.compile(r"-?\d+(\.0*)?")
_NUMERIC = re.compile(r"[-+]?[\d.]+(e[-+]?\d+)?", re.IGNORECASE)
_NUMBERED_NAME = re.compile(r"(\d{1,9})[,;:\s]+(\S.*)")
_IMAGE_SUFFIX = re.compile(r"\.(jpe?g|png|webp)$", re.IGNORECASE)
_ADDED_WNID = re.compile(r"(?<=.)_n\d{8}$")  # Hugging Face's file names have it behind the stem
_YAML_ITEM = re.compile(r"(?:(-)|(\d{1,9})\s*:)\s+(.*)")
_YAML_QUOTED = re.compile(r"""("(?:[^"\\]|\\.)*+"|'(?:[^']|'')*+')""")
_YAML_FLOW = re.compile(rf"""\s*((?:\d{{1,9}}\s*:\s+)?(?:{_YAML_QUOTED.pattern}\s*|[^\s,"'][^,]*))(?:,|$)""")


@dataclass(frozen=True, eq=False)
class LabelFile:
    """A file of labels: numbers or wnids, with the stems of their images if it names any."""

    labels: npt.NDArray[np.int64] | tuple[str, ...] = field(repr=False)  # class numbers, (n,), or wnids
    images: tuple[str, ...] | None = field(default=None, repr=False)

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.labels)


class _UnreadableError(Exception):
    """The content is neither classes nor labels; read() adds the path and what was expected."""


def read(path: str | Path) -> tuple[str, ...] | LabelFile:
    """Read a file of classes or of labels, in any form drawn at the head of this module.

    Returns:
        The wnids or names of classes in order, or the labels.

    Raises:
        UsageError: The file is neither.
        OSError: The file cannot be read.
    """
    path = Path(path)
    try:
        return _read_array(path) if path.suffix == ".npy" else _read_text(_text(path), path.suffix)
    except _UnreadableError as error:
        raise _refusal(path, str(error)) from error


def read_classes(path: str | Path) -> Sequence[str]:
    """Return the classes that a file lists: wnids, names, or class numbers; UsageError if it holds labels."""
    content = read(path)
    if isinstance(content, tuple):
        return content
    labels = content.labels
    if content.images is None and isinstance(labels, tuple):
        return tuple(dict.fromkeys(labels))
    if content.images is None and len(np.unique(labels)) == len(labels):
        return tuple(map(str, labels))
    raise _refusal(Path(path), "it holds labels, and no list of classes")


def _refusal(path: Path, why: str) -> UsageError:
    return UsageError(
        f"{path}: {why}. Expected a file of classes (a wnid or a name a line, json, a Python dict, or data.yaml) or of "
        "labels (a number a line, or an image and a label)."
    )


def _text(path: Path) -> str:
    with path.open("rb") as file:
        data = file.read(_MAX_BYTES + 1)
    if len(data) > _MAX_BYTES or data.count(b"\n") > _MAX_LINES:
        raise _UnreadableError(f"it is larger than {_MAX_BYTES >> 20} MiB or {_MAX_LINES:,} lines")
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise _UnreadableError("it is no text in UTF-8 but in UTF-16: save it as UTF-8")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        why = f"it is no text in UTF-8: byte {error.start} is {data[error.start]:#04x}"
        raise _UnreadableError(why) from error
    if "\0" in text:
        raise _UnreadableError("it is no text: it holds NUL")
    return text


def _read_text(text: str, suffix: str) -> tuple[str, ...] | LabelFile:
    lines = text.splitlines()
    if suffix in {".json", ".jsonl"} or text.lstrip()[:1] in {"[", "{"}:
        try:
            return _read_json(text, [line for line in lines if line.strip()])
        except RecursionError as error:
            raise _UnreadableError("its JSON is nested too deeply") from error
    if names := _yaml_names(lines):
        return _classes(names)
    if suffix in {".yaml", ".yml"}:
        raise _UnreadableError("it is YAML without `names:` and names below it")
    return _read_lines([line for line in (line.partition("#")[0].strip() for line in lines) if line])


def _classes(texts: Sequence[str]) -> tuple[str, ...]:
    """Return classes, one a text; a single text may hold several names with ',' between."""
    split = [[part.strip() for part in text.split(",")] for text in texts if "," in text]
    # "tench, Tinca tinca" are two lemmas of one class; "tench, goldfish" are two classes.
    several = [parts for parts in split if not wordnet.rows_with(parts) and all(map(_is_lemma, parts))]
    if several and len(texts) > 1:
        problem = f"{', '.join(several[0])!r} names {len(several[0])} classes"
        raise _UnreadableError(f"{problem}; expected one class a line, or all on a single line")
    return tuple(several[0] if several else texts)


def _label_file(labels: Sequence[Sequence[str]], stems: Sequence[str] | None = None) -> LabelFile:
    """Return the labels of rows: in each row the first text that is a number or a wnid."""
    texts = [next((text for text in row if _is_number(text) or is_wnid(text)), "") for row in labels]
    images = tuple(stems) if stems else None
    if all(map(_is_number, texts)):
        return LabelFile(np.array([int(float(text)) for text in texts]), images)
    if all(map(is_wnid, texts)):
        return LabelFile(tuple(texts), images)
    place = next(n for n, text in enumerate(texts) if not text or is_wnid(text) != is_wnid(texts[0]))
    problem = f"row {place + 1} of the labels is {' '.join(labels[place])!r}"
    raise _UnreadableError(f"{problem}, no number or wnid as the first one is")


# ---- lines


class _Line(NamedTuple):
    """A line of a file: its text, its cells, and what it is: number, lst, image, wnid (has one) or name."""

    text: str
    cells: Sequence[str]
    kind: str


def _parse_line(text: str) -> _Line:
    if "\t" in text and _kind(cells := text.split("\t")) == "lst":  # paths may hold spaces
        return _Line(text, cells, "lst")
    cells = _SEPARATOR.split(text.replace('"', "").strip())
    return _Line(text, cells, _kind(cells))


def _kind(cells: Sequence[str]) -> str:
    if _is_number(cells[0]) and all(map(_is_numeric, cells[1:])):
        return "number"
    if len(cells) > 2 and all(map(_is_numeric, cells[:-1])) and image_stem(cells[-1]):
        return "lst"
    if image_stem(cells[0]):
        return "image"
    return "wnid" if any(map(is_wnid, cells)) else "name"


def _read_lines(texts: Sequence[str]) -> tuple[str, ...] | LabelFile:
    lines = [_parse_line(text) for text in texts]
    if len(lines) > 1 and _is_header(lines[0], {line.kind for line in lines[1:]}):
        lines = lines[1:]
    if not lines:
        raise _UnreadableError("it holds nothing")
    rows = [line.cells for line in lines]
    kinds = Counter(line.kind for line in lines)
    if kinds.keys() == {"lst"}:
        if several := next((row for row in rows if len(row) > 3), None):
            problem = f"{' '.join(several)!r} has {len(several) - 2} labels"
            raise _UnreadableError(f"{problem}; expected index, label, path")
        return _label_file([row[1:2] for row in rows], [image_stem(row[-1]) or "" for row in rows])
    if kinds.keys() == {"image"}:
        return _label_file([row[1:] for row in rows], [image_stem(row[0]) or "" for row in rows])
    if kinds.keys() == {"number"}:
        counted = len(rows[0]) > 1 and _counts_up([row[0] for row in rows])
        return _label_file([row[1:] if counted else row for row in rows])
    if kinds.keys() == {"wnid"} or (len(lines) <= _MAX_NAMES and kinds.keys() == {"wnid", "name"}):
        classes = _wnids_or_texts([(line.cells, line.text) for line in lines])
        is_labels = len(set(classes)) < len(classes) and "name" not in kinds
        return LabelFile(classes) if is_labels else classes
    if len(lines) > _MAX_NAMES or kinds["name"] * 2 < len(lines):
        place = next(n for n, line in enumerate(lines) if line.kind != lines[0].kind or line.kind == "name")
        problem = f"line {place + 1} of {len(lines):,} is {lines[place].text!r}"
        raise _UnreadableError(f"{problem}, unlike the others")
    return _classes([text.strip().strip("\"'") for text in _names([line.text for line in lines])])


def _is_header(first: _Line, kinds_below: set[str]) -> bool:
    """Return True if the first line names columns. A lone name above wnids may well be a class."""
    if first.kind != "name":
        return False
    if first.cells[0].casefold() in _HEADER_WORDS:
        return True
    return "name" not in kinds_below and (len(first.cells) > 1 or "wnid" not in kinds_below)


def _wnids_or_texts(rows: Sequence[tuple[Sequence[str], str]]) -> tuple[str, ...]:
    """Return the wnids of each row, given as (cells, text), or the text of a row without a wnid."""
    if all(len(cells) == 2 and all(map(is_wnid, cells)) and _is_above(cells[1], cells[0]) for cells, _ in rows):
        return tuple(cells[0] for cells, _ in rows)
    classes: list[str] = []
    has_several = False
    for cells, text in rows:
        wnids = list(filter(is_wnid, cells))
        if 1 < len(wnids) < len(cells):
            raise _UnreadableError(f"{text!r} names {len(wnids)} wnids; expected one a line, or wnids alone")
        has_several = has_several or len(wnids) > 1
        classes += wnids or [text]
    twice = next((text for text, n in Counter(classes).items() if n > 1), None) if has_several else None
    if twice is not None:
        problem = f"it has several wnids a line, and {twice} more than once"
        raise _UnreadableError(f"{problem}; expected each class once")
    return tuple(classes)


def _is_above(ancestor: str, wnid: str) -> bool:
    """Return True if both are synsets and the first is above the second, over kinds alone."""
    are_synsets = all(wordnet.find_row(text) is not None for text in (ancestor, wnid))
    return are_synsets and ancestor != wnid and hierarchy.is_a(wnid, ancestor, instances=False)


def _names(texts: Sequence[str]) -> Sequence[str]:
    """Return the names of lines without their numbers, and without a heading above numbers that count from 0 or 1."""
    matches = [_NUMBERED_NAME.match(text) for text in texts]
    first = next((n for n, match in enumerate(matches) if match), len(texts))
    numbered = [match for match in matches[first:] if match]
    if not numbered or len(numbered) < len(texts) - first:
        return texts
    if first > 0 and not _counts_up([match[1] for match in numbered]):
        return texts
    return [match[2] for match in numbered]


def _counts_up(texts: Sequence[str]) -> bool:
    """Return True if numbers are 0, 1, 2 ... or 1, 2, 3 ..."""
    numbers = [int(float(text)) for text in texts]
    return numbers in (list(range(len(texts))), list(range(1, len(texts) + 1)))


def image_stem(text: str) -> str | None:
    """Return the stem of an image's name, without folders, suffix and added wnid; None if it names no image.

    Example:
        >>> image_stem("val/n01751748/ILSVRC2012_val_00000001.JPEG"), image_stem("tench")
        ('ILSVRC2012_val_00000001', None)
    """
    name = text.strip("\"'").replace("\\", "/").rpartition("/")[2]
    stem = _IMAGE_SUFFIX.sub("", name)
    plain = _ADDED_WNID.sub("", stem)
    return plain if stem != name or official_split(plain) or is_training_stem(plain) else None


def _is_number(text: str) -> bool:
    return _NUMBER.fullmatch(text) is not None and len(text) < 12


def _is_numeric(text: str) -> bool:
    return _NUMERIC.fullmatch(text) is not None


def _is_lemma(text: str) -> bool:
    return not _is_number(text) and bool(wordnet.rows_with([text]))


# ---- JSON and arrays


def _read_json(text: str, lines: Sequence[str]) -> tuple[str, ...] | LabelFile:
    if len(lines) > 1 and all(line.lstrip()[:1] == "{" and line.rstrip()[-1:] == "}" for line in lines):
        records = [_parse_json(line) for line in lines]
        if not all(isinstance(record, dict) for record in records):
            raise _UnreadableError("its lines are no JSON objects")
        return _read_lines([" ".join(str(_first(value)) for value in record.values()) for record in records])
    value = _parse_json(text)
    if isinstance(value, dict):
        value = next((value[key] for key in _INNER_KEYS if isinstance(value.get(key), (list, dict))), value)
    if isinstance(value, dict) and value:
        if all(image_stem(str(key)) for key in value):
            return _read_lines([f"{key} {_first(label)}" for key, label in value.items()])
        value = _classes_of_dict(value)
    if not isinstance(value, (list, tuple)) or not value:
        raise _UnreadableError("its JSON is no list of classes or labels")
    return _read_list([item.get("wnid") or item.get("name") if isinstance(item, dict) else item for item in value])


def _read_list(items: Sequence[Any]) -> tuple[str, ...] | LabelFile:
    if all(isinstance(item, (list, tuple)) and item and isinstance(item[0], str) for item in items):
        rows = [[str(text) for text in item] for item in items]
        items = [", ".join(row) for row in rows]
        if any(is_wnid(text) for row in rows for text in row):
            return _wnids_or_texts(list(zip(rows, items, strict=True)))
    values: list[Any] = [-1 if item == [] else _first(item) for item in items]  # ReaL has images without a label
    if all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values):
        return LabelFile(_whole(np.array(values)))
    if all(isinstance(value, str) for value in values):
        is_labels = len(set(values)) < len(values) and all(map(is_wnid, values))
        return LabelFile(tuple(values)) if is_labels else _classes(values)
    raise _UnreadableError("its JSON mixes numbers and texts, or holds an empty list")


def _parse_json(text: str) -> Any:
    """Return the value of JSON, or of a Python dict or list; a repeated key is an error."""
    try:
        return json.loads(text, object_pairs_hook=_unique)
    except ValueError as error:
        refusal = _UnreadableError(f"it is no JSON, nor a Python dict or list: {error}")
    if len(text) > _MAX_LITERAL_BYTES:
        raise refusal
    try:
        node = ast.parse(text.strip(), mode="eval").body
        if isinstance(node, ast.Dict):
            keys = [ast.literal_eval(key) for key in node.keys if key is not None]
            return _unique(zip(keys, map(ast.literal_eval, node.values), strict=True))
        return ast.literal_eval(node)
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError) as error:
        raise refusal from error


def _unique(pairs: Iterable[tuple[Any, Any]]) -> dict[Any, Any]:
    values: dict[Any, Any] = {}
    for key, value in pairs:
        if key in values:
            raise _UnreadableError(f"it gives {key!r} twice: {values[key]!r} and {value!r}")
        values[key] = value
    return values


def _classes_of_dict(values: dict[Any, Any]) -> list[Any]:
    """Return the classes of a dict in order: by index, by name with its index (class_to_idx), or by wnid."""
    keys = [str(key) for key in values]
    if all(map(_is_number, keys)):
        return [value for _, value in sorted(values.items(), key=lambda pair: float(pair[0]))]
    if all(type(value) is int for value in values.values()):
        by_index: dict[int, str] = {}
        for name, index in values.items():
            if by_index.setdefault(index, name) != name:
                raise _UnreadableError(f"it gives {index} to two classes: {by_index[index]!r} and {name!r}")
        return [by_index[index] for index in sorted(by_index)]
    if all(map(is_wnid, keys)):
        return [*keys]
    if all(isinstance(value, str) and is_wnid(value) for value in values.values()):
        return list(values.values())
    problem = ", ".join(map(repr, keys[:3])) + (" ..." if len(keys) > 3 else "")
    expected = f"no numbers or wnids, nor {', '.join(_INNER_KEYS)} with classes below"
    raise _UnreadableError(f"its keys are {problem}: {expected}")


def _first(value: Any) -> Any:
    return value[0] if isinstance(value, (list, tuple)) and value else value


def _read_array(path: Path) -> LabelFile:
    from tokenize import TokenError

    try:
        values: npt.NDArray[Any] = np.lib.format.open_memmap(path, mode="r")
    except (ValueError, EOFError, OverflowError, TokenError) as error:
        raise _UnreadableError(f"numpy cannot read it: {error}") from error
    if values.ndim == 2 and values.dtype.kind in "iu" and 0 < values.shape[1] < _MIN_OUTPUTS:
        values = values[:, 0]
    if values.ndim == 2 and values.shape[1] > 1 and values.dtype.kind in "iuf":
        return LabelFile(values.argmax(axis=1).astype(np.int64))
    if values.ndim not in {1, 2}:
        raise _UnreadableError(f"it holds {values.dtype} of shape {values.shape}")
    return LabelFile(_whole(values.reshape(-1)))


def _whole(values: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    if values.dtype.kind not in "iuf" or not (np.abs(values.astype(np.float64)) < _MAX_NUMBER).all():
        raise _UnreadableError(f"it holds {values.dtype} that number no classes")
    if (values != np.round(values)).any():
        raise _UnreadableError(f"it holds {values.dtype} of shape {values.shape}, not all of them whole")
    return values.astype(np.int64)


# ---- the names of a data.yaml


def _yaml_names(lines: Sequence[str]) -> Sequence[str]:
    """Return the names of Ultralytics' data.yaml: a list or a dict by index, in brackets or with a name a line.

    Other YAML below `names` is an error. The result is empty if there is no key `names` with anything below it.
    """
    start = next((n for n, line in enumerate(lines) if line.startswith("names:")), None)
    if start is None:
        return ()
    below = itertools.takewhile(lambda line: not line.strip() or line[0] in " \t-#]}", lines[start + 1 :])
    block = [line.strip() for line in (lines[start].removeprefix("names:"), *below)]
    items = [line for line in block if line and line[0] != "#"]
    if items and items[0][0] in "[{":
        items = _yaml_flow_items(items)
    names: list[tuple[int | None, str]] = []
    for item in items:
        match = _YAML_ITEM.fullmatch(item)
        if match is None:
            raise _UnreadableError(f"{item!r} among its names is no `0: name` and no `- name`")
        names.append((int(match[2]) if match[2] else None, _yaml_scalar(match[3])))
    indexes = {index for index, _ in names if index is not None}
    if indexes and len(indexes) < len(names):
        raise _UnreadableError("its names do not all have an index of their own")
    return [name for _, name in sorted(names, key=lambda item: item[0] or 0)]


def _yaml_flow_items(lines: Sequence[str]) -> list[str]:
    """Return the items of a list or dict in one pair of brackets as `- name` or `0: name`."""
    flow = " ".join(line.partition(" #")[0].rstrip() for line in lines)
    inner, place = flow[1:-1].rstrip().removesuffix(","), 0
    items = []
    while match := _YAML_FLOW.match(inner, place):
        items.append(("" if flow[0] == "{" else "- ") + match[1].rstrip())
        place = match.end()
    if flow[-1] != {"[": "]", "{": "}"}[flow[0]] or place < len(inner):
        raise _UnreadableError(f"its names are no list or dict of names in one pair of brackets: {flow[:60]!r}")
    return items


def _yaml_scalar(text: str) -> str:
    quoted = _YAML_QUOTED.match(text)
    plain = text.partition(" #")[0].rstrip()
    if quoted and text[quoted.end() :].lstrip()[:1] in {"", "#"}:
        if text[0] == "'":
            return quoted[0][1:-1].replace("''", "'")
        with suppress(ValueError):  # YAML has escapes that JSON lacks
            return str(json.loads(quoted[0]))
    elif plain and plain[0] not in "\"'[]{}&*!|>%@`#" and ": " not in plain:
        return plain
    raise _UnreadableError(f"{text!r} among its names is YAML that is not read here; expected a name, or one in quotes")
