"""The SQL page: a SELECT of the user, which a child process answers, with pictures and a chart of two columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imagenet_tools.display import charts
from imagenet_tools.errors import QueryError
from imagenet_tools.explorer.children import QUERY_SECONDS
from imagenet_tools.explorer.views import View
from imagenet_tools.schema import TABLES
from imagenet_tools.store.query import MACROS
from imagenet_tools.text import count_of
from imagenet_tools.wordnet import wordnet
from imagenet_tools.wordnet.wnid import is_wnid

if TYPE_CHECKING:
    from imagenet_tools.explorer.addresses import Address
    from imagenet_tools.explorer.children import Questioners
    from imagenet_tools.explorer.views import Site

_N_BARS = 40
_N_PICTURES = 100
_HIDDEN = ("synset_facts", "synset_counts", "synset_terms")
_SHOWN_TABLES = {name: table for name, table in TABLES.items() if name not in _HIDDEN}

EXAMPLES = (
    ("Dogs with the most images",
     "SELECT name, n_images FROM synsets\nWHERE is_a(wnid, 'dog.n.01')\nORDER BY n_images DESC LIMIT 10"),
    ("The smallest images",
     "SELECT dataset, image_id, wnid, width, height FROM images\nORDER BY least(width, height), image_id LIMIT 20"),
    ("Dogs that have boxes",
     "SELECT count(*) AS images, count(*) FILTER (n_boxes > 0) AS boxed\nFROM images WHERE is_a(wnid, 'dog.n.01')"),
    ("Problems by code",
     "SELECT code, count(*) AS n, min(reason) AS example\nFROM problems GROUP BY code ORDER BY n DESC"),
)  # fmt: skip

UNLABELLED = "SELECT dataset, image_id, split, file FROM images WHERE wnid IS NULL ORDER BY dataset, image_id"


def sql(site: Site, questioners: Questioners, address: Address) -> View:
    """Return the SQL page: without a query, an example to start from."""
    query = address.parameters.get("sql", "")
    data: dict[str, Any] = {
        "query": query or EXAMPLES[0][1], "error": "", "columns": [], "rows": [], "seconds": 0.0, "cut": "",
        "images": [], "chart": None, "wnids": [],
    }  # fmt: skip
    if query:
        try:
            data |= questioners.ask("sql", {"sql": query})
        except QueryError as error:
            data["error"] = str(error)
    drawn = {}
    if data["rows"]:
        data["images"] = _images(site, data["columns"], data["rows"][:_N_PICTURES])
        cells = {cell for row in data["rows"][:500] for cell in row if isinstance(cell, str) and is_wnid(cell)}
        data["wnids"] = sorted(cell for cell in cells if wordnet.find_row(cell) is not None)
        data["chart"] = _axes(address, data["columns"], data["rows"])
        if data["chart"]:
            drawn["chart"] = _chart(address, data["chart"], data["columns"], data["rows"])
    return View("sql.html", "SQL", data, (data["columns"], data["rows"]), drawn)


def frame() -> dict[str, Any]:
    """Return what the page shows beside a query: tables, macros, examples, and the schema for the editor."""
    return {
        "tables": _SHOWN_TABLES,
        "macros": MACROS,
        "examples": EXAMPLES,
        "schema": {name: [column.name for column in table.columns] for name, table in _SHOWN_TABLES.items()},
        "seconds_allowed": QUERY_SECONDS,
    }


def _images(site: Site, columns: list[str], rows: list[list[Any]]) -> list[int | None]:
    """Return the number of the image of each row that has an image_id; nothing if no row has one."""
    if "image_id" not in columns:
        return []
    ids = [row[columns.index("image_id")] for row in rows]
    datasets = [row[columns.index("dataset")] for row in rows] if "dataset" in columns else [None] * len(rows)
    found = site.pages.of_ids(sorted({image_id for image_id in ids if isinstance(image_id, str)}))
    numbers: dict[tuple[str | None, str], int] = {}
    for number, facts in found:
        numbers[facts["dataset"], facts["image_id"]] = number
        numbers.setdefault((None, facts["image_id"]), number)
    shown = [numbers.get((dataset, image_id)) for dataset, image_id in zip(datasets, ids, strict=True)]
    return shown if any(number is not None for number in shown) else []


def _axes(address: Address, columns: list[str], rows: list[list[Any]]) -> dict[str, Any] | None:
    """Return the columns of the chart: those that the address names, or the first text and the first number."""

    def is_number(n: int) -> bool:
        cells = [row[n] for row in rows if row[n] is not None]
        return bool(cells) and all(isinstance(cell, (int, float)) and not isinstance(cell, bool) for cell in cells)

    numbers = [column for n, column in enumerate(columns) if is_number(n)]
    if len(columns) < 2 or not numbers or len(rows) < 2:
        return None
    x, y = address.parameters.get("x", ""), address.parameters.get("y", "")
    y = y if y in numbers else numbers[-1]
    x = x if x in columns else next((column for column in columns if column not in numbers), columns[0])
    return {"x": x, "y": y, "numbers": numbers}


def _chart(address: Address, axes: dict[str, Any], columns: list[str], rows: list[list[Any]]) -> str:
    x, y = columns.index(axes["x"]), columns.index(axes["y"])
    bars = [(str(row[x]), row[y] if row[y] is not None else 0) for row in rows[:_N_BARS]]
    is_asked = "x" in address.parameters
    if any(value < 0 for _, value in bars) or (len({name for name, _ in bars}) < len(bars) and not is_asked):
        return ""  # one bar for each of several rows of a name says little
    about = (
        f"the first {_N_BARS} of {count_of(len(rows), 'row')}" if len(rows) > _N_BARS else count_of(len(rows), "row")
    )
    return charts.bars(f"{axes['y']} by {axes['x']}", about, bars).svg(style=False)
