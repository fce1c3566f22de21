"""Shards that begin with the offsets of their items, as MosaicML's and LitData's do.

    items       u32, little-endian
    offsets     u32 each: where each item begins, from the start of the file, and where the last one ends
    head        text that the format has here, or nothing
    items ...

The offsets are written last, over room that was left for every planned item. If an image could not be decoded, zeros
remain before the first item, to which its offset leads.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from imagenet_tools.errors import ExportError, FormatError
from imagenet_tools.exports.writer import SinkOutput
from imagenet_tools.formats._shared.contract import FileSink
from imagenet_tools.text import count_of

if TYPE_CHECKING:
    from imagenet_tools.exports.job import Job
    from imagenet_tools.exports.plan import Plan
    from imagenet_tools.exports.writer import Shard

# Offsets have 32 bits. What is stored beside the images may take more bytes than small ones do.
_LARGEST_SHARD_BYTES = 1 << 30

_OFFSET_TYPE = np.dtype("<u4")


class Item(NamedTuple):
    """The byte range of an item in its shard."""

    start: int
    end: int


def refuse_large_shards(plan: Plan) -> None:
    """Raise ExportError if --shard-size asks for shards whose offsets would not fit."""
    size = plan.options.shard_size
    if size is not None and size > _LARGEST_SHARD_BYTES:
        message = (
            f"--shard-size: found {count_of(size, 'byte')}; {plan.target} has offsets of 32 bits. "
            f"Choose at most {_LARGEST_SHARD_BYTES:,}."
        )
        raise ExportError(message)


class OffsetSink(FileSink):
    """Base of a sink of such shards; a format writes an item to `self.out`, then calls end_item()."""

    def __init__(self, job: Job, shard: Shard, name: str, head: bytes = b""):
        super().__init__(job, name)
        self._head = head
        planned = job.pieces.pieces[shard.piece].images[job.target]
        self.out.write(bytes(_OFFSET_TYPE.itemsize * (planned + 2)) + head)
        self._offsets = [self.out.tell()]

    def end_item(self) -> None:
        """Note where an item ends."""
        self._offsets.append(self.out.tell())

    def close(self) -> SinkOutput:
        """Write the offsets, and complete the file; the note has its images and bytes."""
        n, size = len(self._offsets) - 1, self.out.tell()
        start = np.array([n, *self._offsets], _OFFSET_TYPE).tobytes() + self._head
        self.out.seek(0)
        self.out.write(start.ljust(self._offsets[0], b"\0"))
        return super().close()._replace(note={"images": n, "bytes": size})


def items(path: Path) -> Iterator[Item]:
    """Yield the byte ranges of the items of a shard. FormatError: offsets_damaged."""
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        n = int.from_bytes(file.read(_OFFSET_TYPE.itemsize), "little")
        data = file.read(_OFFSET_TYPE.itemsize * (n + 1))
    offsets = np.frombuffer(data, _OFFSET_TYPE, len(data) // _OFFSET_TYPE.itemsize).tolist()
    if len(offsets) != n + 1 or offsets != sorted(offsets) or offsets[-1] != size:
        message = f"{path}: found {count_of(size, 'byte')} that are not those of {n:,} items; expected their offsets."
        raise FormatError(message, code="offsets_damaged")
    yield from map(Item, offsets[:-1], offsets[1:])
