"""The tables of README.md, CONTRIBUTING.md and docs/ are those that the code makes."""

import re
from pathlib import Path

import click
import pytest

from data import make_pictures, make_readme
from imagenet_tools import __version__, api, cli
from imagenet_tools.selection.words import EXPORT, SELECTION
from tests.cli.conftest import COMMANDS

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


def test_every_page_has_a_first_sentence_for_programs() -> None:
    lines = [line for line in make_readme.pages() if line.startswith("- ")]
    assert len(lines) > 30
    assert [line for line in lines if not re.search(r"\): \S.{20,}\.$", line)] == []


def test_the_page_of_words_names_every_command_that_takes_them() -> None:
    page = (make_readme.DOCS / "reference" / "selection.md").read_text()
    named = page.partition("The flags work with ")[2].partition(". ")[0]
    taking = [name for name in COMMANDS if {"under", "seed"} <= {param.name for param in _params(name)}]
    assert re.findall(r"`([\w-]+)`", named) == taking


def _params(name: str) -> list[click.Parameter]:
    command = cli.group.get_command(click.Context(cli.group), name)
    assert command is not None
    return command.params


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


def test_the_first_notebook_leads_to_all_others() -> None:
    notebooks = ROOT / "notebooks"
    first = (notebooks / "quickstart.ipynb").read_text()
    assert all(f"({path.name})" in first for path in notebooks.glob("*.ipynb") if path.stem != "quickstart")
