"""The rows of a view as a file: CSV, Parquet and JSON, beside every page."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Any

from imagenet_tools.text import csv_safe

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

TYPES = {".json": "application/json", ".csv": "text/csv; charset=utf-8", ".parquet": "application/vnd.apache.parquet"}


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
