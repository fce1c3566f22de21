"""The checksum crc32c, of Castagnoli's polynomial and the least bit first, as TFRecord files carry it."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def masked(crc: int) -> int:
    """A checksum as TFRecord writes it: turned by 15 bits, and a constant added."""
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def crc32c(data: bytes) -> int:
    """The crc32c of some bytes: some 1 MB a second for few of them, some 50 for a whole image."""
    if len(data) >= 4096:
        return _crc32c_of_many(data)
    table = _table()
    crc = 0xFFFFFFFF
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


@functools.cache
def _table() -> tuple[int, ...]:
    values = list(range(256))
    for _ in range(8):
        values = [value >> 1 ^ (0x82F63B78 if value & 1 else 0) for value in values]
    return tuple(values)


_LANES = 1024


def _crc32c_of_many(data: bytes) -> int:
    """The crc32c of many bytes: in lanes side by side, each as if nothing came before, which are joined in pairs.

    A checksum is linear in its bytes: that of two pieces is that of the first, carried over as many bytes as the
    second has, xor that of the second. Bytes of zero in front change nothing while the state is zero.
    """
    import numpy as np

    steps = -(-len(data) // _LANES)
    table = np.array(_table(), np.uint32)
    filled = np.zeros(_LANES * steps, np.uint8)
    filled[-len(data) :] = np.frombuffer(data, np.uint8)
    filled[-len(data) :][:4] ^= 0xFF  # the state that a checksum begins with
    columns = np.zeros((steps, _LANES + 32), np.uint32)
    columns[:, :_LANES] = filled.reshape(_LANES, steps).T
    # The last 32 lanes carry each bit of a state over the length of a lane.
    state = np.zeros(_LANES + 32, np.uint32)
    state[_LANES:] = np.uint32(1) << np.arange(32, dtype=np.uint32)
    for column in columns:
        state = table[(state ^ column) & 0xFF] ^ state >> 8
    lanes, carried = state[:_LANES], state[_LANES:]
    while len(lanes) > 1:
        lanes = _carry(lanes[::2], carried) ^ lanes[1::2]
        carried = _carry(carried, carried)
    return int(lanes[0]) ^ 0xFFFFFFFF


def _carry(states: NDArray[np.uint32], carried: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """States carried over a length, by what it makes of each of the 32 bits."""
    import numpy as np

    bits = states[:, None] >> np.arange(32, dtype=np.uint32) & 1
    made: NDArray[np.uint32] = np.bitwise_xor.reduce(np.where(bits, carried, np.uint32(0)), axis=1, dtype=np.uint32)
    return made
