"""Outputs that appear whole or not at all: files and folders, and the lock that one writer holds.

A file is written as `.<random>.partial` beside its own name and renamed when it is complete: nothing that an
interrupted run leaves behind bears a final name.
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

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
# A dotted key of 50,000 parts takes tomllib 50 s, as each part walks all those before it.
_DEEP_KEY = re.compile(r"(?<![\w-])(?:[\w-]++\s*+\.\s*+){100}")
_TOML_DEPTH = 12  # tables and lists in each other: more than any file of ours has
_ENDING = 10.0  # seconds that the workers of a killed process may take to end
_AT_FDCWD, _RENAME_NOREPLACE = -100, 1  # renameat2(2)


@contextmanager
def whole(path: StrPath, *, replace: bool = False, fsync: bool = True) -> Iterator[BinaryIO]:
    """A new binary file that bears its name once it is complete, and is gone if anything is raised before.

    Raises ExistsError where the name is taken, unless it is to `replace` what bears it. With `fsync` its bytes are on
    the disk before it gets its name; call `fsync_folder` for the name itself.
    """
    with new_descriptor(os.fspath(path), replace, fsync) as fd, open(fd, "wb", closefd=False) as file:
        yield file


@contextmanager
def new_descriptor(path: str, replace: bool, fsync: bool) -> Iterator[int]:
    """As `whole`, with a descriptor. Paths are text here: a million files go this way."""
    if not replace:
        refuse_taken(path)
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


@contextmanager
def half_made(path: str) -> Iterator[int]:
    """The descriptor of a new file in a folder that is itself half made: it bears its name from the beginning."""
    try:
        fd = os.open(path, _NEW, 0o666)
    except FileExistsError:
        raise taken(path) from None
    try:
        yield fd
    except OSError as error:
        if error.filename is None and error.errno is not None:
            raise OSError(error.errno, error.strerror, path) from error
        raise
    finally:
        os.close(fd)


def write_whole(path: StrPath, data: bytes, *, replace: bool = False, fsync: bool = True) -> None:
    """Write these bytes as a file, by `whole`."""
    with whole(path, replace=replace, fsync=fsync) as file:
        file.write(data)


def read_text(path: StrPath, made_by: str) -> str:
    """Read a text that people edit; UsageError: it cannot be read, or is no UTF-8.

    `made_by` is the command that writes such files.
    """
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError as error:
        message = f"{path}: {error.strerror}. Expected a file as `{made_by}` writes it."
        raise UsageError(message) from error
    except UnicodeDecodeError as error:
        message = f"{path}: byte {error.start:,} is no UTF-8. Expected TOML, as `{made_by}` writes it."
        raise UsageError(message) from error


def parse_toml(content: str, *, where: str, made_by: str) -> dict[str, Any]:
    """Parse TOML that people edit; UsageError, which names `where`: it is none, or is nested too deep to be ours."""
    import tomllib

    try:
        if _DEEP_KEY.search(content):
            raise RecursionError
        table = tomllib.loads(content)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        why = "nested too deep" if isinstance(error, RecursionError) else error
        message = f"{where}: {why}. Expected TOML, as `{made_by}` writes it."
        raise UsageError(message) from None
    within: list[object] = [table]
    for _ in range(_TOML_DEPTH):
        within = [
            part
            for value in within
            if isinstance(value, (dict, list))
            for part in (value.values() if isinstance(value, dict) else value)
        ]
    if within:
        message = f"{where}: nested deeper than {_TOML_DEPTH} levels. Expected TOML, as `{made_by}` writes it."
        raise UsageError(message)
    return table


def publish_folder(partial: Path, final: Path) -> None:
    """Give a complete folder its final name, once all that it holds is on the disk.

    Raises ExistsError, nothing changed, where anything bears that name: also an empty folder or a link to nowhere.
    """
    refuse_taken(str(final))
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
    """Rename where nothing bears the new name, in one step where the file system can; else ExistsError."""
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

    An index may come from somebody else: every path that is made from one goes through here.

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
    return os.path.join(root, file)  # noqa: PTH118 - a Path costs more than reading a small image's place


def refuse_taken(path: str) -> None:
    """ExistsError where anything bears this name, also a link to nowhere."""
    if os.path.lexists(path):
        raise taken(path)


def taken(path: str) -> ExistsError:
    """The error that says what is in the way."""
    there = Path(path)
    kind = "a link" if there.is_symlink() else "a folder" if there.is_dir() else "a file"
    return ExistsError(f"{path} exists: found {kind}, expected nothing there. Name another target, or remove it.")


@contextmanager
def named_when_full(place: Path, kept: Path) -> Iterator[None]:
    """Raise an error that names the place and what to do where a disk is full; `kept` holds what is finished."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        message = (
            f"{error.filename or place}: {error.strerror}. What is finished is kept in {kept}: make room, and run the "
            "same command again to go on."
        )
        raise ImagenetToolsError(message) from error


@contextmanager
def lock(path: Path) -> Iterator[None]:
    """Hold a lock file without waiting for it; ExistsError, saying who holds it, where another process does.

    The kernel lets go of it when its holder ends, however it ends; a file that is left behind locks nobody out. Where
    the holder was killed, its workers end with it, and are waited for.
    """
    patience = time.monotonic() + _ENDING
    while True:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(fd, 256, 0).decode(errors="replace").strip() or "another process"
            os.close(fd)
            if _has_ended(holder) and time.monotonic() < patience:
                time.sleep(_ENDING / 500)
                continue
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
        os.pwrite(fd, f"{_named(os.getpid())}\n".encode(), 0)
        yield
    finally:
        if _is_named(fd, path):
            path.unlink()
        os.close(fd)


def _named(process: int | str) -> str:
    return f"process {process} on {socket.gethostname()}"


def _has_ended(holder: str) -> bool:
    """Whether a holder is a process of this machine that is there no more."""
    pid = holder.removeprefix("process ").partition(" ")[0]
    return holder == _named(pid) and has_ended(pid)


def _is_named(fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), path.lstat())
    except FileNotFoundError:
        return False
