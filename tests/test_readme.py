"""The README's tables are those that the code makes."""

import importlib.util
from pathlib import Path

from imagenet_tools import api
from imagenet_tools.selection.words import EXPORT, SELECTION

ROOT = Path(__file__).resolve().parents[1]


def test_the_tables_of_the_readme_are_those_that_the_code_makes() -> None:
    spec = importlib.util.spec_from_file_location("make_readme", ROOT / "data" / "make_readme.py")
    assert spec is not None and spec.loader is not None
    make_readme = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make_readme)
    readme = (ROOT / "README.md").read_text()
    assert make_readme.written(readme) == readme, "run: make readme"
    assert readme.count("\n| `") >= len(api._readers())
    for word in (*SELECTION, *EXPORT):
        assert f"| `{word.flag}" in readme and f"`{word.keyword}=`" in readme
