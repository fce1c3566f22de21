"""DINOv2: NumPy tables that name the files of ImageNet, or byte ranges in its class tars; no image is copied.

    root/entries-TRAIN.npy      actual_index, class_index, class_id, class_name     images that are files:
                                    <root>/train/n01440764/n01440764_10026.JPEG, 10026 being the actual index
                                    <root>/val/n01440764/ILSVRC2012_val_00000293.JPEG, 293
    root/class-ids-TRAIN.npy    the wnid of each class index; root/class-names-TRAIN.npy their names
    root/train/entries.npy      class_index, class_id, start_offset, end_offset, filename      images in class tars:
                                    <root>/n01440764.tar, class_id being the name of the tar
    root/train/class-ids.npy    the wnid of each class index

    --dataset ImageNet:split=TRAIN:root=<root>:extra=root
    --dataset ImageNet22k:root=<root>:extra=root/train

An entry in a tar begins with the block of the member's header, which the loader skips (dinov2/data/datasets, read in
November 2026), and ends where the next header may begin. Offsets are 32-bit, so an image beyond 4 GiB of a tar is left
out, and so are images that are compressed, and those whose files have other names or places than the loader forms. A
tar of class tars is longer than that: unpack the outer one.

The loader asserts that TRAIN has 1,281,167 images and VAL 50,000. For a subset, override `__len__` in a subclass.
The lock, recipe and manifest of an export are at its root, beside classes.json: see exports.manifest.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt

from imagenet_tools.errors import ExportError, FormatError
from imagenet_tools.exports.job import Job
from imagenet_tools.exports.plan import Plan
from imagenet_tools.exports.writer import ReadBack, Writes
from imagenet_tools.formats._shared.listing import no_sink

_BLOCK_BYTES = 512  # of a tar: the header of a member, and what its data is padded to
_MAX_OFFSET = (1 << 32) - _BLOCK_BYTES
_TAR_COLUMNS = 5  # of an entry of an image in a tar; one that is a file has 4
_LENGTHS = {"train": 1_281_167, "val": 50_000}  # images that dinov2's ImageNet asserts

_FILE_NAME = "regexp_extract(images.file, '[^/]*$')"
_FOLDER_NAME = "regexp_extract(images.file, '([^/]*)/[^/]*$', 1)"
_NAMED_FILE = rf"""(images."offset" = 0 AND {_FOLDER_NAME} = images.wnid AND CASE images.split
    WHEN 'train' THEN starts_with({_FILE_NAME}, images.wnid || '_')
                      AND regexp_full_match(substr({_FILE_NAME}, 11), '(0|[1-9][0-9]{{0,8}})\.JPEG')
    WHEN 'val' THEN regexp_full_match({_FILE_NAME}, 'ILSVRC2012_val_[0-9]{{8}}\.JPEG') END)"""
_IN_CLASS_TAR = f"""(images."offset" >= {_BLOCK_BYTES} AND {_FILE_NAME} = images.wnid || '.tar'
    AND images."offset" + images.length <= {_MAX_OFFSET})"""
_PLACE = f"images.compression IS NULL AND coalesce({_NAMED_FILE} OR {_IN_CLASS_TAR}, false)"

WRITES = Writes(demands=(("place", _PLACE),), ordered=True, holds_bytes=False)


def hazards(plan: Plan) -> Iterator[str]:
    """Yield the folder that is `root` for each split, and lengths that the loader asserts.

    ExportError: The images of a split are both files and in tars, or not below one folder of the expected name.
    """
    rows = plan.selection.run(
        """SELECT split, source, "offset" > 0 AS in_tar,
                  regexp_replace(file, CASE WHEN in_tar THEN '[^/]*$' ELSE '[^/]*/[^/]*$' END, '') AS folder
           FROM made WHERE left_out IS NULL GROUP BY ALL ORDER BY ALL"""
    ).fetchall()
    for split in plan.splits:
        places = [row[1:] for row in rows if row[0] == split]
        homes = sorted({(plan.index.place(source, folder or "."), in_tar) for source, in_tar, folder in places})
        if len(homes) > 1:
            message = (
                f"The images of {split} are in several folders, or both files and in tars: "
                f"{', '.join(str(home) for home, _ in homes[:3])}. dinov2 takes one folder. Choose with --where."
            )
            raise ExportError(message)
        [(home, in_tar)] = homes
        if not in_tar and home.resolve().name != split:
            message = (
                f"The images of {split} are in {home}; dinov2 looks for them in a folder called {split}. Leave --split "
                "out: an entry can only have the split that its path has."
            )
            raise ExportError(message)
        content = "class tars of" if in_tar else f"folder {split}/ in"
        yield f"{split}: dinov2's root is the folder that holds the {content} the source {places[0][0]}"
        if not in_tar and plan.images(split) != _LENGTHS[split]:
            yield f"dinov2 asserts {_LENGTHS[split]:,} images in {split.upper()}: override __len__ in a subclass"


open_shard = no_sink


def _entries(job: Job, split: str) -> Iterator[tuple[Any, ...]]:
    """Yield the entry of each image of a split."""
    for row in job.rows(split):
        start, class_id = row.origin.offset or 0, row.official_wnid
        if row.origin.alone:
            number = PurePosixPath(row.origin.file).stem.rpartition("_")[2]
            yield int(number), row.class_index, class_id, job.plan.classes[row.class_index].display
        else:
            end = -(-(start + row.origin.length) // _BLOCK_BYTES) * _BLOCK_BYTES
            yield row.class_index, class_id, start - _BLOCK_BYTES, end, row.origin.member or row.name


def finish(job: Job) -> None:
    """Write the tables of each split."""
    wnids = np.array([cls.wnid for cls in job.plan.classes])
    names = np.array([cls.display for cls in job.plan.classes])
    for split in job.plan.splits:
        in_tars = len(next(_entries(job, split))) == _TAR_COLUMNS
        if in_tars:
            longest = max(len(entry[-1]) for entry in _entries(job, split))
            columns = [("start_offset", "<u4"), ("end_offset", "<u4"), ("filename", f"U{longest}")]
            dtype = np.dtype([("class_index", "<u4"), ("class_id", "U9"), *columns])
            job.write(f"{split}/class-ids.npy", _npy(wnids.dtype, len(wnids), [wnids]))
        else:
            columns = [("class_id", "U9"), ("class_name", names.dtype.str)]
            dtype = np.dtype([("actual_index", "<u4"), ("class_index", "<u4"), *columns])
            job.write(f"class-ids-{split.upper()}.npy", _npy(wnids.dtype, len(wnids), [wnids]))
            job.write(f"class-names-{split.upper()}.npy", _npy(names.dtype, len(names), [names]))
        n, arrays = job.plan.images(split), (np.array(entry, dtype) for entry in _entries(job, split))
        job.write(f"{split}/entries.npy" if in_tars else f"entries-{split.upper()}.npy", _npy(dtype, n, arrays))


def _npy(dtype: np.dtype[Any], n: int, arrays: Iterable[npt.NDArray[Any]]) -> Iterator[bytes]:
    """Yield the parts of a .npy file of n values."""
    head = io.BytesIO()
    descr = np.lib.format.dtype_to_descr(dtype)
    np.lib.format.write_array_header_1_0(head, {"descr": descr, "fortran_order": False, "shape": (n,)})
    yield head.getvalue()
    yield from (array.tobytes() for array in arrays)


def read_back(root: Path) -> Iterator[ReadBack]:
    """Yield the images that the entries name."""
    for path in sorted([*root.glob("entries-*.npy"), *root.glob("*/entries.npy")]):
        try:
            entries = np.load(path, mmap_mode="r")
        except (OSError, ValueError) as error:
            message = f"{path}: found no table of NumPy ({error}); expected one. Export again."
            raise FormatError(message, code="npy_damaged") from error
        split = path.parent.name if path.stem == "entries" else path.stem.rpartition("-")[2].lower()
        for entry in entries:
            yield ReadBack(_stem(entry, split), split, int(entry["class_index"]), None, None)


def _stem(entry: np.void, split: str) -> str:
    if "filename" in (entry.dtype.names or ()):
        return PurePosixPath(str(entry["filename"])).stem
    number = int(entry["actual_index"])
    return f"{entry['class_id']}_{number}" if split == "train" else f"ILSVRC2012_{split}_{number:08d}"
