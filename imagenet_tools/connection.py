"""The tables of an index in a DuckDB in memory: a view of each over exact files, and the macros of views.sql."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from imagenet_tools.layout import read_manifest
from imagenet_tools.schema import TABLES

if TYPE_CHECKING:
    import duckdb

# Tables that every query may need and that are read whole: held in memory, they answer in a third of the time.
_HELD = ("closure", "terms")


def connect(path: Path, *, held: Iterable[str] = _HELD) -> duckdb.DuckDBPyConnection:
    """A DuckDB in memory with a view of every table of an index, and the macros of views.sql. Writes nothing."""
    import duckdb

    manifest = read_manifest(path)
    sql = duckdb.connect(config={"temp_directory": ""})
    for table, (_, columns) in TABLES.items():
        files = [str(file).replace("'", "''") for file in manifest.paths(path, table)]
        if files:
            listed = ", ".join(f"'{file}'" for file in files)
            kind = "TABLE" if table in held else "VIEW"
            sql.execute(f"CREATE {kind} {table} AS SELECT * FROM read_parquet([{listed}])")
        else:
            nothing = ", ".join(f'NULL::{_SQL_TYPES[column.type]} AS "{column.name}"' for column in columns)
            sql.execute(f"CREATE VIEW {table} AS SELECT {nothing} WHERE false")
    sql.execute(Path(__file__).with_name("views.sql").read_text())
    return sql


_SQL_TYPES = {
    "string": "VARCHAR",
    "double": "DOUBLE",
    "bool": "BOOLEAN",
    "int16": "SMALLINT",
    "int32": "INTEGER",
    "int64": "BIGINT",
    "uint32": "UINTEGER",
    "list<string>": "VARCHAR[]",
    "units": (
        "STRUCT(unit BIGINT, form VARCHAR, file VARCHAR, member VARCHAR, fingerprint VARCHAR, "
        "n_images BIGINT, n_boxes BIGINT, n_labels BIGINT, n_problems BIGINT)[]"
    ),
}
