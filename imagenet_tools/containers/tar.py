"""Tar archives read by their headers alone: the byte range of each member, with nothing extracted.

    header    512 bytes (see tar_header)
    payload   padded with zeros to a multiple of 512
    header    ...
    two blocks of zeros, then only zeros to the end

Functions that walk yield the members before a fault, and then raise FormatError with a code of PROBLEMS.
"""

from __future__ import annotations

import io
import os
import stat
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from imagenet_tools.containers import tar_header
from imagenet_tools.containers.gzip_stream import GZIP_MAGIC, Gunzip, Read, Section, forward
from imagenet_tools.containers.tar_header import BLOCK, EXTRA_LIMIT, EXTRAS, KINDS, LINK, SPARSE, WITHOUT_PAYLOAD, Extra
from imagenet_tools.errors import FormatError
from imagenet_tools.storage.buckets import Remote, is_remote, url_of
from imagenet_tools.text import count_of

# The codes of the errors raised by this module, for the table problems.
PROBLEMS = {
    "tar_truncated": "the archive ends inside a header or a payload, or without the two blocks of zeros",
    "tar_damaged": "no header where one belongs, or a header that cannot be",
    "tar_trailing_data": "something other than zeros follows the end of the archive",
    "gzip_truncated": "a compressed archive that ends too early",
    "gzip_damaged": "a compressed archive whose bytes or checksum are wrong",
}

_ZEROS = bytes(BLOCK)
_MAX_TAIL_BYTES = 64 << 20  # of zeros after the end that are checked; writers pad to 10 KiB by default
_MAX_LEAD_BYTES = 8 * BLOCK
READ_BYTES = 1 << 20
_INFLATED_BYTES = 1 << 16  # a larger buffer is returned to the system and allocated again at each use

StrPath = str | os.PathLike[str]


# The name of an archive in errors that an index keeps: it has no path of this machine.
ARCHIVE = "the archive"


class Member(NamedTuple):
    r"""A member of an archive: `size` bytes of payload that begin at byte `offset`.

    Attributes:
        name: The name. Bytes that are not UTF-8 are written as \xNN.
        offset: Counted from the beginning of the file, also for a tar inside a tar; in `stream`, from the beginning
            of the decompressed bytes.
        size: Bytes.
        kind: file, dir, link (hard), symlink, device, fifo, other, or sparse: the payload is not the file's bytes in
            order. A hard link to an earlier file is yielded as a file, with the byte range of that member; `stream`,
            which cannot go back, yields it as a link.
        target: The name of the member that a link points to.
    """

    name: str
    offset: int
    size: int
    kind: str
    target: str = ""


def walk(
    source: StrPath | int, *, start: int = 0, end: int | None = None, cut: bool = False, label: str = ""
) -> Iterator[Member]:
    """Yield the members of a tar, in its order, at the cost of one read of 512 bytes each.

    Args:
        source: A path, or an open descriptor, whose position is not moved.
        start: The offset at which a tar inside another file begins, bytes.
        end: The offset at which it ends; None: the end of the file.
        cut: Also yield the member whose payload is cut by the end, with the size that its header states.
        label: The name of the archive in errors; default: its path.

    Raises:
        FormatError: After the last good member, with a code of PROBLEMS.
    """
    for member, _ in walk_ahead(source, start=start, end=end, ahead=0, cut=cut, label=label):
        yield member


def walk_ahead(
    source: StrPath | int,
    *,
    start: int = 0,
    end: int | None = None,
    ahead: int,
    cut: bool = False,
    begin: int | None = None,
    label: str = "",
) -> Iterator[tuple[Member, bytes]]:
    """Yield members as `walk` does, each file with the first `ahead` bytes of its payload, from the same read.

    `begin` is the start of the tar if `start` is a header in its middle: links name members from there on.
    """
    label = label or (ARCHIVE if isinstance(source, int) else url_of(source))
    with _reading(source, end) as (read, last):
        files: dict[int, Member] | None = None
        for member, head in _walk(read, start, last, ahead, label, cut=cut):
            if member.kind != "link":
                yield member, head
                continue
            if files is None:  # at the first link, so that an archive without links is walked once
                first = start if begin is None else begin
                targets: set[str] = set()
                with suppress(FormatError):
                    for other, _ in _walk(read, first, last, 0, label):
                        targets.update({other.target} if other.kind == "link" else ())
                files = _link_targets(read, first, last, targets)
            file = files.get(member.offset, member)
            yield file, _exactly(read, file.offset, min(ahead, file.size))


def walk_by(read: Read, *, start: int = 0, end: int = sys.maxsize, label: str) -> Iterator[Member]:
    """Yield members as `walk` does, of the bytes that `read(offset, n)` returns.

    Offsets only grow, so hard links come last, sorted by offset: for them the headers are read once more. Errors call
    the archive `label`.
    """
    links: list[Member] = []
    fault: FormatError | None = None
    try:
        for member, _ in _walk(read, start, end, 0, label):
            if member.kind == "link":
                links.append(member)
            else:
                yield member
    except FormatError as error:
        fault = error
    files = _link_targets(read, start, end, {link.target for link in links}) if links else {}
    yield from sorted((files.get(link.offset, link) for link in links), key=lambda member: member.offset)
    if fault is not None:
        raise fault


def _link_targets(read: Read, start: int, end: int, targets: Collection[str]) -> dict[int, Member]:
    """Return the hard links to earlier files as these files, by the offset after the link's header.

    `targets` are the names that links have; only members of these names are remembered.
    """
    by_name: dict[str, Member] = {}
    by_offset: dict[int, Member] = {}
    with suppress(FormatError):  # the walk that follows raises it
        for member, _ in _walk(read, start, end, 0, ""):
            file = member
            if member.kind == "link" and member.target in by_name:
                file = by_offset[member.offset] = by_name[member.target]._replace(name=member.name)
            if file.kind in ("file", "sparse") and file.name in targets:
                by_name[file.name] = file
    return by_offset


@contextmanager
def _reading(source: StrPath | int, end: int | None) -> Iterator[tuple[Read, int]]:
    """Give a function that reads (offset, n), and the end of the archive: `end`, unless the file is shorter."""
    if not isinstance(source, int) and is_remote(source):
        remote = Remote(os.fspath(source))
        yield remote.read, remote.size() if end is None else end
        return
    with _open(source) as archive:
        fd = archive.fileno()
        size = os.fstat(fd).st_size
        yield lambda offset, n: os.pread(fd, n, offset), size if end is None else min(end, size)


def _open(source: StrPath | int) -> io.FileIO:
    if not isinstance(source, int) and not stat.S_ISREG(Path(source).stat().st_mode):  # opening a pipe would block
        message = f"{source} is no regular file; expected an archive. Save it as a file and name that."
        raise FormatError(message)
    return io.FileIO(source, closefd=not isinstance(source, int))


def _walk(
    read: Read, start: int, end: int, ahead: int, label: str, *, cut: bool = False
) -> Iterator[tuple[Member, bytes]]:
    # The bytes from `base` on that were read last: a header or a payload's head inside them costs no read.
    chunk, base, place = b"", start, start
    # Where the headers of the member begin, and the bytes of those of the last one: the pax header that many writers
    # give each member is in the same read.
    first, lead = start, BLOCK
    most_lead = _MAX_LEAD_BYTES if ahead else BLOCK  # without `ahead` a stream may be read, which does not go back
    # Values of pax records and long names, for the next member and for all that follow.
    extra: Extra | None = None
    common: Extra | None = None
    while True:
        block = chunk[place - base : place - base + BLOCK]
        if len(block) < BLOCK:
            chunk, base = _exactly(read, place, min(lead + ahead, end - place)), place
            block = chunk[:BLOCK]
        if block == _ZEROS or len(block) < BLOCK:
            break
        name, size, kind = tar_header.parse(block, place, label)
        place += BLOCK
        if kind in EXTRAS:
            data = chunk[place - base : place - base + size]
            if len(data) < size:
                data = _extra_payload(read, place, size, end, label)
            extra, common = tar_header.apply_extra(kind, data, extra, common, place, label)
            place += size + -size % BLOCK
            continue
        if kind == SPARSE:
            place = _after_sparse_map(read, block, place, end, label)
        member = member_of(name, place, size, kind, extra or common, block[157:257] if kind == LINK else b"")
        extra, size = None, member.size
        if place + size > end:
            if cut:
                yield member, b""
            raise cut_payload(label, place, max(end - place, 0), member)
        head = b""
        if ahead and member.kind == "file":
            n = min(ahead, size)
            if place - base + n > len(chunk):
                chunk, base = _exactly(read, place, n), place
            head = chunk[place - base : place - base + n]
        yield member, head
        lead = min(place - first, most_lead)
        place += size + -size % BLOCK
        first = place
    if len(block) < BLOCK:
        expected = "a header of 512 bytes, or the two blocks of zeros that end a tar"
        raise tar_header.truncated(label, place, f"{len(block)} bytes before its end", expected)
    if extra is not None:
        raise tar_header.damaged(label, place, "the end after a long name or pax records", "the member they name")
    _check_tail(read, place + BLOCK, end, label)


def cut_payload(label: str, place: int, n: int, member: Member) -> FormatError:
    """Return the error for an archive that ends after n bytes of a member's payload."""
    expected = f"the {member.size:,} that its header states"
    return tar_header.truncated(
        label, place, f"{count_of(n, 'byte')} of {member.name!r} before its end", expected, member.name
    )


def member_of(name: bytes, place: int, size: int, kind: int, extra: Extra | None = None, target: bytes = b"") -> Member:
    """Return the member of a header.

    Args:
        name: The name in the header.
        place: The offset of the payload, bytes.
        size: The size in the header, bytes.
        kind: The type in the header.
        extra: Values of headers before it, which take precedence.
        target: The link target in the header.
    """
    word = KINDS.get(kind, "other")
    if extra is not None:
        name, size, target = extra.name or name, size if extra.size is None else extra.size, extra.target or target
        word = "sparse" if extra.sparse else word
    if kind in WITHOUT_PAYLOAD:
        size = 0
    elif word == "file" and name.endswith(b"/"):
        word = "dir"
    text = name.decode("utf-8", "backslashreplace")
    if kind != LINK:
        return Member(text, place, size, word)
    return Member(text, place, size, word, target.partition(b"\0")[0].decode("utf-8", "backslashreplace"))


def _exactly(read: Read, offset: int, n: int) -> bytes:
    """Return n bytes, by several reads if one returns fewer; fewer only at the end."""
    data = read(offset, n) if n > 0 else b""
    while 0 < len(data) < n and (rest := read(offset + len(data), n - len(data))):
        data += rest
    return data


def _extra_payload(read: Read, place: int, size: int, end: int, label: str) -> bytes:
    if size > EXTRA_LIMIT:
        found = f"a long name or pax records of {size:,} bytes"
        raise tar_header.damaged(label, place, found, f"at most {EXTRA_LIMIT:,}")
    data = _exactly(read, place, min(size, end - place))
    if len(data) < size:
        found = f"{count_of(len(data), 'byte')} of a long name or pax records before its end"
        raise tar_header.truncated(label, place, found, f"the {size:,} that their header states")
    return data


def _after_sparse_map(read: Read, block: bytes, place: int, end: int, label: str) -> int:
    """Return the offset of the payload of an old GNU sparse member: after the blocks that continue its map."""
    more, start = block[482], place
    while more:
        part = _exactly(read, place, min(BLOCK, end - place))
        if len(part) < BLOCK or place - start > EXTRA_LIMIT:
            raise tar_header.damaged(label, start, "a sparse map without an end", f"at most {EXTRA_LIMIT:,} bytes")
        more, place = part[504], place + BLOCK
    return place


def _check_tail(read: Read, place: int, end: int, label: str) -> None:
    """Raise FormatError unless a second block of zeros, and then nothing but zeros, follows the first."""
    data = _exactly(read, place, min(BLOCK, end - place))
    if len(data) < BLOCK:
        raise tar_header.truncated(label, place + len(data), "one block of zeros before its end", "two")
    start = place
    while data:
        if data != bytes(len(data)) or place - start > _MAX_TAIL_BYTES:
            place += len(data) - len(data.lstrip(b"\0"))
            message = (
                f"{label}: the tar ends at byte {start + BLOCK}, and {place - start:,} bytes on something follows; "
                "expected at most some zeros. What follows was not read: if archives were joined, split them."
            )
            raise FormatError(message, code="tar_trailing_data")
        place += len(data)
        data = _exactly(read, place, min(READ_BYTES, end - place))


def stream(
    file: io.BufferedReader, *, cap: int = 64 << 20, label: str = ""
) -> Iterator[tuple[Member, bytes | None, Callable[[], Section]]]:
    """Yield (member, its payload, a function that opens the payload) of a tar that is read once from front to back.

    The function opens a payload of any size, until the next member: so an archive inside an archive is read.

    Args:
        file: A file as `open_stream` returns it.
        cap: The maximum size of a payload in bytes. A larger one is None, as is that of a member that is no file.
        label: The name of the tar in errors; default: the file's path.

    Raises:
        FormatError: After the last good member, with a code of PROBLEMS.
    """
    label = label or str(getattr(file, "name", None) or "the archive")
    read = forward(file, label)

    def open_payload() -> Section:
        return Section(read, member.offset, member.size, f"{label}/{member.name}")

    for member, _ in _walk(read, 0, sys.maxsize, 0, label):
        payload = None
        if member.kind == "file" and member.size <= cap:
            payload = _exactly(read, member.offset, member.size)
            if len(payload) < member.size:
                raise cut_payload(label, member.offset, len(payload), member)
        yield member, payload, open_payload


@contextmanager
def open_stream(source: StrPath | bytes | io.RawIOBase, *, ahead: int = READ_BYTES) -> Iterator[io.BufferedReader]:
    """Open a tar for `stream`, compressed by gzip or not, as its first bytes show.

    Args:
        source: A path, an open file, or the bytes of the tar.
        ahead: Bytes read at a time; a few are enough to read only the first members.
    """
    raw: Any = io.BytesIO(source) if isinstance(source, bytes) else source
    if isinstance(source, str | os.PathLike):
        raw = _open(source)
    with io.BufferedReader(raw, ahead) as file:
        if file.peek(2)[:2] != GZIP_MAGIC:
            yield file
            return
        inflated: Any = Gunzip(fileobj=file, mode="rb")
        with io.BufferedReader(inflated, _INFLATED_BYTES) as unpacked:
            yield unpacked


def members(path: StrPath) -> Iterator[Member]:
    """Yield the members of a tar, compressed by gzip or not; a plain one is read by its headers alone."""
    if not is_gzip(path):
        yield from walk(path)
        return
    with open_stream(path) as file:
        for member, _, _ in stream(file, cap=0):
            yield member


def first_file(path: StrPath) -> str:
    """Return the name of the first file in a tar; "" if the tar breaks before it, which its scan reports."""
    with suppress(FormatError):
        # No more than one: the second member of a stream may be behind gigabytes.
        return next((member.name for member in members(path) if member.kind == "file"), "")
    return ""


def is_tar(path: StrPath) -> bool:
    """Return True if a regular file begins with a tar header; a tar without members does not."""
    return tar_header.is_header(_head(path))


def is_archive(path: StrPath) -> bool:
    """Return True if a regular file begins with a tar header or as gzip does."""
    head = _head(path)
    return tar_header.is_header(head) or head[:2] == GZIP_MAGIC


def is_gzip(path: StrPath) -> bool:
    """Return True if a regular file begins as gzip does."""
    return _head(path)[:2] == GZIP_MAGIC


def _head(path: StrPath) -> bytes:
    if is_remote(path):
        return Remote(os.fspath(path)).read(0, BLOCK)
    try:
        with _open(path) as file:
            return file.read(BLOCK)
    except FormatError:
        return b""
