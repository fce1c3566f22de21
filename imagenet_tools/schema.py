"""The tables of an index, with the name, Arrow type and meaning of every column.

schema.txt describes them: a block of lines is a table, its first line the name and the meaning of a row.

    copies: a further place of an image that images already places
        = images dataset unit       the columns of another table, from one to another
        other_bytes  bool  its bytes are not those of the image in images: a row in problems names both

pyarrow is imported when a schema is built, so that a query can print its columns without it.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import pyarrow as pa

# Increase it when a column changes its name, type or meaning, or rows move to other files. An index of another version
# is refused. 2: the images of large data sets are in more files. 3: copies has the column other_bytes, units have the
# time of their files, and the constant columns of synsets and terms are in tables of their own.
VERSION = 3


class Column(NamedTuple):
    """A column: its name, its Arrow type as text, and its meaning, with unit and range."""

    name: str
    type: str
    meaning: str


class Table(NamedTuple):
    """A table: the meaning of a row, and the columns."""

    meaning: str
    columns: tuple[Column, ...]


def _tables(text: str) -> dict[str, Table]:
    """Return the tables that schema.txt describes, in its order."""
    tables: dict[str, Table] = {}
    for block in text.strip().split("\n\n"):
        head, *lines = block.splitlines()
        table, _, meaning = head.partition(": ")
        columns: list[Column] = []
        for line in lines:
            first, second, rest = line.split(maxsplit=2)
            if first == "=":
                names = [column.name for column in tables[second].columns]
                start, last = (names.index(name) for name in rest.split())
                columns += tables[second].columns[start : last + 1]
            else:
                columns.append(Column(first, second, rest))
        tables[table] = Table(meaning, tuple(columns))
    return tables


TABLES = _tables(Path(__file__).with_suffix(".txt").read_text("utf-8"))

# Tables without files: views.sql derives them from the others, and connection.py from the package's image lists.
VIEWS = ("synsets", "terms", "image_lists")


@functools.cache
def arrow_schema(table: str) -> pa.Schema:
    """Return the Arrow schema of a table of the index; raise KeyError if there is no such table."""
    import pyarrow as pa

    return pa.schema([pa.field(column.name, _arrow_type(column.type)) for column in TABLES[table].columns])


def _arrow_type(name: str) -> pa.DataType:
    import pyarrow as pa

    if name == "list<string>":
        return pa.list_(pa.string())
    if name == "units":
        counts = [(f"n_{rows}", pa.int64()) for rows in ("images", "boxes", "labels", "problems")]
        texts = [(text, pa.string()) for text in ("form", "file", "member", "fingerprint")]
        content = [("size", pa.int64()), ("digest", pa.string()), ("mtime_ns", pa.int64())]
        return pa.list_(pa.struct([("unit", pa.int64()), *texts, *counts, *content]))
    return pa.type_for_alias(name)
