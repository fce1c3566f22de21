"""Tables of one's own: a csv, json or Parquet file as a view beside the tables of an index, and how it meets images."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from imagenet_tools.errors import QueryError, UsageError
from imagenet_tools.index.connection import quoted
from imagenet_tools.schema import TABLES

if TYPE_CHECKING:
    import duckdb

_READERS = {
    ".csv": "read_csv",
    ".tsv": "read_csv",
    ".json": "read_json",
    ".jsonl": "read_json",
    ".ndjson": "read_json",
    ".parquet": "read_parquet",
}


def add_table(
    sql: duckdb.DuckDBPyConnection, name: str, path: Path, *, said: str = "", temporary: bool = False
) -> None:
    """Add a file as a view, of this connection alone if `temporary`; `said` is what an error calls it.

    UsageError: its name is a table's, or no name, or its suffix tells no format. QueryError: it does not read.
    """
    import duckdb

    given = said or f"--with {name}={path}"
    if not re.fullmatch(r"[A-Za-z_]\w*", name) or name.lower() in TABLES:
        taken = ", which is a table of the index" if name.lower() in TABLES else ""
        message = f"{given}: the name is {name!r}{taken}. Expected a name of letters, digits and '_' of its own."
        raise UsageError(message)
    suffixes = [suffix.lower() for suffix in path.suffixes]
    packed = suffixes[-1:] == [".gz"]
    reader = _READERS.get((suffixes[:-1] if packed else suffixes)[-1:][0] if suffixes[packed:] else "")
    if reader is None or (packed and reader == "read_parquet") or not path.is_file():
        what = "no such file" if not path.is_file() else "its suffix tells no format"
        message = f"{given}: {what}. Expected a file .csv, .tsv, .json, .jsonl (each also .gz) or .parquet."
        raise UsageError(message)
    kind = "TEMP VIEW" if temporary else "VIEW"
    try:
        # A folder such as lab=3 on the way is no column.
        sql.execute(f'CREATE {kind} "{name}" AS FROM {reader}({quoted(str(path))}, hive_partitioning = false)')
    except duckdb.Error as error:
        form = reader.removeprefix("read_").replace("csv", "CSV").replace("json", "JSON").replace("parquet", "Parquet")
        said = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
        message = f"{given}: it does not read as {form}. {said}"
        raise QueryError(message) from error


def join_keys(sql: duckdb.DuckDBPyConnection, name: str, *, said: str) -> str:
    """The columns that join a view to images, ',' between: dataset and image_id, or photo.

    UsageError: it has the columns of neither, or several rows for one image.
    """
    columns = {str(row[0]) for row in sql.execute(f'DESCRIBE "{name}"').fetchall()}
    keys = next((key for key in (("dataset", "image_id"), ("photo",)) if columns.issuperset(key)), None)
    if keys is None:
        found = ", ".join(sorted(columns))
        raise UsageError(f"{said}: found the columns {found}; expected dataset and image_id, or photo, to join it by.")
    listed = ", ".join(keys)
    twice = sql.execute(
        f'SELECT {listed} FROM "{name}" GROUP BY ALL HAVING count(*) > 1 ORDER BY ALL LIMIT 1'
    ).fetchone()
    if twice:
        where = "/".join(map(str, twice))
        raise UsageError(f"{said}: it has several rows for {where}. Expected one row an image at most.")
    return listed
