"""The images in a tar: listed, probed where they lie, and gathered as rows."""

from __future__ import annotations

import os
import re
import sys
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, Protocol

from imagenet_tools.containers import tar, tar_batch
from imagenet_tools.containers.gzip_stream import GzipStream, point_rows
from imagenet_tools.containers.payload import GZIP_MAGIC, LARGEST
from imagenet_tools.containers.tar_header import BLOCK, truncated
from imagenet_tools.errors import FormatError
from imagenet_tools.images import image_rows
from imagenet_tools.images.image_rows import HEAD, ImageRows, Unwrapped, is_image_name
from imagenet_tools.images.plain_rows import NAME, ImageBatch, add_images
from imagenet_tools.storage.blob import ReadBuffer, read_buffer
from imagenet_tools.wordnet.wnid import keeps_imagenet_name, told_by_path

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from imagenet_tools.images.jpeg import ImageFacts, More
    from imagenet_tools.units import Unit

# What scan_tar() may report, for the table problems.
PROBLEMS = (
    image_rows.PROBLEMS
    | tar.PROBLEMS
    | {"stray_file": "a member that is no image, or a link to what is not in the archive"}
)

# The tar of a class, wherever it lies.
CLASS_TAR = re.compile(r"(?:.*/)?(n\d{8})\.tar")

# What publishers put beside the images of a tree, and its images do not need.
BESIDE_IMAGES = frozenset({"noisy_imagenette.csv", "noisy_imagewoof.csv"})


class Beside(Protocol):
    """What takes the files of a tar that are no images, and makes rows of them, as annotations that lie with them."""

    def take(self, member: tar.Member, read: More) -> bool:
        """Whether it takes a file, of which read(offset, n) gives bytes."""

    def full(self) -> bool:
        """Whether it is time to hand its rows on."""

    def batches(self) -> Iterator[tuple[str, pa.RecordBatch]]:
        """Hand on what was gathered, as (table, rows), and begin anew."""


class _Gathered(NamedTuple):
    """The rows of a tar's images, and what takes the files beside them."""

    rows: ImageRows
    beside: Beside | None

    def full(self) -> bool:
        return self.rows.full() or (self.beside is not None and self.beside.full())

    def batches(self) -> Iterator[tuple[str, pa.RecordBatch]]:
        yield from self.rows.batches()
        if self.beside is not None:
            yield from self.beside.batches()


def scan_tar(
    unit: Unit, rows: ImageRows | None = None, *, beside: Beside | None = None
) -> Iterator[tuple[str, pa.RecordBatch]]:
    """The images of a tar, or of the part of a file that a unit names; what nothing takes becomes a problem.

    A tar in gzip, whatever it is called, is read in one pass that leaves seek points; the tars in it are read too.
    """
    gathered = _Gathered(rows or ImageRows(unit), beside)
    fd = os.open(unit.path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if os.pread(fd, 2, unit.offset) == GZIP_MAGIC:
            yield from _scan_gzip(unit, gathered, fd)
        else:
            for _ in _scan_plain(unit, gathered, fd):
                yield from gathered.batches()
    finally:
        os.close(fd)
    yield from gathered.batches()


def _scan_plain(unit: Unit, gathered: _Gathered, fd: int) -> Iterator[None]:
    """Gather the members of a tar, in batches while their headers are plain; stops when rows are full."""
    prefix = f"{unit.member}/" if unit.member else ""
    place, end = unit.offset, os.fstat(fd).st_size
    if unit.length >= 0:
        end = min(end, unit.offset + unit.length)
    ahead = HEAD if unit.probed else 0
    with read_buffer() as buffer:
        while (heads := tar_batch.read_heads(fd, place, end, ahead, buffer)) is not None:
            _add_heads(gathered, unit, prefix, heads, buffer, fd)
            place = heads.after
            if gathered.full():
                yield
    try:
        for member, head in tar.walk_ahead(fd, start=place, end=end, ahead=ahead, begin=unit.offset):
            _add(gathered, unit, prefix, member, head, partial(_of_file, fd, member.offset))
            if gathered.full():
                yield
    except FormatError as error:
        # The good members before the break are kept; the break is said.
        gathered.rows.problem(error.code, unit.file, str(error), unit.member or None)


def _of_file(fd: int, start: int, offset: int, n: int) -> bytes:
    return os.pread(fd, n, start + offset)


def _add_heads(
    gathered: _Gathered, unit: Unit, prefix: str, heads: tar_batch.Heads, buffer: ReadBuffer, fd: int
) -> None:
    """Add members that were read together."""

    def read(n: int, offset: int, size: int) -> bytes:
        return os.pread(fd, size, int(heads.offset[n]) + offset)

    def add(n: int, found: ImageFacts | None) -> None:
        member = tar_batch.member(heads, n, buffer)
        start = int(heads.at[n]) + BLOCK
        head = b"" if found is not None else bytes(buffer.raw[start : start + int(heads.held[n])])
        _add(gathered, unit, prefix, member, head, partial(read, n), found=found)

    images = ImageBatch(
        names=tar_batch.names(heads, buffer, NAME),
        file=unit.file,
        start=heads.at + BLOCK,
        held=heads.held,
        offset=heads.offset,
        size=heads.size,
        known=tar_batch.are_files(heads),
    )
    add_images(gathered.rows, images, buffer, read=read, add=add)


def _scan_gzip(unit: Unit, gathered: _Gathered, fd: int) -> Iterator[tuple[str, pa.RecordBatch]]:
    size = unit.length if unit.length >= 0 else os.fstat(fd).st_size - unit.offset
    stream = GzipStream(lambda offset, n: os.pread(fd, n, unit.offset + offset), size, label=unit.file)
    try:
        for _ in _in_stream(stream, gathered, unit):
            if gathered.full():
                yield from gathered.batches()
    except FormatError as error:
        gathered.rows.problem(error.code, unit.file, str(error), unit.member or error.member or None)
    else:
        if stream.damage:
            gathered.rows.problem("gzip_damaged", unit.file, stream.damage, unit.member or None)
    yield "seek_points", point_rows(unit, stream, start=unit.offset, size=size)
    stream.close()


def _piece(data: bytes, offset: int, n: int) -> bytes:
    return data[offset : offset + n]


def _streamed(stream: GzipStream, start: int, end: int, label: str) -> Iterator[tar.Member]:
    """Yield the members of a tar in a stream, hard links last, for what they name lies before."""
    links: list[tar.Member] = []
    fault: FormatError | None = None
    try:
        for member in tar.walk_by(stream.read, start=start, end=end, label=label):
            if member.kind == "link":
                links.append(member)
            else:
                yield member
    except FormatError as error:
        fault = error
    yield from tar.followed(stream.read, links, start=start, end=end)
    if fault is not None:
        raise fault


def _in_stream(stream: GzipStream, gathered: _Gathered, unit: Unit) -> Iterator[None]:
    """Gather the members of a tar that streams by, and those of the class tars in it; stops after each."""
    prefix = f"{unit.member}/" if unit.member else ""
    for member in _streamed(stream, 0, sys.maxsize, unit.file):
        inner = CLASS_TAR.fullmatch(member.name)
        if member.kind != "file" or not inner:
            _add_streamed(gathered, unit, prefix, member, stream)
            yield
            continue
        end = member.offset + member.size
        above = prefix + member.name
        try:
            for one in _streamed(stream, member.offset, end, f"{unit.file}: {member.name}"):
                _add_streamed(gathered, unit, f"{above}/", one, stream, wnid=inner[1])
                yield
        except FormatError as error:
            # A break in a class tar costs what is behind it in that one alone; one of the stream costs all the rest.
            if error.code.startswith("gzip") or (member.size and not stream.read(end - 1, 1)):
                raise
            gathered.rows.problem(error.code, unit.file, str(error), above)


def _add_streamed(
    gathered: _Gathered, unit: Unit, prefix: str, member: tar.Member, stream: GzipStream, *, wnid: str | None = None
) -> None:
    """Add a member of a tar that streams by, an image with all its bytes read."""

    def more(offset: int, n: int) -> bytes:
        return stream.read(member.offset + offset, n)

    data = b""
    if member.kind == "file" and is_image_name(member.name.rpartition("/")[2]):
        data = more(0, min(member.size, LARGEST))
        more = partial(_piece, data)
        if len(data) < min(member.size, LARGEST):
            what, stated = f"{len(data):,} bytes of {member.name!r}", f"the {member.size:,} that its header states"
            raise truncated(unit.file, member.offset, f"{what} before its end", stated, member.name)
    _add(gathered, unit, prefix, member, data[:HEAD], more, wnid=wnid, streams=True)


def _add(
    gathered: _Gathered,
    unit: Unit,
    prefix: str,
    member: tar.Member,
    head: bytes,
    more: More,
    *,
    wnid: str | None = None,
    streams: bool = False,
    found: ImageFacts | None = None,
) -> None:
    """Add a member of a tar to the rows: an image, what is taken beside, or a problem."""
    path, offset, length, kind, target = member
    if kind == "dir":
        return
    rows, beside = gathered
    name = path.rpartition("/")[2]
    if kind != "file" or not is_image_name(name):
        taken = kind == "file" and beside is not None and beside.take(member, more)
        if not taken and name not in BESIDE_IMAGES:
            what = f"a hard link to {target}, which is no file before it in the archive" if target else f"a {kind}"
            rows.problem("stray_file", unit.file, f"{what}, not an image", prefix + path)
        return
    stem, told, split = told_by_path(path)
    size, compression = length, None
    if head.startswith(GZIP_MAGIC):
        head, more, size, compression = Unwrapped.of(head, length, more)
    if streams:
        compression = "tar.gz" if compression is None else f"tar.gz+{compression}"
    plain = not streams and path == f"{stem}.JPEG" and keeps_imagenet_name(stem)
    rows.add(
        stem,
        file=unit.file,
        member=None if plain else prefix + path,
        offset=None if streams else offset,
        position=offset if streams else None,
        length=length,
        head=head,
        more=more,
        size=size,
        compression=compression,
        wnid=wnid or (None if unit.wnid else told),
        split=split,
        found=found,
    )


def add_member(rows: ImageRows, unit: Unit, member: tar.Member, head: bytes, more: More) -> None:
    """Add a member of another archive than a tar to the rows, as scan_tar adds one of a tar."""
    _add(_Gathered(rows, None), unit, "", member, head, more)
