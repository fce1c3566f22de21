"""How many examples Hypothesis draws where each takes long: a few in `make test`, many more in `make test-long`."""

from collections.abc import Callable
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings

LONG = 1000  # what the profile `long` has of other tests

_Test = TypeVar("_Test", bound=Callable[..., None])


def register() -> None:
    """Make the profile `long` known, before Hypothesis's plugin asks for it."""
    settings.register_profile("long", max_examples=LONG)


def examples(few: int, *, many: int) -> Callable[[_Test], _Test]:
    """Draw few examples, and many in the profile `long`, in which `make test-long` runs what is marked `drawn`.

    Those of a run are drawn anew, so that many short runs see as much as a long one.
    """
    n = many if settings.default.max_examples >= LONG else few
    limited = settings(max_examples=n, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

    def mark(test: Any) -> Any:
        return pytest.mark.drawn(limited(test))

    return mark
