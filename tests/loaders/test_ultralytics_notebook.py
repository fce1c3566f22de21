"""The notebooks that need torch run where torch is."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest

from tests.loaders.truth import Say
from tests.notebooks_check import FOR_TORCH

# What a notebook prints of its scores, and how often.
PRINTS = {
    "train_from_tars": r"(8[1-9]|9\d|100)% of \d+ validation images are right",
    "train_yolo": r"Evaluation: labels: (top-1 [\d.]+%, top-5 100.00%|ILSVRC mAP [\d.]+%)",
}
N_PRINTED = {"train_from_tars": 1, "train_yolo": 2}


def values(path: Path) -> Iterator[str]:
    """Run a notebook in this process, where conftest.py completes torchvision, and yield the value of each cell."""
    names: dict[str, object] = {}
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "code":
            *body, last = ast.parse(cell.source).body
            exec(compile(ast.Module(body, []), path.name, "exec"), names)
            if isinstance(last, ast.Expr):
                yield repr(eval(compile(ast.Expression(last.value), path.name, "eval"), names))
            else:
                exec(compile(ast.Module([last], []), path.name, "exec"), names)


@pytest.mark.proof(target="no export", loader="notebook")
@pytest.mark.parametrize("path", FOR_TORCH, ids=lambda path: path.stem)
def test_a_notebook_trains(path: Path, monkeypatch: pytest.MonkeyPatch, say: Say) -> None:
    monkeypatch.chdir(path.parent)
    texts = list(values(path))
    found = [match[0] for text in texts if (match := re.search(PRINTS[path.stem], text))]
    assert len(found) == N_PRINTED[path.stem], texts
    say(f"{path.stem}: {'; '.join(found)}")
