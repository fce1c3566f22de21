"""Ask an open index the SQL of a selection, and say which condition of the user is wrong."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from imagenet_tools.errors import QueryError, UsageError
from imagenet_tools.selection import query
from imagenet_tools.store.connection import GROUPS, LOCK

if TYPE_CHECKING:
    import duckdb

    from imagenet_tools.selection.choice import Choice
    from imagenet_tools.selection.lock import Lock
    from imagenet_tools.selection.query import Sql
    from imagenet_tools.store.store import Store

_Asked = TypeVar("_Asked")


def own_tables(choice: Choice, pinned: Lock | None) -> dict[str, Path]:
    """The files that a cursor has as tables, by name: those of --with, the groups, or the ids of a lock."""
    if pinned is not None and pinned.ids is not None:
        return {LOCK: pinned.ids}
    tables = {name: Path(path) for name, path in choice.with_.items()}
    return tables | ({GROUPS: Path(choice.groups)} if choice.groups else {})


def joins(index: Store, choice: Choice, cursor: duckdb.DuckDBPyConnection) -> tuple[str, list[str]]:
    """Return how the tables of one's own are joined to images, and notes on tables with rows that join no image.

    `cursor` has the tables. UsageError: a table has no row that joins an image.
    """
    import duckdb

    found: list[str] = []
    notes: list[str] = []
    tables = [(name, path, f"--with {name}={Path(path).name}") for name, path in choice.with_.items()]
    tables += [(GROUPS, choice.groups, f"--groups {Path(choice.groups).name}")] if choice.groups else []
    for name, path, about in tables:
        keys = index.keys(name, Path(path))
        found.append(f"LEFT JOIN {query.groups(keys) if name == GROUPS else _quoted(name)} USING ({keys})")
        lost = f"(SELECT {keys} FROM {_quoted(name)} ANTI JOIN images USING ({keys}))"
        try:
            ((rows, n),) = cursor.execute(
                f"SELECT (SELECT count(*) FROM {_quoted(name)}), (SELECT count(*) FROM {lost})"
            ).fetchall()
            first = cursor.execute(f"FROM {lost} ORDER BY ALL LIMIT 1").fetchall()
        except duckdb.Error as error:
            text = " ".join(str(error).partition("\n\n")[0].split("\n"))
            raise QueryError(f"{about}: it cannot be joined to images by {keys}. {text}") from error
        named = "".join(f", {'/'.join(map(str, row))} first" for row in first)
        if n == rows:
            raise UsageError(
                f"{about}: none of its {rows:,} rows joins an image of the index by {keys}{named}. Expected values as "
                "the table images has them; `query` shows them."
            )
        if n:
            notes.append(f"{about}: {n:,} of its {rows:,} rows join no image of the index{named}")
    return " ".join(found), notes


def _quoted(name: str) -> str:
    return f'"{name}"'


def asked(ask: Callable[[str, Mapping[str, object]], _Asked], sql: Sql, choice: Choice) -> _Asked:
    """What `ask` gives of the SQL and of those of the values that it names; QueryError: a condition is wrong."""
    import duckdb

    named = set(re.findall(r"\$(\w+)", sql.text))
    try:
        return ask(sql.text, {name: value for name, value in sql.values.items() if name in named})
    except duckdb.Error as error:
        conditions = [f"--where {one}" for one in choice.where]
        conditions += [f"--class-where {one}" for one in choice.class_where]
        if not conditions:
            raise
        # The columns that are near are its second line.
        text = " ".join(str(error).partition("\n\n")[0].split("\n"))
        message = f"{' '.join(conditions)}: {text}"
        raise QueryError(message) from error
