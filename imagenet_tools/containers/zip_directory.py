r"""Zips read by their directory, the list of members at the end, each compared with its own header, nothing unpacked.

    PK\3\4 header of a member (30 bytes, name, extra), its bytes, the next member ...
    PK\1\2 entry of the directory (46 bytes, name, extra, comment), the next entry ...
    PK\6\6 end of a ZIP64 directory (56 bytes), PK\6\7 its offset (20 bytes); only in large zips
    PK\5\6 end of the directory (22 bytes, comment): the last bytes of the file

An image is addressed by byte, so its member must be stored, not compressed. Python's zipfile reads the whole directory
first, some 0.5 kB a member; this module holds 24 bytes a member. FormatError has the code zip_damaged, and is raised
after the members before the damage. A member that cannot be used is yielded with its fault.
"""

from __future__ import annotations

import hashlib
import os
import stat
import struct
from array import array
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from imagenet_tools.errors import FormatError

# The first bytes of a zip: a member, the end of an empty zip, the mark of a split zip.
MAGICS = (b"PK\3\4", b"PK\5\6", b"PK\7\x08")

_HEADER = struct.Struct("<4s5H3I2H")
_ENTRY = struct.Struct("<4s6H3I5H2I")
_END = struct.Struct("<4s4H2IH")
_LOCATOR = struct.Struct("<4sIQI")
_END64 = struct.Struct("<4sQ2H2I4Q")

_MAX_TEXT_BYTES = 0xFFFF  # a name, an extra field or a comment
_MAX_ENTRY_BYTES = _ENTRY.size + 3 * _MAX_TEXT_BYTES
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


class ZipMember(NamedTuple):
    """A member of a zip: `size` bytes that begin at byte `offset` of the file.

    `kind` is file, dir or symlink. `fault` is the reason why the bytes cannot be used, or "" if they can, and the
    member's own header agrees with the directory.
    """

    name: str
    offset: int
    size: int
    kind: str
    fault: str = ""


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


class _Directory(NamedTuple):
    """The byte range of the list of members in the file."""

    start: int
    end: int
    entries: int


def is_zip(path: Path) -> bool:
    """Return True if a file begins as a zip does."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(4) in MAGICS


def first_members(path: Path, n: int) -> list[ZipMember]:
    """Return the first n members that are no folders; fewer if the zip has fewer or is damaged after them.

    Raises:
        FormatError: The zip has no directory.
    """
    members: list[ZipMember] = []
    with path.open("rb", buffering=0) as file:
        fd = file.fileno()
        directory = _directory(fd)
        with suppress(FormatError):
            files = (entry for entry in _entries(fd, directory) if entry.kind != "dir")
            members.extend(_member(fd, entry, directory, 0)[0] for entry in islice(files, n))
    return members


def walk(fd: int, *, ahead: int = 0) -> Iterator[tuple[ZipMember, bytes]]:
    """Yield the members of an open zip in the order of its directory, each with up to `ahead` of its first bytes.

    A member that overlaps another, and a second member of the same name, have that as their fault.

    Raises:
        FormatError: The directory is damaged; after the members before the damage.
    """
    directory = _directory(fd)
    faults = _faults_between(fd, directory)
    for n, entry in enumerate(_entries(fd, directory)):
        if n in faults:
            yield ZipMember(_text(entry), entry.header, entry.stored, entry.kind, faults[n]), b""
        else:
            yield _member(fd, entry, directory, ahead)


def _directory(fd: int) -> _Directory:
    size = os.fstat(fd).st_size
    tail_start = max(0, size - _END.size - _MAX_TEXT_BYTES)
    tail = os.pread(fd, size - tail_start, tail_start)
    place = tail.rfind(b"PK\5\6")
    while place >= 0 and place + _END.size + int.from_bytes(tail[place + 20 : place + 22], "little") != len(tail):
        place = tail.rfind(b"PK\5\6", 0, place)
    if place < 0:
        raise _damaged("found no list of members at its end: it is cut short, or other bytes follow. Download it again")
    _, disk, first_disk, _, entries, length, start, _ = _END.unpack_from(tail, place)
    end = tail_start + place
    locator = os.pread(fd, _LOCATOR.size, end - _LOCATOR.size) if end >= _LOCATOR.size else b""
    if locator.startswith(b"PK\6\7"):
        _, _, end, _ = _LOCATOR.unpack(locator)
        data = os.pread(fd, _END64.size, end) if end <= size else b""
        if len(data) < _END64.size or not data.startswith(b"PK\6\6"):
            raise _damaged(f"found no end of its list of members at byte {end:,}, where ZIP64's locator says it is")
        _, _, _, _, disk, first_disk, _, entries, length, start = _END64.unpack(data)
    if disk or first_disk:
        raise _damaged(f"found part {disk + 1:,} of a split zip. Join the parts with `zip -s 0`")
    if start + length != end:
        raise _damaged(f"found its list of members to end at byte {start + length:,}, expected {end:,}")
    return _Directory(start, end, entries)


def _entries(fd: int, directory: _Directory) -> Iterator[_Entry]:
    data, used, place, n = b"", 0, directory.start, 0
    while place < directory.end or used < len(data):
        if len(data) - used < _MAX_ENTRY_BYTES and place < directory.end:
            more = os.pread(fd, min(_CHUNK_BYTES, directory.end - place), place)
            data, used, place = data[used:] + more, 0, place + len(more)
            if not more:
                raise _damaged("found its list of members cut short while it was read")
        at = place - len(data) + used
        if not data.startswith(b"PK\1\2", used) or len(data) - used < _ENTRY.size:
            raise _damaged(f"found {data[used : used + 4]!r} at byte {at:,}, expected an entry of its list of members")
        _, made_by, _, flags, method, _, _, _, stored, size, *texts, _, _, attributes, header = _ENTRY.unpack_from(
            data, used
        )
        start = used + _ENTRY.size
        used = start + sum(texts)
        if used > len(data):
            raise _damaged(f"found the entry at byte {at:,} of its list of members cut short")
        name = data[start : start + texts[0]]
        if _IN_ZIP64 in (size, stored, header):
            extra = data[start + texts[0] : start + texts[0] + texts[1]]
            size, stored, header = _in_zip64(extra, (size, stored, header), at)
        symlink = made_by >> 8 == _UNIX and stat.S_ISLNK(attributes >> 16)
        kind = "dir" if name.endswith(b"/") else "symlink" if symlink else "file"
        yield _Entry(name, flags, method, stored, size, header, kind)
        n += 1
    if n != directory.entries:
        raise _damaged(f"found {n:,} members in its list, expected the {directory.entries:,} that its end states")


def _in_zip64(extra: bytes, values: tuple[int, int, int], at: int) -> list[int]:
    """Return size, stored size and offset, replaced by those in the extra field of ZIP64 if they are there."""
    place = 0
    while place + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, place)
        if kind == _ZIP64:
            wide = extra[place + 4 : place + 4 + length]
            needed = sum(value == _IN_ZIP64 for value in values)
            if len(wide) >= 8 * needed:
                numbers = iter(struct.unpack_from(f"<{needed}Q", wide))
                return [next(numbers) if value == _IN_ZIP64 else value for value in values]
        place += 4 + length
    raise _damaged(f"found the entry at byte {at:,} of its list of members without the sizes of ZIP64 that it needs")


def _faults_between(fd: int, directory: _Directory) -> dict[int, str]:
    """Return faults that show only by comparison of members, by the member's number; 24 bytes a member are held."""
    import numpy as np

    starts, ends, names = array("q"), array("q"), array("q")
    with suppress(FormatError):  # it is raised when the entries are read again
        for entry in _entries(fd, directory):
            starts.append(min(entry.header, _MAX_OFFSET))
            ends.append(entry.end if entry.end <= directory.start else starts[-1])  # a fault of its own
            digest = hashlib.blake2b(entry.name, digest_size=8).digest()
            names.append(int.from_bytes(digest, "little", signed=True))
    if not starts:
        return {}
    order = np.argsort(np.array(starts), kind="stable")
    behind = np.maximum.accumulate(np.array(ends)[order])[:-1]
    within = order[1:][np.array(starts)[order][1:] < behind]
    faults = dict.fromkeys(within.tolist(), "its bytes lie within another member; expected members beside each other")
    alike = np.argsort(np.array(names), kind="stable")
    sorted_names = np.array(names)[alike]
    again = alike[1:][sorted_names[1:] == sorted_names[:-1]]
    return faults | dict.fromkeys(again.tolist(), "a second member of this name; the first one is read")


def _member(fd: int, entry: _Entry, directory: _Directory, ahead: int) -> tuple[ZipMember, bytes]:
    """Return a member, compared with its own header, and its first bytes."""
    name = _text(entry)
    fault = _fault(entry, name, directory)
    if fault or entry.kind == "dir":
        return ZipMember(name, entry.header, entry.stored, entry.kind, fault), b""
    expected = _HEADER.size + len(entry.name) + _EXTRA_BYTES + min(ahead, entry.stored)
    data = os.pread(fd, expected, entry.header)
    if len(data) < _HEADER.size or not data.startswith(MAGICS[0]):
        fault = f"found {data[:4]!r} at byte {entry.header:,}, expected its header"
        return ZipMember(name, entry.header, entry.stored, entry.kind, fault), b""
    _, _, flags, method, _, _, _, stored, size, name_length, extra_length = _HEADER.unpack_from(data)
    start = _HEADER.size + name_length + extra_length
    known = not flags & _SIZES_BEHIND and _IN_ZIP64 not in (stored, size)
    if data[_HEADER.size : _HEADER.size + name_length] != entry.name:
        fault = f"its header, at byte {entry.header:,}, has another name than the zip's list of members"
    elif (method, flags & _ENCRYPTED) != (entry.method, 0) or (known and (stored, size) != (entry.stored, entry.size)):
        fault = f"its header, at byte {entry.header:,}, has another size or method than the zip's list of members"
    elif entry.header + start + entry.stored > directory.start:
        fault = f"its {entry.stored:,} bytes reach into the zip's list of members"
    offset = entry.header + start
    head = data[start : start + min(ahead, entry.stored)]
    if not fault and len(head) < min(ahead, entry.stored):
        head = os.pread(fd, min(ahead, entry.stored), offset)
    return ZipMember(name, offset, entry.stored, entry.kind, fault), head


def _fault(entry: _Entry, name: str, directory: _Directory) -> str:
    """Return the reason why a member cannot be used by its entry alone, or ""."""
    if entry.kind == "dir":
        return ""
    if entry.flags & _ENCRYPTED:
        return "it is encrypted"
    if entry.method != _STORED:
        return f"it is compressed (method {entry.method}), not stored; unpack the zip with unzip"
    if entry.stored != entry.size:
        return f"it is stored in {entry.stored:,} bytes, and has {entry.size:,}"
    if entry.end > directory.start:
        return f"its {entry.stored:,} bytes at byte {entry.header:,} reach beyond the members"
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
