"""DuckDB's command, of a version older than the writer's, opens the DuckDB file of an export."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from tests.loaders.truth import DOGS, Export, Say, Truth


@pytest.fixture
def file(export: Callable[[str, str], Export]) -> Path:
    return export("everything", "duckdb").root / "imagenet.duckdb"


def expected(truth: dict[str, Truth]) -> dict[str, int]:
    """The images below dog by class."""
    return Counter(one.wnid for one in truth.values() if one.wnid in DOGS)


@pytest.mark.proof(target="duckdb", loader="duckdb, the command")
def test_an_older_duckdb_opens_it_and_knows_the_macros(file: Path, truth: dict[str, Truth], say: Say) -> None:
    command = [str(Path(sys.executable).with_name("duckdb")), "-readonly", "-json", str(file)]

    def ask(query: str) -> list[dict[str, object]]:
        ran = subprocess.run([*command, query], capture_output=True, text=True, check=True)
        return json.loads(ran.stdout)  # type: ignore[no-any-return]

    rows = ask("SELECT wnid, count(*) AS n FROM images WHERE is_a(wnid, 'dog.n.01') GROUP BY wnid")
    assert {row["wnid"]: row["n"] for row in rows} == expected(truth)
    [below] = ask("SELECT count(*) AS n FROM images WHERE wnid IN (FROM under('domestic dog'))")
    assert below["n"] == sum(expected(truth).values())
    [boxes] = ask("SELECT count(*) AS n FROM boxes")
    assert boxes["n"] == sum(len(one.boxes) for one in truth.values())
    [older] = ask("SELECT version() AS version")
    assert older["version"] == "v1.4.4" != f"v{duckdb.__version__}"
    say(f"DuckDB {older['version']} reads what {duckdb.__version__} wrote")
