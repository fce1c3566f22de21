"""The images of an export beside those of the index: the same bytes, or what the export's options make of them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from imagenet_tools.containers.blob import Descriptors
from imagenet_tools.containers.payload import reading_order
from imagenet_tools.errors import ImagenetToolsError
from imagenet_tools.exports.options import Facts, make_options
from imagenet_tools.exports.pictures import Picture, Source

if TYPE_CHECKING:
    from imagenet_tools.exports.writer import Found
    from imagenet_tools.index.opened import Index

_AT_ONCE = 1024  # images that are looked up at a time


class Originals:
    """Takes images that were read back, and compares a sample of them, or every one, with the index."""

    def __init__(self, index: Index, manifest: Mapping[str, Any], *, every: bool, sample: int):
        said = dict(manifest["recipe"]["options"])
        said.pop("names", None)  # the file of names may be gone; it says nothing of bytes
        self._index, self._options = index, make_options(said)
        self._datasets = [one["dataset"] for one in manifest["sources"]]
        # A share of the stems by hash, about as many as a sample has: the same ones each time.
        self._below = (1 << 32) if every else (sample << 32) // max(int(manifest["images"]), 1)
        self._waiting: dict[str, str] = {}  # SHA-256 by stem
        self.compared = 0
        self.others: list[str] = []  # stems of images with other bytes
        self.unknown: list[str] = []
        self.failed: list[str] = []  # why images of the index could not be read

    def take(self, found: Found) -> None:
        """Take an image, to be compared if it is of the sample."""
        hashed = int.from_bytes(hashlib.sha256(found.stem.encode()).digest()[:4], "big")
        if hashed >= self._below or found.read is None:
            return
        self._waiting[found.stem] = hashlib.sha256(found.read()).hexdigest()
        if len(self._waiting) >= _AT_ONCE:
            self.finish()

    def finish(self) -> None:
        """Compare those that wait."""
        if not self._waiting:
            return
        width, height = self._options.size_sql()
        rows = self._index.cursor().execute(
            f"""SELECT replace(image_id, '/', '_') AS stem, source, file, "offset", length, member, position,
                       compression, width, height, mode, encoding, orientation, {width} AS out_width,
                       {height} AS out_height
                FROM images WHERE stem IN (SELECT unnest($stems::VARCHAR[]))
                AND dataset IN (SELECT unnest($datasets::VARCHAR[])) AND width IS NOT NULL""",
            {"stems": list(self._waiting), "datasets": self._datasets},
        )
        names = [name for name, *_ in rows.description]
        known = [dict(zip(names, row, strict=True)) for row in rows.fetchall()]
        where = ("source", "file", "offset", "length", "member", "position", "compression", "encoding")
        placed = [(self._index.image_place(*(one[name] for name in where)), one) for one in known]
        found: dict[str, set[str]] = {}
        with Descriptors(stamps=self._index.stamps) as files:
            for place, one in sorted(placed, key=lambda pair: reading_order(pair[0])):
                facts = Facts(*(one[name] for name in Facts._fields))
                change, _ = self._options.change(facts, (one["out_width"], one["out_height"]))
                source = Source(place, change, "eoi" in self._options.repair)
                have = found.setdefault(one["stem"], set())
                try:
                    have.add(hashlib.sha256(Picture(source, files).data()).hexdigest())
                except (ImagenetToolsError, OSError) as error:
                    self.failed.append(f"{one['stem']}: {error}")
                    self._waiting.pop(one["stem"], None)
        for stem, digest in self._waiting.items():
            if stem not in found:
                self.unknown.append(stem)
            elif digest not in found[stem]:
                self.others.append(stem)
        self.compared += len(self._waiting)
        self._waiting = {}
