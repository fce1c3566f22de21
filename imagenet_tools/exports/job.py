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

from imagenet_tools.annotations import bbox
from imagenet_tools.exports.options import Facts
from imagenet_tools.exports.outfile import OutFile
from imagenet_tools.exports.writer import Box, Origin, Row, Shard
from imagenet_tools.files import whole
from imagenet_tools.images.transform import mode_after

if TYPE_CHECKING:
    from imagenet_tools.containers.payload import Place
    from imagenet_tools.exports.pieces import Pieces
    from imagenet_tools.exports.plan import Plan

# What the suffix of ImageNet's own names stands for, also where it is not true.
_AS_JPEG = ("jpeg", "png")
_MANIFEST = "manifest.json"  # which cannot hold its own digest


@dataclass(frozen=True)
class Job:
    """The making of one target: `out` is its folder, which gets its name when all is there."""

    plan: Plan
    out: Path
    pieces: Pieces
    target: int  # its number among the targets of the same pass
    done: Path  # where the records of finished pieces lie
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
        for values in self.pieces.rows(shard.piece):
            if values["targets"] >> self.target & 1:
                row = self.row(values, number, first_box)
                number, first_box = number + 1, first_box + len(row.boxes)
                yield row

    def notes(self) -> Iterator[tuple[Shard, Mapping[str, Any]]]:
        """The note that each shard's sink left, in the order of the shards."""
        for one in self.shards:
            yield one, self.record(one)["targets"][self.plan.target]["note"]

    def record(self, shard: Shard) -> dict[str, Any]:
        """The record of the piece that a shard is: see exports.work."""
        found: dict[str, Any] = json.loads((self.done / f"{shard.piece}.json").read_text())
        return found

    def row(self, values: Mapping[str, Any], number: int, first_box: int) -> Row:
        """An image as this target's loader will find it, from a row of the pieces."""
        plan, options = self.plan, self.plan.options
        facts = facts_of(values)
        size = (values["out_width"], values["out_height"])
        change, _ = options.change(facts, size)
        orientation, encoding, mode = facts.orientation, facts.encoding, facts.mode
        turned = change.orientation if change is not None else None
        if change is not None:
            encoding, mode = "jpeg", mode_after(mode, rgb=change.rgb)
            orientation = None if turned else orientation
        width, height = size[::-1] if turned in bbox.TRANSPOSED else size
        shown = orientation if plan.writer.TURNED else None
        return Row(
            number=number,
            dataset=values["dataset"],
            image_id=values["image_id"],
            photo=values["photo"],
            wnid=values["wnid"],
            official_wnid=values["official_wnid"],
            class_index=self._index_of[values["wnid"]],
            split=values["split"],
            official_split=values["official_split"],
            stem=values["image_id"].replace("/", "_"),
            suffix=_suffix(values, changed=change is not None),
            width=width,
            height=height,
            mode=mode,
            encoding=encoding,
            orientation=orientation,
            box_width=height if shown in bbox.TRANSPOSED else width,
            box_height=width if shown in bbox.TRANSPOSED else height,
            boxes=self._boxes(values["found"], turned or shown) if plan.writer.BOXES else (),
            first_box=first_box,
            fields={key: values[f"field {key}"] for key, _ in options.fields},
            origin=Origin(*(values[name] for name in Origin._fields)),
        )

    @cached_property
    def _index_of(self) -> dict[str, int]:
        return self.plan.index_of

    def _boxes(self, found: list[dict[str, Any]] | None, orientation: int | None) -> tuple[Box, ...]:
        made = []
        for box in found or ():
            index = self._index_of.get(box["wnid"])
            if index is None:
                continue
            edges = (box["left"], box["top"], box["right"], box["bottom"])
            if orientation is not None and 1 < orientation <= 8:
                left, top, right, bottom = (float(edge) for edge in bbox.turn(*edges, orientation))
                edges = (left, top, right, bottom)
            made.append(Box(index, *edges, box["pose"], box["truncated"], box["difficult"]))
        return tuple(made)

    # ---- files

    @property
    def scratch(self) -> Path:
        """A folder for what is not to stay, on the same file system; shards may write there, finish() may read."""
        folder = self.done.with_name(f"scratch-{self.plan.target}")
        folder.mkdir(exist_ok=True)
        return folder

    def create(self, name: str) -> OutFile:
        """A new file of the export for a shard; name it in Written.files. What an interrupted run left there goes."""
        path = self.out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return OutFile(path)

    @contextmanager
    def writing(self, name: str) -> Iterator[IO[bytes]]:
        """A file to write in finish(), which appears when the block ends well, in the place of an earlier one."""
        path = self.out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole(path, replace=True, fsync=False) as file:
            yield file
        if name != _MANIFEST and name not in self.wrote:
            self.wrote.append(name)

    def write(self, name: str, data: bytes | Iterable[bytes]) -> None:
        """Write a file of the export, whole; large ones are given piece by piece, as they are made."""
        with self.writing(name) as file:
            file.writelines((data,) if isinstance(data, bytes) else data)


def facts_of(values: Mapping[str, Any]) -> Facts:
    """What the index says of an image, from a row of the pieces."""
    return Facts(*(values[name] for name in Facts._fields))


def place_of(plan: Plan, values: Mapping[str, Any]) -> Place:
    """Where the bytes of an image lie, from a row of the pieces."""
    where = ("source", "file", "offset", "length", "member", "position", "compression")
    return plan.index.image_place(*(values[name] for name in where))


def _suffix(values: Mapping[str, Any], *, changed: bool) -> str:
    if changed:
        return ".JPEG"
    if values["offset"] == 0 and values["compression"] is None:  # a file of its own
        name = values["file"].rpartition("/")[2]
        return name[name.rindex(".") :] if "." in name[1:] else ".JPEG"
    return ".JPEG" if values["encoding"] in _AS_JPEG else f".{values['encoding']}"
