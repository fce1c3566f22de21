"""WebDataset shards as they are written: samples of a class number, an image and what the index knows of it.

    train-000000.tar                a sample: the members of one key, together, sorted by their fields
        n01440764_10026.cls         the class index of the export, in ASCII
        n01440764_10026.jpg         the bytes as they are. Also those that are no JPEG: loaders ask for jpg, tell the
                                    encoding by content, and want the same fields in every sample
        n01440764_10026.json        see webdataset_json
    README.md                       types and splits, for Hugging Face's datasets
    with --side-files
    train-000000.idx                DALI's index, as its wds2idx writes it
    train.wids.json                 wids' index: shards, their samples, sizes and MD5
    _info.json                      timm's; besides the splits, one a label space that some class has a number in

A key has no dot, and no other sample has it, whatever the case; what is neither a letter nor a digit of ASCII, nor '_'
or '-', becomes %XX.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections import Counter
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from imagenet_tools.containers import tar_header
from imagenet_tools.errors import ExportError, FormatError
from imagenet_tools.exports.writer import Loaded, ReadBack, SinkOutput
from imagenet_tools.formats.hf_parquet import card
from imagenet_tools.formats.webdataset import sidecar
from imagenet_tools.images.samples import samples

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imagenet_tools.exports.job import Job
    from imagenet_tools.exports.pictures import Picture
    from imagenet_tools.exports.plan import Plan
    from imagenet_tools.exports.writer import Row, Shard

_PLAIN = re.compile(r"[A-Za-z0-9_-]+")
_LONGEST_KEY = tar_header.LONGEST_NAME - len(".json")

_NOTES = """A sample has `cls`, the class index, `jpg`, the image's bytes as they are in ImageNet, and `json`:

- `dataset`, `image_id`, `photo`, `filename`: which image it is
- `label`, `class_wnid`: its class here; `wnid`, `name`, `lemmas`: its own synset; `parents`, `ancestors`: what is above
- `ilsvrc2012` and others: the number of its synset in published label spaces, -1 where it has none
- `width`, `height`, `mode`, `encoding`, `orientation`: the raster as stored, and how its EXIF block says to turn it
- `boxes` (xmin, ymin, xmax, ymax in pixels), `boxes_normalised` (0 to 1), `box_labels`: in the raster as stored"""


def key_of(stem: str) -> str:
    """The key of a sample; no two stems have the same."""
    return stem if _PLAIN.fullmatch(stem) else quote(stem, safe="").replace(".", "%2E").replace("~", "%7E")


def hazards(plan: Plan) -> Iterator[str]:
    """What no loader can take is refused: keys that are too long, fields that hide one of ours."""
    sidecar.refuse_fields(plan)
    # Three bytes are the most that one becomes.
    long = plan.selection.run(
        "SELECT image_id FROM made WHERE left_out IS NULL AND strlen(image_id) * 3 > $most ORDER BY 1",
        {"most": _LONGEST_KEY},
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
        yield f"images that are no JPEG are called .jpg too, for all samples must have one: {kinds}; --repair png"
    if plan.boxes():
        yield "boxes are partial: in each image, only objects of its own class are boxed"


def open_shard(job: Job, shard: Shard) -> ShardSink:
    """A tar."""
    return ShardSink(job, shard)


def _name(shard: Shard, suffix: str = "tar") -> str:
    return f"{shard.split}-{shard.number:06d}.{suffix}"


class ShardSink:
    """Writes the samples of one tar."""

    def __init__(self, job: Job, shard: Shard):
        self._job, self._shard = job, shard
        self._tar = job.create(_name(shard))
        self._about = sidecar.About(job.plan)
        self._side_files = job.plan.options.side_files
        self._index: list[str] = []
        self._n = 0

    def add(self, row: Row, picture: Picture) -> None:
        """Put a sample behind the others."""
        tar, key, length = self._tar, key_of(row.stem), picture.length
        name, cls, about = key.encode(), b"%d" % row.class_index, self._about.of(row)
        start = tar.tell()
        jpg = tar_header.header(name + b".jpg", length)
        tar.write(b"".join((tar_header.header(name + b".cls", len(cls)), cls, tar_header.padding(len(cls)), jpg)))
        tar.send(picture)
        padding = tar_header.padding(len(about))
        tar.write(
            b"".join((tar_header.padding(length), tar_header.header(name + b".json", len(about)), about, padding))
        )
        self._n += 1
        if self._side_files:
            places = (start + 512, start + 3 * 512, tar.tell() - len(about) - len(padding))
            of = zip(("cls", "jpg", "json"), places, (len(cls), length, len(about)), strict=True)
            self._index.append(" ".join(f"{ext} {place} {size} {key}.{ext}" for ext, place, size in of))

    def close(self) -> SinkOutput:
        """End the tar, and write its index."""
        self._tar.write(tar_header.END)
        self._tar.close()
        name = _name(self._shard)
        note: dict[str, Any] = {"samples": self._n, "spaces": self._about.numbered}
        if not self._side_files:
            return SinkOutput(files=(name,), note=note)
        with (self._job.out / name).open("rb") as file:
            note |= {"md5": hashlib.file_digest(file, "md5").hexdigest(), "bytes": os.fstat(file.fileno()).st_size}
        index = self._job.create(_name(self._shard, "idx"))
        index.write("".join(f"{line}\n" for line in (f"v1.2 {self._n}", *self._index)).encode())
        index.close()
        return SinkOutput(files=(name, _name(self._shard, "idx")), note=note)


def finish(job: Job) -> None:
    """README.md, and where they are asked for the indexes of wids and timm."""
    notes = list(job.notes())
    images = {split: sum(note["samples"] for shard, note in notes if shard.split == split) for split in job.plan.splits}
    files = {split: f"{split}-*.tar" for split in job.plan.splits}
    features = {
        "__key__": card.value("string"),
        "__url__": card.value("string"),
        "cls": card.class_label(card.label_names(job.plan)),
        "jpg": card.IMAGE,
        "json": sidecar.About(job.plan).features(job),
    }
    card.write_card(job, card.Card("ImageNet in WebDataset shards", files, images, features, _NOTES))
    if job.plan.options.side_files:
        for split in job.plan.splits:
            own = [(shard, note) for shard, note in notes if shard.split == split]
            job.write(f"{split}.wids.json", _as_json(_wids(split, own)))
        job.write("_info.json", _as_json({"splits": dict(_timm_splits(job.plan, notes))}))


def _as_json(content: object) -> bytes:
    return (json.dumps(content, indent=1) + "\n").encode()


def _wids(split: str, notes: list[tuple[Shard, Any]]) -> dict[str, object]:
    shards = [
        {"url": _name(shard), "md5sum": note["md5"], "nsamples": note["samples"], "filesize": note["bytes"]}
        for shard, note in notes
    ]
    return {"__kind__": "wids-shard-index-v1", "wids_version": 1, "name": split, "base": "", "shardlist": shards}


def _timm_splits(plan: Plan, notes: list[tuple[Shard, Any]]) -> Iterator[tuple[str, dict[str, object]]]:
    """Each split, and each once more for every label space: timm then leaves out the samples without a number in it."""
    for split in plan.splits:
        own = [(shard, note) for shard, note in notes if shard.split == split]
        called = card.CALLED.get(split, split)
        spaces = sorted({space for _, note in own for space in note["spaces"]})
        for space in ("", *spaces):
            lengths = [note["spaces"].get(space, 0) if space else note["samples"] for _, note in own]
            name = f"{called}-{space}" if space else called
            yield (
                name,
                {
                    "name": name,
                    "num_samples": sum(lengths),
                    "filenames": [_name(shard) for shard, _ in own],
                    "shard_lengths": lengths,
                    "alt_label": space,
                },
            )


# ---- read again


def read_back(root: Path) -> Iterator[ReadBack]:
    """The samples of the tars, with the boxes that their JSON tells."""
    for path in sorted(root.glob("*.tar")):
        split = path.name.rpartition("-")[0]
        with path.open("rb", buffering=0) as file:
            for sample in samples(file.fileno(), path.name):
                if sample.image is None or not sample.exported or sample.problems:
                    message = f"{path}: found {sample.key} with {sorted(sample.texts)}; expected cls, jpg and json."
                    raise FormatError(message, code="no_image")
                told = sample.facts
                boxes = zip(told["box_labels"], told["boxes_normalised"], strict=True)
                yield ReadBack(
                    told["image_id"].replace("/", "_"),
                    split,
                    int(sample.texts["cls"]),
                    tuple((label, *edges) for label, edges in boxes),
                    partial(_read, path, sample.image.offset, sample.image.size),
                )


def _read(path: Path, offset: int, size: int) -> bytes:
    with path.open("rb") as file:
        file.seek(offset)
        return file.read(size)


def load(root: Path) -> Loaded:
    """What the library webdataset makes of the tars."""
    import webdataset

    images: dict[str, Counter[int]] = {}
    boxes: Counter[str] = Counter()
    for path in sorted(root.glob("*.tar")):
        split = path.name.rpartition("-")[0]
        for sample in webdataset.WebDataset(str(path), shardshuffle=False, empty_check=False).decode():
            images.setdefault(split, Counter())[sample["cls"]] += 1
            boxes[split] += len(sample["json"]["boxes"])
    return Loaded(f"webdataset {webdataset.__version__}", None, "wnid", images, boxes)
