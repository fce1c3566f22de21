"""The notebooks that need torch run where torch is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.loaders.truth import Say
from tests.notebooks_check import FOR_TORCH, run


@pytest.mark.proof(target="no export", loader="notebook")
@pytest.mark.parametrize("path", FOR_TORCH, ids=lambda path: path.stem)
def test_a_notebook_trains(path: Path, say: Say) -> None:
    texts = [
        output["data"]["text/plain"]
        for cell in run(path).cells
        for output in cell.get("outputs", [])
        if "data" in output
    ]
    [accuracy] = re.findall(r"(\d+)% of \d+ validation images are right", "\n".join(texts))
    assert int(accuracy) > 80
    say(f"{path.stem}: {accuracy} % right")
