"""Read the columns of a file in the forms that people keep predictions in; the content tells which it is.

*.npy, *.npz           whole numbers: the class of each row (n,), or the k best (n, k); or scores of all classes (n, C)
csv, tsv, text         rows of image, classes, probabilities and true label, each if it is there; with or without a head
Parquet                the same columns, or lists of k classes
JSON lines             the same, a row a line
JSON                   a list of rows; rows by image; columns by name, as pandas' to_json(); columns and data, as
                       timm's json-split; a list of classes
MLPerf accuracy log    {"qsl_idx": 0, "data": "41000000"}: the class in hex, as int32, float32 or int64
folder of texts        Ultralytics' save_txt, a file an image: 0.93 tench
localisation           the devkit's lines of up to five classes with a box each: 490 111 108 441 193 361 ...
                       Kaggle's submission: ILSVRC2012_val_00000001,n01751748 111 108 441 193 n01753488 ...
                       Parquet and JSON with lists of classes and of boxes, xmin ymin xmax ymax each
"""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from tokenize import TokenError
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from imagenet_tools.catalogue.user_files import image_stem
from imagenet_tools.errors import UsageError
from imagenet_tools.wordnet.wnid import is_wnid

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

    Array = npt.NDArray[Any]
    Texts = npt.NDArray[np.object_]

EXPECTED = (
    "Expected the classes of each image, best first, or the scores of all classes: npy, npz, csv, Parquet, JSON, "
    "an accuracy log of MLPerf, or the folder of texts of Ultralytics"
)

_N_LOCALISED = 5  # classes with boxes that count
_MAX_INT32_CLASS = 1 << 20  # 1.0 as float32 is 1,065,353,216 as int32

_NUMBER = re.compile(r"[-+]?[\d.]+(e[-+]?\d+)?|\[.*", re.IGNORECASE)
_ITEM = re.compile(r"""'([^']*)'|"([^"]*)"|([^\s,\[\]'"]+)""")

# Errors of numpy, pyarrow, json and zipfile for a file that is not theirs.
_UNREADABLE = (
    *(ValueError, TypeError, LookupError, OSError, EOFError, OverflowError, RecursionError, NotImplementedError),
    *(BadZipFile, TokenError),
)


def columns_of(path: Path) -> dict[str, Array]:
    """Return the columns of a file by name: (n,) or (n, k); boxes are (n, k, 4).

    Raises:
        UsageError: The file is none of the forms that are drawn at the head of this module.
    """
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
        raise UsageError(f"{path}: it cannot be read: {reason}. {EXPECTED}.") from error


def _shaped(path: Path, values: Array | bytes) -> Array:
    if isinstance(values, bytes):
        advice = "Save tensors of torch with numpy.save(FILE, tensor.numpy())"
        raise UsageError(f"{path}: found a zip whose files are no arrays of NumPy. {advice}. {EXPECTED}.")
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.dtype.kind in "SU":
        values = values.astype(str).astype(object)
    if values.ndim not in (1, 2) or values.dtype.kind not in "iufO" or 0 in values.shape:
        raise UsageError(f"{path}: found {values.dtype} of shape {values.shape}. {EXPECTED}.")
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
            columns[name] = _of_lists(path, name, column)
        elif types.is_boolean(column.type) or types.is_temporal(column.type):
            continue
        else:
            values = column.to_numpy(zero_copy_only=False)
            columns[name] = _lists_in_text(path, name, values) if values.dtype == object else _shaped(path, values)
    return columns


def _of_lists(path: Path, name: str, column: pa.Array) -> Array:
    """Return a column of lists as (n, k), or of lists of boxes as (n, k, 4)."""
    from pyarrow import types

    lengths = set(column.value_lengths().to_pylist()) if len(column) else {0}
    values = column.flatten()
    if not types.is_nested(values.type):
        return _shaped(path, _matrix(path, name, values.to_numpy(zero_copy_only=False), len(column), lengths))
    sides = set(values.value_lengths().to_pylist())
    flat = values.flatten().to_numpy(zero_copy_only=False)
    return _boxes(path, name, _matrix(path, name, _matrix(path, name, flat, len(values), sides), len(column), lengths))


def _boxes(path: Path, name: str, values: Array) -> Array:
    if values.ndim != 3 or values.shape[2] != 4 or values.dtype.kind not in "iuf":
        shape = f"{values.dtype} of shape {values.shape}"
        raise UsageError(f"{path}: {name} is {shape}; expected lists of boxes of four numbers: xmin, ymin, xmax, ymax.")
    return values.astype(np.float64)


def _matrix(path: Path, name: str, values: Array, n: int, lengths: set[int]) -> Array:
    if len(lengths) != 1 or 0 in lengths:
        found = f"{min(lengths)} to {max(lengths)} values"
        raise UsageError(f"{path}: the rows of {name} have {found}; expected as many in each row.")
    return values.reshape(n, lengths.pop(), *values.shape[1:])


def _lists_in_text(path: Path, name: str, values: Texts) -> Array:
    """Return lists in texts, "[65 970 230]" or "['tench' 'eel']", as pandas writes arrays; other texts as they are."""
    if not len(values) or not all(str(value).startswith("[") and str(value).endswith("]") for value in values[:100]):
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
        raise UsageError(f"{path}: it is neither text nor another form that is known. {EXPECTED}.")
    data = data.removeprefix(b"\xef\xbb\xbf").lstrip()
    if not data:
        raise UsageError(f"{path}: it is empty. {EXPECTED}.")
    if data[:1] not in (b"{", b"["):
        return _localised(path, data) or _of_table(path, _csv(data))
    first, _, rest = data.partition(b"\n")
    if first.rstrip().endswith(b"}") and rest.lstrip().startswith(b"{"):
        from pyarrow import json as arrow_json

        data.decode()  # pyarrow's error of other bytes than UTF-8 is no ValueError
        return _of_table(path, arrow_json.read_json(io.BytesIO(data)))
    return _json(path, json.loads(data))


def _localised(path: Path, data: bytes) -> dict[str, Array] | None:
    """Return the classes and boxes of lines of `class xmin ymin xmax ymax`, up to five times; None for other lines.

    A row with fewer than another has its last class and box again, which changes no error among the best five.
    """
    first, _, rest = data.partition(b"\n")
    is_kaggle = first.replace(b'"', b"").strip() == b"ImageId,PredictionString"
    if not is_kaggle and (len(first.split()) % 5 or b"," in first):
        return None
    lines = (rest if is_kaggle else data).decode(errors="replace").splitlines()
    cells = [line.replace('"', "").partition(",")[:: 2 if is_kaggle else 1] for line in lines if line.strip()]
    rows = [cell[-1 if is_kaggle else 0].split() for cell in cells]
    if not is_kaggle and not all(len(row) % 5 == 0 and all(map(_NUMBER.fullmatch, row)) for row in rows[:100]):
        return None
    wrong = next((n for n, row in enumerate(rows, 1) if len(row) % 5 or not row), None)
    if wrong is not None:
        problem = f"row {wrong:,} has {len(rows[wrong - 1])} values"
        raise UsageError(f"{path}: {problem}; expected one to five times a class and its xmin ymin xmax ymax.")
    k = min(_N_LOCALISED, max(map(len, rows)) // 5)
    values = np.array([(row + row[-5:] * k)[: 5 * k] for row in rows]).reshape(len(rows), k, 5)
    boxes = values[..., 1:].astype(np.float64)
    if not is_kaggle and (boxes[..., :2] > boxes[..., 2:]).any():
        return None  # five classes a row
    columns: dict[str, Array] = {"label": _numbers_or_texts(values[..., 0]), "boxes": boxes}
    return {"image": np.array([cell[0] for cell in cells], object), **columns} if is_kaggle else columns


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
    if isinstance(value, dict) and (columns := _json_columns(value)):
        return {key: _json_column(path, key, column) for key, column in columns.items()}
    if isinstance(value, dict):
        named = [
            {"filename": key, **(row if isinstance(row, dict) else {"prediction": row})} for key, row in value.items()
        ]
        value = named
    if not isinstance(value, list) or not value:
        raise UsageError(f"{path}: its JSON is no list of rows, nor an object of rows. {EXPECTED}.")
    if isinstance(value[0], dict):
        if {"qsl_idx", "data"} <= value[0].keys():
            return _mlperf(path, value)
        return {str(key): _json_column(path, str(key), [row.get(key) for row in value]) for key in value[0]}
    if isinstance(value[0], list) and any(isinstance(item, str) for item in value[0]):
        return {str(n): _json_column(path, str(n), list(cells)) for n, cells in enumerate(zip(*value, strict=True))}
    return {"prediction": _json_column(path, "prediction", value)}


def _json_columns(value: dict[str, Any]) -> dict[str, list[Any]]:
    """Return the columns of an object of columns, as DataFrame.to_json() writes them; {} for rows by image."""
    columns = {
        key: [*column.values()] if isinstance(column, dict) and all(map(str.isdecimal, column)) else column
        for key, column in value.items()
        if image_stem(key) is None and not key.isdecimal()
    }
    are_columns = len(columns) == len(value) and all(isinstance(column, list) for column in columns.values())
    return columns if are_columns else {}


def _json_column(path: Path, name: str, values: list[Any]) -> Array:
    if None in values:
        raise UsageError(f"{path}: row {values.index(None) + 1:,} has no {name}. Expected a value in each row.")
    if isinstance(values[0], list):
        if values[0] and isinstance(values[0][0], list):
            return _boxes(path, name, np.array(values))
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
        raise UsageError(f"{path}: found no texts of lines such as `0.93 tench`. {EXPECTED}.")
    lengths = {len(row) for row in rows}
    scores, names = (np.array([line[n] for row in rows for line in row], object) for n in (0, 1))
    return {
        "image": np.array([file.stem for file in files], object),
        "name": _matrix(path, "names", _numbers_or_texts(names), len(files), set(lengths)),
        "score": _matrix(path, "scores", scores.astype(np.float64), len(files), set(lengths)),
    }
