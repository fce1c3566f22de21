"""Inputs and DuckDB connection of one merge.

A step of a merge gets the relations that it reads as arguments and returns those that it makes. A Relation is the name
that `Stage.view` or `Stage.table` chose for a view or table, so no step depends on a name in another module.

Relations are made with the first query that runs. A merge of plain images alone runs none, and does not import DuckDB:
that takes 0.08 s of the 0.4 s of a small build.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, NewType

from imagenet_tools.build.parts import Part, read_part
from imagenet_tools.errors import SourceError
from imagenet_tools.schema import TABLES, arrow_schema
from imagenet_tools.store.connection import read_files, without_progress_bar
from imagenet_tools.store.layout import FileEntry, Manifest, write_table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    import duckdb
    import pyarrow as pa

_MAX_NAMED_IMAGES = 10

# SQL condition: the row belongs to a unit of the old index that is dropped. `Stage` registers the table.
DROPPED = "unit IN (FROM dropped_units)"


Relation = NewType("Relation", str)


class TableRows(NamedTuple):
    """Two views of one table's rows."""

    new: Relation  # rows of the new parts
    all: Relation  # the same, and rows of old files whose units stay


@dataclass
class Stage:
    """Inputs of a merge, and the connection in which it runs.

    Attributes:
        folder: Folder of the index.
        old: Manifest of the index before this build.
        parts: Part of each new unit.
        dropped: Units of the old index whose rows are removed, sorted.
        threads: Number of DuckDB threads and of worker processes.
        aside: Folder for data that does not fit into memory; None: DuckDB fails instead.
        roots: Folder of each source on this machine. Images that contradict each other are read from there.
        n_images: Number of images of each source in the new index.
        by_hash: Compare the bytes of images of one key, not only their sizes.
    """

    folder: Path
    old: Manifest
    parts: Mapping[int, Part]
    dropped: tuple[int, ...]
    threads: int
    aside: Path | None = None
    roots: Mapping[str, Path] = field(default_factory=dict)
    n_images: Mapping[str, int] = field(default_factory=dict)
    by_hash: bool = False

    def __post_init__(self) -> None:
        """Make the folder."""
        self.folder.mkdir(exist_ok=True)
        self._numbers = count()
        self._relations: list[Relation] = []
        self._waiting: list[Callable[[duckdb.DuckDBPyConnection], object]] = []  # definitions of relations

    # ---- relations

    @property
    def sql(self) -> duckdb.DuckDBPyConnection:
        """The DuckDB in memory, with all relations."""
        while self._waiting:
            self._waiting.pop(0)(self._connection)
        return self._connection

    @cached_property
    def _connection(self) -> duckdb.DuckDBPyConnection:
        import duckdb
        import pyarrow as pa

        spill = {"temp_directory": str(self.aside)} if self.aside else {}
        connection = duckdb.connect(config={"threads": self.threads, **spill})
        without_progress_bar(connection)
        connection.register("dropped_units", pa.table({"unit": pa.array(self.dropped, pa.int64())}))
        return connection

    def close(self) -> None:
        """Close the connection, and unmap the parts, which a network file system cannot remove before."""
        self._waiting.clear()
        if "_connection" in self.__dict__:
            self._connection.close()

    def has_rows(self, *tables: str) -> bool:
        """Return True if a new part or the old index has rows of one of these tables."""
        return bool(self.old_entries(*tables)) or any(
            part.tables.get(table) for part in self.parts.values() for table in tables
        )

    def fetch(self, query: str, parameters: Mapping[str, object] | None = None) -> list[tuple[Any, ...]]:
        """Return all rows of a query."""
        return self.sql.execute(query, parameters).fetchall()

    def view(self, query: str) -> Relation:
        """Return a new view of a query."""
        name = self._new_name("view")
        self._waiting.append(lambda sql: sql.execute(f"CREATE TEMP VIEW {name} AS {query}"))
        return name

    def table(self, query: str, parameters: Mapping[str, object] | None = None) -> Relation:
        """Return a new table with the rows of a query."""
        name = self._new_name("table")
        self._waiting.append(lambda sql: sql.execute(f"CREATE TEMP TABLE {name} AS {query}", parameters))
        return name

    def arrow(self, rows: pa.Table) -> Relation:
        """Return a view of an Arrow table, without a copy."""
        name = self._new_name("arrow")
        self._waiting.append(lambda sql: sql.register(name, rows))
        return name

    def _new_name(self, kind: str) -> Relation:
        self._relations.append(Relation(f"{kind}_{next(self._numbers)}"))
        return self._relations[-1]

    def drop(self, *relations: Relation) -> None:
        """Drop relations, which frees the memory of a table and unmaps the files of an Arrow table."""
        for name in relations:
            kind = name.partition("_")[0]
            if kind == "arrow":
                self.sql.unregister(name)
            else:
                self.sql.execute(f"DROP {kind} {name}")
            self._relations.remove(name)

    @contextmanager
    def dropping(self) -> Iterator[None]:
        """Drop the relations that are made in a block when it ends."""
        before = len(self._relations)
        yield
        self.drop(*self._relations[before:])

    def rows(self, table: str, units: Iterable[int] | None, files: Iterable[Path], *, only: str = "") -> TableRows:
        """Return views of the rows of new units (None: of all), and of old files without dropped units.

        `only` is a SQL join that limits the rows of the files.
        """
        columns, files = columns_of(table), list(files)
        new = self.arrow(self.new(table, units))
        old = f" UNION ALL SELECT {columns} FROM {parquet(files)} {only} WHERE NOT {DROPPED}" if files else ""
        return TableRows(new, self.view(f"SELECT {columns} FROM {new}{old}"))

    def table_rows(self, table: str) -> TableRows:
        """Return views of all rows of a table in the next index."""
        return self.rows(table, None, self.old_paths(table))

    def written_rows(self, table: str, entries: Iterable[FileEntry]) -> Relation:
        """Return a view of the rows of files of the next index."""
        files = [self.folder / entry.file for entry in entries]
        return self.view(f"FROM {parquet(files)}") if files else self.arrow(arrow_schema(table).empty_table())

    def new(self, table: str, units: Iterable[int] | None = None) -> pa.Table:
        """Return the rows of a table in the parts of some units (None: of all), mapped from the files."""
        import pyarrow as pa

        parts = self.parts.values() if units is None else (self.parts[unit] for unit in units)
        rows = (read_part(part, table, mapped=True) for part in parts if table in part.tables)
        return pa.concat_tables([arrow_schema(table).empty_table(), *rows])

    # ---- files

    def old_entries(self, *tables: str) -> list[FileEntry]:
        """Return the files of some tables in the old index."""
        return [entry for table in tables for entry in self.old.tables.get(table, [])]

    def old_paths(self, *tables: str) -> list[Path]:
        """Return the paths of the files of some tables in the old index."""
        return [self.folder / entry.file for entry in self.old_entries(*tables)]

    def write(self, table: str, part: str, query: str, *, plain: bool = False) -> list[FileEntry]:
        """Write one file of a table from a query with a total order. Return its entry, or nothing without rows."""
        import pyarrow as pa

        rows = self.sql.sql(f"SELECT {columns_of(table)} FROM ({query})")
        return self.write_rows(table, part, pa.RecordBatchReader.from_stream(rows), plain=plain)

    def write_rows(
        self, table: str, part: str, rows: Iterable[pa.RecordBatch], *, plain: bool = False
    ) -> list[FileEntry]:
        """Write one file of a table from its rows. Return its entry, or nothing without rows."""
        return write_table(self.folder, table, part, rows, plain=plain)

    def refuse(self, problem: str, advice: str, query: str) -> None:
        """Raise SourceError if a query of (image_id, found, expected) has rows: the images that `problem`."""
        rows = self.fetch(f"SELECT DISTINCT image_id, found, expected FROM ({query}) ORDER BY ALL")
        if rows:
            named = "\n".join(f"  {image}: {found}, but {other}" for image, found, other in rows[:_MAX_NAMED_IMAGES])
            more = len(rows) - _MAX_NAMED_IMAGES
            rest = f"\n  ... and {more:,} more" if more > 0 else ""
            raise SourceError(f"Images that {problem}: {len(rows):,}. Nothing was indexed.\n{named}{rest}\n{advice}")


def parquet(files: Iterable[Path]) -> str:
    """Return the SQL table function that reads these files."""
    return read_files("read_parquet", files)


def columns_of(table: str) -> str:
    """Return the columns of a table of the index as a SQL list."""
    return ", ".join(f'"{column.name}"' for column in TABLES[table].columns)
