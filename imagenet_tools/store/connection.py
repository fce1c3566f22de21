"""Connections to the tables of an index, and to files of the user, in a DuckDB in memory. Nothing is written.

Each table is a view of exact Parquet files; views.sql adds the other views and the macros. A CSV, JSON or Parquet file
of the user becomes a view too.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
import threading
from collections import deque
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from imagenet_tools.arguments import is_frame
from imagenet_tools.errors import QueryError, UsageError
from imagenet_tools.schema import TABLES, VIEWS
from imagenet_tools.storage.processes import signals_deferred
from imagenet_tools.store import layout
from imagenet_tools.store.layout import Manifest, damaged, read_manifest
from imagenet_tools.text import count_of

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

# Names of two views of a cursor: the table of groups, and the ids of a lock.
GROUPS = "_groups"
LOCK = "_lock"

# The tables that need no index; of synsets, the counts are 0.
WORDNET = (*layout.CONSTANT, "synset_counts", *VIEWS)

_THREAD_BYTES = 256 << 20  # address space that one thread of DuckDB needs

# Types of schema.py that DuckDB does not know by the same name.
_SQL_TYPES = {
    "list<string>": "VARCHAR[]",
    "units": (
        "STRUCT(unit BIGINT, form VARCHAR, file VARCHAR, member VARCHAR, fingerprint VARCHAR, n_images BIGINT, "
        "n_boxes BIGINT, n_labels BIGINT, n_problems BIGINT, size BIGINT, digest VARCHAR, mtime_ns BIGINT)[]"
    ),
}

# How DuckDB reads a file of the user, by suffix.
_READERS = {
    ".csv": ("read_csv", "CSV"),
    ".tsv": ("read_csv", "CSV"),
    ".json": ("read_json", "JSON"),
    ".jsonl": ("read_json", "JSON"),
    ".ndjson": ("read_json", "JSON"),
    ".parquet": ("read_parquet", "Parquet"),
}

_IS_A = re.compile(r"\bis_a\s*\(", re.IGNORECASE)
_IS_A_VALUE = re.compile(_IS_A.pattern + r"""\s*[\w."]+\s*,\s*(?:('(?:[^']|'')*')|\$(\w+))\s*\)""", re.IGNORECASE)

# Tables of descendants that a connection keeps, and the lock under which one is made.
_MAX_DESCENDANT_TABLES = 100
_descendants_lock = threading.Lock()

# DuckDB 1.4 closes a cursor that only its relations refer to, so the last ones are kept; each takes 25 KiB.
_kept_cursors: deque[duckdb.DuckDBPyConnection] = deque(maxlen=1000)


# The rows of the bundled image lists. Names are spelled as image_lists.py does.
_IMAGE_LISTS = """
CREATE VIEW image_lists AS
    SELECT name AS list, dataset,
           CASE WHEN "offset" = 0 THEN format('ILSVRC2012_val_{:08d}', number)
                ELSE format('n{:08d}_{}', "offset", number) END AS photo
    FROM (SELECT name, dataset, unnest(offsets) AS "offset", unnest(numbers) AS number FROM %s);
"""

# The rule by which a lemma of several synsets is resolved: in an index by images, in WordNet alone by classes.
# A macro calls no if(), which DuckDB 2 stores in a file as a function that DuckDB 1 does not have.
_BELOW_INDEX = """
CREATE VIEW _sets._below AS SELECT wnid, n_images_inclusive AS n_below FROM main.synset_counts;
CREATE MACRO _counted(n) AS n || CASE WHEN n = 1 THEN ' image' ELSE ' images' END;
"""
_BELOW_WORDNET = """
CREATE VIEW _sets._below AS
    SELECT ancestor AS wnid, count(*) AS n_below
    FROM main.closure JOIN main.synset_facts ON descendant = wnid WHERE ilsvrc2012_index IS NOT NULL GROUP BY ancestor;
CREATE MACRO _counted(n) AS n || CASE WHEN n = 1 THEN ' ILSVRC2012 class' ELSE ' ILSVRC2012 classes' END;
"""


def connect(path: Path | None, *, memory: int | None = None) -> duckdb.DuckDBPyConnection:
    """Return a DuckDB in memory with a view of every table of an index, and the macros of views.sql.

    Without an index it has the bundled tables of WordNet, and a count of 0 for each synset.

    No table is held in memory: `closure` and `terms` would save 10 ms a query, and take 150 ms to read at the start.

    Args:
        path: Folder of the index; None for WordNet alone.
        memory: Bytes that the process may use, if it is bounded.

    Raises:
        NoIndexError: There is no index, or one of its files is missing or damaged.
    """
    with signals_deferred():  # a KeyboardInterrupt inside the import of DuckDB aborts the process
        import duckdb

    tables = files_of(path)
    config: dict[str, str | bool | int | float | list[str]] = {"temp_directory": ""}
    if memory is not None:
        # DuckDB must report its own error before an allocation fails. Stacks and heaps of its threads count too.
        threads = max(1, min(os.cpu_count() or 1, memory // _THREAD_BYTES))
        config |= {"memory_limit": f"{memory * 3 // 4}B", "threads": threads}
    sql = duckdb.connect(config=config)
    without_progress_bar(sql)
    # A file never changes under its name, so its footer can be cached.
    sql.execute("SET GLOBAL parquet_metadata_cache = true")
    sql.execute("CREATE SCHEMA _kept")
    try:
        for table, (_, columns) in TABLES.items():
            if table in VIEWS or (path is None and table not in WORDNET):
                continue
            if files := tables.get(table):
                rows = f"FROM {read_files('read_parquet', files)}"
            else:
                nulls = ", ".join(f'NULL::{_SQL_TYPES.get(kind, kind)} AS "{name}"' for name, kind, _ in columns)
                rows = f"SELECT {nulls} WHERE false"
            sql.execute(f"CREATE VIEW {table} AS {rows}")
    except (duckdb.IOException, duckdb.InvalidInputException) as error:
        raise damaged(
            path or layout.CONSTANT_FOLDER, f"its table {table} cannot be read: {first_line(error)}"
        ) from error
    add_image_lists(sql)
    add_views(sql, with_images=path is not None)
    return sql


def add_views(sql: duckdb.DuckDBPyConnection, *, with_images: bool) -> None:
    """Add the views and macros of views.sql to a database of tables; with images, they resolve lemmas."""
    below = _BELOW_INDEX if with_images else _BELOW_WORDNET
    sql.execute("CREATE SCHEMA _sets;" + below + Path(__file__).with_name("views.sql").read_text())


def add_image_lists(sql: duckdb.DuckDBPyConnection) -> None:
    """Add the view of the bundled image lists."""
    sql.execute(_IMAGE_LISTS % read_files("read_parquet", [layout.IMAGE_LISTS]))


def files_of(path: Path | None) -> dict[str, list[Path]]:
    """Return the files of an index by table, or those of the bundled tables of WordNet; and the image lists.

    Raises:
        NoIndexError: There is no index, or one of its files is missing or cut.
    """
    if path is None:
        files = {table: [layout.constant_file(table)] for table in layout.CONSTANT}
    else:
        manifest = read_manifest(path)
        _check_sizes(path, manifest)
        files = {table: manifest.paths(path.absolute(), table) for table in manifest.tables}
    return files | {"image_lists": [layout.IMAGE_LISTS]}


def _check_sizes(path: Path, manifest: Manifest) -> None:
    """Raise NoIndexError if a file is missing or cut. DuckDB opens only the first file of a table before a query."""
    for table, entries in manifest.tables.items():
        for entry in entries:
            try:
                size = (path / entry.file).stat().st_size
            except OSError as error:
                raise damaged(path, f"its table {table} cannot be read: {entry.file}: {error.strerror}") from error
            if entry.bytes and size != entry.bytes:
                found = f"{entry.file} has {count_of(size, 'byte')}, expected {entry.bytes:,}"
                raise damaged(path, f"its table {table} cannot be read: {found}")


def without_progress_bar(sql: duckdb.DuckDBPyConnection) -> None:
    """Switch off DuckDB's progress bar, which writes to stdout.

    In Jupyter without ipywidgets switching it off is an error, and there is no bar.
    """
    import duckdb

    with contextlib.suppress(duckdb.InvalidInputException):
        sql.execute("SET enable_progress_bar = false")


def relation(
    sql: duckdb.DuckDBPyConnection, query: str, values: Mapping[str, object], descendants: dict[str, Descendants]
) -> duckdb.DuckDBPyRelation:
    """Return a query as a relation on a new cursor. Two open readers on one connection end each other.

    Args:
        sql: A connection to an index.
        query: The query.
        values: By name: the tables in memory that it reads, and the values of its parameters.
        descendants: As specialise_is_a takes them.
    """
    import duckdb

    cursor = sql.cursor()
    parameters = {name: value for name, value in values.items() if not is_frame(value)}
    for name in values.keys() - parameters.keys():
        add_table(cursor, name, as_table(values[name]))
    specialise_is_a(cursor, query, parameters, descendants)
    if duckdb.__version__.startswith("1.4."):
        _kept_cursors.append(cursor)
    return cursor.sql(query, params=dict(parameters) or None)


# ---- is_a


class Descendants(NamedTuple):
    """A table of the synsets at or below one, with its first and its last wnid."""

    table: str
    first: str
    last: str


def specialise_is_a(
    sql: duckdb.DuckDBPyConnection,
    query: str,
    parameters: Mapping[str, object] = MappingProxyType({}),
    descendants: dict[str, Descendants] | None = None,
) -> None:
    """Replace the macro is_a by a faster one for a query in which each call names a value, such as is_a(wnid, 'dog').

    A macro cannot distinguish a value from a column. The form for values takes a tenth of the time; with a column it
    would take gigabytes. Both give the same result, so a call that is not recognised only costs time.

    Args:
        sql: A connection to an index.
        query: The query.
        parameters: The values of its parameters.
        descendants: The tables of synsets that the database has, by the synset as an SQL literal. New ones are added,
            which takes 10 ms each.
    """
    calls = len(_IS_A.findall(query))
    texts = {name: quoted(value) for name, value in parameters.items() if isinstance(value, str)}
    values = [literal or texts.get(name, "") for literal, name in _IS_A_VALUE.findall(query)]
    if not calls or calls != len(values):
        sql.execute("DROP MACRO IF EXISTS temp.is_a")
        return
    known = {} if descendants is None else descendants
    tables = {literal: _descendants(sql, literal, known) for literal in dict.fromkeys(values)}
    sql.execute(f"CREATE OR REPLACE TEMP MACRO is_a(wnid, text) AS {_is_a_body(tables)}")


def _is_a_body(tables: Mapping[str, Descendants | None]) -> str:
    """Return the body of is_a for the synsets of a query."""
    known = {literal: table for literal, table in tables.items() if table is not None}
    if len(known) < len(tables):
        return "main._is_a_value(wnid, text)"
    # CASE and WHERE are evaluated before the query runs: a call keeps one table, and bounds that tell DuckDB which row
    # groups to skip. IN is a semi-join, because nothing here is null. The right side is small and has known rows, so
    # that side is held in memory, not the images.
    first = " ".join(f"WHEN {literal} THEN {quoted(table.first)}" for literal, table in known.items())
    last = " ".join(f"WHEN {literal} THEN {quoted(table.last)}" for literal, table in known.items())
    rows = " UNION ALL ".join(
        f"SELECT {literal} AS asked, below FROM {table.table}" for literal, table in known.items()
    )
    return (
        f"wnid IS NOT NULL AND wnid >= CASE text {first} END AND wnid <= CASE text {last} END "
        f"AND wnid IN (SELECT rows.below FROM ({rows}) AS rows WHERE rows.asked = text)"
    )


def _descendants(sql: duckdb.DuckDBPyConnection, literal: str, known: dict[str, Descendants]) -> Descendants | None:
    """Return the table of the synsets below one; None if the text names none, or if the tables are too many."""
    import duckdb

    if not literal or literal in known:
        return known.get(literal)
    table = '_sets."' + literal[1:-1].replace("''", "'").replace('"', '""') + '"'
    try:
        with _descendants_lock:
            if len(known) >= _MAX_DESCENDANT_TABLES:
                return None
            # Not named wnid, as the argument of the macro is.
            sql.execute(f"CREATE TABLE IF NOT EXISTS {table} AS SELECT wnid AS below FROM main.under({literal})")
        first, last = sql.execute(f"SELECT min(below), max(below) FROM {table}").fetchall()[0]
    except duckdb.Error:
        return None  # the query itself reports the error
    known[literal] = Descendants(table, first, last)
    return known[literal]


# ---- files of the user


def as_table(frame: object) -> pa.Table:
    """Return a Frame as an Arrow table."""
    import pyarrow as pa

    return pa.table(frame)


def add_table(sql: duckdb.DuckDBPyConnection, name: str, path: Path | pa.Table) -> None:
    """Add a file or a table in memory as a view of this connection alone.

    Args:
        sql: A connection to an index.
        name: Name of the view.
        path: A file .csv, .tsv, .json, .jsonl, .ndjson (each also .gz) or .parquet; or an Arrow table.

    Raises:
        UsageError: The name is invalid or a table's, the file is missing, or its suffix is unknown.
        QueryError: The file is not of the format that its suffix names.
    """
    import duckdb

    label = _label(name, path)
    if not re.fullmatch(r"[A-Za-z_]\w*", name) or name.lower() in TABLES:
        taken = ", which is a table of the index" if name.lower() in TABLES else ""
        raise UsageError(
            f"{label}: the name is {name!r}{taken}. Expected a name of letters, digits and '_' of its own."
        )
    if not isinstance(path, Path):
        sql.register(name, path)
        return
    unpacked = path.with_suffix("") if path.suffix.lower() == ".gz" else path
    suffix = ".parquet" if name == LOCK else unpacked.suffix.lower()  # those of an export are lock.ids
    reader, form = _READERS.get(suffix, ("", ""))
    if not reader or (unpacked != path and form == "Parquet") or not path.is_file():
        problem = "no such file" if not path.is_file() else "its suffix tells no format"
        raise UsageError(f"{label}: {problem}. Expected a file .csv, .tsv, .json, .jsonl (each also .gz) or .parquet.")
    try:
        sql.execute(f'CREATE TEMP VIEW "{name}" AS FROM {read_files(reader, [path])}')
    except duckdb.Error as error:
        raise QueryError(f"{label}: it does not read as {form}. {first_line(error)}") from error


def _label(name: str, path: Path | pa.Table) -> str:
    """Return a table of the user in the words of errors."""
    if not isinstance(path, Path):
        return f"the table {name}"
    return {GROUPS: f"--groups {path}", LOCK: f"the ids of the lock, {path}"}.get(name, f"--with {name}={path}")


def join_keys(sql: duckdb.DuckDBPyConnection, name: str, path: Path | pa.Table) -> str:
    """Return the columns that join the view of a table of the user to images: "dataset, image_id" or "photo".

    Raises:
        UsageError: The view has the columns of neither, or several rows for one image; or groups have no column group.
    """
    label = _label(name, path)
    columns = {str(row[0]) for row in sql.execute(f'DESCRIBE "{name}"').fetchall()}
    keys = next((keys for keys in (("dataset", "image_id"), ("photo",)) if columns.issuperset(keys)), None)
    if keys is None or (name == GROUPS and "group" not in columns):
        present, group = ", ".join(sorted(columns)), "group, and " if name == GROUPS else ""
        raise UsageError(
            f"{label}: found the columns {present}; expected {group}dataset and image_id, or photo, to join it by."
        )
    listed = ", ".join(keys)
    query = f'SELECT {listed} FROM "{name}" GROUP BY ALL HAVING count(*) > 1 ORDER BY ALL LIMIT 1'
    if repeated := sql.execute(query).fetchone():
        image = "/".join(map(str, repeated))
        raise UsageError(f"{label}: it has several rows for {image}. Expected one row an image at most.")
    return listed


# ---- SQL text, errors


def quoted(text: str) -> str:
    """Return a text as a SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def first_line(error: Exception) -> str:
    """Return the first line of an error's message, without the full stop."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


def read_files(reader: str, paths: Iterable[Path]) -> str:
    """Return the SQL table function `reader` of these files. A folder such as lab=3 in a path becomes no column."""
    return f"{reader}([{', '.join(quoted(str(path)) for path in paths)}], hive_partitioning = false)"


def engine_errors() -> tuple[type[Exception], ...]:
    """Return DuckDB's own errors for an except clause; none before DuckDB is loaded."""
    if "duckdb" not in sys.modules:
        return ()
    import duckdb

    return (duckdb.Error,)
