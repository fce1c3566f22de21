"""A contained query: what it refuses, what works, what it reads besides the index, and that memory ends in words."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from imagenet_tools.errors import NoIndexError, QueryError, UsageError
from imagenet_tools.index import Index
from imagenet_tools.store import query
from imagenet_tools.store.connection import connect
from imagenet_tools.store.gate import TABLE_FUNCTIONS
from tests.parameters import short_list
from tests.waiting import PATIENCE

not_a_query = [1, 2, 3]  # a Python object that DuckDB would find by its name


def digests(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def stamps(folder: Path) -> dict[Path, tuple[int, int, int]]:
    """Quicker than digests, and as good where nobody sets times back."""
    status = {path: path.stat() for path in sorted(folder.rglob("*"))}
    return {path: (one.st_ino, one.st_size, one.st_mtime_ns) for path, one in status.items()}


@pytest.fixture(scope="module")
def place(index: Index, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a copy of the index, and files beside it that a query must not read; none of them may change."""
    root = tmp_path_factory.mktemp("contained")
    shutil.copytree(index.path, root / "imagenet.index")
    (root / "secret.csv").write_text("a,b\n1,2\n")
    (root / "secret.json").write_text('[{"a": 1}]\n')
    (root / "secret.txt").write_text("secret\n")
    (root / "preds.csv").write_text("image_id,label\nILSVRC2012_val_00000020,dog\n")
    (root / "schema.sql").write_text("SELECT 'from a file'")
    pq.write_table(pa.table({"a": [1]}), root / "secret.parquet")
    duckdb.connect(root / "secret.duckdb").execute("CREATE TABLE t AS SELECT 1 AS a").close()
    before = digests(root)
    yield root
    assert digests(root) == before


@pytest.fixture(scope="module")
def sql(place: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with query.connect_contained(place / "imagenet.index", {"preds": place / "preds.csv"}) as connection:
        yield connection


def rows(sql: duckdb.DuckDBPyConnection, text: str) -> list[tuple[object, ...]]:
    return list(query.run(sql, text).rows)


# ---- escapes

READS = """
FROM read_csv('{place}/secret.csv')
SELECT * FROM read_csv(['{place}/secret.csv', '{file}'])
SELECT * FROM read_text('{place}/secret.txt')
SELECT * FROM read_blob('{place}/secret.txt')
SELECT * FROM read_text('/proc/self/environ')
SELECT * FROM read_json('{place}/secret.json')
SELECT * FROM read_json_objects('{place}/secret.json')
SELECT * FROM read_ndjson_objects('{place}/secret.json')
SELECT * FROM read_parquet('{place}/secret.parquet')
SELECT * FROM read_parquet('{place}/*.parquet')
SELECT * FROM parquet_scan('{place}/secret.parquet')
SELECT * FROM parquet_metadata('{place}/secret.parquet')
SELECT * FROM parquet_schema('{place}/secret.parquet')
SELECT * FROM parquet_kv_metadata('{place}/secret.parquet')
SELECT * FROM sniff_csv('{place}/secret.csv')
SELECT * FROM glob('{place}/*')
SELECT * FROM glob('/*')
FROM '{place}/secret.csv'
FROM '{place}/secret.parquet'
FROM '{place}/secret.duckdb'
FROM "{place}/secret.json"
SELECT * FROM 'file://{place}/secret.csv'
SELECT * FROM 'https://example.org/x.csv'
SELECT * FROM 's3://bucket/x.parquet'
SELECT * FROM read_csv('https://example.org/x.csv')
SELECT (SELECT content FROM read_text('{place}/secret.txt'))
WITH x AS (SELECT * FROM read_text('{place}/secret.txt')) FROM x
SELECT list_transform([1], lambda x: (SELECT count(*) FROM glob('/*')))
FROM query('SELECT * FROM read_text(''{place}/secret.txt'')')
FROM query_table('{place}/secret.csv')
FROM json_execute_serialized_sql(json_serialize_sql('SELECT * FROM read_text(''{place}/secret.txt'')'))
FROM system.main.read_text('{place}/secret.txt')
FROM not_a_query
FROM pandas_scan(1)
FROM arrow_scan(1, 1, 1)
SELECT getenv('HOME')
FROM duckdb_secrets()
FROM sqlite_scan('{place}/secret.duckdb', 't')
FROM postgres_scan('host=localhost', 'a', 'b')
IMPORT DATABASE '{place}'
""".strip().splitlines()

WRITES = """
COPY (SELECT 1) TO '{place}/out.csv'
COPY (SELECT 1) TO '{file}' (FORMAT parquet, USE_TMP_FILE false)
COPY (SELECT 1) TO '{file}'
COPY (SELECT 1) TO '{place}/preds.csv'
EXPLAIN COPY (SELECT 1) TO '{file}' (FORMAT parquet, USE_TMP_FILE false)
EXPLAIN ANALYZE COPY (SELECT 1) TO '{file}' (FORMAT parquet, USE_TMP_FILE false)
EXPLAIN ANALYZE SELECT 1
WITH x AS (COPY (SELECT 1) TO '{file}' (FORMAT parquet, USE_TMP_FILE false)) SELECT * FROM x
WITH x AS MATERIALIZED (COPY (SELECT 1) TO '{place}/preds.csv' (USE_TMP_FILE false)) FROM x
SELECT (WITH x AS (COPY (SELECT 1) TO '{file}' (FORMAT parquet, USE_TMP_FILE false)) SELECT count(*) FROM x)
SELECT 1 UNION ALL (WITH x AS (COPY (SELECT 1) TO '{file}' (FORMAT parquet, USE_TMP_FILE false)) SELECT 2 FROM x)
FROM (WITH x AS (COPY (SELECT 1) TO '{file}' (FORMAT parquet, USE_TMP_FILE false)) SELECT * FROM x)
DESCRIBE (WITH x AS (COPY (SELECT 1) TO '{file}' (FORMAT parquet, USE_TMP_FILE false)) SELECT * FROM x)
FROM query('WITH x AS (COPY (SELECT 1) TO ''{file}'' (FORMAT parquet, USE_TMP_FILE false)) FROM x')
WITH x AS (DELETE FROM closure RETURNING *) SELECT * FROM x
WITH x AS (INSERT INTO closure VALUES ('a', 'b', 1) RETURNING *) SELECT * FROM x
WITH x AS (UPDATE closure SET distance = 0 RETURNING *) SELECT * FROM x
FROM enable_logging('QueryLog', storage = 'file', storage_path = '{place}/preds.csv')
FROM enable_logging(storage = 'file', storage_path = '{place}/log')
FROM enable_logging(storage = 'stdout')
FROM enable_profiling()
FROM force_checkpoint()
EXPORT DATABASE '{place}/out'
ATTACH '{place}/out.duckdb' AS other
ATTACH '{place}/secret.duckdb' AS other
ATTACH ':memory:' AS other
DETACH memory
USE memory
INSTALL httpfs
LOAD httpfs
LOAD '{place}/x.duckdb_extension'
FORCE INSTALL spatial FROM community
UPDATE EXTENSIONS
SET enable_external_access = true
SET lock_configuration = false
SET threads = 1
SET VARIABLE x = 1
RESET enable_external_access
RESET ALL
PRAGMA database_list
PRAGMA show_tables
PRAGMA threads = 1
PRAGMA enable_profiling
CALL pragma_version()
CALL enable_logging(storage = 'file', storage_path = '{place}/log')
CREATE TABLE x AS SELECT 1
CREATE TEMP TABLE x AS SELECT 1
CREATE OR REPLACE VIEW images AS SELECT 1
CREATE MACRO f(x) AS x
CREATE SECRET s (TYPE s3)
INSERT INTO closure VALUES ('a', 'b', 1)
UPDATE closure SET distance = 0
DELETE FROM closure
TRUNCATE closure
MERGE INTO closure USING (SELECT 1 AS a) ON false WHEN NOT MATCHED THEN INSERT VALUES ('a', 'b', 1)
ALTER TABLE closure ADD COLUMN x INTEGER
DROP VIEW images
COMMENT ON VIEW images IS 'x'
CHECKPOINT
VACUUM
BEGIN
PREPARE p AS SELECT 1
EXECUTE p
SELECT 1; SELECT 2
SELECT 1; COPY (SELECT 1) TO '{file}' (FORMAT parquet, USE_TMP_FILE false)
-- nothing
""".strip().splitlines()


@pytest.mark.parametrize("text", short_list(READS + WRITES, *READS[::6], *WRITES[::5]))
def test_an_escape_is_refused_and_changes_nothing(sql: duckdb.DuckDBPyConnection, place: Path, text: str) -> None:
    file = next((place / "imagenet.index" / "images").iterdir())
    before = stamps(place)
    with pytest.raises(QueryError) as refused:
        rows(sql, text.format(place=place, file=file))
    assert str(refused.value)
    assert "secret\n" not in str(refused.value)
    with pytest.raises(QueryError):
        list(query.run_arrow(sql, text.format(place=place, file=file))[1])
    assert stamps(place) == before
    assert rows(sql, "SELECT count(*) FROM closure") == [(825_356,)]


# The doors alone, without the gate: what reads must fail there too.
@pytest.mark.parametrize("text", [text for text in READS if "read_" in text or "FROM '" in text or "glob" in text])
def test_the_doors_are_shut_behind_the_gate_too(sql: duckdb.DuckDBPyConnection, place: Path, text: str) -> None:
    file = next((place / "imagenet.index" / "images").iterdir())
    with pytest.raises(duckdb.Error):
        sql.execute(text.format(place=place, file=file)).fetchall()


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("enable_external_access", False),
        ("autoinstall_known_extensions", False),
        ("autoload_known_extensions", False),
        ("allow_community_extensions", False),
        ("allow_persistent_secrets", False),
        ("max_temp_directory_size", "0 bytes"),
        ("python_enable_replacements", False),
        ("lock_configuration", True),
        ("temp_directory", ""),
    ],
)
def test_every_setting_of_the_doors_is_as_it_was_set(
    sql: duckdb.DuckDBPyConnection, setting: str, value: object
) -> None:
    assert sql.execute(f"SELECT current_setting('{setting}')").fetchall() == [(value,)]


def test_a_refusal_says_what_was_found_and_expected(sql: duckdb.DuckDBPyConnection, place: Path) -> None:
    said = {
        "DROP VIEW images": "Found DROP; expected one SELECT",
        "SELECT 1; SELECT 2": "Found SELECT, SELECT; expected one SELECT",
        "": "Found nothing; expected one SELECT",
        "FROM read_csv('x.csv')": "Found the table function read_csv",
        "FROM 'secret.csv'": "A query reads other files where they are named: --with NAME=FILE",
        "PIVOT images ON split USING count(*)": "PIVOT is one where its values are listed",
        "SELECT nmae FROM synsets": '"name"',
        "SELECT * FROM image": 'Did you mean "images"?',
        "SELECT * FROM zzzzzzzz": "The tables are images, boxes, labels",
        "SELECT synset('crane')": "'crane' names several synsets: crane.n.05 (n02012849, 14 images)",
        "SELECT 1 FROM range(300000) WHERE error('no ' || range)": "no 0",
        "SELECT now()": "Cast it",
    }
    for text, words in said.items():
        if text == "SELECT now()" and "pytz" in sys.modules:
            continue
        with pytest.raises(QueryError) as refused:
            rows(sql, text)
        assert words in str(refused.value)
        assert "Traceback" not in str(refused.value) and "Exception" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "value"), [("SELECT " + "(" * 5000 + "1" + ")" * 5000, 1), ("SELECT " + "+".join(["1"] * 3000), 3000)]
)
def test_nesting_that_no_person_types_answers_or_is_an_error_in_words(
    sql: duckdb.DuckDBPyConnection, text: str, value: int
) -> None:
    try:
        assert rows(sql, text) == [(value,)]
    except QueryError as error:
        assert re.search("depth|deep", str(error))


def test_a_condition_of_two_thousand_parts_answers(sql: duckdb.DuckDBPyConnection) -> None:
    many = " OR ".join(f"image_id = 'ILSVRC2012_val_{n:08d}'" for n in range(2000))
    assert rows(sql, f"SELECT count(*) > 0 FROM images WHERE {many}") == [(True,)]


# ---- what works


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("SELECT 1", (1,)),
        ("  -- a remark; with a semicolon\n SELECT 1 ; ", (1,)),
        ("(SELECT 1)", (1,)),
        ("FROM closure LIMIT 1", ("n00001740", "n00001740", 0)),
        ("TABLE sources", ("ILSVRC2012_bbox_train_v2.tar.gz",)),
        ("VALUES (1), (2)", (1,)),
        ("WITH a AS (SELECT 1 AS x) SELECT * FROM a", (1,)),
        ("WITH RECURSIVE t AS (SELECT 1 AS x UNION ALL SELECT x + 1 FROM t WHERE x < 5) SELECT max(x) FROM t", (5,)),
        ("DESCRIBE images", ("dataset", "VARCHAR")),
        ("DESCRIBE SELECT 1 AS a", ("a", "INTEGER")),
        ("SUMMARIZE hypernyms", ("wnid", "VARCHAR")),
        ("SHOW TABLES", ("boxes",)),
        ("PIVOT images ON split IN ('train', 'val') USING count(*) GROUP BY dataset", ("ilsvrc2012", 130, 52)),
        ("SELECT count(*) FROM images WHERE is_a(wnid, 'dog') UNION ALL SELECT 1", (70,)),
        ("SELECT wnid FROM under('dog') ORDER BY wnid LIMIT 1", ("n01322604",)),
        ("SELECT count(*) FROM images, unnest([1, 2])", (364,)),
        ("SELECT sum(range) FROM range(4)", (6,)),
        ("SELECT list_transform([1], lambda x: x + 1)", ([2],)),
        ("SELECT label, wnid FROM preds JOIN images USING (image_id)", ("dog",)),
        ("FROM histogram(images, width)", ()),
        ("SELECT count(*) FROM information_schema.tables WHERE table_name = 'preds'", (1,)),
    ],
)
def test_a_select_works(sql: duckdb.DuckDBPyConnection, text: str, first: tuple[object, ...]) -> None:
    assert rows(sql, text)[0][: len(first)] == first
    schema, batches = query.run_arrow(sql, text)
    assert pa.Table.from_batches(batches, schema).num_rows == len(rows(sql, text))


def test_columns_of_one_name_are_told_apart_and_none_is_lost(sql: duckdb.DuckDBPyConnection) -> None:
    text = "SELECT 1 AS a, 2 AS a, 3 AS a_1, 4 AS a"
    assert query.run(sql, text).columns == ("a", "a_2", "a_1", "a_3")
    assert list(query.run_arrow(sql, text)[0].names) == ["a", "a_2", "a_1", "a_3"]


def test_a_plan_is_not_run(sql: duckdb.DuckDBPyConnection) -> None:
    plan = "\n".join(str(row[-1]) for row in query.run(sql, "SELECT error('ran') FROM images", explain=True).rows)
    assert "READ_PARQUET" in plan.upper()


def test_an_answer_comes_piece_by_piece(sql: duckdb.DuckDBPyConnection) -> None:
    endless = "SELECT range AS n, repeat('x', 100) AS text FROM range(1_000_000_000)"
    answer = query.run(sql, endless).rows
    assert [next(answer)[0] for _ in range(25_000)] == list(range(25_000))
    answer.close()  # type: ignore[attr-defined]


def test_an_arrow_answer_comes_piece_by_piece_with_its_types(sql: duckdb.DuckDBPyConnection) -> None:
    schema, batches = query.run_arrow(sql, "SELECT range::INTEGER AS n, 'x' AS text FROM range(1_000_000_000)")
    assert schema == pa.schema([("n", pa.int32()), ("text", pa.string())])
    assert next(batches)["n"][:3].to_pylist() == [0, 1, 2]


# ---- tables of one's own


PREDICTED = [("ILSVRC2012_val_00000020", "n02099601", 0.5), ("ILSVRC2012_val_00000042", None, 1.0)]


def predictions(folder: Path, form: str) -> Path:
    path = folder / f"preds.{form}"
    named = [dict(zip(("image_id", "label", "score"), row, strict=True)) for row in PREDICTED]
    if form in ("csv", "tsv"):
        mark = "," if form == "csv" else "\t"
        lines = [mark.join("" if value is None else str(value) for value in row) for row in PREDICTED]
        path.write_text("\n".join([mark.join(named[0]), *lines]) + "\n")
    elif form == "json":
        path.write_text(json.dumps(named))
    elif form == "parquet":
        pq.write_table(pa.Table.from_pylist(named), path)
    elif form == "csv.gz":
        import gzip

        path.write_bytes(gzip.compress(predictions(folder, "csv").read_bytes()))
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in named))
    return path


@pytest.mark.parametrize("form", ["csv", "csv.gz", "tsv", "json", "jsonl", "ndjson", "parquet"])
def test_a_table_of_ones_own_joins(index: Index, tmp_path: Path, form: str) -> None:
    # Names that SQL would read otherwise: a keyword as the table, a partition and quotes on the way.
    folder = tmp_path / "lab=3 it's [1]"
    folder.mkdir()
    path = predictions(folder, form)
    with query.connect_contained(index.path, {"order": path}) as sql:
        assert sorted(rows(sql, 'FROM "order"')) == PREDICTED
        joined = "SELECT score, is_a(label, 'dog') FROM \"order\" JOIN images USING (image_id) WHERE label IS NOT NULL"
        assert rows(sql, joined) == [(0.5, True)]


def test_an_index_below_any_folder_answers(index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "lab=3" / "it's [1]"
    shutil.copytree(index.path, folder / "imagenet.index")
    monkeypatch.chdir(folder)
    with query.connect_contained(Path("imagenet.index")) as sql:
        columns = [str(row[0]) for row in rows(sql, "DESCRIBE images")]
        assert "lab" not in columns
        assert rows(sql, "SELECT count(*) FROM images") == [(182,)]


@pytest.mark.parametrize(
    ("name", "file", "content", "error", "words"),
    [
        ("preds", "absent.csv", None, UsageError, "no such file"),
        ("preds", "preds.xlsx", b"a,b\n", UsageError, "its suffix tells no format"),
        ("preds", "preds", b"a,b\n", UsageError, "its suffix tells no format"),
        ("preds", "preds.parquet.gz", b"a,b\n", UsageError, "its suffix tells no format"),
        ("images", "preds.csv", b"a,b\n", UsageError, "which is a table of the index"),
        ("Images", "preds.csv", b"a,b\n", UsageError, "which is a table of the index"),
        ("my preds", "preds.csv", b"a,b\n", UsageError, "Expected a name of letters"),
        ("a;b", "preds.csv", b"a,b\n", UsageError, "Expected a name of letters"),
        ("preds", "preds.parquet", b"not Parquet", QueryError, "it does not read as Parquet"),
        ("preds", "preds.json", b'[{"a": 1', QueryError, "it does not read as JSON"),
        ("preds", "preds.jsonl", b"neither\nnor", QueryError, "it does not read as JSON"),
        ("preds", "preds.csv.gz", b"not gzip", QueryError, "it does not read as CSV"),
        ("preds", "preds.csv", b"a,b\n1,\xff\xfe\n", QueryError, "it does not read as CSV"),
    ],
)
def test_a_table_that_cannot_be_read_is_an_error_that_says_why(
    index: Index, tmp_path: Path, name: str, file: str, content: bytes | None, error: type[Exception], words: str
) -> None:
    if content is not None:
        (tmp_path / file).write_bytes(content)
    with pytest.raises(error) as found:
        query.connect_contained(index.path, {name: tmp_path / file})
    assert words in str(found.value) and f"--with {name}=" in str(found.value)
    assert len(str(found.value)) < 600


def test_a_folder_without_an_index_is_an_error_that_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(NoIndexError, match="build-index"):
        query.connect_contained(tmp_path)


@pytest.mark.parametrize("table", ["synset_terms", "images"])
@pytest.mark.parametrize("harm", short_list(["gone", "cut", "other"], "cut"))
def test_a_damaged_index_is_an_error_that_names_the_table(index: Index, tmp_path: Path, harm: str, table: str) -> None:
    copy = tmp_path / "imagenet.index"
    shutil.copytree(index.path, copy)
    *_, file = sorted((copy / table).iterdir())
    if harm == "gone":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:-9] if harm == "cut" else b"other")
    with pytest.raises(NoIndexError, match=rf"damaged; its table {table} .* build it again"):
        query.connect_contained(copy)


# ---- memory

BOMBS = [
    "SELECT list(range) FROM range(1_000_000_000)",
    "SELECT max(x) FROM (SELECT unnest(range(1_000_000_000)) AS x)",
    "SELECT length(repeat('x', 2_000_000_000))",
    "SELECT printf('%2000000000d', 1)",
    "SELECT a.* FROM closure AS a, closure AS b ORDER BY hash(a.distance + b.distance)",
]


@pytest.mark.parametrize(
    ("bomb", "take"),
    [
        *(pytest.param(bomb, "run(sql, bomb).rows", marks=pytest.mark.long) for bomb in BOMBS),
        (BOMBS[-1], "run_arrow(sql, bomb)[1]"),
    ],
)
def test_a_bomb_ends_in_an_error_in_words(index: Index, bomb: str, take: str) -> None:
    script = f"""
from pathlib import Path
from imagenet_tools.store import query
from imagenet_tools.errors import QueryError
from imagenet_tools.storage.processes import in_child

def work():
    with query.connect_contained(Path({str(index.path)!r}), memory=2 << 30) as sql:
        try:
            bomb = {bomb!r}
            list(query.{take})
        except QueryError as error:
            print(error, flush=True)
    return 7

assert in_child(work, memory=2 << 30, seconds=None) == 7
"""
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=True)
    assert done.stdout.startswith("The query needs more memory than the 2.0 GiB it may use. Ask for fewer rows")
    assert done.stdout.count("\n") == 1


@pytest.mark.parametrize(
    ("setting", "found"),
    [("keep_out_all_files = true", "has no setting keep_out_all_files"), ("threads = 0.5", "has threads = ")],
)
def test_no_query_runs_where_duckdb_lacks_a_setting(
    index: Index, monkeypatch: pytest.MonkeyPatch, setting: str, found: str
) -> None:
    monkeypatch.setattr(query, "_LOCK_SETTINGS", (f"SET {setting}", *query._LOCK_SETTINGS))
    with pytest.raises(QueryError, match=rf"DuckDB {duckdb.__version__} {found}.* expected .* The query is not run"):
        query.connect_contained(index.path)


def test_a_connection_with_other_settings_is_refused(index: Index) -> None:
    with pytest.raises(QueryError, match="has enable_external_access = true; expected false"):
        query.assert_locked(connect(index.path))


def test_a_query_may_use_half_of_the_memory() -> None:
    half = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    assert 2 << 30 <= query.default_memory() <= max(2 << 30, half)


def test_the_functions_that_may_stand_in_from_exist(sql: duckdb.DuckDBPyConnection) -> None:
    known = {name for (name,) in sql.execute("SELECT DISTINCT function_name FROM duckdb_functions()").fetchall()}
    assert set(TABLE_FUNCTIONS) <= known
