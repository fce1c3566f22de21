#!/usr/bin/env python3
"""Make the validation labels in imagenet_tools/tables/ from the devkit's ground truth.

    python data/make_labels.py ILSVRC2012_validation_ground_truth.txt

    490    the ILSVRC2012_ID of image 1, then of 2 ... 50,000

Only ids are kept. What is made names its source, with the SHA-256 of the file that was read, in its metadata.
"""

from __future__ import annotations

import argparse
import hashlib
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from imagenet_tools.tables import columns as bundled

HOUSE = Path(__file__).resolve().parent.parent


def read_truth(path: Path) -> list[int]:
    """The ILSVRC2012_ID of each validation image, in the order of the images: 50 of each class."""
    labels = [int(line) for line in path.read_text(encoding="ascii").split()]
    if len(labels) != 50_000 or Counter(labels) != dict.fromkeys(range(1, 1001), 50):
        raise SystemExit(f"{path}: expected 50,000 labels, 50 of each id from 1 to 1,000, found {len(labels):,}")
    return labels


def write(
    name: str, columns: dict[str, pa.Array], meaning: str, *sources: tuple[str, Path], apart: bool = True
) -> None:
    """Write a table with its meaning and sources, every option that bears on the bytes stated.

    Its columns are written once more, each for itself, if `apart`.
    """
    said = [f"{what}, SHA-256 {hashlib.sha256(path.read_bytes()).hexdigest()}" for what, path in sources]
    fields = [pa.field(column, array.type, nullable=False) for column, array in columns.items()]
    schema = pa.schema(fields, metadata={"description": meaning, "source": "; ".join(said)})
    path = HOUSE / "imagenet_tools/tables" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.table(columns, schema=schema)
    if apart:
        bundled.write(table, path.with_suffix(""))
    pq.write_table(
        table,
        path,
        version="2.6",
        compression="zstd",
        compression_level=19,
        use_dictionary=False,
        write_statistics=False,
        column_encoding=dict(_encoding(field) for field in fields),
        store_schema=True,
    )
    print(f"{path}: {len(next(iter(columns.values()))):,} rows, {path.stat().st_size:,} bytes")


def _encoding(field: pa.Field) -> tuple[str, str]:
    """The path of a column, or of the values of a column of lists, and how it is written."""
    values = field.type.value_type if pa.types.is_list(field.type) else field.type
    path = f"{field.name}.list.element" if pa.types.is_list(field.type) else field.name
    return path, "DELTA_BINARY_PACKED" if values == pa.int32() else "PLAIN"


def main() -> None:
    """Read the argument, write the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("truth", type=Path, help="ILSVRC2012_validation_ground_truth.txt")
    arguments = parser.parse_args()
    write(
        "ilsvrc2012_validation.parquet",
        {"ilsvrc_id": pa.array(read_truth(arguments.truth), pa.int16())},
        "The ILSVRC2012_ID of validation image 1, 2 ... 50,000, in the order of the images.",
        ("ILSVRC2012_validation_ground_truth.txt of the devkit t12", arguments.truth),
    )


if __name__ == "__main__":
    main()
