"""MD5 whose state can be put down and taken up again, so that the sum of a terabyte need not begin anew.

hashlib keeps its state to itself. OpenSSL's own MD5, where its library is found, works on a plain struct: four words of
state, the length in bits, the block that is not full yet and how much of it is there; 92 bytes. Where it is not found,
or gives anything else than hashlib does, hashlib's is used, and has no state.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import functools
import hashlib
from typing import Any

_STATE = 92


class Md5:
    """The MD5 of bytes that come piece by piece; `state` is what another one goes on from."""

    def __init__(self, state: bytes | None = None):
        self._openssl = _openssl()
        if self._openssl is None:
            if state is not None:
                message = "the state of an MD5 cannot be taken up here"
                raise ValueError(message)
            self._hashlib = hashlib.md5(usedforsecurity=False)
            return
        self._context = ctypes.create_string_buffer(_STATE)
        if state is None:
            self._openssl.MD5_Init(self._context)
        else:
            self._context.raw = state

    @property
    def state(self) -> bytes | None:
        """What Md5(state) goes on from; None where it cannot be put down here."""
        return None if self._openssl is None else self._context.raw

    def update(self, data: bytes) -> None:
        """Add bytes."""
        if self._openssl is None:
            self._hashlib.update(data)
        else:
            self._openssl.MD5_Update(self._context, data, ctypes.c_size_t(len(data)))

    def hexdigest(self) -> str:
        """The sum so far, in 32 hexadecimal digits; more bytes may follow."""
        if self._openssl is None:
            return self._hashlib.hexdigest()
        context = ctypes.create_string_buffer(self._context.raw, _STATE)  # finishing spoils it
        digest = ctypes.create_string_buffer(16)
        self._openssl.MD5_Final(digest, context)
        return digest.raw.hex()


def can_resume() -> bool:
    """Whether the state of a sum can be put down on this machine."""
    return _openssl() is not None


@functools.cache
def _openssl() -> Any:
    """OpenSSL's library, if it is there and its MD5 is what it should be; else None."""
    name = ctypes.util.find_library("crypto")
    if name is None:
        return None
    try:
        library = ctypes.CDLL(name)
        functions = (library.MD5_Init, library.MD5_Update, library.MD5_Final)
    except (OSError, AttributeError):  # newer versions may leave the plain functions out
        return None
    for function in functions:
        function.restype = ctypes.c_int
    # More room than the struct needs, so that another layout is found out and does no harm.
    context, digest = ctypes.create_string_buffer(4 * _STATE), ctypes.create_string_buffer(16)
    text = bytes(range(256)) * 3
    if not library.MD5_Init(context):
        return None  # refused where only approved sums are allowed
    library.MD5_Update(context, text[:100], ctypes.c_size_t(100))
    moved = ctypes.create_string_buffer(context.raw[:_STATE], 4 * _STATE)
    library.MD5_Update(moved, text[100:], ctypes.c_size_t(len(text) - 100))
    library.MD5_Final(digest, moved)
    right = digest.raw == hashlib.md5(text, usedforsecurity=False).digest()
    return library if right else None
