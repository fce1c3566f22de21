"""Make Arrow arrays from Python lists and numpy arrays, buffer by buffer, so that pandas is not imported.

pyarrow.array() imports pandas, if it is installed, to see whether its argument is a data frame; so does an Arrow scalar
that is made from a Python value. The import takes 240 ms of processor time (pandas 3.1, pyarrow 26), longer than a
small export takes. None in a list becomes null.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt
    import pyarrow as pa


def column(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """Return texts, numbers or booleans as an array of this type."""
    import pyarrow as pa

    if pa.types.is_string(kind):
        return strings(values)
    filled = values if None not in values else [0 if value is None else value for value in values]
    numbers = np.fromiter(filled, bool if pa.types.is_boolean(kind) else kind.to_pandas_dtype(), len(filled))
    data = _bits(numbers) if pa.types.is_boolean(kind) else pa.py_buffer(numbers)
    return pa.Array.from_buffers(kind, len(filled), [_validity(values), data])


def strings(values: Sequence[str | None]) -> pa.Array:
    """Return texts as an array."""
    import pyarrow as pa

    texts = ["" if value is None else value for value in values]
    text = "".join(texts)
    data = text.encode()
    ends = _offsets(texts if len(data) == len(text) else [value.encode() for value in texts])
    return pa.Array.from_buffers(pa.string(), len(texts), [_validity(values), ends, pa.py_buffer(data)])


def integers(values: npt.NDArray[np.int64], *, valid: npt.NDArray[np.bool_] | None = None) -> pa.Array:
    """Return 64-bit integers as an array; null where `valid` is False."""
    import pyarrow as pa

    validity = None if valid is None else _bits(valid)
    return pa.Array.from_buffers(pa.int64(), len(values), [validity, pa.py_buffer(np.ascontiguousarray(values))])


def floats(values: npt.NDArray[np.float64]) -> pa.Array:
    """Return 64-bit floating point numbers as an array."""
    import pyarrow as pa

    return pa.Array.from_buffers(pa.float64(), len(values), [None, pa.py_buffer(np.ascontiguousarray(values))])


def lists(values: Sequence[Sequence[object]], items: pa.Array, kind: pa.DataType) -> pa.Array:
    """Return lists as long as `values`; `items` has the items of all lists, one list after the other."""
    import pyarrow as pa

    return pa.Array.from_buffers(kind, len(values), [None, _offsets(values)], children=[items])


def lists_or_null(counts: npt.NDArray[np.int64], items: pa.Array) -> pa.Array:
    """Return lists with `counts` of the items each, one list after the other; null where there are none."""
    import pyarrow as pa

    ends = np.cumsum(np.concatenate(([0], counts)), dtype=np.int32)
    buffers = [_bits(counts > 0), pa.py_buffer(ends)]
    return pa.Array.from_buffers(pa.list_(items.type), len(counts), buffers, children=[items])


def lengths(values: pa.Array) -> npt.NDArray[np.int64]:
    """Return the length of each list of an array; 0 for null."""
    counts = np.diff(np.from_dlpack(values.offsets)).astype(np.int64)
    validity = values.buffers()[0]
    if validity is not None:
        # Not fill_null(0), which makes a scalar, and no pyarrow.compute: a worker needs it for nothing else.
        bits = np.unpackbits(np.frombuffer(validity, np.uint8), bitorder="little")
        counts *= bits[values.offset : values.offset + len(values)]
    return counts


def string_lists(values: Sequence[Sequence[str]], kind: pa.DataType) -> pa.Array:
    """Return lists of texts."""
    return lists(values, strings(list(chain.from_iterable(values))), kind)


def boxes(values: Sequence[Sequence[Sequence[float]]], kind: pa.DataType) -> pa.Array:
    """Return lists of boxes of four numbers."""
    import pyarrow as pa

    flat = list(chain.from_iterable(values))
    edges = column(list(chain.from_iterable(flat)), kind.value_type.value_type)
    return lists(values, pa.Array.from_buffers(kind.value_type, len(flat), [None], children=[edges]), kind)


def binaries(data: bytearray, ends: Sequence[int]) -> pa.Array:
    """Return stretches of `data`, which is not copied, as an array; `ends` begins with 0."""
    import pyarrow as pa

    buffers = [None, pa.py_buffer(np.array(ends, np.int32)), pa.py_buffer(data)]
    return pa.Array.from_buffers(pa.binary(), len(ends) - 1, buffers)


def _validity(values: Sequence[object]) -> pa.Buffer | None:
    if None not in values:
        return None
    return _bits(np.fromiter((value is not None for value in values), bool, len(values)))


def _bits(flags: npt.NDArray[Any]) -> pa.Buffer:
    import pyarrow as pa

    return pa.py_buffer(np.packbits(flags, bitorder="little"))


def _offsets(values: Sequence[Sequence[object] | bytes]) -> pa.Buffer:
    import pyarrow as pa

    ends: npt.NDArray[np.int32] = np.zeros(len(values) + 1, np.int32)
    np.cumsum(np.fromiter(map(len, values), np.int32, len(values)), out=ends[1:])
    return pa.py_buffer(ends)
