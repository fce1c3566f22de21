"""The headers of a tar: one guarded parser for a member's block, and for the long names and pax records before it.

    0       100   108   116   124    136    148        156    157    257     265 ... 345     500  512
    | name  | mode| uid | gid | size | mtime| checksum | type | link | magic | ...   | prefix |    |

Numbers are octal text, or, where the highest bit of the field is set, big-endian (GNU). The checksum is the sum of
the 512 bytes, its own field counted as spaces. A header of type L or K (GNU) has the next member's long name or link
target as its payload; one of type x or g (pax) has records `length key=value`, of which path and size are heeded.
"""

from __future__ import annotations

import re
import zlib
from typing import NamedTuple

from imagenet_tools.errors import FormatError

BLOCK = 512
# More than this for a long name, a set of pax records or a sparse map is an attack, not a name.
EXTRA_LIMIT = 1 << 20

# The types whose payload tells of the members after them: GNU's L and K, pax's x and g, Solaris' X.
EXTRAS = frozenset(b"LKxgX")
SPARSE, LINK = ord("S"), ord("1")
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


class Extra(NamedTuple):
    """What headers before a member's own say of it: its name, its size in bytes, whether it is sparse, its target."""

    name: bytes = b""
    size: int | None = None
    sparse: bool = False
    target: bytes = b""  # of a link


def parse(block: bytes, place: int, label: str) -> tuple[bytes, int, int]:
    """(name, size in bytes, type) of the header in 512 bytes that lie at byte `place` of the archive `label`.

    Raises FormatError where the checksum does not agree, or the size is negative or no number.
    """
    field = block[148:156]
    # Adler-32 adds bytes up far faster than sum(): its lower half is 1 + their sum, exact below 65,521, so by halves.
    total = (zlib.adler32(block[:256]) & 0xFFFF) + (zlib.adler32(block[256:]) & 0xFFFF) - 2
    total += 8 * 0x20 + 1 - (zlib.adler32(field) & 0xFFFF)
    if field != b"%06o\0 " % total and not _agrees(block, total):
        found = f"{block[:32]!r}, whose checksum reads {field!r} where the bytes give {total:o} (octal)"
        raise damaged(label, place, found, "a tar header")
    digits = block[124:135]
    try:
        # int() alone would also take signs, spaces and underscores.
        size = int(digits, 8) if digits.isdigit() and block[135] in b"\0 " else _number(block, place, label)
    except ValueError:
        raise damaged(label, place, f"a size that reads {block[124:136]!r}", "octal digits") from None
    name = block[:100].partition(b"\0")[0]
    if block[345] and block[257:263] == b"ustar\0":
        name = block[345:500].partition(b"\0")[0] + b"/" + name
    return name, size, block[156]


def is_header(head: bytes) -> bool:
    """Whether bytes begin with a tar header: the first 512 decide."""
    if len(head) < BLOCK or not head[0]:
        return False
    try:
        parse(head[:BLOCK], 0, "")
    except FormatError:
        return False
    return True


def _agrees(block: bytes, total: int) -> bool:
    """Whether the checksum is right in any octal spelling, or is the sum of signed bytes that old writers made."""
    found = _OCTAL(block[148:156])
    if found is None or not found[1]:
        return False
    signed = total - 256 * sum(byte >= 0x80 for byte in block[:148] + block[156:])
    return int(found[1], 8) in (total, signed)


def _number(block: bytes, place: int, label: str) -> int:
    field = block[124:136]
    if field[0] < 0x80:
        found = _OCTAL(field)
        return int(found[1] or b"0", 8) if found else int(field, 8)
    value = int.from_bytes(field, "big") & ((1 << 95) - 1)
    if field[0] & 0x40:
        raise damaged(label, place, f"a size of {value - (1 << 95):,} bytes", "a size of 0 or more")
    return value


def heed(
    kind: int, data: bytes, own: Extra | None, common: Extra | None, place: int, label: str
) -> tuple[Extra | None, Extra | None]:
    """What is known of the next member, and of all that are to come, after one more payload of a type in EXTRAS.

    `data` lies at byte `place`. Raises FormatError where it is no set of pax records and should be one.
    """
    if kind == ord("g"):
        return own, _pax(data, common or Extra(), place, label)
    own = own or common or Extra()
    if kind == ord("L"):
        return own._replace(name=data.partition(b"\0")[0]), common
    if kind == ord("K"):
        return own._replace(target=data.partition(b"\0")[0]), common
    return _pax(data, own, place, label), common


def _pax(data: bytes, said: Extra, place: int, label: str) -> Extra:
    """What pax records say, on top of what was `said` before."""
    at = 0
    name, size, sparse, target = said
    while data[at : at + 1].strip(b"\0"):  # some writers fill up with zeros
        found = _RECORD_LENGTH(data, at)
        end = at + int(found[1]) if found else 0
        if found is None or not found.end() < end <= len(data) or data[end - 1] != 0x0A:
            raise damaged(label, place + at, f"{data[at : at + 32]!r}", "a pax record `length key=value`")
        key, _, value = data[found.end() : end - 1].partition(b"=")
        if key == b"GNU.sparse.name" or (key == b"path" and not sparse):
            name = value  # the path of a sparse member is one that its writer made up
        elif key == b"size":
            if not _PAX_SIZE(value):
                raise damaged(label, place + at, f"a pax size of {value[:32]!r}", "digits")
            size = int(value)
        elif key == b"linkpath":
            target = value
        sparse = sparse or key.startswith(b"GNU.sparse.")
        at = end
    return Extra(name, size, sparse, target)


def truncated(label: str, place: int, found: str, expected: str, member: str = "") -> FormatError:
    """The error of an archive that is cut short."""
    message = (
        f"{label}: found {found} at byte {place:,}, expected {expected}: the archive is cut short. Fetch or copy it "
        "again; what lies before is sound."
    )
    return FormatError(message, code="tar_truncated", member=member)


def damaged(label: str, place: int, found: str, expected: str) -> FormatError:
    """The error of an archive with wrong bytes in it."""
    message = (
        f"{label}: found {found} at byte {place:,}, expected {expected}: the archive is damaged there. Fetch or copy "
        "it again; what lies before is sound, what lies behind was not read."
    )
    return FormatError(message, code="tar_damaged")


# ---- Headers of tar members as they are written: USTAR, with nothing in them that differs from one run to the next.


LONGEST_NAME = 100  # bytes; what is longer would have to be cut at a '/'
END = bytes(2 * BLOCK)

_BEFORE_SIZE = b"0000644\0" + b"0000000\0" * 2
_AFTER_CHECKSUM = b"0" + bytes(100) + b"ustar\00000" + bytes(247)
_MTIME = b"00000000000\0"
# The sum of what is the same in all; the field of the checksum counts as spaces.
_SAME = sum(_BEFORE_SIZE + _MTIME + b" " * 8 + _AFTER_CHECKSUM)
_PADS = tuple(bytes(n) for n in range(BLOCK))


def header(name: bytes, size: int) -> bytes:
    """The header of a file; its name of 1 to 100 bytes, its size of 0 to 8 GiB less a byte. ValueError: it is not."""
    if not 0 < len(name) <= LONGEST_NAME or not 0 <= size < 1 << 33:
        message = f"a member {name!r} of {size:,} bytes; expected a name of 1 to {LONGEST_NAME} bytes, and below 8 GiB"
        raise ValueError(message)
    sizes = b"%011o\0" % size
    checksum = b"%06o\0 " % (_SAME + sum(name) + sum(sizes))
    return b"".join((name.ljust(LONGEST_NAME, b"\0"), _BEFORE_SIZE, sizes, _MTIME, checksum, _AFTER_CHECKSUM))


def padding(size: int) -> bytes:
    """The zeros behind so many bytes of a member."""
    return _PADS[-size % BLOCK]
