"""Bytes that can be read once, from front to back: a compressed archive, and the files in it, as they stream by.

A stream that ends too early raises FormatError with the code gzip_truncated; one whose bytes or checksum are wrong,
gzip_damaged.
"""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Callable
from typing import IO, TYPE_CHECKING

from imagenet_tools.errors import FormatError

if TYPE_CHECKING:
    from typing_extensions import Buffer

_CHUNK = 1 << 20

# (offset, n): n bytes at an offset, fewer only where the bytes end.
Read = Callable[[int, int], bytes]


def forward(file: IO[bytes], label: str) -> Read:
    """Reads of a stream at offsets that only grow; what lies between is skipped. Errors name it by its label."""
    position = 0

    def read(offset: int, n: int) -> bytes:
        nonlocal position
        if offset < position:
            message = f"{label}: byte {offset:,} was asked for after byte {position:,}; a stream is read once"
            raise ValueError(message)
        try:
            while position < offset:
                skipped = file.read(min(offset - position, _CHUNK))
                if not skipped:
                    return b""
                position += len(skipped)
            data = file.read(n)
        except EOFError:
            message = (
                f"{label}: the compressed stream ends too early, after {position:,} bytes: fetch or copy it again."
            )
            raise FormatError(message, code="gzip_truncated") from None
        except (zlib.error, gzip.BadGzipFile) as error:
            message = f"{label}: the compressed stream is damaged after {position:,} bytes ({error}): fetch it again."
            raise FormatError(message, code="gzip_damaged") from error
        position += len(data)
        return data

    return read


class Payload(io.RawIOBase):
    """A part of such a stream as a file of its own: good until the stream is read further on."""

    def __init__(self, read: Read, offset: int, size: int, name: str):
        self.name = name
        self._read, self._place, self._end = read, offset, offset + size

    def readable(self) -> bool:
        """That it can be read, as io asks."""
        return True

    def readinto(self, buffer: Buffer) -> int:
        """Fill a buffer, as io asks: the number of bytes, fewer at the end alone."""
        view = memoryview(buffer)
        data = self._read(self._place, min(len(view), self._end - self._place))
        view[: len(data)] = data
        self._place += len(data)
        return len(data)


class Gunzip(io.RawIOBase):
    """The bytes inside a gzip stream, for a BufferedReader around it: many small reads cost GzipFile four times more.

    What stands before a break is given before the break is raised, as GzipFile raises it.
    """

    def __init__(self, file: IO[bytes]):
        self.name = getattr(file, "name", "")
        self._unpacked = gzip.GzipFile(fileobj=file)

    def readable(self) -> bool:
        """That it can be read, as io asks."""
        return True

    def readinto(self, buffer: Buffer) -> int:
        """Fill a buffer as far as one read goes, as io asks: the number of bytes, 0 at the end."""
        view = memoryview(buffer)
        data = self._unpacked.read1(len(view))
        view[: len(data)] = data
        return len(data)
