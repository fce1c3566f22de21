"""What the tests of selections share: indexes written directly, of classes that WordNet ties together."""

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from imagenet_tools import open_index
from imagenet_tools.catalogue import lists
from imagenet_tools.index import Index
from tests.forms.written_index import Row, image, write
from tests.shared import Shared

Written = Callable[[Iterable[Row]], Index]


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    """A function that makes an index of rows and opens it."""
    return lambda rows: open_index(write(tmp_path_factory.mktemp("written") / "x.index", rows))


@pytest.fixture(scope="session")
def fall11(shared: Shared) -> Index:
    """Two images of each of fall11's 21,841 classes."""
    wnids = lists.get("fall11").wnids
    rows = (image(f"{wnid}_{n}", wnid, None, dataset="fall11") for wnid in wnids for n in (1, 2))
    return open_index(shared("fall11", lambda path: write(path, rows)))


@pytest.fixture(scope="session")
def many(tmp_path_factory: pytest.TempPathFactory) -> Index:
    """2,000 training and 50 validation images of each of six classes of ilsvrc2012."""
    wnids = ["n02085620", "n02086079", "n02088364", "n02123045", "n02123159", "n04355933"]
    rows = [image(f"{wnid}_{n}", wnid) for wnid in wnids for n in range(2000)]
    rows += [
        image(f"ILSVRC2012_val_{n * 6 + place + 1:08d}", wnid, "val")
        for place, wnid in enumerate(wnids)
        for n in range(50)
    ]
    return open_index(write(tmp_path_factory.mktemp("many") / "x.index", rows))


@pytest.fixture(scope="session")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for tables of one's own."""
    return tmp_path_factory.mktemp("tables")
