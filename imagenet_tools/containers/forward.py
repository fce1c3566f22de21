"""Forward-only reads of a stream, such as a compressed archive, and the files in it while they stream by.

Reads raise FormatError: gzip_truncated if the stream ends too early, gzip_damaged if its bytes or checksum are wrong.
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

_READ_BYTES = 1 << 20

# read(offset, n) returns n bytes from an offset on, fewer only at the end.
Read = Callable[[int, int], bytes]


def forward(file: IO[bytes], label: str) -> Read:
    """Return a function that reads a stream at growing offsets, and skips the bytes between; errors use the label.

    The stream is read by whole buffers, of which the results are slices: a tar needs two small reads a member.
    """
    position = 0  # after the last read
    chunk, base = b"", 0  # the last buffer, and its offset

    def read(offset: int, n: int) -> bytes:
        nonlocal position, chunk, base
        if offset < position:
            message = f"{label}: byte {offset:,} was asked for after byte {position:,}; a stream is read once"
            raise ValueError(message)
        data = chunk[offset - base : offset - base + n]
        if n and len(data) == n:  # a read of no bytes may be behind the end
            position = offset + n
            return data
        pieces, end = [data], offset + n
        try:
            while base + len(chunk) < end:
                base += len(chunk)
                chunk = b""
                # All bytes that the stream has in its buffer; none at its end.
                chunk = file.read1() if isinstance(file, io.BufferedReader) else file.read(_READ_BYTES)
                if not chunk:
                    break
                pieces.append(chunk[max(offset - base, 0) : end - base])
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            returned, position = max(position, min(offset, base)), base
            raise _broken(label, returned, error) from error
        position = min(end, base + len(chunk))
        return b"".join(pieces)

    return read


def _broken(label: str, n: int, error: Exception) -> FormatError:
    if isinstance(error, EOFError):
        message = f"{label}: the compressed stream ends too early, after {n:,} bytes: fetch or copy it again."
        return FormatError(message, code="gzip_truncated")
    message = f"{label}: the compressed stream is damaged after {n:,} bytes ({error}): fetch it again."
    return FormatError(message, code="gzip_damaged")


class Payload(io.RawIOBase):
    """A part of such a stream as a file, valid until the stream is read on."""

    def __init__(self, read: Read, offset: int, size: int, name: str):
        self.name = name
        self._read, self._place, self._end = read, offset, offset + size

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Buffer) -> int:
        """Read into a buffer and return the number of bytes, fewer only at the end."""
        view = memoryview(buffer)
        data = self._read(self._place, min(len(view), self._end - self._place))
        view[: len(data)] = data
        self._place += len(data)
        return len(data)


class Gunzip(io.RawIOBase):
    """The bytes inside a gzip stream, to be wrapped in a BufferedReader: GzipFile's small reads cost four times more.

    The bytes before damage are returned before GzipFile's error is raised.
    """

    def __init__(self, file: IO[bytes]):
        self.name = getattr(file, "name", "")
        self._unpacked = gzip.GzipFile(fileobj=file)

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Buffer) -> int:
        """Read into a buffer, once, and return the number of bytes, 0 at the end."""
        view = memoryview(buffer)
        data = self._unpacked.read1(len(view))
        view[: len(data)] = data
        return len(data)
