"""Check what is at a path: a published archive, an index, an export, or a lock.

E401  an image that a lock names is not in the index
E402  an image that a lock names is of another class in the index
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from imagenet_tools.catalogue.sums import Checked, Finding, all_ok, check_archives, grouped
from imagenet_tools.errors import UsageError
from imagenet_tools.exports.check import CheckedExport, check_export, exports_at
from imagenet_tools.index import pin
from imagenet_tools.selection import lock
from imagenet_tools.storage.buckets import refuse_url
from imagenet_tools.store.check import CheckedIndex, check_index
from imagenet_tools.store.layout import default_index, is_index
from imagenet_tools.store.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from imagenet_tools.storage.shares import Share
    from imagenet_tools.units import Progress


class CheckedLock(NamedTuple):
    """A lock that was compared with an index."""

    path: Path
    images: int
    missing: tuple[str, ...]  # dataset/image_id
    relabelled: tuple[tuple[str, str, str], ...]  # (dataset/image_id, class in the lock, class in the index)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Return what is wrong."""
        missing = [f"{key} is not in the index" for key in self.missing]
        relabelled = [f"{key}: locked as {locked}, here {now}" for key, locked, now in self.relabelled]
        return (*grouped("E401", missing), *grouped("E402", relabelled))

    @property
    def ok(self) -> bool:
        """Return True if nothing is wrong."""
        return all_ok(self.findings)

    @property
    def summary(self) -> str:
        """Return what was checked, in words."""
        return f"all {self.images:,} images are here"


AnyChecked: TypeAlias = "Checked | CheckedIndex | CheckedExport | CheckedLock"


@dataclass(frozen=True, repr=False)
class CheckResult:
    """The results of a check, one a path: each has `path`, `findings`, `ok` and `summary`. Its repr has a line each."""

    checked: tuple[AnyChecked, ...]

    @property
    def ok(self) -> bool:
        """Return True if nothing is wrong."""
        return all(checked.ok for checked in self.checked)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Return all findings."""
        return tuple(finding for checked in self.checked for finding in checked.findings)

    def __iter__(self) -> Iterator[AnyChecked]:
        return iter(self.checked)

    def __len__(self) -> int:
        return len(self.checked)

    def __getitem__(self, n: int) -> AnyChecked:
        return self.checked[n]

    def __repr__(self) -> str:
        return "\n".join((f"<CheckResult: {'ok' if self.ok else 'not ok'}>", *map(line, self.checked)))


def line(checked: AnyChecked) -> str:
    """Return a path with its findings, and with what was checked if nothing is wrong with it."""
    findings = [f"{code} {text}" for code, text in checked.findings]
    # Warnings about an archive say that it was not compared; those about an export do not take back what was.
    warned = isinstance(checked, CheckedExport) and not any(code.startswith("E") for code, _ in checked.findings)
    return f"{checked.path}: {'; '.join([checked.summary, *findings] if warned else findings or [checked.summary])}"


def check(
    paths: Sequence[Path],
    *,
    index: Store | None = None,
    md5: bool = False,
    cache: Path | None = None,
    fresh: bool = False,
    read_data: bool = False,
    with_loader: bool = False,
    shard: Share | None = None,
    progress: Progress | None = None,
) -> Iterator[AnyChecked]:
    """Check each path, and yield what was checked: see imagenet_tools.check."""
    for path in paths:
        refuse_url(path, "what is checked")
        if shard is not None and not (read_data and is_index(path)):
            message = f"--shard {shard}: expected an index and --read-data, of which it decodes a share of the images."
            raise UsageError(f"{message} Check {path} without it.")
        if is_index(path):
            yield check_index(path, read_data=read_data, shard=shard, progress=progress)
        elif is_lock(path):
            pinned = pin(index or Store.open(), path)
            images = pinned.pinned.n_images if pinned.pinned else 0
            yield CheckedLock(path, images, tuple(lock.missing(pinned)), tuple(lock.relabelled(pinned)))
        elif roots := list(exports_at(path)):
            opened = index or (Store.open() if is_index(default_index()) else None)
            for root in roots:
                yield check_export(root, index=opened, read_data=read_data, with_loader=with_loader)
        else:
            yield from check_archives([path], md5=md5, cache=cache, fresh=fresh, progress=progress)


def is_lock(path: Path) -> bool:
    """Return True if a path is a lock."""
    return path.suffix == ".toml" and path.is_file() and lock.is_lock(path)
