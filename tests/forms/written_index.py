"""An index written directly, row by row: as many images of any classes as a test wants, and no source."""

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from imagenet_tools.schema import arrow_schema
from imagenet_tools.store.layout import Manifest, write_constant_tables, write_manifest, write_table

Row = dict[str, Any]


def image(image_id: str, wnid: str | None, split: str | None = "train", **more: Any) -> Row:
    """A row of images, as a build would make it; n_boxes 0 unless it is said."""
    dataset = more.pop("dataset", "ilsvrc2012")
    photo = more.pop("photo", image_id)
    hashed = int.from_bytes(hashlib.sha256(photo.encode()).digest()[:4], "big")
    facts = {"width": 100, "height": 80, "mode": "RGB", "encoding": "jpeg", "n_boxes": 0, "length": 1000, "offset": 0}
    place = {"source": "none", "file": f"{image_id}.JPEG", "unit": 0}
    return {"dataset": dataset, "image_id": image_id, "photo": photo, "wnid": wnid, "split": split, "hash32": hashed,
            **facts, **place, **more}  # fmt: skip


def write(folder: Path, rows: Iterable[Row]) -> Path:
    """An index of these images."""
    ordered = sorted(rows, key=lambda row: (row["dataset"], row["split"] or "", row["wnid"] or "", row["image_id"]))
    table = pa.Table.from_pylist(ordered, arrow_schema("images"))
    return write_batches(folder, table.to_batches())


def write_batches(folder: Path, batches: Iterable[pa.RecordBatch]) -> Path:
    """An index of the images in record batches, in their order."""
    folder.mkdir(parents=True)
    tables = write_constant_tables(folder)
    tables["images"] = write_table(folder, "images", "all", batches)
    write_manifest(folder, Manifest(tables))
    return folder


def synthetic(n: int, wnids: list[str], *, at_once: int = 100_000) -> Iterator[pa.RecordBatch]:
    """n images of these classes as record batches, one class after the other; nine in ten of them train."""
    schema = arrow_schema("images")
    each = n // len(wnids)
    for split, begin, end in (("train", 0, each * 9 // 10), ("val", each * 9 // 10, each)):
        for first in range(0, len(wnids), max(1, at_once // each)):
            some = wnids[first : first + max(1, at_once // each)]
            ids = [f"{wnid}_{number:07d}" for wnid in some for number in range(begin, end)]
            rows = len(ids)
            hashes = np.array([int.from_bytes(hashlib.sha256(one.encode()).digest()[:4], "big") for one in ids])
            facts: dict[str, Any] = {
                "dataset": ["ilsvrc2012"] * rows, "image_id": ids, "photo": ids,
                "wnid": np.repeat(some, end - begin), "split": [split] * rows, "source": ["none"] * rows,
                "file": [f"{one}.JPEG" for one in ids], "offset": np.zeros(rows), "length": np.full(rows, 100_000),
                "width": np.full(rows, 500), "height": np.full(rows, 375), "mode": ["RGB"] * rows,
                "encoding": ["jpeg"] * rows, "n_boxes": np.zeros(rows), "hash32": hashes, "unit": np.zeros(rows),
            }  # fmt: skip
            columns = [
                pa.array(facts[one.name]).cast(one.type) if one.name in facts else pa.nulls(rows, one.type)
                for one in schema
            ]
            yield pa.RecordBatch.from_arrays(columns, schema=schema)
