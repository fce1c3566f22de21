"""The examples in the docstrings of an open index, run on the index of the sample."""

import doctest

import pytest

from imagenet_tools.index import Index
from imagenet_tools.store import query
from imagenet_tools.store.store import Store

EXAMPLES = [
    test
    for documented in (Store, query.run)
    for test in doctest.DocTestFinder(exclude_empty=True).find(documented, module=False)  # type: ignore[arg-type]
    if test.examples
]


@pytest.mark.filterwarnings("ignore:.* is taken for")
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_examples_of_docstrings(example: doctest.DocTest, index: Index) -> None:
    example.globs = {"index": index, "run": query.run, "connect_contained": query.connect_contained}
    assert doctest.DocTestRunner().run(example).failed == 0


def test_there_are_examples() -> None:
    assert {"Store.sql", "Store.image", "Store.resolve", "run"} <= {example.name for example in EXAMPLES}
