"""Size and time of each source file when it was indexed, compared when a process opens the file for the first time.

    archive         its size and mtime_ns are equal
    loose image     its size is the image's, and its mtime_ns is not newer than any file of its source was

Times are compared only where the root is the one that was indexed: a copy elsewhere has times of its own.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, NamedTuple

from imagenet_tools.errors import SourceError

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping


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
