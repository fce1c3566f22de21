"""The environment of the lowest versions is that of pyproject.toml's lower bounds, each of them and no other."""

import re
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
PINS = dict(line.split("==") for line in (HERE / "requirements.txt").read_text().splitlines() if "==" in line)
PROJECT = tomllib.loads((HERE.parent.parent / "pyproject.toml").read_text())
# Of what the tests need, the bounds stand in the group dev; what users install is everything else.
GROUPS = [PROJECT["project"]["dependencies"], *PROJECT["project"]["optional-dependencies"].values()]
BOUNDS = dict(bound.split(">=") for group in [*GROUPS, PROJECT["dependency-groups"]["dev"]] for bound in group)
# Ray is too large for this environment: its proofs in tests/loaders run with its lower bound.
ELSEWHERE = {"ray": HERE.parent / "loaders" / "requirements-ray.txt"}
USED = [name for group in GROUPS for bound in group if (name := bound.split(">=")[0]) not in ELSEWHERE]


def numbers(release: str) -> list[int]:
    """The numbers of a release without the zeros at their end: 1.4 and 1.4.0 are one release."""
    found = [int(number) for number in re.findall(r"\d+", release)]
    while found and not found[-1]:
        found.pop()
    return found


def test_every_library_is_pinned() -> None:
    assert set(USED) <= set(PINS)


@pytest.mark.parametrize("library", sorted(PINS))
def test_a_pin_is_the_lower_bound(library: str) -> None:
    assert numbers(PINS[library]) == numbers(BOUNDS[library])


@pytest.mark.parametrize("library", ELSEWHERE)
def test_a_bound_is_tried_elsewhere(library: str) -> None:
    pins = ELSEWHERE[library].read_text().split()
    assert f"{library}=={BOUNDS[library]}" in pins


def test_the_versions_that_run_are_allowed() -> None:
    """In whatever environment this is: that of the lowest versions, or one of the newest."""
    for library in USED:
        assert numbers(version(library)) >= numbers(BOUNDS[library]), library
