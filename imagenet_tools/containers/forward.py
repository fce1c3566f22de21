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
    """Reads of a stream at offsets that only grow; what lies between is skipped. Errors name it by its label.

    The stream is read by whole buffers, of which reads are slices: a tar asks for two of them a member.
    """
    position = 0  # behind what was given last
    chunk, base = b"", 0  # the bytes from base on, read last

    def read(offset: int, n: int) -> bytes:
        nonlocal position, chunk, base
        if offset < position:
            message = f"{label}: byte {offset:,} was asked for after byte {position:,}; a stream is read once"
            raise ValueError(message)
        data = chunk[offset - base : offset - base + n]
        if len(data) == n:
            position = offset + n
            return data
        pieces, end = [data], offset + n
        try:
            while base + len(chunk) < end:
                base += len(chunk)
                chunk = b""
                chunk = _buffer(file)
                if not chunk:
                    break
                pieces.append(chunk[max(offset - base, 0) : end - base])
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            given, position = max(position, min(offset, base)), base
            raise _broken(label, given, error) from error
        position = min(end, base + len(chunk))
        return b"".join(pieces)

    return read


def _buffer(file: IO[bytes]) -> bytes:
    """The next bytes of a stream, as many as its own buffer holds; none at its end."""
    return file.read1() if isinstance(file, io.BufferedReader) else file.read(_CHUNK)


def _broken(label: str, place: int, error: Exception) -> FormatError:
    if isinstance(error, EOFError):
        message = f"{label}: the compressed stream ends too early, after {place:,} bytes: fetch or copy it again."
        return FormatError(message, code="gzip_truncated")
    message = f"{label}: the compressed stream is damaged after {place:,} bytes ({error}): fetch it again."
    return FormatError(message, code="gzip_damaged")


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
