"""Images gathered a batch at a time: rows that are plain as columns, others one by one, in the order they lie in."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, NamedTuple

from imagenet_tools.containers.payload import GZIP_MAGIC
from imagenet_tools.images.jpeg_batch import facts_of
from imagenet_tools.images.plain_rows import plain_batch, plain_names
from imagenet_tools.images.probe import probe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy as np
    from numpy.typing import NDArray

    from imagenet_tools.containers.read_buffer import ReadBuffer
    from imagenet_tools.images.image_rows import ImageRows
    from imagenet_tools.images.jpeg import Facts
    from imagenet_tools.images.jpeg_batch import Told

    Numbers = NDArray[np.int64]

    # (number of an image, offset, n): n bytes at an offset from the image's beginning.
    Read = Callable[[int, int, int], bytes]

    # Adds the nth of a batch by itself, whatever it is; with its facts, where they are known.
    Add = Callable[[int, Facts | None], None]

# Fewer plain rows than these, between two that are not, are no faster as columns.
RUN = 32


class Images(NamedTuple):
    """A batch: files, or members of a tar, a row each."""

    names: NDArray[np.uint8]  # the first NAME bytes of each name, 0 behind its end
    file: str | list[str]  # what lies in rows: one for all, or one each
    start: Numbers  # where in the buffer its bytes begin
    held: Numbers  # how many of its first bytes lie there
    offset: Numbers | None  # where in its file it begins, bytes; None where each is a file
    size: Numbers  # how many bytes it has
    known: NDArray[np.bool_]  # whether it is a file, and the rest is said of it


def add_images(rows: ImageRows, images: Images, buffer: ReadBuffer, *, read: Read, add: Add) -> None:
    """Add a batch to the rows: what is plain at once, and each of the others by `add`; `read` reads on in an image."""

    unit = rows.unit
    if len(images.size) < RUN:
        for n in range(len(images.size)):
            add(n, None)
        return
    told = facts_of(buffer, images.start, images.held, images.size) if unit.probed else None
    plain = images.known.copy()
    lengths = images.size
    if rows.takes_plain:
        named, lengths = plain_names(images.names, unit.wnid)
        plain &= named
    else:
        plain[:] = False
    if told:
        wrapped = buffer.words[images.start] >> 48 & 0xFFFF == int.from_bytes(GZIP_MAGIC, "big")
        plain &= ~(wrapped & (images.held >= len(GZIP_MAGIC)))
    for start, end in _runs(plain):
        if not plain[start] or end - start < RUN:
            for n in range(start, end):
                add(n, told.of(n) if told and images.known[n] else None)
            continue
        run = slice(start, end)
        beside = _beside(images, buffer, told, run, read) if told else {}
        batch = plain_batch(
            unit,
            images.names[run],
            lengths[run],
            file=images.file if isinstance(images.file, str) else images.file[run],
            offset=None if images.offset is None else images.offset[run],
            size=images.size[run],
            told=told.rows(run) if told else None,
            beside=beside,
        )
        rows.add_batch(batch, beside)


def _runs(plain: NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """(first, end) of each run of rows that are plain, or are not."""
    import numpy as np

    bounds = [0, *(np.flatnonzero(plain[1:] != plain[:-1]) + 1).tolist(), len(plain)]
    return itertools.pairwise(bounds)


def _beside(images: Images, buffer: ReadBuffer, told: Told, run: slice, read: Read) -> dict[int, Facts]:
    """The facts of those images of a run that were not told with the others, by their place in the run."""
    import numpy as np

    found = {}
    for row in np.flatnonzero(~told.plain[run]).tolist():
        n = run.start + row
        start = int(images.start[n])
        head = buffer.raw[start : start + int(images.held[n])]

        def more(offset: int, size: int, n: int = n) -> bytes:
            return read(n, offset, size)

        found[row] = probe(bytes(head), int(images.size[n]), more, told.begun(n, buffer))
    return found
