"""WebDataset shards as this project writes them: samples of a class number, an image and its facts in the index.

    train-000000.tar                a sample: the members of one key, together, sorted by their fields
        n01440764_10026.cls         the class index of the export, in ASCII
        n01440764_10026.jpg         the original bytes, also of images that are no JPEG: loaders ask for jpg, detect the
                                    encoding from the content, and want the same fields in every sample
        n01440764_10026.json        see _shared/sample_facts.py
    README.md                       types and splits, for Hugging Face's datasets
    with --side-files
    train-000000.idx                DALI's index, as its wds2idx writes it
    train.wids.json                 wids' index: shards, their samples, sizes and MD5
    _info.json                      timm's; it has each split, and each split again for every label space with numbers

The lock, recipe and manifest of an export are at its root, beside classes.json: see exports.manifest.

A key has no dot, and is unique without regard to case. A character other than an ASCII letter or digit, '_' or '-'
becomes %XX.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any
from urllib.parse import quote

from imagenet_tools.containers import tar_header
from imagenet_tools.errors import ExportError, FormatError
from imagenet_tools.exports.job import Job
from imagenet_tools.exports.pictures import Picture
from imagenet_tools.exports.plan import Plan
from imagenet_tools.exports.writer import KEPT, Loaded, ReadBack, Row, Shard, SinkOutput, Writes
from imagenet_tools.formats._shared import card, sample_facts
from imagenet_tools.formats._shared.contract import FileSink, read_range
from imagenet_tools.images.samples import samples

WRITES = Writes(keeps=(*KEPT, "photo"), boxes=True, shard_bytes=250_000_000, ordered=True, fields=True)

_PLAIN_KEY = re.compile(r"[A-Za-z0-9_-]+")
_LONGEST_KEY = tar_header.LONGEST_NAME - len(".json")
_QUOTED_BYTES = 3  # at most, of one byte of an image's id

_NOTES = """A sample has `cls`, the class index, `jpg`, the image's bytes as they are in ImageNet, and `json`:

- `dataset`, `image_id`, `photo`, `filename`: which image it is
- `label`, `class_wnid`: its class here; `wnid`, `name`, `lemmas`: its own synset; `parents`, `ancestors`: what is above
- `ilsvrc2012` and others: the number of its synset in published label spaces, -1 where it has none
- `width`, `height`, `mode`, `encoding`, `orientation`: the raster as stored, and how its EXIF block says to turn it
- `boxes` (xmin, ymin, xmax, ymax in pixels), `boxes_normalised` (0 to 1), `box_labels`: in the raster as stored"""


def key_of(stem: str) -> str:
    """Return the key of a sample; two stems never have the same key."""
    return stem if _PLAIN_KEY.fullmatch(stem) else quote(stem, safe="").replace(".", "%2E").replace("~", "%7E")


def hazards(plan: Plan) -> Iterator[str]:
    """Yield a note on images that are no JPEG.

    ExportError: a key is too long for a tar, a field would hide a key of the JSON, or two splits have one name.
    """
    card.refuse_fields(plan, sample_facts.KEYS, "key of every sample's JSON")
    if set(card.CALLED) & set(plan.splits):  # its shards are called by the splits, and only README.md is not
        card.refuse_split_names(plan)
    long = plan.selection.run(
        "SELECT image_id FROM made WHERE left_out IS NULL AND strlen(image_id) * $growth > $most ORDER BY 1",
        {"growth": _QUOTED_BYTES, "most": _LONGEST_KEY},
    ).fetchall()
    for (image_id,) in long:
        key = key_of(image_id.replace("/", "_"))
        if len(key) > _LONGEST_KEY:
            message = f"{image_id}: its key would be {key}; a tar's member has room for {_LONGEST_KEY} bytes of it. "
            raise ExportError(message + 'Leave such images out: --where "strlen(image_id) <= 31".')
    others = plan.selection.run(
        "SELECT encoding, count(*) FROM made WHERE left_out IS NULL AND encoding <> 'jpeg' GROUP BY ALL ORDER BY ALL"
    ).fetchall()
    if others and plan.options.resize is None and "png" not in plan.options.repair:
        kinds = ", ".join(f"{n:,} {encoding}" for encoding, n in others)
        yield f"images that are no JPEG also get the suffix .jpg, which every sample must have: {kinds}; --repair png"


def _name(shard: Shard) -> str:
    return f"{shard.split}-{shard.number:06d}.tar"


class ShardSink(FileSink):
    """Writes the samples of one tar."""

    def __init__(self, job: Job, shard: Shard):
        super().__init__(job, _name(shard))
        self._job = job
        self._facts = sample_facts.SampleFacts(job.plan)
        self._side_files = job.plan.options.side_files
        self._index: list[str] = []
        self._n = 0

    def add(self, row: Row, picture: Picture) -> None:
        """Append a sample."""
        tar, key, length = self.out, key_of(row.stem), picture.length
        name, label, facts = key.encode(), b"%d" % row.class_index, self._facts.of(row)
        header, padding = tar_header.header, tar_header.padding
        start = tar.tell()
        tar.write(header(name + b".cls", len(label)) + label + padding(len(label)) + header(name + b".jpg", length))
        tar.send(picture)
        tar.write(padding(length) + header(name + b".json", len(facts)) + facts + padding(len(facts)))
        self._n += 1
        if self._side_files:
            block = tar_header.BLOCK
            image_at = start + 3 * block  # after header and block of the label, and its own header
            facts_at = image_at + length + len(padding(length)) + block
            members = (("cls", start + block, len(label)), ("jpg", image_at, length), ("json", facts_at, len(facts)))
            self._index.append(" ".join(f"{ext} {place} {size} {key}.{ext}" for ext, place, size in members))

    def close(self) -> SinkOutput:
        """Complete the tar, and write its index."""
        self.out.write(tar_header.END)
        length = self.out.tell()
        files = super().close().files
        note: dict[str, Any] = {"images": self._n, "spaces": self._facts.numbered}
        if self._side_files:
            with (self._job.out / self.name).open("rb") as file:
                note |= {"md5": hashlib.file_digest(file, "md5").hexdigest(), "bytes": length}
            index = FileSink(self._job, f"{self.name.removesuffix('.tar')}.idx")
            index.out.write("".join(f"{line}\n" for line in (f"v1.2 {self._n}", *self._index)).encode())
            files = (*files, *index.close().files)
        return SinkOutput(files=files, note=note)


open_shard = ShardSink


def finish(job: Job) -> None:
    """Write README.md, and with --side-files the indexes of wids and timm."""
    features = {
        "__key__": card.value("string"),
        "__url__": card.value("string"),
        "cls": card.class_label(card.label_names(job.plan)),
        "jpg": card.IMAGE,
        "json": sample_facts.SampleFacts(job.plan).features(job),
    }
    title = "ImageNet in WebDataset shards"
    card.write_card(job, title=title, pattern="{split}-*.tar", features=features, notes=_NOTES)
    if job.plan.options.side_files:
        timm_splits: dict[str, object] = {}
        for split, notes in groupby(job.notes(), key=lambda pair: pair[0].split):
            notes_of_split = list(notes)
            job.write(f"{split}.wids.json", _as_json(_wids(split, notes_of_split)))
            timm_splits |= _timm_splits(split, notes_of_split)
        job.write("_info.json", _as_json({"splits": timm_splits}))


def _as_json(content: object) -> bytes:
    return (json.dumps(content, indent=1) + "\n").encode()


def _wids(split: str, notes: list[tuple[Shard, Any]]) -> dict[str, object]:
    shards = [
        {"url": _name(shard), "md5sum": note["md5"], "nsamples": note["images"], "filesize": note["bytes"]}
        for shard, note in notes
    ]
    return {"__kind__": "wids-shard-index-v1", "wids_version": 1, "name": split, "base": "", "shardlist": shards}


def _timm_splits(split: str, notes: list[tuple[Shard, Any]]) -> dict[str, object]:
    """Return the split, and the split again for each label space: timm skips samples without a number in that space."""
    called = card.CALLED.get(split, split)
    lengths = {"": [note["images"] for _, note in notes]}
    for space in sorted({space for _, note in notes for space in note["spaces"]}):
        lengths[space] = [note["spaces"].get(space, 0) for _, note in notes]
    splits: dict[str, object] = {}
    for space, shard_lengths in lengths.items():
        name = f"{called}-{space}" if space else called
        splits[name] = {
            "name": name,
            "num_samples": sum(shard_lengths),
            "filenames": [_name(shard) for shard, _ in notes],
            "shard_lengths": shard_lengths,
            "alt_label": space,
        }
    return splits


def read_back(root: Path) -> Iterator[ReadBack]:
    """Yield the samples of the tars, with the boxes in their JSON."""
    for path in sorted(root.glob("*.tar")):
        split = path.name.rpartition("-")[0]
        with path.open("rb", buffering=0) as file:
            for sample in samples(file.fileno(), path.name):
                if sample.image is None or sample.number is None or not sample.exported or sample.problems:
                    message = f"{path}: found {sample.key} with {sorted(sample.texts)}; expected cls, jpg and json."
                    raise FormatError(message, code="no_image")
                read = partial(read_range, path, sample.image.offset, sample.image.size)
                yield sample_facts.read_back(sample.facts, split, sample.number, read)


def load(root: Path) -> Loaded:
    """Return what the library webdataset finds in the tars."""
    import webdataset

    images: dict[str, Counter[int]] = {}
    boxes: Counter[str] = Counter()
    for path in sorted(root.glob("*.tar")):
        split = path.name.rpartition("-")[0]
        for sample in webdataset.WebDataset(str(path), shardshuffle=False, empty_check=False).decode():
            images.setdefault(split, Counter())[sample["cls"]] += 1
            boxes[split] += len(sample["json"]["boxes"])
    return Loaded(f"webdataset {webdataset.__version__}", None, "wnid", images, boxes)
