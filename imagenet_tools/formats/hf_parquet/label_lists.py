"""Hugging Face's Parquet shards whose images have several labels each: ImageNet-Hard, taesiri/imagenet-hard.

    data/validation-00000-of-00013-....parquet      columns: image {bytes, path}, label, origin, english_label
        label           a list of numbers: places in the sorted order of ILSVRC2012, from 0
        english_label   a list of their names
        origin          the data set that the image is from; not read
        id              in ImageNet-Hard-4K alone; not read

The names beside the numbers must agree with their meaning: they are other people's, and most of them are lemmas. Each
label is a row of the table labels, in the label set imagenet-hard. The class of an image is its label if it has only
one. An image is called after its shard and row, as in nameless.py, and shares no photo: which image of another set it
is, and whether its bytes are the same, is not stated. All images are of test, as in the other test sets, although the
shards are called validation.

Source: the card of taesiri/imagenet-hard, and src/ImageNet_Hard of taesiri/ZoomIsAllYouNeed on GitHub.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imagenet_tools.catalogue import lists
from imagenet_tools.catalogue.identify_classes import classes_called
from imagenet_tools.containers.parquet_images import ParquetShard
from imagenet_tools.errors import FormatError, ImagenetToolsError
from imagenet_tools.formats.hf_parquet import nameless
from imagenet_tools.storage.blob import Descriptors
from imagenet_tools.text import count_of
from imagenet_tools.units import Detection, Labelling, Unit

if TYPE_CHECKING:
    import pyarrow as pa

    from imagenet_tools.annotations.annotation_rows import AnnotationRows
    from imagenet_tools.images.image_rows import ImageRows

# In place of the meaning of class numbers, in units of such shards.
NUMBERS = "listed"

DATASET = "imagenet-hard"
SPLIT = "test"
_COLUMNS = ("label", "english_label", "origin")
_LISTS = {
    "label": re.compile(r"(?:large_)?list<\w+: u?int\d+(?: not null)?>"),
    "english_label": re.compile(r"(?:large_)?list<\w+: (?:large_)?string(?: not null)?>"),
}
_LOOKED_AT_ROWS = 1_000


def detect(path: Path, shards: Sequence[Path]) -> list[Detection]:
    """Return ImageNet-Hard at a path, whose shards are given; nothing for shards without its columns."""
    columns = next((columns for shard in shards if (columns := _columns(shard))), ())
    if not set(_COLUMNS) <= set(columns):
        return []
    n_agree, n_names = next((counts for shard in shards if any(counts := _agreement(shard))), (0, 0))
    evidence = f"{count_of(len(shards), 'Parquet shard')} with lists of labels, as ImageNet-Hard has them"
    dataset = f"{DATASET}-4k" if "id" in columns else DATASET
    names = f"{n_agree:,} of {n_names:,} names beside the numbers agree with the sorted order of ilsvrc2012, from 0"
    if 2 * n_agree <= n_names:
        advice = "expected more than half of them: the numbers are counted in an unknown order"
        return [Detection("hf_parquet", path, dataset, (), f"{evidence}; {names}", advice=advice)]
    labels = Labelling("the numbers of the column label", "ilsvrc2012", "wnid", 0)
    holds = ("images", "labels")
    return [Detection("hf_parquet", path, dataset, holds, f"{evidence}; {names}", (SPLIT,), "", labels)]


def _columns(path: Path) -> list[str]:
    """Return the columns of a shard; of its lists, only those of ImageNet-Hard. Empty if it cannot be read."""
    try:
        with Descriptors() as files:
            schema = ParquetShard(files, str(path)).file.schema_arrow
    except ImagenetToolsError:  # its scan reports it
        return []
    return [field.name for field in schema if field.name not in _LISTS or _LISTS[field.name].fullmatch(str(field.type))]


def _agreement(path: Path) -> tuple[int, int]:
    """Return how many names of the first rows are those of their numbers, and how many there are."""
    wnids = lists.get("ilsvrc2012").wnids
    n_agree = n_names = 0
    rows: list[dict[str, Any]] = []
    with suppress(ImagenetToolsError), Descriptors() as files:  # the scan reports damage
        shard = ParquetShard(files, str(path))
        with shard.damage_as_error("labels that cannot be read"):
            batches = shard.file.iter_batches(_LOOKED_AT_ROWS, columns=list(_LISTS), use_threads=False)
            rows += (row for batch in islice(batches, 1) for row in batch.to_pylist())
    for row in rows:
        for number, name in zip(row["label"] or (), row["english_label"] or (), strict=False):
            n_names += 1
            n_agree += _wnid(number, wnids) in classes_called(str(name))
    return n_agree, n_names


def _wnid(number: object, wnids: Sequence[str]) -> str | None:
    return wnids[number] if isinstance(number, int) and 0 <= number < len(wnids) else None


def scan(unit: Unit, rows: ImageRows, labels: AnnotationRows) -> Iterator[None]:
    """Add the images of a shard with their labels, one row group at a time; what is unusable becomes a problem."""
    wnids = lists.get("ilsvrc2012").wnids
    with Descriptors() as files:
        shard = ParquetShard(files, str(unit.path), label=unit.file)
        if not set(_COLUMNS) <= set(_columns(unit.path)):
            message = f"{unit.file}: found no lists of labels; expected the columns {', '.join(_COLUMNS)}."
            raise FormatError(message, code="parquet_damaged")
        names = shard.column.removesuffix("bytes") + "path"
        for group in shard.groups:
            try:
                images, (paths, numbers) = shard.images(group, (names, _COLUMNS[0]))
            except FormatError as error:
                rows.problem(error.code, unit.file, f"{error} Its rows are not indexed.", f"row group {group}")
                continue
            columns: list[Sequence[Any]] = [images, paths.to_pylist(), numbers.to_pylist()]
            for number, (image, name, some) in enumerate(zip(*columns, strict=True), shard.starts[group]):
                classes = [_wnid(each, wnids) for each in some or ()]
                _add(rows, labels, number, image, name, classes)
            yield


def _add(
    rows: ImageRows, labels: AnnotationRows, number: int, image: pa.Scalar, name: str | None, classes: list[str | None]
) -> None:
    """Add the image of a row, and its labels."""
    file, image_id = rows.unit.file, nameless.image_id(rows.unit.file, number)
    if not image.is_valid:
        rows.problem("no_image", file, f"row {number} has no bytes of an image", name, image_id)
        return
    known = [wnid for wnid in dict.fromkeys(classes) if wnid]
    if None in classes or not classes:
        reason = f"found {count_of(len(classes), 'label')}, expected at least one, each from 0 to 999"
        rows.problem("no_class_name", file, reason, name, image_id)
    nameless.add_image(rows, number, image.as_buffer(), name, known[0] if len(classes) == len(known) == 1 else None)
    for wnid in known:
        labels.label(image_id, DATASET, wnid)
