"""New files with the bytes of existing ones: hard links, symbolic links, reflinks or copies."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from imagenet_tools.errors import ExportError, SourceError
from imagenet_tools.storage.files import StrPath, new_file_in_partial, taken
from imagenet_tools.system import share_blocks

if TYPE_CHECKING:
    from imagenet_tools.storage.blob import Descriptors

How = Literal["auto", "hard", "sym", "reflink", "copy"]

# Errors of a file system without links or reflinks, between two file systems, and of a file with too many links.
_CANNOT_LINK = frozenset(
    {errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.ENOTTY}
)
# Pairs of devices between which a reflink was refused, so that it is tried once and not once a file.
_without_reflinks: set[tuple[int, int]] = set()


@contextmanager
def _new(path: str) -> Iterator[int]:
    """Open a new file, which is removed if the block raises."""
    with new_file_in_partial(path) as fd:
        try:
            yield fd
        except BaseException:
            Path(path).unlink()
            raise


def write_range(dest: StrPath, path: StrPath, offset: int, length: int, *, sources: Descriptors) -> None:
    """Write a byte range of a file as a new file, which is removed if that fails.

    Args:
        dest: The new file, in a folder that is not complete itself.
        path: The file to read.
        offset: The first byte of the range.
        length: The length of the range in bytes.
        sources: The object that copies the range.

    Raises:
        ExistsError: Something has the name `dest`.
        SourceError: The bytes are not there.
    """
    with _new(os.fspath(dest)) as fd:
        try:
            sources.copy_to(path, offset, length, fd)
        except OSError as error:
            if error.filename is not None:
                raise
            raise OSError(error.errno, error.strerror, os.fspath(path), None, os.fspath(dest)) from error


def link_or_copy(source: StrPath, dest: StrPath, *, how: How = "auto", sources: Descriptors) -> How:
    """Create a file with the bytes of another, in a folder that is not complete itself.

    Args:
        source: The existing file; a symbolic link is followed.
        dest: The new file.
        how: reflink shares blocks until either file is changed; hard is a second name of the same file, so that a
            write changes both; sym is a link to the absolute path; copy copies. auto is reflink if the file system
            can, else hard, else copy.
        sources: The object that copies bytes.

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
            if way == "sym":
                Path(target).symlink_to(Path(origin).absolute())
            elif way == "copy":
                write_range(target, origin, 0, status.st_size, sources=sources)
            else:
                _LINKS[way](origin, target)
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


def _reflink(source: str, dest: str) -> None:
    with Path(source).open("rb", buffering=0) as origin, _new(dest) as fd:
        try:
            share_blocks(fd, origin.fileno())
        except OSError as error:
            if error.errno in _CANNOT_LINK:
                _without_reflinks.add((os.fstat(origin.fileno()).st_dev, os.fstat(fd).st_dev))
            raise


_LINKS: dict[str, Callable[[str, str], None]] = {"hard": os.link, "reflink": _reflink}


@lru_cache(maxsize=64)
def _device_of(folder: str) -> int:
    """Return the device of a folder. An outdated answer costs one refused reflink."""
    return Path(folder).stat().st_dev


def can_link(source: Path, folder: Path) -> dict[str, bool]:
    """Return whether files in a folder can be hard links and reflinks of a source, by trying both.

    Returns:
        {"hard": bool, "reflink": bool}.
    """
    trial = str(folder / f".{os.getpid()}.link-trial")
    possible: dict[str, bool] = {}
    for how, link in _LINKS.items():
        try:
            link(str(source.resolve()), trial)
            possible[how] = True
        except OSError:
            possible[how] = False
        finally:
            Path(trial).unlink(missing_ok=True)
    return possible
