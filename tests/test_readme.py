"""The tables of README.md, CONTRIBUTING.md and docs/ are those that the code makes."""

import re
from pathlib import Path

import pytest

from data import make_pictures, make_readme
from imagenet_tools import __version__, api
from imagenet_tools.selection.words import EXPORT, SELECTION

ROOT = make_readme.ROOT


@pytest.mark.parametrize("path", make_readme.PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_the_tables_of_a_page_are_those_that_the_code_makes(path: Path) -> None:
    assert make_readme.written(path) == path.read_text(), "run: make readme"


def test_the_chart_is_drawn_of_the_table_of_results(tmp_path: Path) -> None:
    make_pictures.speed(tmp_path / "speed.svg")
    drawn = (make_pictures.IMAGES / "speed.svg").read_bytes()
    assert (tmp_path / "speed.svg").read_bytes() == drawn, "run: make readme"


def test_every_table_is_on_a_page() -> None:
    names = {found["name"] for path in make_readme.PAGES for found in make_readme.PART.finditer(path.read_text())}
    assert names == set(make_readme.TABLES)


def test_a_mark_without_its_other_is_an_error(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("<!-- forms: written by data/make_readme.py -->\n| a |\n<!-- end of targets -->\n")
    with pytest.raises(ValueError, match="one mark"):
        make_readme.written(page)


def test_the_reference_has_every_format_and_every_word() -> None:
    reference = "".join(path.read_text() for path in (make_readme.DOCS / "reference").glob("*.md"))
    assert all(f"\n| `{name}` |" in reference for name in api._formats())
    for word in (*SELECTION, *EXPORT):
        assert re.search(rf"^\| (`|<code>){word.flag}\b", reference, re.MULTILINE)
        assert f"`{word.keyword}=`" in reference


def test_the_citation_has_the_version_of_the_package() -> None:
    assert f"\nversion: {__version__}\n" in (ROOT / "CITATION.cff").read_text()
