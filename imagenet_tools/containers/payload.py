"""The bytes of one image, wherever they lie: a byte range, a range wrapped in gzip, a row or member of a container.

Nearly all images are byte ranges (`blob`). Those in containers that cannot be addressed by byte are addressed by their
`position` in it: the one special case, and this module its one home.
"""

from __future__ import annotations

import re
import zlib
from pathlib import Path
from typing import NamedTuple

from imagenet_tools.containers.gzip_stream import Streams
from imagenet_tools.containers.parquet_images import RowGroups
from imagenet_tools.errors import FormatError, SourceError
from imagenet_tools.storage.blob import Descriptors

# ---- The first bytes that tell an image's encoding: bytes decide what an image is, never its name.


# Bytes of an image that tell its encoding.
HEAD_BYTES = 12

_SIGNATURE = re.compile(
    rb"(?P<jpeg>\xff\xd8(?:\xff|\Z))|(?P<png>\x89PNG\r\n\x1a\n)|(?P<gif>GIF8[79]a)|(?P<bmp>BM)"
    rb"|(?P<tiff>II[*+]\0|MM\0[*+])|(?P<webp>RIFF.{4}WEBP)|(?P<ppm>P[1-6]\s)",
    re.DOTALL,
).match


def encoding_of(head: bytes | memoryview) -> str | None:
    """Return the encoding of an image that begins with `head`, such as "jpeg"; None if it is no known image."""
    found = _SIGNATURE(head)
    return None if found is None else found.lastgroup


# ----


# What a wrapped image may swell to. ImageNet's largest image is well below; a bomb is not.
LARGEST = 256 << 20

# How images in a gzip stream are marked: as they are, and wrapped once more in a gzip of their own.
STREAMED = ("tar.gz", "tar.gz+gzip")

GZIP_MAGIC = b"\x1f\x8b"


class Place(NamedTuple):
    """Where an image lies: the columns of the table images that say it, with the file as it is on this machine."""

    path: str | Path
    offset: int | None  # bytes; None in a container that cannot be addressed by byte
    length: int  # bytes, as they lie there
    member: str | None = None
    position: int | None = None
    # None; gzip: the range is an image wrapped in gzip; parquet: position is its row; tar.gz: position is its byte in
    # the stream, tar.gz+gzip: and there it is wrapped once more.
    compression: str | None = None
    points: Path | None = None  # the index's file of seek points, where it lies in a stream
    # What the image's first bytes must be: the encoding that the index states; "": any known one, where it was not
    # probed; None: they are not compared, as of an image with a problem.
    encoding: str | None = None

    @property
    def plain(self) -> bool:
        """Whether the bytes are the image's own, and can be copied by the kernel."""
        return self.offset is not None and self.compression is None

    @property
    def alone(self) -> bool:
        """Whether the image is a file of its own, and can be linked; in a tar, a header comes before it."""
        return self.offset == 0 and self.compression is None

    @property
    def file_size(self) -> int | None:
        """Bytes of the file, where it holds nothing but the image."""
        return self.length if self.offset == 0 else None


def read(place: Place, files: Descriptors) -> bytes:
    """The bytes of the image itself, unwrapped. Threads may share `files`, and forked processes may go on with it.

    What an image costs, read at random, and in reading_order:

        a byte range        one read of its bytes: files, tars, shards of WebDataset, TFRecords; the same in any order
        gzip                the same, and its inflating
        parquet             the decoding of its row group, 11 MB in the hub's shards; in order, once a row group
        tar.gz              the inflating of the 4 MiB before it, or of a 16,384th of a huge stream; in order, all once

    SourceError where the bytes are not there any more, are damaged, or are not as indexed; OSError where a disk fails.
    """
    data = _read(place, files)
    check_head(place, data[:HEAD_BYTES], files)
    return data


def read_into(place: Place, room: memoryview, files: Descriptors) -> None:
    """Fill memory of `place.length` bytes with a plain image; raises as `read`."""
    files.read_into(place.path, place.offset or 0, room, file_size=place.file_size)
    check_head(place, room[:HEAD_BYTES], files)


def read_head(place: Place, files: Descriptors) -> None:
    """Read and compare the first bytes of a plain image that is then copied or linked; raises as `read`."""
    n = min(HEAD_BYTES, place.length)
    check_head(place, files.read(place.path, place.offset or 0, n, file_size=place.file_size), files)


def check_head(place: Place, head: bytes | memoryview, files: Descriptors) -> None:
    """Raise SourceError if the first bytes of an image are not of the encoding that the index states."""
    if place.encoding is None:
        return
    found = encoding_of(head)
    if found is None or found != (place.encoding or found):
        where = f"byte {place.offset:,}" if place.offset is not None else place.member or f"row {place.position}"
        expected = f"a {place.encoding}" if place.encoding else "an image of a known encoding"
        raise files.changed(place.path, f"bytes that begin {bytes(head)!r} at {where}", expected)


def _read(place: Place, files: Descriptors) -> bytes:
    if place.offset is not None and place.compression in (None, "gzip"):
        data = files.read(place.path, place.offset, place.length, file_size=place.file_size)
        return data if place.compression is None else gunzip(data)
    if place.compression == "parquet" and place.position is not None:
        data = RowGroups.of(files).read(str(place.path), place.position) or b""
        if len(data) != place.length:
            raise files.changed(place.path, f"{len(data):,} bytes in row {place.position:,}", f"{place.length:,}")
        return data
    if place.compression in STREAMED and place.position is not None and place.points is not None:
        streams: Streams = files.kept.setdefault(Streams.__module__, Streams(files))
        data = streams.read(
            Path(place.path), place.points, member=place.member, position=place.position, length=place.length
        )
        return data if place.compression == "tar.gz" else gunzip(data)
    message = f"{place.path}: {place.member} is in {place.compression}, which this version does not read back."
    raise SourceError(message)


def reading_order(place: Place) -> tuple[str, str, int]:
    """A key to sort places by where nothing else asks for an order: each container is then read from front to back.

    Of a shuffled Parquet shard every row group is decoded once; of a tar of streams every stream is inflated once.
    """
    stream, inside, _ = (place.member or "").partition(".tar")
    position = place.position if place.offset is None else place.offset
    return str(place.path), stream if inside and place.compression in STREAMED else "", position or 0


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
