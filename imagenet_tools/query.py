"""One SELECT over an index, contained: it reads the index and the tables given to it, and nothing else.

Three walls, each of which would do for most of what lies behind the others:

- A gate. DuckDB's own parser must see one SELECT, and its syntax tree must hold nothing but queries and the table
  functions below: since version 2.0 a WITH may hold a COPY or a DELETE, and functions may run SQL or write logs.
- Views on exact files are made first; then the doors are shut: no other file, no extension, no Python object, no
  setting. Alone, that would still let COPY overwrite a file of the index.
- The process bounds its own memory, because DuckDB's limit does not hold for every query.
"""

from __future__ import annotations

import json
import os
import re
import resource
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from imagenet_tools.connection import connect, quoted
from imagenet_tools.errors import QueryError, UsageError
from imagenet_tools.layout import read_manifest
from imagenet_tools.schema import TABLES

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

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

# The nodes of a syntax tree that are queries; DuckDB ends the name of every kind of node with _NODE.
_QUERIES = {"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"}

# Functions that may stand in FROM: our own, and those that make rows of their arguments.
TABLE_FUNCTIONS = (
    *("under", "above", "unnest", "range", "generate_series", "repeat", "json_each", "json_tree", "histogram"),
)

_ONE_SELECT = "expected one SELECT (FROM, VALUES, DESCRIBE and SUMMARIZE count as one)"

# Rows that are fetched at a time.
_ROWS = 10_000
_BATCH = 131_072

_LEAST_MEMORY = 2 << 30  # bytes of address space: less, and DuckDB's threads do not start


@contextmanager
def bounded_memory(share: float = 0.5) -> Iterator[int]:
    """Bound this process to a share of the machine's memory while a query runs; gives the bytes.

    To be entered before DuckDB is imported, whose threads take their share. $IMAGENET_QUERY_MEMORY (bytes) overrides.
    """
    said = os.environ.get("IMAGENET_QUERY_MEMORY") or "0"
    if not said.isdecimal():
        message = f"$IMAGENET_QUERY_MEMORY is {said!r}; expected a number of bytes, such as 8000000000."
        raise UsageError(message)
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    bound = int(said) or max(_LEAST_MEMORY, int(_memory() * share))
    bounds = [limit for limit in (bound, soft, hard) if limit != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_AS, (min(bounds), hard))
    try:
        yield min(bounds)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _memory() -> int:
    """The memory of this machine, or of the container this runs in, in bytes."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
    except OSError:
        return machine
    return min(machine, int(limit)) if limit.isdecimal() else machine


def connect_contained(index: Path, tables: Mapping[str, Path] | None = None) -> duckdb.DuckDBPyConnection:
    """A connection to an index, and to tables of one's own by name, that opens nothing else and cannot be changed."""
    manifest = read_manifest(index)
    sql = connect(index, held=())
    allowed = [str(path) for table in manifest.tables for path in manifest.paths(index.absolute(), table)]
    for name, path in (tables or {}).items():
        _add_table(sql, name, path.absolute())
        allowed.append(str(path.absolute()))
    sql.execute(f"SET allowed_paths = [{', '.join(map(quoted, allowed))}]")
    for setting in _SHUT:
        sql.execute(setting)
    return sql


def _add_table(sql: duckdb.DuckDBPyConnection, name: str, path: Path) -> None:
    import duckdb

    given = f"--with {name}={path}"
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
    try:
        # A folder such as lab=3 on the way is no column.
        sql.execute(f'CREATE VIEW "{name}" AS FROM {reader}({quoted(str(path))}, hive_partitioning = false)')
    except duckdb.Error as error:
        form = reader.removeprefix("read_").replace("csv", "CSV").replace("json", "JSON").replace("parquet", "Parquet")
        message = f"{given}: it does not read as {form}. {_first_line(error)}"
        raise QueryError(message) from error


@dataclass(frozen=True)
class Answer:
    """The answer to a query: its columns, whose names are all different, and its rows as they come, to be taken once."""

    columns: tuple[str, ...]
    types: tuple[str, ...]  # DuckDB's
    _found: duckdb.DuckDBPyConnection

    def rows(self) -> Iterator[tuple[object, ...]]:
        """The rows as Python values; QueryError, at once or later, where DuckDB cannot make them."""
        from importlib.util import find_spec

        for column, form in zip(self.columns, self.types, strict=True):
            # DuckDB makes Python's values of these by pytz, which neither it nor this package brings.
            if "WITH TIME ZONE" in form and find_spec("pytz") is None:
                message = f'Column {column} is a {form}, which needs pytz. Cast it: "{column}"::TIMESTAMP or ::VARCHAR.'
                raise QueryError(message)
        return self._rows(self._fetch())

    def _rows(self, first: Sequence[tuple[object, ...]]) -> Iterator[tuple[object, ...]]:
        rows = first
        while rows:
            yield from rows
            rows = self._fetch()

    def _fetch(self) -> list[tuple[object, ...]]:
        import duckdb

        try:
            return self._found.fetchmany(_ROWS)
        except (duckdb.Error, MemoryError, RuntimeError) as error:
            _explain(error)

    def arrow(self) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
        """The schema and the record batches of the answer, types kept; QueryError as in rows."""
        import duckdb
        import pyarrow as pa

        # The method's name in DuckDB 2, and before.
        read = getattr(self._found, "to_arrow_reader", None) or self._found.fetch_record_batch
        try:
            reader = read(_BATCH)
        except (duckdb.Error, MemoryError, RuntimeError) as error:
            _explain(error)
        fields = [field.with_name(name) for field, name in zip(reader.schema, self.columns, strict=True)]
        return pa.schema(fields), self._batches(reader, pa.schema(fields))

    def _batches(self, reader: pa.RecordBatchReader, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        import duckdb
        import pyarrow as pa

        while True:
            try:
                batch = reader.read_next_batch()
            except StopIteration:
                return
            except (duckdb.Error, pa.ArrowException, MemoryError, RuntimeError, OSError) as error:
                _explain(error)
            yield pa.RecordBatch.from_arrays(batch.columns, schema=schema)


def run(sql: duckdb.DuckDBPyConnection, text: str, *, explain: bool = False) -> Answer:
    """Run one SELECT on a contained connection, or only `explain` how it would run.

    QueryError says what else the text is, or what DuckDB found wrong.
    """
    import duckdb

    try:
        _check(sql, text)
        found = sql.execute(("EXPLAIN " if explain else "") + text)
        described = found.description or []
        return Answer(_unlike([str(one[0]) for one in described]), tuple(str(one[1]) for one in described), found)
    except (duckdb.Error, MemoryError, RuntimeError) as error:
        _explain(error)


def _check(sql: duckdb.DuckDBPyConnection, text: str) -> None:
    """The gate: QueryError for everything but one SELECT of tables."""
    import duckdb

    statements = sql.extract_statements(text)
    kinds = [_kind(statement) for statement in statements]
    if kinds != ["SELECT"]:
        advice = " PIVOT is one where its values are listed: ON split IN ('train', 'val')." * ("pivot" in text.lower())
        message = f"Found {', '.join(kinds) or 'nothing'}; {_ONE_SELECT}.{advice}"
        raise QueryError(message)
    (tree,) = sql.execute("SELECT json_serialize_sql($1)", [text]).fetchone() or ("{}",)
    sql.execute("SELECT 1").fetchall()  # 2.0 wants a result read to its end
    for kind, name in _nodes(tree):
        if kind.endswith("_NODE") and kind not in _QUERIES:
            message = f"Found {kind.removesuffix('_NODE').removesuffix('_QUERY')} inside the query; {_ONE_SELECT}."
            raise QueryError(message)
        if kind == "TABLE_FUNCTION" and name not in TABLE_FUNCTIONS:
            message = (
                f"Found the table function {name}; a query reads the tables of the index, and files that are named "
                f"with --with NAME=FILE. Expected one of {', '.join(TABLE_FUNCTIONS)}."
            )
            raise QueryError(message)


def _kind(statement: duckdb.Statement) -> str:
    try:
        return statement.type.name
    except ValueError:  # a kind that DuckDB's Python has no name for
        return "a statement of another kind"


def _nodes(tree: str) -> Iterator[tuple[str, str]]:
    """(type, name of the function if it is one) of every node of a syntax tree, as DuckDB writes it in JSON."""
    try:
        waiting = [json.loads(tree)]
    except RecursionError:
        raise QueryError("The query is nested too deeply; expected less than a thousand parentheses.") from None
    if waiting[0].get("error", True):
        message = f"{waiting[0].get('error_message', 'DuckDB cannot parse the query')}; {_ONE_SELECT}."
        raise QueryError(message)
    while waiting:
        node = waiting.pop()
        if isinstance(node, list):
            waiting.extend(node)
        elif isinstance(node, dict):
            waiting.extend(node.values())
            function = node.get("function")
            name = function.get("function_name", "") if isinstance(function, dict) else ""
            if isinstance(kind := node.get("type"), str):
                yield kind, name.lower()


def _unlike(names: Sequence[str]) -> tuple[str, ...]:
    """Names made different by a number, as DuckDB does in a subquery: two columns `a` are `a` and `a_1`."""
    seen: set[str] = set()
    for name in names:
        n, unlike = 0, name
        while unlike in seen or (n and unlike in names):
            n += 1
            unlike = f"{name}_{n}"
        seen.add(unlike)
    return tuple(dict.fromkeys(seen)) if False else _in_order(names)


def _in_order(names: Sequence[str]) -> tuple[str, ...]:
    raise NotImplementedError


def _explain(error: BaseException) -> NoReturn:
    raise NotImplementedError
