"""The bytes of one image, wherever they lie: a byte range, a range wrapped in gzip, a row or member of a container.

Nearly all images are byte ranges (`blob`). Those in containers that cannot be addressed by byte are addressed by their
`position` in it: the one special case, and this module its one home.
"""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import NamedTuple

from imagenet_tools.containers.blob import Descriptors
from imagenet_tools.containers.parquet_images import RowGroups
from imagenet_tools.containers.seek_points import Streams
from imagenet_tools.errors import FormatError, SourceError

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

    @property
    def plain(self) -> bool:
        """Whether the bytes are the image's own, and can be copied by the kernel."""
        return self.offset is not None and self.compression is None

    @property
    def alone(self) -> bool:
        """Whether the image is a file of its own, and can be linked; in a tar, a header comes before it."""
        return self.offset == 0 and self.compression is None


def read(place: Place, files: Descriptors) -> bytes:
    """The bytes of the image itself, unwrapped. Threads may share `files`, and forked processes may go on with it.

    What an image costs, read at random, and in reading_order:

        a byte range        one read of its bytes: files, tars, shards of WebDataset, TFRecords; the same in any order
        gzip                the same, and its inflating
        parquet             the decoding of its row group, 11 MB in the hub's shards; in order, once a row group
        tar.gz              the inflating of the 4 MiB before it, or of a 16,384th of a huge stream; in order, all once

    SourceError where the bytes are not there any more, are damaged, or are not as indexed; OSError where a disk fails.
    """
    if place.offset is not None and place.compression in (None, "gzip"):
        data = files.read(place.path, place.offset, place.length)
        return data if place.compression is None else gunzip(data)
    if place.compression == "parquet" and place.position is not None:
        data = RowGroups.of(files).read(str(place.path), place.position) or b""
        if len(data) != place.length:
            message = f"{place.path}: found {len(data):,} bytes in row {place.position:,}, expected {place.length:,}: "
            raise SourceError(message + "the source has changed since it was indexed. Build the index again with it.")
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
