"""What every test shares: where the real test material lies, and where the drawn sample lies."""

from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def real() -> Path:
    """The folder of real ImageNet material, read and never copied; a test that needs it is skipped without it."""
    folder = CHECKOUT.parent / "shared" / "real"
    if not folder.is_dir():
        pytest.skip("the real test material (../shared/real) is not here")
    return folder


@pytest.fixture(scope="session")
def sample() -> Path:
    """The sample ImageNet that the project draws itself: every source form in small."""
    return CHECKOUT / "data" / "sample"
