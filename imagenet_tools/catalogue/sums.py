"""Check archives against their published sizes and, on request, their published MD5 sums.

    E101  the size is not the published one
    E102  the MD5 is not the published one
    W101  no sum was published for it, under this name or any other
    W102  it is another archive than its name says
    W103  it was gunzipped on its way, as macOS does: no sum was published for that
    W104  its name fits, and its size as far as it was published; its MD5 was not asked for

Summing terabytes takes hours. Each finished sum is kept in a file of the user's cache, never beside the archives: an
archive of the same size and time is not summed again. An interrupted sum starts again at the beginning of its archive,
because hashlib has no state to save.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from imagenet_tools.containers import tar
from imagenet_tools.errors import SourceError
from imagenet_tools.storage.files import write_whole
from imagenet_tools.text import count_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from imagenet_tools.units import Progress

NOTHING_COMPARED = frozenset({"W101", "W103"})
_BLOCK_BYTES = 8 << 20
_MAX_NAMED = 3  # files or images named by a finding


# ---- findings, also of the other checks


class Finding(NamedTuple):
    """A result of a check: codes with E are errors, codes with W are warnings."""

    code: str
    message: str


def all_ok(findings: Iterable[Finding]) -> bool:
    """Return True if no finding is an error, or says that nothing was compared."""
    return not any(finding.code.startswith("E") or finding.code in NOTHING_COMPARED for finding in findings)


def grouped(code: str, messages: Iterable[str]) -> Iterator[Finding]:
    """Yield a finding for each of the first few messages, and one that counts the others."""
    messages = list(messages)
    yield from (Finding(code, message) for message in messages[:_MAX_NAMED])
    if len(messages) > _MAX_NAMED:
        yield Finding(code, f"the same of {len(messages) - _MAX_NAMED:,} more")


# ---- the published archives


class Archive(NamedTuple):
    """An archive as published; its md5 is empty if none was."""

    name: str
    md5: str
    size: int | None = None  # bytes; None if it was not published to the byte
    about: int | None = None  # bytes as the download pages round them, if nothing else was published

    @property
    def stated(self) -> str:
        """The published size in words, or ""."""
        return f"{self.size:,}" if self.size is not None else f"about {self.about:,}" if self.about else ""

    def may_have(self, size: int) -> bool:
        """Return True if a file of this many bytes can be it; a rounded size allows half to twice of it."""
        if self.size is not None:
            return size == self.size
        return self.about is None or self.about / 2 <= size <= self.about * 2


ARCHIVES = (
    Archive("ILSVRC2012_img_train.tar", "1d675b47d978889d74fa0da5fadfb00e", 147_897_477_120),
    Archive("ILSVRC2012_img_train_t3.tar", "ccaf1013018ac1037801578038d370da", about=728_000_000),
    Archive("ILSVRC2012_img_val.tar", "29b22e2961454d5413ddabcf34fc5622", 6_744_924_160),
    Archive("ILSVRC2012_img_test_v10102019.tar", "e1b8681fff3d63731c599df9b4b6fc02", about=13_000_000_000),
    Archive("ILSVRC2012_img_test.tar", "fe64ceb247e473635708aed23ab6d839", about=13_000_000_000),
    Archive("ILSVRC2012_devkit_t12.tar.gz", "fa75699e90414af021442c21a62c3abf", about=2_500_000),
    Archive("ILSVRC2012_devkit_t3.tar.gz", "", about=22_000_000),
    Archive("ILSVRC2012_bbox_train_v2.tar.gz", "9271167e2176350e65cfe4e546f14b17", about=20_000_000),
    Archive("ILSVRC2012_bbox_train_dogs.tar.gz", "61ebd3cc0e4793899a841b6b27f3d6d8", about=1_000_000),
    Archive("ILSVRC2012_bbox_val_v3.tgz", "f4cd18b5ea29fe6bbea62ec9c20d80f0", about=2_200_000),
    Archive("ILSVRC2012_bbox_test_dogs.zip", "2dfdb2677fd9661585d17d5a5d027624", about=33_000_000),
    Archive("winter21_whole.tar.gz", "ab313ce03179fd803a401b02c651c0a2", about=1_100_000_000_000),
    Archive("imagenet21k_resized.tar.gz", "c314e95f17e357b3e9cbf0a18ef7ecd6"),
    Archive("tiny-imagenet-200.zip", "90528d7ca1a48142e341f4ef8d21d0de", 248_100_043),
    # The devkits of 2013 and later have the same list of labels, under their year.
    *(
        Archive(f"ILSVRC{year}_clsloc_validation_ground_truth.txt", "1cfce2418d86c664c2e10863eecd0aa3", 194_650)
        for year in range(2013, 2018)
    ),
)

BY_NAME = {archive.name: archive for archive in ARCHIVES}
BY_MD5 = {archive.md5: archive for archive in reversed(ARCHIVES) if archive.md5}

# Public lists, among them those of FlagPerf, swap the sums of these two.
SWAPPED = ("ILSVRC2012_img_train.tar", "ILSVRC2012_img_train_t3.tar")


# ---- check


class Checked(NamedTuple):
    """The result for an archive; it is as published if there are no findings."""

    path: Path
    size: int  # bytes
    md5: str  # "" if it was not asked for
    published: str  # the name of the archive that it is, or was compared with; "" if none is known
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """True if nothing is wrong."""
        return all_ok(self.findings)

    @property
    def summary(self) -> str:
        """The comparison in words."""
        known = f", {self.published}" if self.published and self.published != self.path.name else ""
        return ("as published" if self.md5 else "of the published size") + known


def check_archives(
    paths: Sequence[Path],
    *,
    md5: bool = False,
    cache: Path | None = None,
    fresh: bool = False,
    progress: Progress | None = None,
) -> Iterator[Checked]:
    """Yield the result for each archive, and for each known archive directly in a folder.

    Args:
        paths: Archives and folders.
        md5: Compare the MD5 sums too.
        cache: The file of finished sums; default: in the user's cache folder.
        fresh: Sum again, even if the cache has the sum.
        progress: Called with a label, the megabytes read, and all megabytes.

    Raises:
        SourceError: A path does not exist, a folder has no known archive, or an archive changed while it was summed.
    """
    cache = cache or default_cache()
    for path in (archive for place in paths for archive in _archives(place)):
        size = path.stat().st_size
        archive = BY_NAME.get(path.name)
        may_match = archive is None or archive.may_have(size)  # the sum of a wrong size is wrong as well
        summed = _sum(path, cache, fresh, progress) if md5 and may_match else ""
        published, findings = _judge(path, size, summed)
        yield Checked(path, size, summed, published.name if published else "", tuple(findings))


def default_cache() -> Path:
    """Return the default file of finished sums: below $XDG_CACHE_HOME, or else below ~/.cache."""
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "imagenet-tools" / "md5.json"


def _archives(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise SourceError(f"{path} does not exist. Expected an archive of ImageNet, or a folder with some.")
    archives = sorted(file for file in path.iterdir() if file.is_file() and (file.name in BY_NAME or _gunzipped(file)))
    if not archives:
        raise SourceError(
            f"{path} is no index, export or lock, and has no file that is called as one of the {len(BY_NAME)} "
            "archives whose sums are known. Name a file itself to have its sum looked up."
        )
    return archives


def _gunzipped(path: Path) -> Archive | None:
    """Return the archive that a plain tar is without its gzip, by its name."""
    if path.suffix == ".tar":
        return BY_NAME.get(f"{path.name}.gz") or BY_NAME.get(f"{path.stem}.tgz")
    archive = BY_NAME.get(path.name) if path.name.endswith((".gz", ".tgz")) else None
    return archive if archive and tar.is_tar(path) else None


def _judge(path: Path, size: int, summed: str) -> tuple[Archive | None, list[Finding]]:
    """Return the archive that a file is or was compared with, and the findings."""
    archive = BY_NAME.get(path.name)
    if summed in BY_MD5:
        return _judge_known_sum(BY_MD5[summed], archive)
    if (gunzipped := _gunzipped(path)) is not None:
        message = (
            f"a plain tar, {gunzipped.name} gunzipped by a browser, it seems: no sum was published of that. What it "
            "holds is checked when it is indexed."
        )
        return gunzipped, [Finding("W103", message)]
    if archive is None:
        value = f"MD5 {summed}" if summed else "its name"
        message = f"{value} is that of no archive whose sum is known; it may be right all the same."
        return None, [Finding("W101", message)]
    findings = []
    if not archive.may_have(size):
        is_short = size < (archive.size or archive.about or 0)
        cause = "cut short, or not all fetched yet" if is_short else "not this archive, or written on"
        message = f"found {count_of(size, 'byte')}, expected {archive.stated}: it is {cause}. Fetch it again."
        findings.append(Finding("E101", message))
    if summed and archive.md5:
        message = f"found MD5 {summed}, expected {archive.md5}: bytes of it are wrong. Fetch it again."
        findings.append(Finding("E102", message))
    if not findings and (summed or archive.size is None):
        message = "its size was not published to the byte" if archive.md5 else "neither size nor sum was published"
        message += "" if summed else "; --md5 sums it"
        findings.append(Finding("W104" if archive.md5 else "W101", message))
    return archive, findings


def _judge_known_sum(archive: Archive, named: Archive | None) -> tuple[Archive, list[Finding]]:
    if named is None or named.md5 == archive.md5:
        return named or archive, []
    message = f"its MD5 is that of {archive.name}, and its name is {named.name}: rename it."
    if {named.name, archive.name} == set(SWAPPED):
        message += " Some public lists give the sums of these two the wrong way round; this one is torchvision's."
    return archive, [Finding("W102", message)]


# ---- sums


def _sum(path: Path, cache: Path, fresh: bool, progress: Progress | None) -> str:
    """Return the MD5 of a file, from the cache if the file has the size and time that it had when it was summed."""
    status = path.stat()
    key, stamp = str(path.absolute()), f"{status.st_size} {status.st_mtime_ns}"
    entry = _read_cache(cache).get(key)
    if not fresh and isinstance(entry, dict) and entry.get("stamp") == stamp and isinstance(entry.get("md5"), str):
        return str(entry["md5"])
    digest, n_read = hashlib.md5(usedforsecurity=False), 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
            n_read += len(block)
            if progress:
                progress(f"summing {path.name} (MB)", n_read >> 20, status.st_size >> 20)
    after = path.stat()
    if f"{after.st_size} {after.st_mtime_ns}" != stamp:
        raise SourceError(f"{path} was written to while it was summed. Check it again when it is all there.")
    cache.parent.mkdir(parents=True, exist_ok=True)
    sums = _read_cache(cache) | {key: {"stamp": stamp, "md5": digest.hexdigest()}}
    write_whole(cache, (json.dumps(sums, indent=1) + "\n").encode(), replace=True)
    return digest.hexdigest()


def _read_cache(cache: Path) -> dict[str, object]:
    """Return the finished sums by path; {} if the cache cannot be read, so that they are made again."""
    try:
        sums = json.loads(cache.read_bytes())
    except (FileNotFoundError, ValueError, RecursionError):
        return {}
    return sums if isinstance(sums, dict) else {}
