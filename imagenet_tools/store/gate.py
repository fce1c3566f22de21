"""What a contained query may be: one SELECT of tables, as DuckDB's own parser and its syntax tree tell.

The kind of a statement alone does not tell: since DuckDB 2.0 a WITH may hold a COPY or a DELETE, before it a PRAGMA
may count as a SELECT, and functions in FROM may read files, run SQL given as text, or write logs.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from imagenet_tools.errors import QueryError

if TYPE_CHECKING:
    import duckdb

# The nodes of a syntax tree that are queries; DuckDB ends the name of every kind of node with _NODE.
_QUERIES = {"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"}

# Functions that may stand in FROM: our own, and those that make rows of their arguments.
TABLE_FUNCTIONS = (
    *("under", "above", "unnest", "range", "generate_series", "repeat", "json_each", "json_tree", "histogram"),
)

# Functions, by name and number of arguments, that DuckDB 1.4 or 2.0 calls consistent and that follow the clock or the
# session.
_CHANGING = {
    ("age", 1),
    ("ago", 1),
    ("current_localtime", 0),
    ("current_localtimestamp", 0),
    ("current_setting", 1),
    ("getvariable", 1),
}
# Which argument of a macro names a synset.
_SYNSET_ARGUMENT = {"is_a": 1, "under": 0, "above": 0, "synset": 0}
# Names that stand for a function without parentheses.
_TIMES = ("current_date", "current_time", "current_timestamp", "localtime", "localtimestamp")

_ONE_SELECT = "expected one SELECT (FROM, VALUES, DESCRIBE and SUMMARIZE count as one)"


def check(sql: duckdb.DuckDBPyConnection, text: str) -> None:
    """QueryError for everything but one SELECT of tables."""
    kinds = [_kind(statement) for statement in sql.extract_statements(text)]
    if kinds != ["SELECT"]:
        advice = " PIVOT is one where its values are listed: ON split IN ('train', 'val')." * ("pivot" in text.lower())
        message = f"Found {', '.join(kinds) or 'nothing'}; {_ONE_SELECT}.{advice}"
        raise QueryError(message)
    ((tree,),) = sql.execute("SELECT json_serialize_sql($1)", [text]).fetchall()
    for kind, name in _nodes(tree):
        if kind.endswith("_NODE") and kind not in _QUERIES:
            message = f"Found {kind.removesuffix('_NODE').removesuffix('_QUERY')} inside the query; {_ONE_SELECT}."
            raise QueryError(message)
        if kind == "TABLE_FUNCTION" and name not in TABLE_FUNCTIONS:
            message = (
                f"Found the table function {name}. A query reads the tables of the index, and files that are named "
                f"with --with NAME=FILE; expected one of {', '.join(TABLE_FUNCTIONS)}."
            )
            raise QueryError(message)


def check_condition(sql: duckdb.DuckDBPyConnection, flag: str, text: str, tables: Iterable[str]) -> None:
    """QueryError for everything but one condition, such as stands behind WHERE, over these tables and nothing else.

    What is asked is `SELECT (text)`: what ends the SELECT, or goes on behind the condition, shows in its tree; what
    gets out of the parentheses does not parse without them.
    """
    import duckdb

    expected = "expected one condition, as it stands behind WHERE"
    asked = f"SELECT ({text}\n)"
    try:
        kinds = [len(sql.extract_statements(one)) for one in (asked, f"SELECT {text}\n")]
    except duckdb.Error as error:
        message = f"{flag} {text}: {' '.join(str(error).partition(chr(10) * 2)[0].split())}; {expected}."
        raise QueryError(message) from error
    if kinds != [1, 1]:
        message = f"{flag} {text}: found a ';'; {expected}."
        raise QueryError(message)
    check(sql, asked)
    ((tree,),) = sql.execute("SELECT json_serialize_sql($1)", [asked]).fetchall()
    node = json.loads(tree)["statements"][0]["node"]
    alone = node["type"] == "SELECT_NODE" and len(node["select_list"]) == 1 and node["from_table"]["type"] == "EMPTY"
    bare = alone and not node.get("where_clause") and not node["modifiers"] and not node["cte_map"]["map"]
    if not bare:
        message = f"{flag} {text}: found more than that; {expected}."
        raise QueryError(message)
    if changing := _changing(sql, node):
        message = (
            f"{flag} {text}: found {changing}, which gives something else at each run, so that the same words would "
            "choose other images. Expected a condition on the tables and fixed values; --seed and --limit sample."
        )
        raise QueryError(message)
    known = {name.lower() for name in tables}
    unknown = sorted(_tables_of(node) - known)
    if unknown:
        message = f"{flag} {text}: found the table {unknown[0]}; expected {', '.join(sorted(known))}."
        raise QueryError(message)


def _changing(sql: duckdb.DuckDBPyConnection, tree: object) -> str | None:
    """Return what in a syntax tree gives another value at each run or session, as DuckDB's catalogue says; else None.

    A function is known by its name and its number of arguments.
    """
    waiting, seen = [tree], set[tuple[str, int]]()
    while waiting:
        for node in _objects(waiting.pop()):
            if node.get("sample"):
                return "a sample of a table"
            names = node.get("column_names")
            if isinstance(names, list) and len(names) == 1 and str(names[0]).lower() in _TIMES:
                return str(names[0])
            name, n = str(node.get("function_name", "")).lower(), len(_arguments(node))
            if not name or (name, n) in seen:
                continue
            seen.add((name, n))
            if (name, n) in _CHANGING:
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
            for definition in {definition for _, definition in rows if definition}:
                ((text,),) = sql.execute("SELECT json_serialize_sql($1)", [f"SELECT {definition}"]).fetchall()
                waiting.append(json.loads(text))
    return None


def _arguments(function: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the arguments of a function in a syntax tree; before DuckDB 2.0 they were called children."""
    return [one.get("expression", one) for one in function.get("arguments") or function.get("children") or []]


def senses_taken(sql: duckdb.DuckDBPyConnection, text: str) -> list[str]:
    """Say which synset each lemma of several senses means in the is_a, under, above and synset of a query.

    `sql` has the tables and macros of an index. A synset that a column names, or that is unknown, is not said.
    """
    ((tree,),) = sql.execute("SELECT json_serialize_sql($1)", [text]).fetchall()
    named: dict[str, None] = {}
    try:
        nodes = list(_objects(json.loads(tree)))
    except RecursionError:
        return []
    for node in nodes:
        place = _SYNSET_ARGUMENT.get(str(node.get("function_name", "")).lower())
        for argument in _arguments(node)[place:] if place is not None else ():
            literal = argument.get("literal") or argument.get("value")
            word = (literal.get("text") or literal.get("value")) if isinstance(literal, dict) else None
            named |= {word: None} if isinstance(word, str) else {}
    notes: list[str] = []
    for word in named:
        rows = sql.execute(
            """SELECT name, wnid, n FROM main.terms JOIN (SELECT name, wnid FROM main.synsets) USING (wnid)
               WHERE term = main._term($1) AND n > 1""",
            [word],
        ).fetchall()
        notes += [
            f"{word!r} is taken for {name} ({wnid}), alone of its {n} senses to have images." for name, wnid, n in rows
        ]
    return notes


def _tables_of(tree: object) -> set[str]:
    """The names of the tables in a syntax tree, less those of its own WITH."""
    found: set[str] = set()
    own: set[str] = set()
    for node in _objects(tree):
        if node.get("type") == "BASE_TABLE":
            found.add(str(node.get("table_name", "")).lower())
        if isinstance(node.get("cte_map"), dict):
            own |= {str(one.get("key", "")).lower() for one in node["cte_map"].get("map", [])}
    return found - own


def _kind(statement: duckdb.Statement) -> str:
    try:
        return statement.type.name
    except ValueError:  # a kind that DuckDB's Python has no name for
        return "another statement"


def _nodes(tree: str) -> Iterator[tuple[str, str]]:
    """(type, name of its function if it has one) of every node of a syntax tree, which DuckDB writes as JSON."""
    try:
        parsed = json.loads(tree)
    except RecursionError:
        raise QueryError(
            "The query is nested too deeply. Write it with fewer parentheses, or lists in place of OR."
        ) from None
    if parsed.get("error", True):
        message = f"{parsed.get('error_message', 'DuckDB cannot read the query')}; {_ONE_SELECT}."
        raise QueryError(message)
    for node in _objects(parsed):
        function = node.get("function")
        name = str(function.get("function_name", "")) if isinstance(function, dict) else ""
        if isinstance(node.get("type"), str):
            yield node["type"], name.lower()


def _objects(tree: object) -> Iterator[dict[str, Any]]:
    """Every object of a syntax tree: walked without recursion, however deep it is."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, list):
            waiting.extend(node)
        elif isinstance(node, dict):
            waiting.extend(node.values())
            yield node
