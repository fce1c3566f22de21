"""Headers of tar members as they are written: USTAR, with nothing in them that differs from one run to the next.

    name, mode 0644, uid 0, gid 0, size, mtime 0, checksum, type 0, "ustar", version 00, no names of owners

See tar_header for the fields. A member's bytes follow, filled up with zeros to a block of 512; two blocks of zeros end
a tar.
"""

from __future__ import annotations

from imagenet_tools.containers.tar_header import BLOCK

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
