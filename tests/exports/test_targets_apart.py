"""A target is one short file or one folder, which says where its sidecars are; no other module knows its name."""

import ast
import importlib
import pkgutil
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


def test_no_module_outside_the_formats_imports_a_target() -> None:
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("imagenet_tools.formats"):
                words = [*(node.module or "").split(".")[2:3], *(alias.name for alias in node.names)]
                at_home = path.relative_to(PACKAGE).parts[:1] == ("formats",)
                assert at_home or not set(words) & set(TARGETS), f"{path} imports {words}"


@pytest.mark.parametrize("target", [target for target in ONLY_WRITTEN if target not in OTHER_MEANINGS])
def test_no_other_module_names_a_target(target: str) -> None:
    home = f"formats/{target}"
    for path in PACKAGE.rglob("*.py"):
        place = path.relative_to(PACKAGE).as_posix()
        texts = [node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)]
        assert target not in texts or place.startswith((f"{home}.", f"{home}/")), f"{place} names {target}"
