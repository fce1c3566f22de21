"""A child process that answers one question about an index: a SELECT of the user, or the counts of a selection.

Both may hold SQL that somebody else wrote, in an address that was shared. So the process is bounded in memory and time,
and DuckDB is locked before it sees a word of it.
"""

from __future__ import annotations

import json
import math
import time
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imagenet_tools.explorer.children import DONE, FAILED, QUERY_MEMORY_BYTES, READY, answer, confine, requests

if TYPE_CHECKING:
    from imagenet_tools.store.query import Answer

MAX_ROWS = 10_000
MAX_CELL_BYTES = 4_000
MAX_ANSWER_BYTES = 5_000_000
_CUT = "\N{HORIZONTAL ELLIPSIS}"


def main() -> None:
    """Answer one request."""
    messages = requests()
    index = Path(next(messages))
    confine(QUERY_MEMORY_BYTES)
    from imagenet_tools.errors import ImagenetToolsError
    from imagenet_tools.store.query import connect_contained

    sql = connect_contained(index, {}, memory=QUERY_MEMORY_BYTES)
    answer(READY)
    what, question = next(messages)
    try:
        if what == "sql":
            from imagenet_tools.store import query

            start = time.perf_counter()
            result = bounded(query.run(sql, question["sql"]))
            result["seconds"] = time.perf_counter() - start
        else:
            from imagenet_tools.explorer.subsets import count

            result = count(index, question)
    except (ImagenetToolsError, TypeError) as error:
        answer(FAILED, str(error).encode(errors="replace")[:MAX_CELL_BYTES])
    else:
        answer(DONE, json.dumps(result).encode())


def bounded(found: Answer) -> dict[str, Any]:
    """Return the columns and the first rows of an answer as plain values, and why there are no more."""
    rows: list[list[object]] = []
    n_bytes, cut = 0, ""
    for row in found.rows:
        if len(rows) == MAX_ROWS:
            cut = f"Only the first {MAX_ROWS:,} rows are shown."
            break
        plain = [_plain(value) for value in row]
        n_bytes += len(json.dumps(plain))
        if n_bytes > MAX_ANSWER_BYTES:
            cut = f"Only the first {len(rows):,} rows are shown: more are over {MAX_ANSWER_BYTES:,} bytes."
            break
        rows.append(plain)
    return {"columns": list(found.columns), "rows": rows, "cut": cut}


def _plain(value: object) -> object:
    if value is None or isinstance(value, (bool, int)):
        return value if value is None or abs(value) < 1 << 53 else str(value)
    if isinstance(value, Decimal):
        value = float(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, (list, tuple)):
        return _cut(json.dumps([_plain(part) for part in value], ensure_ascii=False))
    if isinstance(value, dict):
        return _cut(json.dumps({str(key): _plain(part) for key, part in value.items()}, ensure_ascii=False))
    return _cut(value.hex() if isinstance(value, bytes) else str(value))


def _cut(text: str) -> str:
    data = text.encode(errors="replace")
    if len(data) <= MAX_CELL_BYTES:
        return text
    return data[: MAX_CELL_BYTES - len(_CUT.encode())].decode(errors="ignore") + _CUT


if __name__ == "__main__":
    main()
