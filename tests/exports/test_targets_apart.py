"""A target is one short file or one folder, which says where its sidecars are; no other module knows its name."""

import ast
import importlib
import pkgutil
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import imagenet_tools
from imagenet_tools import api

PACKAGE = Path(imagenet_tools.__file__).parent
FORMATS = api._formats()
TARGETS = [name for name, module in FORMATS.items() if hasattr(module, "open_shard")]
ONLY_WRITTEN = [target for target in TARGETS if not hasattr(FORMATS[target], "scan")]
MOST_LINES = 150
# Names that other modules use for a library, a kind of file, or a file of Stanford Dogs.
OTHER_MEANINGS = {"csv", "duckdb", "file_list", "parquet"}


def modules_of(target: str) -> list[str]:
    """Return the names of the modules of a target: the file, or all of the folder."""
    module = FORMATS[target]
    inner = [f"{module.__name__}.{found.name}" for found in pkgutil.iter_modules(getattr(module, "__path__", ()))]
    return [module.__name__, *inner]


@pytest.mark.parametrize("target", TARGETS)
def test_a_target_says_where_its_sidecars_are(target: str) -> None:
    text = " ".join((importlib.import_module(name).__doc__ or "") for name in modules_of(target))
    words = " ".join(text.split()).lower()
    assert all(word in words for word in ("lock", "recipe", "manifest", "classes.json")), text


@pytest.mark.parametrize("target", ONLY_WRITTEN)
def test_a_target_without_a_reader_is_short_or_a_folder(target: str) -> None:
    module = FORMATS[target]
    lines = Path(str(module.__file__)).read_text().count("\n")
    assert hasattr(module, "__path__") or lines <= MOST_LINES


@cache
def nodes() -> list[tuple[Path, list[ast.AST]]]:
    """Return what stands in each module of the package."""
    return [(path, list(ast.walk(ast.parse(path.read_text())))) for path in sorted(PACKAGE.rglob("*.py"))]


@pytest.fixture(scope="module", autouse=True)
def forget() -> Iterator[None]:
    """Forget the syntax trees when they have been looked at: every later search for garbage would walk them."""
    yield
    nodes.cache_clear()


def test_no_module_outside_the_formats_imports_a_target() -> None:
    for path, found in nodes():
        for node in found:
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("imagenet_tools.formats"):
                words = [*(node.module or "").split(".")[2:3], *(alias.name for alias in node.names)]
                at_home = path.relative_to(PACKAGE).parts[:1] == ("formats",)
                assert at_home or not set(words) & set(TARGETS), f"{path} imports {words}"


def test_no_other_module_names_a_target() -> None:
    targets = set(ONLY_WRITTEN) - OTHER_MEANINGS
    for path, found in nodes():
        place = path.relative_to(PACKAGE)
        named = targets.intersection(node.value for node in found if isinstance(node, ast.Constant))
        home = place.parts[1].removesuffix(".py") if place.parts[0] == "formats" else ""
        assert named <= {home}, f"{place} names {named}"
