"""The odd data set, its index, and exports of it that tests read and leave as they are."""

import hashlib
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import imagenet_tools
from imagenet_tools.exports import pieces
from imagenet_tools.exports.plan import Result
from imagenet_tools.index import Index
from tests.exports.odd import make_odd, sources
from tests.shared import Shared


@pytest.fixture(scope="session")
def odd(shared: Shared) -> Index:
    """The index of the data set in which everything is odd."""

    def make(root: Path) -> None:
        make_odd(root / "source")
        imagenet_tools.build_index(sources(root / "source"), root / "x.index", dataset="ilsvrc2012", workers=1)

    return imagenet_tools.open_index(shared("odd", make) / "x.index")


class Exported(NamedTuple):
    """An export that is there to be read, and what was written."""

    root: Path
    result: Result


Export = Callable[..., Exported]


@pytest.fixture(scope="session")
def exported(odd: Index, shared: Shared) -> Export:
    """A function that exports the odd data set in many pieces by two workers, once for all tests that ask the same.

    Nothing may be changed there: a test that wants to takes a copy.
    """

    def exported(to: str, **options: Any) -> Exported:
        def make(root: Path) -> None:
            root.mkdir()
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(pieces, "_PIECE", 300_000)
                result = imagenet_tools.export(odd.select(), root / "x", to=to, workers=2, **options)
            (root / "result.pickle").write_bytes(pickle.dumps(result))

        said = hashlib.sha256(repr(sorted(options.items())).encode()).hexdigest()[:8]
        root = shared(f"{to}-{said}", make)
        return Exported(root / "x", pickle.loads((root / "result.pickle").read_bytes()))

    return exported
