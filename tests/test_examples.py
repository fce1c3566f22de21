"""The examples in the package's docstrings give what they show; they need no index and no network."""

import doctest
import importlib
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "imagenet_tools"
# tests/index/test_examples.py and tests/test_docstring_examples.py run theirs.
NEED_AN_INDEX = ("store", "api", "index", "selection.selection", "exports.plan")
MODULES = [
    name
    for path in sorted(PACKAGE.rglob("*.py"))
    if ">>> " in path.read_text()
    and not (name := ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"))
    .removeprefix("imagenet_tools.")
    .startswith(NEED_AN_INDEX)
]
PUBLIC = ("catalogue.class_maps", "catalogue.lists", "catalogue.terms", "wordnet.hierarchy", "wordnet.similarity")


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_hold(name: str) -> None:
    module = importlib.import_module(name)
    result = doctest.testmod(module, optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    assert result.attempted > 0 and result.failed == 0


def test_the_modules_that_users_call_have_examples() -> None:
    assert {f"imagenet_tools.{name}" for name in PUBLIC} <= set(MODULES)
