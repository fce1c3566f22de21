"""The files beside a page: CSV that no spreadsheet runs, and that reads back exactly."""

import csv
import io
import itertools
import json

import pyarrow.parquet as pq
import pytest

from imagenet_tools.explorer.rendering import as_file

STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "\0")
RESTS = ("", "1+1", 'cmd|" /C calc"!A0', "a,b", "two\nlines", "'quoted'", '"', ";x")
TEXTS = [start + rest for start, rest in itertools.product(STARTS, RESTS)]
NUMBERS = ["-1", "-1.5", "+3", "-2e-7", -1, -1.5, 7, 0.25, True]


def cells(values: list[object]) -> list[str]:
    data = as_file(".csv", ["before", "cell", "after"], [["a", value, "b"] for value in values], {})
    rows = list(csv.reader(io.StringIO(data.decode(), newline="")))
    assert rows[0] == ["before", "cell", "after"]
    assert all((row[0], row[2], len(row)) == ("a", "b", 3) for row in rows[1:])
    return [row[1] for row in rows[1:]]


def test_no_cell_begins_like_a_formula_and_each_reads_back() -> None:
    texts = [*TEXTS, *("'" + text for text in TEXTS), "beagle", "", "'", "''", "it's", " =1"]
    read = cells(list(texts))
    assert not any(cell.startswith(STARTS) for cell in read)
    assert [cell[1:] if cell.lstrip("'").startswith(STARTS) else cell for cell in read] == texts


def test_numbers_stay_numbers() -> None:
    assert cells(list(NUMBERS)) == [str(value) for value in NUMBERS]


def test_a_name_of_a_column_is_a_cell_too() -> None:
    head = as_file(".csv", ["=1+1", "-x", "n"], [], {}).decode()
    assert next(csv.reader([head])) == ["'=1+1", "'-x", "n"]


def test_json_and_parquet_keep_every_text_as_it_is() -> None:
    texts = [text for text in TEXTS if "\0" not in text]
    parquet = as_file(".parquet", ["cell"], [[text] for text in texts], {})
    assert pq.read_table(io.BytesIO(parquet))["cell"].to_pylist() == texts
    assert json.loads(as_file(".json", (), (), {"cells": TEXTS}))["cells"] == TEXTS


@pytest.mark.parametrize("suffix", [".csv", ".json", ".parquet"])
def test_no_rows_are_a_file_too(suffix: str) -> None:
    assert as_file(suffix, ["a"], [], {"a": None})
