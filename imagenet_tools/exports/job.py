"""What a writer is given: the plan, its rows and shards, and the way to put files into the export."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from imagenet_tools.exports.outfile import OutFile
from imagenet_tools.exports.rows import Rows, changes
from imagenet_tools.exports.writer import Row, Shard
from imagenet_tools.files import inside, whole

if TYPE_CHECKING:
    from imagenet_tools.containers.stamps import Stamps
    from imagenet_tools.exports.pieces import Pieces
    from imagenet_tools.exports.plan import Plan

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
