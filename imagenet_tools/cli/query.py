"""query: SQL over an index, contained; a table for people, or a format for programs."""

from __future__ import annotations

import io
import signal
import sys
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click

from imagenet_tools import schema
from imagenet_tools.cli import reported
from imagenet_tools.cli.answer import BATCHWISE, ROWWISE, write_batches, write_rows
from imagenet_tools.cli.common import form_of, note, output_options, print_json, table, width_of_terminal
from imagenet_tools.cli.process import Stream
from imagenet_tools.errors import QueryError, UsageError
from imagenet_tools.files import whole
from imagenet_tools.index import query
from imagenet_tools.index.gate import senses_taken
from imagenet_tools.index.layout import default_index
from imagenet_tools.processes import in_child

if TYPE_CHECKING:
    import duckdb

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
