"""Scan the images of a tar: list its members, read the header of each image in place, and gather rows."""

from __future__ import annotations

import os
import re
from functools import partial
from typing import TYPE_CHECKING, Protocol

from imagenet_tools.containers import tar
from imagenet_tools.containers.gzip_stream import GZIP_MAGIC, LARGEST, GzipStream, point_rows
from imagenet_tools.errors import FormatError, SourceError
from imagenet_tools.images import batch, image_rows
from imagenet_tools.images.image_rows import HEAD, ImageRows, is_image_name, unwrapped
from imagenet_tools.images.jpeg import reader_at, reader_of
from imagenet_tools.storage.buckets import Remote, is_remote
from imagenet_tools.wordnet.wnid import keeps_imagenet_name, path_facts, shares_names

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from imagenet_tools.images.jpeg import ImageFacts, More
    from imagenet_tools.units import Unit

    Batches = Iterator[tuple[str, pa.RecordBatch]]

# Codes that scan_tar() may report, for the table problems.
PROBLEMS = (
    image_rows.PROBLEMS
    | tar.PROBLEMS
    | {"stray_file": "a member that is no image, or a link to what is not in the archive"}
)

# The tar of a class, in any folder.
CLASS_TAR = re.compile(r"(?:.*/)?(n\d{8})\.tar")

# Files that publishers add beside the images of a tree; they are ignored.
BESIDE_IMAGES = frozenset({"noisy_imagenette.csv", "noisy_imagewoof.csv"})
_BESIDE_OTHER_SETS = BESIDE_IMAGES | {"README.txt"}  # ImageNet-A, -O and -R have it

# The advice of a detection of images in one gzip stream.
STREAM_ADVICE = (
    "gunzip it once and index the tar: each image is then a byte range, read at once; in the stream an image costs the "
    "inflating of some megabytes before it, and all but the first pass needs seek points"
)


class Beside(Protocol):
    """Makes rows of the files of a tar that are no images, such as annotations."""

    def take(self, member: tar.Member, read: More) -> bool:
        """Return True if it uses a file, whose bytes read(offset, n) returns."""

    def full(self) -> bool:
        """Return True when the rows should be handed on."""

    def batches(self) -> Batches:
        """Yield the gathered rows as (table, rows), and forget them."""


# First bytes of an image that are asked for with its tar header from a bucket. They are enough for two thirds of 150
# validation images, as are 1,536; 4,096 would be for five sixths, and twice the bytes.
_REMOTE_HEAD = 1024


def scan_tar(unit: Unit, rows: ImageRows | None = None, *, beside: Beside | None = None) -> Batches:
    """Yield the images of a tar, or of the part of a file that a unit names; other members become problems.

    A tar in gzip, detected by its content, is read in one pass that records seek points, class tars in it included.
    """
    scan = _TarScan(unit, rows or ImageRows(unit), beside)
    if is_remote(unit.path):
        yield from _scan_remote(scan, Remote(str(unit.path)))
        yield from scan.batches()
        return
    fd = os.open(unit.path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        is_gzip = os.pread(fd, 2, unit.offset) == GZIP_MAGIC
        yield from _scan_gzip(scan, fd) if is_gzip else _scan_plain(scan, fd)
    finally:
        os.close(fd)
    yield from scan.batches()


def add_member(rows: ImageRows, unit: Unit, member: tar.Member, head: bytes, more: More) -> None:
    """Add a member of another kind of archive to the rows, as scan_tar adds one of a tar."""
    _TarScan(unit, rows, None).add(member, head, more)


class _TarScan:
    """The rows of a tar's images, and of the files beside them."""

    def __init__(self, unit: Unit, rows: ImageRows, beside: Beside | None):
        self.unit, self.rows, self._beside = unit, rows, beside
        self._known = BESIDE_IMAGES if shares_names(unit.dataset) else _BESIDE_OTHER_SETS
        self._gathered: list[ImageRows | Beside] = [rows, beside] if beside else [rows]
        self._prefix = f"{unit.member}/" if unit.member else ""

    def batches(self) -> Batches:
        """Yield all gathered rows."""
        for rows in self._gathered:
            yield from rows.batches()

    def full_batches(self) -> Batches:
        """Yield the gathered rows if there are enough of them."""
        if any(rows.full() for rows in self._gathered):
            yield from self.batches()

    def problem(self, error: FormatError, member: str = "") -> None:
        """Add a break of the tar to the problems; the members before it are kept."""
        self.rows.problem(error.code, self.unit.file, str(error), self.unit.member or member or None)

    def add(
        self,
        member: tar.Member,
        head: bytes,
        more: More,
        *,
        facts: ImageFacts | None = None,
        above: str = "",
        wnid: str | None = None,
        streams: bool = False,
    ) -> None:
        """Add a member: an image, a file for `beside`, or a problem.

        Args:
            member: The member.
            head: Its first bytes.
            more: Returns n of its bytes at an offset.
            facts: Facts of the image, if they are known already.
            above: The name of the inner tar that holds it, with "/" at its end.
            wnid: The class of that inner tar.
            streams: Whether it is in a gzip stream, so that its offset is a position there.
        """
        path, offset, length, kind, target = member
        unit, rows = self.unit, self.rows
        if kind == "dir":
            return
        if kind != "file" or not is_image_name(path):
            used = kind == "file" and self._beside is not None and self._beside.take(member, more)
            if not used and path.rpartition("/")[2] not in self._known:
                noun = f"a hard link to {target}, which is no file before it in the archive" if target else f"a {kind}"
                rows.problem("stray_file", unit.file, f"{noun}, not an image", self._prefix + above + path)
            return
        stem, path_wnid, split = path_facts(path)
        head, more, size, compression = unwrapped(head, length, more)
        if streams:
            compression = "tar.gz" if compression is None else f"tar.gz+{compression}"
        named_by_id = not streams and path == f"{stem}.JPEG" and keeps_imagenet_name(stem)
        rows.add(
            stem,
            file=unit.file,
            member=None if named_by_id else self._prefix + above + path,
            offset=None if streams else offset,
            position=offset if streams else None,
            length=length,
            head=head,
            more=more,
            size=size,
            compression=compression,
            wnid=wnid or (None if unit.wnid else path_wnid),
            split=split,
            facts=facts,
        )


def _scan_plain(scan: _TarScan, fd: int) -> Batches:
    """Scan a tar without gzip: many members together while their headers are plain, then one by one."""
    unit = scan.unit
    place, end = unit.offset, os.fstat(fd).st_size
    if unit.length >= 0:
        end = min(end, unit.offset + unit.length)
    ahead = HEAD if unit.probed else 0
    for next_place in batch.scan_members(scan.rows, fd, place, end, ahead=ahead, add=scan.add):
        place = next_place
        yield from scan.full_batches()
    try:
        for member, head in tar.walk_ahead(fd, start=place, end=end, ahead=ahead, begin=unit.offset):
            scan.add(member, head, reader_at(fd, member.offset))
            yield from scan.full_batches()
    except FormatError as error:
        scan.problem(error)


def _scan_remote(scan: _TarScan, remote: Remote) -> Batches:
    """Scan a tar in a bucket, a request for each member: its header, and the first bytes of its image."""
    unit = scan.unit
    end = unit.offset + unit.length if unit.length >= 0 else None
    ahead = _REMOTE_HEAD if unit.probed else 0
    n_members = 0
    try:
        for member, head in tar.walk_ahead(unit.path, start=unit.offset, end=end, ahead=ahead, label=tar.ARCHIVE):
            n_members += 1
            scan.add(member, head, partial(_read_at, remote, member.offset))
            yield from scan.full_batches()
    except FormatError as error:
        if not n_members and remote.read(unit.offset, 2) == GZIP_MAGIC:
            message = f"{remote.url}: found a tar in gzip, expected a tar: one in a bucket must not be compressed."
            raise SourceError(message) from error
        scan.problem(error)


def _read_at(remote: Remote, start: int, offset: int, n: int) -> bytes:
    return remote.read(start + offset, n)


def _scan_gzip(scan: _TarScan, fd: int) -> Batches:
    unit = scan.unit
    size = unit.length if unit.length >= 0 else os.fstat(fd).st_size - unit.offset
    stream = GzipStream(reader_at(fd, unit.offset), size, label=unit.file)
    try:
        yield from _scan_stream(scan, stream)
    except FormatError as error:
        scan.problem(error, error.member)
    else:
        if stream.damage:
            scan.rows.problem("gzip_damaged", unit.file, stream.damage, unit.member or None)
    yield "seek_points", point_rows(unit, stream, start=unit.offset, size=size)
    stream.close()


def _scan_stream(scan: _TarScan, stream: GzipStream) -> Batches:
    """Scan a tar in a gzip stream, and the class tars in it."""
    unit = scan.unit
    for member in tar.walk_by(stream.read, label=unit.file):
        class_tar = CLASS_TAR.fullmatch(member.name) if member.kind == "file" else None
        if class_tar is None:
            _add_streamed(scan, stream, member)
            yield from scan.full_batches()
            continue
        end = member.offset + member.size
        try:
            label = f"{unit.file}: {member.name}"
            for inner in tar.walk_by(stream.read, start=member.offset, end=end, label=label):
                _add_streamed(scan, stream, inner, above=f"{member.name}/", wnid=class_tar[1])
                yield from scan.full_batches()
        except FormatError as error:
            # A break in a class tar loses only what follows in that tar; a break of the stream loses all the rest.
            if error.code.startswith("gzip") or (member.size and not stream.read(end - 1, 1)):
                raise
            above = f"{unit.member}/{member.name}" if unit.member else member.name
            scan.rows.problem(error.code, unit.file, str(error), above)


def _add_streamed(
    scan: _TarScan, stream: GzipStream, member: tar.Member, *, above: str = "", wnid: str | None = None
) -> None:
    """Add a member of a tar in a stream, with all bytes of an image."""
    if member.kind != "file" or not is_image_name(member.name):
        scan.add(member, b"", lambda offset, n: stream.read(member.offset + offset, n), above=above)
        return
    wanted = min(member.size, LARGEST)
    data = stream.read(member.offset, wanted)
    if len(data) < wanted:
        raise tar.cut_payload(scan.unit.file, member.offset, len(data), member)
    scan.add(member, data[:HEAD], reader_of(data), above=above, wnid=wnid, streams=True)
