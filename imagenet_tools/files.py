"""Outputs that appear whole or not at all: files, folders, links and copies, and the lock that one writer holds.

A file is written as `.<random>.partial` beside its own name and renamed when it is complete: nothing that an
interrupted run leaves behind bears a final name.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import socket
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import BinaryIO, Literal, Protocol

from imagenet_tools.errors import ExistsError, ExportError, SourceError

How = Literal["auto", "hard", "sym", "reflink", "copy"]
StrPath = str | os.PathLike[str]

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_FICLONE = 0x40049409  # Linux: one file shares the blocks of another until either is changed
_AT_FDCWD, _RENAME_NOREPLACE = -100, 1  # renameat2(2)
# No links or reflinks on this file system, not between these two places, or no more of them to this file.
_CANNOT_LINK = frozenset(
    {errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.ENOTTY}
)
# Pairs of devices between which a reflink was refused: asked once, not once a file.
_without_reflinks: set[tuple[int, int]] = set()


class CopiesRanges(Protocol):
    """What copies a byte range of a source to an open descriptor; blob.Descriptors does."""

    def copy_to(self, path: StrPath, offset: int, length: int, out_fd: int) -> None:
        """Write `length` bytes of the file from byte `offset` on to `out_fd`, or raise."""


@contextmanager
def whole(path: StrPath, *, replace: bool = False, fsync: bool = True) -> Iterator[BinaryIO]:
    """A new binary file that bears its name once it is complete, and is gone if anything is raised before.

    Raises ExistsError where the name is taken, unless it is to `replace` what bears it. With `fsync` its bytes are on
    the disk before it gets its name; call `fsync_folder` for the name itself.
    """
    with _new(os.fspath(path), replace, fsync) as fd, open(fd, "wb", closefd=False) as file:
        yield file


@contextmanager
def _new(path: str, replace: bool, fsync: bool) -> Iterator[int]:
    """As `whole`, with a descriptor. Paths are text here: a million files go this way."""
    if not replace:
        _refuse_taken(path)
    folder, slash, _ = path.rpartition("/")
    partial = f"{folder}{slash}.{secrets.token_hex(8)}.partial"
    fd = os.open(partial, _NEW, 0o666)
    try:
        try:
            yield fd
            if fsync:
                os.fsync(fd)
        finally:
            os.close(fd)
        if replace:
            Path(partial).replace(path)
        else:
            _rename_new(partial, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            Path(partial).unlink()
        if isinstance(error, OSError) and error.filename is None and error.errno is not None:
            # Writing through a descriptor leaves the path out.
            raise OSError(error.errno, error.strerror, path) from error
        raise


def write_whole(path: StrPath, data: bytes, *, replace: bool = False, fsync: bool = True) -> None:
    """Write these bytes as a file, by `whole`."""
    with whole(path, replace=replace, fsync=fsync) as file:
        file.write(data)


def write_range(
    dest: StrPath, path: StrPath, offset: int, length: int, *, sources: CopiesRanges, fsync: bool = False
) -> None:
    """Write `length` bytes of the file `path` from byte `offset` on as a new file `dest`, by `whole`.

    Raises ExistsError where `dest` is taken, and what `sources` raises where the bytes are not to be had.
    """
    with _new(os.fspath(dest), replace=False, fsync=fsync) as fd:
        try:
            sources.copy_to(path, offset, length, fd)
        except OSError as error:
            if error.filename is not None:
                raise
            raise OSError(error.errno, error.strerror, os.fspath(path), None, os.fspath(dest)) from error


def link_or_copy(source: StrPath, dest: StrPath, *, how: How = "auto", sources: CopiesRanges) -> How:
    """Make `dest` a file with the bytes of `source`, and return how it was done: hard, sym, reflink or copy.

    `reflink` shares blocks until either file is changed; `hard` is a second name of the same file, so that who writes
    into one writes into both; `sym` points to the source's absolute path. `auto` is reflink where the file system can,
    else hard, else copy. A source that is a symbolic link counts as what it points to.

    Raises ExistsError where `dest` is taken, SourceError where the source is gone, ExportError where the file systems
    cannot do what was asked for.
    """
    origin, target = os.fspath(source), os.fspath(dest)
    try:
        status = os.lstat(origin)
        if stat.S_ISLNK(status.st_mode):
            real = os.fspath(Path(origin).resolve(strict=True))
            status = os.lstat(real)
            origin = origin if how == "sym" else real
    except (FileNotFoundError, NotADirectoryError):
        message = f"Found no file {origin}, expected a source that was indexed. If it was moved, use --root NAME=PATH."
        raise SourceError(message) from None
    ways: tuple[How, ...] = ("reflink", "hard", "copy") if how == "auto" else (how,)
    for way in ways:
        try:
            if way == "hard":
                os.link(origin, target)
            elif way == "sym":
                Path(target).symlink_to(Path(origin).absolute())
            elif way == "copy":
                write_range(target, origin, 0, status.st_size, sources=sources)
            else:
                _reflink(origin, target, status.st_dev)
        except FileExistsError as error:
            raise _taken(target) from error
        except OSError as error:
            if way in {"copy", "sym"} or error.errno not in _CANNOT_LINK:
                raise
            refused = error
        else:
            return way
    message = (
        f"No {'reflink' if how == 'reflink' else 'hard link'} of {origin} can be made at {target}: {refused.strerror}. "
        "Expected a file system that holds both and allows it. Use --link copy, or auto, which copies where it must."
    )
    raise ExportError(message) from refused


def _reflink(source: str, dest: str, device: int) -> None:
    _refuse_taken(dest)
    devices = (device, os.stat(os.path.dirname(dest) or ".").st_dev)  # noqa: PTH116, PTH120 (once a file, so fast)
    if devices in _without_reflinks:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP), source, None, dest)
    try:
        with Path(source).open("rb", buffering=0) as origin, _new(dest, replace=False, fsync=False) as fd:
            fcntl.ioctl(fd, _FICLONE, origin.fileno())
    except OSError as error:
        if error.errno in _CANNOT_LINK:
            _without_reflinks.add(devices)
        raise


def publish_folder(partial: Path, final: Path) -> None:
    """Give a complete folder its final name, once all that it holds is on the disk.

    Raises ExistsError, nothing changed, where anything bears that name: also an empty folder or a link to nowhere.
    """
    _refuse_taken(str(final))
    _flush(partial)
    _rename_new(str(partial), str(final))
    fsync_folder(final.parent)


def fsync_folder(path: Path) -> None:
    """Put the names in a folder on the disk."""
    with _folder(path) as fd:
        os.fsync(fd)


@contextmanager
def _folder(path: Path) -> Iterator[int]:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


def _flush(folder: Path) -> None:
    """Put a folder and all below it on the disk: by one call for its file system, where there is one."""
    syncfs = _libc("syncfs")
    if syncfs is not None:
        with _folder(folder) as fd:
            _checked(syncfs(fd), str(folder))
        return
    for home, _, names in os.walk(folder, topdown=False):
        for path in (Path(home, name) for name in names):
            if path.is_file() and not path.is_symlink():
                with path.open("rb") as file:
                    os.fsync(file.fileno())
        fsync_folder(Path(home))


def _rename_new(old: str, new: str) -> None:
    """Rename where nothing bears the new name, in one step where the file system can; else ExistsError."""
    rename = _libc("renameat2")
    try:
        if rename is not None:
            _checked(rename(_AT_FDCWD, os.fsencode(old), _AT_FDCWD, os.fsencode(new), _RENAME_NOREPLACE), old, new)
            return
    except FileExistsError:
        raise _taken(new) from None
    except OSError as error:
        if error.errno not in {errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP}:
            raise
    _refuse_taken(new)
    Path(old).rename(new)


@cache
def _libc(name: str) -> Callable[..., int] | None:
    """A function of the C library that Python's os does not offer, or None where there is none."""
    import ctypes

    return getattr(ctypes.CDLL(None, use_errno=True), name, None)


def _checked(result: int, path: str, other: str | None = None) -> None:
    if result != 0:
        import ctypes

        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), path, None, other)


def _refuse_taken(path: str) -> None:
    if os.path.lexists(path):
        raise _taken(path)


def _taken(path: str) -> ExistsError:
    there = Path(path)
    kind = "a link" if there.is_symlink() else "a folder" if there.is_dir() else "a file"
    return ExistsError(f"{path} exists: found {kind}, expected nothing there. Name another target, or remove it.")


def same_file_system(a: Path, b: Path) -> bool:
    """Whether two paths lie on one file system; a path that does not exist lies where its nearest parent does."""
    return _device(a) == _device(b)


def _device(path: Path) -> int:
    there = path.absolute()
    while not there.exists():
        there = there.parent
    return there.stat().st_dev


@contextmanager
def lock(path: Path) -> Iterator[None]:
    """Hold a lock file without waiting for it; ExistsError, saying who holds it, where another process does.

    The kernel lets go of it when its holder ends, however it ends; a file that is left behind locks nobody out.
    """
    while True:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(fd, 256, 0).decode(errors="replace").strip() or "another process"
            os.close(fd)
            message = f"{path.parent} is being written by {holder} ({path}). Wait until that has ended, and try again."
            raise ExistsError(message) from None
        except OSError:
            os.close(fd)
            raise
        if _is_named(fd, path):
            break
        os.close(fd)  # its holder removed it in between
    try:
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
        yield
    finally:
        if _is_named(fd, path):
            path.unlink()
        os.close(fd)


def _is_named(fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), path.lstat())
    except FileNotFoundError:
        return False
