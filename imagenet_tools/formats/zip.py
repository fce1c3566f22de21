"""Zips of images, not compressed: a split in one file in place of a million, for clusters with few inodes.

    root/train.zip          train/n01440764/n01440764_10026.JPEG, stored; a folder for every class of the export
    root/train_map.txt      the path in the zip, a tab, the class index: one line for each image
    root/val.zip            root/val_map.txt
    any.zip                 read like a tar of the same members: class folders, or images whose names give the class

The lock, recipe and manifest of an export are at its root, beside classes.json: see exports.manifest.

With --shard-size, train-00000-of-00012.zip and so on, and no maps. Unzipped in one folder, they are an image_folder.

Swin Transformer's data set, and those derived from it, read the zips by the maps (--zip). Hugging Face's imagefolder
opens the zips, but gives images in archives no right label (datasets 5.2, huggingface/datasets#8419): use it with
drop_labels=True, or use hf_parquet. torchvision's ImageFolder and timm read no zips. The format has the CRC-32 of every
image, and ZIP64 for more than 65,535 images or 2 GiB.

An image is read in place, so it must be stored in the zip. A compressed image is a row of problems. A zip of only
compressed images is refused; unzip makes class folders of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from zipfile import BadZipFile, ZipFile

from imagenet_tools.containers import zip_directory
from imagenet_tools.errors import FormatError
from imagenet_tools.exports.job import Job
from imagenet_tools.exports.manifest import folders_if_dropped
from imagenet_tools.exports.pictures import Picture
from imagenet_tools.exports.plan import Plan
from imagenet_tools.exports.plan_checks import refuse_images
from imagenet_tools.exports.writer import NO_CLASS, ReadBack, Row, Shard, SinkOutput, Writes
from imagenet_tools.formats._shared.array_files import zip_entry
from imagenet_tools.formats._shared.contract import FileSink, gathers, unit_at
from imagenet_tools.images.detection import MAX_SEEN_MEMBERS, detect_images
from imagenet_tools.images.image_rows import HEAD, ImageRows, is_image_name
from imagenet_tools.images.jpeg import reader_at
from imagenet_tools.images.tar_scan import add_member
from imagenet_tools.text import count_of
from imagenet_tools.units import Detection, Reads, Unit, unit_file

READS = Reads(
    holds=("images",),
    beside=frozenset({"train_map.txt", "val_map.txt", "test_map.txt"}),
    problems={
        "zip_damaged": "the list of members at the zip's end is missing, or broken; the members before are kept",
        "zip_member": "an image that is compressed, encrypted or not where the zip says it is; it is not indexed",
    },
)

_WHOLE_SPLIT_BYTES = 1 << 50  # larger than any split: a split is one file

WRITES = Writes(by_folder=True, shard_bytes=_WHOLE_SPLIT_BYTES)

_LARGE_BYTES = 20 << 30  # one process writes it in some minutes


def detect(path: Path) -> list[Detection]:
    """Return the zip at a path, by the names of its first members; one of compressed images is named and not read."""
    if not zip_directory.is_zip(path):
        return []
    try:
        members = zip_directory.first_members(path, MAX_SEEN_MEMBERS)
    except FormatError:
        return []
    detection = detect_images(
        "zip", path, [member.name for member, _ in members], "a zip", all_seen=len(members) < MAX_SEEN_MEMBERS
    )
    images = [fault for member, fault in members if _is_image(member.name)]
    faults = [fault for fault in images if fault]
    if detection is None or not faults:
        return [detection] if detection else []
    why, _, _ = faults[0].partition(";")
    first = f"the first {count_of(len(images), 'image')}"
    evidence = f"{detection.evidence}; of {first} {len(faults):,} cannot be read in place: {why}"
    advice = f"unpack it once with `{zip_directory.unzip_command(path)}`, and index the folder"
    holds = () if len(faults) == len(images) else detection.holds
    return [replace(detection, holds=holds, evidence=evidence, advice=advice)]


def _is_image(member: str) -> bool:
    return is_image_name(member.rpartition("/")[2])


def units(detection: Detection, source: str, root: Path) -> Iterator[Unit]:
    """Yield one unit: the zip."""
    yield unit_at(detection, source, root)


files = unit_file


@gathers(ImageRows)
def scan(unit: Unit, rows: ImageRows) -> Iterator[None]:
    """Add the images of a zip as byte ranges; any other member, and an image that cannot be read, is a problem."""
    with unit.path.open("rb", buffering=0) as file:
        fd = file.fileno()
        for member, fault, head in zip_directory.walk(fd, ahead=HEAD if unit.probed else 0):
            if fault and _is_image(member.name):
                rows.problem("zip_member", unit.file, fault, member.name)
            else:
                add_member(rows, unit, member, head, reader_at(fd, member.offset))
            yield


def hazards(plan: Plan) -> Iterator[str]:
    """Yield notes on large zips: one process writes each, and every reader keeps the whole list of members.

    ExportError: Images have names that no map holds.
    """
    refuse_images(
        plan,
        r"SELECT image_id FROM made WHERE left_out IS NULL AND regexp_matches(image_id, '[\t\r\n]') ORDER BY 1",
        "have a tab or a line break in their names",
        "A map has a name and a number a line, with a tab between. Rename such files, and index them again.",
    )
    largest = max(plan.splits, key=plan.bytes)
    if min(plan.bytes(largest), plan.options.shard_size or _WHOLE_SPLIT_BYTES) > _LARGE_BYTES:
        yield (
            f"one process writes a zip, and starts again if it is interrupted: {largest} has "
            f"{count_of(plan.bytes(largest), 'byte')}. --shard-size 10GB makes several zips of it, without maps"
        )
    if plan.images(largest) > 100_000:
        yield "Python's zipfile keeps some 0.4 kB for each member of an open zip, in every process that opens it"


class _ZipSink(FileSink):
    """Writes the images of a split, or of a part of it, into a zip."""

    def __init__(self, job: Job, shard: Shard):
        number = f"-{shard.number:05d}-of-{shard.of:05d}" if shard.of > 1 else ""
        super().__init__(job, f"{shard.split}{number}.zip")
        self._folders = [f"{shard.split}/{cls.folder}/" for cls in job.plan.classes]
        self._zip = ZipFile(self.out, "w")
        if shard.number == 0:
            is_kept = job.plan.options.empty_classes == "keep"
            for cls, folder in zip(job.plan.classes, self._folders, strict=True):
                if is_kept or cls.wnid in job.plan.tallies[shard.split]:
                    self._zip.writestr(zip_entry(folder, folder=True), b"")

    def add(self, row: Row, picture: Picture) -> None:
        """Append an image."""
        self._zip.writestr(zip_entry(self._folders[row.class_index] + row.name), picture.data())

    def close(self) -> SinkOutput:
        """Write the zip's list of its members."""
        self._zip.close()
        return super().close()


open_shard = _ZipSink


def finish(job: Job) -> None:
    """Write the maps of splits that are one zip."""
    folders = [cls.folder for cls in job.plan.classes]
    for split in sorted({shard.split for shard in job.shards if shard.of == 1}):
        lines = (f"{split}/{folders[row.class_index]}/{row.name}\t{row.class_index}\n" for row in job.rows(split))
        job.write(f"{split}_map.txt", (line.encode() for line in lines))


def read_back(root: Path) -> Iterator[ReadBack]:
    """Yield the images; a class index is the place of the folder among the sorted folders of its split.

    With --empty-classes drop, it is the place in classes.json.
    """
    zips = [_open(path) for path in sorted(root.glob("*.zip"))]
    names = [name.split("/") for file in zips for name in file.namelist()]
    dropped = folders_if_dropped(root)
    folders = {split: dropped or sorted({name[1] for name in names if name[0] == split}) for split, *_ in names}
    index_of = {(split, folder): n for split, names in folders.items() for n, folder in enumerate(names)}
    for file in zips:
        for name in file.namelist():
            split, folder, image = name.split("/")
            if image:
                index = index_of.get((split, folder), NO_CLASS)
                yield ReadBack(image.rpartition(".")[0], split, index, None, partial(file.read, name))


def _open(path: Path) -> ZipFile:
    try:
        return ZipFile(path)
    except BadZipFile as error:
        message = f"{path}: found no whole zip ({error}); expected one that ends with the list of its members."
        raise FormatError(message, code="zip_damaged") from error
