"""An image taken out of the gzip that a few of fall 2011's lie in."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from imagenet_tools.containers.payload import GZIP_MAGIC, gunzip
from imagenet_tools.errors import FormatError

if TYPE_CHECKING:
    from imagenet_tools.images.jpeg import More

# First bytes that are read of an image: 87 % of ImageNet's show their size within them; the others cost a second read.
HEAD = 4096


class Unwrapped(NamedTuple):
    """An image's first bytes, and the way to the others, out of its wrapping."""

    head: bytes
    more: More
    size: int
    compression: str | None

    @classmethod
    def of(cls, head: bytes, length: int, more: More) -> Unwrapped:
        """As it is, unless it begins as gzip does and holds something; a wrapping that is broken is left on."""
        if not head.startswith(GZIP_MAGIC):
            return cls(head, more, length, None)
        try:
            data = gunzip(more(0, length))
        except FormatError:
            return cls(head, more, length, None)
        return cls(data[:HEAD], lambda offset, n: data[offset : offset + n], len(data), "gzip")
