"""One SELECT over an index, contained: it reads the index and the tables given to it, and nothing else.

Three walls, each of which would do for most of what lies behind the others:

- A gate (imagenet_tools.store.gate): what DuckDB's parser sees must be one SELECT, with nothing else inside.
- Views on exact files are made first; then the doors are shut: no other file, no extension, no Python object, no
  setting. Alone, that would still let COPY overwrite a file of the index.
- The command runs it in a process whose memory and time are bounded, because DuckDB's limits hold for few queries.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from resource import RLIM_INFINITY
from typing import TYPE_CHECKING, NamedTuple

from imagenet_tools import system
from imagenet_tools.errors import ImagenetToolsError, QueryError
from imagenet_tools.schema import TABLES
from imagenet_tools.store.connection import add_table, connect, quoted, suit
from imagenet_tools.store.gate import check
from imagenet_tools.store.layout import read_manifest
from imagenet_tools.system import address_space

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

# What views.sql defines for those who type.
MACROS = {
    "synset(text)": "the wnid that a wnid, a name (dog.n.01) or a lemma (dog) names; an error where it names several",
    "is_a(wnid, synset)": "whether a wnid is the synset or lies below it",
    "under(synset)": "a table of wnid: the synset and all that lies below it, as in wnid IN (FROM under('dog'))",
    "above(synset)": "a table of wnid: the synset and all that lies above it",
    "draw(hash32, seed)": "the number that splits and samples order an image by, 0 to 4,294,967,295",
}

_SHUT = (
    "SET enable_external_access = false",
    "SET autoinstall_known_extensions = false",
    "SET autoload_known_extensions = false",
    "SET allow_community_extensions = false",
    "SET python_enable_replacements = false",
    "SET lock_configuration = true",
)

# Rows that are fetched at a time.
_ROWS = 10_000
_BATCH = 131_072

LEAST_MEMORY = 1 << 30  # bytes of address space: less, and DuckDB does not start


def default_memory() -> int:
    """Return half the memory of this machine, or of the container this runs in, in bytes; 2 GiB at least."""
    return max(2 << 30, system.memory() // 2)


def connect_contained(
    index: Path, tables: Mapping[str, Path] | None = None, *, memory: int | None = None
) -> duckdb.DuckDBPyConnection:
    """A connection to an index, and to tables of one's own by name, that opens nothing else and cannot be changed.

    `memory` is what the process may use, in bytes, where it is bounded.
    """
    manifest = read_manifest(index)
    sql = connect(index, memory=memory)
    allowed = [str(path) for table in manifest.tables for path in manifest.paths(index.absolute(), table)]
    for name, path in (tables or {}).items():
        add_table(sql, name, path.absolute())
        allowed.append(str(path.absolute()))
    sql.execute(f"SET allowed_paths = [{', '.join(map(quoted, allowed))}]")
    for setting in _SHUT:
        sql.execute(setting)
    return sql


class Answer(NamedTuple):
    """The answer to a query: its columns, all named differently, and its rows as they come."""

    columns: tuple[str, ...]
    rows: Iterator[tuple[object, ...]]


def run(sql: duckdb.DuckDBPyConnection, text: str, *, explain: bool = False) -> Answer:
    """Run one SELECT on a contained connection, or only `explain` how it would run; its rows as Python values.

    QueryError says what else the text is, or what DuckDB found wrong: here, or while the rows come.
    """
    import duckdb

    try:
        check(sql, text)
        suit(sql, text)
        found = sql.execute(("EXPLAIN " if explain else "") + text)
        columns = [str(column[0]) for column in found.description or ()]
        for name, form in ((str(column[0]), str(column[1])) for column in found.description or ()):
            # DuckDB makes Python's values of these with pytz, which neither it nor this package brings.
            if form.endswith("WITH TIME ZONE") and find_spec("pytz") is None:
                message = f'Column {name} is a {form}, which needs pytz. Cast it: "{name}"::TIMESTAMP, or ::VARCHAR.'
                raise QueryError(message)
        # The first rows at once: what goes wrong at once is said before anything is printed.
        return Answer(_unlike(columns), _rows(found, found.fetchmany(_ROWS)))
    except (duckdb.Error, MemoryError, RuntimeError) as error:
        raise _worded(error) from error


def _rows(found: duckdb.DuckDBPyConnection, first: Sequence[tuple[object, ...]]) -> Iterator[tuple[object, ...]]:
    import duckdb

    rows = first
    while rows:
        yield from rows
        try:
            rows = found.fetchmany(_ROWS)
        except (duckdb.Error, MemoryError, RuntimeError) as error:
            raise _worded(error) from error


def run_arrow(sql: duckdb.DuckDBPyConnection, text: str) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    """Run one SELECT like run; its schema and its record batches, types kept, as they come."""
    import duckdb
    import pyarrow as pa

    try:
        check(sql, text)
        suit(sql, text)
        relation = sql.sql(text)
        reader = relation.arrow(_BATCH)
    except (duckdb.Error, MemoryError, RuntimeError) as error:
        raise _worded(error) from error
    names = _unlike(reader.schema.names)
    schema = pa.schema([field.with_name(name) for field, name in zip(reader.schema, names, strict=True)])
    return schema, _batches(reader, schema)


def _batches(reader: pa.RecordBatchReader, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    import duckdb
    import pyarrow as pa

    while True:
        try:
            batch = next(reader, None)
        except (duckdb.Error, pa.ArrowException, OSError, MemoryError, RuntimeError) as error:
            raise _worded(error) from error
        if batch is None:
            return
        yield pa.RecordBatch.from_arrays(batch.columns, schema=schema)


def _unlike(names: Sequence[str]) -> tuple[str, ...]:
    """Names made all different: of two columns `a` the second is `a_1`."""
    unlike: list[str] = []
    for name in names:
        n, new = 0, name
        while new in unlike or (n and new in names):
            n += 1
            new = f"{name}_{n}"
        unlike.append(new)
    return tuple(unlike)


# ---- what went wrong


def _worded(error: BaseException) -> ImagenetToolsError:
    """What DuckDB says, for who typed the query."""
    import duckdb

    text = str(error).strip()
    if isinstance(error, (MemoryError, duckdb.OutOfMemoryException)) or "Out of Memory" in text:
        bound = address_space()[0]
        limit = f"than the {bound / (1 << 30):.1f} GiB it may use" if bound != RLIM_INFINITY else "than there is"
        return QueryError(
            f"The query needs more memory {limit}. Ask for fewer rows or columns, above all in ORDER BY, DISTINCT, "
            "joins and list(); or raise --memory."
        )
    if isinstance(error, duckdb.PermissionException):
        return QueryError(f"{_first_line(error)}. A query reads other files where they are named: --with NAME=FILE.")
    if isinstance(error, duckdb.CatalogException) and "Table with name" in text:
        # DuckDB proposes its own system tables too.
        tables = f"\nThe tables are {', '.join(TABLES)}."
        text = re.sub(r"\nDid you mean \"(pg_|sqlite_|duckdb_|pragma_)[^\n]*", "", text)
        return QueryError(text if "Did you mean" in text else text.replace("\n", tables + "\n", 1))
    return QueryError(text.removeprefix("Invalid Input Error: "))


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
