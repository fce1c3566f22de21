"""Zips of images, not compressed: a split in one file in place of a million, for clusters with few inodes.

    root/train.zip          train/n01440764/n01440764_10026.JPEG, stored; a folder for every class, images or none
    root/train_map.txt      the path in the zip, a tab, the class index: a line an image
    root/val.zip            root/val_map.txt
    any.zip                 read as a tar of the same members is: class folders, or images whose names tell the class

With --shard-size, train-00000-of-00012.zip and so on, and no maps. Unzipped in one folder, they are an image_folder.

Swin Transformer's data set, and those made after it, read the zips by the maps (--zip). Hugging Face's imagefolder
opens the zips, but gives images in archives no right label (datasets 5.2, huggingface/datasets#8419): with it, use
drop_labels=True, or hf_parquet. torchvision's ImageFolder and timm read no zips. The format has the CRC-32 of every
image, and ZIP64 where there are more than 65,535 of them, or 2 GiB.

An image is read where it lies, so it must be stored in the zip. A compressed one is a row of problems; a zip of nothing
else is refused, and unzip makes class folders of it.
"""

from __future__ import annotations

import os
import shlex
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING
from zipfile import BadZipFile, ZipFile, ZipInfo

from imagenet_tools.containers import tar, zip_directory
from imagenet_tools.errors import FormatError
from imagenet_tools.exports.writer import ReadBack, SinkOutput, Writes
from imagenet_tools.images import image_scan
from imagenet_tools.images.image_archives import SEEN, of_images
from imagenet_tools.images.image_rows import HEAD, ImageRows, is_image_name
from imagenet_tools.images.image_scan import add_member
from imagenet_tools.units import Reads, Unit, unit_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pyarrow as pa

    from imagenet_tools.exports.job import Job
    from imagenet_tools.exports.pictures import Picture
    from imagenet_tools.exports.plan import Plan
    from imagenet_tools.exports.writer import Row, Shard
    from imagenet_tools.units import Detection


# What scan() may report, for the table problems.
READS = Reads(
    holds=("images",),
    beside=frozenset({"train_map.txt", "val_map.txt", "test_map.txt"}),
    problems=image_scan.PROBLEMS
    | {
        "zip_damaged": "the list of members at the zip's end is missing, or broken; the members before are kept",
        "zip_member": "an image that is compressed, encrypted or not where the zip says it is; it is not indexed",
    },
)


def detect(path: Path) -> list[Detection]:
    """The zip at a path, told by the names of its first members; one of compressed images is named and not read."""
    if not zip_directory.is_zip(path):
        return []
    try:
        members = zip_directory.first_members(path, SEEN)
    except FormatError:
        return []
    found = of_images("zip", path, [one.name for one in members], "a zip", all_seen=len(members) < SEEN)
    if found is None:
        return []
    images = [one for one in members if is_image_name(one.name.rpartition("/")[2])]
    faults = [one.fault for one in images if one.fault]
    if not faults:
        return [found]
    why, _, _ = faults[0].partition(";")
    evidence = (
        f"{found.evidence}; of the first {len(images):,} images {len(faults):,} cannot be read where they lie: {why}"
    )
    advice = f"unpack it once with `unzip {shlex.quote(str(path))}`, and index the folder"
    holds = () if len(faults) == len(images) else found.holds
    return [replace(found, holds=holds, evidence=evidence, advice=advice)]


def units(found: Detection, source: str, root: Path) -> Iterator[Unit]:
    """One unit: the zip. None where its images cannot be read."""
    if found.holds:
        yield Unit("zip", source, str(root), found.path.relative_to(root).as_posix(), found.dataset)


files = unit_file


def scan(unit: Unit) -> Iterator[tuple[str, pa.RecordBatch]]:
    """The images of a zip, as byte ranges; what is no image, or cannot be read, becomes a problem."""
    rows = ImageRows(unit)
    with unit.path.open("rb", buffering=0) as file:
        fd = file.fileno()
        try:
            for member, head in zip_directory.walk(fd, ahead=HEAD if unit.probed else 0):
                if member.fault and is_image_name(member.name.rpartition("/")[2]):
                    rows.problem("zip_member", unit.file, member.fault, member.name)
                else:
                    name, offset, size, kind, _ = member
                    more = partial(_bytes, fd, offset)
                    add_member(rows, unit, tar.Member(name, offset, size, kind), head, more)
                if rows.full():
                    yield from rows.batches()
        except FormatError as error:
            rows.problem(error.code, unit.file, str(error))
    yield from rows.batches()


def _bytes(fd: int, start: int, offset: int, n: int) -> bytes:
    return os.pread(fd, n, start + offset)


_WHOLE_SPLIT = 1 << 50  # bytes: a split is one file

WRITES = Writes(
    keeps=("image_id", "wnid", "split", "length", "width", "height", "mode", "encoding", "orientation"),
    by_folder=True,
    shard_bytes=_WHOLE_SPLIT,
)

_LARGE = 20 << 30  # bytes; some minutes
_FILE, _FOLDER = 0o100644 << 16, 0o40755 << 16 | 0x10


def hazards(plan: Plan) -> Iterator[str]:
    """One process writes a zip, and whoever opens one reads its list of members."""
    size = plan.options.shard_size or _WHOLE_SPLIT
    largest = max(plan.splits, key=plan.bytes)
    if min(plan.bytes(largest), size) > _LARGE:
        yield (
            f"one process writes a zip, and begins it anew when it was interrupted: {largest} has "
            f"{plan.bytes(largest):,} bytes. --shard-size 10GB makes several zips of it, without maps"
        )
    if plan.images(largest) > 100_000:
        yield "Python's zipfile keeps some 0.4 kB for each member of an open zip, in every process that opens it"


class _Zip:
    """Puts images into a zip, in their order."""

    def __init__(self, job: Job, shard: Shard):
        number = f"-{shard.number:05d}-of-{shard.of:05d}" if shard.of > 1 else ""
        self._name = f"{shard.split}{number}.zip"
        self._folders = [f"{shard.split}/{one.folder}/" for one in job.plan.classes]
        self._out = job.create(self._name)
        self._zip = ZipFile(self._out, "w")
        for folder in self._folders if shard.number == 0 else ():
            self._zip.writestr(_info(folder, _FOLDER), b"")

    def add(self, row: Row, picture: Picture) -> None:
        """Put an image behind those that are there."""
        self._zip.writestr(_info(self._folders[row.class_index] + row.name, _FILE), picture.data())

    def close(self) -> SinkOutput:
        """Write the zip's list of its members."""
        self._zip.close()
        self._out.close()
        return SinkOutput(files=(self._name,))


def _info(name: str, attributes: int) -> ZipInfo:
    info = ZipInfo(name)  # of 1 January 1980, the first day that a zip knows
    info.external_attr = attributes
    return info


def open_shard(job: Job, shard: Shard) -> _Zip:
    """A zip, of a split or of a part of it."""
    return _Zip(job, shard)


def finish(job: Job) -> None:
    """The maps, where a split is one zip."""
    folders = [one.folder for one in job.plan.classes]
    for split in sorted({shard.split for shard in job.shards if shard.of == 1}):
        lines = (f"{split}/{folders[row.class_index]}/{row.name}\t{row.class_index}\n" for row in job.rows(split))
        job.write(f"{split}_map.txt", (line.encode() for line in lines))


def read_back(root: Path) -> Iterator[ReadBack]:
    """The images, their class by the sorted folders of their split, as loaders of class folders number them."""
    zips = [_opened(path) for path in sorted(root.glob("*.zip"))]
    names = [name.split("/") for file in zips for name in file.namelist()]
    folders = {split: sorted({name[1] for name in names if name[0] == split}) for split, *_ in names}
    index_of = {(split, folder): n for split, found in folders.items() for n, folder in enumerate(found)}
    for file in zips:
        for name in file.namelist():
            split, folder, image = name.split("/")
            if image:
                yield ReadBack(image.rpartition(".")[0], split, index_of[split, folder], None, partial(file.read, name))


def _opened(path: Path) -> ZipFile:
    try:
        return ZipFile(path)
    except BadZipFile as error:
        message = f"{path}: found no whole zip ({error}); expected one that ends with the list of its members."
        raise FormatError(message, code="zip_damaged") from error
