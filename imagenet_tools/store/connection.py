"""The tables of an index in a DuckDB in memory: a view of each over exact files, and the macros of views.sql."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import threading
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from imagenet_tools.errors import NoIndexError, QueryError, UsageError
from imagenet_tools.schema import TABLES, VIEWS
from imagenet_tools.store.layout import read_manifest

if TYPE_CHECKING:
    import duckdb


def connect(path: Path, *, memory: int | None = None) -> duckdb.DuckDBPyConnection:
    """A DuckDB in memory with a view of every table of an index, and the macros of views.sql. Writes nothing.

    `memory` is what the process may use, in bytes, where it is bounded.
    No table is held in memory: `closure` and `terms` would save 10 ms a query, and take 150 to read at the start.
    NoIndexError: there is no index, or a file of it is gone or damaged.
    """
    import duckdb

    manifest = read_manifest(path)
    config: dict[str, str | bool | int | float | list[str]] = {"temp_directory": ""}
    if memory is not None:
        # An error of DuckDB's own comes before allocations fail; and the stacks and heaps of its threads take part.
        threads = max(1, min(os.cpu_count() or 1, memory // _THREAD_BYTES))
        config |= {"memory_limit": f"{memory * 3 // 4}B", "threads": threads}
    sql = duckdb.connect(config=config)
    without_progress_bar(sql)
    # Files are never changed under their names, so that what was read of their footers stays true.
    sql.execute("SET GLOBAL parquet_metadata_cache = true")
    sql.execute("CREATE SCHEMA _sets")
    try:
        for table, (_, columns) in TABLES.items():
            if table in VIEWS:
                continue
            if files := manifest.paths(path.absolute(), table):
                # A folder such as lab=3 on the way is no column.
                listed = ", ".join(map(quoted, map(str, files)))
                sql.execute(f"CREATE VIEW {table} AS FROM read_parquet([{listed}], hive_partitioning = false)")
            else:
                nothing = ", ".join(f'NULL::{_SQL_TYPES[column.type]} AS "{column.name}"' for column in columns)
                sql.execute(f"CREATE VIEW {table} AS SELECT {nothing} WHERE false")
    except (duckdb.IOException, duckdb.InvalidInputException) as error:
        message = (
            f"The index {path} is damaged; its table {table} cannot be read: {str(error).splitlines()[0]}. "
            "Copy it again, or build it again with `imagenet-tools build-index --fresh`."
        )
        raise NoIndexError(message) from error
    sql.execute(Path(__file__).with_name("views.sql").read_text())
    return sql


def suit(sql: duckdb.DuckDBPyConnection, query: str) -> None:
    """Make is_a quick for a query in which each call of it names its synset by a value, such as is_a(wnid, 'dog').

    A macro cannot tell a value from a column. The form that suits values takes a tenth of the time, and with a column
    some gigabytes; what both give is the same, so a call that is not recognised costs time alone.
    """
    calls = len(_IS_A.findall(query))
    values = _IS_A_VALUE.findall(query)
    if calls and calls == len(values):
        form = _of_one(sql, values[0]) if len(set(values)) == 1 and values[0] else None
        form = form or "main._is_a_value(wnid, text)"
        sql.execute(f"CREATE OR REPLACE TEMP MACRO is_a(wnid, text) AS {form}")
    else:
        sql.execute("DROP MACRO IF EXISTS temp.is_a")


def _of_one(sql: duckdb.DuckDBPyConnection, text: str) -> str | None:
    """What is_a is where all calls name this synset, a literal; None where it names none, or too many were asked.

    The synsets below it are held as a table, whose first and last tell DuckDB which row groups to leave out.
    """
    import duckdb

    name = '_sets."' + text[1:-1].replace("''", "'").replace('"', '""') + '"'
    try:
        with _making:
            known = sql.execute("SELECT count(*) FROM duckdb_tables() WHERE schema_name = '_sets'").fetchall()[0][0]
            if known >= _MANY:
                return None
            sql.execute(f"CREATE TABLE IF NOT EXISTS {name} AS FROM main.under({text})")
        first, last = sql.execute(f"SELECT min(wnid), max(wnid) FROM {name}").fetchall()[0]
    except duckdb.Error:
        return None  # the query itself will say what is wrong
    return (
        f"wnid IS NOT NULL AND wnid >= {quoted(first)} AND wnid <= {quoted(last)} "
        f"AND coalesce(wnid IN (FROM {name}), false)"
    )


_THREAD_BYTES = 256 << 20  # of address space that a thread is given

_making = threading.Lock()
_MANY = 100  # synsets whose descendants a connection holds


_IS_A = re.compile(r"\bis_a\s*\(", re.IGNORECASE)
_IS_A_VALUE = re.compile(_IS_A.pattern + r"""\s*[\w."]+\s*,\s*(?:('(?:[^']|'')*')|\$\w+)\s*\)""", re.IGNORECASE)


def without_progress_bar(sql: duckdb.DuckDBPyConnection) -> None:
    """Have DuckDB draw no bar, which would be on stdout.

    In Jupyter without ipywidgets even switching it off is an error, and none is drawn.
    """
    import duckdb

    with contextlib.suppress(duckdb.InvalidInputException):
        sql.execute("SET enable_progress_bar = false")


def relation(sql: duckdb.DuckDBPyConnection, query: str, parameters: Mapping[str, object]) -> duckdb.DuckDBPyRelation:
    """A query as a relation, on a cursor of its own: two open readers on one connection cut each other short."""
    import duckdb

    cursor = sql.cursor()
    suit(cursor, query)
    if duckdb.__version__.startswith("1.4."):
        _kept.append(cursor)
    return cursor.sql(query, params=dict(parameters) or None)


# DuckDB 1.4 closes a cursor that nothing but its relations holds; here one takes 25 KiB.
_kept: deque[duckdb.DuckDBPyConnection] = deque(maxlen=1000)


def quoted(text: str) -> str:
    """A text as a SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def engine_errors() -> tuple[type[Exception], ...]:
    """DuckDB's own errors, for who has run no SQL to catch them: none before DuckDB is loaded."""
    if "duckdb" not in sys.modules:
        return ()
    import duckdb

    return (duckdb.Error,)


# The names that a cursor gives the table of groups, and the ids of a lock.
GROUPS = "_groups"
LOCK = "_lock"

_SQL_TYPES = {
    "string": "VARCHAR",
    "double": "DOUBLE",
    "bool": "BOOLEAN",
    "int16": "SMALLINT",
    "int32": "INTEGER",
    "int64": "BIGINT",
    "uint32": "UINTEGER",
    "binary": "BLOB",
    "list<string>": "VARCHAR[]",
    "units": (
        "STRUCT(unit BIGINT, form VARCHAR, file VARCHAR, member VARCHAR, fingerprint VARCHAR, "
        "n_images BIGINT, n_boxes BIGINT, n_labels BIGINT, n_problems BIGINT, "
        "size BIGINT, digest VARCHAR)[]"
    ),
}


# ---- tables of the user: a csv, json or Parquet file as a view


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
