"""Headers of tar members: a guarded parser for every spelling, and a writer whose bytes never differ between runs.

    0       100   108   116   124    136    148        156    157    257     265 ... 345     500  512
    | name  | mode| uid | gid | size | mtime| checksum | type | link | magic | ...   | prefix |    |

Numbers are octal text, or, if the highest bit of the field is set, big-endian (GNU). The checksum is the sum of the
512 bytes, with its own field counted as spaces. A header of type L or K (GNU) has the next member's long name or link
target as its payload. A header of type x or g (pax) has records `length key=value`, of which path, linkpath and size
are used. The writer makes USTAR headers.
"""

from __future__ import annotations

import re
import zlib
from typing import NamedTuple

from imagenet_tools.errors import FormatError

BLOCK = 512
EXTRA_LIMIT = 1 << 20  # bytes; a longer name, set of pax records or sparse map is an attack
LONGEST_NAME = 100  # bytes that the writer accepts; a longer name would have to be split at a '/'
END = bytes(2 * BLOCK)

# Types whose payload describes the members after them: GNU's L and K, pax's x and g, Solaris' X.
EXTRAS = frozenset(b"LKxgX")
SPARSE = ord("S")
LINK = ord("1")
# Links, devices, folders and pipes have no payload, whatever size their header states.
WITHOUT_PAYLOAD = frozenset(b"123456")
KINDS = (
    dict.fromkeys(b"\x0007", "file")
    | dict.fromkeys(b"34", "device")
    | {LINK: "link", ord("2"): "symlink", ord("5"): "dir", ord("6"): "fifo", SPARSE: "sparse"}
)

_OCTAL = re.compile(rb"[ \0]*([0-7]*)(?:[ \0].*)?", re.DOTALL).fullmatch
_RECORD_LENGTH = re.compile(rb"([1-9]\d{0,6}) ").match
_PAX_SIZE = re.compile(rb"\d{1,20}").fullmatch

# The parts of a written header that are the same in all.
_BEFORE_SIZE = b"0000644\0" + b"0000000\0" * 2
_MTIME = b"00000000000\0"
_AFTER_CHECKSUM = b"0" + bytes(100) + b"ustar\00000" + bytes(247)
_CONSTANT_SUM = sum(_BEFORE_SIZE + _MTIME + b" " * 8 + _AFTER_CHECKSUM)


class Extra(NamedTuple):
    """The values that headers before a member's own state for it."""

    name: bytes = b""
    size: int | None = None  # bytes
    sparse: bool = False
    target: bytes = b""  # of a link


def parse(block: bytes, place: int, label: str) -> tuple[bytes, int, int]:
    """Parse a header of 512 bytes.

    Args:
        block: The header.
        place: Its offset in the archive in bytes, for errors.
        label: The name of the archive in errors.

    Returns:
        (name, size in bytes, type).

    Raises:
        FormatError: tar_damaged: the checksum is wrong, or the size is negative or no number.
    """
    field = block[148:156]
    # Adler-32 adds up bytes far faster than sum(). Its lower half is 1 + the sum modulo 65,521, exact for 256 bytes.
    total = (zlib.adler32(block[:256]) & 0xFFFF) + (zlib.adler32(block[256:]) & 0xFFFF) - 2
    total += 8 * 0x20 + 1 - (zlib.adler32(field) & 0xFFFF)
    if field != b"%06o\0 " % total and not _checksum_agrees(block, total):
        found = f"{block[:32]!r}, whose checksum reads {field!r} where the bytes give {total:o} (octal)"
        raise damaged(label, place, found, "a tar header")
    digits = block[124:135]
    try:
        # int() alone would also accept signs, spaces and underscores.
        size = int(digits, 8) if digits.isdigit() and block[135] in b"\0 " else _odd_size(block, place, label)
    except ValueError:
        raise damaged(label, place, f"a size that reads {block[124:136]!r}", "octal digits") from None
    name = block[:100].partition(b"\0")[0]
    if block[345] and block[257:263] == b"ustar\0":
        name = block[345:500].partition(b"\0")[0] + b"/" + name
    return name, size, block[156]


def is_header(head: bytes) -> bool:
    """Return True if the first 512 bytes are a tar header."""
    if len(head) < BLOCK or not head[0]:
        return False
    try:
        parse(head[:BLOCK], 0, "")
    except FormatError:
        return False
    return True


def _checksum_agrees(block: bytes, total: int) -> bool:
    """Return True if the checksum is right in any octal spelling, or as the sum of signed bytes of old writers."""
    octal = _OCTAL(block[148:156])
    if octal is None or not octal[1]:
        return False
    signed_total = total - 256 * sum(byte >= 0x80 for byte in block[:148] + block[156:])
    return int(octal[1], 8) in (total, signed_total)


def _odd_size(block: bytes, place: int, label: str) -> int:
    """Return the size in another spelling than eleven octal digits; raise ValueError if it is none."""
    field = block[124:136]
    if field[0] < 0x80:
        octal = _OCTAL(field)
        return int(octal[1] or b"0", 8) if octal else int(field, 8)
    value = int.from_bytes(field, "big") & ((1 << 95) - 1)
    if field[0] & 0x40:
        raise damaged(label, place, f"a size of {value - (1 << 95):,} bytes", "a size of 0 or more")
    return value


def apply_extra(
    kind: int, data: bytes, extra: Extra | None, common: Extra | None, place: int, label: str
) -> tuple[Extra | None, Extra | None]:
    """Apply the payload of a header whose type is in EXTRAS.

    Args:
        kind: The type.
        data: The payload.
        extra: The values for the next member so far.
        common: The values for all following members so far.
        place: The offset of the payload in bytes, for errors.
        label: The name of the archive in errors.

    Returns:
        The new `extra` and `common`.

    Raises:
        FormatError: tar_damaged: the payload should be pax records and is not.
    """
    if kind == ord("g"):
        return extra, _pax(data, common or Extra(), place, label)
    extra = extra or common or Extra()
    if kind == ord("L"):
        return extra._replace(name=data.partition(b"\0")[0]), common
    if kind == ord("K"):
        return extra._replace(target=data.partition(b"\0")[0]), common
    return _pax(data, extra, place, label), common


def _pax(data: bytes, before: Extra, place: int, label: str) -> Extra:
    """Return the values of pax records, on top of the values before."""
    start = 0
    name, size, sparse, target = before
    while data[start : start + 1].strip(b"\0"):  # some writers pad with zeros
        length = _RECORD_LENGTH(data, start)
        end = start + int(length[1]) if length else 0
        if length is None or not length.end() < end <= len(data) or data[end - 1] != 0x0A:
            raise damaged(label, place + start, f"{data[start : start + 32]!r}", "a pax record `length key=value`")
        key, _, value = data[length.end() : end - 1].partition(b"=")
        if key == b"GNU.sparse.name" or (key == b"path" and not sparse):
            name = value  # the path of a sparse member is invented by its writer
        elif key == b"size":
            if not _PAX_SIZE(value):
                raise damaged(label, place + start, f"a pax size of {value[:32]!r}", "digits")
            size = int(value)
        elif key == b"linkpath":
            target = value
        sparse = sparse or key.startswith(b"GNU.sparse.")
        start = end
    return Extra(name, size, sparse, target)


def truncated(label: str, place: int, found: str, expected: str, member: str = "") -> FormatError:
    """Return the error for an archive that is cut short."""
    message = (
        f"{label}: found {found} at byte {place}, expected {expected}: the archive is cut short. Fetch or copy it "
        "again; the members before that are complete."
    )
    return FormatError(message, code="tar_truncated", member=member)


def damaged(label: str, place: int, found: str, expected: str) -> FormatError:
    """Return the error for an archive with wrong bytes."""
    message = (
        f"{label}: found {found} at byte {place}, expected {expected}: the archive is damaged there. Fetch or copy "
        "it again; the members before that are complete, the rest was not read."
    )
    return FormatError(message, code="tar_damaged")


def header(name: bytes, size: int) -> bytes:
    """Return the header of a file.

    Args:
        name: 1 to 100 bytes.
        size: 0 to 8 GiB - 1, bytes.

    Raises:
        ValueError: The name or the size is out of range.
    """
    if not 0 < len(name) <= LONGEST_NAME or not 0 <= size < 1 << 33:
        message = f"a member {name!r} of {size:,} bytes; expected a name of 1 to {LONGEST_NAME} bytes, and below 8 GiB"
        raise ValueError(message)
    size_field = b"%011o\0" % size
    checksum = b"%06o\0 " % (_CONSTANT_SUM + sum(name) + sum(size_field))
    return b"".join((name.ljust(LONGEST_NAME, b"\0"), _BEFORE_SIZE, size_field, _MTIME, checksum, _AFTER_CHECKSUM))


def padding(size: int) -> bytes:
    """Return the zeros that fill up a payload of this size to a whole block."""
    return bytes(-size % BLOCK)
