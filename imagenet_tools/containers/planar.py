"""Images that are raw values in an array: plane by plane, as CIFAR has them, or pixel by pixel, as miniImageNet.

An image is square and RGB, of one byte a value: 32 by 32 pixels take 3,072 bytes. Planar, it is the red value of each
pixel, row by row from the top left, then the green ones, then the blue ones. Interleaved, it is the red, green and blue
value of each pixel. Readers of images get it as a PNG, which is not compressed: the same values then give the same
bytes with every version of zlib.
"""

from __future__ import annotations

import math
import struct
import zlib

import numpy as np

# Values of images.compression: two of a range of a file, and a range of the stream that a compressed npz inflates to.
PLANAR = "planar"
INTERLEAVED = "interleaved"
DEFLATED_PLANAR = "npz"

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_RGB_OF_8_BITS = (8, 2, 0, 0, 0)  # bits a sample, colour type, and the only methods of compression, filter, interlacing


def side_of(length: int) -> int | None:
    """Return the pixels a side of an image of `length` bytes; None if no square RGB image has that many.

    Example:
        >>> side_of(3072), side_of(3000)
        (32, None)
    """
    side = math.isqrt(length // 3)
    return side if side and 3 * side * side == length else None


def png(values: bytes, *, interleaved: bool = False) -> bytes:
    """Return an image as a PNG.

    Args:
        values: Planes of red, green and blue: 3 * side * side bytes.
        interleaved: The values are red, green and blue of each pixel instead.

    Raises:
        ValueError: No square RGB image has that many bytes.

    Example:
        >>> png(bytes(3 * 32 * 32))[:4]
        b'\\x89PNG'
    """
    side = side_of(len(values))
    if side is None:
        message = f"found {len(values):,} bytes, expected 3 * side * side"
        raise ValueError(message)
    lines = np.zeros((side, 1 + 3 * side), np.uint8)  # each line begins with its filter, 0 for none
    pixels = np.frombuffer(values, np.uint8)
    lines[:, 1:] = (pixels if interleaved else pixels.reshape(3, -1).T).reshape(side, -1)
    header = struct.pack(">2I5B", side, side, *_RGB_OF_8_BITS)
    data = zlib.compress(lines.tobytes(), 0)
    return _SIGNATURE + _chunk(b"IHDR", header) + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
