"""MDS shards, which MosaicML's streaming reads: the original bytes, the class index and facts of each image.

    root/train/index.json       the shards and their columns
    root/train/shard.00000.mds ...
        json        the facts of the image: see _shared/sample_facts.py
        x           the original bytes, with the encoding jpeg: Pillow opens them, also if they are no JPEG
        y           the class index, int64
    root/val/ ...               a folder for each split

    StreamingImageNet(local="root", split="train")

A shard has offsets first (see _shared/offset_shards.py), then its columns as JSON. A sample is the sizes of json and x
(u32), then json, x and y. The bytes are those that MDSWriter writes without compression and hashes. streaming reads
index.json and the shards that it names. Recipe, lock, manifest and classes.json are in root/, beside the splits.

Layout: mosaicml-streaming 0.13, streaming/base/format/mds/writer.py.
"""

from __future__ import annotations

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
from imagenet_tools.exports.writer import Loaded, ReadBack, Row, Shard, Writes
from imagenet_tools.formats._shared import card, offset_shards, sample_facts
from imagenet_tools.formats._shared.contract import no_hazards, read_range

WRITES = Writes(boxes=True, shard_bytes=1 << 26, ordered=True, fields=True)  # MDSWriter's default size

_INDEX = "index.json"
_LABEL = struct.Struct("<q")
_SIZES = struct.Struct("<II")
_COLUMNS: dict[str, Any] = {
    "column_encodings": ["json", "jpeg", "int"],
    "column_names": ["json", "x", "y"],
    "column_sizes": [None, None, _LABEL.size],
    "compression": None,
    "format": "mds",
    "hashes": [],
    "size_limit": WRITES.shard_bytes,
    "version": 2,
}
_HEAD = json.dumps(_COLUMNS, sort_keys=True).encode()


def hazards(plan: Plan) -> Iterator[str]:
    """Yield nothing. ExportError: shards are too large, or a field would hide a key."""
    card.refuse_fields(plan, sample_facts.KEYS, "key of every sample's JSON")
    offset_shards.refuse_large_shards(plan)
    return no_hazards(plan)


class _MdsSink(offset_shards.OffsetSink):
    """Writes the samples of one shard."""

    def __init__(self, job: Job, shard: Shard):
        super().__init__(job, shard, f"{shard.split}/shard.{shard.number:05d}.mds", _HEAD)
        self._facts = sample_facts.SampleFacts(job.plan)

    def add(self, row: Row, picture: Picture) -> None:
        """Append a sample."""
        facts = self._facts.of(row)
        self.out.write(_SIZES.pack(len(facts), picture.length) + facts)
        self.out.send(picture)
        self.out.write(_LABEL.pack(row.class_index))
        self.end_item()


open_shard = _MdsSink


def finish(job: Job) -> None:
    """Write the index of each split; a shard without a sample is not in it."""
    shards: dict[str, list[dict[str, Any]]] = {split: [] for split in job.plan.splits}
    for shard, note in job.notes():
        if note["images"]:
            raw_data = {"basename": f"shard.{shard.number:05d}.mds", "bytes": note["bytes"], "hashes": {}}
            entry = {**_COLUMNS, "raw_data": raw_data, "samples": note["images"], "zip_data": None}
            shards[shard.split].append(entry)
    for split, entries in shards.items():
        index = json.dumps({"shards": entries, "version": 2}, sort_keys=True)
        job.write(f"{split}/{_INDEX}", index.encode())


def read_back(root: Path) -> Iterator[ReadBack]:
    """Yield the samples of the shards, with the boxes in their JSON."""
    for path in sorted(root.glob("*/shard.*.mds")):
        for start, end in offset_shards.items(path):
            facts_size, image_size = _SIZES.unpack(read_range(path, start, _SIZES.size))
            facts_at = start + _SIZES.size
            image_at = facts_at + facts_size
            if image_at + image_size + _LABEL.size != end:
                message = f"{path}: found a sample of {end - start:,} bytes at {start:,} whose columns take others."
                raise FormatError(message, code="sample_damaged")
            facts = json.loads(read_range(path, facts_at, facts_size))
            [label] = _LABEL.unpack(read_range(path, image_at + image_size, _LABEL.size))
            read = partial(read_range, path, image_at, image_size)
            yield sample_facts.read_back(facts, path.parent.name, label, read)


def load(root: Path) -> Loaded:
    """Return what MosaicML's streaming finds in each split."""
    import streaming

    images: dict[str, Counter[int]] = {}
    boxes: Counter[str] = Counter()
    for index in sorted(root.glob(f"*/{_INDEX}")):
        split = index.parent.name
        images[split] = Counter()
        dataset = streaming.StreamingDataset(local=str(root), split=split, batch_size=1)
        for n in range(dataset.size):
            sample = dataset[n]
            images[split][sample["y"]] += 1
            boxes[split] += len(sample["json"]["boxes"])
    return Loaded(f"mosaicml-streaming {streaming.__version__}", None, "wnid", images, boxes)
