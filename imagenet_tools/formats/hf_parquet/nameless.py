"""Hugging Face's Parquet shards whose images have no names of ImageNet's: data sets of their own.

    data/train-00000-of-00001-1359597a978bc4fa.parquet      columns: image {bytes, path}, label
    data/valid-00000-of-00001-70d52db3c749a935.parquet      path: null, or any name

The metadata `huggingface` of the schema names the classes. They are read where all names are wnids, as zh-plus/
tiny-imagenet has them, the names of a published list, or names of one synset of WordNet each. Nothing is guessed: one
name that may mean several synsets leaves all images unread. An image is called after its shard and its row, counted
from 0: train-00000-of-00001-1359597a978bc4fa_17. Where the shards are called by numbers alone, the name of their split
is before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from imagenet_tools.catalogue.identify_classes import decide
from imagenet_tools.errors import ImagenetToolsError
from imagenet_tools.images.detection import dataset_name
from imagenet_tools.images.image_rows import HEAD, ImageRows
from imagenet_tools.images.parquet_rows import LabelledShard, RowValues
from imagenet_tools.storage.blob import Descriptors
from imagenet_tools.text import count_of, some_of
from imagenet_tools.units import Detection, Labelling, Unit
from imagenet_tools.wordnet.wordnet import synset

if TYPE_CHECKING:
    import pyarrow as pa

# In place of the meaning of class numbers, in units of such shards.
NUMBERS = "named"

_SHOWN_CLASSES = 3


def detect(path: Path, groups: Sequence[tuple[str | None, Sequence[Path]]], found: list[Detection]) -> list[Detection]:
    """Return the data set at a path if its shards name every class; else `found`, with the names that do not decide.

    Args:
        path: The path.
        groups: The shards of each split.
        found: What is known of them without the names of their classes.
    """
    names = next(filter(None, (_names(shards[0]) for _, shards in groups)), ())
    decided = decide(names) if names else None
    if decided is None:
        return found
    if not decided.wnids:
        some = f"and whose classes {some_of(decided.undecided, 3)} mean several synsets, or none"
        return [replace(each, evidence=f"{each.evidence}, {some}") for each in found]
    folder = path.absolute() if path.is_dir() else path.absolute().parent
    folder = folder.parent if folder.name == "data" else folder
    n_shards = count_of(sum(len(shards) for _, shards in groups), "Parquet shard")
    called = [
        f"{name} is {synset(wnid).name}" if name == wnid else f"{name} is {wnid} {synset(wnid).name}"
        for name, wnid in zip(names[:_SHOWN_CLASSES], decided.wnids, strict=False)
    ]
    evidence = f"{n_shards} whose images have none of ImageNet's names, of {count_of(len(names), 'class')}, "
    return [
        Detection(
            "hf_parquet",
            path,
            dataset_name(folder.name),
            ("images",),
            f"{evidence}which the files themselves name by {decided.by}, in order: {', '.join(called)} ...",
            tuple(dict.fromkeys(split for split, _ in groups if split)),
            labels=Labelling("class numbers, named by the files themselves", "wordnet", "", 0),
            advice="read with --dataset NAME, as a data set of its own: no image is known to be one of ImageNet's",
            needs_dataset=True,
        )
    ]


def _names(shard: Path) -> tuple[str, ...]:
    try:
        with Descriptors() as files:
            return LabelledShard(files, shard, shard.name).names
    except ImagenetToolsError:  # its scan reports it
        return ()


def classes(unit: Unit, shard: LabelledShard) -> tuple[str, ...]:
    """Return the wnids of a shard's class numbers; empty where images have names, or those of classes do not decide."""
    return decide(shard.names).wnids if unit.numbers == NUMBERS and shard.names else ()


def add(rows: ImageRows, number: int, image: pa.Buffer, row: RowValues, wnids: Sequence[str]) -> None:
    """Add the image of a row, with the class that its number means, and a problem if it means none."""
    label = row.label
    known = isinstance(label, int) and 0 <= label < len(wnids)
    if not known and label is not None and not (isinstance(label, int) and label < 0):
        reason = f"found the label {label}, expected one of 0 to {len(wnids) - 1:,}, which the file names"
        rows.problem("no_class_name", rows.unit.file, reason, row.name, image_id(rows.unit.file, number))
    add_image(rows, number, image, row.name, wnids[label] if known and isinstance(label, int) else None)


def add_image(rows: ImageRows, number: int, image: pa.Buffer, name: str | None, wnid: str | None) -> None:
    """Add the image of a row, called after its shard and row, with its class."""
    file, value = rows.unit.file, memoryview(image)
    rows.add(
        image_id(file, number),
        file=file,
        member=name,
        offset=None,
        position=number,
        compression="parquet",
        length=len(value),
        head=bytes(value[:HEAD]),
        more=lambda offset, n: bytes(value[offset : offset + n]),
        wnid=wnid,
    )


def image_id(file: str, number: int) -> str:
    """Return the id of the image in a row of a shard."""
    path = PurePosixPath(file)
    name = f"{path.parent.name}-{path.stem}" if path.stem.isdecimal() and path.parent.name else path.stem
    return f"{name}_{number}"
