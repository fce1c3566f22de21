"""Atomic output of files and folders, the lock of a writer, and checked reading of files that people edit.

A file is written as `.<random>.partial` in its folder and renamed when it is complete, so that an interrupted run
leaves nothing under a final name.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import secrets
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from imagenet_tools.errors import ExistsError, ImagenetToolsError, SourceError, UsageError
from imagenet_tools.system import has_ended, libc

StrPath = str | os.PathLike[str]

# A dotted key of 50,000 parts takes tomllib 50 s, as each part walks all those before it.
_DEEP_KEY = re.compile(r"(?<![\w-])(?:[\w-]++\s*+\.\s*+){100}")
_MAX_TOML_DEPTH = 12  # nested tables and lists: more than any file of this package has
_WORKERS_END_SECONDS = 10.0  # time that the workers of a killed process may take to end

# Errors of flock(2) on a file system that was mounted without locks.
_WITHOUT_LOCKS = frozenset({errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP})

LOCK = "lock"  # name of the file that the one writer of a folder holds as a lock

# Arguments of renameat2(2).
_AT_FDCWD = -100
_RENAME_NOREPLACE = 1


def partial_of(path: Path) -> Path:
    """Return the folder beside a path in which an index or an export is made: <path>.partial.

    That of a link is beside what it leads to, so that writers by several names of one index lock the same folder.
    """
    real = path.resolve() if path.is_symlink() else path
    return real.with_name(f"{real.name}.partial")


@contextmanager
def whole(
    path: StrPath, *, replace: bool = False, fsync: bool = True, folder: StrPath | None = None
) -> Iterator[BinaryIO]:
    """Write a binary file that gets its name when the block ends, and is removed if the block raises.

    Args:
        path: The file.
        replace: Replace an existing file.
        fsync: Write the bytes to the disk before the file gets its name; `fsync_folder` does it for the name.
        folder: Where the file is until then, on the same file system; a killed process leaves it there. Default: the
            folder of the file.

    Raises:
        ExistsError: Something has this name, and `replace` is False.
    """
    final = os.fspath(path)
    if not replace:
        refuse_taken(final)
    home = "".join(final.rpartition("/")[:2]) if folder is None else f"{os.fspath(folder)}/"
    partial = f"{home}.{secrets.token_hex(8)}.partial"
    try:
        with new_file_in_partial(partial, final=final) as fd:
            with open(fd, "wb", closefd=False) as file:
                yield file
            if fsync:
                os.fsync(fd)
        if replace:
            Path(partial).replace(final)
        else:
            _rename_new(partial, final)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(partial).unlink()
        raise


@contextmanager
def new_file_in_partial(path: str, *, final: str = "") -> Iterator[int]:
    """Open a new file in a folder that is not complete itself, so that the file has its name from the beginning.

    Args:
        path: The file, as text, which is faster for a million files.
        final: The name of the file in errors; default: `path`.

    Raises:
        ExistsError: Something has this name.
    """
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    except FileExistsError:
        raise taken(path) from None
    except OSError as error:
        raise OSError(error.errno, error.strerror, final or path) from None
    try:
        yield fd
    except OSError as error:
        if error.filename is None and error.errno is not None:
            # The error of a write through a descriptor lacks the path.
            raise OSError(error.errno, error.strerror, final or path) from error
        raise
    finally:
        os.close(fd)


def write_whole(path: StrPath, data: bytes, *, replace: bool = False, fsync: bool = True) -> None:
    """Write a file as `whole` does."""
    with whole(path, replace=replace, fsync=fsync) as file:
        file.write(data)


def read_text(path: StrPath, made_by: str) -> str:
    """Return the text of a file that people edit.

    Args:
        path: The file.
        made_by: The command that writes such files, for errors.

    Raises:
        UsageError: The file cannot be read, or is not UTF-8.
    """
    try:
        return Path(path).read_text(encoding="utf-8-sig")  # editors on Windows write a mark at the beginning
    except OSError as error:
        message = f"{path}: {error.strerror}. Expected a file as `{made_by}` writes it."
        raise UsageError(message) from error
    except UnicodeDecodeError as error:
        message = f"{path}: byte {error.start} is no UTF-8. Expected TOML, as `{made_by}` writes it."
        raise UsageError(message) from error


def parse_toml(content: str, *, where: str, made_by: str) -> dict[str, Any]:
    """Return the table of a TOML text that people edit.

    Args:
        content: The text.
        where: The name of the text in errors.
        made_by: The command that writes such files, for errors.

    Raises:
        UsageError: The text is not TOML, or is nested deeper than this package writes.
    """
    import tomllib

    try:
        if _DEEP_KEY.search(content):
            raise RecursionError
        table = tomllib.loads(content)
        if _depth(table) > _MAX_TOML_DEPTH:
            raise RecursionError
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        reason = f"nested deeper than {_MAX_TOML_DEPTH} levels" if isinstance(error, RecursionError) else error
        message = f"{where}: {reason}. Expected TOML, as `{made_by}` writes it."
        raise UsageError(message) from None
    return table


def _depth(value: object) -> int:
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max(map(_depth, parts), default=0)


def publish_folder(partial: Path, final: Path, *, work: str = "") -> None:
    """Write a complete folder to the disk and give it its final name.

    Args:
        partial: The folder.
        final: Its final name.
        work: The name of a folder in it that is moved beside it, for settle_work(): it takes minutes to write a large
            folder to the disk, and if that is interrupted, the work is needed again.

    Raises:
        ExistsError: Something has the final name, be it an empty folder or a broken link.
    """
    refuse_taken(str(final))
    _flush(partial)
    if work:
        (partial / work).rename(_aside(partial))
    _rename_new(str(partial), str(final))
    fsync_folder(final.parent)


def settle_work(partial: Path, work: str) -> None:
    """Remove the folder that publish_folder() moved aside, or put it back if the rest has not got its name.

    Raises:
        ExistsError: Another process, which holds the lock in the folder, is publishing the rest.
    """
    import shutil

    aside = _aside(partial)
    if not aside.is_dir():
        return
    with lock(aside / LOCK):
        pass
    if partial.is_dir() and not (partial / work).exists():
        aside.rename(partial / work)
    else:
        shutil.rmtree(aside)


def _aside(partial: Path) -> Path:
    return partial.with_name(f"{partial.name}.work")


def fsync_folder(path: Path) -> None:
    """Write the names in a folder to the disk, if its file system can: some, such as SMB, answer EINVAL."""
    with _folder(path) as fd:
        try:
            os.fsync(fd)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise


@contextmanager
def _folder(path: Path) -> Iterator[int]:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


def _flush(folder: Path) -> None:
    """Write a folder and all below it to the disk, by one call for its file system if the system has it."""
    syncfs = libc("syncfs")
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
    """Rename, atomically if the file system can; raise ExistsError if something has the new name."""
    rename = libc("renameat2")
    try:
        if rename is not None:
            _checked(rename(_AT_FDCWD, os.fsencode(old), _AT_FDCWD, os.fsencode(new), _RENAME_NOREPLACE), old, new)
            return
    except FileExistsError:
        raise taken(new) from None
    except OSError as error:
        if error.errno not in {errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP}:
            raise
    refuse_taken(new)
    Path(old).rename(new)


def _checked(result: int, path: str, other: str | None = None) -> None:
    if result != 0:
        import ctypes

        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), path, None, other)


def inside(root: StrPath, file: str) -> str:
    """Return the path of a file that an index names below a root.

    An index may come from somebody else, so every path that is made from one goes through this function.

    Args:
        root: The folder that `file` is relative to.
        file: A relative path, '/' between.

    Raises:
        SourceError: The file is not below the root: an absolute path, or one with '..' in it.
    """
    if file.startswith("/") or "\0" in file or (".." in file and ".." in file.split("/")):
        message = (
            f"The index names the file {file!r}, which is not below {os.fspath(root)}; expected a relative path "
            "without '..'. build-index writes no such path: the index is damaged, or was changed to reach other "
            "files. Do not use it; build one from the sources themselves, with `imagenet-tools build-index`."
        )
        raise SourceError(message)
    root = os.fspath(root)  # a text, as a Path costs more than reading a small image's place
    return f"{root}/{file}" if root[-1:] not in ("", "/") else root + file


def refuse_taken(path: str) -> None:
    """Raise ExistsError if something has this name, be it a broken link."""
    if os.path.lexists(path):
        raise taken(path)


def taken(path: str) -> ExistsError:
    """Return the error for a name that is taken."""
    place = Path(path)
    kind = "a link" if place.is_symlink() else "a folder" if place.is_dir() else "a file"
    return ExistsError(f"{path} exists: found {kind}, expected nothing there. Name another target, or remove it.")


@contextmanager
def explain_full_disk(dest: Path) -> Iterator[None]:
    """Raise ImagenetToolsError, which names the path and the next step, if the disk is full while `dest` is written."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        message = (
            f"{error.filename or dest}: {error.strerror}. What is finished is kept in "
            f"{partial_of(dest)}: make room, and run the same command again to go on."
        )
        raise ImagenetToolsError(message) from error


@contextmanager
def errors_named(path: Path) -> Iterator[None]:
    """Name a path in an OSError that has none, as that of a read through a descriptor on a failing disk."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno is not None:
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise


@contextmanager
def lock(path: Path, *, waits: bool = False) -> Iterator[None]:
    """Hold a lock file during the block; wait for another holder only if `waits`.

    The kernel releases the lock when its holder ends, even by a signal, so a file that is left behind locks nobody
    out. The workers of a killed holder, which end with it, are waited for.

    Raises:
        ExistsError: Another process, which the message names, holds the lock.
        ImagenetToolsError: The file system has no locks.
    """
    deadline = time.monotonic() + _WORKERS_END_SECONDS
    while True:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(fd, 256, 0).decode(errors="replace").strip() or "another process"
            os.close(fd)
            if waits or (_has_ended(holder) and time.monotonic() < deadline):
                time.sleep(_WORKERS_END_SECONDS / 500)
                continue
            message = f"{path.parent} is being written by {holder} ({path}). Wait until that has ended, and try again."
            raise ExistsError(message) from None
        except OSError as error:
            os.close(fd)
            if error.errno not in _WITHOUT_LOCKS:
                raise
            message = (
                f"{path} cannot be locked: {error.strerror}. Expected a file system with locks, which keep two writers "
                "apart. Name another place, or have this one mounted with them (Lustre: with the option flock)."
            )
            raise ImagenetToolsError(message) from error
        if _is_named(fd, path):
            break
        os.close(fd)  # its holder removed it in between
    try:
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{_holder_name(os.getpid())}\n".encode(), 0)
        yield
    finally:
        if _is_named(fd, path):
            path.unlink()
        os.close(fd)


def clear_locked(folder: Path) -> None:
    """Remove what is in a folder, except the lock file that this process holds.

    NFS and FUSE rename an open file that is removed, and remove it when it is closed. Until then its folder stays, so
    the folder of a lock is removed after the lock was given back.
    """
    import shutil

    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != LOCK:
            path.unlink()


def _holder_name(process: int | str) -> str:
    return f"process {process} on {socket.gethostname()}"


def _has_ended(holder: str) -> bool:
    """Return True if a holder is a process of this machine that has ended."""
    pid = holder.removeprefix("process ").partition(" ")[0]
    return holder == _holder_name(pid) and has_ended(pid)


def _is_named(fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), path.lstat())
    except FileNotFoundError:
        return False
