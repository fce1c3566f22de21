"""A buffer that reads go into, kept from one reader to the next: fresh memory costs more than the reading."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# The first bytes of a thousand images, and a tar header before each.
CAPACITY = 1024 * (512 + 4096)


class ReadBuffer:
    """CAPACITY bytes, seen as bytes, and as the eight bytes that begin at each of them."""

    def __init__(self) -> None:
        import numpy as np

        self.raw = bytearray(CAPACITY + 8)
        self.view = memoryview(self.raw)
        self.bytes: NDArray[np.uint8] = np.frombuffer(self.raw, np.uint8)
        self._scratch: list[NDArray[np.uint64]] = []
        # words[n] is the big-endian number in bytes n to n + 7.
        self.words: NDArray[np.int64] = np.ndarray((CAPACITY + 1,), ">i8", self.raw, strides=(1,))

    def scratch(self, rows: int, columns: int, n: int = 0) -> NDArray[np.uint64]:
        """Numbers to calculate with, whatever they are: the nth array of such, in the same memory each time."""
        import numpy as np

        while n >= len(self._scratch) or self._scratch[n].size < rows * columns:
            self._scratch[n:] = [np.empty(rows * columns, np.uint64)]
        return self._scratch[n][: rows * columns].reshape(rows, columns)


_idle: list[ReadBuffer] = []


@contextmanager
def read_buffer() -> Iterator[ReadBuffer]:
    """A buffer that nobody else reads into until the context ends; what it holds then is lost."""
    buffer = _idle.pop() if _idle else ReadBuffer()
    try:
        yield buffer
    finally:
        _idle.append(buffer)
