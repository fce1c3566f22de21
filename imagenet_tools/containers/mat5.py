"""MATLAB files of version 5, in which devkits keep lists of synsets and images: a struct array, a cell array.

    0    text 116, ..., version 2, "IM": numbers are little-endian, as in all devkits
    128  elements: type 4, size 4, payload, padded to 8 bytes; a payload of at most 4 bytes is in the tag itself
         (size 2, type 2, payload 4); type 15 is a zlib stream that holds one element
    a matrix (type 14) holds elements: flags (class in the lowest byte), dimensions, name; then, by its class,
         text or numbers, or, for a struct, the width of a field's name, the names, and a matrix a field and row

Source: MathWorks, MAT-File Format, "Level 5 MAT-File Format".
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator
from itertools import islice
from typing import Any

from imagenet_tools.errors import FormatError

# Types of elements.
_MATRIX = 14
_COMPRESSED = 15

# Classes of a matrix.
_CELL = 1
_STRUCT = 2
_CHAR = 4

# struct codes and encodings by the type of an element.
_NUMBERS = {1: "<b", 2: "<B", 3: "<h", 4: "<H", 5: "<i", 6: "<I", 7: "<f", 9: "<d", 12: "<q", 13: "<Q"}
_TEXTS = {1: "latin-1", 2: "latin-1", 4: "utf-16-le", 16: "utf-8", 17: "utf-16-le"}

_MAX_UNPACKED_BYTES = 64 << 20  # the t12 devkit's 0.2 MB unpack to 1.1 MB

Value = str | float | None


def read_structs(data: bytes) -> list[dict[str, Value]]:
    """Return the rows of the first struct array in a file.

    Args:
        data: The bytes of the file.

    Returns:
        The fields of each row by name: a text, a number, or None for any other value.

    Raises:
        FormatError: mat_damaged: the bytes are no such file, or end too early.
    """
    for kind, _, rows in _arrays(data):
        if kind == _STRUCT:
            return rows
    raise _damaged("the MATLAB file holds no struct array; expected the devkit's array `synsets`")


def read_texts(data: bytes, name: str) -> list[str]:
    """Return the texts in the cell array of this name in a file; raises as read_structs."""
    for kind, array, texts in _arrays(data):
        if kind == _CELL and array.decode("latin-1") == name:
            return texts
    raise _damaged(f"the MATLAB file holds no cell array `{name}`: is it another list?")


def _damaged(message: str) -> FormatError:
    return FormatError(message, code="mat_damaged")


def _arrays(data: bytes) -> Iterator[tuple[int, bytes, list[Any]]]:
    """Yield (class, name, content) of each array: the rows of a struct array, the texts of a cell array."""
    if len(data) < 128 or data[126:128] != b"IM":
        raise _damaged("no MATLAB file of version 5 with little-endian numbers: it does not say IM at byte 126")
    try:
        for matrix in _matrices(data):
            kind, shape, name, parts = _opened(matrix)
            if kind == _STRUCT:
                yield kind, name, _rows(shape, parts)
            elif kind == _CELL:
                values = [_value(payload) for _, payload in parts]
                yield kind, name, [value for value in values if isinstance(value, str)]
    except (struct.error, zlib.error, ValueError, StopIteration, IndexError) as error:
        message = f"the MATLAB file is cut short or damaged ({type(error).__name__}): fetch it again"
        raise _damaged(message) from error


def _matrices(data: bytes) -> Iterator[bytes]:
    """Yield the matrices of a file, compressed or not; MATLAB does not compress twice."""
    for kind, payload in _elements(data[128:]):
        if kind == _MATRIX:
            yield payload
        elif kind == _COMPRESSED:
            unpacked = zlib.decompressobj().decompress(payload, _MAX_UNPACKED_BYTES)
            yield from (inner for inner_kind, inner in _elements(unpacked) if inner_kind == _MATRIX)


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield (type, payload) of each element; raise struct.error if the last one is cut."""
    place = 0
    while place < len(data):
        kind, size = struct.unpack_from("<II", data, place)
        if kind >> 16:  # the payload is in the tag
            kind, size, start, step = kind & 0xFFFF, kind >> 16, place + 4, 8
        else:
            start, step = place + 8, 8 + size + (-size % 8 if kind != _COMPRESSED else 0)
        payload = data[start : start + size]
        if len(payload) < size:
            raise struct.error
        yield kind, payload
        place += step


def _opened(matrix: bytes) -> tuple[int, bytes, bytes, Iterator[tuple[int, bytes]]]:
    """Return (class, dimensions, name, the other elements) of a matrix."""
    parts = _elements(matrix)
    (_, flags), (_, shape), (_, name) = islice(parts, 3)
    return flags[0], shape, name, parts


def _rows(shape: bytes, parts: Iterator[tuple[int, bytes]]) -> list[dict[str, Value]]:
    n_rows = math.prod(struct.unpack(f"<{len(shape) // 4}i", shape))
    width = struct.unpack_from("<i", next(parts)[1])[0]
    if width <= 0:
        raise struct.error
    text = next(parts)[1]
    names = [text[n : n + width].split(b"\0")[0].decode("latin-1") for n in range(0, len(text), width)]
    return [{name: _value(next(parts)[1]) for name in names} for _ in range(n_rows if names else 0)]


def _value(matrix: bytes) -> Value:
    kind, _, _, parts = _opened(matrix)
    if kind in {_STRUCT, _CELL}:
        return None
    element_type, payload = next(parts)
    if kind == _CHAR:
        return payload.decode(_TEXTS.get(element_type, "latin-1"))
    code = _NUMBERS.get(element_type)
    if code is None or len(payload) != struct.calcsize(code):
        return None
    return float(struct.unpack(code, payload)[0])
