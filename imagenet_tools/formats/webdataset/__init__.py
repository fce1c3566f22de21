"""WebDataset shards of ImageNet, as timm's on Hugging Face: tars in which members of one key make a sample.

    imagenet1k-train-0000.tar ... 1023          imagenet12k-, imagenet22k-train-0000.tar ... 4095, or any other name
        n01440764_10026.cls     the class number, in ASCII
        n01440764_10026.jpg     the image; .webp in imagenet-w21-webp-wds
        n01440764_10026.json    {"label", "width", "height", "filename": "n01440764/n01440764_10026.JPEG"}; in others
                                class_name, a wnid, and orig_width, orig_height where the image was resized
    imagenet1k-validation-00.tar ... 63
    _info.json                  {"splits": {name: {"filenames", "shard_lengths", "num_samples"}}}; also info.json

Where the key is none of ImageNet's names, the filename in the JSON may be one. Class numbers are decided from the names
and never trusted, nor are the names of shards: those of winter 2021 are published as imagenet12k-train. timm's shards
of the 1,000 classes hold the images as TensorFlow Datasets has them: the originals, but for 23 that are encoded anew.
Those of more classes are resized, as is whatever has another size than its JSON states, and so data sets of their own,
with ImageNet's photos. A tar of images alone is read by image_tars.

Written by formats/webdataset/shards.py, which draws its own layout; read again, the JSON tells images and classes.
"""

from __future__ import annotations

import json
import os
import re
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, NamedTuple

from imagenet_tools.catalogue import lists
from imagenet_tools.containers import tar
from imagenet_tools.errors import FormatError
from imagenet_tools.exports.writer import Writes
from imagenet_tools.formats.webdataset import shards
from imagenet_tools.images import image_rows, numbering
from imagenet_tools.images.image_rows import ImageRows, reencoded
from imagenet_tools.images.image_scan import CLASS_TAR
from imagenet_tools.images.numbering import Numbering, Reading, hold_label, read_numbers, shard_units
from imagenet_tools.images.samples import PROBLEMS as OF_SAMPLES
from imagenet_tools.images.samples import Sample, Seen, first_samples, samples
from imagenet_tools.images.shards import dataset_told, nameless, own_name, split_told, spread
from imagenet_tools.units import Detection, Labelling, Reads, Unit, unit_file
from imagenet_tools.wordnet.wnid import SPLIT_FOLDERS, keeps_imagenet_name, wnid_of_stem
from imagenet_tools.wordnet.wordnet import find_row

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pyarrow as pa


WRITES = Writes(
    keeps=("image_id", "photo", "wnid", "split", "length", "width", "height", "mode", "encoding", "orientation"),
    boxes=True,
    shard_bytes=250_000_000,
    ordered=True,
    fields=True,
)

hazards = shards.hazards
open_shard = shards.open_shard
finish = shards.finish
read_back = shards.read_back
load = shards.load


# What scan() may report, for the table problems.
READS = Reads(
    holds=("images",),
    beside=frozenset(
        {"_info.json", "info.json", "info.yaml", "README.md", ".gitattributes", "classes.json", "manifest.json"}
    ),
    problems=image_rows.PROBLEMS
    | tar.PROBLEMS
    | numbering.PROBLEMS
    | OF_SAMPLES
    | {
        "reencoded": "one of the 23 images that TensorFlow's converters encode anew",
        "resized": "the JSON says that the image was resized, though its data set is one of originals",
    },
)

_ADVICE = (
    "the members of a sample do not lie together in the tar, and loaders of WebDataset take them for several samples; "
    "they are put together here. To sort a shard: tar -xf SHARD -C FOLDER, then "
    "tar --sort=name -cf SHARD -C FOLDER ."
)
_SHARD = re.compile(
    r"(?P<name>.*?)(?:[-_.]?(?P<split>train|validation|valid|val|test))?[-_.]?\d+(?:-[a-z]+)?\.tar", re.ASCII
)
# Samples that are looked at: of the first shard of each split, and of some others.
_SEEN, _SEEN_OF_OTHERS = 64, 4
# The published lists of classes that timm's shards are called by.
_CALLED = {"imagenet1k": "ilsvrc2012", "imagenet12k": "imagenet12k", "imagenet22k": "fall11"}
# Data sets of originals: the others are named after the shards.
_ORIGINALS = "ilsvrc"


class _Split(NamedTuple):
    """The shards of one data set and split, and what the first samples of some of them are."""

    name: str  # of the data set, as the shards are called
    split: str | None  # what the official names say, else the shards
    shards: list[Path]
    seen: list[Seen]  # those with a name of ImageNet's


def detect(path: Path) -> list[Detection]:
    """The shards in a folder, one detection a data set, or one shard; told by the names of their first samples."""
    splits = _splits(path)
    found = [one for one in splits if one.seen]
    names = sorted({one.name for one in found})
    if len(names) > 1:
        # Where shards of several data sets lie in one folder, a pattern tells which are meant.
        return [_detect(path / f"{name}[-_0-9]*.tar", [one for one in found if one.name == name]) for name in names]
    if found or not splits:
        return [_detect(path, found)] if found else []
    what = f"{sum(len(one.shards) for one in splits):,} WebDataset shards whose samples have none of ImageNet's names"
    return nameless("webdataset", path, splits[0].name, what)


def _detect(path: Path, splits: list[_Split]) -> Detection:
    seen = [one for split in splits for one in split.seen]
    wnids = {one.wnid for one in seen if one.wnid}
    reading = read_numbers((one.wnid, n) for one in seen if one.wnid for n in one.sample.labels if n >= 0)
    resized = sum(bool(one.before) for one in seen)
    name = splits[0].name
    exported = {one.sample.facts["dataset"] for one in seen if one.sample.exported}
    stems = [one.stem for one in seen]
    dataset, readings = dataset_told(stems, wnids, name=f"{name} {path.name}", reading=reading)
    misnamed = _misnamed(name, wnids, reading)
    if len(exported) == 1 and not resized:
        [dataset], readings = exported, ()
    elif resized or not dataset.startswith(_ORIGINALS) or not reading.may_be(_ORIGINALS):
        readings = ()
        folder = (path if path.is_dir() else path.parent).name
        dataset = own_name(folder if folder.endswith("-wds") else f"{folder if misnamed else name or folder}-wds")
    n = sum(len(split.shards) for split in splits)
    unread = sorted({ext for one in seen for ext in one.sample.fields})
    what = "an export of this project, whose JSON tells images and classes" if exported else reading.evidence
    parts = [
        f"{n:,} WebDataset shard{'' if n == 1 else 's'}, the first sample {seen[0].sample.key}",
        what,
        misnamed,
        f"{resized:,} of {len(seen):,} images seen were resized: a data set of its own" * bool(resized),
        f"fields that are not read: {', '.join(unread)}" * bool(unread),
    ]
    by = "class numbers, held against the samples' names"
    labelling = reading.numbering.labelling(by) if reading.numbering else Labelling("the samples' names", "wordnet")
    if exported:
        labelling = Labelling("the samples' JSON", "wordnet")
    evidence = "; ".join(filter(None, parts))
    of_splits = tuple(dict.fromkeys(split.split for split in splits if split.split))
    missing = _missing(path, splits)
    advice = _ADVICE if any(one.sample.apart for one in seen) else ""
    holds = ("images",)
    return Detection("webdataset", path, dataset, holds, evidence, of_splits, missing, labelling, readings, advice)


def _misnamed(name: str, wnids: set[str], reading: Reading) -> str:
    """What contradicts the name of the shards, in words: winter 2021's are published as imagenet12k."""
    said = _CALLED.get(name.lower())
    if said is None:
        return ""
    others = len(wnids - set(lists.get(said).wnids))
    if not others and reading.may_be(said):
        return ""
    why = f"{others:,} of {len(wnids):,} classes seen are none of its" if others else "their numbers are none of its"
    return f"the shards are called {name}, and {why}: the name is not trusted"


def _splits(path: Path) -> list[_Split]:
    """The shards at a path by data set and split: training, validation, test."""
    shards: dict[tuple[str, str | None], list[Path]] = {}
    for file in _tars(path):
        named = _SHARD.fullmatch(file.name)
        name, split = (named["name"], named["split"]) if named else (file.stem, None)
        if name in SPLIT_FOLDERS and split is None:
            name, split = "", name
        shards.setdefault((name.rstrip("-_."), SPLIT_FOLDERS.get(split or "")), []).append(file)
    found: list[_Split] = []
    for (name, split), files in shards.items():
        first = next((n for n, file in enumerate(files) if first_samples(file, 1)), None)
        if first is None:
            continue
        others = [one for file in spread(files[first + 1 :]) for one in first_samples(file, _SEEN_OF_OTHERS)]
        seen = [one for one in [*first_samples(files[first], _SEEN), *others] if _is_imagenets(one)]
        found.append(_Split(name, split_told((one.stem for one in seen), split), files, seen))
    return sorted(found, key=lambda one: (one.name, ["train", "val", "test", None].index(one.split)))


def _is_imagenets(one: Seen) -> bool:
    """Whether a sample is named as ImageNet's are, and its class, where the name tells one, exists; or of an export."""
    stem = one.stem
    if one.sample.exported:
        return True
    wnid = wnid_of_stem(stem)
    return keeps_imagenet_name(stem) and (wnid is None or find_row(wnid) is not None)


def _tars(path: Path) -> list[Path]:
    """The tars at a path, which may be a folder, a pattern in a folder, or one file; no class tars."""
    if path.is_file():
        return [path] if tar.is_tar(path) else []
    folder, pattern = (path.parent, path.name) if "*" in path.name else (path, "*.tar")
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in entries if fnmatchcase(entry.name, pattern) and entry.is_file())
    return [folder / name for name in names if _SHARD.fullmatch(name) and not CLASS_TAR.fullmatch(name)]


def _missing(path: Path, splits: list[_Split]) -> str:
    """What _info.json lists and is not there."""
    folder = path if path.is_dir() else path.parent
    there = {shard.name for split in splits for shard in split.shards}
    for name in ("_info.json", "info.json"):
        try:
            listed = json.loads((folder / name).read_bytes())["splits"].values()
            names = {split["name"]: [str(file) for file in split["filenames"]] for split in listed}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue
        lacking = {split: sum(file not in there for file in files) for split, files in names.items()}
        return "; ".join(f"{n:,} of {len(names[split]):,} shards of {split}" for split, n in lacking.items() if n)
    return ""


def units(found: Detection, source: str, root: Path) -> Iterator[Unit]:
    """One unit a shard, by split and number."""
    shards = ((split.split, shard) for split in _splits(found.path) for shard in split.shards)
    return shard_units("webdataset", found, source, root, shards)


files = unit_file


def scan(unit: Unit) -> Iterator[tuple[str, pa.RecordBatch]]:
    """The images of a shard; a sample that cannot be used becomes a problem."""
    rows = ImageRows(unit)
    meaning = Numbering.parse(unit.numbers)
    with unit.path.open("rb", buffering=0) as file:
        try:
            for sample in samples(file.fileno(), unit.file):
                _add(rows, unit, sample, file.fileno(), meaning)
                if rows.full():
                    yield from rows.batches()
        except FormatError as error:
            # The good samples before the break are kept; the break is said.
            rows.problem(error.code, unit.file, str(error), error.member or None)
    yield from rows.batches()


def _add(rows: ImageRows, unit: Unit, sample: Sample, fd: int, meaning: Numbering | None) -> None:
    """Add the image of a sample, and what is wrong with it."""
    told, image = sample.told, sample.image
    stem = told[0] if told else None
    for code, reason in sample.problems:
        rows.problem(code, unit.file, reason, sample.key, stem)
    if image is None:
        rows.problem("no_image", unit.file, "a sample without an image; expected a .jpg", sample.key, stem)
        return
    if told is None or stem is None:
        reason = f"neither the key {sample.key} nor a filename is one of ImageNet's names, such as n01440764_10026"
        rows.problem("no_name", unit.file, reason, image.name)
        return

    def more(offset: int, n: int) -> bytes:
        return os.pread(fd, n, image.offset + offset)

    facts = rows.add(
        stem,
        file=unit.file,
        member=image.name,
        offset=image.offset,
        length=image.size,
        head=sample.head,
        more=more,
        wnid=told[1] or sample.wnid,
        photo=sample.facts["photo"] if sample.exported else None,
    )
    for number in sample.labels:
        hold_label(rows, stem, number, meaning, unit.file, image.name)
    if unit.dataset.startswith(_ORIGINALS):
        if size := sample.resized(facts.width, facts.height):
            reason = f"the JSON says it had {size} pixels: no original; name the data set it is of, with --dataset"
            rows.problem("resized", unit.file, reason, image.name, stem)
        if anew := reencoded(stem, sample.head, image.size, more):
            rows.problem("reencoded", unit.file, anew, image.name, stem)
