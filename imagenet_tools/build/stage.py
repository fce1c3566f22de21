"""What the steps of a merge share: DuckDB over the old files that stay and the new parts, and the files they write."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from imagenet_tools.build.parts import Part, map_part, open_part
from imagenet_tools.errors import SourceError
from imagenet_tools.schema import TABLES, arrow_schema
from imagenet_tools.store.connection import without_progress_bar
from imagenet_tools.store.layout import FileEntry, Manifest, write_table

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import pyarrow as pa

_NAMED = 10  # how many images an error names


class Stage:
    """A merge at work: `sql` is its DuckDB connection, `tables` the files of the next generation so far.

    The table `dropped` holds the units of the old generation whose rows go.
    """

    def __init__(
        self,
        folder: Path,
        old: Manifest,
        parts: Mapping[int, Path],
        dropped: Iterable[int],
        *,
        threads: int,
        aside: Path | None = None,
        roots: Mapping[str, Path] | None = None,
        n_images: Mapping[str, int] | None = None,
        by_hash: bool = False,
    ):
        """Open a merge.

        Args:
            folder: The folder of the index.
            old: The generation before.
            parts: The part of each new unit.
            dropped: The units of the generation before whose rows go.
            threads: How many threads DuckDB uses.
            aside: A folder for what memory does not hold; by default all is held in memory.
            roots: Where each source is on this machine, to read images that contradict each other.
            n_images: How many images each source has in the next generation.
            by_hash: Compare the bytes of images of one key, not only their sizes.
        """
        import duckdb
        import pyarrow as pa

        self.folder = folder
        self.old = old
        self.parts: dict[int, Part] = {unit: open_part(path) for unit, path in parts.items()}
        self.dropped = tuple(sorted(dropped))
        self.threads = threads
        self.roots = dict(roots or {})
        self.n_images = dict(n_images or {})
        self.by_hash = by_hash
        self.tables: dict[str, list[FileEntry]] = {}
        held = {"temp_directory": str(aside)} if aside else {}
        self.sql = duckdb.connect(config={"threads": threads, **held})
        without_progress_bar(self.sql)
        self.sql.register("dropped", pa.table({"unit": pa.array(self.dropped, pa.int64())}))

    def new(self, table: str, units: Iterable[int] | None = None) -> pa.Table:
        """The rows of a table in the new parts (of some units), in their order, mapped from the files."""
        import pyarrow as pa

        parts = self.parts.values() if units is None else (self.parts[unit] for unit in units)
        rows = (map_part(part, table) for part in parts if table in part.tables)
        return pa.concat_tables([arrow_schema(table).empty_table(), *rows])

    def define(self, view: str, *tables: str) -> None:
        """Define a view of all rows of tables of one schema: of the new parts, and of old files whose units stay."""
        columns = ", ".join(f'"{column.name}"' for column in TABLES[tables[0]].columns)
        self.sql.register(f"new_{view}", self.new(tables[0]))
        union = [f"SELECT {columns} FROM new_{view}"]
        for table in tables:
            files = self.old.paths(self.folder, table)
            if files:
                union.append(f"SELECT {columns} FROM {parquet(files)} WHERE unit NOT IN (FROM dropped)")
        self.sql.execute(f"CREATE OR REPLACE TEMP VIEW {view} AS {' UNION ALL '.join(union)}")

    def write(self, table: str, part: str, query: str, *, plain: bool = False) -> None:
        """Write one file of a table from a query whose order is total; `plain` as FileEntry has it."""
        import pyarrow as pa

        columns = ", ".join(f'"{column.name}"' for column in TABLES[table].columns)
        rows = self.sql.sql(f"SELECT {columns} FROM ({query})")
        self.write_rows(table, part, pa.RecordBatchReader.from_stream(rows), plain=plain)

    def write_rows(self, table: str, part: str, rows: Iterable[pa.RecordBatch], *, plain: bool = False) -> None:
        """Write one file of a table from its rows, in their order."""
        entry = write_table(self.folder, table, part, rows)
        if entry is not None:
            self.tables.setdefault(table, []).append(replace(entry, plain=plain))

    def keep(self, table: str, *, but: Iterable[str] = ()) -> None:
        """Take over the old files of a table, but for some parts of it."""
        gone = set(but)
        kept = [entry for entry in self.old.tables.get(table, []) if entry.part not in gone]
        if kept:
            self.tables.setdefault(table, []).extend(kept)

    def view(self, table: str) -> None:
        """Define a view of a table of the next generation, now that it is written."""
        files = [self.folder / entry.file for entry in self.tables.get(table, [])]
        if files:
            self.sql.execute(f"CREATE TEMP VIEW {table} AS FROM {parquet(files)}")
        else:
            self.sql.register(table, arrow_schema(table).empty_table())

    def refuse(self, what: str, advice: str, query: str) -> None:
        """Raise SourceError if a query of (image_id, found, expected) finds anything."""
        found = self.sql.execute(f"SELECT DISTINCT image_id, found, expected FROM ({query}) ORDER BY ALL").fetchall()
        if found:
            named = "\n".join(f"  {image}: {says}, but {other}" for image, says, other in found[:_NAMED])
            rest = f"\n  ... and {len(found) - _NAMED:,} more" if len(found) > _NAMED else ""
            message = f"{len(found):,} images {what}; nothing was indexed.\n{named}{rest}\n{advice}"
            raise SourceError(message)


def parquet(files: Iterable[Path]) -> str:
    """A table function that reads these files."""
    listed = ", ".join("'" + str(file).replace("'", "''") + "'" for file in files)
    return f"read_parquet([{listed}])"
