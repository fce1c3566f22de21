"""The bundled tables of an index equal those that data/make_index_tables.py makes."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pyarrow.parquet as pq
import pytest

from imagenet_tools.schema import arrow_schema
from imagenet_tools.store.layout import CONSTANT, constant_file

HOUSE = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_index_tables", HOUSE / "data/make_index_tables.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_script_makes_every_constant_table(script: ModuleType) -> None:
    assert tuple(script.MAKERS) == CONSTANT


@pytest.mark.parametrize("name", CONSTANT)
def test_a_table_made_again_is_the_bundled_one(script: ModuleType, name: str) -> None:
    bundled = pq.read_table(constant_file(name))
    assert bundled.schema == arrow_schema(name)
    assert script.MAKERS[name]().combine_chunks().equals(bundled.combine_chunks())
