"""Hugging Face's Parquet shards, as ILSVRC/imagenet-1k has them: the bytes of the images in a column.

    data/train-00000-of-00294.parquet           columns: image {bytes, path}, label
    data/validation-00000-of-00014.parquet
    data/test-00000-of-00028.parquet            label -1
    default/train/0000.parquet                  or as the hub converts: [config/]<split>/<number>, partial-<split>

The paths carry the class behind the name: n01440764_10026_n01440764.JPEG, ILSVRC2012_val_00000293_n01440764.JPEG; the
name before it is ImageNet's, and the image's id. ILSVRC2012_test_00000001.JPEG has none. Labels are numbers, whose
names stand in the schema's metadata under `huggingface`: words, which are no keys, or wnids; or labels are texts. What
numbers mean is decided from the names, and they are held against the names and the official labels.

Written by formats/hf_parquet/shards.py, which draws its own layout; read again, its columns tell images and classes.
An image is read back by its row, and costs the decoding of its row group: see containers/parquet_images.py.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

from imagenet_tools.catalogue import labels
from imagenet_tools.errors import FormatError, ImagenetToolsError
from imagenet_tools.exports.writer import Writes
from imagenet_tools.formats.hf_parquet import shards
from imagenet_tools.images import image_rows, numbering
from imagenet_tools.images.image_rows import ImageRows
from imagenet_tools.images.numbering import Numbering, hold_label, read_numbers, shard_units
from imagenet_tools.images.parquet_rows import LabelledShard, Said
from imagenet_tools.images.shards import dataset_told, nameless, own_name, split_told, spread
from imagenet_tools.storage.blob import Descriptors
from imagenet_tools.units import Detection, Labelling, Reads, Unit, unit_file
from imagenet_tools.wordnet.wnid import SPLIT_FOLDERS, keeps_imagenet_name, without_label, wnid_of_stem
from imagenet_tools.wordnet.wordnet import find_row

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pyarrow as pa


WRITES = Writes(
    keeps=("image_id", "photo", "wnid", "split", "length", "width", "height", "mode", "encoding", "orientation"),
    boxes=True,
    turned=True,
    shard_bytes=500_000_000,
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
        {
            "README.md",
            ".gitattributes",
            "classes.py",
            "dataset_infos.json",
            "index.duckdb",
            "classes.json",
            "manifest.json",
        }
    ),
    problems=image_rows.PROBLEMS
    | numbering.PROBLEMS
    | {
        "parquet_damaged": "the file, or a row group of it, cannot be read; the others are kept",
        "no_image": "a row without the bytes of an image",
        "no_name": "an image whose path is none of ImageNet's names, and so without an id; it is not indexed",
    },
)

_SHARD = re.compile(r"(?:(?P<split>[A-Za-z]+)-)?\d+(?:-of-(?P<of>\d+)(?:-[0-9a-f]{16})?)?\.parquet")

# Rows of a shard that are looked at to tell what it holds, and the first bytes of an image.
_SEEN, _HEAD = 1_000, 4096


class _ParquetGroup(NamedTuple):
    """Shards of one name, such as train-*-of-00294, and what the first of them that can be read holds."""

    shards: list[Path]
    of: int | None  # how many they say they are
    names: list[Said]  # what is said of the first images that have one of ImageNet's names
    pairs: list[tuple[str, int]]  # the class that a name tells, and the number beside it
    listed: bool  # whether it lists the wnids of its numbers itself
    resized: bool  # whether it is an export of this project that resized its images
    unread: list[str]  # columns that nothing reads
    split: str | None  # what the images' official names say, else the shards' own
    largest: int  # bytes of the images in the largest row group


def detect(path: Path) -> list[Detection]:
    """The shards in a folder, in its data/ or in folders of its splits, or one file; told by schema and names."""
    found = _groups(path)
    groups = [group for group in found if group.names]
    if not groups:
        what = f"{sum(len(one.shards) for one in found):,} Parquet shards whose images have none of ImageNet's names"
        return nameless("hf_parquet", path, "", what) if found else []
    names = [name for group in groups for name in group.names]
    told = [_told(name) for name in names]
    wnids = {wnid for _, wnid in told if wnid is not None}
    reading = read_numbers(pair for group in groups for pair in group.pairs)
    dataset, readings = dataset_told((stem for stem, _ in told), wnids, name=path.name, reading=reading)
    labelling = Labelling("the images' names", dataset)
    evidence = reading.evidence
    exported = {said.own.dataset for said in names if said.own}
    if exported:
        evidence = "an export of this project, whose columns tell images and classes"
        labelling = Labelling("the column wnid", "wordnet")
        if any(group.resized for group in groups):
            evidence += ", resized: a data set of its own"
            exported = {own_name(f"{(path if path.is_dir() else path.parent).name}-parquet")}
        if len(exported) == 1:
            [dataset], readings = exported, ()
    elif any(group.listed for group in groups):
        evidence = "class numbers of the files' own list of wnids"
        labelling = Labelling("the files' own list of wnids, held against the images' names", "wordnet")
    elif reading.numbering:
        labelling = reading.numbering.labelling("class numbers, held against the images' names")
    n = sum(len(group.shards) for group in groups)
    what = f"{n:,} Parquet shard{'' if n == 1 else 's'} of images, {names[0].name} first; {evidence}"
    unread = sorted({column for group in groups for column in group.unread})
    return [
        Detection(
            "hf_parquet",
            path,
            dataset,
            ("images",),
            what + (f"; columns that are not read: {', '.join(unread)}" if unread else ""),
            tuple(dict.fromkeys(group.split for group in groups if group.split)),
            "; ".join(
                f"{group.of - len(group.shards):,} of {group.of:,} shards of {group.split or 'the data set'}"
                for group in groups
                if group.of is not None and len(group.shards) < group.of
            ),
            labelling,
            readings,
            "an image read by itself costs the decoding of its row group, "
            f"up to {max(group.largest for group in groups) / 1e6:,.1f} MB here; read in order, each is decoded once",
        )
    ]


def _groups(path: Path) -> list[_ParquetGroup]:
    """The shards at a path by split: training, validation, test."""
    files = _files(path)
    named: dict[tuple[str, str], list[Path]] = {}
    for file in files:
        found = _SHARD.fullmatch(file.name)
        named.setdefault((file.parent.as_posix(), (found["split"] or "") if found else ""), []).append(file)
    groups = (_group(shards, name) for (_, name), shards in named.items())
    found_groups = [group for group in groups if group is not None]
    return sorted(found_groups, key=lambda group: ["train", "val", "test", None].index(group.split))


def _files(path: Path) -> list[Path]:
    """The Parquet files at a path that are named as shards are, or the one file."""
    if path.is_file():
        return [path] if path.suffix == ".parquet" else []
    if not path.is_dir():
        return []
    splits = [folder for home in (path, path / "default") if home.is_dir() for folder in home.iterdir()]
    folders = [path, path / "data", *(folder for folder in splits if _split_of(folder.name))]
    found = [file for folder in folders if folder.is_dir() for file in folder.glob("*.parquet")]
    return sorted(file for file in found if _SHARD.fullmatch(file.name))


def _group(shards: list[Path], called: str) -> _ParquetGroup | None:
    """What shards of one name hold, by some that can be read; None where none has a column of images."""
    counts = [int(found["of"]) for shard in shards if (found := _SHARD.fullmatch(shard.name)) and found["of"]]
    read = [shard for shard in map(_look, spread(shards)) if shard is not None]
    if not read:
        return None
    first = [said for _, shard in read for said in shard]
    names = [said for said in first if _is_imagenets(said)]
    numbers = ((_told(said)[1], said.label) for said in first if said.name and isinstance(said.label, int))
    pairs = [(wnid, number) for wnid, number in numbers if wnid is not None and number >= 0]
    split = split_told((_told(said)[0] for said in names), _split_of(called) or _split_of(shards[0].parent.name))
    listed = any(facts.listed for facts, _ in read)
    unread = sorted({column for facts, _ in read for column in facts.unread})
    largest = max(facts.largest for facts, _ in read)
    resized = any(facts.resized for facts, _ in read)
    return _ParquetGroup(shards, max(counts, default=None), names, pairs, listed, resized, unread, split, largest)


class _Facts(NamedTuple):
    listed: bool
    resized: bool
    unread: list[str]
    largest: int


def _look(path: Path) -> tuple[_Facts, list[Said]] | None:
    """What a shard's footer and the first names and labels say; None where it cannot be read."""
    try:
        with Descriptors() as files:
            shard = LabelledShard.open(files, path, path.name)
            largest = max(map(shard.file.size, shard.file.groups), default=0)
            return _Facts(shard.meaning is not None, shard.resized, shard.unread, largest), shard.first(_SEEN)
    except ImagenetToolsError:
        return None  # the scan of this shard says what is wrong with it


def _split_of(name: str) -> str | None:
    return SPLIT_FOLDERS.get(name.lower().removeprefix("partial-"))


def _told(said: Said) -> tuple[str, str | None]:
    """(the stem as ImageNet spells it, the class that it tells) of a row."""
    if said.own:
        return said.own.image_id, said.own.wnid
    stem, put = without_label(PurePosixPath(said.name or "").stem)
    return stem, put or wnid_of_stem(stem) or labels.validation_wnid(stem)


def _is_imagenets(said: Said) -> bool:
    """Whether a path ends in a name of ImageNet's: an official one, or one of a class that exists; or of an export."""
    stem, _ = _told(said)
    wnid = wnid_of_stem(stem)
    return said.own is not None or (keeps_imagenet_name(stem) and (wnid is None or find_row(wnid) is not None))


def units(found: Detection, source: str, root: Path) -> Iterator[Unit]:
    """One unit a shard, by split and number."""
    shards = ((group.split, shard) for group in _groups(found.path) if group.names for shard in group.shards)
    return shard_units("hf_parquet", found, source, root, shards)


files = unit_file


def scan(unit: Unit) -> Iterator[tuple[str, pa.RecordBatch]]:
    """The images of a shard, a row group at a time; a row, or a row group, that cannot be used becomes a problem."""
    rows = ImageRows(unit)
    try:
        with Descriptors() as files:
            shard = LabelledShard.open(files, unit.path, unit.file)
            meaning = shard.meaning or Numbering.parse(unit.numbers)
            for group in shard.file.groups:
                try:
                    found = shard.rows(group)
                except FormatError as error:
                    rows.problem(error.code, unit.file, f"{error} Its rows are not indexed.", f"row group {group}")
                    continue
                for row, (image, said) in enumerate(found, shard.file.starts[group]):
                    _add(rows, unit, row, image, said, meaning)
                if rows.full():
                    yield from rows.batches()
    except FormatError as error:
        rows.problem(error.code, unit.file, str(error))
    yield from rows.batches()


def _add(
    rows: ImageRows,
    unit: Unit,
    row: int,
    image: pa.Buffer | None,
    said: Said,
    meaning: numbering.Meaning | None,
) -> None:
    """Add the image of a row, or what is wrong with it."""
    name, label, own = said
    stem, put = (own.image_id, own.wnid) if own else without_label(PurePosixPath(name or "").stem)
    if own is None and not keeps_imagenet_name(stem):
        reason = f"row {row:,} is called {name!r}; expected a name such as n01440764_10026.JPEG"
        rows.problem("no_name", unit.file, reason, f"row {row}")
        return
    if image is None:
        rows.problem("no_image", unit.file, f"row {row:,} has no bytes of an image", name, stem)
        return
    value = memoryview(image)
    rows.add(
        stem,
        file=unit.file,
        member=None if name == f"{stem}.JPEG" else name,
        offset=None,
        position=row,
        compression="parquet",
        length=len(value),
        head=bytes(value[:_HEAD]),
        more=lambda offset, n: bytes(value[offset : offset + n]),
        wnid=put,
        photo=own.photo if own else None,
    )
    hold_label(rows, stem, label, meaning, unit.file, name)
