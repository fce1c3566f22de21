"""A query reads the index and the tables it was given, and nothing else; everything but one SELECT is refused."""

import hashlib
import json
from pathlib import Path

import pytest

from imagenet_tools import query
from imagenet_tools.errors import QueryError, UsageError
from imagenet_tools.index import Index


def answer(index: Index, text: str, **tables: Path) -> list[tuple[object, ...]]:
    with query.connect_contained(index.path, tables) as connection:
        return list(query.run(connection, text).rows)


ESCAPES = [
    "SELECT * FROM read_csv('/etc/passwd')",
    "SELECT * FROM read_text('/etc/passwd')",
    "SELECT * FROM read_blob('/etc/passwd')",
    "SELECT * FROM '/etc/passwd'",
    "SELECT * FROM glob('/etc/*')",
    "SELECT * FROM read_parquet('{other}')",
    "SELECT * FROM sniff_csv('/etc/passwd')",
    "COPY (SELECT 1) TO '{file}' (FORMAT parquet, USE_TMP_FILE false)",
    "COPY (SELECT 1) TO '/tmp/escaped.csv'",
    "EXPLAIN ANALYZE COPY (SELECT 1) TO '{file}' (FORMAT parquet, USE_TMP_FILE false)",
    "EXPLAIN SELECT 1",
    "ATTACH '/tmp/escaped.db'",
    "EXPORT DATABASE '/tmp/escaped'",
    "INSTALL httpfs",
    "LOAD httpfs",
    "SET enable_external_access = true",
    "RESET lock_configuration",
    "PRAGMA enable_profiling",
    "CREATE TABLE t AS SELECT 1",
    "CREATE VIEW images AS SELECT 1",
    "INSERT INTO closure VALUES ('a', 'b', 1)",
    "UPDATE closure SET distance = 0",
    "DELETE FROM closure",
    "DROP TABLE closure",
    "CALL pragma_version()",
    "SELECT 1; SELECT 2",
    "SELECT * FROM secret_of_python",
    "CHECKPOINT",
    "WITH gone AS (DELETE FROM closure RETURNING ancestor) FROM gone",
    "WITH out AS (COPY (SELECT 1) TO '{file}' (FORMAT parquet, USE_TMP_FILE false)) SELECT 1",
    "SELECT * FROM query('SELECT 1')",
    "SELECT * FROM query_table('images')",
    "SELECT * FROM parquet_metadata('{file}')",
    "SELECT * FROM duckdb_settings()",
    "SELECT getenv('HOME')",
    "",
]


@pytest.mark.parametrize("text", ESCAPES)
def test_a_query_that_reaches_out_is_refused(text: str, index: Index, tmp_path: Path) -> None:
    secret_of_python = [1, 2, 3]  # DuckDB would look here for a table of this name, were it let
    other = tmp_path / "other.parquet"
    index.sql("SELECT 1 AS x").write_parquet(str(other))
    files = sorted(path for path in index.path.rglob("*") if path.is_file())
    before = [hashlib.sha256(path.read_bytes()).hexdigest() for path in files]
    with pytest.raises(QueryError):
        answer(index, text.format(file=files[0], other=other))
    assert [hashlib.sha256(path.read_bytes()).hexdigest() for path in files] == before
    assert not list(Path("/tmp").glob("escaped*"))
    assert secret_of_python


@pytest.mark.parametrize(
    "text", ["FROM closure LIMIT 1", "VALUES (1)", "DESCRIBE images", "WITH t AS (SELECT 1) FROM t"]
)
def test_what_only_reads_is_allowed(text: str, index: Index) -> None:
    assert answer(index, text)


def test_tables_of_ones_own_are_joined(index: Index, tmp_path: Path) -> None:
    rows = index.sql("SELECT image_id, wnid FROM images WHERE split = 'val' ORDER BY 1").fetchall()
    (tmp_path / "p.csv").write_text("image_id,predicted\n" + "".join(f"{image},{wnid}\n" for image, wnid in rows))
    (tmp_path / "n.json").write_text(json.dumps([{"image_id": rows[0][0], "note": "blurred"}]))
    text = (
        "SELECT count(*) FILTER (p.predicted = images.wnid), max(n.note) FROM p JOIN images USING (image_id) "
        "LEFT JOIN n USING (image_id)"
    )
    assert answer(index, text, p=tmp_path / "p.csv", n=tmp_path / "n.json") == [(52, "blurred")]
    with pytest.raises(UsageError, match="no such file"):
        answer(index, "SELECT 1", p=tmp_path / "missing.csv")
    with pytest.raises(UsageError, match="a table of the index"):
        answer(index, "SELECT 1", images=tmp_path / "p.csv")


def test_every_table_and_column_of_the_schema_is_there(index: Index) -> None:
    from imagenet_tools.schema import TABLES

    for table, (_, columns) in TABLES.items():
        found = [row[0] for row in answer(index, f"DESCRIBE {table}")]
        assert found == [column.name for column in columns], table
