"""Hugging Face's Parquet shards, as ILSVRC/imagenet-1k has them: the bytes of the images in a column.

    data/train-00000-of-00294.parquet           columns: image {bytes, path}, label
    data/validation-00000-of-00014.parquet
    data/test-00000-of-00028.parquet            label -1
    default/train/0000.parquet                  or as the hub converts: [config/]<split>/<number>, partial-<split>

The paths carry the class behind the name: n01440764_10026_n01440764.JPEG, ILSVRC2012_val_00000293_n01440764.JPEG. The
name before the class is ImageNet's, and the image's id. ILSVRC2012_test_00000001.JPEG has no class. Labels are numbers
or texts. The names of numbers are in the schema's metadata under `huggingface`: words, which are no keys, or wnids. The
names of the images decide the meaning of numbers, which are compared with them and with the official labels.

Other data sets in this form have images without names of ImageNet's. They are read with --dataset where the metadata
names every class without doubt: see formats/hf_parquet/nameless.py. ImageNet-Hard has a list of labels for each image:
see formats/hf_parquet/label_lists.py.

formats/hf_parquet/shards.py writes these shards, and draws its layout. In an export of this project, columns give the
image and its class. An image is read back by its row, which costs the decoding of its row group: see
containers/parquet_images.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

from imagenet_tools.annotations.annotation_rows import AnnotationRows
from imagenet_tools.errors import FormatError, ImagenetToolsError
from imagenet_tools.formats._shared import sharding
from imagenet_tools.formats._shared.contract import gathers, unit_at
from imagenet_tools.formats.hf_parquet import label_lists, nameless
from imagenet_tools.formats.hf_parquet.shards import WRITES, finish, hazards, load, open_shard, read_back  # noqa: F401
from imagenet_tools.images import numbering
from imagenet_tools.images.detection import dataset_name
from imagenet_tools.images.image_rows import HEAD, ImageRows
from imagenet_tools.images.numbering import check_label, meaning_of
from imagenet_tools.images.parquet_rows import LabelledShard, RowValues
from imagenet_tools.storage.blob import Descriptors
from imagenet_tools.units import Detection, Labelling, Reads, Unit, unit_file
from imagenet_tools.wordnet.wnid import SPLIT_FOLDERS, keeps_imagenet_name, without_label

if TYPE_CHECKING:
    import pyarrow as pa

READS = Reads(
    holds=("images", "labels"),
    beside=frozenset({"README.md", ".gitattributes", "classes.py", "dataset_infos.json", "index.duckdb"})
    | {"classes.json", "manifest.json"},
    problems={
        "parquet_damaged": "the file, or a row group of it, cannot be read; the others are kept",
        "no_image": "a row without the bytes of an image",
        "no_name": "an image whose path is none of ImageNet's names, and so without an id; it is not indexed",
        "no_class_name": "a class number that the file does not name; the image has no class",
    },
)

_SHARD = re.compile(r"(?:(?P<split>[A-Za-z]+)-)?\d+(?:-of-(?P<of>\d+)(?:-[0-9a-f]{16})?)?\.parquet")

_LOOKED_AT_ROWS = 1_000  # of a shard, to identify it


class _ShardFacts(NamedTuple):
    """Facts about all images of a shard, from its footer."""

    lists_wnids: bool  # it lists the wnids of its numbers itself
    resized: bool  # an export of this project that resized its images
    unread: tuple[str, ...]  # columns that nothing reads
    largest: int  # bytes of the images in the largest row group


def _describe(path: Path, shard_set: sharding.ShardSet[_ShardFacts]) -> Detection:
    facts = {image.facts for image in shard_set.images}
    dataset, readings = shard_set.dataset(path.name)
    labelling, evidence = shard_set.labelling(dataset), shard_set.reading.evidence
    if shard_set.exported:
        evidence = "an export of this project, whose columns give images and classes"
        labelling = Labelling("the column wnid", "wordnet")
        exported = shard_set.exported
        if any(shard.resized for shard in facts):
            evidence += ", resized: a data set of its own"
            exported = {dataset_name(f"{(path if path.is_dir() else path.parent).name}-parquet")}
        if len(exported) == 1:
            [dataset], readings = exported, ()
    elif any(shard.lists_wnids for shard in facts):
        evidence = "class numbers of the files' own list of wnids"
        labelling = Labelling("the files' own list of wnids, compared with the images' names", "wordnet")
    unread = ", ".join(sorted({column for shard in facts for column in shard.unread}))
    evidence = shard_set.evidence(evidence, f"columns that are not read: {unread}" if unread else "")
    advice = (
        "an image read by itself costs the decoding of its row group, "
        f"up to {max(shard.largest for shard in facts) / 1e6:,.1f} MB here; read in order, each is decoded once"
    )
    about = (evidence, shard_set.splits, shard_set.missing, labelling, readings, advice)
    return Detection("hf_parquet", path, dataset, ("images",), *about)


def _files(path: Path) -> list[Path]:
    """Return the Parquet files at a path that are named as shards are, or the one file."""
    if path.is_file():
        return [path] if path.suffix == ".parquet" else []
    if not path.is_dir():
        return []
    splits = [folder for home in (path, path / "default") if home.is_dir() for folder in home.iterdir()]
    folders = [path, path / "data", *(folder for folder in splits if _split_of(folder.name))]
    files = [file for folder in folders if folder.is_dir() for file in folder.glob("*.parquet")]
    return sorted(file for file in files if _SHARD.fullmatch(file.name))


def _parse(file: Path) -> sharding.ShardName:
    match = _SHARD.fullmatch(file.name)
    word, of = (match["split"] or "", int(match["of"] or 0)) if match else ("", 0)
    return sharding.ShardName(Path(), "", f"{file.parent}/{word}", _split_of(word) or _split_of(file.parent.name), of)


def _split_of(name: str) -> str | None:
    return SPLIT_FOLDERS.get(name.lower().removeprefix("partial-"))


def _look(files: Sequence[Path]) -> list[sharding.FirstImage[_ShardFacts]]:
    return [image for file in sharding.spread(files) for image in _first_images(file)]


def _first_images(path: Path) -> Iterator[sharding.FirstImage[_ShardFacts]]:
    """Yield the first images of a shard; none if it cannot be read, which its scan reports."""
    rows: Sequence[RowValues] = ()
    try:
        with Descriptors() as files:
            shard = LabelledShard(files, path, path.name)
            largest = max(map(shard.file.size, shard.file.groups), default=0)
            facts = _ShardFacts(shard.meaning is not None, shard.resized, tuple(shard.unread), largest)
            rows = shard.first(_LOOKED_AT_ROWS)
    except ImagenetToolsError:
        return
    for row in rows:
        stem, wnid = _stem_and_class(row)
        numbers = (row.label,) if row.name and isinstance(row.label, int) else ()
        dataset = row.exported.dataset if row.exported else None
        yield sharding.FirstImage(row.name or "", stem, wnid or sharding.class_of_stem(stem), numbers, facts, dataset)


def _stem_and_class(row: RowValues) -> tuple[str, str | None]:
    """Return the stem of a row's image as ImageNet spells it, and the class behind it or in a column."""
    if row.exported:
        return row.exported.image_id, row.exported.wnid
    return without_label(PurePosixPath(row.name or "").stem)


_SHARDS = sharding.ShardForm("hf_parquet", "Parquet", _files, _parse, _look, _describe)

files = unit_file


def detect(path: Path) -> list[Detection]:
    """Return the data sets of shards at a path, one detection each."""
    if listed := label_lists.detect(path, _files(path)):
        return listed
    found = _SHARDS.detect(path)
    if any(detection.holds for detection in found):
        return found
    return nameless.detect(path, [(group.split, group.shards) for group in _SHARDS.groups(path)], found)


def units(detection: Detection, source: str, root: Path) -> Iterator[Unit]:
    """Yield one unit for each shard, by split and number."""
    if "labels" in detection.holds:
        about = {"split": label_lists.SPLIT, "numbers": label_lists.NUMBERS}
        return (unit_at(detection, source, root, shard, **about) for shard in _files(detection.path))
    units = _SHARDS.units(detection, source, root, nameless=detection.needs_dataset)
    return (unit._replace(numbers=nameless.NUMBERS) for unit in units) if detection.needs_dataset else units


@gathers(ImageRows, AnnotationRows)
def scan(unit: Unit, rows: ImageRows, labels: AnnotationRows) -> Iterator[None]:
    """Add the images of a shard, one row group at a time; an unusable row or row group becomes a problem."""
    if unit.numbers == label_lists.NUMBERS:
        yield from label_lists.scan(unit, rows, labels)
        return
    with Descriptors() as files:
        shard = LabelledShard(files, unit.path, unit.file)
        own = nameless.classes(unit, shard)
        meaning = shard.meaning or meaning_of("" if unit.numbers == nameless.NUMBERS else unit.numbers)
        for group in shard.file.groups:
            try:
                images = shard.rows(group)
            except FormatError as error:
                rows.problem(error.code, unit.file, f"{error} Its rows are not indexed.", f"row group {group}")
                continue
            for number, (image, row) in enumerate(images, shard.file.starts[group]):
                if own and image is not None and not keeps_imagenet_name(_stem_and_class(row)[0]):
                    nameless.add(rows, number, image, row, own)
                else:
                    _add(rows, unit, number, image, row, meaning)
            yield


def _add(
    rows: ImageRows, unit: Unit, number: int, image: pa.Buffer | None, row: RowValues, meaning: numbering.Meaning | None
) -> None:
    """Add the image of a row, or the reason why it has none."""
    stem, wnid = _stem_and_class(row)
    if row.exported is None and not keeps_imagenet_name(stem):
        reason = f"row {number} is called {row.name!r}; expected a name such as n01440764_10026.JPEG"
        rows.problem("no_name", unit.file, reason, f"row {number}")
        return
    if image is None:
        rows.problem("no_image", unit.file, f"row {number} has no bytes of an image", row.name, stem)
        return
    value = memoryview(image)
    rows.add(
        stem,
        file=unit.file,
        member=None if row.name == f"{stem}.JPEG" else row.name,
        offset=None,
        position=number,
        compression="parquet",
        length=len(value),
        head=bytes(value[:HEAD]),
        more=lambda offset, n: bytes(value[offset : offset + n]),
        wnid=wnid,
        photo=row.exported.photo if row.exported else None,
    )
    check_label(rows, stem, row.label, meaning, unit.file, row.name)
