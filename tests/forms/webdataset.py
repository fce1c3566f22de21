"""WebDataset shards as timm's on Hugging Face, by Python's tarfile: fields of a sample sorted, samples shuffled."""

import io
import json
import math
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from imagenet_tools.catalogue import labels, lists
from tests.forms.hf_parquet import split_of, wnid_of

# What a sample is, before it is written: its key, and its fields.
Sample = tuple[str, dict[str, bytes]]


def shuffled(stems: Iterable[str]) -> list[str]:
    """In an order that is none of the names'."""
    return sorted(stems, key=lambda stem: stem[::-1])


def sample_1k(stem: str, data: bytes) -> Sample:
    """As in imagenet-1k-wds, made from TensorFlow Datasets' shards."""
    wnid = wnid_of(stem)
    label = labels.ilsvrc2012_sorted().index(wnid) if wnid else -1
    width, height = Image.open(io.BytesIO(data)).size
    folder = f"{wnid}/" if wnid else ""
    facts = {"label": label, "width": width, "height": height, "filename": f"{folder}{stem}.JPEG"}
    return stem, {"cls": str(label).encode(), "jpg": data, "json": json.dumps(facts).encode()}


def sample_22k(
    stem: str, data: bytes, *, order: Sequence[str] | None = None, longest_short: int = 0, encoding: str = "JPEG"
) -> Sample:
    """As in imagenet-22k-wds, -12k-wds and -w21-wds: class_name for filename, and the size before a resize.

    In the order of fall 2011 the number among the 12k stands beside, -1 for none.
    """
    wnid = stem[:9]
    label = (order or labels.fall11()).index(wnid)
    image = Image.open(io.BytesIO(data + b"\xff\xd9"))  # one of the sample's lacks its end
    width, height = image.size
    few = lists.get("imagenet12k").wnids
    also = {} if order else {"label_12k": few.index(wnid) if wnid in few else -1}
    facts: dict[str, Any] = {"label": label, **also, "class_name": wnid, "width": width, "height": height}
    shrunk = bool(longest_short) and min(image.size) > longest_short
    if shrunk:
        scale = longest_short / min(image.size)
        image = image.convert("RGB").resize((round(width * scale), round(height * scale)))
        facts |= {"orig_width": width, "orig_height": height, "width": image.size[0], "height": image.size[1]}
    if shrunk or encoding != "JPEG":
        sink = io.BytesIO()
        image.convert("RGB").save(sink, encoding, quality=90)
        data = sink.getvalue()
    field = {"JPEG": "jpg", "WEBP": "webp"}[encoding]
    return stem, {"cls": str(label).encode(), field: data, "json": json.dumps(facts).encode()}


def write_shard(path: Path, samples: Iterable[Sample]) -> None:
    """One shard, as webdataset's TarWriter writes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as archive:
        for key, fields in samples:
            for ext in sorted(fields):
                member = tarfile.TarInfo(f"{key}.{ext}")
                member.size, member.mode, member.mtime = len(fields[ext]), 0o444, 1_660_000_000
                member.uname, member.gname = "bigdata", "bigdata"
                archive.addfile(member, io.BytesIO(fields[ext]))


def write(root: Path, name: str, splits: Mapping[str, list[Sample]], *, shards: Mapping[str, int]) -> Path:
    """<name>-<split>-<number>.tar and _info.json."""
    info: dict[str, Any] = {"name": name, "splits": {}}
    for split, samples in splits.items():
        n = shards[split]
        digits = max(1, math.ceil(math.log10(n)))
        files = [f"{name}-{split}-{number:0{digits}d}.tar" for number in range(n)]
        for number, file in enumerate(files):
            write_shard(root / file, samples[number::n])
        lengths = [len(samples[number::n]) for number in range(n)]
        facts = {"name": split, "filenames": files, "shard_lengths": lengths, "num_samples": sum(lengths)}
        info["splits"][split] = facts
    (root / "_info.json").write_text(json.dumps(info, indent=4))
    return root


def write_1k(root: Path, data: Mapping[str, bytes]) -> Path:
    """imagenet-1k-wds: training and validation images."""
    splits = {
        called: [sample_1k(stem, data[stem]) for stem in shuffled(data) if split_of(stem) == split]
        for called, split in (("train", "train"), ("validation", "val"))
    }
    return write(root, "imagenet1k", splits, shards={"train": 5, "validation": 2})
