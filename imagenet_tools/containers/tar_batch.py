"""The plain members of a tar, many at a time: their headers checked all at once, their first bytes in one buffer.

A header is plain if it says all of its member by itself, in the spelling that writers use today: a file, a folder,
a symbolic link; the checksum as six octal digits, the size as eleven. Where something else lies, or a fault, a batch
ends before it, and `tar.walk_ahead` goes on from there: it knows every spelling, and says what is wrong.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from imagenet_tools import system
from imagenet_tools.containers.tar import Member, member_of
from imagenet_tools.containers.tar_header import BLOCK, KINDS, WITHOUT_PAYLOAD
from imagenet_tools.storage.blob import CAPACITY

_FILES = [kind for kind, word in KINDS.items() if word == "file"]

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from imagenet_tools.storage.blob import ReadBuffer

# Members of a batch: what is done for a batch as a whole costs little for each of so many.
MOST = 1024
# Where members are no larger than what is read of each, they are read in pieces of this many bytes.
_PIECE = 128 << 10
# How many members must be that small, from the beginning of a batch.
_SMALL = 8
_FILE = ord("0")
_LOW = 0x00FF00FF00FF00FF
_PLAIN_KINDS = frozenset(b"\x00234567")  # not hard links: their bytes are those of another member


class Heads(NamedTuple):
    """Members that follow one another in a tar; one row each."""

    at: NDArray[np.int64]  # where its header begins in the buffer
    offset: NDArray[np.int64]  # where its payload begins in the tar's file, bytes
    size: NDArray[np.int64]  # bytes of payload
    held: NDArray[np.int64]  # bytes of payload that lie in the buffer, behind the header
    kind: NDArray[np.uint8]  # the type that its header states
    after: int  # where the header behind the last begins, bytes


def read_heads(fd: int, place: int, end: int, ahead: int, buffer: ReadBuffer) -> Heads | None:
    """The plain members from byte `place` on, at most MOST, of a tar that ends at `end`; None if the first is not.

    Of each, the header and up to `ahead` bytes of payload are read into the buffer.
    """
    raw, view, preadv = buffer.raw, buffer.view, system.preadv
    start, window = place, BLOCK + ahead
    sizes: list[int] = []
    # Of each read: members before it, how far it lies in the buffer before its place in the file, its end there.
    reads: list[int] = []
    shift, filled, whole = place, 0, -1  # `whole` is the last place in the buffer that has a window behind it
    while (n := len(sizes)) < MOST and place + BLOCK <= end:
        at = place - shift
        if at > whole:
            take = _PIECE if n >= _SMALL and place - start <= window * n else window
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
    """What was read from byte `start` on, up to the first header that is wrong or not plain."""
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
    there = filled.repeat(held) - at - BLOCK
    return Heads(
        at[:n],
        offset[:n],
        size[:n],
        np.minimum(np.minimum(size, ahead), there)[:n],
        buffer.bytes[at[:n] + 156],
        after if n == len(plain) else int(offset[n]) - BLOCK,
    )


def _are_plain(buffer: ReadBuffer, at: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which of these headers are right by their checksum, and plain."""
    import numpy as np

    # Sixteen bits hold the sum of 128 bytes: so many are added up at once, in the four parts of a word. No array is
    # made that is as large as the headers: fresh memory would cost more than all that is done with it.
    words, odd = buffer.scratch(len(at), BLOCK // 8), buffer.scratch(len(at), BLOCK // 8, 1)
    buffer.bytes[:CAPACITY].view(np.uint64).reshape(-1, BLOCK // 8).take(at // BLOCK, axis=0, out=words, mode="clip")
    headers = words.view(np.uint8)
    np.right_shift(words, 8, out=odd)
    np.bitwise_and(odd, _LOW, out=odd)
    parts = odd.sum(axis=1) + np.bitwise_and(words, _LOW, out=odd).sum(axis=1)
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
    """Which members' headers state the type of a file. One whose name ends in a slash is a folder all the same."""
    import numpy as np

    files = np.zeros(256, np.bool_)
    files[_FILES] = True
    return files[heads.kind]


def names(heads: Heads, buffer: ReadBuffer, n: int) -> NDArray[np.uint8]:
    """The first n bytes of each name, 0 behind its end; what follows there may be anything."""
    import numpy as np

    found: NDArray[np.uint8] = buffer.bytes[heads.at[:, None] + np.arange(n)]
    return found


def member(heads: Heads, n: int, buffer: ReadBuffer) -> Member:
    """The nth member."""
    at = int(heads.at[n])
    name = bytes(buffer.raw[at : at + 100]).partition(b"\0")[0]
    return member_of(name, int(heads.offset[n]), int(heads.size[n]), int(heads.kind[n]))
