"""Writes the package's tables of facts, so that the same facts give the same bytes.

A table that commands need at once is a folder of numpy's files, a column each, as imagenet_tools/tables/columns.py
draws them; any other is a Parquet file, which names its sources in its metadata.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from imagenet_tools.tables import columns as bundled

TABLES = Path(__file__).resolve().parent.parent / "imagenet_tools/tables"


def pinned(path: Path, sha256: str) -> bytes:
    """The bytes of a source that has this SHA-256."""
    data = path.read_bytes()
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise SystemExit(f"{path}: its SHA-256 is {found}, expected {sha256}")
    return data


def write_columns(name: str, columns: dict[str, pa.Array]) -> None:
    """Write a table as a folder of its columns; those that stood there are gone."""
    folder = TABLES / name
    for old in folder.glob("*.npy"):
        old.unlink()
    bundled.write(pa.table(columns), folder)
    size = sum(path.stat().st_size for path in folder.glob("*.npy"))
    print(f"{folder}: {len(next(iter(columns.values()))):,} rows, {size:,} bytes")


def write_parquet(name: str, columns: dict[str, pa.Array], meaning: str, *sources: tuple[str, Path]) -> None:
    """Write a table with its meaning and sources, every option that bears on the bytes stated."""
    said = [f"{what}, SHA-256 {hashlib.sha256(path.read_bytes()).hexdigest()}" for what, path in sources]
    fields = [pa.field(column, array.type, nullable=False) for column, array in columns.items()]
    schema = pa.schema(fields, metadata={"description": meaning, "source": "; ".join(said)})
    path = TABLES / f"{name}.parquet"
    pq.write_table(
        pa.table(columns, schema=schema),
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
