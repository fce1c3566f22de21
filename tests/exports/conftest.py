"""The odd data set, and its index."""

from pathlib import Path

import pytest

import imagenet_tools
from imagenet_tools.index.opened import Index
from tests.exports.odd import make_odd, sources


@pytest.fixture(scope="session")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Index:
    """The index of the data set in which everything is odd."""
    root: Path = tmp_path_factory.mktemp("odd")
    make_odd(root / "source")
    imagenet_tools.build_index(sources(root / "source"), root / "x.index", dataset="ilsvrc2012", workers=1)
    return imagenet_tools.open_index(root / "x.index")
