"""Where the public API hands in its plan of an export: exports lie above selections, and dogs.plan() is asked here."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from imagenet_tools.exports.plan import Plan
    from imagenet_tools.selection.selection import Selection

_planner: list[Callable[..., Plan]] = []


def hand_in(planner: Callable[..., Plan]) -> None:
    """Make a function of a selection and an export's options the one that plans."""
    _planner[:] = [planner]


def plan(selection: Selection, **options: Any) -> Plan:
    """The plan of an export of a selection."""
    if not _planner:
        importlib.import_module("imagenet_tools.api")
    return _planner[0](selection, **options)
