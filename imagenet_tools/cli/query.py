"""query: SQL over an index, contained; a table for people, or a format for programs."""

from __future__ import annotations

import csv
import io
import json
import math
import signal
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click

from imagenet_tools import schema
from imagenet_tools.cli import reported
from imagenet_tools.cli.common import (
    aligned,
    cell,
    form_of,
    layout,
    note,
    output_options,
    print_json,
    table,
    width_of_terminal,
)
from imagenet_tools.cli.process import Stream
from imagenet_tools.errors import QueryError, UsageError
from imagenet_tools.storage.files import whole
from imagenet_tools.storage.processes import in_child
from imagenet_tools.store import query
from imagenet_tools.store.gate import senses_taken
from imagenet_tools.store.layout import default_index

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

    from imagenet_tools.store.query import Answer


# ---- The answer to a query, written: a table, csv, json, jsonl or Markdown from rows, Parquet or Arrow from batches.


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


# ----


_FORMATS = (*ROWWISE, *BATCHWISE)
_SUFFIXES = {**{f".{form}": form for form in _FORMATS}, ".txt": "table", ".ndjson": "jsonl", ".feather": "arrow"}

# Rows of a table on a terminal; files and programs get them all.
_SHOWN = 200

_EPILOG = """\b
Examples:
  imagenet-tools query "SELECT name, n_images FROM synsets WHERE is_a(wnid, 'dog.n.01') ORDER BY n_images DESC LIMIT 5"
  imagenet-tools query "SELECT count(*) FROM images WHERE wnid IN (FROM under('bird.n.01'))" --format json
  imagenet-tools query -f report.sql --with preds=preds.csv -o report.parquet
  imagenet-tools query --schema
"""


@click.command("query", epilog=_EPILOG)
@click.argument("sql", required=False)
@click.option("-f", "--file", "file", type=click.File("rb"), help="A file of SQL; '-' is stdin.")
@click.option("--with", "tables", multiple=True, metavar="NAME=FILE", help="A table of one's own: csv, json, Parquet.")
@click.option("--format", "form", type=click.Choice(_FORMATS), help="Default: table, or what -o's suffix says.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write to a file that does not exist yet.")
@click.option("--explain", is_flag=True, help="Show DuckDB's plan of the query, and do not run it.")
@click.option("--schema", "show_schema", is_flag=True, help="Show every table and column, with meaning and unit.")
@click.option(
    "--memory",
    metavar="SIZE",
    help="End the query where it needs more, such as 8GB (default: half of the machine's, or the container's). It "
    "bounds the address space of the query's process; macOS bounds none.",
)
@click.option("--timeout", type=click.FloatRange(0, min_open=True), metavar="SECONDS", help="End the query after this.")
@output_options
def command(
    sql: str | None,
    file: BinaryIO | None,
    tables: tuple[str, ...],
    form: str | None,
    output: Path | None,
    explain: bool,
    show_schema: bool,
    memory: str | None,
    timeout: float | None,
    as_json: bool,
    index_path: Path | None,
) -> int:
    """Run one SELECT over the index in DuckDB.

    SQL is the query, or '-' for stdin. Macros: is_a(wnid, synset), under(synset), above(synset), synset(text),
    draw(hash32, seed). It reads the index and the files named with --with, nothing else, and writes only what -o
    names: as its suffix says (.csv, .json, .jsonl, .parquet, .arrow, .md, .txt) or --format.
    """
    if show_schema:
        _print_schema(as_json)
        return 0
    if explain and (form or output):
        message = "Found --explain with --format or -o; expected it alone: it prints a plan, not rows."
        raise UsageError(message)
    text = _text_of(sql, file)
    form = form or form_of(output, _SUFFIXES) or ("json" if as_json else "table")
    if form in BATCHWISE and output is None and sys.stdout.isatty():
        message = f"--format {form} is binary: name a file with -o, or pipe it."
        raise UsageError(message)
    given = _tables(tables)
    bound = _bound(memory)
    with ExitStack() as ends:
        # The file is this process's, so that nothing is left of it where the other one is killed.
        out = ends.enter_context(whole(output)) if output is not None else None

        def answer() -> int:
            with query.connect_contained(index_path or default_index(), given, memory=bound) as connection:
                for taken in senses_taken(connection, text):
                    note(taken)
                if explain:
                    plan = "\n".join(str(row[-1]) for row in query.run(connection, text, explain=True).rows)
                    print_json({"plan": plan}) if as_json else click.echo(plan)
                elif out is not None:
                    _write(connection, text, form, out, stream=False)
                    out.flush()
                elif form == "table" and sys.stdout.isatty():
                    _show(query.run(connection, text))
                else:
                    # Not sys.stdout: there, rows that nobody reads any more would go on to nowhere.
                    with io.BufferedWriter(Stream(sys.stdout.fileno(), "stdout", read=True)) as stdout:
                        _write(connection, text, form, stdout, stream=True)
            return 0

        sys.stdout.flush()
        code = in_child(
            lambda: reported(answer, ["query", *(["--json"] if as_json else [])]), memory=bound, seconds=timeout
        )
        if code < 0:
            raise QueryError(_killed(-code, bound, timeout))
        if code:
            raise click.exceptions.Exit(code)
    return 0


def _bound(memory: str | None) -> int:
    """The bytes of address space that a query may use."""
    if memory is None:
        return query.default_memory()
    from imagenet_tools.exports.options import parse_size

    size = parse_size(memory, "--memory")
    if size < query.LEAST_MEMORY:
        message = (
            f"--memory {memory}: expected {query.LEAST_MEMORY >> 30}GiB or more, without which DuckDB cannot start."
        )
        raise UsageError(message)
    return size


def _killed(number: int, bound: int, timeout: float | None) -> str:
    """What ended the process of a query, in words."""
    if number == signal.SIGALRM and timeout is not None:
        return f"The query was ended after the {timeout:g} s of --timeout. Ask for less, or raise --timeout."
    return (
        f"The query's process was ended by {signal.Signals(number).name}, as happens where memory is short: it may use "
        f"{bound / (1 << 30):.1f} GiB. Ask for fewer rows or columns, or raise --memory."
    )


def _text_of(sql: str | None, file: BinaryIO | None) -> str:
    if file is not None and sql is not None:
        message = "Found SQL and -f; expected one of them."
        raise UsageError(message)
    try:
        text = file.read().decode("utf-8-sig") if file is not None else sql or ""
        text = sys.stdin.buffer.read().decode("utf-8-sig") if text == "-" else text
    except UnicodeDecodeError as error:
        message = f"The SQL is no UTF-8 text: found byte 0x{error.object[error.start]:02x} at {error.start:,}."
        raise UsageError(message) from error
    if not text.strip():
        message = "No SQL was given. Expected a SELECT, -f FILE, or '-' for stdin; --schema shows the tables."
        raise UsageError(message)
    return text


def _tables(pairs: tuple[str, ...]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for pair in pairs:
        name, equals, path = pair.partition("=")
        if not (name and equals and path):
            message = f"--with {pair}: expected NAME=FILE, such as --with preds=preds.csv."
            raise UsageError(message)
        if name.lower() in map(str.lower, found):
            message = f"--with {pair}: found the name {name} twice; expected a name for each file."
            raise UsageError(message)
        found[name] = Path(path)
    return found


def _write(connection: duckdb.DuckDBPyConnection, text: str, form: str, out: BinaryIO, *, stream: bool) -> None:
    if form in BATCHWISE:
        write_batches(*query.run_arrow(connection, text), form, out, stream=stream)
    else:
        write_rows(query.run(connection, text), form, out)


def _show(answer: query.Answer) -> None:
    rows = list(islice(answer.rows, _SHOWN + 1))
    click.echo(table(answer.columns, rows[:_SHOWN], width=width_of_terminal()))
    if len(rows) > _SHOWN:
        note(f"Only the first {_SHOWN} rows are shown; --format csv gives them all, LIMIT fewer.")


def _print_schema(as_json: bool) -> None:
    if as_json:
        tables = {
            name: {"meaning": one.meaning, "columns": [column._asdict() for column in one.columns]}
            for name, one in schema.TABLES.items()
        }
        print_json({"tables": tables, "macros": query.MACROS})
        return
    for name, (meaning, columns) in schema.TABLES.items():
        click.echo(f"{name}: {meaning}")
        click.echo(table(("column", "type", "meaning"), columns))
        click.echo()
    click.echo(table(("macro", "meaning"), list(query.MACROS.items())))
