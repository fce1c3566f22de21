"""Run the examples in the docstrings of the public functions, in a folder with the sample and its index."""

import doctest
import shutil
from pathlib import Path

import numpy as np
import pytest

import imagenet_tools as imt
from imagenet_tools.index import Index
from tests.evaluation import predictions


@pytest.mark.parametrize("name", [name for name in imt.__all__ if name != "errors"])
def test_docstring_examples(
    name: str, index: Index, sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "moved").mkdir()
    for folder in (tmp_path, tmp_path / "moved"):
        for path in sample.glob("ILSVRC2012_img_*.tar"):
            shutil.copy2(path, folder)
    shutil.copytree(index.path, tmp_path / "imagenet.index")
    (tmp_path / "labels.txt").write_text("\n".join(imt.classes("ilsvrc2012").wnids))
    np.save(tmp_path / "resnet50.npy", predictions.top5())
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("IMAGENET_INDEX", raising=False)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    for test in doctest.DocTestFinder(recurse=False).find(getattr(imt, name), name, globs={"imt": imt}):
        assert test.examples
        assert runner.run(test).failed == 0
