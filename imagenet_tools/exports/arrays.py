"""Arrow arrays put together of their buffers: of lists, pyarrow makes them with pandas imported, to look for frames.

That takes longer than a small export does, and a copy of every image more.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt
    import pyarrow as pa

    from imagenet_tools.exports.pictures import Picture


def column(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """Texts, numbers or booleans; None is null."""
    import pyarrow as pa

    if pa.types.is_string(kind):
        return strings(values)
    given = values if None not in values else [0 if value is None else value for value in values]
    found = np.fromiter(given, bool if pa.types.is_boolean(kind) else kind.to_pandas_dtype(), len(given))
    data = _bits(found) if pa.types.is_boolean(kind) else pa.py_buffer(found)
    return pa.Array.from_buffers(kind, len(given), [_valid(values), data])


def strings(values: Sequence[str | None]) -> pa.Array:
    """Texts; None is null."""
    import pyarrow as pa

    texts = [b"" if value is None else value.encode() for value in values]
    data = pa.py_buffer(b"".join(texts))
    return pa.Array.from_buffers(pa.string(), len(texts), [_valid(values), _offsets(texts), data])


def _valid(values: Sequence[object]) -> pa.Buffer | None:
    if None not in values:
        return None
    return _bits(np.fromiter((value is not None for value in values), bool, len(values)))


def _bits(found: npt.NDArray[Any]) -> pa.Buffer:
    import pyarrow as pa

    return pa.py_buffer(np.packbits(found, bitorder="little"))


def lists(values: Sequence[Sequence[object]], inside: pa.Array, kind: pa.DataType) -> pa.Array:
    """Lists as long as these, of the values of an array that holds those of one behind those of the other."""
    import pyarrow as pa

    return pa.Array.from_buffers(kind, len(values), [None, _offsets(values)], children=[inside])


def string_lists(values: Sequence[Sequence[str]], kind: pa.DataType) -> pa.Array:
    """Lists of texts."""
    return lists(values, strings(list(chain.from_iterable(values))), kind)


def boxes(values: Sequence[Sequence[Sequence[float]]], kind: pa.DataType) -> pa.Array:
    """Lists of boxes of four numbers."""
    import pyarrow as pa

    flat = list(chain.from_iterable(values))
    edges = column(list(chain.from_iterable(flat)), kind.value_type.value_type)
    return lists(values, pa.Array.from_buffers(kind.value_type, len(flat), [None], children=[edges]), kind)


def images(pictures: Sequence[Picture]) -> pa.Array:
    """The bytes of images, read to where they stay."""
    import pyarrow as pa

    ends = np.cumsum([0, *(picture.length for picture in pictures)]).tolist()
    data = pa.allocate_buffer(ends[-1])
    room = memoryview(data).cast("B")
    for picture, start, end in zip(pictures, ends, ends[1:], strict=False):
        picture.read_into(room[start:end])
    offsets = pa.py_buffer(np.array(ends, np.int32))
    return pa.Array.from_buffers(pa.binary(), len(pictures), [None, offsets, data])


def _offsets(values: Sequence[Sequence[object] | bytes]) -> pa.Buffer:
    import pyarrow as pa

    ends: npt.NDArray[np.int32] = np.zeros(len(values) + 1, np.int32)
    np.cumsum(np.fromiter(map(len, values), np.int32, len(values)), out=ends[1:])
    return pa.py_buffer(ends)
