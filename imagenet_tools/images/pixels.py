"""Decode images in full, many at a time: Pillow lets other threads run while it decodes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from imagenet_tools.images.probe import why_undecodable

_AT_ONCE = 64  # images whose bytes are in memory


class Pixels:
    """Takes the bytes of images, and keeps what is wrong with those that Pillow does not decode in full."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor()
        self._waiting: list[tuple[str, bytes]] = []
        self._wrong: list[str] = []
        self.decoded = 0

    def add(self, name: str, data: bytes) -> None:
        """Take an image."""
        self._waiting.append((name, data))
        if len(self._waiting) >= _AT_ONCE:
            self._decode()

    def finish(self) -> list[str]:
        """Return what is wrong, an image each."""
        self._decode()
        self._pool.shutdown()
        return self._wrong

    def _decode(self) -> None:
        names, data = zip(*self._waiting, strict=True) if self._waiting else ((), ())
        self._waiting = []
        for name, why in zip(names, self._pool.map(why_undecodable, data), strict=True):
            if why:
                self._wrong.append(f"{name}: {why}")
            self.decoded += not why
