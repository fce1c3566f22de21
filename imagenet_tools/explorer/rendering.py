"""From a view to an answer: the templates of pages, its rows as a file, and the picture of what cannot be shown."""

from __future__ import annotations

import csv
import io
import json
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2

from imagenet_tools.display.style import escaped, readable
from imagenet_tools.explorer import sql_page
from imagenet_tools.explorer.filters import ORDERS
from imagenet_tools.images.probe import PROBLEMS
from imagenet_tools.text import count_of, csv_safe
from imagenet_tools.wordnet import wordnet

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import CodeType

    from jinja2.bccache import Bucket

    from imagenet_tools.explorer.views import Site

HERE = Path(__file__).parent
FILE_TYPES = {
    ".json": "application/json",
    ".csv": "text/csv; charset=utf-8",
    ".parquet": "application/vnd.apache.parquet",
}
_FIRST_PAGE = ("base.html", "synset.html", "_parts.html", "_grid.html")


class _CompiledTemplates(jinja2.BytecodeCache):
    """The templates that this process has compiled. Those of the first page take 70 ms of CPU."""

    def __init__(self) -> None:
        self._codes: dict[str, CodeType | None] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        """Take the code of a template, if it is there."""
        bucket.code = self._codes.get(bucket.key)

    def dump_bytecode(self, bucket: Bucket) -> None:
        """Keep the code of a template."""
        self._codes[bucket.key] = bucket.code


_COMPILED = _CompiledTemplates()


def compile_first_page() -> None:
    """Compile the templates of the first page, which needs no index: the index can be opened meanwhile."""
    environment = _environment()
    for name in _FIRST_PAGE:
        environment.get_template(name)


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        bytecode_cache=_COMPILED,
    )
    environment.filters["count"] = lambda value: f"{value:,}"
    environment.filters["readable"] = lambda value: readable(str(value))
    return environment


def templates(site: Site) -> jinja2.Environment:
    """Return the templates. Every value is escaped; only SVG that display.charts drew is not."""
    environment = _environment()
    environment.globals.update(
        site=site,
        index_name=readable(site.index.path.name),
        unlabelled=site.unlabelled,
        unlabelled_sql=sql_page.UNLABELLED,
        total=count_of(site.index.n_images, "image"),
        count_of=count_of,
        problems=PROBLEMS,
        label_of=wordnet.label_of,
        orders=ORDERS,
        suffixes=FILE_TYPES,
        picture=lambda number, size, drawn: f"/image/{number}/{size}" + ("?boxes_drawn=1" if drawn else ""),
    )
    return environment


def as_file(suffix: str, head: Sequence[str], rows: Sequence[Sequence[object]], data: Mapping[str, Any]) -> bytes:
    """Return a view as a file: its values as JSON, or its rows as CSV or Parquet.

    Cells of CSV that a spreadsheet would take for a formula begin with ' (csv_safe); negative numbers stay numbers.
    """
    if suffix == ".json":
        return (json.dumps(data, ensure_ascii=False, indent=1, default=str) + "\n").encode("utf-8", "replace")
    if suffix == ".csv":
        out = io.StringIO(newline="")
        writer = csv.writer(out)  # lines end with \r\n, so that a cell with either of them is quoted
        writer.writerow(map(csv_safe, head))
        writer.writerows(["" if cell is None else csv_safe(cell) for cell in row] for row in rows)
        return out.getvalue().encode("utf-8", "replace")
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = list(zip(*rows, strict=True)) or [()] * len(head)
    arrays = []
    for column in columns:
        try:
            arrays.append(pa.array(column, from_pandas=False))
        except (pa.ArrowInvalid, pa.ArrowTypeError):  # values of several types
            arrays.append(pa.array([None if cell is None else str(cell) for cell in column], pa.string()))
    sink = io.BytesIO()
    pq.write_table(pa.table(arrays, names=list(head)), sink, compression="zstd")
    return sink.getvalue()


def unshown(why: str) -> str:
    """Return a picture that says why an image cannot be shown; browsers show it whatever the status is."""
    lines = [escaped(line) for line in textwrap.wrap(f"Cannot be shown: {why}", 34)[:12]]
    texts = "".join(f'<text x="10" y="{24 + 18 * n}">{line}</text>' for n, line in enumerate(lines))
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 256 256" width="256" height="256" font-size="13" '
        f'font-family="sans-serif" fill="#8a5200"><rect width="256" height="256" fill="#f4ead8"/>{texts}</svg>'
    )
