"""What every test shares: where the real test material lies, the drawn sample, and the forms that are made of it."""

import gc
import importlib.util
import signal
import tarfile
from pathlib import Path
from typing import NamedTuple

import pytest

import imagenet_tools
from imagenet_tools.index import Index
from tests.shared import Shared, shared_in

# A shell has what it starts in the background ignore Ctrl-C, and so would every process that a test interrupts.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The loader proofs run in environments that have what the loaders need alone.
if importlib.util.find_spec("hypothesis"):
    importlib.import_module("tests.examples").register()

# Thousands of tests are made before the first begins. None of them is garbage, and looking for it took half the time.
gc.disable()


def pytest_collection_finish() -> None:
    """Leave what was collected out of every later search for garbage."""
    gc.freeze()
    gc.enable()


CHECKOUT = Path(__file__).resolve().parent.parent


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --real DIR: files of ImageNet itself, which the project may not redistribute."""
    default = CHECKOUT.parent / "shared" / "real"
    text = f"folder with real validation images, devkit and box annotations of ILSVRC2012; default {default}"
    parser.addoption("--real", type=Path, default=default, metavar="DIR", help=text)


@pytest.fixture(scope="session")
def real(pytestconfig: pytest.Config) -> Path:
    """Return the folder of real ImageNet files, which tests read and never copy; skip the test if it is missing."""
    folder: Path = pytestconfig.getoption("--real").absolute()
    if not folder.is_dir():
        pytest.skip(
            f"found no folder {folder}; expected the ILSVRC2012 validation images, devkit and box annotations there, "
            "or in the folder that --real DIR names. They come from ImageNet's download page, image-net.org, after "
            "registration."
        )
    return folder


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Shared:
    """A function that makes a file or folder once for all processes of the run; nobody writes there."""
    return shared_in(tmp_path_factory)


@pytest.fixture(scope="session")
def sample() -> Path:
    """The sample ImageNet that the project draws itself: every source form in small."""
    return CHECKOUT / "data" / "sample"


class Extracted(NamedTuple):
    """The sample's images as GNU tar would leave them, by Python's tarfile, and their bytes by stem."""

    train: Path  # <wnid>/<stem>.JPEG
    val: Path  # flat
    test: Path  # flat
    class_tars: Path  # <wnid>.tar
    data: dict[str, bytes]


@pytest.fixture(scope="session")
def extracted(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Extracted:
    root = tmp_path_factory.mktemp("extracted")
    train, val, class_tars = root / "tree" / "train", root / "flat" / "val", root / "class_tars"
    for folder in (train, val, class_tars):
        folder.mkdir(parents=True)
    with tarfile.open(sample / "ILSVRC2012_img_train.tar") as outer:
        outer.extractall(class_tars, filter="data")
    for path in sorted(class_tars.iterdir()):
        with tarfile.open(path) as inner:
            inner.extractall(train / path.stem, filter="data")
    with tarfile.open(sample / "ILSVRC2012_img_val.tar") as flat:
        flat.extractall(val, filter="data")
    with tarfile.open(sample / "ILSVRC2012_img_test_v10102019.tar") as flat:
        flat.extractall(root / "flat", filter="data")
    images = [*train.glob("*/*"), *val.iterdir(), *(root / "flat" / "test").iterdir()]
    return Extracted(train, val, root / "flat" / "test", class_tars, {path.stem: path.read_bytes() for path in images})


OFFICIAL = (
    "ILSVRC2012_img_train.tar",
    "ILSVRC2012_img_val.tar",
    "ILSVRC2012_devkit_t12.tar.gz",
    "ILSVRC2012_bbox_train_v2.tar.gz",
    "ILSVRC2012_bbox_val_v3.tgz",
)


@pytest.fixture(scope="session")
def index(sample: Path, shared: Shared) -> Index:
    """The index of the sample's official archives."""
    sources = [sample / name for name in OFFICIAL]
    return imagenet_tools.open_index(shared("index", lambda path: imagenet_tools.build_index(sources, path)))
