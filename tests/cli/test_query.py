"""The command query: formats keep names, types and rows; outputs are new files; errors are sentences."""

import csv
import datetime
import io
import json
import re
from decimal import Decimal
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from imagenet_tools import schema
from imagenet_tools.cli.query import _SHOWN
from imagenet_tools.index import Index
from tests.cli.conftest import Run, process
from tests.parameters import short_list
from tests.waiting import PATIENCE

TYPED = """SELECT 7 AS n, 1.5::DOUBLE AS x, 'a, "b" | c' AS text, true AS yes, DATE '2012-10-16' AS day,
                  TIMESTAMP '2012-10-16 01:02:03' AS at, [1, 2] AS list, {'k': 'v'} AS struct, 0.25::DECIMAL(4, 2) AS d
           UNION ALL SELECT NULL, NULL, 'two' || chr(10) || 'lines', false, NULL, NULL, NULL, NULL, NULL
           UNION ALL SELECT -12345678, 1e300, '', true, DATE '1970-01-01', NULL, [], NULL, 12.5"""
COLUMNS = ["n", "x", "text", "yes", "day", "at", "list", "struct", "d"]
ROWS = [
    [7, 1.5, 'a, "b" | c', True, "2012-10-16", "2012-10-16 01:02:03", [1, 2], {"k": "v"}, 0.25],
    [None, None, "two\nlines", False, None, None, None, None, None],
    [-12345678, 1e300, "", True, "1970-01-01", None, [], None, 12.5],
]


# ---- formats


def test_json_holds_typed_values(run: Run) -> None:
    for given in (["--json"], ["--format", "json"]):
        ran = run("query", TYPED, *given)
        assert (ran.code, ran.err) == (0, "")
        assert json.loads(ran.out) == [dict(zip(COLUMNS, row, strict=True)) for row in ROWS]
    before = run("--json", "query", "SELECT 1 AS a")
    assert json.loads(before.out) == [{"a": 1}]


def test_jsonl_holds_a_row_a_line(run: Run) -> None:
    ran = run("query", TYPED, "--format", "jsonl")
    assert [list(json.loads(line).values()) for line in ran.out.splitlines()] == ROWS
    assert pd.read_json(io.StringIO(ran.out), lines=True)["n"].tolist()[::2] == [7, -12345678]


def test_csv_is_read_back_by_python_and_by_pandas(run: Run) -> None:
    ran = run("query", TYPED, "--format", "csv")
    read = list(csv.reader(io.StringIO(ran.out)))
    assert read[0] == COLUMNS
    assert read[1] == [
        "7",
        "1.5",
        'a, "b" | c',
        "true",
        "2012-10-16",
        "2012-10-16 01:02:03",
        "[1, 2]",
        '{"k": "v"}',
        "0.25",
    ]
    assert read[2] == ["", "", "two\nlines", "false", "", "", "", "", ""]
    assert read[3][:4] == ["-12345678", "1e+300", "", "true"]
    frame = pd.read_csv(io.StringIO(ran.out), parse_dates=["day"], dtype={"n": "Int64"})
    assert frame["n"].tolist() == [7, pd.NA, -12345678]
    assert frame["yes"].tolist() == [True, False, True]
    assert frame["day"][0] == pd.Timestamp("2012-10-16")


def test_markdown_holds_values_in_full_and_one_line_a_row(run: Run) -> None:
    lines = run("query", TYPED, "--format", "md").out.splitlines()
    assert lines[0] == "| n | x | text | yes | day | at | list | struct | d |"
    assert lines[1] == "|---|---|---|---|---|---|---|---|---|"
    assert lines[2].startswith(r'| 7 | 1.5 | a, "b" \| c | true |')
    assert "| two<br>lines |" in lines[3]
    assert lines[4].startswith("| -12345678 | 1e+300 |  | true |")
    assert len(lines) == 5


ARROW = pa.schema(
    [
        ("n", pa.int32()),
        ("x", pa.float64()),
        ("text", pa.string()),
        ("yes", pa.bool_()),
        ("day", pa.date32()),
        ("at", pa.timestamp("us")),
        ("list", pa.list_(pa.int32())),
        ("struct", pa.struct([("k", pa.string())])),
        ("d", pa.decimal128(4, 2)),
    ]
)


def plain(table: pa.Table) -> list[list[object]]:
    def value(one: object) -> object:
        if isinstance(one, Decimal):
            return float(one)
        return str(one) if isinstance(one, datetime.date) else one

    return [[value(one) for one in row.values()] for row in table.to_pylist()]


def fields(schema: pa.Schema) -> list[tuple[str, str]]:
    return [(field.name, str(field.type).replace("element", "item").replace("<l:", "<item:")) for field in schema]


def test_parquet_and_arrow_files_keep_types(run: Run, tmp_path: Path) -> None:
    for form in ("parquet", "arrow", "feather"):
        path = tmp_path / f"answer.{form}"
        assert run("query", TYPED, "-o", str(path))[:2] == (0, "")
        table = pq.read_table(path) if form == "parquet" else pa.ipc.open_file(path).read_all()
        assert plain(table) == ROWS
        assert [name for name, _ in fields(table.schema)] == COLUMNS
        assert [field.type for field in table.schema if not pa.types.is_nested(field.type)] == [
            field.type for field in ARROW if not pa.types.is_nested(field.type)
        ]


def test_parquet_and_arrow_go_through_a_pipe(index: Index) -> None:
    import subprocess

    from tests.cli.conftest import COMMAND, environment

    for form in ("parquet", "arrow"):
        command = [*COMMAND, "query", TYPED, "--format", form]
        environ = environment(index.path)
        out = subprocess.run(command, capture_output=True, env=environ, timeout=PATIENCE, check=True).stdout
        table = pq.read_table(pa.BufferReader(out)) if form == "parquet" else pa.ipc.open_stream(out).read_all()
        assert plain(table) == ROWS


@pytest.mark.parametrize("form", ["csv", "json", "jsonl", "md", "parquet", "arrow", "table"])
def test_an_empty_answer_keeps_names_and_types(run: Run, tmp_path: Path, form: str) -> None:
    path = tmp_path / f"empty.{form}"
    assert run("query", f"FROM ({TYPED}) WHERE false", "--format", form, "-o", str(path)).code == 0
    if form in ("parquet", "arrow"):
        table = pq.read_table(path) if form == "parquet" else pa.ipc.open_file(path).read_all()
        assert table.num_rows == 0
        assert [field.type for field in table.schema][:6] == [field.type for field in ARROW][:6]
        assert table.schema.names == COLUMNS
    else:
        text = path.read_text()
        expected = {
            "csv": ",".join(COLUMNS) + "\n",
            "json": "[]\n",
            "jsonl": "",
            "md": "| " + " | ".join(COLUMNS) + " |\n" + "|---" * 9 + "|\n",
            "table": "  ".join(COLUMNS) + "\n(no rows)\n",
        }
        assert text == expected[form]


ODD = "SELECT 'nan'::DOUBLE AS nan, 'inf'::DOUBLE AS inf, 'ab'::BLOB AS blob, MAP {1: 'x'} AS map, sum(range) AS big"


def test_values_that_json_has_no_word_for(run: Run) -> None:
    (row,) = json.loads(run("query", ODD + " FROM range(5)", "--json").out)
    assert row == {"nan": None, "inf": None, "blob": "6162", "map": {"1": "x"}, "big": 10}
    assert isinstance(row["big"], int)
    (row,) = json.loads(run("query", "SELECT 1.0::DECIMAL(3,1) AS a, 9007199254740993 AS b", "--json").out)
    assert row == {"a": 1, "b": 9007199254740993}


def test_a_type_that_parquet_has_no_word_for_is_an_error_that_says_what_to_do(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "interval.parquet"
    ran = run("query", "SELECT INTERVAL 1 DAY AS span", "-o", str(path))
    assert ran.code == 1 and "Cast the column to VARCHAR" in ran.err and "span" in ran.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("form", short_list(["csv", "parquet", "jsonl"], "parquet"))
def test_every_row_arrives(run: Run, tmp_path: Path, form: str) -> None:
    path = tmp_path / f"synsets.{form}"
    assert run("query", "SELECT wnid, n_images FROM synsets ORDER BY wnid", "-o", str(path)).code == 0
    frame = {"csv": pd.read_csv, "parquet": pd.read_parquet, "jsonl": lambda p: pd.read_json(p, lines=True)}[form](path)
    assert len(frame) == 82_115 and frame["n_images"].sum() == 182
    assert frame["wnid"].is_monotonic_increasing


# ---- outputs


def test_the_suffix_tells_the_format_and_an_unknown_one_is_refused(run: Run, tmp_path: Path) -> None:
    assert run("query", "SELECT 1 AS a", "-o", str(tmp_path / "a.csv")).code == 0
    assert (tmp_path / "a.csv").read_text() == "a\n1\n"
    assert run("query", "SELECT 1 AS a", "-o", str(tmp_path / "a.txt")).code == 0
    assert (tmp_path / "a.txt").read_text() == "a\n-\n1\n"
    ran = run("query", "SELECT 1 AS a", "-o", str(tmp_path / "a.xlsx"))
    assert ran.code == 2 and "no format has this suffix" in ran.err and ".parquet" in ran.err
    assert run("query", "SELECT 1 AS a", "-o", str(tmp_path / "a.xlsx"), "--format", "csv").code == 0


def test_a_file_that_exists_is_refused_and_kept(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("mine")
    ran = run("query", "SELECT 1 AS a", "-o", str(path))
    assert (ran.code, ran.out) == (4, "") and "exists" in ran.err
    assert path.read_text() == "mine"


def test_an_error_while_rows_come_leaves_no_file(run: Run, tmp_path: Path) -> None:
    for form in ("csv", "parquet"):
        late = "SELECT CASE WHEN range > 250000 THEN error('late') ELSE range END AS n FROM range(300000)"
        ran = run("query", late, "-o", str(tmp_path / f"a.{form}"))
        assert (ran.code, ran.out, ran.err) == (1, "", "error: late\n")
    assert list(tmp_path.iterdir()) == []


# ---- the table


def test_a_table_aligns_numbers_to_the_right_and_separates_thousands(run: Run) -> None:
    ran = run("query", "FROM (VALUES ('dog', 1300, 12345.678), ('a longer name', 25, NULL)) AS t(name, n, x)")
    assert ran.out.splitlines() == [
        "name              n           x",
        "-------------  ----  ----------",
        "dog            1300  12,345.678",
        "a longer name    25",
    ]
    assert run("query", "SELECT 1281167 AS n").out.splitlines()[-1] == "1,281,167"


def test_a_table_in_a_pipe_has_every_row_and_is_not_cut(run: Run) -> None:
    lines = run("query", f"SELECT range AS n, repeat('x', 200) AS text FROM range({_SHOWN + 1300})").out.splitlines()
    assert len(lines) == 2 + _SHOWN + 1300
    assert all(line.endswith(200 * "x") for line in lines[2:])


def test_a_cell_cannot_steer_a_terminal(run: Run) -> None:
    ran = run("query", "SELECT chr(27) || '[2J' || chr(7) || 'a' || chr(10) || 'b' AS name")
    assert ran.out.splitlines()[2] == r"\x1b[2J\x07a b"
    ran = run("query", "SELECT error('bad ' || chr(27) || '[31m name')")
    assert ran.err == "error: bad \\x1b[31m name\n"


# ---- what is asked


def test_sql_comes_from_a_file_or_from_stdin(index: Index, tmp_path: Path) -> None:
    file = tmp_path / "report.sql"
    file.write_bytes(b"\xef\xbb\xbf-- caf\xc3\xa9\nSELECT 'caf\xc3\xa9' AS a;\n")
    assert process("query", "-f", str(file), "--format", "csv", index=index.path).out == "a\ncafé\n"
    for arguments in (["-"], ["-f", "-"]):
        ran = process("query", *arguments, "--json", index=index.path, stdin=b"SELECT 2 AS a")
        assert json.loads(ran.out) == [{"a": 2}]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "Found no SQL"),
        ([" "], "Found no SQL"),
        (["SELECT 1", "-f", "{sql}"], "Found SQL and -f"),
        (["-f", "absent.sql"], "absent.sql"),
        (["-f", "{latin}"], "not UTF-8 text: found byte 0xe9 at 8"),
        (["SELECT 1", "--format", "xml"], "xml"),
        (["SELECT 1", "--with", "preds"], "expected NAME=FILE"),
        (["SELECT 1", "--with", "p={csv}", "--with", "P={csv}"], "found the name P twice"),
        (["SELECT 1", "--with", "p=absent.csv"], "no such file"),
        (["SELECT 1", "--explain", "-o", "plan.txt"], "--explain with --format or -o"),
        (["SELECT 1", "SELECT 2"], "SELECT 2"),
    ],
)
def test_wrong_use_is_2_and_says_what_was_expected(run: Run, tmp_path: Path, arguments: list[str], words: str) -> None:
    (tmp_path / "a.sql").write_text("SELECT 1")
    (tmp_path / "latin.sql").write_bytes(b"SELECT '\xe9'")
    (tmp_path / "a.csv").write_text("a\n1\n")
    files = {"sql": tmp_path / "a.sql", "latin": tmp_path / "latin.sql", "csv": tmp_path / "a.csv"}
    ran = run("query", *(argument.format(**files) for argument in arguments))
    assert (ran.code, ran.out) == (2, "")
    assert words in ran.err and "Traceback" not in ran.err


def test_a_wrong_column_names_those_that_are_near(run: Run) -> None:
    ran = run("query", "SELECT nmae FROM synsets")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith("error: ") and '"name"' in ran.err and "LINE 1: SELECT nmae FROM synsets" in ran.err
    assert len(ran.err.splitlines()) < 8


def test_a_join_with_a_table_of_ones_own(run: Run, tmp_path: Path) -> None:
    preds = tmp_path / "preds.csv"
    preds.write_text("image_id,label\nILSVRC2012_val_00000020,german shepherd\nILSVRC2012_val_00000020,crane.n.5\n")
    text = "SELECT label, i.wnid = synset(label) AS right FROM preds JOIN images AS i USING (image_id) ORDER BY label"
    ran = run("query", text, "--with", f"preds={preds}", "--json")
    assert ran.code == 0, ran.err
    assert [row["label"] for row in json.loads(ran.out)] == ["crane.n.5", "german shepherd"]


def test_explain_shows_a_plan_and_runs_nothing(run: Run) -> None:
    text = "SELECT error('ran') FROM images"
    assert "READ_PARQUET" in run("query", text, "--explain").out.upper()
    assert "READ_PARQUET" in json.loads(run("query", text, "--explain", "--json").out)["plan"].upper()


def test_the_schema_tells_every_table_column_and_macro(run: Run) -> None:
    told = run("query", "--schema").out
    for name, (meaning, columns) in schema.TABLES.items():
        assert f"{name}: {meaning}" in told
        assert all(re.search(rf"^{column.name} .*{re.escape(column.meaning)}$", told, re.M) for column in columns)
    assert "is_a(wnid, synset)" in told
    found = json.loads(run("query", "--schema", "--json").out)
    assert set(found) == {"tables", "macros"} and set(found["tables"]) == set(schema.TABLES)
