"""The command query: run a SELECT over an index in a contained process, and write the answer in a format."""

from __future__ import annotations

import csv
import io
import json
import math
import signal
import sys
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from decimal import Decimal
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TextIO

import click

from imagenet_tools import schema
from imagenet_tools.cli import DONE, options, reported
from imagenet_tools.cli.printing import note, print_json, print_table
from imagenet_tools.cli.process import Stream
from imagenet_tools.errors import QueryError, UsageError
from imagenet_tools.storage.files import whole
from imagenet_tools.storage.processes import in_child
from imagenet_tools.store import query
from imagenet_tools.store.gate import senses_taken
from imagenet_tools.text import aligned, layout_of, table

if TYPE_CHECKING:
    import duckdb

    from imagenet_tools.store.query import Answer

_BATCH_FORMATS = ("parquet", "arrow")
_FORMATS = ("table", "csv", "json", "jsonl", "md", *_BATCH_FORMATS)
_SUFFIXES = {**{f".{form}": form for form in _FORMATS}, ".txt": "table", ".ndjson": "jsonl", ".feather": "arrow"}

_LAYOUT_ROWS = 1_000  # rows that set the column widths of a table; later rows may be wider
_SHOWN = 200  # rows of a table on a terminal; files and pipes get all of them


@options.make_command("query")
@click.argument("sql", required=False)
@click.option("-f", "--file", type=click.File("rb"), help="Read the SQL from a file; '-' is stdin.")
@click.option("--with", "tables", multiple=True, metavar="NAME=FILE", help="Add a table: csv, json or Parquet.")
@click.option("--format", "form", type=click.Choice(_FORMATS), help="Default: by the suffix of -o, or table.")
@options.output_file_option
@click.option("--explain", is_flag=True, help="Show DuckDB's plan of the query, and do not run it.")
@click.option("--schema", "show_schema", is_flag=True, help="Show every table and column, with meaning and unit.")
@click.option(
    "--memory",
    metavar="SIZE",
    help="Address space of the query's process, such as 8GB. Default: half of the machine's or container's memory. "
    "macOS has no such limit.",
)
@click.option("--timeout", type=click.FloatRange(0, min_open=True), metavar="SECONDS", help="End the query after this.")
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
) -> None:
    """Run one SELECT over the index, or over WordNet alone.

    SQL is the query, or '-' for stdin. Macros: is_a(wnid, synset), under(synset), above(synset), synset(text),
    draw(hash32, seed). The query reads the index and the files of --with, nothing else, and writes only to -o, in the
    format of its suffix (.csv, .json, .jsonl, .parquet, .arrow, .md, .txt).

    Examples:
        imagenet-tools query "SELECT name, n_images FROM synsets WHERE is_a(wnid, 'dog.n.01') ORDER BY n_images DESC LIMIT 5"
        imagenet-tools query "SELECT count(*) FROM images WHERE wnid IN (FROM under('bird.n.01'))" --format json
        imagenet-tools query -f report.sql --with preds=preds.csv -o report.parquet
        imagenet-tools query --schema
    """  # noqa: E501
    if show_schema:
        _print_schema()
        return
    if explain and (form or output):
        raise UsageError("Found --explain with --format or -o; expected it alone: it prints a plan, not rows.")
    text = _read_sql(sql, file)
    form = form or options.format_by_suffix(output, _SUFFIXES) or ("json" if options.as_json() else "table")
    if form in _BATCH_FORMATS and output is None and sys.stdout.isatty():
        raise UsageError(f"--format {form} is binary: name a file with -o, or pipe it.")
    table_files = _parse_tables(tables)
    bound = _memory_bytes(memory)
    index = options.existing_index()
    if index is None:
        note("No index is named, and there is no ./imagenet.index: the query reads the bundled tables of WordNet.")
    # This process owns the file, so that it is removed even if the query's process is killed.
    with whole(output) if output is not None else nullcontext() as file_out:

        def answer() -> int:
            with query.connect_contained(index, table_files, memory=bound) as connection:
                for sense in senses_taken(connection, text):
                    note(sense)
                if explain:
                    plan = "\n".join(str(row[-1]) for row in query.run(connection, text, explain=True).rows)
                    print_json({"plan": plan}) if options.as_json() else click.echo(plan)
                elif file_out is None and form == "table" and sys.stdout.isatty():
                    _show(query.run(connection, text))
                else:
                    # Not sys.stdout, which would discard the rest of the rows after a broken pipe, and not end.
                    out = file_out or io.BufferedWriter(Stream(sys.stdout.fileno(), raise_broken_pipe=True))
                    with out:
                        _write(connection, text, form, out, stream=file_out is None)
            return DONE

        sys.stdout.flush()
        arguments = ["--json"] if options.as_json() else []
        code = in_child(lambda: reported(answer, arguments), memory=bound, seconds=timeout)
        if code < 0:
            raise QueryError(_killed(-code, bound, timeout))
        if code:
            raise click.exceptions.Exit(code)


def _read_sql(sql: str | None, file: BinaryIO | None) -> str:
    if file is not None and sql is not None:
        raise UsageError("Found SQL and -f; expected one of them.")
    if sql == "-":
        file = sys.stdin.buffer
    try:
        text = file.read().decode("utf-8-sig") if file is not None else sql or ""
    except UnicodeDecodeError as error:
        raise UsageError(
            f"The SQL is not UTF-8 text: found byte 0x{error.object[error.start]:02x} at {error.start:,}."
        ) from error
    if not text.strip():
        raise UsageError("Found no SQL; expected a SELECT, -f FILE, or '-' for stdin. --schema shows the tables.")
    return text


def _parse_tables(pairs: tuple[str, ...]) -> dict[str, Path]:
    tables: dict[str, Path] = {}
    for pair in pairs:
        name, equals, path = pair.partition("=")
        if not (name and equals and path):
            raise UsageError(f"--with {pair}: expected NAME=FILE, such as --with preds=preds.csv.")
        if name.lower() in map(str.lower, tables):
            raise UsageError(f"--with {pair}: found the name {name} twice; expected a name for each file.")
        tables[name] = Path(path)
    return tables


def _memory_bytes(memory: str | None) -> int:
    if memory is None:
        return query.default_memory()
    from imagenet_tools.exports.options import parse_size

    size = parse_size(memory, "--memory")
    if size < query.LEAST_MEMORY:
        raise UsageError(
            f"--memory {memory}: expected {query.LEAST_MEMORY >> 30}GiB or more, which DuckDB needs to start."
        )
    return size


def _killed(number: int, bound: int, timeout: float | None) -> str:
    """Return the message for a query that a signal ended."""
    if number == signal.SIGALRM and timeout is not None:
        return f"The query was ended after the {timeout:g} s of --timeout. Ask for less, or raise --timeout."
    return (
        f"The query's process was ended by {signal.Signals(number).name}, as happens where memory is short: it may use "
        f"{bound / (1 << 30):.1f} GiB. Ask for fewer rows or columns, or raise --memory."
    )


def _print_schema() -> None:
    if options.as_json():
        print_json({"tables": schema.TABLES, "macros": query.MACROS})
        return
    for name, (meaning, columns) in schema.TABLES.items():
        click.echo(f"{name}: {meaning}")
        print_table(("column", "type", "meaning"), columns)
        click.echo()
    print_table(("macro", "meaning"), list(query.MACROS.items()))


def _show(answer: Answer) -> None:
    """Print the first rows on a terminal."""
    rows = list(islice(answer.rows, _SHOWN + 1))
    print_table(answer.columns, rows[:_SHOWN], cut=True)
    if len(rows) > _SHOWN:
        note(f"Only the first {_SHOWN} rows are shown; --format csv gives them all, LIMIT fewer.")


def _write(connection: duckdb.DuckDBPyConnection, text: str, form: str, out: BinaryIO, *, stream: bool) -> None:
    """Write the answer to a query; `stream` writes an Arrow stream instead of an Arrow file."""
    if form in _WRITERS:
        with io.TextIOWrapper(out, "utf-8", newline="") as text_out:
            _WRITERS[form](query.run(connection, text), text_out)
        return
    import pyarrow as pa

    columns, batches = query.run_arrow(connection, text)
    try:
        if form == "parquet":
            import pyarrow.parquet as pq

            writer = pq.ParquetWriter(out, columns, compression="zstd")
        else:
            writer = (pa.ipc.new_stream if stream else pa.ipc.new_file)(out, columns)
        with writer:
            for batch in batches:
                writer.write_batch(batch)
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid) as error:
        types = ", ".join(f"{column.name} {column.type}" for column in columns)
        raise QueryError(
            f"The answer does not fit in {form}: {error}. Cast the column to VARCHAR; the columns are {types}."
        ) from error


def _write_table(answer: Answer, out: TextIO) -> None:
    first = list(islice(answer.rows, _LAYOUT_ROWS))
    if not first:
        out.write(f"{table(answer.columns, [])}\n")
        return
    lines = aligned(answer.columns, chain(first, answer.rows), layout_of(answer.columns, first))
    out.writelines(f"{line}\n" for line in lines)


def _write_csv(answer: Answer, out: TextIO) -> None:
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(answer.columns)
    writer.writerows(map(_text, row) for row in answer.rows)


def _jsonl_lines(answer: Answer) -> Iterator[str]:
    return (_json(dict(zip(answer.columns, row, strict=True))) for row in answer.rows)


def _write_jsonl(answer: Answer, out: TextIO) -> None:
    out.writelines(f"{line}\n" for line in _jsonl_lines(answer))


def _write_json(answer: Answer, out: TextIO) -> None:
    before = "[\n"
    for line in _jsonl_lines(answer):
        out.write(before + line)
        before = ",\n"
    out.write("\n]\n" if before == ",\n" else "[]\n")


def _write_md(answer: Answer, out: TextIO) -> None:
    out.write(_md_line(answer.columns) + "|---" * len(answer.columns) + "|\n")
    out.writelines(_md_line(map(_text, row)) for row in answer.rows)


def _md_line(texts: Iterable[str]) -> str:
    cells = (text.replace("\\", "\\\\").replace("|", "\\|").replace("\n", "<br>") for text in texts)
    return "| " + " | ".join(cells) + " |\n"


def _text(value: object) -> str:
    """Return a value in full for csv and Markdown; nothing for null."""
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
    except (ValueError, TypeError):  # JSON has no NaN, and its keys are texts
        return json.dumps(_json_value(value), ensure_ascii=False, allow_nan=False, default=_number_or_text)


def _number_or_text(value: object) -> object:
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return _text(value)


def _json_value(value: object) -> object:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {_text(key): _json_value(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_json_value(item) for item in value]
    return value


_WRITERS = {"table": _write_table, "csv": _write_csv, "json": _write_json, "jsonl": _write_jsonl, "md": _write_md}
