"""The bytes of one image, wherever they lie: a byte range, a range wrapped in gzip, a row or member of a container.

Nearly all images are byte ranges (`blob`). Those in containers that cannot be addressed by byte are addressed by their
`position` in it: the one special case, and this module its one home.
"""

from __future__ import annotations

import threading
import zlib
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from imagenet_tools.containers.blob import Descriptors
from imagenet_tools.containers.parquet_pages import Column, Value
from imagenet_tools.containers.seek_points import Streams
from imagenet_tools.errors import FormatError, SourceError

# What a wrapped image may swell to. ImageNet's largest image is well below; a bomb is not.
LARGEST = 256 << 20

# Parquet files whose pages are known, and bytes of decoded pages that are kept.
_COLUMNS, _PAGES = 512, 16 << 20

# How images in a gzip stream are marked: as they are, and wrapped once more in a gzip of their own.
STREAMED = ("tar.gz", "tar.gz+gzip")

GZIP_MAGIC = b"\x1f\x8b"


class Place(NamedTuple):
    """Where an image lies: the columns of the table images that say it, with the file as it is on this machine."""

    path: Path
    offset: int | None  # bytes; None in a container that cannot be addressed by byte
    length: int  # bytes, as they lie there
    member: str | None = None
    position: int | None = None
    # None; gzip: the range is an image wrapped in gzip; parquet: position is its row; tar.gz: position is its byte in
    # the stream, tar.gz+gzip: and there it is wrapped once more.
    compression: str | None = None
    points: Path | None = None  # the index's file of seek points, where it lies in a stream

    @property
    def plain(self) -> bool:
        """Whether the bytes are the image's own, and can be copied by the kernel."""
        return self.offset is not None and self.compression is None

    @property
    def alone(self) -> bool:
        """Whether the image is a file of its own, and can be linked; in a tar, a header comes before it."""
        return self.offset == 0 and self.compression is None


def read(place: Place, files: Descriptors) -> bytes:
    """The bytes of the image itself, unwrapped; SourceError where they are not there any more, or not as indexed."""
    if place.offset is not None and place.compression in (None, "gzip"):
        data = files.read(place.path, place.offset, place.length)
        return data if place.compression is None else gunzip(data)
    if place.compression == "parquet" and place.position is not None:
        data = _columns(files).read(str(place.path), place.position)
        if len(data) != place.length:
            message = f"{place.path}: found {len(data):,} bytes in row {place.position:,}, expected {place.length:,}: "
            raise SourceError(message + "the source has changed since it was indexed. Build the index again with it.")
        return data
    if place.compression in STREAMED and place.position is not None and place.points is not None:
        streams: Streams = files.kept.setdefault(Streams.__module__, Streams(files))
        data = streams.read(place.path, place.points, member=place.member, position=place.position, length=place.length)
        return data if place.compression == "tar.gz" else gunzip(data)
    message = f"{place.path}: {place.member} is in {place.compression}, which this version does not read back."
    raise SourceError(message)


def gunzip(data: bytes) -> bytes:
    """The bytes inside a gzip wrapping; FormatError where it is broken, cut short, or swells beyond any image."""
    engine = zlib.decompressobj(wbits=31)
    try:
        found = engine.decompress(data, LARGEST)
    except zlib.error as error:
        message = f"Found a gzip wrapping that is broken ({error}); expected an image in it."
        raise FormatError(message, code="gzip_broken") from error
    if not engine.eof:
        message = f"Found a gzip wrapping that is cut short or holds over {LARGEST:,} bytes; expected an image in it."
        raise FormatError(message, code="gzip_broken")
    return found


class _Columns:
    """The Parquet files that are open, with the pages last decoded: rows read in their order cost a read a page."""

    def __init__(self, files: Descriptors):
        self._files = files
        self._columns: OrderedDict[str, Column] = OrderedDict()
        self._pages: OrderedDict[tuple[str, int], Sequence[Value]] = OrderedDict()
        self._lock = threading.Lock()

    def read(self, path: str, row: int) -> bytes:
        """The image in a row, counted from 0."""
        column = self._columns.get(path) or Column(self._files, path)
        page = column.page_of(row)
        values = self._pages.get((path, page.first)) or column.decode(page)
        with self._lock:  # not while reading: a process that forks then would wait for ever
            self._columns[path] = column
            self._columns.move_to_end(path)
            self._pages[path, page.first] = values
            self._pages.move_to_end((path, page.first))
            if len(self._columns) > _COLUMNS:
                self._columns.popitem(last=False)
            # Of pages that are small a few are kept, for rows that are read here and there in turn.
            while len(self._pages) > 1 and sum(map(_size, self._pages.values())) > _PAGES:
                self._pages.popitem(last=False)
        value = values[row - page.first]
        return b"" if value is None else bytes(value)


def _size(values: Sequence[Value]) -> int:
    return sum(len(value) for value in values if value is not None)


def _columns(files: Descriptors) -> _Columns:
    found: _Columns = files.kept.get(__name__) or _Columns(files)
    files.kept[__name__] = found
    return found
