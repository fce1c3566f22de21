"""Run one SELECT over an index, contained: it reads the index and the tables of the caller, and nothing else.

There are three barriers, and each stops most attacks alone:

- A gate (imagenet_tools.store.gate): DuckDB's parser must see one SELECT, with nothing else inside.
- Views of exact files are made first; then DuckDB is locked: no other file, no extension, no Python object, no
  setting. That alone would still let COPY overwrite a file of the index.
- The command runs the query in a process with bounded memory and time, because DuckDB's limits hold for few queries.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from resource import RLIM_INFINITY
from typing import TYPE_CHECKING, NamedTuple

from imagenet_tools import system
from imagenet_tools.errors import QueryError
from imagenet_tools.schema import TABLES
from imagenet_tools.store.connection import (
    add_table,
    connect,
    files_of,
    first_line,
    quoted,
    relation,
    specialise_is_a,
)
from imagenet_tools.store.gate import check

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

# The public macros of views.sql.
MACROS = {
    "synset(text)": "the wnid that a wnid, a name (dog.n.01) or a lemma (dog) names; an error where it names several",
    "is_a(wnid, synset)": "whether a wnid is the synset or lies below it",
    "under(synset)": "a table of wnid: the synset and all that lies below it, as in wnid IN (FROM under('dog'))",
    "above(synset)": "a table of wnid: the synset and all that lies above it",
    "draw(hash32, seed)": "the number that splits and samples order an image by, 0 to 4,294,967,295",
}

_LOCK_SETTINGS = (
    "SET enable_external_access = false",
    "SET autoinstall_known_extensions = false",
    "SET autoload_known_extensions = false",
    "SET allow_community_extensions = false",
    "SET allow_persistent_secrets = false",
    "SET python_enable_replacements = false",
    "SET max_temp_directory_size = '0 bytes'",
    "SET lock_configuration = true",
)

_FETCHED_ROWS = 10_000
_BATCH_ROWS = 131_072

LEAST_MEMORY = 1 << 30  # bytes of address space: with less, DuckDB does not start


def default_memory() -> int:
    """Return half the memory of this machine or container in bytes, at least 2 GiB."""
    return max(2 << 30, system.memory() // 2)


def connect_contained(
    index: Path | None, tables: Mapping[str, Path] | None = None, *, memory: int | None = None
) -> duckdb.DuckDBPyConnection:
    """Return a connection to an index that opens no other file and whose settings cannot be changed.

    Args:
        index: Folder of the index; None for WordNet alone.
        tables: Files of the user to query beside it, by name: see connection.add_table.
        memory: Bytes that the process may use, if it is bounded.

    Raises:
        NoIndexError: There is no index, or one of its files is missing or damaged.
        UsageError: One of `tables` has an invalid name, is missing, or has an unknown suffix.
        QueryError: One of `tables` is not of the format that its suffix names, or DuckDB lacks a setting.
    """
    import duckdb

    allowed = [str(path) for paths in files_of(index).values() for path in paths]
    sql = connect(index, memory=memory)
    for name, path in (tables or {}).items():
        add_table(sql, name, path.absolute())
        allowed.append(str(path.absolute()))
    sql.execute(f"SET allowed_paths = [{', '.join(map(quoted, allowed))}]")
    for setting in _LOCK_SETTINGS:
        with suppress(duckdb.CatalogException):  # there is no such setting: assert_locked() says so
            sql.execute(setting)
    assert_locked(sql)
    return sql


def assert_locked(sql: duckdb.DuckDBPyConnection) -> None:
    """Raise QueryError unless every setting that contains a connection has the value that connect_contained() gave it.

    A version of DuckDB that renames a setting, or ignores one, is refused before it runs a query.
    """
    rows = sql.execute("SELECT name, lower(value) FROM duckdb_settings()").fetchall()
    found = {str(name): str(value) for name, value in rows}
    for setting in _LOCK_SETTINGS:
        name, _, literal = setting.removeprefix("SET ").partition(" = ")
        value = literal.strip("'")
        if found.get(name) != value:
            has = f"has {name} = {found[name]}" if name in found else f"has no setting {name}"
            raise QueryError(
                f"DuckDB {version('duckdb')} {has}; expected {value}, which keeps a query from other files. The query "
                "is not run. Install a version of DuckDB that pyproject.toml allows, and report this one."
            )


def ask(sql: duckdb.DuckDBPyConnection, text: str, values: Mapping[str, object]) -> duckdb.DuckDBPyRelation:
    """Return one SELECT as a relation.

    Args:
        sql: A connection of connect_contained().
        text: The query.
        values: As connection.relation takes them.

    Raises:
        QueryError: The text is not one SELECT, or DuckDB refuses it.
    """
    with _duckdb_errors():
        check(sql.cursor(), text)
        return relation(sql, text, values, {})


class Answer(NamedTuple):
    """Answer to a query: its columns, all named differently, and an iterator of its rows."""

    columns: tuple[str, ...]
    rows: Iterator[tuple[object, ...]]


def run(sql: duckdb.DuckDBPyConnection, text: str, *, explain: bool = False) -> Answer:
    """Run one SELECT, and return its rows as Python values.

    Args:
        sql: A connection of connect_contained().
        text: The query.
        explain: Return how DuckDB would run the query.

    Raises:
        QueryError: The text is not one SELECT, or DuckDB reports an error, also while the rows are read.

    Example:
        >>> run(connect_contained(index.path), "SELECT split, count(*) AS n FROM images GROUP BY split").columns
        ('split', 'n')
    """
    with _duckdb_errors():
        check(sql, text)
        specialise_is_a(sql, text)
        cursor = sql.execute(("EXPLAIN " if explain else "") + text)
        columns = [(str(name), str(kind)) for name, kind, *_ in cursor.description or ()]
        for name, kind in columns:
            # DuckDB makes Python values of these types with pytz, which neither DuckDB nor this package requires.
            if kind.endswith("WITH TIME ZONE") and find_spec("pytz") is None:
                message = f'Column {name} is a {kind}, which needs pytz. Cast it: "{name}"::TIMESTAMP, or ::VARCHAR.'
                raise QueryError(message)
        # The first rows are fetched now, so that most errors come before anything is printed.
        return Answer(_distinct([name for name, _ in columns]), _rows(cursor, cursor.fetchmany(_FETCHED_ROWS)))


def _rows(cursor: duckdb.DuckDBPyConnection, rows: Sequence[tuple[object, ...]]) -> Iterator[tuple[object, ...]]:
    while rows:
        yield from rows
        with _duckdb_errors():
            rows = cursor.fetchmany(_FETCHED_ROWS)


def run_arrow(sql: duckdb.DuckDBPyConnection, text: str) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    """Run one SELECT like run(), and return its schema and its record batches, with all types kept."""
    import pyarrow as pa

    with _duckdb_errors():
        check(sql, text)
        specialise_is_a(sql, text)
        relation = sql.sql(text)  # its reader needs it
        reader = relation.arrow(_BATCH_ROWS)
    names = _distinct(reader.schema.names)
    schema = pa.schema([field.with_name(name) for field, name in zip(reader.schema, names, strict=True)])

    def batches() -> Iterator[pa.RecordBatch]:
        while True:
            with _duckdb_errors(pa.ArrowException, OSError):
                batch = next(reader, None)
            if batch is None:
                return
            yield pa.RecordBatch.from_arrays(batch.columns, schema=schema)

    return schema, batches()


def _distinct(names: Sequence[str]) -> tuple[str, ...]:
    """Return names without duplicates: the second of two columns `a` becomes `a_1`."""
    distinct: list[str] = []
    for name in names:
        n, new = 0, name
        while new in distinct or (n and new in names):
            n += 1
            new = f"{name}_{n}"
        distinct.append(new)
    return tuple(distinct)


@contextmanager
def _duckdb_errors(*others: type[Exception]) -> Iterator[None]:
    """Raise an error of DuckDB as a QueryError with advice for the user."""
    import duckdb

    errors: tuple[type[Exception], ...] = (duckdb.Error, MemoryError, RuntimeError, *others)
    try:
        yield
    except errors as error:
        raise QueryError(_message(error)) from error


def _message(error: Exception) -> str:
    import duckdb

    text = str(error).strip()
    if isinstance(error, (MemoryError, duckdb.OutOfMemoryException)) or "Out of Memory" in text:
        bound = system.address_space()[0]
        limit = f"than the {bound / (1 << 30):.1f} GiB it may use" if bound != RLIM_INFINITY else "than there is"
        return (
            f"The query needs more memory {limit}. Ask for fewer rows or columns, above all in ORDER BY, DISTINCT, "
            "joins and list(); or raise --memory."
        )
    if isinstance(error, duckdb.PermissionException):
        return f"{first_line(error)}. A query reads other files where they are named: --with NAME=FILE."
    if isinstance(error, duckdb.CatalogException) and (name := re.search(r"Table with name (\w+)", text)):
        if name[1].lower() in TABLES:
            return (
                f"The table {name[1]} needs an index; without one there are synsets, hypernyms, closure and terms. "
                "Build an index with `imagenet-tools build-index PATH...`, or name one with -i or $IMAGENET_INDEX."
            )
        # DuckDB proposes its own system tables too.
        text = re.sub(r"\nDid you mean \"(pg_|sqlite_|duckdb_|pragma_)[^\n]*", "", text)
        tables = f"\nThe tables are {', '.join(TABLES)}."
        return text if "Did you mean" in text else text.replace("\n", tables + "\n", 1)
    return text.removeprefix("Invalid Input Error: ")
