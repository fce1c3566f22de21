"""The tables of README.md and CONTRIBUTING.md are those that the code makes."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from imagenet_tools import __version__, api
from imagenet_tools.selection.words import EXPORT, SELECTION

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def make_readme() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_readme", ROOT / "data" / "make_readme.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_the_tables_of_a_page_are_those_that_the_code_makes(name: str, make_readme: ModuleType) -> None:
    path = ROOT / name
    assert make_readme.written(path) == path.read_text(), "run: make readme"


def test_the_readme_has_every_format_and_every_word() -> None:
    readme = (ROOT / "README.md").read_text()
    assert readme.count("\n| `") >= len(api._readers())
    for word in (*SELECTION, *EXPORT):
        assert f"| `{word.flag}" in readme and f"`{word.keyword}=`" in readme


def test_the_citation_has_the_version_of_the_package() -> None:
    assert f"\nversion: {__version__}\n" in (ROOT / "CITATION.cff").read_text()
