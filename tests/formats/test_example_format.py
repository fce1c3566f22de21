"""The example of CONTRIBUTING: a format in one file is detected, indexed, exported to and read back, unregistered."""

import ast
import importlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import imagenet_tools
from imagenet_tools import formats
from imagenet_tools.exports import plan as plans
from imagenet_tools.exports.check import check_export
from imagenet_tools.index import Index
from tests.waiting import PATIENCE

pytestmark = pytest.mark.long  # a proof of the whole; the long suite has it

EXAMPLE = Path(__file__).with_name("example") / "example_format.py"
NAME = EXAMPLE.stem


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The example in a folder beside imagenet_tools/formats; it is gone after the test."""
    (tmp_path / "formats").mkdir()
    shutil.copy(EXAMPLE, tmp_path / "formats")
    monkeypatch.setattr(formats, "__path__", [*formats.__path__, str(tmp_path / "formats")])
    yield importlib.import_module(f"imagenet_tools.formats.{NAME}")
    del sys.modules[f"imagenet_tools.formats.{NAME}"]
    plans._writer.cache_clear()


def test_the_example_has_at_most_50_lines_of_code() -> None:
    tree = ast.parse(EXAMPLE.read_text())
    texts = {
        line
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        for line in range(node.lineno, (node.end_lineno or 0) + 1)
    }
    nodes = (node for node in ast.walk(tree) if isinstance(node, ast.stmt) and node.lineno not in texts)
    assert len({node.lineno for node in nodes}) <= 50


def test_an_export_to_the_example_is_read_back_and_indexed_again(
    example: ModuleType, index: Index, tmp_path: Path
) -> None:
    assert NAME in formats.names()
    chosen = index.select(per_class={"train": 2, "val": 1})
    plan = imagenet_tools.export(chosen, tmp_path / "packs", to=NAME, workers=1)
    assert plan.images() > 0
    assert {path.name for path in (tmp_path / "packs").glob("*.pack")} == {"train-00000.pack", "val-00000.pack"}

    for image in example.read_back(tmp_path / "packs"):
        assert image.read() == index.image(image.stem).read()
    checked = check_export(tmp_path / "packs", index=index, read_data=True)
    assert [finding for finding in checked.findings if finding.code.startswith("E")] == []
    assert checked.images == plan.images()

    found = imagenet_tools.detect(tmp_path / "packs").found
    assert [(one.form, one.splits) for one in found] == [(NAME, ("train",)), (NAME, ("val",))]
    report = imagenet_tools.build_index(tmp_path / "packs", tmp_path / "y.index", workers=1)
    assert report.problems == {}
    again = imagenet_tools.open_index(tmp_path / "y.index")
    columns = ", ".join(example.WRITES.keeps)
    rows = again.sql(f"SELECT {columns} FROM images ORDER BY ALL").fetchall()
    assert len(rows) == plan.images()
    assert set(rows) <= set(index.sql(f"SELECT {columns} FROM images").fetchall())
    some = rows[0][0]
    assert again.image(some).read() == index.image(some).read()


@pytest.mark.parametrize("suite", ["tests/formats/test_reader_contract.py", "tests/exports/test_contract.py"])
def test_the_example_passes_the_contract_suites(suite: str, tmp_path: Path) -> None:
    root = Path(__file__).resolve().parents[2]
    # Each Python that starts below, worker processes among them, has the example beside the other formats.
    add = f"from imagenet_tools import formats\nformats.__path__.append({str(EXAMPLE.parent)!r})\n"
    (tmp_path / "sitecustomize.py").write_text(add)
    # The run is one of its own: as a worker of this run it would share the folder of all runs, and what an earlier
    # version of the code left there.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    environment["PYTHONPATH"] = f"{tmp_path}:{root}"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "not long", suite, "-k", NAME]
    done = subprocess.run(
        command, cwd=root, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:]
