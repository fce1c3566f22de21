"""A file of an export in the making: small writes are gathered, images are moved by the kernel."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from imagenet_tools.files import half_made

if TYPE_CHECKING:
    from imagenet_tools.exports.pictures import Picture

_GATHERED = 1 << 16  # bytes


class OutFile:
    """A new file, written from its beginning on; what an interrupted run left under its name goes."""

    def __init__(self, path: Path):
        path.unlink(missing_ok=True)
        self._stack = ExitStack()
        self._fd = self._stack.enter_context(half_made(str(path)))
        self._path = str(path)
        self._waiting: list[bytes] = []
        self._n_waiting = 0
        self._written = 0

    def tell(self) -> int:
        """The place of the next byte; how many bytes it has, where nobody went back."""
        return self._written + self._n_waiting

    def seek(self, offset: int) -> int:
        """Go on from another byte, such as a header that is filled in once what follows it is there."""
        self.flush()
        self._written = os.lseek(self._fd, offset, os.SEEK_SET)
        return offset

    def write(self, data: bytes) -> int:
        """Put bytes behind those that are there."""
        if len(data) >= _GATHERED:
            self.flush()
            self._put(data)
            return len(data)
        self._waiting.append(data)
        self._n_waiting += len(data)
        if self._n_waiting >= _GATHERED:
            self.flush()
        return len(data)

    def send(self, picture: Picture) -> int:
        """Put an image behind what is there; gives how many bytes it has."""
        self.flush()
        n = picture.send(self._fd)
        self._written += n
        return n

    def flush(self) -> None:
        """Hand what was gathered to the file."""
        if self._waiting:
            data = b"".join(self._waiting)
            self._waiting, self._n_waiting = [], 0
            self._put(data)

    def _put(self, data: bytes) -> None:
        left = memoryview(data)
        while left:
            try:
                n = os.write(self._fd, left)
            except OSError as error:
                raise OSError(error.errno, error.strerror, self._path) from error
            left = left[n:]
            self._written += n

    @property
    def closed(self) -> bool:
        """Whether it is closed."""
        return self._fd < 0

    def close(self) -> None:
        """Make it complete."""
        if not self.closed:
            self.flush()
            self._fd = -1
            self._stack.close()
