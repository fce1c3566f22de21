"""LitData chunks, which Lightning's StreamingDataset reads: the original bytes, class index and facts of each image.

    root/train/index.json       the chunks, and the types of an item
    root/train/chunk-0-0.bin ...
        image       the original bytes
        label       the class index, int64
        json        the facts of the image as text: see _shared/sample_facts.py
    root/val/ ...               a folder for each split

    def decode(item):
        return to_pixels(Image.open(io.BytesIO(item["image"]))), item["label"]

    StreamingDataset("root/train", transform=decode)

A chunk has offsets first (see _shared/offset_shards.py). An item is the sizes of image, label and json (u32), then
their bytes. This is the layout PyTreeLoader without compression, which every release reads; for plain values, the
writer of newer ones stores Arrow's. Images have the type bytes: the loader decodes the type jpeg itself, and turns
images by EXIF in some releases only. The type of json is text, because its lists have different lengths, which no
default collate function stacks. StreamingDataset reads index.json and the chunks that it names. Recipe, lock, manifest
and classes.json are in root/, beside the splits.

Layout: litdata 0.2.76, litdata/streaming/writer.py.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from imagenet_tools.errors import FormatError
from imagenet_tools.exports.job import Job
from imagenet_tools.exports.pictures import Picture
from imagenet_tools.exports.plan import Plan
from imagenet_tools.exports.writer import Loaded, ReadBack, Row, Shard, SinkOutput, Writes
from imagenet_tools.formats._shared import card, offset_shards, sample_facts
from imagenet_tools.formats._shared.contract import no_hazards, read_range

WRITES = Writes(boxes=True, shard_bytes=64_000_000, ordered=True, fields=True)  # "64MB", as in LitData's guides

_INDEX = "index.json"
_LABEL = struct.Struct("<q")
_SIZES = struct.Struct("<III")
_TYPES = {"image": "bytes", "label": "int", "json": "str"}
_LEAF: dict[str, Any] = {"type": None, "context": None, "children_spec": []}
# A dict of leaves, as litdata's copy of PyTorch's treespec_dumps() spells it, protocol 1.
_SPEC = [1, {"type": "builtins.dict", "context": json.dumps(list(_TYPES)), "children_spec": [_LEAF] * len(_TYPES)}]


def hazards(plan: Plan) -> Iterator[str]:
    """Yield nothing. ExportError: chunks are too large, or a field would hide a key."""
    card.refuse_fields(plan, sample_facts.KEYS, "key of every item's JSON")
    offset_shards.refuse_large_shards(plan)
    return no_hazards(plan)


def _name(shard: Shard) -> str:
    return f"chunk-0-{shard.number}.bin"


class _ChunkSink(offset_shards.OffsetSink):
    """Writes the items of one chunk."""

    def __init__(self, job: Job, shard: Shard):
        super().__init__(job, shard, f"{shard.split}/{_name(shard)}")
        self._facts = sample_facts.SampleFacts(job.plan)
        self._digest = hashlib.sha256()  # of the facts of the items, their ids among them

    def add(self, row: Row, picture: Picture) -> None:
        """Append an item."""
        facts = self._facts.of(row)
        self.out.write(_SIZES.pack(picture.length, _LABEL.size, len(facts)))
        self.out.send(picture)
        self.out.write(_LABEL.pack(row.class_index) + facts)
        self._digest.update(facts)
        self.end_item()

    def close(self) -> SinkOutput:
        """Complete the chunk; the note has the digest of its facts too."""
        output = super().close()
        return output._replace(note={**output.note, "sha256": self._digest.hexdigest()})


open_shard = _ChunkSink


def finish(job: Job) -> None:
    """Write the index of each split; a chunk without an item is not in it."""
    chunks: dict[str, list[dict[str, Any]]] = {split: [] for split in job.plan.splits}
    digest = hashlib.sha256()
    for shard, note in job.notes():
        digest.update(note["sha256"].encode())
        if note["images"]:
            facts = {"chunk_bytes": note["bytes"], "chunk_size": note["images"], "dim": None, "filename": _name(shard)}
            chunks[shard.split].append(facts)
    config = {
        "chunk_bytes": job.plan.options.shard_size or WRITES.shard_bytes,
        "chunk_size": None,
        "compression": None,
        "data_format": list(_TYPES.values()),
        "data_spec": json.dumps(_SPEC),
        "encryption": None,
        "item_loader": "PyTreeLoader",
    }
    # The name of the loader's folder for copies of remote chunks: an export of other items has another one.
    updated_at = digest.hexdigest()
    for split, entries in chunks.items():
        index = json.dumps({"chunks": entries, "config": config, "updated_at": updated_at}, sort_keys=True)
        job.write(f"{split}/{_INDEX}", index.encode())


def read_back(root: Path) -> Iterator[ReadBack]:
    """Yield the items of the chunks, with the boxes in their JSON."""
    for path in sorted(root.glob("*/chunk-*.bin")):
        for start, end in offset_shards.items(path):
            image_size, label_size, facts_size = _SIZES.unpack(read_range(path, start, _SIZES.size))
            image_at = start + _SIZES.size
            label_at = image_at + image_size
            if label_size != _LABEL.size or label_at + label_size + facts_size != end:
                message = f"{path}: found an item of {end - start:,} bytes at {start:,} whose values take others."
                raise FormatError(message, code="item_damaged")
            [label] = _LABEL.unpack(read_range(path, label_at, label_size))
            facts = json.loads(read_range(path, label_at + label_size, facts_size))
            read = partial(read_range, path, image_at, image_size)
            yield sample_facts.read_back(facts, path.parent.name, label, read)


def load(root: Path) -> Loaded:
    """Return what LitData finds in each split."""
    import litdata

    images: dict[str, Counter[int]] = {}
    boxes: Counter[str] = Counter()
    for index in sorted(root.glob(f"*/{_INDEX}")):
        split = index.parent.name
        images[split] = Counter()
        for item in litdata.StreamingDataset(str(index.parent)):
            images[split][item["label"]] += 1
            boxes[split] += len(json.loads(item["json"])["boxes"])
    return Loaded(f"litdata {litdata.__version__}", None, "wnid", images, boxes)
