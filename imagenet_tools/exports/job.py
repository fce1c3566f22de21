"""Give a writer what it needs for one target: the plan, its shards and rows, and ways to put files into the export.

Job             one target of an export that is being written
OutFile         a new file with a write buffer, into which the kernel can copy image bytes
FilePerImage    a ready sink for formats with one file an image
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from itertools import compress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from imagenet_tools import system
from imagenet_tools.exports.manifest import MANIFEST, digest_kind, has_bytes, sha256_of
from imagenet_tools.exports.rows import RowMaker, changes
from imagenet_tools.exports.writer import ImageFile, Row, Shard, SinkOutput
from imagenet_tools.storage.files import inside, new_file_in_partial, whole

if TYPE_CHECKING:
    from imagenet_tools.exports.pictures import Picture
    from imagenet_tools.exports.pieces import Pieces
    from imagenet_tools.exports.plan import Plan, Tally
    from imagenet_tools.exports.rows import BoxColumns
    from imagenet_tools.storage.blob import Stamps

_BUFFER_BYTES = 1 << 20
_UNBUFFERED_BYTES = 1 << 16  # larger data, already in memory, is written without a copy into the buffer
# The disk begins to write a shard whenever this much of it is new: with 1.3 GB of shards, an export that left all of it
# to the flush at its end waited 0.7 s of 3.5 s there.
_WRITEBACK_BYTES = 16 << 20


@dataclass(frozen=True)
class Job:
    """One target of an export that is being written.

    Attributes:
        plan: The plan of the target.
        out: The folder of the target, inside <dest>.partial.
        pieces: The rows of the whole pass.
        target: The number of the target among those of the pass.
        done: The folder of the records of finished pieces: see exports.run.
        stamps: Sizes and times of the sources. They are read before workers fork: a forked process must not use DuckDB.
        bucket: The folder of the target in a bucket, as buckets.place_of() writes it; "" for an export on a disk.
        bucket_done: The folder of the records in the bucket, or "".
        wrote: The files that write() and writing() wrote, for the manifest.
    """

    plan: Plan
    out: Path
    pieces: Pieces
    target: int
    done: Path
    stamps: Stamps
    bucket: str = ""
    bucket_done: str = ""
    wrote: list[str] = field(default_factory=list)

    # ---- shards and rows

    @cached_property
    def shards(self) -> tuple[Shard, ...]:
        """Return the shards of this target in order: the pieces that have an image of it."""
        pieces = [(n, piece) for n, piece in enumerate(self.pieces.pieces) if piece.images[self.target]]
        shards_of_split = Counter(piece.split for _, piece in pieces)
        shards: list[Shard] = []
        first, first_box = 0, 0
        for n, piece in pieces:
            number = shards[-1].number + 1 if shards and shards[-1].split == piece.split else 0
            shards.append(Shard(number, shards_of_split[piece.split], piece.split, first, first_box, piece=n))
            first += piece.images[self.target]
            first_box += piece.boxes[self.target]
        return tuple(shards)

    @cached_property
    def shard_of(self) -> dict[int, Shard]:
        """Return the shard of each piece, by the number of the piece."""
        return {shard.piece: shard for shard in self.shards}

    @cached_property
    def tallies(self) -> dict[str, dict[str, Tally]]:
        """Return the planned tallies without the images that could not be decoded. For finish()."""
        tallies = {split: dict(by_wnid) for split, by_wnid in self.plan.tallies.items()}
        for shard in self.shards:
            for _, _, wnid, boxes in self.output(shard)["left_out"]:
                tally = tallies[shard.split][wnid]
                tallies[shard.split][wnid] = tally._replace(images=tally.images - 1, boxes=tally.boxes - boxes)
        return tallies

    def rows(self, split: str | None = None) -> Iterator[Row]:
        """Yield the images that were written, of one split or all, in order. For finish(): all shards are complete."""
        for shard in self.shards:
            if split in (None, shard.split):
                left_out = {image for image, *_ in self.output(shard)["left_out"]}
                row_maker = RowMaker(self.plan, self.target, shard)
                for columns in self.pieces.columns(shard.piece):
                    rows = row_maker.rows(columns, changes(self.plan.options, columns))
                    yield from (row for row in rows if f"{row.dataset}/{row.image_id}" not in left_out)

    def columns(self, split: str) -> Iterator[tuple[dict[str, Iterable[Any]], BoxColumns]]:
        """Yield the same as columns, batch by batch: the fields of Row without `boxes`, and the boxes."""
        for shard in self.shards:
            if shard.split == split:
                left_out = {image for image, *_ in self.output(shard)["left_out"]}
                row_maker = RowMaker(self.plan, self.target, shard)
                for columns in self.pieces.columns(shard.piece):
                    for source, file in zip(columns["source"], columns["file"], strict=True):
                        inside(self.plan.index.roots[source], file)  # lists name files that no sink has opened
                    values, boxes = row_maker.columns(columns, changes(self.plan.options, columns))
                    if left_out:
                        names = zip(values["dataset"], values["image_id"], strict=True)
                        written = [f"{dataset}/{image_id}" not in left_out for dataset, image_id in names]
                        values = {name: list(compress(column, written)) for name, column in values.items()}
                        boxes = boxes.of_images(np.array(written, bool))
                    yield values, boxes

    def notes(self) -> Iterator[tuple[Shard, Mapping[str, Any]]]:
        """Yield the note that the sink of each shard left, in the order of the shards."""
        for shard in self.shards:
            yield shard, self.output(shard)["note"]

    def output(self, shard: Shard) -> dict[str, Any]:
        """Return what the record of the piece of a shard has about this target."""
        return self.record(shard)["targets"][self.plan.target]  # type: ignore[no-any-return]

    def record(self, shard: Shard) -> dict[str, Any]:
        """Return the record of the piece of a shard: see exports.run."""
        return json.loads((self.done / f"{shard.piece}.json").read_text())  # type: ignore[no-any-return]

    def image_files(self, piece: int) -> list[list[Any]]:
        """Return the files with one image of a piece, and label files, as ImageFile has them."""
        path = self.done / f"{piece}.images"
        images = json.loads(path.read_text()) if path.exists() else {}
        return images.get(self.plan.target, [])  # type: ignore[no-any-return]

    # ---- files

    def create(self, name: str) -> OutFile:
        """Open a new file of a shard; list it in SinkOutput.files. A file that an interrupted run left is replaced."""
        return OutFile(self._path(name))

    @contextmanager
    def writing(self, name: str) -> Iterator[BinaryIO]:
        """Open a file in finish(); it appears, or replaces an earlier one, when the block ends without an error."""
        # A killed run leaves its file among the records, which are removed, and not in the export.
        with whole(self._path(name), replace=True, fsync=False, folder=self.done) as file:
            yield file
        if name != MANIFEST and name not in self.wrote:  # the manifest cannot hold its own digest
            self.wrote.append(name)

    def write(self, name: str, data: bytes | Iterable[bytes]) -> None:
        """Write a file in finish(). Give the parts of a large one as an iterator, so that it is never in memory."""
        with self.writing(name) as file:
            file.writelines((data,) if isinstance(data, bytes) else data)

    def _path(self, name: str) -> Path:
        path = Path(inside(self.out, name))
        path.parent.mkdir(parents=True, exist_ok=True)
        return path


class OutFile:
    """A new file that is written from its start; small writes are gathered in a buffer of 1 MiB."""

    def __init__(self, path: Path):
        path.unlink(missing_ok=True)
        self._stack = ExitStack()
        self._fd = self._stack.enter_context(new_file_in_partial(str(path)))
        self._path = str(path)
        self._buffer = memoryview(bytearray(_BUFFER_BYTES))
        self._n_buffered = 0
        self._position = 0  # of the file, without the buffer
        self._writeback_end = 0  # the disk has begun to write the bytes before this position

    def tell(self) -> int:
        """Return the position of the next byte."""
        return self._position + self._n_buffered

    def seek(self, offset: int) -> int:
        """Go on at another byte, such as that of a header that is known only after the rest was written."""
        self.flush()
        self._position = os.lseek(self._fd, offset, os.SEEK_SET)
        return offset

    def write(self, data: bytes) -> int:
        """Append bytes."""
        n = len(data)
        if self._n_buffered + n > _BUFFER_BYTES or n > _UNBUFFERED_BYTES:
            self.flush()
            if n > _UNBUFFERED_BYTES:
                self._write_now(data)
                return n
        self._buffer[self._n_buffered : self._n_buffered + n] = data
        self._n_buffered += n
        return n

    def send(self, picture: Picture) -> int:
        """Append an image, and return its bytes."""
        n = picture.length
        if self._n_buffered + n > _BUFFER_BYTES:
            self.flush()
            if n > _BUFFER_BYTES:
                self._position += picture.send(self._fd)
                return n
        picture.read_into(self._buffer[self._n_buffered : self._n_buffered + n])
        self._n_buffered += n
        return n

    def flush(self) -> None:
        """Write the buffer to the file."""
        n, self._n_buffered = self._n_buffered, 0
        if n:
            self._write_now(self._buffer[:n])

    def _write_now(self, data: bytes | memoryview) -> None:
        left = memoryview(data)
        while left:
            try:
                n = os.write(self._fd, left)
            except OSError as error:
                raise OSError(error.errno, error.strerror, self._path) from error
            left = left[n:]
            self._position += n
        if self._position - self._writeback_end >= _WRITEBACK_BYTES:
            system.begin_writeback(self._fd, self._writeback_end, self._position - self._writeback_end)
            self._writeback_end = self._position

    @property
    def closed(self) -> bool:
        """Return True if close() was called."""
        return self._fd < 0

    def close(self) -> None:
        """Write the buffer, and complete the file."""
        if not self.closed:
            self.flush()
            self._fd = -1
            self._stack.close()


class FilePerImage:
    """A sink that writes each image to a file, with label files beside it.

    Args:
        job: The job.
        path_of: Returns the path of an image below the export.
        beside: Returns (path below the export, bytes) of the label files of an image.
    """

    def __init__(
        self,
        job: Job,
        path_of: Callable[[Row], str],
        *,
        beside: Callable[[Row], Iterable[tuple[str, bytes]]] = lambda _: (),
    ):
        self._job = job
        self._path_of = path_of
        self._beside = beside
        self._folders: set[str] = set()  # that exist
        self._files: list[ImageFile] = []
        self._digest_kind = digest_kind(job.plan.options)

    def add(self, row: Row, picture: Picture) -> None:
        """Write an image and its label files."""
        path = self._path_of(row)
        full_path = self._full_path(path)
        picture.put(full_path, self._job.plan.options.link)
        digest = sha256_of(Path(full_path)) if has_bytes(self._digest_kind, path) else ""
        self._files.append(ImageFile(path, picture.length, digest))
        for name, data in self._beside(row):
            full_path = self._full_path(name)
            Path(full_path).unlink(missing_ok=True)
            with new_file_in_partial(full_path) as fd, open(fd, "wb", closefd=False) as out:
                out.write(data)
            digest = hashlib.sha256(data).hexdigest() if has_bytes(self._digest_kind, name) else ""
            self._files.append(ImageFile(name, len(data), digest))

    def _full_path(self, path: str) -> str:
        """Return a path on this machine, and make its folder."""
        full_path = inside(self._job.out, path)
        folder = path.rpartition("/")[0]
        if folder not in self._folders:
            (self._job.out / folder).mkdir(parents=True, exist_ok=True)
            self._folders.add(folder)
        return full_path

    def close(self) -> SinkOutput:
        """Return the files that were written."""
        return SinkOutput(images=tuple(self._files))
