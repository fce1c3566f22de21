"""What a writer is given: the plan, its rows and shards, and the way to put files into the export."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from imagenet_tools.exports.kept import ALL_BYTES, LABEL_BYTES, has_bytes
from imagenet_tools.exports.rows import Rows, changes
from imagenet_tools.exports.writer import ImageFile, Row, Shard, SinkOutput
from imagenet_tools.storage.files import inside, new_file_in_partial, whole

if TYPE_CHECKING:
    from imagenet_tools.exports.pictures import Picture
    from imagenet_tools.exports.pieces import Pieces
    from imagenet_tools.exports.plan import Plan
    from imagenet_tools.exports.writer import Row
    from imagenet_tools.storage.blob import Stamps


# ---- A file of an export in the making: what is put into it is gathered in one stretch of memory, and written at once.


_ROOM = 1 << 20  # bytes
_LARGE = 1 << 16  # bytes that are in memory already: written from there


class OutFile:
    """A new file, written from its beginning on; what an interrupted run left under its name goes."""

    def __init__(self, path: Path):
        path.unlink(missing_ok=True)
        self._stack = ExitStack()
        self._fd = self._stack.enter_context(new_file_in_partial(str(path)))
        self._path = str(path)
        self._room = memoryview(bytearray(_ROOM))
        self._n_waiting = 0  # bytes of it that are not written yet
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
        n = len(data)
        if self._n_waiting + n > _ROOM or n > _LARGE:
            self.flush()
            if n > _LARGE:
                self._put(data)
                return n
        self._room[self._n_waiting : self._n_waiting + n] = data
        self._n_waiting += n
        return n

    def send(self, picture: Picture) -> int:
        """Put an image behind what is there; gives how many bytes it has."""
        n = picture.length
        if self._n_waiting + n > _ROOM:
            self.flush()
            if n > _ROOM:
                self._written += picture.send(self._fd)
                return n
        picture.read_into(self._room[self._n_waiting : self._n_waiting + n])
        self._n_waiting += n
        return n

    def flush(self) -> None:
        """Hand what was gathered to the file."""
        n, self._n_waiting = self._n_waiting, 0
        if n:
            self._put(self._room[:n])

    def _put(self, data: bytes | memoryview) -> None:
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


# ----


_MANIFEST = "manifest.json"  # which cannot hold its own digest


@dataclass(frozen=True)
class Job:
    """The making of one target: `out` is its folder, which gets its name when all is there."""

    plan: Plan
    out: Path
    pieces: Pieces
    target: int  # its number among the targets of the same pass
    done: Path  # where the records of finished pieces lie
    stamps: Stamps  # of the sources; asked before workers are forked, as DuckDB hangs in a forked process
    wrote: list[str] = field(default_factory=list)  # what write() wrote

    # ---- shards and rows

    @cached_property
    def shards(self) -> tuple[Shard, ...]:
        """The shards of this target, in order; pieces without an image of it are none."""
        own = [(n, piece) for n, piece in enumerate(self.pieces.pieces) if piece.images[self.target]]
        splits = Counter(piece.split for _, piece in own)
        made: list[Shard] = []
        first, first_box = 0, 0
        for n, piece in own:
            images, boxes = piece.images[self.target], piece.boxes[self.target]
            number = made[-1].number + 1 if made and made[-1].split == piece.split else 0
            made.append(Shard(number, splits[piece.split], piece.split, images, boxes, first, first_box, n))
            first, first_box = first + images, first_box + boxes
        return tuple(made)

    @cached_property
    def shard_of(self) -> dict[int, Shard]:
        """The shard that a piece is, by the number of the piece."""
        return {shard.piece: shard for shard in self.shards}

    @cached_property
    def made(self) -> Rows:
        """What makes the rows of this target."""
        return Rows(self.plan, self.target)

    def rows(self, split: str | None = None) -> Iterator[Row]:
        """The images, or those of a split, in order, once all shards are finished; without those left out of them."""
        for shard in (one for one in self.shards if split in (None, one.split)):
            left_out = {(dataset, image_id) for _, dataset, image_id, _ in self.record(shard)["left_out"]}
            for row in self.planned(shard):
                if (row.dataset, row.image_id) not in left_out:
                    yield row

    def left_out_rows(self) -> Iterator[Row]:
        """The images that were left out of shards, for they could not be decoded."""
        for shard in self.shards:
            left_out = {(dataset, image_id) for _, dataset, image_id, _ in self.record(shard)["left_out"]}
            if left_out:
                yield from (row for row in self.planned(shard) if (row.dataset, row.image_id) in left_out)

    def planned(self, shard: Shard) -> Iterator[Row]:
        """The images of a shard, in order."""
        number, first_box = shard.first, shard.first_box
        for columns in self.pieces.columns(shard.piece):
            rows = self.made.of(columns, changes(self.plan.options, columns), number, first_box)
            number, first_box = number + len(rows), first_box + sum(len(row.boxes) for row in rows)
            yield from rows

    def notes(self) -> Iterator[tuple[Shard, Mapping[str, Any]]]:
        """The note that each shard's sink left, in the order of the shards."""
        for one in self.shards:
            yield one, self.record(one)["targets"][self.plan.target]["note"]

    def record(self, shard: Shard) -> dict[str, Any]:
        """The record of the piece that a shard is: see exports.work."""
        found: dict[str, Any] = json.loads((self.done / f"{shard.piece}.json").read_text())
        return found

    # ---- files

    @property
    def scratch(self) -> Path:
        """A folder for what is not to stay, on the same file system; shards may write there, finish() may read."""
        folder = self.done.with_name(f"scratch-{self.plan.target}")
        folder.mkdir(exist_ok=True)
        return folder

    def create(self, name: str) -> OutFile:
        """A new file of the export for a shard; name it in Written.files. What an interrupted run left there goes."""
        path = Path(inside(self.out, name))
        path.parent.mkdir(parents=True, exist_ok=True)
        return OutFile(path)

    @contextmanager
    def writing(self, name: str) -> Iterator[IO[bytes]]:
        """A file to write in finish(), which appears when the block ends well, in the place of an earlier one."""
        path = Path(inside(self.out, name))
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole(path, replace=True, fsync=False) as file:
            yield file
        if name != _MANIFEST and name not in self.wrote:
            self.wrote.append(name)

    def write(self, name: str, data: bytes | Iterable[bytes]) -> None:
        """Write a file of the export, whole; large ones are given piece by piece, as they are made."""
        with self.writing(name) as file:
            file.writelines((data,) if isinstance(data, bytes) else data)


# ---- A sink for formats of a file an image: each image at its place, and what stands beside it.


Beside = Callable[["Row"], Iterable[tuple[str, bytes]]]


class FilePerImage:
    """Puts every image at `path_of(row)` below the export, with the files (path, bytes) that `beside(row)` gives."""

    def __init__(self, job: Job, path_of: Callable[[Row], str], *, beside: Beside | None = None):
        self._job, self._path_of, self._beside = job, path_of, beside
        self._folders: set[str] = set()
        self._made: list[ImageFile] = []
        self._ways: dict[str, int] = {}
        self._of = ALL_BYTES if job.plan.options.hash else LABEL_BYTES

    def add(self, row: Row, picture: Picture) -> None:
        """Put an image in its place."""
        path = self._path_of(row)
        dest = self._ready(path)
        way = picture.put(dest, self._job.plan.options.link)
        self._ways[way] = self._ways.get(way, 0) + 1
        digest = ""
        if has_bytes(self._of, path):
            with Path(dest).open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        self._made.append(ImageFile(path, picture.length, digest))
        for name, data in self._beside(row) if self._beside else ():
            where = self._ready(name)
            Path(where).unlink(missing_ok=True)
            with new_file_in_partial(where) as fd, open(fd, "wb", closefd=False) as out:
                out.write(data)
            digest = hashlib.sha256(data).hexdigest() if has_bytes(self._of, name) else ""
            self._made.append(ImageFile(name, len(data), digest))

    def _ready(self, path: str) -> str:
        where = inside(self._job.out, path)
        folder = path.rpartition("/")[0]
        if folder not in self._folders:
            (self._job.out / folder).mkdir(parents=True, exist_ok=True)
            self._folders.add(folder)
        return where

    def close(self) -> SinkOutput:
        """The files that were made."""
        return SinkOutput(images=tuple(self._made), note={"placed": self._ways})
