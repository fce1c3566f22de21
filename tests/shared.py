"""What many tests read and none writes is made once a run, by whichever of pytest-xdist's processes asks first."""

import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

Shared = Callable[[str, Callable[[Path], object]], Path]


def shared_in(tmp_path_factory: pytest.TempPathFactory) -> Shared:
    """A function that gives the path of this name in the run's folder, where a function of the path made it."""
    base = tmp_path_factory.getbasetemp()
    home = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "shared"
    home.mkdir(exist_ok=True)

    def shared(name: str, make: Callable[[Path], object]) -> Path:
        folder, made = home / name, home / f"{name}.made"
        with (home / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not made.exists():
                shutil.rmtree(folder, ignore_errors=True)  # what one that failed left
                folder.mkdir()
                make(folder / "made")
                made.touch()
            fcntl.flock(lock, fcntl.LOCK_UN)  # a child that outlives its parent would hold it
        return folder / "made"

    return shared
