"""Files put in the place of others: linked, sharing their blocks, or copied, by the kernel where it can."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import AbstractContextManager
from functools import lru_cache
from pathlib import Path
from typing import Literal, Protocol

from imagenet_tools.errors import ExportError, SourceError
from imagenet_tools.storage.files import StrPath, half_made, new_descriptor, refuse_taken, taken
from imagenet_tools.system import share_blocks

How = Literal["auto", "hard", "sym", "reflink", "copy"]

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


def write_range(
    dest: StrPath, path: StrPath, offset: int, length: int, *, sources: CopiesRanges, in_partial: bool = False
) -> None:
    """Write `length` bytes of the file `path` from byte `offset` on as a new file `dest`, whole or not at all.

    `in_partial` says that the folder is half made as a whole: then the file bears its name from the beginning. Raises
    ExistsError where `dest` is taken, and what `sources` raises where the bytes are not to be had.
    """
    with _new(os.fspath(dest), in_partial) as fd:
        try:
            sources.copy_to(path, offset, length, fd)
        except OSError as error:
            if error.filename is not None:
                raise
            raise OSError(error.errno, error.strerror, os.fspath(path), None, os.fspath(dest)) from error


def _new(dest: str, in_partial: bool) -> AbstractContextManager[int]:
    return half_made(dest) if in_partial else new_descriptor(dest, replace=False, fsync=False)


def link_or_copy(
    source: StrPath, dest: StrPath, *, how: How = "auto", sources: CopiesRanges, in_partial: bool = False
) -> How:
    """Make `dest` a file with the bytes of `source`, and return how it was done: hard, sym, reflink or copy.

    `reflink` shares blocks until either file is changed; `hard` is a second name of the same file, so that who writes
    into one writes into both; `sym` points to the source's absolute path. `auto` is reflink where the file system can,
    else hard, else copy. A source that is a symbolic link counts as what it points to. `in_partial`: see write_range.

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
    """The file system of a folder; one that another has taken the place of since costs a try, and no more."""
    return Path(folder).stat().st_dev


def same_file_system(a: Path, b: Path) -> bool:
    """Whether two paths lie on one file system; a path that does not exist lies where its nearest parent does."""
    return _device(a) == _device(b)


def _device(path: Path) -> int:
    there = path.absolute()
    while not there.exists():
        there = there.parent
    return there.stat().st_dev


def can_link(source: Path, folder: Path) -> dict[str, bool]:
    """Whether files in `folder` could be hard links of `source`, or share its blocks; tried, and nothing is left."""
    found = {"hard": False, "reflink": False}
    trial = folder / f".{os.getpid()}.link-trial"
    for way in found:
        try:
            if way == "hard":
                trial.hardlink_to(source.resolve())
            else:
                _reflink(str(source), str(trial), source.stat().st_dev)
            found[way] = True
        except OSError:
            continue
        finally:
            trial.unlink(missing_ok=True)
    return found
