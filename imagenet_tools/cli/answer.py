"""The answer to a query, written: a table, csv, json, jsonl or Markdown from rows, Parquet or Arrow from batches."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Iterator
from decimal import Decimal
from itertools import islice
from typing import TYPE_CHECKING, BinaryIO

from imagenet_tools.cli.common import aligned, cell, layout
from imagenet_tools.errors import QueryError

if TYPE_CHECKING:
    import pyarrow as pa

    from imagenet_tools.index.query import Answer

ROWWISE = ("table", "csv", "json", "jsonl", "md")
BATCHWISE = ("parquet", "arrow")

# Rows that tell the widths of an aligned table: what comes after and is wider stands out.
_MEASURED = 1_000


def write_rows(answer: Answer, form: str, out: BinaryIO) -> None:
    """Write an answer in a form of ROWWISE, in UTF-8, row by row."""
    for text in _LINES[form](answer):
        out.write(text.encode())


def write_batches(
    schema: pa.Schema, batches: Iterable[pa.RecordBatch], form: str, out: BinaryIO, *, stream: bool
) -> None:
    """Write record batches in a form of BATCHWISE; an Arrow `stream` rather than an Arrow file where that is asked."""
    import pyarrow as pa

    try:
        if form == "parquet":
            import pyarrow.parquet as pq

            with pq.ParquetWriter(out, schema, compression="zstd") as writer:
                for batch in batches:
                    writer.write_batch(batch)
        else:
            with (pa.ipc.new_stream if stream else pa.ipc.new_file)(out, schema) as writer:
                for batch in batches:
                    writer.write_batch(batch)
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid) as error:
        kinds = ", ".join(f"{field.name} {field.type}" for field in schema)
        message = f"The answer does not fit in {form}: {error}. Cast the column to VARCHAR; the columns are {kinds}."
        raise QueryError(message) from error


def _table_lines(answer: Answer) -> Iterator[str]:
    first = list(islice(answer.rows, _MEASURED))
    if not first:
        yield "  ".join(map(cell, answer.columns)) + "\n(no rows)\n"
        return
    form = layout(answer.columns, first)
    yield from (line + "\n" for line in aligned(answer.columns, first, form))
    yield from (line + "\n" for line in aligned(None, answer.rows, form))


def _csv_lines(answer: Answer) -> Iterator[str]:
    line = io.StringIO()
    writer = csv.writer(line, lineterminator="\n")
    writer.writerow(answer.columns)
    for row in answer.rows:
        writer.writerow(map(_text, row))
        if line.tell() > 1 << 16:
            yield line.getvalue()
            line.seek(0)
            line.truncate()
    yield line.getvalue()


def _jsonl_lines(answer: Answer) -> Iterator[str]:
    for row in answer.rows:
        yield _json(dict(zip(answer.columns, row, strict=True))) + "\n"


def _json_lines(answer: Answer) -> Iterator[str]:
    before = "[\n"
    for line in _jsonl_lines(answer):
        yield before + line.rstrip("\n")
        before = ",\n"
    yield "\n]\n" if before == ",\n" else "[]\n"


def _md_lines(answer: Answer) -> Iterator[str]:
    yield _md_line(answer.columns) + "|---" * len(answer.columns) + "|\n"
    for row in answer.rows:
        yield _md_line(map(_text, row))


def _md_line(texts: Iterable[str]) -> str:
    cells = (text.replace("\\", "\\\\").replace("|", "\\|").replace("\n", "<br>") for text in texts)
    return "| " + " | ".join(cells) + " |\n"


_LINES = {"table": _table_lines, "csv": _csv_lines, "json": _json_lines, "jsonl": _jsonl_lines, "md": _md_lines}


def _text(value: object) -> str:
    """A value in full, as csv and Markdown hold it; nothing for null."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, dict)):
        return _json(value)
    return value.hex() if isinstance(value, bytes) else str(value)


def _json(value: object) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, default=_number_or_text)
    except (ValueError, TypeError):  # JSON has no NaN, and only texts as keys
        return json.dumps(_within_json(value), ensure_ascii=False, allow_nan=False, default=_number_or_text)


def _number_or_text(value: object) -> object:
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return _text(value)


def _within_json(value: object) -> object:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {_text(key): _within_json(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_within_json(one) for one in value]
    return value
