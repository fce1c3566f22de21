"""Byte ranges of files: every image, also in a tar or in a tar inside a tar, is a (path, offset, length).

Only this module opens the files of sources. It compares a file with its stamp, the size and time at indexing, when a
process opens it for the first time. Reads of many ranges go into a buffer that is reused: allocating memory costs more
than reading into it.
"""

from __future__ import annotations

import errno
import os
import shlex
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from imagenet_tools import system
from imagenet_tools.errors import SourceError
from imagenet_tools.storage import buckets
from imagenet_tools.text import count_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from concurrent.futures import Future

    import numpy as np
    from numpy.typing import NDArray

CAPACITY = 1024 * (512 + 4096)  # bytes of a ReadBuffer: a thousand images' first bytes, with a tar header before each

_CHUNK_BYTES = 1 << 20
_LARGE_BYTES = 64 << 20
_MAX_SEND_BYTES = 0x7FFFF000  # Linux moves no more in one call

# The kernel, or the kind of file at either end, cannot copy: read and write do.
_CANNOT_SEND = frozenset({errno.EINVAL, errno.ENOSYS, errno.ENOTSOCK, errno.EOPNOTSUPP, errno.EXDEV})


class Stamp(NamedTuple):
    """The size and time of an archive when it was indexed."""

    size: int  # bytes
    mtime_ns: int | None  # None: do not compare


class IndexedSource(NamedTuple):
    """A source of an index, for error messages and for loose images."""

    path: str  # of the source on this machine
    newest_ns: int | None  # the newest mtime_ns of its loose images; None: do not compare
    root_option: str  # the value of `build-index --root` for a source that was moved, else ""


class Stamps(NamedTuple):
    """The stamps of all sources of an index. Small and picklable."""

    index_path: str
    archives: Mapping[str, Stamp]  # by path on this machine
    sources: tuple[IndexedSource, ...]

    def check(self, path: str, status: os.stat_result, length: int | None = None) -> None:
        """Raise SourceError if a file is not the one that was indexed; `length` is the bytes of a loose image."""
        stamp = self.archives.get(path)
        self.check_size(path, status.st_size, length)
        if stamp:
            if stamp.mtime_ns is not None and status.st_mtime_ns != stamp.mtime_ns:
                raise self.changed(path, f"mtime_ns {status.st_mtime_ns}", f"{stamp.mtime_ns}")
            return
        for source in self.sources:  # the source of a path is looked for only if a file is newer than one of them
            newest_ns = source.newest_ns
            if newest_ns is not None and status.st_mtime_ns > newest_ns and source == self._source_of(path):
                raise self.changed(path, f"mtime_ns {status.st_mtime_ns}", f"{newest_ns} or older")

    def check_size(self, path: str, found: int, length: int | None = None) -> None:
        """Raise SourceError if a file has another size than the one that was indexed."""
        stamp = self.archives.get(path)
        size = stamp.size if stamp else length
        if size is not None and found != size:
            raise self.changed(path, count_of(found, "byte"), count_of(size, "byte"))

    def changed(self, path: str, found: str, expected: str) -> SourceError:
        """Return the error for a changed file, with the command that refreshes the index."""
        source = self._source_of(path)
        words = [
            "imagenet-tools",
            "build-index",
            buckets.url_of(source.path if source else path),
            "-o",
            self.index_path,
        ]
        words += ["--root", source.root_option] if source and source.root_option else []
        return changed(path, found, expected, f"`{shlex.join(words)}`")

    def _source_of(self, path: str) -> IndexedSource | None:
        inside = (source for source in self.sources if path == source.path or path.startswith(f"{source.path}/"))
        return max(inside, key=lambda source: len(source.path), default=None)


def changed(path: str, found: str, expected: str, refresh: str = "`imagenet-tools build-index`") -> SourceError:
    """Return the error for a file that has changed since it was indexed."""
    return SourceError(
        f"{buckets.url_of(path)}: found {found}, expected {expected}: the source has changed since it was indexed. "
        f"Build the index again with {refresh}, or put the file back that was indexed."
    )


class Descriptors:
    """A least-recently-used cache of open files, for reading byte ranges.

    Threads may share it, and so may processes that fork. A pickled copy is empty and opens the files again. A file
    that is replaced while it is open is read as it was.

    Args:
        capacity: The maximum number of open files.
        stamps: The stamps of an index: opening a file that has changed raises SourceError.
    """

    def __init__(self, *, capacity: int = 64, stamps: Stamps | None = None):
        self._capacity = max(capacity, 1)
        self._stamps = stamps
        self._files: OrderedDict[str, _File | buckets.Remote] = OrderedDict()
        self._lock = threading.Lock()
        self._begun: dict[tuple[str, int], Future[bytes]] = {}  # reads of files in buckets
        # State of the readers of containers, kept as long as these files are in use.
        self.kept: dict[str, Any] = {}

    def read(self, path: str | os.PathLike[str], offset: int, length: int, *, file_size: int | None = None) -> bytes:
        """Return `length` bytes of a file from byte `offset` on; `file_size` is the expected size, if it is known.

        Raises:
            SourceError: The file is gone, has changed, or has fewer bytes.
            OSError: The disk fails.
        """
        file = self._file(os.fspath(path), file_size)
        if isinstance(file, buckets.Remote):
            return self._read_remote(file, os.fspath(path), offset, length, file_size)
        try:
            if length > _LARGE_BYTES:  # checked first, so that no memory is allocated for a wrong length
                available = max(os.fstat(file.fd).st_size - offset, 0)
                if available < length:
                    raise self._short(path, offset, length, available)
            data = os.pread(file.fd, length, offset)
            while len(data) < length:
                part = os.pread(file.fd, length - len(data), offset + len(data))
                if not part:
                    raise self._short(path, offset, length, len(data))
                data += part
        except OSError as error:
            # The error of a read through a descriptor lacks the path.
            raise OSError(error.errno, error.strerror, os.fspath(path)) from error
        return data

    def read_ends(
        self, path: str | os.PathLike[str], offset: int, length: int, n: int, *, file_size: int | None = None
    ) -> tuple[bytes, bytes]:
        """Return the first and the last `n` bytes of a range, or all of a shorter one; raises as `read`."""
        file = self._file(os.fspath(path), file_size)
        n = min(n, length)
        if isinstance(file, buckets.Remote):
            data = self._read_remote(file, os.fspath(path), offset, length, file_size)
            return data[:n], data[length - n :]
        try:
            ends = os.pread(file.fd, n, offset), os.pread(file.fd, n, offset + length - n)
        except OSError as error:
            raise OSError(error.errno, error.strerror, os.fspath(path)) from error
        if len(ends[1]) < n:
            raise self._short(path, offset, length, max(os.fstat(file.fd).st_size - offset, 0))
        return ends

    def read_into(
        self, path: str | os.PathLike[str], offset: int, view: memoryview, *, file_size: int | None = None
    ) -> None:
        """Read a range of the size of `view` into it; raises as `read`."""
        file = self._file(os.fspath(path), file_size)
        done, length = 0, len(view)
        if isinstance(file, buckets.Remote):
            view[:] = self._read_remote(file, os.fspath(path), offset, length, file_size)
            return
        try:
            while done < length:
                n = system.preadv(file.fd, (view[done:],), offset + done)
                if not n:
                    raise self._short(path, offset, length, done)
                done += n
        except OSError as error:
            raise OSError(error.errno, error.strerror, os.fspath(path)) from error

    def copy_to(self, path: str | os.PathLike[str], offset: int, length: int, out_fd: int) -> None:
        """Write a range to an open descriptor, at its position; the kernel copies it where it can.

        Raises as `read`. The caller deals with the bytes that were written before an error.
        """
        file = self._file(os.fspath(path))
        done = 0
        while done < length and not isinstance(file, buckets.Remote):
            try:
                sent = system.send(out_fd, file.fd, offset + done, min(length - done, _MAX_SEND_BYTES))
            except OSError as error:
                if error.errno not in _CANNOT_SEND:
                    raise  # either end may have failed
                break
            if not sent:
                raise self._short(path, offset, length, done)
            done += sent
        while done < length:
            data = memoryview(self.read(path, offset + done, min(length - done, _CHUNK_BYTES)))
            done += len(data)
            while data:
                data = data[os.write(out_fd, data) :]

    def begin(self, path: str | os.PathLike[str], offset: int, length: int, *, file_size: int | None = None) -> None:
        """Begin to read a range of a file in a bucket; the next `read` of it waits for that."""
        file = self._file(os.fspath(path), file_size)
        if isinstance(file, buckets.Remote):
            self._begun[os.fspath(path), offset] = buckets.begin(file, offset, _asked(length, file_size))

    def _read_remote(self, file: buckets.Remote, path: str, offset: int, length: int, file_size: int | None) -> bytes:
        begun = self._begun.pop((path, offset), None)
        data = begun.result() if begun else file.read(offset, _asked(length, file_size))
        if file_size is not None and len(data) > length:
            raise self.changed(file.url, f"more than {count_of(length, 'byte')}", f"{length:,}")
        if len(data) < length:
            raise self._short(file.url, offset, length, len(data))
        return data

    def close(self) -> None:
        """Close all files; a file that another thread is reading is closed when that ends."""
        with self._lock:
            self._files.clear()
            self.kept.clear()
            for begun in self._begun.values():
                begun.cancel()
            self._begun.clear()

    def changed(self, path: str | os.PathLike[str], found: str, expected: str) -> SourceError:
        """Return the error for a file that has changed since it was indexed."""
        return (self._stamps.changed if self._stamps else changed)(os.fspath(path), found, expected)

    def _short(self, path: str | os.PathLike[str], offset: int, length: int, found: int) -> SourceError:
        return self.changed(path, f"{count_of(found, 'byte')} from byte {offset} on", f"{length:,}")

    def _file(self, path: str, file_size: int | None = None) -> _File | buckets.Remote:
        with self._lock:
            file = self._files.get(path)
            if file is None:
                file = buckets.Remote(path) if buckets.is_remote(path) else self._opened(path)
                if self._stamps is not None:
                    if isinstance(file, _File):
                        self._stamps.check(path, os.fstat(file.fd), file_size)
                    elif file_size is None:  # of a whole file, the size is seen when it is read
                        self._stamps.check_size(path, file.size())
                self._files[path] = file
                if len(self._files) > self._capacity:
                    self._files.popitem(last=False)
            else:
                self._files.move_to_end(path)
            return file

    def _opened(self, path: str) -> _File:
        """Open a file; if the process has no descriptors left, close half of the cached files first."""
        while True:
            try:
                return _File(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
            except (FileNotFoundError, NotADirectoryError):
                message = (
                    f"Found no file {path}, expected a source that was indexed. If the sources were moved, say where "
                    "they are with --root NAME=PATH; if they have changed, build the index again."
                )
                raise SourceError(message) from None
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
        return partial(Descriptors, capacity=self._capacity, stamps=self._stamps), ()


def _asked(length: int, file_size: int | None) -> int:
    """Return the bytes to ask a bucket for: of a file that should end there, one more shows that it does not."""
    return length + (file_size is not None)


class _File:
    """An open file that is closed when the last reference goes, so that no thread reads from a closed one.

    It costs two system calls; an io.FileIO costs three, which a million loose images notice.
    """

    __slots__ = ("fd",)

    def __init__(self, fd: int):
        self.fd = fd

    def __del__(self) -> None:
        os.close(self.fd)


class ReadBuffer:
    """A buffer of CAPACITY bytes, with views as bytes, and as the 8-byte number that begins at each byte."""

    def __init__(self) -> None:
        import numpy as np

        self.raw = bytearray(CAPACITY + 8)
        self.view = memoryview(self.raw)
        self.bytes: NDArray[np.uint8] = np.frombuffer(self.raw, np.uint8)
        self._scratch: list[NDArray[np.uint64]] = []
        # words[n] is the big-endian number of the bytes n to n + 7.
        self.words: NDArray[np.int64] = np.ndarray((CAPACITY + 1,), ">i8", self.raw, strides=(1,))

    def scratch(self, rows: int, columns: int, n: int = 0) -> NDArray[np.uint64]:
        """Return the nth array for intermediate results, with any content, in the same memory each time."""
        import numpy as np

        while n >= len(self._scratch) or self._scratch[n].size < rows * columns:
            self._scratch[n:] = [np.empty(rows * columns, np.uint64)]
        return self._scratch[n][: rows * columns].reshape(rows, columns)


# Buffers that no reader uses at the moment, kept for the next one.
_idle: list[ReadBuffer] = []


@contextmanager
def read_buffer() -> Iterator[ReadBuffer]:
    """Give exclusive use of a buffer until the block ends; its content is lost then."""
    try:
        buffer = _idle.pop()
    except IndexError:  # asking first whether there is one would not be safe in threads
        buffer = ReadBuffer()
    try:
        yield buffer
    finally:
        _idle.append(buffer)
