r"""Zips read by their directory, the list of members at the end, each compared with its own header, nothing unpacked.

    PK\3\4 header of a member (30 bytes, name, extra), its bytes, the next member ...
    PK\1\2 entry of the directory (46 bytes, name, extra, comment), the next entry ...
    PK\6\6 end of a ZIP64 directory (56 bytes), PK\6\7 its offset (20 bytes); only in large zips
    PK\5\6 end of the directory (22 bytes, comment): the last bytes of the file

An image is addressed by byte, so its member must be stored, not compressed. Python's zipfile reads the whole directory
first, some 0.5 kB a member; this module holds 24 bytes a member. FormatError has the code zip_damaged, and is raised
after the members before the damage. A member comes with the reason why its bytes cannot be used, or "" if they can
and its own header agrees with the directory. The offset of a member with a reason is that of its header.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import stat
import struct
from array import array
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from imagenet_tools.containers.tar import Member
from imagenet_tools.errors import FormatError
from imagenet_tools.text import count_of

# The first bytes of a zip: a member, the end of an empty zip, the mark of a split zip.
MAGICS = (b"PK\3\4", b"PK\5\6", b"PK\7\x08")

# The fields that are read; an x is a byte that is not.
_HEADER = struct.Struct("<6x2H8x2I2H")
_ENTRY = struct.Struct("<4xH2x2H8x2I3H4x2I")
_END = struct.Struct("<4x2H2xH2I2x")
_LOCATOR = struct.Struct("<8xQ4x")
_END64 = struct.Struct("<16x2I8x3Q")

_MAX_TEXT_BYTES = 0xFFFF  # a name, an extra field or a comment
_CHUNK_BYTES = 1 << 18  # of the directory in memory
_MAX_OFFSET = (1 << 63) - 1
# Bytes of extra fields that are read with a member's header; Info-ZIP writes 28, and 20 more with ZIP64.
_EXTRA_BYTES = 64

_ZIP64 = 0x0001  # the extra field for sizes and offsets of eight bytes
_IN_ZIP64 = 0xFFFFFFFF  # a size or offset that is in that field
_STORED = 0  # compression method
_UNIX = 3  # system on which a member was made

# Flags of a member.
_ENCRYPTED = 1 << 0
_SIZES_BEHIND = 1 << 3
_UTF8 = 1 << 11


class _Entry(NamedTuple):
    """An entry of the directory."""

    name: bytes
    flags: int
    method: int
    stored: int  # bytes, as stored
    size: int  # bytes, unpacked
    header: int  # offset of the member's header in the file, bytes
    kind: str

    @property
    def end(self) -> int:
        """Return the offset after the member, if its header has no extra fields."""
        return min(self.header + _HEADER.size + len(self.name) + self.stored, _MAX_OFFSET)


def is_zip(path: Path) -> bool:
    """Return True if a file begins as a zip does."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(4) in MAGICS


def unzip_command(path: Path) -> str:
    """Return the command that unpacks a zip into a folder of its own, beside it."""
    folder = path.with_suffix("") if path.suffix.lower() == ".zip" else path.with_name(f"{path.name}-files")
    return f"unzip {shlex.quote(str(path))} -d {shlex.quote(str(folder))}"


def first_members(path: Path, n: int) -> list[tuple[Member, str]]:
    """Return the first n members that are no folders, each with its fault; fewer if the zip has fewer or is damaged.

    Raises:
        FormatError: The zip has no directory.
    """
    members: list[tuple[Member, str]] = []
    with path.open("rb", buffering=0) as file:
        fd = file.fileno()
        directory, n_entries = _directory(fd)
        with suppress(FormatError):
            files = (entry for entry in _entries(fd, directory, n_entries) if entry.kind != "dir")
            members.extend(_member(fd, entry, directory.start, 0)[:2] for entry in islice(files, n))
    return members


def walk(fd: int, *, ahead: int = 0) -> Iterator[tuple[Member, str, bytes]]:
    """Yield (member, its fault, up to `ahead` of its first bytes) of an open zip, in the order of its directory.

    The position of the descriptor is moved. A member that overlaps another, and a second member of the same name,
    have that as their fault.

    Raises:
        FormatError: The directory is damaged; after the members before the damage.
    """
    directory, n_entries = _directory(fd)
    faults = _faults_between(fd, directory, n_entries)
    for n, entry in enumerate(_entries(fd, directory, n_entries)):
        yield _member(fd, entry, directory.start, ahead, faults.get(n, ""))


def _directory(fd: int) -> tuple[range, int]:
    """Return the byte range of the list of members, and the number of its entries."""
    size = os.fstat(fd).st_size
    tail_start = max(0, size - _END.size - _MAX_TEXT_BYTES)
    tail = os.pread(fd, size - tail_start, tail_start)
    place = tail.rfind(b"PK\5\6")
    while place >= 0 and place + _END.size + int.from_bytes(tail[place + 20 : place + 22], "little") != len(tail):
        place = tail.rfind(b"PK\5\6", 0, place)
    if place < 0:
        raise _damaged("found no list of members at its end: it is cut short, or other bytes follow. Download it again")
    disk, first_disk, n_entries, length, start = _END.unpack_from(tail, place)
    end = tail_start + place
    locator = os.pread(fd, _LOCATOR.size, end - _LOCATOR.size) if end >= _LOCATOR.size else b""
    if locator.startswith(b"PK\6\7"):
        (end,) = _LOCATOR.unpack(locator)
        data = os.pread(fd, _END64.size, end) if end <= size else b""
        if len(data) < _END64.size or not data.startswith(b"PK\6\6"):
            raise _damaged(f"found no end of its list of members at byte {end}, where ZIP64's locator says it is")
        disk, first_disk, n_entries, length, start = _END64.unpack(data)
    if disk or first_disk:
        raise _damaged(f"found part {disk + 1:,} of a split zip. Join the parts with `zip -s 0`")
    if start + length != end:
        raise _damaged(f"found its list of members to end at byte {start + length}, expected {end:,}")
    return range(start, end), n_entries


def _entries(fd: int, directory: range, n_entries: int) -> Iterator[_Entry]:
    place, n = directory.start, 0
    with open(fd, "rb", _CHUNK_BYTES, closefd=False) as file:
        file.seek(place)
        while place < directory.stop:
            data = file.read(min(_ENTRY.size, directory.stop - place))
            if not data.startswith(b"PK\1\2") or len(data) < _ENTRY.size:
                raise _damaged(f"found {data[:4]!r} at byte {place}, expected an entry of its list of members")
            made_by, flags, method, stored, size, *lengths, attributes, header = _ENTRY.unpack(data)
            texts = file.read(sum(lengths))  # name, extra field and comment
            end = place + len(data) + len(texts)
            if len(texts) < sum(lengths) or end > directory.stop:
                raise _damaged(f"found the entry at byte {place} of its list of members cut short")
            name = texts[: lengths[0]]
            if _IN_ZIP64 in (size, stored, header):
                extra = texts[lengths[0] : lengths[0] + lengths[1]]
                size, stored, header = _in_zip64(extra, (size, stored, header), place)
            symlink = made_by >> 8 == _UNIX and stat.S_ISLNK(attributes >> 16)
            kind = "dir" if name.endswith(b"/") else "symlink" if symlink else "file"
            yield _Entry(name, flags, method, stored, size, header, kind)
            place, n = end, n + 1
    if n != n_entries:
        raise _damaged(f"found {count_of(n, 'member')} in its list, expected the {n_entries:,} that its end states")


def _in_zip64(extra: bytes, values: tuple[int, int, int], place: int) -> list[int]:
    """Return size, stored size and offset, replaced by those in the extra field of ZIP64 if they are there."""
    n_wide = values.count(_IN_ZIP64)
    start = 0
    while start + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, start)
        start += 4
        if kind == _ZIP64 and 8 * n_wide <= min(length, len(extra) - start):
            numbers = iter(struct.unpack_from(f"<{n_wide}Q", extra, start))
            return [next(numbers) if value == _IN_ZIP64 else value for value in values]
        start += length
    raise _damaged(f"found the entry at byte {place} of its list of members without the sizes of ZIP64 that it needs")


def _faults_between(fd: int, directory: range, n_entries: int) -> dict[int, str]:
    """Return faults that show only by comparison of members, by the member's number; 24 bytes a member are held."""
    import numpy as np

    rows = array("q")  # start, end and a digest of the name
    with suppress(FormatError):  # it is raised when the entries are read again
        for entry in _entries(fd, directory, n_entries):
            start = min(entry.header, _MAX_OFFSET)
            digest = hashlib.blake2b(entry.name, digest_size=8).digest()
            # A member that reaches beyond the members has a fault of its own.
            end = entry.end if entry.end <= directory.start else start
            rows.extend((start, end, int.from_bytes(digest, "little", signed=True)))
    starts, ends, names = np.array(rows, np.int64).reshape(-1, 3).T
    order = np.argsort(starts, kind="stable")
    ends_before = np.maximum.accumulate(ends[order])[:-1]
    within = order[1:][starts[order][1:] < ends_before]
    faults = dict.fromkeys(within.tolist(), "its bytes are within another member; expected members beside each other")
    first_of_names = np.unique(names, return_index=True)[1]
    repeated = np.delete(np.arange(len(names)), first_of_names)
    return faults | dict.fromkeys(repeated.tolist(), "a second member of this name; the first one is read")


def _member(fd: int, entry: _Entry, limit: int, ahead: int, fault: str = "") -> tuple[Member, str, bytes]:
    """Return a member, its fault by its entry or its own header, and its first bytes; the members end at `limit`."""
    name = _text(entry)
    fault = fault or _fault(entry, name, limit)
    start, head, n_ahead = 0, b"", min(ahead, entry.stored)
    if not fault and entry.kind != "dir":
        data = os.pread(fd, _HEADER.size + len(entry.name) + _EXTRA_BYTES + n_ahead, entry.header)
        fault, start = _compared(entry, data, limit)
        head = data[start : start + n_ahead]
        if not fault and len(head) < n_ahead:
            head = os.pread(fd, n_ahead, entry.header + start)
    return Member(name, entry.header + start, entry.stored, entry.kind), fault, head


def _compared(entry: _Entry, data: bytes, limit: int) -> tuple[str, int]:
    """Return (the fault of a member by its own header, the number of bytes before its payload)."""
    if len(data) < _HEADER.size or not data.startswith(MAGICS[0]):
        return f"found {data[:4]!r} at byte {entry.header}, expected its header", 0
    flags, method, stored, size, name_length, extra_length = _HEADER.unpack_from(data)
    start = _HEADER.size + name_length + extra_length
    known = not flags & _SIZES_BEHIND and _IN_ZIP64 not in (stored, size)
    fault = ""
    if data[_HEADER.size : _HEADER.size + name_length] != entry.name:
        fault = f"its header, at byte {entry.header}, has another name than the zip's list of members"
    elif (method, flags & _ENCRYPTED) != (entry.method, 0) or (known and (stored, size) != (entry.stored, entry.size)):
        fault = f"its header, at byte {entry.header}, has another size or method than the zip's list of members"
    elif entry.header + start + entry.stored > limit:
        fault = f"its {entry.stored:,} bytes reach into the zip's list of members"
    return fault, start


def _fault(entry: _Entry, name: str, limit: int) -> str:
    """Return the reason why a member cannot be used by its entry alone, or ""."""
    if entry.kind == "dir":
        return ""
    if entry.flags & _ENCRYPTED:
        return "it is encrypted"
    if entry.method != _STORED:
        return f"it is compressed (method {entry.method}), not stored; unpack the zip with unzip"
    if entry.stored != entry.size:
        return f"it is stored in {count_of(entry.stored, 'byte')}, and has {entry.size:,}"
    if entry.end > limit:
        return f"its {entry.stored:,} bytes at byte {entry.header} reach beyond the members"
    if name.startswith("/") or ".." in name.split("/") or "\0" in name:
        return "its name leads out of the folder that the zip is unpacked in"
    return ""


def _text(entry: _Entry) -> str:
    """Return a member's name: UTF-8, or else code page 437, as the format defines."""
    if entry.flags & _UTF8:
        return entry.name.decode(errors="backslashreplace")
    try:
        return entry.name.decode()
    except UnicodeDecodeError:
        return entry.name.decode("cp437")


def _damaged(message: str) -> FormatError:
    return FormatError(f"{message}.", code="zip_damaged")
