"""Commands of README.md and docs/ print what the page says, the navigation has every page, and links lead somewhere."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from data.make_readme import DOCS, PART, ROOT
from imagenet_tools.build import merge
from tests import pages
from tests.parameters import short_list
from tests.shared import Shared

PAGES = sorted(path.relative_to(ROOT).as_posix() for path in DOCS.rglob("*.md"))
# The commands of these run in `make test`, and those of all other pages in `make test-long`.
SHORT = {"README.md", "docs/reference/selection.md"}
# Code that needs a framework is run by tests/loaders.
WITH_FRAMEWORKS = {f"docs/recipes/{name}.md" for name in ("train", "transfer", "ultralytics")}


@pytest.fixture(scope="session")
def demo(shared: Shared) -> Path:
    """The folder that `imagenet-tools demo demo` makes."""
    return shared("demo", pages.demo_at)


@pytest.mark.parametrize(
    "name",
    short_list((name for name in ["README.md", *PAGES] if any(pages.steps((ROOT / name).read_text()))), *SHORT),
)
def test_the_commands_of_a_page_print_what_it_says(name: str, demo: Path, tmp_path: Path) -> None:
    for step, printed, exit_code in pages.run((ROOT / name).read_text(), demo, tmp_path / "demo"):
        told = f"exit code {exit_code}, expected {step.exit_code}\n{printed}\nexpected\n{step.output}"
        assert pages.agrees(step, printed, exit_code), f"{step.source}\n{told}"


@pytest.mark.parametrize("name", PAGES)
def test_a_page_has_no_code_that_no_test_runs(name: str) -> None:
    blocks = pages.BLOCK.findall(PART.sub("", (ROOT / name).read_text()))
    languages = {language for language, _ in blocks}
    run_elsewhere = {"python", "diff"} if name in WITH_FRAMEWORKS else set()
    assert languages <= {"console", "pycon", "toml", "text"} | run_elsewhere
    assert not any("imagenet-tools" in block for language, block in blocks if language == "text")


def test_the_codes_of_the_merge_are_on_the_page_of_codes() -> None:
    page = (ROOT / "docs/reference/codes.md").read_text()
    sources = [path.read_text() for path in sorted((ROOT / "imagenet_tools/build").glob("merge*.py"))]
    codes = {code for source in sources for code in re.findall(r"SELECT '(\w+)' AS code", source)}
    assert codes == set(merge.PROBLEMS)
    assert all(f"| `{code}` |" in page for code in codes)


def test_a_wrong_output_and_a_wrong_exit_code_are_noticed(demo: Path, tmp_path: Path) -> None:
    page = "```console\n$ echo a\nb\n$ false\n$ exit 3  # exit code 3\n```\n"
    page += "```pycon\n>>> 1 + 1\n3\n>>> x = 2\n>>> x\n2\n```\n"
    results = [pages.agrees(*result) for result in pages.run(page, demo, tmp_path / "demo")]
    assert results == [False, False, True, False, True, True]


def test_the_navigation_has_every_page_once() -> None:
    nav = tomllib.loads((ROOT / "zensical.toml").read_text())["project"]["nav"]
    values = [value for section in nav for value in section.values()]
    listed = [path for value in values for path in ([value] if isinstance(value, str) else [*map(_only_value, value)])]
    assert sorted(f"docs/{path}" for path in listed) == PAGES


def _only_value(entry: dict[str, str]) -> str:
    [value] = entry.values()
    return value


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", *PAGES])
def test_every_link_within_the_project_leads_to_a_page_and_a_heading(name: str) -> None:
    text = re.sub(r"^```.*?^```$", "", (ROOT / name).read_text(), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"https?://", target):
            continue
        path, _, anchor = target.partition("#")
        page = (ROOT / name).parent / path if path else ROOT / name
        assert page.exists(), target
        assert not name.startswith("docs/") or DOCS in page.resolve().parents, f"{target} is outside the site"
        assert not anchor or anchor in set(_anchors(page.read_text())), target


def _anchors(text: str) -> Iterator[str]:
    """Yield the anchors of the headings of a page, as the site and GitHub make them of plain words."""
    for title in re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S), re.MULTILINE):
        yield re.sub(r"[\s-]+", "-", re.sub(r"[^\w\s-]", "", title.lower())).strip("-")
