"""Thrift's compact protocol, as much of it as Parquet's page headers use: structs of numbers, truths and bytes.

field     1 byte, number's step << 4 | type, or type alone and then the number; 00 ends a struct
number    7 bits a byte, the lowest first, the last byte below 80; signs are folded in (0, -1, 1, -2 ...)
bytes     their number, and then they
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

# The fields of a struct by their numbers; a value is a number, a truth, bytes, or a struct.
Struct = dict[int, Any]

_DEEPEST = 8
_TRUE, _FALSE, _BYTE, _BYTES, _STRUCT = 1, 2, 3, 8, 12
_NUMBERS = {4, 5, 6}


def read_varint(data: Sequence[int], place: int) -> tuple[int, int]:
    """(an unsigned number, the place after it); IndexError where the bytes end before, or beyond 70 bits."""
    number = shift = 0
    while True:
        byte = data[place]
        place += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, place
        shift += 7
        if shift > 63:
            raise IndexError(place)


def read_struct(data: bytes, place: int, depth: int = 0) -> tuple[Struct, int]:
    """(a struct, the place after it); IndexError where the bytes end before, or are none that is read here."""
    fields: Struct = {}
    number = 0
    if depth > _DEEPEST:
        raise IndexError(place)
    while True:
        head = data[place]
        place += 1
        if not head:
            return fields, place
        if head >> 4:
            number += head >> 4
        else:
            number, place = read_varint(data, place)
            number = _signed(number)
        fields[number], place = _value(data, place, head & 15, depth)


def _value(data: bytes, place: int, kind: int, depth: int) -> tuple[Any, int]:
    if kind in {_TRUE, _FALSE}:
        return kind == _TRUE, place
    if kind == _BYTE:
        return data[place], place + 1
    if kind in _NUMBERS:
        number, place = read_varint(data, place)
        return _signed(number), place
    if kind == _BYTES:
        size, place = read_varint(data, place)
        if place + size > len(data):
            raise IndexError(place)
        return data[place : place + size], place + size
    if kind == _STRUCT:
        return read_struct(data, place, depth + 1)
    raise IndexError(place)  # doubles, lists and maps stand in no page header


def _signed(number: int) -> int:
    return number >> 1 ^ -(number & 1)
