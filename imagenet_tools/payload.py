"""The bytes of one image, wherever they lie: a byte range, a range wrapped in gzip, a row or member of a container.

Nearly all images are byte ranges (`blob`). Those in containers that cannot be addressed by byte are addressed by their
`position` in it: the one special case, and this module its one home.
"""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import NamedTuple

from imagenet_tools.blob import Descriptors
from imagenet_tools.errors import FormatError, SourceError

# What a wrapped image may swell to. ImageNet's largest image is well below; a bomb is not.
_LARGEST = 256 << 20

GZIP_MAGIC = b"\x1f\x8b"


class Place(NamedTuple):
    """Where an image lies: the columns of the table images that say it, with the file as it is on this machine."""

    path: Path
    offset: int | None  # bytes; None in a container that cannot be addressed by byte
    length: int  # bytes, as they lie there
    member: str | None = None
    position: int | None = None
    compression: str | None = None  # None, or gzip: the range is an image wrapped in gzip

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
    message = f"{place.path}: {place.member} is in {place.compression}, which this version does not read back."
    raise SourceError(message)


def gunzip(data: bytes) -> bytes:
    """The bytes inside a gzip wrapping; FormatError where it is broken, cut short, or swells beyond any image."""
    engine = zlib.decompressobj(wbits=31)
    try:
        found = engine.decompress(data, _LARGEST)
    except zlib.error as error:
        message = f"Found a gzip wrapping that is broken ({error}); expected an image in it."
        raise FormatError(message, code="gzip_broken") from error
    if not engine.eof:
        message = f"Found a gzip wrapping that is cut short or holds over {_LARGEST:,} bytes; expected an image in it."
        raise FormatError(message, code="gzip_broken")
    return found
