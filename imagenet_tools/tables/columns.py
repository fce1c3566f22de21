"""The bundled tables, a column at a time: a command reads only the columns that it needs, and without pyarrow.

Tables that commands need at once are folders of numpy files, one a column. They are read in a tenth of the time of
Parquet:

    tables/wordnet/offset.npy           whole numbers: (n,)
    tables/wordnet/lemmas.npy           texts: their UTF-8 end to end, '\\n' between; uint8
    tables/wordnet/hypernyms.npy        lists of whole numbers: those of all rows end to end
    tables/wordnet/hypernyms.starts.npy     and where each row's begin: (n + 1,)

The other tables are Parquet files. The scripts in data/ make both; data/README.md names their sources.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import pyarrow as pa

TABLES = Path(__file__).parent


def numbers(table: str, column: str) -> npt.NDArray[Any]:
    """Return a column of whole numbers, the numbers of a column of lists, or their `.starts`; read-only."""
    values: npt.NDArray[Any] = np.load(TABLES / table / f"{column}.npy")
    values.flags.writeable = False
    return values


def text(table: str, column: str) -> str:
    """Return a column of texts, '\\n' between them."""
    return numbers(table, column).tobytes().decode()


def write(table: pa.Table, folder: Path) -> None:
    """Write the columns of a table into a folder: whole numbers, texts without '\\n', or lists of whole numbers."""
    from pyarrow import types

    folder.mkdir(parents=True, exist_ok=True)
    for name in table.column_names:
        column = table[name].combine_chunks()
        if types.is_list(column.type):
            np.save(folder / f"{name}.starts.npy", np.from_dlpack(column.offsets))
            np.save(folder / f"{name}.npy", np.from_dlpack(column.values))
        elif types.is_string(column.type):
            joined = "\n".join(column.to_pylist())
            np.save(folder / f"{name}.npy", np.frombuffer(joined.encode(), np.uint8))
        else:
            np.save(folder / f"{name}.npy", np.from_dlpack(column))
