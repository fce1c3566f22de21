"""The bytes of one image on their way into an export: read once and changed once, whoever asks for them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from imagenet_tools.containers import payload
from imagenet_tools.images.probe import ends_whole, why_undecodable
from imagenet_tools.images.transform import EOI, reencode
from imagenet_tools.storage.blob import Descriptors
from imagenet_tools.storage.files import new_file_in_partial
from imagenet_tools.storage.links import link_or_copy, write_range

if TYPE_CHECKING:
    from imagenet_tools.containers.payload import Place
    from imagenet_tools.images.transform import Change
    from imagenet_tools.storage.links import How


_TAIL_BYTES = 4  # that tell whether an image ends as it must


class PictureSource(NamedTuple):
    """What a picture is made of."""

    place: Place
    change: Change | None
    end: bool  # whether a JPEG without its end gets one


class Picture:
    """An image's bytes as the export holds them. Untouched ones of a byte range are moved by the kernel alone."""

    __slots__ = ("_data", "_files", "_source", "_tail", "ended")

    def __init__(self, source: PictureSource, files: Descriptors, *, read: bool = True):
        """`read` is false where no target asks for bytes. FormatError: the image is to be changed, and cannot be."""
        self._source, self._files = source, files
        self._data: bytes | None = None
        self._tail: bytes | None = None
        self.ended = False  # whether it got the end that it lacked
        if not read:
            return
        if source.change is not None or not source.place.plain:
            self._data = payload.read(source.place, files)
        if source.end and source.place.encoding == "jpeg" and not ends_whole(self._end()):
            self.ended = True
            self._data = self.data() + EOI
        if source.change is not None:
            self._data = reencode(self.data(), source.change)
        self._tail = None

    @property
    def length(self) -> int:
        """Bytes."""
        return self._source.place.length if self._data is None else len(self._data)

    @property
    def endless(self) -> bool:
        """Whether it is a JPEG without the end mark that a JPEG has."""
        return self._jpeg and not ends_whole(self._end())

    @property
    def cut(self) -> bool:
        """Whether Pillow stops at it. Only an image that does not end as its encoding must is decoded for that."""
        whole = self._source.change is not None or ends_whole(self._end(), self._source.place.encoding or "")
        return not whole and bool(why_undecodable(self.data()))

    @property
    def _jpeg(self) -> bool:
        return self._source.place.encoding == "jpeg" or self._source.change is not None

    def _end(self) -> bytes:
        if self._tail is None:
            place = self._source.place
            if self._data is not None:
                self._tail = self._data[-_TAIL_BYTES:]
            elif place.offset is not None:
                n = min(place.length, _TAIL_BYTES)
                start = place.offset + place.length - n
                self._tail = self._files.read(place.path, start, n, file_size=place.file_size)
        return self._tail or b""

    def data(self) -> bytes:
        """The bytes, in memory."""
        if self._data is not None:
            return self._data
        data = payload.read(self._source.place, self._files)
        self._tail = data[-_TAIL_BYTES:]
        return data

    def send(self, fd: int) -> int:
        """Write the bytes to an open file, at its position; gives how many there are."""
        if self._data is None and self._source.place.offset is not None:
            place = self._source.place
            payload.read_head(place, self._files)
            self._files.copy_to(place.path, place.offset or 0, place.length, fd)
            return place.length
        data = memoryview(self.data())
        left = data
        while left:
            left = left[os.write(fd, left) :]
        return len(data)

    def read_into(self, room: memoryview) -> None:
        """Put the bytes into memory of just their length."""
        place = self._source.place
        if self._data is None and place.offset is not None:
            payload.read_into(place, room, self._files)
            self._tail = bytes(room[-_TAIL_BYTES:])
        else:
            room[:] = self.data()

    def put(self, dest: str, how: How) -> How:
        """Make it a file of its own, linked where that is asked for and can be; gives how it was done.

        What is at `dest` is a link or a file that an interrupted run left there, and goes.
        """
        place = self._source.place
        try:
            if self._data is not None:
                with new_file_in_partial(dest) as fd:
                    self.send(fd)
                return "copy"
            payload.read_head(place, self._files)
            # A trainer that finds a JPEG without its end mark writes it anew: never through a link to the only copy.
            if place.alone and ends_whole(self._end()):
                return link_or_copy(place.path, dest, how=how, sources=self._files, in_partial=True)
            write_range(dest, place.path, place.offset or 0, place.length, sources=self._files, in_partial=True)
        except FileExistsError:
            Path(dest).unlink()
            return self.put(dest, how)
        return "copy"
