"""TFRecord files read without TensorFlow: where each record lies, and where each value of the Example in it.

    length    8 bytes, little-endian
    crc       4 bytes: crc32c of the length, masked
    data      a tf.train.Example, Protocol Buffers: features { name: bytes, floats or whole numbers, a list each }
    crc       4 bytes: crc32c of the data, masked
    length ...

The values of bytes are not read but placed: an image is a byte range of the file. The checksum of the length is held,
for it finds the next record; that of the data is not, for it costs the reading of every byte. After the last good
record FormatError is raised, with a code of PROBLEMS.
"""

from __future__ import annotations

import functools
import os
import struct
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

from imagenet_tools.errors import FormatError
from imagenet_tools.wordnet.wnid import without_label

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator


# The codes of the errors that are raised here, for the table problems.
PROBLEMS = {
    "tfrecord_truncated": "the file ends inside a record",
    "tfrecord_damaged": "the checksum of a record's length is wrong, and so there is no way to the next record",
    "example_damaged": "a record that holds no Example; the others are read",
}

_HEAD, _TAIL = 12, 4
# Most Examples show all but their image within this.
_WINDOW = 4096
# Features of one Example, and bytes of a name or of a list of numbers: many more than any of ImageNet's has.
_MOST, _LONGEST = 4096, 1 << 20
_HEADS = 20

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # Protocol Buffers' types on the wire
_BYTES_LIST, _FLOAT_LIST, _INT_LIST = 1, 2, 3  # the kinds of a Feature


class Record(NamedTuple):
    """The data of a record: where they lie in the file, bytes, and the first of them."""

    offset: int
    length: int
    head: bytes


class Range(NamedTuple):
    """A value of bytes in a record: where it lies in the file, bytes."""

    offset: int
    length: int


class Features(NamedTuple):
    """The features of an Example by name: its values of bytes as places, its numbers as they are."""

    bytes: dict[str, list[Range]]
    floats: dict[str, list[float]]
    ints: dict[str, list[int]]


def walk(fd: int, label: str) -> Iterator[Record]:
    """The records of an open file, at the cost of one read each; FormatError after the last good one."""
    size = os.fstat(fd).st_size
    place = 0
    while place < size:
        data = os.pread(fd, _HEAD + _WINDOW, place)
        if len(data) < _HEAD:
            raise _truncated(label, place, f"{len(data)} bytes before its end", "the 12 of a record's length")
        length, crc = _head(data)
        if masked_crc32c(data[:8]) != crc:
            message = (
                f"{label}: found a length at byte {place:,} whose checksum is wrong; expected a record. What follows "
                "cannot be found: fetch or copy the file again."
            )
            raise FormatError(message, code="tfrecord_damaged")
        start = place + _HEAD
        if start + length + _TAIL > size:
            found = f"{size - start:,} bytes of a record before its end"
            raise _truncated(label, place, found, f"the {length:,} that its length states, and 4 of a checksum")
        yield Record(start, length, data[_HEAD : _HEAD + length])
        place = start + length + _TAIL


_head = struct.Struct("<QI").unpack_from


def _truncated(label: str, place: int, found: str, expected: str) -> FormatError:
    message = f"{label}: cut short at byte {place:,}: found {found}; expected {expected}. Fetch or copy it again."
    return FormatError(message, code="tfrecord_truncated")


def masked_crc32c(data: bytes) -> int:
    """The checksum of a record's length as it stands behind it: Castagnoli's crc32c, masked as TensorFlow does.

    Some 1 MB a second: for lengths. Who writes records, and so sums whole images, wants a library.
    """
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _table()[(crc ^ byte) & 0xFF] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


@functools.cache
def _table() -> tuple[int, ...]:
    values = list(range(256))
    for _ in range(8):
        values = [value >> 1 ^ (0x82F63B78 if value & 1 else 0) for value in values]
    return tuple(values)


# ---- what an Example holds


def features(fd: int, record: Record, label: str, *, wanted: Collection[str] | None = None) -> Features:
    """The features of the Example in a record, all or those that are wanted.

    FormatError, with the code example_damaged, where there is no Example.
    """
    found = Features({}, {}, {})
    window = _Window(fd, record)
    try:
        for number, *whole in window.fields(record.offset, record.offset + record.length):
            if number == 1:
                for entry_number, start, end in window.fields(*whole):
                    if entry_number == 1:
                        _add(window, start, end, found, wanted)
    except (EOFError, struct.error, UnicodeDecodeError) as error:
        message = (
            f"{label}: the record at byte {record.offset:,} is no tf.train.Example ({error}); expected one, with "
            "the features of an image. If the file is another kind of TFRecord, leave it out."
        )
        raise FormatError(message, code="example_damaged") from error
    return found


def _add(window: _Window, start: int, end: int, found: Features, wanted: Collection[str] | None) -> None:
    """Add the feature of an entry of the map: field 1 is its name, field 2 its value, a list of one of three kinds."""
    if len(found.bytes) + len(found.floats) + len(found.ints) > _MOST:
        raise EOFError(f"over {_MOST:,} features")
    base, fields = 0, window.fields
    if end - start <= _WINDOW:  # nearly every one but the image: looked at as it is
        data = window.at(start, end - start)
        base, fields = start, lambda place, end: _fields(data, place, end)
        start, end = 0, len(data)
    name, value = "", (0, 0)
    for number, begin, stop in fields(start, end):
        if number == 1:
            name = window.at(base + begin, min(stop - begin, _LONGEST)).decode()
        elif number == 2:
            value = (begin, stop)
    if wanted is not None and name not in wanted:
        return
    for kind, *values in fields(*value):
        parts = [(begin, stop) for number, begin, stop in fields(*values) if number == 1]
        if kind == _BYTES_LIST:
            found.bytes[name] = [Range(base + begin, stop - begin) for begin, stop in parts]
        elif kind in {_FLOAT_LIST, _INT_LIST}:
            if sum(stop - begin for begin, stop in parts) > _LONGEST:
                raise EOFError(f"a list of more than {_LONGEST:,} bytes")
            # Numbers are packed into one field, or stand in one each.
            packed = b"".join(window.at(base + begin, stop - begin) for begin, stop in parts)
            if kind == _FLOAT_LIST:
                found.floats[name] = list(struct.unpack(f"<{len(packed) // 4}f", packed))
            else:
                found.ints[name] = list(_ints(packed))


def _ints(packed: bytes) -> Iterator[int]:
    place = 0
    while place < len(packed):
        number, place = _varint(packed, place)
        yield number - (1 << 64) if number >> 63 else number


def _varint(data: bytes, place: int) -> tuple[int, int]:
    """(a number of 7 bits a byte, the place after it); EOFError where it does not end."""
    if place < len(data) and data[place] < 0x80:
        return data[place], place + 1
    number = shift = 0
    for n in range(place, min(place + 10, len(data))):
        byte = data[n]
        if byte < 0x80:
            return (number | byte << shift) & 0xFFFFFFFFFFFFFFFF, n + 1
        number |= (byte & 0x7F) << shift
        shift += 7
    raise EOFError("a number without an end")


def _fields(data: bytes, place: int, end: int) -> Iterator[tuple[int, int, int]]:
    """(number, beginning, end) of each field of a message that lies between two places; of a number, its bytes."""
    while place < end:
        tag, place = _varint(data, place)
        kind = tag & 7
        if kind == _BYTES:
            size, place = _varint(data, place)
        elif kind == _VARINT:
            size = _varint(data, place)[1] - place
        elif kind in {_FIXED32, _FIXED64}:
            size = 4 if kind == _FIXED32 else 8
        else:
            raise EOFError(f"a field of type {kind}")
        if place + size > end:
            raise EOFError(f"a field of {size:,} bytes where {max(end - place, 0):,} are left")
        yield tag >> 3, place, place + size
        place += size


class _Window:
    """The bytes of a record, read as they are looked at: an image in between is passed over."""

    def __init__(self, fd: int, record: Record):
        self._fd, self._end = fd, record.offset + record.length
        self._data, self._start = record.head, record.offset

    def at(self, offset: int, n: int) -> bytes:
        """n bytes from an offset of the file; EOFError where the record ends before."""
        begin = offset - self._start
        if begin < 0 or begin + n > len(self._data):
            if offset + n > self._end:
                raise EOFError(f"it ends at byte {self._end:,}")
            self._data, self._start = os.pread(self._fd, min(max(n, _WINDOW), self._end - offset), offset), offset
            begin = 0
        return self._data[begin : begin + n]

    def fields(self, place: int, end: int) -> Iterator[tuple[int, int, int]]:
        """As _fields, of a message that may be longer than what is read of it; places are of the file."""
        while place < end:
            # A field's tag and length: at most 10 bytes each.
            head = self.at(place, min(_HEADS, end - place))
            number, begin, stop = next(_fields(head, 0, end - place))
            yield number, place + begin, place + stop
            place += stop


# ---- an image in a tf.train.Example, in either of two spellings


_IMAGES, _NAMES = ("image/encoded", "image"), ("image/filename", "file_name", "image/source_id")
_NUMBERS, _SYNSET = ("image/class/label", "label", "original_label"), "image/class/synset"
_EDGES = tuple(f"image/object/bbox/{edge}" for edge in ("xmin", "ymin", "xmax", "ymax"))
_BOX_NUMBERS, _BOX_TEXTS = "image/object/bbox/label", "image/object/class/text"
_WANTED = frozenset({*_IMAGES, *_NAMES, *_NUMBERS, *_EDGES, _SYNSET, _BOX_NUMBERS, _BOX_TEXTS})

# Bytes of a name that are read.
_LONGEST_FIELD = 4096


class Boxed(NamedTuple):
    """A box: its edges as fractions of the image, and its class as it is named, a number or a text."""

    xmin: float
    ymin: float
    xmax: float
    ymax: float
    name: str | None


class Example(NamedTuple):
    """What an Example holds of an image; None and "" for what it has not."""

    image: Range | None
    name: str  # of its file
    number: int | None
    synset: str | None
    boxes: list[Boxed]
    problem: str  # what is wrong with its boxes

    @property
    def told(self) -> tuple[str, str | None]:
        """(the stem as ImageNet spells it, the class put behind it)."""
        return without_label(PurePosixPath(self.name).stem)


def read_example(fd: int, record: Record, label: str) -> Example:
    """The Example in a record of an open file; FormatError, with the code example_damaged, where there is none."""
    found = features(fd, record, label, wanted=_WANTED)
    image = next((places[0] for name in _IMAGES if (places := found.bytes.get(name))), None)
    number = next((numbers[0] for name in _NUMBERS if (numbers := found.ints.get(name))), None)
    name = next((places[0] for name in _NAMES if (places := found.bytes.get(name))), None)
    synset = next(iter(found.bytes.get(_SYNSET, ())), None)
    edges = [found.floats.get(edge, []) for edge in _EDGES]
    names: list[str | None] = [str(number) for number in found.ints.get(_BOX_NUMBERS, ())]
    names = names or [_text(fd, place) for place in found.bytes.get(_BOX_TEXTS, ())]
    n = len(edges[0])
    counts = ", ".join(str(count) for count in (*map(len, edges), len(names)))
    if any(len(edge) != n for edge in edges) or len(names) not in (0, n):
        problem = f"lists of {counts} edges and classes; expected as many of each: the image is kept without boxes"
        return Example(image, _text(fd, name), number, _text(fd, synset) or None, [], problem)
    rows = zip(*edges, names or [None] * n, strict=True)
    boxes = [Boxed(left, top, right, bottom, said) for left, top, right, bottom, said in rows]
    return Example(image, _text(fd, name), number, _text(fd, synset) or None, boxes, "")


def _text(fd: int, place: Range | None) -> str:
    return os.pread(fd, min(place.length, _LONGEST_FIELD), place.offset).decode(errors="replace") if place else ""
