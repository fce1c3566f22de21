"""Read the headers and first bytes of many tar members into one buffer, and verify all headers together.

A header is plain if it describes its member completely, in the usual spelling: a file, folder, symbolic link, device
or FIFO; a checksum of six octal digits; a size of eleven. A batch ends before the first header that is damaged or not
plain. `tar.walk_ahead` continues there: it knows every spelling and reports damage.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from imagenet_tools import system
from imagenet_tools.containers.tar import Member, member_of
from imagenet_tools.containers.tar_header import BLOCK, KINDS, WITHOUT_PAYLOAD
from imagenet_tools.storage.blob import CAPACITY

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from imagenet_tools.storage.blob import ReadBuffer

MAX_MEMBERS = 1024  # enough that the fixed cost of a batch does not count

# Members smaller than what is read ahead of each are read together, in pieces. A batch starts to do so after
# _SMALL_MEMBERS such members.
_PIECE_BYTES = 128 << 10
_SMALL_MEMBERS = 8

_FILE = ord("0")
FILE_KINDS = [kind for kind, word in KINDS.items() if word == "file"]
_PLAIN_KINDS = frozenset(b"\x00234567")  # without hard links: their bytes belong to another member
_EVERY_SECOND_BYTE = 0x00FF00FF00FF00FF


class MemberBatch(NamedTuple):
    """Consecutive members of a tar, one row each."""

    header: NDArray[np.int64]  # buffer position of the header
    offset: NDArray[np.int64]  # file position of the payload
    size: NDArray[np.int64]  # bytes of payload
    held: NDArray[np.int64]  # bytes of payload in the buffer, behind the header
    kind: NDArray[np.uint8]  # type flag of the header
    end: int  # file position of the header after the last member

    def member(self, row: int, buffer: ReadBuffer) -> Member:
        """Return one member as `tar.walk` yields it."""
        header = int(self.header[row])
        name = bytes(buffer.raw[header : header + 100]).partition(b"\0")[0]
        return member_of(name, int(self.offset[row]), int(self.size[row]), int(self.kind[row]))


def read_members(fd: int, place: int, end: int, ahead: int, buffer: ReadBuffer) -> MemberBatch | None:
    """Return the plain members from file position `place` on, at most MAX_MEMBERS; None if the first is not plain.

    The header and up to `ahead` bytes of payload of each member are read into the buffer. The tar ends at `end`.
    """
    raw, view, preadv = buffer.raw, buffer.view, system.preadv
    start, window = place, BLOCK + ahead
    sizes: list[int] = []
    reads: list[int] = []  # per read: number of members before it, file minus buffer position, end in the buffer
    shift, filled = place, 0
    last_whole = -1  # last buffer position that has a whole window behind it
    while (n := len(sizes)) < MAX_MEMBERS and place + BLOCK <= end:
        at = place - shift
        if at > last_whole:
            small = n >= _SMALL_MEMBERS and place - start <= window * n
            take = min(_PIECE_BYTES if small else window, end - place)
            at = filled + BLOCK - 1 & -BLOCK
            if at + take > CAPACITY:
                break
            filled = at + preadv(fd, (view[at : at + take],), place)
            shift = place - at
            last_whole = filled - (BLOCK if filled + shift >= end else window)
            reads += (n, shift, filled)
            if filled < at + BLOCK:
                break
        try:
            size = int(raw[at + 124 : at + 135], 8)
        except ValueError:
            break
        kind = raw[at + 156]
        if kind != _FILE:
            if kind not in _PLAIN_KINDS:
                break
            size = 0 if kind in WITHOUT_PAYLOAD else size
        place += BLOCK
        if not 0 <= size <= end - place:
            break
        sizes.append(size)
        place += size + BLOCK - 1 & -BLOCK
    return _verified(buffer, start, ahead, sizes, reads)


def _verified(buffer: ReadBuffer, start: int, ahead: int, sizes: list[int], reads: list[int]) -> MemberBatch | None:
    """Return the members that were read from `start` on, up to the first header that is damaged or not plain."""
    if not sizes:
        return None
    size = np.array(sizes, np.int64)
    header_places = start + np.concatenate(([0], (BLOCK + (size + BLOCK - 1 & -BLOCK)).cumsum()))
    offset = header_places[:-1] + BLOCK
    members_before, shift, filled = np.array(reads, np.int64).reshape(-1, 3).T
    members_read = np.diff(members_before, append=len(sizes))
    header = header_places[:-1] - shift.repeat(members_read)
    plain = _are_plain(buffer, header)
    n = len(plain) if plain.all() else int(plain.argmin())
    if n == 0:
        return None
    held = np.minimum(np.minimum(size, ahead), filled.repeat(members_read) - header - BLOCK)
    kind = buffer.bytes[header[:n] + 156]
    return MemberBatch(header[:n], offset[:n], size[:n], held[:n], kind, int(header_places[n]))


def _are_plain(buffer: ReadBuffer, header: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which of the headers at these buffer positions have the right checksum and are plain."""
    # The checksum is the sum of 512 bytes. Each 64-bit word adds up four 16-bit sums of 128 bytes. The arrays are
    # reused: allocating fresh memory of this size costs more than the sums.
    words, odd = buffer.scratch(len(header), BLOCK // 8), buffer.scratch(len(header), BLOCK // 8, 1)
    blocks = buffer.bytes[:CAPACITY].view(np.uint64).reshape(-1, BLOCK // 8)
    blocks.take(header // BLOCK, axis=0, out=words, mode="clip")
    headers = words.view(np.uint8)
    np.right_shift(words, 8, out=odd)
    np.bitwise_and(odd, _EVERY_SECOND_BYTE, out=odd)
    parts = odd.sum(axis=1) + np.bitwise_and(words, _EVERY_SECOND_BYTE, out=odd).sum(axis=1)
    total = (parts & 0xFFFF) + (parts >> 16 & 0xFFFF) + (parts >> 32 & 0xFFFF) + (parts >> 48)
    checksum = headers[:, 148:156]
    total = total.astype(np.int64) - checksum.sum(axis=1, dtype=np.int64) + 8 * 0x20
    digits = checksum[:, :6] - np.uint8(0x30)
    stated = digits @ (8 ** np.arange(5, -1, -1))
    size_digits = headers[:, 124:135] - np.uint8(0x30)
    return (  # type: ignore[no-any-return]
        (stated == total)
        & (digits < 8).all(axis=1)
        & (checksum[:, 6] == 0)
        & (checksum[:, 7] == 0x20)
        & (size_digits < 8).all(axis=1)
        & ((headers[:, 135] & 0xDF) == 0)
        & (headers[:, 345] == 0)  # no prefix of a long name
    )
