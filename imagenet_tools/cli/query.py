"""query: SQL over an index, contained; a table for people, or a format for programs."""

from __future__ import annotations

import csv
import io
import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from imagenet_tools import query, schema
from imagenet_tools.cli.common import cell, note, output_options, print_json, table
from imagenet_tools.errors import UsageError
from imagenet_tools.index import default_index

if TYPE_CHECKING:
    from imagenet_tools.query import Result

_FORMATS = ("table", "csv", "json", "jsonl", "parquet", "arrow", "md")
_BINARY = ("parquet", "arrow")

# Rows of a table for people; programs get them all.
_SHOWN = 200

_EPILOG = """\b
Examples:
  imagenet-tools query "SELECT name, n_images FROM synsets WHERE is_a(wnid, 'dog.n.01') ORDER BY n_images DESC LIMIT 5"
  imagenet-tools query "SELECT count(*) FROM images WHERE wnid IN (FROM under('bird.n.01'))" --format json
  imagenet-tools query -f report.sql --with preds=preds.csv --format csv -o report.csv
  imagenet-tools query --schema
"""


@click.command("query", epilog=_EPILOG)
@click.argument("sql", required=False)
@click.option("-f", "--file", "file", type=click.File(), help="A file of SQL; '-' is stdin.")
@click.option("--with", "tables", multiple=True, metavar="NAME=FILE", help="A table of one's own: csv, json, Parquet.")
@click.option("--format", "form", type=click.Choice(_FORMATS), help="Default: table, or what -o's suffix says.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write to a file that does not exist yet.")
@click.option("--explain", is_flag=True, help="Show DuckDB's plan of the query.")
@click.option("--schema", "show_schema", is_flag=True, help="Show every table and column, with meaning and unit.")
@output_options
def command(
    sql: str | None,
    file: io.TextIOBase | None,
    tables: tuple[str, ...],
    form: str | None,
    output: Path | None,
    explain: bool,
    show_schema: bool,
    as_json: bool,
    index_path: Path | None,
) -> int:
    """Run one SELECT over the index in DuckDB.

    Macros: is_a(wnid, synset), under(synset), above(synset), synset(text). The query reads the index and the files
    named with --with, nothing else, and writes only what -o names.
    """
    if show_schema:
        _print_schema(as_json)
        return 0
    if file is not None and sql is not None:
        message = "Found SQL and -f; expected one of them."
        raise UsageError(message)
    text = file.read() if file is not None else sys.stdin.read() if sql == "-" else sql
    if not text or not text.strip():
        message = "No SQL was given. Expected a SELECT, -f FILE, or '-' for stdin; --schema shows the tables."
        raise UsageError(message)
    form = form or _form_of(output) or ("json" if as_json else "table")
    if form in _BINARY and output is None and sys.stdout.isatty():
        message = f"--format {form} is binary: name a file with -o, or pipe it."
        raise UsageError(message)
    given = dict(_pair(one) for one in tables)
    query.limit_memory()
    with query.connect_contained(index_path or default_index(), given) as connection:
        result = query.run(connection, text, explain=explain)
        if explain:
            click.echo("\n".join(str(row[-1]) for row in result.rows))
            return 0
        _emit(result, form, output)
    return 0


def _pair(text: str) -> tuple[str, Path]:
    name, equals, path = text.partition("=")
    if not (name and equals and path):
        message = f"--with {text}: expected NAME=FILE."
        raise UsageError(message)
    return name, Path(path).absolute()


def _form_of(output: Path | None) -> str | None:
    if output is None:
        return None
    suffix = output.suffix.lower().lstrip(".")
    return suffix if suffix in _FORMATS else "csv"


def _emit(result: Result, form: str, output: Path | None) -> None:
    if output is not None:
        from imagenet_tools.files import whole

        with whole(output) as out:
            _write(result, form, out)
        return
    if form == "table":
        _print_table(result)
        return
    _write(result, form, sys.stdout.buffer)
    sys.stdout.buffer.flush()


def _print_table(result: Result) -> None:
    rows: list[tuple[object, ...]] = []
    for row in result.rows:
        if len(rows) == _SHOWN:
            note(f"Only the first {_SHOWN} rows are shown; --format csv gives them all, LIMIT fewer.")
            break
        rows.append(row)
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    click.echo(table(result.columns, rows, width=width))


def _write(result: Result, form: str, out: io.RawIOBase | io.BufferedIOBase | object) -> None:
    if form in _BINARY:
        _write_arrow(result, form, out)
        return
    for text in _LINES[form](result):
        out.write(text.encode())  # type: ignore[union-attr]


def _csv_lines(result: Result) -> Iterator[str]:
    line = io.StringIO()
    writer = csv.writer(line, lineterminator="\n")
    writer.writerow(result.columns)
    for row in result.rows:
        writer.writerow(
            ["" if value is None else _plain(value) if isinstance(value, (list, dict)) else value for value in row]
        )
        if line.tell() > 1 << 16:
            yield line.getvalue()
            line.seek(0)
            line.truncate()
    yield line.getvalue()


def _plain(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def _jsonl_lines(result: Result) -> Iterator[str]:
    for row in result.rows:
        yield _plain(dict(zip(result.columns, row, strict=True))) + "\n"


def _json_lines(result: Result) -> Iterator[str]:
    before = "[\n"
    for line in _jsonl_lines(result):
        yield before + line.rstrip("\n")
        before = ",\n"
    yield "\n]\n" if before == ",\n" else "[]\n"


def _md_lines(result: Result) -> Iterator[str]:
    yield "| " + " | ".join(result.columns) + " |\n" + "|---" * len(result.columns) + "|\n"
    for row in result.rows:
        yield "| " + " | ".join(cell(value).replace("|", "\\|") for value in row) + " |\n"


def _table_lines(result: Result) -> Iterator[str]:
    yield table(result.columns, list(result.rows)) + "\n"


_LINES = {"csv": _csv_lines, "json": _json_lines, "jsonl": _jsonl_lines, "md": _md_lines, "table": _table_lines}


def _write_arrow(result: Result, form: str, out: object) -> None:
    import pyarrow as pa

    columns = list(zip(*result.rows, strict=True)) or [()] * len(result.columns)
    answer = pa.table(dict(zip(result.columns, map(list, columns), strict=True)))
    if form == "arrow":
        with pa.ipc.new_stream(out, answer.schema) as stream:
            stream.write_table(answer)
    else:
        import pyarrow.parquet as pq

        pq.write_table(answer, out)


def _print_schema(as_json: bool) -> None:
    if as_json:
        print_json(
            {
                name: {"meaning": one.meaning, "columns": [c._asdict() for c in one.columns]}
                for name, one in schema.TABLES.items()
            }
        )
        return
    for name, (meaning, columns) in schema.TABLES.items():
        click.echo(f"{name}: {meaning}")
        click.echo(table(("column", "type", "meaning"), columns))
        click.echo()
    click.echo("macros: is_a(wnid, synset), under(synset), above(synset), synset(text), draw(hash32, seed)")
