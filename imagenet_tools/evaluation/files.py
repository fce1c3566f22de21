"""Read files of predictions in the forms that people keep them; the content tells which it is.

*.npy, *.npz           whole numbers: the class of each row (n,), or the k best (n, k); or scores of all classes (n, C)
csv, tsv, text         rows of image, classes, probabilities and true label, each if it is there; with or without a head
Parquet                the same columns, or lists of k classes
JSON lines             the same, a row a line
JSON                   a list of rows; rows by image; columns and data, as timm's json-split; a list of classes
MLPerf accuracy log    {"qsl_idx": 0, "data": "41000000"}: the class in hex, as int32, float32 or int64
folder of texts        Ultralytics' save_txt, a file an image: 0.93 tench

A whole-number file of k columns and a file of as many scores are one set of predictions. A file that lists images and
their wnids alone names the rows of files that have as many.
"""

from __future__ import annotations

import io
import json
import re
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from imagenet_tools.catalogue.user_files import image_stem
from imagenet_tools.errors import UsageError
from imagenet_tools.text import some_of
from imagenet_tools.wordnet.wnid import is_wnid

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import pyarrow as pa

    Array = npt.NDArray[Any]
    Texts = npt.NDArray[np.object_]

# Fewer columns of scores belong to the best classes; more are the outputs of a model.
MIN_OUTPUTS = 100
# Ranks to keep of the outputs: ReaL gives an image up to 9 labels.
N_RANKS = 10
_BLOCK_BYTES = 32 << 20  # of the outputs that are read at once
_MAX_SUM_ERROR = 0.02  # of the probabilities of a row: 1,000 float16
_MAX_NUMBER = 1e9  # of a class
_MAX_INT32_CLASS = 1 << 20  # 1.0 as float32 is 1,065,353,216 as int32

_TRUE = re.compile(r"true|target|truth|actual|ground|(^|_)gt|^y$|original", re.IGNORECASE)
_LABEL = re.compile(r"labels?|wnid|synset|class|y", re.IGNORECASE)
_PREDICTED = re.compile(r"pred|top|class|index|output|label|wnid|synset|name", re.IGNORECASE)
_IMAGE = re.compile(r"file|image|path|sample", re.IGNORECASE)
_SCORE = re.compile(r"prob|conf|score|logit|softmax", re.IGNORECASE)
_NUMBER = re.compile(r"[-+]?[\d.]+(e[-+]?\d+)?|\[.*", re.IGNORECASE)
_ITEM = re.compile(r"""'([^']*)'|"([^"]*)"|([^\s,\[\]'"]+)""")

# Errors of numpy, pyarrow, json and zipfile for a file that is not theirs.
_UNREADABLE = (ValueError, TypeError, LookupError, OSError, EOFError, RecursionError, NotImplementedError, BadZipFile)

_EXPECTED = (
    "Expected the classes of each image, best first, or the scores of all classes: npy, npz, csv, Parquet, JSON, "
    "an accuracy log of MLPerf, or the folder of texts of Ultralytics"
)


@dataclass(frozen=True, eq=False)
class Predictions:
    """The predictions of one model as its file has them; classes are numbers, or wnids or names."""

    name: str
    top: Array = field(repr=False)  # (n, k), int64 or texts; of outputs, the best columns
    scores: Array | None = field(default=None, repr=False)  # (n, k): of the classes of `top`
    outputs: Array | None = field(default=None, repr=False)  # (n, C): of all classes; may be a file in memory
    norms: Array | None = field(default=None, repr=False)  # (n,): log of the sum of exp(outputs); None: probabilities
    images: Texts | None = field(default=None, repr=False)  # (n,): stems
    paths: Texts | None = field(default=None, repr=False)  # (n,): the images as the file names them, with folders
    truth: Array | None = field(default=None, repr=False)  # (n,), int64 or texts: true labels
    by_place: bool = False  # the images are named by their place in the order of file names
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.top)


@dataclass(frozen=True, eq=False)
class RowList:
    """The image and the class of each row of another file."""

    name: str
    images: Texts = field(repr=False)
    paths: Texts = field(repr=False)
    wnids: Texts | None = field(default=None, repr=False)


def read_all(paths: Sequence[Path]) -> tuple[list[Predictions], list[RowList]]:
    """Read files of predictions, and lists of their rows, in any form drawn at the head of this module.

    Returns:
        The predictions, each with the scores of a file of its own if there is one; and the lists.

    Raises:
        UsageError: A file is none of these forms, or its values are no classes or scores.
    """
    names = _distinct_names(paths)
    predictions: list[Predictions] = []
    lists: list[RowList] = []
    loose: list[tuple[Path, Array]] = []
    for path, name in zip(paths, names, strict=True):
        content = _roles(path, name, _columns(path))
        if isinstance(content, Predictions):
            predictions.append(content)
        elif isinstance(content, RowList):
            lists.append(content)
        else:
            loose.append((path, content))
    for path, scores in loose:
        places = [n for n, one in enumerate(predictions) if one.scores is None and one.top.shape == scores.shape]
        if len(places) != 1:
            shape = f"{scores.dtype} of shape {scores.shape}"
            problem = "no file of as many classes is beside it" if not places else "several files have as many classes"
            raise UsageError(f"{path}: found {shape}, scores without their classes; {problem}. {_EXPECTED}.")
        predictions[places[0]] = by_score(predictions[places[0]], scores)
    if not predictions:
        raise UsageError(f"{some_of([str(path) for path in paths])}: found no predictions. {_EXPECTED}.")
    return predictions, lists


def read_rows(path: Path) -> RowList:
    """Read a list of the images of rows: names, or names and wnids; UsageError if it is none."""
    columns = _columns(path)
    texts = [values for values in columns.values() if values.dtype == object and values.ndim == 1]
    if not texts:
        raise UsageError(f"{path}: found no names of images. Expected a name a row, or a name and a wnid.")
    wnids = next((values for values in texts if _all(is_wnid, values)), None)
    paths = next((values for values in texts if values is not wnids), texts[0])
    return RowList(path.name, _stems(paths), paths, wnids)


def by_score(one: Predictions, scores: Array) -> Predictions:
    """Return predictions with the classes of each row by falling score."""
    order = np.argsort(-scores, axis=1, kind="stable")
    changed = int((order[:, 0] != 0).sum())
    note = (f"the classes are not best first in {changed:,} rows: sorted by their scores",)
    top, scores = (np.take_along_axis(values, order, axis=1) for values in (one.top, scores))
    return replace(one, top=top, scores=scores, notes=one.notes + (note if changed else ()))


def _distinct_names(paths: Sequence[Path]) -> list[str]:
    stems = Counter(path.stem for path in paths)
    return [path.stem if stems[path.stem] == 1 else str(path) for path in paths]


# ---- which column is what


def _roles(path: Path, name: str, columns: Mapping[str, Array]) -> Predictions | RowList | Array:
    """Return what the columns of a file are: predictions, a list of rows, or scores without classes."""
    n_rows = {len(values) for values in columns.values()}
    if len(n_rows) != 1:
        raise UsageError(f"{path}: found {sorted(n_rows)} rows in its columns; expected as many in each. {_EXPECTED}.")
    rest = {key: values for key, values in columns.items() if not _counts_rows(key, values, len(columns))}
    paths = _take_images(rest)
    images = None if paths is None else _stems(paths)
    scores = _take_scores(path, rest)
    has_outputs = scores is not None and scores.shape[1] >= MIN_OUTPUTS
    truth = _take_truth(rest, has_outputs=has_outputs)
    numbers = [values for values in rest.values() if values.dtype != object]
    texts = [values for values in rest.values() if values.dtype == object]
    if numbers or texts:
        if images is not None and paths is not None and _lists_rows(rest, truth, scores):
            return RowList(name, images, paths, texts[0])
        top = _classes(path, numbers or texts)
        one = Predictions(name, top, images=images, paths=paths, truth=truth, by_place="qsl_idx" in columns)
        return _with_scores(path, one, scores)
    if scores is not None and has_outputs:
        top, best, norms = rank(path, scores)
        return Predictions(name, top, best, scores, norms, images, paths, truth)
    if images is not None and paths is not None and truth is None and scores is None:
        return RowList(name, images, paths)
    if scores is None or images is not None or truth is not None:
        raise UsageError(f"{path}: found no column of predicted classes in {some_of(list(columns))}. {_EXPECTED}.")
    return scores


def _lists_rows(columns: Mapping[str, Array], truth: Array | None, scores: Array | None) -> bool:
    """Return True if all that a file has beside the names of images is a wnid a row, and not called predictions."""
    ((key, values), *others) = columns.items()
    is_alone = not others and truth is None and scores is None
    return is_alone and "pred" not in key.lower() and values.ndim == 1 and _all(is_wnid, values)


def _with_scores(path: Path, one: Predictions, scores: Array | None) -> Predictions:
    if scores is None:
        return one
    if scores.shape[1] == one.top.shape[1]:
        return by_score(one, scores)
    if scores.shape[1] == 1:
        return replace(one, scores=scores)
    raise UsageError(f"{path}: found {one.top.shape[1]} classes and {scores.shape[1]} scores a row; expected as many.")


def _classes(path: Path, columns: Sequence[Array]) -> Array:
    """Return the columns of classes as one array, (n, k)."""
    top = _beside(columns)
    if top.shape[1] >= MIN_OUTPUTS:
        problem = f"found {top.shape[1]:,} columns of whole numbers"
        raise UsageError(f"{path}: {problem}; expected at most {MIN_OUTPUTS - 1} classes, or scores of type float.")
    if top.dtype != object and not (np.abs(top.astype(np.float64)) < _MAX_NUMBER).all():
        raise UsageError(f"{path}: found {top.max()}, which numbers no class. {_EXPECTED}.")
    return top if top.dtype == object else top.astype(np.int64)


def _take_scores(path: Path, columns: dict[str, Array]) -> Array | None:
    """Take the columns of scores out of the columns: (n, k)."""
    keys = [key for key, values in columns.items() if values.dtype.kind == "f" and not _holds_classes(key, values)]
    if not keys:
        return None
    scores = _beside([columns.pop(key) for key in keys])
    if scores.shape[1] < MIN_OUTPUTS and np.isnan(scores).any():
        row = int(np.isnan(scores).any(axis=1).argmax())
        raise UsageError(f"{path}: found nan in row {row + 1:,} of {some_of(keys) or 'its numbers'}; expected numbers.")
    return scores


def _beside(columns: Sequence[Array]) -> Array:
    if len(columns) == 1 and columns[0].ndim == 2:
        return columns[0]
    return np.column_stack(columns)


def _counts_rows(key: str, values: Array, n_columns: int) -> bool:
    """Return True for a column that numbers the rows, as pandas writes it."""
    is_index = n_columns > 1 and values.ndim == 1 and values.dtype.kind in "iu" and len(values) > 1
    return is_index and not _PREDICTED.search(key.replace("index", "")) and bool((np.diff(values) == 1).all())


def _take_images(columns: dict[str, Array]) -> Texts | None:
    """Take the column of images' names out of the columns."""
    texts = [key for key, values in columns.items() if values.dtype == object and values.ndim == 1]
    by_content = [key for key in texts if _all(image_stem, columns[key][:100])]
    others = [key for key in texts if not _all(is_wnid, columns[key][:100])]
    named = [key for key in others if _IMAGE.search(key) and not _PREDICTED.search(key.replace("name", ""))]
    # A list of rows of another data set: [name, wnid], without a head.
    paired = others if len(texts) == 2 and len(columns) == 2 and len(others) == 1 else []
    key = next(iter((*by_content, *named, *paired)), None)
    return None if key is None else columns.pop(key)


def _stems(names: Texts) -> Texts:
    stems = [image_stem(text) or text.rpartition("/")[2] for text in map(str, names)]
    return np.array(stems, object)


def _take_truth(columns: dict[str, Array], *, has_outputs: bool) -> Array | None:
    """Take the column of true labels out of the columns; beside outputs, or columns called predictions, also labels."""
    single = [key for key, values in columns.items() if values.ndim == 1]
    keys = [key for key in single if _TRUE.search(key) and "pred" not in key.lower()]
    if not keys and (has_outputs or any("pred" in key.lower() for key in columns)):
        keys = [key for key in single if _LABEL.fullmatch(key)]
    if not keys or (len(keys) == len(columns) and not has_outputs):
        return None
    values = columns.pop(keys[0])
    return values if values.dtype == object else values.astype(np.int64)


def _holds_classes(key: str, values: Array) -> bool:
    """Return True for a column of floats that are whole numbers from 0, and not all 0 or 1."""
    if _SCORE.search(key) or (values.ndim == 2 and values.shape[1] >= MIN_OUTPUTS):
        return False
    return bool(np.isfinite(values).all() and (values == np.floor(values)).all() and values.max(initial=0) > 1)


def _all(test: Any, values: Iterable[Any]) -> bool:
    return all(test(value) if isinstance(value, str) else False for value in values)


# ---- outputs


def rank(path: Path, outputs: Array) -> tuple[Array, Array, Array | None]:
    """Return the best columns of each row with their scores, and the log of the sum of exp of all.

    Reads a block of rows at a time, so that a file in memory stays on the disk. There are no logs if all rows are
    probabilities. Of equal scores the first column is better.
    """
    n, n_columns = outputs.shape
    k = min(N_RANKS, n_columns)
    top, best, norms = np.empty((n, k), np.int64), np.empty((n, k)), np.empty(n)
    is_probable = True
    for start, block in _blocks(outputs):
        rows = np.asarray(block, np.promote_types(outputs.dtype, np.float32))
        if not np.isfinite(rows.max(axis=1)).all():  # -inf is a class that was left out
            row = start + int((~np.isfinite(rows.max(axis=1))).argmax())
            raise UsageError(f"{path}: found nan or inf in row {row + 1:,}; expected a finite score for each class.")
        part = slice(start, start + len(rows))
        top[part], best[part] = _best(rows, k)
        norms[part] = best[part, 0] + np.log(np.exp(rows - rows.max(axis=1, keepdims=True)).sum(axis=1))
        sums = rows.sum(axis=1, dtype=np.float64)
        is_probable = is_probable and bool(rows.min() >= 0 and np.abs(sums - 1).max() < _MAX_SUM_ERROR)
    return top, best, None if is_probable else norms


def _best(rows: Array, k: int) -> tuple[Array, Array]:
    """Return the k best columns of each row, best first, and their scores; of equal scores the first is better."""
    columns = np.sort(np.argpartition(-rows, k - 1, axis=1)[:, :k], axis=1)
    scores = np.take_along_axis(rows, columns, axis=1)
    order = np.argsort(-scores, axis=1, kind="stable")
    return np.take_along_axis(columns, order, axis=1), np.take_along_axis(scores, order, axis=1)


def rank_among(outputs: Array, rows: Array, columns: Array, *, are_logits: bool) -> tuple[Array, Array]:
    """Return the best of some columns of the outputs, and the probability of the first among them.

    Args:
        outputs: (n, C).
        rows: Rows, sorted: (m,).
        columns: Columns of the outputs: (c,).
        are_logits: The outputs are no probabilities, and get a softmax.
        columns: Columns of the outputs: (c,).

    Returns:
        Places in `columns`, best first: (m, min(5, c)); and the softmax over these columns: (m,).
    """
    k = min(5, len(columns))
    top, probability = np.empty((len(rows), k), np.int64), np.empty(len(rows))
    for start, block in _blocks(outputs):
        part = slice(*np.searchsorted(rows, (start, start + len(block))).tolist())
        chosen = np.asarray(block[rows[part] - start][:, columns], np.float64)
        top[part], _ = _best(chosen, k)
        if are_logits:
            chosen = np.exp(chosen - chosen.max(axis=1, keepdims=True))
        sums = chosen.sum(axis=1)
        probability[part] = np.divide(chosen.max(axis=1), sums, out=np.zeros(len(chosen)), where=sums > 0)
    return top, probability


def take(one: Predictions, rows: Array, name: str) -> Predictions:
    """Return the predictions of some rows, under a name."""
    columns: dict[str, Any] = {
        key: None if (values := getattr(one, key)) is None else values[rows]
        for key in ("scores", "outputs", "norms", "images", "paths", "truth")
    }
    return replace(one, name=name, top=one.top[rows], **columns)


def pick(outputs: Array, rows: Array, columns: Array) -> Array:
    """Return outputs[rows, columns] as float64, read in blocks; rows are sorted."""
    picked = np.empty(len(rows))
    for start, block in _blocks(outputs):
        part = slice(*np.searchsorted(rows, (start, start + len(block))).tolist())
        picked[part] = block[rows[part] - start, columns[part]]
    return picked


def _blocks(outputs: Array) -> Iterator[tuple[int, Array]]:
    """Yield blocks of rows, each with its first row. A block of a file is a map of its own, released with the block."""
    n, n_columns = outputs.shape
    n_rows = max(1, _BLOCK_BYTES // (n_columns * 8))
    for start in range(0, n, n_rows):
        rows = outputs[start : start + n_rows]
        if isinstance(outputs, np.memmap) and outputs.flags.c_contiguous and outputs.filename is not None:
            place = outputs.offset + start * outputs.strides[0]
            rows = np.memmap(outputs.filename, outputs.dtype, "r", place, rows.shape)
        yield start, rows


# ---- the forms


def _columns(path: Path) -> dict[str, Array]:
    """Return the columns of a file by name: (n,) or (n, k)."""
    if path.is_dir():
        return _folder(path)
    with path.open("rb") as file:
        start = file.read(6)
    try:
        if start == b"\x93NUMPY":
            return {"": _shaped(path, np.lib.format.open_memmap(path, mode="r"))}
        if start[:4] == b"PK\x03\x04":
            with np.load(path, allow_pickle=False) as arrays:
                return {key: _shaped(path, arrays[key]) for key in arrays.files}
        if start[:4] == b"PAR1":
            import pyarrow.parquet as pq

            return _of_table(path, pq.ParquetFile(path).read())
        return _text_columns(path)
    except _UNREADABLE as error:
        if isinstance(error, UsageError) or (isinstance(error, OSError) and error.filename):
            raise
        reason = str(error).partition("\n")[0]
        raise UsageError(f"{path}: it cannot be read: {reason}. {_EXPECTED}.") from error


def _shaped(path: Path, values: Array) -> Array:
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.dtype.kind in "SU":
        values = values.astype(str).astype(object)
    if values.ndim not in (1, 2) or values.dtype.kind not in "iufO" or 0 in values.shape:
        raise UsageError(f"{path}: found {values.dtype} of shape {values.shape}. {_EXPECTED}.")
    return values


def _of_table(path: Path, table: pa.Table) -> dict[str, Array]:
    from pyarrow import types

    columns: dict[str, Array] = {}
    for name in table.column_names:
        column = table[name].combine_chunks()
        if types.is_null(column.type):
            continue
        if types.is_dictionary(column.type):
            column = column.dictionary_decode()
        if column.null_count:
            row = column.is_null().to_pylist().index(True)
            raise UsageError(f"{path}: row {row + 1:,} has no {name}. Expected a value in each row.")
        if types.is_list(column.type) or types.is_large_list(column.type) or types.is_fixed_size_list(column.type):
            lengths = set(column.value_lengths().to_pylist()) if len(column) else {0}
            values = column.flatten().to_numpy(zero_copy_only=False)
            columns[name] = _shaped(path, _matrix(path, name, values, len(column), lengths))
        elif types.is_boolean(column.type) or types.is_temporal(column.type):
            continue
        else:
            values = column.to_numpy(zero_copy_only=False)
            columns[name] = _lists_in_text(path, name, values) if values.dtype == object else _shaped(path, values)
    return columns


def _matrix(path: Path, name: str, values: Array, n: int, lengths: set[int]) -> Array:
    if len(lengths) != 1 or 0 in lengths:
        found = f"{min(lengths)} to {max(lengths)} values"
        raise UsageError(f"{path}: the rows of {name} have {found}; expected as many in each row.")
    return values.reshape(n, lengths.pop())


def _lists_in_text(path: Path, name: str, values: Texts) -> Array:
    """Return lists in texts, "[65 970 230]" or "['tench' 'eel']", as pandas writes arrays; other texts as they are."""
    if not all(str(value).startswith("[") and str(value).endswith("]") for value in values[:100]):
        return values
    rows = [[a or b or c for a, b, c in _ITEM.findall(str(value)[1:-1])] for value in values]
    flat = [item for row in rows for item in row]
    return _shaped(path, _matrix(path, name, _numbers_or_texts(flat), len(rows), {len(row) for row in rows}))


def _numbers_or_texts(values: Sequence[Any] | Array) -> Array:
    """Return values as whole numbers, as float64, or as texts."""
    array = np.array(values)
    if array.dtype.kind in "iuf":
        return array
    for kind in (np.int64, np.float64):
        try:
            return array.astype(str).astype(kind)
        except ValueError:
            continue
    return array.astype(str).astype(object)


def _text_columns(path: Path) -> dict[str, Array]:
    data = path.read_bytes()
    if b"\0" in data[:4096]:
        raise UsageError(f"{path}: it is neither text nor another form that is known. {_EXPECTED}.")
    data = data.removeprefix(b"\xef\xbb\xbf").lstrip()
    if not data:
        raise UsageError(f"{path}: it is empty. {_EXPECTED}.")
    if data[:1] not in (b"{", b"["):
        return _of_table(path, _csv(data))
    first, _, rest = data.partition(b"\n")
    if first.rstrip().endswith(b"}") and rest.lstrip().startswith(b"{"):
        from pyarrow import json as arrow_json

        return _of_table(path, arrow_json.read_json(io.BytesIO(data)))
    return _json(path, json.loads(data))


def _csv(data: bytes) -> pa.Table:
    from pyarrow import csv

    first = data.partition(b"\n")[0].decode(errors="replace").strip()
    delimiter = next((mark for mark in "\t,; " if mark in first), ",")
    if delimiter == " ":
        data = re.sub(rb"[ \r]+(?=\n|$)|(?<=\n) +", b"", re.sub(rb" {2,}", b" ", data))
    cells = [cell.strip().strip('"') for cell in first.split(delimiter)]
    is_head = not any(_NUMBER.fullmatch(cell) or image_stem(cell) or is_wnid(cell) for cell in cells)
    # pandas numbers columns without names, and leaves the name of the index empty.
    is_head = is_head or not cells[0] or (len(cells) > 2 and cells == [str(n) for n in range(len(cells))])
    return csv.read_csv(
        io.BytesIO(data),
        read_options=csv.ReadOptions(autogenerate_column_names=not is_head),
        parse_options=csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
        convert_options=csv.ConvertOptions(strings_can_be_null=False, null_values=[""]),
    )


def _json(path: Path, value: Any) -> dict[str, Array]:
    if isinstance(value, dict) and isinstance(value.get("data"), list) and isinstance(value.get("columns"), list):
        value = [dict(zip(value["columns"], row, strict=True)) for row in value["data"]]  # timm's json-split
    if isinstance(value, dict):
        named = [
            {"filename": key, **(row if isinstance(row, dict) else {"prediction": row})} for key, row in value.items()
        ]
        value = named
    if not isinstance(value, list) or not value:
        raise UsageError(f"{path}: its JSON is no list of rows, nor an object of rows. {_EXPECTED}.")
    if isinstance(value[0], dict):
        if {"qsl_idx", "data"} <= value[0].keys():
            return _mlperf(path, value)
        return {str(key): _json_column(path, str(key), [row.get(key) for row in value]) for key in value[0]}
    if isinstance(value[0], list) and any(isinstance(item, str) for item in value[0]):
        return {str(n): _json_column(path, str(n), list(cells)) for n, cells in enumerate(zip(*value, strict=True))}
    return {"prediction": _json_column(path, "prediction", value)}


def _json_column(path: Path, name: str, values: list[Any]) -> Array:
    if None in values:
        raise UsageError(f"{path}: row {values.index(None) + 1:,} has no {name}. Expected a value in each row.")
    if isinstance(values[0], list):
        flat = [item for row in values for item in row]
        return _shaped(path, _matrix(path, name, _numbers_or_texts(flat), len(values), {len(row) for row in values}))
    return _shaped(path, _numbers_or_texts(values))


def _mlperf(path: Path, records: list[dict[str, Any]]) -> dict[str, Array]:
    """Return the classes of an accuracy log by the images' places in the order of file names; the first one counts."""
    first: dict[int, bytes] = {}
    for record in records:
        first.setdefault(int(record["qsl_idx"]), bytes.fromhex(record["data"]))
    sizes = {len(data) for data in first.values()}
    if sizes not in ({4}, {8}):
        raise UsageError(f"{path}: its data have {sorted(sizes)} bytes; expected 4 (int32, float32) or 8 (int64).")
    values: Array = np.frombuffer(b"".join(first.values()), "<i4" if sizes == {4} else "<i8")
    if values.max() >= _MAX_INT32_CLASS:
        values = values.view("<f4" if sizes == {4} else "<f8")
    images = np.array([f"ILSVRC2012_val_{place + 1:08d}" for place in first], object)
    return {"qsl_idx": images, "prediction": values.astype(np.int64)}


def _folder(path: Path) -> dict[str, Array]:
    """Return the classes of Ultralytics' texts: a file an image, with a line "0.93 tench" a class."""
    files = sorted(file for file in path.iterdir() if file.suffix == ".txt")
    rows = [[line.split(maxsplit=1) for line in file.read_text().splitlines() if line] for file in files]
    if not files or any(len(line) != 2 for row in rows for line in row):
        raise UsageError(f"{path}: found no texts of lines such as `0.93 tench`. {_EXPECTED}.")
    lengths = {len(row) for row in rows}
    scores, names = (np.array([line[n] for row in rows for line in row], object) for n in (0, 1))
    return {
        "image": np.array([file.stem for file in files], object),
        "name": _matrix(path, "names", _numbers_or_texts(names), len(files), set(lengths)),
        "score": _matrix(path, "scores", scores.astype(np.float64), len(files), set(lengths)),
    }
