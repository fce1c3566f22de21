"""TFRecord files without TensorFlow: the byte range of each record and of each value of its Example, and new records.

    length    8 bytes, little-endian
    crc       4 bytes: crc32c of the length, masked
    data      a tf.train.Example, Protocol Buffers: features { name: a list of bytes, floats or integers }
    crc       4 bytes: crc32c of the data, masked
    length ...

Values of bytes are located, not read: an image is a byte range of the file. The checksum of the length is verified,
because the length leads to the next record. The checksum of the data is not, because it costs reading every byte.
FormatError is raised after the last good record, with a code of PROBLEMS.
"""

from __future__ import annotations

import functools
import os
import struct
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeAlias

from imagenet_tools.errors import FormatError
from imagenet_tools.text import count_of
from imagenet_tools.wordnet.wnid import without_label

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

# The codes of the errors raised by this module, for the table problems.
PROBLEMS = {
    "tfrecord_truncated": "the file ends inside a record",
    "tfrecord_damaged": "the checksum of a record's length is wrong, and so there is no way to the next record",
    "example_damaged": "a record that holds no Example; the others are read",
}

_HEADER = struct.Struct("<QI")
_DATA_CRC_BYTES = 4
_WINDOW_BYTES = 4096  # most Examples have everything but their image within this
_MAX_FIELD_HEADER_BYTES = 20  # a tag and a length, at most 10 bytes each

# Limits far above those of any ImageNet file, so that a damaged one cannot fill the memory.
_MAX_FEATURES = 4096
_MAX_LIST_BYTES = 1 << 20
_MAX_TEXT_BYTES = 4096

# Wire types of Protocol Buffers.
_VARINT = 0
_FIXED64 = 1
_BYTES = 2
_FIXED32 = 5

# Field numbers of tf.train.Feature.
_BYTES_LIST = 1
_FLOAT_LIST = 2
_INT_LIST = 3

# Names of features in the two spellings of ImageNet: TensorFlow's research models, and TensorFlow Datasets.
_IMAGES = ("image/encoded", "image")
_NAMES = ("image/filename", "file_name", "image/source_id")
_CLASS_NUMBERS = ("image/class/label", "label", "original_label")
_SYNSET = "image/class/synset"
EXPORTED_ID = "imagenet_tools/image_id"  # in exports of this project, whose names of images may be none of ImageNet's
_EDGES = tuple(f"image/object/bbox/{edge}" for edge in ("xmin", "ymin", "xmax", "ymax"))
_BOX_NUMBERS = "image/object/bbox/label"
_BOX_TEXTS = "image/object/class/text"
_WANTED = frozenset({*_IMAGES, *_NAMES, *_CLASS_NUMBERS, *_EDGES, _SYNSET, EXPORTED_ID, _BOX_NUMBERS, _BOX_TEXTS})


class Record(NamedTuple):
    """The data of a record: its byte range in the file, and its first bytes."""

    offset: int
    length: int
    head: bytes


class Range(NamedTuple):
    """The byte range in the file of a value of bytes."""

    offset: int
    length: int


class Features(NamedTuple):
    """The features of an Example by name: byte ranges of values of bytes, and the numbers themselves."""

    bytes: dict[str, list[Range]]
    floats: dict[str, list[float]]
    ints: dict[str, list[int]]


class Example(NamedTuple):
    """The values of an Example that describe an image; None or "" where it has none."""

    image: Range | None
    name: str  # the file name
    number: int | None  # the class
    synset: str | None
    # xmin, ymin, xmax, ymax as fractions of the image, and the class as the file names it, a number or a text.
    boxes: list[tuple[float, float, float, float, str | None]]
    problem: str  # why its boxes cannot be used
    exported_id: str  # the image_id that an export of this project states

    @property
    def stem_and_class(self) -> tuple[str, str | None]:
        """Return (the stem as ImageNet spells it, the class that was appended to it)."""
        return without_label(PurePosixPath(self.name).stem)


def walk(fd: int, label: str) -> Iterator[Record]:
    """Yield the records of an open file, at the cost of one read each.

    Args:
        fd: A descriptor of the file; its position is not moved.
        label: The name of the file in errors.

    Raises:
        FormatError: tfrecord_truncated or tfrecord_damaged, after the last good record.
    """
    size = os.fstat(fd).st_size
    offset = 0
    while offset < size:
        data = os.pread(fd, _HEADER.size + _WINDOW_BYTES, offset)
        if len(data) < _HEADER.size:
            raise _truncated(label, offset, f"{len(data)} bytes before its end", "the 12 of a record's length")
        length, crc = _HEADER.unpack_from(data)
        if masked_crc32c(data[:8]) != crc:
            message = (
                f"{label}: found a length at byte {offset} whose checksum is wrong; expected a record. What follows "
                "cannot be found: fetch or copy the file again."
            )
            raise FormatError(message, code="tfrecord_damaged")
        start = offset + _HEADER.size
        if start + length + _DATA_CRC_BYTES > size:
            found = f"{count_of(size - start, 'byte')} of a record before its end"
            raise _truncated(label, offset, found, f"the {length:,} that its length states, and 4 of a checksum")
        yield Record(start, length, data[_HEADER.size : _HEADER.size + length])
        offset = start + length + _DATA_CRC_BYTES


def _truncated(label: str, offset: int, found: str, expected: str) -> FormatError:
    message = f"{label}: cut short at byte {offset}: found {found}; expected {expected}. Fetch or copy it again."
    return FormatError(message, code="tfrecord_truncated")


def masked_crc32c(data: bytes) -> int:
    """Return the checksum that follows a record's length: Castagnoli's crc32c, masked as TensorFlow does.

    Its speed of about 1 MB/s is enough for lengths. write_record(), with checksums of whole images, uses a library.
    """
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _crc_table()[(crc ^ byte) & 0xFF] ^ crc >> 8
    return _masked(crc ^ 0xFFFFFFFF)


def _masked(crc: int) -> int:
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


@functools.cache
def _crc_table() -> tuple[int, ...]:
    values = list(range(256))
    for _ in range(8):
        values = [value >> 1 ^ (0x82F63B78 if value & 1 else 0) for value in values]
    return tuple(values)


def read_example(fd: int, record: Record, label: str) -> Example:
    """Return the image that a record of an open file describes.

    Args:
        fd: A descriptor of the file. It is not read if `record.head` is the whole record.
        record: The record.
        label: The name of the file in errors.

    Raises:
        FormatError: example_damaged: the record holds no Example.
    """
    example = features(fd, record, label, wanted=_WANTED)

    def text(*names: str) -> str:
        values = next((example.bytes[name] for name in names if example.bytes.get(name)), None)
        return _text(fd, record, values[0]) if values else ""

    image = next((ranges[0] for name in _IMAGES if (ranges := example.bytes.get(name))), None)
    number = next((numbers[0] for name in _CLASS_NUMBERS if (numbers := example.ints.get(name))), None)
    edges = [example.floats.get(edge, []) for edge in _EDGES]
    names: list[str | None] = [str(number) for number in example.ints.get(_BOX_NUMBERS, ())]
    names = names or [_text(fd, record, value) for value in example.bytes.get(_BOX_TEXTS, ())]
    n = len(edges[0])
    problem = ""
    if any(len(edge) != n for edge in edges) or len(names) not in (0, n):
        counts = ", ".join(str(count) for count in (*map(len, edges), len(names)))
        problem = f"lists of {counts} edges and classes; expected lists of one length: the image is kept without boxes"
    boxes = [] if problem else list(zip(*edges, names or [None] * n, strict=True))
    return Example(image, text(*_NAMES), number, text(_SYNSET) or None, boxes, problem, text(EXPORTED_ID))


def _text(fd: int, record: Record, value: Range) -> str:
    length = min(value.length, _MAX_TEXT_BYTES)
    start = value.offset - record.offset
    data = record.head[start : start + length]
    return (data if len(data) == length else os.pread(fd, length, value.offset)).decode(errors="replace")


def features(fd: int, record: Record, label: str, *, wanted: Collection[str] | None = None) -> Features:
    """Return the features of the Example in a record: all, or the wanted ones.

    Raises:
        FormatError: example_damaged: the record holds no Example.
    """
    result = Features({}, {}, {})
    window = _Window(fd, record)
    try:
        for number, *message_range in window.fields(record.offset, record.offset + record.length):
            if number == 1:
                for entry_number, start, end in window.fields(*message_range):
                    if entry_number == 1:
                        _add_feature(window, start, end, result, wanted)
    except (EOFError, struct.error, UnicodeDecodeError) as error:
        message = (
            f"{label}: the record at byte {record.offset} is no tf.train.Example ({error}); expected one, with "
            "the features of an image. If the file is another kind of TFRecord, leave it out."
        )
        raise FormatError(message, code="example_damaged") from error
    return result


def _add_feature(window: _Window, start: int, end: int, result: Features, wanted: Collection[str] | None) -> None:
    """Add the feature of a map entry: field 1 is its name, field 2 its value, a list of one of three kinds."""
    if len(result.bytes) + len(result.floats) + len(result.ints) > _MAX_FEATURES:
        raise EOFError(f"over {_MAX_FEATURES:,} features")
    name, value = "", (0, 0)
    for number, field_start, field_end in window.fields(start, end):
        if number == 1:
            name = window.at(field_start, min(field_end - field_start, _MAX_LIST_BYTES)).decode()
        elif number == 2:
            value = (field_start, field_end)
    if wanted is not None and name not in wanted:
        return
    for kind, *list_range in window.fields(*value):
        ranges = [Range(first, stop - first) for number, first, stop in window.fields(*list_range) if number == 1]
        if kind == _BYTES_LIST:
            result.bytes[name] = ranges
        elif kind in {_FLOAT_LIST, _INT_LIST}:
            if sum(length for _, length in ranges) > _MAX_LIST_BYTES:
                raise EOFError(f"a list of more than {_MAX_LIST_BYTES:,} bytes")
            # Numbers are packed into one field, or have a field each.
            packed = b"".join(window.at(offset, length) for offset, length in ranges)
            if kind == _FLOAT_LIST:
                result.floats[name] = list(struct.unpack(f"<{len(packed) // 4}f", packed))
            else:
                result.ints[name] = list(_integers(packed))


def _integers(packed: bytes) -> Iterator[int]:
    place = 0
    while place < len(packed):
        number, place = _varint(packed, place)
        yield number - (1 << 64) if number >> 63 else number


def _varint(data: bytes, place: int) -> tuple[int, int]:
    """Return (a number of 7 bits a byte, the place after it); raise EOFError if it does not end."""
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


class _Window:
    """The bytes of a record, read on demand, so that an image is skipped. Places are offsets in the file."""

    def __init__(self, fd: int, record: Record):
        self._fd = fd
        self._end = record.offset + record.length
        self._data, self._start = record.head, record.offset

    def _load(self, place: int, n: int) -> int:
        """Load n bytes from a place on, fewer only at the end of the record; return the index of the first."""
        loaded_end = self._start + len(self._data)
        if place < self._start or (place + n > loaded_end and loaded_end < self._end):
            size = min(max(n, _WINDOW_BYTES), self._end - place)
            self._data, self._start = os.pread(self._fd, size, place), place
        return place - self._start

    def at(self, place: int, n: int) -> bytes:
        """Return n bytes from a place on; raise EOFError if the record ends before."""
        if place + n > self._end:
            raise EOFError(f"it ends at byte {self._end}")
        first = self._load(place, n)
        return self._data[first : first + n]

    def fields(self, place: int, end: int) -> Iterator[tuple[int, int, int]]:
        """Yield (number, start, end) of each field of a message; the range of a number is that of its varint."""
        while place < end:
            first = self._load(place, _MAX_FIELD_HEADER_BYTES)
            tag, after_tag = _varint(self._data, first)
            kind, size, after = tag & 7, 0, after_tag
            if kind == _BYTES:
                size, after = _varint(self._data, after_tag)
            elif kind == _VARINT:
                size = _varint(self._data, after_tag)[1] - after_tag
            elif kind in {_FIXED32, _FIXED64}:
                size = 4 if kind == _FIXED32 else 8
            else:
                raise EOFError(f"a field of type {kind}")
            start = place + after - first
            if start + size > end:
                raise EOFError(f"a field of {size:,} bytes where {max(end - start, 0):,} are left")
            yield tag >> 3, start, start + size
            place = start + size


# ---- writing


class Floats(tuple[float, ...]):
    """The values of a list of floats, which may be empty."""


Values: TypeAlias = "bytes | list[int] | Floats"  # bytes are a list of one value


class _Out(Protocol):
    """A file to write to."""

    def write(self, data: bytes, /) -> int:
        """Append bytes."""


def write_record(out: _Out, features: Mapping[str, Values], name: str, data: bytes) -> None:
    """Write a record of an Example with these features, in this order, and a last one of one value of bytes.

    Args:
        out: The file.
        features: The values by name.
        name: The name of the last feature.
        data: Its value; it is not copied.
    """
    import google_crc32c

    head = example_head(features, name, len(data))
    length = struct.pack("<Q", len(head) + len(data))
    crc = google_crc32c.extend(google_crc32c.value(head), data)
    out.write(length + struct.pack("<I", _masked(google_crc32c.value(length))) + head)
    out.write(data)
    out.write(struct.pack("<I", _masked(crc)))


def example_head(features: Mapping[str, Values], name: str, length: int) -> bytes:
    """Return an Example with these features, in this order, up to the one value of the last feature.

    Args:
        features: The values by name.
        name: The name of the last feature, which has one value of bytes.
        length: The bytes of this value. They end the Example.
    """
    entries = b"".join([_entry(name, values) for name, values in features.items()])
    head = _entry_head(name, _BYTES_LIST, length)
    return _header(1, len(entries) + len(head) + length) + entries + head


def _entry(name: str, values: Values) -> bytes:
    """Return an entry of the map of features."""
    if isinstance(values, bytes):
        kind, content = _BYTES_LIST, values
    elif isinstance(values, Floats):
        kind, content = _FLOAT_LIST, struct.pack(f"<{len(values)}f", *values) if values else b""
    else:
        kind, content = _INT_LIST, b"".join(map(_varint_bytes, values))
    return _repeated_head(name, kind, len(content)) + content


def _entry_head(name: str, kind: int, length: int) -> bytes:
    """Return an entry of the map of features up to the content of its list, which is one value of bytes or numbers.

    Field 1 of the entry is its name, field 2 a Feature, whose field `kind` is a list. Field 1 of the list has the
    content. An empty list of numbers has no field.
    """
    head = _header(1, length) if length or kind == _BYTES_LIST else b""
    for field, before in ((kind, b""), (2, _message(1, name.encode())), (1, b"")):
        head = before + _header(field, len(head) + length) + head
    return head


# Names and lengths of values repeat from image to image.
_repeated_head = functools.lru_cache(maxsize=4096)(_entry_head)


def _message(field: int, content: bytes) -> bytes:
    return _header(field, len(content)) + content


def _header(field: int, length: int) -> bytes:
    """Return the tag and the length of a field of bytes, of a text or of a message."""
    if length <= 0x7F:  # as of nearly all; every field here has a tag of one byte
        return bytes((field << 3 | _BYTES, length))
    return _varint_bytes(field << 3 | _BYTES) + _varint_bytes(length)


@functools.lru_cache(maxsize=4096)
def _varint_bytes(number: int) -> bytes:
    """Return a number from 0 on, 7 bits a byte, the lowest first."""
    groups = bytearray()
    while number > 0x7F:
        groups.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*groups, number])
