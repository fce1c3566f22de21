"""Tar archives read by their headers alone: where each member lies, and nothing extracted.

    header    512 bytes (see tar_header)
    payload   filled up with zeros to a whole block of 512
    header    ...
    two blocks of zeros, then zeros alone to the end

The members before a fault are always yielded; then FormatError is raised, with a code of PROBLEMS.
"""

from __future__ import annotations

import io
import os
import stat
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, NamedTuple, cast

from imagenet_tools.containers import tar_header
from imagenet_tools.containers.forward import Gunzip, Payload, Read, forward
from imagenet_tools.containers.tar_header import BLOCK, EXTRA_LIMIT, EXTRAS, KINDS, LINK, SPARSE, WITHOUT_PAYLOAD, Extra
from imagenet_tools.errors import FormatError

# The codes of the errors that are raised here, for the table problems.
PROBLEMS = {
    "tar_truncated": "the archive ends inside a header or a payload, or without the two blocks of zeros",
    "tar_damaged": "no header where one belongs, or a header that cannot be",
    "tar_trailing_data": "something other than zeros follows the end of the archive",
    "gzip_truncated": "a compressed archive that ends too early",
    "gzip_damaged": "a compressed archive whose bytes or checksum are wrong",
}

_ZEROS = bytes(BLOCK)
# How many zeros after the end are looked at; writers pad to 10 KiB unless told otherwise.
_TAIL_LIMIT = 64 << 20
_CHUNK = 1 << 20
# What is inflated at once: more would be given back to the system and asked for again, page by page, each time.
_INFLATED = 1 << 16

StrPath = str | os.PathLike[str]


class Member(NamedTuple):
    r"""A member of an archive: `size` bytes of payload that begin at byte `offset`.

    `offset` counts from the beginning of the file, also for a tar inside a tar; in `stream`, from the beginning of
    the decompressed bytes. `kind` is file, dir, link (hard), symlink, device, fifo, sparse (its payload is not the
    file's bytes in order) or other. Bytes of a name that are no UTF-8 are spelled \xNN.

    A hard link to a file before it is given as a file: its bytes are those of the member that it names. Where only
    later bytes can be read (`walk_by`, `stream`) it is a link with a `target`: see `followed`.
    """

    name: str
    offset: int
    size: int
    kind: str
    target: str = ""  # of a link: the name of another member


def walk(source: StrPath | int, *, start: int = 0, end: int | None = None, cut: bool = False) -> Iterator[Member]:
    """The members of a tar, in its order, at the cost of one read of 512 bytes each.

    `source` is a path or an open file descriptor, whose position is not moved. `start` and `end` bound a tar inside
    another file, in bytes; without an end it reaches to the end of the file. Raises FormatError after the last good
    member, with the codes named above; with `cut`, the member that the end cuts is yielded before, with the size that
    its header states.
    """
    for member, _ in walk_ahead(source, start=start, end=end, ahead=0, cut=cut):
        yield member


def walk_ahead(
    source: StrPath | int,
    *,
    start: int = 0,
    end: int | None = None,
    ahead: int = 4096,
    cut: bool = False,
    begin: int | None = None,
) -> Iterator[tuple[Member, bytes]]:
    """As `walk`, each file with the first `ahead` bytes of its payload, from the read that fetches its header.

    `begin` is where the tar begins, if `start` is a header in the middle: links name members from there on.
    """
    if not isinstance(source, int):
        with _open(source) as file:
            yield from _members(file.fileno(), os.fspath(source), start, end, ahead, cut=cut, begin=begin)
        return
    yield from _members(source, "the archive", start, end, ahead, cut=cut, begin=begin)


def walk_by(read: Read, *, start: int = 0, end: int = sys.maxsize, label: str) -> Iterator[Member]:
    """As `walk`, of bytes that `read(offset, n)` gives: asked for at offsets that only grow. Errors name the label."""
    for member, _ in _walk(read, start, end, 0, label):
        yield member


def followed(read: Read, links: Sequence[Member], *, start: int = 0, end: int = sys.maxsize) -> list[Member]:
    """Return links of `walk_by` as the files that they name, by offset; one that names none stays a link.

    The headers are read once more from `start` on.
    """
    places = _places(read, start, end, {link.target for link in links}) if links else {}
    return sorted((places.get(link.offset, link) for link in links), key=lambda one: one.offset)


def _places(read: Read, start: int, end: int, targets: Collection[str]) -> dict[int, Member]:
    """Return the hard links to files before them, by the offset behind their header, as these files.

    `targets` are the names that links have: only members of these names are remembered.
    """
    named: dict[str, Member] = {}
    places: dict[int, Member] = {}
    with suppress(FormatError):  # whoever walks on reports it
        for member, _ in _walk(read, start, end, 0, ""):
            found = member
            if member.kind == "link" and member.target in named:
                found = places[member.offset] = named[member.target]._replace(name=member.name)
            if found.kind in ("file", "sparse") and found.name in targets:
                named[found.name] = found
    return places


def _members(
    fd: int, label: str, start: int, end: int | None, ahead: int, *, cut: bool, begin: int | None
) -> Iterator[tuple[Member, bytes]]:
    size = os.fstat(fd).st_size
    end = size if end is None else min(end, size)
    places: dict[int, Member] | None = None

    def read(offset: int, n: int) -> bytes:
        return os.pread(fd, n, offset)

    for member, head in _walk(read, start, end, ahead, label, cut=cut):
        if member.kind != "link":
            yield member, head
            continue
        if places is None:  # at the first link: an archive without any is walked once
            first = start if begin is None else begin
            targets: set[str] = set()
            with suppress(FormatError):
                targets.update(one.target for one, _ in _walk(read, first, end, 0, label) if one.kind == "link")
            places = _places(read, first, end, targets)
        found = places.get(member.offset, member)
        yield found, _exactly(read, found.offset, min(ahead, found.size))


def _open(path: StrPath) -> io.FileIO:
    # To open a pipe for reading would wait for ever.
    if not stat.S_ISREG(Path(path).stat().st_mode):
        message = f"{os.fspath(path)} is no regular file; expected an archive. Save it as a file and name that."
        raise FormatError(message)
    return Path(path).open("rb", buffering=0)


def _walk(
    read: Read, start: int, end: int, ahead: int, label: str, *, cut: bool = False
) -> Iterator[tuple[Member, bytes]]:
    # chunk holds the bytes from base on: a header, or a payload's head, that lies in it costs no read.
    chunk, base, place = b"", start, start
    # What pax records and long names say of the next member, and of all that are to come.
    own: Extra | None = None
    common: Extra | None = None
    while True:
        block = chunk[place - base : place - base + BLOCK]
        if len(block) < BLOCK:
            chunk, base = _exactly(read, place, min(BLOCK + ahead, end - place)), place
            block = chunk[:BLOCK]
        if block == _ZEROS or len(block) < BLOCK:
            break
        name, size, kind = tar_header.parse(block, place, label)
        place += BLOCK
        if kind in EXTRAS:
            data = chunk[place - base : place - base + size]
            if len(data) < size:
                data = _extra_payload(read, place, size, end, label)
            own, common = tar_header.heed(kind, data, own, common, place, label)
            place += size + -size % BLOCK
            continue
        if kind == SPARSE:
            place = _after_sparse_map(read, block, place, end, label)
        member = member_of(name, place, size, kind, own or common, block[157:257] if kind == LINK else b"")
        own, size = None, member.size
        if place + size > end:
            if cut:
                yield member, b""
            found = f"{max(end - place, 0):,} bytes of {member.name!r} before its end"
            raise tar_header.truncated(label, place, found, f"the {size:,} that its header states", member.name)
        head = b""
        if ahead and member.kind == "file":
            wanted = min(ahead, size)
            if place - base + wanted > len(chunk):
                chunk, base = _exactly(read, place, wanted), place
            head = chunk[place - base : place - base + wanted]
        yield member, head
        place += size + -size % BLOCK
    if len(block) < BLOCK:
        expected = "a header of 512 bytes, or the two blocks of zeros that end a tar"
        raise tar_header.truncated(label, place, f"{len(block)} bytes before its end", expected)
    if own is not None:
        raise tar_header.damaged(label, place, "the end after a long name or pax records", "the member they name")
    _check_tail(read, place + BLOCK, end, label)


def member_of(name: bytes, place: int, size: int, kind: int, said: Extra | None = None, target: bytes = b"") -> Member:
    """The member that a header says, and what was `said` of it before; its payload begins at `place`."""
    word = KINDS.get(kind, "other")
    if said is not None:
        name, size, target = said.name or name, size if said.size is None else said.size, said.target or target
        word = "sparse" if said.sparse else word
    if kind in WITHOUT_PAYLOAD:
        size = 0
    elif word == "file" and name.endswith(b"/"):
        word = "dir"
    text = name.decode("utf-8", "backslashreplace")
    if kind != LINK:
        return Member(text, place, size, word)
    return Member(text, place, size, word, target.partition(b"\0")[0].decode("utf-8", "backslashreplace"))


def _exactly(read: Read, offset: int, n: int) -> bytes:
    """All of n bytes, though a read may give fewer; fewer only at the end."""
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
        found = f"{len(data):,} bytes of a long name or pax records before its end"
        raise tar_header.truncated(label, place, found, f"the {size:,} that their header states")
    return data


def _after_sparse_map(read: Read, block: bytes, place: int, end: int, label: str) -> int:
    """Where the payload of an old GNU sparse member begins: behind the blocks that carry its map on."""
    more, start = block[482], place
    while more:
        part = _exactly(read, place, min(BLOCK, end - place))
        if len(part) < BLOCK or place - start > EXTRA_LIMIT:
            raise tar_header.damaged(label, start, "a sparse map without an end", f"at most {EXTRA_LIMIT:,} bytes")
        more, place = part[504], place + BLOCK
    return place


def _check_tail(read: Read, place: int, end: int, label: str) -> None:
    """After the first block of zeros: a second one, and then nothing but zeros."""
    piece = _exactly(read, place, min(BLOCK, end - place))
    if len(piece) < BLOCK:
        raise tar_header.truncated(label, place + len(piece), "one block of zeros before its end", "two")
    start = place
    while piece:
        if piece != bytes(len(piece)) or place - start > _TAIL_LIMIT:
            place += len(piece) - len(piece.lstrip(b"\0"))
            message = (
                f"{label}: the tar ends at byte {start + BLOCK:,}, and {place - start:,} bytes on something follows; "
                "expected at most some zeros. What follows was not read: if archives were joined, split them."
            )
            raise FormatError(message, code="tar_trailing_data")
        place += len(piece)
        piece = _exactly(read, place, min(_CHUNK, end - place))


def stream(file: IO[bytes], *, cap: int = 64 << 20, label: str = "") -> Iterator[tuple[Member, bytes | None]]:
    """The members of a tar that is read once from front to back, as a compressed one must be, with their payloads.

    `file` is what `open_stream` gives, or anything with `read`. The payload is None where a member is no file, or has
    more than `cap` bytes. Raises FormatError after the last good member, with the codes named above; its text calls
    the tar by the `label`, or else by the path.
    """
    for member, payload, _ in stream_files(file, cap=cap, label=label):
        yield member, payload


def stream_files(
    file: IO[bytes], *, cap: int, label: str = ""
) -> Iterator[tuple[Member, bytes | None, Callable[[], Payload]]]:
    """As `stream`, with what opens a payload that has more than `cap` bytes, until the next member is asked for.

    So an archive inside an archive is read as it streams by, whatever its size.
    """
    label = label or str(getattr(file, "name", None) or "the archive")
    read = forward(file, label)

    def opened() -> Payload:
        return Payload(read, member.offset, member.size, f"{label}/{member.name}")

    for member, _ in _walk(read, 0, sys.maxsize, 0, label):
        payload = None
        if member.kind == "file" and member.size <= cap:
            payload = _exactly(read, member.offset, member.size)
            if len(payload) < member.size:
                found = f"{len(payload):,} bytes of {member.name!r} before its end"
                expected = f"the {member.size:,} that its header states"
                raise tar_header.truncated(label, member.offset, found, expected, member.name)
        yield member, payload, opened


@contextmanager
def open_stream(source: StrPath | bytes | io.RawIOBase, *, ahead: int = _CHUNK) -> Iterator[IO[bytes]]:
    """Open a tar for `stream`, compressed by gzip or not: its first bytes tell. A path, an open file, or its bytes.

    `ahead` bytes are read at once: few are enough where only the first members are wanted.
    """
    if isinstance(source, bytes):
        raw: io.RawIOBase = cast("io.RawIOBase", io.BytesIO(source))
        ahead = min(ahead, len(source) + 1)
    else:
        raw = source if isinstance(source, io.RawIOBase) else _open(source)
    with io.BufferedReader(raw, ahead) as file:
        if not is_gzip_head(file.peek(2)):
            yield file
            return
        with io.BufferedReader(Gunzip(file), _INFLATED) as unpacked:
            yield unpacked


def members(path: StrPath) -> Iterator[Member]:
    """The members of a tar, compressed by gzip or not: of a plain one by its headers alone, as `walk` reads them."""
    if not is_gzip(path):
        yield from walk(path)
        return
    with open_stream(path) as file:
        for member, _ in stream(file, cap=0):
            yield member


def is_tar(path: StrPath) -> bool:
    """Whether a file begins with a tar header. False for what is no regular file, and for a tar without members."""
    return tar_header.is_header(_head(path))


def is_gzip(path: StrPath) -> bool:
    """Whether a file begins as gzip does. False for what is no regular file."""
    return is_gzip_head(_head(path))


def is_gzip_head(head: bytes) -> bool:
    """Whether bytes begin as gzip does: the first 2 decide."""
    return head[:2] == b"\x1f\x8b"


def _head(path: StrPath) -> bytes:
    try:
        with _open(path) as file:
            return file.read(BLOCK)
    except FormatError:
        return b""
