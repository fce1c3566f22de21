"""New files with the bytes of existing ones: hard links, symbolic links, reflinks or copies."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import AbstractContextManager
from functools import lru_cache
from pathlib import Path
from typing import Literal, Protocol

from imagenet_tools.errors import ExportError, SourceError
from imagenet_tools.storage.files import StrPath, new_descriptor, new_file_in_partial, refuse_taken, taken
from imagenet_tools.system import share_blocks

How = Literal["auto", "hard", "sym", "reflink", "copy"]

# Errors of a file system without links or reflinks, between two file systems, and of a file with too many links.
_CANNOT_LINK = frozenset(
    {errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.ENOTTY}
)
# Pairs of devices between which a reflink was refused, so that it is tried once and not once a file.
_without_reflinks: set[tuple[int, int]] = set()


class CopiesRanges(Protocol):
    """An object that copies byte ranges of sources, such as blob.Descriptors."""

    def copy_to(self, path: StrPath, offset: int, length: int, out_fd: int) -> None:
        """Write `length` bytes of a file from byte `offset` on to an open descriptor."""


def write_range(
    dest: StrPath, path: StrPath, offset: int, length: int, *, sources: CopiesRanges, in_partial: bool = False
) -> None:
    """Write a byte range of a file as a new file, atomically.

    Args:
        dest: The new file.
        path: The file to read.
        offset: The first byte of the range.
        length: The length of the range in bytes.
        sources: The object that copies the range.
        in_partial: The folder is not complete itself, so the file has its name from the beginning.

    Raises:
        ExistsError: Something has the name `dest`.
        SourceError: The bytes are not there.
    """
    with _new(os.fspath(dest), in_partial) as fd:
        try:
            sources.copy_to(path, offset, length, fd)
        except OSError as error:
            if error.filename is not None:
                raise
            raise OSError(error.errno, error.strerror, os.fspath(path), None, os.fspath(dest)) from error


def _new(dest: str, in_partial: bool) -> AbstractContextManager[int]:
    return new_file_in_partial(dest) if in_partial else new_descriptor(dest, replace=False, fsync=False)


def link_or_copy(
    source: StrPath, dest: StrPath, *, how: How = "auto", sources: CopiesRanges, in_partial: bool = False
) -> How:
    """Create a file with the bytes of another.

    Args:
        source: The existing file; a symbolic link is followed.
        dest: The new file.
        how: reflink shares blocks until either file is changed; hard is a second name of the same file, so that a
            write changes both; sym is a link to the absolute path; copy copies. auto is reflink if the file system
            can, else hard, else copy.
        sources: The object that copies bytes.
        in_partial: See write_range.

    Returns:
        How it was done: hard, sym, reflink or copy.

    Raises:
        ExistsError: Something has the name `dest`.
        SourceError: The source is gone.
        ExportError: The file systems cannot do what was asked for.
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
    ways: tuple[How, ...] = (how,)
    if how == "auto":
        refused_before = (status.st_dev, _device_of(target.rpartition("/")[0] or ".")) in _without_reflinks
        ways = ("hard", "copy") if refused_before else ("reflink", "hard", "copy")
    for way in ways:
        try:
            if way == "hard":
                os.link(origin, target)
            elif way == "sym":
                Path(target).symlink_to(Path(origin).absolute())
            elif way == "copy":
                write_range(target, origin, 0, status.st_size, sources=sources, in_partial=in_partial)
            else:
                _reflink(origin, target, status.st_dev)
        except FileExistsError as error:
            raise taken(target) from error
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
    refuse_taken(dest)
    try:
        with Path(source).open("rb", buffering=0) as origin, new_descriptor(dest, replace=False, fsync=False) as fd:
            share_blocks(fd, origin.fileno())
    except OSError as error:
        if error.errno in _CANNOT_LINK:
            _without_reflinks.add((device, _device_of(dest.rpartition("/")[0] or ".")))
        raise


@lru_cache(maxsize=64)
def _device_of(folder: str) -> int:
    """Return the device of a folder. An outdated answer costs one refused reflink."""
    return Path(folder).stat().st_dev


def same_file_system(a: Path, b: Path) -> bool:
    """Return True if two paths are on one file system; a path that does not exist counts as its nearest parent."""
    return _device(a) == _device(b)


def _device(path: Path) -> int:
    existing = path.absolute()
    while not existing.exists():
        existing = existing.parent
    return existing.stat().st_dev


def can_link(source: Path, folder: Path) -> dict[str, bool]:
    """Return whether files in a folder can be hard links and reflinks of a source, by trying both.

    Returns:
        {"hard": bool, "reflink": bool}.
    """
    possible = {"hard": False, "reflink": False}
    trial = folder / f".{os.getpid()}.link-trial"
    for way in possible:
        try:
            if way == "hard":
                trial.hardlink_to(source.resolve())
            else:
                _reflink(str(source), str(trial), source.stat().st_dev)
            possible[way] = True
        except OSError:
            continue
        finally:
            trial.unlink(missing_ok=True)
    return possible
