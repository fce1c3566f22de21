"""Check what a contained query contains: one SELECT of tables, in the syntax tree of DuckDB's own parser.

The kind of a statement is not enough. Since DuckDB 2.0 a WITH may hold a COPY or a DELETE; before it a PRAGMA may
count as a SELECT. Functions in FROM may read files, run SQL that is passed as text, or write logs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from imagenet_tools.errors import QueryError

if TYPE_CHECKING:
    import duckdb

# The query nodes of a syntax tree. DuckDB ends the name of every kind of node with _NODE.
_QUERY_NODES = {"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"}

# Functions that are allowed in FROM: the macros of views.sql, and those that make rows of their arguments.
_MACROS = ("under", "above")
TABLE_FUNCTIONS = (*_MACROS, "unnest", "range", "generate_series", "repeat", "json_each", "json_tree", "histogram")

# Functions, by number of arguments, that DuckDB 1.4 or 2.0 calls consistent and that depend on the clock or session.
_CHANGING = {
    0: ("current_localtime", "current_localtimestamp"),
    1: ("age", "ago", "current_setting", "getvariable"),
}
# Names that call a function of the clock without parentheses.
_TIMES = ("current_date", "current_time", "current_timestamp", "localtime", "localtimestamp")

# The argument of a macro that names a synset.
_SYNSET_ARGUMENT = {"is_a": 1, "under": 0, "above": 0, "synset": 0}
# A wnid or a name: to look one up in the index takes 20 ms.
_ONE_SENSE = re.compile(r"n\d{8}|.+\.n\.\d+", re.ASCII | re.DOTALL)

_ONE_SELECT = "expected one SELECT (FROM, VALUES, DESCRIBE and SUMMARIZE count as one)"


def check(sql: duckdb.DuckDBPyConnection, text: str) -> None:
    """Raise QueryError unless a text is one SELECT of tables."""
    kinds = [_kind(statement) for statement in sql.extract_statements(text)]
    if kinds != ["SELECT"]:
        message = f"Found {', '.join(kinds) or 'nothing'}; {_ONE_SELECT}."
        if "pivot" in text.lower():
            message += " PIVOT is one where its values are listed: ON split IN ('train', 'val')."
        raise QueryError(message)
    try:
        tree = _tree(sql, text)
    except RecursionError:
        raise QueryError(
            "The query is nested too deeply. Write it with fewer parentheses, or lists in place of OR."
        ) from None
    if tree.get("error", True):
        raise QueryError(f"{tree.get('error_message', 'DuckDB cannot read the query')}; {_ONE_SELECT}.")
    for node in _nodes(tree):
        kind, function = node.get("type"), node.get("function")
        if not isinstance(kind, str):
            continue
        if kind.endswith("_NODE") and kind not in _QUERY_NODES:
            message = f"Found {kind.removesuffix('_NODE').removesuffix('_QUERY')} inside the query; {_ONE_SELECT}."
            raise QueryError(message)
        name = str(function.get("function_name", "")).lower() if isinstance(function, dict) else ""
        if kind == "TABLE_FUNCTION" and name not in TABLE_FUNCTIONS:
            raise QueryError(
                f"Found the table function {name}. A query reads the tables of the index, and files that are named "
                f"with --with NAME=FILE; expected one of {', '.join(TABLE_FUNCTIONS)}."
            )


def check_condition(sql: duckdb.DuckDBPyConnection, flag: str, text: str, tables: Iterable[str]) -> None:
    """Raise QueryError unless a text is one condition, as after WHERE, that uses only these tables.

    The checked query is `SELECT (text)`. A text that ends the SELECT or continues after the condition shows in its
    tree. A text that closes the parentheses does not parse without them.
    """
    import duckdb

    expected = "expected one condition, as after WHERE"
    query = f"SELECT ({text}\n)"
    try:
        counts = [len(sql.extract_statements(variant)) for variant in (query, f"SELECT {text}\n")]
    except duckdb.Error as error:
        reason = " ".join(str(error).partition("\n\n")[0].split())
        raise QueryError(f"{flag} {text}: {reason}; {expected}.") from error
    if counts != [1, 1]:
        raise QueryError(f"{flag} {text}: found a ';'; {expected}.")
    check(sql, query)
    node = _tree(sql, query)["statements"][0]["node"]
    bare = (
        node["type"] == "SELECT_NODE"
        and len(node["select_list"]) == 1
        and node["from_table"]["type"] == "EMPTY"
        and not (node.get("where_clause") or node["modifiers"] or node["cte_map"]["map"])
    )
    if not bare:
        raise QueryError(f"{flag} {text}: found more than a condition; {expected}.")
    if changing := _changing(sql, node):
        raise QueryError(
            f"{flag} {text}: found {changing}, which gives something else at each run, so the same words would choose "
            "other images. Expected a condition on the tables and fixed values; --seed and --limit sample."
        )
    known = {name.lower() for name in tables}
    if unknown := sorted(_tables_of(node) - known):
        raise QueryError(f"{flag} {text}: found the table {unknown[0]}; expected {', '.join(sorted(known))}.")


def _changing(sql: duckdb.DuckDBPyConnection, tree: object) -> str | None:
    """Return the part of a syntax tree that may change between runs or sessions, or None.

    DuckDB's catalogue says whether a function is consistent; a function is its name and its number of arguments.
    """
    waiting, seen = [tree], set[tuple[str, int]]()
    while waiting:
        for node in _nodes(waiting.pop()):
            if node.get("sample"):
                return "a sample of a table"
            names = node.get("column_names")
            if isinstance(names, list) and len(names) == 1 and str(names[0]).lower() in _TIMES:
                return str(names[0])
            name, n = str(node.get("function_name", "")).lower(), len(_arguments(node))
            if not name or (name, n) in seen:
                continue
            seen.add((name, n))
            if name in _CHANGING.get(n, ()):
                return f"{name}() of {n} arguments"
            rows = sql.execute(
                """SELECT stability, macro_definition FROM duckdb_functions()
                   WHERE function_name = $1 AND internal
                         AND (len(parameters) = $2 OR varargs IS NOT NULL OR macro_definition IS NOT NULL)""",
                [name, n],
            ).fetchall()
            stable = {stability for stability, _ in rows if stability}
            if stable and "CONSISTENT" not in stable:
                return f"{name}()"
            waiting += [_tree(sql, f"SELECT {definition}") for definition in {macro for _, macro in rows if macro}]
    return None


def senses_taken(sql: duckdb.DuckDBPyConnection, text: str) -> list[str]:
    """Return a sentence for each lemma with several senses in the is_a, under, above and synset of a query.

    A synset that a column names, or that is unknown, has none. `sql` must have the tables and macros of an index.
    """
    if not any(name in text.lower() for name in _SYNSET_ARGUMENT):
        return []
    try:
        nodes = list(_nodes(_tree(sql, text)))
    except RecursionError:
        return []
    lemmas: dict[str, None] = {}
    for node in nodes:
        place = _SYNSET_ARGUMENT.get(str(node.get("function_name", "")).lower())
        for argument in _arguments(node)[place:] if place is not None else ():
            literal = argument.get("literal") or argument.get("value")
            lemma = (literal.get("text") or literal.get("value")) if isinstance(literal, dict) else None
            if isinstance(lemma, str) and _ONE_SENSE.fullmatch(lemma) is None:
                lemmas[lemma] = None
    notes: list[str] = []
    for lemma in lemmas:
        rows = sql.execute(
            """SELECT name, wnid, n, main._counted(2)[3:]
               FROM main.terms JOIN (SELECT name, wnid FROM main.synsets) USING (wnid)
               WHERE term = main._term($1) AND n > 1""",
            [lemma],
        ).fetchall()
        notes += [
            f"{lemma!r} is taken for {name} ({wnid}), alone of its {n} senses to have {unit}."
            for name, wnid, n, unit in rows
        ]
    return notes


# ---- syntax trees


def _kind(statement: duckdb.Statement) -> str:
    try:
        return statement.type.name
    except ValueError:  # a kind without a name in DuckDB's Python package
        return "another statement"


def _tree(sql: duckdb.DuckDBPyConnection, text: str) -> dict[str, Any]:
    """Return the syntax tree of a query, from DuckDB's JSON."""
    ((tree,),) = sql.execute("SELECT json_serialize_sql($1)", [text]).fetchall()
    parsed: dict[str, Any] = json.loads(tree)
    return parsed


def _nodes(tree: object) -> Iterator[dict[str, Any]]:
    """Yield every object of a syntax tree of any depth, without recursion."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, list):
            waiting.extend(node)
        elif isinstance(node, dict):
            waiting.extend(node.values())
            yield node


def _arguments(function: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the arguments of a function in a syntax tree; before DuckDB 2.0 they were called children."""
    arguments = function.get("arguments") or function.get("children") or []
    return [argument.get("expression", argument) for argument in arguments]


def _tables_of(tree: object) -> set[str]:
    """Return the names of the tables in a syntax tree, without those of its own WITH."""
    tables: set[str] = set()
    defined: set[str] = set()
    for node in _nodes(tree):
        if node.get("type") == "BASE_TABLE":
            tables.add(str(node.get("table_name", "")).lower())
        if isinstance(node.get("cte_map"), dict):
            defined |= {str(entry.get("key", "")).lower() for entry in node["cte_map"].get("map", [])}
    return tables - defined
