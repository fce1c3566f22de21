"""Byte ranges of files: every image, also in a tar or in a tar inside a tar, is a (path, offset, length).

The only place that opens the bytes of sources; ranges of other stores would be read here too.
"""

from __future__ import annotations

import errno
import os
import shlex
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from imagenet_tools import system
from imagenet_tools.errors import SourceError

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray


# ---- Size and time of each source file when it was indexed, compared when a process opens the file for the first time.


class Stamp(NamedTuple):
    """What an archive was when it was indexed."""

    size: int  # bytes
    mtime_ns: int | None  # None: not to be compared


class IndexedSource(NamedTuple):
    """A source of an index, as errors and loose images need it."""

    path: str  # the source itself, on this machine
    newest_ns: int | None  # the newest mtime_ns of its loose images; None: not to be compared
    root_option: str  # the words of `build-index` that say where it lies now; "" where it did not move


class Stamps(NamedTuple):
    """The stamps of all sources of an index; small and picklable."""

    index_path: str
    archives: Mapping[str, Stamp]  # by path on this machine
    sources: tuple[IndexedSource, ...]

    def check(self, path: str, status: os.stat_result, length: int | None = None) -> None:
        """Raise SourceError if a file is not the one that was indexed; `length` is that of a loose image, bytes."""
        stamp = self.archives.get(path)
        if stamp is None:
            source = self._source_of(path)
            newest = None if source is None else source.newest_ns
            if length is not None and status.st_size != length:
                raise self.changed(path, f"{status.st_size:,} bytes", f"{length:,} bytes")
            if newest is not None and status.st_mtime_ns > newest:
                raise self.changed(path, f"mtime_ns {status.st_mtime_ns}", f"{newest} or older")
        elif status.st_size != stamp.size:
            raise self.changed(path, f"{status.st_size:,} bytes", f"{stamp.size:,} bytes")
        elif stamp.mtime_ns is not None and status.st_mtime_ns != stamp.mtime_ns:
            raise self.changed(path, f"mtime_ns {status.st_mtime_ns}", f"{stamp.mtime_ns}")

    def changed(self, path: str, found: str, expected: str) -> SourceError:
        """Return the error that says what was found, what was expected, and the command that refreshes the index."""
        source = self._source_of(path)
        words = ["imagenet-tools", "build-index", source.path if source else path, "-o", self.index_path]
        words += ["--root", source.root_option] if source and source.root_option else []
        return changed(path, found, expected, f"`{shlex.join(words)}`")

    def _source_of(self, path: str) -> IndexedSource | None:
        inside = (source for source in self.sources if path == source.path or path.startswith(f"{source.path}/"))
        return max(inside, key=lambda source: len(source.path), default=None)


def changed(path: str, found: str, expected: str, refresh: str = "`imagenet-tools build-index`") -> SourceError:
    """Return the error about a file that is not as it was indexed."""
    return SourceError(
        f"{path}: found {found}, expected {expected}: the source has changed since it was indexed. Build the index "
        f"again with {refresh}, or put the file back that was indexed."
    )


# ----


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


# ---- A buffer that reads go into, kept from one reader to the next: fresh memory costs more than the reading.


# The first bytes of a thousand images, and a tar header before each.
CAPACITY = 1024 * (512 + 4096)


class ReadBuffer:
    """CAPACITY bytes, seen as bytes, and as the eight bytes that begin at each of them."""

    def __init__(self) -> None:
        import numpy as np

        self.raw = bytearray(CAPACITY + 8)
        self.view = memoryview(self.raw)
        self.bytes: NDArray[np.uint8] = np.frombuffer(self.raw, np.uint8)
        self._scratch: list[NDArray[np.uint64]] = []
        # words[n] is the big-endian number in bytes n to n + 7.
        self.words: NDArray[np.int64] = np.ndarray((CAPACITY + 1,), ">i8", self.raw, strides=(1,))

    def scratch(self, rows: int, columns: int, n: int = 0) -> NDArray[np.uint64]:
        """Numbers to calculate with, whatever they are: the nth array of such, in the same memory each time."""
        import numpy as np

        while n >= len(self._scratch) or self._scratch[n].size < rows * columns:
            self._scratch[n:] = [np.empty(rows * columns, np.uint64)]
        return self._scratch[n][: rows * columns].reshape(rows, columns)


_idle: list[ReadBuffer] = []


@contextmanager
def read_buffer() -> Iterator[ReadBuffer]:
    """A buffer that nobody else reads into until the context ends; what it holds then is lost."""
    buffer = _idle.pop() if _idle else ReadBuffer()
    try:
        yield buffer
    finally:
        _idle.append(buffer)
