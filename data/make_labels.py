#!/usr/bin/env python3
"""Make the class lists and the validation labels in imagenet_tools/tables/ from the lists that ImageNet published.

    python data/make_labels.py --classes map_clsloc.txt --truth ILSVRC2012_validation_ground_truth.txt \\
        --fall11 classes_in_imagenet.csv

    map_clsloc.txt (devkits of 2013 and later)         n02119789 1 kit_fox     wnid, ILSVRC2012_ID, a word
    ILSVRC2012_validation_ground_truth.txt (devkit)    490                     ILSVRC2012_ID of image 1, 2 ... 50,000
    a list of fall11's classes                         n00004475,organism,...  the wnid first; a heading is skipped

Only ids are kept. What is made names its source, with the SHA-256 of the file that was read, in its metadata.
"""

from __future__ import annotations

import argparse
import hashlib
import re
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

HOUSE = Path(__file__).resolve().parent.parent


def read_classes(path: Path) -> dict[int, int]:
    """The offset of each ILSVRC2012_ID from map_clsloc.txt: 1 to 1,000, each once."""
    rows = [line.split() for line in path.read_text(encoding="ascii").splitlines() if line.strip()]
    offsets = {int(row[1]): offset_of(row[0], path) for row in rows}
    if sorted(offsets) != list(range(1, 1001)) or len(set(offsets.values())) != len(rows):
        raise SystemExit(f"{path}: expected 1,000 wnids with the ids 1 to 1,000, found {len(rows):,} lines")
    return offsets


def read_truth(path: Path) -> list[int]:
    """The ILSVRC2012_ID of each validation image, in the order of the images: 50 of each class."""
    labels = [int(line) for line in path.read_text(encoding="ascii").split()]
    if len(labels) != 50_000 or Counter(labels) != dict.fromkeys(range(1, 1001), 50):
        raise SystemExit(f"{path}: expected 50,000 labels, 50 of each id from 1 to 1,000, found {len(labels):,}")
    return labels


def read_wnids(path: Path, expected: int) -> list[int]:
    """The sorted offsets of a list whose lines begin with a wnid; one line that does not is taken for the heading."""
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    rows = lines if re.match(r"n\d{8}", lines[0]) else lines[1:]
    offsets = sorted({offset_of(row[:9], path) for row in rows})
    if len(offsets) != expected:
        raise SystemExit(f"{path}: expected {expected:,} wnids, found {len(offsets):,}")
    return offsets


def offset_of(wnid: str, path: Path) -> int:
    """The number in a wnid."""
    if not re.fullmatch(r"n\d{8}", wnid):
        raise SystemExit(f"{path}: expected a wnid (n and eight digits), found {wnid!r}")
    return int(wnid[1:])


def write(name: str, columns: dict[str, pa.Array], meaning: str, *sources: tuple[str, Path]) -> None:
    """Write a table with its meaning and sources, every option that bears on the bytes stated."""
    said = [f"{what}, SHA-256 {hashlib.sha256(path.read_bytes()).hexdigest()}" for what, path in sources]
    fields = [pa.field(column, array.type, nullable=False) for column, array in columns.items()]
    schema = pa.schema(fields, metadata={"description": meaning, "source": "; ".join(said)})
    path = HOUSE / "imagenet_tools/tables" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(
        pa.table(columns, schema=schema),
        path,
        version="2.6",
        compression="zstd",
        compression_level=19,
        use_dictionary=False,
        write_statistics=False,
        column_encoding={
            column: "DELTA_BINARY_PACKED" if array.type == pa.int32() else "PLAIN" for column, array in columns.items()
        },
        store_schema=True,
    )
    print(f"{path}: {len(next(iter(columns.values()))):,} rows, {path.stat().st_size:,} bytes")


def main() -> None:
    """Read the arguments, write the three tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--classes", type=Path, required=True, help="map_clsloc.txt")
    parser.add_argument("--truth", type=Path, required=True, help="ILSVRC2012_validation_ground_truth.txt")
    parser.add_argument("--fall11", type=Path, required=True, help="a list of fall11's 21,841 classes, wnid first")
    arguments = parser.parse_args()

    by_id = read_classes(arguments.classes)
    by_offset = sorted((offset, ilsvrc_id) for ilsvrc_id, offset in by_id.items())
    write(
        "ilsvrc2012_classes.parquet",
        {
            "offset": pa.array([offset for offset, _ in by_offset], pa.int32()),
            "ilsvrc_id": pa.array([ilsvrc_id for _, ilsvrc_id in by_offset], pa.int16()),
        },
        "The 1,000 classes of ILSVRC2012, sorted by wnid (n and the eight digits of offset), and their ILSVRC2012_ID.",
        ("map_clsloc.txt of the ILSVRC devkits", arguments.classes),
    )
    write(
        "ilsvrc2012_validation.parquet",
        {"ilsvrc_id": pa.array(read_truth(arguments.truth), pa.int16())},
        "The ILSVRC2012_ID of validation image 1, 2 ... 50,000, in the order of the images.",
        ("ILSVRC2012_validation_ground_truth.txt of the devkit t12", arguments.truth),
    )
    write(
        "fall11_classes.parquet",
        {"offset": pa.array(read_wnids(arguments.fall11, 21_841), pa.int32())},
        "The 21,841 classes of ImageNet's release of fall 2011, sorted by wnid (n and the eight digits of offset).",
        ("classes_in_imagenet.csv of mf1024/ImageNet-Datasets-Downloader on GitHub", arguments.fall11),
    )


if __name__ == "__main__":
    main()
