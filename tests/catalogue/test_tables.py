"""The bundled tables of lists and labels have not changed, and no fact is in the package twice."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

from imagenet_tools.tables import columns

# Of the names and bytes of a table's columns, in the order of their names.
SHA256 = {
    "class_lists": "d78e3f1d7c52f06d7a6365b8889fb8a82b57772180a028cda52726a1698c0468",
    "class_categories": "c41d88a0726183eea7da4a027b3e3deaf61cdc9984d599d5d5a8ba06783a2eeb",
    "ilsvrc2012_validation": "eba9ade0242b90d7005e2dc31a8ea30cc2b6cccb5809ff798be1c6a614961801",
}


def files(table: str) -> list[Path]:
    return sorted((columns.TABLES / table).glob("*.npy"))


@pytest.mark.parametrize("table", SHA256)
def test_a_table_has_not_changed(table: str) -> None:
    digest = hashlib.sha256()
    for path in files(table):
        digest.update(path.name.encode())
        digest.update(path.read_bytes())
    assert digest.hexdigest() == SHA256[table]


@pytest.mark.parametrize("table", SHA256)
def test_a_table_is_stored_once(table: str) -> None:
    assert files(table)
    assert not (columns.TABLES / f"{table}.parquet").exists()


@pytest.mark.parametrize("table", SHA256)
def test_every_column_has_as_many_rows(table: str) -> None:
    n_rows = set()
    for path in files(table):
        name, values = path.name.removesuffix(".npy"), np.load(path)
        if name.endswith(".starts"):
            n_rows.add(len(values) - 1)
            assert values[0] == 0 and (np.diff(values) >= 0).all()
            assert values[-1] == len(columns.numbers(table, name.removesuffix(".starts")))
        elif not path.with_suffix(".starts.npy").exists():
            n_rows.add(columns.text(table, name).count("\n") + 1 if values.dtype == np.uint8 else len(values))
    assert len(n_rows) == 1
