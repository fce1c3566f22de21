"""A fast reader of the plain members of a tar: a batch of headers is checked at once, with NumPy, in one buffer.

A header is plain if it describes its member alone, in the spelling of today's writers: a file, a folder or a symbolic
link, the checksum as six octal digits, the size as eleven. A batch ends before any other header and before a fault.
`tar.walk_ahead` continues there: it knows every spelling, and reports what is wrong.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from imagenet_tools import system
from imagenet_tools.containers.tar import Member, member_of
from imagenet_tools.containers.tar_header import BLOCK, KINDS, WITHOUT_PAYLOAD
from imagenet_tools.storage.blob import CAPACITY

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from imagenet_tools.storage.blob import ReadBuffer

MOST = 1024  # members in a batch: enough to make the fixed cost of a batch small

# If the first members of a batch are no larger than the bytes read of each, the rest is read in large pieces.
_SMALL_MEMBERS = 8
_PIECE_BYTES = 128 << 10

_FILE = ord("0")
_FILES = [kind for kind, word in KINDS.items() if word == "file"]
_PLAIN_KINDS = frozenset(b"\x00234567")  # not hard links, whose bytes are those of another member
_EVEN_BYTES = 0x00FF00FF00FF00FF


class Heads(NamedTuple):
    """Consecutive members of a tar, one row each.

    Attributes:
        at: The place of the header in the buffer.
        offset: The offset of the payload in the tar's file, bytes.
        size: The size of the payload, bytes.
        held: The number of bytes of the payload in the buffer, after the header.
        kind: The type in the header.
        after: The offset of the header after the last member, bytes.
    """

    at: NDArray[np.int64]
    offset: NDArray[np.int64]
    size: NDArray[np.int64]
    held: NDArray[np.int64]
    kind: NDArray[np.uint8]
    after: int


def read_heads(fd: int, place: int, end: int, ahead: int, buffer: ReadBuffer) -> Heads | None:
    """Read the plain members from an offset on, at most MOST; return None if the first is not plain.

    Args:
        fd: A descriptor of the tar.
        place: The offset of a header, bytes.
        end: The offset at which the tar ends, bytes.
        ahead: The number of bytes of each payload to read.
        buffer: The buffer for the headers and the payloads' first bytes.
    """
    raw, view, preadv = buffer.raw, buffer.view, system.preadv
    start, window = place, BLOCK + ahead
    sizes: list[int] = []
    # Three numbers a read: members before it, its file offset minus its place in the buffer, its end in the buffer.
    reads: list[int] = []
    shift, filled, whole = place, 0, -1  # `whole`: the last place in the buffer that a complete window follows
    while (n := len(sizes)) < MOST and place + BLOCK <= end:
        at = place - shift
        if at > whole:
            take = _PIECE_BYTES if n >= _SMALL_MEMBERS and place - start <= window * n else window
            take = min(take, end - place)
            at = filled + BLOCK - 1 & -BLOCK
            if at + take > CAPACITY:
                break
            filled = at + preadv(fd, (view[at : at + take],), place)
            shift = place - at
            whole = filled - (BLOCK if filled + shift >= end else window)
            reads += (n, shift, filled)
            if filled < at + BLOCK:
                break
        try:
            size = int(raw[at + 124 : at + 135], 8)
        except ValueError:
            break
        if raw[at + 156] != _FILE:
            if raw[at + 156] not in _PLAIN_KINDS:
                break
            size = 0 if raw[at + 156] in WITHOUT_PAYLOAD else size
        place += BLOCK
        if not 0 <= size <= end - place:
            break
        sizes.append(size)
        place += size + BLOCK - 1 & -BLOCK
    return _checked(buffer, start, ahead, sizes, reads)


def _checked(buffer: ReadBuffer, start: int, ahead: int, sizes: list[int], reads: list[int]) -> Heads | None:
    """Return the members read from offset `start` on, up to the first header that is wrong or not plain."""
    import numpy as np

    if not sizes:
        return None
    size = np.array(sizes, np.int64)
    offset = start + BLOCK + (BLOCK + (size + BLOCK - 1 & -BLOCK)).cumsum()
    after, offset[1:], offset[0] = int(offset[-1]) - BLOCK, offset[:-1].copy(), start + BLOCK
    before, shift, filled = np.array(reads, np.int64).reshape(-1, 3).T
    held = np.diff(before, append=len(sizes))
    at = offset - BLOCK - shift.repeat(held)
    plain = _are_plain(buffer, at)
    n = len(plain) if plain.all() else int(plain.argmin())
    if n == 0:
        return None
    available = filled.repeat(held) - at - BLOCK
    return Heads(
        at[:n],
        offset[:n],
        size[:n],
        np.minimum(np.minimum(size, ahead), available)[:n],
        buffer.bytes[at[:n] + 156],
        after if n == len(plain) else int(offset[n]) - BLOCK,
    )


def _are_plain(buffer: ReadBuffer, at: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which headers are plain and have the right checksum."""
    import numpy as np

    # 16 bits hold the sum of 128 bytes, so 128 bytes are added up in each of the four parts of a 64-bit word. The
    # arrays as large as the headers are reused: allocating them would cost more than the arithmetic.
    words, odd = buffer.scratch(len(at), BLOCK // 8), buffer.scratch(len(at), BLOCK // 8, 1)
    buffer.bytes[:CAPACITY].view(np.uint64).reshape(-1, BLOCK // 8).take(at // BLOCK, axis=0, out=words, mode="clip")
    headers = words.view(np.uint8)
    np.right_shift(words, 8, out=odd)
    np.bitwise_and(odd, _EVEN_BYTES, out=odd)
    parts = odd.sum(axis=1) + np.bitwise_and(words, _EVEN_BYTES, out=odd).sum(axis=1)
    total = (parts & 0xFFFF) + (parts >> 16 & 0xFFFF) + (parts >> 32 & 0xFFFF) + (parts >> 48)
    field = headers[:, 148:156]
    total = total.astype(np.int64) - field.sum(axis=1, dtype=np.int64) + 8 * 0x20
    digits = field[:, :6] - np.uint8(0x30)
    stated = digits @ (8 ** np.arange(5, -1, -1))
    size = headers[:, 124:135] - np.uint8(0x30)
    return (  # type: ignore[no-any-return]
        (stated == total)
        & (digits < 8).all(axis=1)
        & (field[:, 6] == 0)
        & (field[:, 7] == 0x20)
        & (size < 8).all(axis=1)
        & ((headers[:, 135] & 0xDF) == 0)
        & (headers[:, 345] == 0)  # no first part of a long name
    )


def are_files(heads: Heads) -> NDArray[np.bool_]:
    """Return which members have the type of a file; one whose name ends in a slash is a folder all the same."""
    import numpy as np

    files = np.zeros(256, np.bool_)
    files[_FILES] = True
    return files[heads.kind]


def names(heads: Heads, buffer: ReadBuffer, n: int) -> NDArray[np.uint8]:
    """Return the first n bytes of each name; a 0 ends it, and any bytes may follow the 0."""
    import numpy as np

    first_bytes: NDArray[np.uint8] = buffer.bytes[heads.at[:, None] + np.arange(n)]
    return first_bytes


def member(heads: Heads, n: int, buffer: ReadBuffer) -> Member:
    """Return the nth member."""
    at = int(heads.at[n])
    name = bytes(buffer.raw[at : at + 100]).partition(b"\0")[0]
    return member_of(name, int(heads.offset[n]), int(heads.size[n]), int(heads.kind[n]))
