"""Scan many images of a tar together: the only door to the faster twin of `tar_scan`.

`scan_members` adds the same rows, in the same order, as adding each member by itself; tests/images/test_plain_images.py
holds both to that. It reads up to 1,024 members into one buffer (`tar_batch`), reads their JPEG headers together
(`jpeg_batch`) and makes columns of those with plain names (`plain_rows`). All other members are added one by one.

A twin stays if it brings 1.5x or more end to end. Measured on two cores: CPU seconds of build_index(workers=2) on
small JPEGs, best of 3, batch against one by one. An index of 40 images takes 0.63 s, so that at 20,000 images even a
scan that costs nothing would bring only 1.5x.

    class tars, 20,000 images       0.80 s against 0.93 s   1.16x
    class tars, 100,000 images      1.22 s against 2.12 s   1.74x; 1.60x under load; 2.5x without the 0.63 s
      without jpeg_batch            1.22 s against 1.70 s   1.40x; 1.8x without the 0.63 s
      without plain_rows            1.22 s against 1.79 s   1.47x; 2.0x without the 0.63 s
    class folders, 20,000 images    0.89 s against 1.03 s   1.16x
    class folders, 100,000 images   2.24 s against 3.01 s   1.35x: removed, opening each file dominates
"""

from __future__ import annotations

import itertools
import os
from functools import partial
from typing import TYPE_CHECKING

from imagenet_tools.containers.payload import GZIP_MAGIC
from imagenet_tools.containers.tar_header import BLOCK
from imagenet_tools.images.batch import tar_batch
from imagenet_tools.images.batch.jpeg_batch import read_headers
from imagenet_tools.images.batch.plain_rows import NAME_BYTES, plain_batch, plain_names
from imagenet_tools.images.probe import probe
from imagenet_tools.storage.blob import read_buffer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Protocol

    import numpy as np
    from numpy.typing import NDArray

    from imagenet_tools.containers.tar import Member
    from imagenet_tools.images.batch.jpeg_batch import HeaderBatch
    from imagenet_tools.images.batch.tar_batch import MemberBatch
    from imagenet_tools.images.image_rows import ImageRows
    from imagenet_tools.images.jpeg import ImageFacts, More
    from imagenet_tools.storage.blob import ReadBuffer

    class AddMember(Protocol):
        """A function that adds any member by itself."""

        def __call__(self, member: Member, head: bytes, more: More, *, facts: ImageFacts | None = None) -> None:
            """Add a member, with its facts if they are known."""


_MIN_RUN = 32  # fewer plain members between two that are not plain are no faster as columns


def scan_members(rows: ImageRows, fd: int, start: int, end: int, *, ahead: int, add: AddMember) -> Iterator[int]:
    """Add the members of a tar while their headers are plain; yield the place of the next header after each batch.

    Args:
        rows: Where images with plain names are added.
        fd: The open file; the tar begins at byte `start` and ends at `end`.
        start: A file position.
        end: A file position.
        ahead: Bytes read of each member; 0 if facts are not wanted.
        add: Called for every other member, in order.
    """
    with read_buffer() as buffer:
        while (members := tar_batch.read_members(fd, start, end, ahead, buffer)) is not None:
            _add_batch(rows, fd, members, buffer, add)
            start = members.end
            yield start


def _add_batch(rows: ImageRows, fd: int, members: MemberBatch, buffer: ReadBuffer, add: AddMember) -> None:
    payload = members.header + BLOCK

    def head(row: int) -> bytes:
        return bytes(buffer.raw[payload[row] : payload[row] + members.held[row]])

    def more(row: int) -> More:
        return partial(_pread, fd, int(members.offset[row]))

    unit, is_file, n = rows.unit, members.is_file(), len(members.size)
    headers: HeaderBatch | None = None
    plain, lengths = is_file & False, members.size
    if n >= _MIN_RUN:
        names = members.names(buffer, NAME_BYTES)
        if rows.takes_plain_names:
            plain, lengths = plain_names(names, unit.wnid)
            plain &= is_file
        if unit.probed:
            headers = read_headers(buffer, payload, members.held, members.size)
            gzipped = buffer.words[payload] >> 48 & 0xFFFF == int.from_bytes(GZIP_MAGIC, "big")
            plain &= ~(gzipped & (members.held >= len(GZIP_MAGIC)))
    for first, last in _runs(plain):
        run = slice(first, last)
        if not plain[first] or last - first < _MIN_RUN:
            for row in range(first, last):
                facts = headers.facts(row) if headers and is_file[row] else None
                add(members.member(row, buffer), head(row), more(row), facts=facts)
            continue
        odd = (~headers.plain[run]).nonzero()[0].tolist() if headers else []
        probed = {row: probe(head(first + row), int(members.size[first + row]), more(first + row)) for row in odd}
        batch = plain_batch(
            unit,
            names[run],
            lengths[run],
            offset=members.offset[run],
            size=members.size[run],
            headers=headers.rows(run) if headers else None,
            probed=probed,
        )
        rows.add_batch(batch, probed)


def _runs(plain: NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """Return (first, end) of each run of rows that all are plain, or all are not."""
    changes = (plain[1:] != plain[:-1]).nonzero()[0] + 1
    return itertools.pairwise([0, *changes.tolist(), len(plain)])


def _pread(fd: int, start: int, offset: int, n: int) -> bytes:
    return os.pread(fd, n, start + offset)
