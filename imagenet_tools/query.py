"""One SELECT over an index, contained: it reads the index and the tables given to it, and nothing else.

Views on exact files are made first; then the doors are shut: no other file, no extension, no Python object, no
setting. `allowed_paths` alone would still let COPY overwrite an index file, so a statement must be a SELECT, as
DuckDB's own parser sees it.
"""

from __future__ import annotations

import os
import re
import resource
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from imagenet_tools.connection import connect
from imagenet_tools.errors import QueryError, UsageError
from imagenet_tools.layout import read_manifest
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

_SHUT = (
    "SET enable_external_access = false",
    "SET autoinstall_known_extensions = false",
    "SET autoload_known_extensions = false",
    "SET allow_community_extensions = false",
    "SET python_enable_replacements = false",
    "SET lock_configuration = true",
)


class Result(NamedTuple):
    """The columns of an answer, and its rows as they come."""

    columns: tuple[str, ...]
    rows: Iterator[tuple[object, ...]]


def limit_memory(share: float = 0.5) -> int:
    """Bound this process to a share of the machine's memory, before DuckDB is imported; gives the bytes.

    DuckDB's own limit does not hold for every query; the process's does. $IMAGENET_QUERY_MEMORY (bytes) overrides.
    """
    bound = int(os.environ.get("IMAGENET_QUERY_MEMORY") or 0)
    bound = bound or int(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") * share)
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    if hard == resource.RLIM_INFINITY or hard > bound:
        resource.setrlimit(resource.RLIMIT_AS, (bound, hard))
    return bound


def connect_contained(index: Path, tables: Mapping[str, Path] | None = None) -> duckdb.DuckDBPyConnection:
    """A connection to an index, and to tables of one's own by name, that opens nothing else and cannot be changed."""
    sql = connect(index)
    manifest = read_manifest(index)
    allowed = [str(path) for table in manifest.tables for path in manifest.paths(index, table)]
    for name, path in (tables or {}).items():
        _add_table(sql, name, path)
        allowed.append(str(path))
    sql.execute("SET allowed_paths = [" + ", ".join(_quoted(path) for path in allowed) + "]")
    for setting in _SHUT:
        sql.execute(setting)
    return sql


def _add_table(sql: duckdb.DuckDBPyConnection, name: str, path: Path) -> None:
    import duckdb

    if not re.fullmatch(r"[A-Za-z_]\w*", name) or name.lower() in TABLES:
        message = f"--with {name}={path}: expected a name of letters and digits that no table of the index has."
        raise UsageError(message)
    suffixes = [suffix.lower() for suffix in path.suffixes if suffix.lower() != ".gz"]
    reader = _READERS.get(suffixes[-1] if suffixes else "")
    if reader is None or not path.is_file():
        what = "no such file" if not path.is_file() else "its suffix tells no format"
        message = f"--with {name}={path}: {what}. Expected a file .csv, .tsv, .json, .jsonl or .parquet."
        raise UsageError(message)
    try:
        sql.execute(f"CREATE VIEW {name} AS SELECT * FROM {reader}({_quoted(str(path))})")
    except duckdb.Error as error:
        message = f"--with {name}={path}: {str(error).splitlines()[0]}"
        raise QueryError(message) from error


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def run(sql: duckdb.DuckDBPyConnection, text: str, *, explain: bool = False) -> Result:
    """Run one SELECT on a contained connection; QueryError says what else it is, or what DuckDB found wrong."""
    import duckdb

    try:
        statements = duckdb.extract_statements(text)
    except duckdb.Error as error:
        raise QueryError(str(error)) from error
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        kinds = ", ".join(statement.type.name for statement in statements) or "nothing"
        message = f"Found {kinds}; expected one SELECT (FROM, VALUES, DESCRIBE and SUMMARIZE count as one)."
        raise QueryError(message)
    try:
        found = sql.execute(("EXPLAIN " if explain else "") + text)
        columns = tuple(column[0] for column in found.description or ())
        first = found.fetchmany(_ROWS)
    except (duckdb.Error, MemoryError) as error:
        raise QueryError(str(error) or "The query needs more memory than it may use.") from error
    return Result(columns, _rows(found, first))


_ROWS = 10_000


def _rows(found: duckdb.DuckDBPyConnection, first: Sequence[tuple[object, ...]]) -> Iterator[tuple[object, ...]]:
    import duckdb

    rows = first
    try:
        while rows:
            yield from rows
            rows = found.fetchmany(_ROWS)
    except (duckdb.Error, MemoryError) as error:
        raise QueryError(str(error) or "The query needs more memory than it may use.") from error
