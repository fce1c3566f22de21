"""Write the package's tables of facts; the same facts give the same bytes.

A table that commands need at once is a folder of numpy files, one a column, as imagenet_tools/tables/columns.py draws
it. Any other table is a Parquet file, which names its sources in its metadata.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from imagenet_tools.tables import columns as bundled

TABLES = Path(__file__).resolve().parent.parent / "imagenet_tools/tables"


def pinned(path: Path, sha256: str) -> bytes:
    """Return the bytes of a source; stop if its SHA-256 is another one."""
    data = path.read_bytes()
    actual = hashlib.sha256(data).hexdigest()
    if actual != sha256:
        raise SystemExit(f"{path}: its SHA-256 is {actual}, expected {sha256}")
    return data


def write_columns(name: str, columns: dict[str, pa.Array]) -> None:
    """Write a table as a folder of its columns, in place of the columns that were there."""
    folder = TABLES / name
    for old in folder.glob("*.npy"):
        old.unlink()
    bundled.write(pa.table(columns), folder)
    size = sum(path.stat().st_size for path in folder.glob("*.npy"))
    print(f"{folder}: {len(next(iter(columns.values()))):,} rows, {size:,} bytes")


def write_parquet(name: str, columns: dict[str, pa.Array], meaning: str, *sources: tuple[str, Path]) -> None:
    """Write a table with its meaning and sources; every option that changes the bytes is given."""
    stated = [f"{title}, SHA-256 {hashlib.sha256(path.read_bytes()).hexdigest()}" for title, path in sources]
    fields = [pa.field(column, array.type, nullable=False) for column, array in columns.items()]
    schema = pa.schema(fields, metadata={"description": meaning, "source": "; ".join(stated)})
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
    """Return the path of a column, or of the values of a column of lists, and its encoding."""
    values = field.type.value_type if pa.types.is_list(field.type) else field.type
    path = f"{field.name}.list.element" if pa.types.is_list(field.type) else field.name
    return path, "DELTA_BINARY_PACKED" if values == pa.int32() else "PLAIN"
