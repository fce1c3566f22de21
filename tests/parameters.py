"""Parameters of which `make test` tries some, and `make test-long` the rest."""

from collections.abc import Iterable
from typing import Any

import pytest


def short_list(values: Iterable[Any], *kept: Any) -> list[Any]:
    """Parameters for parametrize: what is kept is tried by `make test`, and all else is long."""
    values = list(values)
    assert kept and all(one in values for one in kept), f"{kept} are not all in {values}"
    return [one if one in kept else pytest.param(one, marks=pytest.mark.long) for one in values]
