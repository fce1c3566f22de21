"""Draws: the number by which a photo falls into a split or a sample, of its stored hash and a seed."""

from __future__ import annotations

_MASK = 0xFFFFFFFF
EVERY = 1 << 32  # above every draw


def draw(hash32: int, seed: int) -> int:
    """The number a photo draws, 0 to 4,294,967,295: the twin of the macro draw() in views.sql."""
    return _mix(hash32 ^ _mix((seed + 1) & _MASK))


def _mix(x: int) -> int:
    x = (x ^ x >> 16) * 2246822507 & _MASK
    x = (x ^ x >> 13) * 3266489909 & _MASK
    return x ^ x >> 16
