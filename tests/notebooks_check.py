"""Every notebook runs from its first cell to its last: run by `make notebooks`, not with the other tests.

Notebooks that need torch run where it is installed: see tests/loaders/test_ultralytics_notebook.py.
"""

import importlib.util
from pathlib import Path

import nbclient
import nbformat
import pytest

NOTEBOOKS = sorted((Path(__file__).resolve().parent.parent / "notebooks").glob("*.ipynb"))
FOR_TORCH = [path for path in NOTEBOOKS if "import torch\\n" in path.read_text()]


def run(path: Path) -> nbformat.NotebookNode:
    """Run a notebook, and return it with its outputs."""
    notebook = nbformat.read(path, as_version=4)
    resources = {"metadata": {"path": str(path.parent)}}
    return nbclient.NotebookClient(notebook, timeout=120, resources=resources).execute()


def test_there_are_notebooks() -> None:
    assert len(NOTEBOOKS) > len(FOR_TORCH) > 0


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_committed_without_output(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in notebook.cells)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path: Path) -> None:
    if path in FOR_TORCH and not importlib.util.find_spec("torch"):
        pytest.skip("found no torch; `make test-loaders` runs this notebook with it")
    run(path)
