"""WebDataset shards of ImageNet, as timm's on Hugging Face: tars in which the members of one key are a sample.

    imagenet1k-train-0000.tar ... 1023          imagenet12k-, imagenet22k-train-0000.tar ... 4095, or any other name
        n01440764_10026.cls     the class number, in ASCII
        n01440764_10026.jpg     the image; .webp in imagenet-w21-webp-wds
        n01440764_10026.json    {"label", "width", "height", "filename": "n01440764/n01440764_10026.JPEG"}; in others
                                class_name, a wnid, and orig_width, orig_height if the image was resized
    imagenet1k-validation-00.tar ... 63
    _info.json                  {"splits": {name: {"filenames", "shard_lengths", "num_samples"}}}; also info.json

If the key is none of ImageNet's names, the filename in the JSON may be one. The names of the images decide the meaning
of class numbers. Neither numbers nor the names of shards are trusted: the shards of winter 2021 are published as
imagenet12k-train. timm's shards of the 1,000 classes hold the images of TensorFlow Datasets: the originals, except 23
that are encoded again. Shards of more classes are resized, and so is an image of another size than its JSON states.
These are data sets of their own, with ImageNet's photos. image_tars reads a tar of images without labels.

formats/webdataset/shards.py writes these shards, and draws its layout. In an export of this project, the JSON gives the
image and its class.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path

from imagenet_tools.catalogue import lists
from imagenet_tools.containers import tar
from imagenet_tools.formats._shared import sharding
from imagenet_tools.formats._shared.contract import gathers, names_in
from imagenet_tools.formats.webdataset.shards import WRITES, finish, hazards, load, open_shard, read_back  # noqa: F401
from imagenet_tools.images.detection import dataset_name
from imagenet_tools.images.image_rows import ImageRows, reencoded
from imagenet_tools.images.jpeg import reader_at
from imagenet_tools.images.numbering import Meaning, check_label, meaning_of
from imagenet_tools.images.samples import Sample, first_samples, samples
from imagenet_tools.images.tar_scan import CLASS_TAR
from imagenet_tools.text import joined
from imagenet_tools.units import Detection, Labelling, Reads, Unit, unit_file
from imagenet_tools.wordnet.wnid import SPLIT_FOLDERS

READS = Reads(
    holds=("images",),
    beside=frozenset(
        {"_info.json", "info.json", "info.yaml", "README.md", ".gitattributes", "classes.json", "manifest.json"}
    ),
    problems={
        "reencoded": "one of the 23 images that TensorFlow's converters encode again",
        "resized": "the JSON says that the image was resized, though its data set is one of originals",
    },
)

_ADVICE = (
    "the members of a sample are not next to each other in the tar, and loaders of WebDataset take them for several "
    "samples; here they are joined. To sort a shard: tar -xf SHARD -C FOLDER, then "
    "tar --sort=name -cf SHARD -C FOLDER ."
)
_SHARD = re.compile(
    r"(?P<name>.*?)(?:[-_.]?(?P<split>train|validation|valid|val|test))?[-_.]?\d+(?:-[a-z]+)?\.tar", re.ASCII
)
_LOOKED_AT_SAMPLES = 64  # of the first shard of each split that has samples
_LOOKED_AT_SAMPLES_OF_OTHERS = 4
# The published class lists that timm's shards are called after.
_CLASS_LISTS = {"imagenet1k": "ilsvrc2012", "imagenet12k": "imagenet12k", "imagenet22k": "fall11"}
# Names of data sets of original images begin so; the others are named after their shards.
_ORIGINALS = "ilsvrc"


def _describe(path: Path, shard_set: sharding.ShardSet[Sample]) -> Detection:
    name = shard_set.name
    if not shard_set.alone:
        path = path / f"{name}[-_0-9]*.tar"  # separates the shards of several data sets in one folder
    folder = path if path.is_dir() else path.parent
    resized = sum(bool(image.facts.size_before) for image in shard_set.images)
    dataset, readings = shard_set.dataset(f"{name} {path.name}")
    contradiction = _contradiction(name, shard_set)
    if len(shard_set.exported) == 1 and not resized:
        [dataset], readings = shard_set.exported, ()
    elif resized or not dataset.startswith(_ORIGINALS) or not shard_set.reading.may_be(_ORIGINALS):
        called = folder.name if contradiction or not name else name
        dataset, readings = dataset_name(folder.name if folder.name.endswith("-wds") else f"{called}-wds"), ()
    unread = ", ".join(sorted({field for image in shard_set.images for field in image.facts.fields}))
    evidence = shard_set.evidence(
        "an export of this project, whose JSON gives images and classes"
        if shard_set.exported
        else shard_set.reading.evidence,
        contradiction,
        f"{resized:,} of {len(shard_set.images):,} images seen were resized: a data set of its own" if resized else "",
        f"fields that are not read: {unread}" if unread else "",
    )
    labelling = Labelling("the samples' JSON", "wordnet") if shard_set.exported else shard_set.labelling("wordnet")
    advice = _ADVICE if any(image.facts.apart for image in shard_set.images) else ""
    about = (evidence, shard_set.splits, _missing(folder, shard_set), labelling, readings, advice)
    return Detection("webdataset", path, dataset, ("images",), *about)


def _contradiction(name: str, shard_set: sharding.ShardSet[Sample]) -> str:
    """Return what contradicts the name of the shards: winter 2021's are published as imagenet12k; "" for nothing."""
    class_list = _CLASS_LISTS.get(name.lower())
    others = len(shard_set.wnids - set(lists.get(class_list).wnids)) if class_list else 0
    if class_list is None or (not others and shard_set.reading.may_be(class_list)):
        return ""
    why = (
        f"{others:,} of {len(shard_set.wnids):,} classes seen are none of its"
        if others
        else "their numbers are not its"
    )
    return f"the shards are called {name}, and {why}: the name is not trusted"


def _files(path: Path) -> list[Path]:
    """Return the tars at a path, which may be a folder, a pattern in a folder, or one file; class tars are left out."""
    if path.is_file():
        return [path] if tar.is_tar(path) else []
    folder, pattern = (path.parent, path.name) if "*" in path.name else (path, "*.tar")
    if not folder.is_dir():
        return []
    names = names_in(folder, lambda name: fnmatchcase(name, pattern) and _SHARD.fullmatch(name))
    return [folder / name for name in names if not CLASS_TAR.fullmatch(name)]


def _parse(file: Path) -> sharding.ShardName:
    match = _SHARD.fullmatch(file.name)
    name, word = (match["name"], match["split"]) if match else (file.stem, None)
    if name in SPLIT_FOLDERS and word is None:
        name, word = "", name
    split = SPLIT_FOLDERS.get(word or "")
    return sharding.ShardName(file.parent, name.rstrip("-_."), split or "", split)


def _look(files: Sequence[Path]) -> list[sharding.FirstImage[Sample]]:
    """Return the first samples of some shards, most of them of the first shard that has any."""
    first = next((n for n, file in enumerate(files) if first_samples(file, 1)), None)
    if first is None:
        return []
    seen = first_samples(files[first], _LOOKED_AT_SAMPLES)
    for file in sharding.spread(files[first + 1 :]):
        seen += first_samples(file, _LOOKED_AT_SAMPLES_OF_OTHERS)
    return [_first_image(sample) for sample in seen]


def _first_image(sample: Sample) -> sharding.FirstImage[Sample]:
    stem = sample.stem_and_wnid[0] if sample.stem_and_wnid else ""
    dataset = sample.facts["dataset"] if sample.exported else None
    return sharding.FirstImage(sample.key, stem, sharding.class_of_stem(stem), sample.labels, sample, dataset)


def _missing(folder: Path, shard_set: sharding.ShardSet[Sample]) -> str:
    """Return how many shards of each split _info.json lists that are not there."""
    present = {shard.name for group in shard_set.groups for shard in group.shards}
    for name in ("_info.json", "info.json"):
        try:
            listed = json.loads((folder / name).read_bytes())["splits"].values()
            files_of = {split["name"]: [str(file) for file in split["filenames"]] for split in listed}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue
        return joined(
            sharding.missing_shards(sum(file not in present for file in files), len(files), split)
            for split, files in files_of.items()
        )
    return ""


_SHARDS = sharding.ShardForm("webdataset", "WebDataset", _files, _parse, _look, _describe)

detect = _SHARDS.detect
units = partial(_SHARDS.units, nameless=True)
files = unit_file


@gathers(ImageRows)
def scan(unit: Unit, rows: ImageRows) -> Iterator[None]:
    """Add the images of a shard; an unusable sample becomes a problem."""
    meaning = meaning_of(unit.numbers)
    with unit.path.open("rb", buffering=0) as file:
        for sample in samples(file.fileno(), unit.file):
            _add(rows, unit, sample, file.fileno(), meaning)
            yield


def _add(rows: ImageRows, unit: Unit, sample: Sample, fd: int, meaning: Meaning | None) -> None:
    """Add the image of a sample, and its problems."""
    stem, wnid = sample.stem_and_wnid or (None, None)
    image = sample.image
    for code, reason in sample.problems:
        rows.problem(code, unit.file, reason, sample.key, stem)
    if image is None:
        rows.problem("no_image", unit.file, "a sample without an image; expected a .jpg", sample.key, stem)
        return
    if stem is None:
        reason = f"neither the key {sample.key} nor a filename is one of ImageNet's names, such as n01440764_10026"
        rows.problem("no_name", unit.file, reason, image.name)
        return
    more = reader_at(fd, image.offset)
    facts = rows.add(
        stem,
        file=unit.file,
        member=image.name,
        offset=image.offset,
        length=image.size,
        head=sample.head,
        more=more,
        wnid=wnid or sample.wnid,
        photo=sample.facts["photo"] if sample.exported else None,
    )
    for number in sample.labels:
        check_label(rows, stem, number, meaning, unit.file, image.name)
    if unit.dataset.startswith(_ORIGINALS):
        if size := sample.resized(facts.width, facts.height):
            reason = f"the JSON says it had {size} pixels: no original; name the data set it is of, with --dataset"
            rows.problem("resized", unit.file, reason, image.name, stem)
        if change := reencoded(stem, sample.head, image.size, more):
            rows.problem("reencoded", unit.file, change, image.name, stem)
