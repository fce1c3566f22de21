"""Coded findings: whether archives are as they were published, by their sizes and, where asked, by their MD5.

    E101  the size is not the published one
    E102  the MD5 is not the published one
    W101  no sum was published of it, under this name or any other
    W102  it is another archive than its name says
    W103  it was gunzipped on its way, as macOS does: no sum was published of that
    W104  its name fits, and its size as far as it was published; its MD5 was not asked for

Sums of terabytes take hours, so each finished sum is kept in a file of the user's cache, never beside the archives: an
archive of the same size and time is not summed again. An interrupted sum begins again at the start of its archive:
hashlib has no state to save, and a sum that might be wrong is worse than none.
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

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from imagenet_tools.units import Progress


# ---- the published archives: names, sizes and sums


class Archive(NamedTuple):
    """An archive as published; an empty md5 where none was."""

    name: str
    md5: str
    size: int | None = None  # bytes; None where it was not published to the byte
    sha256: str = ""
    about: int | None = None  # bytes as the download pages round them, where that is all there is

    @property
    def stated(self) -> str:
        """The published size in words, or ""."""
        return f"{self.size:,}" if self.size is not None else f"about {self.about:,}" if self.about else ""

    def may_have(self, size: int) -> bool:
        """Whether a file of so many bytes may be it: of a rounded size, up to twice and down to half of it."""
        if self.size is not None:
            return size == self.size
        return self.about is None or self.about / 2 <= size <= self.about * 2


ARCHIVES = (
    Archive(
        "ILSVRC2012_img_train.tar",
        "1d675b47d978889d74fa0da5fadfb00e",
        147_897_477_120,
        "b08200a27a8e34218a0e58fde36b0fe8f73bc377f4acea2d91602057c3ca45bb",
    ),
    Archive("ILSVRC2012_img_train_t3.tar", "ccaf1013018ac1037801578038d370da", about=728_000_000),
    Archive(
        "ILSVRC2012_img_val.tar",
        "29b22e2961454d5413ddabcf34fc5622",
        6_744_924_160,
        "c7e06a6c0baccf06d8dbeb6577d71efff84673a5dbdd50633ab44f8ea0456ae0",
    ),
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

# Public lists, among them those of FlagPerf, give the sums of these two the wrong way round.
SWAPPED = ("ILSVRC2012_img_train.tar", "ILSVRC2012_img_train_t3.tar")


# ----


_BLOCK_BYTES = 8 << 20
NOTHING_COMPARED = frozenset({"W101", "W103"})
_NAMED = 3  # files or images that a finding names


class Finding(NamedTuple):
    """Something to know of what was checked: E is wrong, W is worth a look."""

    code: str
    message: str


def all_ok(findings: Iterable[Finding]) -> bool:
    """Return True if none of the findings says that something is wrong, or that nothing was compared."""
    return not any(finding.code.startswith("E") or finding.code in NOTHING_COMPARED for finding in findings)


def grouped(code: str, wrong: Iterable[str]) -> Iterator[Finding]:
    """Yield a finding for the first few of what is wrong, and one that counts the others."""
    listed = list(wrong)
    yield from (Finding(code, text) for text in listed[:_NAMED])
    if len(listed) > _NAMED:
        yield Finding(code, f"the same of {len(listed) - _NAMED:,} more")


class Checked(NamedTuple):
    """An archive that was checked: as published where nothing was found."""

    path: Path
    size: int  # bytes
    md5: str  # "" where it was not asked for
    published: str  # the name of the archive that it is, or is held against; "" where none is known
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return all_ok(self.findings)

    @property
    def summary(self) -> str:
        """What was checked, in words."""
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
    """Hold archives, or those directly in a folder, against the published sizes and sums."""
    notes = cache or default_cache()
    for path in (archive for given in paths for archive in _archives(given)):
        size = path.stat().st_size
        expected = _expected(path)
        whole = expected is None or expected.may_have(size)  # of a wrong size, the sum is wrong as well
        summed = _sum(path, notes, fresh, progress) if md5 and whole else ""
        published, findings = _judge(path, size, summed)
        yield Checked(path, size, summed, published.name if published else "", tuple(findings))


def default_cache() -> Path:
    """Where sums are kept unless another file is named: below $XDG_CACHE_HOME, else below ~/.cache."""
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "imagenet-tools" / "md5.json"


def _archives(given: Path) -> list[Path]:
    if given.is_file():
        return [given]
    if not given.is_dir():
        message = f"{given} does not exist. Expected an archive of ImageNet, or a folder with some."
        raise SourceError(message)
    found = sorted(path for path in given.iterdir() if path.is_file() and (_expected(path) or _gunzipped(path)))
    if not found:
        message = f"{given} is no index, export or lock, and has no file that is called as one of the {len(BY_NAME)} "
        raise SourceError(message + "archives whose sums are known. Name a file itself to have its sum looked up.")
    return found


def _expected(path: Path) -> Archive | None:
    return BY_NAME.get(path.name)


def _gunzipped(path: Path) -> Archive | None:
    """The archive that a plain tar once was in gzip, by its name."""
    if path.suffix == ".tar":
        return BY_NAME.get(f"{path.name}.gz") or BY_NAME.get(f"{path.stem}.tgz")
    known = BY_NAME.get(path.name) if path.name.endswith((".gz", ".tgz")) else None
    return known if known and tar.is_tar(path) else None


def _judge(path: Path, size: int, summed: str) -> tuple[Archive | None, list[Finding]]:
    if summed in BY_MD5:
        return _known_sum(path, BY_MD5[summed])
    if (once := _gunzipped(path)) is not None:
        message = (
            f"a plain tar, {once.name} gunzipped by a browser, it seems: no sum was published of that. What it holds "
            "is checked when it is indexed."
        )
        return once, [Finding("W103", message)]
    expected = _expected(path)
    if expected is None:
        found = f"MD5 {summed}" if summed else "its name"
        message = f"{found} is that of no archive whose sum is known; it may be right all the same."
        return None, [Finding("W101", message)]
    findings = []
    if not expected.may_have(size):
        short = size < (expected.size or expected.about or 0)
        what = "cut short, or not all fetched yet" if short else "not this archive, or written on"
        message = f"found {size:,} bytes, expected {expected.stated}: it is {what}. Fetch it again."
        findings.append(Finding("E101", message))
    if summed and expected.md5:
        message = f"found MD5 {summed}, expected {expected.md5}: bytes of it are wrong. Fetch it again."
        findings.append(Finding("E102", message))
    if not findings and (summed or expected.size is None):
        known = "its size was not published to the byte" if expected.md5 else "neither size nor sum was published"
        findings.append(Finding("W104" if expected.md5 else "W101", f"{known}; --md5 sums it" if not summed else known))
    return expected, findings


def _known_sum(path: Path, archive: Archive) -> tuple[Archive, list[Finding]]:
    named = _expected(path)
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
    entry = _read(cache).get(key)
    if not fresh and isinstance(entry, dict) and entry.get("stamp") == stamp and isinstance(entry.get("md5"), str):
        return str(entry["md5"])
    digest, n_read = hashlib.md5(usedforsecurity=False), 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
            n_read += len(block)
            if progress:
                progress(f"summing {path.name} (MB)", n_read >> 20, status.st_size >> 20)
    now = path.stat()
    if f"{now.st_size} {now.st_mtime_ns}" != stamp:
        message = f"{path} was written to while it was summed. Check it again when it is all there."
        raise SourceError(message)
    cache.parent.mkdir(parents=True, exist_ok=True)
    sums = _read(cache) | {key: {"stamp": stamp, "md5": digest.hexdigest()}}
    write_whole(cache, (json.dumps(sums, indent=1) + "\n").encode(), replace=True)
    return digest.hexdigest()


def _read(cache: Path) -> dict[str, object]:
    """Return the finished sums by path; a cache that cannot be read costs their work, and no more."""
    try:
        sums = json.loads(cache.read_bytes())
    except (FileNotFoundError, ValueError, RecursionError):
        return {}
    return sums if isinstance(sums, dict) else {}
