"""Byte ranges of files: every image, also in a tar or in a tar inside a tar, is a (path, offset, length).

The only place that opens the bytes of sources; ranges of other stores would be read here too.
"""

from __future__ import annotations

import errno
import os
import threading
from collections import OrderedDict
from types import TracebackType
from typing import Any, Self

from imagenet_tools import system
from imagenet_tools.containers.stamps import Stamps, changed
from imagenet_tools.errors import SourceError

_CHUNK = 1 << 20
_LARGE = 64 << 20
# Linux moves at most this many bytes in a call.
_CALL_LIMIT = 0x7FFFF000
# The kernel, or the kind of file at either end, cannot copy by itself: read and write do.
_CANNOT_SEND = frozenset({errno.EINVAL, errno.ENOSYS, errno.ENOTSOCK, errno.EOPNOTSUPP, errno.EXDEV})


def read(path: str | os.PathLike[str], offset: int, length: int) -> bytes:
    """`length` bytes of a file from byte `offset` on, by one open and one read.

    Raises SourceError where the file is gone or has fewer, and OSError where the disk fails.
    """
    with Descriptors(capacity=1) as files:
        return files.read(path, offset, length)


class Descriptors:
    """Open files for reading ranges, the least recently used closed when there are more than `capacity`.

    May be shared by threads, and by processes that fork; pickled, it arrives empty and opens files anew. A file that is
    replaced while it is open here is read as it was.
    """

    def __init__(self, *, capacity: int = 64, stamps: Stamps | None = None):
        """`stamps` of an index: a file that is not the one that was indexed is a SourceError when it is opened."""
        self._capacity = max(capacity, 1)
        self._stamps = stamps
        self._files: OrderedDict[str, _File] = OrderedDict()
        self._lock = threading.Lock()
        # What those who read containers keep of them for as long as these files are in use.
        self.kept: dict[str, Any] = {}

    def read(self, path: str | os.PathLike[str], offset: int, length: int, *, file_size: int | None = None) -> bytes:
        """As the function `read` of this module; `file_size` is what the whole file should have, where it is known."""
        file = self._file(os.fspath(path), file_size)
        try:
            if length > _LARGE:
                there = max(os.fstat(file.fd).st_size - offset, 0)
                if there < length:  # or the memory for a wrong length would be asked for first
                    raise self._short(path, offset, length, there)
            data = os.pread(file.fd, length, offset)
            while len(data) < length:
                part = os.pread(file.fd, length - len(data), offset + len(data))
                if not part:
                    raise self._short(path, offset, length, len(data))
                data += part
        except OSError as error:
            # Reading through a descriptor leaves the path out.
            raise OSError(error.errno, error.strerror, os.fspath(path)) from error
        return data

    def read_into(
        self, path: str | os.PathLike[str], offset: int, room: memoryview, *, file_size: int | None = None
    ) -> None:
        """Fill memory with the bytes of a file from byte `offset` on; raises as `read`."""
        file = self._file(os.fspath(path), file_size)
        done, length = 0, len(room)
        try:
            while done < length:
                n = system.preadv(file.fd, (room[done:],), offset + done)
                if not n:
                    raise self._short(path, offset, length, done)
                done += n
        except OSError as error:
            raise OSError(error.errno, error.strerror, os.fspath(path)) from error

    def copy_to(self, path: str | os.PathLike[str], offset: int, length: int, out_fd: int) -> None:
        """Write `length` bytes of a file from byte `offset` on to an open descriptor, at its position.

        The kernel moves them where it can. Raises as `read`; what was written before is then left to the caller.
        """
        file = self._file(os.fspath(path))
        done = 0
        while done < length:
            try:
                sent = system.send(out_fd, file.fd, offset + done, min(length - done, _CALL_LIMIT))
            except OSError as error:
                if error.errno not in _CANNOT_SEND:
                    raise  # either end may have failed
                break
            if not sent:
                raise self._short(path, offset, length, done)
            done += sent
        while done < length:
            data = memoryview(self.read(path, offset + done, min(length - done, _CHUNK)))
            done += len(data)
            while data:
                data = data[os.write(out_fd, data) :]

    def close(self) -> None:
        """Close every file; one that another thread is reading, as soon as it is done."""
        with self._lock:
            self._files.clear()
            self.kept.clear()

    def changed(self, path: str | os.PathLike[str], found: str, expected: str) -> SourceError:
        """Return the error about a file that is not as it was indexed."""
        return (self._stamps.changed if self._stamps else changed)(os.fspath(path), found, expected)

    def _short(self, path: str | os.PathLike[str], offset: int, length: int, found: int) -> SourceError:
        return self.changed(path, f"{found:,} bytes from byte {offset:,} on", f"{length:,}")

    def _file(self, path: str, file_size: int | None = None) -> _File:
        with self._lock:
            file = self._files.get(path)
            if file is None:
                file = self._opened(path)
                if self._stamps is not None:
                    self._stamps.check(path, os.fstat(file.fd), file_size)
                self._files[path] = file
                if len(self._files) > self._capacity:
                    self._files.popitem(last=False)
            else:
                self._files.move_to_end(path)
            return file

    def _opened(self, path: str) -> _File:
        """A file, opened; where the process may open no more, half of those that are open here are closed first."""
        while True:
            try:
                return _File(path)
            except OSError as error:
                if error.errno not in (errno.EMFILE, errno.ENFILE) or not self._files:
                    raise
            for _ in range((len(self._files) + 1) // 2):
                self._files.popitem(last=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def __reduce__(self) -> tuple[object, ...]:
        return _descriptors, (self._capacity, self._stamps)


def _descriptors(capacity: int, stamps: Stamps | None) -> Descriptors:
    return Descriptors(capacity=capacity, stamps=stamps)


class _File:
    """An open file that closes when nobody uses it any more, so that no thread reads from a closed one."""

    def __init__(self, path: str):
        self.fd = -1
        try:
            self.fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            message = (
                f"Found no file {path}, expected a source that was indexed. If the sources were moved, say where they "
                "are with --root NAME=PATH; if they have changed, build the index again."
            )
            raise SourceError(message) from None

    def __del__(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
