"""The bytes of one image, wherever they are: a byte range, as it is or wrapped, or a row or member of a container.

Nearly all images are byte ranges, which `blob` reads. Images in containers that cannot be addressed by byte are
addressed by their `position`; only this module knows these cases. It also recognises an image's encoding, from its
first bytes and never from its name.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from imagenet_tools.containers.gzip_stream import Streams, gunzip
from imagenet_tools.containers.parquet_images import RowGroups
from imagenet_tools.containers.planar import DEFLATED_PLANAR, INTERLEAVED, PLANAR, png
from imagenet_tools.errors import SourceError
from imagenet_tools.storage.blob import Descriptors
from imagenet_tools.storage.buckets import IN_FLIGHT, is_remote, url_of
from imagenet_tools.text import count_of

HEAD_BYTES = 12  # of an image, which show its encoding

# Values of images.compression for images that have a byte range.
ADDRESSED = (None, "gzip", PLANAR, INTERLEAVED)
# Values of images.compression for images in a stream: as they are, each wrapped in a gzip of its own, raw values.
STREAMED = ("tar.gz", "tar.gz+gzip", DEFLATED_PLANAR)

_SIGNATURE = re.compile(
    rb"(?P<jpeg>\xff\xd8(?:\xff|\Z))|(?P<png>\x89PNG\r\n\x1a\n)|(?P<gif>GIF8[79]a)|(?P<bmp>BM)"
    rb"|(?P<tiff>II[*+]\0|MM\0[*+])|(?P<webp>RIFF.{4}WEBP)|(?P<ppm>P[1-6]\s)",
    re.DOTALL,
).match


class Place(NamedTuple):
    """The location of an image: columns of the table images, with the file's path on this machine.

    Attributes:
        path: The file.
        offset: Bytes; None in a container that cannot be addressed by byte.
        length: Bytes, as stored.
        member: The image's name in an archive.
        position: The row of a Parquet file, or the byte of a gzip stream.
        compression: How it is stored. None: as it is. gzip: the range is an image wrapped in gzip. planar and
            interleaved: the range is raw values, which are read as a PNG. parquet: `position` is a row. tar.gz:
            `position` is a byte of the stream. tar.gz+gzip: the same, and wrapped once more. npz: `position` is a byte
            of the stream, and the range is raw values.
        points: The index's file of seek points, for an image in a stream.
        encoding: The encoding that the first bytes must have, as the index states it. "": any known encoding, for an
            image that was not probed. None: do not compare, for an image with a problem.
    """

    path: str | Path
    offset: int | None
    length: int
    member: str | None = None
    position: int | None = None
    compression: str | None = None
    points: Path | None = None
    encoding: str | None = None

    @property
    def plain(self) -> bool:
        """Return True if the bytes are the image's own, so that the kernel can copy them."""
        return self.offset is not None and self.compression is None

    @property
    def alone(self) -> bool:
        """Return True if the image is a file of its own, and can be linked; in a tar, a header comes before it."""
        return self.offset == 0 and self.compression is None

    @property
    def file_size(self) -> int | None:
        """Return the size of the file in bytes if it holds nothing but the image, else None."""
        return self.length if self.offset == 0 else None


def encoding_of(head: bytes | memoryview) -> str | None:
    """Return the encoding of an image that begins with `head`, such as "jpeg"; None if it is no known image."""
    match = _SIGNATURE(head)
    return None if match is None else match.lastgroup


def read(place: Place, files: Descriptors) -> bytes:
    """Return the bytes of an image, unwrapped.

    The cost of an image, read at random, and in reading_order:

        a byte range        one read of its bytes: files, tars, shards of WebDataset, TFRecords; the same in any order
        gzip                the same, and inflating it
        planar, interleaved the same, and making a PNG of it: 20 us for 32 by 32 pixels
        parquet             decoding its row group, 11 MB in the hub's shards; in order, once a row group
        tar.gz              inflating the 4 MiB before it, or 1/16,384 of a huge stream; in order, the stream once

    Args:
        place: The location of the image.
        files: Open files. Threads may share them, and forked processes may go on with them.

    Raises:
        SourceError: The bytes are gone, damaged, or not as indexed.
        OSError: The disk fails.
    """
    data = _read(place, files)
    check_head(place, data[:HEAD_BYTES], files)
    return data


def read_ahead(places: Iterable[Place], files: Descriptors) -> Iterator[Place]:
    """Yield places, and read those in buckets some places ahead, so that many requests are in flight."""
    waiting: deque[Place] = deque()
    for place in places:
        if place.offset is not None and is_remote(place.path):
            files.begin(place.path, place.offset, place.length, file_size=place.file_size)
        elif not waiting:
            yield place
            continue
        waiting.append(place)
        if len(waiting) > IN_FLIGHT:
            yield waiting.popleft()
    yield from waiting


def read_into(place: Place, view: memoryview, files: Descriptors) -> None:
    """Read a plain image into memory of `place.length` bytes; raises as `read`."""
    files.read_into(place.path, place.offset or 0, view, file_size=place.file_size)
    check_head(place, view[:HEAD_BYTES], files)


def read_tail(place: Place, files: Descriptors) -> bytes:
    """Check the first bytes of a plain image that is then copied or linked, and return the last; raises as `read`."""
    head, tail = files.read_ends(place.path, place.offset or 0, place.length, HEAD_BYTES, file_size=place.file_size)
    check_head(place, head, files)
    return tail


def check_head(place: Place, head: bytes | memoryview, files: Descriptors) -> None:
    """Raise SourceError if the first bytes of an image are not of the encoding that the index states."""
    if place.encoding is None:
        return
    encoding = encoding_of(head)
    if encoding is None or encoding != (place.encoding or encoding):
        where = f"byte {place.offset}" if place.offset is not None else place.member or f"row {place.position}"
        expected = f"a {place.encoding}" if place.encoding else "an image of a known encoding"
        raise files.changed(place.path, f"bytes that begin {bytes(head)!r} at {where}", expected)


def _read(place: Place, files: Descriptors) -> bytes:
    if place.offset is not None and place.compression in ADDRESSED:
        data = files.read(place.path, place.offset, place.length, file_size=place.file_size)
        if place.compression in (PLANAR, INTERLEAVED):
            return png(data, interleaved=place.compression == INTERLEAVED)
        return data if place.compression is None else gunzip(data)
    if place.compression == "parquet" and is_remote(place.path):
        message = f"{url_of(place.path)}: images in Parquet cannot be read from a bucket. Copy the file to a disk."
        raise SourceError(message)
    if place.compression == "parquet" and place.position is not None:
        data = RowGroups.of(files).read(str(place.path), place.position) or b""
        if len(data) != place.length:
            raise files.changed(
                place.path, f"{count_of(len(data), 'byte')} in row {place.position}", f"{place.length:,}"
            )
        return data
    if place.compression in STREAMED and place.position is not None and place.points is not None:
        streams: Streams = files.kept.setdefault(Streams.__module__, Streams(files))
        data = streams.read(
            Path(place.path),
            place.points,
            member=place.member,
            position=place.position,
            length=place.length,
            raw=place.compression == DEFLATED_PLANAR,
        )
        if place.compression == DEFLATED_PLANAR:
            return png(data)
        return data if place.compression == "tar.gz" else gunzip(data)
    message = f"{place.path}: {place.member} is in {place.compression}, which this version does not read back."
    raise SourceError(message)


def reading_order(place: Place) -> tuple[str, str, int]:
    """Return a sort key by which each container is read from front to back.

    In this order each row group of a Parquet shard is decoded once, and each stream of a tar is inflated once.
    """
    stream, inside, _ = (place.member or "").partition(".tar")
    position = place.position if place.offset is None else place.offset
    return str(place.path), stream if inside and place.compression in STREAMED else "", position or 0
