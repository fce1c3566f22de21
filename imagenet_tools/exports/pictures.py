"""Read the bytes of one image for an export: once and changed once, however many targets ask for them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from imagenet_tools.containers import payload
from imagenet_tools.images.probe import ends_whole, why_undecodable
from imagenet_tools.images.transform import EOI, reencode
from imagenet_tools.storage.blob import Descriptors
from imagenet_tools.storage.buckets import is_remote
from imagenet_tools.storage.files import new_file_in_partial
from imagenet_tools.storage.links import link_or_copy, write_range

if TYPE_CHECKING:
    from imagenet_tools.containers.payload import Place
    from imagenet_tools.images.transform import Change
    from imagenet_tools.storage.links import How

_TAIL_BYTES = 4  # enough to see whether an image ends as its encoding asks


class Picture:
    """The bytes of an image in the export. If they are an unchanged byte range, the kernel copies them."""

    __slots__ = ("_changed", "_data", "_files", "_place", "_shared", "_tail", "_unchanged", "ended")

    def __init__(
        self,
        place: Place,
        files: Descriptors,
        *,
        change: Change | None = None,
        add_end: bool = False,
        read: bool = True,
        shared: bool = False,
    ):
        """Apply the changes.

        Args:
            place: The image in the sources.
            files: Open files of the sources.
            change: The change of its pixels.
            add_end: Add the end mark FF D9 to a JPEG that lacks it.
            read: False if no target asks for bytes: nothing is read or changed.
            shared: Several targets copy the bytes: they are kept when the first one reads them.

        Raises:
            FormatError: Code undecodable: the image is to be changed, and cannot be decoded.
        """
        self._place = place
        self._changed = change is not None
        self._files = files
        self._data: bytes | None = None  # if they are not those of the place
        self._unchanged: bytes | None = None  # those of the place, if they are kept
        self._shared = shared
        self._tail: bytes | None = None
        self.ended = False  # True if an end mark was added
        if not read:
            return
        if change is not None or not place.plain or is_remote(place.path):
            self._data = payload.read(place, files)
        if add_end and place.encoding == "jpeg" and not ends_whole(self._last_bytes()):
            self.ended = True
            self._data = self.data() + EOI
        if change is not None:
            self._data = reencode(self.data(), change)
        self._tail = None

    @property
    def length(self) -> int:
        """Return the number of bytes."""
        return self._place.length if self._data is None else len(self._data)

    @property
    def endless(self) -> bool:
        """Return True if it is a JPEG without an end mark."""
        return (self._changed or self._place.encoding == "jpeg") and not ends_whole(self._last_bytes())

    @property
    def cut(self) -> bool:
        """Return True if Pillow stops at it. It is decoded only if it does not end as its encoding asks."""
        unharmed = self._changed or ends_whole(self._last_bytes(), self._place.encoding or "")
        return not unharmed and bool(why_undecodable(self.data()))

    def _last_bytes(self) -> bytes:
        if self._tail is None:
            self._tail = (
                payload.read_tail(self._place, self._files) if self._data is None else self._data[-_TAIL_BYTES:]
            )
        return self._tail

    def data(self) -> bytes:
        """Return the bytes."""
        if self._data is not None:
            return self._data
        if self._unchanged is not None:
            return self._unchanged
        data = payload.read(self._place, self._files)
        self._tail = data[-_TAIL_BYTES:]
        if self._shared:
            self._unchanged = data
        return data

    def send(self, fd: int) -> int:
        """Write the bytes to an open file at its position, and return their number."""
        place = self._place
        if self._data is None and place.offset is not None:
            self._last_bytes()  # checks the first ones
            self._files.copy_to(place.path, place.offset, place.length, fd)
            return place.length
        data = self.data()
        left = memoryview(data)
        while left:
            left = left[os.write(fd, left) :]
        return len(data)

    def read_into(self, view: memoryview) -> None:
        """Read the bytes into memory of their length."""
        place = self._place
        if self._data is None and not self._shared and place.offset is not None:
            payload.read_into(place, view, self._files)
            self._tail = bytes(view[-_TAIL_BYTES:])
        else:
            view[:] = self.data()

    def put(self, dest: str, how: How) -> None:
        """Make it a file, linked if `how` asks for it and it is possible.

        A link or file at `dest` was left by an interrupted run, and is replaced.
        """
        place = self._place
        try:
            if self._data is not None:
                with new_file_in_partial(dest) as fd:
                    self.send(fd)
                return
            # Ultralytics rewrites a JPEG without an end mark: it must not do so through a link to the only copy.
            if ends_whole(self._last_bytes()) and place.alone:
                link_or_copy(place.path, dest, how=how, sources=self._files)
            else:
                write_range(dest, place.path, place.offset or 0, place.length, sources=self._files)
        except FileExistsError:
            Path(dest).unlink()
            self.put(dest, how)
